//! Zendesk's reading side: the incremental export, lists, and looking up (VENDORS.md C1.3 to C1.5).

use std::ops::Bound;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::store::{Object, Store};
use super::super::wire::{Ask, Page, Reply, seal, unseal};
use super::{by_external_id, error};

const EXPORT_MAX: usize = 1_000;
const LIST_MAX: usize = 100;

/// `GET /incremental/users/cursor`: rows in the order of their last change, deleted ones too.
///
/// `updated_at` of a row may be older than the cursor (C1.4, H1.8); `end_of_stream` ends the reading, the cursor is kept.
pub(super) fn incremental(store: &Store, ask: &Ask, key: &'static str) -> Reply {
    let limit = ask
        .get("per_page")
        .and_then(|text| text.parse::<usize>().ok())
        .unwrap_or(EXPORT_MAX)
        .clamp(1, EXPORT_MAX);
    let from = match (ask.get("cursor"), ask.get("start_time").map(str::parse::<i64>)) {
        (Some(token), _) => match open(token) {
            Some(place) => place,
            None => return error(400, "InvalidValue", "cursor is not valid"),
        },
        (None, Some(Ok(start))) if start * 1_000 > ask.now_ms - 60_000 => {
            return error(
                422,
                "InvalidValue",
                "Too recent start_time. Use a start_time older than 1 minute",
            );
        }
        (None, Some(Ok(start))) => (start, 0),
        _ => return error(400, "InvalidValue", "start_time or cursor is required"),
    };
    let rows = store.changes.range((Bound::Excluded(from), Bound::Unbounded));
    let mut found = rows.filter_map(|(_, id)| store.objects.get(id));
    let page: Vec<&Object> = found.by_ref().take(limit).collect();
    let following = found.next();
    let after = page.last().map_or(from, |object| object.change);
    let here = ask.get("cursor").map_or_else(|| sealed(from), str::to_owned);
    let mut extra = Map::new();
    extra.insert("after".to_owned(), Value::String(sealed(after)));
    extra.insert("origin".to_owned(), Value::String(ask.origin()));
    Reply::page(Page {
        key,
        edge: page
            .last()
            .map(|object| object.id)
            .zip(following.map(|object| object.id)),
        rows: page.iter().map(|object| Arc::clone(&object.body)).collect(),
        next: following.map(|_| sealed(after)),
        again: format!("{here}~"),
        here,
        extra,
        envelope,
    })
}

/// `GET /tickets/show_many?ids=`
pub(super) fn tickets(store: &Store, ask: &Ask) -> Reply {
    let ids = ask.list("ids").unwrap_or_default();
    let found = ids.iter().filter_map(|id| store.live(id.parse().ok()?));
    let rows: Vec<Value> = found.map(|object| Value::clone(&object.body)).collect();
    Reply::json(200, json!({"count": rows.len(), "tickets": rows, "next_page": null}))
}

fn envelope(page: &Page) -> Map<String, Value> {
    let after = page
        .next
        .clone()
        .map_or_else(|| page.extra.get("after").cloned().unwrap_or_default(), Value::String);
    let url = format!(
        "{}/api/v2/incremental/{}/cursor.json?cursor={}",
        origin(page),
        page.key,
        after.as_str().unwrap_or_default()
    );
    let mut map = Map::new();
    map.insert("after_url".to_owned(), Value::String(url));
    map.insert("after_cursor".to_owned(), after);
    map.insert("before_url".to_owned(), Value::Null);
    map.insert("before_cursor".to_owned(), Value::Null);
    map.insert("end_of_stream".to_owned(), Value::Bool(page.next.is_none()));
    map
}

/// Addresses are whole ones: the vendor's clients follow them as they are.
fn origin(page: &Page) -> &str {
    page.extra.get("origin").and_then(Value::as_str).unwrap_or_default()
}

/// The form of the spec's example cursor, `1576613539.0||467|`.
fn sealed((second, seq): (i64, u64)) -> String {
    seal(&format!("{second}.0||{seq}|"))
}

fn open(token: &str) -> Option<(i64, u64)> {
    let text = unseal(token)?;
    let (second, seq) = text.split_once("||")?;
    Some((
        second.trim_end_matches(".0").parse().ok()?,
        seq.trim_end_matches('|').parse().ok()?,
    ))
}

