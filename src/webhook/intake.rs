//! Takes deliveries in: proven, split into events, on disk, answered. Nothing is answered with 2xx before it is on disk.
//!
//! Requests that come together share one transaction and one flush of the disk: while one batch is written, the next
//! gathers. What does not fit is refused at once with 503, so that the tool sends it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use serde_json::{Map, Value as Json, json};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::pace::Pace;
use super::verify::{Delivery, verify};
use crate::connector::{Connections, Hook};
use crate::error::{Code, Problem};
use crate::ledger::{Inbox, NewEvent};
use crate::manifest::{Method, Source, Template};
use crate::model::Clock;

/// Most events of one transaction.
const BATCH_EVENTS: usize = 1000;
/// When a tool should come again after the ledger could not be written.
const BROKEN_RETRY: Duration = Duration::from_secs(15);
/// When a tool should come again after there was no room.
const FULL_RETRY: Duration = Duration::from_secs(2);
/// The longest text that a handshake gives back.
const ECHO_BYTES_MAX: usize = 4096;

/// What may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The address under which the tools reach us, without a slash at its end.
    pub public_url: Option<String>,
    /// The largest body, in bytes.
    pub body_max: usize,
    /// Most deliveries of one system in a time.
    pub rate: (u32, Duration),
    /// Most deliveries that are taken in at once; more are told to come again.
    pub waiting_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            public_url: None,
            body_max: 1 << 20,
            rate: (1000, Duration::from_secs(1)),
            waiting_max: 512,
        }
    }
}

/// A request on the address of webhooks.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose webhook it says to be.
    pub system: CompactString,
    /// The secret part of the path.
    pub secret: Option<String>,
    /// `GET`, `HEAD` or `POST`.
    pub method: String,
    /// Path and query as they came in.
    pub target: String,
    /// Headers by their name in small letters.
    pub headers: Map<String, Json>,
    /// The raw body.
    pub body: Vec<u8>,
}

/// What is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Plain text.
    pub body: String,
    /// When to come again.
    pub retry_after: Option<Duration>,
}

impl Answer {
    fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    fn later(status: u16, wait: Duration) -> Self {
        Self {
            status,
            body: String::new(),
            retry_after: Some(wait),
        }
    }
}

/// The entrance of one system.
struct Door {
    hook: Hook,
    pace: Pace,
    /// Headers that are not kept with an event, because they hold a secret or say nothing.
    unkept: Vec<CompactString>,
}

struct Landing {
    events: Vec<NewEvent>,
    reply: oneshot::Sender<bool>,
}

/// Takes webhooks in. Lives as long as the server.
pub struct Intake {
    doors: BTreeMap<CompactString, Door>,
    queue: mpsc::Sender<Landing>,
    room: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    limits: Limits,
}

impl Intake {
    /// Opens a door for every system whose connector has webhooks and that is not closed. `landed` is rung when events are on disk.
    #[must_use]
    pub fn open(
        connections: &Connections,
        is_closed: impl Fn(&str) -> bool,
        inbox: Arc<dyn Inbox>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        landed: Arc<Notify>,
    ) -> Self {
        let door = |(system, connection): (&CompactString, &Arc<dyn crate::connector::Connection>)| {
            let hook = connection.hook().filter(|_| !is_closed(system))?.clone();
            let door = Door {
                pace: Pace::new(limits.rate.0, limits.rate.1),
                unkept: unkept(&hook),
                hook,
            };
            Some((system.clone(), door))
        };
        let (queue, landings) = mpsc::channel(limits.waiting_max.max(1));
        tokio::spawn(write_down(landings, inbox, landed));
        Self {
            doors: connections.iter().filter_map(door).collect(),
            queue,
            room: Arc::new(Semaphore::new(limits.waiting_max.max(1))),
            clock,
            limits,
        }
    }

    /// What may come in.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Systems whose webhooks are taken.
    pub fn systems(&self) -> impl Iterator<Item = &CompactString> {
        self.doors.keys()
    }

