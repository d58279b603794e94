//! The fold: a page of objects and the part of the ledger it touches go in, everything that follows comes out as one commit.
//!
//! Pure: no I/O, no clock, no randomness (new keys are handed in). Folding the same page again changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::consequence::{Affected, consequences};
use crate::identity::{self, IdentityRules, Input, Member};
use crate::ledger::{Ask, Cause, Change, Commit, View, What};
use crate::merge::{BOUNCES_MAX, Rules, Seen, Survivorship, observe};
use crate::model::{Customer, CustomerKey, Fields, Identifier, Incoming, Kind, RecordId, StreamId, UnixMillis};

/// Objects of one stream as a page returned them.
#[derive(Clone, Copy, Debug)]
pub struct Objects<'a> {
    /// The stream.
    pub stream: &'a StreamId,
    /// The objects.
    pub incoming: &'a [Incoming],
    /// When the page was asked for.
    pub asked_at: UnixMillis,
}

/// What a fold needs besides the page and the view.
pub struct Context<'a> {
    /// The admin's rules.
    pub rules: &'a Rules,
    /// The same, made ready for use.
    pub survivorship: &'a Survivorship,
    /// The present moment.
    pub now: UnixMillis,
    /// What causes the commit.
    pub cause: Cause,
    /// Gives out a key that was never given out before.
    pub mint: &'a mut dyn FnMut(Kind) -> CustomerKey,
}

/// What came of a fold.
#[derive(Clone, Debug, PartialEq)]
pub enum Folded {
    /// Everything that follows, without the cursor.
    Done(Box<Commit>),
    /// The view does not reach far enough: ask for these identifiers too, and fold again.
    NeedsMore(BTreeSet<Identifier>),
}

/// What the view must reach for a page.
#[must_use]
pub fn ask(objects: Objects<'_>, rules: &Rules) -> Ask {
    let mut ask = Ask::default();
    let kind = rules.kind(&objects.stream.system, &objects.stream.stream);
    for incoming in objects.incoming {
        ask.records.insert(objects.stream.record(incoming.remote.clone()));
        ask.identifiers
            .extend(identify(&incoming.fields, incoming.key.as_ref(), kind, rules));
    }
    ask
}

/// Folds a page into a commit.
#[must_use]
pub fn fold(view: &View, asked: &Ask, objects: Objects<'_>, context: Context<'_>) -> Folded {
    let seen = see(view, objects);
    let kind = context.rules.kind(&objects.stream.system, &objects.stream.stream);
    let keys = read_back_keys(objects);
    let identifiers: BTreeMap<&RecordId, BTreeSet<Identifier>> = seen
        .iter()
        .map(|(id, seen)| {
            (
                id,
                identify(&seen.record.fields, keys.get(id).copied(), kind, context.rules),
            )
        })
        .collect();
    let missing: BTreeSet<_> = identifiers
        .values()
        .flatten()
        .filter(|identifier| !asked.identifiers.contains(*identifier))
        .cloned()
        .collect();
    if !missing.is_empty() {
        return Folded::NeedsMore(missing);
    }
    let mut commit = Commit::new(context.cause.clone(), context.now);
    if seen.is_empty() {
        return Folded::Done(Box::new(commit));
    }
    let affected = settle_identity(view, &seen, &identifiers, kind, context.mint, &mut commit);
    for (id, seen) in &seen {
        if let Some(customer) = affected.homes.get(id) {
            note(seen, *customer, &mut commit.changes);
            commit.records.push((seen.record.clone(), *customer));
        }
    }
    commit.identifiers = identifiers.into_iter().map(|(id, set)| (id.clone(), set)).collect();
    consequences(
        view,
        &affected,
        context.rules,
        context.survivorship,
        context.now,
        &mut commit,
    );
    Folded::Done(Box::new(commit))
}

/// What the page newly says, record by record. An object that is first seen as gone is nobody's.
fn see(view: &View, objects: Objects<'_>) -> BTreeMap<RecordId, Seen> {
    let mut all: BTreeMap<RecordId, Seen> = BTreeMap::new();
    for incoming in objects.incoming {
        let id = objects.stream.record(incoming.remote.clone());
        let earlier = all.get(&id).map(|seen| &seen.record);
        let old = earlier.or_else(|| view.records.get(&id).map(|(record, _)| record));
        let Some(now) = observe(old, &id, incoming, objects.asked_at) else {
            continue;
        };
        if now.appeared && incoming.deleted {
            continue;
        }
        match all.get_mut(&id) {
            Some(before) => join(before, now),
            None => {
                all.insert(id, now);
            }
        }
    }
    all
}

/// The same object twice in one page: the later news come on top.
fn join(before: &mut Seen, now: Seen) {
    for (field, (old, new)) in now.fields {
        let first = before.fields.remove(&field).map_or(old, |(first, _)| first);
        before.fields.insert(field, (first, new));
    }
    before.deleted |= now.deleted;
    before.restored |= now.restored;
    before.record = now.record;
}

fn read_back_keys(objects: Objects<'_>) -> BTreeMap<RecordId, &CustomerKey> {
    let with_key = objects
        .incoming
        .iter()
        .filter_map(|incoming| Some((incoming, incoming.key.as_ref()?)));
    with_key
        .map(|(incoming, key)| (objects.stream.record(incoming.remote.clone()), key))
        .collect()
}

