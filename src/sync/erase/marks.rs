//! Keyed hashes by which an erased person is recognised, and nothing else of her.

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::{Code, Problem};
use crate::ledger::{Mark, Traces};
use crate::model::{CustomerKey, Identifier, IdentifierKind, RecordId};

/// Makes marks under the ledger's own secret, which is used for nothing else.
#[derive(Clone)]
pub struct Marker(Hmac<Sha256>);

impl Marker {
    /// A marker under a secret.
    ///
    /// # Errors
    /// When the secret is empty.
    pub fn new(secret: &str) -> Result<Self, Problem> {
        if secret.is_empty() {
            return Err(Problem::new(Code::Bug, "the secret for marks is empty"));
        }
        let mac = Hmac::new_from_slice(secret.as_bytes());
        mac.map(Self)
            .map_err(|error| Problem::new(Code::Bug, error.to_string()))
    }

    fn mark(&self, kind: &str, text: &str) -> Mark {
        let mut mac = self.0.clone();
        mac.update(kind.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        let mut mark = Mark::default();
        for (to, from) in mark.iter_mut().zip(mac.finalize().into_bytes()) {
            *to = from;
        }
        mark
    }

    /// Of an object of a tool.
    #[must_use]
    pub fn record(&self, id: &RecordId) -> Mark {
        self.mark("record", &id.to_string())
    }

    /// Of an identifier.
    #[must_use]
    pub fn identifier(&self, identifier: &Identifier) -> Mark {
        self.mark("identifier", &identifier.to_string())
    }

    /// Of a customer key.
    #[must_use]
    pub fn key(&self, key: &CustomerKey) -> Mark {
        self.mark("customer", &key.to_string())
    }

    /// Everything by which a person is recognised. A domain is not hers alone.
    #[must_use]
    pub fn all(&self, traces: &Traces) -> BTreeSet<Mark> {
        let own = traces
            .identifiers
            .iter()
            .filter(|identifier| identifier.kind != IdentifierKind::Domain);
        let records = traces.records.iter().map(|id| self.record(id));
        let keys = traces.keys.iter().map(|key| self.key(key));
        own.map(|identifier| self.identifier(identifier))
            .chain(records)
            .chain(keys)
            .collect()
    }
}

/// A mark as people and programs read it.
#[must_use]
pub fn hex(mark: &Mark) -> String {
    mark.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StreamId;

    #[test]
    fn marks_need_the_secret_and_tell_kinds_apart() {
        let (one, other) = (Marker::new("one").unwrap(), Marker::new("other").unwrap());
        let email = Identifier::new(IdentifierKind::Email, "ana@b.fi");
        assert_eq!(one.identifier(&email), Marker::new("one").unwrap().identifier(&email));
        assert_ne!(one.identifier(&email), other.identifier(&email));
        let id = StreamId::new("crm", "person").record("7");
        assert_ne!(one.record(&id), one.mark("identifier", &id.to_string()));
        assert!(Marker::new("").is_err());
    }

    #[test]
    fn a_domain_is_no_mark_of_a_person() {
        let marker = Marker::new("one").unwrap();
        let domain = Identifier::new(IdentifierKind::Domain, "b.fi");
        let email = Identifier::new(IdentifierKind::Email, "ana@b.fi");
        let traces = Traces {
            identifiers: [domain.clone(), email.clone()].into(),
            ..Traces::default()
        };
        let marks = marker.all(&traces);
        assert!(marks.contains(&marker.identifier(&email)));
        assert!(!marks.contains(&marker.identifier(&domain)));
    }
}
