//! The cache in Redis, shared by several processes. One round trip per call; when Redis is away, or slow, or says something
//! odd, it simply knows nothing.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, Value, cmd, pipe};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout};

use super::layout::Layout;
use super::{Ask, CacheHealth, Hints, IdentityCache, Learned};
use crate::error::{Code, Problem};
use crate::fault;
use crate::model::{CustomerKey, SharedBudget};

/// How long a call may take, connecting included. A cache that is slower than the ledger is worth nothing.
const CALL_MAX: Duration = Duration::from_millis(200);

/// The first pause after a failure; it doubles with each further one up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Entries per round trip: a page's worth. More would not fit into [`CALL_MAX`] on a busy machine.
const BATCH: usize = 2_000;

/// The longest text that can be a customer key; longer values are not looked at.
const VALUE_MAX: usize = 64;

/// A cache in Redis.
pub struct Redis {
    client: Client,
    address: String,
    layout: Layout,
    ttl: Duration,
    state: Mutex<State>,
    /// Held while one call connects; the others go without meanwhile.
    connecting: tokio::sync::Mutex<()>,
    hits: AtomicU64,
    misses: AtomicU64,
    /// What this process is called among those who share a budget.
    member: String,
    /// How many shared it when it was last seen; 0 when it never was.
    members: AtomicU32,
}

#[derive(Default)]
struct State {
    /// The connection all calls share; `None` while Redis is down.
    connection: Option<MultiplexedConnection>,
    /// Failures in a row.
    failures: u32,
    /// Not tried again before.
    pause_until: Option<Instant>,
    /// Why it is down.
    down: Option<Problem>,
    /// Why it cannot be written (out of memory, read-only replica).
    unwritable: Option<Problem>,
    /// It may drop keys.
    evicts: Option<Problem>,
}

impl Redis {
    /// A cache in the Redis of that URL. Whether it can be reached is found out here for the log, but does not matter.
    ///
    /// # Errors
    /// The URL is not one of a Redis.
    pub async fn open(url: &SecretString, ttl: Duration, secret: &SecretString) -> Result<Self, Problem> {
        // The error of the crate may quote parts of the URL; the password must not come out here.
        let client = Client::open(url.expose_secret()).map_err(|_error| {
            Problem::new(Code::ConfigInvalid, "this is not the URL of a Redis")
                .about("cache.url")
                .hint("write `redis://:password@host:port/db`; TLS (`rediss://`) is not built in")
        })?;
        let cache = Self {
            address: client.get_connection_info().addr().to_string(),
            client,
            layout: Layout::new(secret)?,
            ttl: ttl.max(Duration::from_secs(1)),
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            member: format!("{:016x}", rand::random::<u64>()),
            members: AtomicU32::new(0),
        };
        drop(cache.connection().await);
        Ok(cache)
    }

    /// The shared connection, made anew when there is none and the pause is over.
    ///
    /// Not the crate's connection manager: it keeps an error that is not one of the network (a refused password, too many
    /// clients) for ever.
    async fn connection(&self) -> Option<MultiplexedConnection> {
        let ready = |state: &State| {
            let is_paused = state.pause_until.is_some_and(|until| Instant::now() < until);
            (state.connection.clone(), is_paused)
        };
        match ready(&self.state()) {
            (Some(connection), _) => return Some(connection),
            (None, true) => return None,
            (None, false) => {}
        }
        let _turn = self.connecting.try_lock().ok()?;
        match timeout(CALL_MAX, self.connect()).await {
            Ok(Ok((connection, policy))) => {
                self.note_up(connection.clone(), &policy);
                Some(connection)
            }
            Ok(Err(error)) => {
                self.note_down(&error.to_string());
                None
            }
            Err(_elapsed) => {
                self.note_down("no answer in time");
                None
            }
        }
    }

