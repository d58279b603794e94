//! An identifier is a normalised (kind, value) that can tell who a record is about.

use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// What an identifier is made of. The order is the order of trust, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentifierKind {
    /// Our own customer key, read back from a field a system keeps for us.
    Key,
    /// An id that the company itself gives to its customers; the value starts with the field's name.
    ExternalId,
    /// A tax or business id.
    TaxId,
    /// A personal e-mail address.
    Email,
    /// A phone number together with the name of the one who answers it.
    PhoneName,
    /// A role mailbox (`info@`) together with a name: the mailbox alone says nothing about a person.
    MailboxName,
    /// The web domain of an organization.
    Domain,
}

impl IdentifierKind {
    /// Every kind, strongest first.
    pub const ALL: [Self; 7] = [
        Self::Key,
        Self::ExternalId,
        Self::TaxId,
        Self::Email,
        Self::PhoneName,
        Self::MailboxName,
        Self::Domain,
    ];

    /// The name used in the ledger, the cache and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::ExternalId => "external_id",
            Self::TaxId => "tax_id",
            Self::Email => "email",
            Self::PhoneName => "phone_name",
            Self::MailboxName => "mailbox_name",
            Self::Domain => "domain",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A normalised (kind, value): two records that hold the same one are about the same customer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identifier {
    /// What it is made of.
    pub kind: IdentifierKind,
    /// The normalised value.
    pub value: CompactString,
}

impl Identifier {
    /// An identifier from an already normalised value.
    #[must_use]
    pub fn new(kind: IdentifierKind, value: impl Into<CompactString>) -> Self {
        Self {
            kind,
            value: value.into(),
        }
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.value)
    }
}
