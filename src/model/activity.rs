//! An activity: a deal, a ticket, a call. It hangs on a customer and is none.

use std::collections::BTreeSet;
use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{FieldName, Fields, Identifier, RecordId, UnixMillis};

/// On whom an activity hangs. Looked up whenever it is asked for, so that it follows merges and splits by itself, and one
/// that comes before its person is hers as soon as she comes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// The customer of this record.
    Record(RecordId),
    /// The customer of every record that holds this identifier now.
    Identifier(Identifier),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(id) => write!(f, "{id}"),
            Self::Identifier(identifier) => write!(f, "{identifier}"),
        }
    }
}

/// How a stream of activities says on whom they hang.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderSpec {
    /// The field in which it stands; its name begins with `_`.
    pub field: FieldName,
    /// What stands there.
    pub by: HolderBy,
}

/// What an activity says about its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HolderBy {
    /// Ids of objects of this stream of the same system.
    Record(CompactString),
    /// Values of this field of a person (`email`).
    Field(FieldName),
}

/// One activity as last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Which object of which stream.
    pub id: RecordId,
    /// On whom it hangs.
    pub holders: BTreeSet<Holder>,
    /// What it says, in canonical form.
    pub fields: Fields,
    /// When it came about, as far as the tool tells.
    pub at: UnixMillis,
    /// The tool's own time of the last change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<UnixMillis>,
    /// When Nivel first saw it say what it says.
    pub seen_at: UnixMillis,
    /// When the tool was seen to say that it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<UnixMillis>,
}

impl Activity {
    /// What a person reads first: its subject, or its id.
    #[must_use]
    pub fn title(&self) -> &str {
        self.fields.text("subject").unwrap_or(self.id.remote.as_str())
    }
}
