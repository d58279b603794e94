//! The digest that decides that a record says nothing new.
//!
//! It is stored, so it must never change its meaning between versions of Nivel: a new encoding needs a new prefix and a
//! migration, otherwise every record of every system counts as changed on the day of the upgrade.

use sha2::{Digest, Sha256};

use super::ContentHash;
use crate::model::{Fields, Identifier, IdentifierKind, Record, Value};

/// The digest of a stored record: its fields, whether it is deleted, and whether it has a problem. Times, versions and
/// what Nivel wrote are not part of it.
#[must_use]
pub fn content_hash(record: &Record) -> ContentHash {
    content_hash_of(&record.fields, record.deleted_at.is_some(), record.problem.is_some())
}

/// The digest of what a record says, from its parts; equals [`content_hash`] of the record that is made of them.
///
/// A field that is known to be empty counts like one that is absent: a page says `None` for every empty field, while a
/// stored record keeps `None` only for the ones that were cleared.
///
/// The first 16 bytes of SHA-256 over: `1`, a byte of flags (1 deleted, 2 problem), then for each field with a value, by
/// name: the name, a byte for the type, the value. Texts carry their length in bytes before them (32 bits, little endian).
#[must_use]
pub fn content_hash_of(fields: &Fields, deleted: bool, has_problem: bool) -> ContentHash {
    let mut said = Vec::with_capacity(256);
    said.push(1);
    said.push(u8::from(deleted) | (u8::from(has_problem) << 1));
    for (name, value) in &fields.0 {
        if let Some(value) = value {
            put_text(&mut said, name.as_str());
            put_value(&mut said, value);
        }
    }
    first_bytes(&said)
}

/// A 64-bit digest of an identifier, for ledgers that index it by number. Different identifiers may share one: whoever
/// looks one up compares kind and value too. Stored, so it is as frozen as [`content_hash`].
#[must_use]
pub(super) fn identifier_digest(identifier: &Identifier) -> i64 {
    let mut said = Vec::with_capacity(64);
    said.push(kind_number(identifier.kind));
    said.extend_from_slice(identifier.value.as_bytes());
    i64::from_be_bytes(first_bytes(&said))
}

/// The number by which a kind is stored; never reused for another one.
#[must_use]
/// The kind of a number of [`kind_number`].
pub(super) fn identifier_kind_of(number: u8) -> Option<IdentifierKind> {
    IdentifierKind::ALL
        .into_iter()
        .find(|kind| kind_number(*kind) == number)
}

pub(super) fn kind_number(kind: IdentifierKind) -> u8 {
    match kind {
        IdentifierKind::Key => 1,
        IdentifierKind::ExternalId => 2,
        IdentifierKind::TaxId => 3,
        IdentifierKind::Email => 4,
        IdentifierKind::PhoneName => 5,
        IdentifierKind::MailboxName => 6,
        IdentifierKind::Domain => 7,
    }
}

fn put_value(said: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => {
            said.push(1);
            put_text(said, text);
        }
        Value::Bool(flag) => said.extend_from_slice(&[2, u8::from(*flag)]),
        Value::Int(number) => {
            said.push(3);
            said.extend_from_slice(&number.to_le_bytes());
        }
        Value::Time(at) => {
            said.push(4);
            said.extend_from_slice(&at.0.to_le_bytes());
        }
        Value::Set(items) => {
            said.push(5);
            put_length(said, items.len());
            for item in items {
                put_text(said, item);
            }
        }
    }
}

fn put_text(said: &mut Vec<u8>, text: &str) {
    put_length(said, text.len());
    said.extend_from_slice(text.as_bytes());
}

fn put_length(said: &mut Vec<u8>, length: usize) {
    // No text of 4 GiB gets here: answers are bounded far below.
    said.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn first_bytes<const LEN: usize>(said: &[u8]) -> [u8; LEN] {
    let digest = Sha256::digest(said);
    let mut first = [0; LEN];
    for (to, from) in first.iter_mut().zip(digest) {
        *to = from;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Problem};
    use crate::model::{FieldName, Ours, StreamId, UnixMillis};

    fn fields() -> Fields {
        Fields::from([
            ("email", Value::Text("ana@example.com".into())),
            ("count", Value::Int(-1)),
            ("optin", Value::Bool(true)),
            ("since", Value::Time(UnixMillis(5))),
            ("tags", Value::Set(["a".into(), "b".into()].into())),
        ])
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_stored_digests_never_change() {
        // Computed by another program from the description above.
        assert_eq!(
            hex(&content_hash_of(&fields(), false, false)),
            "50b9e0e781c19f9a85a4c84859c6e5cf"
        );
        assert_eq!(
            hex(&content_hash_of(&Fields::default(), true, false)),
            "9dcf97a184f32623d11a73124ceb99a5"
        );
        let email = Identifier::new(IdentifierKind::Email, "ana@example.com");
        assert_eq!(identifier_digest(&email), 3971507271071863480);
    }

    #[track_caller]
    fn differs(change: impl FnOnce(&mut Fields)) {
        let mut changed = fields();
        change(&mut changed);
        assert_ne!(
            content_hash_of(&changed, false, false),
            content_hash_of(&fields(), false, false)
        );
    }

    #[test]
    fn every_value_counts() {
        differs(|fields| fields.set("email", Value::Text("eva@example.com".into())));
        differs(|fields| fields.set("count", Value::Int(1)));
        differs(|fields| fields.set("optin", Value::Bool(false)));
        differs(|fields| fields.set("since", Value::Time(UnixMillis(6))));
        differs(|fields| fields.set("since", Value::Int(5)));
        differs(|fields| fields.set("tags", Value::Set(["a".into(), "b".into(), "c".into()].into())));
        differs(|fields| fields.set("tags", Value::Set(["ab".into()].into())));
        differs(|fields| fields.set("more", Value::Int(0)));
        differs(|fields| drop(fields.0.remove("count")));
    }

    #[test]
    fn empty_is_absent() {
        let mut cleared = fields();
        cleared.0.insert(FieldName::from("phone"), None);
        assert_eq!(
            content_hash_of(&cleared, false, false),
            content_hash_of(&fields(), false, false)
        );
    }

    #[test]
    fn only_what_a_record_says_counts() {
        let mut record = Record::new(StreamId::new("crm", "contact").record("1"), UnixMillis(1));
        record.fields = fields();
        let before = content_hash(&record);
        record.version = Some("7".into());
        record.updated_at = Some(UnixMillis(9));
        record.observed.set(&FieldName::from("email"), UnixMillis(9));
        record.ours.insert(
            FieldName::from("email"),
            Ours {
                value: None,
                placeholder: false,
                own: None,
            },
        );
        assert_eq!(content_hash(&record), before);
        record.deleted_at = Some(UnixMillis(9));
        let deleted = content_hash(&record);
        assert_ne!(deleted, before);
        record.problem = Some(Problem::new(Code::RecordUnmappable, "no"));
        assert_ne!(content_hash(&record), deleted);
        assert_eq!(content_hash(&record), content_hash_of(&record.fields, true, true));
    }

    #[test]
    fn kinds_have_numbers_of_their_own() {
        let numbers: std::collections::BTreeSet<_> = IdentifierKind::ALL.into_iter().map(kind_number).collect();
        assert_eq!(numbers.len(), IdentifierKind::ALL.len());
    }
}
