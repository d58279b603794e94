//! Reads types from the tree of a file so that every mistake is told at once.
//!
//! serde stops at its first error. Here a type is read again and again, each time without the entries that failed before,
//! until nothing new is found. Unknown names never stop a reading. A struct named `$short/NAME` may be written as the value
//! of `NAME` alone, one named `$many` as a single item without its list.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::expr::MARK;
use super::yaml::{Data, Entry, Node, Place, Scalar};
use crate::error::{Code, Problem};

/// The most mistakes that are told of one file.
const PROBLEMS_MAX: usize = 100;

pub(super) fn decode<T: DeserializeOwned>(root: &Node) -> Result<T, Vec<Mistake>> {
    let mut mistakes: Vec<Mistake> = Vec::new();
    let mut skipped = BTreeSet::new();
    loop {
        let pass = Pass {
            skipped,
            unknown: RefCell::default(),
        };
        let result = T::deserialize(Reader {
            node: root,
            pass: &pass,
        });
        skipped = pass.skipped;
        let again = match &result {
            Ok(_) => false,
            Err(mistake) => {
                if !mistake.quiet {
                    mistakes.push(mistake.clone());
                }
                let skip = mistake.node.map(|(id, _)| id).filter(|id| *id != root.id);
                mistakes.len() < PROBLEMS_MAX && skip.is_some_and(|id| skipped.insert(id))
            }
        };
        if again {
            continue;
        }
        mistakes.extend(pass.unknown.into_inner());
        return match result {
            Ok(value) if mistakes.is_empty() => Ok(value),
            _ => {
                mistakes.sort_by_key(|mistake| mistake.node.map(|(_, place)| place));
                mistakes.truncate(PROBLEMS_MAX);
                Err(mistakes)
            }
        };
    }
}

/// One mistake, as it travels through serde.
#[derive(Clone, Debug)]
pub(super) struct Mistake {
    message: String,
    hint: String,
    /// The entry to leave out next time, and where it stands.
    node: Option<(u32, Place)>,
    /// The required name that was not there.
    missing: Option<&'static str>,
    /// A consequence of another mistake.
    quiet: bool,
}

impl Mistake {
    fn new(message: String, hint: String) -> Self {
        Self {
            message,
            hint,
            node: None,
            missing: None,
            quiet: false,
        }
    }

    fn at(mut self, node: &Node) -> Self {
        self.node.get_or_insert((node.id, node.place));
        self
    }

    pub(super) fn into_problem(self, file: &str) -> Problem {
        let (code, message) = match self.message.strip_prefix(MARK) {
            Some(message) => (Code::ManifestExpression, message.to_owned()),
            None => (Code::ManifestInvalid, self.message),
        };
        let place = self
            .node
            .map_or_else(String::new, |(_, (line, column))| format!(":{line}:{column}"));
        Problem::new(code, message)
            .about(format!("{file}{place}"))
            .hint(self.hint)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

impl serde::de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string(), String::new())
    }

    fn invalid_type(found: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::new(format!("expected {expected}, found {found}"), String::new())
    }

    fn invalid_value(found: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::new(format!("expected {expected}, found {found}"), String::new())
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown word `{variant}`"), suggest(variant, expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown name `{field}`"), suggest(field, expected))
    }

    fn missing_field(field: &'static str) -> Self {
        let mut mistake = Self::new(format!("`{field}` is missing"), String::new());
        mistake.missing = Some(field);
        mistake
    }
}

/// The nearest right name, or all of them.
pub(crate) fn suggest<T: AsRef<str>>(given: &str, names: &[T]) -> String {
    let near = names
        .iter()
        .map(|name| {
            (
                strsim::normalized_damerau_levenshtein(given, name.as_ref()),
                name.as_ref(),
            )
        })
        .filter(|(score, _)| *score >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if names.is_empty() => String::new(),
        None => {
            let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
            format!("there are {}", names.join(", "))
        }
    }
}

/// One reading of the tree.
struct Pass {
    skipped: BTreeSet<u32>,
    unknown: RefCell<Vec<Mistake>>,
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    pass: &'a Pass,
}

impl<'a> Reader<'a> {
    fn to(self, node: &'a Node) -> Self {
        Self { node, pass: self.pass }
    }

    fn is_skipped(self, node: &Node) -> bool {
        self.pass.skipped.contains(&node.id)
    }

    fn items(self, items: &'a [Node]) -> impl Iterator<Item = Self> {
        items
            .iter()
            .filter(move |item| !self.is_skipped(item))
            .map(move |item| self.to(item))
    }

    fn entries(self, entries: &'a [Entry]) -> impl Iterator<Item = (&'a str, Self)> {
        entries
            .iter()
            .filter(move |entry| !self.is_skipped(&entry.value))
            .map(move |entry| (entry.name.as_str(), self.to(&entry.value)))
    }

    /// The entries whose name is known; the others are noted.
    fn known(self, entries: &'a [Entry], fields: &'static [&'static str]) -> Vec<(&'a str, Self)> {
        let mut known = Vec::new();
        for entry in entries {
            if !fields.contains(&entry.name.as_str()) {
                let mut mistake = Mistake::unknown_field(&entry.name, fields);
                mistake.node = Some((entry.value.id, entry.place));
                self.pass.unknown.borrow_mut().push(mistake);
            } else if !self.is_skipped(&entry.value) {
                known.push((entry.name.as_str(), self.to(&entry.value)));
            }
        }
        known
    }

    /// Pins a mistake to this entry. A name that is missing because its value failed before is not told again.
    fn pin<T>(self, result: Result<T, Mistake>) -> Result<T, Mistake> {
        result.map_err(|mut mistake| {
            if let (Some(missing), Data::Map(entries), None) = (mistake.missing, &self.node.data, mistake.node) {
                mistake.quiet = entries.iter().any(|entry| entry.name == missing);
            }
            mistake.at(self.node)
        })
    }
}

struct Items<'a>(std::vec::IntoIter<Reader<'a>>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Mistake;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mistake> {
        let next = self.0.next();
        next.map(|item| item.pin(seed.deserialize(item))).transpose()
    }
}

