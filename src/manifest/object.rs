//! What can be read, looked up and written of one kind of object.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Deserialize;
use serde_json::Value as Json;

use super::expr::{Body, Cond};
use super::field::{FieldMap, TimeFormat};
use super::path::Path;
use super::scalar::{Many, Param, Period, Request, Start};
use crate::error::Class;
use crate::model::Kind;

/// One kind of object; each becomes a stream.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// What its objects are about.
    #[serde(default)]
    pub kind: Kind,
    /// Where an object's id is. Ids are text, whatever the tool sends.
    pub id: Path,
    /// Fields by which an object can be found again, best first.
    #[serde(default, rename = "match")]
    pub match_by: Many<CompactString>,
    /// The tool's own time of the last change.
    #[serde(default)]
    pub modified: Option<Modified>,
    /// The tool's version or etag of the object.
    #[serde(default)]
    pub version: Option<Path>,
    /// How all objects are read.
    #[serde(default)]
    pub read: Option<Read>,
    /// How objects are read by id.
    #[serde(default)]
    pub get: Option<Get>,
    /// How an object is looked up by a field.
    #[serde(default)]
    pub find: BTreeMap<CompactString, Find>,
    /// How objects are made, changed and removed.
    #[serde(default)]
    pub write: Option<WriteOps>,
    /// The mapping between canonical and remote fields.
    pub fields: FieldMap,
}

/// Where the time of the last change is; of several, the latest counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "$short/at")]
pub struct Modified {
    /// The places.
    pub at: Many<Path>,
    /// How it is written.
    #[serde(default)]
    pub format: TimeFormat,
}

/// How all objects of a stream are read. Exactly one of `window`, `cursor` and `full` says what the state is; `full`
/// may stand beside a window to find what vanished.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// Closed windows of time, each read to its end; the state is the end of the last one.
    #[serde(default)]
    pub window: Option<Window>,
    /// The tool's own opaque token.
    #[serde(default)]
    pub cursor: Option<CursorRead>,
    /// Everything, again and again; also the only proof of absence.
    #[serde(default)]
    pub full: Option<Full>,
    /// Read once for each value (`part.NAME` in expressions): for tools that leave objects out unless asked by state.
    #[serde(default)]
    pub partition: BTreeMap<CompactString, Vec<CompactString>>,
    /// The request of a page.
    pub request: Request,
    /// Its query; a list makes a repeated parameter.
    #[serde(default)]
    pub query: BTreeMap<CompactString, Body>,
    /// Its JSON body.
    #[serde(default)]
    pub body: Option<Body>,
    /// Where the objects are in the answer.
    pub records: Path,
    /// How the next page is asked for; one page is all when left out.
    #[serde(default)]
    pub page: Option<Paging>,
    /// A separate list of removed objects.
    #[serde(default)]
    pub deletes: Option<Deletes>,
    /// True for an object that says of itself that it is gone; on `record`.
    #[serde(default)]
    pub deleted: Option<Cond>,
}

/// Reading by windows of time: `window.since` (included) to `window.until` (excluded), milliseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The beginning of time for this tool.
    pub start: Start,
    /// How late the tool's index may be: a window never ends later than now minus this.
    pub lag: Period,
    /// The longest window.
    #[serde(default)]
    pub max: Option<Period>,
    /// How far a window reaches back into the one before it, for the tool's time resolution and late commits.
    #[serde(default = "overlap")]
    pub overlap: Period,
    /// The most rows or pages the tool will list for one query; a window that meets it is split.
    #[serde(default)]
    pub ceiling: Option<Ceiling>,
    /// How the window is applied.
    #[serde(default)]
    pub order: Order,
}

fn overlap() -> Period {
    Period(std::time::Duration::from_secs(1))
}

/// How a window is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The request filters by `window.since` and `window.until`.
    #[default]
    Filter,
    /// The tool cannot filter, but lists the latest change first: reading stops at the first object changed before
    /// `window.since`.
    Newest,
}

/// A hard end of the tool's lists.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ceiling {
    /// So many rows of one query.
    Rows(u64),
    /// So many pages of one query.
    Pages(u64),
}

/// Reading by the tool's own token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CursorRead {
    /// Where the next token is in the answer.
    pub opaque: Path,
    /// Where it goes in the next request.
    pub to: Param,
    /// What the very first request carries instead (`since` is the beginning, milliseconds).
    #[serde(default)]
    pub start: BTreeMap<Param, Body>,
    /// How far from now the first request must stay away.
    #[serde(default)]
    pub lag: Option<Period>,
    /// When the token becomes the state.
    #[serde(default)]
    pub commit: CommitAt,
}

