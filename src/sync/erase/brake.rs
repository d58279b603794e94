//! The brake over erasures: more of a stream's objects within a day than it lets through wait for a yes. Who is to be erased
//! is kept out from the first moment on all the same; only the tools are not touched yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ledger::{Erasure, Error as LedgerError};
use crate::model::{StreamId, UnixMillis};
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
        let approved_at = self.approval().await?.map(|approval| approval.at);
        let since = self.clock.now().minus(DAY);
        let since = approved_at.map_or(since, |at| at.max(since));
        let all = self.ledger.erasures(false).await?;
        let counts = counts(&all, since);
        let mut over = BTreeSet::new();
        for (stream, count) in counts {
            let records = self.ledger.count_records(&stream).await?;
            let limit = limit_of_gone(self.rules.brake(&stream.system), records + count);
            if count > limit {
                tracing::warn!(%stream, count, limit, "erasures are held until `nivel approve`");
                over.insert(stream);
            }
        }
        Ok(held(&all, since, &over))
    }
}

/// How many objects of each stream people asked to erase since.
fn counts(erasures: &[Erasure], since: UnixMillis) -> BTreeMap<StreamId, u64> {
    let mut counts = BTreeMap::new();
    for erasure in erasures.iter().filter(|erasure| erasure.asked_at > since) {
        for step in &erasure.steps {
            *counts.entry(step.stream.clone()).or_default() += 1;
        }
    }
    counts
}

/// The erasures that have a step in one of these streams, and are not over.
fn held(erasures: &[Erasure], since: UnixMillis, over: &BTreeSet<StreamId>) -> BTreeSet<i64> {
    let waits = |erasure: &&Erasure| {
        let is_in = erasure.steps.iter().any(|step| over.contains(&step.stream));
        erasure.asked_at > since && erasure.done_at.is_none() && is_in
    };
    erasures.iter().filter(waits).map(|erasure| erasure.id).collect()
}
