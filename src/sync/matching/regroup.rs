//! Carries out what the scored match (or an operator) decided: a view and groups of records go in, one commit comes out.
//! Pure, as the fold is.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::identity::{self, Group, IdentityRules, Member};
use crate::ledger::{Cause, Change, Commit, View, What};
use crate::merge::{Rules, Survivorship};
use crate::model::{Customer, CustomerKey, Kind, RecordId, UnixMillis};
use crate::sync::consequence::{Affected, consequences};
use crate::sync::fold::absorb;

/// Records that shall be one customer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The records.
    pub records: Vec<RecordId>,
    /// How surely they are one, in thousandths of a bit, where that is not sure enough to overwrite values.
    pub unsure: Option<i32>,
    /// What is wanted of her is reckoned anew even when nobody comes or goes.
    pub refold: bool,
}

/// What a regrouping needs besides the view.
pub struct Regroup<'a> {
    /// Who shall be one. Records of the view that are in no group follow the others.
    pub wanted: &'a [Wanted],
    /// The customers that records had first; see [`crate::ledger::Matching::former`].
    pub former: &'a BTreeMap<RecordId, Customer>,
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

/// Makes customers of groups: merges, splits, and what follows for golden records and the outbox. The view must hold
/// every record of the groups and of their customers.
#[must_use]
pub fn regroup(view: &View, regroup: Regroup<'_>) -> Commit {
    let found: Vec<Vec<RecordId>> = regroup.wanted.iter().map(|group| group.records.clone()).collect();
    let former = regroup
        .former
        .iter()
        .map(|(record, customer)| (record.clone(), customer.key))
        .collect();
    let decided = view.decisions.iter();
    let decided: Vec<_> = decided
        .map(|said| (said.left.clone(), said.right.clone(), said.same))
        .collect();
    let resolution = identity::regroup(members(view, regroup.rules), &found, &former, &decided);
    let mut commit = Commit::new(regroup.cause, regroup.now);
    let mut plan = Plan::of(view, resolution.groups, regroup.mint);
    plan.leave_nobody_behind(view);
    // A former key that is used again: the alias is a customer once more.
    let is_revived =
        |customer: &&Customer| plan.keys.contains(&customer.key) && !view.customers.contains_key(&customer.key);
    let revived: Vec<&Customer> = regroup.former.values().filter(is_revived).collect();
    let mut view = Cow::Borrowed(view);
    for customer in revived {
        view.to_mut().customers.insert(customer.key, customer.clone());
    }
    let mut affected = Affected {
        homes: plan.homes.clone(),
        ..Affected::default()
    };
    for (loser, key) in &plan.absorbed {
        absorb(&view, *loser, *key, &mut commit);
        affected.merged.insert(*loser, *key);
        commit.merges += 1;
    }
    for (id, (record, from)) in &view.records {
        let Some(to) = plan.homes.get(id).filter(|to| *to != from) else {
            continue;
        };
        commit.records.push((record.clone(), *to));
        affected.customers.extend([*from, *to]);
        if affected.merged.get(from) != Some(to) {
            commit.changes.push(Change {
                customer: *to,
                record: Some(id.clone()),
                what: What::Moved(*from),
            });
        }
    }
    note_joints(&mut view, regroup.wanted, &plan, &mut affected, &mut commit);
    consequences(
        &view,
        &affected,
        regroup.rules,
        regroup.survivorship,
        regroup.now,
        &mut commit,
    );
    commit
}

/// How surely each group holds, in the view and in the commit; and whose wishes are reckoned anew.
fn note_joints(
    view: &mut Cow<'_, View>,
    wanted: &[Wanted],
    plan: &Plan,
    affected: &mut Affected<'_>,
    commit: &mut Commit,
) {
    for wanted in wanted {
        let key = wanted.records.first().and_then(|id| plan.homes.get(id));
        let Some(key) = key.copied() else { continue };
        let is_news = view.joints.contains_key(&key) != wanted.unsure.is_some();
        if wanted.refold || is_news {
            affected.customers.insert(key);
        }
        if is_news || (affected.customers.contains(&key) && wanted.unsure.is_some()) {
            commit.joints.insert(key, wanted.unsure);
            match wanted.unsure {
                Some(score) => drop(view.to_mut().joints.insert(key, score)),
                None => drop(view.to_mut().joints.remove(&key)),
            }
        }
    }
    affected
        .customers
        .retain(|customer| !affected.merged.contains_key(customer));
    for loser in affected.merged.keys() {
        if view.joints.contains_key(loser) {
            view.to_mut().joints.remove(loser);
            commit.joints.insert(*loser, None);
        }
    }
}

/// Everybody of the view.
pub(super) fn members(view: &View, rules: &Rules) -> Vec<Member> {
    let member = |(id, (record, customer)): (&RecordId, &(crate::model::Record, CustomerKey))| Member {
        record: id.clone(),
        identifiers: identity::identifiers(
            &record.fields,
            None,
            IdentityRules {
                external_ids: &rules.external_ids,
                region: None,
            },
            customer.kind,
        ),
        customer: Some(*customer),
        kind: customer.kind,
    };
    view.records.iter().map(member).collect()
}

/// Who has which key from now on.
#[derive(Debug, Default)]
struct Plan {
    keys: BTreeSet<CustomerKey>,
    homes: BTreeMap<RecordId, CustomerKey>,
    absorbed: BTreeMap<CustomerKey, CustomerKey>,
}

impl Plan {
    fn of(view: &View, groups: Vec<Group>, mint: &mut dyn FnMut(Kind) -> CustomerKey) -> Self {
        let mut plan = Self::default();
        for group in groups {
            let claimed: BTreeSet<CustomerKey> = group.customer.into_iter().chain(group.absorbed).collect();
            // A key that is in use goes before one that is to be brought back.
            let live = claimed.iter().find(|key| view.customers.contains_key(key));
            let key = live.or_else(|| claimed.first()).copied();
            let key = key.unwrap_or_else(|| mint(group.kind));
            let losers = claimed
                .iter()
                .filter(|loser| **loser != key && view.customers.contains_key(loser));
            plan.absorbed.extend(losers.map(|loser| (*loser, key)));
            plan.keys.insert(key);
            plan.homes.extend(group.records.into_iter().map(|id| (id, key)));
        }
        plan
    }

    /// A customer of whom nobody is left lives on in the one that most of hers came to.
    fn leave_nobody_behind(&mut self, view: &View) {
        for key in view.customers.keys() {
            if self.keys.contains(key) || self.absorbed.contains_key(key) {
                continue;
            }
            let mut counts: BTreeMap<CustomerKey, usize> = BTreeMap::new();
            for (id, (_, customer)) in &view.records {
                if let Some(to) = self.homes.get(id).filter(|_| customer == key) {
                    *counts.entry(*to).or_default() += 1;
                }
            }
            let heir = counts
                .into_iter()
                .max_by_key(|(to, count)| (*count, std::cmp::Reverse(*to)));
            if let Some((heir, _)) = heir {
                self.absorbed.insert(*key, heir);
            }
        }
    }
}
