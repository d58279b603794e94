//! What the ledger keeps for handoffs: activities, and passages.

use async_trait::async_trait;
use compact_str::CompactString;

use super::{ContentHash, Error};
use crate::handoff::{NoteState, Passage, State};
use crate::model::{Activity, CustomerKey, RecordId, UnixMillis};

/// Which passages are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassagesOf {
    /// Of this rule alone.
    pub rule: Option<CompactString>,
    /// In one of these states; all of them when empty.
    pub states: Vec<State>,
    /// Those whose note stands so; with or without a note when empty.
    pub notes: Vec<NoteState>,
}

/// How many passages of a rule stand where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassageCount {
    /// The rule.
    pub rule: CompactString,
    /// The state.
    pub state: State,
    /// How many.
    pub count: u64,
    /// Of these, those that should have arrived by now and have not.
    pub late: u64,
}

/// The part of the ledger that serves handoffs.
#[async_trait]
pub trait Handoffs: Send + Sync {
    /// The digest of what each activity says, in the order asked; `None` for unknown ones.
    async fn activity_heads(&self, ids: &[RecordId]) -> Result<Vec<Option<ContentHash>>, Error>;

    /// These activities, in the order asked; `None` for unknown ones.
    async fn activities(&self, ids: &[RecordId]) -> Result<Vec<Option<Activity>>, Error>;

    /// The activities that hang on a customer, the latest first.
    async fn activities_of(&self, customer: &CustomerKey, limit: usize) -> Result<Vec<Activity>, Error>;

    /// How many activities there are that nobody has deleted.
    async fn count_activities(&self) -> Result<u64, Error>;

    /// Passages in the order of their names, behind the one named `after`.
    async fn passages(&self, of: &PassagesOf, after: Option<&str>, limit: usize) -> Result<Vec<Passage>, Error>;

    /// How many passages stand where.
    async fn passage_counts(&self, now: UnixMillis) -> Result<Vec<PassageCount>, Error>;

    /// The passages of a customer, the oldest first.
    async fn passages_of(&self, customer: &CustomerKey) -> Result<Vec<Passage>, Error>;

    /// Customers whose handoffs have to be looked at again by now.
    async fn to_look_at(&self, now: UnixMillis, limit: usize) -> Result<Vec<CustomerKey>, Error>;
}
