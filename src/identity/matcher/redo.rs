//! Work that is put off: what changes with counts and with keys that have become too common.

#![expect(
    clippy::cast_possible_truncation,
    reason = "steps are few; more than fit are cut off by the number of places"
)]

use super::index::{Asked, Edge, Entry, Slot, terms_of};
use super::keys::{Key, cap};
use super::resolver::{ALONG, COMPONENT_ALONG, Matcher, edge};

/// Work that is put off.
#[derive(Debug)]
pub(super) enum Redo {
    /// Score all edges anew from this slot on: the number of records passed a power of two.
    All(Slot),
    /// A count passed a power of two.
    Count(Key, Option<Vec<Slot>>),
    /// A key has become too common, or is no longer.
    Cap(Key, Option<Vec<Slot>>),
}

impl Matcher {
    pub(super) fn work(&mut self, steps: usize) {
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
        let mut asked = Asked::default();
        for (at, edge) in entry
            .edges
            .iter()
            .enumerate()
            .filter(|(_, edge)| edge.terms & terms != 0)
        {
            let Some(other) = self.index.get(edge.other) else {
                continue;
            };
            let penalty = self.index.penalty(
                &self.weights,
                edge.context,
                edge.terms,
                (&entry.features, &other.features),
                &mut asked,
            );
            let score = edge.base + penalty;
            if score != edge.score {
                changes.push((at, edge.other, edge.score, score));
            }
        }
        let is_linked = |entry: &Entry| entry.edges.iter().any(|edge| edge.score >= 0);
        let linked = is_linked(entry);
        let is_counted = entry.counted & terms != 0;
        if is_counted {
            self.soil(slot);
        }
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
        let is_lost = |edge: &&Edge| {
            self.index
                .get(edge.other)
                .is_none_or(|other| !self.index.is_found(entry, other))
        };
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
        let mut asked = Asked::default();
        for other in found.iter().filter(|other| **other != slot) {
            if entry.edges.iter().any(|edge| edge.other == *other) {
                continue;
            }
            let near = self.index.get(*other);
            fresh.extend(near.and_then(|near| edge(&self.index, &self.weights, entry, (near, *other), &mut asked)));
        }
        for edge in fresh {
            self.link(slot, edge);
            self.link(edge.other, Edge { other: slot, ..edge });
            self.soil(slot);
            self.soil(edge.other);
        }
        1 + found.len() / 8
    }
}
