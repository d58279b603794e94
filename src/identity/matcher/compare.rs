//! What two records say about each other: one level per field, and what the levels mean together. No weights here.
//!
//! Everything is symmetric, so that the order of arrival never shows.

#![expect(clippy::cast_possible_truncation, reason = "there are fewer levels than 65,536")]

mod fields;
mod names;

use self::fields::{births, companies, emails, ids, others, phones, places};
use self::names::{given_level, names};
use super::record::{Features, Part, UNKNOWN_SOURCE};
use super::strings::edits;

/// A field or a circumstance that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Group {
    Bias,
    Given,
    Family,
    Order,
    Email,
    OwnerBest,
    OwnerWorst,
    MailNameBest,
    MailNameWorst,
    Phone,
    Street,
    Postcode,
    City,
    State,
    Country,
    Company,
    Birth,
    Id,
    Sex,
    Occupation,
    Full,
    Middle,
    Generation,
    Source,
    Agreeing,
    Against,
    EmailName,
    PhoneName,
    StreetName,
    CompanyName,
    BirthName,
    BareName,
    IdName,
    Household,
}

/// [`NAMES`]: the family name agrees, and the given names are two different ones.
const FAMILY_ONLY: usize = 4;

/// What stands against two people of one household who look like one: a guard, not learned from errors that happen to be
/// in some set. More than birthday, family name and address can outweigh, less than proof.
pub(super) const HOUSEHOLD_BITS: i32 = -12;

const NAMES: &[&str] = &[
    "both",
    "both_close",
    "given_only",
    "given_only_family_unknown",
    "family_only",
    "family_only_given_unknown",
    "close_one",
    "neither",
    "unknown",
];
const OWNERS: &[&str] = &["neither", "family", "given", "initial_family", "both"];

/// Groups with their names and the names of their levels, in the order of [`Group`].
#[rustfmt::skip]
const TABLE: [(&str, &[&str]); 34] = [
    ("bias", &["all"]),
    ("given_name", &["equal", "nickname", "token", "initial", "edit", "close", "near", "crossed", "different", "one_missing", "both_missing"]),
    ("family_name", &["equal", "edit", "token", "close", "near", "crossed", "different", "one_missing", "both_missing"]),
    ("name_order", &["swapped", "swapped_close"]),
    ("email", &["equal", "equal_role", "typo", "same_local", "digits_differ", "same_letters", "same_firm", "different_free", "different_firm", "different_mixed", "different_role", "near"]),
    ("mailbox_owner_best", OWNERS),
    ("mailbox_owner_worst", OWNERS),
    ("mailbox_names_other_best", OWNERS),
    ("mailbox_names_other_worst", OWNERS),
    ("phone", &["equal", "edit", "near", "different"]),
    ("street", &["equal", "other_number", "typo", "similar", "different"]),
    ("postcode", &["equal", "edit", "area", "different"]),
    ("city", &["equal", "close", "different"]),
    ("state", &["equal", "different"]),
    ("country", &["equal", "different"]),
    ("company", &["equal", "close", "part", "different", "domain", "not_domain"]),
    ("birth", &["equal", "close", "two_parts", "year", "year_only_known", "different", "days_off", "a_year_off"]),
    ("id", &["equal", "edit", "near", "different"]),
    ("sex", &["equal", "different"]),
    ("occupation", &["equal", "different"]),
    ("full_name", &["equal", "most", "half", "some", "none"]),
    ("middle_name", &["equal", "different"]),
    ("generation", &["equal", "one_missing", "different"]),
    ("source", &["same"]),
    ("agreeing", &["none", "one", "two", "more", "many"]),
    ("against", &["none", "one", "two", "more"]),
    ("email_equal_name", NAMES),
    ("phone_equal_name", NAMES),
    ("street_equal_name", NAMES),
    ("company_equal_name", NAMES),
    ("birth_equal_name", NAMES),
    ("nothing_else_name", NAMES),
    ("id_equal_name", NAMES),
    ("household", &["twins", "number_lent"]),
];

const OFFSETS: [usize; TABLE.len() + 1] = {
    let mut offsets = [0; TABLE.len() + 1];
    let mut at = 0;
    while at < TABLE.len() {
        offsets[at + 1] = offsets[at] + TABLE[at].1.len();
        at += 1;
    }
    offsets
};

/// How many levels there are in all.
pub(super) const LEVELS: usize = OFFSETS[TABLE.len()];

/// The levels of the guard [`HOUSEHOLD_BITS`].
pub(super) const HOUSEHOLD: std::ops::Range<usize> =
    OFFSETS[Group::Household as usize]..OFFSETS[Group::Household as usize + 1];

