//! What two records say about each other: one level per field, and what the levels mean together. No weights here.
//!
//! Everything is symmetric, so that the order of arrival never shows.

use super::record::{Date, Features, Mailbox, Part, UNKNOWN_SOURCE};
use super::strings::{edits, likeness};
use super::words::are_nicknames;

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
}

const NAMES: &[&str] = &[
    "both", "both_close", "given_only", "given_only_family_unknown", "family_only", "family_only_given_unknown",
    "close_one", "neither", "unknown",
];
const OWNERS: &[&str] = &["neither", "family", "given", "initial_family", "both"];

/// Groups with their names and the names of their levels, in the order of [`Group`].
#[rustfmt::skip]
const TABLE: [(&str, &[&str]); 33] = [
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
    "expected_namesakes", "namesakes", "namesakes_in_city", "family_name_records", "names_on_mailbox", "names_on_phone",
    "names_at_street", "company_records",
];

/// What was found in comparing two records.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    levels: [u16; 36],
    len: usize,
    /// Bits of the counts that apply.
    pub(super) terms: u16,
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
    let same_mailbox = || a.mailboxes().any(|left| b.mailboxes().any(|right| left.local == right.local));
    let same_phone = || a.phones().any(|left| b.phones().any(|right| edits(left, right, 1) <= 1));
    !crossed && !same_mailbox() && !same_phone()
}

/// Compares two records.
pub(super) fn compare(a: &Features, b: &Features) -> Evidence {
    let mut evidence = Evidence {
        levels: [0; 36],
        len: 0,
        terms: 0,
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
    if agreeing == 0 {
        e.add(Group::BareName, name);
    }
    evidence
}

/// Levels of one name.
const EQUAL: usize = 0;

/// Which class of [`NAMES`] two records are in.
fn names(e: &mut Evidence, a: &Features, b: &Features) -> usize {
    let (given_a, family_a) = (a.part(Part::Given), a.part(Part::Family));
    let (given_b, family_b) = (b.part(Part::Given), b.part(Part::Family));
    let crossed = |a: &str, b: &str| a.len() > 1 && (a == b || (a.len() > 4 && edits(a, b, 1) <= 1));
    let (left, right) = (crossed(given_a, family_b), crossed(family_a, given_b));
    if left && right && given_a != given_b {
        let is_exact = given_a == family_b && family_a == given_b;
        e.add(Group::Order, usize::from(!is_exact));
        e.count(Term::Expected);
        e.count(Term::Name);
        return if is_exact { 0 } else { 1 };
    }
    let mut given = given_level(given_a, given_b);
    let mut family = family_level(family_a, family_b);
    if (left || right) && given == 8 {
        given = 7;
    }
    if (left || right) && family == 6 {
        family = 5;
    }
    e.add(Group::Given, given);
    e.add(Group::Family, family);
    let given_agrees = given <= 2;
    let (given_close, given_unknown) = (matches!(given, 3..=6), given >= 9);
    let (family_agrees, family_close, family_unknown) = (family == EQUAL, matches!(family, 1..=4), family >= 7);
    if family_agrees && (given_agrees || given_close) {
        e.count(Term::Expected);
        if given == EQUAL {
            e.count(Term::Name);
        }
    } else if family_agrees || family_close {
        e.count(Term::Family);
    }
    let city = a.part(Part::City);
    if given == EQUAL && family == EQUAL && !city.is_empty() && city == b.part(Part::City) {
        e.count(Term::NameInCity);
    }
    match () {
        () if given_agrees && family_agrees => 0,
        () if (given_agrees || given_close) && (family_agrees || family_close) => 1,
        () if given_agrees && family_unknown => 3,
        () if given_agrees => 2,
        () if family_agrees && given_unknown => 5,
        () if family_agrees => 4,
        () if given_close || family_close => 6,
        () if given_unknown || family_unknown => 8,
        () => 7,
    }
}

fn is_initial(name: &str) -> bool {
    name.chars().nth(1).is_none()
}

fn given_level(a: &str, b: &str) -> usize {
    if a.is_empty() || b.is_empty() {
        return if a.is_empty() && b.is_empty() { 10 } else { 9 };
    }
    let (first_a, first_b) = (first_word(a), first_word(b));
    if is_initial(first_a) || is_initial(first_b) {
        let same = first_a.chars().next() == first_b.chars().next();
        return if same { 3 } else { 8 };
    }
    if a == b {
        return 0;
    }
    if are_nicknames(first_a, first_b) {
        return 1;
    }
    if first_a == first_b || shares_word(a, b) {
        return 2;
    }
    match closeness(a, b) {
        Some(level) => 4 + level,
        None => 8,
    }
}

fn family_level(a: &str, b: &str) -> usize {
    if a.is_empty() || b.is_empty() {
        return if a.is_empty() && b.is_empty() { 8 } else { 7 };
    }
    if a == b {
        return 0;
    }
    if edits(a, b, 1) <= 1 && a.len().min(b.len()) >= 4 {
        return 1;
    }
    if shares_word(a, b) {
        return 2;
    }
    match closeness(a, b) {
        Some(0 | 1) => 3,
        Some(_) => 4,
        None => 6,
    }
}

/// 0 for one edit, 1 for very alike, 2 for somewhat alike.
fn closeness(a: &str, b: &str) -> Option<usize> {
    let short = a.len().min(b.len());
    let edits = edits(a, b, 2);
    if edits <= 1 && short >= 4 {
        return Some(0);
    }
    let likeness = likeness(a, b);
    if likeness >= 900 {
        return Some(1);
    }
    (likeness >= 820 || (edits <= 2 && short >= 5) || (edits <= 1 && short >= 3)).then_some(2)
}

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or(text)
}

