//! The daemon's work: every system pulled on its interval, every outbox delivered, a failing ledger waited for, and all
//! of it stopped in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compact_str::CompactString;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::hooks;
use super::measure::Measured;
use crate::config::{Config, SystemConfig};
use crate::error::{Code, Problem};
use crate::http::Readiness;
use crate::ledger::{Error as LedgerError, Keep};
use crate::model::{StreamId, UnixMillis};
use crate::sync::schedule::{Board, Schedule};
use crate::sync::{Engine, Next};

/// How often an outbox is looked at although nobody rang.
const PUSH_POLL: Duration = Duration::from_secs(5);

/// How often requests of operators are looked for.
const REQUEST_POLL: Duration = Duration::from_millis(500);

/// How often a ledger that cannot be written is tried again.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// How long work under way may take to end when the daemon is told to stop.
const GRACE: Duration = Duration::from_secs(20);

/// How often a long wait, and the runs that are due, are looked at.
const LOOK: Duration = Duration::from_secs(30);

/// How often history that is past its time is removed.
const RETAIN_EVERY: Duration = Duration::from_secs(3600);

/// What readiness says while the ledger cannot be written.
const LEDGER: &str = "ledger";

/// Works until `stop` is cancelled. Pulling stops first, then writes under way are settled.
pub(super) async fn supervise(
    engine: Arc<Engine>,
    config: &Config,
    landed: Arc<Notify>,
    ready: Readiness,
    stop: CancellationToken,
) {
    let pushing = CancellationToken::new();
    let board = Arc::new(Mutex::new(Board::default()));
    let mut pulls = JoinSet::new();
    pulls.spawn(hooks::fold(Arc::clone(&engine), landed, ready.clone(), stop.clone()));
    pulls.spawn(hooks::listen(
        Arc::clone(&engine),
        config.webhooks.silence,
        stop.clone(),
    ));
    pulls.spawn(hooks::audit(
        Arc::clone(&engine),
        hooks::wishes(&engine, config),
        stop.clone(),
    ));
    pulls.spawn(serve_operators(Arc::clone(&engine), stop.clone()));
    pulls.spawn(refold(Arc::clone(&engine), ready.clone(), stop.clone()));
    pulls.spawn(tend_handoffs(Arc::clone(&engine), ready.clone(), stop.clone()));
    pulls.spawn(super::alerts::tell(
        Arc::clone(&engine),
        config.alerts.clone(),
        Arc::clone(&board),
        stop.clone(),
    ));
    pulls.spawn(super::posts::tell(
        Arc::clone(&engine),
        config.hooks.clone(),
        stop.clone(),
    ));
    pulls.spawn(erase(Arc::clone(&engine), stop.clone()));
    pulls.spawn(export(Arc::clone(&engine), stop.clone()));
    pulls.spawn(retain(Arc::clone(&engine), keep(config), stop.clone()));
    for (system, settings) in &config.systems {
        let job = Job {
            engine: Arc::clone(&engine),
            system: system.clone(),
            schedule: schedule(settings),
            board: Arc::clone(&board),
        };
        pulls.spawn(pull_system(job, ready.clone(), stop.clone()));
    }
    pulls.spawn(watch(Arc::clone(&engine), board, stop.clone()));
    let mut pushes = JoinSet::new();
    for stream in engine.streams() {
        pushes.spawn(push_stream(Arc::clone(&engine), stream, ready.clone(), pushing.clone()));
    }
    stop.cancelled().await;
    tracing::info!("stopping: no further pulls");
    drain(&mut pulls).await;
    pushing.cancel();
    tracing::info!("stopping: writes under way are settled");
    drain(&mut pushes).await;
}

async fn drain(tasks: &mut JoinSet<()>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        // Nothing is lost: what was not committed is read again, what was sent is looked up.
        tracing::warn!("some work did not end in time and is cut off");
        tasks.shutdown().await;
    }
}

/// The crontab was checked with the config.
fn schedule(settings: &SystemConfig) -> Schedule {
    let cron = settings.cron.as_deref().and_then(|text| Schedule::cron(text).ok());
    cron.unwrap_or_else(|| Schedule::every(settings.every))
}

/// One system's reading.
struct Job {
    engine: Arc<Engine>,
    system: CompactString,
    schedule: Schedule,
    board: Arc<Mutex<Board>>,
}

impl Job {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One run after the other, so that none overlaps.
async fn pull_system(job: Job, ready: Readiness, stop: CancellationToken) {
    let Job {
        engine,
        system,
        schedule,
        ..
    } = &job;
    let mut last = None;
    if !schedule.begins_at_start() {
        match engine.last_read(system).await {
            Ok(at) => last = at,
            Err(error) => wait_for_ledger(engine, error, &ready, &stop).await,
        }
    }
    loop {
        let due = schedule.next(system, last, engine.clock().now());
        job.board().due(system, due);
        loop {
            let wait = due.since(engine.clock().now());
            // The calendar may jump: a long wait is looked at again.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait.min(LOOK)) => {}
            }
            if engine.clock().now() >= due {
                break;
            }
        }
        job.board().begun(system);
        last = Some(engine.clock().now());
        if let Err(error) = engine.pull_system(system).await {
            wait_for_ledger(engine, error, &ready, &stop).await;
        }
    }
}

