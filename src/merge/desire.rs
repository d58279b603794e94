//! What each tool should say, now that the golden record is known: only differences, only where the rules allow.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;

use super::consent::bars;
use super::creation::creation;
use super::name;
use super::once::{once, stands_elsewhere};
use super::presence::is_gone;
use super::rules::{OnClear, Rules, StreamRules};
use super::survive::Survivorship;
use crate::identity;
use crate::model::{
    Bounce, CustomerKey, FieldName, FieldSpec, Fields, Kind, Record, RecordId, StreamId, Value, Wanted, WriteMode,
};

/// What one stream should hold for a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desire {
    /// The stream.
    pub stream: StreamId,
    /// The object to change; `None` when one is to be made.
    pub object: Option<RecordId>,
    /// The wanted fields. Empty: nothing to write.
    pub fields: BTreeMap<FieldName, Wanted>,
    /// Fields that differ but are frozen by the loop breaker.
    pub frozen: Vec<FieldName>,
    /// The object is to be removed: its customer was deleted everywhere else.
    pub is_removal: bool,
}

/// The field by which a system keeps our own key.
pub const KEY_FIELD: &str = "key";

pub(super) const EMAIL: &str = "email";

/// What every stream that may be written should hold for a customer. One entry per object, also when nothing differs, so
/// that a write that is no longer wanted can be withdrawn. `brought`: where a handoff lets her be made.
#[must_use]
pub fn desires(
    key: &CustomerKey,
    whole: &Fields,
    members: &[&Record],
    rules: &Rules,
    survivorship: &Survivorship,
    brought: &BTreeSet<StreamId>,
) -> Vec<Desire> {
    let mut desires = Vec::new();
    // A mailbox of several people must not find, or be, the object of one of them.
    let has_own_email = names_one_person(whole, key.kind);
    let is_gone = is_gone(members, rules);
    for (system, system_rules) in &rules.systems {
        for (stream, stream_rules) in &system_rules.streams {
            if !stream_rules.write || stream_rules.spec.kind != key.kind || stream_rules.spec.is_activity() {
                continue;
            }
            let here = |record: &&&Record| record.id.stream.system == *system && record.id.stream.stream == *stream;
            let mut objects: Vec<&Record> = members.iter().filter(here).copied().collect();
            let id = StreamId::new(system.clone(), stream.clone());
            let golden = rules.told(whole, system_rules, stream_rules);
            if objects.is_empty() {
                if stands_elsewhere(&id, members, system_rules).is_some() {
                    continue;
                }
                let is_barred = is_gone || bars(whole, system_rules, stream_rules);
                let is_brought = brought.contains(&id);
                let fields = creation(&golden, stream_rules, has_own_email, is_brought).ok();
                desires.extend(fields.filter(|_| !is_barred).map(|fields| made(id, fields)));
                continue;
            }
            // The oldest id is the one that carries the identifiers; a second object of the same person in one tool would
            // clash with it.
            objects.sort_by_key(|record| (record.id.remote.len(), record.id.remote.clone()));
            let live = objects
                .into_iter()
                .filter(|record| record.deleted_at.is_none() && record.problem.is_none());
            for (place, record) in live.enumerate() {
                if is_gone && stream_rules.may_remove() && (stream_rules.own || record.is_made) {
                    desires.push(removal(record));
                    continue;
                }
                let may_identify = |field: &FieldName| place == 0 && (has_own_email || field.as_str() != EMAIL);
                desires.push(difference(record, &may_identify, &golden, stream_rules, survivorship));
            }
        }
    }
    once(&mut desires, rules, brought);
    desires
}

fn made(stream: StreamId, fields: BTreeMap<FieldName, Wanted>) -> Desire {
    Desire {
        stream,
        object: None,
        fields,
        frozen: Vec::new(),
        is_removal: false,
    }
}

fn removal(record: &Record) -> Desire {
    Desire {
        stream: record.id.stream.clone(),
        object: Some(record.id.clone()),
        fields: BTreeMap::new(),
        frozen: Vec::new(),
        is_removal: true,
    }
}

pub(super) fn names_one_person(golden: &Fields, kind: Kind) -> bool {
    kind == Kind::Person
        && ["email", "emails"]
            .iter()
            .any(|field| identity::has_own_mailbox(golden, field))
}

/// An enumeration can only say what is in its list.
pub(super) fn fits(value: &Value, spec: &FieldSpec) -> bool {
    spec.order.is_empty() || value.as_text().is_some_and(|text| place(text, spec).is_some())
}

fn place(text: &str, spec: &FieldSpec) -> Option<usize> {
    spec.order.iter().position(|item: &CompactString| item == text)
}

fn difference(
    record: &Record,
    may_identify: &dyn Fn(&FieldName) -> bool,
    golden: &Fields,
    stream_rules: &StreamRules,
    survivorship: &Survivorship,
) -> Desire {
    let mut desire = Desire {
        stream: record.id.stream.clone(),
        object: Some(record.id.clone()),
        fields: BTreeMap::new(),
        frozen: Vec::new(),
        is_removal: false,
    };
    if !stream_rules.spec.can_update {
        return desire;
    }
    for (field, spec) in &stream_rules.spec.fields {
        let Some(wanted) = golden.0.get(field) else { continue };
        let has_value = record.fields.value(field.as_str()).is_some();
        let identifies = stream_rules.spec.match_by.contains(field);
        let may = match spec.write {
            WriteMode::Never | WriteMode::CreateOnly => false,
            WriteMode::FillOnly => !has_value,
            WriteMode::Always | WriteMode::ForwardOnly | WriteMode::Call => true,
        };
        if !may || (identifies && !may_identify(field)) {
            continue;
        }
        if !differs(record, field, wanted.as_ref(), spec, golden, survivorship) {
            continue;
        }
        if record.bounces.get(field).is_some_and(Bounce::is_frozen) {
            desire.frozen.push(field.clone());
        } else {
            desire.fields.insert(
                field.clone(),
                Wanted {
                    value: wanted.clone(),
                    placeholder: false,
                },
            );
        }
    }
    desire
}

fn differs(
    record: &Record,
    field: &FieldName,
    wanted: Option<&Value>,
    spec: &FieldSpec,
    golden: &Fields,
    survivorship: &Survivorship,
) -> bool {
    let stands = record.fields.0.get(field);
    let Some(wanted) = wanted else {
        return matches!(stands, Some(Some(_)));
    };
    if stands.is_some_and(|value| value.as_ref() == Some(wanted)) || !fits(wanted, spec) {
        return false;
    }
    let was_emptied = matches!(stands, Some(None));
    if was_emptied && survivorship.of(field.as_str()).rule.on_clear == OnClear::Ignore {
        return false;
    }
    if name::is_part(field.as_str()) && name::same(&record.fields, golden) {
        return false;
    }
    if spec.write == WriteMode::ForwardOnly {
        let at = |value: Option<&Value>| value.and_then(Value::as_text).and_then(|text| place(text, spec));
        return at(Some(wanted)) > at(stands.and_then(Option::as_ref));
    }
    true
}
