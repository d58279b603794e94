//! Keeps one system's requests under every limit at once: several windows, some for certain paths, operations or objects;
//! quotas of a day; so many at a time. And says who goes next when not all can.
//!
//! Declared figures are only the start: what the answers' headers say corrects them, since strangers may use the same
//! account. With Redis the windows are counted over all processes.

mod lanes;
mod quota;
mod rule;
#[cfg(test)]
mod tests;
mod window;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compact_str::CompactString;
use tokio::sync::Notify;

pub use lanes::{Lane, Lanes};
pub use quota::Quotas;
pub use rule::{Call, Rule};
pub use window::{Budget, Lack, Needs, Shape};

use super::timer::Timer;
use crate::error::{Class, Code, Failure, Problem};
use crate::model::{Bucket, Late, SharedBudget, Taken};

/// The longest wait that is sat out here. A longer one goes back to the schedule, which can use the time for others.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// How long after the shared budget was lost it is asked again.
const AWAY: Duration = Duration::from_secs(5);

tokio::task_local! {
    static LANE: Lane;
}

/// What everything that `work` sends is for. Outside of this it is [`Lane::Live`].
pub async fn in_lane<T>(lane: Lane, work: impl Future<Output = T>) -> T {
    LANE.scope(lane, work).await
}

/// The lane of the present task.
#[must_use]
pub fn lane() -> Lane {
    LANE.try_with(|lane| *lane).unwrap_or_default()
}

/// How a system's calls are limited.
pub struct Settings {
    /// The system's name.
    pub system: CompactString,
    /// Every limit, in the order of the manifest.
    pub rules: Vec<Rule>,
    /// How many calls are under way at once.
    pub parallel: usize,
    /// Where the windows are counted over all processes; nowhere without Redis.
    pub shared: Late<dyn SharedBudget>,
}

/// The waiting calls of a system and what they wait for.
struct State {
    budget: Budget,
    lanes: Lanes<u64>,
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    under_way: usize,
    /// The shared budget is not asked before.
    away_until: Duration,
}

/// A call that waits, with what is needed to know whether others may go before it.
struct Waiting {
    path: String,
    op: String,
    key: Option<String>,
    lane: Lane,
    /// It holds one of the parallel places already while it asks the shared budget.
    asks: bool,
}

impl Waiting {
    fn call(&self) -> Call<'_> {
        Call {
            path: &self.path,
            op: &self.op,
            key: self.key.as_deref(),
            lane: self.lane,
        }
    }
}

/// What a waiting call does next.
enum Step {
    /// It has left the queue and goes.
    Go,
    /// It asks the shared budget.
    Ask(Vec<(usize, Bucket)>),
    /// It waits so long, or until somebody rings.
    Wait(Duration),
    /// It waits until somebody rings: another one goes first.
    WaitForOthers,
}

impl State {
    /// A call may go before one that waits longer only if they share no bucket: so nobody is held up by a window that is
    /// not theirs, and nobody starves in one.
    fn step(
        &mut self,
        ticket: u64,
        call: &Call<'_>,
        now: Duration,
        parallel: usize,
        is_shared: bool,
        system: &str,
    ) -> Step {
        let mut free = parallel.saturating_sub(self.under_way);
        if free == 0 {
            return Step::WaitForOthers;
        }
        let needs = self.budget.needs(call);
        let ahead: Vec<u64> = self.lanes.order().take_while(|other| *other != ticket).collect();
        for other in ahead {
            let Some(other) = self.waiting.get(&other) else {
                continue;
            };
            let theirs = match self.budget.lack(&other.call(), now) {
                Some(lack) if lack.buckets.is_empty() => return Step::Wait(lack.wait),
                Some(lack) => lack.buckets,
                None => {
                    free = free.saturating_sub(1);
                    self.budget.needs(&other.call())
                }
            };
            if free == 0 || !needs.is_disjoint(&theirs) {
                return Step::WaitForOthers;
            }
        }
        if let Some(lack) = self.budget.lack(call, now) {
            return Step::Wait(lack.wait);
        }
        if is_shared && now >= self.away_until {
            let buckets = self.budget.shared(system, call);
            if !buckets.is_empty() {
                self.under_way += 1;
                if let Some(waiting) = self.waiting.get_mut(&ticket) {
                    waiting.asks = true;
                }
                return Step::Ask(buckets);
            }
        }
        self.under_way += 1;
        self.go(ticket, call, now);
        Step::Go
    }

