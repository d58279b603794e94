//! The resolver: records come and go one at a time, groups follow.
//!
//! What the groups are is a function of the *set* of records and decisions, whatever the order of their arrival, once
//! [`Matcher::settle`] has nothing left to do:
//! - a pair is an edge when the two share a key that is not too common *now*, and its score without counts is not
//!   hopeless;
//! - its score takes counts in steps of powers of two, and is made anew when a count passes one;
//! - ties are decided by the records' ids.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::cluster::{Component, PINNED};
use super::compare::is_hopeless;
use super::index::{ALONE, Edge, Entry, Index, Shift, Slot, terms_of};
use super::keys::{Key, cap};
use super::record::Features;
use super::table::Pages;
use super::weights::{BIT, Weights};

/// Pairs below this score without counts are not kept.
const FLOOR: i32 = -2 * BIT;

/// Larger components are cut at higher scores until they are this small.
const COMPONENT_MAX: usize = 100;

/// Components larger than this are grouped by `settle`, not on arrival.
const COMPONENT_NOW: usize = 40;

/// Components larger than this are grouped by [`Matcher::settle`] alone.
const COMPONENT_ALONG: usize = 100;

/// How much deferred work an arrival takes along: records of which edges are looked at again.
const ALONG: usize = 24;

/// What an operator, or a unique number, said of two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// They are one.
    Same,
    /// They are two.
    Apart,
}

/// Records and groups.
#[derive(Debug)]
pub struct Matcher {
    pub(super) index: Index,
    pub(super) weights: Weights,
    groups: Pages<Vec<Slot>>,
    /// By ids, the smaller first. They outlive the records.
    decisions: BTreeMap<(Box<str>, Box<str>), Decision>,
    /// The ids that stand in decisions, with those they are decided about.
    decided: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    redo: VecDeque<Redo>,
    waiting: BTreeSet<(u8, Key)>,
    dirty: VecDeque<Slot>,
    /// Records of components too large to be grouped along with an arrival.
    large: Vec<Slot>,
    changed: Vec<Slot>,
    /// When a slot was last looked at, to look at each candidate once.
    seen: Vec<u32>,
    round: u32,
    comparisons: u64,
    pub largest:usize,
}

/// Work that is put off.
#[derive(Debug)]
enum Redo {
    /// Score all edges anew from this slot on: the number of records passed a power of two.
    All(Slot),
    /// A count passed a power of two.
    Count(Key, Option<Vec<Slot>>),
    /// A key has become too common, or is no longer.
    Cap(Key, Option<Vec<Slot>>),
}

impl Matcher {
    /// An empty matcher.
    #[must_use]
    pub fn new(weights: Weights) -> Self {
        Self {
            index: Index::new(),
            weights,
            groups: Pages::new(),
            decisions: BTreeMap::new(),
            decided: BTreeMap::new(),
            redo: VecDeque::new(),
            waiting: BTreeSet::new(),
            dirty: VecDeque::new(),
            large: Vec::new(),
            changed: Vec::new(),
            seen: Vec::new(),
            round: 0,
            comparisons: 0,
            largest: 0,
        }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// True when there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// How many pairs were compared so far.
    #[must_use]
    pub fn comparisons(&self) -> u64 {
        self.comparisons
    }

    /// How much work is put off: 0 when the groups are what they would be in any other order of arrival.
    #[must_use]
    pub fn lag(&self) -> usize {
        self.redo.len() + self.dirty.len() + self.large.len()
    }

    /// The place of a record.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Slot> {
        self.index.find(id)
    }

    /// The id of the record at a place.
    #[must_use]
    pub fn id(&self, slot: Slot) -> Option<&str> {
        self.index.get(slot).map(|entry| &*entry.id)
    }

    /// The records of the group that a record is in, by their ids, itself included.
    #[must_use]
    pub fn group(&self, slot: Slot) -> Vec<Slot> {
        let Some(entry) = self.index.get(slot) else {
            return Vec::new();
        };
        let mut group = if entry.group == ALONE { vec![slot] } else { self.groups.at(entry.group).clone() };
        group.sort_by_key(|slot| self.index.get(*slot).map(|entry| (entry.order, &*entry.id)));
        group
    }

