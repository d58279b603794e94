//! What is known about words: short forms of given names, abbreviations of streets, how numbers and dates are written.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use compact_str::CompactString;

use super::super::text::fold;
use super::record::Date;
use super::table::{Map, hash, mix};

/// Reads the lists now, so that the first record does not wait for it.
pub(super) fn load() {
    LazyLock::force(&FULL_FORMS);
    LazyLock::force(&NICKNAMES);
}

/// Short form and full form, folded. `lists/NOTICE` says where they are from.
static SHORT_FORMS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let lines = include_str!("../lists/nicknames.csv").lines().skip(1);
    lines
        .filter_map(|line| {
            let mut cells = line.split(',');
            let full = fold(cells.next()?);
            let short = fold(cells.nth(1)?);
            Some((short, full))
        })
        .collect()
});

/// For each name the full forms it may stand for, itself included.
static FULL_FORMS: LazyLock<BTreeMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    let mut forms: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (short, full) in SHORT_FORMS.iter() {
        forms.entry(short).or_default().push(full);
        forms.entry(full).or_default().push(full);
    }
    for of_name in forms.values_mut() {
        of_name.sort_unstable();
        of_name.dedup();
    }
    forms
});

/// Hashes of pairs of names that may be one: a short form with its full form, two short forms of one.
static NICKNAMES: LazyLock<Map> = LazyLock::new(|| {
    let mut of_full: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (short, full) in SHORT_FORMS.iter() {
        of_full.entry(full).or_default().push(short);
    }
    let mut pairs = Map::new();
    for (full, shorts) in &of_full {
        for (at, short) in shorts.iter().enumerate() {
            *pairs.entry(pair(full, short), 1) = 1;
            for other in shorts.iter().skip(at + 1) {
                *pairs.entry(pair(short, other), 1) = 1;
            }
        }
    }
    pairs
});

fn pair(a: &str, b: &str) -> u64 {
    let (a, b) = (hash(3, &[a.as_bytes()]), hash(3, &[b.as_bytes()]));
    mix(a ^ b)
}

/// True when two given names, folded, may be two forms of one.
pub(super) fn are_nicknames(a: &str, b: &str) -> bool {
    NICKNAMES.get(pair(a, b)).is_some()
}

/// The full forms a given name may stand for, at most six; itself for names that are not in the list.
pub(super) fn full_forms(given: &str) -> impl Iterator<Item = &str> {
    let known = FULL_FORMS.get(given).map(|forms| forms.iter().take(6).copied());
    let unknown = known.is_none().then_some(given);
    known.into_iter().flatten().chain(unknown)
}

/// The short forms of a given name.
pub(super) fn short_forms(full: &str) -> impl Iterator<Item = &'static str> {
    let folded = fold(full);
    let of_name = SHORT_FORMS.iter().filter(move |(_, of)| *of == folded);
    of_name.map(|(short, _)| short.as_str())
}

/// Words that tell father and son apart.
pub(super) fn is_generation(word: &str) -> bool {
    matches!(word, "jr" | "sr" | "ii" | "iii" | "iv")
}

/// Street words and their short forms.
const STREETS: [(&str, &str); 32] = [
    ("street", "st"),
    ("road", "rd"),
    ("avenue", "ave"),
    ("place", "pl"),
    ("drive", "dr"),
    ("lane", "ln"),
    ("court", "ct"),
    ("crescent", "cr"),
    ("cres", "cr"),
    ("close", "cl"),
    ("circuit", "cct"),
    ("circle", "cir"),
    ("boulevard", "blvd"),
    ("terrace", "tce"),
    ("ter", "tce"),
    ("highway", "hwy"),
    ("parade", "pde"),
    ("square", "sq"),
    ("parkway", "pkwy"),
    ("way", "wy"),
    ("grove", "gr"),
    ("strasse", "str"),
    ("platz", "pl"),
    ("av", "ave"),
    ("avenida", "ave"),
    ("calle", "c"),
    ("rue", "r"),
    ("north", "n"),
    ("south", "s"),
    ("east", "e"),
    ("west", "w"),
    ("apartment", "apt"),
];

/// Street with its words shortened, and the house number.
pub(super) fn address(text: &str) -> (CompactString, CompactString) {
    let folded = fold(text);
    let (mut street, mut number) = (CompactString::default(), CompactString::default());
    for word in folded.split(' ').filter(|word| !word.is_empty()) {
        if number.is_empty() && word.starts_with(|c: char| c.is_ascii_digit()) {
            number = word.into();
            continue;
        }
        let short = STREETS.iter().find(|(long, _)| *long == word).map(|(_, short)| *short);
        if !street.is_empty() {
            street.push(' ');
        }
        match (short, word.strip_suffix("strasse")) {
            (Some(short), _) => street.push_str(short),
            (None, Some(front)) => {
                street.push_str(front);
                street.push_str("str");
            }
            (None, None) => street.push_str(word),
        }
    }
    (street, number)
}