    /// The call leaves the queue; its place among those under way is counted already.
    fn go(&mut self, ticket: u64, call: &Call<'_>, now: Duration) {
        if self.budget.spend(call, now).is_err() {
            // Only when somebody else keeps the buckets: an answer told of strangers while that was asked.
            tracing::debug!(path = call.path, "goes although an answer says that little is left");
        }
        self.waiting.remove(&ticket);
        self.lanes.serve(ticket);
    }

    /// The call does not ask any more, and waits on.
    fn asked(&mut self, ticket: u64) {
        if let Some(waiting) = self.waiting.get_mut(&ticket).filter(|waiting| waiting.asks) {
            waiting.asks = false;
            self.under_way -= 1;
        }
    }
}

/// The limits of a system, shared by its tasks, with the waiting.
pub struct Limits {
    system: CompactString,
    state: Mutex<State>,
    parallel: usize,
    bell: Notify,
    timer: Arc<dyn Timer>,
    shared: Late<dyn SharedBudget>,
    quotas: Quotas,
}

/// Held while a call is under way.
pub struct Permit<'a>(&'a Limits);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
        self.0.bell.notify_waiters();
    }
}

/// A place in the queue; given up when the one who waits goes away.
struct Place<'a> {
    limits: &'a Limits,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.limits.state();
        state.asked(self.ticket);
        if state.waiting.remove(&self.ticket).is_some() {
            state.lanes.leave(self.ticket);
            drop(state);
            self.limits.bell.notify_waiters();
        }
    }
}

