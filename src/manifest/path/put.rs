//! Writing where a path leads.

use serde_json::{Map, Value as Json};

use super::{Step, embedded};

pub(super) fn put(at: &mut Json, steps: &[Step], value: Option<Json>, clear: &Json) {
    let Some((step, rest)) = steps.split_first() else {
        *at = value.unwrap_or_else(|| clear.clone());
        return;
    };
    match step {
        Step::Name(name) => put(member(at, name), rest, value, clear),
        Step::Key(name) if at.is_object() => put(member(at, name), rest, value, clear),
        Step::Embedded => put_embedded(at, rest, value, clear),
        Step::Every => put_every(at, rest, value, clear),
        Step::At(index) => change_list(at, |items| put_at(items, *index, rest, value, clear)),
        Step::Flag { .. } | Step::Equals { .. } | Step::Key(_) => {
            change_list(at, |items| put_fitting(items, step, rest, value, clear));
        }
        Step::Lower | Step::Text => put(at, rest, value, clear),
    }
}

fn member<'a>(at: &'a mut Json, name: &str) -> &'a mut Json {
    if !at.is_object() {
        *at = Json::Object(Map::new());
    }
    match at {
        Json::Object(map) => map.entry(name).or_insert(Json::Null),
        other => other,
    }
}

/// Changes a list in place; whatever else stood there makes room for one.
fn change_list(at: &mut Json, change: impl FnOnce(&mut Vec<Json>)) {
    let mut items = match at.take() {
        Json::Array(items) => items,
        _ => Vec::new(),
    };
    change(&mut items);
    *at = Json::Array(items);
}

fn put_embedded(at: &mut Json, rest: &[Step], value: Option<Json>, clear: &Json) {
    let text = at.as_str().unwrap_or_default();
    // What a person typed there stays: it moves into the object as `text`.
    let mut inner = match embedded(text) {
        Some(inner) => inner,
        None if text.trim().is_empty() => Json::Object(Map::new()),
        None => serde_json::json!({ "text": text }),
    };
    match (&value, rest) {
        (None, [Step::Name(name)]) => {
            if let Some(map) = inner.as_object_mut() {
                map.shift_remove(name.as_str());
            }
        }
        _ => put(&mut inner, rest, value, clear),
    }
    *at = Json::String(inner.to_string());
}

fn put_every(at: &mut Json, rest: &[Step], value: Option<Json>, clear: &Json) {
    let items = match value {
        Some(Json::Array(items)) => items,
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let made = items.into_iter().map(|item| {
        let mut element = Json::Null;
        put(&mut element, rest, Some(item), clear);
        element
    });
    *at = Json::Array(made.collect());
}

fn put_at(items: &mut Vec<Json>, index: i64, rest: &[Step], value: Option<Json>, clear: &Json) {
    let index = usize::try_from(index).unwrap_or(0).min(items.len());
    match value {
        None if index < items.len() => drop(items.remove(index)),
        None => {}
        Some(value) => {
            if index == items.len() {
                items.push(Json::Null);
            }
            if let Some(item) = items.get_mut(index) {
                put(item, rest, Some(value), clear);
            }
        }
    }
}

fn put_fitting(items: &mut Vec<Json>, step: &Step, rest: &[Step], value: Option<Json>, clear: &Json) {
    let place = items.iter().position(|item| step.fits(item));
    match (place, value) {
        (Some(place), None) => drop(items.remove(place)),
        (None, None) => {}
        (Some(place), Some(value)) => {
            if let Some(item) = items.get_mut(place) {
                put(item, rest, Some(value), clear);
            }
        }
        (None, Some(value)) => {
            let mut item = Json::Object(Map::new());
            match step {
                Step::Flag { name, wanted: true } | Step::Key(name) => *member(&mut item, name) = Json::Bool(true),
                Step::Equals {
                    name,
                    value,
                    wanted: true,
                } => *member(&mut item, name) = value.clone(),
                _ => {}
            }
            put(&mut item, rest, Some(value), clear);
            items.push(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Path;
    use super::*;

    #[track_caller]
    fn check_put(path: &str, from: Json, to: Option<Json>, expected: Json) {
        let mut root = from;
        Path::parse(path).unwrap().put(&mut root, to, &json!(""));
        assert_eq!(root, expected, "{path}");
    }

    #[test]
    fn writing() {
        check_put("a.b", json!({}), Some(json!(1)), json!({"a": {"b": 1}}));
        check_put(
            "a.b",
            json!({"a": {"b": 1, "c": 2}}),
            None,
            json!({"a": {"b": "", "c": 2}}),
        );
        let two = json!({"emails": [{"value": "x"}, {"value": "y", "primary": true, "label": "work"}]});
        check_put(
            "emails[primary].value",
            two.clone(),
            Some(json!("z")),
            json!({"emails": [{"value": "x"}, {"value": "z", "primary": true, "label": "work"}]}),
        );
        check_put("emails[primary].value", two, None, json!({"emails": [{"value": "x"}]}));
        check_put(
            "ways[?type=='email'].value",
            json!({}),
            Some(json!("z")),
            json!({"ways": [{"type": "email", "value": "z"}]}),
        );
        check_put(
            "tags[*].name",
            json!({}),
            Some(json!(["a"])),
            json!({"tags": [{"name": "a"}]}),
        );
        check_put(
            "note.$json.phone",
            json!({"note": null}),
            Some(json!("5")),
            json!({"note": "{\"phone\":\"5\"}"}),
        );
        check_put(
            "note.$json.phone",
            json!({"note": "{\"phone\":\"5\"}"}),
            None,
            json!({"note": "{}"}),
        );
        check_put(
            "note.$json.phone",
            json!({"note": "call back"}),
            Some(json!("5")),
            json!({"note": "{\"text\":\"call back\",\"phone\":\"5\"}"}),
        );
    }
}
