//! Which organization a person belongs to: what her records say of one, and which organizations answer to that.
//!
//! A link between two customers, never a reason to make two records one. It is reckoned from the records whenever it is
//! asked for: it follows merges and splits by itself, and who came first never shows.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use serde::Serialize;

use super::{domain, email, name};
use crate::model::{CustomerKey, Record, RecordId, Value};

/// What leads from a person to an organization; the surest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// The tool's own link: the object of this id among the organizations of this system.
    Object {
        /// The system, as it is named in the config.
        system: CompactString,
        /// The object's id there.
        id: CompactString,
    },
    /// A domain that one organization alone uses: of its web site, or behind the `@` of a mailbox.
    Domain(CompactString),
    /// A company's name, without case and legal form.
    Name(CompactString),
}

impl std::fmt::Display for Sign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Object { system, id } => write!(f, "{system} links to {id}"),
            Self::Domain(domain) => write!(f, "domain {domain}"),
            Self::Name(name) => write!(f, "company {name}"),
        }
    }
}

/// An organization that a person belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Affiliation {
    /// Its customer key.
    pub organization: CustomerKey,
    /// Which of the person's records says what of it; the surest sign first.
    pub because: Vec<(RecordId, Sign)>,
}

/// What a person's record says of the organization she belongs to, in the tool's own words; nothing when it is gone.
///
/// Canonical fields that are read: `organization` (the tool's link), `domain`, `website`, `email`, `emails`, `company`.
#[must_use]
pub fn says(record: &Record) -> BTreeSet<Sign> {
    let mut signs = answers(record);
    if signs_count(record) {
        each(record, "organization", |id| {
            signs.insert(Sign::Object {
                system: record.id.stream.system.clone(),
                id: id.into(),
            });
        });
    }
    signs
}

/// What an organization's record answers to, apart from the id of its object; nothing when it is gone.
#[must_use]
pub fn answers(record: &Record) -> BTreeSet<Sign> {
    let mut signs = BTreeSet::new();
    if !signs_count(record) {
        return signs;
    }
    for field in ["domain", "website"] {
        each(record, field, |text| {
            signs.extend(domain::normalise(text).and_then(own));
        });
    }
    for field in ["email", "emails"] {
        each(record, field, |text| {
            let mailbox = email::normalise(text).filter(|mailbox| !mailbox.is_placeholder);
            signs.extend(mailbox.and_then(|mailbox| own(mailbox.domain)));
        });
    }
    each(record, "company", |text| {
        signs.extend(name::company_key(text).map(Sign::Name));
    });
    signs
}

fn signs_count(record: &Record) -> bool {
    record.deleted_at.is_none() && record.problem.is_none()
}

fn own(domain: CompactString) -> Option<Sign> {
    (!domain::is_shared(&domain)).then_some(Sign::Domain(domain))
}

/// Calls `take` with what the tool itself says in a field.
fn each(record: &Record, field: &str, mut take: impl FnMut(&str)) {
    match record.own_word(field) {
        Some(Value::Text(text)) => take(text),
        Some(Value::Int(number)) => take(&number.to_string()),
        Some(Value::Set(items)) => items.iter().for_each(|item| take(item)),
        Some(Value::Bool(_) | Value::Time(_)) | None => {}
    }
}

/// The organizations that a person belongs to, the surest first. `said` is what each of her records says, with the
/// organizations that answer to it. A sign to which several answer names none of them; it only bears out what another
/// sign says.
#[must_use]
pub fn affiliations(said: &[(RecordId, Sign, BTreeSet<CustomerKey>)]) -> Vec<Affiliation> {
    let named: BTreeSet<CustomerKey> = said
        .iter()
        .filter(|(.., answering)| answering.len() == 1)
        .flat_map(|(.., answering)| answering.iter().copied())
        .collect();
    let mut because: BTreeMap<CustomerKey, BTreeSet<(&Sign, &RecordId)>> = BTreeMap::new();
    for (record, sign, answering) in said {
        for organization in answering.intersection(&named) {
            because.entry(*organization).or_default().insert((sign, record));
        }
    }
    let mut found: Vec<_> = because.into_iter().collect();
    found.sort_by_key(|(key, signs)| {
        let surest = signs.first().map(|(sign, _)| rank(sign));
        (surest, std::cmp::Reverse(signs.len()), *key)
    });
    let made = |(organization, signs): (CustomerKey, BTreeSet<(&Sign, &RecordId)>)| Affiliation {
        organization,
        because: signs
            .into_iter()
            .map(|(sign, record)| (record.clone(), sign.clone()))
            .collect(),
    };
    found.into_iter().map(made).collect()
}