fn shares_word(a: &str, b: &str) -> bool {
    if !a.contains(' ') && !b.contains(' ') {
        return false;
    }
    a.split(' ').any(|word| word.len() > 2 && b.split(' ').any(|other| other == word))
}

fn emails(e: &mut Evidence, a: &Features, b: &Features) -> Verdict {
    let mut best = usize::MAX;
    for left in a.mailboxes() {
        for right in b.mailboxes() {
            best = best.min(mailbox_level(a, left, b, right));
        }
    }
    let is_equal = matches!(best, 0 | 2);
    let (ours, theirs) = (names_other(a, b), names_other(b, a));
    let (high, low) = (ours.max(theirs), ours.min(theirs));
    if let (Some(high), Some(low)) = (high, low.or(high)) {
        let both_known = ours.is_some() && theirs.is_some();
        e.add(if is_equal { Group::OwnerBest } else { Group::MailNameBest }, high);
        if both_known {
            e.add(if is_equal { Group::OwnerWorst } else { Group::MailNameWorst }, low);
        }
    }
    if best == usize::MAX {
        return Verdict::Unclear;
    }
    e.add(Group::Email, best);
    match best {
        0 => {
            e.count(Term::Mailbox);
            Verdict::Agrees
        }
        2 => Verdict::Agrees,
        4 | 7 | 8 => Verdict::Differs,
        _ => Verdict::Unclear,
    }
}

fn mailbox_level(a: &Features, left: Mailbox<'_>, b: &Features, right: Mailbox<'_>) -> usize {
    let same_domain = left.domain == right.domain;
    if left.local == right.local && same_domain {
        return usize::from(left.is_role);
    }
    if left.is_role || right.is_role {
        return if same_domain && !left.is_free { 6 } else { 10 };
    }
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).fold(0_u64, |all, b| all * 10 + u64::from(b));
    let same_digits = digits(left.local) == digits(right.local);
    if left.local == right.local {
        let is_typo = edits(left.domain, right.domain, 2) <= 2;
        return match left.local.len() {
            _ if is_typo => 2,
            5.. => 3,
            _ => 5,
        };
    }
    let owner = |record: &Features, mailbox: Mailbox<'_>| {
        let is_first = record.part(Part::Local) == mailbox.local;
        record.part(if is_first { Part::Owner } else { Part::Owner2 }).len()
    };
    let letters_left = owner_of(a, left);
    let same_letters = owner(a, left) > 2 && letters_left == owner_of(b, right);
    if same_domain && same_letters && !same_digits {
        return 4;
    }
    if same_domain && same_digits && edits(left.local, right.local, 1) <= 1 && left.local.len() > 4 {
        return 2;
    }
    if same_letters {
        return if same_domain { 2 } else { 5 };
    }
    let (local, domain) = (edits(left.local, right.local, 2), edits(left.domain, right.domain, 2));
    if local <= 2 && domain <= 2 && local + domain <= 3 && left.local.len() > 4 && (!same_domain || same_digits) {
        return 11;
    }
    match (left.is_free, right.is_free) {
        (false, false) if same_domain => 6,
        (true, true) => 7,
        (false, false) => 8,
        _ => 9,
    }
}

fn owner_of<'a>(record: &'a Features, mailbox: Mailbox<'_>) -> &'a str {
    let is_first = record.part(Part::Local) == mailbox.local;
    record.part(if is_first { Part::Owner } else { Part::Owner2 })
}

