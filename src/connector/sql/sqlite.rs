//! Sessions with a SQLite file, read and written in place.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};
use serde_json::Value as Json;

use super::db::{Answer, Column, Door, Session, unreachable};
use super::statement::{Dialect, Statement};
use super::trouble::{self, Kind};
use crate::error::Failure;

/// Opens sessions with one file. The file must be there: a wrong path makes no new one.
pub(super) struct Sqlite {
    pub(super) path: PathBuf,
    pub(super) timeout: Duration,
}

struct Open {
    connection: Arc<Mutex<Connection>>,
}

#[async_trait]
impl Door for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn open(&self) -> Result<Box<dyn Session>, Failure> {
        let (path, timeout) = (self.path.clone(), self.timeout);
        let opened = blocking(move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&path, flags).map_err(|error| failure(&error))?;
            connection.busy_timeout(timeout).map_err(|error| failure(&error))?;
            Ok(connection)
        });
        let connection = Arc::new(Mutex::new(opened.await?));
        Ok(Box::new(Open { connection }))
    }
}

#[async_trait]
impl Session for Open {
    async fn run(&mut self, statement: &Statement) -> Result<Answer, Failure> {
        let (connection, statement) = (Arc::clone(&self.connection), statement.clone());
        blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            run(&connection, &statement).map_err(|error| failure(&error))
        })
        .await
    }

    async fn columns(&mut self, query: &str) -> Result<Vec<Column>, Failure> {
        let (connection, query) = (Arc::clone(&self.connection), query.to_owned());
        blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let prepared = connection.prepare(&query).map_err(|error| failure(&error))?;
            // The columns of a query have no types of their own here.
            let column = |name: &str| Column {
                name: name.to_owned(),
                kind: String::new(),
                is_nullable: true,
            };
            Ok(prepared.column_names().map(column).collect())
        })
        .await
    }

    fn is_alive(&self) -> bool {
        true
    }
}

impl Drop for Open {
    /// A session that was given up in the midst of a statement must not go on with it.
    fn drop(&mut self) {
        if let Ok(connection) = self.connection.try_lock()
            && !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::debug!(%error, "a transaction that was given up could not be taken back");
        }
    }
}

fn run(connection: &Connection, statement: &Statement) -> rusqlite::Result<Answer> {
    let mut prepared = connection.prepare_cached(&statement.text)?;
    let width = prepared.column_count();
    let mut rows = prepared.query(params_from_iter(statement.params.iter().map(param)))?;
    let mut answer = Answer::default();
    while let Some(row) = rows.next()? {
        let values = (0..width).map(|index| row.get_ref(index).map(json));
        answer.rows.push(values.collect::<rusqlite::Result<_>>()?);
    }
    Ok(answer)
}

fn param(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Integer(i64::from(*flag)),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Real(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::Text(text.clone()),
        other => Value::Text(other.to_string()),
    }
}

fn json(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into(),
    }
}

/// Runs blocking work away from the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(unreachable(&format!("the work on the file was broken off: {error}"))),
    }
}

fn failure(error: &rusqlite::Error) -> Failure {
    let (kind, code) = match error {
        rusqlite::Error::SqliteFailure(inner, _) | rusqlite::Error::SqlInputError { error: inner, .. } => {
            (kind(inner.code, inner.extended_code, error), inner.extended_code)
        }
        _ => (Kind::Statement, 0),
    };
    let message = match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    };
    trouble::failure(kind, &code.to_string(), Some(&message))
}

fn kind(code: ErrorCode, extended: i32, error: &rusqlite::Error) -> Kind {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_UNIQUE};
    const TWICE: [i32; 3] = [
        SQLITE_CONSTRAINT_UNIQUE,
        SQLITE_CONSTRAINT_PRIMARYKEY,
        SQLITE_CONSTRAINT_ROWID,
    ];
    match code {
        ErrorCode::ConstraintViolation if TWICE.contains(&extended) => Kind::Twice,
        ErrorCode::ConstraintViolation => Kind::Rule,
        ErrorCode::TypeMismatch | ErrorCode::TooBig => Kind::Value,
        ErrorCode::CannotOpen | ErrorCode::NotADatabase => Kind::NoSuchDatabase,
        ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::AuthorizationForStatementDenied => {
            Kind::Forbidden
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SchemaChanged | ErrorCode::DiskFull => {
            Kind::Passing
        }
        _ if error.to_string().contains("no such") => Kind::NoSuchName,
        _ => Kind::Statement,
    }
}
