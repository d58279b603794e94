//! The small values of a manifest and how they are read from text: `60s`, `100/10s`, `GET /users`, `header:retry-after`.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use compact_str::CompactString;
use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::expr::Template;
use super::field::{Field, FieldMap, Pairs, RawWrite, TimeFormat, WriteRule};

use super::path::Path;
use super::types::{Pattern, Pick, Reading, Source, Wait};
use super::write::RowKey;
use crate::model::{FieldName, UnixMillis, WriteMode};

/// One or several: a single entry may be written without the list around it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename = "$many")]
pub struct Many<T>(pub Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Many<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

/// A span of time: `500ms`, `60s`, `5m`, `12h`, `30d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl Period {
    /// Reads a span of time; a missing number is 1 (`s` is one second).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = if number.is_empty() { 1 } else { number.parse().ok()? };
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        Some(Self(Duration::from_millis(number.checked_mul(millis)?)))
    }
}

/// So many requests in a span of time: `100/10s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub every: Duration,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads or makes, as the tool likes.
    Post,
    /// Replaces or changes.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// The word in the request.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete]
            .into_iter()
            .find(|method| method.as_str() == word)
    }
}

/// A request line: `GET /users/{{ id }}?fields=a`. The path begins with `/` and follows the manifest's `base`, so that no
/// manifest can send a credential to another host.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and perhaps query; render it with [`Template::render_url`].
    pub path: Template,
}

/// A place in a request: `query.after`, `body.filter.after`, `header.range`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Param {
    /// A parameter of the query.
    Query(CompactString),
    /// A place in the JSON body, names with dots.
    Body(CompactString),
    /// A header.
    Header(CompactString),
}

/// The beginning of time for a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start(pub UnixMillis);

/// Reads a word; says what is expected when it does not fit.
fn from_word<'de, D: Deserializer<'de>, T>(
    from: D,
    expected: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text = CompactString::deserialize(from)?;
    read(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is not {expected}")))
}

macro_rules! words {
    ($($name:ty: $expected:literal, $read:expr;)+) => { $(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from_word(from, $expected, $read)
            }
        }
    )+ };
}

words! {
    Period: "a span of time such as 500ms, 60s, 5m, 12h, 30d", Period::parse;
    Rate: "a rate such as 100/10s", read_rate;
    Param: "a place in a request such as query.after, body.after, header.range", read_param;
    Start: "a time such as 2006-01-01T00:00:00Z", |text| UnixMillis::from_rfc3339(text).map(Start);
    Method: "GET, POST, PUT, PATCH or DELETE", Method::parse;
    Source: "header:NAME or sig.NAME", read_source;
    Wait: "header:NAME, a span of time or backoff", read_wait;
    TimeFormat: "rfc3339, ms, s, sql, parts or a strftime pattern", read_time_format;
}

fn read_rate(text: &str) -> Option<Rate> {
    let (count, every) = text.split_once('/')?;
    let rate = Rate {
        count: count.trim().parse().ok()?,
        every: Period::parse(every)?.0,
    };
    (rate.count > 0 && !rate.every.is_zero()).then_some(rate)
}

fn read_param(text: &str) -> Option<Param> {
    let (part, name) = text.split_once('.')?;
    let make = match part {
        "query" => Param::Query,
        "body" => Param::Body,
        "header" => Param::Header,
        _ => return None,
    };
    (!name.is_empty()).then(|| make(name.into()))
}

fn read_source(text: &str) -> Option<Source> {
    let header = text.strip_prefix("header:").filter(|name| !name.is_empty());
    header
        .map(|name| Source::Header(name.to_ascii_lowercase().into()))
        .or_else(|| Some(Source::Signature(text.strip_prefix("sig.")?.into())))
}

fn read_wait(text: &str) -> Option<Wait> {
    match (text, text.strip_prefix("header:")) {
        ("backoff", _) => Some(Wait::Backoff),
        (_, Some(name)) if !name.is_empty() => Some(Wait::Header(name.to_ascii_lowercase().into())),
        _ => Period::parse(text).map(|period| Wait::Fixed(period.0)),
    }
}