impl Limits {
    /// A limiter.
    #[must_use]
    pub fn new(settings: Settings, quotas: Quotas, timer: Arc<dyn Timer>) -> Self {
        let rules = settings
            .rules
            .into_iter()
            .enumerate()
            .filter(|(_, rule)| !rule.is_quota());
        Self {
            system: settings.system,
            state: Mutex::new(State {
                budget: Budget::new(rules),
                lanes: Lanes::default(),
                waiting: BTreeMap::new(),
                next: 0,
                under_way: 0,
                away_until: Duration::ZERO,
            }),
            parallel: settings.parallel.max(1),
            bell: Notify::new(),
            timer,
            shared: settings.shared,
            quotas,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the call is within every limit and it is its turn; the permit is kept while it is under way.
    ///
    /// # Errors
    /// `Throttle` or `Quota` with the wait when it is too long to be sat out.
    pub async fn enter(&self, call: &Call<'_>) -> Result<Permit<'_>, Failure> {
        self.quotas.take(call).await?;
        let place = self.queue(call);
        let mut waited = Duration::ZERO;
        loop {
            let rung = self.bell.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            let shared = self.shared.get();
            let now = self.timer.elapsed();
            let step = self
                .state()
                .step(place.ticket, call, now, self.parallel, shared.is_some(), &self.system);
            match (step, shared) {
                (Step::Go, _) => return Ok(self.permit()),
                (Step::Ask(buckets), Some(shared)) => {
                    if self.ask(&**shared, &buckets, place.ticket, call).await {
                        return Ok(self.permit());
                    }
                }
                (Step::Wait(wait), _) => {
                    if waited + wait > WAIT_MAX {
                        return Err(too_fast(wait));
                    }
                    let begun = self.timer.elapsed();
                    tokio::select! {
                        biased;
                        () = self.timer.wait(wait) => {}
                        () = rung => {}
                    }
                    waited += self.timer.elapsed().saturating_sub(begun);
                }
                (Step::WaitForOthers | Step::Ask(_), _) => rung.await,
            }
        }
    }

    fn queue(&self, call: &Call<'_>) -> Place<'_> {
        let mut state = self.state();
        let ticket = state.next;
        state.next += 1;
        state.lanes.push(call.lane, ticket);
        let waiting = Waiting {
            path: call.path.to_owned(),
            op: call.op.to_owned(),
            key: call.key.map(str::to_owned),
            lane: call.lane,
            asks: false,
        };
        state.waiting.insert(ticket, waiting);
        Place { limits: self, ticket }
    }

    fn permit(&self) -> Permit<'_> {
        self.bell.notify_waiters();
        Permit(self)
    }

    /// Asks the shared budget; true when it gave what is needed. When it is away, this process goes on with its part.
    async fn ask(&self, shared: &dyn SharedBudget, buckets: &[(usize, Bucket)], ticket: u64, call: &Call<'_>) -> bool {
        let wanted: Vec<Bucket> = buckets.iter().map(|(_, bucket)| bucket.clone()).collect();
        let taken = shared.take(&wanted).await;
        let now = self.timer.elapsed();
        let mut state = self.state();
        match taken {
            Some(Taken::Now) => {
                state.budget.leave_to_others();
                state.go(ticket, call, now);
                return true;
            }
            Some(Taken::In { index, wait }) => {
                state.budget.leave_to_others();
                if let Some((index, _)) = buckets.get(index) {
                    state.budget.close_bucket(*index, call, now + wait, now);
                }
            }
            None => {
                state.budget.share_between(shared.members(), now);
                state.away_until = now + AWAY;
            }
        }
        state.asked(ticket);
        drop(state);
        self.bell.notify_waiters();
        false
    }

    /// Corrects limit `index` by what an answer's headers say: what is left for everybody, when it is full again, how
    /// large it is.
    pub async fn correct(&self, index: usize, call: &Call<'_>, told: &Told) {
        if self.quotas.has(index).await {
            let Some(left) = told.left() else { return };
            if let Err(problem) = self.quotas.correct(index, call, left, told.total).await {
                tracing::warn!(system = %self.system, code = %problem.code, %problem, "what is left of a quota could not be noted");
            }
            return;
        }
        let now = self.timer.elapsed();
        let mut state = self.state();
        if let Some(total) = told.total {
            state.budget.resize(index, total, now);
        }
        if let Some(left) = told.left() {
            let under_way = u32::try_from(state.under_way).unwrap_or(u32::MAX);
            let reset = told.reset.unwrap_or(Duration::MAX);
            state.budget.correct(index, call, left, under_way, reset, now);
        }
    }

    /// The system asked to be left alone; see [`Budget::close`].
    pub async fn close(&self, call: &Call<'_>, wait: Duration) {
        let now = self.timer.elapsed();
        let (closed, buckets) = {
            let mut state = self.state();
            let closed = state.budget.close(call, now + wait, now);
            (closed, state.budget.shared(&self.system, call))
        };
        let Some(shared) = self.shared.get() else { return };
        for (index, bucket) in buckets {
            if closed.is_empty() || closed.contains(&index) {
                shared.close(&bucket.name, wait).await;
            }
        }
    }
}

/// What an answer's headers say about one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What is left.
    pub remaining: Option<u32>,
    /// What is used.
    pub used: Option<u32>,
    /// The size.
    pub total: Option<u32>,
    /// After which time it is full again.
    pub reset: Option<Duration>,
}

impl Told {
    /// What is left, told or reckoned.
    #[must_use]
    pub fn left(&self) -> Option<u32> {
        self.remaining.or_else(|| Some(self.total?.saturating_sub(self.used?)))
    }
}

fn too_fast(wait: Duration) -> Failure {
    let message = format!(
        "the declared rate limit is reached, next request in {} s",
        wait.as_secs().max(1)
    );
    Failure {
        wait: Some(wait),
        ..Failure::new(Class::Throttle, Problem::new(Code::TooFast, message))
    }
}
