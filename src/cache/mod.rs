//! The identity cache: identifier → key and record → key. A hint only; the ledger decides, and losing the cache costs time.
//!
//! # Looking up a customer from another program
//!
//! In Redis the entries are plain strings, so that a call centre's pop-up finds a customer in one `GET`:
//!
//! | key | value |
//! | --- | --- |
//! | `nivel:NS:i:DIGEST(identifier)` | the customer key, `per_0190163d8694739b8a5d4e5b6f1c2d3e` |
//! | `nivel:NS:r:DIGEST(record)` | the same |
//!
//! An identifier is written `kind:value` as `nivel customer show` prints it: `email:anna@acme.com`,
//! `phone_name:+4930901820/anna muller`; a record is written `system/stream/id`. `DIGEST` is HMAC-SHA256 of that text under
//! the ledger's cache secret (the text itself is the key), its first 16 bytes in base64url without padding: nobody who
//! can read Redis can read an address in it, or try one without the secret. `NS` is the first 6 bytes of the digest of
//! the word `namespace`, written in the same way, so that several ledgers may share a Redis. For example:
//!
//! ```text
//! printf %s 'email:anna@acme.com' | openssl dgst -sha256 -hmac "$SECRET" -binary | head -c16 | basenc --base64url | tr -d =
//! ```
//!
//! Beside them stand the levels of rates that several processes share (`nivel:NS:b:…`, see [`SharedBudget`]); they mean
//! nothing to other programs.
//!
//! A missing entry means "not known here". An entry may be older than the ledger by one commit; it expires a while
//! after it was last learned.

mod budget;
mod layout;
mod memory;
mod redis;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

pub use self::memory::Memory;
pub use self::redis::Redis;
use crate::error::Problem;
use crate::model::{CustomerKey, Identifier, RecordId, SharedBudget};

/// Opens the cache of the config: Redis when there is a URL, else one in the process.
///
/// `ttl` is how long Redis keeps an entry after it was last learned; `secret` is the ledger's cache secret.
///
/// # Errors
/// The URL is not one of a Redis. A Redis that cannot be reached is none: it is used as soon as it answers.
pub async fn open(
    url: Option<&SecretString>,
    ttl: Duration,
    secret: &SecretString,
) -> Result<Arc<dyn IdentityCache>, Problem> {
    Ok(match url {
        None => Arc::new(Memory::default()),
        Some(url) => Arc::new(Redis::open(url, ttl, secret).await?),
    })
}

/// What one page asks the cache for, in one round trip.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Identifiers whose holders are wanted.
    pub identifiers: Vec<Identifier>,
    /// Records whose customers are wanted.
    pub records: Vec<RecordId>,
}

/// Answers in the order of the [`Ask`]; `None` means "not known here", never "does not exist".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// One answer for each identifier.
    pub identifiers: Vec<Option<CustomerKey>>,
    /// One answer for each record.
    pub records: Vec<Option<CustomerKey>>,
}

/// What a commit made true, to be remembered. Later entries win.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    /// Identifier → the customer that holds it.
    pub identifiers: Vec<(Identifier, CustomerKey)>,
    /// Record → its customer.
    pub records: Vec<(RecordId, CustomerKey)>,
}

/// An identity cache. No call can fail: a cache that is down answers nothing and says so in [`IdentityCache::health`].
#[async_trait]
pub trait IdentityCache: Send + Sync {
    /// Looks up everything a page needs in one round trip.
    async fn look_up(&self, ask: &Ask) -> Hints;
    /// Remembers what a commit made true, in one round trip.
    async fn learn(&self, learned: &Learned);
    /// Forgets these identifiers and records, whoever holds them.
    async fn forget(&self, forgotten: &Learned);
    /// Forgets everything.
    async fn clear(&self);
    /// A word for `status`: kind, reachable or not, why.
    fn health(&self) -> CacheHealth;
    /// True when others look into it too: then it is filled by the first reading as well, which itself gains nothing by it.
    fn serves_others(&self) -> bool {
        false
    }

    /// The budget of rates that all processes with this cache share; `None` for a cache in the process.
    fn budget(self: Arc<Self>) -> Option<Arc<dyn SharedBudget>> {
        None
    }
}

/// How the cache is doing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CacheHealth {
    /// `memory` or `redis`.
    pub kind: &'static str,
    /// False while it cannot be reached.
    pub is_up: bool,
    /// Look-ups that found something, since start.
    pub hits: u64,
    /// Look-ups that found nothing, since start.
    pub misses: u64,
    /// What is wrong with it, if anything: it is down, cannot be written, or drops keys under memory pressure.
    pub problem: Option<Problem>,
}
