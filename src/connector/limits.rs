//! Keeps one system's requests under every limit at once: several windows, some for certain paths, operations or objects.
//!
//! Each window is a sliding one: in no stretch of its length are more requests sent than it allows. (The usual token
//! bucket lets nearly twice as many through: a full burst and a full refill.) Declared figures are only the start: what
//! the answers' headers say corrects them, since strangers may use the same account.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compact_str::CompactString;
use regex::Regex;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::timer::Timer;
use crate::error::{Class, Code, Failure, Problem};

/// A window is counted in this many slots; a request leaves it at most one slot late.
const SLOTS: u32 = 100;
/// How many objects a window per object remembers.
const KEYS_MAX: usize = 10_000;
/// The longest wait that is sat out here. A longer one goes back to the schedule, which can use the time for others.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// A window of this length or more is a quota: what it lacks comes back tomorrow, not soon.
const QUOTA_SPAN: Duration = Duration::from_secs(3600);

/// What one request counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// The path below the system's base address, with a leading slash.
    pub path: &'a str,
    /// What it does: `read get find create upsert update delete job check auth`.
    pub op: &'a str,
    /// The object it is about, when it is about one.
    pub key: Option<&'a str>,
    /// What it costs; usually 1.
    pub cost: u32,
}

/// One declared limit.
#[derive(Clone, Debug)]
pub struct Rule {
    /// How much may be spent in `span`.
    pub max: u32,
    /// The length of the window.
    pub span: Duration,
    /// Only for paths that match.
    pub path: Option<Regex>,
    /// Only for this operation.
    pub op: Option<CompactString>,
    /// Counted for each object apart.
    pub per_key: bool,
}

impl Rule {
    fn covers(&self, call: &Call<'_>) -> bool {
        self.path.as_ref().is_none_or(|path| path.is_match(call.path))
            && self.op.as_ref().is_none_or(|op| op == call.op)
            && (!self.per_key || call.key.is_some())
    }

    fn is_narrow(&self) -> bool {
        self.path.is_some() || self.op.is_some() || self.per_key
    }

    fn slot(&self) -> Duration {
        (self.span / SLOTS).max(Duration::from_millis(1))
    }
}

/// What was spent in a window, by slot.
#[derive(Clone, Debug, Default)]
struct Spent {
    slots: VecDeque<(Duration, u32)>,
    sum: u32,
}

impl Spent {
    /// Forgets what has left the window.
    fn expire(&mut self, rule: &Rule, now: Duration) {
        while let Some(&(slot, cost)) = self.slots.front() {
            if slot + rule.slot() + rule.span > now {
                break;
            }
            self.slots.pop_front();
            self.sum -= cost;
        }
    }

    /// How long until `cost` fits; zero when it fits now.
    fn wait(&self, rule: &Rule, cost: u32, now: Duration) -> Duration {
        let mut excess = self.sum.saturating_add(cost).saturating_sub(rule.max);
        // A call dearer than the whole window is let through an empty one: waiting would never help.
        excess = excess.min(self.sum);
        for &(slot, cost) in &self.slots {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(cost);
            if excess == 0 {
                return (slot + rule.slot() + rule.span).saturating_sub(now);
            }
        }
        Duration::ZERO
    }

    fn spend(&mut self, rule: &Rule, cost: u32, now: Duration) {
        let length = rule.slot();
        let slot = now - Duration::from_nanos(u64::try_from(now.as_nanos() % length.as_nanos()).unwrap_or(0));
        self.sum = self.sum.saturating_add(cost);
        match self.slots.back_mut() {
            Some((last, sum)) if *last == slot => *sum = sum.saturating_add(cost),
            _ => self.slots.push_back((slot, cost)),
        }
    }
}

#[derive(Debug)]
struct Window {
    rule: Rule,
    spent: BTreeMap<CompactString, Spent>,
    closed_until: Duration,
}

