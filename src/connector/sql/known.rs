//! Whether the names of the config are in the database, and what types their columns have.

use serde_json::Value as Json;

use super::config::{Named, Source, SqlStream};
use super::db::{Column, Db, Lease};
use super::statement::{Dialect, Sql, Statement};
use super::trouble::did_you_mean;
use crate::error::{Class, Code, Failure, Problem};

/// The names and types of one stream, as the database has them now.
///
/// # Errors
/// When the database does not answer, or lacks a name; the problem says where it is written.
pub(super) async fn sql_of(db: &Db, stream: &SqlStream) -> Result<Sql, Failure> {
    let columns = columns_of(db, stream).await?;
    let find = |named: &Named| find(&columns, named, stream.source.named());
    Ok(Sql {
        dialect: db.dialect(),
        from: db.dialect().source(&stream.source),
        key: find(&stream.key)?,
        cursor: stream.cursor.as_ref().map(find).transpose()?,
        deleted: stream.deleted.as_ref().map(find).transpose()?,
        fields: stream
            .fields()
            .iter()
            .map(|(_, column)| find(&column.column))
            .collect::<Result<_, _>>()?,
    })
}

/// Every column of a table or query.
pub(super) async fn columns_of(db: &Db, stream: &SqlStream) -> Result<Vec<Column>, Failure> {
    let mut lease = db.lease().await?;
    let columns = match &stream.source {
        Source::Table(table) => columns_of_table(db.dialect(), &mut lease, table).await?,
        Source::Query(query) => {
            let text = format!("SELECT * FROM {} LIMIT 0", db.dialect().source(&stream.source));
            let columns = lease.columns(&text).await;
            columns.map_err(|failure| about(failure, query))?
        }
    };
    lease.give_back().await;
    Ok(columns)
}

fn about(mut failure: Failure, named: &Named) -> Failure {
    if failure.class == Class::Forbidden {
        failure.problem.subject.clone_from(&named.at);
    }
    failure
}

fn find(columns: &[Column], wanted: &Named, source: &Named) -> Result<Column, Failure> {
    let found = columns.iter().find(|column| column.name == wanted.name);
    found.cloned().ok_or_else(|| {
        let what = match source.name.contains(char::is_whitespace) {
            true => "the query".to_owned(),
            false => format!("`{}`", source.name),
        };
        let message = format!("{what} has no column `{}`", wanted.name);
        let hint = did_you_mean(&wanted.name, columns.iter().map(|column| column.name.as_str()));
        missing(message, hint, wanted)
    })
}

fn missing(message: String, hint: String, wanted: &Named) -> Failure {
    let problem = Problem::new(Code::SqlNoSuchName, message).about(&wanted.at).hint(hint);
    Failure::new(Class::Forbidden, problem)
}

async fn columns_of_table(dialect: Dialect, lease: &mut Lease<'_>, table: &Named) -> Result<Vec<Column>, Failure> {
    let described = lease.run(&describing(dialect, &table.name)).await?;
    let columns: Vec<Column> = described.rows.iter().filter_map(|row| column(row)).collect();
    if !columns.is_empty() {
        return Ok(columns);
    }
    let all = lease.run(&Statement::new(all_tables(dialect))).await?;
    let names: Vec<&str> = all.rows.iter().filter_map(|row| row.first()?.as_str()).collect();
    let message = format!("there is no table `{}`, or the user may not see it", table.name);
    Err(missing(message, did_you_mean(&table.name, names), table))
}

/// Name, type, and whether it may be empty, of each column in their order.
fn describing(dialect: Dialect, table: &str) -> Statement {
    let (schema, name) = match table.rsplit_once('.') {
        Some((schema, name)) => (Json::from(schema), name),
        None => (Json::Null, table),
    };
    match dialect {
        Dialect::Postgres => Statement::with(
            "SELECT to_jsonb(a.attname::text)::text, to_jsonb(format_type(a.atttypid, NULL))::text, \
             to_jsonb(NOT a.attnotnull)::text FROM pg_catalog.pg_attribute a \
             WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            vec![dialect.table(table).into()],
        ),
        Dialect::MySql => Statement::with(
            "SELECT column_name, data_type, is_nullable = 'YES' FROM information_schema.columns \
             WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? ORDER BY ordinal_position",
            vec![schema, name.into()],
        ),
        Dialect::Sqlite => Statement::with(
            "SELECT name, type, \"notnull\" = 0 FROM pragma_table_info(?, ?)",
            vec![name.into(), schema],
        ),
    }
}

fn all_tables(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => {
            "SELECT to_jsonb(CASE WHEN table_schema = 'public' THEN table_name ELSE table_schema || '.' || table_name \
             END)::text FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        }
        Dialect::MySql => "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
        Dialect::Sqlite => "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')",
    }
}

fn column(row: &[Json]) -> Option<Column> {
    let [Json::String(name), Json::String(kind), nullable] = row else {
        return None;
    };
    Some(Column {
        name: name.clone(),
        kind: kind.clone(),
        is_nullable: matches!(nullable, Json::Bool(true)) || nullable.as_i64() == Some(1),
    })
}