/// Runs that are due and did not begin, for who is alerted.
pub(super) fn late_runs(board: &Mutex<Board>, now: UnixMillis) -> Vec<(CompactString, String)> {
    let late = board.lock().unwrap_or_else(PoisonError::into_inner).late(now);
    late.into_iter()
        .map(|(system, _)| (system, "its run was due and did not start".to_owned()))
        .collect()
}

/// Tells of runs that are due and do not begin.
async fn watch(engine: Arc<Engine>, board: Arc<Mutex<Board>>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let late = board
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .late(engine.clock().now());
        metrics::gauge!("nivel_runs_late").set(u32::try_from(late.len()).unwrap_or(u32::MAX));
        for (system, since) in late {
            let message = format!("the run was due {} s ago and did not start", since.as_secs());
            let problem = Problem::new(Code::RunLate, message).about(&system);
            tracing::error!(code = %problem.code, %problem, "a run did not start");
        }
    }
}

/// Does what operators ask for from other processes.
async fn serve_operators(engine: Arc<Engine>, stop: CancellationToken) {
    if matches!(engine.approval().await, Ok(None)) {
        tracing::warn!("nothing is written: nobody has said yes to this setup; see `nivel plan`, then `nivel approve`");
    }
    let mut ticks = tokio::time::interval(REQUEST_POLL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = engine.serve_requests().await {
            tracing::warn!(%error, "operators' requests cannot be read");
        }
    }
}

/// Reckons customers anew by changed rules, once every stream was read.
async fn refold(engine: Arc<Engine>, ready: Readiness, stop: CancellationToken) {
    loop {
        match engine.is_initial_read_done().await {
            Ok(false) => {}
            Ok(true) => match engine.refold().await {
                Ok(_) => return,
                Err(error) => wait_for_ledger(&engine, error, &ready, &stop).await,
            },
            Err(error) => wait_for_ledger(&engine, error, &ready, &stop).await,
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PUSH_POLL) => {}
        }
    }
}

/// Reads back what handoffs wrote, and notices what stopped them.
async fn tend_handoffs(engine: Arc<Engine>, ready: Readiness, stop: CancellationToken) {
    if engine.rules().handoffs.is_empty() {
        return;
    }
    let mut measured = Measured::default();
    loop {
        if let Err(error) = engine.tend_handoffs().await {
            wait_for_ledger(&engine, error, &ready, &stop).await;
        }
        measured.measure(&engine).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PUSH_POLL) => {}
        }
    }
}

/// How long the config wants history kept.
pub(super) fn keep(config: &Config) -> Keep {
    Keep {
        changes: config.retention.changes,
        runs: config.retention.runs,
        inbox: config.retention.inbox,
    }
}

/// Goes on with erasures until every tool has confirmed.
async fn erase(engine: Arc<Engine>, stop: CancellationToken) {
    loop {
        if let Err(error) = engine.pursue_erasures().await {
            tracing::warn!(%error, "erasures wait");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Writes export files when they are due.
async fn export(engine: Arc<Engine>, stop: CancellationToken) {
    if engine.rules().exports.is_empty() {
        return;
    }
    loop {
        if let Err(error) = engine.export(false).await {
            tracing::warn!(%error, "exports wait");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Removes history that is past its time, at the start and every hour.
async fn retain(engine: Arc<Engine>, keep: Keep, stop: CancellationToken) {
    loop {
        match engine.ledger().trim(engine.now(), keep).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "history past its time was removed"),
            Err(error) => tracing::warn!(%error, "history cannot be removed"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETAIN_EVERY) => {}
        }
    }
}

async fn push_stream(engine: Arc<Engine>, stream: StreamId, ready: Readiness, stop: CancellationToken) {
    loop {
        let next = match engine.push_due(&stream).await {
            Ok(next) => next,
            Err(error) => {
                wait_for_ledger(&engine, error, &ready, &stop).await;
                Next::In(Duration::ZERO)
            }
        };
        let (wait, may_be_rung) = match next {
            Next::Idle => (PUSH_POLL, true),
            Next::In(wait) => (wait.min(PUSH_POLL), true),
            Next::Parked(wait) => (wait, false),
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = engine.rung(), if may_be_rung => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// A ledger that cannot be written stops everything, visibly, until it can be written again.
pub(super) async fn wait_for_ledger(engine: &Engine, error: LedgerError, ready: &Readiness, stop: &CancellationToken) {
    let problem = match error {
        LedgerError::Broken(problem) => problem,
        LedgerError::Stale => Problem::new(Code::Bug, "the ledger kept moving on"),
    };
    tracing::error!(code = %problem.code, %problem, "the ledger cannot be used; work stops until it can");
    ready.hold(LEDGER, problem.to_string());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PROBE_EVERY) => {}
        }
        if engine.ledger().probe().await.is_ok() {
            break;
        }
    }
    tracing::info!("the ledger can be used again");
    ready.release(LEDGER);
}
