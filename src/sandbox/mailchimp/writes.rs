//! Mailchimp's writing side: one member, the batch, archiving and erasing (VENDORS.md A2.5 to A2.7).

use std::sync::PoisonError;

use serde_json::{Map, Value, json};

use super::super::By;
use super::super::store::{Act, Store};
use super::super::tool::Vendor as _;
use super::super::wire::{Ask, Reply};
use super::{Mailchimp, STATUSES, laid, named, not_found, problem};

/// What a write may carry (spec `addPostListMembers`, `patchListsIdMembersId`); the rest is ignored.
const WRITABLE: &[&str] = &[
    "email_address",
    "email_type",
    "status",
    "merge_fields",
    "language",
    "vip",
    "tags",
];
/// Members of one batch (A2.6).
const BATCH_MAX: usize = 500;

/// Why a write is refused: the title of the problem, what it says, and the batch's word for it.
pub(super) struct Reject {
    title: &'static str,
    detail: String,
    code: &'static str,
}

impl Reject {
    fn new(title: &'static str, detail: String) -> Self {
        Self {
            title,
            detail,
            code: "ERROR_GENERIC",
        }
    }

    fn reply(&self) -> Reply {
        problem(400, self.title, &self.detail)
    }
}

fn act(ask: &Ask) -> Act {
    Act {
        by: By::Api,
        now_ms: ask.now_ms,
    }
}

fn shown(store: &Store, id: u64) -> Reply {
    store
        .objects
        .get(&id)
        .map_or_else(not_found, |object| Reply::json(200, Value::clone(&object.body)))
}

fn text<'a>(typed: &'a Map<String, Value>, name: &str) -> &'a str {
    typed.get(name).and_then(Value::as_str).unwrap_or_default().trim()
}

