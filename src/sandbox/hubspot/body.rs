//! What a contact looks like on HubSpot's side, and what a write makes of it (VENDORS.md A1.3, A1.5).

use serde_json::{Map, Value};

use super::super::clock::rfc3339_ms;

/// Returned when no property is asked for (A1.3: "only a few default properties").
const DEFAULTS: &[&str] = &["email", "firstname", "lastname"];
/// Always returned.
const ALWAYS: &[&str] = &["createdate", "lastmodifieddate", "hs_object_id"];
/// `lifecyclestage` moves to the right only (A1.5).
const STAGES: &[&str] = &[
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
    "other",
];

/// The text of a JSON scalar, as HubSpot stores all values (A1.3).
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

pub(super) fn is_address(text: &str) -> bool {
    text.split_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
        && !text.contains(char::is_whitespace)
}

/// Lays properties over a body; the empty string removes (A1.5).
pub(super) fn lay(body: &mut Value, properties: &Map<String, Value>) {
    let Some(map) = body.as_object_mut() else { return };
    for (name, value) in properties {
        if value.as_str() == Some("") {
            map.shift_remove(name);
        } else {
            map.insert(name.clone(), value.clone());
        }
    }
}

pub(super) fn forward_only(body: &Value, properties: &Map<String, Value>) -> Map<String, Value> {
    let place = |value: Option<&Value>| {
        value
            .and_then(Value::as_str)
            .and_then(|stage| STAGES.iter().position(|s| *s == stage))
    };
    let mut properties = properties.clone();
    let moves = (
        place(body.get("lifecyclestage")),
        place(properties.get("lifecyclestage")),
    );
    if matches!(moves, (Some(old), Some(new)) if new < old) {
        properties.shift_remove("lifecyclestage");
    }
    properties
}

pub(super) fn names_of(properties: &Map<String, Value>) -> Vec<String> {
    wanted(Some(properties.keys().cloned().collect()))
}

pub(super) fn wanted(asked: Option<Vec<String>>) -> Vec<String> {
    let mut names = asked
        .filter(|names| !names.is_empty())
        .unwrap_or_else(|| DEFAULTS.iter().map(|n| (*n).to_owned()).collect());
    for name in ALWAYS {
        if !names.iter().any(|known| known == name) {
            names.push((*name).to_owned());
        }
    }
    names
}

/// An object as answers show it: the wanted properties, null where there is no value.
pub(super) fn row(body: &Value, deleted_ms: Option<i64>, wanted: &[String]) -> Value {
    let mut properties = Map::new();
    for name in wanted {
        properties.insert(name.clone(), body.get(name).cloned().unwrap_or_default());
    }
    let stamp = |name: &str| body.get(name).cloned().unwrap_or_default();
    let mut row = Map::new();
    row.insert("id".to_owned(), stamp("hs_object_id"));
    row.insert("properties".to_owned(), Value::Object(properties));
    row.insert("createdAt".to_owned(), stamp("createdate"));
    row.insert("updatedAt".to_owned(), stamp("lastmodifieddate"));
    row.insert("archived".to_owned(), Value::Bool(deleted_ms.is_some()));
    if let Some(ms) = deleted_ms {
        row.insert("archivedAt".to_owned(), Value::String(rfc3339_ms(ms)));
    }
    Value::Object(row)
}
