//! The shape of Pipedrive's persons, v2 (VENDORS.md B2 and `specs/pipedrive`).
//!
//! E-mails are not unique and there is no upsert: that is the trap. Where the sheet is silent: deleted persons are left
//! out of lists (an option shows them) but can still be read by id, and body members that the spec does not list are ignored.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::clock::{parse_ms, rfc3339_s};
use super::store::{Act, Object, Shape, Stamps, Store};
use super::tool::{Person, Vendor, Wrong};
use super::wire::{Ask, Page, Reply, seal, unseal};
use super::{By, Options, ToolName};

const LIMIT_MAX: usize = 500;
/// What `POST` and `PATCH` take (spec `addPerson`); `add_time` and `update_time` are taken by the vendor but not by us.
const WRITABLE: &[&str] = &[
    "name",
    "owner_id",
    "org_id",
    "emails",
    "phones",
    "visible_to",
    "label_ids",
    "marketing_status",
    "custom_fields",
];

pub(super) struct Pipedrive {
    token: String,
    list_deleted: bool,
}

/// A place in a sorted list: the row that opens the page. The members are those of the spec's example cursor.
struct Place {
    field: String,
    down: bool,
    value: i64,
    id: u64,
}

impl Place {
    fn seal(&self) -> String {
        let direction = if self.down { "desc" } else { "asc" };
        seal(
            &json!({"field": self.field, "fieldValue": self.value, "sortDirection": direction, "id": self.id})
                .to_string(),
        )
    }

    fn open(token: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(&unseal(token)?).ok()?;
        Some(Self {
            field: value.get("field")?.as_str()?.to_owned(),
            down: value.get("sortDirection")?.as_str()? == "desc",
            value: value.get("fieldValue")?.as_i64()?,
            id: value.get("id")?.as_u64()?,
        })
    }
}

fn invalid(message: &str) -> Reply {
    Reply::json(
        400,
        json!({"success": false, "error": message, "code": "ERR_SCHEMA_VALIDATION_FAILED"}),
    )
}

fn not_found() -> Reply {
    Reply::json(
        404,
        json!({"success": false, "error": "Entity was not found", "code": "ERR_NOT_FOUND"}),
    )
}

