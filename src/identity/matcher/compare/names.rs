//! What two names say about each other.

use super::super::record::{Features, Part};
use super::super::strings::{edits, likeness};
use super::super::words::are_nicknames;
use super::{Evidence, Group, Term};

/// Levels of one name.
const EQUAL: usize = 0;

/// Which class of [`NAMES`] two records are in.
pub(super) fn names(e: &mut Evidence, a: &Features, b: &Features) -> usize {
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

pub(super) fn is_initial(name: &str) -> bool {
    name.chars().nth(1).is_none()
}

pub(super) fn given_level(a: &str, b: &str) -> usize {
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
    let likeness = likeness(a, b, 820);
    if likeness >= 900 {
        return Some(1);
    }
    (likeness >= 820 || (edits <= 2 && short >= 5) || (edits <= 1 && short >= 3)).then_some(2)
}

pub(super) fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or(text)
}

fn shares_word(a: &str, b: &str) -> bool {
    if !a.contains(' ') && !b.contains(' ') {
        return false;
    }
    a.split(' ')
        .any(|word| word.len() > 2 && b.split(' ').any(|other| other == word))
}
