//! What happened in a tool, in order: the only thing the checker believes.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

/// Who made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The records the tool started with.
    Seed,
    /// A request over HTTP: the daemon.
    Api,
    /// A person who works in the tool.
    User,
}

/// What kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// The object came into being.
    Create,
    /// Fields of the object were written.
    Update,
    /// The object went to the vendor's bin.
    Delete,
}

/// One write that reached an object.
///
/// A write that changed nothing is kept too, with an empty `changed`: it is how a loop looks from outside.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Position in this tool's history, from 1.
    pub seq: u64,
    /// The tool's clock, Unix milliseconds; for a seeded object the time it claims to be last changed.
    pub at_ms: i64,
    /// Create, update or delete.
    pub op: Op,
    /// The object.
    pub id: String,
    /// Who did it.
    pub by: By,
    /// Names of the vendor's fields whose value changed, without time stamps.
    pub changed: Vec<String>,
    /// The object before, in the vendor's words.
    pub before: Option<Arc<Value>>,
    /// The object after.
    pub after: Option<Arc<Value>>,
}

/// One HTTP request as the tool saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestLog {
    /// Position, from 1.
    pub seq: u64,
    /// The tool's clock, Unix milliseconds.
    pub at_ms: i64,
    /// `GET`, `POST`, …
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The query as sent.
    pub query: String,
    /// The status that was, or would have been, answered.
    pub status: u16,
    /// Name of the fault that was played on it.
    pub fault: Option<&'static str>,
}

/// Keeps the newest requests and drops the oldest.
#[derive(Debug)]
pub(super) struct Ring {
    rows: VecDeque<RequestLog>,
    seq: u64,
    rows_max: usize,
}

impl Ring {
    pub(super) fn new(rows_max: usize) -> Self {
        Self {
            rows: VecDeque::new(),
            seq: 0,
            rows_max: rows_max.max(1),
        }
    }

    pub(super) fn push(&mut self, mut row: RequestLog) {
        self.seq += 1;
        row.seq = self.seq;
        if self.rows.len() >= self.rows_max {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
    }

    pub(super) fn rows(&self) -> Vec<RequestLog> {
        self.rows.iter().cloned().collect()
    }

    pub(super) fn count(&self) -> u64 {
        self.seq
    }
}
