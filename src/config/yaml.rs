//! YAML as a tree that knows where everything stands: the loaders of config want a position for every single mistake.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

/// Line and column, both counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) kind: Kind,
}

/// What a node is. Scalars keep the text that stands in the file: a token `0012` is not the number 12.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Table(Vec<(String, At, Node)>),
}

/// Why a text is not a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotYaml {
    pub(super) at: Option<At>,
    pub(super) message: String,
}

/// Reads one YAML document; an empty one is [`Kind::Null`]. Depth, aliases and size are bounded by the parser's budget.
pub(super) fn parse(text: &str) -> Result<Node, NotYaml> {
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Ok(Node {
            at: At { line: 1, column: 1 },
            kind: Kind::Null,
        });
    }
    match serde_saphyr::from_str::<Spanned<Raw>>(text) {
        Ok(raw) => Ok(Reader { text }.node(raw)),
        Err(error) => Err(NotYaml {
            at: error.location().map(at),
            message: first_line(&error.without_snippet().to_string()),
        }),
    }
}

fn at(location: serde_saphyr::Location) -> At {
    At {
        line: location.line(),
        column: location.column(),
    }
}

/// The parser's message without its position and snippet, which a problem carries by itself.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or("not valid YAML");
    let line = line.strip_prefix("error: ").unwrap_or(line);
    match line.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((_, rest)) => rest.to_owned(),
        None => line.split(" at line ").next().unwrap_or(line).to_owned(),
    }
}

/// A tree as serde hands it out; numbers and flags still have to be turned back into the text of the file.
enum Raw {
    Null,
    Text(String),
    Plain(String),
    List(Vec<Spanned<Raw>>),
    Table(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Raw, D::Error> {
        Raw::deserialize(from)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Plain(flag.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Plain(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Plain(number.to_string()))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Raw, E> {
        Ok(Raw::Plain(number.to_string()))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Raw, E> {
        Ok(Raw::Plain(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Plain(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
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
        Ok(Raw::Table(entries))
    }
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn node(&self, raw: Spanned<Raw>) -> Node {
        let kind = match raw.value {
            Raw::Null => Kind::Null,
            Raw::Text(text) => Kind::Scalar(text),
            Raw::Plain(parsed) => Kind::Scalar(self.source(raw.defined).unwrap_or(parsed)),
            Raw::List(items) => Kind::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Table(entries) => Kind::Table(
                entries
                    .into_iter()
                    .map(|(key, value)| (key.value, at(key.referenced), self.node(value)))
                    .collect(),
            ),
        };
        Node {
            at: at(raw.referenced),
            kind,
        }
    }

    /// The very characters of a plain scalar, as long as they look like one.
    fn source(&self, location: serde_saphyr::Location) -> Option<String> {
        let start = usize::try_from(location.span().byte_offset()?).ok()?;
        let len = usize::try_from(location.span().byte_len()?).ok()?;
        let slice = self.text.get(start..start.checked_add(len)?)?.trim();
        let is_plain = !slice.is_empty() && slice.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c));
        is_plain.then(|| slice.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Vec<(String, At, Node)> {
        match parse(text).unwrap().kind {
            Kind::Table(entries) => entries,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_key_and_value_knows_where_it_stands() {
        let entries = table("a: 1\nb:\n  c: [x, y]\n");
        assert_eq!(entries[0].1, At { line: 1, column: 1 });
        assert_eq!(entries[0].2.at, At { line: 1, column: 4 });
        let Kind::Table(inner) = &entries[1].2.kind else {
            panic!("not a table")
        };
        assert_eq!(inner[0].1, At { line: 3, column: 3 });
        let Kind::List(items) = &inner[0].2.kind else {
            panic!("not a list")
        };
        assert_eq!(items[1].at, At { line: 3, column: 10 });
    }

    #[test]
    fn scalars_keep_their_text() {
        for text in ["0012", "1.10", "true", "1e3", "0x10", "12345678901234567890123", "-5"] {
            let entries = table(&format!("a: {text} # note\n"));
            assert_eq!(entries[0].2.kind, Kind::Scalar(text.to_owned()), "{text}");
        }
        assert_eq!(table("a: \"0 1\"\n")[0].2.kind, Kind::Scalar("0 1".to_owned()));
        assert_eq!(table("a:\n")[0].2.kind, Kind::Null);
        assert_eq!(table("a: ~\n")[0].2.kind, Kind::Null);
    }

    #[test]
    fn mistakes_have_a_place() {
        let error = parse("a: 1\na: 2\n").unwrap_err();
        assert_eq!(error.at.map(|at| at.line), Some(2), "{error:?}");
        let error = parse("a: [1, 2\nb: {").unwrap_err();
        assert!(error.at.is_some(), "{error:?}");
        assert!(!error.message.contains('\n'));
    }

    #[test]
    fn nothing_but_comments_is_empty() {
        assert_eq!(parse("# a\n\n").unwrap().kind, Kind::Null);
    }
}
