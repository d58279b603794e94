//! On which step true pairs are lost: no key leads there, the two look too different, or their groups do.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::score::Pass;
use super::table::Set;

/// What became of the pairs of records that are one customer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Lost {
    /// All of them.
    pub(super) pairs: u64,
    /// A key leads from one record to the other.
    pub(super) found: u64,
    /// Of these, the two look like one.
    pub(super) alike: u64,
    /// Of these, they are in two groups all the same.
    pub(super) parted: u64,
    /// In one group, though no key leads there or the two do not look like one.
    pub(super) brought: u64,
}

/// Looks at every true pair of a set.
pub(super) fn lost(set: &Set, pass: &Pass) -> Lost {
    let groups = pass.groups();
    let mut entities: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (at, row) in set.rows.iter().enumerate() {
        entities.entry(row.entity).or_default().push(at);
    }
    let mut lost = Lost::default();
    for records in entities.values() {
        for (at, a) in records.iter().enumerate() {
            for b in records.iter().skip(at + 1) {
                let (is_found, bits) = pass.matcher.scored(pass.slots[*a], pass.slots[*b]).unwrap_or_default();
                let (is_alike, is_one) = (is_found && bits >= 0.0, groups[*a] == groups[*b]);
                lost.pairs += 1;
                lost.found += u64::from(is_found);
                lost.alike += u64::from(is_alike);
                lost.parted += u64::from(is_alike && !is_one);
                lost.brought += u64::from(!is_alike && is_one);
            }
        }
    }
    lost
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: u64| part as f64 * 100.0 / self.pairs.max(1) as f64;
        write!(
            f,
            "of the true pairs keys find {:.1} %, {:.1} % look like one; groups part {:.1} % of all and bring {:.1} % together",
            percent(self.found),
            percent(self.alike),
            percent(self.parted),
            percent(self.brought),
        )
    }
}