struct Members<'a> {
    entries: std::vec::IntoIter<(&'a str, Reader<'a>)>,
    value: Option<Reader<'a>>,
}

impl<'a> Members<'a> {
    fn new(entries: Vec<(&'a str, Reader<'a>)>) -> Self {
        Self {
            entries: entries.into_iter(),
            value: None,
        }
    }
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Mistake;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mistake> {
        let Some((name, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        let name: StrDeserializer<'_, Mistake> = name.into_deserializer();
        value.pin(seed.deserialize(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Mistake> {
        let value = self
            .value
            .take()
            .ok_or_else(|| Mistake::custom("a value before its name"))?;
        value.pin(seed.deserialize(value))
    }
}

/// `word`, or `{word: value}`.
struct Choice<'a> {
    word: &'a str,
    value: Option<Reader<'a>>,
}

impl<'a, 'de> EnumAccess<'de> for Choice<'a> {
    type Error = Mistake;
    type Variant = Chosen<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Chosen<'a>), Mistake> {
        let word: StrDeserializer<'_, Mistake> = self.word.into_deserializer();
        Ok((seed.deserialize(word)?, Chosen(self.value)))
    }
}

struct Chosen<'a>(Option<Reader<'a>>);

impl Chosen<'_> {
    fn need(&self) -> Result<Reader<'_>, Mistake> {
        self.0
            .ok_or_else(|| Mistake::custom("expected a value after this word"))
    }
}

impl<'de> VariantAccess<'de> for Chosen<'_> {
    type Error = Mistake;

    fn unit_variant(self) -> Result<(), Mistake> {
        match self.0 {
            None => Ok(()),
            Some(_) => Err(Mistake::custom("this word takes no value")),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Mistake> {
        let value = self.need()?;
        value.pin(seed.deserialize(value))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mistake> {
        self.need()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Mistake> {
        self.need()?.deserialize_struct("", fields, visitor)
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let result = match &self.node.data {
            Data::Scalar(Scalar::Null) => visitor.visit_unit(),
            Data::Scalar(Scalar::Bool(flag)) => visitor.visit_bool(*flag),
            Data::Scalar(Scalar::Int(number)) => visitor.visit_i64(*number),
            Data::Scalar(Scalar::Large(number)) => visitor.visit_u64(*number),
            Data::Scalar(Scalar::Float(number)) => visitor.visit_f64(*number),
            Data::Scalar(Scalar::Text(text)) => visitor.visit_str(text),
            Data::List(items) => visitor.visit_seq(Items(self.items(items).collect::<Vec<_>>().into_iter())),
            Data::Map(entries) => visitor.visit_map(Members::new(self.entries(entries).collect())),
        };
        self.pin(result)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.node.data {
            Data::Scalar(Scalar::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A whole number is as good as its text (`password: 1234`).
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.data {
            Data::Scalar(Scalar::Int(number)) => self.pin(visitor.visit_string(number.to_string())),
            Data::Scalar(Scalar::Large(number)) => self.pin(visitor.visit_string(number.to_string())),
            Data::Scalar(Scalar::Text(text)) => self.pin(visitor.visit_str(text)),
            Data::Scalar(_) => self.pin(Err(Mistake::new(
                "expected text".to_owned(),
                "put it in quotes".to_owned(),
            ))),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_str(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Mistake> {
        if name == "$many" && !matches!(self.node.data, Data::List(_)) {
            return self.pin(visitor.visit_newtype_struct(Single(self)));
        }
        self.pin(visitor.visit_newtype_struct(self))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match (&self.node.data, name.strip_prefix("$short/")) {
            (Data::Map(entries), _) => self.pin(visitor.visit_map(Members::new(self.known(entries, fields)))),
            (Data::Scalar(Scalar::Text(_)) | Data::List(_), Some(only)) => {
                self.pin(visitor.visit_map(Members::new(vec![(only, self)])))
            }
            (Data::Scalar(Scalar::Null), None) => self.pin(Err(Mistake::custom("expected a map, found nothing"))),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let choice = match &self.node.data {
            Data::Scalar(Scalar::Text(word)) => Choice { word, value: None },
            Data::Map(entries) if entries.len() == 1 => match self.entries(entries).next() {
                Some((word, value)) => Choice {
                    word,
                    value: Some(value),
                },
                // Its only value failed before.
                None => {
                    let mut mistake = Mistake::custom("nothing is left of it");
                    mistake.quiet = true;
                    return self.pin(Err(mistake));
                }
            },
            _ => {
                let message = format!("expected one of {}", variants.join(", "));
                return self.pin(Err(Mistake::new(message, String::new())));
            }
        };
        self.pin(visitor.visit_enum(choice))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct map
        identifier ignored_any
    }
}

/// One entry that stands for a list of it.
struct Single<'a>(Reader<'a>);

impl<'de> Deserializer<'de> for Single<'_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let items = if self.0.is_skipped(self.0.node) {
            vec![]
        } else {
            vec![self.0]
        };
        visitor.visit_seq(Items(items.into_iter()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
