//! What a tool sends by itself: how it is verified and what its events mean.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Deserialize;

use super::body::Body;
use super::cond::Cond;
use super::expr::Template;
use super::field::TimeFormat;
use super::path::Path;
use super::scalar::{Many, Method, Period, Request};
use super::types::{Basic, Pick, SecretEncoding, Source};
use super::value;
use crate::model::UnixMillis;

/// The webhooks of a tool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Questions by which a tool makes sure that the address is ours.
    #[serde(default)]
    pub handshake: Many<Handshake>,
    /// How a delivery is proven; the first whose `if` holds. None at all refuses every delivery.
    pub verify: Many<Verify>,
    /// What the body says.
    pub events: Events,
    /// How deliveries are ordered, where the tool has calls for it.
    #[serde(default)]
    pub subscriptions: Option<Subscriptions>,
}

/// A question that is answered at once and is no event. HEAD is answered like GET, without a body.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// `GET` is not signed; a `POST` must be proven like every delivery.
    pub method: Method,
    /// On `query`, `body`, `headers` and `config`: whether a request is this question.
    #[serde(default)]
    pub when: Option<Cond>,
    /// What comes back as plain text.
    #[serde(default)]
    pub echo: Option<Template>,
}

/// One way to prove a delivery: exactly one of `hmac`, `hash`, `jwt`, `path_secret`, `basic`, `header`, `query`, `body`.
///
/// What is secret and empty, or not set, refuses every delivery.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// On `config`.
    #[serde(default, rename = "if")]
    pub condition: Option<Cond>,
    /// A keyed hash over parts of the request.
    #[serde(default)]
    pub hmac: Option<Hash>,
    /// A plain hash that has the secret in `over`; for old tools only.
    #[serde(default)]
    pub hash: Option<Hash>,
    /// A signed token (HS256) that says until when it holds. It does not cover the body.
    #[serde(default)]
    pub jwt: Option<Source>,
    /// The key; several while the tool changes from one to another.
    #[serde(default)]
    pub key: Many<Template>,
    /// How the key is written.
    #[serde(default)]
    pub key_encoding: SecretEncoding,
    /// What is hashed: `method`, `url`, `body` (raw bytes), `headers`, `sig`, `params` (the form's names and values, sorted
    /// by name and put together).
    #[serde(default)]
    pub over: Option<Template>,
    /// What it must equal.
    #[serde(default)]
    pub equals: Option<Source>,
    /// How that is written.
    #[serde(default, rename = "as")]
    pub encoding: Encoding,
    /// What stands before it.
    #[serde(default)]
    pub prefix: CompactString,
    /// A header that holds several parts.
    #[serde(default)]
    pub sig: Option<Split>,
    /// When the delivery was signed.
    #[serde(default)]
    pub time: Option<SignedAt>,
    /// A secret part of the address: `/webhooks/SYSTEM/SECRET`.
    #[serde(default)]
    pub path_secret: Option<Template>,
    /// HTTP Basic.
    #[serde(default)]
    pub basic: Option<Basic>,
    /// Headers with fixed secret values.
    #[serde(default)]
    pub header: BTreeMap<CompactString, Template>,
    /// Parameters of the address with fixed secret values.
    #[serde(default)]
    pub query: BTreeMap<CompactString, Template>,
    /// Members of the body with fixed secret values.
    #[serde(default)]
    pub body: BTreeMap<CompactString, Template>,
}

/// The hash of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// SHA-1; for old tools only.
    Sha1,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hexadecimal digits.
    #[default]
    Hex,
    /// Base64, standard alphabet.
    Base64,
    /// Base64, the alphabet for addresses, without padding.
    Base64url,
}

/// A header of the form `t=1,v1=abc`. A name may come several times: then one of its values must be right.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The header.
    pub from: Source,
    /// What stands between parts, and between a part's name and value.
    pub split: (CompactString, CompactString),
}

/// When a delivery was signed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedAt {
    /// Where the time is.
    pub from: Source,
    /// How it is written.
    #[serde(default)]
    pub format: TimeFormat,
    /// Older (or newer) deliveries are refused; five minutes unless said otherwise.
    #[serde(default = "five_minutes")]
    pub max_age: Period,
}

fn five_minutes() -> Period {
    Period(std::time::Duration::from_secs(300))
}

impl SignedAt {
    /// A moment as the tool writes it here.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<UnixMillis> {
        value::time_in(&self.format, &text.into())
    }
}

