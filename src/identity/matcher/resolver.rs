//! The resolver: records come and go one at a time, groups follow.
//!
//! What the groups are is a function of the *set* of records and decisions, whatever the order of their arrival, once
//! [`Matcher::settle`] has nothing left to do:
//! - a pair is an edge when the two share a key that is not too common *now*, and its score without counts is not
//!   hopeless;
//! - its score takes counts in steps of powers of two, and is made anew when a count passes one;
//! - ties are decided by the records' ids.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::compare::is_hopeless;
use super::index::{ALONE, Asked, Edge, Entry, Index, Shift, Slot};
use super::keys::{Key, cap};
use super::record::Features;
use super::redo::Redo;
use super::table::Pages;
use super::ties::Ties;
use super::weights::{BIT, Weights};

/// Pairs below this score without counts are not kept.
const FLOOR: i32 = -2 * BIT;

/// Larger components are cut at higher scores until they are this small.
pub(super) const COMPONENT_MAX: usize = 100;

/// Components larger than this are grouped by `settle`, not on arrival.
pub(super) const COMPONENT_NOW: usize = 40;

/// Components larger than this are grouped by [`Matcher::settle`] alone.
pub(super) const COMPONENT_ALONG: usize = 100;

/// How much deferred work an arrival takes along: records of which edges are looked at again.
pub(super) const ALONG: usize = 24;

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
    /// Groups are joined when the mean over all their pairs is at least this.
    pub(super) cut: i32,
    pub(super) groups: Pages<Vec<Slot>>,
    /// By ids, the smaller first. They outlive the records.
    pub(super) decisions: BTreeMap<(Box<str>, Box<str>), Decision>,
    /// The ids that stand in decisions, with those they are decided about.
    pub(super) decided: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    pub(super) redo: VecDeque<Redo>,
    pub(super) waiting: BTreeSet<(u8, Key)>,
    pub(super) dirty: VecDeque<Slot>,
    /// Records of components too large to be grouped along with an arrival.
    pub(super) large: Vec<Slot>,
    pub(super) changed: Vec<Slot>,
    /// Records that were grouped anew since somebody asked, whether or not that changed anything; kept on demand.
    pub(super) regrouped: Option<Vec<Slot>>,
    /// When a slot was last looked at, to look at each candidate once.
    pub(super) seen: Vec<u32>,
    pub(super) round: u32,
    /// Where the candidates of an arrival are gathered.
    near: Vec<Slot>,
    pub(super) comparisons: u64,
}

impl Matcher {
    /// An empty matcher.
    #[must_use]
    pub fn new(weights: Weights) -> Self {
        super::words::load();
        Self {
            index: Index::new(),
            weights,
            cut: 0,
            groups: Pages::new(),
            decisions: BTreeMap::new(),
            decided: BTreeMap::new(),
            redo: VecDeque::new(),
            waiting: BTreeSet::new(),
            dirty: VecDeque::new(),
            large: Vec::new(),
            changed: Vec::new(),
            regrouped: None,
            seen: Vec::new(),
            round: 0,
            near: Vec::new(),
            comparisons: 0,
        }
    }

    /// The same for a program that follows the groups: they are joined from this chance on (half, unless told otherwise),
    /// and [`Matcher::regrouped`] tells where to look.
    #[must_use]
    pub fn following(mut self, chance: f64) -> Self {
        self.cut = parts_of(chance).max(0);
        self.regrouped = Some(Vec::new());
        self
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
        let mut group = if entry.group == ALONE {
            vec![slot]
        } else {
            self.groups.at(entry.group).clone()
        };
        group.sort_by_key(|slot| self.index.get(*slot).map(|entry| (entry.order, &*entry.id)));
        group
    }

    /// Takes in a record, or what has become of one; a little of the work that was put off is done along.
    pub fn insert(&mut self, id: &str, features: Features) -> Slot {
        self.insert_tied(id, features, Ties::default())
    }

