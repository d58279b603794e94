//! One value between a tool's format and its canonical form.

use std::borrow::Cow;

use compact_str::CompactString;
use serde_json::{Value as Json, json};

use super::field::{Field, FieldType, TimeFormat};
use super::filters;
use super::path::{Found, Path};
use crate::model::{UnixMillis, Value};

/// Brings a phone number into one form (E.164); `None` when it cannot be told. The region is that of numbers without a
/// country code (`DE`).
pub type PhoneNormaliser = fn(text: &str, region: Option<&str>) -> Option<CompactString>;

/// How phones are read.
#[derive(Clone, Debug)]
pub(super) struct Phones {
    pub(super) normalise: PhoneNormaliser,
    pub(super) region: Option<CompactString>,
}

/// What a value was, when it is not what its field should hold. Never the value itself.
pub(super) type Misfit = &'static str;

/// What a remote object says about a field: `None` when it does not say.
pub(super) fn field_in(field: &Field, object: &Json, phones: &Phones) -> Result<Option<Option<Value>>, Misfit> {
    if field.kind() == FieldType::Set && !field.to.is_plain() {
        return match field.to.find(object) {
            Found::Absent => Ok(None),
            _ => set_of(field.to.all(object).iter().map(AsRef::as_ref)).map(Some),
        };
    }
    match field.to.find(object) {
        Found::Absent => Ok(None),
        Found::Empty => Ok(Some(None)),
        Found::Value(value) => value_in(field, &value, phones).map(Some),
    }
}

/// The canonical form of a remote value; `None` when it is empty.
pub(super) fn value_in(field: &Field, value: &Json, phones: &Phones) -> Result<Option<Value>, Misfit> {
    if value.is_null() {
        return Ok(None);
    }
    match field.kind() {
        FieldType::Json => Ok(Some(Value::Text(value.to_string().into()))),
        FieldType::Time if value.as_str().is_some_and(|text| text.trim().is_empty()) => Ok(None),
        FieldType::Time => match time_in(&field.format, value) {
            Some(at) => Ok(Some(Value::Time(at))),
            None => Err(kind_of(value)),
        },
        FieldType::Set => match (value, &field.sep) {
            (Json::Array(items), _) => set_of(items),
            (Json::String(text), Some(sep)) => {
                let items = text.split(sep.as_str()).map(|item| Json::String(item.to_owned()));
                set_of(items.collect::<Vec<_>>().iter())
            }
            (other, _) => set_of([other]),
        },
        FieldType::Enum => {
            let known = field.values.0.iter().find(|(_, remote)| is_same(remote, value));
            match known {
                Some((canonical, _)) => Ok(Some(Value::Text(canonical.clone()))),
                None => Ok(Value::text(&scalar_text(value)?)),
            }
        }
        kind => {
            let text = scalar_text(value)?;
            let text = text.trim();
            if text.is_empty() {
                return Ok(None);
            }
            scalar_in(kind, text, value, phones).map(Some)
        }
    }
}

fn scalar_in(kind: FieldType, text: &str, value: &Json, phones: &Phones) -> Result<Value, Misfit> {
    Ok(match kind {
        FieldType::Email => Value::Text(email_in(text)?),
        FieldType::Phone => {
            let normal = (phones.normalise)(text, phones.region.as_deref());
            // A number that cannot be told is kept as it was typed: a person can still read it.
            Value::Text(normal.unwrap_or_else(|| text.into()))
        }
        FieldType::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Value::Bool(true),
            "false" | "0" | "no" => Value::Bool(false),
            _ => return Err(kind_of(value)),
        },
        FieldType::Int => Value::Int(text.parse().ok().ok_or_else(|| kind_of(value))?),
        _ => Value::Text(text.into()),
    })
}

fn email_in(text: &str) -> Result<CompactString, Misfit> {
    let is_address = text
        .rsplit_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if !is_address || text.contains(char::is_whitespace) {
        return Err("text without an e-mail address");
    }
    Ok(text.to_lowercase().into())
}

