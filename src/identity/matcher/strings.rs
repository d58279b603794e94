//! How far two short texts are apart. All measures are symmetric: the order of their arguments never shows.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a likeness is between 0 and 1000"
)]

/// Longer texts are compared by their first bytes only.
const LENGTH_MAX: usize = 48;

fn clip(text: &str) -> &[u8] {
    let bytes = text.as_bytes();
    bytes.get(..LENGTH_MAX).unwrap_or(bytes)
}

/// How many letters were changed, left out, put in or swapped with their neighbour; `max + 1` when more than `max`.
pub(super) fn edits(a: &str, b: &str, max: usize) -> usize {
    let (mut a, mut b) = (clip(a), clip(b));
    while let ([x, left @ ..], [y, right @ ..]) = (a, b)
        && x == y
    {
        (a, b) = (left, right);
    }
    while let ([left @ .., x], [right @ .., y]) = (a, b)
        && x == y
    {
        (a, b) = (left, right);
    }
    if a.len().abs_diff(b.len()) > max {
        return max + 1;
    }
    if a.is_empty() || b.is_empty() {
        return a.len().max(b.len());
    }
    // Every letter that the other text lacks costs an edit of its own.
    let (lacking_a, lacking_b) = lacking(a, b);
    if lacking_a.max(lacking_b) > max {
        return max + 1;
    }
    distance(a, b, max)
}

/// The distance of two texts, neither of them empty, that differ in their first and in their last letter.
fn distance(a: &[u8], b: &[u8], max: usize) -> usize {
    // Larger than any distance that is asked for; cells far from the diagonal cannot be part of a way that short.
    let beyond = u8::try_from((max + 1).min(2 * LENGTH_MAX)).unwrap_or(u8::MAX / 2);
    let mut before = [beyond; LENGTH_MAX + 2];
    let mut row = [beyond; LENGTH_MAX + 2];
    let mut next = [beyond; LENGTH_MAX + 2];
    for (cell, at) in row.iter_mut().zip(0..=beyond) {
        *cell = at;
    }
    for i in 1..=a.len() {
        let (from, to) = (i.saturating_sub(max).max(1), (i + max).min(b.len()));
        next[from - 1] = if from == 1 {
            u8::try_from(i).unwrap_or(beyond).min(beyond)
        } else {
            beyond
        };
        let mut least = next[from - 1];
        for j in from..=to {
            let mut cost = row[j - 1] + u8::from(a[i - 1] != b[j - 1]);
            cost = cost.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(before[j - 2] + 1);
            }
            next[j] = cost.min(beyond);
            least = least.min(cost);
        }
        next[to + 1] = beyond;
        if least >= beyond {
            return max + 1;
        }
        (before, row, next) = (row, next, before);
    }
    usize::from(row[b.len()])
}

/// At least how many letters of each text do not occur in the other.
fn lacking(a: &[u8], b: &[u8]) -> (usize, usize) {
    let bit = |letter: &u8| 1_u64 << (letter & 63);
    let letters = |text: &[u8]| text.iter().fold(0, |all, letter| all | bit(letter));
    let (in_a, in_b) = (letters(a), letters(b));
    let count = |text: &[u8], other: u64| text.iter().filter(|letter| other & bit(letter) == 0).count();
    (count(a, in_b), count(b, in_a))
}