/// When a token becomes the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitAt {
    /// With every page.
    #[default]
    Page,
    /// Only when the list is read to its end.
    End,
}

/// Reading everything.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Full {
    /// How often.
    pub every: Period,
}

/// How the next page is asked for. Each way offers its state as `page.…` to expressions as well.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawPaging")]
pub enum Paging {
    /// A token of the answer goes into the next request (`page.token`); no token is the end.
    Token {
        /// Where the token is.
        from: Path,
        /// Where it goes.
        to: Option<Param>,
        /// True on the last page, for tools that always send a token.
        until: Option<Cond>,
    },
    /// The answer holds the address of the next page (same host only); none is the end.
    NextUrl {
        /// Where the address is.
        from: Path,
    },
    /// The answer's `Link` header with `rel=next`.
    Link,
    /// Rows to skip (`page.offset`): grows by the rows received, ends with `total`, `until`, a page shorter than `size`, or an empty page.
    Offset {
        /// Where it goes.
        to: Option<Param>,
        /// Rows asked for at once.
        step: u64,
        /// Where the number of all rows is.
        total: Option<Path>,
        /// True on the last page.
        until: Option<Cond>,
        /// A shorter page is the last one; leave out when the tool may cap pages quietly.
        size: Option<u64>,
        /// What must not change during a sweep, else the window is read again.
        guard: Option<Guard>,
    },
    /// A page number (`page.number`); ends as `Offset` does.
    Page {
        /// Where it goes.
        to: Option<Param>,
        /// The first number.
        start: u64,
        /// Where the number of all pages is.
        total: Option<Path>,
        /// True on the last page.
        until: Option<Cond>,
        /// A shorter page is the last one.
        size: Option<u64>,
    },
    /// A fresh query per page for rows beyond the last key (`page.after`); the request must sort by the key. An empty
    /// page is the end, or one shorter than `size`.
    Keyset {
        /// Where a row's key is.
        key: Path,
        /// The key before the first.
        start: CompactString,
        /// A shorter page is the last one.
        size: Option<u64>,
    },
    /// The read's own opaque cursor is the page token.
    Cursor {
        /// True on the last page.
        until: Cond,
    },
}

/// What must not change while a list is read by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// The number of all rows.
    Total,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PageBy {
    Token,
    NextUrl,
    Link,
    Offset,
    Page,
    Keyset,
    Cursor,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPaging {
    by: PageBy,
    #[serde(default)]
    from: Option<Path>,
    #[serde(default)]
    to: Option<Param>,
    #[serde(default)]
    step: Option<u64>,
    #[serde(default)]
    total: Option<Path>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    until: Option<Cond>,
    #[serde(default)]
    key: Option<Path>,
    #[serde(default)]
    start: Option<CompactString>,
    #[serde(default)]
    guard: Option<Guard>,
}

impl RawPaging {
    /// The words that mean nothing for this way of paging.
    fn idle(&self) -> Vec<&'static str> {
        let given = [
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
            ("step", self.step.is_some()),
            ("total", self.total.is_some()),
            ("size", self.size.is_some()),
            ("until", self.until.is_some()),
            ("key", self.key.is_some()),
            ("start", self.start.is_some()),
            ("guard", self.guard.is_some()),
        ];
        let used: &[&str] = match self.by {
            PageBy::Token => &["from", "to", "until"],
            PageBy::NextUrl => &["from"],
            PageBy::Link => &[],
            PageBy::Offset => &["to", "step", "total", "until", "size", "guard"],
            PageBy::Page => &["to", "start", "total", "until", "size"],
            PageBy::Keyset => &["key", "start", "size"],
            PageBy::Cursor => &["until"],
        };
        given
            .into_iter()
            .filter(|(word, is_given)| *is_given && !used.contains(word))
            .map(|(word, _)| word)
            .collect()
    }
}

impl TryFrom<RawPaging> for Paging {
    type Error = String;

