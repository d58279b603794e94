//! Intercom's contacts in pages: the list and the search, whose times count as whole days (VENDORS.md C3.3, C3.4).

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::store::{Object, Store};
use super::super::wire::{Ask, Page, Reply, seal, unseal};
use super::error;

const DAY_S: i64 = 86_400;
const LIMIT_MAX: usize = 150;

/// `GET /contacts`
pub(super) fn list(store: &Store, ask: &Ask) -> Reply {
    let limit = ask.get("per_page").map_or(Some(50), |text| text.parse().ok());
    let found = store.objects.values().filter(|object| object.is_live());
    page(found.collect(), limit, ask.get("starting_after"), None)
}

/// `POST /contacts/search`
pub(super) fn search(store: &Store, ask: &Ask) -> Reply {
    let body = ask.json().unwrap_or_default();
    let Some(query) = body.get("query").filter(|query| is_query(query, 0)) else {
        return error(400, "parameter_invalid", "query is not valid");
    };
    let paging = body.get("pagination").cloned().unwrap_or_default();
    let limit = paging
        .get("per_page")
        .map_or(Some(50), |limit| usize::try_from(limit.as_u64()?).ok());
    let mut found: Vec<&Object> = store
        .objects
        .values()
        .filter(|object| object.is_live() && holds(query, object))
        .collect();
    let field = body.pointer("/sort/field").and_then(Value::as_str);
    if field.is_some_and(|field| !["updated_at", "created_at", "id"].contains(&field)) {
        return error(400, "parameter_invalid", "contacts cannot be sorted by this field");
    }
    if let Some(field) = field {
        found.sort_by_key(|object| (time(object, field).unwrap_or_default(), object.id));
    }
    if body.pointer("/sort/order").and_then(Value::as_str) == Some("descending") {
        found.reverse();
    }
    page(
        found,
        limit,
        paging.get("starting_after").and_then(Value::as_str),
        field,
    )
}

fn time(object: &Object, field: &str) -> Option<i64> {
    match field {
        "updated_at" => Some(object.updated_ms.div_euclid(1_000)),
        "created_at" => Some(object.created_ms.div_euclid(1_000)),
        _ => None,
    }
}

/// A filter, or a group of filters; two levels of groups at most (C3.4).
fn is_query(query: &Value, depth: u8) -> bool {
    match query.get("value") {
        Some(Value::Array(parts)) if query.get("field").is_none() => {
            let is_group = matches!(query.get("operator").and_then(Value::as_str), Some("AND" | "OR"));
            is_group && depth < 2 && parts.len() <= 15 && parts.iter().all(|part| is_query(part, depth + 1))
        }
        Some(_) => {
            query.get("field").is_some_and(Value::is_string) && query.get("operator").is_some_and(Value::is_string)
        }
        None => false,
    }
}

fn holds(query: &Value, object: &Object) -> bool {
    let operator = query.get("operator").and_then(Value::as_str).unwrap_or_default();
    let value = query.get("value").unwrap_or(&Value::Null);
    match (value, query.get("field").and_then(Value::as_str)) {
        (Value::Array(parts), None) if operator == "OR" => parts.iter().any(|part| holds(part, object)),
        (Value::Array(parts), None) => parts.iter().all(|part| holds(part, object)),
        (_, Some(field)) => match time(object, field) {
            Some(own) => fits_day(own, operator, value),
            None => fits(object.body.get(field).unwrap_or(&Value::Null), operator, value),
        },
        _ => false,
    }
}

/// A time counts as its whole day: `>` begins with the day after (C3.4).
fn fits_day(own_s: i64, operator: &str, value: &Value) -> bool {
    let wanted = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    let Some(wanted) = wanted else { return false };
    match (own_s.div_euclid(DAY_S).cmp(&wanted.div_euclid(DAY_S)), operator) {
        (Ordering::Equal, "=") | (Ordering::Greater, ">") | (Ordering::Less, "<") => true,
        (order, "!=") => order != Ordering::Equal,
        _ => false,
    }
}

fn fits(own: &Value, operator: &str, value: &Value) -> bool {
    let text = |value: &Value| value.as_str().map(str::to_lowercase);
    let is_same = |value: &Value| own == value || text(own).is_some() && text(own) == text(value);
    let among = || value.as_array().into_iter().flatten().any(is_same);
    match operator {
        "=" => is_same(value),
        "!=" => !is_same(value),
        "IN" => among(),
        "NIN" => !among(),
        "~" => text(own)
            .zip(text(value))
            .is_some_and(|(own, part)| own.contains(&part)),
        _ => false,
    }
}

/// A page that begins behind the row its token names; the number of the page travels in the token.
fn page(found: Vec<&Object>, limit: Option<usize>, token: Option<&str>, field: Option<&str>) -> Reply {
    let Some(limit @ 1..=LIMIT_MAX) = limit else {
        return error(400, "parameter_invalid", "per_page must be between 1 and 150");
    };
    let place = match token.map(open) {
        None => None,
        Some(Some(place)) => Some(place),
        Some(None) => return error(400, "parameter_invalid", "starting_after is not valid"),
    };
    let key = |object: &Object| field.and_then(|field| time(object, field)).unwrap_or_default();
    let total = found.len();
    let number = place.map_or(1, |(.., number)| number);
    let start = place.map_or(0, |(at, id, _)| {
        let here = found.iter().position(|object| object.id == id && key(object) == at);
        let behind = || found.iter().position(|object| (key(object), object.id) > (at, id));
        here.map(|index| index + 1).or_else(behind).unwrap_or(total)
    });
    let rows: Vec<&Object> = found.iter().skip(start).take(limit).copied().collect();
    let following = found.get(start + rows.len()).map(|object| object.id);
    let next = rows
        .last()
        .filter(|_| following.is_some())
        .map(|last| sealed(key(last), last.id, number + 1));
    let here = token.map_or_else(|| sealed(i64::MIN, 0, 1), str::to_owned);
    let mut extra = Map::new();
    extra.insert("total_count".to_owned(), json!(total));
    extra.insert("page".to_owned(), json!(number));
    extra.insert("per_page".to_owned(), json!(limit));
    Reply::page(Page {
        key: "data",
        edge: rows.last().map(|object| object.id).zip(following),
        rows: rows.iter().map(|object| Arc::clone(&object.body)).collect(),
        next,
        again: format!("{here}~"),
        here,
        extra,
        envelope,
    })
}

fn envelope(page: &Page) -> Map<String, Value> {
    let number = |name: &str| page.extra.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (total, per_page) = (number("total_count"), number("per_page"));
    let mut pages = json!({"type": "pages", "page": number("page"), "per_page": per_page, "total_pages": total.div_ceil(per_page.max(1))});
    if let (Some(next), Some(pages)) = (&page.next, pages.as_object_mut()) {
        pages.insert("next".to_owned(), json!({"per_page": per_page, "starting_after": next}));
    }
    let mut map = Map::new();
    map.insert("type".to_owned(), json!("list"));
    map.insert("total_count".to_owned(), json!(total));
    map.insert("pages".to_owned(), pages);
    map
}

fn sealed(at: i64, id: u64, page: u64) -> String {
    seal(&json!([at, id, page]).to_string())
}

fn open(token: &str) -> Option<(i64, u64, u64)> {
    serde_json::from_str(&unseal(token)?).ok()
}
