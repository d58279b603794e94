//! Rows into records, and what is wanted into columns. Pure.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde_json::{Map, Value as Json};

use super::config::{SqlColumn, SqlStream, slot};
use super::db::Column;
use super::place::moment;
use super::statement::Sql;
use crate::error::{Class, Failure};
use crate::manifest::{FieldType, Mapper, TimeFormat};
use crate::model::{FieldName, Incoming, Operation};

/// Turns rows into records and back.
pub(super) struct Rows {
    mapper: Mapper,
    fields: Vec<(FieldName, SqlColumn)>,
}

/// One row.
pub(super) struct Row {
    pub(super) key: Json,
    pub(super) cursor: Json,
    pub(super) record: Incoming,
}

impl Rows {
    pub(super) fn new(stream: &SqlStream, mapper: Mapper) -> Self {
        Self {
            mapper,
            fields: stream.fields(),
        }
    }

    /// A row as [`Sql`] selects it: key, cursor, flag, fields.
    pub(super) fn row(&self, values: Vec<Json>) -> Row {
        let mut values = values.into_iter();
        let mut next = || values.next().unwrap_or_default();
        let (key, cursor, deleted) = (next(), next(), next());
        let mut object = Map::from_iter([("id".to_owned(), key.clone())]);
        for (index, (_, column)) in self.fields.iter().enumerate() {
            object.insert(slot(index), read(column, next()));
        }
        let mut record = self.mapper.record_in(&Json::Object(object));
        record.updated_at = moment(&cursor);
        record.deleted = says_deleted(&deleted);
        Row { key, cursor, record }
    }

    /// The position of a field's column.
    pub(super) fn position(&self, field: &str) -> Option<usize> {
        // Our own key is spelled `key` where objects are looked up by it.
        let is_wanted =
            |(name, column): &(FieldName, SqlColumn)| name.as_str() == field || (field == "key" && column.key);
        self.fields.iter().position(is_wanted)
    }

    /// What a field is.
    pub(super) fn kind(&self, position: usize) -> FieldType {
        self.fields
            .get(position)
            .map(|(_, column)| column.kind)
            .unwrap_or_default()
    }

    /// The value of a field as the column holds it.
    pub(super) fn value_out(&self, field: &str, value: &crate::model::Value) -> Json {
        self.mapper.value_out(field, value)
    }

    /// What an operation puts into which column.
    ///
    /// # Errors
    /// When a value cannot be brought into its column's form.
    pub(super) fn columns_out<'a>(
        &self,
        sql: &'a Sql,
        operation: &Operation,
    ) -> Result<Vec<(&'a Column, Json)>, Failure> {
        let out = self
            .mapper
            .fields_out(operation)
            .map_err(|problem| Failure::new(Class::Invalid, problem))?;
        let columns = (0..).zip(&sql.fields);
        let values = columns.filter_map(|(index, column)| Some((column, out.get(slot(index))?.clone())));
        Ok(values.map(|(column, value)| (column, emptied(column, value))).collect())
    }
}

/// A column that cannot be `NULL` is emptied by empty text.
fn emptied(column: &Column, value: Json) -> Json {
    let kind = column.kind.to_ascii_lowercase();
    let is_text = ["char", "text", "clob"].iter().any(|word| kind.contains(word));
    if value.is_null() && !column.is_nullable && is_text {
        return Json::from("");
    }
    value
}

/// A value as the mapper wants it: times with their offset, lists that are kept as text as lists.
fn read(column: &SqlColumn, value: Json) -> Json {
    match (column.kind, &value) {
        (FieldType::Time, Json::String(_)) if column.format == TimeFormat::Rfc3339 => match moment(&value) {
            Some(at) => at.to_string().into(),
            None => value,
        },
        (FieldType::Set, Json::String(text)) if column.sep.is_none() && text.starts_with('[') => {
            serde_json::from_str(text).unwrap_or(value)
        }
        _ => value,
    }
}

fn says_deleted(flag: &Json) -> bool {
    match flag {
        Json::Null => false,
        Json::Bool(flag) => *flag,
        Json::Number(number) => number.as_f64() != Some(0.0),
        Json::String(text) => !matches!(
            text.trim().to_ascii_lowercase().as_str(),
            "" | "0" | "f" | "false" | "n" | "no"
        ),
        Json::Array(_) | Json::Object(_) => true,
    }
}

/// The key of a row as the rest of Nivel knows it.
pub(super) fn remote_of(key: &Json) -> CompactString {
    match key {
        Json::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    }
}

/// What the row says in the fields of an operation.
pub(super) fn differing(operation: &Operation, now: &Incoming) -> BTreeMap<FieldName, Option<crate::model::Value>> {
    let says = |name: &FieldName| now.fields.0.get(name).cloned().flatten();
    let wanted = operation.fields.iter();
    let differing = wanted.filter(|(name, wanted)| now.fields.0.contains_key(*name) && says(name) != **wanted);
    differing.map(|(name, _)| (name.clone(), says(name))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_counts_as_deleted() {
        for (flag, wanted) in [
            (json!(null), false),
            (json!(0), false),
            (json!("f"), false),
            (json!(""), false),
            (json!(1), true),
            (json!(true), true),
            (json!("2026-11-22 12:00:00"), true),
        ] {
            assert_eq!(says_deleted(&flag), wanted, "{flag}");
        }
    }

    #[test]
    fn a_text_column_that_must_not_be_null_is_emptied_by_empty_text() {
        let column = |kind: &str, is_nullable| Column {
            name: "c".to_owned(),
            kind: kind.to_owned(),
            is_nullable,
        };
        assert_eq!(emptied(&column("varchar", false), Json::Null), json!(""));
        assert_eq!(emptied(&column("varchar", true), Json::Null), Json::Null);
        assert_eq!(emptied(&column("integer", false), Json::Null), Json::Null);
    }
}
