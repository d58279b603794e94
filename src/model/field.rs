//! Canonical field names and three-valued fields: absent, known to be empty, or a value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use compact_str::CompactString;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::UnixMillis;

/// The canonical name of a field (`given_name`), the same for every system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldName(pub CompactString);

impl FieldName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for FieldName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for FieldName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// One value in canonical form: vendors' formats are left behind when a record is mapped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Text, trimmed; never empty (empty is [`None`] in [`Fields`]).
    Text(CompactString),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A moment.
    Time(UnixMillis),
    /// Several values without order: tags, lists.
    Set(BTreeSet<CompactString>),
}

impl Value {
    /// Text, or `None` when nothing but white space is left of it.
    #[must_use]
    pub fn text(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self::Text(text.into()))
    }

    /// The text of a text value.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Time(at) => write!(f, "{at}"),
            Self::Set(items) => f.write_str(&items.iter().map(CompactString::as_str).collect::<Vec<_>>().join(", ")),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => to.serialize_str(text),
            Self::Bool(flag) => to.serialize_bool(*flag),
            Self::Int(number) => to.serialize_i64(*number),
            Self::Time(at) => BTreeMap::from([("at", at.0)]).serialize(to),
            Self::Set(items) => items.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, true/false, a whole number, {\"at\": milliseconds} or a list of texts")
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        i64::try_from(number).map(Value::Int).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = BTreeSet::new();
        while let Some(item) = seq.next_element::<CompactString>()? {
            items.insert(item);
        }
        Ok(Value::Set(items))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        match map.next_entry::<CompactString, i64>()? {
            Some((key, at)) if key == "at" => Ok(Value::Time(UnixMillis(at))),
            _ => Err(de::Error::custom("expected {\"at\": milliseconds}")),
        }
    }
}

/// Fields by canonical name. Three-valued: a missing entry is *absent* (not said), `None` is *known to be empty*.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fields(pub BTreeMap<FieldName, Option<Value>>);

impl Fields {
    /// The value of a field; `None` when absent or empty.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).and_then(Option::as_ref)
    }

    /// The text of a field; `None` when absent, empty or not text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(Value::as_text)
    }

    /// Sets a field to a value.
    pub fn set(&mut self, name: impl Into<FieldName>, value: Value) {
        self.0.insert(name.into(), Some(value));
    }
}

impl<N: Into<FieldName>, const LEN: usize> From<[(N, Value); LEN]> for Fields {
    fn from(pairs: [(N, Value); LEN]) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), Some(value)))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Value, json: &str) {
        assert_eq!(serde_json::to_string(&value).unwrap(), json);
        assert_eq!(serde_json::from_str::<Value>(json).unwrap(), value);
    }

    #[test]
    fn values_keep_their_kind_in_json() {
        check(Value::Text("5".into()), "\"5\"");
        check(Value::Int(5), "5");
        check(Value::Bool(true), "true");
        check(Value::Time(UnixMillis(5)), "{\"at\":5}");
        check(Value::Set(["b".into(), "a".into()].into()), "[\"a\",\"b\"]");
    }

    #[test]
    fn blank_text_is_no_value() {
        assert_eq!(Value::text("  \t"), None);
        assert_eq!(Value::text(" a "), Some(Value::Text("a".into())));
    }
}
