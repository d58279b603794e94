//! The fold: a page of objects and the part of the ledger it touches go in, everything that follows comes out as one commit.
//!
//! Pure: no I/O, no clock, no randomness (new keys are handed in). Folding the same page again changes nothing.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::consequence::{Affected, consequences};
use crate::identity::{self, IdentityRules, Input, Member};
use crate::ledger::{Ask, Cause, Change, Commit, View, What};
use crate::merge::{Rules, Seen, Survivorship, observe};
use crate::model::{Customer, CustomerKey, Fields, Identifier, Incoming, Kind, Record, RecordId, StreamId, UnixMillis};

/// One object as a page returned it. What is folded together may come from several streams.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// The stream it stands in.
    pub stream: &'a StreamId,
    /// What it says.
    pub incoming: &'a Incoming,
    /// When the page was asked for.
    pub asked_at: UnixMillis,
    /// By what it alone is found (see [`identifiers`]).
    pub identifiers: &'a BTreeSet<Identifier>,
}

impl Object<'_> {
    /// The record it is.
    #[must_use]
    pub fn id(&self) -> RecordId {
        self.stream.record(self.incoming.remote.clone())
    }
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
pub fn ask(objects: &[Object<'_>]) -> Ask {
    let mut ask = Ask::default();
    ask.records.extend(objects.iter().map(Object::id));
    ask.identifiers
        .extend(objects.iter().flat_map(|object| object.identifiers).cloned());
    ask
}

/// By what an object alone is found, whatever its record said before.
#[must_use]
pub fn identifiers(stream: &StreamId, incoming: &Incoming, rules: &Rules) -> BTreeSet<Identifier> {
    let kind = rules.kind(&stream.system, &stream.stream);
    identify(&incoming.fields, incoming.key.as_ref(), kind, rules)
}

/// Folds a page into a commit.
#[must_use]
pub fn fold(view: &View, asked: &Ask, objects: &[Object<'_>], context: Context<'_>) -> Folded {
    let sightings = see(view, objects, context.rules);
    if let Some(missing) = missing(&sightings, asked) {
        return Folded::NeedsMore(missing);
    }
    if sightings.is_empty() && !has_open_decision(view) {
        let mut commit = Commit::new(context.cause, context.now);
        commit.rematch = context.rules.matching.is_some();
        return Folded::Done(Box::new(commit));
    }
    conclude(view, sightings, &BTreeSet::new(), context)
}

/// Reckons customers anew, as they are, by the rules as they are now. With `is_renamed`, what identifies their records is
/// found anew too, and may make two of them one.
#[must_use]
pub fn refold(
    view: &View,
    asked: &Ask,
    keys: &BTreeSet<CustomerKey>,
    is_renamed: bool,
    context: Context<'_>,
) -> Folded {
    let known = view.records.values().filter(|(_, home)| keys.contains(home));
    let named = known.filter(|_| is_renamed).map(|(record, home)| Sighting {
        identifiers: Cow::Owned(identify(
            &own_words(record, context.rules),
            None,
            home.kind,
            context.rules,
        )),
        seen: unchanged(record),
    });
    let mut sightings: Vec<Sighting<'_>> = named.collect();
    if let Some(missing) = missing(&sightings, asked) {
        return Folded::NeedsMore(missing);
    }
    let is_held = |identifier: &Identifier, id: &RecordId| {
        let holders = view.holders.get(identifier);
        holders.is_some_and(|holders| holders.contains(id))
    };
    sightings.retain(|Sighting { seen, identifiers }| identifiers.iter().any(|one| !is_held(one, &seen.record.id)));
    conclude(view, sightings, keys, context)
}

/// A known record looked at again.
fn unchanged(record: &Record) -> Seen {
    Seen {
        record: record.clone(),
        appeared: false,
        deleted: false,
        restored: false,
        fields: BTreeMap::new(),
        frozen: BTreeSet::new(),
    }
}

/// Identifiers that the view was not asked for.
fn missing(sightings: &[Sighting<'_>], asked: &Ask) -> Option<BTreeSet<Identifier>> {
    let needed = sightings.iter().flat_map(|sighting| sighting.identifiers.iter());
    let missing: BTreeSet<_> = needed
        .filter(|identifier| !asked.identifiers.contains(*identifier))
        .cloned()
        .collect();
    (!missing.is_empty()).then_some(missing)
}

/// Who is who after these sightings, and what follows for them and for `keys`.
fn conclude(view: &View, sightings: Vec<Sighting<'_>>, keys: &BTreeSet<CustomerKey>, context: Context<'_>) -> Folded {
    let mut commit = Commit::new(context.cause.clone(), context.now);
    commit.rematch = context.rules.matching.is_some();
    let mut affected = settle_identity(view, &sightings, context.rules, context.mint, &mut commit);
    let live = keys.iter().filter(|key| view.customers.contains_key(key));
    let live = live.filter(|key| !affected.merged.contains_key(key));
    let live: Vec<CustomerKey> = live.copied().collect();
    affected.customers.extend(live);
    consequences(
        view,
        &affected,
        context.rules,
        context.survivorship,
        context.now,
        &mut commit,
    );
    let homes = affected.homes;
    for Sighting { seen, identifiers } in sightings {
        commit
            .identifiers
            .push((seen.record.id.clone(), identifiers.into_owned()));
        if let Some(customer) = homes.get(&seen.record.id) {
            note(&seen, *customer, &mut commit.changes);
            commit.records.push((seen.record, *customer));
        }
    }
    Folded::Done(Box::new(commit))
}

/// True when somebody said that two records are one customer, and they are not yet.
fn has_open_decision(view: &View) -> bool {
    let customer = |id| view.records.get(id).map(|(_, customer)| *customer);
    let mut said = view.decisions.iter().filter(|decision| decision.same);
    said.any(|decision| match (customer(&decision.left), customer(&decision.right)) {
        (Some(left), Some(right)) => left != right,
        _ => false,
    })
}

/// An object that says something new.
struct Sighting<'a> {
    seen: Seen,
    /// What its record asserts from now on.
    identifiers: Cow<'a, BTreeSet<Identifier>>,
}

/// What the page newly says, record by record, in the order of their ids. An object that is first seen as gone is nobody's.
fn see<'a>(view: &View, objects: &[Object<'a>], rules: &Rules) -> Vec<Sighting<'a>> {
    let mut by_id: Vec<(RecordId, &Object<'a>)> = objects.iter().map(|object| (object.id(), object)).collect();
    by_id.sort_by(|a, b| a.0.cmp(&b.0));
    let same = by_id.chunk_by(|a, b| a.0 == b.0);
    same.filter_map(|same| see_one(view, same, rules)).collect()
}

