//! Sessions with MySQL and MariaDB.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, OptsBuilder, Params, Row, SslOpts, Value};
use serde_json::Value as Json;

use super::db::{Answer, Column, Door, Session, unreachable};
use super::statement::{Dialect, Statement};
use super::trouble::{self, Kind};
use crate::error::Failure;

/// Opens sessions with one database.
pub(super) struct MySql {
    opts: Opts,
    timeout: Duration,
}

impl MySql {
    pub(super) fn new(opts: Opts, is_encrypted: bool, ca: Option<&Path>, timeout: Duration) -> Self {
        let certificates = ca.map(|ca| PathBuf::from(ca).into());
        let tls = SslOpts::default().with_root_certs(certificates.into_iter().collect());
        let opts = OptsBuilder::from_opts(opts)
            .ssl_opts(is_encrypted.then_some(tls))
            .prefer_socket(false)
            .setup(vec![
                "SET SESSION time_zone = '+00:00', sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
            ]);
        Self {
            opts: opts.into(),
            timeout,
        }
    }
}

#[async_trait]
impl Door for MySql {
    fn dialect(&self) -> Dialect {
        Dialect::MySql
    }

    async fn open(&self) -> Result<Box<dyn Session>, Failure> {
        // Where several kinds of cryptography are linked, one of them must be named before the first use.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let mut connection = Conn::new(self.opts.clone()).await.map_err(|error| failure(&error))?;
        // Each of the two servers has a name of its own for the longest time of a statement.
        let seconds = self.timeout.as_secs().max(1);
        let theirs = format!("SET SESSION max_statement_time = {seconds}");
        if connection.query_drop(theirs).await.is_err() {
            let ours = format!("SET SESSION max_execution_time = {}", self.timeout.as_millis());
            connection.query_drop(ours).await.map_err(|error| failure(&error))?;
        }
        Ok(Box::new(Open {
            connection,
            is_alive: true,
        }))
    }
}

struct Open {
    connection: Conn,
    is_alive: bool,
}

impl Open {
    fn told(&mut self, error: &Error) -> Failure {
        self.is_alive &= !error.is_fatal();
        failure(error)
    }
}

#[async_trait]
impl Session for Open {
    async fn run(&mut self, statement: &Statement) -> Result<Answer, Failure> {
        let is_plain = matches!(statement.text.as_str(), "START TRANSACTION" | "COMMIT" | "ROLLBACK");
        if is_plain {
            return match self.connection.query_drop(&statement.text).await {
                Ok(()) => Ok(Answer::default()),
                Err(error) => Err(Failure {
                    ambiguous: statement.text == "COMMIT",
                    ..self.told(&error)
                }),
            };
        }
        let params: Vec<Value> = statement.params.iter().map(param).collect();
        let params = if params.is_empty() {
            Params::Empty
        } else {
            Params::Positional(params)
        };
        let ran: Result<Vec<Row>, Error> = self.connection.exec(&statement.text, params).await;
        let rows = ran.map_err(|error| self.told(&error))?;
        Ok(Answer {
            rows: rows.into_iter().map(values).collect(),
            made: self.connection.last_insert_id(),
        })
    }

    async fn columns(&mut self, query: &str) -> Result<Vec<Column>, Failure> {
        let prepared = self.connection.prep(query).await.map_err(|error| self.told(&error))?;
        let column = |column: &mysql_async::Column| Column {
            name: column.name_str().into_owned(),
            kind: word(column.column_type()).to_owned(),
            is_nullable: !column.flags().contains(ColumnFlags::NOT_NULL_FLAG),
        };
        Ok(prepared.columns().iter().map(column).collect())
    }

    fn is_alive(&self) -> bool {
        self.is_alive
    }
}

fn word(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::MYSQL_TYPE_TINY
        | ColumnType::MYSQL_TYPE_SHORT
        | ColumnType::MYSQL_TYPE_INT24
        | ColumnType::MYSQL_TYPE_LONG
        | ColumnType::MYSQL_TYPE_YEAR
        | ColumnType::MYSQL_TYPE_LONGLONG => "bigint",
        ColumnType::MYSQL_TYPE_DATETIME | ColumnType::MYSQL_TYPE_DATETIME2 => "datetime",
        ColumnType::MYSQL_TYPE_TIMESTAMP | ColumnType::MYSQL_TYPE_TIMESTAMP2 => "timestamp",
        ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE => "date",
        ColumnType::MYSQL_TYPE_JSON => "json",
        _ => "text",
    }
}

fn param(value: &Json) -> Value {
    match value {
        Json::Null => Value::NULL,
        Json::Bool(flag) => Value::Int(i64::from(*flag)),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::UInt(number),
            (None, None) => Value::Double(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::Bytes(text.clone().into_bytes()),
        other => Value::Bytes(other.to_string().into_bytes()),
    }
}

fn values(row: Row) -> Vec<Json> {
    row.unwrap().into_iter().map(json).collect()
}

fn json(value: Value) -> Json {
    match value {
        Value::NULL => Json::Null,
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into(),
        Value::Int(number) => number.into(),
        Value::UInt(number) => number.into(),
        Value::Float(number) => number.into(),
        Value::Double(number) => number.into(),
        Value::Date(year, month, day, hour, minute, second, micros) => {
            format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}").into()
        }
        Value::Time(is_negative, days, hours, minutes, seconds, _) => {
            let sign = if is_negative { "-" } else { "" };
            format!("{sign}{:02}:{minutes:02}:{seconds:02}", days * 24 + u32::from(hours)).into()
        }
    }
}

fn failure(error: &Error) -> Failure {
    let Error::Server(told) = error else {
        // An error of the driver may repeat what it was given.
        let what = match error {
            Error::Io(error) => error.to_string(),
            _ => "the session broke off".to_owned(),
        };
        return unreachable(&format!("the database cannot be reached: {what}"));
    };
    let kind = match told.code {
        1062 | 1169 | 1586 => Kind::Twice,
        1044 | 1142 | 1143 | 1227 | 1290 => Kind::Forbidden,
        1045 | 1698 | 1862 => Kind::Credential,
        1049 => Kind::NoSuchDatabase,
        1054 | 1146 => Kind::NoSuchName,
        1048 | 1364 | 1451 | 1452 | 3819 | 4025 => Kind::Rule,
        1264 | 1265 | 1292 | 1366 | 1406 => Kind::Value,
        1064 | 1305 | 1356 => Kind::Statement,
        1969 | 3024 => Kind::TooSlow,
        _ => Kind::Passing,
    };
    // What a broken rule says of itself may hold the row's values.
    let message = matches!(kind, Kind::Forbidden | Kind::NoSuchName | Kind::Statement).then_some(told.message.as_str());
    trouble::failure(kind, &told.code.to_string(), message)
}
