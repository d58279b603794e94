//! The shape of HubSpot's CRM objects API: contacts, companies, and the deals, tickets, calls and meetings that hang on contacts (VENDORS.md A1).
//!
//! An object's body is its `properties` map; every value is a string (A1.3). Where the sheet is silent: a backward move
//! of `lifecyclestage` is answered 200 and left undone, and batch rows come in reverse order, because none is promised.

mod account;
mod associations;
mod batch;
mod body;
mod hooks;
mod kinds;
mod search;

use serde_json::{Map, Value, json};

use super::sides::Sides;
use super::store::{Act, Object, Shape, Stamps, Store};
use super::tool::{Person, Vendor, Wrong};
use super::wire::{Ask, Page, Reply};
use super::{By, Options, ToolName};
use body::{forward_only, is_address, lay, text_of};
use kinds::{CONTACT, Kind};

pub(super) struct Hubspot {
    token: String,
    echo_touch: bool,
    custom: Vec<String>,
    sides: Sides,
}

/// Why a write is refused.
struct Reject {
    status: u16,
    category: &'static str,
    message: String,
}

impl Reject {
    fn invalid(message: String) -> Self {
        Self {
            status: 400,
            category: "VALIDATION_ERROR",
            message,
        }
    }

    fn property(error: &str, name: &str, value: &str) -> Self {
        let list =
            json!([{"isValid": false, "message": format!("{value} was not valid"), "error": error, "name": name}]);
        Self::invalid(format!("Property values were not valid: {list}"))
    }

    fn conflict(id: u64) -> Self {
        Self {
            status: 409,
            category: "CONFLICT",
            message: format!("Contact already exists. Existing ID: {id}"),
        }
    }

    fn missing() -> Self {
        Self {
            status: 404,
            category: "OBJECT_NOT_FOUND",
            message: "resource not found".to_owned(),
        }
    }

    fn reply(&self) -> Reply {
        error(self.status, self.category, &self.message)
    }
}

fn error(status: u16, category: &str, message: &str) -> Reply {
    let correlation = "aeb5f871-7f07-4993-9211-075dc63e7cbf";
    Reply::json(
        status,
        json!({"status": "error", "message": message, "correlationId": correlation, "category": category}),
    )
}

