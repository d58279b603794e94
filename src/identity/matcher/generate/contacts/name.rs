//! How the name of a contact is written into a tool.

use super::super::dirt::{Dice, title, typo};
use super::super::people::short;
use super::Person;
use super::tools::by_tool;
use crate::identity::matcher::Field;
use crate::identity::text::fold;

pub(super) fn name(dice: &mut Dice, person: &Person, tool: &str, is_old: bool, fields: &mut Vec<(Field, String)>) {
    let mut first = person.given.clone();
    let mut last = person
        .former_family
        .clone()
        .filter(|_| is_old)
        .unwrap_or_else(|| person.family.clone());
    if let Some(short) = short(dice, &first).filter(|_| dice.hits(0.14)) {
        first = short;
    }
    if !(first.is_ascii() && last.is_ascii()) && dice.hits(0.6) {
        (first, last) = (title(&fold(&first)), title(&fold(&last)));
    }
    if dice.hits(0.03) {
        first = typo(dice, &first);
    }
    if dice.hits(0.035) {
        last = typo(dice, &last);
    }
    if dice.hits(0.007) {
        (first, last) = (last, first);
    }
    if dice.hits(if tool == "support" { 0.06 } else { 0.012 }) {
        first = first.chars().take(1).collect();
    }
    let missing = by_tool(tool, [0.02, 0.01, 0.12]);
    if dice.hits(missing) {
        last.clear();
    }
    if dice.hits(missing / 2.0) {
        first.clear();
    }
    match dice.unit() {
        x if x < 0.06 => (first, last) = (first.to_uppercase(), last.to_uppercase()),
        x if x < 0.14 => (first, last) = (first.to_lowercase(), last.to_lowercase()),
        _ => {}
    }
    if dice.hits(0.015) {
        first = format!("{} {first}", dice.pick(&["Mr", "Mrs", "Ms", "Dr"]));
    }
    fields.push((Field::Given, first));
    fields.push((Field::Family, last));
}
