//! Notices fields that vanish from a tool's answers. Nothing that is stored changes by that: records keep what they said,
//! nothing is read anew, only the field is told.
//!
//! Whether a field vanished is decided purely: it stood in every object of some reading before, and in none now. Tools that
//! leave out empty fields never let it stand in every object.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::engine::Engine;
use crate::error::{Code, Problem};
use crate::ledger::{Error as LedgerError, Ledger};
use crate::model::{FieldName, Incoming, StreamId, StreamSpec, UnixMillis};

/// Objects of a page that are looked at.
const SAMPLE: usize = 50;
/// Fewer objects than this prove nothing.
const OBJECTS_MIN: u64 = 20;

/// Which fields the objects of a reading had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Presence {
    objects: u64,
    fields: BTreeMap<FieldName, u64>,
}

impl Presence {
    /// Looks at some objects of a page.
    pub(super) fn look(&mut self, records: &[Incoming]) {
        let whole = records
            .iter()
            .filter(|record| !record.deleted && record.problem.is_none());
        for record in whole.take(SAMPLE) {
            self.objects += 1;
            for name in record.fields.0.keys() {
                match self.fields.get_mut(name) {
                    Some(count) => *count += 1,
                    None => drop(self.fields.insert(name.clone(), 1)),
                }
            }
        }
    }
}

/// What is known of a stream's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// Fields that stood in every object of the last reading that proves anything.
    always: BTreeSet<FieldName>,
    /// Fields that vanished, and since when.
    #[serde(default)]
    missing: BTreeMap<FieldName, UnixMillis>,
}

impl Known {
    /// What is known after a reading.
    fn after(mut self, presence: &Presence, is_mapped: impl Fn(&FieldName) -> bool, now: UnixMillis) -> Self {
        self.missing
            .retain(|name, _| is_mapped(name) && !presence.fields.contains_key(name));
        if presence.objects < OBJECTS_MIN {
            return self;
        }
        let gone: Vec<FieldName> = self
            .always
            .iter()
            .filter(|name| !presence.fields.contains_key(*name))
            .cloned()
            .collect();
        for name in gone.into_iter().filter(|name| is_mapped(name)) {
            self.missing.entry(name).or_insert(now);
        }
        let always = presence
            .fields
            .iter()
            .filter(|(name, count)| is_mapped(name) && **count == presence.objects);
        self.always = always.map(|(name, _)| name.clone()).collect();
        self
    }

    fn problems<'a>(&'a self, stream: &'a StreamId) -> impl Iterator<Item = Problem> + 'a {
        self.missing.iter().map(move |(name, since)| {
            let message = format!("`{name}` is in no object any more, since {since}");
            Problem::new(Code::FieldVanished, message).about(stream).hint(
                "what was read of it before stays as it is; `nivel check --fields` compares the mapping with the tool",
            )
        })
    }
}

fn setting(stream: &StreamId) -> String {
    format!("fields {stream}")
}

async fn known(ledger: &dyn Ledger, stream: &StreamId) -> Result<Known, LedgerError> {
    let stored = ledger.setting(&setting(stream)).await?;
    Ok(stored
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default())
}

/// What is known to have vanished from the objects of these streams.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn vanished(ledger: &dyn Ledger, streams: &[StreamId]) -> Result<Vec<Problem>, LedgerError> {
    let mut all = Vec::new();
    for stream in streams {
        all.extend(known(ledger, stream).await?.problems(stream));
    }
    Ok(all)
}

impl Engine {
    /// Remembers which fields the objects of a reading had, and tells those that vanished.
    pub(super) async fn note_presence(&self, stream: &StreamId, presence: &Presence) -> Result<(), LedgerError> {
        if presence.objects == 0 {
            return Ok(());
        }
        let connection = self.connections.get(&stream.system);
        let spec = connection.and_then(|connection| connection.streams().get(&stream.stream));
        // Where our own key stands, it is in no object any more as soon as all of them have one.
        let tells =
            |spec: &StreamSpec, name: &FieldName| spec.fields.contains_key(name) && spec.key_in.as_ref() != Some(name);
        let is_mapped = |name: &FieldName| spec.is_some_and(|spec| tells(spec, name));
        let before = known(self.ledger.as_ref(), stream).await?;
        let after = before.clone().after(presence, is_mapped, self.clock.now());
        if after == before {
            return Ok(());
        }
        let fresh = after.missing.keys().any(|name| !before.missing.contains_key(name));
        for problem in after.problems(stream).filter(|_| fresh) {
            tracing::warn!(%stream, code = %problem.code, %problem, "a field vanished");
        }
        let text = serde_json::to_string(&after).unwrap_or_default();
        self.ledger.set_setting(&setting(stream), &text).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Fields, Value};

    fn read(objects: u64, fields: &[(&str, u64)]) -> Presence {
        Presence {
            objects,
            fields: fields.iter().map(|(name, count)| ((*name).into(), *count)).collect(),
        }
    }

    #[test]
    fn p45_a_field_that_always_stood_there_and_stands_nowhere_vanished() {
        let mapped = |name: &FieldName| name.as_str() != "unmapped";
        let first = read(
            100,
            &[("email", 100), ("phone", 70), ("company", 100), ("unmapped", 100)],
        );
        let known = Known::default().after(&first, mapped, UnixMillis(1));
        assert_eq!(
            known.always.len(),
            2,
            "a field that is sometimes left out proves nothing"
        );
        let few = known.clone().after(&read(19, &[("email", 19)]), mapped, UnixMillis(2));
        assert_eq!(few, known, "too few objects prove nothing");
        let gone = known.after(&read(20, &[("email", 20)]), mapped, UnixMillis(3));
        assert_eq!(
            gone.missing.keys().map(FieldName::as_str).collect::<Vec<_>>(),
            ["company"]
        );
        let stream = StreamId::new("crm", "person");
        let told: Vec<Problem> = gone.problems(&stream).collect();
        assert_eq!(
            (told[0].code, told[0].subject.as_str()),
            (Code::FieldVanished, "crm/person")
        );
        let still = gone.after(&read(30, &[("email", 30)]), mapped, UnixMillis(4));
        assert_eq!(
            still.missing["company"],
            UnixMillis(3),
            "told once, and known since when"
        );
        let back = still.after(&read(1, &[("email", 1), ("company", 1)]), mapped, UnixMillis(5));
        assert!(back.missing.is_empty());
    }

    #[test]
    fn only_whole_objects_are_looked_at() {
        let mut record = Incoming {
            remote: "1".into(),
            fields: Fields::from([("email", Value::Text("a@x.org".into()))]),
            updated_at: None,
            version: None,
            deleted: false,
            key: None,
            problem: None,
            joined: None,
        };
        let mut presence = Presence::default();
        presence.look(&[record.clone(), record.clone()]);
        record.deleted = true;
        presence.look(&[record]);
        assert_eq!(presence, read(2, &[("email", 2)]));
    }
}