impl Hubspot {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            token: format!("Bearer {}", options.hubspot_token),
            echo_touch: options.echo_touch,
            custom: options.hubspot_properties.clone(),
            sides: kinds::sides(),
        }
    }

    fn knows(&self, kind: &Kind, name: &str) -> bool {
        kind.knows(name) || kind.name == CONTACT.name && self.custom.iter().any(|custom| custom == name)
    }

    /// Checks written properties and makes them strings; the empty string stays and means "clear" (A1.5).
    fn checked(&self, kind: &Kind, properties: Option<&Value>) -> Result<Map<String, Value>, Reject> {
        let Some(properties) = properties.and_then(Value::as_object) else {
            return Err(Reject::invalid(
                "Invalid input JSON: properties must be an object".to_owned(),
            ));
        };
        let mut clean = Map::new();
        for (name, value) in properties {
            let Some(text) = text_of(value) else {
                return Err(Reject::property("INVALID_TYPE", name, "a value that is no text"));
            };
            if !self.knows(kind, name) {
                return Err(Reject::property("PROPERTY_DOESNT_EXIST", name, &text));
            }
            if kind.is_read_only(name) {
                return Err(Reject::property("READ_ONLY_VALUE", name, &text));
            }
            if name == "email" && !text.trim().is_empty() && !is_address(text.trim()) {
                return Err(Reject::property("INVALID_EMAIL", name, &text));
            }
            let text = if name == "email" {
                text.trim().to_lowercase()
            } else {
                text
            };
            clean.insert(name.clone(), Value::String(text));
        }
        Ok(clean)
    }

    /// The e-mail of a write must not belong to another contact; compared without case (A1.12).
    fn conflict(store: &Store, properties: &Map<String, Value>, own: Option<u64>) -> Result<(), Reject> {
        let email = properties
            .get("email")
            .and_then(Value::as_str)
            .filter(|email| !email.is_empty());
        match email.and_then(|email| store.with_key(email)) {
            Some(id) if Some(id) != own => Err(Reject::conflict(id)),
            _ => Ok(()),
        }
    }

    fn insert(store: &mut Store, ask: &Ask, properties: &Map<String, Value>, input: &Value) -> u64 {
        let mut body = Value::Object(Map::new());
        lay(&mut body, properties);
        let contacts = associations::of_new(input);
        if let Some(map) = body.as_object_mut().filter(|_| !contacts.is_empty()) {
            map.insert(associations::CONTACTS.to_owned(), Value::Array(contacts));
        }
        store.insert(
            Act {
                by: By::Api,
                now_ms: ask.now_ms,
            },
            body,
            ask.now_ms,
            ask.now_ms,
        )
    }

    fn update(&self, store: &mut Store, ask: &Ask, id: u64, properties: &Map<String, Value>) {
        let Some(mut body) = store.live(id).map(|object| Value::clone(&object.body)) else {
            return;
        };
        let properties = forward_only(&body, properties);
        lay(&mut body, &properties);
        store.revise(
            Act {
                by: By::Api,
                now_ms: ask.now_ms,
            },
            id,
            body,
            self.echo_touch,
        );
    }

    fn list(kind: &Kind, store: &Store, ask: &Ask) -> Reply {
        let limit = match ask.get("limit").map_or(Ok(10), str::parse::<usize>) {
            Ok(limit @ 1..=100) => limit,
            _ => return Reject::invalid("limit must be between 1 and 100".to_owned()).reply(),
        };
        let here = ask.get("after").unwrap_or("0").to_owned();
        let Ok(after) = here.trim_end_matches('~').parse::<u64>() else {
            return Reject::invalid("after is not a valid token".to_owned()).reply();
        };
        let archived = ask.get("archived") == Some("true");
        let wanted = kind.wanted(ask.list("properties"));
        let mut found = store
            .objects
            .range(after..)
            .map(|(_, object)| object)
            .filter(|object| object.is_live() != archived);
        let rows: Vec<&Object> = found.by_ref().take(limit).collect();
        let next = found.next().map(|object| object.id);
        Reply::page(Page {
            key: "results",
            edge: rows.last().map(|object| object.id).zip(next),
            rows: rows
                .iter()
                .map(|object| kind.row(&object.body, object.deleted_ms, &wanted).into())
                .collect(),
            next: next.map(|id| id.to_string()),
            again: format!("{here}~"),
            here,
            extra: Map::new(),
            envelope: paging,
        })
    }

    fn single(&self, kind: &Kind, store: &mut Store, ask: &Ask, key: &str) -> Reply {
        let id = match ask.get("idProperty") {
            Some("email") => store.with_key(key),
            None | Some("hs_object_id") => key.parse::<u64>().ok(),
            Some(_) => None,
        };
        let Some(id) = id.filter(|id| store.live(*id).is_some()) else {
            // Deleting what is gone is fine; reading and changing it is not.
            return if ask.method == "DELETE" {
                Reply::empty(204)
            } else {
                Reject::missing().reply()
            };
        };
        match ask.method.as_str() {
            "GET" => answer_row(kind, store, id, 200, &kind.wanted(ask.list("properties"))),
            "DELETE" => {
                store.delete(
                    Act {
                        by: By::Api,
                        now_ms: ask.now_ms,
                    },
                    id,
                );
                Reply::empty(204)
            }
            "PATCH" => {
                let body = ask.json().unwrap_or_default();
                let checked = self.checked(kind, body.get("properties")).and_then(|properties| {
                    Self::conflict(store, &properties, Some(id))?;
                    Ok(properties)
                });
                match checked {
                    Err(reject) => reject.reply(),
                    Ok(properties) => {
                        self.update(store, ask, id, &properties);
                        answer_row(kind, store, id, 200, &kind.names_of(&properties))
                    }
                }
            }
            _ => error(405, "VALIDATION_ERROR", "method not allowed"),
        }
    }

    fn create(&self, kind: &Kind, store: &mut Store, ask: &Ask) -> Reply {
        let body = ask.json().unwrap_or_default();
        let checked = self.checked(kind, body.get("properties")).and_then(|properties| {
            Self::conflict(store, &properties, None)?;
            Ok(properties)
        });
        match checked {
            Err(reject) => reject.reply(),
            Ok(properties) => {
                let id = Self::insert(store, ask, &properties, &body);
                answer_row(kind, store, id, 201, &kind.names_of(&properties))
            }
        }
    }
}

