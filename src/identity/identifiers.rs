//! From the fields of a record to the identifiers it asserts, behind the guards.

use std::collections::BTreeSet;

use compact_str::{CompactString, format_compact};

use super::text::concat;
use super::{domain, email, name, phone, tax_id};
use crate::model::{CustomerKey, FieldName, Fields, Identifier, IdentifierKind, Kind, Value};

/// The most values that are taken from one field; what is longer is not one customer's.
const VALUES_MAX: usize = 32;

/// The most bytes of an external id.
const ID_LENGTH_MAX: usize = 128;

/// What the admin says about identifiers.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdentityRules<'a> {
    /// Fields that hold an id the company itself gives to its customers.
    pub external_ids: &'a [FieldName],
    /// The country whose national phone formats are read when the record does not say (two letters).
    pub region: Option<&'a str>,
}

/// The identifiers that a record asserts.
///
/// | kind | value | only when |
/// | --- | --- | --- |
/// | `Key` | our customer key | `key` is given: read back from the system, aliases already followed |
/// | `ExternalId` | `field=value` | the value is no stand-in (`0`, `n/a`) |
/// | `TaxId` | letters and digits, in the European Union with the country in front; for a person `id/name` | its check digits are right; a company's number stands on its employees, too |
/// | `Email` | the mailbox | a person's own mailbox |
/// | `MailboxName` | `mailbox/name` | a role mailbox, or any mailbox of an organization |
/// | `PhoneName` | `number/name` | there is a name, and the number is no stand-in |
/// | `Domain` | the domain | an organization's own |
///
/// Canonical fields that are read: `email`, `emails`, `phone`, `mobile`, `phones`, `given_name`, `family_name`,
/// `full_name`, `company`, `tax_id`, `domain`, and `country` (two letters, for national phone formats).
#[must_use]
pub fn identifiers(
    fields: &Fields,
    key: Option<&CustomerKey>,
    rules: IdentityRules<'_>,
    kind: Kind,
) -> BTreeSet<Identifier> {
    let mut found = BTreeSet::new();
    let name = name_key(fields, kind);
    let name = name.as_deref();
    if let Some(key) = key.filter(|key| key.kind == kind) {
        found.insert(Identifier::new(IdentifierKind::Key, format_compact!("{key}")));
    }
    for field in rules.external_ids {
        each(fields, field.as_str(), |text| {
            found.extend(external_id(field, text));
        });
    }
    let country = fields.text("country").filter(|code| is_region(code));
    each(fields, "tax_id", |text| {
        let number = tax_id::normalise(text, country.or(rules.region));
        found.extend(number.and_then(|number| tax_number(&number, name, kind)));
    });
    for field in ["email", "emails"] {
        each(fields, field, |text| found.extend(mailbox(text, name, kind)));
    }
    if let Some(name) = name {
        let region = country.or(rules.region);
        for field in ["phone", "mobile", "phones"] {
            each(fields, field, |text| found.extend(phone_name(text, region, name)));
        }
    }
    if kind == Kind::Organization {
        each(fields, "domain", |text| found.extend(own_domain(text)));
    }
    found
}

/// True when a field holds a mailbox that is one person's own: such a mailbox is an identifier by itself.
#[must_use]
pub fn has_own_mailbox(fields: &Fields, field: &str) -> bool {
    let mut is_own = false;
    each(fields, field, |text| {
        is_own |= mailbox(text, None, Kind::Person).is_some();
    });
    is_own
}

fn name_key(fields: &Fields, kind: Kind) -> Option<CompactString> {
    match kind {
        Kind::Person => name::key(
            fields.text("given_name"),
            fields.text("family_name"),
            fields.text("full_name"),
        ),
        Kind::Organization => name::company_key(fields.text("company").or_else(|| fields.text("full_name"))?),
    }
}

