//! JSON into the values of expressions and back.

use minijinja::value::{Value as Dyn, ValueKind};
use serde_json::{Map, Number, Value as Json};

/// The deepest value that comes back out of an expression.
const DEPTH_MAX: usize = 64;

/// A JSON value for an expression.
pub(super) fn from_json(value: &Json) -> Dyn {
    match value {
        Json::Null => Dyn::from(()),
        Json::Bool(flag) => Dyn::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Dyn::from(number),
            (None, Some(number)) => Dyn::from(number),
            (None, None) => Dyn::from(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Dyn::from(text.as_str()),
        Json::Array(items) => items.iter().map(from_json).collect(),
        Json::Object(map) => Dyn::from_pairs(map.iter().map(|(name, value)| (name.as_str(), from_json(value)))),
    }
}

/// The JSON of an expression's value; what is not there, and what JSON cannot say, is null.
pub(super) fn to_json(value: &Dyn) -> Json {
    json_below(value, DEPTH_MAX)
}

fn json_below(value: &Dyn, depth: usize) -> Json {
    let Some(depth) = depth.checked_sub(1) else {
        return Json::Null;
    };
    match value.kind() {
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => number(value),
        ValueKind::String => Json::String(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Bytes => Json::String(String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().into_iter().flatten();
            Json::Array(items.map(|item| json_below(&item, depth)).collect())
        }
        ValueKind::Map => {
            let mut map = Map::new();
            for name in value.try_iter().into_iter().flatten() {
                let member = value.get_item(&name).unwrap_or_default();
                let name = name.as_str().map_or_else(|| name.to_string(), ToOwned::to_owned);
                map.insert(name, json_below(&member, depth));
            }
            Json::Object(map)
        }
        _ => Json::Null,
    }
}

fn number(value: &Dyn) -> Json {
    if !value.is_integer() {
        let number = f64::try_from(value.clone()).ok().and_then(Number::from_f64);
        return number.map_or(Json::Null, Json::Number);
    }
    let signed = i64::try_from(value.clone()).map(Number::from);
    let number = signed.or_else(|_| u64::try_from(value.clone()).map(Number::from));
    number.map_or_else(|_| Json::String(value.to_string()), Json::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_comes_back_as_it_was() {
        let value = json!({"a": [1, -2, 1.5, u64::MAX, true, null, "x"], "b": {"c": []}, "d": {}});
        assert_eq!(to_json(&from_json(&value)), value);
    }
}
