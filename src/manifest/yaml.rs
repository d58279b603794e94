//! YAML with positions, read so that every mistake of a file is told at once.
//!
//! serde stops at its first error. Here the file becomes a tree first; a type is then read from the tree again and again,
//! each time without the entries that failed before, until nothing new is found. Unknown names never stop a reading.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use compact_str::CompactString;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_saphyr::Spanned;

use super::expr::MARK;
use super::types::Places;
use crate::error::{Code, Problem};

/// The largest file, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;

/// The most mistakes that are told of one file.
const PROBLEMS_MAX: usize = 100;

/// Reads a file; all its mistakes when it has any, in the order of the file.
pub(super) fn read<T: DeserializeOwned>(file: &str, text: &str) -> Result<(T, Places), Vec<Problem>> {
    let problem = |message: String| Problem::new(Code::ManifestInvalid, message);
    if text.len() > FILE_BYTES_MAX {
        return Err(vec![problem(format!("larger than {FILE_BYTES_MAX} bytes")).about(file)]);
    }
    let root = parse(text).map_err(|(message, place)| {
        let at = place.map_or_else(|| file.to_owned(), |(line, column)| format!("{file}:{line}:{column}"));
        vec![problem(message).about(at)]
    })?;
    let mut places = Places {
        file: file.to_owned(),
        at: BTreeMap::new(),
    };
    root.note_places(&mut String::new(), &mut places);
    match decode(&root) {
        Ok(value) => Ok((value, places)),
        Err(found) => Err(found.into_iter().map(|mistake| mistake.into_problem(file)).collect()),
    }
}

type Place = (u32, u32);

fn parse(text: &str) -> Result<Node, (String, Option<Place>)> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: 40,
            max_nodes: 100_000,
        },
    };
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|why| {
        let place = why.location().map(|at| place(at.line(), at.column()));
        let why = why.to_string();
        (why.lines().next().unwrap_or("not YAML").to_owned(), place)
    })?;
    let mut next = 0;
    Ok(Node::from_raw(raw, &mut next))
}

fn place(line: u64, column: u64) -> Place {
    let short = |number| u32::try_from(number).unwrap_or(u32::MAX);
    (short(line), short(column))
}

/// What serde-saphyr hands over.
enum Raw {
    Scalar(Scalar),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<CompactString>, Spanned<Raw>)>),
}

#[derive(Clone)]
enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Large(u64),
    Float(f64),
    Text(CompactString),
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Scalar::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Scalar::Null))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Scalar::Bool(flag)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Scalar::Int(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(
            i64::try_from(number).map_or(Scalar::Large(number), Scalar::Int),
        ))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Scalar::Float(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Scalar::Text(text.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RawVisitor)
    }
}

/// One value of the file.
struct Node {
    id: u32,
    place: Place,
    data: Data,
}

enum Data {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

struct Entry {
    name: CompactString,
    place: Place,
    value: Node,
}

impl Node {
    fn from_raw(raw: Spanned<Raw>, next: &mut u32) -> Self {
        let id = *next;
        *next += 1;
        let place = place(raw.referenced.line(), raw.referenced.column());
        let data = match raw.value {
            Raw::Scalar(scalar) => Data::Scalar(scalar),
            Raw::List(items) => Data::List(items.into_iter().map(|item| Self::from_raw(item, next)).collect()),
            Raw::Map(entries) => Data::Map(
                entries
                    .into_iter()
                    .map(|(name, value)| Entry {
                        place: self::place(name.referenced.line(), name.referenced.column()),
                        name: name.value,
                        value: Self::from_raw(value, next),
                    })
                    .collect(),
            ),
        };
        Self { id, place, data }
    }

    fn note_places(&self, path: &mut String, places: &mut Places) {
        let length = path.len();
        let dot = if length == 0 { "" } else { "." };
        match &self.data {
            Data::Scalar(_) => {}
            Data::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push_str(&format!("{dot}{index}"));
                    places.at.insert(path.clone(), item.place);
                    item.note_places(path, places);
                    path.truncate(length);
                }
            }
            Data::Map(entries) => {
                for entry in entries {
                    path.push_str(&format!("{dot}{}", entry.name));
                    let is_scalar = matches!(entry.value.data, Data::Scalar(_));
                    places
                        .at
                        .insert(path.clone(), if is_scalar { entry.value.place } else { entry.place });
                    entry.value.note_places(path, places);
                    path.truncate(length);
                }
            }
        }
    }
}

/// One mistake, as it travels through serde.
#[derive(Clone, Debug)]
struct Mistake {
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

    fn into_problem(self, file: &str) -> Problem {
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
pub(super) fn suggest<T: AsRef<str>>(given: &str, names: &[T]) -> String {
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

fn decode<T: DeserializeOwned>(root: &Node) -> Result<T, Vec<Mistake>> {
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
