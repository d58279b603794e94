//! How objects are made, changed and removed, and how the answers are read.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Deserialize;
use serde_json::Value as Json;

use super::body::Body;
use super::cond::Cond;
use super::from_answer::FromAnswer;
use super::object::one;
use super::path::Path;
use super::scalar::{Many, Period, Request};
use crate::error::Class;

/// How objects are made, changed and removed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteOps {
    /// What clears a field.
    #[serde(default)]
    pub clear: Json,
    /// How a change by somebody else is noticed before it is overwritten; `read` when left out and there is a `get`.
    #[serde(default)]
    pub before: Option<Before>,
    /// The tool is known to drop or change values without a word: what was written is read again (by `get`), and a field
    /// that did not stick is told.
    #[serde(default)]
    pub read_back: bool,
    /// Makes objects.
    #[serde(default)]
    pub create: Many<Op>,
    /// Changes objects.
    #[serde(default)]
    pub update: Many<Op>,
    /// Makes or changes objects, found by `by`.
    #[serde(default)]
    pub upsert: Many<Op>,
    /// Removes objects.
    #[serde(default)]
    pub delete: Many<Op>,
    /// Erases an object for good, at a person's wish: every one of these requests, in this order. What is not there any
    /// more is no failure.
    #[serde(default)]
    pub erase: Many<Op>,
    /// Requests that follow a write.
    #[serde(default)]
    pub after: Many<FollowUp>,
    /// How answers are read.
    #[serde(default)]
    pub result: Results,
}

/// How a change by somebody else is noticed before it is overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// The object is read by `get` just before it is changed.
    Read,
    /// The change carries the version it was made from (`version`), and the tool refuses it when there is a newer one
    /// (class `conflict`).
    Version,
    /// Not at all: the tool offers neither.
    Nothing,
}

/// One way to write; the first whose `if` holds is taken.
///
/// Names for every operation of the call: `key` (the value of the first of `by` that is known), `id` (update and
/// delete), `version` (that of the object when last seen), `op_id`, `remote` (the remote object), `known`, `match` (known values, new ones over them), `customer`.
/// For the whole call: `ops` (how many), `keys`, `config`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Op {
    /// On `ops` and `config`.
    #[serde(default, rename = "if")]
    pub condition: Option<Cond>,
    /// The request.
    pub request: Request,
    /// Its query.
    #[serde(default)]
    pub query: BTreeMap<CompactString, Body>,
    /// Further headers (`if-match`, an idempotency key).
    #[serde(default)]
    pub headers: BTreeMap<CompactString, Body>,
    /// What addresses the object: `id`, or fields; the first that is known.
    #[serde(default)]
    pub by: Many<CompactString>,
    /// Create only: fields of which the tool itself refuses a second object with the same value (class `exists`). An
    /// object that has no other field of `match` is then made without being looked up first.
    #[serde(default)]
    pub refuses: Many<CompactString>,
    /// The most operations of one call.
    #[serde(default = "one")]
    pub max: usize,
    /// Where in the body the list of items goes.
    #[serde(default)]
    pub list: Option<Path>,
    /// One operation in that list.
    #[serde(default)]
    pub item: Option<Body>,
    /// The JSON body, around the list if there is one.
    #[serde(default)]
    pub body: Option<Body>,
    /// The body holds a request for each operation (`multipart/mixed`), and the answer an answer for each.
    #[serde(default)]
    pub each: Option<Each>,
    /// The answer is a job that must be waited for.
    #[serde(default)]
    pub job: Option<Job>,
    /// What it does cannot be taken back: it needs the admin's `allow:`.
    #[serde(default, rename = "final")]
    pub is_final: bool,
    /// Erase only: the tool keeps what was removed for so long and destroys it then.
    #[serde(default)]
    pub purge: Option<Period>,
    /// How the answer accounts for the operations; `rows` with a `list` or a `job`, else `one`.
    #[serde(default)]
    pub answer: Option<Answer>,
}