impl Pipedrive {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            token: options.pipedrive_token.clone(),
            list_deleted: options.pipedrive_list_deleted,
        }
    }

    fn shows(&self, object: &Object) -> bool {
        object.is_live() || self.list_deleted
    }

    /// `GET /api/v2/persons`: inclusive `updated_since`, whole seconds only, opaque cursor (B2.3, B2.4).
    fn list(&self, store: &Store, ask: &Ask) -> Reply {
        let Some(limit) = limit(ask) else {
            return invalid("limit must be between 1 and 500");
        };
        let (Ok(since), Ok(until)) = (second(ask.get("updated_since")), second(ask.get("updated_until"))) else {
            return invalid("updated_since and updated_until must be RFC 3339 times without fractions of a second");
        };
        let field = ask.get("sort_by").unwrap_or("id").to_owned();
        let down = ask.get("sort_direction") == Some("desc");
        if !["id", "update_time", "add_time"].contains(&field.as_str()) {
            return invalid("sort_by must be one of id, update_time, add_time");
        }
        let place = match ask.get("cursor").map(Place::open) {
            None => None,
            Some(Some(place)) if place.field == field && place.down == down => Some(place),
            Some(_) => return invalid("cursor is not valid for this request"),
        };
        let ids: Option<Vec<u64>> = ask
            .list("ids")
            .map(|ids| ids.iter().filter_map(|id| id.parse().ok()).collect());
        if ids.as_ref().is_some_and(|ids| ids.len() > 100) {
            return invalid("at most 100 ids");
        }
        let fits = |object: &Object| {
            self.shows(object)
                && match &ids {
                    // `ids` sets the other filters aside (B2.4).
                    Some(ids) => ids.contains(&object.id),
                    None => {
                        since.is_none_or(|at| object.updated_ms >= at) && until.is_none_or(|at| object.updated_ms < at)
                    }
                }
        };
        let found = self.in_order(store, &field, down, place.as_ref(), &fits, limit + 1);
        let (rows, rest) = found.split_at(limit.min(found.len()));
        let start = Place {
            value: if down { i64::MAX } else { 0 },
            id: if down { u64::MAX } else { 0 },
            field: field.clone(),
            down,
        };
        let here = ask.get("cursor").map_or_else(|| start.seal(), str::to_owned);
        let next = rest.first().map(|object| Place {
            value: key(object, &field),
            id: object.id,
            field: field.clone(),
            down,
        });
        Reply::page(Page {
            key: "data",
            edge: rows
                .last()
                .map(|object| object.id)
                .zip(rest.first().map(|object| object.id)),
            rows: rows.iter().map(|object| Arc::clone(&object.body)).collect(),
            next: next.map(|place| place.seal()),
            again: format!("{here}~"),
            here,
            extra: Map::new(),
            envelope,
        })
    }

    /// The first `count` fitting objects from a place on. By id and (live ones) by update time an index gives the order.
    fn in_order<'a>(
        &self,
        store: &'a Store,
        field: &str,
        down: bool,
        place: Option<&Place>,
        fits: &dyn Fn(&Object) -> bool,
        count: usize,
    ) -> Vec<&'a Object> {
        let from = place.map(|place| (place.value, place.id));
        let object = |id: &u64| store.objects.get(id);
        if field == "id" && !down {
            let first = place.map_or(0, |place| place.id);
            return store
                .objects
                .range(first..)
                .map(|(_, object)| object)
                .filter(|object| fits(object))
                .take(count)
                .collect();
        }
        if field == "update_time" && !down && !self.list_deleted {
            let rows = store.updates.range(from.unwrap_or((i64::MIN, 0))..);
            return rows
                .filter_map(|(_, id)| object(id))
                .filter(|object| fits(object))
                .take(count)
                .collect();
        }
        let behind = |object: &Object| match from {
            None => true,
            Some(from) if down => (key(object, field), object.id) <= from,
            Some(from) => (key(object, field), object.id) >= from,
        };
        let mut rows: Vec<&Object> = store
            .objects
            .values()
            .filter(|object| fits(object) && behind(object))
            .collect();
        rows.sort_by_key(|object| (key(object, field), object.id));
        if down {
            rows.reverse();
        }
        rows.truncate(count);
        rows
    }

    /// `GET /api/v2/persons/search`: items with a score; 2 characters at least, 1 with `exact_match` (spec).
    fn search(store: &Store, ask: &Ask) -> Reply {
        let exact = matches!(ask.get("exact_match"), Some("true" | "1"));
        let term = ask.get("term").unwrap_or_default().trim().to_lowercase();
        if term.chars().count() < if exact { 1 } else { 2 } {
            return invalid("term is too short");
        }
        let Some(limit) = limit(ask) else {
            return invalid("limit must be between 1 and 500");
        };
        let fields = ask.list("fields");
        let looks_in = |name: &str| {
            fields
                .as_ref()
                .is_none_or(|fields| fields.iter().any(|field| field == name))
        };
        let from = match ask.get("cursor").map(Place::open) {
            None => 0,
            Some(Some(place)) => place.id,
            Some(None) => return invalid("cursor is not valid for this request"),
        };
        let hit = |text: &str| {
            if exact {
                text.to_lowercase() == term
            } else {
                text.to_lowercase().contains(&term)
            }
        };
        let found: Vec<&Object> = store
            .objects
            .range(from..)
            .map(|(_, object)| object)
            .filter(|object| {
                object.is_live()
                    && ((looks_in("email") && values(&object.body, "emails").any(hit))
                        || (looks_in("phone") && values(&object.body, "phones").any(hit))
                        || (looks_in("name") && object.body.get("name").and_then(Value::as_str).is_some_and(hit))
                        || (looks_in("custom_fields") && custom(&object.body).any(hit)))
            })
            .take(limit + 1)
            .collect();
        let next = found.get(limit).map(|object| {
            Place {
                field: "id".to_owned(),
                down: false,
                value: 0,
                id: object.id,
            }
            .seal()
        });
        let items: Vec<Value> = found.iter().take(limit).map(|object| item(object)).collect();
        Reply::json(
            200,
            json!({"success": true, "data": {"items": items}, "additional_data": {"next_cursor": next}}),
        )
    }

    fn single(store: &mut Store, ask: &Ask, key: &str) -> Reply {
        let act = Act {
            by: By::Api,
            now_ms: ask.now_ms,
        };
        let Some(object) = key.parse::<u64>().ok().and_then(|id| store.objects.get(&id)) else {
            return not_found();
        };
        let (id, is_live) = (object.id, object.is_live());
        match ask.method.as_str() {
            "GET" => Reply::json(200, json!({"success": true, "data": *object.body})),
            _ if !is_live => not_found(),
            "DELETE" => {
                store.delete(act, id);
                Reply::json(200, json!({"success": true, "data": {"id": id}}))
            }
            "PATCH" => match written(ask) {
                Err(reply) => reply,
                Ok(patch) => {
                    let body = laid(&object.body, &patch);
                    store.revise(act, id, body, false);
                    answer(store, id, 200)
                }
            },
            _ => not_found(),
        }
    }

    fn create(&self, store: &mut Store, ask: &Ask) -> Reply {
        let patch = match written(ask) {
            Err(reply) => return reply,
            Ok(patch) => patch,
        };
        if patch
            .get("name")
            .and_then(Value::as_str)
            .is_none_or(|name| name.trim().is_empty())
        {
            return invalid("name is required");
        }
        let body = self.compose(&Value::Object(patch));
        let id = store.insert(
            Act {
                by: By::Api,
                now_ms: ask.now_ms,
            },
            body,
            ask.now_ms,
            ask.now_ms,
        );
        answer(store, id, 200)
    }
}