    /// A place for one delivery; taken before its body is read, so that bodies cannot fill the memory.
    ///
    /// # Errors
    /// The answer when there is none left.
    pub fn enter(&self, system: &str) -> Result<OwnedSemaphorePermit, Answer> {
        if !self.doors.contains_key(system) {
            return Err(Answer::status(404));
        }
        Arc::clone(&self.room).try_acquire_owned().map_err(|_full| {
            count(system, "full");
            Answer::later(503, FULL_RETRY)
        })
    }

    /// Takes a delivery in, or answers a handshake. 2xx is said only when the events are on disk.
    pub async fn receive(&self, request: Request) -> Answer {
        let Some(door) = self.doors.get(&request.system) else {
            return Answer::status(404);
        };
        if request.body.len() > self.limits.body_max {
            count(&request.system, "too_large");
            return Answer::status(413);
        }
        if matches!(request.method.as_str(), "GET" | "HEAD") {
            return handshake(&door.hook, Method::Get, &request).unwrap_or_else(|| Answer::status(404));
        }
        let url = self
            .limits
            .public_url
            .as_ref()
            .map(|base| format!("{base}{}", request.target));
        let delivery = Delivery {
            method: &request.method,
            url: url.as_deref(),
            query: request.target.split_once('?').map_or("", |(_, query)| query),
            path_secret: request.secret.as_deref(),
            headers: &request.headers,
            body: &request.body,
        };
        let now = self.clock.now();
        if let Err(refusal) = verify(&door.hook, &delivery, now) {
            count(&request.system, refusal.word());
            // Anybody can knock: refusals are counted, not told one by one.
            tracing::debug!(system = %request.system, why = refusal.word(), "a webhook was refused");
            return Answer::status(401);
        }
        if let Err(wait) = door.pace.pass(now) {
            count(&request.system, "too_fast");
            return Answer::later(429, wait);
        }
        if let Some(answer) = handshake(&door.hook, Method::Post, &request) {
            return answer;
        }
        let events = self.events(door, &request);
        self.land(&request.system, events).await
    }

    /// The events of a proven delivery. One that cannot be read is kept as it is: sending it again would change nothing.
    fn events(&self, door: &Door, request: &Request) -> Vec<NewEvent> {
        let events = &door.hook.webhook.events;
        let received_at = self.clock.now();
        let mut kept = request.headers.clone();
        kept.retain(|name, _| !door.unkept.iter().any(|unkept| unkept == name));
        let headers = Json::Object(kept);
        let event = |stream, key, body, problem| NewEvent {
            system: request.system.clone(),
            stream,
            key,
            received_at,
            headers: headers.to_string(),
            body,
            problem,
        };
        let rows = match events.split(&request.body) {
            Ok(rows) => rows,
            Err(why) => {
                tracing::warn!(system = %request.system, why, "a genuine webhook cannot be read; it is kept");
                let problem = Problem::new(Code::NotTheAnswer, format!("a webhook cannot be read: {why}"));
                return vec![event(
                    None,
                    None,
                    request.body.clone(),
                    Some(problem.about(&request.system)),
                )];
            }
        };
        let delivery = events.delivery.as_ref().and_then(|source| match source {
            Source::Header(name) => request.headers.get(name.as_str())?.as_str(),
            Source::Signature(_) => None,
        });
        let row = |(at, row): (usize, Json)| {
            let (stream, key) = events.label(&row, &headers, &request.body, door.hook.names());
            let key = delivery.map(|delivery| format!("{delivery} {at}")).or(key);
            event(stream, key, row.to_string().into_bytes(), None)
        };
        rows.into_iter().enumerate().map(row).collect()
    }

    async fn land(&self, system: &str, events: Vec<NewEvent>) -> Answer {
        if events.is_empty() {
            count(system, "empty");
            return Answer::status(200);
        }
        let (reply, answer) = oneshot::channel();
        if self.queue.try_send(Landing { events, reply }).is_err() {
            count(system, "full");
            return Answer::later(503, FULL_RETRY);
        }
        if answer.await == Ok(true) {
            count(system, "accepted");
            return Answer::status(200);
        }
        count(system, "not_kept");
        Answer::later(503, BROKEN_RETRY)
    }
}

