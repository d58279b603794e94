//! A tool's objects into canonical records. The way back stands in [`super::map_out`].
//!
//! The hot path: paths and enumerations are compiled, no expression is evaluated for a field. A value that does not fit
//! its field is left out and told in `Incoming::problem`; the other fields stand.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde_json::Value as Json;

use super::cond::Cond;
use super::field::{Field, TimeFormat};
use super::joined::{Merged, joined_in};
use super::object::Object;
use super::path::Path;
use super::scalar::Many;
use super::value::{self, PhoneNormaliser, Phones};
use crate::error::{Code, Problem};
use crate::model::{FieldName, Fields, Incoming, UnixMillis, Value};

/// Maps one object of a manifest, both ways.
#[derive(Clone, Debug)]
pub struct Mapper {
    id: Many<Path>,
    modified: Vec<Path>,
    modified_format: TimeFormat,
    version: Option<Path>,
    deleted: Option<Cond>,
    merged: Many<Merged>,
    pub(super) fields: Vec<(FieldName, Field)>,
    /// What is around all fields (`_at`).
    pub(super) around: Path,
    pub(super) clear: Json,
    phones: Phones,
}

impl Mapper {
    /// A mapper for an object. `region` is that of phone numbers without a country code.
    #[must_use]
    pub fn new(object: &Object, region: Option<CompactString>, normalise: PhoneNormaliser) -> Self {
        let (modified, modified_format) = match &object.modified {
            Some(modified) => (modified.at.to_vec(), modified.format.clone()),
            None => (Vec::new(), TimeFormat::default()),
        };
        Self {
            id: object.id.clone(),
            modified,
            modified_format,
            version: object.version.clone(),
            merged: object.merged.clone(),
            deleted: deleted_of(object).cloned(),
            fields: object
                .fields
                .by_name
                .iter()
                .map(|(name, field)| (name.clone(), field.clone()))
                .collect(),
            around: object.fields.at.clone().unwrap_or_default(),
            clear: object.write.as_ref().map_or(Json::Null, |write| write.clear.clone()),
            phones: Phones { normalise, region },
        }
    }

    /// The id of an object, always as text; `None` without one.
    #[must_use]
    pub fn id_in(&self, object: &Json) -> Option<CompactString> {
        self.id.iter().find_map(|path| text_at(path, object))
    }

    /// The tool's own time of the last change.
    #[must_use]
    pub fn updated_at(&self, object: &Json) -> Option<UnixMillis> {
        value::latest(&self.modified, &self.modified_format, object)
    }

    /// A time as the object writes its last change, for the answers to writes.
    #[must_use]
    pub fn time_in(&self, value: &Json) -> Option<UnixMillis> {
        value::time_in(&self.modified_format, value)
    }

    /// The canonical form of an object. An object without an id has an empty `remote` and a problem: it must be counted
    /// and told, it cannot be kept.
    #[must_use]
    pub fn record_in(&self, object: &Json) -> Incoming {
        let remote = self.id_in(object);
        let mut misfits = Vec::new();
        if remote.is_none() {
            let places: Vec<String> = self.id.iter().map(ToString::to_string).collect();
            misfits.push(format!("no id at `{}`", places.join("` or `")));
        }
        let mut fields = Fields::default();
        let mut key = None;
        for (name, field) in &self.fields {
            match value::field_in(field, object, &self.phones) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    let ours = field.key.and_then(|_| value.as_ref()?.as_text()?.parse().ok());
                    match ours {
                        Some(ours) => key = Some(ours),
                        None => drop(fields.0.insert(name.clone(), value)),
                    }
                }
                Err(found) => misfits.push(format!("field `{name}` holds {found}, not {}", field.kind().describe())),
            }
        }
        let remote = remote.unwrap_or_default();
        let problem = (!misfits.is_empty())
            .then(|| Problem::new(Code::RecordUnmappable, misfits.join("; ")).about(remote.as_str()));
        Incoming {
            updated_at: self.updated_at(object),
            version: self.version.as_ref().and_then(|path| text_at(path, object)),
            deleted: self
                .deleted
                .as_ref()
                .is_some_and(|deleted| deleted.holds_for("record", object)),
            remote,
            fields,
            key,
            problem,
            joined: joined_in(&self.merged, object),
        }
    }

    /// What stands at the place of each field, as text: for a person who checks the mapping.
    #[must_use]
    pub fn raw_in(&self, object: &Json) -> BTreeMap<FieldName, String> {
        let raw = |(name, field): &(FieldName, Field)| {
            let text = match field.to.find(object).value()?.into_owned() {
                Json::String(text) => text,
                other => other.to_string(),
            };
            Some((name.clone(), text))
        };
        self.fields.iter().filter_map(raw).collect()
    }

    /// What a value will read like after it was written and echoed: a tool that keeps whole seconds changes a time.
    #[must_use]
    pub fn echo(&self, field: &str, value: &Value) -> Option<Value> {
        let (_, field) = self.fields.iter().find(|(name, _)| name.as_str() == field)?;
        value::value_in(field, &value::value_out(field, value), &self.phones)
            .ok()
            .flatten()
    }
}

fn deleted_of(object: &Object) -> Option<&Cond> {
    let guest = object.guest.as_ref().and_then(|guest| guest.deleted.as_ref());
    guest.or_else(|| object.read.as_ref()?.deleted.as_ref())
}

/// Text (or a number) at a path, never empty.
fn text_at(path: &Path, object: &Json) -> Option<CompactString> {
    let found = path.find(object).value()?;
    let text = value::scalar_text(&found).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.into())
}
