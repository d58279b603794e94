//! Mailchimp's reading side: the list by offset and time, `fields` and `exclude_fields` (VENDORS.md A2.3, A2.4).

use serde_json::{Value, json};

use super::super::clock::parse_ms;
use super::super::store::{Object, Store};
use super::super::wire::{Ask, Reply};
use super::{STATUSES, problem};

/// `GET /lists/{id}/members`: both times strict, deep pages allowed (but slow at the vendor's).
pub(super) fn members(store: &Store, ask: &Ask, list: &str) -> Reply {
    let number = |name: &str, default: usize| ask.get(name).map_or(Some(default), |text| text.parse::<usize>().ok());
    let (Some(count @ 0..=1_000), Some(offset)) = (number("count", 10), number("offset", 0)) else {
        return problem(400, "Invalid Resource", "count must be at most 1000, offset a number");
    };
    let status = ask.get("status");
    if status.is_some_and(|status| status != "archived" && !STATUSES.contains(&status)) {
        return problem(
            400,
            "Invalid Resource",
            "The resource submitted could not be validated.",
        );
    }
    let moment = |name: &str| ask.get(name).map(|text| parse_ms(text).ok_or(())).transpose();
    let (Ok(after), Ok(before)) = (moment("since_last_changed"), moment("before_last_changed")) else {
        return problem(400, "Invalid Resource", "times are ISO 8601");
    };
    let is_wanted = |object: &&Object| {
        let own = object.body.get("status").and_then(Value::as_str);
        status.map_or_else(|| own != Some("archived"), |status| own == Some(status))
            && after.is_none_or(|after| object.updated_ms > after)
            && before.is_none_or(|before| object.updated_ms < before)
    };
    let mut found: Vec<&Object> = store.objects.values().filter(is_wanted).collect();
    if ask.get("sort_field") == Some("last_changed") {
        found.sort_by_key(|object| (object.updated_ms, object.id));
    }
    if ask.get("sort_dir") == Some("DESC") {
        found.reverse();
    }
    let rows: Vec<&Value> = found
        .iter()
        .skip(offset)
        .take(count)
        .map(|object| object.body.as_ref())
        .collect();
    let body = json!({"members": rows, "list_id": list, "total_items": found.len(), "_links": []});
    Reply::json(200, shown(ask, body))
}

/// `GET /lists/{id}/merge-fields`
pub(super) fn merge_fields(ask: &Ask, list: &str) -> Reply {
    let field = |id: u32, tag: &str, name: &str, kind: &str| json!({"merge_id": id, "tag": tag, "name": name, "type": kind, "required": false, "options": {}, "list_id": list});
    let fields = [
        field(1, "FNAME", "First Name", "text"),
        field(2, "LNAME", "Last Name", "text"),
        field(4, "PHONE", "Phone Number", "phone"),
    ];
    let body = json!({"merge_fields": fields, "list_id": list, "total_items": fields.len(), "_links": []});
    Reply::json(200, shown(ask, body))
}

/// The answer with only the wanted members (`fields`), or without the unwanted ones (`exclude_fields`); names with dots.
pub(super) fn shown(ask: &Ask, mut body: Value) -> Value {
    let paths = |name: &str| ask.list(name).unwrap_or_default();
    let wanted = paths("fields");
    if !wanted.is_empty() {
        let wanted: Vec<Vec<&str>> = wanted.iter().map(|path| path.split('.').collect()).collect();
        let wanted: Vec<&[&str]> = wanted.iter().map(Vec::as_slice).collect();
        keep(&mut body, &wanted);
    }
    for path in paths("exclude_fields") {
        let names: Vec<&str> = path.split('.').collect();
        leave_out(&mut body, &names);
    }
    body
}

fn keep(body: &mut Value, paths: &[&[&str]]) {
    match body {
        Value::Array(items) => items.iter_mut().for_each(|item| keep(item, paths)),
        Value::Object(map) => map.retain(|name, value| {
            let below: Vec<&[&str]> = paths
                .iter()
                .filter_map(|path| {
                    path.split_first()
                        .filter(|(first, _)| *first == name)
                        .map(|(_, rest)| rest)
                })
                .collect();
            if !below.is_empty() && !below.iter().any(|rest| rest.is_empty()) {
                keep(value, &below);
            }
            !below.is_empty()
        }),
        _ => {}
    }
}

fn leave_out(body: &mut Value, path: &[&str]) {
    match (body, path) {
        (Value::Array(items), _) => items.iter_mut().for_each(|item| leave_out(item, path)),
        (Value::Object(map), [last]) => drop(map.shift_remove(*last)),
        (Value::Object(map), [first, rest @ ..]) => {
            if let Some(below) = map.get_mut(*first) {
                leave_out(below, rest);
            }
        }
        _ => {}
    }
}