/// What the body says; every event is `e` in expressions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// How the body is read.
    #[serde(default)]
    pub decode: Decode,
    /// Where the events are.
    #[serde(default)]
    pub rows: Path,
    /// What makes an event unique.
    #[serde(default)]
    pub key: Option<Pick>,
    /// A header that is the same over the tool's retries.
    #[serde(default)]
    pub delivery: Option<Source>,
    /// The object's name in this manifest, or an expression for it.
    pub object: Template,
    /// The object's id.
    #[serde(default)]
    pub id: Option<Pick>,
    /// Fields that find the object when there is no id.
    #[serde(default, rename = "match")]
    pub match_by: BTreeMap<CompactString, Path>,
    /// When it happened.
    #[serde(default)]
    pub at: Option<EventTime>,
    /// What happened.
    #[serde(default)]
    pub op: Option<EventOp>,
    /// Two objects became one.
    #[serde(default)]
    pub merge: Option<Merge>,
    /// An object got another id or key.
    #[serde(default)]
    pub rekey: Option<Rekey>,
    /// Where the whole object stands, if the event is the record: then it is not read again. Only for tools that send
    /// everything they map and say when it changed.
    #[serde(default)]
    pub record: Option<Path>,
    /// How fast it must be answered.
    #[serde(default)]
    pub deadline: Option<Period>,
}

/// How a webhook's body is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decode {
    /// JSON.
    #[default]
    Json,
    /// A form; `data[email]` is a path.
    Form,
}

/// When an event happened.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "$short/from")]
pub struct EventTime {
    /// Where the time is.
    pub from: Path,
    /// How it is written.
    #[serde(default)]
    pub format: TimeFormat,
    /// Its time zone; only `UTC` so far.
    #[serde(default)]
    pub zone: Option<Zone>,
}

impl EventTime {
    /// The moment an event or row says.
    #[must_use]
    pub fn read(&self, from: &serde_json::Value) -> Option<UnixMillis> {
        value::time_in(&self.format, &*self.from.find(from).value()?)
    }
}

/// The time zone of a time that does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Zone {
    /// Coordinated universal time.
    #[serde(rename = "UTC")]
    Utc,
}

/// What happened.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventOp {
    /// Where the tool's word is.
    pub at: Path,
    /// The tool's word → ours; `*` for all others.
    pub map: BTreeMap<CompactString, EventKind>,
}

/// What an event makes us do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Read the object again.
    Refetch,
    /// The object is gone.
    Delete,
    /// The person asked to be forgotten.
    Erase,
    /// Two objects became one.
    Merge,
    /// The object got another id or key.
    Rekey,
    /// Nothing.
    Ignore,
}

/// Two objects became one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// On `e`: whether the event is one, where no word of `op` says it.
    #[serde(default)]
    pub when: Option<Cond>,
    /// The surviving object's id.
    pub winner: Pick,
    /// The others' ids.
    pub losers: Pick,
}

/// An object got another id or key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rekey {
    /// The old one.
    pub from: Path,
    /// The new one.
    pub to: Path,
}

/// How deliveries are ordered: a declared state, compared with what the tool has. Only subscriptions to our own address are
/// ever touched.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscriptions {
    /// Lists them all.
    pub list: Request,
    /// Where the rows are.
    pub rows: Path,
    /// Where a row has its id.
    pub id: Path,
    /// Where a row has the address it delivers to.
    pub url: Path,
    /// What a row is subscribed to: a text or a list; on `row`.
    pub topics: Pick,
    /// What we want to hear of.
    pub want: Vec<CompactString>,
    /// One subscription for all topics; otherwise one for each.
    #[serde(default)]
    pub together: bool,
    /// On the row: false when the tool has given up on it.
    #[serde(default)]
    pub alive: Option<Cond>,
    /// When a row ends by itself.
    #[serde(default)]
    pub expires: Option<EventTime>,
    /// Makes one; its expressions know `url`, `topic` and `topics`.
    pub create: Call,
    /// Prolongs one; also knows `id`. Without it, one that ends soon is made anew.
    #[serde(default)]
    pub renew: Option<Call>,
    /// Removes one; knows `id`.
    pub delete: Request,
}

/// A request with a body.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The request line.
    pub request: Request,
    /// What is sent.
    #[serde(default)]
    pub body: Option<Body>,
}
