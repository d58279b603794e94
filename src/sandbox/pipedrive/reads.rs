//! Pipedrive's reading side: the list with its cursor, and the search (VENDORS.md B2.3, B2.4, B2.6).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::clock::parse_ms;
use super::super::store::{Object, Store};
use super::super::wire::{Ask, Page, Reply, seal, unseal};
use super::body::{custom, values};
use super::{Pipedrive, invalid};

const LIMIT_MAX: usize = 500;

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

impl Pipedrive {
    fn shows(&self, object: &Object) -> bool {
        object.is_live() || self.list_deleted
    }

    /// `GET /api/v2/persons`: inclusive `updated_since`, whole seconds only, opaque cursor (B2.3, B2.4).
    pub(super) fn list(&self, store: &Store, ask: &Ask) -> Reply {
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
        let person = ask.get("person_id").and_then(|id| id.parse::<u64>().ok());
        let is_of =
            |object: &Object| person.is_none() || object.body.get("person_id").and_then(Value::as_u64) == person;
        let fits = |object: &Object| {
            self.shows(object)
                && is_of(object)
                && match &ids {
                    // `ids` sets the other filters aside (B2.4).
                    Some(ids) => ids.contains(&object.id),
                    None => {
                        since.is_none_or(|at| object.updated_ms >= at) && until.is_none_or(|at| object.updated_ms < at)
                    }
                }
        };
        let found = match &ids {
            Some(ids) if field == "id" && !down => named(store, ids, place.as_ref(), &fits, limit + 1),
            _ => self.in_order(store, &field, down, place.as_ref(), &fits, limit + 1),
        };
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
    pub(super) fn search(store: &Store, ask: &Ask) -> Reply {
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
        // Nearly every search is for one address.
        let is_address = exact && fields.as_ref().is_some_and(|fields| *fields == ["email"]);
        let all: Box<dyn Iterator<Item = &Object>> = if is_address {
            Box::new(store.all_with_key(&term).filter(|object| object.id >= from))
        } else {
            Box::new(store.objects.range(from..).map(|(_, object)| object))
        };
        let found: Vec<&Object> = all
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
}

/// The first `count` fitting objects among those with these ids, from a place on.
fn named<'a>(
    store: &'a Store,
    ids: &[u64],
    place: Option<&Place>,
    fits: &dyn Fn(&Object) -> bool,
    count: usize,
) -> Vec<&'a Object> {
    let first = place.map_or(0, |place| place.id);
    let ids: BTreeSet<u64> = ids.iter().copied().filter(|id| *id >= first).collect();
    let found = ids.iter().filter_map(|id| store.objects.get(id));
    found.filter(|object| fits(object)).take(count).collect()
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

fn item(object: &Object) -> Value {
    let item = json!({
        "id": object.id, "type": "person", "name": object.body.get("name"),
        "phones": values(&object.body, "phones").collect::<Vec<_>>(), "emails": values(&object.body, "emails").collect::<Vec<_>>(),
        "visible_to": object.body.get("visible_to"), "owner": {"id": object.body.get("owner_id")},
        "organization": null, "custom_fields": custom(&object.body).collect::<Vec<_>>(), "notes": [],
    });
    json!({"result_score": 0.5, "item": item})
}

fn envelope(page: &Page) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("success".to_owned(), Value::Bool(true));
    map.insert("additional_data".to_owned(), json!({"next_cursor": page.next}));
    map
}