    fn try_from(raw: RawPaging) -> Result<Self, String> {
        let idle = raw.idle();
        if !idle.is_empty() {
            return Err(format!("`{}` means nothing for this way of paging", idle.join("`, `")));
        }
        let need = |word: &str| format!("this way of paging needs `{word}`");
        Ok(match raw.by {
            PageBy::Token => Self::Token {
                from: raw.from.ok_or_else(|| need("from"))?,
                to: raw.to,
                until: raw.until,
            },
            PageBy::NextUrl => Self::NextUrl {
                from: raw.from.ok_or_else(|| need("from"))?,
            },
            PageBy::Link => Self::Link,
            PageBy::Offset => Self::Offset {
                to: raw.to,
                step: raw.step.filter(|step| *step > 0).ok_or_else(|| need("step"))?,
                total: raw.total,
                until: raw.until,
                size: raw.size,
                guard: raw.guard,
            },
            PageBy::Page => Self::Page {
                to: raw.to,
                start: match raw.start {
                    Some(start) => start.parse().map_err(|_| "`start` must be a number".to_owned())?,
                    None => 1,
                },
                total: raw.total,
                until: raw.until,
                size: raw.size,
            },
            PageBy::Keyset => Self::Keyset {
                key: raw.key.ok_or_else(|| need("key"))?,
                start: raw.start.ok_or_else(|| need("start"))?,
                size: raw.size,
            },
            PageBy::Cursor => Self::Cursor {
                until: raw.until.ok_or_else(|| need("until"))?,
            },
        })
    }
}

/// A separate list of removed objects.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletes {
    /// The request of a page.
    pub request: Request,
    /// Its query.
    #[serde(default)]
    pub query: BTreeMap<CompactString, Body>,
    /// Its JSON body.
    #[serde(default)]
    pub body: Option<Body>,
    /// Where the rows are.
    pub records: Path,
    /// Where a row's id is; the object's own `id` when left out.
    #[serde(default)]
    pub id: Option<Path>,
    /// Where the time of the removal is.
    #[serde(default)]
    pub at: Option<Path>,
    /// How that time is written.
    #[serde(default)]
    pub format: TimeFormat,
    /// How the next page is asked for.
    #[serde(default)]
    pub page: Option<Paging>,
}

/// How objects are read by id (`id`, `ids`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Get {
    /// The request.
    pub request: Request,
    /// Its query.
    #[serde(default)]
    pub query: BTreeMap<CompactString, Body>,
    /// Its JSON body.
    #[serde(default)]
    pub body: Option<Body>,
    /// The most ids of one request.
    #[serde(default = "one")]
    pub max: usize,
    /// Where the objects are; the whole answer when left out.
    #[serde(default)]
    pub records: Path,
    /// How an id that is not there shows.
    #[serde(default)]
    pub missing: Missing,
}

/// How an id that is not there shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// It is left out of the answer, or the answer has the class `gone`.
    #[default]
    Absent,
    /// The whole request fails; ids must then be asked for one by one.
    Fails,
}

fn one() -> usize {
    1
}

/// How an object is looked up by a field (`value`). What comes back is compared with the value again: tools ignore filters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// The request.
    pub request: Request,
    /// Its query.
    #[serde(default)]
    pub query: BTreeMap<CompactString, Body>,
    /// Its JSON body.
    #[serde(default)]
    pub body: Option<Body>,
    /// Where the objects are.
    #[serde(default)]
    pub records: Path,
    /// Where a row's id is; the object's own `id` when left out.
    #[serde(default)]
    pub id: Option<Path>,
    /// What comes next.
    #[serde(default)]
    pub then: Then,
}

/// What comes after a lookup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// The rows are whole objects.
    #[default]
    Done,
    /// The rows hold ids only: the objects are read by `get`.
    Get,
}

/// How objects are made, changed and removed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteOps {
    /// What clears a field.
    #[serde(default)]
    pub clear: Json,
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
    /// Requests that follow a write.
    #[serde(default)]
    pub after: Many<FollowUp>,
    /// How answers are read.
    #[serde(default)]
    pub result: Results,
}

/// One way to write; the first whose `if` holds is taken.
///
/// Names for every operation of the call: `key` (the value of the first of `by` that is known), `id` (update and
/// delete), `op_id`, `remote` (the remote object), `known`, `match` (known values, new ones over them), `customer`.
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
    /// The answer is a job that must be waited for.
    #[serde(default)]
    pub job: Option<Job>,
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
    /// True when the object is new; on the row's own names.
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
}

/// The answer to a single operation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneResult {
    /// Where the object's id is; the id asked for when left out.
    #[serde(default)]
    pub id: Option<Path>,
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