impl Op {
    /// How the answer accounts for the operations.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let rows = self.list.is_some() || self.job.is_some();
        self.answer.unwrap_or(if rows { Answer::Rows } else { Answer::One })
    }
}

/// A request inside another one. Each gets an answer of its own, with a status, which is judged like any other answer:
/// the rules of `errors` hold for it, and `result.one` says where its id is. One without an answer is not done.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Each {
    /// The request.
    pub request: Request,
    /// Its query.
    #[serde(default)]
    pub query: BTreeMap<CompactString, Body>,
    /// Its headers.
    #[serde(default)]
    pub headers: BTreeMap<CompactString, Body>,
    /// Its JSON body.
    #[serde(default)]
    pub body: Option<Body>,
}

/// How an answer accounts for the operations of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Each operation has a row (`result.ok`, `result.failed`); one without a row is not done.
    Rows,
    /// One operation, one object (`result.one`).
    One,
    /// The status alone: 2xx means that all of them are done (for answers without a body).
    Status,
}

/// A job of the tool that must be waited for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Where the job's id is in the first answer (`job.id`).
    pub id: Path,
    /// How its state is asked for.
    pub poll: Request,
    /// How often.
    pub every: Period,
    /// True when it is over; on the answer's body.
    pub done: Cond,
    /// Where the rows are.
    #[serde(default)]
    pub rows: Option<Path>,
    /// When waiting is given up; the outcome is then unknown.
    #[serde(default)]
    pub timeout: Option<Period>,
}

/// A request that follows a write. Kept, not yet carried out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowUp {
    /// When.
    #[serde(default)]
    pub when: Option<Cond>,
    /// The request.
    pub request: Request,
    /// Its JSON body.
    #[serde(default)]
    pub body: Option<Body>,
}

/// How answers to writes are read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// Rows of operations that were carried out.
    #[serde(default)]
    pub ok: Many<OkRows>,
    /// Rows of operations that failed.
    #[serde(default)]
    pub failed: Many<FailedRows>,
    /// The answer to a single operation.
    #[serde(default)]
    pub one: Option<OneResult>,
    /// The tool's own codes → class; `*` for all others (`invalid` when left out).
    #[serde(default)]
    pub classes: BTreeMap<CompactString, Class>,
}

/// Rows of operations that were carried out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OkRows {
    /// Where they are.
    pub rows: Path,
    /// How a row names its operation.
    pub op: RowKey,
    /// Where the object's id is.
    #[serde(default)]
    pub id: Option<Path>,
    /// True when the object is new; on the row's own names. What a create made is new when left out.
    #[serde(default)]
    pub created: Option<Cond>,
    /// The tool's own time of this change.
    #[serde(default)]
    pub modified: Option<Path>,
    /// The tool's version.
    #[serde(default)]
    pub version: Option<Path>,
}

/// Rows of operations that failed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedRows {
    /// Where they are.
    pub rows: Path,
    /// How a row names its operation.
    pub op: RowKey,
    /// The tool's own words.
    #[serde(default)]
    pub message: Option<Path>,
    /// The tool's own code, see [`Results::classes`].
    #[serde(default)]
    pub class_at: Option<Path>,
    /// The id of the object in the way.
    #[serde(default)]
    pub id: Option<Path>,
    /// True when the row says that the object is there already; on the row's own names.
    #[serde(default)]
    pub exists: Option<Cond>,
}

/// The answer to a single operation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneResult {
    /// Where the object's id is, in the body or in a header; the id asked for when left out.
    #[serde(default)]
    pub id: Option<FromAnswer>,
    /// True when the object is new; on the body's own names and `status_code`.
    #[serde(default)]
    pub created: Option<Cond>,
    /// The tool's own time of this change.
    #[serde(default)]
    pub modified: Option<Path>,
    /// The tool's version.
    #[serde(default)]
    pub version: Option<Path>,
}

/// How a row names its operation.
#[derive(Clone, Debug)]
pub enum RowKey {
    /// The row's position is the operation's position (`#index`).
    Index,
    /// The row holds the operation's id or key, or a list that contains it.
    Path(Path),
}
