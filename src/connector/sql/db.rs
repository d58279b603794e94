//! What the three kinds of database have in common: sessions that carry out statements, and a few of them kept open.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;
use tokio::sync::{Mutex, Semaphore};

use super::statement::{Dialect, Statement};
use crate::error::{Class, Code, Failure, Problem};
use crate::fault;

/// Sessions open at once. An admin counts them.
const SESSIONS_MAX: usize = 4;
/// How much longer than the database itself the answer to a statement is waited for.
const GRACE: Duration = Duration::from_secs(5);

/// One column, as the database describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// Its type in the database's own words.
    pub(super) kind: String,
    /// It may be empty.
    pub(super) is_nullable: bool,
}

/// What came of a statement.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// Its rows, as plain values.
    pub(super) rows: Vec<Vec<Json>>,
    /// The number that the database gave to a new row, if it tells it this way.
    pub(super) made: Option<u64>,
}

/// An open session.
#[async_trait]
pub(super) trait Session: Send {
    /// Carries out one statement.
    async fn run(&mut self, statement: &Statement) -> Result<Answer, Failure>;

    /// The columns of a SELECT.
    async fn columns(&mut self, query: &str) -> Result<Vec<Column>, Failure>;

    /// False when the other side has hung up.
    fn is_alive(&self) -> bool;
}

/// Opens sessions.
#[async_trait]
pub(super) trait Door: Send + Sync {
    /// Which language is spoken.
    fn dialect(&self) -> Dialect;

    /// A new session.
    async fn open(&self) -> Result<Box<dyn Session>, Failure>;
}

/// A few sessions, kept open.
pub(super) struct Db {
    door: Box<dyn Door>,
    idle: Mutex<Vec<Box<dyn Session>>>,
    places: Arc<Semaphore>,
    timeout: Duration,
}

/// A session that is in use; kept for the next one when it is given back.
pub(super) struct Lease<'a> {
    session: Box<dyn Session>,
    db: &'a Db,
    _place: tokio::sync::SemaphorePermit<'a>,
}

impl Db {
    pub(super) fn new(door: Box<dyn Door>, timeout: Duration) -> Self {
        let sessions = match door.dialect() {
            // Two writers of one file only wait for each other.
            Dialect::Sqlite => 1,
            Dialect::Postgres | Dialect::MySql => SESSIONS_MAX,
        };
        Self {
            door,
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(sessions)),
            timeout,
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.door.dialect()
    }

    /// A session, kept or new.
    pub(super) async fn lease(&self) -> Result<Lease<'_>, Failure> {
        let Ok(place) = self.places.acquire().await else {
            return Err(unreachable("no session is to be had"));
        };
        let kept = self.idle.lock().await.pop().filter(|session| session.is_alive());
        let session = match kept {
            Some(session) => session,
            None => within(self.timeout, self.door.open()).await?,
        };
        Ok(Lease {
            session,
            db: self,
            _place: place,
        })
    }

    /// Carries out a statement that changes nothing.
    pub(super) async fn read(&self, statement: &Statement) -> Result<Vec<Vec<Json>>, Failure> {
        let asked = fault::effect("send", async {
            let mut lease = self.lease().await?;
            let answer = lease.run(statement).await?;
            lease.give_back().await;
            Ok(answer.rows)
        });
        asked
            .await
            .map_err(|prevented| unreachable(&prevented.to_string()))
            .flatten()
    }
}

impl Lease<'_> {
    pub(super) async fn run(&mut self, statement: &Statement) -> Result<Answer, Failure> {
        within(self.db.timeout + GRACE, self.session.run(statement)).await
    }

    pub(super) async fn columns(&mut self, query: &str) -> Result<Vec<Column>, Failure> {
        within(self.db.timeout + GRACE, self.session.columns(query)).await
    }

    /// The next one may use the session. One that is not given back is closed, which ends what it was about.
    pub(super) async fn give_back(self) {
        self.db.idle.lock().await.push(self.session);
    }
}

async fn within<T>(time: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match tokio::time::timeout(time, work).await {
        Ok(result) => result,
        Err(_elapsed) => Err(Failure {
            ambiguous: true,
            ..unreachable("the database did not answer in time")
        }),
    }
}

/// The database cannot be reached, or went away.
pub(super) fn unreachable(what: &str) -> Failure {
    Failure::new(Class::Transient, Problem::new(Code::Unreachable, what))
}
