//! What expressions can do: times, hashes, encodings, and small changes to lists and objects.
//!
//! | filter | does |
//! | --- | --- |
//! | `ms` `s` `rfc3339` `sql` `parts` `strftime(p)` | a time (milliseconds) as text or number |
//! | `md5` `sha256` `base64` `base64url` `hex_decode` | hashes and encodings, of text or bytes |
//! | `find(regex)` | the first group of the first match, or the match; `none` when there is none |
//! | `each(name)` | every item as an object `{name: item}` |
//! | `with(k, v)` `without(k)` | an object with a member more or less |
//! | `unescape(letters)` | `%XX` of these letters alone turned back into them |
//! | `tojson` `fromjson(default)` | JSON text and back; `default` when the text is no JSON |
//! | `split(sep)` `text` | text into a list; anything as text, nothing as "" |
//!
//! Texts also have the methods `split`, `lower`, `upper`, `strip`, `startswith`, `endswith`, `replace`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use md5::{Digest, Md5};
use minijinja::value::{Value as Dyn, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};
use sha2::Sha256;

use super::dynamic;
use crate::model::UnixMillis;

/// Adds all of them to an environment.
pub(super) fn install(env: &mut Environment<'static>) {
    env.add_filter("ms", millis);
    env.add_filter("s", |value: Dyn| Ok::<_, Error>(millis(value)?.div_euclid(1000)));
    env.add_filter("rfc3339", |value: Dyn| {
        Ok::<_, Error>(UnixMillis(millis(value)?).to_string())
    });
    env.add_filter("sql", |value: Dyn| format_time(value, "%Y-%m-%d %H:%M:%S"));
    env.add_filter("strftime", |value: Dyn, pattern: String| format_time(value, &pattern));
    env.add_filter("parts", parts);
    env.add_filter("md5", |value: Dyn| hex(&Md5::digest(bytes(&value))));
    env.add_filter("sha256", |value: Dyn| hex(&Sha256::digest(bytes(&value))));
    env.add_filter("base64", |value: Dyn| STANDARD.encode(bytes(&value)));
    env.add_filter("base64url", |value: Dyn| URL_SAFE.encode(bytes(&value)));
    env.add_filter("hex_decode", hex_decode);
    env.add_filter("find", find);
    env.add_filter("unescape", unescape);
    env.add_filter("each", each);
    env.add_filter("with", with);
    env.add_filter("without", without);
    env.add_filter("tojson", |value: Dyn| dynamic::to_json(&value).to_string());
    env.add_filter("fromjson", fromjson);
    env.add_filter("split", |text: Option<String>, sep: String| {
        split(&text.unwrap_or_default(), &sep)
    });
    env.add_filter("text", |value: Dyn| text_of(&value));
    env.set_unknown_method_callback(method);
}

/// Anything as text: `none` and what is not there as "", lists and objects as JSON.
pub(super) fn text_of(value: &Dyn) -> String {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => String::new(),
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => dynamic::to_json(value).to_string(),
        _ => value.to_string(),
    }
}

fn bad(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of a filter")]
fn millis(value: Dyn) -> Result<i64, Error> {
    if let Ok(number) = i64::try_from(value.clone()) {
        return Ok(number);
    }
    let at = value.as_str().and_then(UnixMillis::from_rfc3339);
    at.map(|at| at.0).ok_or_else(|| bad(format!("`{value}` is not a time")))
}

fn moment(at: i64) -> Option<jiff::Zoned> {
    let at = jiff::Timestamp::from_millisecond(at).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC))
}

/// A time in a `strftime` pattern, UTC; `None` when the pattern or the time is impossible.
pub(super) fn format_millis(at: i64, pattern: &str) -> Option<String> {
    jiff::fmt::strtime::format(pattern, &moment(at)?).ok()
}

/// A time in its parts, UTC.
pub(super) fn parts_of(at: i64) -> Option<BTreeMap<&'static str, i32>> {
    let at = moment(at)?;
    Some(BTreeMap::from([
        ("year", i32::from(at.year())),
        ("month", i32::from(at.month())),
        ("day", i32::from(at.day())),
        ("hour", i32::from(at.hour())),
        ("minute", i32::from(at.minute())),
        ("second", i32::from(at.second())),
        ("microsecond", at.subsec_nanosecond() / 1000),
    ]))
}