/// Group and level of a number below [`LEVELS`].
pub(super) fn level_name(level: usize) -> (&'static str, &'static str) {
    let group = OFFSETS.partition_point(|offset| *offset <= level) - 1;
    (TABLE[group].0, TABLE[group].1[level - OFFSETS[group]])
}

/// Counts that weaken evidence: the more records share a value, the less it says. Bits of [`Evidence::terms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Term {
    /// Expected namesakes: given name, family name and the number of records.
    Expected,
    /// Records of exactly this name.
    Name,
    /// Records of this name in this town.
    NameInCity,
    /// Records of this family name, when the given name does not agree.
    Family,
    /// Distinct names on this mailbox.
    Mailbox,
    /// Distinct names on this number.
    Phone,
    /// Distinct names at this address.
    Street,
    /// Records of this company.
    Company,
}

/// Names of the terms, in their order.
pub(super) const TERMS: [&str; 8] = [
    "expected_namesakes",
    "namesakes",
    "namesakes_in_city",
    "family_name_records",
    "names_on_mailbox",
    "names_on_phone",
    "names_at_street",
    "company_records",
];

/// What was found in comparing two records.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    levels: [u16; 36],
    len: usize,
    /// Bits of the counts that apply.
    pub(super) terms: u16,
    /// Nothing but the name agrees: no way to reach them, no place, no number.
    pub(super) is_bare: bool,
}

impl Evidence {
    pub(super) fn levels(&self) -> &[u16] {
        self.levels.get(..self.len).unwrap_or_default()
    }

    fn add(&mut self, group: Group, level: usize) {
        if let Some(place) = self.levels.get_mut(self.len) {
            *place = (OFFSETS[group as usize] + level) as u16;
            self.len += 1;
        }
    }

    fn count(&mut self, term: Term) {
        self.terms |= 1 << term as u8;
    }
}

/// How a field came out, for the groups that look at several fields together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Agrees,
    Unclear,
    Differs,
}

/// True when a closer look is not worth its time: people of other given names who share no way to reach them. Nine of
/// ten candidates that live together or work together are such.
pub(super) fn is_hopeless(a: &Features, b: &Features) -> bool {
    if a.is_organization || a.is_registered() || b.is_registered() {
        return false;
    }
    let (given_a, given_b) = (a.part(Part::Given), b.part(Part::Given));
    if given_a.is_empty() || given_b.is_empty() || given_level(given_a, given_b) != 8 {
        return false;
    }
    let crossed = given_a == b.part(Part::Family) || given_b == a.part(Part::Family);
    let same_mailbox = || {
        a.mailboxes()
            .any(|left| b.mailboxes().any(|right| left.local == right.local))
    };
    let same_phone = || {
        a.phones()
            .any(|left| b.phones().any(|right| edits(left, right, 1) <= 1))
    };
    !crossed && !same_mailbox() && !same_phone()
}

/// Compares two records.
pub(super) fn compare(a: &Features, b: &Features) -> Evidence {
    let mut evidence = Evidence {
        levels: [0; 36],
        len: 0,
        terms: 0,
        is_bare: false,
    };
    let e = &mut evidence;
    e.add(Group::Bias, 0);
    let name = names(e, a, b);
    let email = emails(e, a, b);
    let phone = phones(e, a, b);
    let street = places(e, a, b);
    let company = companies(e, a, b);
    let birth = births(e, a.birth, b.birth);
    let id = ids(e, a, b);
    others(e, a, b);
    if a.source == b.source && a.source != UNKNOWN_SOURCE {
        e.add(Group::Source, 0);
    }
    let verdicts = [email, phone, street, company, birth, id];
    let agreeing = verdicts.iter().filter(|verdict| **verdict == Verdict::Agrees).count();
    let against = verdicts.iter().filter(|verdict| **verdict == Verdict::Differs).count();
    e.add(Group::Agreeing, agreeing.min(4));
    e.add(Group::Against, against.min(3));
    let together = [
        (email, Group::EmailName),
        (phone, Group::PhoneName),
        (street, Group::StreetName),
        (company, Group::CompanyName),
        (birth, Group::BirthName),
        (id, Group::IdName),
    ];
    for (_, group) in together.iter().filter(|(verdict, _)| *verdict == Verdict::Agrees) {
        e.add(*group, name);
    }
    if name == FAMILY_ONLY {
        match (birth, id) {
            // One birthday and one roof, but another given name: twins, as long as no number says that it is one of them.
            (Verdict::Agrees, Verdict::Unclear | Verdict::Differs) if street == Verdict::Agrees => {
                e.add(Group::Household, 0);
            }
            // One number, but another given name and another birthday: somebody used that of the family.
            (Verdict::Differs, Verdict::Agrees) => e.add(Group::Household, 1),
            _ => {}
        }
    }
    if agreeing == 0 {
        e.is_bare = true;
        e.add(Group::BareName, name);
    }
    evidence
}
