//! The mapping between canonical fields and a tool's own.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Deserialize;
use serde_json::Value as Json;

use super::expr::Template;
use super::path::Path;
use crate::model::{FieldName, WriteMode};

/// The fields of an object by canonical name. Names that begin with `_` are kept for writing (ids of sub-objects, raw
/// values to put back) and mean nothing to anybody else.
#[derive(Clone, Debug, Default)]
pub struct FieldMap {
    /// Where all of them live (`_at`).
    pub at: Option<Path>,
    /// The fields; their paths already begin with `at`.
    pub by_name: BTreeMap<FieldName, Field>,
}

impl FieldMap {
    /// The field that keeps what stands beside a value in a list or an embedded text, so that it can be put back.
    #[must_use]
    pub fn keeper(&self, field: &Field) -> Option<(&FieldName, &Field)> {
        let around = field.to.names();
        self.by_name
            .iter()
            .find(|(_, keeper)| keeper.to.is_plain() && keeper.to.names() == around)
    }
}

/// One field. Short form: the path alone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "$short/to")]
pub struct Field {
    /// Where it is in the remote object.
    pub to: Path,
    /// What it is.
    #[serde(default, rename = "type")]
    pub kind: FieldType,
    /// Canonical value → the tool's value, in their order; other values are kept as they are.
    #[serde(default, rename = "enum")]
    pub values: Pairs,
    /// It takes only values of a list that the tool tells (`describe`): others are refused before the call.
    #[serde(default)]
    pub picklist: bool,
    /// It holds the id of another object of this kind.
    #[serde(default, rename = "ref")]
    pub refers: Option<CompactString>,
    /// Whether and how it is written.
    #[serde(default)]
    pub write: WriteRule,
    /// It is where the tool keeps our customer key.
    #[serde(default)]
    pub key: Option<KeyRole>,
    /// A stand-in for a field the tool requires.
    #[serde(default)]
    pub placeholder: Option<Json>,
    /// How a time is written.
    #[serde(default)]
    pub format: TimeFormat,
    /// A set is one text with this between its items.
    #[serde(default)]
    pub sep: Option<CompactString>,
}

impl Field {
    /// What it is; `enum` and `ref` say it without a `type`.
    #[must_use]
    pub fn kind(&self) -> FieldType {
        match (self.kind, &self.refers) {
            (FieldType::Text, _) if !self.values.0.is_empty() => FieldType::Enum,
            (FieldType::Text, Some(_)) => FieldType::Ref,
            (kind, _) => kind,
        }
    }
}

/// What a field is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Text, trimmed.
    #[default]
    Text,
    /// An e-mail address, lower case.
    Email,
    /// A phone number, E.164 where it can be told.
    Phone,
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A moment.
    Time,
    /// Several texts.
    Set,
    /// One of [`Field::values`].
    Enum,
    /// The id of another object.
    Ref,
    /// Anything, kept as JSON text: to put back what a write would otherwise lose.
    Json,
}

/// A field holds our own customer key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyRole {
    /// Our customer key.
    #[serde(alias = "hub_id")]
    Customer,
}

/// Pairs in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Pairs(pub Vec<(CompactString, Json)>);

/// Whether and how a field is written.
#[derive(Clone, Debug)]
pub enum WriteRule {
    /// The canonical value, mapped, to where it was read.
    Mode(WriteMode),
    /// By a request of its own after the write: `consent` of the object.
    After,
    /// A canonical value computed from `value`, `was` and the other fields, mapped, to where it was read.
    Value(Template),
    /// A remote value computed from `value`, `was`, `known` and the other fields, put at another place. Lists that
    /// several fields put at one place are joined, objects are united.
    Raw(RawWrite),
}

impl Default for WriteRule {
    fn default() -> Self {
        Self::Mode(WriteMode::Always)
    }
}

/// A remote value put at another place.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawWrite {
    /// The place.
    pub at: Path,
    /// The value; `none` writes nothing.
    pub value: Template,
    /// When.
    #[serde(default)]
    pub mode: WriteMode,
}

/// How a time is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2026-01-31T08:00:00Z`.
    #[default]
    Rfc3339,
    /// Milliseconds since 1970, number or text.
    Ms,
    /// Seconds since 1970, number or text.
    S,
    /// `2026-01-31 08:00:00`, UTC.
    Sql,
    /// An object with `year`, `month`, `day`, `hour`, `minute`, `second`, `microsecond`, UTC.
    Parts,
    /// A `strftime` pattern, UTC.
    Strftime(CompactString),
}
