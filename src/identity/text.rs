//! One spelling for names: case, diacritics and the ways to write them without diacritics all come to the same.

use compact_str::CompactString;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_compatible;

/// Folds case and diacritics so that every way to write a name comes to one: `Müller`, `Mueller` and `Muller` are `muller`.
///
/// The two-letter spellings are folded on *every* text (`ae`, `oe`, `ue`, `aa`, `dj`), so that it does not matter which
/// side used them: `Michael` is `michal` on both sides. Apostrophes vanish (`O'Brien` is `obrien`), all that is neither
/// letter nor digit becomes one space. Folding twice changes nothing.
pub(super) fn fold(text: &str) -> String {
    let mut out = Folding {
        text: String::with_capacity(text.len()),
        last: ' ',
    };
    if text.is_ascii() {
        text.chars().for_each(|c| out.push(c));
    } else {
        text.nfkc().for_each(|c| out.push_decomposed(c));
    }
    if out.text.ends_with(' ') {
        out.text.pop();
    }
    out.text
}

/// The parts in one piece. `format!` would do; this is called several times for every record.
pub(super) fn concat<const LEN: usize>(parts: [&str; LEN]) -> CompactString {
    let mut whole = CompactString::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        whole.push_str(part);
    }
    whole
}

struct Folding {
    text: String,
    /// The last character written.
    last: char,
}

impl Folding {
    fn push_decomposed(&mut self, c: char) {
        // Hangul syllables stay whole: taken apart they are no longer letters a reader knows.
        if c.is_ascii() || ('\u{AC00}'..='\u{D7A3}').contains(&c) {
            self.push(c);
        } else {
            decompose_compatible(c, |part| self.push_letter(part));
        }
    }

    fn push_letter(&mut self, c: char) {
        match c {
            _ if is_mark(c) => {}
            'ß' | 'ẞ' => ['s', 's'].into_iter().for_each(|c| self.push(c)),
            'æ' | 'Æ' => self.push('a'),
            'ø' | 'Ø' | 'œ' | 'Œ' => self.push('o'),
            'ł' | 'Ł' => self.push('l'),
            'đ' | 'Đ' | 'ð' | 'Ð' => self.push('d'),
            'ı' => self.push('i'),
            'þ' | 'Þ' => ['t', 'h'].into_iter().for_each(|c| self.push(c)),
            _ => self.push(c),
        }
    }

    fn push(&mut self, c: char) {
        if matches!(
            c,
            '\'' | '`' | '\u{2018}' | '\u{2019}' | '\u{00B4}' | '\u{02BC}' | '\u{200B}'
                ..='\u{200D}' | '\u{FEFF}' | '\u{00AD}'
        ) {
            return;
        }
        if !c.is_alphanumeric() {
            if self.last != ' ' {
                self.text.push(' ');
                self.last = ' ';
            }
            return;
        }
        if c.is_ascii() {
            self.push_folded(c.to_ascii_lowercase());
        } else {
            c.to_lowercase().for_each(|c| self.push_folded(c));
        }
    }

    fn push_folded(&mut self, c: char) {
        let is_second_half = matches!((self.last, c), ('a' | 'o' | 'u', 'e') | ('a', 'a') | ('d', 'j'));
        if !is_second_half && !is_mark(c) {
            self.text.push(c);
            self.last = c;
        }
    }
}

/// The diacritics of Latin, Greek and Cyrillic; the vowel signs of other scripts are letters.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036F}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fold;

    #[track_caller]
    fn check(spellings: &[&str], expected: &str) {
        for spelling in spellings {
            assert_eq!(fold(spelling), expected, "{spelling}");
        }
    }

    #[test]
    fn every_spelling_comes_to_one() {
        check(&["Müller", "MÜLLER", "Mu\u{308}ller", "Mueller", "Muller"], "muller");
        check(&["Søren", "Soeren", "Soren"], "soren");
        check(&["Åkesson", "Aakesson", "Akesson"], "akesson");
        check(&["Đorđević", "Djordjevic", "Dordevic"], "dordevic");
        check(&["Weiß", "WEISS", "WEIẞ"], "weiss");
        check(&["Łukasz", "lukasz"], "lukasz");
        check(&["O'Brien", "O’Brien", "OBrien"], "obrien");
        check(&["Zoë", "Zoe", "Zoé"], "zo");
        check(&["  Anna-Lena\u{a0}  (Berlin) "], "anna lena berlin");
        check(&["İbrahim", "Ibrahim"], "ibrahim");
        check(
            &[
                "김민준",
                "\u{1100}\u{1175}\u{11b7}\u{1106}\u{1175}\u{11ab}\u{110c}\u{116e}\u{11ab}",
            ],
            "김민준",
        );
        check(&["Ａｎｎａ"], "anna");
        check(&["...", ""], "");
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,40}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn case_does_not_matter(text in "[a-zA-ZäöüÄÖÜßéÉ '-]{0,30}") {
            prop_assert_eq!(fold(&text.to_uppercase()), fold(&text.to_lowercase()));
        }
    }
}
