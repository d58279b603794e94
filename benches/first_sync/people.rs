//! Invented people, spread over the three tools: most stand in all of them, some in two or one, and where they stand in
//! several the tools disagree about some phones, so that there is something to push back.
//!
//! Everything follows from the person's number: the same count gives the same people, in every process.

use serde_json::{Map, Value};

use super::shapes::Tool;

/// One object of one tool, in the words of nobody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub id: u64,
    /// Seconds since 1970.
    pub updated_at: i64,
    pub email: String,
    pub given: String,
    pub family: String,
    pub phone: String,
    pub company: String,
    /// Members that were written and have no place above.
    pub more: Map<String, Value>,
}

const GIVEN: &[&str] = &[
    "Aino", "Eino", "Helmi", "Väinö", "Lumi", "Onni", "Saga", "Otso", "Frida", "Björn", "Maja", "Emil", "Clara",
    "Jürgen", "Lotte", "Karl", "Amélie", "Hugo", "Inès", "Louis", "Zofia", "Jakub", "Chiara", "Matteo", "Paula",
    "Diego", "Nora", "Sean", "Aoife", "Tom", "Mila", "Luka",
];
const FAMILY: &[&str] = &[
    "Virtanen",
    "Korhonen",
    "Mäkinen",
    "Nieminen",
    "Laine",
    "Heikkilä",
    "Lindqvist",
    "Åkesson",
    "Nyström",
    "Bergman",
    "Müller",
    "Schäfer",
    "Vogel",
    "Brandt",
    "Keller",
    "Dubois",
    "Lefèvre",
    "Moreau",
    "Girard",
    "Nowak",
    "Kowalczyk",
    "Rossi",
    "Ferrari",
    "Conti",
    "García",
    "Navarro",
    "Ortega",
    "Murphy",
    "Byrne",
    "Walsh",
    "Novak",
    "Horvat",
    "Kovač",
];
const TRADE: &[&str] = &[
    "metalli",
    "puu",
    "logistik",
    "bau",
    "conseil",
    "transporte",
    "soft",
    "energia",
    "medic",
    "food",
];
/// 2023-11-14; every person was changed a few seconds after the one before.
const START: i64 = 1_700_000_000;

/// How many people stand behind `per_tool` contacts in each tool (see [`stands_in`]).
pub(crate) fn count(per_tool: usize) -> usize {
    per_tool * 5 / 4
}

/// The contacts of one tool, in the order in which it lists them. The order differs from tool to tool.
pub(crate) fn contacts(tool: Tool, per_tool: usize) -> Vec<Row> {
    let mut numbers: Vec<usize> = (0..count(per_tool)).filter(|number| stands_in(*number, tool)).collect();
    numbers.sort_unstable_by_key(|number| mix(*number as u64 ^ (tool as u64) << 40));
    let rows = numbers.into_iter().enumerate();
    rows.map(|(place, number)| Row {
        id: tool.first_id() + place as u64,
        updated_at: START + place as i64 * 60,
        ..person(number, tool)
    })
    .collect()
}

/// Of twenty people twelve stand in all three tools, four in two, four in one: 16 in each tool.
fn stands_in(number: usize, tool: Tool) -> bool {
    let turn = (number / 20) % 3 == tool as usize;
    match number % 20 {
        0..=11 => true,
        12..=15 => !turn,
        _ => turn,
    }
}

fn person(number: usize, tool: Tool) -> Row {
    let luck = mix(number as u64);
    let pick = |list: &[&'static str], bits: u32| {
        list[usize::try_from((luck >> bits) & 0xFFFF).unwrap_or_default() % list.len()]
    };
    let (given, family) = (pick(GIVEN, 0), pick(FAMILY, 8));
    let firm = format!("{}-{}", pick(TRADE, 16), luck % 20_011);
    let email = format!("{}.{}{number}@{firm}.eu", ascii(given), ascii(family));
    // The sales tool keeps what people typed.
    let email = if tool == Tool::Sales && luck.is_multiple_of(7) {
        email.to_uppercase()
    } else {
        email
    };
    Row {
        email,
        given: given.to_owned(),
        family: family.to_owned(),
        phone: phone(number, (luck >> 24) % 100, tool),
        company: if luck.is_multiple_of(2) {
            firm.to_uppercase()
        } else {
            String::new()
        },
        ..Row::default()
    }
}

/// Everybody has two numbers. One in ten is known by the other one to marketing, one in ten to support; one in twenty has
/// none in sales; and marketing writes all of them with spaces.
fn phone(number: usize, percent: u64, tool: Tool) -> String {
    let is_other = matches!((tool, percent), (Tool::Marketing, 0..=9) | (Tool::Support, 5..=14));
    if tool == Tool::Sales && (12..=16).contains(&percent) {
        return String::new();
    }
    let digits = format!("{:07}", 1_000_000 + number * 2 + usize::from(is_other));
    match (tool, digits.split_at_checked(3)) {
        (Tool::Marketing, Some((head, tail))) => format!("+358 40 {head} {tail}"),
        _ => format!("+35840{digits}"),
    }
}

fn ascii(name: &str) -> String {
    let plain = |letter: char| match letter {
        'ä' | 'å' => 'a',
        'ö' => 'o',
        'ü' => 'u',
        'é' | 'è' => 'e',
        'í' => 'i',
        'č' => 'c',
        other => other,
    };
    name.to_lowercase().chars().map(plain).collect()
}

/// `SplitMix64`: spreads the numbers evenly.
fn mix(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
