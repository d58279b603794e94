//! The shape of Salesforce's contacts, leads and accounts (VENDORS.md B1): SOQL, query jobs, single objects, collections.
//!
//! Where the sheet is silent: too many rows in one call is `LIMIT_EXCEEDED`, an address without `@` is
//! `INVALID_EMAIL_ADDRESS`, one unknown field refuses its row and not the call.

mod ids;
mod jobs;
mod reads;
mod soql;
mod writes;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::hooks::Posting;
use super::sides::Sides;
use super::store::{Shape, Stamps, Store};
use super::tool::{Person, Vendor, Wrong};
use super::wire::{Ask, Reply};
use super::{Options, ToolName};

/// Requests of a day (B1.8).
const DAY_MAX: u64 = 100_000;

/// One kind of object: its name, what its ids begin with, what a client may write, and what it must.
struct Kind {
    name: &'static str,
    prefix: &'static str,
    writable: &'static [&'static str],
    required: &'static [&'static str],
}

/// Fields that the tool keeps itself, of every kind.
const KEPT: &[&str] = &[
    "Id",
    "IsDeleted",
    "SystemModstamp",
    "CreatedDate",
    "LastModifiedDate",
    "Name",
    "MasterRecordId",
];

/// B1.11.
const KINDS: &[Kind] = &[
    Kind {
        name: "Contact",
        prefix: "003",
        writable: &[
            "FirstName",
            "LastName",
            "Email",
            "Phone",
            "MobilePhone",
            "AccountId",
            "OwnerId",
            "HasOptedOutOfEmail",
            "DoNotCall",
        ],
        required: &["LastName"],
    },
    Kind {
        name: "Lead",
        prefix: "00Q",
        writable: &[
            "FirstName",
            "LastName",
            "Company",
            "Email",
            "Phone",
            "MobilePhone",
            "OwnerId",
            "Status",
            "IsConverted",
            "ConvertedContactId",
            "HasOptedOutOfEmail",
        ],
        required: &["LastName", "Company"],
    },
    Kind {
        name: "Account",
        prefix: "001",
        writable: &["Name", "Website", "Phone", "OwnerId", "ParentId", "Type"],
        required: &["Name"],
    },
];

impl Kind {
    fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name.eq_ignore_ascii_case(name))
    }

    fn knows(&self, field: &str) -> bool {
        self.writable.contains(&field) || KEPT.contains(&field)
    }
}

pub(super) struct Salesforce {
    client_id: String,
    client_secret: String,
    token: Mutex<String>,
    sides: Sides,
    calls: AtomicU64,
    jobs: jobs::Jobs,
}

impl Posting for Salesforce {}

/// Errors are a list (B1.9).
fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, json!([{"message": message, "errorCode": code}]))
}

fn not_found() -> Reply {
    error(404, "NOT_FOUND", "The requested resource does not exist")
}

