//! From edges to groups: the component of a record, cut where it is too large, and what its groups are.

use std::collections::{BTreeMap, BTreeSet};

use super::super::sets::Sets;
use super::cluster::{Component, PINNED};
use super::index::{ALONE, Asked, Entry, Slot};
use super::resolver::{COMPONENT_MAX, COMPONENT_NOW, Decision, Matcher, in_order};
use super::ties::{Bond, bond};
use super::weights::BIT;

/// More records than this that no cut takes apart are joined by identifiers alone.
const MEAN_MAX: usize = 4 * COMPONENT_MAX;

/// Two records of a component.
#[derive(Clone, Copy)]
struct Pair {
    score: i32,
    /// The counts that went into the score and that no edge follows: bits of [`super::compare::Term`].
    counted: u16,
    is_bare: bool,
}

impl Matcher {
    /// Groups a component now, or later when it is large.
    pub(super) fn touch(&mut self, slot: Slot) {
        if self.regroup(slot, COMPONENT_NOW) == 0 {
            self.soil(slot);
        }
    }

    /// Groups the component of a record again, unless it is larger than `limit`. Returns how many records it has, or 0.
    pub(super) fn regroup(&mut self, slot: Slot, limit: usize) -> usize {
        let Some(component) = self.component(&[slot], 0, limit, None) else {
            return 0;
        };
        for slot in &component {
            if let Some(entry) = self.index.get_mut(*slot) {
                entry.is_dirty = false;
            }
        }
        let size = component.len();
        if let Some(regrouped) = &mut self.regrouped {
            regrouped.extend(&component);
        }
        let groups = self.grouped(component);
        for group in groups {
            self.assign(group);
        }
        size
    }

    /// Records that are linked by scores of at least `cut` to those given, in their neutral order; only those `within`.
    fn component(
        &mut self,
        from: &[Slot],
        cut: i32,
        limit: usize,
        within: Option<&BTreeSet<Slot>>,
    ) -> Option<Vec<Slot>> {
        self.round = self.round.wrapping_add(1);
        let mut members: Vec<Slot> = from.to_vec();
        for slot in from {
            self.seen[*slot as usize] = self.round;
        }
        let mut at = 0;
        while at < members.len() {
            let Some(entry) = self.index.get(members[at]) else {
                at += 1;
                continue;
            };
            let near = entry
                .edges
                .iter()
                .filter(|edge| edge.score >= cut)
                .map(|edge| edge.other);
            for other in near
                .chain(self.pinned(&entry.id))
                .chain(self.index.tied(entry, members[at]))
            {
                let seen = &mut self.seen[other as usize];
                if *seen != self.round && within.is_none_or(|within| within.contains(&other)) {
                    *seen = self.round;
                    members.push(other);
                }
            }
            if members.len() > limit {
                return None;
            }
            at += 1;
        }
        members.sort_by_key(|slot| self.index.get(*slot).map(|entry| (entry.order, &*entry.id)));
        Some(members)
    }

    /// Records that a decision says are the same.
    fn pinned(&self, id: &str) -> Vec<Slot> {
        if self.decided.is_empty() {
            return Vec::new();
        }
        let others = self.decided.get(id).into_iter().flatten();
        let same = others.filter(|other| self.decision(id, other) == Some(Decision::Same));
        same.filter_map(|other| self.find(other)).collect()
    }

    pub(super) fn decision(&self, a: &str, b: &str) -> Option<Decision> {
        if self.decisions.is_empty() {
            return None;
        }
        let pair = if a < b {
            (a.into(), b.into())
        } else {
            (b.into(), a.into())
        };
        self.decisions.get(&pair).copied()
    }

    /// The groups of a component. One that is too large is cut where links are weaker, step by step.
    fn grouped(&mut self, component: Vec<Slot>) -> Vec<Vec<Slot>> {
        let mut done = Vec::new();
        let mut waiting = vec![(component, 0)];
        while let Some((members, cut)) = waiting.pop() {
            if members.len() <= COMPONENT_MAX || cut > 64 * BIT {
                done.extend(if members.len() > MEAN_MAX {
                    self.by_ties(&members)
                } else {
                    self.by_mean(&members)
                });
                continue;
            }
            let cut = cut + 2 * BIT;
            let mut within: BTreeSet<Slot> = members.iter().copied().collect();
            while let Some(slot) = within.first().copied() {
                let part = self.component(&[slot], cut, usize::MAX, Some(&within));
                let part = part.unwrap_or_default();
                for slot in &part {
                    within.remove(slot);
                }
                waiting.push((part, cut));
            }
        }
        done
    }

