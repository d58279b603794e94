//! What a contact looks like on HubSpot's side, and what a write makes of it (VENDORS.md A1.3, A1.5).

use serde_json::{Map, Value};

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
