//! The brake over erasures: more of a stream's objects within a day than it lets through wait for a yes. Who is to be erased
//! is kept out from the first moment on all the same; only the tools are not touched yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ledger::{Erasure, Error as LedgerError};
use crate::model::StreamId;
use crate::sync::approval::limit_of_gone;
use crate::sync::engine::Engine;

/// The time in which erasures are counted together.
const DAY: Duration = Duration::from_hours(24);

impl Engine {
    /// The erasures that wait until somebody has approved them: `nivel approve`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn held_erasures(&self) -> Result<BTreeSet<i64>, LedgerError> {
        let yesterday = self.clock.now().minus(DAY);
        let approved_at = self.approval().await?.map(|approval| approval.at);
        let since = approved_at.map_or(yesterday, |at| at.max(yesterday));
        let mut all = self.ledger.erasures(false).await?;
        all.retain(|erasure| erasure.asked_at > since);
        let mut limits = BTreeMap::new();
        for (stream, wanted) in counts(&all) {
            // Those that are erased already were records of it, too.
            let records = self.ledger.count_records(&stream).await? + wanted;
            let limit = limit_of_gone(self.rules.brake(&stream.system), records);
            limits.insert(stream, limit);
        }
        let held = beyond(&all, &limits);
        if !held.is_empty() {
            tracing::warn!(erasures = held.len(), "erasures are held until `nivel approve`");
        }
        Ok(held)
    }
}

/// How many objects of each stream are to be erased.
fn counts(erasures: &[Erasure]) -> BTreeMap<StreamId, u64> {
    let mut counts = BTreeMap::new();
    for step in erasures.iter().flat_map(|erasure| &erasure.steps) {
        *counts.entry(step.stream.clone()).or_default() += 1;
    }
    counts
}

/// The erasures that are not over and go beyond the limit of a stream, counted in the order in which they were asked for.
fn beyond(erasures: &[Erasure], limits: &BTreeMap<StreamId, u64>) -> BTreeSet<i64> {
    let mut counts: BTreeMap<&StreamId, u64> = BTreeMap::new();
    let mut held = BTreeSet::new();
    for erasure in erasures {
        let mut is_beyond = false;
        for step in &erasure.steps {
            let count = counts.entry(&step.stream).or_default();
            *count += 1;
            is_beyond |= limits.get(&step.stream).is_some_and(|limit| *count > *limit);
        }
        if is_beyond && erasure.done_at.is_none() {
            held.insert(erasure.id);
        }
    }
    held
}
