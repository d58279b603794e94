//! The text of statements in three languages. Names are quoted, values are parameters, always. Pure.

use serde_json::Value as Json;

use super::config::Source;
use super::db::Column;

/// Which language a database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    /// Also MariaDB.
    MySql,
    Sqlite,
}

/// A statement and its parameters: `null`, true or false, numbers and text only.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Statement {
    pub(super) text: String,
    pub(super) params: Vec<Json>,
}

impl Statement {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            params: Vec::new(),
        }
    }

    pub(super) fn with(text: impl Into<String>, params: Vec<Json>) -> Self {
        Self {
            text: text.into(),
            params,
        }
    }
}

/// Where the rows of one stream come from, in one language.
#[derive(Clone, Debug)]
pub(super) struct Sql {
    pub(super) dialect: Dialect,
    /// The table, or the query in brackets.
    pub(super) from: String,
    pub(super) key: Column,
    pub(super) cursor: Option<Column>,
    pub(super) deleted: Option<Column>,
    /// The columns of the fields, in the order of their slots.
    pub(super) fields: Vec<Column>,
}

impl Dialect {
    /// A name, quoted.
    pub(super) fn quoted(self, name: &str) -> String {
        match self {
            Self::Postgres | Self::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::MySql => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// A table, perhaps with its schema.
    pub(super) fn table(self, name: &str) -> String {
        let parts: Vec<String> = name.split('.').map(|part| self.quoted(part)).collect();
        parts.join(".")
    }

    pub(super) fn source(self, source: &Source) -> String {
        match source {
            Source::Table(table) => self.table(&table.name),
            Source::Query(query) => format!("({}) AS q", query.name.trim().trim_end_matches(';')),
        }
    }

    pub(super) fn begin(self) -> Statement {
        Statement::new(match self {
            Self::Postgres => "BEGIN",
            Self::MySql => "START TRANSACTION",
            Self::Sqlite => "BEGIN IMMEDIATE",
        })
    }

    /// A value as a parameter of this type of column.
    fn bound(self, value: Json, kind: &str) -> Json {
        let value = match value {
            Json::Array(items) if kind.ends_with("[]") => Json::String(array(&items)),
            Json::Array(_) | Json::Object(_) => Json::String(value.to_string()),
            Json::Bool(flag) if self != Self::Postgres || is_number(kind) => Json::from(i32::from(flag)),
            other => other,
        };
        match (self, value) {
            (Self::Postgres, Json::Null) => Json::Null,
            (Self::Postgres, Json::String(text)) => Json::String(text),
            (Self::Postgres, other) => Json::String(other.to_string()),
            (Self::MySql | Self::Sqlite, Json::String(text)) if is_whole(kind) => {
                let number = text.parse::<i64>().map(Json::from);
                let number = number.or_else(|_| text.parse::<u64>().map(Json::from));
                number.unwrap_or(Json::String(text))
            }
            (Self::MySql, Json::String(text)) if is_moment(kind) => Json::String(civil(&text)),
            (_, other) => other,
        }
    }
}

fn is_whole(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    kind.contains("int") && !kind.contains("interval") && !kind.contains("point")
}

fn is_number(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    is_whole(&kind)
        || ["numeric", "decimal", "real", "double", "float"]
            .iter()
            .any(|word| kind.starts_with(word))
}

fn is_moment(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    kind.starts_with("datetime") || kind.starts_with("timestamp") || kind == "date"
}

/// `2026-01-31T08:00:00.250Z` as `2026-01-31 08:00:00.250`.
fn civil(text: &str) -> String {
    match text.strip_suffix('Z') {
        Some(civil) => civil.replacen('T', " ", 1),
        None => text.to_owned(),
    }
}

/// A list as the text of an array.
fn array(items: &[Json]) -> String {
    let quoted = items.iter().map(|item| {
        let text = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    });
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}

/// Collects a statement's text and parameters.
struct Draft {
    dialect: Dialect,
    statement: Statement,
}

impl Draft {
    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            statement: Statement::default(),
        }
    }

    fn text(&mut self, text: &str) {
        self.statement.text.push_str(text);
    }

    fn param(&mut self, value: Json, column: &Column) {
        self.statement.params.push(self.dialect.bound(value, &column.kind));
        match self.dialect {
            Dialect::Postgres => {
                let number = self.statement.params.len();
                self.text(&format!("${number}::text::{}", column.kind));
            }
            Dialect::MySql if is_moment(&column.kind) && column.kind != "date" => self.text("CAST(? AS DATETIME(6))"),
            Dialect::MySql | Dialect::Sqlite => self.text("?"),
        }
    }
}

impl Sql {
    fn name(&self, column: &Column) -> String {
        self.dialect.quoted(&column.name)
    }

    /// A column, read as text that tells it exactly.
    fn exact(&self, column: &Column) -> String {
        match self.dialect {
            Dialect::Postgres => format!("to_jsonb({}::text)::text", self.name(column)),
            Dialect::MySql | Dialect::Sqlite => self.name(column),
        }
    }

