//! Groups of which nobody can say whether they are one: what a person is asked.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::index::{ALONE, Entry, Slot};
use super::resolver::{Decision, Matcher};
use super::ties::{Bond, bond};
use super::weights::BIT;

/// Groups with more pairs than this between them are no question that a person could answer.
const PAIRS_MAX: usize = 4096;

/// Two groups that may be one customer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Doubt {
    /// The record of one group that looks most like one of the other; the smaller of the two in their neutral order.
    pub left: Slot,
    /// That one.
    pub right: Slot,
    /// The mean over all pairs of the two groups, in bits.
    pub bits: f64,
    /// They would be one, but a number says that they are two.
    pub is_vetoed: bool,
}

impl Matcher {
    /// The groups that may be one with the group of a record and are not: the evidence speaks for it, but not enough, or
    /// a number speaks against it. Operators' words end every doubt. A function of the settled groups.
    #[must_use]
    pub fn doubts(&self, slot: Slot) -> Vec<Doubt> {
        let mine = self.group(slot);
        let mut others = BTreeSet::new();
        for entry in mine.iter().filter_map(|slot| self.index.get(*slot)) {
            let near = entry.edges.iter().filter(|edge| edge.score >= 0);
            let near = near.filter(|edge| !mine.contains(&edge.other));
            others.extend(near.filter_map(|edge| self.named(edge.other)));
        }
        others
            .into_iter()
            .filter_map(|other| self.doubt(&mine, other))
            .collect()
    }

    /// The first record of a group, which names it.
    fn named(&self, slot: Slot) -> Option<Slot> {
        let entry = self.index.get(slot)?;
        if entry.group == ALONE {
            return Some(slot);
        }
        self.groups.at(entry.group).iter().min().copied()
    }

    fn doubt(&self, mine: &[Slot], other: Slot) -> Option<Doubt> {
        let theirs = self.group(other);
        if mine.len() * theirs.len() > PAIRS_MAX {
            return None;
        }
        let mut sum = 0_i64;
        let mut is_vetoed = false;
        let mut best = None;
        for (a_at, b_at) in mine.iter().flat_map(|a| theirs.iter().map(|b| (*a, *b))) {
            let (a, b) = (self.index.get(a_at)?, self.index.get(b_at)?);
            if self.decision(&a.id, &b.id) == Some(Decision::Apart) {
                return None;
            }
            is_vetoed |= bond(a, b) == Bond::Vetoed;
            let score = self.pair(a, b, b_at);
            sum += i64::from(score);
            let (a, b) = (named(a, a_at), named(b, b_at));
            best = best.max(Some((score, Reverse((a.min(b), a.max(b))))));
        }
        let (_, Reverse(((.., left), (.., right)))) = best?;
        let count = i64::try_from(mine.len() * theirs.len()).unwrap_or(i64::MAX);
        let mean = sum / count.max(1);
        #[expect(clippy::cast_precision_loss, reason = "scores are small")]
        let bits = mean as f64 / f64::from(BIT);
        (sum >= 0).then_some(Doubt {
            left,
            right,
            bits,
            is_vetoed,
        })
    }
}

/// A record in the neutral order.
fn named(entry: &Entry, slot: Slot) -> (u64, &str, Slot) {
    (entry.order, &entry.id, slot)
}