    pub fn why(&self,a:Slot,b:Slot)->String{ let (Some(x),Some(y))=(self.index.get(a),self.index.get(b)) else {return String::new()}; let (c,e)=self.index.compare(x,y); let base=self.weights.base(c,&e); let pen=self.index.penalty(&self.weights,c,e.terms,&x.features,&y.features); let f=self.index.is_found(x,y); let parts:Vec<String>=e.levels().iter().map(|l|{let n=super::compare::level_name(*l as usize); format!("{}={} {:.1}",n.0,n.1,self.weights.level(c,*l) as f64/1024.)}).collect(); format!("found={f} base {:.1} pen {:.1}: {}",base as f64/1024.,pen as f64/1024.,parts.join(", ")) }
    /// Takes in a record, or what has become of one; a little of the work that was put off is done along.
    pub fn insert(&mut self, id: &str, features: Features) -> Slot {
        if self.find(id).is_some() {
            self.remove(id);
        }
        let (slot, shift) = self.index.insert(id, features);
        self.note(shift);
        if self.seen.len() <= slot as usize {
            self.seen.resize(slot as usize + 1, 0);
        }
        let found = self.score(slot);
        for edge in &found {
            self.link(edge.other, Edge { other: slot, ..*edge });
        }
        let touches = found.iter().any(|edge| edge.score >= 0) || self.decided.contains_key(id);
        if let Some(entry) = self.index.get_mut(slot) {
            entry.edges = found;
        }
        self.changed.push(slot);
        if touches {
            self.touch(slot);
        }
        self.work(ALONG);
        slot
    }

    /// Takes a record out; what it alone held together comes apart.
    pub fn remove(&mut self, id: &str) -> bool {
        let Some(slot) = self.find(id) else {
            return false;
        };
        self.leave(slot);
        let Some((entry, shift)) = self.index.remove(slot) else {
            return false;
        };
        self.dirty.retain(|dirty| *dirty != slot);
        self.large.retain(|large| *large != slot);
        self.note(shift);
        for edge in &entry.edges {
            self.unlink(edge.other, slot);
            if edge.score >= 0 {
                self.soil(edge.other);
            }
        }
        for other in self.decided.get(&entry.id).cloned().into_iter().flatten() {
            if let Some(other) = self.find(&other) {
                self.soil(other);
            }
        }
        self.work(ALONG);
        true
    }

    /// Says of two records that they are one, that they are two, or (`None`) takes back what was said.
    pub fn decide(&mut self, a: &str, b: &str, decision: Option<Decision>) {
        if a == b {
            return;
        }
        let pair = if a < b { (a.into(), b.into()) } else { (b.into(), a.into()) };
        match decision {
            Some(decision) => {
                self.decisions.insert(pair, decision);
            }
            None => {
                self.decisions.remove(&pair);
            }
        }
        for (one, other) in [(a, b), (b, a)] {
            let others = self.decided.entry(one.into()).or_default();
            if decision.is_some() {
                others.insert(other.into());
            } else {
                others.remove(other);
            }
            if others.is_empty() {
                self.decided.remove(one);
            }
            if let Some(slot) = self.find(one) {
                self.soil(slot);
            }
        }
        self.work(ALONG);
    }

    /// Does work that was put off, about `steps` records of it; true when none is left.
    pub fn settle(&mut self, steps: usize) -> bool {
        self.work(steps);
        self.lag() == 0
    }

    /// The records whose group is another since this was last asked.
    pub fn changes(&mut self) -> Vec<Slot> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    fn note(&mut self, shift: Shift) {
        if shift.all && self.waiting.insert((0, 0)) {
            self.redo.push_back(Redo::All(0));
        }
        for key in shift.counts {
            if self.waiting.insert((1, key)) {
                self.redo.push_back(Redo::Count(key, None));
            }
        }
        for key in shift.caps {
            if self.waiting.insert((2, key)) {
                self.redo.push_back(Redo::Cap(key, None));
            }
        }
    }