fn read_time_format(text: &str) -> Option<TimeFormat> {
    Some(match text {
        "rfc3339" => TimeFormat::Rfc3339,
        "ms" => TimeFormat::Ms,
        "s" => TimeFormat::S,
        "sql" => TimeFormat::Sql,
        "parts" => TimeFormat::Parts,
        pattern if pattern.contains('%') => TimeFormat::Strftime(pattern.into()),
        _ => return None,
    })
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = CompactString::deserialize(from)?;
        let bad = || {
            de::Error::custom(format!(
                "`{text}` is not a request such as GET /users (the path begins with `/`)"
            ))
        };
        let (method, path) = text.split_once(' ').ok_or_else(bad)?;
        let path = path.trim();
        if !path.starts_with('/') || path.starts_with("//") {
            return Err(bad());
        }
        Ok(Self {
            method: Method::parse(method).ok_or_else(bad)?,
            path: Template::compile(path).map_err(de::Error::custom)?,
        })
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&CompactString::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Pick {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = CompactString::deserialize(from)?;
        if text.contains("{{") {
            return Template::compile(&text).map(Self::Template).map_err(de::Error::custom);
        }
        Path::parse(&text).map(Self::Path).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Reading {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = CompactString::deserialize(from)?;
        if text.contains("{{") {
            return Template::compile(&text).map(Self::Template).map_err(de::Error::custom);
        }
        match text.strip_prefix("header:").filter(|name| !name.is_empty()) {
            Some(name) => Ok(Self::Header(name.to_ascii_lowercase().into())),
            None => Err(de::Error::custom(format!(
                "`{text}` is not header:NAME or an expression"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for RowKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = CompactString::deserialize(from)?;
        if text == "#index" {
            return Ok(Self::Index);
        }
        Path::parse(&text).map(Self::Path).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = CompactString::deserialize(from)?;
        regex::RegexBuilder::new(&text)
            .size_limit(1 << 20)
            .build()
            .map(Self)
            .map_err(|why| de::Error::custom(format!("`{text}` is not a regular expression: {why}")))
    }
}

/// Reads a map entry by entry in the order of the file.
struct Entries<T, F>(F, PhantomData<T>);

impl<'de, T, A, F> Visitor<'de> for Entries<(T, A), F>
where
    T: DeserializeOwned,
    A: Default,
    F: FnMut(&mut A, CompactString, T),
{
    type Value = A;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<A, M::Error> {
        let mut out = A::default();
        while let Some((name, value)) = map.next_entry::<CompactString, T>()? {
            self.0(&mut out, name, value);
        }
        Ok(out)
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let push = |out: &mut Self, name, value: Json| out.0.push((name, value));
        from.deserialize_map(Entries(push, PhantomData::<(Json, Self)>))
    }
}

impl<'de> Deserialize<'de> for FieldMap {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let push = |out: &mut BTreeMap<_, _>, name: CompactString, field: Field| {
            out.insert(name, field);
        };
        let mut fields = from.deserialize_map(Entries(push, PhantomData::<(Field, BTreeMap<CompactString, Field>)>))?;
        // `_at: properties` reads as a field in its short form.
        let at = fields.remove("_at").map(|field| field.to);
        let around = at.clone().unwrap_or_default();
        for field in fields.values_mut() {
            field.to = field.to.under(&around);
            if let WriteRule::Raw(raw) = &mut field.write {
                raw.at = raw.at.under(&around);
            }
        }
        Ok(Self {
            at,
            by_name: fields
                .into_iter()
                .map(|(name, field)| (FieldName(name), field))
                .collect(),
        })
    }
}

struct WriteRuleVisitor;

impl<'de> Visitor<'de> for WriteRuleVisitor {
    type Value = WriteRule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("always, create_only, fill_only, forward_only, never, after, an expression, or `at` and `value`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<WriteRule, E> {
        Ok(match text {
            "always" => WriteRule::Mode(WriteMode::Always),
            "create_only" => WriteRule::Mode(WriteMode::CreateOnly),
            "fill_only" => WriteRule::Mode(WriteMode::FillOnly),
            "forward_only" => WriteRule::Mode(WriteMode::ForwardOnly),
            "never" => WriteRule::Mode(WriteMode::Never),
            "after" => WriteRule::After,
            text if text.contains("{{") => WriteRule::Value(Template::compile(text).map_err(E::custom)?),
            _ => return Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        })
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<WriteRule, M::Error> {
        RawWrite::deserialize(de::value::MapAccessDeserializer::new(map)).map(WriteRule::Raw)
    }
}

impl<'de> Deserialize<'de> for WriteRule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(WriteRuleVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, millis: Option<u64>) {
        assert_eq!(
            Period::parse(text),
            millis.map(|millis| Period(Duration::from_millis(millis))),
            "{text}"
        );
    }

    #[test]
    fn periods() {
        check("500ms", Some(500));
        check("60s", Some(60_000));
        check("5m", Some(300_000));
        check("30d", Some(2_592_000_000));
        check("s", Some(1000));
        check("5", None);
        check("5 minutes", None);
        check("99999999999999999999d", None);
    }

    #[test]
    fn rates() {
        assert_eq!(
            read_rate("100/10s").map(|rate| (rate.count, rate.every.as_secs())),
            Some((100, 10))
        );
        assert_eq!(read_rate("0/1s"), None);
        assert_eq!(read_rate("100"), None);
    }

    #[test]
    fn places_in_messages() {
        assert_eq!(read_param("body.a.b"), Some(Param::Body("a.b".into())));
        assert_eq!(read_param("cookie.x"), None);
        assert_eq!(read_source("header:X-Sig"), Some(Source::Header("x-sig".into())));
        assert_eq!(read_source("sig.v1"), Some(Source::Signature("v1".into())));
        assert_eq!(read_wait("10s"), Some(Wait::Fixed(Duration::from_secs(10))));
        assert_eq!(read_wait("soon"), None);
    }
}
