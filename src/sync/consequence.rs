//! What follows when customers are touched: golden records, and the outbox made to hold exactly what is wanted.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::{CompactString, format_compact};

use super::handoffs::Passing;
use crate::ledger::{Cause, Change, Commit, FIRST_READING, Slot, Target, View, What, Write, WriteChange, WriteState};
use crate::merge::{Desire, FieldChange, Rules, Survivorship, desires, survive, survive_consent};
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
    /// Customers whose golden record cannot have changed: all that happened is that a tool now says what it already says.
    pub unmoved: BTreeSet<CustomerKey>,
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
    let moment = Moment {
        now,
        run: run_of(&commit.cause),
        removes_at: now.plus(rules.quarantine()),
    };
    for key in &affected.customers {
        let members = members.get(key).map_or(&[][..], Vec::as_slice);
        let pending = pending.get(key).map_or(&[][..], Vec::as_slice);
        let old = view.customers.get(key);
        let want = |golden: &Fields, commit: &mut Commit| {
            let before = old.map(|old| &old.golden);
            let cause = (&commit.cause, now);
            let passing = Passing::begin(view, affected, rules, (*key, before, golden), members, cause);
            let brought = passing.as_ref().map(Passing::brought).unwrap_or_default();
            let desires = desires(key, golden, members, rules, survivorship, &brought);
            let desires = restrained(desires, *key, view, affected, members, rules.size_max());
            let so_far = commit.writes.len();
            fill_outbox(*key, &desires, pending, moment, &mut commit.writes);
            let is_handed_over = passing.as_ref().is_some_and(Passing::is_on_the_way);
            if let Some(ahead) = rules.head_start(golden, is_handed_over) {
                let ahead = u64::try_from(ahead.as_millis()).unwrap_or(u64::MAX);
                commit.head_starts.insert(*key, ahead);
            }
            if let Some(passing) = passing {
                let puts = commit.writes.split_off(so_far);
                passing.end(golden, &desires, (pending, &puts), commit);
                commit.writes.extend(puts);
            }
        };
        if let Some(old) = old.filter(|_| affected.unmoved.contains(key)) {
            want(&old.golden, commit);
            commit.touched.push((*key, old.version));
            continue;
        }
        let mut golden = survive(members, survivorship);
        survive_consent(members, remembered(view, affected, key), &mut golden);
        let customer = renew(old, *key, golden, commit);
        want(&customer.golden, commit);
        commit.customers.push(customer);
    }
}

/// What is left of wishes while it is not sure who is who. For a customer who may be the same as another one nothing is
/// made where that one stands; and what the scored match joined is filled up, not overwritten, as long as it is not much
/// surer than it has to be for joining; nor is anything of theirs removed. Of somebody with more records than a person can
/// have nothing is left at all.
fn restrained(
    mut desires: Vec<Desire>,
    key: CustomerKey,
    view: &View,
    affected: &Affected<'_>,
    members: &[&Record],
    size_max: usize,
) -> Vec<Desire> {
    if is_too_large(view, members, size_max) {
        return Vec::new();
    }
    if view.joints.is_empty() && view.doubtful.is_empty() {
        return desires;
    }
    let merged = affected.merged.iter().filter(|(_, into)| **into == key);
    let keys: Vec<CustomerKey> = merged.map(|(loser, _)| *loser).chain([key]).collect();
    let is_withheld = |desire: &Desire| {
        let doubtful = keys.iter().filter_map(|key| view.doubtful.get(key));
        desire.object.is_none() && doubtful.into_iter().any(|streams| streams.contains(&desire.stream))
    };
    desires.retain(|desire| !is_withheld(desire));
    if keys.iter().any(|key| view.joints.contains_key(key)) {
        for desire in &mut desires {
            desire.is_removal = false;
            let object = members.iter().find(|record| desire.object.as_ref() == Some(&record.id));
            if let Some(record) = object {
                let is_empty = |field: &FieldName| record.fields.value(field.as_str()).is_none();
                desire
                    .fields
                    .retain(|field, _| is_empty(field) || !record.asserts(field.as_str()));
            }
        }
    }
    desires
}

/// True when nothing is written because of a customer, since she has more records than a person can have.
#[must_use]
pub fn is_withheld(view: &View, key: CustomerKey, size_max: usize) -> bool {
    let hers = view.records.values().filter(|(_, customer)| *customer == key);
    let hers: Vec<&Record> = hers.map(|(record, _)| record).collect();
    is_too_large(view, &hers, size_max)
}

