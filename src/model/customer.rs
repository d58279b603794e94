//! A customer: our stable key, and the golden record that her records amount to.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::{FieldName, Fields, RecordId, UnixMillis};

/// What a customer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A human being.
    #[default]
    Person,
    /// A company, association or authority.
    Organization,
}

impl Kind {
    /// The prefix of the keys of this kind.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Person => "per_",
            Self::Organization => "org_",
        }
    }
}

/// Our stable id of a person or an organization: `per_` or `org_` and a `UUIDv7`, so that older keys sort first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerKey {
    /// The time-ordered id.
    pub id: Uuid,
    /// Person or organization.
    pub kind: Kind,
}

impl fmt::Display for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.prefix(), self.id.simple())
    }
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The text is not a customer key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a customer key (they look like per_0190163d8694739b8a5d4e5b6f1c2d3e)")]
pub struct BadCustomerKey(pub String);

impl FromStr for CustomerKey {
    type Err = BadCustomerKey;

    fn from_str(text: &str) -> Result<Self, BadCustomerKey> {
        let bad = || BadCustomerKey(text.to_owned());
        let kind = [Kind::Person, Kind::Organization];
        let (kind, id) = kind
            .into_iter()
            .find_map(|kind| Some((kind, text.strip_prefix(kind.prefix())?)))
            .ok_or_else(bad)?;
        let id = Uuid::try_parse(id).ok().ok_or_else(bad)?;
        Ok(Self { id, kind })
    }
}

impl Serialize for CustomerKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CustomerKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        CompactString::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Where a golden value comes from: the answer to "why is this so?".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The record that asserts the value.
    pub record: RecordId,
    /// When that record was seen to take this value (the system's own time where it gives one).
    pub at: UnixMillis,
    /// The survivorship rule that picked it, as written in the config (`own`, `newest`).
    pub rule: CompactString,
}

/// Field → origin of its golden value.
pub type Lineage = BTreeMap<FieldName, Origin>;

/// A customer as the ledger keeps her: the key and the golden record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The stable key.
    pub key: CustomerKey,
    /// The surviving values; an empty (`None`) value means that the clearing of the field won.
    pub golden: Fields,
    /// Where each golden value comes from.
    pub lineage: Lineage,
    /// Counts the commits that changed this customer; a commit on an older version is refused.
    pub version: u64,
    /// Set when this key lives on only as an alias of another.
    pub merged_into: Option<CustomerKey>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_reads_back_from_its_text() {
        let key = CustomerKey {
            id: Uuid::from_u128(7),
            kind: Kind::Organization,
        };
        assert_eq!(key.to_string().parse::<CustomerKey>().unwrap(), key);
        assert!("org_x".parse::<CustomerKey>().is_err());
        assert!("abc".parse::<CustomerKey>().is_err());
    }
}