impl Vendor for Pipedrive {
    fn name(&self) -> ToolName {
        ToolName::Pipedrive
    }

    fn shape(&self) -> Shape {
        Shape {
            stamp,
            keys: emails,
            step_ms: 1_000,
            moving: &["id", "add_time", "update_time", "is_deleted"],
        }
    }

    fn first_id(&self) -> u64 {
        1
    }

    /// Header `x-api-token`; `?api_token=` on v1 only; an OAuth token as Bearer (B2.2).
    fn authorized(&self, ask: &Ask) -> bool {
        let bearer = ask
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "));
        let in_query = ask.get("api_token").filter(|_| ask.path.contains("/v1/"));
        [ask.header("x-api-token"), bearer, in_query]
            .into_iter()
            .flatten()
            .any(|token| token == self.token)
    }

    fn answer(&self, store: &mut Store, ask: &Ask) -> Reply {
        let path = ask.path.strip_prefix("/api").unwrap_or(&ask.path);
        if ask.method == "GET" && path == "/v1/users/me" {
            return me();
        }
        let Some(rest) = path.strip_prefix("/v2/persons") else {
            return not_found();
        };
        match (ask.method.as_str(), rest.trim_matches('/')) {
            ("GET", "") => self.list(store, ask),
            ("POST", "") => self.create(store, ask),
            ("GET", "search") => Self::search(store, ask),
            (_, key) if !key.is_empty() && !key.contains('/') => Self::single(store, ask, key),
            _ => not_found(),
        }
    }

    fn wrong(&self, wrong: Wrong) -> Reply {
        match wrong {
            Wrong::Unauthorized => Reply::json(
                401,
                json!({"success": false, "error": "unauthorized access", "errorCode": 401}),
            ),
            Wrong::Throttled => Reply::json(
                429,
                json!({"success": false, "error": "request over limit", "errorCode": 429}),
            ),
            Wrong::DailyQuota => Reply::json(
                429,
                json!({"success": false, "error": "daily request limit reached", "errorCode": 429}),
            )
            .with("x-daily-ratelimit-token-remaining", "0".to_owned()),
            Wrong::Server => Reply::json(
                500,
                json!({"success": false, "error": "internal server error", "errorCode": 500}),
            ),
            Wrong::NotFound => not_found(),
        }
    }

