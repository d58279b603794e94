//! What several processes share about a tool's limits: rates (in Redis) and day's quotas (in the ledger). The words and the
//! pure arithmetic stand here; who keeps the figures is the business of higher layers.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use compact_str::CompactString;

use super::UnixMillis;
use crate::error::Problem;

/// Something that is there only once the program is built: connections are made before the ledger is opened.
pub type Late<T> = Arc<OnceLock<Arc<T>>>;

/// A quota is counted in this many slots of its span; what was spent leaves it at most one slot late.
const QUOTA_SLOTS: u32 = 24;

/// One bucket of a shared rate (GCRA): `burst` at once, and one more each `period`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Which window of which system, and of which object when it is counted per object.
    pub name: String,
    /// How much may be spent at once.
    pub burst: u32,
    /// After which time one more may be spent.
    pub period: Duration,
    /// What is to be spent now; at most `burst`.
    pub cost: u32,
    /// What a bucket that nobody knows holds: all of its burst, or nothing, since others may just have emptied it.
    pub is_full_at_first: bool,
}

/// What a shared budget answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// All buckets had enough, and it is spent.
    Now,
    /// Nothing was spent: the bucket at `index` has enough after `wait`.
    In {
        /// Position in the list that was asked for.
        index: usize,
        /// From now.
        wait: Duration,
    },
}

/// Rates that are counted over all processes.
#[async_trait]
pub trait SharedBudget: Send + Sync {
    /// Spends from all buckets or from none; `None` when the budget cannot be reached.
    async fn take(&self, buckets: &[Bucket]) -> Option<Taken>;

    /// The tool asked to be left alone: the bucket of that name gives nothing for `wait`. Best effort.
    async fn close(&self, name: &str, wait: Duration);

    /// How many processes shared the budget when it was last seen; at least 1.
    fn members(&self) -> u32;
}

/// A wish to spend from a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaAsk {
    /// Which quota of which system.
    pub name: CompactString,
    /// The length of its window.
    pub span: Duration,
    /// How much may be spent in it.
    pub max: u64,
    /// How much is wanted.
    pub want: u64,
    /// How little is still of use.
    pub least: u64,
}

/// The answer to a [`QuotaAsk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaGrant {
    /// So much is ours, durably counted as spent. It may be used until `until`; what is left then is lost.
    Granted {
        /// At least [`QuotaAsk::least`].
        amount: u64,
        /// The end of the slot in which it was counted.
        until: UnixMillis,
    },
    /// There is not enough before this moment.
    Full {
        /// When enough has left the window.
        resumes_at: UnixMillis,
    },
}

/// How far a quota is used.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct QuotaUse {
    /// Which quota of which system.
    pub name: CompactString,
    /// The length of its window, in seconds.
    pub span_s: u64,
    /// How much may be spent in it by Nivel and, where headers tell of them, by others.
    pub max: u64,
    /// How much of it is spent.
    pub spent: u64,
}

/// Quotas whose figures survive a restart.
#[async_trait]
pub trait QuotaStore: Send + Sync {
    /// Counts a part of a quota as spent, durably, before it returns.
    async fn reserve(&self, ask: &QuotaAsk, now: UnixMillis) -> Result<QuotaGrant, Problem>;

    /// The tool said how much of the quota is spent; from now on that counts.
    async fn correct(&self, name: &str, span: Duration, spent: u64, now: UnixMillis) -> Result<(), Problem>;

    /// Every quota ever asked for, by name.
    async fn quotas(&self, now: UnixMillis) -> Result<Vec<QuotaUse>, Problem>;
}

/// What was spent of one quota, by the start of its slots, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaSlots(pub Vec<(UnixMillis, u64)>);

impl QuotaSlots {
    /// Forgets what has left the window.
    pub fn expire(&mut self, span: Duration, now: UnixMillis) {
        self.0.retain(|(start, _)| leaves(*start, span) > now);
    }