    /// A column, read as the value it is.
    fn plain(&self, column: &Column) -> String {
        let name = self.name(column);
        match (self.dialect, column.kind.as_str()) {
            (Dialect::Postgres, "timestamp without time zone") => format!("to_jsonb({name} AT TIME ZONE 'UTC')::text"),
            (Dialect::Postgres, kind) if kind.starts_with("numeric") => format!("to_jsonb({name}::text)::text"),
            (Dialect::Postgres, _) => format!("to_jsonb({name})::text"),
            (Dialect::MySql | Dialect::Sqlite, _) => name,
        }
    }

    /// Key, cursor, flag, fields: what every row is read as. What is not there is `NULL`.
    fn select(&self) -> Draft {
        let mut draft = Draft::new(self.dialect);
        let cursor = self
            .cursor
            .as_ref()
            .map_or_else(|| "NULL".to_owned(), |column| self.exact(column));
        let deleted = self
            .deleted
            .as_ref()
            .map_or_else(|| "NULL".to_owned(), |column| self.plain(column));
        let mut columns = vec![self.exact(&self.key), cursor, deleted];
        columns.extend(self.fields.iter().map(|column| self.plain(column)));
        draft.text(&format!("SELECT {} FROM {}", columns.join(", "), self.from));
        draft
    }

    /// The next rows of everything, by key.
    pub(super) fn all(&self, after: Option<&Json>, limit: u32) -> Statement {
        let mut draft = self.select();
        let key = self.name(&self.key);
        draft.text(&format!(" WHERE {key} IS NOT NULL"));
        if let Some(after) = after {
            draft.text(&format!(" AND {key} > "));
            draft.param(after.clone(), &self.key);
        }
        draft.text(&format!(" ORDER BY {key} LIMIT {limit}"));
        draft.statement
    }

    /// The next changed rows, by cursor and key. What has the same cursor as the last row read is asked for again.
    pub(super) fn changed(
        &self,
        cursor: &Column,
        from: Option<&Json>,
        after: Option<&(Json, Json)>,
        limit: u32,
    ) -> Statement {
        let mut draft = self.select();
        let (at, key) = (self.name(cursor), self.name(&self.key));
        draft.text(&format!(" WHERE {key} IS NOT NULL AND {at} IS NOT NULL"));
        match (after, from) {
            (Some((last, last_key)), _) => {
                draft.text(&format!(" AND {at} >= "));
                draft.param(last.clone(), cursor);
                draft.text(&format!(" AND ({at} > "));
                draft.param(last.clone(), cursor);
                draft.text(&format!(" OR {key} > "));
                draft.param(last_key.clone(), &self.key);
                draft.text(")");
            }
            (None, Some(from)) => {
                draft.text(&format!(" AND {at} >= "));
                draft.param(from.clone(), cursor);
            }
            (None, None) => {}
        }
        draft.text(&format!(" ORDER BY {at}, {key} LIMIT {limit}"));
        draft.statement
    }

    /// The highest cursor there is.
    pub(super) fn high(&self, cursor: &Column) -> Statement {
        let at = self.name(cursor);
        let high = match self.dialect {
            Dialect::Postgres => format!("to_jsonb(max({at})::text)::text"),
            Dialect::MySql | Dialect::Sqlite => format!("max({at})"),
        };
        Statement::new(format!("SELECT {high} FROM {}", self.from))
    }

    /// Whether some row has no key.
    pub(super) fn keyless(&self) -> Statement {
        let key = self.name(&self.key);
        let yes = match self.dialect {
            Dialect::Postgres => "'1'",
            Dialect::MySql | Dialect::Sqlite => "1",
        };
        Statement::new(format!("SELECT {yes} FROM {} WHERE {key} IS NULL LIMIT 1", self.from))
    }

    /// Rows by their keys.
    pub(super) fn by_key(&self, keys: &[&str], locks: bool) -> Statement {
        let mut draft = self.select();
        draft.text(" WHERE ");
        self.key_is(&mut draft, keys);
        if locks && self.dialect != Dialect::Sqlite {
            draft.text(" FOR UPDATE");
        }
        draft.statement
    }

    fn key_is(&self, draft: &mut Draft, keys: &[&str]) {
        draft.text(&format!("{} IN (", self.name(&self.key)));
        for (index, key) in keys.iter().enumerate() {
            if index > 0 {
                draft.text(", ");
            }
            draft.param(Json::from(*key), &self.key);
            // There a column without a type keeps numbers and text apart.
            if self.dialect == Dialect::Sqlite
                && let Ok(number) = key.parse::<i64>()
            {
                draft.text(", ");
                draft.param(Json::from(number), &self.key);
            }
        }
        draft.text(")");
    }

    /// Rows with this value in a column; `folds` for text in which capitals make no difference.
    pub(super) fn by_value(&self, column: &Column, value: Json, folds: bool, limit: u32) -> Statement {
        let mut draft = self.select();
        let name = self.name(column);
        if folds {
            let text = Column {
                kind: "text".to_owned(),
                ..column.clone()
            };
            draft.text(&format!(" WHERE lower({name}) = "));
            draft.param(value, &text);
        } else {
            draft.text(&format!(" WHERE {name} = "));
            draft.param(value, column);
        }
        draft.text(&format!(" LIMIT {limit}"));
        draft.statement
    }