    fn person(&self, body: &Value, stamps: &Stamps) -> Person {
        let text = |name: &str| {
            body.get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        Person {
            id: stamps.id.to_string(),
            email: main(body, "emails"),
            emails: emails(body),
            given: text("first_name"),
            family: text("last_name"),
            full_name: text("name"),
            phone: main(body, "phones"),
            company: None,
            external_id: None,
            updated_ms: stamps.updated_ms,
            deleted: stamps.deleted_ms.is_some(),
            raw: body.clone(),
        }
    }

    fn compose(&self, typed: &Value) -> Value {
        let empty = json!({
            "id": null, "name": "", "first_name": null, "last_name": null, "owner_id": 1, "org_id": null,
            "add_time": null, "update_time": null, "emails": [], "phones": [], "is_deleted": false, "visible_to": 3,
            "label_ids": [], "picture_id": null, "custom_fields": {},
        });
        self.amend(&empty, typed)
    }

    fn amend(&self, body: &Value, patch: &Value) -> Value {
        patch
            .as_object()
            .map_or_else(|| body.clone(), |patch| laid(body, patch))
    }

    fn twist(&self, row: &mut Value) {
        if let Some(emails) = row.get_mut("emails") {
            *emails = json!({"work": emails.take()});
        }
    }
}

fn limit(ask: &Ask) -> Option<usize> {
    ask.get("limit")
        .map_or(Some(100), |text| text.parse().ok())
        .filter(|limit| (1..=LIMIT_MAX).contains(limit))
}

/// A time in whole seconds; the vendor refuses fractions.
fn second(text: Option<&str>) -> Result<Option<i64>, ()> {
    match text {
        None => Ok(None),
        Some(text) if text.contains('.') || !text.contains('T') => Err(()),
        Some(text) => parse_ms(text).map(Some).ok_or(()),
    }
}

fn key(object: &Object, field: &str) -> i64 {
    match field {
        "update_time" => object.updated_ms,
        "add_time" => object.created_ms,
        _ => i64::try_from(object.id).unwrap_or(i64::MAX),
    }
}

/// The writable members of a body, checked: lists of `{value}`, 40-hex custom keys, and no `[]` there (B2.5).
fn written(ask: &Ask) -> Result<Map<String, Value>, Reply> {
    let Some(Value::Object(mut body)) = ask.json() else {
        return Err(invalid("body must be a JSON object"));
    };
    body.retain(|name, _| WRITABLE.contains(&name.as_str()));
    if body
        .get("name")
        .is_some_and(|name| name.as_str().is_none_or(|name| name.trim().is_empty()))
    {
        return Err(invalid("name must be a text"));
    }
    for name in ["emails", "phones"] {
        let is_list = |value: &Value| {
            value
                .as_array()
                .is_some_and(|rows| rows.iter().all(|row| row.get("value").is_some_and(Value::is_string)))
        };
        if body.get(name).is_some_and(|value| !is_list(value)) {
            return Err(invalid(&format!("{name} must be a list of objects with a value")));
        }
    }
    let custom = body
        .get("custom_fields")
        .map_or(Some(Map::new()), |custom| custom.as_object().cloned());
    let Some(custom) = custom else {
        return Err(invalid("custom_fields must be an object"));
    };
    for (name, value) in &custom {
        if name.len() != 40 || !name.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(invalid(&format!("custom field {name} does not exist")));
        }
        if value.as_array().is_some_and(Vec::is_empty) {
            return Err(invalid(&format!(
                "custom field {name} must not be an empty list; send null"
            )));
        }
    }
    Ok(body)
}

/// A patch over a body: lists are replaced whole, custom fields one by one, null clears (B2.5, B2.12).
fn laid(body: &Value, patch: &Map<String, Value>) -> Value {
    let mut body = body.clone();
    let Some(map) = body.as_object_mut() else { return body };
    for (name, value) in patch {
        match (name.as_str(), value) {
            ("custom_fields", Value::Object(new)) => {
                let mut custom = map
                    .get("custom_fields")
                    .and_then(Value::as_object)
                    .cloned()
                    .unwrap_or_default();
                for (key, value) in new {
                    custom.insert(key.clone(), value.clone());
                }
                custom.retain(|_, value| !value.is_null());
                map.insert(name.clone(), Value::Object(custom));
            }
            ("emails" | "phones", value) => {
                map.insert(name.clone(), listed(value));
            }
            ("name", Value::String(full)) => {
                let (first, last) = split(full);
                map.insert("name".to_owned(), Value::String(full.clone()));
                map.insert("first_name".to_owned(), Value::String(first));
                map.insert(
                    "last_name".to_owned(),
                    if last.is_empty() {
                        Value::Null
                    } else {
                        Value::String(last)
                    },
                );
            }
            _ => {
                map.insert(name.clone(), value.clone());
            }
        }
    }
    body
}

