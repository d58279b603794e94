//! Why two records are one customer, or are not: the evidence in words.

use serde::Serialize;

use super::compare::{TERMS, level_name};
use super::index::Slot;
use super::resolver::Matcher;
use super::weights::{BIT, Context};

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What was found: `email: equal`.
    pub what: String,
    /// What it weighs, in bits: each doubles (or halves, below zero) the odds that the two are one.
    pub bits: f64,
}

/// The evidence on two records.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// Whether any key leads from one to the other: without, nothing but a third record brings them together.
    pub is_found: bool,
    /// Which weights apply: `contact`, `register`, `organization`.
    pub context: &'static str,
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
        for (term, name) in TERMS.iter().enumerate() {
            let doublings = self.index.doublings(term, &left.features, &right.features);
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
            context: Context::name(context),
            bits: sum,
            chance: 1.0 / (1.0 + (-sum).exp2()),
            findings,
        })
    }

    /// The two records of a group between which the strongest chain of links is weakest, and the score of that link in
    /// bits: what would break first. `None` for a record alone.
    #[must_use]
    pub fn weakest_link(&self, slot: Slot) -> Option<(Slot, Slot, f64)> {
        let members = self.group(slot);
        let mut reached: Vec<Slot> = members.iter().copied().take(1).collect();
        let mut weakest: Option<(i32, Slot, Slot)> = None;
        while reached.len() < members.len() {
            let outside = members.iter().filter(|to| !reached.contains(to));
            let across = outside.flat_map(|to| reached.iter().map(|from| (*from, *to)));
            let scored = across.filter_map(|(from, to)| {
                let score = self.pair(self.index.get(from)?, self.index.get(to)?, to);
                Some((score, from, to))
            });
            let (score, from, to) = scored.max_by_key(|(score, ..)| *score)?;
            reached.push(to);
            if weakest.is_none_or(|(least, ..)| score < least) {
                weakest = Some((score, from, to));
            }
        }
        weakest.map(|(score, from, to)| (from, to, bits(score)))
    }
}

fn bits(score: i32) -> f64 {
    f64::from(score) / f64::from(BIT)
}