fn identify(fields: &Fields, key: Option<&CustomerKey>, kind: Kind, rules: &Rules) -> BTreeSet<Identifier> {
    let identity_rules = IdentityRules {
        external_ids: &rules.external_ids,
        region: None,
    };
    identity::identifiers(fields, key, identity_rules, kind)
}

/// Decides whose records these are; merges and their trail go into the commit.
fn settle_identity(
    view: &View,
    seen: &BTreeMap<RecordId, Seen>,
    identifiers: &BTreeMap<&RecordId, BTreeSet<Identifier>>,
    kind: Kind,
    mint: &mut dyn FnMut(Kind) -> CustomerKey,
    commit: &mut Commit,
) -> Affected {
    let resolution = identity::resolve(&members(view, identifiers, kind));
    let mut affected = Affected::default();
    for group in resolution.groups {
        let key = group.customer.unwrap_or_else(|| mint(group.kind));
        let moves = |id: &&RecordId| view.records.get(*id).is_some_and(|(_, customer)| *customer != key);
        let is_touched = group.records.iter().any(|id| seen.contains_key(id) || moves(&id));
        for loser in group.absorbed.iter().filter(|loser| **loser != key) {
            absorb(view, *loser, key, commit);
            affected.merged.insert(*loser, key);
        }
        for id in group.records.iter().filter(moves) {
            affected
                .customers
                .extend(view.records.get(id).map(|(_, customer)| *customer));
            if !seen.contains_key(id) {
                commit
                    .records
                    .extend(view.records.get(id).map(|(record, _)| (record.clone(), key)));
            }
        }
        if is_touched {
            affected.customers.insert(key);
        }
        affected.homes.extend(group.records.into_iter().map(|id| (id, key)));
    }
    affected
        .customers
        .retain(|customer| !affected.merged.contains_key(customer));
    affected.fresh = seen
        .iter()
        .map(|(id, seen)| (id.clone(), seen.record.clone()))
        .collect();
    affected
}

/// Everybody who has a say in who is who.
fn members(view: &View, identifiers: &BTreeMap<&RecordId, BTreeSet<Identifier>>, kind: Kind) -> Input {
    let mut members: BTreeMap<&RecordId, Member> = BTreeMap::new();
    let member = |id: &RecordId, customer: Option<CustomerKey>, kind| Member {
        record: id.clone(),
        identifiers: BTreeSet::new(),
        customer,
        kind,
    };
    for (id, (_, customer)) in &view.records {
        members.insert(id, member(id, Some(*customer), customer.kind));
    }
    for (identifier, holders) in &view.holders {
        for holder in holders {
            if let Some(member) = members.get_mut(holder) {
                member.identifiers.insert(identifier.clone());
            }
        }
    }
    for (id, set) in identifiers {
        let member = members.entry(*id).or_insert_with(|| member(id, None, kind));
        member.identifiers.extend(set.iter().cloned());
    }
    let word = |same| {
        let said = view.decisions.iter().filter(move |decision| decision.same == same);
        said.map(|decision| (decision.left.clone(), decision.right.clone()))
            .collect()
    };
    Input {
        members: members.into_values().collect(),
        customers: view.customers.keys().copied().collect(),
        must: word(true),
        cannot: word(false),
    }
}

/// `loser` lives on as an alias of `key`.
fn absorb(view: &View, loser: CustomerKey, key: CustomerKey, commit: &mut Commit) {
    let Some(customer) = view.customers.get(&loser) else {
        return;
    };
    let records = view
        .records
        .iter()
        .filter(|(_, (_, customer))| *customer == loser)
        .map(|(id, _)| id.clone());
    let what = What::Merged(loser, records.collect());
    commit.changes.push(Change {
        customer: key,
        record: None,
        what,
    });
    commit.customers.push(Customer {
        merged_into: Some(key),
        ..customer.clone()
    });
}

/// The audit trail of one record.
fn note(seen: &Seen, customer: CustomerKey, changes: &mut Vec<Change>) {
    let mut push = |what| {
        changes.push(Change {
            customer,
            record: Some(seen.record.id.clone()),
            what,
        });
    };
    if seen.appeared {
        push(What::Appeared);
    }
    if seen.deleted {
        push(What::Deleted);
    }
    if seen.restored {
        push(What::Restored);
    }
    let frozen = |name: &&crate::model::FieldName| {
        seen.record
            .bounces
            .get(*name)
            .is_some_and(|bounce| bounce.count == BOUNCES_MAX)
    };
    let frozen: Vec<_> = seen.fields.keys().filter(frozen).cloned().collect();
    // Names that begin with `_` are the connector's own bookkeeping.
    let said: BTreeMap<_, _> = seen
        .fields
        .iter()
        .filter(|(name, _)| !name.as_str().starts_with('_'))
        .map(|(n, c)| (n.clone(), c.clone()))
        .collect();
    if !said.is_empty() {
        push(What::Fields(said));
    }
    if !frozen.is_empty() {
        push(What::Frozen(frozen));
    }
}
