//! What a person is known by, in the ledger and in a tool's answers. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::state::Sight;
use crate::error::{Class, Failure};
use crate::ledger::{Traces, View};
use crate::model::{Fields, IdentifierKind, Incoming, RecordId, Value};

/// Shorter texts than this are no trace of one person alone.
const TRACE_MIN: usize = 6;

/// The tool has no such question, or no such object.
pub(super) fn cannot_be_asked(failure: &Failure) -> bool {
    matches!(failure.class, Class::Forbidden | Class::Invalid | Class::Gone)
}

/// A tombstone is fine when nothing of what she was known by stands in it.
pub(super) fn sight(found: &[Incoming], id: &RecordId, view: &View) -> Sight {
    let Some(object) = found.iter().find(|object| object.remote == id.remote) else {
        return Sight::Gone;
    };
    let fields = ["email", "phone", "mobile", "full_name", "given_name", "family_name"];
    let says = |field: &str| {
        let value = object.fields.value(field);
        value.is_some_and(|value| values_of(view, field).contains(value))
    };
    let is_silent = !fields.iter().any(|field| says(field));
    if object.deleted && is_silent && !view.records.is_empty() {
        Sight::Emptied
    } else {
        Sight::There
    }
}

/// What her records say in a field.
pub(super) fn values_of(view: &View, field: &str) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    let records = view.records.values().map(|(record, _)| record);
    for value in records.filter_map(|record| record.fields.value(field)) {
        if !values.contains(value) {
            values.push(value.clone());
        }
    }
    values
}

/// Texts that belong to her alone, to be looked for in everything else the ledger keeps.
pub(super) fn values_of_hers(traces: &Traces, view: &View) -> Vec<String> {
    let mut values = BTreeSet::new();
    let own = traces
        .identifiers
        .iter()
        .filter(|one| one.kind != IdentifierKind::Domain);
    values.extend(own.map(|one| one.value.to_string()));
    let mut say = |fields: &Fields| {
        for field in ["email", "phone", "mobile", "full_name"] {
            values.extend(fields.value(field).map(Value::to_string));
        }
    };
    for (record, _) in view.records.values() {
        say(&record.fields);
        let ours: BTreeMap<_, _> = record
            .ours
            .iter()
            .map(|(name, ours)| (name.clone(), ours.own.clone()))
            .collect();
        say(&Fields(ours));
    }
    for customer in view.customers.values() {
        say(&customer.golden);
    }
    values
        .into_iter()
        .filter(|value| value.chars().count() >= TRACE_MIN)
        .collect()
}
