//! Phone numbers in E.164, and the ones that stand where there is none.
//!
//! Numbers that carry their country code are read here, without tables of formats: one pass, well under a microsecond.
//! National formats need a region and go to the `phonenumber` crate.

use std::ops::RangeInclusive;

use compact_str::{CompactString, ToCompactString};

use super::text::concat;

/// Longer input is refused unread.
const LENGTH_MAX: usize = 64;

/// Digits of an international number, country code included (ITU E.164 allows 15; the shortest in use have 7).
const DIGITS: RangeInclusive<usize> = 7..=15;

/// Regions where a plain `00` is not how an international number begins: theirs are left to the crate.
/// Source: `internationalPrefix` in libphonenumber's metadata 9.0.33.
const OTHER_PREFIX: [&str; 21] = [
    "AU", "BR", "CC", "CL", "CO", "CU", "CX", "GY", "HK", "ID", "JP", "KE", "KH", "KR", "MN", "NG", "SG", "TH", "TW",
    "TZ", "UG",
];

/// Country codes whose national numbers are dialled with a 0 in front that the international form does not have.
/// Source: `nationalPrefix` in libphonenumber's metadata 9.0.33, without countries where a 0 is part of the number.
#[rustfmt::skip]
const TRUNK_ZERO: [u16; 101] = [
    20, 27, 31, 32, 33, 40, 41, 43, 44, 46, 49, 51, 53, 54, 55, 57, 58, 60, 61, 62, 63, 64, 66, 81, 82, 84, 86, 90,
    91, 92, 93, 94, 95, 98, 211, 212, 213, 218, 231, 232, 233, 234, 243, 249, 251, 252, 254, 255, 256, 260, 261,
    262, 263, 264, 265, 291, 353, 355, 358, 359, 370, 373, 374, 377, 380, 381, 382, 383, 385, 386, 387, 389, 421,
    423, 508, 590, 591, 593, 594, 595, 596, 686, 850, 855, 856, 880, 886, 961, 962, 963, 964, 966, 967, 970, 971,
    972, 976, 977, 994, 995, 996,
];

/// Every country code in use. Source: libphonenumber's metadata 9.0.33.
#[rustfmt::skip]
const COUNTRY_CODES: [u16; 215] = [
    1, 7, 20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58,
    60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98, 211, 212, 213, 216, 218, 220, 221, 222,
    223, 224, 225, 226, 227, 228, 229, 230, 231, 232, 233, 234, 235, 236, 237, 238, 239, 240, 241, 242, 243, 244,
    245, 246, 247, 248, 249, 250, 251, 252, 253, 254, 255, 256, 257, 258, 260, 261, 262, 263, 264, 265, 266, 267,
    268, 269, 290, 291, 297, 298, 299, 350, 351, 352, 353, 354, 355, 356, 357, 358, 359, 370, 371, 372, 373, 374,
    375, 376, 377, 378, 380, 381, 382, 383, 385, 386, 387, 389, 420, 421, 423, 500, 501, 502, 503, 504, 505, 506,
    507, 508, 509, 590, 591, 592, 593, 594, 595, 596, 597, 598, 599, 670, 672, 673, 674, 675, 676, 677, 678, 679,
    680, 681, 682, 683, 685, 686, 687, 688, 689, 690, 691, 692, 800, 808, 850, 852, 853, 855, 856, 870, 878, 880,
    881, 882, 883, 886, 888, 960, 961, 962, 963, 964, 965, 966, 967, 968, 970, 971, 972, 973, 974, 975, 976, 977,
    979, 992, 993, 994, 995, 996, 998,
];

/// The number in E.164 (`+4930901820`), for comparing. Extensions are left off; letters are not translated.
///
/// `region` is the two-letter code of the country whose national format the text may be in; without it only
/// international formats are read. `None` when the text is not one number.
#[must_use]
pub fn normalise(text: &str, region: Option<&str>) -> Option<CompactString> {
    let text = clean(text)?.trim_start_matches(['(', ' ']);
    if let Some(rest) = text.strip_prefix('+') {
        return international(&digits(rest)?);
    }
    let digits = digits(text)?;
    if let Some(rest) = digits.strip_prefix("00")
        && region.is_none_or(|region| !OTHER_PREFIX.contains(&region))
    {
        return international(rest);
    }
    national(&digits, region?)
}

