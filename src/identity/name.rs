//! Names: one key for one name in any order and spelling, and the names that stand where there is none.

use std::borrow::Cow;

use compact_str::{CompactString, ToCompactString, format_compact};

use super::lists::{LEGAL_FORMS, PLACEHOLDER_NAMES, TITLES};
use super::text::fold;

/// Longer names are refused unread.
const LENGTH_MAX: usize = 200;

/// Names of more words than this are sentences.
const WORDS_MAX: usize = 10;

/// Words that begin a family name and are written apart from it. Lower case.
const PARTICLES: [&str; 24] = [
    "af", "al", "av", "ben", "bin", "da", "dal", "de", "del", "della", "den", "der", "di", "dos", "du", "el", "la",
    "le", "ten", "ter", "van", "vom", "von", "zu",
];

/// Generation words: they tell father and son apart, but are no name.
const GENERATIONS: [&str; 5] = ["ii", "iii", "iv", "jr", "sr"];

/// The key of a person's name: its words, folded, sorted, without titles. `None` when there are fewer than two words of
/// two letters (an initial, a family name alone: a household), or they are stand-ins (`Unknown`, `Test Test`).
///
/// The given and the family name are taken where they make a key, the full name otherwise.
#[must_use]
pub fn key(given: Option<&str>, family: Option<&str>, full: Option<&str>) -> Option<CompactString> {
    let mut both = words(given.unwrap_or_default());
    both.append(&mut words(family.unwrap_or_default()));
    person_key(both).or_else(|| person_key(words(full?)))
}

/// The key of an organization's name: folded, without legal form. `None` when nothing but a stand-in is left.
#[must_use]
pub fn company_key(company: &str) -> Option<CompactString> {
    if company.len() > LENGTH_MAX {
        return None;
    }
    let without_dots = company.replace('.', "");
    let folded = fold(&without_dots);
    let mut words: Vec<&str> = folded.split(' ').filter(|word| !word.is_empty()).collect();
    while words.len() > 1 && words.last().is_some_and(|last| LEGAL_FORMS.contains(last)) {
        words.pop();
    }
    if words.len() > 1 && words.first() == Some(&"the") {
        words.remove(0);
    }
    let key = words.join(" ");
    let is_name = words.iter().any(|word| !is_short(word));
    (is_name && !PLACEHOLDER_NAMES.contains(&key)).then(|| key.into())
}

/// True when two full names are the same words in any order and spelling, titles aside.
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    let a = sorted(words(a));
    !a.is_empty() && a == sorted(words(b))
}

/// Takes a full name apart into given and family name. Titles are left off, a comma (`Müller, Anna`) and particles
/// (`Ludwig van Beethoven`) are honoured; a single word is a given name.
#[must_use]
pub fn split(full: &str) -> (Option<CompactString>, Option<CompactString>) {
    if full.len() > LENGTH_MAX {
        return (None, None);
    }
    let (front, behind) = full.split_once(',').unwrap_or((full, ""));
    let front = untitled(front);
    let behind: Vec<&str> = separate(behind).filter(|word| !is_title(word)).collect();
    let is_generation = |word: &&str| GENERATIONS.contains(&generation(&fold(word)).as_ref());
    if front.is_empty() || behind.iter().all(is_generation) {
        let words: Vec<&str> = front.into_iter().chain(behind).collect();
        let end = words.len() - words.iter().rev().take_while(|word| is_generation(word)).count();
        let is_particle = |word: &&str| PARTICLES.contains(&word.to_lowercase().as_str());
        let first = words.iter().take(end).skip(1).position(is_particle).map(|at| at + 1);
        let family = first.unwrap_or_else(|| end.saturating_sub(1)).max(1).min(words.len());
        let (given, family) = words.split_at(family);
        return (joined(given), joined(family));
    }
    (joined(&behind), joined(&front))
}

/// A full name of its parts; `None` when both are missing or blank.
#[must_use]
pub fn join(given: Option<&str>, family: Option<&str>) -> Option<CompactString> {
    let given = given.map(str::trim).filter(|name| !name.is_empty());
    let family = family.map(str::trim).filter(|name| !name.is_empty());
    match (given, family) {
        (Some(given), Some(family)) => Some(format_compact!("{given} {family}")),
        (one, other) => one.or(other).map(CompactString::from),
    }
}

fn person_key(words: Vec<CompactString>) -> Option<CompactString> {
    let words = sorted(words);
    let is_word = |word: &CompactString| !is_short(word) && !GENERATIONS.contains(&word.as_str());
    if words.iter().filter(|word| is_word(word)).count() < 2 || words.len() > WORDS_MAX {
        return None;
    }
    let key = spaced(&words);
    (!PLACEHOLDER_NAMES.contains(key.as_str())).then_some(key)
}

