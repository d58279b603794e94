//! `tests.yaml`: canned exchanges of a connector and what must come of them. The runner lives where requests are made.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Deserialize;
use serde_json::Value as Json;

use super::scalar::{Many, Start};
use crate::error::Class;
use crate::model::{CustomerKey, Fields};

/// The tests of a connector.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Settings of every test.
    #[serde(default)]
    pub config: BTreeMap<CompactString, Json>,
    /// The present of every test; 2026-01-01T00:00:00Z when left out.
    #[serde(default)]
    pub now: Option<Start>,
    /// The setting that takes the address of the server that plays the exchanges: for programs, which know no other `base`.
    #[serde(default)]
    pub server: Option<CompactString>,
    /// The tests, in the order of the file.
    pub tests: Vec<Case>,
}

/// One test: what is done (exactly one of `check`, `read`, `get`, `find`, `write`, `webhook`), the exchanges, and the result.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// A sentence that states the rule.
    pub name: String,
    /// Settings over those of the suite.
    #[serde(default)]
    pub config: BTreeMap<CompactString, Json>,
    /// The present, instead of the suite's.
    #[serde(default)]
    pub now: Option<Start>,
    /// Address and credential are proven.
    #[serde(default)]
    pub check: bool,
    /// A stream is read.
    #[serde(default)]
    pub read: Option<ReadCase>,
    /// Objects are read by id.
    #[serde(default)]
    pub get: Option<GetCase>,
    /// An object is looked up.
    #[serde(default)]
    pub find: Option<FindCase>,
    /// Operations are carried out.
    #[serde(default)]
    pub write: Option<WriteCase>,
    /// A webhook comes in.
    #[serde(default)]
    pub webhook: Option<WebhookCase>,
    /// The exchanges, in their order; every one of them must happen, and no other.
    #[serde(default)]
    pub http: Vec<Exchange>,
    /// What must come of it.
    pub expect: Expect,
}

/// A stream is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadCase {
    /// The stream.
    pub object: CompactString,
    /// Where reading goes on (the connection's own cursor text); the beginning when left out.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many pages are read at most; until caught up when left out.
    #[serde(default)]
    pub pages: Option<usize>,
}

/// Objects are read by id.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetCase {
    /// The stream.
    pub object: CompactString,
    /// The ids.
    pub ids: Vec<CompactString>,
}

/// An object is looked up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindCase {
    /// The stream.
    pub object: CompactString,
    /// The field.
    pub by: CompactString,
    /// Its value.
    pub value: CompactString,
}

/// Operations are carried out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteCase {
    /// The stream.
    pub object: CompactString,
    /// The operations.
    pub operations: Vec<OperationCase>,
}

/// One operation: a create, or an update or delete of an id.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationCase {
    /// Names the operation; `op-1`, `op-2`, … when left out.
    #[serde(default)]
    pub id: Option<CompactString>,
    /// The id of the object to change.
    #[serde(default)]
    pub update: Option<CompactString>,
    /// The id of the object to remove.
    #[serde(default)]
    pub delete: Option<CompactString>,
    /// The fields to set or (with null) to clear.
    #[serde(default)]
    pub fields: Fields,
    /// Values the object had when last seen.
    #[serde(default)]
    pub known: Fields,
    /// The version or etag it had when last seen.
    #[serde(default)]
    pub version: Option<CompactString>,
    /// The customer it is about; one made up when left out.
    #[serde(default)]
    pub key: Option<CustomerKey>,
}

/// A webhook that comes in; whether it is genuine is not asked here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookCase {
    /// Headers by their name in small letters.
    #[serde(default)]
    pub headers: BTreeMap<CompactString, String>,
    /// The body: text stands for itself, everything else for its JSON.
    pub body: Json,
}

/// A request we must make and the answer it gets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The request; only what is written here is compared.
    pub request: ExpectedRequest,
    /// The answer.
    pub response: Answered,
}

/// A request we must make.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedRequest {
    /// The method.
    pub method: CompactString,
    /// The path behind `base`, without query, percent-encoded as sent.
    pub path: String,
    /// Parameters of the query by decoded value, all of them; a repeated one is a list.
    #[serde(default)]
    pub query: Option<BTreeMap<CompactString, Many<String>>>,
    /// Headers that must be there.
    #[serde(default)]
    pub headers: BTreeMap<CompactString, String>,
    /// The JSON body.
    #[serde(default)]
    pub body: Option<Json>,
    /// The requests inside it, in their order; their paths begin at `base` as well.
    #[serde(default)]
    pub parts: Option<Vec<ExpectedRequest>>,
}

/// The answer to a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<CompactString, String>,
    /// The JSON body; none when left out.
    #[serde(default)]
    pub body: Option<Json>,
    /// A body that is not JSON.
    #[serde(default)]
    pub text: Option<String>,
    /// The answers inside it, in their order; `id` is the number of the request that each is for.
    #[serde(default)]
    pub parts: Option<Vec<AnsweredPart>>,
}

/// An answer inside another one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnsweredPart {
    /// The number of the request, from 1; tools may leave it out.
    #[serde(default)]
    pub id: Option<usize>,
    /// The answer.
    pub answer: Answered,
}

/// What must come of a test.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The records of all pages, of a get or of a find, in their order.
    #[serde(default)]
    pub records: Option<Vec<ExpectedRecord>>,
    /// How the operations ended, in their order.
    #[serde(default)]
    pub outcomes: Option<Vec<ExpectedOutcome>>,
    /// The whole thing fails with this class.
    #[serde(default)]
    pub failure: Option<Class>,
    /// The last page said that nothing more is to be had.
    #[serde(default)]
    pub caught_up: Option<bool>,
    /// The tool's wait, in milliseconds, that the failure carries.
    #[serde(default)]
    pub wait_ms: Option<u64>,
    /// The longest wait that was sat out, in milliseconds.
    #[serde(default)]
    pub waited_ms: Option<u64>,
    /// What the events of the webhook ask for: `refetch person 12 at 2026-01-01T00:00:00Z`.
    #[serde(default)]
    pub hints: Option<Vec<String>>,
}

/// A record that must come.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedRecord {
    /// Its id.
    pub id: CompactString,
    /// Its fields, all of them, when given; names with `_` in front may be left out.
    #[serde(default)]
    pub fields: Option<Fields>,
    /// The tool's time of the last change.
    #[serde(default)]
    pub updated_at: Option<Start>,
    /// It says that it is gone.
    #[serde(default)]
    pub deleted: bool,
    /// Our key in it.
    #[serde(default)]
    pub key: Option<CustomerKey>,
    /// Part of it could not be mapped.
    #[serde(default)]
    pub problem: bool,
}

/// How an operation must end: with an id, or with a class.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedOutcome {
    /// The object's id.
    #[serde(default)]
    pub id: Option<CompactString>,
    /// The object is new.
    #[serde(default)]
    pub created: Option<bool>,
    /// It failed with this class.
    #[serde(default)]
    pub class: Option<Class>,
    /// The id that the failure carries (the object in the way).
    #[serde(default)]
    pub remote: Option<CompactString>,
    /// The outcome is unknown: it may have been carried out.
    #[serde(default)]
    pub ambiguous: bool,
}
