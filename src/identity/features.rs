//! What the scored match sees of a record: what its system said last by itself, never what Nivel wrote over it.

use std::collections::BTreeSet;

use super::matcher::{Features, Field, Ties};
use crate::model::{FieldName, Identifier, IdentifierKind, Kind, Record, Value};

/// Canonical fields that are compared. The first eleven tell who somebody is; a record without any of them has no voice.
const FIELDS: &[(&str, Field)] = &[
    ("email", Field::Email),
    ("emails", Field::Email),
    ("phone", Field::Phone),
    ("mobile", Field::Phone),
    ("phones", Field::Phone),
    ("given_name", Field::Given),
    ("family_name", Field::Family),
    ("full_name", Field::Full),
    ("national_id", Field::Id),
    ("birth_date", Field::Birth),
    ("company", Field::Company),
    ("middle_name", Field::Middle),
    ("website", Field::Site),
    ("domain", Field::Site),
    ("street", Field::Address),
    ("address", Field::Address),
    ("postal_code", Field::Postcode),
    ("postcode", Field::Postcode),
    ("zip", Field::Postcode),
    ("city", Field::City),
    ("state", Field::State),
    ("region", Field::State),
    ("country", Field::Country),
    ("gender", Field::Sex),
    ("job_title", Field::Occupation),
];

/// How many of [`FIELDS`] tell who a person is; a company's name tells of an organization alone.
const TELLING: usize = 10;

/// True when a record says of its own who it is. Others go along with somebody and bring nobody together.
#[must_use]
pub fn speaks(record: &Record, kind: Kind) -> bool {
    let says = |name: &str| record.own_word(name).is_some();
    let telling = FIELDS.iter().take(TELLING + usize::from(kind == Kind::Organization));
    record.deleted_at.is_none()
        && record.problem.is_none()
        && (telling.map(|(name, _)| *name).any(says) || (kind == Kind::Organization && says("tax_id")))
}

/// Brings a record to a form in which it can be compared; `None` when it is gone, could not be read, or says nothing of
/// its own about who it is. `source` numbers the stream.
#[must_use]
pub fn features(record: &Record, kind: Kind, source: u16) -> Option<Features> {
    if !speaks(record, kind) {
        return None;
    }
    let mut said: Vec<(Field, &str)> = Vec::new();
    for (name, field) in FIELDS {
        match record.own_word(name) {
            Some(Value::Text(text)) => said.push((*field, text)),
            Some(Value::Set(items)) => said.extend(items.iter().take(2).map(|item| (*field, item.as_str()))),
            _ => {}
        }
    }
    if kind == Kind::Organization
        && let Some(Value::Text(number)) = record.own_word("tax_id")
    {
        said.push((Field::Id, number));
    }
    Some(Features::new(&said, source, kind == Kind::Organization))
}

/// What joins or parts a record for sure: the identifiers it has or had, and numbers of which everybody has one.
#[must_use]
pub fn ties(identifiers: &BTreeSet<Identifier>, record: &Record, external_ids: &[FieldName], kind: Kind) -> Ties {
    let kind_seed = u64::from(kind == Kind::Organization);
    let same = identifiers
        .iter()
        .map(|identifier| digest(kind_seed, &[identifier.kind as u8], identifier.value.as_bytes()));
    let is_unique = |identifier: &&Identifier| match identifier.kind {
        IdentifierKind::ExternalId => true,
        IdentifierKind::TaxId => kind == Kind::Organization,
        _ => false,
    };
    // What it had formerly parts nobody.
    let now = super::identifiers(
        &record.fields,
        None,
        super::IdentityRules {
            external_ids,
            region: None,
        },
        kind,
    );
    let unique = now.iter().filter(is_unique).map(|identifier| {
        let field = match identifier.value.split_once('=') {
            Some((field, _)) if identifier.kind == IdentifierKind::ExternalId => field,
            _ => "tax_id",
        };
        let value = digest(kind_seed, b"value", identifier.value.as_bytes());
        (digest(kind_seed, b"field", field.as_bytes()), value)
    });
    Ties {
        same: same.collect(),
        unique: unique.collect(),
    }
}

/// A 64-bit digest that is the same in every process.
fn digest(seed: u64, kind: &[u8], text: &[u8]) -> u64 {
    super::matcher::digest(0x7a11 ^ seed, &[kind, text])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Ours, StreamId, UnixMillis};

    fn record(fields: &[(&str, &str)]) -> Record {
        let mut record = Record::new(StreamId::new("crm", "person").record("1"), UnixMillis(0));
        for (field, text) in fields {
            record.fields.set(*field, Value::Text((*text).into()));
        }
        record
    }

    #[test]
    fn what_nivel_wrote_is_no_evidence() {
        let mut record = record(&[("full_name", "Anna Berg"), ("city", "Oulu")]);
        assert!(features(&record, Kind::Person, 0).is_some());
        let ours = Ours {
            value: Value::text("Anna Berg"),
            placeholder: false,
            own: None,
        };
        record.ours.insert("full_name".into(), ours);
        assert!(features(&record, Kind::Person, 0).is_none(), "a town tells nobody");
        record.fields.set("full_name", Value::Text("Anna Lind".into()));
        assert!(features(&record, Kind::Person, 0).is_some(), "somebody changed it");
        record.deleted_at = Some(UnixMillis(1));
        assert!(features(&record, Kind::Person, 0).is_none());
    }

    #[test]
    fn a_unique_number_parts_and_an_identifier_joins() {
        let external_ids = [FieldName::from("customer_no")];
        let of = |text: &str| {
            let record = record(&[("customer_no", text)]);
            let rules = super::super::IdentityRules {
                external_ids: &external_ids,
                region: None,
            };
            let identifiers = super::super::identifiers(&record.fields, None, rules, Kind::Person);
            ties(&identifiers, &record, &external_ids, Kind::Person)
        };
        let (a, b, again) = (of("K-1"), of("K-2"), of("K-1"));
        assert_eq!(a, again);
        assert_ne!(a.same, b.same);
        assert_eq!(a.unique[0].0, b.unique[0].0);
        assert_ne!(a.unique[0].1, b.unique[0].1);
    }
}