    /// Makes a row; its key is told where the language has a word for it.
    pub(super) fn insert(&self, values: Vec<(&Column, Json)>) -> Statement {
        let mut draft = Draft::new(self.dialect);
        let names: Vec<String> = values.iter().map(|(column, _)| self.name(column)).collect();
        draft.text(&format!("INSERT INTO {} ({}) VALUES (", self.from, names.join(", ")));
        for (index, (column, value)) in values.into_iter().enumerate() {
            if index > 0 {
                draft.text(", ");
            }
            draft.param(value, column);
        }
        draft.text(")");
        if self.dialect != Dialect::MySql {
            draft.text(&format!(" RETURNING {}", self.exact(&self.key)));
        }
        draft.statement
    }

    /// Changes a row.
    pub(super) fn update(&self, key: &str, values: Vec<(&Column, Json)>) -> Statement {
        let mut draft = Draft::new(self.dialect);
        draft.text(&format!("UPDATE {} SET ", self.from));
        for (index, (column, value)) in values.into_iter().enumerate() {
            if index > 0 {
                draft.text(", ");
            }
            draft.text(&format!("{} = ", self.name(column)));
            draft.param(value, column);
        }
        draft.text(" WHERE ");
        self.key_is(&mut draft, &[key]);
        draft.statement
    }

    /// Removes a row.
    pub(super) fn delete(&self, key: &str) -> Statement {
        let mut draft = Draft::new(self.dialect);
        draft.text(&format!("DELETE FROM {} WHERE ", self.from));
        self.key_is(&mut draft, &[key]);
        draft.statement
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn column(name: &str, kind: &str) -> Column {
        Column {
            name: name.to_owned(),
            kind: kind.to_owned(),
            is_nullable: true,
        }
    }

    fn sql(dialect: Dialect) -> Sql {
        Sql {
            dialect,
            from: dialect.table("crm.we\"ird`t"),
            key: column("id", "bigint"),
            cursor: Some(column("at", "timestamp with time zone")),
            deleted: None,
            fields: vec![column("mail", "text"), column("tags", "text[]")],
        }
    }

    #[test]
    fn names_are_quoted_and_values_are_parameters() {
        let hostile = "x'; DROP TABLE t; --";
        for (dialect, text) in [
            (
                Dialect::Postgres,
                "UPDATE \"crm\".\"we\"\"ird`t\" SET \"mail\" = $1::text::text WHERE \"id\" IN ($2::text::bigint)",
            ),
            (
                Dialect::MySql,
                "UPDATE `crm`.`we\"ird``t` SET `mail` = ? WHERE `id` IN (?)",
            ),
            (
                Dialect::Sqlite,
                "UPDATE \"crm\".\"we\"\"ird`t\" SET \"mail\" = ? WHERE \"id\" IN (?)",
            ),
        ] {
            let sql = sql(dialect);
            let found = sql.update(hostile, vec![(&sql.fields[0], json!(hostile))]);
            assert_eq!(found.text, text);
            assert_eq!(found.params, [json!(hostile), json!(hostile)]);
        }
    }

    #[test]
    fn values_fit_the_types_of_their_columns() {
        for (dialect, kind, value, bound) in [
            (
                Dialect::Postgres,
                "text[]",
                json!(["a\"b", "c,d"]),
                json!("{\"a\\\"b\",\"c,d\"}"),
            ),
            (Dialect::Postgres, "jsonb", json!(["a"]), json!("[\"a\"]")),
            (Dialect::Postgres, "boolean", json!(true), json!("true")),
            (Dialect::Postgres, "integer", json!(true), json!("1")),
            (
                Dialect::MySql,
                "bigint",
                json!("9007199254740993"),
                json!(9_007_199_254_740_993_i64),
            ),
            (
                Dialect::MySql,
                "datetime",
                json!("2026-01-31T08:00:00Z"),
                json!("2026-01-31 08:00:00"),
            ),
            (Dialect::Sqlite, "", json!(false), json!(0)),
        ] {
            assert_eq!(dialect.bound(value, kind), bound, "{dialect:?} {kind}");
        }
    }

    #[test]
    fn rows_of_one_tick_are_told_apart_by_their_keys() {
        let sql = sql(Dialect::Sqlite);
        let cursor = sql.cursor.clone().unwrap();
        let next = sql.changed(&cursor, Some(&json!("a")), Some(&(json!("t"), json!(5))), 10);
        let condition = next.text.split_once(" WHERE ").unwrap().1;
        assert_eq!(
            condition,
            "\"id\" IS NOT NULL AND \"at\" IS NOT NULL AND \"at\" >= ? AND (\"at\" > ? OR \"id\" > ?) ORDER BY \"at\", \"id\" LIMIT 10"
        );
        assert_eq!(next.params, [json!("t"), json!("t"), json!(5)]);
    }
}
