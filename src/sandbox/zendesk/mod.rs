//! The shape of Zendesk's users (VENDORS.md C1 and `specs/zendesk`).
//!
//! Where the sheet is silent: a deleted user can still be read, with `active: false`; a second address that is written
//! to `email` becomes an identity and leaves the first where it is; unknown members are ignored.

mod hooks;
mod jobs;
mod reads;

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::clock::rfc3339_s;
use super::sides::Sides;
use super::store::{Act, Shape, Stamps, Store};
use super::tool::{Person, Vendor, Wrong};
use super::wire::{Ask, Reply};
use super::{By, Options, ToolName};

/// What a write may carry (C1.11).
const WRITABLE: &[&str] = &[
    "name",
    "email",
    "external_id",
    "phone",
    "organization_id",
    "role",
    "locale",
    "time_zone",
    "tags",
    "user_fields",
    "notes",
    "details",
    "alias",
    "verified",
    "suspended",
];

pub(super) struct Zendesk {
    basic: String,
    bearer: String,
    bulk_import: bool,
    queue: Mutex<jobs::Queue>,
    tickets: Sides,
}

/// Why a write is refused, and the word a job's row uses for it.
struct Reject {
    field: &'static str,
    description: String,
    error: &'static str,
}

impl Reject {
    fn duplicate(field: &'static str, label: &str, value: &str) -> Self {
        Self {
            field,
            description: format!("{label}: {value} is already being used by another user"),
            error: "DuplicateValue",
        }
    }

    fn reply(&self) -> Reply {
        let details = json!({self.field: [{"description": self.description, "error": self.error}]});
        Reply::json(
            422,
            json!({"error": "RecordInvalid", "description": "Record validation errors", "details": details}),
        )
    }
}

fn error(status: u16, error: &str, description: &str) -> Reply {
    Reply::json(status, json!({"error": error, "description": description}))
}

/// `DELETE /deleted_users/{id}`: for good, and only what was deleted before (C1.7).
fn erase(store: &mut Store, key: &str) -> Reply {
    let id = key.parse::<u64>().ok();
    let deleted = id.filter(|id| store.objects.get(id).is_some_and(|object| !object.is_live()));
    match deleted {
        Some(id) if store.purge(id) => Reply::json(200, json!({"deleted_user": {"id": id, "active": false}})),
        _ => not_found(),
    }
}

fn not_found() -> Reply {
    error(404, "RecordNotFound", "Not found")
}

impl Zendesk {
    pub(super) fn new(options: &Options) -> Self {
        let pair = format!("{}/token:{}", options.zendesk_email, options.zendesk_token);
        Self {
            basic: format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)),
            bearer: format!("Bearer {}", options.zendesk_token),
            bulk_import: options.zendesk_bulk_import,
            queue: Mutex::default(),
            tickets: Sides::new(1_000, &[("ticket", stamp_ticket)]),
        }
    }

    fn queue(&self) -> MutexGuard<'_, jobs::Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn single(store: &mut Store, ask: &Ask, key: &str) -> Reply {
        let Some(object) = key.parse::<u64>().ok().and_then(|id| store.objects.get(&id)) else {
            return not_found();
        };
        let (id, is_live) = (object.id, object.is_live());
        match ask.method.as_str() {
            "GET" => shown(store, id, 200),
            _ if !is_live => not_found(),
            "PUT" => match typed(ask) {
                Err(reply) => reply,
                Ok(user) => match update(store, ask.now_ms, id, &user) {
                    Err(reject) => reject.reply(),
                    Ok(()) => shown(store, id, 200),
                },
            },
            "DELETE" => {
                store.delete(
                    Act {
                        by: By::Api,
                        now_ms: ask.now_ms,
                    },
                    id,
                );
                shown(store, id, 200)
            }
            _ => not_found(),
        }
    }

    fn create(store: &mut Store, ask: &Ask) -> Reply {
        match typed(ask) {
            Err(reply) => reply,
            Ok(user) => match insert(store, ask.now_ms, &user) {
                Err(reject) => reject.reply(),
                Ok(id) => shown(store, id, 201),
            },
        }
    }

    /// `POST /users/create_or_update`: 200 for a known e-mail or external id, 201 for a new user (C1.6).
    fn create_or_update(store: &mut Store, ask: &Ask) -> Reply {
        match typed(ask) {
            Err(reply) => reply,
            Ok(user) => match upsert(store, ask.now_ms, &user) {
                Err(reject) => reject.reply(),
                Ok((id, is_new)) => shown(store, id, if is_new { 201 } else { 200 }),
            },
        }
    }
}

