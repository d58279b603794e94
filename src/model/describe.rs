//! What a system says about the fields of its own objects.

use compact_str::CompactString;
use serde::Serialize;

use super::FieldName;

/// One field as the system describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Described {
    /// Its own name, as answers have it.
    pub name: CompactString,
    /// The name that people see; empty when there is none.
    pub label: CompactString,
    /// Its type in the system's own words; empty when there is none.
    pub kind: CompactString,
    /// The account made it itself.
    pub is_custom: bool,
    /// The values it may have; empty when it has no list.
    pub options: Vec<CompactString>,
    /// The canonical field it is mapped to, if it is.
    pub mapped_to: Option<FieldName>,
}

/// All fields of a stream as the system describes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The fields, in the order of the answer.
    pub fields: Vec<Described>,
    /// Mapped fields that are not there any more, each with the system's own name.
    pub vanished: Vec<(FieldName, CompactString)>,
}