impl Window {
    fn spent(&mut self, call: &Call<'_>, now: Duration) -> &mut Spent {
        let key = if self.rule.per_key { call.key.unwrap_or("") } else { "" };
        if self.spent.len() >= KEYS_MAX && !self.spent.contains_key(key) {
            let rule = &self.rule;
            for spent in self.spent.values_mut() {
                spent.expire(rule, now);
            }
            self.spent.retain(|_, spent| spent.sum > 0);
            // Still full: half of it is forgotten. The system's own 429 is the second wall.
            while self.spent.len() > KEYS_MAX / 2 {
                self.spent.pop_first();
            }
        }
        let spent = self.spent.entry(key.into()).or_default();
        spent.expire(&self.rule, now);
        spent
    }
}

/// All windows of a system, without waiting: what fits, and how long until something does.
#[derive(Debug)]
pub struct Budget {
    windows: Vec<Window>,
    closed_until: Duration,
}

impl Budget {
    /// An unspent budget; `share` (0 to 1) of every figure is ours to use.
    #[must_use]
    pub fn new(rules: Vec<Rule>, share: f64) -> Self {
        let windows = rules.into_iter().map(|mut rule| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a u32 between 0 and 1 of it is a u32"
            )]
            let max = (f64::from(rule.max) * share.clamp(0.0, 1.0)).floor() as u32;
            rule.max = max.max(1);
            Window {
                rule,
                spent: BTreeMap::new(),
                closed_until: Duration::ZERO,
            }
        });
        Self {
            windows: windows.collect(),
            closed_until: Duration::ZERO,
        }
    }

    /// Spends the call's cost in every window that covers it, or says how long to wait and spends nothing.
    ///
    /// # Errors
    /// The wait, and whether a quota (a window of an hour or more) is what lacks.
    pub fn spend(&mut self, call: &Call<'_>, now: Duration) -> Result<(), (Duration, bool)> {
        let mut wait = self.closed_until.saturating_sub(now);
        let mut is_quota = false;
        for window in self.windows.iter_mut().filter(|window| window.rule.covers(call)) {
            let closed = window.closed_until.saturating_sub(now);
            let rule = window.rule.clone();
            let needed = window.spent(call, now).wait(&rule, call.cost, now).max(closed);
            if needed > wait {
                wait = needed;
                is_quota = rule.span >= QUOTA_SPAN;
            }
        }
        if wait > Duration::ZERO {
            return Err((wait, is_quota));
        }
        for window in self.windows.iter_mut().filter(|window| window.rule.covers(call)) {
            let rule = window.rule.clone();
            window.spent(call, now).spend(&rule, call.cost, now);
        }
        Ok(())
    }

    /// Corrects window `index` by what an answer said is left of it; `reset` is when it is full again.
    pub fn correct(&mut self, index: usize, call: &Call<'_>, remaining: u32, reset: Option<Duration>, now: Duration) {
        let Some(window) = self.windows.get_mut(index).filter(|window| window.rule.covers(call)) else {
            return;
        };
        if let (0, Some(reset)) = (remaining, reset) {
            window.closed_until = window.closed_until.max(now + reset);
            return;
        }
        let rule = window.rule.clone();
        let spent = window.spent(call, now);
        let strangers = rule.max.saturating_sub(remaining).saturating_sub(spent.sum);
        if strangers > 0 {
            spent.spend(&rule, strangers, now);
        }
    }

    /// The system asked to be left alone for `wait`: closes the narrow windows that cover the call, or else everything.
    pub fn close(&mut self, call: &Call<'_>, wait: Duration, now: Duration) {
        let until = now + wait;
        let mut is_closed = false;
        for window in &mut self.windows {
            // A window per object is not closed for the others; the caller waits for this one.
            if window.rule.covers(call) && window.rule.is_narrow() && !window.rule.per_key {
                window.closed_until = window.closed_until.max(until);
                is_closed = true;
            }
        }
        let is_per_key = self
            .windows
            .iter()
            .any(|window| window.rule.per_key && window.rule.covers(call));
        if !is_closed && !is_per_key {
            self.closed_until = self.closed_until.max(until);
        }
    }
}

