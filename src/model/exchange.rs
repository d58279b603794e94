//! What a connection hands over and takes: pages, objects, operations and how they ended.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{CustomerKey, FieldName, Fields, UnixMillis, Value};
use crate::error::{Failure, Problem};

/// Where reading a stream goes on. Opaque to everybody but the connection that made it; JSON, kept in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// One object as a page or a get returned it, mapped to canonical fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// The id the system gave it.
    pub remote: CompactString,
    /// Canonical fields. An empty remote value is `None`; a field the answer did not contain is absent.
    pub fields: Fields,
    /// The system's own time of the last change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<UnixMillis>,
    /// The system's version or etag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<CompactString>,
    /// The system says that the object is gone (flag, tombstone, archive).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Our customer key, when the system keeps it for us and it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<CustomerKey>,
    /// Why it could not be mapped, if so. Its good fields are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What the tool says it has become one object with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<Box<Joined>>,
}

/// Objects that the tool itself made one: merged by a person, or converted into another kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// It lives on in this object (of that stream, when it is another one than its own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<(Option<CompactString>, CompactString)>,
    /// These objects of its own stream live on in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<CompactString>,
}

/// One page of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The objects, in the order of the answer.
    pub records: Vec<Incoming>,
    /// Where reading goes on once this page is committed.
    pub next: Cursor,
    /// True when nothing more is to be had now: the stream is read up to the present.
    pub is_caught_up: bool,
    /// When the request was sent. What Nivel wrote after that moment is not in the page.
    pub asked_at: UnixMillis,
    /// The full sweep that is under way, if one is; also on pages that were read in between.
    pub sweep: Option<SweepMark>,
}

/// Which full sweep is under way, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepMark {
    /// When the connection began it: that is its name. Another name is another sweep.
    pub began: UnixMillis,
    /// With this page everything was read: objects that the sweep has not met are absent.
    pub is_over: bool,
    /// It met rows that cannot be told apart, so its end proves nothing.
    pub is_flawed: bool,
}

/// What Nivel wants one object to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Names this operation in the answer to a batch; stable over all attempts.
    pub id: CompactString,
    /// What to do.
    pub action: WriteAction,
    /// The fields to set or (with `None`) clear. Only what differs, except for a create.
    pub fields: BTreeMap<FieldName, Option<Value>>,
    /// Values the object had when last seen; manifests may address an object by one of them.
    pub known: Fields,
    /// The version or etag the object had when last seen, where the system has one.
    pub version: Option<CompactString>,
    /// The customer it is about; written into the field that the system keeps for our key.
    pub key: CustomerKey,
}

/// What one write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteAction {
    /// Make sure that the object exists: upsert where the system can, otherwise look up, then create.
    Create,
    /// Change the object with this id.
    Update(CompactString),
    /// Remove the object with this id.
    Delete(CompactString),
}

/// A write that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The object's id. After an update it may differ from the one asked for: the system merged or re-keyed it.
    pub remote: CompactString,
    /// The system's own time of this change, if the answer has it.
    pub updated_at: Option<UnixMillis>,
    /// The system's version or etag, if the answer has it.
    pub version: Option<CompactString>,
    /// True when the object did not exist before.
    pub created: bool,
    /// Fields that the system said it wrote and did not keep, with what it says instead.
    pub unkept: BTreeMap<FieldName, Option<Value>>,
}

/// How one operation ended. Every operation handed to `Connection::write` gets exactly one, in the same order.
pub type Outcome = Result<Done, Failure>;

/// The wanted value of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The value, or `None` to clear the field.
    pub value: Option<Value>,
    /// True for a stand-in that only satisfies a required field.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub placeholder: bool,
}
