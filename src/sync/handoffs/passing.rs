//! What follows for a customer's handoffs when she is touched: passages open, arrive, stop and go on in the same commit as
//! everything else. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::handoff::{self, Accepted, Opened, Passage, Rule, Scene, Standing, State};
use crate::identity::{self, IdentityRules};
use crate::ledger::{Cause, Commit, Slot, Target, View, Write, WriteChange};
use crate::merge::{Desire, Rules};
use crate::model::{Activity, CustomerKey, Fields, Holder, Record, StreamId, UnixMillis};
use crate::sync::consequence::Affected;

use super::standing::{Outbox, Sight};

/// One customer in a fold.
pub(in crate::sync) struct Passing<'a> {
    view: &'a View,
    rules: &'a Rules,
    key: CustomerKey,
    members: &'a [&'a Record],
    activities: Vec<&'a Activity>,
    passages: Vec<&'a Passage>,
    opened: Opened,
    now: UnixMillis,
}

impl<'a> Passing<'a> {
    /// Opens what has to be opened. Nothing where there are no rules.
    pub(in crate::sync) fn begin(
        view: &'a View,
        affected: &Affected<'_>,
        rules: &'a Rules,
        (key, before, golden): (CustomerKey, Option<&Fields>, &Fields),
        members: &'a [&'a Record],
        (cause, now): (&Cause, UnixMillis),
    ) -> Option<Self> {
        if rules.handoffs.is_empty() {
            return None;
        }
        let merged = affected.merged.iter().filter(|(_, into)| **into == key);
        let keys = merged.map(|(loser, _)| *loser).chain([key]);
        let passages: Vec<&Passage> = keys.filter_map(|key| view.passages.get(&key)).flatten().collect();
        let activities = hers(view, members, key, rules);
        let opened = handoff::open(
            &rules.handoffs,
            Scene {
                key,
                before,
                golden,
                members,
                activities: &activities,
                passages: &passages,
                now,
                is_first_look: matches!(cause, Cause::FirstReading | Cause::Rules),
            },
        );
        Some(Self {
            view,
            rules,
            key,
            members,
            activities,
            passages,
            opened,
            now,
        })
    }

    /// Her passages, those that are new or changed in place of what they were.
    fn current(&self) -> Vec<&Passage> {
        let is_changed = |id: &str| self.opened.changed.iter().any(|passage| passage.id == id);
        let old = self.passages.iter().copied().filter(|passage| !is_changed(&passage.id));
        old.chain(&self.opened.changed).collect()
    }

    /// True while she has to arrive somewhere.
    pub(in crate::sync) fn is_on_the_way(&self) -> bool {
        self.current().iter().any(|passage| passage.state.is_pending())
    }

    /// Where a handoff lets her be made.
    pub(in crate::sync) fn brought(&self) -> BTreeSet<StreamId> {
        let is_live = |rule: &&Rule| {
            let mut mine = self.current().into_iter().filter(|passage| passage.rule == rule.name);
            mine.any(|passage| passage.state != State::Cancelled && passage.lapsed_at.is_none())
        };
        let rules = self.rules.handoffs.iter().filter(|rule| rule.create);
        rules.filter(is_live).map(|rule| rule.to.clone()).collect()
    }

    /// Moves her passages on by what the tools hold and what is to be written, and puts what changed into the commit.
    pub(in crate::sync) fn end(
        self,
        golden: &Fields,
        desires: &[Desire],
        (pending, puts): (&[&Write], &[WriteChange]),
        commit: &mut Commit,
    ) {
        let outbox = outbox(pending, puts);
        let mut changed: BTreeMap<&str, Passage> = self
            .opened
            .changed
            .iter()
            .map(|passage| (passage.id.as_str(), passage.clone()))
            .collect();
        for passage in self.current() {
            let rule = self.rules.handoffs.iter().find(|rule| rule.name == passage.rule);
            let Some(rule) = rule.filter(|_| !matches!(passage.state, State::Accepted | State::Cancelled)) else {
                continue;
            };
            let sight = Sight {
                view: self.view,
                rules: self.rules,
                rule,
                key: self.key,
                golden,
                members: self.members,
                desires,
                outbox: &outbox,
                now: self.now,
                note: passage.note.as_ref(),
            };
            let owner = self.owner(rule, passage);
            if let Some(next) = handoff::advance(passage, sight.standing(), owner, self.now) {
                changed.insert(&passage.id, next);
            }
        }
        let mine = |passage: Passage| Passage {
            customer: self.key,
            ..passage
        };
        commit.passages.extend(changed.into_values().map(mine));
        if let Some(at) = self.opened.look_at {
            commit.looks.insert(self.key, Some(at));
        }
    }

    /// Whoever has taken her on in the target: the owner of her record there, or of a deal or ticket since.
    fn owner(&self, rule: &Rule, passage: &Passage) -> Option<Accepted> {
        const OWNER: &str = "owner";
        let record = self
            .members
            .iter()
            .filter(|record| record.id.stream == rule.to && record.deleted_at.is_none());
        let mut owned = record.filter(|record| record.asserts(OWNER));
        let by_record = owned.find_map(|record| Some((record.fields.text(OWNER)?, &record.id)));
        let since = passage.opened_at;
        let by_activity = || {
            let mut there = self.activities.iter().filter(|activity| {
                let is_there = activity.id.stream.system == rule.to.system && activity.deleted_at.is_none();
                is_there && (passage.was_there || activity.at >= since || activity.seen_at >= since)
            });
            there.find_map(|activity| Some((activity.fields.text(OWNER)?, &activity.id)))
        };
        let (owner, record) = by_record.or_else(by_activity)?;
        Some(Accepted {
            owner: owner.into(),
            record: record.clone(),
            at: self.now,
        })
    }
}