fn set_of<'a>(items: impl IntoIterator<Item = &'a Json>) -> Result<Option<Value>, Misfit> {
    let mut set = std::collections::BTreeSet::new();
    for item in items {
        let text = scalar_text(item)?;
        if !text.trim().is_empty() {
            set.insert(text.trim().into());
        }
    }
    Ok((!set.is_empty()).then_some(Value::Set(set)))
}

/// The text of a value that is one.
pub(super) fn scalar_text(value: &Json) -> Result<Cow<'_, str>, Misfit> {
    match value {
        Json::String(text) => Ok(Cow::Borrowed(text)),
        Json::Number(number) => Ok(Cow::Owned(number.to_string())),
        Json::Bool(flag) => Ok(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Json::Null => Ok(Cow::Borrowed("")),
        Json::Array(_) | Json::Object(_) => Err(kind_of(value)),
    }
}

fn kind_of(value: &Json) -> Misfit {
    match value {
        Json::Null => "nothing",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// Equal, also when one side is a number and the other its text.
fn is_same(left: &Json, right: &Json) -> bool {
    left == right || matches!((scalar_text(left), scalar_text(right)), (Ok(left), Ok(right)) if left == right)
}

/// A time as a tool writes it.
pub(super) fn time_in(format: &TimeFormat, value: &Json) -> Option<UnixMillis> {
    let number = || value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
    let text = || value.as_str().map(str::trim);
    match format {
        TimeFormat::Rfc3339 => rfc3339(text()?),
        TimeFormat::Ms => number().map(UnixMillis),
        TimeFormat::S => Some(UnixMillis(number()?.checked_mul(1000)?)),
        TimeFormat::Sql => civil(text()?.parse().ok()?),
        TimeFormat::Strftime(pattern) => {
            let broken = jiff::fmt::strtime::BrokenDownTime::parse(pattern.as_bytes(), text()?).ok()?;
            match broken.to_timestamp() {
                Ok(at) => Some(UnixMillis(at.as_millisecond())),
                Err(_) => civil(
                    broken
                        .to_datetime()
                        .or_else(|_| Ok::<_, jiff::Error>(broken.to_date()?.into()))
                        .ok()?,
                ),
            }
        }
        TimeFormat::Parts => {
            let part = |name: &str, least: i64| match value.get(name) {
                None | Some(Json::Null) => Some(least),
                Some(number) => number.as_i64(),
            };
            let small = |name: &str, least| i8::try_from(part(name, least)?).ok();
            let at = jiff::civil::DateTime::new(
                i16::try_from(value.get("year")?.as_i64()?).ok()?,
                small("month", 1)?,
                small("day", 1)?,
                small("hour", 0)?,
                small("minute", 0)?,
                small("second", 0)?,
                i32::try_from(part("microsecond", 0)?.checked_mul(1000)?).ok()?,
            );
            civil(at.ok()?)
        }
    }
}

/// RFC 3339, also with an offset without a colon (`+0000`), which some tools write.
fn rfc3339(text: &str) -> Option<UnixMillis> {
    UnixMillis::from_rfc3339(text).or_else(|| {
        let (head, offset) = text.split_at_checked(text.len().checked_sub(5)?)?;
        let (hours, minutes) = offset.split_at_checked(3)?;
        let is_offset = offset.starts_with(['+', '-']);
        is_offset.then(|| UnixMillis::from_rfc3339(&format!("{head}{hours}:{minutes}")))?
    })
}

fn civil(at: jiff::civil::DateTime) -> Option<UnixMillis> {
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(UnixMillis(at.timestamp().as_millisecond()))
}

/// The remote form of a canonical value.
pub(super) fn value_out(field: &Field, value: &Value) -> Json {
    match (field.kind(), value) {
        (FieldType::Enum, Value::Text(text)) => {
            let known = field.values.0.iter().find(|(canonical, _)| canonical == text);
            known.map_or_else(|| json!(text.as_str()), |(_, remote)| remote.clone())
        }
        (FieldType::Json, Value::Text(text)) => {
            serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_string()))
        }
        (_, Value::Time(at)) => time_out(&field.format, *at),
        (_, Value::Set(items)) => match &field.sep {
            Some(sep) => json!(items.iter().map(CompactString::as_str).collect::<Vec<_>>().join(sep)),
            None => json!(items),
        },
        (_, other) => plain(other),
    }
}