    fn by_mean(&mut self, members: &[Slot]) -> Vec<Vec<Slot>> {
        if members.len() == 1 {
            return vec![members.to_vec()];
        }
        let mut counted = vec![0; members.len()];
        let entries: Vec<&Entry> = members.iter().filter_map(|slot| self.index.get(*slot)).collect();
        let mut component = Component::new(entries.len());
        for (at, a) in entries.iter().enumerate() {
            for (b_at, b) in entries.iter().enumerate().skip(at + 1) {
                let (decision, bond) = (self.decision(&a.id, &b.id), bond(a, b));
                if decision == Some(Decision::Apart) || decision.is_none() && bond == Bond::Vetoed {
                    component.keep_apart(at, b_at);
                }
                let score = match decision {
                    Some(Decision::Same) => PINNED,
                    Some(Decision::Apart) => -i64::from(BIT),
                    None if bond == Bond::Tied => PINNED,
                    None => {
                        let pair = self.scored_pair(a, b, members[b_at]);
                        counted[at] |= pair.counted;
                        counted[b_at] |= pair.counted;
                        self.open(bond, pair)
                    }
                };
                component.set(at, b_at, score);
            }
        }
        for (slot, terms) in members.iter().zip(counted) {
            if let Some(entry) = self.index.get_mut(*slot) {
                entry.counted = terms;
            }
        }
        let groups = component.groups(i64::from(self.cut)).into_iter();
        groups
            .map(|group| group.into_iter().map(|at| members[at]).collect())
            .collect()
    }

    /// What hangs together by identifiers.
    fn by_ties(&self, members: &[Slot]) -> Vec<Vec<Slot>> {
        let places: BTreeMap<Slot, usize> = members.iter().copied().zip(0..).collect();
        let mut sets = Sets::new(members.len());
        for (slot, at) in &places {
            let tied = self.index.get(*slot).map(|entry| self.index.tied(entry, *slot));
            for other in tied.into_iter().flatten().filter_map(|other| places.get(&other)) {
                sets.join(*at, *other);
            }
        }
        let mut groups: BTreeMap<usize, Vec<Slot>> = BTreeMap::new();
        for (at, slot) in members.iter().enumerate() {
            groups.entry(sets.root(at)).or_default().push(*slot);
        }
        groups.into_values().collect()
    }

    /// The score of two records of a component.
    pub(super) fn pair(&self, a: &Entry, b: &Entry, slot: Slot) -> i32 {
        self.scored_pair(a, b, slot).score
    }

    /// As [`Matcher::pair`], with what else grouping looks at. No key need lead from one to the other: a third record did.
    fn scored_pair(&self, a: &Entry, b: &Entry, slot: Slot) -> Pair {
        if let Some(edge) = a.edges.iter().find(|edge| edge.other == slot) {
            return Pair {
                score: edge.score,
                counted: 0,
                is_bare: edge.is_bare,
            };
        }
        let (a, b) = in_order(a, b);
        let (context, evidence) = self.index.compare(a, b);
        let base = self.weights.base(context, &evidence);
        if base <= 0 {
            // Counts only make it less.
            return Pair {
                score: base,
                counted: 0,
                is_bare: false,
            };
        }
        let pair = (&a.features, &b.features);
        let penalty = self
            .index
            .penalty(&self.weights, context, evidence.terms, pair, &mut Asked::default());
        Pair {
            score: base + penalty,
            counted: evidence.terms,
            is_bare: evidence.is_bare,
        }
    }

    /// The score that counts for two records that nothing holds together for sure.
    fn open(&self, bond: Bond, pair: Pair) -> i64 {
        let score = i64::from(self.joining(pair));
        if bond == Bond::Vetoed { score.min(0) } else { score }
    }

    /// The score that counts for joining. Who follows the groups does not join people by their name alone: in a small
    /// company every name looks rare.
    fn joining(&self, pair: Pair) -> i32 {
        if self.regrouped.is_some() && pair.score >= self.cut && pair.is_bare {
            return self.cut - 1;
        }
        pair.score
    }

    /// Makes records one group.
    fn assign(&mut self, group: Vec<Slot>) {
        let current = group
            .first()
            .and_then(|slot| self.index.get(*slot))
            .map_or(ALONE, |entry| entry.group);
        let is_same = |slots: &[Slot], group_at: u32| {
            slots
                .iter()
                .all(|slot| self.index.get(*slot).is_some_and(|entry| entry.group == group_at))
        };
        if current == ALONE && group.len() == 1 {
            return;
        }
        if current != ALONE && self.groups.at(current).len() == group.len() && is_same(&group, current) {
            return;
        }
        for slot in &group {
            self.leave(*slot);
            self.changed.push(*slot);
        }
        if group.len() == 1 {
            return;
        }
        let members = group.clone();
        let at = self.groups.put(group);
        for slot in members {
            if let Some(entry) = self.index.get_mut(slot) {
                entry.group = at;
            }
        }
    }

    /// Takes a record out of its group.
    pub(super) fn leave(&mut self, slot: Slot) {
        let Some(entry) = self.index.get_mut(slot).filter(|entry| entry.group != ALONE) else {
            return;
        };
        let at = std::mem::replace(&mut entry.group, ALONE);
        let group = self.groups.at_mut(at);
        group.retain(|other| *other != slot);
        let left = std::mem::take(group);
        self.changed.extend(&left);
        match left[..] {
            [] => self.groups.free(at),
            [last] => {
                self.groups.free(at);
                if let Some(entry) = self.index.get_mut(last) {
                    entry.group = ALONE;
                }
            }
            _ => *self.groups.at_mut(at) = left,
        }
    }
}