/// Calls `take` with each value of a field, whether it holds one or several.
fn each(fields: &Fields, field: &str, mut take: impl FnMut(&str)) {
    match fields.value(field) {
        Some(Value::Text(text)) => take(text),
        Some(Value::Int(number)) => take(&format_compact!("{number}")),
        Some(Value::Set(items)) => items.iter().take(VALUES_MAX).for_each(|item| take(item)),
        Some(Value::Bool(_) | Value::Time(_)) | None => {}
    }
}

fn external_id(field: &FieldName, text: &str) -> Option<Identifier> {
    let text = text.trim();
    let says_nothing = text.chars().all(|c| matches!(c, '0' | '-' | '.' | ' ' | '_' | '?'))
        || [
            "-1",
            "null",
            "nil",
            "none",
            "n/a",
            "na",
            "undefined",
            "nan",
            "unknown",
            "test",
            "tbd",
        ]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    (!says_nothing && text.len() <= ID_LENGTH_MAX)
        .then(|| Identifier::new(IdentifierKind::ExternalId, concat([field.as_str(), "=", text])))
}

fn tax_number(number: &str, name: Option<&str>, kind: Kind) -> Option<Identifier> {
    let value = match kind {
        Kind::Organization => number.into(),
        Kind::Person => concat([number, "/", name?]),
    };
    Some(Identifier::new(IdentifierKind::TaxId, value))
}

fn mailbox(text: &str, name: Option<&str>, kind: Kind) -> Option<Identifier> {
    let email = email::normalise(text)?;
    if email.is_placeholder {
        None
    } else if email.is_role || kind == Kind::Organization {
        let value = concat([&email.address, "/", name?]);
        Some(Identifier::new(IdentifierKind::MailboxName, value))
    } else {
        Some(Identifier::new(IdentifierKind::Email, email.address))
    }
}

fn phone_name(text: &str, region: Option<&str>, name: &str) -> Option<Identifier> {
    let number = phone::normalise(text, region).filter(|number| !phone::is_placeholder(number))?;
    Some(Identifier::new(IdentifierKind::PhoneName, concat([&number, "/", name])))
}

fn own_domain(text: &str) -> Option<Identifier> {
    let domain = domain::normalise(text).filter(|domain| !domain::is_shared(domain))?;
    Some(Identifier::new(IdentifierKind::Domain, domain))
}