    /// Connects and asks what happens when memory runs out.
    async fn connect(&self) -> Result<(MultiplexedConnection, String), RedisError> {
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CALL_MAX))
            .set_response_timeout(Some(CALL_MAX));
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&limits)
            .await?;
        // A server may refuse INFO to this user: then nobody knows, and nobody is told.
        let info: Result<String, _> = cmd("INFO").arg("memory").query_async(&mut connection).await;
        let info = match info {
            Err(error) if error.is_io_error() || error.is_timeout() => return Err(error),
            info => info.unwrap_or_default(),
        };
        let policy = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
        let policy = policy.unwrap_or("noeviction").trim().to_owned();
        cmd("PING").exec_async(&mut connection).await?;
        Ok((connection, policy))
    }

    /// One round trip; `None` when Redis is down.
    async fn call(&self, pipeline: &Pipeline) -> Option<Vec<Value>> {
        let mut connection = self.connection().await?;
        match timeout(CALL_MAX, pipeline.query_async(&mut connection)).await {
            Ok(Ok(values)) => Some(values),
            Ok(Err(error)) => {
                self.note_down(&error.to_string());
                None
            }
            Err(_elapsed) => {
                self.note_down("no answer in time");
                None
            }
        }
    }

    fn note_up(&self, connection: MultiplexedConnection, policy: &str) {
        let evicts = (policy != "noeviction").then(|| {
            let message = format!("redis may drop keys under memory pressure (maxmemory-policy is {policy})");
            Problem::new(Code::CacheEvicts, message)
                .about(&self.address)
                .hint("set maxmemory-policy to noeviction, or give the cache a redis of its own")
        });
        let mut state = self.state();
        if state.down.take().is_some() {
            tracing::info!(address = %self.address, "the cache can be reached again");
        }
        if let Some(problem) = evicts.as_ref().filter(|problem| state.evicts.as_ref() != Some(problem)) {
            tracing::warn!(code = %problem.code, "{problem}");
        }
        state.evicts = evicts;
        state.connection = Some(connection);
        state.failures = 0;
        state.pause_until = None;
    }

    pub(super) fn note_down(&self, why: &str) {
        let problem = Problem::new(
            Code::CacheDown,
            format!("redis cannot be used, work goes on without it: {why}"),
        )
        .about(&self.address);
        let mut state = self.state();
        state.connection = None;
        let now = Instant::now();
        // Calls that failed together are one failure.
        if state.pause_until.is_some_and(|until| now < until) {
            return;
        }
        let doubled = PAUSE_MIN.saturating_mul(1 << state.failures.min(16));
        state.failures = state.failures.saturating_add(1);
        state.pause_until = Some(now + doubled.min(PAUSE_MAX));
        if state.down.is_none() {
            tracing::warn!(code = %problem.code, "{problem}");
        }
        state.down = Some(problem);
    }

    /// Notes whether the entries could be written; the first refusal is logged.
    fn note_written(&self, replies: &[Value]) {
        let refusal = replies.iter().find_map(|reply| match reply {
            Value::ServerError(error) => Some(error.to_string()),
            _ => None,
        });
        let problem = refusal.map(|refusal| {
            Problem::new(
                Code::CacheDown,
                format!("redis cannot be written, it is only read: {refusal}"),
            )
            .about(&self.address)
        });
        let mut state = self.state();
        if let Some(problem) = problem.as_ref().filter(|_| state.unwritable.is_none()) {
            tracing::warn!(code = %problem.code, "{problem}");
        }
        state.unwritable = problem;
    }

    /// The key of something that belongs to the shared budget.
    pub(super) fn name(&self, name: &str) -> String {
        self.layout.budget(name)
    }

    pub(super) fn member(&self) -> &str {
        &self.member
    }

    pub(super) fn note_members(&self, members: u32) {
        self.members.store(members, Ordering::Relaxed);
    }

    /// How many shared the budget when it was last seen. Never seen: rather two than one, to be on the safe side.
    pub(super) fn last_members(&self) -> u32 {
        match self.members.load(Ordering::Relaxed) {
            0 => 2,
            members => members,
        }
    }

    /// The state; never held over a wait. A panic elsewhere leaves it as good as it was.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn write(&self, pipeline: &Pipeline) -> Option<Vec<Value>> {
        fault::effect("cache", self.call(pipeline)).await.ok().flatten()
    }
}

