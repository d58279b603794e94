//! What a person looks like on Pipedrive's side, and what a write makes of it (VENDORS.md B2.5, B2.11, B2.12).

use serde_json::{Map, Value, json};

use super::super::wire::{Ask, Reply};
use super::invalid;

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

/// The writable members of a body, checked: lists of `{value}`, 40-hex custom keys, and no `[]` there (B2.5).
pub(super) fn written(ask: &Ask) -> Result<Map<String, Value>, Reply> {
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
pub(super) fn laid(body: &Value, patch: &Map<String, Value>) -> Value {
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

pub(super) fn values<'a>(body: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    body.get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|row| row.get("value").and_then(Value::as_str))
}

pub(super) fn custom(body: &Value) -> impl Iterator<Item = &str> {
    body.get("custom_fields")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::values)
        .filter_map(Value::as_str)
}

pub(super) fn main(body: &Value, name: &str) -> Option<String> {
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

pub(super) fn emails(body: &Value) -> Vec<String> {
    values(body, "emails")
        .map(|email| email.trim().to_lowercase())
        .filter(|email| !email.is_empty())
        .collect()
}
