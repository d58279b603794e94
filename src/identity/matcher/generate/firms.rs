//! Organizations.

use super::Made;
use super::dirt::{Dice, typo};
use super::people::{Numbers, family, list, street, towns, written};
use crate::identity::matcher::Field;

/// Organizations as several offices list them.
pub(super) fn firms(dice: &mut Dice, rows: usize) -> Vec<Made> {
    let towns = towns(dice, 40);
    let mut numbers = Numbers::default();
    let mut made = Vec::with_capacity(rows + 16);
    let mut count = 0;
    while made.len() < rows {
        count += 1;
        let trade = list("trades")[dice.below(list("trades").len())];
        // Branches share the name, tenants share the house.
        let name = match dice.below(3) {
            0 => format!("{} {trade}", family(dice)),
            1 => format!("{} {trade} center", list("streets")[dice.below(list("streets").len())]),
            _ => format!("{} and {} {trade}", family(dice), family(dice)),
        };
        let branches = if dice.hits(0.15) { 2 + dice.below(4) } else { 1 };
        for branch in 0..branches {
            count += u32::from(branch > 0);
            let town = towns[dice.below(towns.len())].clone();
            let (address, phone) = (street(dice), numbers.fresh(dice, "1", false));
            let code = town.code.clone();
            let copies = if dice.hits(0.3) { 1 } else { 1 + dice.below(6) };
            for _ in 0..copies {
                let mut fields = vec![(Field::Company, firm_name(dice, &name))];
                let street = if dice.hits(0.15) {
                    typo(dice, &address)
                } else {
                    address.clone()
                };
                fields.push((Field::Address, if dice.hits(0.05) { String::new() } else { street }));
                fields.push((
                    Field::Postcode,
                    if dice.hits(0.4) { String::new() } else { code.clone() },
                ));
                fields.push((
                    Field::Phone,
                    if dice.hits(0.3) {
                        String::new()
                    } else {
                        written(dice, &phone)
                    },
                ));
                if dice.hits(0.1) {
                    fields.push((Field::City, town.name.clone()));
                }
                let source = ["city", "state", "schools", "health"][dice.below(4)];
                made.push(Made {
                    id: String::new(),
                    source,
                    entity: count,
                    fields,
                });
            }
        }
    }
    made
}

fn firm_name(dice: &mut Dice, name: &str) -> String {
    let mut name = name.to_owned();
    match dice.below(8) {
        0 => name = format!("{name} inc"),
        1 => name = format!("{name} {}", dice.pick(&["group", "services", "office", "main", "the"])),
        2 => name = typo(dice, &name),
        3 => name = name.split(' ').take(2).collect::<Vec<_>>().join(" "),
        _ => {}
    }
    name
}
