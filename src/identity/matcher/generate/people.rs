//! Names, places and numbers of people who do not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::super::words::short_forms;
use super::dirt::{Dice, title};

static LISTS: LazyLock<BTreeMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    let mut lists: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut current = "";
    for line in include_str!("../../lists/people.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            current = name;
            continue;
        }
        let known = lists.entry(current).or_default();
        for word in line.split_whitespace() {
            if !known.contains(&word) {
                known.push(word);
            }
        }
    }
    lists
});

pub(super) fn list(name: &str) -> &'static [&'static str] {
    LISTS.get(name).map_or(&[], Vec::as_slice)
}

/// Given and family names that are spelled with more than the English alphabet.
const MARKED_GIVEN: [&str; 18] = [
    "José",
    "François",
    "Zoë",
    "Jürgen",
    "Søren",
    "Łukasz",
    "Renée",
    "Björn",
    "Márton",
    "Chloé",
    "Jörg",
    "Inés",
    "Núria",
    "Håkon",
    "Ángel",
    "Käthe",
    "Mohammed",
    "Muhammad",
];
const MARKED_FAMILY: [&str; 20] = [
    "Müller",
    "García",
    "Lefèvre",
    "Jørgensen",
    "Åkesson",
    "Schröder",
    "Peña",
    "Kovács",
    "Öztürk",
    "Đorđević",
    "Weiß",
    "Groß",
    "Martínez",
    "O'Brien",
    "van der Berg",
    "de la Cruz",
    "McDonald",
    "Jäger",
    "Krüger",
    "Çelik",
];

/// A name nobody else is likely to have.
fn rare(dice: &mut Dice) -> String {
    const STARTS: [&str; 24] = [
        "bar", "bel", "bran", "cal", "car", "dan", "del", "el", "fen", "gar", "hal", "kel", "lan", "mar", "nor", "or",
        "pel", "quin", "ros", "sal", "tal", "var", "wes", "zan",
    ];
    const MIDDLES: [&str; 14] = [
        "a", "e", "i", "o", "en", "in", "or", "ar", "et", "ing", "ber", "der", "man", "lo",
    ];
    const ENDS: [&str; 20] = [
        "ton", "ski", "sen", "ley", "worth", "er", "mann", "ini", "ez", "ov", "ard", "well", "field", "by", "etti",
        "ford", "stad", "ic", "in", "ham",
    ];
    format!("{}{}{}", dice.pick(&STARTS), dice.pick(&MIDDLES), dice.pick(&ENDS))
}

pub(super) fn given(dice: &mut Dice) -> String {
    if dice.hits(0.06) {
        return rare(dice);
    }
    let names = list("given");
    names[dice.rank(names.len(), 40.0)].to_owned()
}

pub(super) fn family(dice: &mut Dice) -> String {
    if dice.hits(0.3) {
        return rare(dice);
    }
    let names = list("family");
    names[dice.rank(names.len(), 30.0)].to_owned()
}

/// Given and family name of a person of whom `relative` is the family name of the household.
pub(super) fn marked(dice: &mut Dice) -> (String, String) {
    let given = if dice.hits(0.6) {
        dice.pick(&MARKED_GIVEN).to_owned()
    } else {
        title(&given(dice))
    };
    let family = if dice.hits(0.7) {
        dice.pick(&MARKED_FAMILY).to_owned()
    } else {
        title(&family(dice))
    };
    (given, family)
}

/// What friends call someone, if there is a word for it.
pub(super) fn short(dice: &mut Dice, given: &str) -> Option<String> {
    let forms: Vec<&str> = short_forms(&given.to_lowercase()).collect();
    (!forms.is_empty()).then(|| title(forms[dice.below(forms.len())]))
}

/// A town with its postal code and country.
#[derive(Clone, Debug)]
pub(super) struct Town {
    pub(super) name: String,
    pub(super) code: String,
    pub(super) country: &'static str,
    pub(super) prefix: &'static str,
}

pub(super) fn towns(dice: &mut Dice, count: usize) -> Vec<Town> {
    (0..count).map(|_| town(dice)).collect()
}