impl Mailchimp {
    fn checked(
        &self,
        store: &Store,
        typed: &Map<String, Value>,
        own: Option<u64>,
    ) -> Result<Map<String, Value>, Reject> {
        let email = text(typed, "email_address");
        if typed.contains_key("email_address") || own.is_none() {
            let domain = email.split_once('@').map(|(_, domain)| domain);
            if domain.is_none_or(|domain| !domain.contains('.')) {
                return Err(Reject::new(
                    "Invalid Resource",
                    format!("{email} looks fake or invalid, please enter a real email address."),
                ));
            }
            let forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
            if forgotten.contains(&email.to_lowercase()) {
                return Err(Reject::new(
                    "Forgotten Email Not Subscribed",
                    format!(
                        "{email} was permanently deleted and cannot be re-imported. The contact must re-subscribe to get back on the list."
                    ),
                ));
            }
            if store.with_key(email).is_some_and(|id| Some(id) != own) {
                return Err(Reject {
                    code: "ERROR_CONTACT_EXISTS",
                    ..Reject::new(
                        "Member Exists",
                        format!("{email} is already a list member. Use PUT to insert or update list members."),
                    )
                });
            }
        }
        let status = text(typed, "status");
        if typed.contains_key("status") && !STATUSES.contains(&status) {
            return Err(Reject::new(
                "Invalid Resource",
                "The resource submitted could not be validated.".to_owned(),
            ));
        }
        let known = own
            .and_then(|id| store.live(id))
            .and_then(|object| object.body.get("status")?.as_str());
        if status == "subscribed" && matches!(known, Some("unsubscribed" | "cleaned")) {
            return Err(Reject::new(
                "Member In Compliance State",
                format!(
                    "{email} is already a list member in compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed."
                ),
            ));
        }
        let writable = typed.iter().filter(|(name, _)| WRITABLE.contains(&name.as_str()));
        Ok(writable.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn insert(&self, store: &mut Store, ask: &Ask, typed: &Map<String, Value>) -> Result<u64, Reject> {
        let patch = self.checked(store, typed, None)?;
        if !patch.contains_key("status") {
            return Err(Reject::new(
                "Invalid Resource",
                "status: This value should not be blank.".to_owned(),
            ));
        }
        let email = text(typed, "email_address").to_owned();
        if let Some(id) = named(store, &email) {
            let body = store
                .objects
                .get(&id)
                .map(|object| laid(&object.body, &patch))
                .unwrap_or_default();
            store.restore(act(ask), id, body);
            return Ok(id);
        }
        let body = self.compose(&Value::Object(patch));
        Ok(store.insert(act(ask), body, ask.now_ms, ask.now_ms))
    }

    fn update(&self, store: &mut Store, ask: &Ask, id: u64, typed: &Map<String, Value>) -> Result<(), Reject> {
        let patch = self.checked(store, typed, Some(id))?;
        if let Some(body) = store.live(id).map(|object| laid(&object.body, &patch)) {
            store.revise(act(ask), id, body, false);
        }
        Ok(())
    }

    /// `POST /lists/{id}/members`
    pub(super) fn add(&self, store: &mut Store, ask: &Ask) -> Reply {
        let Some(Value::Object(typed)) = ask.json() else {
            return problem(
                400,
                "JSON Parse Error",
                "We encountered an unspecified JSON parsing error.",
            );
        };
        match self.insert(store, ask, &typed) {
            Ok(id) => shown(store, id),
            Err(reject) => reject.reply(),
        }
    }

    /// `GET`, `PUT`, `PATCH` and `DELETE /lists/{id}/members/{hash}`
    pub(super) fn single(&self, store: &mut Store, ask: &Ask, name: &str) -> Reply {
        let id = named(store, name);
        let live = id.filter(|id| store.live(*id).is_some());
        let typed = match ask.json() {
            Some(Value::Object(typed)) => typed,
            _ => Map::new(),
        };
        let done = match (ask.method.as_str(), id, live) {
            ("GET", Some(id), _) => {
                let body = store.objects.get(&id).map(|object| Value::clone(&object.body));
                return Reply::json(200, super::reads::shown(ask, body.unwrap_or_default()));
            }
            ("PATCH", _, Some(id)) => self.update(store, ask, id, &typed).map(|()| id),
            ("PUT", _, Some(id)) => self.update(store, ask, id, &typed).map(|()| id),
            ("PUT", _, None) => {
                let mut typed = typed;
                let first = typed.get("status").or_else(|| typed.get("status_if_new")).cloned();
                typed.extend(first.map(|status| ("status".to_owned(), status)));
                self.insert(store, ask, &typed)
            }
            ("DELETE", _, Some(id)) => {
                store.delete(act(ask), id);
                return Reply::empty(204);
            }
            _ => return not_found(),
        };
        done.map_or_else(|reject| reject.reply(), |id| shown(store, id))
    }

    /// `POST …/actions/delete-permanent`: nothing is left but that it must not come back.
    pub(super) fn erase(&self, store: &mut Store, name: &str) -> Reply {
        let Some(id) = named(store, name) else {
            return not_found();
        };
        let email = store
            .objects
            .get(&id)
            .and_then(|object| object.body.get("email_address")?.as_str().map(str::to_lowercase));
        let mut forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        forgotten.extend(email);
        store.purge(id);
        Reply::empty(204)
    }

    /// `POST /lists/{id}`: up to 500 members, each by itself; the rest of the answer counts them.
    pub(super) fn batch(&self, store: &mut Store, ask: &Ask) -> Reply {
        let body = ask.json().unwrap_or_default();
        let members = body
            .get("members")
            .and_then(Value::as_array)
            .filter(|members| members.len() <= BATCH_MAX);
        let Some(members) = members else {
            return problem(400, "Invalid Resource", "members must be a list of at most 500");
        };
        let updates = body.get("update_existing") == Some(&Value::Bool(true));
        let (mut new, mut updated, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for typed in members.iter().filter_map(Value::as_object) {
            let email = text(typed, "email_address");
            let known = store.with_key(email).filter(|_| updates);
            let done = match known {
                Some(id) => self.update(store, ask, id, typed).map(|()| updated.push(id)),
                None => self.insert(store, ask, typed).map(|id| new.push(id)),
            };
            if let Err(reject) = done {
                errors.push(json!({"email_address": email, "error": reject.detail, "error_code": reject.code, "field": "", "field_message": ""}));
            }
        }
        let rows = |ids: &[u64]| -> Vec<Value> {
            let found = ids.iter().filter_map(|id| store.objects.get(id));
            found.map(|object| row_of_batch(&object.body)).collect()
        };
        let body = json!({
            "new_members": rows(&new), "updated_members": rows(&updated), "errors": errors, "total_created": new.len(),
            "total_updated": updated.len(), "error_count": errors.len(), "_links": [],
        });
        Reply::json(200, body)
    }
}

/// What a batch says of a member is less than what the member says, and its `contact_id` is not among it (spec
/// `postListsId`).
fn row_of_batch(body: &Value) -> Value {
    let left_out = [
        "contact_id",
        "consents_to_one_to_one_messaging",
        "full_name",
        "source",
        "web_id",
    ];
    let mut row = body.clone();
    if let Some(map) = row.as_object_mut() {
        map.retain(|name, _| !left_out.contains(&name.as_str()));
    }
    row
}

/// `GET` and `POST …/tags`: `active` sets a tag, `inactive` takes it away (A2.6).
pub(super) fn tags(store: &mut Store, ask: &Ask, name: &str) -> Reply {
    let Some(object) = named(store, name).and_then(|id| store.live(id)) else {
        return not_found();
    };
    let mut tags = object
        .body
        .get("tags")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if ask.method == "GET" {
        return Reply::json(200, json!({"total_items": tags.len(), "tags": tags, "_links": []}));
    }
    let body = ask.json().unwrap_or_default();
    for wanted in body.get("tags").and_then(Value::as_array).into_iter().flatten() {
        tags.retain(|tag| tag.get("name") != wanted.get("name"));
        if wanted.get("status").and_then(Value::as_str) != Some("inactive") {
            tags.push(json!({"id": tags.len() + 1, "name": wanted.get("name")}));
        }
    }
    let mut body = Value::clone(&object.body);
    let id = object.id;
    if let Some(map) = body.as_object_mut() {
        map.insert("tags_count".to_owned(), json!(tags.len()));
        map.insert("tags".to_owned(), Value::Array(tags));
    }
    store.revise(act(ask), id, body, false);
    Reply::empty(204)
}