fn rank(sign: &Sign) -> u8 {
    match sign {
        Sign::Object { .. } => 0,
        Sign::Domain(_) => 1,
        Sign::Name(_) => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Ours, StreamId, UnixMillis};

    fn record(fields: &[(&str, &str)]) -> Record {
        let mut record = Record::new(StreamId::new("crm", "person").record("1"), UnixMillis(0));
        for (field, text) in fields {
            record.fields.set(*field, Value::Text((*text).into()));
        }
        record
    }

    #[track_caller]
    fn check(fields: &[(&str, &str)], expected: &[&str]) {
        let said: Vec<String> = says(&record(fields)).iter().map(ToString::to_string).collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn what_a_record_says_of_its_organization() {
        check(
            &[
                ("email", "Ana@Acme.com"),
                ("company", "ACME Oy"),
                ("organization", "77"),
            ],
            &["crm links to 77", "domain acme.com", "company acme"],
        );
        check(&[("website", "https://www.acme.com/about")], &["domain acme.com"]);
        // A provider's mailbox, a platform's page and a stand-in say nothing.
        check(&[("email", "ana@gmail.com"), ("website", "facebook.com/acme")], &[]);
        check(&[("company", "n/a"), ("email", "test@example.invalid")], &[]);
    }

    #[test]
    fn who_is_gone_says_nothing_and_what_nivel_wrote_is_no_evidence() {
        let mut gone = record(&[("company", "Acme")]);
        gone.deleted_at = Some(UnixMillis(1));
        assert!(says(&gone).is_empty());
        let mut written = record(&[("company", "Acme")]);
        let ours = Ours {
            value: Value::text("Acme"),
            placeholder: false,
            own: None,
        };
        written.ours.insert("company".into(), ours);
        assert!(says(&written).is_empty());
    }

    fn key(number: u128) -> CustomerKey {
        CustomerKey {
            id: uuid::Uuid::from_u128(number),
            kind: Kind::Organization,
        }
    }

    fn said(sign: Sign, answering: &[u128]) -> (RecordId, Sign, BTreeSet<CustomerKey>) {
        let id = StreamId::new("crm", "person").record("1");
        (id, sign, answering.iter().map(|number| key(*number)).collect())
    }

    #[test]
    fn the_tools_own_link_is_surer_than_a_domain_and_that_surer_than_a_name() {
        let object = Sign::Object {
            system: "crm".into(),
            id: "77".into(),
        };
        let all = [
            said(Sign::Name("acme".into()), &[1]),
            said(Sign::Domain("acme.com".into()), &[2]),
            said(object, &[3]),
        ];
        let found = affiliations(&all).into_iter().map(|found| found.organization);
        assert_eq!(found.collect::<Vec<_>>(), [key(3), key(2), key(1)]);
    }

    #[test]
    fn a_name_that_several_bear_names_nobody_but_bears_out() {
        let name = || said(Sign::Name("acme".into()), &[1, 2]);
        assert_eq!(affiliations(&[name()]), []);
        let found = affiliations(&[name(), said(Sign::Domain("acme.com".into()), &[2])]);
        let [only] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!((only.organization, only.because.len()), (key(2), 2));
        assert_eq!(affiliations(&[said(Sign::Name("nobody".into()), &[])]), []);
    }
}
