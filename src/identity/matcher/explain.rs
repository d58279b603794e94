//! Why two records are one customer, or are not: the evidence in words.

use serde::{Deserialize, Serialize};

use super::compare::{TERMS, level_name};
use super::index::{Asked, Slot};
use super::resolver::{Decision, Matcher};
use super::ties::{Bond, bond};
use super::weights::{BIT, Context};

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was found: `email: equal`.
    pub what: String,
    /// What it weighs, in bits: each doubles (or halves, below zero) the odds that the two are one.
    pub bits: f64,
}

/// The evidence on two records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whether any key leads from one to the other: without, nothing but a third record brings them together.
    pub is_found: bool,
    /// Which weights apply: `contact`, `register`, `organization`.
    pub context: String,
    /// The sum of the findings, in bits.
    pub bits: f64,
    /// How likely the two are one, going by these findings alone.
    pub chance: f64,
    /// The findings, the weightiest first.
    pub findings: Vec<Finding>,
}

impl Matcher {
    /// The evidence on two records; `None` when one of them is not there.
    #[must_use]
    pub fn explain(&self, a: Slot, b: Slot) -> Option<Explanation> {
        let (left, right) = (self.index.get(a)?, self.index.get(b)?);
        let (context, evidence) = self.index.compare(left, right);
        let mut findings = Vec::new();
        for level in evidence.levels() {
            let (group, level_name) = level_name(usize::from(*level));
            let bits = bits(self.weights.level(context, *level));
            findings.push(Finding {
                what: format!("{}: {}", group.replace('_', " "), level_name.replace('_', " ")),
                bits,
            });
        }
        let mut asked = Asked::default();
        for (term, name) in TERMS.iter().enumerate() {
            let doublings = self.index.doublings(term, &left.features, &right.features, &mut asked);
            if evidence.terms & (1 << term) != 0 && doublings > 0 {
                let about = 1_u64 << doublings.clamp(0, 62);
                findings.push(Finding {
                    what: format!("{}: about {about}", name.replace('_', " ")),
                    bits: bits(self.weights.term(context, term) * doublings),
                });
            }
        }
        findings.retain(|finding| finding.bits.abs() > 0.005);
        findings.sort_by(|x, y| y.bits.abs().total_cmp(&x.bits.abs()).then_with(|| x.what.cmp(&y.what)));
        let sum: f64 = findings.iter().map(|finding| finding.bits).sum();
        Some(Explanation {
            is_found: self.index.is_found(left, right),
            context: Context::name(context).to_owned(),
            bits: sum,
            chance: 1.0 / (1.0 + (-sum).exp2()),
            findings,
        })
    }

    /// The links that hold a group together, each the strongest there is to a further record: shared identifiers first.
    /// Nothing for a record alone.
    #[must_use]
    pub fn links(&self, slot: Slot) -> Vec<Link> {
        let members = self.group(slot);
        let mut reached: Vec<Slot> = members.iter().copied().take(1).collect();
        let mut links = Vec::new();
        while reached.len() < members.len() {
            let outside = members.iter().filter(|to| !reached.contains(to));
            let across = outside.flat_map(|to| reached.iter().map(|from| (*from, *to)));
            let scored = across.filter_map(|(from, to)| Some((self.sure(from, to)?, from, to)));
            let Some((score, from, to)) = scored.max_by_key(|(score, ..)| *score) else {
                break;
            };
            reached.push(to);
            let bits = (score < SURE).then(|| bits(score));
            links.push(Link { from, to, bits });
        }
        links
    }

    /// The score of two records, with what is sure about them.
    fn sure(&self, a: Slot, b: Slot) -> Option<i32> {
        let (left, right) = (self.index.get(a)?, self.index.get(b)?);
        let is_sure = self.decision(&left.id, &right.id) == Some(Decision::Same) || bond(left, right) == Bond::Tied;
        Some(if is_sure { SURE } else { self.pair(left, right, b) })
    }

    /// The two records of a group between which the strongest chain of links is weakest, and the score of that link in
    /// bits: what would break first. `None` for a record alone, and where identifiers hold all of it together.
    #[must_use]
    pub fn weakest_link(&self, slot: Slot) -> Option<(Slot, Slot, f64)> {
        let scored = self
            .links(slot)
            .into_iter()
            .filter_map(|link| Some((link.from, link.to, link.bits?)));
        scored.min_by(|a, b| a.2.total_cmp(&b.2))
    }

    /// Whether a key leads from one record to the other, and their score in bits; `None` when one of them is not there.
    #[must_use]
    pub fn scored(&self, a: Slot, b: Slot) -> Option<(bool, f64)> {
        let (left, right) = (self.index.get(a)?, self.index.get(b)?);
        let (context, evidence) = self.index.compare(left, right);
        let pair = (&left.features, &right.features);
        let penalty = self
            .index
            .penalty(&self.weights, context, evidence.terms, pair, &mut Asked::default());
        let score = self.weights.base(context, &evidence) + penalty;
        Some((self.index.is_found(left, right), bits(score)))
    }

    /// Every pair that was compared and is not hopeless, once, with its score in bits.
    pub fn pairs(&self, mut look: impl FnMut(Slot, Slot, f64)) {
        for slot in 0..self.index.slots() {
            let edges = self.index.get(slot).into_iter().flat_map(|entry| &entry.edges);
            for edge in edges.filter(|edge| slot < edge.other) {
                look(slot, edge.other, bits(edge.score));
            }
        }
    }

    /// The mean over all pairs of two sets of records, in bits: what decides whether they are one.
    #[must_use]
    pub fn between(&self, left: &[Slot], right: &[Slot]) -> f64 {
        let pairs = left.iter().flat_map(|a| right.iter().map(|b| (*a, *b)));
        let (mut sum, mut count) = (0.0, 0.0_f64);
        for (a, b) in pairs {
            sum += self.sure(a, b).map(bits).unwrap_or_default();
            count += 1.0;
        }
        sum / count.max(1.0)
    }
}

/// A link between two records of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// One record.
    pub from: Slot,
    /// The other record.
    pub to: Slot,
    /// Its score in bits; `None` when an identifier or an operator's word joins the two.
    pub bits: Option<f64>,
}

/// More than any score.
const SURE: i32 = i32::MAX;

fn bits(score: i32) -> f64 {
    f64::from(score) / f64::from(BIT)
}