impl Hubspot {
    /// Everything about the objects of one kind.
    fn objects(&self, kind: &Kind, store: &mut Store, ask: &Ask, rest: &str) -> Reply {
        match (ask.method.as_str(), rest.trim_matches('/')) {
            ("GET", "") => Self::list(kind, store, ask),
            ("POST", "") => self.create(kind, store, ask),
            ("POST", "search") => self.search(kind, store, ask),
            ("POST", "batch/read") => batch::read(kind, store, ask),
            ("POST", "batch/create" | "batch/update" | "batch/upsert") => self.batch(kind, store, ask),
            ("POST", "batch/archive") => batch::archive(store, ask),
            ("POST", "gdpr-delete") if kind.name == CONTACT.name => batch::erase(store, ask),
            (_, key) if !key.is_empty() && !key.contains('/') => self.single(kind, store, ask, key),
            _ => self.wrong(Wrong::NotFound),
        }
    }
}

impl Vendor for Hubspot {
    fn name(&self) -> ToolName {
        ToolName::Hubspot
    }

    fn shape(&self) -> Shape {
        Shape {
            stamp: kinds::stamp_contact,
            keys: emails,
            step_ms: 1,
            moving: &["createdate", "lastmodifieddate", "hs_object_id"],
        }
    }

    fn first_id(&self) -> u64 {
        1_001
    }

    fn authorized(&self, ask: &Ask) -> bool {
        ask.header("authorization") == Some(self.token.as_str())
    }

    fn answer(&self, store: &mut Store, ask: &Ask) -> Reply {
        if ask.path.trim_end_matches('/') == "/crm/v3/owners" {
            return account::owners();
        }
        if let Some(rest) = ask.path.strip_prefix("/crm/v3/properties/") {
            let known = Kind::of_path(rest.trim_end_matches('/')).filter(|(_, rest)| rest.is_empty());
            return known.filter(|_| ask.method == "GET").map_or_else(
                || self.wrong(Wrong::NotFound),
                |(kind, _)| kind.properties(if kind.name == CONTACT.name { &self.custom } else { &[] }),
            );
        }
        if let Some(rest) = ask.path.strip_prefix("/communication-preferences/v4/statuses/") {
            return self.unsubscribe(store, ask, rest);
        }
        if let Some(rest) = ask.path.strip_prefix("/crm/v4/associations/") {
            let of = Kind::of_path(rest).filter(|(_, rest)| ask.method == "POST" && *rest == "/contacts/batch/read");
            let read = of.and_then(|(kind, _)| self.sides.with(kind.name, |side| associations::read(kind, side, ask)));
            return read.unwrap_or_else(|| self.wrong(Wrong::NotFound));
        }
        let Some((kind, rest)) = ask.path.strip_prefix("/crm/v3/objects/").and_then(Kind::of_path) else {
            return self.wrong(Wrong::NotFound);
        };
        if kind.name == CONTACT.name {
            return self.objects(kind, store, ask, rest);
        }
        let answer = self.sides.with(kind.name, |side| self.objects(kind, side, ask, rest));
        answer.unwrap_or_else(|| self.wrong(Wrong::NotFound))
    }

    fn sides(&self) -> Option<&Sides> {
        Some(&self.sides)
    }