/// A single letter; a single Han, Kana or Hangul character is a whole word.
fn is_short(word: &str) -> bool {
    word.chars().nth(1).is_none() && !word.chars().all(is_syllable)
}

fn is_syllable(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{20000}'..='\u{323AF}')
}

fn sorted(mut words: Vec<CompactString>) -> Vec<CompactString> {
    words.sort_unstable();
    words.dedup();
    words
}

fn spaced(words: &[CompactString]) -> CompactString {
    let mut key = CompactString::default();
    for word in words {
        if !key.is_empty() {
            key.push(' ');
        }
        key.push_str(word);
    }
    key
}

fn joined(words: &[&str]) -> Option<CompactString> {
    (!words.is_empty()).then(|| words.join(" ").into())
}

/// The folded words of a name, without titles, stand-ins and what is in brackets. Empty for what is no name at all: an
/// e-mail address, a phone number.
pub(super) fn words(text: &str) -> Vec<CompactString> {
    let mut words = Vec::new();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if text.len() > LENGTH_MAX || text.contains('@') || digits >= 3 {
        return words;
    }
    for word in untitled(&without_brackets(text)) {
        let folded = fold(word);
        for part in folded
            .split(' ')
            .filter(|part| !part.is_empty() && !TITLES.contains(part))
        {
            let part = generation(part);
            if PLACEHOLDER_NAMES.contains(part.as_ref()) {
                continue;
            }
            // Scripts without spaces: `王伟` and `伟` `王` are the same name.
            if part.chars().all(is_syllable) {
                words.extend(part.chars().map(|c| c.to_compact_string()));
            } else {
                words.push(part.into());
            }
        }
    }
    words
}

fn generation(word: &str) -> Cow<'_, str> {
    match word {
        "junior" => "jr".into(),
        "senior" => "sr".into(),
        _ => word.into(),
    }
}

/// The words of a name without its titles. A name of nothing but titles keeps them: it is somebody's name.
fn untitled(text: &str) -> Vec<&str> {
    let names: Vec<&str> = separate(text).filter(|word| !is_title(word)).collect();
    if names.is_empty() {
        separate(text).collect()
    } else {
        names
    }
}

fn separate(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t', '\u{a0}', ',', ';'])
        .filter(|word| !word.is_empty())
}

fn is_title(word: &str) -> bool {
    // Titles are short and ASCII; every word of every name comes by here.
    if word.len() > 16 || !word.is_ascii() {
        return false;
    }
    let mut lower = CompactString::from(word);
    lower.make_ascii_lowercase();
    if !lower.contains(['.', '-']) {
        return TITLES.contains(lower.as_str());
    }
    let plain: CompactString = lower.chars().filter(|c| !matches!(c, '.' | '-')).collect();
    TITLES.contains(plain.as_str()) || TITLES.contains(lower.as_str())
}