/// How well a mailbox of `a` fits the name of `b`: a level of [`OWNERS`]; `None` when one of them is not there.
fn names_other(a: &Features, b: &Features) -> Option<usize> {
    let (given, family) = (b.part(Part::Given), b.part(Part::Family));
    if given.is_empty() && family.is_empty() {
        return None;
    }
    let personal = a.mailboxes().filter(|mailbox| !mailbox.is_role);
    let owners = personal.map(|mailbox| owner_of(a, mailbox)).filter(|owner| owner.len() > 1);
    owners.map(|owner| owner_level(owner, first_word(given), family)).max()
}

fn owner_level(owner: &str, given: &str, family: &str) -> usize {
    let spaced = family.contains(' ');
    let joined = if spaced { family.replace(' ', "") } else { String::new() };
    let family = if spaced { joined.as_str() } else { family };
    let without = |name: &str| {
        // A plain search: the texts are too short for a clever one.
        let at = owner.as_bytes().windows(name.len()).position(|part| part == name.as_bytes())?;
        Some((owner.get(..at).unwrap_or_default(), owner.get(at + name.len()..).unwrap_or_default()))
    };
    let initial = given.chars().next();
    if family.len() > 2
        && let Some((before, behind)) = without(family)
    {
        let rest = if before.is_empty() { behind } else { before };
        if rest.is_empty() || given.is_empty() {
            return 1;
        }
        return match rest {
            _ if given.len() > 1 && (rest == given || are_nicknames(rest, given)) => 4,
            _ if rest.chars().next() == initial => 3,
            _ => 1,
        };
    }
    if given.len() > 2 && without(given).is_some() {
        return 2;
    }
    0
}

fn phones(e: &mut Evidence, a: &Features, b: &Features) -> Verdict {
    let mut best = usize::MAX;
    for left in a.phones() {
        for right in b.phones() {
            let level = match edits(left, right, 2) {
                0 => 0,
                1 => 1,
                2 if left.len().min(right.len()) >= 8 => 2,
                _ => 3,
            };
            best = best.min(level);
        }
    }
    if best == usize::MAX {
        return Verdict::Unclear;
    }
    e.add(Group::Phone, best);
    match best {
        0 => {
            e.count(Term::Phone);
            Verdict::Agrees
        }
        1 => Verdict::Agrees,
        3 => Verdict::Differs,
        _ => Verdict::Unclear,
    }
}

fn places(e: &mut Evidence, a: &Features, b: &Features) -> Verdict {
    let code = postcode_level(a.part(Part::Postcode), b.part(Part::Postcode));
    if let Some(level) = code {
        e.add(Group::Postcode, level);
    }
    let same = |part: Part| -> Option<bool> {
        let (a, b) = (a.part(part), b.part(part));
        (!a.is_empty() && !b.is_empty()).then(|| a == b)
    };
    let (city_a, city_b) = (a.part(Part::City), b.part(Part::City));
    if let Some(is_same) = same(Part::City) {
        let is_close = || likeness(city_a, city_b) >= 880 || edits(city_a, city_b, 2) <= 2 && city_a.len() > 5;
        e.add(Group::City, if is_same { 0 } else { 2 - usize::from(is_close()) });
    }
    if let Some(is_same) = same(Part::State) {
        e.add(Group::State, usize::from(!is_same));
    }
    if let Some(is_same) = same(Part::Country) {
        e.add(Group::Country, usize::from(!is_same));
    }
    let (street_a, street_b) = (a.part(Part::Street), b.part(Part::Street));
    if street_a.is_empty() || street_b.is_empty() {
        return Verdict::Unclear;
    }
    let same_number = a.part(Part::Number) == b.part(Part::Number);
    let typo = || edits(street_a, street_b, 2) <= 2 || likeness(street_a, street_b) >= 930;
    let level = match (street_a == street_b, same_number) {
        (true, true) => 0,
        (true, false) => 1,
        (false, true) if typo() => 2,
        (false, _) if typo() || likeness(street_a, street_b) >= 850 => 3,
        (false, _) => 4,
    };
    e.add(Group::Street, level);
    match level {
        0 | 2 => {
            e.count(Term::Street);
            Verdict::Agrees
        }
        4 if code != Some(0) => Verdict::Differs,
        _ => Verdict::Unclear,
    }
}

fn postcode_level(a: &str, b: &str) -> Option<usize> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let area = |code: &str| code.get(..3).map(str::to_owned);
    Some(match () {
        () if a == b => 0,
        () if edits(a, b, 1) <= 1 => 1,
        () if area(a) == area(b) => 2,
        () => 3,
    })
}