fn is_region(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, fields: &[(&str, &str)], expected: &[&str]) {
        let mut record = Fields::default();
        for (field, text) in fields {
            record.set(*field, Value::Text((*text).into()));
        }
        let external_ids = [FieldName::from("customer_no")];
        let rules = IdentityRules {
            external_ids: &external_ids,
            region: Some("DE"),
        };
        let found: Vec<String> = identifiers(&record, None, rules, kind)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, expected, "{fields:?}");
    }

    const ANNA: [(&str, &str); 2] = [("given_name", "Anna"), ("family_name", "Müller")];

    #[track_caller]
    fn check_anna(field: &str, text: &str, expected: &[&str]) {
        check(Kind::Person, &[ANNA[0], ANNA[1], (field, text)], expected);
        // The same without a name: only what is hers alone is left.
        let nameless: Vec<&str> = expected.iter().copied().filter(|value| !value.contains('/')).collect();
        check(Kind::Person, &[(field, text)], &nameless);
    }

    #[test]
    fn a_person() {
        check_anna("email", "Anna.Mueller@Gmail.com", &["email:annamueller@gmail.com"]);
        check_anna("phone", "030 901820", &["phone_name:+4930901820/anna muller"]);
        check_anna("mobile", "+49 170 1112222", &["phone_name:+491701112222/anna muller"]);
        check_anna("customer_no", "K-1007", &["external_id:customer_no=K-1007"]);
        check_anna("domain", "acme.com", &[]);
        check_anna("company", "Acme GmbH", &[]);
    }

    #[test]
    fn shared_values_need_a_name() {
        check_anna("email", "info@acme.com", &["mailbox_name:info@acme.com/anna muller"]);
        check_anna("tax_id", "DE 136 695 976", &["tax_id:DE136695976/anna muller"]);
    }

    #[test]
    fn stand_ins_identify_nobody() {
        for email in ["test@test.com", "noreply@acme.com", "none@none.com", "n/a", "a@a.com"] {
            check_anna("email", email, &[]);
        }
        for phone in [
            "0000000000",
            "+49 1234567",
            "1-800-FLOWERS",
            "unknown",
            "5555555555",
            "-",
        ] {
            check_anna("phone", phone, &[]);
        }
        for id in ["0", "-1", "null", "N/A", "000", "---", "?", "Unknown"] {
            check_anna("customer_no", id, &[]);
        }
        for id in ["000000000", "DE123456789", "n/a", "12"] {
            check_anna("tax_id", id, &[]);
        }
        let placeholder = [
            ("full_name", "Unknown Caller"),
            ("phone", "030 901820"),
            ("email", "info@acme.com"),
        ];
        check(Kind::Person, &placeholder, &[]);
    }

    #[test]
    fn an_organization() {
        let acme = [
            ("company", "Acme GmbH"),
            ("domain", "https://www.acme.com/"),
            ("email", "anna@acme.com"),
            ("phone", "030 901820"),
            ("tax_id", "DE136695976"),
        ];
        let expected = [
            "tax_id:DE136695976",
            "phone_name:+4930901820/acme",
            "mailbox_name:anna@acme.com/acme",
            "domain:acme.com",
        ];
        check(Kind::Organization, &acme, &expected);
        for domain in ["gmail.com", "facebook.com/acme", "none.com", "localhost"] {
            check(Kind::Organization, &[("domain", domain)], &[]);
        }
    }

    #[test]
    fn several_addresses_and_numbers_as_numbers() {
        let mut fields = Fields::from([("customer_no", Value::Int(1007))]);
        fields.set(
            "emails",
            Value::Set(["a.b@acme.com".into(), "info@acme.com".into()].into()),
        );
        let external_ids = [FieldName::from("customer_no")];
        let rules = IdentityRules {
            external_ids: &external_ids,
            region: None,
        };
        let found: Vec<_> = identifiers(&fields, None, rules, Kind::Person).into_iter().collect();
        let expected = [
            Identifier::new(IdentifierKind::ExternalId, "customer_no=1007"),
            Identifier::new(IdentifierKind::Email, "a.b@acme.com"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn further_numbers_count_like_the_first() {
        let mut fields = Fields::from([("full_name", Value::Text("Anna Müller".into()))]);
        let further = ["030 901820".into(), "n/a".into()];
        fields.set("phones", Value::Set(further.into()));
        let rules = IdentityRules {
            external_ids: &[],
            region: Some("DE"),
        };
        let found: Vec<_> = identifiers(&fields, None, rules, Kind::Person).into_iter().collect();
        let number = Identifier::new(IdentifierKind::PhoneName, "+4930901820/anna muller");
        assert_eq!(found, [number]);
    }

    #[test]
    fn the_record_says_which_country_its_numbers_are_from() {
        let fields = [ANNA[0], ANNA[1], ("phone", "(415) 555-2671"), ("country", "US")];
        check(Kind::Person, &fields, &["phone_name:+14155552671/anna muller"]);
    }

    #[test]
    fn our_own_key_comes_first_and_only_for_its_kind() {
        let key: CustomerKey = "per_0190163d8694739b8a5d4e5b6f1c2d3e".parse().unwrap();
        let fields = Fields::default();
        let found = identifiers(&fields, Some(&key), IdentityRules::default(), Kind::Person);
        assert_eq!(found, [Identifier::new(IdentifierKind::Key, key.to_string())].into());
        let found = identifiers(&fields, Some(&key), IdentityRules::default(), Kind::Organization);
        assert!(found.is_empty());
    }
}
