//! The figures of handoffs for whoever scrapes: how many stand where, what keeps them, how long they took.

use std::time::Duration;

use compact_str::CompactString;

use crate::handoff::{Counting, Reason, Spread, State};
use crate::ledger::{Error as LedgerError, PassageCount, PassagesOf};
use crate::model::UnixMillis;
use crate::sync::Engine;

/// Passages are read in pages of this size.
const PAGE: usize = 1_000;

/// How often times are measured at most: every passage there ever was is read for it.
const TIMES_EVERY: Duration = Duration::from_mins(1);

/// What was measured last: while no passage has moved, no time has changed.
#[derive(Default)]
pub(super) struct Measured {
    counts: Vec<PassageCount>,
    at: Option<UnixMillis>,
}

impl Measured {
    /// Sets the figures anew.
    pub(super) async fn measure(&mut self, engine: &Engine) {
        if let Err(error) = self.look(engine).await {
            tracing::warn!(%error, "handoffs cannot be counted");
        }
    }

    async fn look(&mut self, engine: &Engine) -> Result<(), LedgerError> {
        let now = engine.now();
        let counts = engine.ledger().passage_counts(now).await?;
        count(engine, &counts);
        let is_time = self.at.is_none_or(|at| at.plus(TIMES_EVERY) <= now);
        if is_time && counts != self.counts {
            times(engine).await?;
            (self.counts, self.at) = (counts, Some(now));
        }
        Ok(())
    }
}

fn gauge(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn count(engine: &Engine, counts: &[PassageCount]) {
    for rule in &engine.rules().handoffs {
        let mine = || counts.iter().filter(|count| count.rule == rule.name);
        for state in State::ALL {
            let count = mine()
                .filter(|count| count.state == state)
                .map(|count| count.count)
                .sum();
            metrics::gauge!("nivel_handoffs", "rule" => rule.name.to_string(), "state" => state.as_str())
                .set(gauge(count));
        }
        let late = mine().map(|count| count.late).sum();
        metrics::gauge!("nivel_handoffs_late", "rule" => rule.name.to_string()).set(gauge(late));
    }
}

/// How long the steps of each rule took, and why passages of it stopped.
async fn times(engine: &Engine) -> Result<(), LedgerError> {
    let mut counting = Counting::default();
    let mut after: Option<CompactString> = None;
    loop {
        let page = engine
            .ledger()
            .passages(&PassagesOf::default(), after.as_deref(), PAGE)
            .await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for passage in &page {
            counting.take(passage, engine.now());
        }
    }
    let figures = counting.finish();
    for rule in &engine.rules().handoffs {
        let mine = figures.get(&rule.name).cloned().unwrap_or_default();
        for (step, spread) in [("arrival", mine.to_delivery), ("taking_on", mine.to_acceptance)] {
            tell(&rule.name, step, spread);
        }
        for reason in Reason::ALL {
            let count = mine.reasons.get(reason.as_str()).copied().unwrap_or_default();
            metrics::gauge!("nivel_handoffs_stopped", "rule" => rule.name.to_string(), "reason" => reason.as_str())
                .set(gauge(count));
        }
    }
    Ok(())
}

fn tell(rule: &str, step: &'static str, spread: Spread) {
    if spread.count == 0 {
        return;
    }
    for (quantile, ms) in [("0.5", spread.median_ms), ("0.95", spread.p95_ms)] {
        let seconds = Duration::from_millis(ms).as_secs_f64();
        metrics::gauge!("nivel_handoff_seconds", "rule" => rule.to_owned(), "step" => step, "quantile" => quantile)
            .set(seconds);
    }
}
