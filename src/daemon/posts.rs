//! Tells the admin's hooks what the ledger keeps for them: at least once, signed, each customer's events in their order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use futures::StreamExt as _;
use reqwest::{Method, Url};
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;

use crate::config::{HookConfig, alert_key};
use crate::connector::http::{Answer, Ask, Bounds, Http};
use crate::error::{Code, Problem};
use crate::ledger::{Error as LedgerError, Post, Posted, Watch};
use crate::model::Clock;
use crate::sync::Engine;
use crate::webhook::signed;

/// How often it is looked for something to be told.
const LOOK: Duration = Duration::from_secs(1);
/// Events that are taken at once, and how many of them are under way at once.
const POSTS_MAX: usize = 64;
const AT_ONCE: usize = 8;
/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long after each failed try the next one comes, as Standard Webhooks proposes; then it is dead.
const SCHEDULE: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];

/// Who is told what, as the ledger has to know it.
pub(super) fn watches(hooks: &BTreeMap<CompactString, HookConfig>) -> Vec<Watch> {
    let watch = |(name, hook): (&CompactString, &HookConfig)| Watch {
        hook: name.clone(),
        events: hook.events.clone(),
    };
    hooks.iter().map(watch).collect()
}

struct Way {
    url: Url,
    keys: Vec<Vec<u8>>,
    http: Http,
}

/// The ways to the hooks.
pub struct Postman {
    ways: BTreeMap<CompactString, Way>,
    clock: Arc<dyn Clock>,
}

impl Postman {
    /// The ways that the config names.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(hooks: &BTreeMap<CompactString, HookConfig>, clock: &Arc<dyn Clock>) -> Result<Self, Problem> {
        let bounds = Bounds {
            body_max_bytes: 64 << 10,
            idle: PATIENCE,
            whole: PATIENCE,
            ..Bounds::default()
        };
        let mut ways = BTreeMap::new();
        for (name, hook) in hooks {
            let keys = hook.keys.iter().filter_map(|key| alert_key(key.expose_secret()));
            let way = Way {
                url: hook.url.clone(),
                keys: keys.collect(),
                http: Http::new(&hook.url, bounds, Arc::clone(clock))?,
            };
            ways.insert(name.clone(), way);
        }
        Ok(Self {
            ways,
            clock: Arc::clone(clock),
        })
    }

    /// Delivers what is due, until nothing is. How many events were delivered.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn deliver_due(&self, engine: &Engine) -> Result<u64, LedgerError> {
        let mut delivered = 0;
        loop {
            let due = engine.ledger().due_posts(self.clock.now(), POSTS_MAX).await?;
            if due.is_empty() {
                return Ok(delivered);
            }
            // One of each customer and hook: what comes after it waits until it is settled.
            let tries = futures::stream::iter(due.into_iter().map(|post| async move {
                let posted = self.deliver(&post).await;
                let is_done = posted == Posted::Delivered;
                engine.ledger().settle_post(post.id, posted).await.map(|()| is_done)
            }));
            let settled: Vec<Result<bool, LedgerError>> = tries.buffer_unordered(AT_ONCE).collect().await;
            for is_done in settled {
                delivered += u64::from(is_done?);
            }
        }
    }

    async fn deliver(&self, post: &Post) -> Posted {
        let Some(way) = self.ways.get(&post.hook) else {
            return Posted::Dead(undelivered(post, "`hooks` has no such hook any more"));
        };
        let body = body(post).into_bytes();
        let headers = match signed(&way.keys, &post.token, self.clock.now(), &body) {
            Ok(headers) => headers,
            Err(problem) => return Posted::Dead(problem),
        };
        let ask = Ask {
            method: Method::POST,
            url: way.url.clone(),
            headers,
            body: Some(body),
            is_read: false,
        };
        // The address may hold a secret: of what went wrong only the kind is told.
        match way.http.send(&ask).await {
            Ok(answer) if answer.is_success() => Posted::Delivered,
            Ok(answer) => self.again(
                post,
                &format!("the receiver answered with {}", answer.status),
                told_wait(&answer),
            ),
            Err(failure) => self.again(
                post,
                &format!("the receiver did not answer ({})", failure.problem.code),
                None,
            ),
        }
    }

    fn again(&self, post: &Post, why: &str, wait: Option<Duration>) -> Posted {
        let problem = undelivered(post, why);
        let step = usize::try_from(post.attempts).unwrap_or(usize::MAX);
        match SCHEDULE.get(step) {
            Some(pause) => {
                tracing::info!(code = %problem.code, %problem, "an event could not be delivered; it is tried again");
                Posted::Again(self.clock.now().plus((*pause).max(wait.unwrap_or_default())), problem)
            }
            None => {
                tracing::warn!(code = %problem.code, %problem, "an event is given up; `nivel hook replay` tries it again");
                Posted::Dead(problem)
            }
        }
    }
}

fn told_wait(answer: &Answer) -> Option<Duration> {
    let wait = answer.headers.get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(wait).min(Duration::from_hours(24)))
}

fn undelivered(post: &Post, why: &str) -> Problem {
    Problem::new(Code::HookUndelivered, why).about(format!("{} {}", post.hook, post.token))
}

/// What the receiver reads: kind, time and what happened.
fn body(post: &Post) -> String {
    let data: serde_json::Value = serde_json::from_str(&post.body).unwrap_or_default();
    serde_json::json!({"type": post.kind, "timestamp": post.at.to_string(), "data": data}).to_string()
}

/// Tells until `stop` is cancelled.
pub(super) async fn tell(engine: Arc<Engine>, hooks: BTreeMap<CompactString, HookConfig>, stop: CancellationToken) {
    if hooks.is_empty() {
        return;
    }
    let postman = match Postman::new(&hooks, engine.shared_clock()) {
        Ok(postman) => postman,
        Err(problem) => {
            tracing::error!(code = %problem.code, %problem, "no hook can be told");
            return;
        }
    };
    loop {
        if let Err(error) = postman.deliver_due(&engine).await {
            tracing::warn!(%error, "hooks wait: the ledger cannot be used");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_config_knows_every_event() {
        let known = crate::config::HOOK_EVENTS;
        assert!(crate::ledger::EVENTS.iter().all(|event| known.contains(event)));
    }
}