/// `GET /users` with cursor paging (C1.3).
pub(super) fn list(store: &Store, ask: &Ask) -> Reply {
    let limit = ask
        .get("page[size]")
        .and_then(|text| text.parse::<usize>().ok())
        .unwrap_or(LIST_MAX)
        .clamp(1, LIST_MAX);
    let from = match ask.get("page[after]").map(open) {
        None => 0,
        Some(Some((_, id))) => id,
        Some(None) => return error(400, "InvalidPaginationParameter", "page[after] is not valid"),
    };
    let mut found = store
        .objects
        .range(from..)
        .map(|(_, object)| object)
        .filter(|object| object.is_live());
    let page: Vec<&Object> = found.by_ref().take(limit).collect();
    let following = found.next().map(|object| object.id);
    let here = ask.get("page[after]").map_or_else(|| sealed((0, 0)), str::to_owned);
    Reply::page(Page {
        key: "users",
        edge: page.last().map(|object| object.id).zip(following),
        rows: page.iter().map(|object| Arc::clone(&object.body)).collect(),
        next: following.map(|id| sealed((0, id))),
        again: format!("{here}~"),
        here,
        extra: Map::from_iter([("origin".to_owned(), Value::String(ask.origin()))]),
        envelope: |page| {
            let mut map = Map::new();
            let next = page.next.as_ref().map(|next| {
                format!(
                    "{}/api/v2/users.json?page[size]={}&page[after]={next}",
                    origin(page),
                    page.rows.len()
                )
            });
            map.insert(
                "meta".to_owned(),
                json!({"has_more": page.next.is_some(), "after_cursor": page.next, "before_cursor": null}),
            );
            map.insert("links".to_owned(), json!({"next": next, "prev": null}));
            map
        },
    })
}

fn listed(users: &[&Object]) -> Reply {
    let users: Vec<&Value> = users.iter().map(|object| object.body.as_ref()).collect();
    Reply::json(
        200,
        json!({"users": users, "next_page": null, "previous_page": null, "count": users.len()}),
    )
}

/// `GET /users/show_many?ids=|external_ids=`, at most 100 (C1.5).
pub(super) fn show_many(store: &Store, ask: &Ask) -> Reply {
    let ids: Vec<u64> = match (ask.list("ids"), ask.list("external_ids")) {
        (Some(ids), _) if ids.len() <= LIST_MAX => ids.iter().filter_map(|id| id.parse().ok()).collect(),
        (None, Some(ids)) if ids.len() <= LIST_MAX => ids.iter().filter_map(|id| by_external_id(store, id)).collect(),
        _ => return error(400, "InvalidValue", "1 to 100 ids or external_ids are required"),
    };
    listed(&ids.iter().filter_map(|id| store.objects.get(id)).collect::<Vec<_>>())
}

/// `GET /users/search?query=|external_id=`: a word, or `email:`, `phone:`, `name:` and a value (C1.5).
pub(super) fn search(store: &Store, ask: &Ask) -> Reply {
    if let Some(external_id) = ask.get("external_id") {
        let found = by_external_id(store, external_id).and_then(|id| store.live(id));
        return listed(&found.into_iter().collect::<Vec<_>>());
    }
    let query = ask.get("query").unwrap_or_default().to_lowercase();
    let (field, term) = match query.split_once(':') {
        Some((field @ ("email" | "phone" | "name" | "external_id"), term)) => (Some(field.to_owned()), term),
        _ => (None, query.as_str()),
    };
    let exact = field.is_some();
    let term = term.trim().trim_matches('"').trim_matches('*');
    if term.is_empty() {
        return error(400, "InvalidValue", "query or external_id is required");
    }
    if field.as_deref() == Some("email") {
        return listed(
            &store
                .with_key(term)
                .and_then(|id| store.live(id))
                .into_iter()
                .collect::<Vec<_>>(),
        );
    }
    let hit = |object: &Object, name: &str| {
        let value = object.body.get(name).and_then(Value::as_str).map(str::to_lowercase);
        value.is_some_and(|value| if exact { value == term } else { value.contains(term) })
    };
    let names = field.map_or_else(
        || {
            vec![
                "name".to_owned(),
                "email".to_owned(),
                "phone".to_owned(),
                "notes".to_owned(),
            ]
        },
        |f| vec![f],
    );
    let found = store
        .objects
        .values()
        .filter(|object| object.is_live() && names.iter().any(|name| hit(object, name)));
    listed(&found.take(LIST_MAX).collect::<Vec<_>>())
}

/// `GET /user_fields` (spec `ListUserFields`): the account has one field of its own.
pub(super) fn fields() -> Reply {
    let option = |value: &str| json!({"name": value, "value": value});
    let tier = json!({"key": "tier", "title": "Tier", "type": "dropdown", "custom_field_options": [option("gold"), option("silver")]});
    Reply::json(200, json!({"user_fields": [tier], "next_page": null, "count": 1}))
}

/// The agent the token belongs to (spec `ShowCurrentUser`).
pub(super) fn me() -> Reply {
    let user = json!({
        "id": 1, "name": "Sandbox", "email": "agent@example.com", "role": "admin", "active": true, "verified": true,
        "locale": "en-US", "time_zone": "UTC", "created_at": "2024-01-01T00:00:00Z", "updated_at": "2024-01-01T00:00:00Z",
    });
    Reply::json(200, json!({"user": user}))
}