impl Salesforce {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            client_id: options.salesforce_client_id.clone(),
            client_secret: options.salesforce_client_secret.clone(),
            token: Mutex::new("00Dsandbox!session".to_owned()),
            sides: Sides::new(1_000, &[("Lead", stamp_lead), ("Account", stamp_account)]),
            calls: AtomicU64::new(0),
            jobs: jobs::Jobs::default(),
        }
    }

    fn session(&self) -> String {
        self.token
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// `POST /services/oauth2/token` with client credentials: no `expires_in`, and the host of the API (B1.1, B1.2).
    fn token(&self, ask: &Ask) -> Reply {
        let form: Vec<(String, String)> = url::form_urlencoded::parse(&ask.body).into_owned().collect();
        let value = |name: &str| {
            form.iter()
                .find(|(key, _)| key == name)
                .map_or("", |(_, value)| value.as_str())
        };
        let pair = format!("{}:{}", self.client_id, self.client_secret);
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let is_known = ask.header("authorization") == Some(&basic)
            || (value("client_id") == self.client_id && value("client_secret") == self.client_secret);
        if value("grant_type") != "client_credentials" {
            return Reply::json(
                400,
                json!({"error": "unsupported_grant_type", "error_description": "grant type not supported"}),
            );
        }
        if !is_known {
            return Reply::json(
                400,
                json!({"error": "invalid_client", "error_description": "invalid client credentials"}),
            );
        }
        let host = ask.origin();
        Reply::json(
            200,
            json!({"access_token": self.session(), "instance_url": host, "id": format!("{host}/id/00D/005"),
            "token_type": "Bearer", "issued_at": ask.now_ms.to_string(), "signature": "c2FuZGJveA=="}),
        )
    }

    /// Works with the objects of one kind.
    fn with<T>(&self, store: &mut Store, kind: &Kind, work: impl FnOnce(&mut Store) -> T) -> Option<T> {
        if kind.name == "Contact" {
            return Some(work(store));
        }
        self.sides.with(kind.name, work)
    }

    fn route(&self, store: &mut Store, ask: &Ask, parts: &[&str]) -> Reply {
        match (ask.method.as_str(), parts) {
            ("GET", ["limits"]) => {
                let left = DAY_MAX.saturating_sub(self.calls.load(Ordering::Relaxed));
                Reply::json(200, json!({"DailyApiRequests": {"Max": DAY_MAX, "Remaining": left}}))
            }
            ("GET", ["query"]) => self.query(store, ask, ask.get("q").unwrap_or_default(), 0, false),
            ("GET", ["queryAll"]) => self.query(store, ask, ask.get("q").unwrap_or_default(), 0, true),
            ("GET", ["query" | "queryAll", locator]) => self.query_more(store, ask, locator),
            (_, ["jobs", "query", rest @ ..]) => self.jobs(store, ask, rest),
            ("GET", ["sobjects"]) => reads::kinds(),
            ("GET", ["sobjects", name, "describe"]) => Kind::named(name).map_or_else(not_found, reads::describe),
            ("GET", ["sobjects", name, feed @ ("deleted" | "updated")]) => self.feed(store, ask, name, feed),
            ("POST", ["sobjects", name]) => self.create(store, ask, name),
            (_, ["sobjects", name, id]) => self.single(store, ask, name, id),
            (_, ["sobjects", name, field, value]) => self.by_field(store, ask, name, field, value),
            (_, ["composite", "sobjects"]) => self.collection(store, ask),
            _ => not_found(),
        }
    }
}

impl Vendor for Salesforce {
    fn name(&self) -> ToolName {
        ToolName::Salesforce
    }

    fn shape(&self) -> Shape {
        Shape {
            stamp: stamp_contact,
            keys: emails,
            step_ms: 1_000,
            moving: KEPT,
        }
    }

    fn first_id(&self) -> u64 {
        1
    }

    fn authorized(&self, ask: &Ask) -> bool {
        let given = ask
            .header("authorization")
            .and_then(|given| given.strip_prefix("Bearer "));
        ask.path == "/services/oauth2/token" || given == Some(&self.session())
    }

    fn answer(&self, store: &mut Store, ask: &Ask) -> Reply {
        if (ask.method.as_str(), ask.path.as_str()) == ("POST", "/services/oauth2/token") {
            return self.token(ask);
        }
        let Some(path) = ask.path.strip_prefix("/services/data/v") else {
            return not_found();
        };
        let used = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let parts: Vec<&str> = path.split('/').skip(1).filter(|part| !part.is_empty()).collect();
        let reply = self.route(store, ask, &parts);
        reply.with("sforce-limit-info", format!("api-usage={used}/{DAY_MAX}"))
    }

