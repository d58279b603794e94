//! What the admin's hooks are told: events that are kept in the same transaction as what they tell of, until delivered.

use async_trait::async_trait;
use compact_str::CompactString;
use serde::Serialize;

use super::Error;
use crate::error::Problem;
use crate::model::UnixMillis;

/// What there is to be told.
pub const EVENTS: [&str; 9] = [
    "customer.updated",
    "customer.merged",
    "customer.split",
    "customer.erased",
    "handoff.open",
    "handoff.stopped",
    "handoff.delivered",
    "handoff.accepted",
    "handoff.cancelled",
];

/// One hook, and what it wants to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Its name.
    pub hook: CompactString,
    /// Events of [`EVENTS`]; `handoff.*` for all that begin so.
    pub events: Vec<CompactString>,
}

impl Watch {
    /// True when the hook is told of such an event.
    #[must_use]
    pub fn wants(&self, kind: &str) -> bool {
        self.events.iter().any(|event| match event.strip_suffix('*') {
            Some(beginning) => kind.starts_with(beginning),
            None => event == kind,
        })
    }
}

/// One event for one hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Post {
    /// Its number; they grow in the order in which things happened.
    pub id: i64,
    /// Its id for the receiver, the same over all tries.
    pub token: CompactString,
    /// Which hook.
    pub hook: CompactString,
    /// What happened.
    pub kind: CompactString,
    /// To whom.
    pub customer: CompactString,
    /// When.
    pub at: UnixMillis,
    /// What the receiver is told about it, as JSON.
    #[serde(skip)]
    pub body: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub due_at: UnixMillis,
    /// It is not tried any more.
    pub is_dead: bool,
    /// What went wrong the last time.
    pub problem: Option<Problem>,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The receiver has it.
    Delivered,
    /// It is tried again then.
    Again(UnixMillis, Problem),
    /// It is given up, and waits for a person.
    Dead(Problem),
}

/// The part of the ledger that holds what hooks are told.
#[async_trait]
pub trait Posts: Send + Sync {
    /// From now on these hooks are told, of whatever happens. Without any, nothing is kept.
    async fn watch(&self, watches: Vec<Watch>) -> Result<(), Error>;

    /// Events to be delivered now, at most one of each customer and hook: her first.
    async fn due_posts(&self, now: UnixMillis, limit: usize) -> Result<Vec<Post>, Error>;

    /// Notes what came of a try.
    async fn settle_post(&self, id: i64, posted: Posted) -> Result<(), Error>;

    /// Events that are not delivered, oldest first.
    async fn posts(&self, only_dead: bool, limit: usize) -> Result<Vec<Post>, Error>;

    /// Makes dead events due again: those with these tokens, or all. How many.
    async fn replay_posts(&self, tokens: Vec<CompactString>, now: UnixMillis) -> Result<u64, Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hook_wants() {
        let watch = |events: &[&str]| Watch {
            hook: "bus".into(),
            events: events.iter().map(|event| (*event).into()).collect(),
        };
        assert!(watch(&["handoff.*"]).wants("handoff.open"));
        assert!(!watch(&["handoff.*"]).wants("customer.merged"));
        assert!(watch(&["customer.merged"]).wants("customer.merged"));
        assert!(EVENTS.iter().all(|event| watch(&["*"]).wants(event)));
        assert!(!watch(&[]).wants("customer.merged"));
    }
}