/// Letters and digits of a postal code; nothing for stand-ins (`00000`).
pub(super) fn postcode(text: &str) -> CompactString {
    let code: CompactString = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .take(12)
        .collect();
    if code.bytes().all(|b| b == b'0') {
        return CompactString::default();
    }
    code
}

/// An id without punctuation; nothing for stand-ins (`0`, `111-11-1111`, `123456789`).
pub(super) fn id(text: &str) -> CompactString {
    let id: CompactString = text
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .take(40)
        .collect();
    let mut letters = id.chars();
    let first = letters.next();
    let is_one_letter = letters.all(|c| Some(c) == first);
    if id.len() < 4
        || is_one_letter
        || "1234567890".starts_with(id.as_str())
        || matches!(id.as_str(), "none" | "null" | "unknown")
    {
        return CompactString::default();
    }
    id
}

/// The last nine digits of a phone number, without extension, country prefix signs and trunk zero.
pub(super) fn phone(text: &str) -> CompactString {
    let end = text
        .find(|c: char| c.is_ascii_alphabetic() || matches!(c, '#' | ';'))
        .unwrap_or(text.len());
    let number = text.get(..end).unwrap_or_default().replace("(0)", "");
    let digits: CompactString = number.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    let from = digits.len().saturating_sub(9);
    digits.get(from..).unwrap_or_default().into()
}

/// A date as `1971-06-24`, `19710624`, `24.06.1971`, `6/24/1971` or a year alone. Where day and month cannot be told
/// apart the American order is taken; comparing allows for the other one.
pub(super) fn date(text: &str) -> Date {
    let text = text.split(['T', ' ']).next().unwrap_or_default();
    let parts: Vec<&str> = text.split(['-', '/', '.']).collect();
    let number = |text: &str| text.parse::<u16>().unwrap_or_default();
    let small = |number: u16, max: u16| u8::try_from(number).ok().filter(|_| number <= max).unwrap_or_default();
    let made = |year: u16, month: u16, day: u16| Date {
        year: if (1000..3000).contains(&year) { year } else { 0 },
        month: small(month, 99),
        day: small(day, 99),
    };
    match parts[..] {
        [year, month, day] if year.len() == 4 => made(number(year), number(month), number(day)),
        [first, second, year] => {
            let (first, second) = (number(first), number(second));
            let year = match number(year) {
                short @ 0..=25 if year.len() == 2 => 2000 + short,
                short if year.len() == 2 => 1900 + short,
                year => year,
            };
            if first > 12 || text.contains('.') {
                made(year, second, first)
            } else {
                made(year, first, second)
            }
        }
        [whole] if whole.len() == 8 => {
            let part = |from: usize, to: usize| number(whole.get(from..to).unwrap_or_default());
            made(part(0, 4), part(4, 6), part(6, 8))
        }
        [year] if year.len() == 4 => made(number(year), 0, 0),
        _ => Date::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms() {
        assert!(are_nicknames("bill", "william") && are_nicknames("william", "bill"));
        assert!(are_nicknames("bob", "rob"), "two short forms of Robert");
        assert!(!are_nicknames("anna", "robert"));
        assert!(full_forms("bob").any(|full| full == "robert"));
        assert_eq!(full_forms("xenokrates").collect::<Vec<_>>(), ["xenokrates"]);
    }

    #[test]
    fn streets_and_numbers() {
        let check = |text: &str, street: &str, number: &str| {
            assert_eq!(address(text), (street.into(), number.into()), "{text}");
        };
        check("12 High Street", "high st", "12");
        check("12 High St.", "high st", "12");
        check("Hauptstraße 5a", "hauptstr", "5a");
        check("Hauptstrasse 5a", "hauptstr", "5a");
        check("", "", "");
    }

    #[test]
    fn phones_come_to_nine_digits() {
        for text in [
            "+49 (0)30 90182000",
            "0049 30 90182000",
            "030/90182000",
            "030 90182000 ext 12",
        ] {
            assert_eq!(phone(text), "090182000", "{text}");
        }
    }

    #[test]
    fn dates() {
        let check = |text: &str, year, month, day| assert_eq!(date(text), Date { year, month, day }, "{text}");
        check("1971-06-24", 1971, 6, 24);
        check("19710624", 1971, 6, 24);
        check("24.06.1971", 1971, 6, 24);
        check("6/24/1971", 1971, 6, 24);
        check("24/6/1971", 1971, 6, 24);
        check("1971", 1971, 0, 0);
        check("5/6/71", 1971, 5, 6);
        check("soon", 0, 0, 0);
    }
}
