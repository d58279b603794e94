//! A database as a [`Connection`]: PostgreSQL, MySQL and MariaDB, SQLite. What many companies call "our own system".
//!
//! | module | does |
//! | --- | --- |
//! | `config`, `address` | what the admin writes; where the database is and whether the way is encrypted |
//! | `statement`, `row`, `place`, `trouble` | pure: texts of statements, rows and records, the cursor, what errors mean |
//! | `known` | whether the names of the config are in the database, and of which types |
//! | `pull`, `write` | pages, and transactions |
//! | `db`, `postgres`, `mysql`, `sqlite`, `tls` | sessions |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use compact_str::CompactString;
use secrecy::SecretString;
use tokio::sync::Mutex;

use super::Connection;
use crate::connector::cursor::AsCursor as _;
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::PhoneNormaliser;
use crate::model::{
    Clock, Cursor, CustomerKey, Described, Description, FieldName, Fields, Incoming, Operation, Outcome, Page,
    StreamSpec, Value, WriteAction,
};

mod address;
mod config;
mod db;
mod known;
mod mysql;
mod place;
mod postgres;
mod pull;
mod row;
mod sqlite;
mod statement;
mod tls;
mod trouble;
mod write;

pub use config::{Named, Overlap, Source, SqlColumn, SqlConfig, SqlStream};

use address::Address;
use db::{Db, Door};
use place::Place;
use row::Rows;
use statement::Sql;

/// Rows that are asked for by key at once.
const KEYS_MAX: usize = 200;

/// A database.
pub struct Sqls {
    system: CompactString,
    db: Db,
    streams: BTreeMap<CompactString, Stream>,
    specs: BTreeMap<CompactString, StreamSpec>,
    clock: Arc<dyn Clock>,
}

/// One table or query.
struct Stream {
    config: SqlStream,
    spec: StreamSpec,
    rows: Rows,
    /// The names and types in the database, once they were looked up.
    sql: Mutex<Option<Arc<Sql>>>,
}

impl Stream {
    async fn forget(&self) {
        *self.sql.lock().await = None;
    }
}

/// What the config says elsewhere and a database needs, too.
pub struct Around {
    /// The system's name.
    pub system: CompactString,
    /// The country whose phone numbers may lack a prefix.
    pub region: Option<CompactString>,
    /// How phone numbers are put into one form.
    pub phone: PhoneNormaliser,
    /// The present.
    pub clock: Arc<dyn Clock>,
}

impl Sqls {
    /// The database at `url`. Nothing is sent yet.
    ///
    /// # Errors
    /// Everything that is wrong with the config, at once, without any part of the address.
    pub fn new(config: SqlConfig, url: &SecretString, around: Around) -> Result<Self, Vec<Problem>> {
        let mut problems = config.check();
        let place = format!("systems.{}.config", around.system);
        let door = Address::parse(url).and_then(|address| door(address, &config));
        let door = door.map_err(|problem| problems.push(problem.about(place))).ok();
        let mut streams = BTreeMap::new();
        for (name, stream) in config.streams {
            match stream.mapper(around.region.clone(), around.phone) {
                Ok(mapper) => {
                    let made = Stream {
                        rows: Rows::new(&stream, mapper),
                        spec: stream.spec(),
                        config: stream,
                        sql: Mutex::default(),
                    };
                    streams.insert(name, made);
                }
                Err(_path) => problems.push(Problem::new(Code::Bug, "the fields of a table cannot be mapped")),
            }
        }
        match door {
            Some(door) if problems.is_empty() => Ok(Self {
                system: around.system,
                db: Db::new(door, Duration::from_millis(config.timeout_ms)),
                specs: streams
                    .iter()
                    .map(|(name, stream)| (name.clone(), stream.spec.clone()))
                    .collect(),
                streams,
                clock: around.clock,
            }),
            _ => Err(problems),
        }
    }

    fn stream(&self, name: &str) -> Result<&Stream, Failure> {
        self.streams.get(name).ok_or_else(|| {
            let problem = Problem::new(Code::ConfigDangling, format!("there is no stream `{name}`"));
            Failure::new(Class::Forbidden, problem.about(&self.system))
        })
    }

    /// The names and types of a stream, looked up once.
    async fn sql(&self, stream: &Stream) -> Result<Arc<Sql>, Failure> {
        let mut known = stream.sql.lock().await;
        if let Some(sql) = &*known {
            return Ok(Arc::clone(sql));
        }
        let sql = Arc::new(known::sql_of(&self.db, &stream.config).await?);
        *known = Some(Arc::clone(&sql));
        Ok(sql)
    }

    /// Says which stream a failure is about.
    fn about(&self, stream: &str, mut failure: Failure) -> Failure {
        if failure.problem.subject.is_empty() {
            failure.problem.subject = format!("{}/{stream}", self.system);
        }
        failure
    }

