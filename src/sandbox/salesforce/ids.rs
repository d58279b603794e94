//! Ids of 18 letters: 15 that count, and 3 that tell their case (VENDORS.md B1.12).

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// The id of the object with this number; `prefix` says its kind. Ids of one kind are in the order of their numbers.
pub(super) fn id_of(prefix: &str, number: u64) -> String {
    let mut digits = Vec::new();
    let mut rest = number;
    for _ in 0..6 {
        let digit = usize::try_from(rest % 62).unwrap_or_default();
        digits.push(DIGITS.get(digit).copied().unwrap_or(b'0'));
        rest /= 62;
    }
    let tail: String = digits.iter().rev().map(|digit| char::from(*digit)).collect();
    let short = format!("{prefix}RO0000{tail}");
    let check = check_of(&short);
    short + &check
}

/// Which of the letters are capitals, five at a time.
fn check_of(short: &str) -> String {
    let letters: Vec<char> = short.chars().collect();
    let letter = |five: &[char]| {
        let bits = five
            .iter()
            .enumerate()
            .filter(|(_, letter)| letter.is_ascii_uppercase());
        let index: usize = bits.map(|(place, _)| 1 << place).sum();
        char::from(CHECKS.get(index).copied().unwrap_or(b'A'))
    };
    letters.chunks(5).map(letter).collect()
}

/// The number behind an id of 15 or 18 letters; `None` for one of another kind, or one whose case was lost.
pub(super) fn number_of(prefix: &str, id: &str) -> Option<u64> {
    let short: String = id.chars().take(15).collect();
    let check: String = id.chars().skip(15).collect();
    if !check.is_empty() && check != check_of(&short) {
        return None;
    }
    let tail = short.strip_prefix(prefix)?.strip_prefix("RO0000")?;
    let digit = |letter: u8| DIGITS.iter().position(|digit| *digit == letter);
    tail.bytes().try_fold(0_u64, |number, letter| {
        Some(number * 62 + u64::try_from(digit(letter)?).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_back_and_tell_their_case() {
        // The sheet's own example.
        assert_eq!(check_of("003RO0000035WQg"), "YAM");
        for number in [0, 1, 61, 62, 300_000] {
            let id = id_of("003", number);
            assert_eq!((id.len(), number_of("003", &id)), (18, Some(number)));
            let short: String = id.chars().take(15).collect();
            assert_eq!(number_of("003", &short), Some(number));
            assert_eq!(number_of("00Q", &id), None);
        }
        assert!(id_of("003", 61) < id_of("003", 62));
        let (upper, lower) = (id_of("003", 10), id_of("003", 36));
        assert_eq!(
            upper.to_lowercase().chars().take(15).collect::<String>(),
            lower.to_lowercase().chars().take(15).collect::<String>()
        );
        assert_ne!(upper.to_lowercase(), lower.to_lowercase());
    }
}