fn town(dice: &mut Dice) -> Town {
    let names = list("towns");
    let mut name = names[dice.below(names.len())].to_owned();
    if dice.hits(0.6) {
        name = rare(dice);
    }
    let (country, prefix) = match dice.unit() {
        x if x < 0.4 => ("GB", "44"),
        x if x < 0.65 => ("AU", "61"),
        x if x < 0.85 => ("US", "1"),
        _ => ("DE", "49"),
    };
    let code = match country {
        "GB" => format!("{}{}{}", letter(dice), letter(dice), dice.range(1, 29)),
        "AU" => dice.range(2000, 7999).to_string(),
        _ => format!("{:05}", dice.range(1001, 99_950)),
    };
    Town {
        name: title(&name),
        code,
        country,
        prefix,
    }
}

pub(super) fn letter(dice: &mut Dice) -> char {
    char::from(b"ABDEFGHJLNPQRSTUWXYZ"[dice.below(20)])
}

pub(super) fn postcode(dice: &mut Dice, town: &Town) -> String {
    if town.country == "GB" {
        return format!("{} {}{}{}", town.code, dice.range(1, 9), letter(dice), letter(dice));
    }
    town.code.clone()
}

/// House number and street.
pub(super) fn street(dice: &mut Dice) -> String {
    let names = list("streets");
    let kind = *dice.pick(&[&"Street", &"Road", &"Avenue", &"Place", &"Drive", &"Close", &"Crescent"]);
    let name = if dice.hits(0.6) {
        rare(dice)
    } else {
        names[dice.below(names.len())].to_owned()
    };
    format!("{} {} {kind}", dice.range(1, 250), title(&name))
}

/// Phone numbers: country prefix and the rest, each given to nobody else.
#[derive(Default)]
pub(super) struct Numbers {
    used: BTreeSet<String>,
}

pub(super) type Number = (&'static str, String);

impl Numbers {
    pub(super) fn fresh(&mut self, dice: &mut Dice, prefix: &'static str, is_mobile: bool) -> Number {
        loop {
            let number = match prefix {
                "44" => format!("{}{:09}", if is_mobile { 7 } else { 2 }, dice.range(0, 999_999_999)),
                "61" => format!(
                    "{}{:08}",
                    if is_mobile { 4 } else { dice.range(2, 3) },
                    dice.range(0, 99_999_999)
                ),
                "1" => format!(
                    "{}{}{:04}",
                    dice.range(201, 989),
                    dice.range(200, 999),
                    dice.range(0, 9999)
                ),
                _ => {
                    let areas = if is_mobile {
                        ["151", "160", "170", "176"]
                    } else {
                        ["30", "40", "89", "69"]
                    };
                    format!("{}{}", areas[dice.below(4)], dice.range(1_000_000, 99_999_999))
                }
            };
            if self.used.insert(format!("{prefix}{number}")) {
                return (prefix, number);
            }
        }
    }
}

/// A number as people write it.
pub(super) fn written(dice: &mut Dice, (prefix, number): &Number) -> String {
    let national = if *prefix == "1" {
        number.clone()
    } else {
        format!("0{number}")
    };
    let cut = |text: &str, from: usize, to: usize| text.get(from..to.min(text.len())).unwrap_or_default().to_owned();
    let (a, b, c) = (cut(number, 0, 3), cut(number, 3, 6), cut(number, 6, 20));
    match dice.below(7) {
        0 => format!("+{prefix}{number}"),
        1 => format!("00{prefix}{number}"),
        2 => national,
        3 => format!("+{prefix} {a} {b} {c}"),
        4 => format!(
            "({}) {}-{}",
            cut(&national, 0, 4),
            cut(&national, 4, 7),
            cut(&national, 7, 20)
        ),
        5 => format!(
            "{} {} {}",
            cut(&national, 0, 4),
            cut(&national, 4, 7),
            cut(&national, 7, 20)
        ),
        _ if matches!(*prefix, "44" | "49") => format!("+{prefix} (0){number}"),
        _ => format!(
            "{}.{}.{}",
            cut(&national, 0, 3),
            cut(&national, 3, 6),
            cut(&national, 6, 20)
        ),
    }
}
