//! The shape of Mailchimp's audience members (VENDORS.md A2 and `specs/mailchimp`): one audience, no webhooks.
//!
//! Where the sheet is silent: a list without a status leaves archived members out, an archived member can be added again and
//! keeps its `contact_id`, an address of another member is refused as `Member Exists`.

mod reads;
mod writes;

use std::collections::BTreeSet;
use std::sync::Mutex;

use base64::Engine as _;
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use super::hooks::Posting;
use super::store::{Shape, Stamps, Store};
use super::tool::{Person, Vendor, Wrong};
use super::wire::{Ask, Reply};
use super::{Options, ToolName};

/// What a member may be asked to be; `archived` is what a removal makes of it (A2.11).
const STATUSES: &[&str] = &["subscribed", "unsubscribed", "cleaned", "pending", "transactional"];

pub(super) struct Mailchimp {
    key: String,
    list: String,
    /// Addresses erased for good: they cannot come back (A2.7).
    forgotten: Mutex<BTreeSet<String>>,
}

impl Posting for Mailchimp {}

/// An error as `application/problem+json` (A2.9).
fn problem(status: u16, title: &str, detail: &str) -> Reply {
    let body = json!({
        "type": "https://mailchimp.com/developer/marketing/docs/errors/", "title": title, "status": status, "detail": detail,
        "instance": "995c5cb0-3280-4a6e-808b-3b096d0bb219",
    });
    Reply::json(status, body).with("content-type", "application/problem+json; charset=utf-8".to_owned())
}

fn not_found() -> Reply {
    problem(404, "Resource Not Found", "The requested resource could not be found.")
}

/// `subscriber_hash`: MD5 of the address in small letters (A2.5).
fn hash(email: &str) -> String {
    let digest = Md5::digest(email.to_lowercase().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Mailchimp {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            key: options.mailchimp_key.clone(),
            list: options.mailchimp_list.clone(),
            forgotten: Mutex::default(),
        }
    }

    fn list(&self, store: &Store) -> Value {
        let live = store.objects.values().filter(|object| object.is_live()).count();
        json!({"id": self.list, "web_id": 1, "name": "Sandbox", "stats": {"member_count": live}, "_links": []})
    }

    fn in_list(&self, store: &mut Store, ask: &Ask, rest: &[&str]) -> Reply {
        match (ask.method.as_str(), rest) {
            ("GET", []) => Reply::json(200, reads::shown(ask, self.list(store))),
            ("POST", []) => self.batch(store, ask),
            ("GET", ["merge-fields"]) => reads::merge_fields(ask, &self.list),
            ("GET", ["members"]) => reads::members(store, ask, &self.list),
            ("POST", ["members"]) => self.add(store, ask),
            (_, ["members", name]) => self.single(store, ask, name),
            ("POST", ["members", name, "actions", "delete-permanent"]) => self.erase(store, name),
            (_, ["members", name, "tags"]) => writes::tags(store, ask, name),
            _ => not_found(),
        }
    }
}

impl Vendor for Mailchimp {
    fn name(&self) -> ToolName {
        ToolName::Mailchimp
    }

    fn shape(&self) -> Shape {
        Shape {
            stamp,
            keys,
            step_ms: 1_000,
            moving: &[
                "id",
                "contact_id",
                "unique_email_id",
                "web_id",
                "last_changed",
                "full_name",
            ],
        }
    }

    fn first_id(&self) -> u64 {
        1
    }