    /// Edges to all records that share a key with this one.
    fn score(&mut self, slot: Slot) -> Vec<Edge> {
        self.round = self.round.wrapping_add(1);
        if let Some(seen) = self.seen.get_mut(slot as usize) {
            *seen = self.round;
        }
        let mut edges = Vec::new();
        let Some(entry) = self.index.get(slot) else {
            return edges;
        };
        let mut one = [0];
        for key in &entry.keys {
            let found = self.index.postings.of(*key, &mut one);
            if found.len() > cap(*key) {
                continue;
            }
            for other in found {
                let seen = &mut self.seen[*other as usize];
                if *seen == self.round {
                    continue;
                }
                *seen = self.round;
                self.comparisons += 1;
                edges.extend(self.index.get(*other).and_then(|near| edge(&self.index, &self.weights, entry, near, *other)));
            }
        }
        edges
    }

    fn link(&mut self, slot: Slot, edge: Edge) {
        if let Some(entry) = self.index.get_mut(slot) {
            entry.edges.push(edge);
        }
    }

    fn unlink(&mut self, slot: Slot, other: Slot) {
        if let Some(entry) = self.index.get_mut(slot) {
            entry.edges.retain(|edge| edge.other != other);
        }
    }

    /// Marks a record whose component must be grouped again.
    fn soil(&mut self, slot: Slot) {
        if let Some(entry) = self.index.get_mut(slot)
            && !entry.is_dirty
        {
            entry.is_dirty = true;
            self.dirty.push_back(slot);
        }
    }

    fn work(&mut self, steps: usize) {
        let mut left = steps;
        while left > 0 {
            let Some(redo) = self.redo.pop_front() else {
                break;
            };
            let (rest, used) = self.redo(redo, left);
            left = left.saturating_sub(used.max(1));
            if let Some(rest) = rest {
                self.redo.push_front(rest);
            }
        }
        let limit = if steps > ALONG { usize::MAX } else { COMPONENT_ALONG };
        if limit == usize::MAX {
            self.dirty.extend(std::mem::take(&mut self.large));
        }
        let mut left = steps;
        while left > 0 {
            let Some(slot) = self.dirty.pop_front() else {
                break;
            };
            if !self.index.get(slot).is_some_and(|entry| entry.is_dirty) {
                continue;
            }
            match self.regroup(slot, limit) {
                0 => {
                    self.large.push(slot);
                    left = left.saturating_sub(COMPONENT_ALONG);
                }
                size => left = left.saturating_sub(size),
            }
        }
    }

    /// Does part of a redo; what is left of it, and how many records were looked at.
    fn redo(&mut self, redo: Redo, steps: usize) -> (Option<Redo>, usize) {
        match redo {
            Redo::All(from) => {
                if from == 0 {
                    self.waiting.remove(&(0, 0));
                }
                let to = self.index.slots().min(from.saturating_add(steps as u32));
                for slot in from..to {
                    self.rescore(slot, u16::MAX);
                }
                let is_done = to == self.index.slots();
                ((!is_done).then_some(Redo::All(to.max(1))), (to - from) as usize)
            }
            Redo::Count(key, left) => {
                let mut left = left.unwrap_or_else(|| self.begin(1, key));
                let mut used = 0;
                while used < steps
                    && let Some(slot) = left.pop()
                {
                    self.rescore(slot, terms_of(key));
                    used += 1;
                }
                ((!left.is_empty()).then_some(Redo::Count(key, Some(left))), used)
            }
            Redo::Cap(key, left) => {
                let mut left = left.unwrap_or_else(|| self.begin(2, key));
                let mut used = 0;
                while used < steps
                    && let Some(slot) = left.pop()
                {
                    used += if self.index.postings.len(key) > cap(key) {
                        self.drop_unfound(slot)
                    } else {
                        self.find_again(slot, key)
                    };
                }
                ((!left.is_empty()).then_some(Redo::Cap(key, Some(left))), used)
            }
        }
    }

