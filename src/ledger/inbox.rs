//! The inbox: events that tools sent by themselves, on disk before they are answered, until they are folded.

use std::collections::BTreeMap;

use async_trait::async_trait;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::error::Problem;
use crate::model::{StreamId, UnixMillis};

/// What became of an event. Every event that came in has exactly one of these, or waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// What follows from it is in the ledger.
    Applied,
    /// It came before.
    Duplicate,
    /// The manifest says that it means nothing.
    Ignored,
    /// It is about something that is not mapped, or about a system that is not configured any more.
    Unmapped,
    /// It could not be understood; kept with the reason.
    Unreadable,
    /// The ledger knows a newer state of the object.
    Older,
    /// There is no such object (any more); what was known of it is left to the next sweep.
    Absent,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Applied,
        Self::Duplicate,
        Self::Ignored,
        Self::Unmapped,
        Self::Unreadable,
        Self::Older,
        Self::Absent,
    ];

    /// The word in figures and in the ledger.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Unmapped => "unmapped",
            Self::Unreadable => "unreadable",
            Self::Older => "older",
            Self::Absent => "absent",
        }
    }
}

/// An event as it comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The system that sent it.
    pub system: CompactString,
    /// The object's name, where the event says it.
    pub stream: Option<CompactString>,
    /// What makes it unique: an event with the same one is a repetition. `None`: nothing does.
    pub key: Option<String>,
    /// When it came.
    pub received_at: UnixMillis,
    /// The headers worth keeping, as a JSON object.
    pub headers: String,
    /// The event as JSON, or the whole body when it could not be read.
    pub body: Vec<u8>,
    /// Why it cannot be understood; it is kept, but does not wait.
    pub problem: Option<Problem>,
}

/// How many events were new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Landed {
    /// Kept.
    pub fresh: u64,
    /// Known already.
    pub duplicates: u64,
}

/// An event that waits to be folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its number; they grow in the order of arrival.
    pub id: i64,
    /// When it came.
    pub received_at: UnixMillis,
    /// The kept headers, as a JSON object.
    pub headers: String,
    /// The event as JSON.
    pub body: Vec<u8>,
}

/// An event that needs no fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its number.
    pub id: i64,
    /// Why.
    pub fate: Fate,
    /// What a person should know about it.
    pub problem: Option<Problem>,
}

/// The webhooks of one system: received = waiting + the sum of all fates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxState {
    /// Events that came in.
    pub received: u64,
    /// Events that wait.
    pub waiting: u64,
    /// Events by what became of them.
    pub fates: BTreeMap<Fate, u64>,
    /// What is wrong, by stream; the empty name is the system as a whole.
    pub problems: BTreeMap<CompactString, Problem>,
}

/// The part of the ledger that holds webhooks.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Keeps events, all in one transaction, on disk before this returns.
    async fn land(&self, events: Vec<NewEvent>) -> Result<Landed, Error>;

    /// Events of a system that wait, oldest first.
    async fn waiting(&self, system: &str, limit: usize) -> Result<Vec<Waiting>, Error>;

    /// Systems that have events waiting.
    async fn systems_waiting(&self) -> Result<Vec<CompactString>, Error>;

    /// Notes what became of events that need no fold. Those that do not wait any more are left alone.
    async fn drop_events(&self, events: Vec<Dropped>, at: UnixMillis) -> Result<(), Error>;

    /// Where each system's webhooks stand.
    async fn inbox(&self) -> Result<BTreeMap<CompactString, InboxState>, Error>;

    /// When the latest events of a stream came, newest first.
    async fn heard(&self, stream: &StreamId, limit: usize) -> Result<Vec<UnixMillis>, Error>;

    /// Notes what is wrong with the webhooks of a stream (an empty stream: of the system), or that all is well.
    async fn note_webhook(&self, stream: &StreamId, problem: Option<Problem>) -> Result<(), Error>;
}