fn companies(e: &mut Evidence, a: &Features, b: &Features) -> Verdict {
    let (company_a, company_b) = (a.part(Part::Company), b.part(Part::Company));
    let level = if company_a.is_empty() || company_b.is_empty() {
        let by_domain = if company_a.is_empty() {
            owns(company_b, a.part(Part::Firm))
        } else {
            owns(company_a, b.part(Part::Firm))
        };
        match by_domain {
            Some(true) => 4,
            Some(false) => 5,
            None => return Verdict::Unclear,
        }
    } else {
        company_level(company_a, company_b)
    };
    e.add(Group::Company, level);
    match level {
        0 | 1 | 4 => {
            e.count(Term::Company);
            Verdict::Agrees
        }
        3 => Verdict::Differs,
        _ => Verdict::Unclear,
    }
}

fn company_level(a: &str, b: &str) -> usize {
    if a == b {
        return 0;
    }
    if edits(a, b, 2) <= 2 && a.len().min(b.len()) > 5 || likeness(a, b) >= 950 {
        return 1;
    }
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let is_part = long.strip_prefix(short).is_some_and(|rest| rest.starts_with(' '));
    if is_part || first_word(a) == first_word(b) && first_word(a).len() > 3 {
        return 2;
    }
    3
}

/// Whether a company may own the domain with these letters; `None` when one is missing.
fn owns(company: &str, firm: &str) -> Option<bool> {
    if company.is_empty() || firm.is_empty() {
        return None;
    }
    let mut letters = company.chars().filter(|c| c.is_alphabetic());
    let shared = firm.chars().take_while(|c| letters.next() == Some(*c)).count();
    Some(shared >= 4.max(firm.len().min(14) * 4 / 5).min(firm.len()))
}

fn births(e: &mut Evidence, a: Date, b: Date) -> Verdict {
    if a.year == 0 || b.year == 0 {
        return Verdict::Unclear;
    }
    let is_vague = |date: Date| date.day <= 1 && date.month <= 1;
    let level = match () {
        () if a == b && !is_vague(a) => 0,
        () if a.year == b.year && (is_vague(a) || is_vague(b)) => 4,
        () => date_level(a, b),
    };
    e.add(Group::Birth, level);
    match level {
        0 | 1 => Verdict::Agrees,
        5 => Verdict::Differs,
        _ => Verdict::Unclear,
    }
}

fn date_level(a: Date, b: Date) -> usize {
    let same = [a.year == b.year, a.month == b.month, a.day == b.day];
    let is_swapped = same[0] && a.month == b.day && a.day == b.month;
    let text = |date: Date| format!("{:04}{:02}{:02}", date.year, date.month, date.day);
    if is_swapped || edits(&text(a), &text(b), 1) <= 1 {
        return 1;
    }
    let days = |date: Date| i32::from(date.year) * 365 + i32::from(date.month) * 30 + i32::from(date.day);
    match (same.iter().filter(|part| **part).count(), (days(a) - days(b)).abs()) {
        (2.., _) => 2,
        (_, 0..=45) => 6,
        _ if same[0] => 3,
        (_, 0..=430) => 7,
        _ => 5,
    }
}

fn ids(e: &mut Evidence, a: &Features, b: &Features) -> Verdict {
    let (a, b) = (a.part(Part::Id), b.part(Part::Id));
    if a.is_empty() || b.is_empty() {
        return Verdict::Unclear;
    }
    let level = edits(a, b, 2).min(3);
    e.add(Group::Id, level);
    match level {
        0 | 1 => Verdict::Agrees,
        3 => Verdict::Differs,
        _ => Verdict::Unclear,
    }
}

fn others(e: &mut Evidence, a: &Features, b: &Features) {
    for (part, group) in [
        (Part::Sex, Group::Sex),
        (Part::Occupation, Group::Occupation),
        (Part::Middle, Group::Middle),
    ] {
        let (a, b) = (a.part(part), b.part(part));
        if !a.is_empty() && !b.is_empty() {
            let is_initial = group == Group::Middle && (is_initial(a) || is_initial(b));
            let same = a == b || is_initial && a.chars().next() == b.chars().next();
            e.add(group, usize::from(!same));
        }
    }
    let (generation_a, generation_b) = (a.part(Part::Generation), b.part(Part::Generation));
    match (generation_a.is_empty(), generation_b.is_empty()) {
        (true, true) => {}
        (false, false) => e.add(Group::Generation, if generation_a == generation_b { 0 } else { 2 }),
        _ => e.add(Group::Generation, 1),
    }
    let (full_a, full_b) = (a.part(Part::Full), b.part(Part::Full));
    if full_a.is_empty() || full_b.is_empty() {
        return;
    }
    let shared = full_a.split(' ').filter(|word| full_b.split(' ').any(|other| other == *word)).count();
    let of = full_a.split(' ').count().min(full_b.split(' ').count()).max(1);
    let level = match shared * 100 / of {
        _ if full_a == full_b => 0,
        100.. => 1,
        50.. => 2,
        1.. => 3,
        _ => 4,
    };
    e.add(Group::Full, level);
}
