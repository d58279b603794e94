//! All short windows of a system at once, without waiting: what fits, and how long until something does.
//!
//! A window of `max` in `span` is a bucket of `governor` (GCRA). The usual choice, a burst of `max` refilled in `span`,
//! lets nearly twice `max` through at a window's edge. Here burst and refill together are the window: `burst + refill =
//! max`, so no stretch of `span`, wherever it begins, holds more than `max`. The price is the refill: the steady pace is
//! `(max - burst) / span`. A small burst (an eighth) keeps seven eighths of the pace and makes the ninth call in a row
//! wait a little; only a window per object, where the pace hardly matters, gets half.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use compact_str::CompactString;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter, clock};

use super::{Call, Rule};
use crate::model::Bucket;

/// How many objects a window per object remembers.
const KEYS_MAX: usize = 10_000;

/// How a window is made a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How much may be spent at once.
    pub burst: u32,
    /// After which time one more may be spent.
    pub period: Duration,
}

impl Shape {
    /// The bucket that keeps within `rule`; calls that cost more than one need a burst they fit into.
    #[must_use]
    pub fn of(rule: &Rule) -> Self {
        if rule.max <= 1 {
            // A hundredth more than the window: one call at both of its ends would be two in it.
            return Self {
                burst: 1,
                period: rule.span + rule.span / 100,
            };
        }
        let part = if rule.per_key { 2 } else { 8 };
        let burst = rule.max.div_ceil(part).max(rule.dearest()).min(rule.max - 1);
        let refill = rule.max - burst;
        // Rounded up: a refill too early by a nanosecond would be one too many.
        let period = rule.span.as_nanos().div_ceil(u128::from(refill));
        Self {
            burst,
            period: Duration::from_nanos(u64::try_from(period).unwrap_or(u64::MAX)),
        }
    }
}

/// What all buckets of a budget share: the time, handed in, and whether they are only asked.
#[derive(Clone, Debug, Default)]
struct Dial(Arc<(AtomicU64, AtomicBool)>);

impl Dial {
    fn set(&self, now: Duration, is_question: bool) {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.0.0.store(now, Ordering::Relaxed);
        self.0.1.store(is_question, Ordering::Relaxed);
    }
}

impl clock::Clock for Dial {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.0.load(Ordering::Relaxed))
    }
}

/// A bucket's level. Several windows give all or nothing, so each must be able to say what it would give.
#[derive(Debug)]
struct Level {
    dial: Dial,
    at: AtomicU64,
}

impl StateStore for Level {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let at = Some(self.at.load(Ordering::Relaxed)).filter(|at| *at != u64::MAX);
        let (result, at) = decide(at.map(Nanos::new))?;
        if !self.dial.0.1.load(Ordering::Relaxed) {
            self.at.store(at.as_u64(), Ordering::Relaxed);
        }
        Ok(result)
    }
}

type Limiter = RateLimiter<NotKeyed, Level, Dial, NoOpMiddleware<Duration>>;

/// One bucket: of a window, or of one object in a window per object.
#[derive(Debug)]
struct Slot {
    limiter: Limiter,
    used_at: Duration,
    closed_until: Duration,
    /// What the tool said is left until then.
    told: Option<(u32, Duration)>,
}

/// One window.
#[derive(Debug)]
struct Window {
    rule: Rule,
    shape: Shape,
    slots: BTreeMap<CompactString, Slot>,
    closed_until: Duration,
}

impl Window {
    fn slot(&mut self, dial: &Dial, call: &Call<'_>, now: Duration) -> &mut Slot {
        let key = self.rule.key_of(call);
        if self.slots.len() >= KEYS_MAX && !self.slots.contains_key(key) {
            let full_after = self.shape.period.saturating_mul(self.shape.burst);
            self.slots
                .retain(|_, slot| slot.used_at + full_after > now || slot.closed_until > now);
            // Still too many: half of them are forgotten. The system's own 429 is the second wall.
            while self.slots.len() > KEYS_MAX / 2 {
                self.slots.pop_first();
            }
        }
        let shape = self.shape;
        self.slots.entry(key.into()).or_insert_with(|| Slot {
            limiter: limiter(shape, dial),
            used_at: now,
            closed_until: Duration::ZERO,
            told: None,
        })
    }
}

fn limiter(shape: Shape, dial: &Dial) -> Limiter {
    let burst = NonZeroU32::new(shape.burst).unwrap_or(NonZeroU32::MIN);
    let period = shape.period.max(Duration::from_nanos(1));
    // No period but zero is refused.
    let quota = Quota::with_period(period).unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN));
    let level = Level {
        dial: dial.clone(),
        at: AtomicU64::new(u64::MAX),
    };
    RateLimiter::new(quota.allow_burst(burst), level, dial.clone())
}