    /// Basic with any name, or the key as Bearer (A2.2).
    fn authorized(&self, ask: &Ask) -> bool {
        let given = ask.header("authorization").unwrap_or_default();
        let basic = given.strip_prefix("Basic ").and_then(|text| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
            String::from_utf8(bytes).ok()
        });
        let password = basic.as_deref().and_then(|pair| pair.split_once(':'));
        given.strip_prefix("Bearer ") == Some(&self.key) || password.is_some_and(|(_, key)| key == self.key)
    }

    fn answer(&self, store: &mut Store, ask: &Ask) -> Reply {
        let Some(path) = ask.path.strip_prefix("/3.0") else {
            return not_found();
        };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match (ask.method.as_str(), parts.as_slice()) {
            ("GET", ["ping"]) => Reply::json(200, json!({"health_status": "Everything's Chimpy!"})),
            ("GET", ["lists"]) => Reply::json(
                200,
                reads::shown(
                    ask,
                    json!({"lists": [self.list(store)], "total_items": 1, "_links": []}),
                ),
            ),
            (_, ["lists", id, rest @ ..]) if *id == self.list => self.in_list(store, ask, rest),
            _ => not_found(),
        }
    }

    fn wrong(&self, wrong: Wrong) -> Reply {
        match wrong {
            Wrong::Unauthorized => problem(
                401,
                "API Key Invalid",
                "Your API key may be invalid, or you've attempted to access the wrong datacenter.",
            ),
            Wrong::Throttled { .. } | Wrong::TooManyJobs | Wrong::DailyQuota => problem(
                429,
                "Too Many Requests",
                "You have exceeded the limit of 10 simultaneous connections.",
            ),
            Wrong::Server => problem(
                500,
                "Internal Server Error",
                "An unexpected internal error has occurred.",
            ),
            Wrong::NotFound => not_found(),
        }
    }

    fn person(&self, body: &Value, stamps: &Stamps) -> Person {
        let text = |pointer: &str| {
            let found = body.pointer(pointer).and_then(Value::as_str);
            found.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Person {
            id: stamps.id.to_string(),
            email: text("/email_address"),
            emails: text("/email_address")
                .map(|email| email.trim().to_lowercase())
                .into_iter()
                .collect(),
            given: text("/merge_fields/FNAME"),
            family: text("/merge_fields/LNAME"),
            full_name: text("/full_name"),
            phone: text("/merge_fields/PHONE"),
            company: None,
            external_id: None,
            updated_ms: stamps.updated_ms,
            deleted: stamps.deleted_ms.is_some(),
            raw: body.clone(),
        }
    }

    fn compose(&self, typed: &Value) -> Value {
        let fresh = json!({
            "id": "", "email_address": "", "unique_email_id": "", "contact_id": "", "full_name": "", "web_id": 0,
            "email_type": "html", "status": "subscribed", "consents_to_one_to_one_messaging": true,
            "merge_fields": {"FNAME": "", "LNAME": "", "PHONE": ""}, "stats": {"avg_open_rate": 0, "avg_click_rate": 0},
            "ip_signup": "", "timestamp_signup": "", "ip_opt": "", "timestamp_opt": "", "member_rating": 2,
            "last_changed": "", "language": "", "vip": false, "email_client": "", "source": "API - Generic",
            "tags_count": 0, "tags": [], "list_id": self.list, "_links": [],
        });
        self.amend(&fresh, typed)
    }

    fn amend(&self, body: &Value, patch: &Value) -> Value {
        patch
            .as_object()
            .map_or_else(|| body.clone(), |patch| laid(body, patch))
    }

    fn twist(&self, row: &mut Value) {
        if let Some(email) = row.get_mut("email_address") {
            *email = json!({"address": email.take()});
        }
    }
}

/// A patch over a body: merge fields one by one, all else whole (A2.5).
fn laid(body: &Value, patch: &Map<String, Value>) -> Value {
    let mut body = body.clone();
    let Some(map) = body.as_object_mut() else { return body };
    for (name, value) in patch {
        match (name.as_str(), value) {
            ("merge_fields", Value::Object(new)) => {
                let mut fields = map.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
                fields.extend(new.iter().map(|(tag, value)| (tag.clone(), text_of(value))));
                map.insert(name.clone(), Value::Object(fields));
            }
            _ => drop(map.insert(name.clone(), value.clone())),
        }
    }
    body
}

/// A merge field that has nothing shows the empty text.
fn text_of(value: &Value) -> Value {
    if value.is_null() { json!("") } else { value.clone() }
}

fn stamp(body: &mut Value, stamps: &Stamps) {
    let text = |body: &Value, pointer: &str| {
        body.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let email = text(body, "/email_address");
    let full = format!(
        "{} {}",
        text(body, "/merge_fields/FNAME"),
        text(body, "/merge_fields/LNAME")
    );
    let Some(map) = body.as_object_mut() else { return };
    map.insert("id".to_owned(), json!(hash(&email)));
    map.insert("contact_id".to_owned(), json!(format!("{:032x}", stamps.id)));
    map.insert("unique_email_id".to_owned(), json!(format!("{:010x}", stamps.id)));
    map.insert("web_id".to_owned(), json!(stamps.id));
    map.insert("full_name".to_owned(), json!(full.trim()));
    map.insert("last_changed".to_owned(), json!(time(stamps.updated_ms)));
    if stamps.deleted_ms.is_some() {
        map.insert("status".to_owned(), json!("archived"));
    }
}

/// `2015-10-21T15:41:36+00:00` (A2.4).
fn time(ms: i64) -> String {
    super::clock::rfc3339_s(ms).replace('Z', "+00:00")
}

fn keys(body: &Value) -> Vec<String> {
    let email = body.get("email_address").and_then(Value::as_str).unwrap_or_default();
    vec![email.trim().to_lowercase(), format!("hash:{}", hash(email))]
}

/// The member of this hash, address or `contact_id` (A2.5), an archived one too.
fn named(store: &Store, name: &str) -> Option<u64> {
    let by_contact = u64::from_str_radix(name, 16)
        .ok()
        .filter(|id| store.objects.contains_key(id));
    let wanted = [name.trim().to_lowercase(), format!("hash:{}", name.to_lowercase())];
    let live = || wanted.iter().find_map(|key| store.with_key(key));
    let archived = || {
        let mut objects = store.objects.values().filter(|object| !object.is_live());
        objects.find(|object| keys(&object.body).iter().any(|key| wanted.contains(key)))
    };
    by_contact.or_else(live).or_else(|| archived().map(|object| object.id))
}
