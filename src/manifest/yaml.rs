//! YAML as a tree with positions. Types are read from it by [`super::decode`].

use std::collections::BTreeMap;
use std::fmt;

use compact_str::CompactString;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::decode::decode;
use super::types::Places;
use crate::error::{Code, Problem};

/// The largest file, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;

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

pub(super) type Place = (u32, u32);

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
pub(super) enum Scalar {
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
pub(super) struct Node {
    pub(super) id: u32,
    pub(super) place: Place,
    pub(super) data: Data,
}

pub(super) enum Data {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

pub(super) struct Entry {
    pub(super) name: CompactString,
    pub(super) place: Place,
    pub(super) value: Node,
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
        let below: Vec<(String, Place, &Self)> = match &self.data {
            Data::Scalar(_) => Vec::new(),
            Data::List(items) => {
                let numbered = items.iter().enumerate();
                numbered
                    .map(|(index, item)| (format!("{dot}{index}"), item.place, item))
                    .collect()
            }
            Data::Map(entries) => entries.iter().map(|entry| entry.named(dot)).collect(),
        };
        for (name, place, value) in below {
            path.push_str(&name);
            places.at.insert(path.clone(), place);
            value.note_places(path, places);
            path.truncate(length);
        }
    }
}

impl Entry {
    /// What a message about the entry points at: the value if it is one word, else the name before it.
    fn named(&self, dot: &str) -> (String, Place, &Node) {
        let is_scalar = matches!(self.value.data, Data::Scalar(_));
        let place = if is_scalar { self.value.place } else { self.place };
        (format!("{dot}{}", self.name), place, &self.value)
    }
}
