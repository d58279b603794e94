//! JSON values with expressions in their texts: bodies, queries, headers.

use std::collections::BTreeSet;
use std::fmt;

use compact_str::CompactString;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json};

use super::expr::{BadExpression, Context, Template};

/// A JSON value with expressions in its texts.
#[derive(Clone, Debug)]
pub enum Body {
    /// Without any expression.
    Literal(Json),
    /// A text with expressions; one that is a single expression becomes its value.
    Template(Template),
    /// A list.
    List(Vec<Body>),
    /// An object.
    Map(Vec<(CompactString, Body)>),
}

impl Body {
    /// Compiles every text of a JSON value.
    ///
    /// # Errors
    /// When one of them does not compile.
    pub fn compile(value: Json) -> Result<Self, BadExpression> {
        Ok(match value {
            Json::String(text) if text.contains("{{") => Self::Template(Template::compile(&text)?),
            Json::Array(items) => Self::List(items.into_iter().map(Self::compile).collect::<Result<_, _>>()?),
            Json::Object(map) => Self::Map(
                map.into_iter()
                    .map(|(name, value)| Ok((name.into(), Self::compile(value)?)))
                    .collect::<Result<_, _>>()?,
            ),
            other => Self::Literal(other),
        })
    }

    /// The value with every expression evaluated.
    ///
    /// # Errors
    /// As [`Template::render_text`].
    pub fn render(&self, context: &Context) -> Result<Json, BadExpression> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Template(template) => template.render_value(context)?,
            Self::List(items) => Json::Array(
                items
                    .iter()
                    .map(|item| item.render(context))
                    .collect::<Result<_, _>>()?,
            ),
            Self::Map(pairs) => {
                let mut map = Map::new();
                for (name, value) in pairs {
                    map.insert(name.to_string(), value.render(context)?);
                }
                Json::Object(map)
            }
        })
    }

    /// The names its expressions use.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        match self {
            Self::Literal(_) => BTreeSet::new(),
            Self::Template(template) => template.names(),
            Self::List(items) => items.iter().flat_map(Self::names).collect(),
            Self::Map(pairs) => pairs.iter().flat_map(|(_, value)| value.names()).collect(),
        }
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value, with expressions in its texts")
    }

    fn visit_unit<E>(self) -> Result<Body, E> {
        Ok(Body::Literal(Json::Null))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Body, E> {
        Ok(Body::Literal(flag.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Body, E> {
        Ok(Body::Literal(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Body, E> {
        Ok(Body::Literal(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Body, E> {
        Ok(Body::Literal(number.into()))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Body, E> {
        Body::compile(text.into()).map_err(E::custom)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Body, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Body::List(items))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Body::Map(pairs))
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(BodyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lone_expression_becomes_its_value() {
        let body = Body::compile(json!({"ids": "{{ ids }}", "q": ["a{{ n }}", 1, null], "limit": 200})).unwrap();
        let context = Context::of(&json!({"ids": [1, 2], "n": 5}));
        assert_eq!(
            body.render(&context),
            Ok(json!({"ids": [1, 2], "q": ["a5", 1, null], "limit": 200}))
        );
        assert_eq!(body.names(), BTreeSet::from(["ids".to_owned(), "n".to_owned()]));
        assert!(body.render(&Context::new()).is_err());
    }
}