/// Likeness after Jaro and Winkler, in thousandths: 1000 for equal texts, 0 for texts that share nothing, and for any
/// that are surely less alike than `least`.
pub(super) fn likeness(a: &str, b: &str, least: u32) -> u32 {
    let (a, b) = (clip(a), clip(b));
    if a == b {
        return 1000;
    }
    // The shorter first, then the smaller: greedy matching must not depend on who asks.
    let (a, b) = if (a.len(), a) <= (b.len(), b) { (a, b) } else { (b, a) };
    if a.is_empty() {
        return 0;
    }
    let prefix = a.iter().zip(b).take(4).take_while(|(x, y)| x == y).count();
    let whole = |matches: usize, crossed: usize| {
        let (m, t) = (matches as f64, crossed as f64 / 2.0);
        let jaro = (m / a.len() as f64 + m / b.len() as f64 + (m - t) / m) / 3.0;
        ((jaro + prefix as f64 * 0.1 * (1.0 - jaro)) * 1000.0) as u32
    };
    let (lacking_a, lacking_b) = lacking(a, b);
    let most = (a.len() - lacking_a).min(b.len() - lacking_b);
    if most == 0 || whole(most, 0) + 1 < least {
        return 0;
    }
    let reach = (b.len() / 2).saturating_sub(1);
    let (mut in_a, mut in_b) = ([0_u8; LENGTH_MAX], 0_u64);
    let mut matches = 0_usize;
    for (i, letter) in a.iter().enumerate() {
        let to = (i + reach + 1).min(b.len());
        let found = (i.saturating_sub(reach)..to).find(|j| in_b & (1 << j) == 0 && b[*j] == *letter);
        if let Some(j) = found {
            in_b |= 1 << j;
            in_a[matches] = *letter;
            matches += 1;
        }
    }
    if matches == 0 {
        return 0;
    }
    let of_b = (0..b.len()).filter(|j| in_b & (1 << j) != 0).map(|j| b[j]);
    let crossed = in_a[..matches].iter().zip(of_b).filter(|(x, y)| **x != *y).count();
    whole(matches, crossed)
}

/// How a name sounds: its first letter and up to three digits for the consonants behind it (Soundex, vowels apart).
pub(super) fn sound(name: &str) -> [u8; 4] {
    let mut out = [b'0'; 4];
    let mut at = 0;
    let mut last = 0;
    for byte in name.bytes().filter(u8::is_ascii_alphanumeric) {
        let code = match byte {
            b'b' | b'f' | b'p' | b'v' => b'1',
            b'c' | b'g' | b'j' | b'k' | b'q' | b's' | b'x' | b'z' => b'2',
            b'd' | b't' => b'3',
            b'l' => b'4',
            b'm' | b'n' => b'5',
            b'r' => b'6',
            b'h' | b'w' => last,
            _ => 0,
        };
        if at == 0 {
            out[0] = byte;
            at = 1;
        } else if code != 0 && code != last && at < 4 {
            out[at] = code;
            at += 1;
        }
        last = code;
    }
    if at == 0 {
        // Another script: its first bytes.
        for (place, byte) in out.iter_mut().zip(name.bytes()) {
            *place = byte;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_distances() {
        for (a, b, expected) in [
            ("anna", "anna", 0),
            ("anna", "ana", 1),
            ("smith", "smtih", 1),
            ("smith", "smyth", 1),
            ("smith", "schmidt", 3),
            ("", "ab", 2),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edits(a, b, 2), expected, "{a} {b}");
        }
        assert_eq!(likeness("martha", "marhta", 0), 961);
        assert_eq!(likeness("dwayne", "duane", 0), 840);
        assert_eq!(likeness("abc", "xyz", 0), 0);
        assert_eq!(&sound("robert"), b"r163");
        assert_eq!(sound("robert"), sound("rupert"));
    }

    proptest! {
        #[test]
        fn symmetric(a in "[a-d]{0,9}", b in "[a-d]{0,9}") {
            prop_assert_eq!(edits(&a, &b, 2), edits(&b, &a, 2));
            prop_assert_eq!(likeness(&a, &b, 0), likeness(&b, &a, 0));
            prop_assert_eq!(edits(&a, &b, 2) == 0, a == b);
        }

        #[test]
        fn as_the_crate_measures_it(a in "[a-d]{0,9}", b in "[a-d]{0,9}") {
            for max in 0..9 {
                prop_assert_eq!(edits(&a, &b, max), strsim::osa_distance(&a, &b).min(max + 1), "{}", max);
            }
        }

        #[test]
        fn what_is_given_up_early_is_less_alike(a in "[a-dA-D]{0,9}", b in "[a-dA-D]{0,9}", least in 0_u32..=1000) {
            let (whole, from) = (likeness(&a, &b, 0), likeness(&a, &b, least));
            prop_assert!(from == whole || from == 0 && whole < least, "{} {}", whole, from);
        }
    }
}