/// As [`limiter`], but nothing is left in it: others may just have used it.
fn empty_limiter(shape: Shape, dial: &Dial) -> Limiter {
    let limiter = limiter(shape, dial);
    let all = NonZeroU32::new(shape.burst).unwrap_or(NonZeroU32::MIN);
    let is_emptied = matches!(limiter.check_n(all), Ok(Ok(())));
    debug_assert!(is_emptied, "a new bucket is full");
    limiter
}

impl Slot {
    /// How long until `cost` fits.
    fn lack(&self, cost: NonZeroU32, counts: bool, now: Duration) -> Duration {
        let closed = self.closed_until.saturating_sub(now);
        let told = match self.told {
            Some((left, until)) if left < cost.get() => until.saturating_sub(now),
            _ => Duration::ZERO,
        };
        let bucket = match self.limiter.check_n(cost) {
            Ok(Err(not_until)) if counts => not_until.wait_time_from(now),
            // A cost is never above the burst; should it be, the tool's own 429 decides.
            _ => Duration::ZERO,
        };
        closed.max(told).max(bucket)
    }
}

/// What a call needs for itself: a window's bucket (by position in the manifest, and object), or everything.
pub type Needs = BTreeSet<(usize, CompactString)>;

/// Why a call does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// How long until it does, should nobody else spend.
    pub wait: Duration,
    /// The buckets that lack; empty when the whole system is closed.
    pub buckets: Needs,
}

/// All short windows of a system.
#[derive(Debug)]
pub struct Budget {
    /// By position in the manifest's list.
    windows: BTreeMap<usize, Window>,
    closed_until: Duration,
    dial: Dial,
    /// False while the buckets are kept elsewhere: only what the tool said counts here.
    counts: bool,
    /// Between how many processes the windows were cut, when that was needed.
    members: Option<u32>,
}

