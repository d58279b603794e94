//! Webhooks in the daemon: the intake is opened, what it keeps is folded, and what should come but does not is noticed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use futures::future::join_all;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::supervise::wait_for_ledger;
use crate::config::{Config, HookMode};
use crate::error::{Code, Problem};
use crate::http::Readiness;
use crate::ledger::{Error as LedgerError, Inbox, InboxState};
use crate::model::{StreamId, UnixMillis};
use crate::sync::{Engine, Wish, silence};
use crate::webhook::{Intake, Limits, address, unprovable};

/// How long events gather before they are looked at: tools send one for each field.
const GATHER: Duration = Duration::from_millis(200);
/// How often the inbox is looked at although nobody rang.
const POLL: Duration = Duration::from_secs(5);
/// How often silence is looked for.
const LISTEN_EVERY: Duration = Duration::from_secs(15);
/// How often subscriptions are compared with what is wanted.
const AUDIT_EVERY: Duration = Duration::from_secs(3600);
/// Events whose times tell the habits of a stream.
const HABIT_EVENTS: usize = 200;

/// Opens the doors for webhooks. `landed` is rung when something was kept.
pub(super) fn intake(
    engine: &Engine,
    config: &Config,
    clock: Arc<dyn crate::model::Clock>,
    landed: Arc<Notify>,
) -> Intake {
    let limits = Limits {
        public_url: config.http.public_url.clone(),
        body_max: config.webhooks.body_max,
        rate: config.webhooks.rate,
        waiting_max: config.webhooks.waiting_max,
    };
    let mode = |system: &str| config.systems.get(system).map(|system| system.webhook);
    let is_closed = |system: &str| mode(system) == Some(HookMode::Off);
    warn_unprovable(engine, config, is_closed);
    let ledger = Arc::clone(engine.ledger());
    Intake::open(
        engine.connections(),
        is_closed,
        ledger as Arc<dyn Inbox>,
        clock,
        limits,
        landed,
    )
}

/// Says which systems could prove no delivery at all, whoever sends it.
fn warn_unprovable(engine: &Engine, config: &Config, is_closed: impl Fn(&str) -> bool) {
    for (system, connection) in engine.connections() {
        let Some(hook) = connection.hook().filter(|_| !is_closed(system)) else {
            continue;
        };
        let url = config.http.public_url.as_deref();
        if let Some(why) = unprovable(hook, url) {
            tracing::info!(%system, why = why.word(), "webhooks of this system are refused until that is set");
        }
    }
}

