//! A value that some tools put into the body of an answer and others into a header.

use std::collections::BTreeSet;

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, de};

use super::expr::Template;
use super::path::Path;

/// Where an answer says something: `total.count` in the body, `header:x-total-count`, or an expression on `body`, `headers`
/// and `status`.
#[derive(Clone, Debug)]
pub enum FromAnswer {
    /// A place in the body.
    Body(Path),
    /// A header, lower case.
    Header(CompactString),
    /// An expression.
    Template(Template),
}

impl FromAnswer {
    /// The names its expression uses.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        match self {
            Self::Template(template) => template.names(),
            Self::Body(_) | Self::Header(_) => BTreeSet::new(),
        }
    }
}

impl<'de> Deserialize<'de> for FromAnswer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = CompactString::deserialize(from)?;
        if text.contains("{{") {
            return Template::compile(&text).map(Self::Template).map_err(de::Error::custom);
        }
        if let Some(name) = text.strip_prefix("header:").filter(|name| !name.is_empty()) {
            return Ok(Self::Header(name.to_ascii_lowercase().into()));
        }
        Path::parse(&text).map(Self::Body).map_err(de::Error::custom)
    }
}
