//! How good groups are, against a known truth.

#![expect(clippy::cast_possible_truncation, reason = "counts of records in memory")]

use std::collections::BTreeMap;

use serde::Serialize;

/// Figures of one partition against the truth. Rates are between 0 and 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Records scored.
    pub records: usize,
    /// True customers.
    pub entities: usize,
    /// Groups found.
    pub groups: usize,
    /// Pairs of records that are one customer.
    pub true_pairs: u64,
    /// Pairs of records in one group.
    pub found_pairs: u64,
    /// Pairs that are both.
    pub right_pairs: u64,
    /// Of the pairs found, how many are right.
    pub precision: f64,
    /// Of the true pairs, how many were found.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Mean over records: how much of its group is the same customer.
    pub bcubed_precision: f64,
    /// Mean over records: how much of its customer is in its group.
    pub bcubed_recall: f64,
    /// Harmonic mean of the two.
    pub bcubed_f1: f64,
    /// Records in the largest group.
    pub largest_group: usize,
    /// Records of the largest customer.
    pub largest_entity: usize,
    /// Groups with records of several customers.
    pub over_merged: usize,
    /// The most customers in one group.
    pub worst_merge: usize,
    /// Customers in several groups.
    pub split: usize,
}

/// Scores records given as (group, customer).
#[must_use]
pub fn figures(records: &[(u32, u32)]) -> Figures {
    let mut cells: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    let mut groups: BTreeMap<u32, u64> = BTreeMap::new();
    let mut entities: BTreeMap<u32, u64> = BTreeMap::new();
    for (group, entity) in records {
        *cells.entry((*group, *entity)).or_default() += 1;
        *groups.entry(*group).or_default() += 1;
        *entities.entry(*entity).or_default() += 1;
    }
    let pairs = |counts: &mut dyn Iterator<Item = u64>| counts.map(|n| n * n.saturating_sub(1) / 2).sum::<u64>();
    let right_pairs = pairs(&mut cells.values().copied());
    let found_pairs = pairs(&mut groups.values().copied());
    let true_pairs = pairs(&mut entities.values().copied());
    let part = |of: u64, all: u64| if all == 0 { 1.0 } else { of as f64 / all as f64 };
    let (precision, recall) = (part(right_pairs, found_pairs), part(right_pairs, true_pairs));
    let mean = |sizes: &dyn Fn(&(u32, u32)) -> u64| {
        let sum: f64 = cells
            .iter()
            .map(|(cell, n)| (*n * *n) as f64 / sizes(cell) as f64)
            .sum();
        if records.is_empty() {
            1.0
        } else {
            sum / records.len() as f64
        }
    };
    let bcubed_precision = mean(&|(group, _)| groups[group]);
    let bcubed_recall = mean(&|(_, entity)| entities[entity]);
    let mut per_group: BTreeMap<u32, usize> = BTreeMap::new();
    let mut per_entity: BTreeMap<u32, usize> = BTreeMap::new();
    for (group, entity) in cells.keys() {
        *per_group.entry(*group).or_default() += 1;
        *per_entity.entry(*entity).or_default() += 1;
    }
    let most = |sizes: &BTreeMap<u32, u64>| sizes.values().max().map_or(0, |n| *n as usize);
    Figures {
        records: records.len(),
        entities: entities.len(),
        groups: groups.len(),
        true_pairs,
        found_pairs,
        right_pairs,
        precision,
        recall,
        f1: harmonic(precision, recall),
        bcubed_precision,
        bcubed_recall,
        bcubed_f1: harmonic(bcubed_precision, bcubed_recall),
        largest_group: most(&groups),
        largest_entity: most(&entities),
        over_merged: per_group.values().filter(|n| **n > 1).count(),
        worst_merge: per_group.values().max().copied().unwrap_or_default(),
        split: per_entity.values().filter(|n| **n > 1).count(),
    }
}

fn harmonic(a: f64, b: f64) -> f64 {
    if a + b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_small_partition() {
        // Customers {0,1,2} and {3}; found {0,1} and {2,3}.
        let figures = figures(&[(7, 1), (7, 1), (8, 1), (8, 2)]);
        assert_eq!(
            (figures.true_pairs, figures.found_pairs, figures.right_pairs),
            (3, 2, 1)
        );
        assert!((figures.precision - 0.5).abs() < 1e-9 && (figures.recall - 1.0 / 3.0).abs() < 1e-9);
        assert!((figures.bcubed_precision - 0.75).abs() < 1e-9);
        assert!((figures.bcubed_recall - (4.0 / 3.0 + 1.0 / 3.0 + 1.0) / 4.0).abs() < 1e-9);
        assert_eq!((figures.over_merged, figures.worst_merge, figures.split), (1, 2, 1));
    }
}