fn without_brackets(text: &str) -> Cow<'_, str> {
    if !text.contains(['(', '[']) {
        return Cow::Borrowed(text);
    }
    let mut depth = 0_u32;
    let outside = text.chars().filter(|c| match c {
        '(' | '[' => {
            depth += 1;
            false
        }
        ')' | ']' => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => depth == 0,
    });
    Cow::Owned(outside.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(given: &str, family: &str, full: &str, expected: Option<&str>) {
        let part = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (given, family, full) = (part(given), part(family), part(full));
        let key = key(given.as_deref(), family.as_deref(), full.as_deref());
        assert_eq!(key.as_deref(), expected, "{given:?} {family:?} {full:?}");
    }

    #[test]
    fn order_spelling_and_titles_do_not_matter() {
        let expected = Some("anna muller");
        check("Anna", "Müller", "", expected);
        check("MUELLER", "anna", "", expected);
        check("", "", "Müller, Anna", expected);
        check("", "", "Frau Dr. med. Anna Müller", expected);
        check("Dr.Anna", "Müller", "", expected);
        check("", "", "Prof. Dr.-Ing. Anna Müller, M.Sc.", expected);
        check("Anna", "Müller, PhD", "", expected);
        check("Anna Müller", "Müller", "", expected);
        check("Anna Müller", "", "", expected);
        check("", "", "Anna Müller (Acme GmbH)", expected);
        check("", "Müller", "Anna Müller", expected);
    }

    #[test]
    fn names_that_are_no_plain_pair() {
        check("Anna-Lena", "Müller", "", Some("anna lena muller"));
        check("", "", "Anna Lena Müller", Some("anna lena muller"));
        check("Seán", "O’Brien", "", Some("obrien sean"));
        check("Ludwig", "van Beethoven", "", Some("beethoven ludwig van"));
        check("伟", "王", "", Some("伟 王"));
        check("", "", "王伟", Some("伟 王"));
        check("", "", "김민준", Some("김 민 준"));
        check("Анна", "Иванова", "", Some("анна иванова"));
        check("Bo", "Ma", "", Some("bo ma"));
    }

    #[test]
    fn father_and_son_have_two_names() {
        check("John", "Smith Jr.", "", Some("john jr smith"));
        check("", "", "John Smith Junior", Some("john jr smith"));
        check("John", "Smith", "", Some("john smith"));
        check("John A.", "Smith", "", Some("a john smith"));
    }

    #[test]
    fn what_names_nobody_has_no_key() {
        for (given, family) in [
            ("", ""),
            ("", "Müller"),
            ("Anna", ""),
            ("J.", "Smith"),
            ("Unknown", "Unknown"),
            ("Test", "Test"),
            ("Unbekannt", "Müller"),
            ("n/a", "n/a"),
            ("No", "Name"),
            ("Max", "Mustermann"),
            ("John", "Doe"),
            ("First", "Last"),
            ("anna@acme.com", ""),
            ("+49 30 901820", "x"),
            ("Dr.", "Müller"),
            ("Smith", "Jr."),
            ("...", "-"),
            ("xxx", "xxx"),
            ("Anna", "anna"),
        ] {
            check(given, family, "", None);
        }
        check("", "", &"very long name ".repeat(1000), None);
        check(
            "",
            "",
            "a sentence about a customer who called us last week and was angry",
            None,
        );
    }

    #[test]
    fn companies_come_with_and_without_legal_form() {
        for company in [
            "Acme",
            "ACME GmbH",
            "Acme GmbH & Co. KG",
            "The Acme Ltd.",
            "Acme S.r.l.",
            "acme, Inc.",
        ] {
            assert_eq!(company_key(company).as_deref(), Some("acme"), "{company}");
        }
        assert_eq!(company_key("Müller & Söhne KG").as_deref(), Some("muller sohne"));
        assert_eq!(company_key("AG Consulting").as_deref(), Some("ag consulting"));
        assert_eq!(company_key("3M").as_deref(), Some("3m"));
        for company in ["", "-", "n/a", "Unknown", "none", "x", "test"] {
            assert_eq!(company_key(company), None, "{company}");
        }
    }

    #[test]
    fn same_names_in_other_words() {
        assert!(same("Anna Müller", "Mueller, Anna"));
        assert!(same("Anna", "ANNA"));
        assert!(!same("Anna Müller", "Anna Meier"));
        assert!(!same("", ""));
        assert!(!same("Anna", "Anna Müller"));
    }

    #[track_caller]
    fn check_split(full: &str, given: Option<&str>, family: Option<&str>) {
        let parts = split(full);
        assert_eq!((parts.0.as_deref(), parts.1.as_deref()), (given, family), "{full}");
    }

    #[test]
    fn full_names_come_apart() {
        check_split("Anna Müller", Some("Anna"), Some("Müller"));
        check_split("Müller, Anna", Some("Anna"), Some("Müller"));
        check_split("Dr. Anna Maria Müller", Some("Anna Maria"), Some("Müller"));
        check_split("Müller, Dr. Anna", Some("Anna"), Some("Müller"));
        check_split("Ludwig van Beethoven", Some("Ludwig"), Some("van Beethoven"));
        check_split("María de la Cruz", Some("María"), Some("de la Cruz"));
        check_split("John Smith, Jr.", Some("John"), Some("Smith Jr."));
        check_split("John Smith Jr.", Some("John"), Some("Smith Jr."));
        check_split("Anna Müller, PhD", Some("Anna"), Some("Müller"));
        check_split("Anna", Some("Anna"), None);
        check_split("van Beethoven", Some("van"), Some("Beethoven"));
        check_split("Al Pacino", Some("Al"), Some("Pacino"));
        check_split("", None, None);
        check_split(",", None, None);
    }

    #[test]
    fn names_are_joined() {
        assert_eq!(join(Some("Anna"), Some(" Müller ")).as_deref(), Some("Anna Müller"));
        assert_eq!(join(None, Some("Müller")).as_deref(), Some("Müller"));
        assert_eq!(join(Some(" "), None), None);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_keys_are_symmetric(a in "\\PC{0,30}", b in "\\PC{0,30}") {
            prop_assert_eq!(key(Some(&a), Some(&b), None), key(Some(&b), Some(&a), None));
            prop_assert_eq!(same(&a, &b), same(&b, &a));
            let (given, family) = split(&a);
            prop_assert!(join(given.as_deref(), family.as_deref()).is_none_or(|name| name.len() <= a.len() + 1));
        }
    }
}