/// True for digits that stand where there is no number: `0000000000`, `+49 1234567`, `5555555`, `-`.
#[must_use]
pub fn is_placeholder(number: &str) -> bool {
    let digits: Vec<u8> = number
        .bytes()
        .filter(u8::is_ascii_digit)
        .take(LENGTH_MAX)
        .map(|digit| digit - b'0')
        .collect();
    let run = |step: u8| {
        let steps = digits
            .windows(2)
            .rev()
            .take_while(|pair| (pair[0] + step) % 10 == pair[1]);
        steps.count() + 1
    };
    // The end decides, because a country code may stand before it. Down is up by nine.
    digits.len() < 5 || run(0) >= 7 || run(1) >= 7 || run(9) >= 7 || is_drama(number)
}

/// North American numbers that are nobody's (555-5555, 555-1212). Those kept for fiction (555-0100 to 555-0199) are not
/// here, for the reason that keeps example domains out of the list of stand-ins.
fn is_drama(number: &str) -> bool {
    let Some(subscriber) = number.strip_prefix("+1").and_then(|rest| rest.get(3..)) else {
        return false;
    };
    subscriber == "5555555" || subscriber == "5551212"
}

/// Without surrounding space, `tel:` and extension; `None` when empty, too long, or a letter is left.
fn clean(text: &str) -> Option<&str> {
    if text.len() > LENGTH_MAX {
        return None;
    }
    let text = text.trim();
    let text = text.strip_prefix("tel:").unwrap_or(text);
    let end = text
        .find(|c: char| c.is_alphabetic() || matches!(c, '#' | ';' | ',' | '*'))
        .unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end)?;
    (rest.is_empty() || is_extension(rest)).then_some(number.trim())
}

/// True for `ext. 12`, `x12`, `#12`, `;ext=12`, `Durchwahl 12`: a known word, then nothing but a short number.
fn is_extension(rest: &str) -> bool {
    let rest = rest.to_lowercase();
    let rest = rest.trim_start_matches([';', ',', ' ']);
    let words = [
        "extension",
        "extn",
        "ext",
        "durchwahl",
        "dw",
        "poste",
        "int",
        "доб",
        "x",
        "#",
    ];
    let Some(number) = words.iter().find_map(|word| rest.strip_prefix(word)) else {
        return false;
    };
    let number = number.trim_matches([' ', '.', ':', '=', '-', ')']);
    (1..=7).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
}

/// The digits alone; `None` when there is anything but digits and what people put between them.
fn digits(text: &str) -> Option<CompactString> {
    let mut digits = CompactString::default();
    for c in text.chars() {
        match c {
            '0'..='9' => digits.push(c),
            ' ' | '-' | '(' | ')' | '.' | '/' | '\u{a0}' | '\u{2010}'..='\u{2015}' | '\u{202f}' => {}
            _ => return None,
        }
    }
    Some(digits)
}

/// Reads the digits behind `+` or `00`.
fn international(digits: &str) -> Option<CompactString> {
    let (code, mut national) = split_code(digits)?;
    let code_text = digits.strip_suffix(national)?;
    if TRUNK_ZERO.binary_search(&code).is_ok() {
        // `+49 (0)30 123456` and `+49 030 123456`: nobody abroad dials that 0.
        national = national.strip_prefix('0').unwrap_or(national);
    }
    in_full(code, code_text, national)
}

fn in_full(code: u16, code_text: &str, national: &str) -> Option<CompactString> {
    let len = code_text.len() + national.len();
    let fits = if code == 1 { len == 11 } else { DIGITS.contains(&len) };
    fits.then(|| concat(["+", code_text, national]))
}

/// The country code in front, and the rest. No code is the beginning of another, so the first that fits is it.
fn split_code(digits: &str) -> Option<(u16, &str)> {
    (1..=3).find_map(|len| {
        let (code, rest) = digits.split_at_checked(len)?;
        let code = code.parse().ok()?;
        (!digits.starts_with('0') && COUNTRY_CODES.binary_search(&code).is_ok()).then_some((code, rest))
    })
}

