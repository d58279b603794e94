//! Zendesk's background jobs: what bulk calls return instead of a result (VENDORS.md C1.6, part G).
//!
//! A job moves on by one state with every request the tool gets, also those that do not ask for it: a vendor's queue
//! does not wait for us. The first step applies the work, so `queued` means "not yet" and `working` "already".

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::history::By;
use super::super::store::{Act, Store};
use super::super::wire::{Ask, Reply};
use super::{Reject, by_external_id, error, insert, not_found, text, update, upsert};

const ROWS_MAX: usize = 100;
/// Jobs that may wait or run at once (C1.6).
const OPEN_MAX: usize = 30;
const KEPT_MAX: usize = 500;

enum Work {
    Create(Map<String, Value>),
    Upsert(Map<String, Value>),
    Update(Option<u64>, Map<String, Value>),
    Delete(Option<u64>),
}

struct Job {
    age: u32,
    work: Vec<Work>,
    results: Vec<Value>,
    total: usize,
    at_ms: i64,
}

impl Job {
    fn is_open(&self) -> bool {
        self.age < 2
    }

    fn run(&mut self, store: &mut Store, now_ms: i64) {
        self.results = self
            .work
            .drain(..)
            .enumerate()
            .map(|(index, work)| done(store, now_ms, index, work))
            .collect();
        self.at_ms = now_ms;
    }

    fn shown(&self, id: &str, origin: &str) -> Value {
        let status = match self.age {
            0 => "queued",
            1 => "working",
            _ => "completed",
        };
        let progress = if self.age == 0 { 0 } else { self.total };
        let results = if self.is_open() {
            Value::Null
        } else {
            Value::Array(self.results.clone())
        };
        let message = (!self.is_open()).then(|| format!("Completed at {}", super::rfc3339_s(self.at_ms)));
        let url = format!("{origin}/api/v2/job_statuses/{id}.json");
        json!({"job_status": {
            "id": id, "url": url, "total": self.total, "progress": progress, "status": status, "message": message, "results": results,
        }})
    }
}

/// The jobs of the account, oldest first.
#[derive(Default)]
pub(super) struct Queue {
    jobs: BTreeMap<u64, Job>,
    last: u64,
}

impl Queue {
    /// Every open job goes one state on.
    pub(super) fn tick(&mut self, store: &mut Store, now_ms: i64) {
        for job in self.jobs.values_mut().filter(|job| job.is_open()) {
            if job.age == 0 {
                job.run(store, now_ms);
            }
            job.age += 1;
        }
    }

    /// Work that still waits is done; nobody has to ask for it.
    pub(super) fn run_waiting(&mut self, store: &mut Store, now_ms: i64) {
        for job in self.jobs.values_mut().filter(|job| job.age == 0) {
            job.run(store, now_ms);
            job.age = 1;
        }
    }

    pub(super) fn submit(&mut self, store: &Store, ask: &Ask) -> Reply {
        if self.jobs.values().filter(|job| job.is_open()).count() >= OPEN_MAX {
            return too_many();
        }
        let work = work(store, ask);
        if work.is_empty() || work.len() > ROWS_MAX {
            return error(400, "InvalidValue", "1 to 100 users are required");
        }
        self.last += 1;
        let job = Job {
            age: 0,
            total: work.len(),
            work,
            results: Vec::new(),
            at_ms: ask.now_ms,
        };
        let shown = job.shown(&name(self.last), &ask.origin());
        self.jobs.insert(self.last, job);
        while self.jobs.len() > KEPT_MAX {
            self.jobs.pop_first();
        }
        Reply::json(200, shown)
    }

    pub(super) fn show(&self, ask: &Ask, id: &str) -> Reply {
        let number = id
            .len()
            .checked_sub(8)
            .and_then(|at| id.get(at..))
            .and_then(|tail| u64::from_str_radix(tail, 16).ok());
        let job = number.and_then(|number| self.jobs.get(&number));
        job.filter(|_| number.map(name).as_deref() == Some(id))
            .map_or_else(not_found, |job| Reply::json(200, job.shown(id, &ask.origin())))
    }
}

/// The answer while [`OPEN_MAX`] jobs wait or run.
pub(super) fn too_many() -> Reply {
    error(
        429,
        "TooManyJobs",
        "You have exceeded the limit of jobs that can be queued or running",
    )
    .with("retry-after", "10".to_owned())
}

/// 32 hex digits, as the vendor's; the last eight are the number.
fn name(number: u64) -> String {
    format!("8b726e606741012ffc2d782b{number:08x}")
}

fn work(store: &Store, ask: &Ask) -> Vec<Work> {
    let body = ask.json().unwrap_or_default();
    let users: Vec<Map<String, Value>> = body
        .get("users")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|user| user.as_object().cloned())
        .collect();
    let by_ids = ask
        .list("ids")
        .map(|ids| ids.iter().map(|id| id.parse::<u64>().ok()).collect::<Vec<_>>());
    let by_external = || {
        ask.list("external_ids")
            .map(|ids| ids.iter().map(|id| by_external_id(store, id)).collect::<Vec<_>>())
    };
    let ids = by_ids.or_else(by_external).unwrap_or_default();
    match ask.method.as_str() {
        "POST" if ask.path.trim_end_matches(".json").ends_with("/create_many") => {
            users.into_iter().map(Work::Create).collect()
        }
        "POST" => users.into_iter().map(Work::Upsert).collect(),
        "DELETE" => ids.into_iter().map(Work::Delete).collect(),
        _ if users.is_empty() => {
            let user = body.get("user").and_then(Value::as_object).cloned().unwrap_or_default();
            ids.into_iter().map(|id| Work::Update(id, user.clone())).collect()
        }
        _ => users
            .into_iter()
            .map(|user| Work::Update(own_id(store, &user), user))
            .collect(),
    }
}

fn own_id(store: &Store, user: &Map<String, Value>) -> Option<u64> {
    let id = user
        .get("id")
        .and_then(|id| id.as_u64().or_else(|| id.as_str()?.parse().ok()));
    id.or_else(|| text(user, "external_id").and_then(|id| by_external_id(store, id)))
}

fn done(store: &mut Store, now_ms: i64, index: usize, work: Work) -> Value {
    let gone = Err(("RecordNotFound", "Record not found".to_owned()));
    let invalid = |error: &'static str| move |reject: Reject| (error, reject.description);
    let outcome = match work {
        Work::Create(user) => insert(store, now_ms, &user)
            .map(|id| (id, "create", "Created"))
            .map_err(invalid("UserCreateError")),
        Work::Upsert(user) => upsert(store, now_ms, &user)
            .map(|(id, is_new)| {
                if is_new {
                    (id, "create", "Created")
                } else {
                    (id, "update", "Updated")
                }
            })
            .map_err(invalid("UserCreateError")),
        Work::Update(id, user) => match id.filter(|id| store.live(*id).is_some()) {
            Some(id) => update(store, now_ms, id, &user)
                .map(|()| (id, "update", "Updated"))
                .map_err(invalid("UserUpdateError")),
            None => gone,
        },
        Work::Delete(id) => match id.filter(|id| store.delete(Act { by: By::Api, now_ms }, *id)) {
            Some(id) => Ok((id, "delete", "Deleted")),
            None => gone,
        },
    };
    match outcome {
        Ok((id, action, status)) => {
            json!({"index": index, "id": id, "action": action, "status": status, "success": true})
        }
        Err((error, details)) => {
            json!({"index": index, "error": error, "details": details, "status": "Failed", "success": false})
        }
    }
}