impl Vendor for Zendesk {
    fn name(&self) -> ToolName {
        ToolName::Zendesk
    }

    fn shape(&self) -> Shape {
        Shape {
            stamp,
            keys,
            step_ms: 1_000,
            moving: &["id", "created_at", "updated_at", "active"],
        }
    }

    fn first_id(&self) -> u64 {
        370_001
    }

    fn authorized(&self, ask: &Ask) -> bool {
        ask.header("authorization")
            .is_some_and(|given| given == self.basic || given == self.bearer)
    }

    fn answer(&self, store: &mut Store, ask: &Ask) -> Reply {
        self.queue().tick(store, ask.now_ms);
        let Some(rest) = ask.path.strip_prefix("/api/v2/") else {
            return not_found();
        };
        let rest = rest.trim_end_matches('/').trim_end_matches(".json");
        match (ask.method.as_str(), rest) {
            ("GET", "incremental/users/cursor") => reads::incremental(store, ask, "users"),
            ("GET", "incremental/tickets/cursor") => {
                let read = |tickets: &mut Store| reads::incremental(tickets, ask, "tickets");
                self.tickets.with("ticket", read).unwrap_or_else(not_found)
            }
            ("GET", "tickets/show_many") => {
                let read = |tickets: &mut Store| reads::tickets(tickets, ask);
                self.tickets.with("ticket", read).unwrap_or_else(not_found)
            }
            ("GET", "users") => reads::list(store, ask),
            ("POST", "users") => Self::create(store, ask),
            ("GET", "users/me") => reads::me(),
            ("GET", "user_fields") => reads::fields(),
            ("GET", "users/show_many") => reads::show_many(store, ask),
            ("GET", "users/search") => reads::search(store, ask),
            ("POST", "users/create_or_update") => Self::create_or_update(store, ask),
            ("POST", "users/create_or_update_many" | "users/create_many") if !self.bulk_import => {
                error(403, "Forbidden", "Bulk user imports are not enabled for this account")
            }
            ("POST", "users/create_or_update_many" | "users/create_many")
            | ("PUT", "users/update_many")
            | ("DELETE", "users/destroy_many") => self.queue().submit(store, ask),
            ("GET", _) if rest.starts_with("job_statuses/") => {
                self.queue().show(ask, rest.trim_start_matches("job_statuses/"))
            }
            ("DELETE", _) if rest.starts_with("deleted_users/") => {
                erase(store, rest.trim_start_matches("deleted_users/"))
            }
            _ => match rest.strip_prefix("users/").filter(|key| !key.contains('/')) {
                Some(key) => Self::single(store, ask, key),
                None => not_found(),
            },
        }
    }

    fn sides(&self) -> Option<&Sides> {
        Some(&self.tickets)
    }

    fn blank(&self, _kind: &str) -> Value {
        json!({"external_id": null, "subject": "", "description": "", "status": "new", "priority": null, "type": null,
            "requester_id": null, "assignee_id": null, "group_id": null, "organization_id": null, "tags": [], "custom_fields": []})
    }