/// The vendor cuts a name after its first word (spec: `name` is written, `first_name` and `last_name` are read).
fn split(full: &str) -> (String, String) {
    let full = full.trim();
    let (first, last) = full.split_once(char::is_whitespace).unwrap_or((full, ""));
    (first.to_owned(), last.trim().to_owned())
}

/// Completes `{value}` rows with `primary` and `label`; one row is primary.
fn listed(value: &Value) -> Value {
    let rows: Vec<&Value> = value.as_array().into_iter().flatten().collect();
    let has_primary = rows
        .iter()
        .any(|row| row.get("primary").and_then(Value::as_bool) == Some(true));
    let full = |(index, row): (usize, &&Value)| {
        let primary = if has_primary {
            row.get("primary").and_then(Value::as_bool).unwrap_or(false)
        } else {
            index == 0
        };
        let label = row.get("label").and_then(Value::as_str).unwrap_or("work");
        json!({"value": row.get("value"), "primary": primary, "label": label})
    };
    Value::Array(rows.iter().enumerate().map(full).collect())
}

fn values<'a>(body: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    body.get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|row| row.get("value").and_then(Value::as_str))
}

fn custom(body: &Value) -> impl Iterator<Item = &str> {
    body.get("custom_fields")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::values)
        .filter_map(Value::as_str)
}

fn main(body: &Value, name: &str) -> Option<String> {
    let rows = body.get(name).and_then(Value::as_array)?;
    let row = rows
        .iter()
        .find(|row| row.get("primary").and_then(Value::as_bool) == Some(true))
        .or_else(|| rows.first())?;
    row.get("value")
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn emails(body: &Value) -> Vec<String> {
    values(body, "emails")
        .map(|email| email.trim().to_lowercase())
        .filter(|email| !email.is_empty())
        .collect()
}

fn item(object: &Object) -> Value {
    let item = json!({
        "id": object.id, "type": "person", "name": object.body.get("name"),
        "phones": values(&object.body, "phones").collect::<Vec<_>>(), "emails": values(&object.body, "emails").collect::<Vec<_>>(),
        "visible_to": object.body.get("visible_to"), "owner": {"id": object.body.get("owner_id")},
        "organization": null, "custom_fields": custom(&object.body).collect::<Vec<_>>(), "notes": [],
    });
    json!({"result_score": 0.5, "item": item})
}

fn answer(store: &Store, id: u64, status: u16) -> Reply {
    store.objects.get(&id).map_or_else(not_found, |object| {
        Reply::json(status, json!({"success": true, "data": *object.body}))
    })
}

fn envelope(page: &Page) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("success".to_owned(), Value::Bool(true));
    map.insert("additional_data".to_owned(), json!({"next_cursor": page.next}));
    map
}

fn me() -> Reply {
    let data = json!({
        "id": 1, "name": "Sandbox", "default_currency": "EUR", "email": "owner@example.com", "activated": true,
        "active_flag": true, "timezone_name": "Europe/Helsinki", "is_you": true, "is_deleted": false, "company_id": 1,
        "company_name": "Sandbox", "company_domain": "sandbox",
    });
    Reply::json(200, json!({"success": true, "data": data}))
}

fn stamp(body: &mut Value, stamps: &Stamps) {
    let Some(map) = body.as_object_mut() else { return };
    map.insert("id".to_owned(), Value::from(stamps.id));
    map.insert("add_time".to_owned(), Value::String(rfc3339_s(stamps.created_ms)));
    map.insert("update_time".to_owned(), Value::String(rfc3339_s(stamps.updated_ms)));
    map.insert("is_deleted".to_owned(), Value::Bool(stamps.deleted_ms.is_some()));
}