fn format_time(value: Dyn, pattern: &str) -> Result<String, Error> {
    let text = format_millis(millis(value)?, pattern);
    text.ok_or_else(|| bad(format!("cannot be written as `{pattern}`")))
}

fn parts(value: Dyn) -> Result<Dyn, Error> {
    let parts = parts_of(millis(value)?).ok_or_else(|| bad("not a time"))?;
    Ok(Dyn::from_pairs(parts))
}

fn bytes(value: &Dyn) -> Vec<u8> {
    match value.as_bytes() {
        Some(bytes) => bytes.to_vec(),
        None => text_of(value).into_bytes(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of a filter")]
fn hex_decode(text: String) -> Result<Dyn, Error> {
    let digits = text.trim().as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let decoded: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
    match decoded {
        Some(decoded) if digits.len().is_multiple_of(2) => Ok(Dyn::from_bytes(decoded)),
        _ => Err(bad("not hexadecimal")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of a filter")]
fn unescape(text: String, letters: String) -> String {
    let code = |pair: &str| u8::from_str_radix(pair, 16).ok().map(char::from);
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let letter = part.get(..2).and_then(code).filter(|letter| letters.contains(*letter));
        match (letter, part.get(2..)) {
            (Some(letter), Some(rest)) => {
                out.push(letter);
                out.push_str(rest);
            }
            _ => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    out
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of a filter")]
fn find(value: Dyn, pattern: String) -> Result<Option<String>, Error> {
    let pattern = regex::RegexBuilder::new(&pattern).size_limit(1 << 20).build();
    let pattern = pattern.map_err(|why| bad(why.to_string()))?;
    let text = text_of(&value);
    let group = pattern
        .captures(&text)
        .and_then(|found| found.get(1).or_else(|| found.get(0)));
    Ok(group.map(|found| found.as_str().to_owned()))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of a filter")]
fn each(items: Vec<Dyn>, name: String) -> Vec<Dyn> {
    let object = |item: Dyn| Dyn::from_pairs([(name.as_str(), item)]);
    items.into_iter().map(object).collect()
}

fn members(value: &Dyn) -> Result<BTreeMap<String, Dyn>, Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(BTreeMap::new());
    }
    if value.kind() != ValueKind::Map {
        return Err(bad(format!("`{value}` is not an object")));
    }
    value
        .try_iter()?
        .map(|name| Ok((text_of(&name), value.get_item(&name)?)))
        .collect()
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of a filter")]
fn with(object: Dyn, name: String, value: Dyn) -> Result<Dyn, Error> {
    let mut members = members(&object)?;
    members.insert(name, value);
    Ok(Dyn::from_pairs(members))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of a filter")]
fn without(object: Dyn, name: String) -> Result<Dyn, Error> {
    let mut members = members(&object)?;
    members.remove(&name);
    Ok(Dyn::from_pairs(members))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of a filter")]
fn fromjson(value: Dyn, default: Option<Dyn>) -> Result<Dyn, Error> {
    let text = text_of(&value);
    match (serde_json::from_str::<serde_json::Value>(&text), default) {
        (Ok(value), _) => Ok(dynamic::from_json(&value)),
        (Err(_), Some(default)) => Ok(default),
        (Err(_), None) => Err(bad("not JSON")),
    }
}

fn split(text: &str, sep: &str) -> Vec<String> {
    if sep.is_empty() {
        return text.split_whitespace().map(ToOwned::to_owned).collect();
    }
    text.split(sep).map(ToOwned::to_owned).collect()
}

fn method(_: &mut State<'_, '_>, value: &Dyn, name: &str, args: &[Dyn]) -> Result<Dyn, Error> {
    let unknown = || Error::new(ErrorKind::UnknownMethod, format!("no method `{name}`"));
    let text = value.as_str().ok_or_else(unknown)?;
    let argument = |at: usize| args.get(at).and_then(Dyn::as_str).unwrap_or_default();
    Ok(match name {
        "split" => Dyn::from(split(text, argument(0))),
        "lower" => Dyn::from(text.to_lowercase()),
        "upper" => Dyn::from(text.to_uppercase()),
        "strip" => Dyn::from(text.trim()),
        "startswith" => Dyn::from(text.starts_with(argument(0))),
        "endswith" => Dyn::from(text.ends_with(argument(0))),
        "replace" => Dyn::from(text.replace(argument(0), argument(1))),
        _ => return Err(unknown()),
    })
}
