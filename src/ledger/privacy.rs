//! Erasing a person: how far each erasure is, by which marks she is recognised should she come back, and what is purged.

use std::collections::BTreeSet;

use async_trait::async_trait;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::error::Problem;
use crate::model::{CustomerKey, Identifier, RecordId, StreamId, UnixMillis};

/// A keyed hash of an identifier, an object's id or a customer key: all that is left of an erased person.
pub type Mark = [u8; 16];

/// How one object of one tool is erased, and how far that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Where it stands.
    pub stream: StreamId,
    /// The keyed hash of the object's id.
    pub object: String,
    /// The id itself, as long as it is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<CompactString>,
    /// How far it is.
    pub state: StepState,
    /// What is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Tries that failed.
    #[serde(default)]
    pub attempts: u32,
    /// When it is looked at again.
    pub due_at: UnixMillis,
    /// When the tool took the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<UnixMillis>,
    /// When it was seen to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<UnixMillis>,
    /// How that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// When the tool itself destroys what it keeps of it, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged_by: Option<UnixMillis>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// The tool is to be asked.
    Planned,
    /// The tool took the request; it is looked whether it did it.
    Asked,
    /// Nivel cannot do it: a person has to, in the tool.
    ByHand,
    /// It is done.
    Confirmed,
}

/// How it was seen that an object is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The tool does not have it any more.
    Gone,
    /// It is marked as deleted and says nothing of her.
    Emptied,
    /// The tool said so, and cannot be asked.
    Told,
    /// A person said so.
    Said,
}

/// The erasure of one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Its number; 0 until the ledger has given it one.
    pub id: i64,
    /// The keyed hash of her customer key.
    pub subject: String,
    /// Her key, until the ledger is purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerKey>,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub asked_at: UnixMillis,
    /// By how many marks she is recognised should she come back.
    pub marks: u64,
    /// What is to be done in the tools.
    pub steps: Vec<Step>,
    /// When everything of her was taken out of the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged_at: Option<UnixMillis>,
    /// When the ledger's file was written anew without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrubbed_at: Option<UnixMillis>,
    /// When the last tool had confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<UnixMillis>,
}

/// What the ledger knows a customer by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// Every key she ever had.
    pub keys: BTreeSet<CustomerKey>,
    /// Her records.
    pub records: BTreeSet<RecordId>,
    /// What they assert, now and formerly.
    pub identifiers: BTreeSet<Identifier>,
}

/// The part of the ledger that forgets.
#[async_trait]
pub trait Privacy: Send + Sync {
    /// What the ledger knows a customer by.
    async fn traces(&self, customer: &CustomerKey) -> Result<Traces, Error>;

    /// Begins an erasure: from now on whoever has one of the marks is not taken in, and nothing is written for the
    /// customer any more. Its number.
    async fn begin_erasure(&self, erasure: Erasure, marks: Vec<Mark>) -> Result<i64, Error>;

    /// Notes how far an erasure is, with further marks.
    async fn note_erasure(&self, erasure: Erasure, marks: Vec<Mark>) -> Result<(), Error>;

    /// Erasures, oldest first: those that are not done, or all.
    async fn erasures(&self, open: bool) -> Result<Vec<Erasure>, Error>;

    /// Everybody's marks.
    async fn suppression(&self) -> Result<BTreeSet<Mark>, Error>;

    /// Notes objects of erased people that were met and not taken in.
    async fn note_suppressed(&self, met: Vec<(StreamId, Mark)>, at: UnixMillis) -> Result<(), Error>;

    /// How many objects of erased people a stream was last seen to hold.
    async fn count_suppressed(&self, stream: &StreamId) -> Result<u64, Error>;

    /// Empties events that are folded: what came in with them is not kept.
    async fn blank_events(&self, events: Vec<i64>) -> Result<(), Error>;

    /// Takes everything of a customer out of the ledger, and whatever else holds one of these values; notes the erasure
    /// in the same transaction.
    async fn purge(&self, erasure: Erasure, traces: Traces, values: Vec<String>) -> Result<(), Error>;

    /// Writes the ledger's file anew, so that nothing that was removed can be read from it. False: somebody else reads it
    /// just now; try again.
    async fn scrub(&self) -> Result<bool, Error>;
}
