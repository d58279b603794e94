//! The names of entries in Redis, as the module above documents them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::error::{Code, Problem};
use crate::model::{Identifier, RecordId};

/// Names entries under one secret.
pub(super) struct Layout {
    mac: Hmac<Sha256>,
    /// `nivel:NS:`, the beginning of every name.
    prefix: String,
}

impl Layout {
    pub(super) fn new(secret: &SecretString) -> Result<Self, Problem> {
        let secret = secret.expose_secret().as_bytes();
        if secret.is_empty() {
            return Err(Problem::new(Code::Bug, "the cache secret is empty"));
        }
        let mac = Hmac::new_from_slice(secret).map_err(|error| Problem::new(Code::Bug, error.to_string()))?;
        let mut layout = Self {
            mac,
            prefix: String::new(),
        };
        layout.prefix = format!("nivel:{}:", layout.digest::<6>("namespace"));
        Ok(layout)
    }

    pub(super) fn identifier(&self, identifier: &Identifier) -> String {
        format!("{}i:{}", self.prefix, self.digest::<16>(&identifier.to_string()))
    }

    pub(super) fn record(&self, record: &RecordId) -> String {
        format!("{}r:{}", self.prefix, self.digest::<16>(&record.to_string()))
    }

    /// Something that belongs to the budget of rates. Names of limits may hold ids of objects, so they are hashed, too.
    pub(super) fn budget(&self, name: &str) -> String {
        format!("{}b:{}", self.prefix, self.digest::<16>(name))
    }

    /// A pattern for every entry of this ledger and no other.
    pub(super) fn pattern(&self) -> String {
        format!("{}*", self.prefix)
    }

    /// The first `BYTES` of the keyed digest, in base64url.
    fn digest<const BYTES: usize>(&self, text: &str) -> String {
        let mut mac = self.mac.clone();
        mac.update(text.as_bytes());
        let digest = mac.finalize().into_bytes();
        URL_SAFE_NO_PAD.encode(digest.get(..BYTES).unwrap_or(&digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{IdentifierKind, StreamId};

    /// The digests were made with another implementation of HMAC: other programs rely on them.
    #[test]
    fn names_are_as_documented() {
        let layout = Layout::new(&SecretString::from("not-so-secret")).unwrap();
        let email = Identifier::new(IdentifierKind::Email, "anna@example.org");
        let record = StreamId::new("crm", "contact").record("7");
        let prefix = layout.pattern().replace('*', "");
        assert_eq!(layout.identifier(&email), format!("{prefix}i:f8BPCsC3aKriMXsD_Hwqlw"));
        assert_eq!(layout.record(&record), format!("{prefix}r:YgzmI5RWTQtzZkyh3In4BQ"));
        assert_eq!(prefix.len(), "nivel::".len() + 8);
    }

    #[test]
    fn other_secrets_other_names() {
        let names = |secret| Layout::new(&SecretString::from(secret)).unwrap().pattern();
        assert_ne!(names("one"), names("two"));
        assert!(Layout::new(&SecretString::from("")).is_err());
    }
}