    /// As [`Matcher::insert`], for a record of which something is sure.
    pub fn insert_tied(&mut self, id: &str, features: Features, ties: Ties) -> Slot {
        if self.find(id).is_some() {
            self.remove(id);
        }
        let (slot, shift) = self.index.insert(id, features, ties);
        self.note(shift);
        if self.seen.len() <= slot as usize {
            self.seen.resize(slot as usize + 1, 0);
        }
        let found = self.score(slot);
        for edge in &found {
            self.link(edge.other, Edge { other: slot, ..*edge });
        }
        let is_tied = self
            .index
            .get(slot)
            .is_some_and(|entry| !self.index.tied(entry, slot).is_empty());
        let touches = is_tied || found.iter().any(|edge| edge.score >= 0) || self.decided.contains_key(id);
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
        let tied = self.index.get(slot).map(|entry| self.index.tied(entry, slot));
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
        for other in tied.into_iter().flatten() {
            self.soil(other);
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
        let pair = if a < b {
            (a.into(), b.into())
        } else {
            (b.into(), a.into())
        };
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

    /// The records that were grouped anew since this was last asked, and those of [`Matcher::changes`].
    pub fn regrouped(&mut self) -> Vec<Slot> {
        let mut looked_at = self.changes();
        looked_at.extend(self.regrouped.iter_mut().flat_map(std::mem::take));
        looked_at.sort_unstable();
        looked_at.dedup();
        looked_at
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
        let mut near = std::mem::take(&mut self.near);
        let mut one = [0];
        for key in &entry.keys {
            let found = self.index.postings.of(*key, &mut one);
            if found.len() > cap(*key) {
                continue;
            }
            for other in found {
                let seen = &mut self.seen[*other as usize];
                if *seen != self.round {
                    *seen = self.round;
                    near.push(*other);
                }
            }
        }
        self.index.fetch(&near);
        self.comparisons += near.len() as u64;
        let mut asked = Asked::default();
        for other in near.drain(..) {
            let found = self.index.get(other);
            edges.extend(found.and_then(|found| edge(&self.index, &self.weights, entry, (found, other), &mut asked)));
        }
        self.near = near;
        edges
    }

    pub(super) fn link(&mut self, slot: Slot, edge: Edge) {
        if let Some(entry) = self.index.get_mut(slot) {
            entry.edges.push(edge);
        }
    }

    pub(super) fn unlink(&mut self, slot: Slot, other: Slot) {
        if let Some(entry) = self.index.get_mut(slot) {
            entry.edges.retain(|edge| edge.other != other);
        }
    }

    /// Marks a record whose component must be grouped again.
    pub(super) fn soil(&mut self, slot: Slot) {
        if let Some(entry) = self.index.get_mut(slot)
            && !entry.is_dirty
        {
            entry.is_dirty = true;
            self.dirty.push_back(slot);
        }
    }
}

/// A chance as a score: the log2 of its odds, in parts of a bit.
#[expect(clippy::cast_possible_truncation, reason = "chances are held away from 0 and 1")]
fn parts_of(chance: f64) -> i32 {
    let chance = chance.clamp(0.000_001, 0.999_999);
    ((chance / (1.0 - chance)).log2() * f64::from(BIT)).round() as i32
}

/// Two records in their neutral order: a comparison may look at one side first, and what it says must not depend on who
/// came later.
pub(super) fn in_order<'a>(a: &'a Entry, b: &'a Entry) -> (&'a Entry, &'a Entry) {
    if (a.order, &a.id) <= (b.order, &b.id) {
        (a, b)
    } else {
        (b, a)
    }
}

/// Scores a pair; `None` when it is hopeless.
pub(super) fn edge(
    index: &Index,
    weights: &Weights,
    a: &Entry,
    (b, other): (&Entry, Slot),
    asked: &mut Asked,
) -> Option<Edge> {
    let (a, b) = in_order(a, b);
    if is_hopeless(&a.features, &b.features) {
        return None;
    }
    let (context, evidence) = index.compare(a, b);
    let base = weights.base(context, &evidence);
    (base >= FLOOR).then(|| Edge {
        other,
        base,
        score: base + index.penalty(weights, context, evidence.terms, (&a.features, &b.features), asked),
        terms: evidence.terms,
        context,
        is_bare: evidence.is_bare,
    })
}