/// What the sayings of one object newly say, the later ones on top.
fn see_one<'a>(view: &View, sayings: &[(RecordId, &Object<'a>)], rules: &Rules) -> Option<Sighting<'a>> {
    let id = &sayings.first()?.0;
    let known = view.records.get(id).map(|(record, _)| record);
    let mut seen: Option<Seen> = None;
    for (_, object) in sayings {
        let old = seen.as_ref().map(|seen| &seen.record).or(known);
        let Some(now) = observe(old, id, object.incoming, object.asked_at) else {
            continue;
        };
        if now.appeared && object.incoming.deleted {
            continue;
        }
        match &mut seen {
            Some(before) => join(before, now),
            None => seen = Some(now),
        }
    }
    let seen = seen?;
    let identifiers = match sayings {
        // An object that is new asserts what it says by itself.
        [(_, only)] if seen.appeared => Cow::Borrowed(only.identifiers),
        _ => {
            let kind = rules.kind(&id.stream.system, &id.stream.stream);
            let mut keys = sayings.iter().filter_map(|(_, object)| object.incoming.key.as_ref());
            let fields = own_words(&seen.record, rules);
            Cow::Owned(identify(&fields, keys.next_back(), kind, rules))
        }
    };
    Some(Sighting { seen, identifiers })
}

/// What a record says that may tell who it is. Where the match looks at evidence, an identifier that Nivel wrote there is
/// none: it would hold together for ever what evidence had brought together for a while.
fn own_words<'a>(record: &'a Record, rules: &Rules) -> Cow<'a, Fields> {
    if rules.matching.is_none() || record.ours.is_empty() {
        return Cow::Borrowed(&record.fields);
    }
    let own = record.fields.0.keys();
    Cow::Owned(Fields(
        own.map(|name| (name.clone(), record.own_word(name.as_str()).cloned()))
            .collect(),
    ))
}

/// The same object twice in one page: the later news come on top.
fn join(before: &mut Seen, now: Seen) {
    for (field, (old, new)) in now.fields {
        let first = before.fields.remove(&field).map_or(old, |(first, _)| first);
        before.fields.insert(field, (first, new));
    }
    before.frozen.extend(now.frozen);
    before.deleted |= now.deleted;
    before.restored |= now.restored;
    before.record = now.record;
}

fn identify(fields: &Fields, key: Option<&CustomerKey>, kind: Kind, rules: &Rules) -> BTreeSet<Identifier> {
    let identity_rules = IdentityRules {
        external_ids: &rules.external_ids,
        region: None,
    };
    identity::identifiers(fields, key, identity_rules, kind)
}