/// A budget shared by the tasks of a system, with the waiting.
pub struct Limits {
    budget: Mutex<Budget>,
    parallel: Semaphore,
    timer: Arc<dyn Timer>,
}

impl Limits {
    /// A limiter; at most `parallel` requests are under way at once.
    #[must_use]
    pub fn new(budget: Budget, parallel: usize, timer: Arc<dyn Timer>) -> Self {
        Self {
            budget: Mutex::new(budget),
            parallel: Semaphore::new(parallel.max(1)),
            timer,
        }
    }

    /// Waits until the call is within every limit; the permit is kept while it is under way.
    ///
    /// # Errors
    /// `Throttle` or `Quota` with the wait when it is too long to be sat out.
    pub async fn enter(&self, call: &Call<'_>) -> Result<SemaphorePermit<'_>, Failure> {
        let mut waited = Duration::ZERO;
        loop {
            let spent = self.with(|budget, now| budget.spend(call, now));
            let Err((wait, is_quota)) = spent else {
                break;
            };
            waited += wait;
            if waited > WAIT_MAX || is_quota {
                return Err(used_up(wait, is_quota));
            }
            self.timer.wait(wait).await;
        }
        // The semaphore is never closed; should it be, the request goes ahead of the cap rather than being lost.
        self.parallel
            .acquire()
            .await
            .map_err(|_closed| used_up(Duration::from_secs(1), false))
    }

    /// Corrects a window by an answer's headers; see [`Budget::correct`].
    pub fn correct(&self, index: usize, call: &Call<'_>, remaining: u32, reset: Option<Duration>) {
        self.with(|budget, now| budget.correct(index, call, remaining, reset, now));
    }

    /// The system asked to be left alone; see [`Budget::close`].
    pub fn close(&self, call: &Call<'_>, wait: Duration) {
        self.with(|budget, now| budget.close(call, wait, now));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Budget, Duration) -> T) -> T {
        let now = self.timer.elapsed();
        let mut budget = self.budget.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        act(&mut budget, now)
    }
}

