//! The long windows of a system (an hour or more): counted in the ledger, because a restart must not forget a day's use.
//!
//! Not every request is a commit: a part of the quota is reserved ahead, durably, and used up from memory. What a crash
//! leaves of it is lost, which errs on the safe side.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use compact_str::CompactString;

use super::lanes::Lane;
use super::rule::{Call, Rule};
use crate::error::{Class, Code, Failure, Problem};
use crate::model::{Clock, Late, QuotaAsk, QuotaGrant, QuotaSlots, QuotaStore, QuotaUse, UnixMillis};

/// The part of a quota that is reserved at once.
const PARTS: u64 = 200;
/// The most that is reserved at once.
const AHEAD_MAX: u64 = 500;

/// What is reserved and not used yet.
#[derive(Clone, Copy, Debug, Default)]
struct Pool {
    left: u64,
    until: UnixMillis,
}

impl Pool {
    fn usable(&self, now: UnixMillis) -> u64 {
        if now < self.until { self.left } else { 0 }
    }
}

#[derive(Debug)]
struct Entry {
    rule: Rule,
    name: CompactString,
    /// For the usual work, and for handoffs, for whom a part of the whole is kept back.
    pools: [Pool; 2],
    /// What was left when the tool's figure was last compared with ours.
    compared: Option<u32>,
}

/// All quotas of a system.
pub struct Quotas {
    entries: tokio::sync::Mutex<BTreeMap<usize, Entry>>,
    has_any: bool,
    store: Late<dyn QuotaStore>,
    /// Used as long as there is no store: a check of the config, a test.
    memory: InMemory,
    clock: Arc<dyn Clock>,
    /// The part that only handoffs may use.
    reserve: f64,
}

impl Quotas {
    /// The quotas of a system; `rules` by their position in the manifest.
    #[must_use]
    pub fn new(
        system: &str,
        rules: impl IntoIterator<Item = (usize, Rule)>,
        store: Late<dyn QuotaStore>,
        reserve: f64,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let entry = |(index, rule): (usize, Rule)| {
            let name = rule.name(system, "").into();
            let pools = [Pool::default(); 2];
            let entry = Entry {
                rule,
                name,
                pools,
                compared: None,
            };
            (index, entry)
        };
        let entries: BTreeMap<usize, Entry> = rules.into_iter().map(entry).collect();
        Self {
            has_any: !entries.is_empty(),
            entries: tokio::sync::Mutex::new(entries),
            store,
            memory: InMemory::default(),
            clock,
            reserve: reserve.clamp(0.0, 1.0),
        }
    }

    fn store(&self) -> &dyn QuotaStore {
        match self.store.get() {
            Some(store) => &**store,
            None => &self.memory,
        }
    }

    /// Spends the call's cost from every quota that covers it, or says when there is enough.
    ///
    /// # Errors
    /// `Quota` with the wait, or `Transient` when the ledger cannot be written.
    pub async fn take(&self, call: &Call<'_>) -> Result<(), Failure> {
        if !self.has_any {
            return Ok(());
        }
        let now = self.clock.now();
        let mut entries = self.entries.lock().await;
        let which = usize::from(call.lane == Lane::Handoff);
        // First everything is reserved, then everything is spent: so nothing is spent in vain.
        for entry in entries.values_mut().filter(|entry| entry.rule.covers(call)) {
            self.fill(entry, which, u64::from(entry.rule.cost(call)), now).await?;
        }
        for entry in entries.values_mut().filter(|entry| entry.rule.covers(call)) {
            let cost = u64::from(entry.rule.cost(call));
            entry.pools[which].left = entry.pools[which].left.saturating_sub(cost);
        }
        Ok(())
    }