/// More records than one customer can have, and nobody has said that all of them are hers.
pub(super) fn is_too_large(view: &View, members: &[&Record], size_max: usize) -> bool {
    if members.len() <= size_max {
        return false;
    }
    let live = members.iter().filter(|record| record.deleted_at.is_none());
    let said = view.decisions.iter().filter(|said| said.same);
    let vouched: BTreeSet<&RecordId> = said.flat_map(|said| [&said.left, &said.right]).collect();
    live.clone().count() > size_max && live.into_iter().any(|record| !vouched.contains(&record.id))
}

/// The run that a commit comes of.
fn run_of(cause: &Cause) -> Option<i64> {
    match cause {
        Cause::Run(run) => Some(*run),
        Cause::FirstReading => Some(FIRST_READING),
        _ => None,
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

/// The golden records that become this customer's: her own so far, and those of whom she took in.
fn remembered<'v>(
    view: &'v View,
    affected: &'v Affected<'_>,
    key: &'v CustomerKey,
) -> impl Iterator<Item = &'v Fields> + Clone {
    let merged = affected.merged.iter().filter(move |(_, into)| *into == key);
    let keys = merged.map(|(loser, _)| loser).chain([key]);
    keys.filter_map(|key| Some(&view.customers.get(key)?.golden))
}

/// The customer with her new golden record; its changes go on the audit trail.
fn renew(old: Option<&Customer>, key: CustomerKey, golden: crate::merge::Golden, commit: &mut Commit) -> Customer {
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
        golden: golden.fields,
        lineage: golden.lineage,
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

/// When, and of what, wishes come about.
#[derive(Clone, Copy)]
struct Moment {
    now: UnixMillis,
    run: Option<i64>,
    /// Before that nothing is removed: what was deleted by mistake comes back until then.
    removes_at: UnixMillis,
}

/// Makes the outbox of one customer hold exactly what is wanted: one row per object, coalesced.
fn fill_outbox(
    customer: CustomerKey,
    desires: &[Desire],
    pending: &[&Write],
    moment: Moment,
    changes: &mut Vec<WriteChange>,
) {
    let was_uncertain =
        |stream: &crate::model::StreamId| pending.iter().any(|w| w.target.stream == *stream && is_open_create(w));
    let mut wanted = BTreeSet::new();
    for desire in desires {
        if desire.fields.is_empty() && desire.object.is_some() && !desire.is_removal {
            continue;
        }
        let slot = match &desire.object {
            Some(record) => Slot::Object(record.remote.clone()),
            None => Slot::New(customer),
        };
        let target = Target {
            stream: desire.stream.clone(),
            slot,
        };
        let existing = pending.iter().find(|write| write.target == target).copied();
        let uncertain = desire.object.is_none() && was_uncertain(&target.stream);
        changes.extend(
            put(existing, &target, customer, desire, uncertain, moment).map(|write| {
                WriteChange::Put(Write {
                    run: moment.run.or(write.run),
                    ..write
                })
            }),
        );
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
    desire: &Desire,
    is_uncertain: bool,
    moment: Moment,
) -> Option<Write> {
    let now = moment.now;
    let fields: BTreeMap<FieldName, Wanted> = desire.fields.clone();
    let operation = operation(target, customer, desire.is_removal, now);
    let Some(existing) = existing else {
        return Some(Write {
            operation,
            target: target.clone(),
            customer,
            fields,
            generation: 1,
            due_at: now,
            attempts: 0,
            problem: None,
            state: WriteState::Due,
            is_uncertain,
            run: None,
            removes_at: desire.is_removal.then_some(moment.removes_at),
        });
    };
    let is_same_kind = existing.removes_at.is_some() == desire.is_removal;
    if existing.fields == fields && existing.customer == customer && is_same_kind {
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
        operation,
        // The quarantine of one that waits already goes on.
        removes_at: desire
            .is_removal
            .then(|| existing.removes_at.unwrap_or(moment.removes_at)),
        ..existing.clone()
    })
}

/// Names a write towards the tool: the same over all attempts, another one for every new wish. A create is named after the
/// customer alone, so that a repeated one is recognised, also by another process.
fn operation(target: &Target, customer: CustomerKey, is_removal: bool, now: UnixMillis) -> CompactString {
    match &target.slot {
        Slot::Object(remote) if is_removal => format_compact!("remove-{remote}-{}", now.0),
        Slot::New(_) => format_compact!("new-{}", customer.id.simple()),
        Slot::Object(remote) => format_compact!("set-{remote}-{}", now.0),
    }
}