    fn wrong(&self, wrong: Wrong) -> Reply {
        match wrong {
            Wrong::Unauthorized => Reply::json(401, json!({"error": "Couldn't authenticate you"})),
            Wrong::TooManyJobs => jobs::too_many(),
            Wrong::Throttled { .. } | Wrong::DailyQuota => error(
                429,
                "APIRateLimitExceeded",
                "Number of allowed API requests per minute exceeded",
            ),
            Wrong::Server => error(500, "InternalError", "We're sorry, but something went wrong"),
            Wrong::NotFound => not_found(),
        }
    }

    fn catch_up(&self, store: &mut Store, now_ms: i64) {
        self.queue().run_waiting(store, now_ms);
    }

    fn person(&self, body: &Value, stamps: &Stamps) -> Person {
        let text = |name: &str| {
            body.get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let email = text("email");
        Person {
            id: stamps.id.to_string(),
            emails: emails(body),
            email,
            given: None,
            family: None,
            full_name: text("name"),
            phone: text("phone"),
            company: None,
            external_id: text("external_id"),
            updated_ms: stamps.updated_ms,
            deleted: stamps.deleted_ms.is_some(),
            raw: body.clone(),
        }
    }

    fn compose(&self, typed: &Value) -> Value {
        self.amend(&fresh(), typed)
    }

    fn amend(&self, body: &Value, patch: &Value) -> Value {
        patch
            .as_object()
            .map_or_else(|| body.clone(), |patch| laid(body, patch))
    }

    fn twist(&self, row: &mut Value) {
        if let Some(email) = row.get_mut("email") {
            *email = json!({"address": email.take()});
        }
    }
}

/// A user before anything is typed in (C1.11).
fn fresh() -> Value {
    json!({
        "id": null, "name": "", "email": null, "created_at": null, "updated_at": null, "time_zone": "UTC",
        "phone": null, "locale": "en-US", "organization_id": null, "role": "end-user", "verified": false,
        "external_id": null, "tags": [], "alias": null, "active": true, "suspended": false, "notes": null,
        "details": null, "user_fields": {},
    })
}

/// The `{"user": {…}}` of a body.
fn typed(ask: &Ask) -> Result<Map<String, Value>, Reply> {
    let user = ask
        .json()
        .and_then(|body| body.get("user").and_then(Value::as_object).cloned());
    user.ok_or_else(|| error(400, "InvalidValue", "the body must carry a user"))
}

fn text<'a>(user: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    user.get(name)
        .and_then(Value::as_str)
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

fn by_external_id(store: &Store, external_id: &str) -> Option<u64> {
    store.with_key(&format!("external:{external_id}"))
}

/// E-mail and external id are free, or belong to `own`.
fn free(store: &Store, user: &Map<String, Value>, own: Option<u64>) -> Result<(), Reject> {
    let taken = |found: Option<u64>| found.is_some_and(|id| Some(id) != own);
    if let Some(email) = text(user, "email").filter(|email| taken(store.with_key(email))) {
        return Err(Reject::duplicate("email", "Email", email));
    }
    if let Some(id) = text(user, "external_id").filter(|id| taken(by_external_id(store, id))) {
        return Err(Reject::duplicate("external_id", "External", id));
    }
    Ok(())
}

fn insert(store: &mut Store, now_ms: i64, user: &Map<String, Value>) -> Result<u64, Reject> {
    if text(user, "name").is_none() {
        return Err(Reject {
            field: "name",
            description: "Name: is too short (minimum one character)".to_owned(),
            error: "BlankValue",
        });
    }
    free(store, user, None)?;
    let body = laid(&fresh(), &writable(user));
    Ok(store.insert(Act { by: By::Api, now_ms }, body, now_ms, now_ms))
}

fn update(store: &mut Store, now_ms: i64, id: u64, user: &Map<String, Value>) -> Result<(), Reject> {
    free(store, user, Some(id))?;
    let Some(before) = store.live(id).map(|object| Value::clone(&object.body)) else {
        return Ok(());
    };
    let mut patch = writable(user);
    // A second address is an identity; the first stays the user's e-mail (C1.11). So is the same one in another case.
    if before.get("email").is_some_and(|email| !email.is_null()) {
        patch.shift_remove("email");
    }
    store.revise(Act { by: By::Api, now_ms }, id, laid(&before, &patch), false);
    Ok(())
}

/// Finds by external id (without case; its case is overwritten), then by e-mail (C1.6).
fn upsert(store: &mut Store, now_ms: i64, user: &Map<String, Value>) -> Result<(u64, bool), Reject> {
    let by_external = text(user, "external_id").and_then(|id| by_external_id(store, id));
    let known = by_external.or_else(|| text(user, "email").and_then(|email| store.with_key(email)));
    match known {
        Some(id) => update(store, now_ms, id, user).map(|()| (id, false)),
        None => insert(store, now_ms, user).map(|id| (id, true)),
    }
}

fn writable(user: &Map<String, Value>) -> Map<String, Value> {
    user.iter()
        .filter(|(name, _)| WRITABLE.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A patch over a body; `user_fields` one by one, all else whole; null clears (C1.5).
fn laid(body: &Value, patch: &Map<String, Value>) -> Value {
    let mut body = body.clone();
    let Some(map) = body.as_object_mut() else { return body };
    for (name, value) in patch {
        match (name.as_str(), value) {
            ("user_fields", Value::Object(new)) => {
                let mut fields = map.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
                fields.extend(new.clone());
                map.insert(name.clone(), Value::Object(fields));
            }
            _ => {
                map.insert(name.clone(), value.clone());
            }
        }
    }
    body
}

fn shown(store: &Store, id: u64, status: u16) -> Reply {
    store.objects.get(&id).map_or_else(not_found, |object| {
        let reply = Reply::json(status, json!({"user": *object.body}));
        if matches!(status, 200 | 201) {
            reply.with("location", format!("/api/v2/users/{id}.json"))
        } else {
            reply
        }
    })
}

fn stamp(body: &mut Value, stamps: &Stamps) {
    let Some(map) = body.as_object_mut() else { return };
    map.insert("id".to_owned(), Value::from(stamps.id));
    map.insert("created_at".to_owned(), Value::String(rfc3339_s(stamps.created_ms)));
    map.insert("updated_at".to_owned(), Value::String(rfc3339_s(stamps.updated_ms)));
    map.insert("active".to_owned(), Value::Bool(stamps.deleted_ms.is_none()));
}

/// A ticket that was deleted says so in its status (C1.4).
fn stamp_ticket(body: &mut Value, stamps: &Stamps) {
    let Some(map) = body.as_object_mut() else { return };
    map.insert("id".to_owned(), Value::from(stamps.id));
    map.insert("created_at".to_owned(), Value::String(rfc3339_s(stamps.created_ms)));
    map.insert("updated_at".to_owned(), Value::String(rfc3339_s(stamps.updated_ms)));
    map.insert(
        "generated_timestamp".to_owned(),
        Value::from(stamps.updated_ms.div_euclid(1_000)),
    );
    if stamps.deleted_ms.is_some() {
        map.insert("status".to_owned(), json!("deleted"));
    }
}

/// The main address and those of the user's identities, which a user does not show (C1.11).
fn emails(body: &Value) -> Vec<String> {
    let further = body.get("_identities").and_then(Value::as_array).into_iter().flatten();
    let all = body.get("email").into_iter().chain(further).filter_map(Value::as_str);
    all.map(|text| text.trim().to_lowercase())
        .filter(|text| !text.is_empty())
        .collect()
}

fn keys(body: &Value) -> Vec<String> {
    let external_id = body.get("external_id").and_then(Value::as_str).map(str::trim);
    let external_id = external_id.filter(|id| !id.is_empty());
    emails(body)
        .into_iter()
        .chain(external_id.map(|id| format!("external:{}", id.to_lowercase())))
        .collect()
}