    fn blank(&self, kind: &str) -> Value {
        kinds::blank(kind)
    }

    fn wrong(&self, wrong: Wrong) -> Reply {
        match wrong {
            Wrong::Unauthorized => error(
                401,
                "INVALID_AUTHENTICATION",
                "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more \
                 details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
            ),
            // Searches have a window of their own (A1.8).
            Wrong::Throttled { is_search: true } => rate_limit("SECONDLY"),
            Wrong::Throttled { .. } | Wrong::TooManyJobs => rate_limit("TEN_SECONDLY_ROLLING"),
            Wrong::DailyQuota => rate_limit("DAILY"),
            Wrong::Server => Reply::json(500, json!({"status": "error", "message": "internal error"})),
            Wrong::NotFound => Reject::missing().reply(),
        }
    }

    fn person(&self, body: &Value, stamps: &Stamps) -> Person {
        let text = |name: &str| {
            body.get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let (given, family) = (text("firstname"), text("lastname"));
        let full_name = [given.as_deref(), family.as_deref()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        Person {
            id: stamps.id.to_string(),
            email: text("email"),
            emails: emails(body),
            given,
            family,
            full_name: Some(full_name).filter(|name| !name.is_empty()),
            phone: text("phone"),
            company: text("company"),
            external_id: None,
            updated_ms: stamps.updated_ms,
            deleted: stamps.deleted_ms.is_some(),
            raw: body.clone(),
        }
    }

    fn compose(&self, typed: &Value) -> Value {
        self.amend(&Value::Object(Map::new()), typed)
    }

    fn took_in(&self, body: &Value, gone: u64) -> Option<Value> {
        let known = body.pointer("/properties/hs_merged_object_ids").and_then(Value::as_str);
        let ids = match known.filter(|known| !known.is_empty()) {
            Some(known) => format!("{known};{gone}"),
            None => gone.to_string(),
        };
        Some(self.amend(body, &serde_json::json!({"hs_merged_object_ids": ids})))
    }

    fn amend(&self, body: &Value, patch: &Value) -> Value {
        let mut body = body.clone();
        let mut properties = Map::new();
        for (name, value) in patch.as_object().into_iter().flatten() {
            let text = text_of(value).unwrap_or_default();
            let text = if name == "email" {
                text.trim().to_lowercase()
            } else {
                text
            };
            properties.insert(name.clone(), Value::String(text));
        }
        lay(&mut body, &properties);
        body
    }

    fn twist(&self, row: &mut Value) {
        if let Some(email) = row.pointer_mut("/properties/email") {
            *email = json!({"value": email.take()});
        }
    }
}

fn answer_row(kind: &Kind, store: &Store, id: u64, status: u16, wanted: &[String]) -> Reply {
    match store.objects.get(&id) {
        Some(object) => Reply::json(status, kind.row(&object.body, object.deleted_ms, wanted)),
        None => Reject::missing().reply(),
    }
}

fn paging(page: &Page) -> Map<String, Value> {
    let mut map = page.extra.clone();
    if let Some(next) = &page.next {
        map.insert(
            "paging".to_owned(),
            json!({"next": {"after": next, "link": format!("?after={next}")}}),
        );
    }
    map
}

fn rate_limit(policy: &str) -> Reply {
    let message = format!("You have reached your {} limit.", policy.to_lowercase());
    let body = json!({
        "status": "error", "message": message, "errorType": "RATE_LIMIT",
        "correlationId": "c033cdaa-2c40-4a64-ae48-b4cec88dad24", "policyName": policy,
        "requestId": "3d3e35b7-0dae-4b9f-a6e3-9c230cbcf8dd",
    });
    Reply::json(429, body)
}

/// E-mail is unique over the main and the additional addresses (A1.12).
fn emails(body: &Value) -> Vec<String> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let more = text("hs_additional_emails").split(';');
    let all = std::iter::once(text("email")).chain(more);
    all.map(|email| email.trim().to_lowercase())
        .filter(|email| !email.is_empty())
        .collect()
}
