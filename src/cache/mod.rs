//! The identity cache: identifier → key and record → key. A hint only; the ledger decides, and losing the cache costs time.

use async_trait::async_trait;

use crate::model::{CustomerKey, Identifier, RecordId};

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
    /// Forgets everything.
    async fn clear(&self);
    /// A word for `status`: kind, reachable or not, why.
    fn health(&self) -> CacheHealth;
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
}