    async fn fill(&self, entry: &mut Entry, which: usize, cost: u64, now: UnixMillis) -> Result<(), Failure> {
        let usable = entry.pools[which].usable(now);
        if usable >= cost {
            return Ok(());
        }
        let all = u64::from(entry.rule.max);
        let max = if which == 1 { all } else { all - self.kept_back(all) };
        let ask = QuotaAsk {
            name: entry.name.clone(),
            span: entry.rule.span,
            max,
            want: (all / PARTS).clamp(1, AHEAD_MAX).max(cost - usable),
            least: cost - usable,
        };
        match self.store().reserve(&ask, now).await.map_err(unwritten)? {
            QuotaGrant::Granted { amount, until } => {
                let left = usable + amount;
                entry.pools[which] = Pool { left, until };
                Ok(())
            }
            QuotaGrant::Full { resumes_at } => Err(used_up(&entry.name, resumes_at, now)),
        }
    }

    fn kept_back(&self, all: u64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a part of a u32 between 0 and 1 of it is a u32"
        )]
        let part = (all as f64 * self.reserve).floor() as u64;
        // Something must be left for the usual work.
        part.min(all.saturating_sub(1))
    }

    /// The tool said what is left of quota `index` for everybody. Noted when it makes a difference.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn correct(&self, index: usize, call: &Call<'_>, left: u32, total: Option<u32>) -> Result<(), Problem> {
        let mut entries = self.entries.lock().await;
        let Some(entry) = entries.get_mut(&index).filter(|entry| entry.rule.covers(call)) else {
            return Ok(());
        };
        if let Some(total) = total.filter(|total| *total > 0) {
            entry.rule.set_total(total);
        }
        let step = (u64::from(entry.rule.max) / PARTS).clamp(1, AHEAD_MAX);
        let is_near = |before: u32| u64::from(before.abs_diff(left)) < step;
        if entry
            .compared
            .is_some_and(|before| is_near(before) && (left > 0 || before == 0))
        {
            return Ok(());
        }
        entry.compared = Some(left);
        let now = self.clock.now();
        let unused: u64 = entry.pools.iter().map(|pool| pool.usable(now)).sum();
        let spent = u64::from(entry.rule.total().saturating_sub(left)) + unused;
        let known = self.store().quotas(now).await?;
        let known = known
            .iter()
            .find(|known| known.name == entry.name)
            .map_or(0, |known| known.spent);
        if spent.abs_diff(known) > step || left == 0 && spent != known {
            self.store().correct(&entry.name, entry.rule.span, spent, now).await?;
            if spent > known {
                // What strangers have used is not ours any more.
                entry.pools = [Pool::default(); 2];
            }
        }
        Ok(())
    }

    /// True when the limit at this position is a quota.
    pub async fn has(&self, index: usize) -> bool {
        self.has_any && self.entries.lock().await.contains_key(&index)
    }
}

fn used_up(name: &str, resumes_at: UnixMillis, now: UnixMillis) -> Failure {
    let message = format!("the quota that Nivel may use is used up, it goes on at {resumes_at}");
    Failure {
        wait: Some(resumes_at.since(now).max(Duration::from_secs(1))),
        ..Failure::new(Class::Quota, Problem::new(Code::QuotaUsed, message).about(name))
    }
}

fn unwritten(problem: Problem) -> Failure {
    Failure::new(Class::Transient, problem)
}

/// Quotas that last as long as the process.
#[derive(Debug, Default)]
pub(super) struct InMemory(Mutex<BTreeMap<CompactString, QuotaSlots>>);

impl InMemory {
    fn with<T>(&self, name: &str, act: impl FnOnce(&mut QuotaSlots) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(all.entry(name.into()).or_default())
    }
}

#[async_trait]
impl QuotaStore for InMemory {
    async fn reserve(&self, ask: &QuotaAsk, now: UnixMillis) -> Result<QuotaGrant, Problem> {
        Ok(self.with(&ask.name, |slots| slots.reserve(ask, now)))
    }

    async fn correct(&self, name: &str, span: Duration, spent: u64, now: UnixMillis) -> Result<(), Problem> {
        self.with(name, |slots| slots.correct(span, spent, now));
        Ok(())
    }

    async fn quotas(&self, _now: UnixMillis) -> Result<Vec<QuotaUse>, Problem> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = |(name, slots): (&CompactString, &QuotaSlots)| QuotaUse {
            name: name.clone(),
            span_s: 0,
            max: 0,
            spent: slots.spent(),
        };
        Ok(all.iter().map(used).collect())
    }
}
