//! What mailboxes, numbers, places, companies, dates and ids say about each other.

use super::super::record::{Date, Features, Mailbox, Part};
use super::super::strings::{edits, likeness};
use super::super::words::are_nicknames;
use super::names::{first_word, is_initial};
use super::{Evidence, Group, Term, Verdict};

pub(super) fn emails(e: &mut Evidence, a: &Features, b: &Features) -> Verdict {
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
        e.add(
            if is_equal {
                Group::OwnerBest
            } else {
                Group::MailNameBest
            },
            high,
        );
        if both_known {
            e.add(
                if is_equal {
                    Group::OwnerWorst
                } else {
                    Group::MailNameWorst
                },
                low,
            );
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
    let digits = |text: &str| {
        text.bytes()
            .filter(u8::is_ascii_digit)
            .fold(0_u64, |all, b| all * 10 + u64::from(b))
    };
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
    let owners = personal
        .map(|mailbox| owner_of(a, mailbox))
        .filter(|owner| owner.len() > 1);
    owners.map(|owner| owner_level(owner, first_word(given), family)).max()
}

fn owner_level(owner: &str, given: &str, family: &str) -> usize {
    let spaced = family.contains(' ');
    let joined = if spaced { family.replace(' ', "") } else { String::new() };
    let family = if spaced { joined.as_str() } else { family };
    let without = |name: &str| {
        // A plain search: the texts are too short for a clever one.
        let at = owner
            .as_bytes()
            .windows(name.len())
            .position(|part| part == name.as_bytes())?;
        Some((
            owner.get(..at).unwrap_or_default(),
            owner.get(at + name.len()..).unwrap_or_default(),
        ))
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

pub(super) fn phones(e: &mut Evidence, a: &Features, b: &Features) -> Verdict {
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

pub(super) fn places(e: &mut Evidence, a: &Features, b: &Features) -> Verdict {
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
        let is_close = || likeness(city_a, city_b, 880) >= 880 || edits(city_a, city_b, 2) <= 2 && city_a.len() > 5;
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
    let typo = || edits(street_a, street_b, 2) <= 2 || likeness(street_a, street_b, 930) >= 930;
    let level = match (street_a == street_b, same_number) {
        (true, true) => 0,
        (true, false) => 1,
        (false, true) if typo() => 2,
        (false, _) if typo() || likeness(street_a, street_b, 850) >= 850 => 3,
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
    Some(match () {
        () if a == b => 0,
        () if edits(a, b, 1) <= 1 => 1,
        () if a.get(..3) == b.get(..3) => 2,
        () => 3,
    })
}

pub(super) fn companies(e: &mut Evidence, a: &Features, b: &Features) -> Verdict {
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
    if edits(a, b, 2) <= 2 && a.len().min(b.len()) > 5 || likeness(a, b, 950) >= 950 {
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

pub(super) fn births(e: &mut Evidence, a: Date, b: Date) -> Verdict {
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

pub(super) fn ids(e: &mut Evidence, a: &Features, b: &Features) -> Verdict {
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

pub(super) fn others(e: &mut Evidence, a: &Features, b: &Features) {
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
    let shared = full_a
        .split(' ')
        .filter(|word| full_b.split(' ').any(|other| other == *word))
        .count();
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