/// Folds what is kept, system by system; one whose tool does not answer rests, the others go on.
pub(super) async fn fold(engine: Arc<Engine>, landed: Arc<Notify>, ready: Readiness, stop: CancellationToken) {
    let mut resting: BTreeMap<CompactString, UnixMillis> = BTreeMap::new();
    loop {
        if let Err(error) = fold_once(&engine, &mut resting).await {
            wait_for_ledger(&engine, error, &ready, &stop).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = landed.notified() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

async fn fold_once(engine: &Engine, resting: &mut BTreeMap<CompactString, UnixMillis>) -> Result<(), LedgerError> {
    let now = engine.now();
    resting.retain(|_, until| *until > now);
    let waiting = engine.ledger().systems_waiting().await?;
    let due: Vec<CompactString> = waiting
        .into_iter()
        .filter(|system| !resting.contains_key(system))
        .collect();
    // At once: a slow tool must not hold up the others.
    let drained = join_all(due.iter().map(|system| engine.drain_inbox(system))).await;
    for (system, drained) in due.into_iter().zip(drained) {
        if let Some(rest) = drained?.rest {
            resting.insert(system, engine.now().plus(rest));
        }
    }
    Ok(())
}

/// Looks for streams that fell silent, and shows what waits.
pub(super) async fn listen(engine: Arc<Engine>, times: u32, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(LISTEN_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = listen_once(&engine, times).await {
            tracing::warn!(%error, "the habits of webhooks cannot be read");
        }
    }
}

async fn listen_once(engine: &Engine, times: u32) -> Result<(), LedgerError> {
    let states = engine.ledger().inbox().await?;
    for (system, state) in &states {
        show(system, state);
    }
    let has_hook = |stream: &StreamId| {
        engine
            .connections()
            .get(&stream.system)
            .is_some_and(|c| c.hook().is_some())
    };
    for stream in engine.streams().into_iter().filter(has_hook) {
        let heard = engine.ledger().heard(&stream, HABIT_EVENTS).await?;
        let quiet = silence(&heard, engine.now(), times);
        let known = states
            .get(&stream.system)
            .and_then(|state| state.problems.get(&stream.stream));
        let figure = metrics::gauge!("nivel_webhook_silent", "system" => stream.system.to_string(), "stream" => stream.stream.to_string());
        figure.set(if quiet.is_some() { 1.0 } else { 0.0 });
        match (quiet, known) {
            (Some(quiet), None) => {
                let problem = Problem::new(
                    Code::WebhookSilent,
                    format!(
                        "no webhook came for {} h, more than {times} times its usual gap",
                        quiet.as_secs() / 3600
                    ),
                );
                let problem = problem
                    .about(&stream)
                    .hint("look at the subscription in the tool; changes are still found by polling");
                tracing::warn!(%stream, code = %problem.code, %problem, "a webhook fell silent");
                engine.ledger().note_webhook(&stream, Some(problem)).await?;
            }
            (None, Some(_)) => engine.ledger().note_webhook(&stream, None).await?,
            _ => {}
        }
    }
    Ok(())
}

/// The figures of the ledger, which count where it happens and outlive the process.
fn show(system: &CompactString, state: &InboxState) {
    let count = |fate: &'static str, count| {
        metrics::counter!("nivel_webhook_events_total", "system" => system.to_string(), "fate" => fate).absolute(count);
    };
    count("received", state.received);
    state
        .fates
        .iter()
        .for_each(|(fate, number)| count(fate.word(), *number));
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    metrics::gauge!("nivel_webhook_waiting", "system" => system.to_string()).set(state.waiting as f64);
}

/// Keeps the subscriptions in the tools as they are declared; what cannot be kept is noted with the system.
pub(super) async fn audit(engine: Arc<Engine>, wishes: BTreeMap<CompactString, Wish>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(AUDIT_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for (system, wish) in &wishes {
            let problem = engine
                .keep_subscriptions(system, wish)
                .await
                .err()
                .map(|failure| failure.problem);
            if let Some(problem) = &problem {
                tracing::warn!(%system, code = %problem.code, %problem, "subscriptions of webhooks cannot be put right");
            }
            let stream = StreamId::new(system.clone(), "");
            if let Err(error) = engine.ledger().note_webhook(&stream, problem).await {
                tracing::warn!(%error, "what is wrong with webhooks cannot be noted");
            }
        }
    }
}

/// What is wanted of each tool that has calls for subscriptions.
pub(super) fn wishes(engine: &Engine, config: &Config) -> BTreeMap<CompactString, Wish> {
    let mut wishes = BTreeMap::new();
    let Some(public_url) = &config.http.public_url else {
        return wishes;
    };
    for (system, settings) in &config.systems {
        let hook = engine
            .connections()
            .get(system)
            .and_then(|connection| connection.hook());
        let words = hook.and_then(|hook| Some((hook, hook.webhook.subscriptions.as_ref()?)));
        let Some((hook, words)) = words.filter(|_| settings.webhook != HookMode::Receive) else {
            continue;
        };
        let ours = format!("{public_url}/webhooks/{system}");
        let is_ready = settings.webhook == HookMode::Off || unprovable(hook, Some(public_url)).is_none();
        let Some(url) = address(hook, &ours).filter(|_| is_ready) else {
            tracing::warn!(%system, "no subscriptions: the secret that would prove the deliveries is not set");
            continue;
        };
        let all = words.want.iter().cloned();
        let groups = match (settings.webhook, words.together) {
            (HookMode::Off, _) => Vec::new(),
            (_, true) => vec![all.collect()],
            (_, false) => all.map(|topic| [topic].into()).collect(),
        };
        let wish = Wish {
            url,
            ours,
            groups,
            can_renew: words.renew.is_some(),
        };
        wishes.insert(system.clone(), wish);
    }
    wishes
}
