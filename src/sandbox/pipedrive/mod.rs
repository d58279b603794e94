//! The shape of Pipedrive's persons, v2 (VENDORS.md B2 and `specs/pipedrive`).
//!
//! E-mails are not unique and there is no upsert: that is the trap. Where the sheet is silent: deleted persons are left
//! out of lists (an option shows them) but can still be read by id, and body members that the spec does not list are ignored.

mod body;
mod hooks;
mod reads;

use serde_json::{Value, json};

use super::clock::rfc3339_s;
use super::sides::Sides;
use super::store::{Act, Shape, Stamps, Store};
use super::tool::{Person, Vendor, Wrong};
use super::wire::{Ask, Reply};
use super::{By, Options, ToolName};
use body::{emails, laid, main, written};

pub(super) struct Pipedrive {
    token: String,
    list_deleted: bool,
    sides: Sides,
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
            sides: Sides::new(1_000, &[("deal", stamp), ("activity", stamp), ("note", stamp)]),
        }
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

    /// `POST` and `GET /v1/notes`: a text on a person.
    fn notes(&self, people: &Store, ask: &Ask) -> Reply {
        let work = |notes: &mut Store| match ask.method.as_str() {
            "GET" => {
                let of = ask.get("person_id").and_then(|id| id.parse::<u64>().ok());
                let is_of = |body: &Value| of.is_none() || body.get("person_id").and_then(Value::as_u64) == of;
                let live = notes
                    .objects
                    .values()
                    .filter(|note| note.is_live() && is_of(&note.body));
                let rows: Vec<Value> = live.map(|note| Value::clone(&note.body)).collect();
                Reply::json(200, json!({"success": true, "data": rows}))
            }
            "POST" => {
                let body = ask.json().unwrap_or_default();
                let is_person = body
                    .get("person_id")
                    .and_then(Value::as_u64)
                    .is_some_and(|id| people.live(id).is_some());
                if !is_person || body.get("content").and_then(Value::as_str).is_none_or(str::is_empty) {
                    return invalid("content and the person_id of a person are required");
                }
                let act = Act {
                    by: By::Api,
                    now_ms: ask.now_ms,
                };
                let id = notes.insert(act, body, ask.now_ms, ask.now_ms);
                let made = notes.objects.get(&id).map(|note| Value::clone(&note.body));
                Reply::json(201, json!({"success": true, "data": made}))
            }
            _ => not_found(),
        };
        self.sides.with("note", work).unwrap_or_else(not_found)
    }

    /// `POST /v2/deals`: one that is open, for a person.
    fn open_deal(&self, people: &Store, ask: &Ask) -> Option<Reply> {
        let asked = ask.json().unwrap_or_default();
        let person = asked.get("person_id").and_then(Value::as_u64);
        let has_title = asked
            .get("title")
            .and_then(Value::as_str)
            .is_some_and(|title| !title.is_empty());
        if !has_title || person.is_none_or(|id| people.live(id).is_none()) {
            return Some(invalid("title and the person_id of a person are required"));
        }
        let act = Act {
            by: By::Api,
            now_ms: ask.now_ms,
        };
        let body = asked.as_object().map(|asked| laid(&self.blank("deal"), asked))?;
        self.sides.with("deal", |deals| {
            let id = deals.insert(act, body, ask.now_ms, ask.now_ms);
            answer(deals, id, 201)
        })
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
        if ask.method == "GET" && path == "/v2/personFields" {
            return fields();
        }
        if let Some("" | "/") = path.strip_prefix("/v2/deals") {
            return match ask.method.as_str() {
                "GET" => self.sides.with("deal", |deals| self.list(deals, ask)),
                "POST" => self.open_deal(store, ask),
                _ => None,
            }
            .unwrap_or_else(not_found);
        }
        if let ("GET", "/v2/activities") = (ask.method.as_str(), path.trim_end_matches('/')) {
            let list = |activities: &mut Store| self.list(activities, ask);
            return self.sides.with("activity", list).unwrap_or_else(not_found);
        }
        if path == "/v1/notes" {
            return self.notes(store, ask);
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

    fn sides(&self) -> Option<&Sides> {
        Some(&self.sides)
    }

    fn blank(&self, kind: &str) -> Value {
        if kind == "activity" {
            return json!({"subject": "", "type": "call", "owner_id": 1, "creator_user_id": 1, "deal_id": null, "lead_id": null,
                "person_id": null, "org_id": null, "due_date": null, "due_time": null, "duration": null, "busy": false,
                "done": false, "marked_as_done_time": null, "participants": [], "note": null});
        }
        json!({"title": "", "value": 0, "currency": "EUR", "status": "open", "stage_id": 1, "pipeline_id": 1, "person_id": null,
            "org_id": null, "owner_id": 1, "expected_close_date": null, "won_time": null, "lost_time": null, "close_time": null,
            "is_archived": false})
    }

    fn wrong(&self, wrong: Wrong) -> Reply {
        match wrong {
            Wrong::Unauthorized => Reply::json(
                401,
                json!({"success": false, "error": "unauthorized access", "errorCode": 401}),
            ),
            Wrong::Throttled { .. } | Wrong::TooManyJobs => Reply::json(
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

fn answer(store: &Store, id: u64, status: u16) -> Reply {
    store.objects.get(&id).map_or_else(not_found, |object| {
        Reply::json(status, json!({"success": true, "data": *object.body}))
    })
}

/// `GET /v2/personFields` (spec of version 2): the account has two fields of its own.
fn fields() -> Reply {
    let field = |name: &str, code: &str, kind: &str, is_custom: bool| json!({"field_name": name, "field_code": code, "field_type": kind, "options": null, "is_custom_field": is_custom});
    let data = [
        field("Name", "name", "varchar", false),
        field("Tier", "dcf558aac1ae4e8c4f849ba5e668430d8df9be12", "varchar", true),
        json!({"field_name": "Interests", "field_code": "0123456789abcdef0123456789abcdef01234567", "field_type": "set", "is_custom_field": true,
            "options": [{"id": 12, "label": "Sauna"}, {"id": 13, "label": "Skiing"}, {"id": 14, "label": "Silence"}]}),
    ];
    Reply::json(
        200,
        json!({"success": true, "data": data, "additional_data": {"next_cursor": null}}),
    )
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
