//! The tools send webhooks: in each vendor's shape, signed its way, with the faults that senders and networks have.
//!
//! Nothing is sent by itself: [`Tool::deliver`] sends what is due, so that a test decides when. What is not answered with
//! 2xx comes again with the next call, as vendors do.

use std::collections::{BTreeSet, VecDeque};
use std::sync::PoisonError;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::history::{By, Op};
use super::store::Act;
use super::tool::Tool;
use super::wire::{Ask, Reply};
use super::{Error, Event};

/// How deliveries go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookFault {
    /// Each one comes twice.
    Duplicate,
    /// The last one comes first.
    Reorder,
    /// They are lost on the way; the tool believes that they arrived.
    Drop,
    /// They are signed with another secret.
    WrongSignature,
    /// The first one is held back until the next call, when everything else has arrived.
    Late,
    /// They were signed ten minutes ago.
    Stale,
}

/// Whom a tool tells, and how.
#[derive(Debug, Clone)]
pub(super) struct Subscriber {
    pub(super) id: u64,
    /// The address as the vendor knows it; it is what some of them sign.
    pub(super) url: String,
    /// Where that leads to in this world, if elsewhere.
    pub(super) via: Option<String>,
    pub(super) topics: BTreeSet<String>,
    /// The signing secret, or `user:password`, or the token.
    pub(super) secret: String,
    pub(super) is_alive: bool,
}

/// Something that happened to an object, as a webhook tells it.
#[derive(Debug, Clone)]
pub(super) struct Happened {
    pub(super) event: Event,
    /// The object it lives on in.
    pub(super) merged_into: Option<u64>,
    /// The object it was merged into, where the vendor made a third one of both.
    pub(super) primary: Option<u64>,
}

/// One object lives on in another one.
struct Merge {
    gone: u64,
    kept: u64,
    primary: Option<u64>,
}

/// A request to a subscriber.
pub(super) struct Post {
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// What a vendor's webhooks look like.
pub(super) trait Posting {
    /// The vendor's calls for subscriptions; `None` when the request is none of them.
    fn subscriptions(&self, _hooks: &mut Hooks, _ask: &Ask) -> Option<Reply> {
        None
    }

    /// One request that tells of these events, or as many of them as the vendor puts into one; at least the first. A vendor
    /// whose webhooks are not played has no subscribers and is never asked.
    fn post(&self, _to: &Subscriber, events: &[Happened], _now_ms: i64) -> (usize, Post) {
        let nothing = Post {
            headers: Vec::new(),
            body: Vec::new(),
        };
        (events.len().max(1), nothing)
    }
}

/// Subscribers, and what they were not told yet.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) subscribers: Vec<Subscriber>,
    next_id: u64,
    /// How much of the history was looked at.
    seen: usize,
    merges: Vec<Merge>,
    due: VecDeque<(u64, Happened)>,
    held: Vec<(u64, Happened)>,
}

impl Hooks {
    pub(super) fn add(&mut self, mut subscriber: Subscriber) -> u64 {
        self.next_id += 1;
        subscriber.id = self.next_id;
        self.subscribers.push(subscriber);
        self.next_id
    }

    /// Takes what happened since the last look.
    fn gather(&mut self, history: &[Event]) {
        let news = history
            .iter()
            .skip(self.seen)
            .filter(|event| event.by != By::Seed && !is_empty(event));
        for event in news {
            let merged = self.merges.iter().find(|merge| merge.gone.to_string() == event.id);
            let merged = merged.filter(|_| event.op == Op::Delete);
            let happened = Happened {
                merged_into: merged.map(|merge| merge.kept),
                primary: merged.and_then(|merge| merge.primary),
                event: event.clone(),
            };
            for subscriber in self.subscribers.iter().filter(|subscriber| subscriber.is_alive) {
                self.due.push_back((subscriber.id, happened.clone()));
            }
        }
        self.seen = history.len();
    }
}

fn is_empty(event: &Event) -> bool {
    event.op == Op::Update && event.changed.is_empty()
}

/// HMAC-SHA256.
pub(super) fn tag(secret: &str, text: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

/// An answer of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The status, or none when nobody answered.
    pub status: Option<u16>,
    /// How many events it told.
    pub events: usize,
}

impl Tool {
    /// Orders deliveries by hand, as in the tool's settings: to `url`, which leads to `via` if given.
    pub fn hook_to(&self, url: &str, via: Option<&str>, secret: &str) {
        let mut hooks = self.hooks();
        hooks.seen = self.service.store().history.len();
        hooks.add(Subscriber {
            id: 0,
            url: url.to_owned(),
            via: via.map(str::to_owned),
            topics: BTreeSet::new(),
            secret: secret.to_owned(),
            is_alive: true,
        });
    }

    /// Addresses that deliveries go to, in the order in which they were ordered.
    #[must_use]
    pub fn hooked(&self) -> Vec<String> {
        self.hooks()
            .subscribers
            .iter()
            .map(|subscriber| subscriber.url.clone())
            .collect()
    }

    /// The tool gives up on all subscribers, as vendors do after failures.
    pub fn unhook(&self) {
        self.hooks()
            .subscribers
            .iter_mut()
            .for_each(|subscriber| subscriber.is_alive = false);
    }

