//! What a tool sends by itself: how it is verified and what its events mean.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Deserialize;

use super::cond::Cond;
use super::expr::Template;
use super::field::TimeFormat;
use super::path::Path;
use super::scalar::{Many, Period};
use super::types::{Basic, Pick, Source};

/// The webhooks of a tool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The status that answers a GET on the address (some tools probe it).
    #[serde(default)]
    pub answer_get: Option<u16>,
    /// How a delivery is proven; the first whose `if` holds. None at all refuses every delivery.
    pub verify: Many<Verify>,
    /// What the body says.
    pub events: Events,
}

/// One way to prove a delivery: exactly one of `hmac`, `path_secret`, `basic`, `header`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// On `config`.
    #[serde(default, rename = "if")]
    pub condition: Option<Cond>,
    /// A keyed hash over parts of the request.
    #[serde(default)]
    pub hmac: Option<Hash>,
    /// The key.
    #[serde(default)]
    pub key: Option<Template>,
    /// How the key is written.
    #[serde(default)]
    pub key_encoding: super::types::SecretEncoding,
    /// What is hashed: `method`, `url`, `body` (raw bytes), `headers`, `sig`.
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
    /// A secret part of the address.
    #[serde(default)]
    pub path_secret: Option<Template>,
    /// HTTP Basic.
    #[serde(default)]
    pub basic: Option<Basic>,
    /// Headers with fixed secret values.
    #[serde(default)]
    pub header: BTreeMap<CompactString, Template>,
}

/// The hash of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hash {
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA1; for old tools only.
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
}

/// A header of the form `t=1,v1=abc`.
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
    /// Older (or newer) deliveries are refused.
    pub max_age: Period,
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
