//! Tax and business numbers: one spelling of each, and none that was mistyped.
//!
//! Those of the European Union carry check digits, which are reckoned as its member states prescribe (crate `eu-vat`). A national
//! business number is often the same without the country in front: a Finnish Y-tunnus `0112038-9` is the VAT number `FI01120389`.

use compact_str::CompactString;
use eu_vat::{Country, Error, Vat};

use super::phone;

/// The most bytes of a number.
const LENGTH_MAX: usize = 128;

/// Fewer digits than this tell nobody from the next.
const DIGITS_MIN: usize = 5;

/// A number in capital letters and digits; `None` when it is none, stands in for one, or its check digits are wrong.
/// `country` (two letters) is where its owner is, for numbers that do not say it.
#[must_use]
pub(super) fn normalise(text: &str, country: Option<&str>) -> Option<CompactString> {
    if text.len() > LENGTH_MAX {
        return None;
    }
    let number: CompactString = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let digits: CompactString = number.chars().filter(char::is_ascii_digit).collect();
    if digits.len() < DIGITS_MIN || phone::is_placeholder(&digits) {
        return None;
    }
    match Vat::parse(&number) {
        Ok(vat) => return Some(written(&vat)),
        // The shape is right and a digit is not: whoever has that number, it is not who is meant.
        Err(Error::BadChecksum) => return None,
        Err(_) => {}
    }
    // A national number is only known for one when its digits are right: other numbers of a country have other rules.
    let at_home = country.and_then(Country::from_code);
    let at_home = at_home.and_then(|country| Vat::parse(&format!("{country}{number}")).ok());
    Some(at_home.map_or(number, |vat| written(&vat)))
}

fn written(vat: &Vat) -> CompactString {
    CompactString::from(vat.country().code()) + vat.number()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_of_each_and_no_mistyped_ones() {
        for (text, country, wanted) in [
            ("DE 136 695 976", None, Some("DE136695976")),
            ("136695976", Some("DE"), Some("DE136695976")),
            ("de136695970", None, None),
            ("FI01120389", None, Some("FI01120389")),
            ("0112038-9", Some("FI"), Some("FI01120389")),
            // Not its digits: some other number of that country.
            ("0112038-7", Some("FI"), Some("01120387")),
            ("0112038-9", None, Some("01120389")),
            ("nl 004495445 b01", None, Some("NL004495445B01")),
            ("NL004495446B01", None, None),
            ("HRB 98765 B", Some("DE"), Some("HRB98765B")),
            ("CHE-107.787.577", Some("CH"), Some("CHE107787577")),
            ("12", None, None),
            ("000000000", Some("DE"), None),
            ("n/a", None, None),
        ] {
            assert_eq!(normalise(text, country).as_deref(), wanted, "{text} {country:?}");
        }
    }
}
