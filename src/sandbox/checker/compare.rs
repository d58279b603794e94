//! Fields in a form that two tools can be compared by: what a vendor may normalise does not count as a difference.

use serde::Serialize;
use unicode_normalization::UnicodeNormalization as _;

use super::super::people::PLACEHOLDERS;
use super::super::{Person, ToolName};

/// A field the checker can compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The main address.
    Email,
    /// The main phone.
    Phone,
    /// Given name (HubSpot and Pipedrive).
    GivenName,
    /// Family name (HubSpot and Pipedrive).
    FamilyName,
    /// Given and family name together.
    FullName,
    /// Employer as text (HubSpot).
    Company,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Email,
        Self::Phone,
        Self::GivenName,
        Self::FamilyName,
        Self::FullName,
        Self::Company,
    ];

    /// Whether the tool has such a field at all.
    pub(super) fn is_in(self, tool: ToolName) -> bool {
        match self {
            Self::Email | Self::Phone | Self::FullName => true,
            Self::GivenName | Self::FamilyName => !matches!(tool, ToolName::Zendesk | ToolName::Intercom),
            Self::Company => tool == ToolName::Hubspot,
        }
    }

    /// The value of a person, normalised; `None` is blank.
    pub(super) fn of(self, person: &Person) -> Option<String> {
        let text = match self {
            Self::Email => &person.email,
            Self::Phone => &person.phone,
            Self::GivenName => &person.given,
            Self::FamilyName => &person.family,
            Self::FullName => &person.full_name,
            Self::Company => &person.company,
        };
        text.as_deref()
            .filter(|text| self != Self::Phone || !PLACEHOLDERS.contains(&text.trim()))
            .map(|text| self.plain(text))
            .filter(|text| !text.is_empty())
    }

    fn plain(self, text: &str) -> String {
        match self {
            Self::Email => text.trim().to_lowercase(),
            Self::Phone => phone(text),
            _ => text
                .nfkc()
                .collect::<String>()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .to_lowercase(),
        }
    }

    /// Two normalised values mean the same; a phone without its country code agrees with one that has it.
    pub(super) fn agrees(self, one: &str, other: &str) -> bool {
        if self != Self::Phone || one == other {
            return one == other;
        }
        let (short, long) = if one.len() < other.len() {
            (one, other)
        } else {
            (other, one)
        };
        let short = short.trim_start_matches('0');
        short.len() >= 7 && long.ends_with(short)
    }
}

/// Digits with the country code, without `+`, `00` and the `(0)` of a trunk; a text without digits stays as it is.
fn phone(text: &str) -> String {
    let text = text.trim().replace("(0)", "");
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() {
        return text.to_lowercase();
    }
    digits
        .strip_prefix("00")
        .filter(|rest| rest.len() >= 7)
        .map_or_else(|| digits.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn same(field: Field, one: &str, other: &str) {
        let (one, other) = (field.plain(one), field.plain(other));
        assert!(field.agrees(&one, &other), "{one} and {other}");
    }

    #[test]
    fn spellings_agree() {
        same(Field::Phone, "+49 (0)30 231-25001", "+493023125001");
        same(Field::Phone, "0049 30 2312 5001", "+493023125001");
        same(Field::Phone, "030 23125001", "+493023125001");
        same(Field::Email, " Ana@Example.COM ", "ana@example.com");
        same(Field::FullName, "Zoë  Brown ", "Zoe\u{308} brown");
    }
}