fn count(system: &str, result: &'static str) {
    metrics::counter!("nivel_webhook_deliveries_total", "system" => system.to_owned(), "result" => result).increment(1);
}

/// Writes batches of landings until nobody can send any more.
async fn write_down(mut landings: mpsc::Receiver<Landing>, inbox: Arc<dyn Inbox>, landed: Arc<Notify>) {
    while let Some(first) = landings.recv().await {
        let (mut events, mut replies) = (first.events, vec![first.reply]);
        while events.len() < BATCH_EVENTS
            && let Ok(next) = landings.try_recv()
        {
            events.extend(next.events);
            replies.push(next.reply);
        }
        let kept = inbox.land(events).await;
        if let Err(error) = &kept {
            tracing::error!(%error, "webhooks cannot be kept; the tools are told to send them again");
        }
        for reply in replies {
            if reply.send(kept.is_ok()).is_err() {
                tracing::debug!("a sender did not wait for the answer; it will send again: a duplicate");
            }
        }
        landed.notify_one();
    }
}

/// Headers that hold a secret, or are of the transport.
fn unkept(hook: &Hook) -> Vec<CompactString> {
    const TRANSPORT: [&str; 10] = [
        "authorization",
        "proxy-authorization",
        "cookie",
        "host",
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "transfer-encoding",
        "user-agent",
    ];
    let proofs = hook.webhook.verify.iter().flat_map(|verify| {
        let sources = [&verify.equals, &verify.jwt].into_iter().flatten();
        let split = verify.sig.iter().map(|split| &split.from);
        let headers = sources.chain(split).filter_map(|source| match source {
            Source::Header(name) => Some(name.clone()),
            Source::Signature(_) => None,
        });
        headers.chain(verify.header.keys().map(|name| name.to_ascii_lowercase()))
    });
    TRANSPORT.map(CompactString::from).into_iter().chain(proofs).collect()
}

/// The answer to a question by which a tool makes sure that the address is ours.
fn handshake(hook: &Hook, method: Method, request: &Request) -> Option<Answer> {
    if !hook
        .webhook
        .handshake
        .iter()
        .any(|handshake| handshake.method == method)
    {
        return None;
    }
    if method == Method::Get && !may_ask(hook, request) {
        return Some(Answer::status(401));
    }
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let query: Map<String, Json> = url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect();
    let body = hook.webhook.events.whole(&request.body).unwrap_or(Json::Null);
    let names = hook
        .names()
        .clone()
        .with("query", &Json::Object(query))
        .with("headers", &json!(request.headers))
        .with("body", &body);
    let fits = |handshake: &&crate::manifest::Handshake| {
        handshake.method == method && handshake.when.as_ref().is_none_or(|when| when.holds(&names))
    };
    let handshake = hook.webhook.handshake.iter().find(fits)?;
    let echo = handshake.echo.as_ref().map(|echo: &Template| echo.render_text(&names));
    match echo {
        None => Some(Answer::status(200)),
        Some(Ok(text)) if !text.is_empty() && text.len() <= ECHO_BYTES_MAX => Some(Answer {
            body: text,
            ..Answer::status(200)
        }),
        Some(_) => Some(Answer::status(400)),
    }
}

/// Where the path is the secret, also a question must know it.
fn may_ask(hook: &Hook, request: &Request) -> bool {
    let applies = |verify: &&crate::manifest::Verify| verify.condition.as_ref().is_none_or(|c| c.holds(hook.names()));
    let by_path = hook
        .webhook
        .verify
        .iter()
        .find(applies)
        .is_some_and(|verify| verify.path_secret.is_some());
    let delivery = Delivery {
        method: "GET",
        url: None,
        query: "",
        path_secret: request.secret.as_deref(),
        headers: &request.headers,
        body: &[],
    };
    // Proven by the path alone, so neither time nor body count.
    !by_path || verify(hook, &delivery, crate::model::UnixMillis(0)).is_ok()
}