    async fn get_rows(&self, stream: &Stream, remotes: &[CompactString]) -> Result<Vec<Incoming>, Failure> {
        let sql = self.sql(stream).await?;
        let mut found = Vec::with_capacity(remotes.len());
        for some in remotes.chunks(KEYS_MAX) {
            let keys: Vec<&str> = some.iter().map(CompactString::as_str).collect();
            let rows = self.rows(stream, &sql.by_key(&keys, false)).await?;
            found.extend(rows.into_iter().map(|row| row.record));
        }
        Ok(found)
    }

    async fn find_row(&self, stream: &Stream, by: &FieldName, value: &Value) -> Result<Option<Incoming>, Failure> {
        let sql = self.sql(stream).await?;
        let Some(statement) = write::looking_up(stream, &sql, by, value) else {
            return Ok(None);
        };
        let rows = self.db.read(&statement).await?;
        Ok(write::really(stream, rows, by, value).map(|row| row.record))
    }

    async fn description(&self, stream: &Stream) -> Result<Description, Failure> {
        let columns = known::columns_of(&self.db, &stream.config).await?;
        let mapped: BTreeMap<&str, &FieldName> = stream
            .config
            .columns
            .iter()
            .map(|(field, column)| (column.column.name.as_str(), field))
            .collect();
        let is_there = |name: &str| columns.iter().any(|column| column.name == name);
        let vanished = mapped.iter().filter(|(name, _)| !is_there(name));
        let vanished = vanished.map(|(name, field)| ((*field).clone(), CompactString::from(*name)));
        let described = columns.iter().map(|column| Described {
            name: column.name.as_str().into(),
            kind: column.kind.as_str().into(),
            // Every column was made by the company itself: all of them are worth a look.
            is_custom: true,
            mapped_to: mapped.get(column.name.as_str()).map(|field| (*field).clone()),
            ..Described::default()
        });
        Ok(Description {
            fields: described.collect(),
            vanished: vanished.collect(),
        })
    }
}

fn door(address: Address, config: &SqlConfig) -> Result<Box<dyn Door>, Problem> {
    let is_encrypted = address.is_encrypted(config.tls);
    let timeout = Duration::from_millis(config.timeout_ms);
    Ok(match address {
        Address::Postgres(target) => {
            let tls = is_encrypted.then(|| tls::client(config.ca.as_deref())).transpose()?;
            Box::new(postgres::Postgres::new(*target, tls, timeout))
        }
        Address::MySql(opts) => Box::new(mysql::MySql::new(*opts, is_encrypted, config.ca.as_deref(), timeout)),
        Address::Sqlite(path) => Box::new(sqlite::Sqlite { path, timeout }),
    })
}

#[async_trait]
impl Connection for Sqls {
    fn streams(&self) -> &BTreeMap<CompactString, StreamSpec> {
        &self.specs
    }

    async fn check(&self) -> Result<(), Failure> {
        for (name, stream) in &self.streams {
            stream.forget().await;
            self.sql(stream).await.map_err(|failure| self.about(name, failure))?;
        }
        Ok(())
    }

    async fn pull(&self, stream: &str, cursor: Option<&Cursor>) -> Result<Page, Failure> {
        let pulled = match Place::parse(cursor) {
            Ok(place) => self.pull_page(self.stream(stream)?, place).await,
            Err(failure) => Err(failure),
        };
        pulled.map_err(|failure| self.about(stream, failure))
    }

    async fn get(&self, stream: &str, remotes: &[CompactString]) -> Result<Vec<Incoming>, Failure> {
        let got = self.get_rows(self.stream(stream)?, remotes).await;
        got.map_err(|failure| self.about(stream, failure))
    }

    async fn find(&self, stream: &str, by: &FieldName, value: &Value) -> Result<Option<Incoming>, Failure> {
        let found = self.find_row(self.stream(stream)?, by, value).await;
        found.map_err(|failure| self.about(stream, failure))
    }

    async fn write(&self, stream: &str, operations: &[Operation]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(operations.len());
        for operation in operations {
            let outcome = match self.stream(stream) {
                Ok(found) if found.config.is_table() => self.carry_out(found, operation).await,
                Ok(_) => Err(read_only()),
                Err(failure) => Err(failure),
            };
            outcomes.push(outcome.map_err(|failure| self.about(stream, failure)));
        }
        outcomes
    }

    async fn erase(
        &self,
        stream: &str,
        remote: &CompactString,
        _known: &Fields,
        customer: CustomerKey,
    ) -> Result<Option<Duration>, Failure> {
        // What somebody changed meanwhile is hers, too: nothing is compared.
        let operation = Operation {
            id: "erase".into(),
            action: WriteAction::Delete(remote.clone()),
            fields: BTreeMap::new(),
            known: Fields::default(),
            version: None,
            key: customer,
        };
        let outcomes = self.write(stream, &[operation]).await;
        outcomes
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(read_only()))
            .map(|_| None)
    }

    async fn describe(&self, stream: &str) -> Result<Option<Description>, Failure> {
        let described = self.description(self.stream(stream)?).await;
        described.map(Some).map_err(|failure| self.about(stream, failure))
    }
}

fn read_only() -> Failure {
    let problem = Problem::new(
        Code::NotAllowed,
        "only the rows of a table can be written, not those of a query",
    );
    Failure::new(Class::Forbidden, problem)
}