    fn wrong(&self, wrong: Wrong) -> Reply {
        match wrong {
            Wrong::Unauthorized => error(401, "INVALID_SESSION_ID", "Session expired or invalid"),
            Wrong::Throttled { .. } | Wrong::TooManyJobs | Wrong::DailyQuota => {
                error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
            }
            Wrong::Server => error(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred."),
            Wrong::NotFound => not_found(),
        }
    }

    fn sides(&self) -> Option<&Sides> {
        Some(&self.sides)
    }

    fn blank(&self, kind: &str) -> Value {
        Kind::named(kind).map_or(Value::Null, empty)
    }

    fn person(&self, body: &Value, stamps: &Stamps) -> Person {
        let text = |name: &str| {
            let found = body.get(name).and_then(Value::as_str);
            found.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Person {
            id: stamps.id.to_string(),
            email: text("Email"),
            emails: emails(body),
            given: text("FirstName"),
            family: text("LastName"),
            full_name: text("Name"),
            phone: text("Phone"),
            company: None,
            external_id: None,
            updated_ms: stamps.updated_ms,
            deleted: stamps.deleted_ms.is_some(),
            raw: body.clone(),
        }
    }

    fn compose(&self, typed: &Value) -> Value {
        let fresh = KINDS.first().map_or(Value::Null, empty);
        self.amend(&fresh, typed)
    }

    fn amend(&self, body: &Value, patch: &Value) -> Value {
        patch
            .as_object()
            .map_or_else(|| body.clone(), |patch| laid(body, patch))
    }

    fn took_in(&self, _body: &Value, _gone: u64) -> Option<Value> {
        None
    }

    fn twist(&self, row: &mut Value) {
        if let Some(email) = row.get_mut("Email") {
            *email = json!({"address": email.take()});
        }
    }
}

/// An object before anything is typed in.
fn empty(kind: &Kind) -> Value {
    let is_flag = |name: &str| matches!(name, "HasOptedOutOfEmail" | "DoNotCall" | "IsConverted");
    let fields = KEPT.iter().chain(kind.writable);
    let mut map: Map<String, Value> = fields
        .map(|name| {
            (
                (*name).to_owned(),
                if is_flag(name) { json!(false) } else { Value::Null },
            )
        })
        .collect();
    map.insert("OwnerId".to_owned(), json!(ids::id_of("005", 1)));
    Value::Object(map)
}

/// A patch over a body; null and the empty text clear, texts are trimmed (B1.5, B1.12).
fn laid(body: &Value, patch: &Map<String, Value>) -> Value {
    let mut body = body.clone();
    let Some(map) = body.as_object_mut() else { return body };
    for (name, value) in patch {
        let value = match value.as_str().map(str::trim) {
            Some("") => Value::Null,
            Some(text) => json!(text),
            None => value.clone(),
        };
        map.insert(name.clone(), value);
    }
    body
}

fn stamp_contact(body: &mut Value, stamps: &Stamps) {
    stamp("003", body, stamps);
}

fn stamp_lead(body: &mut Value, stamps: &Stamps) {
    stamp("00Q", body, stamps);
}

fn stamp_account(body: &mut Value, stamps: &Stamps) {
    stamp("001", body, stamps);
}

fn stamp(prefix: &str, body: &mut Value, stamps: &Stamps) {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let name = format!("{} {}", text("FirstName"), text("LastName"));
    let Some(map) = body.as_object_mut() else { return };
    if prefix != "001" {
        map.insert("Name".to_owned(), json!(name.trim()));
    }
    map.insert("Id".to_owned(), json!(ids::id_of(prefix, stamps.id)));
    map.insert("IsDeleted".to_owned(), json!(stamps.deleted_ms.is_some()));
    map.insert("CreatedDate".to_owned(), json!(time(stamps.created_ms)));
    for field in ["SystemModstamp", "LastModifiedDate"] {
        map.insert(field.to_owned(), json!(time(stamps.updated_ms)));
    }
}

/// `2026-01-31T12:34:56.000+0000`: no colon in the offset (B1.11).
fn time(ms: i64) -> String {
    super::clock::rfc3339_ms(ms).replace('Z', "+0000")
}

fn emails(body: &Value) -> Vec<String> {
    let email = body
        .get("Email")
        .and_then(Value::as_str)
        .map(|email| email.trim().to_lowercase());
    email.filter(|email| !email.is_empty()).into_iter().collect()
}