/// Reads a number in the format of a region. The crate loads its metadata once per process.
fn national(digits: &str, region: &str) -> Option<CompactString> {
    let number = phonenumber::parse(Some(region.parse().ok()?), digits).ok()?;
    let code = number.code().value();
    // Prints with the zeros that are part of the number (Italy).
    let national = number.national().to_compact_string();
    in_full(code, &code.to_compact_string(), &national)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, region: Option<&str>, expected: Option<&str>) {
        assert_eq!(normalise(text, region).as_deref(), expected, "{text} {region:?}");
    }

    #[test]
    fn international_formats_need_no_region() {
        for text in [
            "+4930901820",
            "+49 30 901820",
            "+49 (0)30 / 90 18-20",
            "+49-030-901820",
            "0049 30 901820",
            " tel:+49.30.901820 ",
            "(+49) 30 901820",
            "(0049) 30 901820",
            "+49\u{a0}30\u{a0}901820",
            "+49 30 901820 ext. 12",
            "+49 30 901820 x12",
            "+49 30 901820;ext=12",
            "+49 30 901820 Durchwahl 5",
            "+49 30 901820 #7",
        ] {
            check(text, None, Some("+4930901820"));
        }
        check("+39 06 1234 5678", None, Some("+390612345678"));
        check("+1 (415) 555-2671", None, Some("+14155552671"));
        check("+225 07 12 34 56 78", None, Some("+2250712345678"));
        check("+683 4002", None, Some("+6834002"));
    }

    #[test]
    fn national_formats_need_one() {
        check("030 901820", Some("DE"), Some("+4930901820"));
        check("030/901820-0", Some("DE"), Some("+49309018200"));
        check("(415) 555-2671", Some("US"), Some("+14155552671"));
        check("1-415-555-2671", Some("US"), Some("+14155552671"));
        check("011 49 30 901820", Some("US"), Some("+4930901820"));
        check("0011 49 30 901820", Some("AU"), Some("+4930901820"));
        check("06 1234 5678", Some("IT"), Some("+390612345678"));
        check("0412 345 678", Some("AU"), Some("+61412345678"));
        check("07700 900123", Some("GB"), Some("+447700900123"));
        check("030 901820", None, None);
        check("030 901820", Some("XX"), None);
    }

    #[test]
    fn what_is_not_one_number_is_none() {
        for text in [
            "",
            "+",
            "n/a",
            "1-800-FLOWERS",
            "+1 800 FLOWERS",
            "+49 30 901820 / +49 30 654321",
            "+1 415 555",
            "+999 123456789",
            "+0 123456789",
            "+49 30 1234567890123456",
            "0000000000",
            "12",
            "+1 415 555 26712",
            "call me",
            "++49 30 901820",
            "+49 30 901820 ext. 12 or 13",
        ] {
            check(text, None, None);
            check(text, Some("DE"), None);
        }
        check(&"1".repeat(100_000), Some("DE"), None);
    }

    #[test]
    fn numbers_that_stand_where_there_is_none() {
        for number in [
            "0000000000",
            "+49000000000",
            "+491234567",
            "1234567890",
            "+4930123456789",
            "+15555555555",
            "9876543210",
            "+4911111111",
            "1111",
            "",
            "+14155551212",
            "+10987654321",
        ] {
            assert!(is_placeholder(number), "{number}");
        }
        for number in [
            "+4930901820",
            "+14155552671",
            "+14155550123",
            "+447700900123",
            "+491701112222",
            "+3301555501",
            "+6834002",
        ] {
            assert!(!is_placeholder(number), "{number}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_a_number_reads_as_itself(
            text in "[-+0-9 ()./x#٣５\u{a0}a]{0,24}|\\PC{0,24}",
            region in prop::sample::select(vec!["DE", "US", "IT", "AU", "BR", "JP", "GB", "CI", "XX", "de", ""]),
        ) {
            if let Some(number) = normalise(&text, Some(region)) {
                prop_assert_eq!(normalise(&number, None), Some(number));
            }
            let _never_panics = is_placeholder(&text);
        }
    }

    #[test]
    fn no_country_code_begins_another() {
        assert!(COUNTRY_CODES.is_sorted() && TRUNK_ZERO.is_sorted());
        for code in COUNTRY_CODES {
            assert_eq!(split_code(&format!("{code}55512345")), Some((code, "55512345")));
        }
    }
}