    /// How much of the window is spent.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.0.iter().map(|(_, amount)| amount).sum()
    }

    /// Spends from the window, or says when enough will have left it. In no stretch of the span is more granted than
    /// [`QuotaAsk::max`], as long as a grant is used before its `until`.
    pub fn reserve(&mut self, ask: &QuotaAsk, now: UnixMillis) -> QuotaGrant {
        self.expire(ask.span, now);
        let left = ask.max.saturating_sub(self.spent());
        let amount = ask.want.max(ask.least).min(left);
        if amount >= ask.least && amount > 0 {
            self.add(ask.span, amount, now);
            let until = slot(now, ask.span).plus(slot_length(ask.span));
            return QuotaGrant::Granted { amount, until };
        }
        let mut freed = left;
        for (start, amount) in &self.0 {
            freed += amount;
            if freed >= ask.least {
                let resumes_at = leaves(*start, ask.span);
                return QuotaGrant::Full { resumes_at };
            }
        }
        let resumes_at = now.plus(ask.span);
        QuotaGrant::Full { resumes_at }
    }

    /// Makes the window say that `spent` is spent: what is missing counts as spent now, what is too much leaves with the
    /// oldest.
    pub fn correct(&mut self, span: Duration, spent: u64, now: UnixMillis) {
        self.expire(span, now);
        let known = self.spent();
        if spent > known {
            self.add(span, spent - known, now);
        }
        let mut excess = known.saturating_sub(spent);
        for (_, amount) in &mut self.0 {
            let part = excess.min(*amount);
            *amount -= part;
            excess -= part;
        }
        self.0.retain(|(_, amount)| *amount > 0);
    }

    fn add(&mut self, span: Duration, amount: u64, now: UnixMillis) {
        let start = slot(now, span);
        match self.0.last_mut() {
            // A clock that was put back must not open a slot before the last one.
            Some((last, sum)) if *last >= start => *sum += amount,
            _ => self.0.push((start, amount)),
        }
    }
}

fn slot_length(span: Duration) -> Duration {
    (span / QUOTA_SLOTS).max(Duration::from_millis(1))
}

fn slot(now: UnixMillis, span: Duration) -> UnixMillis {
    let length = i64::try_from(slot_length(span).as_millis()).unwrap_or(i64::MAX);
    UnixMillis(now.0 - now.0.rem_euclid(length))
}

fn leaves(start: UnixMillis, span: Duration) -> UnixMillis {
    start.plus(slot_length(span)).plus(span)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn ask(max: u64, want: u64, least: u64) -> QuotaAsk {
        QuotaAsk {
            name: "q".into(),
            span: DAY,
            max,
            want,
            least,
        }
    }

    proptest! {
        #[test]
        fn in_no_stretch_of_a_span_more_is_granted_than_may_be_spent(
            wishes in prop::collection::vec((0_i64..7_200_000, 1_u64..40, 1_u64..10), 1..300),
            max in 10_u64..200,
        ) {
            let mut slots = QuotaSlots::default();
            let mut now = UnixMillis(1_767_225_600_000);
            let mut granted = Vec::new();
            for (later, want, least) in wishes {
                now = UnixMillis(now.0 + later);
                match slots.reserve(&ask(max, want, least), now) {
                    QuotaGrant::Granted { amount, until } => {
                        prop_assert!(amount >= least && until > now);
                        // Used at the last moment at which it may be used.
                        granted.push((now, until, amount));
                    }
                    QuotaGrant::Full { resumes_at } => prop_assert!(resumes_at > now),
                }
            }
            for (first, _, _) in &granted {
                let end = first.plus(DAY);
                let inside: u64 = granted.iter().filter(|(at, _, _)| at >= first && *at < end).map(|(_, _, n)| n).sum();
                prop_assert!(inside <= max);
                let late: u64 = granted.iter().filter(|(_, until, _)| until > first && *until <= end).map(|(_, _, n)| n).sum();
                prop_assert!(late <= max);
            }
        }
    }

    #[test]
    fn a_full_quota_says_when_it_goes_on() {
        let now = UnixMillis(1_767_225_600_000);
        let mut slots = QuotaSlots::default();
        assert!(matches!(
            slots.reserve(&ask(10, 10, 1), now),
            QuotaGrant::Granted { amount: 10, .. }
        ));
        let later = now.plus(Duration::from_secs(7200));
        let QuotaGrant::Full { resumes_at } = slots.reserve(&ask(10, 5, 1), later) else {
            panic!("nothing is left");
        };
        assert_eq!(resumes_at, now.plus(Duration::from_secs(25 * 3600)));
        assert!(matches!(
            slots.reserve(&ask(10, 5, 1), resumes_at),
            QuotaGrant::Granted { amount: 5, .. }
        ));
    }

    #[test]
    fn the_tools_own_figure_counts_whichever_way_it_differs() {
        let now = UnixMillis(1_767_225_600_000);
        let mut slots = QuotaSlots::default();
        slots.correct(DAY, 80, now);
        assert_eq!(slots.spent(), 80);
        slots.correct(DAY, 5, now.plus(Duration::from_secs(7200)));
        assert_eq!(slots.spent(), 5);
        slots.correct(DAY, 0, now);
        assert_eq!(slots, QuotaSlots::default());
    }
}
