//! What follows when customers are touched: golden records, and the outbox made to hold exactly what is wanted.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::{CompactString, format_compact};

use crate::ledger::{Change, Commit, Slot, Target, View, What, Write, WriteChange, WriteState};
use crate::merge::{Desire, FieldChange, Rules, Survivorship, desires, survive};
use crate::model::{Customer, CustomerKey, FieldName, Fields, Record, RecordId, UnixMillis, Wanted};

/// Which customers are touched, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Affected<'a> {
    /// Live customers whose records changed.
    pub customers: BTreeSet<CustomerKey>,
    /// Record → its customer from now on, for every record of the view and the page.
    pub homes: BTreeMap<RecordId, CustomerKey>,
    /// Customers that live on as aliases: from → into.
    pub merged: BTreeMap<CustomerKey, CustomerKey>,
    /// Records as they are now, where the view is out of date.
    pub fresh: BTreeMap<&'a RecordId, &'a Record>,
}

/// Adds to a commit what follows for every touched customer.
pub fn consequences(
    view: &View,
    affected: &Affected<'_>,
    rules: &Rules,
    survivorship: &Survivorship,
    now: UnixMillis,
    commit: &mut Commit,
) {
    let mut members: BTreeMap<CustomerKey, Vec<&Record>> = BTreeMap::new();
    for (id, key) in &affected.homes {
        let fresh = affected.fresh.get(id).copied();
        let record = fresh.or_else(|| view.records.get(id).map(|(record, _)| record));
        members.entry(*key).or_default().extend(record);
    }
    let pending = pending_by_customer(view, affected);
    for key in &affected.customers {
        let members = members.get(key).map_or(&[][..], Vec::as_slice);
        let golden = survive(members, survivorship);
        let customer = renew(view.customers.get(key), *key, &golden, commit);
        let desires = desires(key, &golden.fields, members, rules, survivorship);
        let pending = pending.get(key).map_or(&[][..], Vec::as_slice);
        fill_outbox(&customer, desires, pending, now, &mut commit.writes);
        commit.customers.push(customer);
    }
}

fn pending_by_customer<'v>(view: &'v View, affected: &Affected<'_>) -> BTreeMap<CustomerKey, Vec<&'v Write>> {
    let mut pending: BTreeMap<CustomerKey, Vec<&Write>> = BTreeMap::new();
    for write in view.writes.values() {
        let home = match &write.target.slot {
            Slot::Object(remote) => affected.homes.get(&write.target.stream.record(remote.clone())).copied(),
            Slot::New(_) => None,
        };
        let owner = home.unwrap_or(write.customer);
        pending
            .entry(affected.merged.get(&owner).copied().unwrap_or(owner))
            .or_default()
            .push(write);
    }
    pending
}

/// The customer with her new golden record; its changes go on the audit trail.
fn renew(old: Option<&Customer>, key: CustomerKey, golden: &crate::merge::Golden, commit: &mut Commit) -> Customer {
    if let Some(old) = old {
        let changed = compare(&old.golden, &golden.fields);
        if !changed.is_empty() {
            commit.changes.push(Change {
                customer: key,
                record: None,
                what: What::Fields(changed),
            });
        }
    }
    Customer {
        key,
        golden: golden.fields.clone(),
        lineage: golden.lineage.clone(),
        version: old.map_or(0, |old| old.version),
        merged_into: None,
    }
}

fn compare(old: &Fields, new: &Fields) -> BTreeMap<FieldName, FieldChange> {
    let names: BTreeSet<&FieldName> = old.0.keys().chain(new.0.keys()).collect();
    let change = |name: &&FieldName| (old.value(name.as_str()).cloned(), new.value(name.as_str()).cloned());
    names
        .into_iter()
        .map(|name| (name.clone(), change(&name)))
        .filter(|(_, (old, new))| old != new)
        .collect()
}

/// Makes the outbox of one customer hold exactly what is wanted: one row per object, coalesced.
fn fill_outbox(
    customer: &Customer,
    desires: Vec<Desire>,
    pending: &[&Write],
    now: UnixMillis,
    changes: &mut Vec<WriteChange>,
) {
    let was_uncertain =
        |stream: &crate::model::StreamId| pending.iter().any(|w| w.target.stream == *stream && is_open_create(w));
    let mut wanted = BTreeSet::new();
    for desire in desires {
        if desire.fields.is_empty() && desire.object.is_some() {
            continue;
        }
        let slot = match &desire.object {
            Some(record) => Slot::Object(record.remote.clone()),
            None => Slot::New(customer.key),
        };
        let target = Target {
            stream: desire.stream,
            slot,
        };
        let existing = pending.iter().find(|write| write.target == target).copied();
        let uncertain = desire.object.is_none() && was_uncertain(&target.stream);
        changes.extend(put(existing, &target, customer.key, desire.fields, uncertain, now).map(WriteChange::Put));
        wanted.insert(target);
    }
    let obsolete = pending.iter().filter(|write| !wanted.contains(&write.target));
    changes.extend(obsolete.map(|write| WriteChange::Remove(write.target.clone())));
}

/// A create that was handed out and whose outcome nobody knows.
fn is_open_create(write: &Write) -> bool {
    matches!(write.target.slot, Slot::New(_)) && (write.is_uncertain || write.state == WriteState::Leased)
}

/// The row for a target, or nothing when the row that is there already says so.
fn put(
    existing: Option<&Write>,
    target: &Target,
    customer: CustomerKey,
    fields: BTreeMap<FieldName, Wanted>,
    is_uncertain: bool,
    now: UnixMillis,
) -> Option<Write> {
    let Some(existing) = existing else {
        return Some(Write {
            operation: operation(target, customer, now),
            target: target.clone(),
            customer,
            fields,
            generation: 1,
            due_at: now,
            attempts: 0,
            problem: None,
            state: WriteState::Due,
            is_uncertain,
        });
    };
    if existing.fields == fields && existing.customer == customer {
        return None;
    }
    let state = match existing.state {
        WriteState::Dead => WriteState::Due,
        other => other,
    };
    Some(Write {
        customer,
        fields,
        generation: existing.generation + 1,
        due_at: now,
        attempts: 0,
        problem: None,
        state,
        operation: operation(target, customer, now),
        ..existing.clone()
    })
}

/// Names a write towards the tool: the same over all attempts, another one for every new wish. A create is named after the
/// customer alone, so that a repeated one is recognised, also by another process.
fn operation(target: &Target, customer: CustomerKey, now: UnixMillis) -> CompactString {
    match &target.slot {
        Slot::New(_) => format_compact!("new-{}", customer.id.simple()),
        Slot::Object(remote) => format_compact!("set-{remote}-{}", now.0),
    }
}