/// Decides whose records these are; merges and their trail go into the commit.
fn settle_identity<'s>(
    view: &View,
    sightings: &'s [Sighting<'_>],
    rules: &Rules,
    mint: &mut dyn FnMut(Kind) -> CustomerKey,
    commit: &mut Commit,
) -> Affected<'s> {
    let resolution = identity::resolve(members(view, sightings, rules));
    let mut affected = Affected {
        fresh: sightings
            .iter()
            .map(|sighting| (&sighting.seen.record.id, &sighting.seen.record))
            .collect(),
        ..Affected::default()
    };
    for group in resolution.groups {
        let key = group.customer.unwrap_or_else(|| mint(group.kind));
        let moves = |id: &&RecordId| view.records.get(*id).is_some_and(|(_, customer)| *customer != key);
        let is_touched = group
            .records
            .iter()
            .any(|id| affected.fresh.contains_key(id) || moves(&id));
        commit.merges += merges(view, &group, sightings);
        for loser in group.absorbed.iter().filter(|loser| **loser != key) {
            absorb(view, *loser, key, commit);
            affected.merged.insert(*loser, key);
        }
        for id in group.records.iter().filter(moves) {
            affected
                .customers
                .extend(view.records.get(id).map(|(_, customer)| *customer));
            if !affected.fresh.contains_key(id) {
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
    affected
}

/// How many records turned out to be about somebody known from another one, and customers to be one.
fn merges(view: &View, group: &identity::Group, sightings: &[Sighting<'_>]) -> u64 {
    let is_new = |id: &RecordId| {
        let place = sightings.binary_search_by(|sighting| sighting.seen.record.id.cmp(id));
        place.is_ok_and(|at| sightings[at].seen.appeared)
    };
    let new = group.records.iter().filter(|id| is_new(id)).count();
    let is_known = group.customer.is_some_and(|key| view.customers.contains_key(&key));
    (new.saturating_sub(usize::from(!is_known)) + group.absorbed.len()) as u64
}

/// Everybody who has a say in who is who.
fn members(view: &View, sightings: &[Sighting<'_>], rules: &Rules) -> Input {
    let mut members: Vec<Member> = view
        .records
        .iter()
        .map(|(id, (_, customer))| Member {
            record: id.clone(),
            identifiers: BTreeSet::new(),
            customer: Some(*customer),
            kind: customer.kind,
        })
        .collect();
    for (identifier, holders) in &view.holders {
        for holder in holders {
            if let Ok(at) = members.binary_search_by(|member| member.record.cmp(holder)) {
                members[at].identifiers.insert(identifier.clone());
            }
        }
    }
    members.extend(sightings.iter().map(|Sighting { seen, identifiers }| {
        let id = &seen.record.id;
        Member {
            record: id.clone(),
            identifiers: identifiers.as_ref().clone(),
            customer: None,
            kind: rules.kind(&id.stream.system, &id.stream.stream),
        }
    }));
    let word = |same| {
        let said = view.decisions.iter().filter(move |decision| decision.same == same);
        said.map(|decision| (decision.left.clone(), decision.right.clone()))
            .collect()
    };
    Input {
        members,
        customers: view.customers.keys().copied().collect(),
        must: word(true),
        cannot: word(false),
        followers: followers(view, sightings, rules),
    }
}

/// Records that bring nobody together. Where only identifiers join, there are none: whoever is gone still tells whose an
/// object made anew is.
fn followers(view: &View, sightings: &[Sighting<'_>], rules: &Rules) -> BTreeSet<RecordId> {
    if rules.matching.is_none() {
        return BTreeSet::new();
    }
    let is_mute = |record: &Record, kind: Kind| !identity::speaks(record, kind);
    let known = view
        .records
        .iter()
        .filter(|(_, (record, customer))| is_mute(record, customer.kind));
    let mut followers: BTreeSet<RecordId> = known.map(|(id, _)| id.clone()).collect();
    let said = view.decisions.iter().filter(|decision| decision.same);
    let named: BTreeSet<&RecordId> = said.flat_map(|decision| [&decision.left, &decision.right]).collect();
    for Sighting { seen, .. } in sightings {
        let id = &seen.record.id;
        if is_mute(&seen.record, rules.kind(&id.stream.system, &id.stream.stream)) {
            followers.insert(id.clone());
        } else {
            followers.remove(id);
        }
    }
    // Of whom somebody said who it is, that one is not silent: an object that its tool made one with another.
    followers.retain(|id| !named.contains(id));
    followers
}

/// `loser` lives on as an alias of `key`.
pub(super) fn absorb(view: &View, loser: CustomerKey, key: CustomerKey, commit: &mut Commit) {
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
    if !seen.frozen.is_empty() {
        push(What::Frozen(seen.frozen.iter().cloned().collect()));
    }
}