    /// The records of a key as they are now; the key may be put on the queue again from now on.
    fn begin(&mut self, queue: u8, key: Key) -> Vec<Slot> {
        self.waiting.remove(&(queue, key));
        let mut one = [0];
        self.index.postings.of(key, &mut one).to_vec()
    }

    /// Takes the counts of a record's edges anew.
    fn rescore(&mut self, slot: Slot, terms: u16) {
        let Some(entry) = self.index.get(slot) else {
            return;
        };
        let mut changes = Vec::new();
        for (at, edge) in entry.edges.iter().enumerate().filter(|(_, edge)| edge.terms & terms != 0) {
            let Some(other) = self.index.get(edge.other) else {
                continue;
            };
            let penalty = self.index.penalty(&self.weights, edge.context, edge.terms, &entry.features, &other.features);
            let score = edge.base + penalty;
            if score != edge.score {
                changes.push((at, edge.other, edge.score, score));
            }
        }
        let is_linked = |entry: &Entry| entry.edges.iter().any(|edge| edge.score >= 0);
        let linked = is_linked(entry);
        for (at, other, before, score) in changes {
            if let Some(entry) = self.index.get_mut(slot) {
                entry.edges[at].score = score;
            }
            let mut matters = before >= 0 || score >= 0;
            if let Some(near) = self.index.get_mut(other) {
                // Both may be in one component without being in one group.
                matters |= linked && is_linked(near);
                if let Some(edge) = near.edges.iter_mut().find(|edge| edge.other == slot) {
                    edge.score = score;
                }
            }
            if matters {
                self.soil(slot);
                self.soil(other);
            }
        }
    }

    /// Drops edges of a record for which no key is left. Returns how much work that was.
    fn drop_unfound(&mut self, slot: Slot) -> usize {
        let Some(entry) = self.index.get(slot) else {
            return 1;
        };
        let is_lost = |edge: &&Edge| self.index.get(edge.other).is_none_or(|other| !self.index.is_found(entry, other));
        let lost: Vec<Edge> = entry.edges.iter().filter(is_lost).copied().collect();
        let work = 1 + entry.edges.len() / 8;
        for edge in lost {
            self.unlink(slot, edge.other);
            self.unlink(edge.other, slot);
            self.soil(slot);
            self.soil(edge.other);
        }
        work
    }

    /// Finds the edges of a record that a key gives again. Returns how much work that was.
    fn find_again(&mut self, slot: Slot, key: Key) -> usize {
        let mut one = [0];
        let found = self.index.postings.of(key, &mut one).to_vec();
        let Some(entry) = self.index.get(slot) else {
            return 1;
        };
        let mut fresh = Vec::new();
        for other in found.iter().filter(|other| **other != slot) {
            if entry.edges.iter().any(|edge| edge.other == *other) {
                continue;
            }
            let near = self.index.get(*other);
            fresh.extend(near.and_then(|near| edge(&self.index, &self.weights, entry, near, *other)));
        }
        for edge in fresh {
            self.link(slot, edge);
            self.link(edge.other, Edge { other: slot, ..edge });
            self.soil(slot);
            self.soil(edge.other);
        }
        1 + found.len() / 8
    }

    /// Groups a component now, or later when it is large.
    fn touch(&mut self, slot: Slot) {
        if self.regroup(slot, COMPONENT_NOW) == 0 {
            self.soil(slot);
        }
    }

    /// Groups the component of a record again, unless it is larger than `limit`. Returns how many records it has, or 0.
    fn regroup(&mut self, slot: Slot, limit: usize) -> usize {
        let Some(component) = self.component(&[slot], 0, limit, None) else {
            return 0;
        };
        self.largest=self.largest.max(component.len());
        for slot in &component {
            if let Some(entry) = self.index.get_mut(*slot) {
                entry.is_dirty = false;
            }
        }
        let size = component.len();
        let groups = self.grouped(component);
        for group in groups {
            self.assign(group);
        }
        size
    }

