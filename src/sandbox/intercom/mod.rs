//! The shape of Intercom's contacts and companies (VENDORS.md C3 and `specs/intercom`), no webhooks.
//!
//! Where the sheet is silent: a search answers in the order of ids unless it says otherwise, the workspace lives in UTC, a
//! contact that is deleted for good is not there any more, and a company is made by a person in the tool.

mod companies;
mod search;

use serde_json::{Map, Value, json};

use super::By;
use super::hooks::Posting;
use super::sides::Sides;
use super::store::{Act, Object, Shape, Stamps, Store};
use super::tool::{Person, Vendor, Wrong};
use super::wire::{Ask, Reply};
use super::{Options, ToolName};

/// What a write may carry (C3.6).
const WRITABLE: &[&str] = &[
    "role",
    "external_id",
    "email",
    "phone",
    "name",
    "avatar",
    "signed_up_at",
    "last_seen_at",
    "owner_id",
    "unsubscribed_from_emails",
    "custom_attributes",
];

pub(super) struct Intercom {
    bearer: String,
    sides: Sides,
    scroll: companies::Scroll,
}

impl Posting for Intercom {}

fn error(status: u16, code: &str, message: &str) -> Reply {
    let errors = json!([{"code": code, "message": message}]);
    Reply::json(
        status,
        json!({"type": "error.list", "request_id": "0009c9fmgpdsnf0bq1gg", "errors": errors}),
    )
}

fn not_found() -> Reply {
    error(404, "not_found", "User Not Found")
}

/// The 24 letters of an id.
fn id_of(number: u64) -> String {
    format!("{number:024x}")
}

fn number_of(id: &str) -> Option<u64> {
    (id.len() == 24).then(|| u64::from_str_radix(id, 16).ok()).flatten()
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name)
        .and_then(Value::as_str)
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

fn shown(object: &Object) -> Reply {
    Reply::json(200, Value::clone(&object.body))
}

fn act(ask: &Ask) -> Act {
    Act {
        by: By::Api,
        now_ms: ask.now_ms,
    }
}

/// Another user has this address or external id; leads may share an address (C3.6, C3.12).
fn conflict(store: &Store, body: &Value, own: Option<u64>) -> Option<Reply> {
    let mut wanted = keys(body).into_iter();
    let taken = wanted
        .find_map(|key| store.with_key(&key))
        .filter(|id| Some(*id) != own)?;
    let message = format!(
        "A contact matching those details already exists with id={}",
        id_of(taken)
    );
    Some(error(409, "conflict", &message))
}

impl Intercom {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            bearer: format!("Bearer {}", options.intercom_token),
            sides: Sides::new(1_000, &[("company", stamp_company)]),
            scroll: companies::Scroll::default(),
        }
    }

    fn create(&self, store: &mut Store, ask: &Ask) -> Reply {
        let typed = match written(ask) {
            Ok(typed) => typed,
            Err(reply) => return reply,
        };
        if !["role", "email", "external_id"]
            .iter()
            .any(|name| typed.contains_key(*name))
        {
            return error(
                400,
                "parameter_not_found",
                "email or external_id or role must be present",
            );
        }
        let body = self.compose(&Value::Object(typed));
        if let Some(reply) = conflict(store, &body, None) {
            return reply;
        }
        let id = store.insert(act(ask), body, ask.now_ms, ask.now_ms);
        store.live(id).map_or_else(not_found, shown)
    }

    fn single(store: &mut Store, ask: &Ask, id: &str) -> Reply {
        let Some(object) = number_of(id).and_then(|id| store.live(id)) else {
            return not_found();
        };
        let number = object.id;
        match ask.method.as_str() {
            "GET" => shown(object),
            "PUT" => {
                let body = match written(ask) {
                    Ok(typed) => laid(&object.body, &typed),
                    Err(reply) => return reply,
                };
                if let Some(reply) = conflict(store, &body, Some(number)) {
                    return reply;
                }
                store.revise(act(ask), number, body, false);
                store.live(number).map_or_else(not_found, shown)
            }
            "DELETE" => {
                let external_id = object.body.get("external_id").cloned();
                store.delete(act(ask), number);
                Reply::json(
                    200,
                    json!({"type": "contact", "id": id, "external_id": external_id, "deleted": true}),
                )
            }
            _ => not_found(),
        }
    }

    fn by_external_id(store: &Store, value: &str) -> Reply {
        let mut live = store.objects.values().filter(|object| object.is_live());
        let found = live.find(|object| text(&object.body, "external_id") == Some(value));
        found.map_or_else(not_found, shown)
    }

    /// `POST /contacts/merge`: a lead goes into a user and is not there any more (C3.7).
    fn merge(store: &mut Store, ask: &Ask) -> Reply {
        let body = ask.json().unwrap_or_default();
        let named = |name: &str| {
            text(&body, name)
                .and_then(number_of)
                .filter(|id| store.live(*id).is_some())
        };
        let (Some(from), Some(into)) = (named("from"), named("into")) else {
            return not_found();
        };
        let is_lead = store
            .live(from)
            .is_some_and(|object| text(&object.body, "role") == Some("lead"));
        if !is_lead {
            return error(400, "parameter_invalid", "only a lead can be merged into a user");
        }
        store.join(from, into);
        store.delete(act(ask), from);
        store.live(into).map_or_else(not_found, shown)
    }
}