impl Budget {
    /// An unspent budget.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = (usize, Rule)>) -> Self {
        let window = |(index, rule): (usize, Rule)| {
            let shape = Shape::of(&rule);
            let window = Window {
                rule,
                shape,
                slots: BTreeMap::new(),
                closed_until: Duration::ZERO,
            };
            (index, window)
        };
        Self {
            windows: rules.into_iter().map(window).collect(),
            closed_until: Duration::ZERO,
            dial: Dial::default(),
            counts: true,
            members: None,
        }
    }

    /// From now on somebody else keeps the buckets; only what the tool said counts here.
    pub fn leave_to_others(&mut self) {
        if !self.counts {
            return;
        }
        self.counts = false;
        for window in self.windows.values_mut() {
            window.shape = Shape::of(&window.rule);
        }
    }

    /// Nobody else keeps the buckets any more, and only one of `members` processes spends here: each window is cut to its
    /// part, and begins empty, since the others may just have used it.
    pub fn share_between(&mut self, members: u32, now: Duration) {
        if self.members == Some(members) && self.counts {
            return;
        }
        self.members = Some(members);
        self.counts = true;
        self.dial.set(now, false);
        for window in self.windows.values_mut() {
            let mut rule = window.rule.clone();
            rule.max = (rule.max / members.max(1)).max(1);
            window.shape = Shape::of(&rule);
            window.slots.clear();
            if rule.per_key {
                continue;
            }
            let slot = Slot {
                limiter: empty_limiter(window.shape, &self.dial),
                used_at: now,
                closed_until: Duration::ZERO,
                told: None,
            };
            window.slots.insert(CompactString::default(), slot);
        }
    }

    /// The buckets that a call spends from.
    #[must_use]
    pub fn needs(&self, call: &Call<'_>) -> Needs {
        let covering = self.windows.iter().filter(|(_, window)| window.rule.covers(call));
        covering
            .map(|(index, window)| (*index, window.rule.key_of(call).into()))
            .collect()
    }

    /// The same buckets as somebody else would keep them; `prefix` names the system.
    #[must_use]
    pub fn shared(&self, prefix: &str, call: &Call<'_>) -> Vec<(usize, Bucket)> {
        let covering = self.windows.iter().filter(|(_, window)| window.rule.covers(call));
        let bucket = |(index, window): (&usize, &Window)| {
            let shape = Shape::of(&window.rule);
            let bucket = Bucket {
                name: window.rule.name(prefix, window.rule.key_of(call)),
                burst: shape.burst,
                period: shape.period,
                cost: window.rule.cost(call).clamp(1, shape.burst),
                is_full_at_first: window.rule.per_key,
            };
            (*index, bucket)
        };
        covering.map(bucket).collect()
    }

    /// Why the call does not fit now; `None` when it does. Spends nothing.
    pub fn lack(&mut self, call: &Call<'_>, now: Duration) -> Option<Lack> {
        self.dial.set(now, true);
        let mut lack = Lack {
            wait: self.closed_until.saturating_sub(now),
            buckets: Needs::new(),
        };
        if !lack.wait.is_zero() {
            return Some(lack);
        }
        let counts = self.counts;
        for (index, window) in self.windows.iter_mut().filter(|(_, window)| window.rule.covers(call)) {
            let closed = window.closed_until.saturating_sub(now);
            let cost = window.cost(call);
            let wait = window.slot(&self.dial, call, now).lack(cost, counts, now).max(closed);
            if !wait.is_zero() {
                lack.wait = lack.wait.max(wait);
                lack.buckets.insert((*index, window.rule.key_of(call).into()));
            }
        }
        (!lack.wait.is_zero()).then_some(lack)
    }

    /// Spends the call's cost in every window that covers it, or in none.
    ///
    /// # Errors
    /// Why it does not fit.
    pub fn spend(&mut self, call: &Call<'_>, now: Duration) -> Result<(), Lack> {
        if let Some(lack) = self.lack(call, now) {
            return Err(lack);
        }
        self.dial.set(now, false);
        for window in self.windows.values_mut().filter(|window| window.rule.covers(call)) {
            let cost = window.cost(call);
            let slot = window.slot(&self.dial, call, now);
            slot.used_at = now;
            if let Some((left, _)) = &mut slot.told {
                *left = left.saturating_sub(cost.get());
            }
            let is_spent = matches!(slot.limiter.check_n(cost), Ok(Ok(())));
            debug_assert!(is_spent || !self.counts, "what was asked before is given");
        }
        Ok(())
    }

    /// Corrects window `index` by what an answer said is left of it for everybody; `reset` is when it is full again,
    /// `under_way` how many calls the tool may not have counted yet.
    pub fn correct(
        &mut self,
        index: usize,
        call: &Call<'_>,
        left: u32,
        under_way: u32,
        reset: Duration,
        now: Duration,
    ) {
        let dial = self.dial.clone();
        let Some(window) = self.windows.get_mut(&index).filter(|window| window.rule.covers(call)) else {
            return;
        };
        let ours = left.saturating_sub(window.rule.others).saturating_sub(under_way);
        let until = now + reset.min(window.rule.span);
        // What is left does not matter while it is more than could be spent until then.
        window.slot(&dial, call, now).told = (ours < window.rule.max).then_some((ours, until));
    }

    /// What the tool itself says about the size of window `index`.
    pub fn resize(&mut self, index: usize, total: u32, now: Duration) {
        let Some(window) = self
            .windows
            .get_mut(&index)
            .filter(|window| window.rule.total() != total)
        else {
            return;
        };
        if total == 0 {
            return;
        }
        window.rule.set_total(total);
        window.shape = Shape::of(&window.rule);
        self.dial.set(now, false);
        for slot in window.slots.values_mut() {
            slot.limiter = empty_limiter(window.shape, &self.dial);
        }
    }

    /// The bucket that somebody else keeps is empty until `until`.
    pub fn close_bucket(&mut self, index: usize, call: &Call<'_>, until: Duration, now: Duration) {
        let dial = self.dial.clone();
        if let Some(window) = self.windows.get_mut(&index) {
            window.slot(&dial, call, now).closed_until = until;
        }
    }

    /// The system asked to be left alone until `until`: closes the narrow windows that cover the call (of a window per
    /// object this object alone), or else everything. The positions of what was closed; none for everything.
    pub fn close(&mut self, call: &Call<'_>, until: Duration, now: Duration) -> Vec<usize> {
        let mut closed = Vec::new();
        let dial = self.dial.clone();
        let covering = self
            .windows
            .iter_mut()
            .filter(|(_, window)| window.rule.covers(call) && window.rule.is_narrow());
        for (index, window) in covering {
            if window.rule.per_key {
                let slot = window.slot(&dial, call, now);
                slot.closed_until = slot.closed_until.max(until);
            } else {
                window.closed_until = window.closed_until.max(until);
            }
            closed.push(*index);
        }
        if closed.is_empty() {
            self.closed_until = self.closed_until.max(until);
        }
        closed
    }

    #[cfg(test)]
    pub(super) fn keys(&self, index: usize) -> usize {
        self.windows[&index].slots.len()
    }
}

impl Window {
    /// What the call costs here. One that costs more than the burst would never fit: it is let through a full bucket.
    fn cost(&self, call: &Call<'_>) -> NonZeroU32 {
        let cost = self.rule.cost(call).min(self.shape.burst);
        NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN)
    }
}