fn used_up(wait: Duration, is_quota: bool) -> Failure {
    let (class, code, what) = if is_quota {
        (Class::Quota, Code::QuotaUsed, "the quota that Nivel may use is used up")
    } else {
        (Class::Throttle, Code::TooFast, "the declared rate limit is reached")
    };
    Failure {
        wait: Some(wait),
        ..Failure::new(
            class,
            Problem::new(code, format!("{what}, next request in {} s", wait.as_secs().max(1))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::timer::JumpTimer;

    const SECOND: Duration = Duration::from_secs(1);

    fn rule(max: u32, span: Duration) -> Rule {
        Rule {
            max,
            span,
            path: None,
            op: None,
            per_key: false,
        }
    }

    fn call(path: &str) -> Call<'_> {
        Call {
            path,
            op: "read",
            key: None,
            cost: 1,
        }
    }

    /// Sends as fast as the budget lets for `time`; the moments at which calls went out.
    fn run(budget: &mut Budget, call: &Call<'_>, time: Duration) -> Vec<Duration> {
        let mut now = Duration::ZERO;
        let mut sent = Vec::new();
        while now < time {
            match budget.spend(call, now) {
                Ok(()) => sent.push(now),
                Err((wait, _)) => now += wait,
            }
        }
        sent
    }

    #[test]
    fn no_stretch_of_a_window_holds_more_than_it_allows() {
        let mut budget = Budget::new(vec![rule(100, 10 * SECOND), rule(20, SECOND)], 1.0);
        let sent = run(&mut budget, &call("/a"), 60 * SECOND);
        for (max, span) in [(100, 10 * SECOND), (20, SECOND)] {
            for (at, first) in sent.iter().enumerate() {
                let inside = sent[at..].iter().take_while(|later| **later < *first + span).count();
                assert!(inside <= max, "{inside} calls within {span:?}");
            }
        }
        assert!(
            sent.len() >= 590,
            "nearly everything that is allowed is used, but only {}",
            sent.len()
        );
    }

    #[test]
    fn a_path_window_leaves_other_paths_alone() {
        let search = Rule {
            path: Some(Regex::new("/search$").unwrap()),
            ..rule(1, SECOND)
        };
        let mut budget = Budget::new(vec![search], 1.0);
        assert!(budget.spend(&call("/a/search"), Duration::ZERO).is_ok());
        assert!(budget.spend(&call("/a/search"), Duration::ZERO).is_err());
        assert!(budget.spend(&call("/a"), Duration::ZERO).is_ok());
    }

    #[test]
    fn a_window_per_object_counts_each_object() {
        let per_key = Rule {
            per_key: true,
            op: Some("update".into()),
            ..rule(1, SECOND)
        };
        let mut budget = Budget::new(vec![per_key], 1.0);
        fn update(key: &str) -> Call<'_> {
            Call {
                op: "update",
                key: Some(key),
                ..call("/a")
            }
        }
        assert!(budget.spend(&update("1"), Duration::ZERO).is_ok());
        assert!(budget.spend(&update("2"), Duration::ZERO).is_ok());
        assert!(budget.spend(&update("1"), Duration::ZERO).is_err());
        for key in 0..2 * KEYS_MAX {
            let key = format!("x{key}");
            assert!(budget.spend(&update(&key), Duration::ZERO).is_ok());
        }
        assert!(budget.windows[0].spent.len() <= KEYS_MAX);
    }

    #[test]
    fn a_share_leaves_room_for_others() {
        let mut budget = Budget::new(vec![rule(10, SECOND)], 0.5);
        assert_eq!(
            (0..10)
                .filter(|_| budget.spend(&call("/a"), Duration::ZERO).is_ok())
                .count(),
            5
        );
    }

    #[test]
    fn headers_correct_the_declared_figure() {
        let mut budget = Budget::new(vec![rule(100, 10 * SECOND)], 1.0);
        budget.correct(0, &call("/a"), 2, None, Duration::ZERO);
        assert!(budget.spend(&call("/a"), Duration::ZERO).is_ok());
        assert!(budget.spend(&call("/a"), Duration::ZERO).is_ok());
        assert!(budget.spend(&call("/a"), Duration::ZERO).is_err());
        let mut budget = Budget::new(vec![rule(100, 10 * SECOND)], 1.0);
        budget.correct(0, &call("/a"), 0, Some(3 * SECOND), Duration::ZERO);
        assert_eq!(budget.spend(&call("/a"), Duration::ZERO), Err((3 * SECOND, false)));
    }

    #[test]
    fn a_call_dearer_than_its_window_waits_for_an_empty_one_only() {
        let mut budget = Budget::new(vec![rule(3, SECOND)], 1.0);
        let dear = Call { cost: 5, ..call("/a") };
        assert!(budget.spend(&dear, Duration::ZERO).is_ok());
        assert!(budget.spend(&dear, SECOND).is_err());
        assert!(budget.spend(&dear, 2 * SECOND).is_ok());
    }

    #[tokio::test]
    async fn waits_are_sat_out_and_long_ones_are_handed_back() {
        let timer = Arc::new(JumpTimer::default());
        let limits = Limits::new(Budget::new(vec![rule(1, SECOND)], 1.0), 4, timer.clone());
        drop(limits.enter(&call("/a")).await.unwrap());
        drop(limits.enter(&call("/a")).await.unwrap());
        assert_eq!(timer.waits(), [Duration::from_millis(1010)]);
        let limits = Limits::new(Budget::new(vec![rule(1, 24 * 3600 * SECOND)], 1.0), 4, timer.clone());
        drop(limits.enter(&call("/a")).await.unwrap());
        let Err(failure) = limits.enter(&call("/a")).await else {
            panic!("the quota is used up");
        };
        assert_eq!(failure.class, Class::Quota);
        assert!(failure.wait.unwrap() > 23 * 3600 * SECOND);
        assert_eq!(timer.waits().len(), 1);
    }
}