#[async_trait]
impl IdentityCache for Redis {
    async fn look_up(&self, ask: &Ask) -> Hints {
        let identifiers = ask
            .identifiers
            .iter()
            .map(|identifier| self.layout.identifier(identifier));
        let records = ask.records.iter().map(|record| self.layout.record(record));
        let names: Vec<String> = identifiers.chain(records).collect();
        let mut keys: Vec<Option<CustomerKey>> = Vec::with_capacity(names.len());
        for names in names.chunks(BATCH) {
            let mut pipeline = pipe();
            pipeline.cmd("MGET").arg(names);
            let answer = self
                .call(&pipeline)
                .await
                .and_then(|replies| replies.into_iter().next());
            let values = match answer {
                Some(Value::Array(values)) if values.len() == names.len() => values,
                _ => vec![Value::Nil; names.len()],
            };
            keys.extend(values.iter().map(customer_key));
        }
        let hits = u64::try_from(keys.iter().flatten().count()).unwrap_or(u64::MAX);
        let asked = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        self.hits.fetch_add(hits, Ordering::Relaxed);
        self.misses.fetch_add(asked - hits, Ordering::Relaxed);
        let records = keys.split_off(ask.identifiers.len());
        Hints {
            identifiers: keys,
            records,
        }
    }

    async fn learn(&self, learned: &Learned) {
        let identifiers = learned.identifiers.iter();
        let identifiers = identifiers.map(|(identifier, key)| (self.layout.identifier(identifier), key));
        let records = learned.records.iter();
        let records = records.map(|(record, key)| (self.layout.record(record), key));
        let entries: Vec<(String, &CustomerKey)> = identifiers.chain(records).collect();
        for entries in entries.chunks(BATCH) {
            let mut pipeline = pipe();
            for (name, key) in entries {
                let set = pipeline.cmd("SET").arg(name).arg(key.to_string());
                set.arg("EX").arg(self.ttl.as_secs());
            }
            // A refusal (out of memory) is an answer, not a failure of the connection.
            pipeline.ignore_errors();
            match self.write(&pipeline).await {
                Some(replies) => self.note_written(&replies),
                None => return,
            }
        }
    }

    async fn forget(&self, forgotten: &Learned) {
        let identifiers = forgotten.identifiers.iter();
        let identifiers = identifiers.map(|(identifier, _)| self.layout.identifier(identifier));
        let records = forgotten.records.iter().map(|(record, _)| self.layout.record(record));
        let names: Vec<String> = identifiers.chain(records).collect();
        for names in names.chunks(BATCH) {
            let mut unlink = pipe();
            unlink.cmd("UNLINK").arg(names);
            if self.write(&unlink).await.is_none() {
                tracing::warn!("redis keeps hashed identifiers of an erased person until they expire");
                return;
            }
        }
    }

    async fn clear(&self) {
        let mut cursor: u64 = 0;
        loop {
            let mut scan = pipe();
            scan.cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(self.layout.pattern())
                .arg("COUNT")
                .arg(1_000);
            let Some(found) = self.call(&scan).await.and_then(|replies| replies.into_iter().next()) else {
                return;
            };
            let Ok((next, names)) = redis::from_redis_value::<(u64, Vec<String>)>(found) else {
                return;
            };
            if !names.is_empty() {
                let mut unlink = pipe();
                unlink.cmd("UNLINK").arg(names);
                if self.write(&unlink).await.is_none() {
                    return;
                }
            }
            if next == 0 {
                return;
            }
            cursor = next;
        }
    }

    fn serves_others(&self) -> bool {
        true
    }

    fn budget(self: Arc<Self>) -> Option<Arc<dyn SharedBudget>> {
        Some(self)
    }

    fn health(&self) -> CacheHealth {
        let state = self.state();
        let problems = [&state.down, &state.unwritable, &state.evicts];
        CacheHealth {
            kind: "redis",
            is_up: state.connection.is_some(),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            problem: problems.into_iter().flatten().next().cloned(),
        }
    }
}

/// A customer key; `None` for nothing, and for whatever somebody else may have put there.
fn customer_key(value: &Value) -> Option<CustomerKey> {
    let text = match value {
        Value::BulkString(bytes) if bytes.len() <= VALUE_MAX => std::str::from_utf8(bytes).ok()?,
        _ => return None,
    };
    text.parse().ok()
}
