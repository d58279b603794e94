//! What the rest of Nivel needs to know about a stream, whatever its connector is made of.

use std::collections::BTreeMap;
use std::time::Duration;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{FieldName, HolderSpec, Kind, Value};

/// How a canonical field may be written in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteMode {
    /// Whenever the golden value differs.
    #[default]
    Always,
    /// Only when the object is made.
    CreateOnly,
    /// Only while the object has no value there.
    FillOnly,
    /// Only towards later values of its list (life-cycle stages); the order is that of [`FieldSpec::order`].
    ForwardOnly,
    /// By a call of its own, on an object that is there: only consents are, and only their denial.
    Call,
    /// Read only.
    Never,
}

/// What the rest of Nivel needs to know about one field of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSpec {
    /// How it may be written.
    pub write: WriteMode,
    /// The canonical values of an enumeration, in their order; empty when it is none.
    pub order: Vec<CompactString>,
    /// A stand-in for a field the system requires, written when there is no golden value.
    pub placeholder: Option<Value>,
}

/// How often everything of a stream is read, whether it changed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweeps {
    /// So long after the last time began.
    Every(Duration),
    /// Never.
    Never,
}

/// What the rest of Nivel needs to know about one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamSpec {
    /// What its objects are about.
    pub kind: Kind,
    /// The fields it maps, by canonical name.
    pub fields: BTreeMap<FieldName, FieldSpec>,
    /// Canonical fields by which an object can be found again, best first; our own key is spelled `key`.
    pub match_by: Vec<FieldName>,
    /// The field that holds our own key; where it does, it says nothing of the customer and is not read.
    pub key_in: Option<FieldName>,
    /// Objects can be read by id.
    pub can_get: bool,
    /// Objects can be made.
    pub can_create: bool,
    /// Objects can be changed.
    pub can_update: bool,
    /// Objects can be removed.
    pub can_delete: bool,
    /// What is removed cannot be brought back.
    pub delete_is_final: bool,
    /// Objects can be erased, for good.
    pub can_erase: bool,
    /// The most operations one request may carry.
    pub batch_max: usize,
    /// Before an object is changed, it is read: what somebody else changed meanwhile is not overwritten.
    pub reads_before: bool,
    /// What was written is read back: the system is known to drop or change values without a word.
    pub reads_back: bool,
    /// Notes can be written on its objects; of activities: one can be opened with a text.
    pub takes_notes: bool,
    /// A note can be found again by its words.
    pub finds_notes: bool,
    /// Another stream of its system that holds the same: whoever is in one of them is made in none of the others, and
    /// who could be made in several is made there.
    pub instead_of: Option<CompactString>,
    /// On whom its objects hang, when they are activities; empty for persons and organizations.
    pub holders: Vec<HolderSpec>,
}

impl StreamSpec {
    /// True when its objects are activities: they hang on customers and are none.
    #[must_use]
    pub fn is_activity(&self) -> bool {
        !self.holders.is_empty()
    }
}