    /// A person merges `loser` into `winner`; both keep their ids, the loser is gone.
    ///
    /// # Errors
    /// When no live object has one of the ids.
    pub fn merge(&self, winner: &str, loser: &str) -> Result<(), Error> {
        let missing = |id: &str| Error::Missing {
            tool: self.name,
            id: id.to_owned(),
        };
        let number = |id: &str| id.parse::<u64>().map_err(|_bad| missing(id));
        let (kept, gone) = (number(winner)?, number(loser)?);
        if self.service.store().live(kept).is_none() {
            return Err(missing(winner));
        }
        self.hooks().merges.push(Merge {
            gone,
            kept,
            primary: None,
        });
        let act = Act {
            by: By::User,
            now_ms: self.clock.now_ms(),
        };
        let mut store = self.service.store();
        if !store.delete(act, gone) {
            return Err(missing(loser));
        }
        store.join(gone, kept);
        let noted = store
            .live(kept)
            .and_then(|object| self.service.vendor.took_in(&object.body, gone));
        if let Some(body) = noted {
            store.revise(act, kept, body, true);
        }
        Ok(())
    }

    /// A person merges `loser` into `winner`, and the vendor makes a third object of them (VENDORS.md A1.7): both are gone, both
    /// ids lead to it. One event tells of the merge, one of a deletion. Returns its id.
    ///
    /// # Errors
    /// When no live object has one of the ids.
    pub fn merge_anew(&self, winner: &str, loser: &str) -> Result<String, Error> {
        let mut store = self.service.store();
        let live = |id: &str| {
            let object = id.parse().ok().and_then(|number| store.live(number));
            object.ok_or_else(|| Error::Missing {
                tool: self.name,
                id: id.to_owned(),
            })
        };
        let (primary, gone) = (live(winner)?.id, live(loser)?.id);
        let mut body = Value::clone(&live(winner)?.body);
        for id in [primary, gone] {
            body = self.service.vendor.took_in(&body, id).unwrap_or(body);
        }
        let now_ms = self.clock.now_ms();
        let act = Act { by: By::User, now_ms };
        store.delete(act, primary);
        store.delete(act, gone);
        let third = store.insert(act, body, now_ms, now_ms);
        store.join(primary, third);
        store.join(gone, third);
        drop(store);
        self.hooks().merges.push(Merge {
            gone,
            kept: third,
            primary: Some(primary),
        });
        Ok(third.to_string())
    }

    /// The vendor empties the bin: a deleted object leaves no trace.
    ///
    /// # Errors
    /// When there is no such object.
    pub fn purge(&self, id: &str) -> Result<(), Error> {
        let number = id.parse().ok();
        if number.is_some_and(|number| self.service.store().purge(number)) {
            return Ok(());
        }
        Err(Error::Missing {
            tool: self.name,
            id: id.to_owned(),
        })
    }

    /// Sends everything that is due. Retries and what was held back come first.
    pub async fn deliver(&self, faults: &[HookFault]) -> Vec<Delivered> {
        let has = |fault| faults.contains(&fault);
        let (mut due, subscribers) = {
            let history = self.service.store().history.clone();
            let mut hooks = self.hooks();
            hooks.gather(&history);
            let mut due: Vec<_> = hooks.held.drain(..).collect();
            due.extend(std::mem::take(&mut hooks.due));
            (due, hooks.subscribers.clone())
        };
        if has(HookFault::Late) && due.len() > 1 {
            self.hooks().held.push(due.remove(0));
        }
        if has(HookFault::Reorder) {
            due.reverse();
        }
        let mut delivered = Vec::new();
        for mut subscriber in subscribers {
            if has(HookFault::WrongSignature) {
                subscriber.secret.push('x');
            }
            let mine = due
                .iter()
                .filter(|(id, _)| *id == subscriber.id)
                .map(|(_, happened)| happened.clone());
            self.tell(&subscriber, mine.collect(), faults, &mut delivered).await;
        }
        delivered
    }

    async fn tell(
        &self,
        subscriber: &Subscriber,
        events: Vec<Happened>,
        faults: &[HookFault],
        delivered: &mut Vec<Delivered>,
    ) {
        let stale = if faults.contains(&HookFault::Stale) { 600_000 } else { 0 };
        let times = if faults.contains(&HookFault::Duplicate) { 2 } else { 1 };
        let mut rest = events.as_slice();
        while !rest.is_empty() {
            let (told, post) = self.service.vendor.post(subscriber, rest, self.clock.now_ms() - stale);
            let (now, later) = rest.split_at(told.clamp(1, rest.len()));
            rest = later;
            if faults.contains(&HookFault::Drop) {
                continue;
            }
            for _ in 0..times {
                let status = send(subscriber, &post).await;
                delivered.push(Delivered {
                    status,
                    events: now.len(),
                });
                if !status.is_some_and(|status| (200..300).contains(&status)) {
                    let again = now.iter().map(|happened| (subscriber.id, happened.clone()));
                    self.hooks().held.extend(again);
                }
            }
        }
    }

    fn hooks(&self) -> std::sync::MutexGuard<'_, Hooks> {
        self.service.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(to: &Subscriber, post: &Post) -> Option<u16> {
    let client = reqwest::Client::builder().no_proxy().build().ok()?;
    let mut request = client.post(to.via.as_ref().unwrap_or(&to.url)).body(post.body.clone());
    for (name, value) in &post.headers {
        request = request.header(*name, value);
    }
    let answer = crate::fault::effect("deliver", request.send()).await.ok()?.ok()?;
    Some(answer.status().as_u16())
}

/// A field of a body as text.
pub(super) fn text_in(body: Option<&std::sync::Arc<Value>>, name: &str) -> Value {
    body.and_then(|body| body.get(name)).cloned().unwrap_or(Value::Null)
}