/// A canonical value as expressions see it: a time is milliseconds.
pub(super) fn plain(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text.as_str()),
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!(number),
        Value::Time(at) => json!(at.0),
        Value::Set(items) => json!(items),
    }
}

/// A plain value of an expression as a canonical one.
pub(super) fn canonical(field: &Field, value: &Json) -> Option<Value> {
    match (field.kind(), value) {
        (FieldType::Time, Json::Number(number)) => number.as_i64().map(|at| Value::Time(UnixMillis(at))),
        (_, Json::Bool(flag)) => Some(Value::Bool(*flag)),
        (_, Json::Number(number)) => number.as_i64().map(Value::Int),
        (_, Json::Array(items)) => set_of(items).ok()?,
        (_, Json::String(text)) => Value::text(text),
        (_, Json::Null | Json::Object(_)) => None,
    }
}

fn time_out(format: &TimeFormat, at: UnixMillis) -> Json {
    let formatted = |pattern: &str| {
        let text = filters::format_millis(at.0, pattern);
        text.map_or_else(|| json!(at.0), Json::String)
    };
    match format {
        TimeFormat::Rfc3339 => json!(at.to_string()),
        TimeFormat::Ms => json!(at.0),
        TimeFormat::S => json!(at.0.div_euclid(1000)),
        TimeFormat::Sql => formatted("%Y-%m-%d %H:%M:%S"),
        TimeFormat::Strftime(pattern) => formatted(pattern),
        TimeFormat::Parts => filters::parts_of(at.0).map_or(Json::Null, |parts| json!(parts)),
    }
}

/// The latest of the times that several paths lead to.
pub(super) fn latest(paths: &[Path], format: &TimeFormat, object: &Json) -> Option<UnixMillis> {
    let times = paths.iter().flat_map(|path| {
        let found = match path.find(object) {
            Found::Value(_) if path.is_plain() => path.find(object).value().into_iter().collect(),
            Found::Value(_) => path.all(object),
            Found::Absent | Found::Empty => Vec::new(),
        };
        found
            .into_iter()
            .filter_map(|value| time_in(format, &value))
            .collect::<Vec<_>>()
    });
    times.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: TimeFormat, remote: Json, text: &str) {
        let at = UnixMillis::from_rfc3339(text).unwrap();
        assert_eq!(time_in(&format, &remote), Some(at), "in");
        assert_eq!(time_in(&format, &time_out(&format, at)), Some(at), "out and in");
    }

    #[test]
    fn times() {
        check(
            TimeFormat::Rfc3339,
            json!("2026-01-31T10:00:00.250+02:00"),
            "2026-01-31T08:00:00.250Z",
        );
        check(
            TimeFormat::Rfc3339,
            json!("2026-01-31T10:00:00+0200"),
            "2026-01-31T08:00:00Z",
        );
        check(TimeFormat::Ms, json!("1769846400250"), "2026-01-31T08:00:00.250Z");
        check(TimeFormat::S, json!(1_769_846_400), "2026-01-31T08:00:00Z");
        check(TimeFormat::Sql, json!("2026-01-31 08:00:00"), "2026-01-31T08:00:00Z");
        check(
            TimeFormat::Strftime("%d.%m.%Y".into()),
            json!("31.01.2026"),
            "2026-01-31T00:00:00Z",
        );
        check(
            TimeFormat::Strftime("%Y/%m/%d %H:%M %z".into()),
            json!("2026/01/31 10:00 +0200"),
            "2026-01-31T08:00:00Z",
        );
        check(
            TimeFormat::Parts,
            json!({"year": 2026, "month": 1, "day": 31, "hour": 8, "minute": 0, "second": 0, "microsecond": 250_000}),
            "2026-01-31T08:00:00.250Z",
        );
        assert_eq!(time_in(&TimeFormat::Rfc3339, &json!("yesterday")), None);
        assert_eq!(time_in(&TimeFormat::Rfc3339, &json!("")), None);
        assert_eq!(time_in(&TimeFormat::S, &json!(i64::MAX)), None);
        assert_eq!(time_in(&TimeFormat::Parts, &json!({"year": 2026, "month": 13})), None);
    }
}