/// The activities that hang on these records, or on an identifier of theirs.
fn hers<'v>(view: &'v View, members: &[&Record], key: CustomerKey, rules: &Rules) -> Vec<&'v Activity> {
    let mut identifiers = None;
    let mut is_hers = |holder: &Holder| match holder {
        Holder::Record(id) => members.iter().any(|record| record.id == *id),
        Holder::Identifier(identifier) => identifiers
            .get_or_insert_with(|| {
                let identity_rules = IdentityRules {
                    external_ids: &rules.external_ids,
                    region: None,
                };
                let said = members
                    .iter()
                    .map(|record| identity::identifiers(&record.fields, None, identity_rules, key.kind));
                said.flatten().collect::<BTreeSet<_>>()
            })
            .contains(identifier),
    };
    let mut found = Vec::new();
    for activity in view.activities.values() {
        if activity.holders.iter().any(&mut is_hers) {
            found.push(activity);
        }
    }
    found
}

/// The outbox of a customer as the commit will leave it.
fn outbox<'w>(pending: &[&'w Write], puts: &'w [WriteChange]) -> Outbox<'w> {
    let mut outbox: Outbox<'w> = pending.iter().map(|write| (write.target.clone(), *write)).collect();
    for change in puts {
        match change {
            WriteChange::Put(write) => {
                outbox.insert(write.target.clone(), write);
            }
            WriteChange::Remove(target) => {
                outbox.remove(target);
            }
            WriteChange::Settle(_) | WriteChange::RemoveGeneration(..) => {}
        }
    }
    outbox
}

/// Which row would make an object for her.
pub(super) fn new_row(stream: &StreamId, key: CustomerKey) -> Target {
    Target {
        stream: stream.clone(),
        slot: Slot::New(key),
    }
}

/// Where one passage stands by what the ledger holds; `None` when its rule is not there any more.
pub(super) fn standing_of(view: &View, rules: &Rules, passage: &Passage, now: UnixMillis) -> Option<Standing> {
    let rule = rules.handoffs.iter().find(|rule| rule.name == passage.rule)?;
    let key = view.aliases.get(&passage.customer).copied().unwrap_or(passage.customer);
    let customer = view.customers.get(&key)?;
    let hers = view.records.values().filter(|(_, home)| *home == key);
    let members: Vec<&Record> = hers.map(|(record, _)| record).collect();
    let pending: Vec<&Write> = view.writes.values().filter(|write| write.customer == key).collect();
    let outbox = outbox(&pending, &[]);
    let sight = Sight {
        view,
        rules,
        rule,
        key,
        golden: &customer.golden,
        members: &members,
        desires: &[],
        outbox: &outbox,
        now,
        note: passage.note.as_ref(),
    };
    Some(sight.standing())
}
