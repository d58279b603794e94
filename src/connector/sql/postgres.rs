//! Sessions with PostgreSQL. Every value comes and goes as text: the database knows its types best.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use rustls::ClientConfig;
use serde_json::Value as Json;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::db::{Answer, Column, Door, Session, unreachable};
use super::statement::{Dialect, Statement};
use super::trouble::{self, Kind};
use crate::error::Failure;

/// Statements kept ready in one session.
const PREPARED_MAX: usize = 200;

/// Opens sessions with one database.
pub(super) struct Postgres {
    config: Config,
    tls: Option<ClientConfig>,
    timeout: Duration,
}

impl Postgres {
    pub(super) fn new(mut config: Config, tls: Option<ClientConfig>, timeout: Duration) -> Self {
        config.ssl_mode(if tls.is_some() {
            SslMode::Require
        } else {
            SslMode::Disable
        });
        config.application_name("nivel").connect_timeout(timeout);
        Self { config, tls, timeout }
    }
}

#[async_trait]
impl Door for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn open(&self) -> Result<Box<dyn Session>, Failure> {
        let client = match &self.tls {
            Some(tls) => {
                let (client, line) = self
                    .config
                    .connect(MakeRustlsConnect::new(tls.clone()))
                    .await
                    .map_err(|error| failure(&error))?;
                tokio::spawn(async move { ended(line.await) });
                client
            }
            None => {
                let (client, line) = self.config.connect(NoTls).await.map_err(|error| failure(&error))?;
                tokio::spawn(async move { ended(line.await) });
                client
            }
        };
        let settings = format!(
            "SET TIME ZONE 'UTC'; SET datestyle = 'ISO'; SET statement_timeout = {}",
            self.timeout.as_millis()
        );
        client.batch_execute(&settings).await.map_err(|error| failure(&error))?;
        Ok(Box::new(Open {
            client,
            prepared: BTreeMap::new(),
        }))
    }
}

/// The end of a session; what it meant is told to whoever used it.
fn ended(result: Result<(), tokio_postgres::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a session with the database ended");
    }
}

struct Open {
    client: Client,
    prepared: BTreeMap<String, tokio_postgres::Statement>,
}

impl Open {
    async fn prepared(&mut self, text: &str) -> Result<tokio_postgres::Statement, tokio_postgres::Error> {
        if let Some(known) = self.prepared.get(text) {
            return Ok(known.clone());
        }
        if self.prepared.len() >= PREPARED_MAX {
            self.prepared.clear();
        }
        let made = self.client.prepare(text).await?;
        self.prepared.insert(text.to_owned(), made.clone());
        Ok(made)
    }
}

#[async_trait]
impl Session for Open {
    async fn run(&mut self, statement: &Statement) -> Result<Answer, Failure> {
        // What begins and ends a transaction has no parameters and no rows.
        if matches!(statement.text.as_str(), "BEGIN" | "COMMIT" | "ROLLBACK") {
            let ran = self.client.batch_execute(&statement.text).await;
            return ran
                .map(|()| Answer::default())
                .map_err(|error| lost_at_commit(statement, failure(&error)));
        }
        let prepared = self.prepared(&statement.text).await.map_err(|error| failure(&error))?;
        let params: Vec<Option<&str>> = statement.params.iter().map(Json::as_str).collect();
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
        match self.client.query(&prepared, &params).await {
            Ok(rows) => Ok(Answer {
                rows: rows.iter().map(values).collect::<Result<_, _>>()?,
                made: None,
            }),
            Err(error) => {
                // The plan of a table that was altered since is made anew the next time.
                self.prepared.clear();
                Err(failure(&error))
            }
        }
    }

    async fn columns(&mut self, query: &str) -> Result<Vec<Column>, Failure> {
        let prepared = self.client.prepare(query).await.map_err(|error| failure(&error))?;
        let mut columns = Vec::new();
        for column in prepared.columns() {
            let oid = column.type_().oid();
            let asked = self.client.query_one("SELECT format_type($1, NULL)", &[&oid]).await;
            let kind = asked.and_then(|row| row.try_get(0)).map_err(|error| failure(&error))?;
            columns.push(Column {
                name: column.name().to_owned(),
                kind,
                is_nullable: true,
            });
        }
        Ok(columns)
    }

    fn is_alive(&self) -> bool {
        !self.client.is_closed()
    }
}

/// A session that ends with its COMMIT leaves open what became of it.
fn lost_at_commit(statement: &Statement, failure: Failure) -> Failure {
    Failure {
        ambiguous: failure.ambiguous || statement.text == "COMMIT",
        ..failure
    }
}

fn values(row: &Row) -> Result<Vec<Json>, Failure> {
    let value = |index| {
        let text: Option<&str> = row.try_get(index).map_err(|error| failure(&error))?;
        let value = text.map_or(Ok(Json::Null), serde_json::from_str);
        value.map_err(|error| unreachable(&format!("a value of the database is not JSON: {error}")))
    };
    (0..row.len()).map(value).collect()
}

fn failure(error: &tokio_postgres::Error) -> Failure {
    let Some(told) = error.as_db_error() else {
        return unreachable(&format!("the database cannot be reached: {error}"));
    };
    trouble::failure(kind(told.code()), told.code().code(), Some(told.message()))
}

fn kind(state: &SqlState) -> Kind {
    match *state {
        SqlState::UNIQUE_VIOLATION | SqlState::EXCLUSION_VIOLATION => Kind::Twice,
        SqlState::INSUFFICIENT_PRIVILEGE => Kind::Forbidden,
        SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME | SqlState::UNDEFINED_COLUMN => Kind::NoSuchName,
        SqlState::INVALID_CATALOG_NAME => Kind::NoSuchDatabase,
        SqlState::QUERY_CANCELED => Kind::TooSlow,
        _ => match state.code().get(..2).unwrap_or_default() {
            "22" => Kind::Value,
            "23" => Kind::Rule,
            "28" => Kind::Credential,
            "42" => Kind::Statement,
            // Deadlocks, shutdowns, too many sessions, a standby: another time.
            _ => Kind::Passing,
        },
    }
}
