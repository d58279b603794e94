//! A record: one object of a stream as last seen, in canonical fields.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{FieldName, Fields, UnixMillis, Value, Wanted};
use crate::error::Problem;

/// One stream of one system: `crm/contact`. Cheap to copy and to compare: there are few streams and very many records,
/// so all ids of one stream share its name.
#[derive(Clone, Debug)]
pub struct StreamId(Arc<StreamName>);

/// What a [`StreamId`] says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamName {
    /// The system's name in the config.
    pub system: CompactString,
    /// The object's name in the manifest.
    pub stream: CompactString,
}

/// Every name there is, once.
static NAMES: Mutex<BTreeSet<Arc<StreamName>>> = Mutex::new(BTreeSet::new());

impl StreamId {
    /// A stream id from its parts.
    #[must_use]
    pub fn new(system: impl Into<CompactString>, stream: impl Into<CompactString>) -> Self {
        Self::of(StreamName {
            system: system.into(),
            stream: stream.into(),
        })
    }

    fn of(name: StreamName) -> Self {
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(&name) {
            return Self(Arc::clone(known));
        }
        let name = Arc::new(name);
        names.insert(Arc::clone(&name));
        Self(name)
    }

    /// The id of one record of this stream.
    #[must_use]
    pub fn record(&self, remote: impl Into<CompactString>) -> RecordId {
        RecordId {
            stream: self.clone(),
            remote: remote.into(),
        }
    }
}

impl Deref for StreamId {
    type Target = StreamName;

    fn deref(&self) -> &StreamName {
        &self.0
    }
}

impl PartialEq for StreamId {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for StreamId {}

impl PartialOrd for StreamId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for StreamId {
    fn cmp(&self, other: &Self) -> Ordering {
        if self == other {
            Ordering::Equal
        } else {
            self.0.cmp(&other.0)
        }
    }
}

impl Hash for StreamId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Serialize for StreamId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(to)
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        StreamName::deserialize(from).map(Self::of)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.system, self.stream)
    }
}

/// One object of one stream: `crm/contact/1145`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// The stream it belongs to.
    pub stream: StreamId,
    /// The id the system itself gave it.
    pub remote: CompactString,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.remote)
    }
}

/// The text is not a record id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a record id (they look like crm/contact/1145)")]
pub struct BadRecordId(pub String);

impl FromStr for RecordId {
    type Err = BadRecordId;

    fn from_str(text: &str) -> Result<Self, BadRecordId> {
        let mut parts = text.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(system), Some(stream), Some(remote)) if !remote.is_empty() => {
                Ok(StreamId::new(system, stream).record(remote))
            }
            _ => Err(BadRecordId(text.to_owned())),
        }
    }
}

impl Serialize for RecordId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RecordId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        CompactString::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// When each field was seen to take its present value: one common time, and the fields that differ from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The time of every field that is not in `fields`.
    pub base: UnixMillis,
    /// Fields that changed at another time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<FieldName, UnixMillis>,
}

impl Observed {
    /// Every field at one time.
    #[must_use]
    pub fn all_at(base: UnixMillis) -> Self {
        Self {
            base,
            fields: BTreeMap::new(),
        }
    }

    /// When `field` was seen to take its present value.
    #[must_use]
    pub fn of(&self, field: &str) -> UnixMillis {
        self.fields.get(field).copied().unwrap_or(self.base)
    }

    /// Notes that `field` changed at `at`.
    pub fn set(&mut self, field: &FieldName, at: UnixMillis) {
        if at == self.base {
            self.fields.remove(field);
        } else {
            self.fields.insert(field.clone(), at);
        }
    }
}

/// A value that stands in the system because Nivel wrote it: an echo, never an assertion of that system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ours {
    /// What was written; `None` when the field was cleared.
    pub value: Option<Value>,
    /// True for a stand-in that only satisfies a required field; it never comes back as data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub placeholder: bool,
    /// What the system itself had said last, before Nivel wrote; `None` when it had said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Value>,
}

/// Of so many values that were sent to a field, and whose answers were lost, the last ones are remembered.
const SENT_MAX: usize = 8;

/// After this many times within a day, that a tool changed what Nivel had written to a field, the field is frozen.
pub const BOUNCES_MAX: u32 = 5;

/// How often a system changed a field that Nivel had written, in a row: the loop breaker's memory. From [`BOUNCES_MAX`]
/// on the field is frozen: Nivel does not write it any more, until somebody releases it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounce {
    /// How many times.
    pub count: u32,
    /// The first of them.
    pub since: UnixMillis,
    /// Why the field is frozen, if it is.
    #[serde(default, skip_serializing_if = "Freeze::is_loop")]
    pub why: Freeze,
}