impl Vendor for Intercom {
    fn name(&self) -> ToolName {
        ToolName::Intercom
    }

    fn shape(&self) -> Shape {
        Shape {
            stamp,
            keys,
            step_ms: 1_000,
            moving: &["id", "created_at", "updated_at"],
        }
    }

    fn first_id(&self) -> u64 {
        0x6762_f0dd_0001
    }

    fn authorized(&self, ask: &Ask) -> bool {
        ask.header("authorization") == Some(&self.bearer)
    }

    fn answer(&self, store: &mut Store, ask: &Ask) -> Reply {
        let parts: Vec<&str> = ask.path.split('/').filter(|part| !part.is_empty()).collect();
        match (ask.method.as_str(), parts.as_slice()) {
            ("GET", ["me"]) => me(),
            ("GET", ["data_attributes"]) => attributes(),
            ("GET", ["contacts"]) => search::list(store, ask),
            ("POST", ["contacts"]) => self.create(store, ask),
            ("POST", ["contacts", "search"]) => search::search(store, ask),
            ("POST", ["contacts", "merge"]) => Self::merge(store, ask),
            ("GET", ["contacts", "find_by_external_id", value]) => Self::by_external_id(store, value),
            (_, ["contacts", id]) => Self::single(store, ask, id),
            (_, ["companies", rest @ ..]) => {
                let answer = |companies: &mut Store| self.scroll.answer(companies, ask, rest);
                self.sides.with("company", answer).unwrap_or_else(not_found)
            }
            _ => not_found(),
        }
    }

    fn wrong(&self, wrong: Wrong) -> Reply {
        match wrong {
            Wrong::Unauthorized => error(401, "unauthorized", "Access Token Invalid"),
            Wrong::Throttled { .. } | Wrong::TooManyJobs | Wrong::DailyQuota => {
                error(429, "rate_limit_exceeded", "Exceeded rate limit")
            }
            Wrong::Server => error(500, "server_error", "Sorry, something went wrong"),
            Wrong::NotFound => not_found(),
        }
    }

    fn sides(&self) -> Option<&Sides> {
        Some(&self.sides)
    }

    fn blank(&self, _kind: &str) -> Value {
        json!({"type": "company", "id": "", "company_id": "", "name": "", "website": null, "industry": null, "size": null,
            "plan": {}, "monthly_spend": 0, "user_count": 1, "session_count": 0, "created_at": 0, "updated_at": 0,
            "custom_attributes": {}, "app_id": "sandbox"})
    }

