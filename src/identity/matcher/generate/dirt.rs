//! Chance, and the ways in which people and machines spoil a value.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers below a length, from chance between 0 and 1"
)]

/// A sequence of numbers that is the same for the same seed (`SplitMix64`).
pub(super) struct Dice {
    state: u64,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d,
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between 0 and 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with the given chance.
    pub(super) fn hits(&mut self, chance: f64) -> bool {
        self.unit() < chance
    }

    /// Below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        ((self.unit() * end as f64) as usize).min(end.saturating_sub(1))
    }

    /// From `low` to `high`, both included.
    pub(super) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + (self.unit() * (high - low + 1) as f64) as u64
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }

    /// A position among `len`, the first ones far more often (Zipf with a flattened head).
    pub(super) fn rank(&mut self, len: usize, head: f64) -> usize {
        // The inverse of the sum of 1/(i + head).
        let top = ((len as f64 + head) / head).ln();
        let at = head * ((self.unit() * top).exp() - 1.0);
        (at as usize).min(len.saturating_sub(1))
    }
}

/// One slip of the keyboard.
pub(super) fn typo(dice: &mut Dice, text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    if letters.len() < 3 {
        return text.to_owned();
    }
    let at = 1 + dice.below(letters.len() - 1);
    let letter = char::from(b'a' + dice.below(26) as u8);
    match dice.below(4) {
        0 => {
            letters.remove(at);
        }
        1 if dice.hits(0.5) => letters.insert(at, letters[at - 1]),
        1 => letters.insert(at, letter),
        2 if at + 1 < letters.len() => letters.swap(at, at + 1),
        _ => letters[at] = neighbour(dice, letters[at]),
    }
    letters.into_iter().collect()
}

/// One wrong digit, or two swapped.
pub(super) fn digit_typo(dice: &mut Dice, text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let digits: Vec<usize> = letters
        .iter()
        .enumerate()
        .filter(|(_, c)| c.is_ascii_digit())
        .map(|(at, _)| at)
        .collect();
    if digits.len() < 2 {
        return text.to_owned();
    }
    let number = dice.below(digits.len() - 1);
    if dice.hits(0.6) {
        letters[digits[number]] = char::from(b'0' + dice.below(10) as u8);
    } else {
        letters.swap(digits[number], digits[number + 1]);
    }
    letters.into_iter().collect()
}

fn neighbour(dice: &mut Dice, letter: char) -> char {
    const ROWS: [&str; 4] = ["1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"];
    for row in ROWS {
        let keys: Vec<char> = row.chars().collect();
        if let Some(at) = keys.iter().position(|key| *key == letter.to_ascii_lowercase()) {
            let next = if at > 0 && dice.hits(0.5) {
                at - 1
            } else {
                (at + 1).min(keys.len() - 1)
            };
            return keys[next];
        }
    }
    'e'
}

/// The errors of typing from paper, of scanning and of hearing: mostly one, sometimes several.
pub(super) fn spoil(dice: &mut Dice, text: &str, most: usize) -> String {
    let mut text = text.to_owned();
    for _ in 0..1 + dice.below(most) {
        text = match dice.below(10) {
            0 => misheard(&text),
            1 => misread(&text),
            2 if text.len() > 4 => {
                let at = 1 + dice.below(text.chars().count() - 1);
                let mut letters: Vec<char> = text.chars().collect();
                letters.insert(at, ' ');
                letters.into_iter().collect()
            }
            _ => typo(dice, &text),
        };
    }
    text
}

fn misheard(text: &str) -> String {
    const SOUNDS: [(&str, &str); 10] = [
        ("ph", "f"),
        ("ck", "k"),
        ("ie", "y"),
        ("th", "t"),
        ("c", "k"),
        ("z", "s"),
        ("ee", "ea"),
        ("w", "v"),
        ("mm", "m"),
        ("y", "i"),
    ];
    let found = SOUNDS.iter().find(|(from, _)| text.contains(from));
    found.map_or_else(|| text.to_owned(), |(from, to)| text.replacen(from, to, 1))
}

fn misread(text: &str) -> String {
    const SHAPES: [(&str, &str); 8] = [
        ("m", "rn"),
        ("l", "1"),
        ("o", "0"),
        ("cl", "d"),
        ("g", "q"),
        ("5", "s"),
        ("8", "b"),
        ("u", "v"),
    ];
    let found = SHAPES.iter().find(|(from, _)| text.contains(from));
    found.map_or_else(|| text.to_owned(), |(from, to)| text.replacen(from, to, 1))
}

/// Every word with a capital.
pub(super) fn title(text: &str) -> String {
    let mut last = ' ';
    let letter = |c: char| {
        let is_first = last == ' ' || last == '-';
        last = c;
        if is_first { c.to_ascii_uppercase() } else { c }
    };
    text.chars().map(letter).collect()
}