/// Why a field is frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freeze {
    /// The tool keeps changing what Nivel writes.
    #[default]
    Loop,
    /// The tool said that it was written and did not keep it.
    NotKept,
    /// An operator took back what Nivel had written.
    Undone,
}

impl Freeze {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_loop(&self) -> bool {
        *self == Self::Loop
    }
}

impl Bounce {
    /// A field that is frozen at once.
    #[must_use]
    pub fn frozen(why: Freeze, since: UnixMillis) -> Self {
        Self {
            count: BOUNCES_MAX,
            since,
            why,
        }
    }

    /// True when the field is not written any more.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.count >= BOUNCES_MAX
    }
}

/// One object of a stream as last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which object.
    pub id: RecordId,
    /// What it says, in canonical form. `None` is kept only for a field that was *cleared*; never filled is absent.
    pub fields: Fields,
    /// When each field was seen to take its present value.
    pub observed: Observed,
    /// The system's own time of the last change, where it has one.
    pub updated_at: Option<UnixMillis>,
    /// The system's version or etag, where it has one.
    pub version: Option<CompactString>,
    /// Fields whose present value Nivel wrote.
    pub ours: BTreeMap<FieldName, Ours>,
    /// What Nivel sent to fields without learning whether it arrived, oldest first, until a later write to the field has
    /// arrived: found there, it is ours, not the system's own word.
    pub sent: BTreeMap<FieldName, Vec<Wanted>>,
    /// When Nivel last wrote to it: a page asked for before that moment says nothing about `ours`.
    pub written_at: Option<UnixMillis>,
    /// Nivel made it and has not read it back since. What the tool fills in by itself then are its defaults, not data.
    pub is_unread: bool,
    /// Nivel made the object, so Nivel may remove it. Never taken back.
    pub is_made: bool,
    /// The loop breaker's memory, for fields that came back changed.
    pub bounces: BTreeMap<FieldName, Bounce>,
    /// Set when the system says that the object is gone.
    pub deleted_at: Option<UnixMillis>,
    /// Why this record could not be used, if so. It is kept and listed; the stream goes on.
    pub problem: Option<Problem>,
}

impl Record {
    /// A record that says nothing yet.
    #[must_use]
    pub fn new(id: RecordId, at: UnixMillis) -> Self {
        Self {
            id,
            fields: Fields::default(),
            observed: Observed::all_at(at),
            updated_at: None,
            version: None,
            ours: BTreeMap::new(),
            sent: BTreeMap::new(),
            written_at: None,
            is_unread: false,
            is_made: false,
            bounces: BTreeMap::new(),
            deleted_at: None,
            problem: None,
        }
    }

    /// What the system itself said last in a field, also when Nivel has written something else there since.
    #[must_use]
    pub fn own_word(&self, field: &str) -> Option<&Value> {
        match self.ours.get(field) {
            Some(ours) if !self.asserts(field) => ours.own.as_ref(),
            _ => self.fields.value(field),
        }
    }

    /// What Nivel wrote stands in a field since `at`; a stand-in is remembered and is nothing that the record says.
    pub fn take_ours(&mut self, field: &FieldName, wrote: &Wanted, at: UnixMillis) {
        let own = self.own_word(field.as_str()).cloned();
        if !wrote.placeholder {
            self.fields.0.insert(field.clone(), wrote.value.clone());
            self.observed.set(field, at);
        }
        let ours = Ours {
            value: wrote.value.clone(),
            placeholder: wrote.placeholder,
            own,
        };
        self.ours.insert(field.clone(), ours);
    }

    /// Remembers a value that was sent and may stand in a field now.
    pub fn note_sent(&mut self, field: &FieldName, wanted: &Wanted) {
        let sent = self.sent.entry(field.clone()).or_default();
        sent.retain(|one| one != wanted);
        if sent.len() == SENT_MAX {
            sent.remove(0);
        }
        sent.push(wanted.clone());
    }

    /// What was sent to a field, if that is what stands there.
    #[must_use]
    pub fn sent_as(&self, field: &FieldName, value: Option<&Value>) -> Option<&Wanted> {
        let sent = self.sent.get(field)?;
        sent.iter().rev().find(|one| one.value.as_ref() == value)
    }

    /// True when the field's present value is an assertion of the system itself and not an echo of ours.
    #[must_use]
    pub fn asserts(&self, field: &str) -> bool {
        match self.ours.get(field) {
            None => true,
            Some(ours) => self.fields.0.get(field).is_some_and(|now| *now != ours.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_id_keeps_slashes_of_the_remote_id() {
        let id: RecordId = "rt/user/a/b".parse().unwrap();
        assert_eq!(id.remote, "a/b");
        assert_eq!(id.to_string(), "rt/user/a/b");
        assert!("rt/user".parse::<RecordId>().is_err());
    }
}