    /// Records that are linked by scores of at least `cut` to those given, in their neutral order; only those `within`.
    fn component(&mut self, from: &[Slot], cut: i32, limit: usize, within: Option<&BTreeSet<Slot>>) -> Option<Vec<Slot>> {
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
            let near = entry.edges.iter().filter(|edge| edge.score >= cut).map(|edge| edge.other);
            for other in near.chain(self.pinned(&entry.id)) {
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

    fn decision(&self, a: &str, b: &str) -> Option<Decision> {
        if self.decisions.is_empty() {
            return None;
        }
        let pair = if a < b { (a.into(), b.into()) } else { (b.into(), a.into()) };
        self.decisions.get(&pair).copied()
    }

    /// The groups of a component. One that is too large is cut where links are weaker, step by step.
    fn grouped(&mut self, component: Vec<Slot>) -> Vec<Vec<Slot>> {
        let mut done = Vec::new();
        let mut waiting = vec![(component, 0)];
        while let Some((members, cut)) = waiting.pop() {
            if members.len() <= COMPONENT_MAX || cut > 64 * BIT {
                done.extend(self.by_mean(&members));
                continue;
            }
            let cut = cut + 2 * BIT;
            let mut within: BTreeSet<Slot> = members.iter().copied().collect();
            for slot in members {
                if within.contains(&slot) {
                    let part = self.component(&[slot], cut, usize::MAX, Some(&within)).unwrap_or_default();
                    for slot in &part {
                        within.remove(slot);
                    }
                    waiting.push((part, cut));
                }
            }
        }
        done
    }

    fn by_mean(&self, members: &[Slot]) -> Vec<Vec<Slot>> {
        if members.len() == 1 {
            return vec![members.to_vec()];
        }
        let entries: Vec<&Entry> = members.iter().filter_map(|slot| self.index.get(*slot)).collect();
        let mut component = Component::new(entries.len());
        for (at, a) in entries.iter().enumerate() {
            for (b_at, b) in entries.iter().enumerate().skip(at + 1) {
                let score = match self.decision(&a.id, &b.id) {
                    Some(Decision::Same) => PINNED,
                    Some(Decision::Apart) => {
                        component.keep_apart(at, b_at);
                        -i64::from(BIT)
                    }
                    None => i64::from(self.pair(a, b, members[b_at])),
                };
                component.set(at, b_at, score);
            }
        }
        let groups = component.groups().into_iter();
        groups.map(|group| group.into_iter().map(|at| members[at]).collect()).collect()
    }

    /// The score of two records of a component. A pair that no key would find gets no score above 0, and no counts: it
    /// would have to be made anew with every count.
    fn pair(&self, a: &Entry, b: &Entry, slot: Slot) -> i32 {
        if let Some(edge) = a.edges.iter().find(|edge| edge.other == slot) {
            return edge.score;
        }
        let (context, evidence) = self.index.compare(a, b);
        self.weights.base(context, &evidence).min(0)
    }

    /// Makes records one group.
    fn assign(&mut self, group: Vec<Slot>) {
        let current = group.first().and_then(|slot| self.index.get(*slot)).map_or(ALONE, |entry| entry.group);
        let is_same = |slots: &[Slot], group_at: u32| {
            slots.iter().all(|slot| self.index.get(*slot).is_some_and(|entry| entry.group == group_at))
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
    fn leave(&mut self, slot: Slot) {
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

/// Scores a pair; `None` when it is hopeless.
pub(super) fn edge(index: &Index, weights: &Weights, a: &Entry, b: &Entry, other: Slot) -> Option<Edge> {
    if is_hopeless(&a.features, &b.features) {
        return None;
    }
    let (context, evidence) = index.compare(a, b);
    let base = weights.base(context, &evidence);
    (base >= FLOOR).then(|| Edge {
        other,
        base,
        score: base + index.penalty(weights, context, evidence.terms, &a.features, &b.features),
        terms: evidence.terms,
        context,
    })
}
