//! The audit trail: what happened to whom, when and why.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::model::{CustomerKey, FieldName, RecordId, UnixMillis, Value};

/// What caused a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A pull; the run's id.
    Run(i64),
    /// The first reading of one or more streams.
    FirstReading,
    /// Events of webhooks, by their numbers in the inbox. The commit also ends their wait.
    Webhook(Vec<i64>),
    /// An acknowledged write; its operation.
    Write(CompactString),
    /// A person, by name.
    Operator(CompactString),
    /// The admin's rules changed.
    Rules,
    /// The scored match.
    Match,
}

/// One line of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The customer it is about.
    pub customer: CustomerKey,
    /// The record it is about; `None` for the golden record.
    pub record: Option<RecordId>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// First seen. Its values stand in the record.
    Appeared,
    /// Fields changed: name → (old, new).
    Fields(BTreeMap<FieldName, (Option<Value>, Option<Value>)>),
    /// The system says it is gone.
    Deleted,
    /// Nivel removed it, because its customer had been deleted everywhere else.
    Removed,
    /// It is back after a deletion.
    Restored,
    /// It now belongs to this customer and formerly belonged to the given one.
    Moved(CustomerKey),
    /// This customer took in the given one, which lives on as an alias; with the records that came along.
    Merged(CustomerKey, Vec<RecordId>),
    /// Nivel made it, with these fields.
    Made(Wrote),
    /// Nivel wrote these fields to it.
    Wrote(Wrote),
    /// An operator took back what Nivel had written to it: name → (ours, what stood there before). The fields are frozen.
    Undone(BTreeMap<FieldName, (Option<Value>, Option<Value>)>),
    /// A split gave it back what stood there before Nivel wrote another customer's value: name → (ours, what stood there).
    GivenBack(BTreeMap<FieldName, (Option<Value>, Option<Value>)>),
    /// A write was given up.
    Died(Problem),
    /// These fields are not written any more: the tool kept changing them back, or did not keep them.
    Frozen(Vec<FieldName>),
    /// An operator lets Nivel write these frozen fields again.
    Released(Vec<FieldName>),
}

/// What Nivel wrote to an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrote {
    /// The run whose news it followed from; see [`super::Write::run`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<i64>,
    /// Name → (what stood there, what was written).
    pub fields: BTreeMap<FieldName, (Option<Value>, Option<Value>)>,
}

/// A line of the audit trail as read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRow {
    /// When.
    pub at: UnixMillis,
    /// Why.
    pub cause: Cause,
    /// What.
    #[serde(flatten)]
    pub change: Change,
}