    fn person(&self, body: &Value, stamps: &Stamps) -> Person {
        let text = |name: &str| text(body, name).map(str::to_owned);
        Person {
            id: stamps.id.to_string(),
            email: text("email"),
            emails: text("email").map(|email| email.to_lowercase()).into_iter().collect(),
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
        let list = |url: &str| json!({"data": [], "url": url, "total_count": 0, "has_more": false});
        let fresh = json!({
            "type": "contact", "id": "", "workspace_id": "sandbox", "external_id": null, "role": "user", "email": null,
            "phone": null, "name": null, "avatar": null, "owner_id": null, "social_profiles": {"data": []},
            "has_hard_bounced": false, "marked_email_as_spam": false, "unsubscribed_from_emails": false, "created_at": 0,
            "updated_at": 0, "signed_up_at": null, "last_seen_at": null, "last_replied_at": null, "last_contacted_at": null,
            "custom_attributes": {}, "tags": list("/tags"), "notes": list("/notes"), "companies": list("/companies"),
            "location": {"type": "location", "country": null, "region": null, "city": null},
        });
        self.amend(&fresh, typed)
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

/// The writable members of a body, checked.
fn written(ask: &Ask) -> Result<Map<String, Value>, Reply> {
    let Some(Value::Object(mut typed)) = ask.json() else {
        return Err(error(400, "bad_request", "bad 'Content-Type' header or body"));
    };
    typed.retain(|name, _| WRITABLE.contains(&name.as_str()));
    let email = typed.get("email").and_then(Value::as_str);
    if email.is_some_and(|email| !email.contains('@')) {
        return Err(error(422, "parameter_invalid", "The email is invalid"));
    }
    let role = typed.get("role").and_then(Value::as_str);
    if role.is_some_and(|role| !["user", "lead"].contains(&role)) {
        return Err(error(400, "parameter_invalid", "role must be either user or lead"));
    }
    Ok(typed)
}

/// A patch over a body: own attributes one by one, all else whole; null clears (C3.5).
fn laid(body: &Value, patch: &Map<String, Value>) -> Value {
    let mut body = body.clone();
    let Some(map) = body.as_object_mut() else { return body };
    for (name, value) in patch {
        match (name.as_str(), value) {
            ("custom_attributes", Value::Object(new)) => {
                let mut own = map.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
                own.extend(new.clone());
                map.insert(name.clone(), Value::Object(own));
            }
            _ => drop(map.insert(name.clone(), value.clone())),
        }
    }
    body
}

fn stamp(body: &mut Value, stamps: &Stamps) {
    let Some(map) = body.as_object_mut() else { return };
    map.insert("id".to_owned(), json!(id_of(stamps.id)));
    map.insert("created_at".to_owned(), json!(stamps.created_ms.div_euclid(1_000)));
    map.insert("updated_at".to_owned(), json!(stamps.updated_ms.div_euclid(1_000)));
}

fn stamp_company(body: &mut Value, stamps: &Stamps) {
    stamp(body, stamps);
    if let Some(map) = body.as_object_mut() {
        map.insert(
            "remote_created_at".to_owned(),
            json!(stamps.created_ms.div_euclid(1_000)),
        );
    }
}

/// Users only: leads may share what users may not.
fn keys(body: &Value) -> Vec<String> {
    let is_user = text(body, "role") != Some("lead");
    let email = text(body, "email").filter(|_| is_user).map(str::to_lowercase);
    let external_id = text(body, "external_id").map(|id| format!("external:{}", id.to_lowercase()));
    email.into_iter().chain(external_id).collect()
}

fn me() -> Reply {
    let app = json!({"type": "app", "id_code": "sandbox", "name": "Sandbox", "region": "US", "timezone": "UTC",
        "created_at": 1_700_000_000, "identity_verification": false});
    Reply::json(
        200,
        json!({"type": "admin", "id": "1", "email": "agent@example.com", "name": "Sandbox", "email_verified": true, "app": app}),
    )
}

/// `GET /data_attributes`: the account has one of its own.
fn attributes() -> Reply {
    let row = |name: &str, label: &str, custom: bool| json!({"type": "data_attribute", "name": name, "full_name": name, "label": label, "data_type": "string", "model": "contact", "custom": custom, "archived": false});
    let mut tier = row("tier", "Tier", true);
    if let Some(map) = tier.as_object_mut() {
        map.insert("options".to_owned(), json!(["gold", "silver"]));
    }
    let data = [row("name", "Name", false), row("email", "Email", false), tier];
    Reply::json(200, json!({"type": "list", "data": data}))
}
