//! Registers of people and of firms.

use super::dirt::{Dice, digit_typo, spoil, typo};
use super::habits::{Habits, Rate, habits};
use super::people::{Numbers, Town, family, given, list, postcode, short, street, towns, written};
use super::{Family, Made};
use crate::identity::matcher::Field;

/// A person of a register.
#[derive(Clone)]
struct Person {
    number: u32,
    given: String,
    middle: String,
    family: String,
    birth: (u64, u64, u64),
    id: String,
    street: String,
    postcode: String,
    town: usize,
    mailbox: String,
    phone: String,
    generation: &'static str,
    sex: &'static str,
    job: &'static str,
    title: String,
}

pub(super) fn people(dice: &mut Dice, rows: usize, kind: Family) -> Vec<Made> {
    let habits = habits(kind);
    let towns = towns(
        dice,
        match kind {
            Family::Sparse => 60,
            Family::Lives => 300,
            _ => 1200,
        },
    );
    let mut numbers = Numbers::default();
    let mut made = Vec::with_capacity(rows + 32);
    let mut count = 0;
    while made.len() < rows {
        let first = person(dice, &towns, &mut numbers, kind, &mut count);
        let size = if kind == Family::Households {
            1 + dice.below(4)
        } else {
            1
        };
        let mut household = vec![first];
        for _ in 1..size {
            let mut other = person(dice, &towns, &mut numbers, kind, &mut count);
            let head = &household[0];
            (other.street, other.postcode, other.town) = (head.street.clone(), head.postcode.clone(), head.town);
            if dice.hits(0.8) {
                other.family.clone_from(&head.family);
            }
            if dice.hits(0.08) {
                // Twins.
                other.birth = head.birth;
            }
            if dice.hits(0.06) {
                // Father and son.
                other.given.clone_from(&head.given);
                other.family.clone_from(&head.family);
                (other.generation, household[0].generation) = ("jr", "sr");
            }
            let head = &household[0];
            if dice.hits(0.5) {
                other.phone.clone_from(&head.phone);
            }
            if dice.hits(0.25) {
                other.mailbox.clone_from(&head.mailbox);
            }
            if dice.hits(0.04) {
                // Works under the number of somebody at home.
                other.id.clone_from(&head.id);
            }
            household.push(other);
        }
        for person in &household {
            let copies = if dice.hits(habits.alone) {
                0
            } else {
                1 + dice.below(habits.copies)
            };
            made.push(record(dice, person, &towns, kind, &habits, false));
            for _ in 0..copies {
                made.push(record(dice, person, &towns, kind, &habits, true));
            }
        }
    }
    made
}

fn person(dice: &mut Dice, towns: &[Town], numbers: &mut Numbers, kind: Family, count: &mut u32) -> Person {
    *count += 1;
    let (given_name, family_name) = (given(dice), family(dice));
    let town = dice.rank(towns.len(), 20.0);
    let year = match kind {
        Family::Lives => dice.range(1600, 1899),
        Family::Births => dice.range(1920, 2000),
        _ => dice.range(1900, 2005),
    };
    let day = if kind == Family::Lives && dice.hits(0.2) {
        (1, 1)
    } else {
        (dice.range(1, 12), dice.range(1, 28))
    };
    let start = given_name.get(..1).unwrap_or_default();
    let local = match dice.below(4) {
        0 => format!("{given_name}{family_name}{}", dice.range(1, 99)),
        1 => format!(
            "{given_name}.{}{}",
            family_name.get(..1).unwrap_or_default(),
            dice.range(1, 99)
        ),
        2 => format!("{start}{family_name}"),
        _ => format!("{given_name}.{family_name}"),
    };
    Person {
        number: *count,
        middle: given(dice),
        birth: (year, day.0, day.1),
        id: dice.range(1_000_000, 9_999_999).to_string(),
        street: street(dice).to_lowercase(),
        postcode: postcode(dice, &towns[town]),
        mailbox: format!("{local}@{}-{}.com", family(dice), family(dice)),
        phone: {
            let number = numbers.fresh(dice, "61", false);
            written(dice, &number)
        },
        generation: "",
        sex: if dice.hits(0.6) { "male" } else { "female" },
        job: dice.pick(list("jobs")),
        title: if dice.hits(0.12) {
            format!("{}st baron of {}", dice.range(1, 5), family(dice))
        } else {
            String::new()
        },
        given: given_name,
        family: family_name,
        town,
    }
}

#[expect(clippy::too_many_lines, reason = "what each family writes, one after the other")]
fn record(dice: &mut Dice, person: &Person, towns: &[Town], kind: Family, habits: &Habits, is_copy: bool) -> Made {
    let none = Rate {
        missing: if kind == Family::Sparse { 0.15 } else { 0.0 },
        wrong: 0.0,
        most: 1,
    };
    let rate = |rate: Rate| {
        if is_copy {
            rate
        } else {
            Rate {
                missing: rate.missing.min(none.missing.max(0.02)),
                ..none
            }
        }
    };
    let (name, place, number) = (rate(habits.name), rate(habits.place), rate(habits.number));
    let mut first = person.given.clone();
    let mut last = person.family.clone();
    if is_copy {
        if dice.hits(habits.nickname) {
            first = short(dice, &first).map_or(first, |short| short.to_lowercase());
        }
        if dice.hits(habits.replaced) {
            if dice.hits(0.5) {
                first = given(dice);
            } else {
                last = family(dice);
            }
        }
        if kind == Family::Lives && dice.hits(0.04) {
            first = format!("{}.", first.get(..1).unwrap_or_default());
        }
    }
    first = spoiled(dice, &first, name);
    last = spoiled(dice, &last, name);
    if is_copy && dice.hits(habits.swapped) {
        std::mem::swap(&mut first, &mut last);
    }
    let mut fields = vec![];
    if kind == Family::Lives {
        let middle = if dice.hits(0.3) { person.middle.as_str() } else { "" };
        let title = if dice.hits(0.7) { person.title.as_str() } else { "" };
        fields.push((
            Field::Full,
            format!("{first} {middle} {last} {title}").replace("  ", " "),
        ));
    }
    if dice.hits(0.6) && !last.is_empty() && !person.generation.is_empty() {
        last = format!("{last} {}", person.generation);
    }
    fields.push((Field::Given, first));
    fields.push((Field::Family, last));
    births(
        dice,
        person,
        kind,
        number,
        if is_copy { habits.renumbered } else { 0.0 },
        &mut fields,
    );
    let town = &towns[person.town];
    match kind {
        Family::Births => {}
        Family::Sparse => {
            fields.push((Field::City, spoiled(dice, &town.name, place)));
            fields.push((
                Field::Email,
                spoiled(
                    dice,
                    &person.mailbox,
                    Rate {
                        missing: 0.21,
                        ..number
                    },
                ),
            ));
        }
        Family::Lives => {
            let moved = is_copy && dice.hits(0.15);
            let other = &towns[if moved { dice.below(towns.len()) } else { person.town }];
            fields.push((Field::City, spoiled(dice, &other.name, place)));
            let code = if moved || is_copy && dice.hits(0.2) {
                postcode(dice, other)
            } else {
                person.postcode.clone()
            };
            fields.push((
                Field::Postcode,
                spoiled(
                    dice,
                    &code,
                    Rate {
                        missing: 0.22,
                        wrong: 0.03,
                        most: 1,
                    },
                ),
            ));
            let sex = if is_copy && dice.hits(0.04) {
                "female"
            } else {
                person.sex
            };
            fields.push((Field::Sex, if dice.hits(0.2) { String::new() } else { sex.to_owned() }));
            let job = if is_copy && dice.hits(0.1) {
                dice.pick(list("jobs"))
            } else {
                person.job
            };
            fields.push((
                Field::Occupation,
                if dice.hits(0.5) { String::new() } else { job.to_owned() },
            ));
        }
        _ => address(dice, person, town, place, habits, is_copy, &mut fields),
    }
    if matches!(kind, Family::Register | Family::RoughRegister | Family::Households) {
        let mut person = person.clone();
        if is_copy && dice.hits(habits.renumbered / 2.0) {
            person.id = dice.range(1_000_000, 9_999_999).to_string();
        }
        let missing = if kind == Family::Households { 0.35 } else { 0.0 };
        fields.push((Field::Id, digits(dice, &person.id, Rate { missing, ..number })));
    }
    if kind == Family::RoughRegister {
        let other = format!("0{} {}", dice.range(1, 9), dice.range(10_000_000, 99_999_999));
        let phone = if is_copy && dice.hits(habits.renumbered * 2.0) {
            &other
        } else {
            &person.phone
        };
        fields.push((Field::Phone, digits(dice, phone, number)));
    }
    if kind == Family::Households {
        if dice.hits(0.4) {
            fields.push((Field::Phone, digits(dice, &person.phone, number)));
        }
        if dice.hits(0.3) {
            fields.push((Field::Email, person.mailbox.clone()));
        }
        fields.push((
            Field::Middle,
            if dice.hits(0.3) {
                String::new()
            } else {
                person.middle.clone()
            },
        ));
        fields.push((
            Field::Sex,
            if dice.hits(0.4) {
                String::new()
            } else {
                person.sex.to_owned()
            },
        ));
    }
    let source = match kind {
        Family::Households => ["census", "tax", "pension", "aid", "wages"][dice.below(5)],
        _ => "register",
    };
    Made {
        id: String::new(),
        source,
        entity: person.number,
        fields,
    }
}

fn births(
    dice: &mut Dice,
    person: &Person,
    kind: Family,
    rate: Rate,
    renumbered: f64,
    fields: &mut Vec<(Field, String)>,
) {
    let (mut year, mut month, mut day) = person.birth;
    if kind == Family::Sparse && dice.hits(0.45) {
        // Off by days, by months or by years.
        match dice.below(4) {
            0 => day = dice.range(1, 28),
            1 => month = (month + dice.range(0, 2)).clamp(1, 12),
            2 => year += dice.range(0, 2),
            _ => (year, day) = (year.saturating_sub(dice.range(0, 10)), dice.range(1, 28)),
        }
    }
    if dice.hits(renumbered * 1.5) {
        (year, month, day) = (dice.range(1900, 2005), dice.range(1, 12), dice.range(1, 28));
    }
    let text = format!("{year:04}-{month:02}-{day:02}");
    let missing = match kind {
        Family::Sparse => 0.0,
        Family::RoughRegister => 0.14,
        Family::Households => 0.35,
        _ => rate.missing,
    };
    fields.push((Field::Birth, digits(dice, &text, Rate { missing, ..rate })));
}

fn address(
    dice: &mut Dice,
    person: &Person,
    town: &Town,
    rate: Rate,
    habits: &Habits,
    is_copy: bool,
    fields: &mut Vec<(Field, String)>,
) {
    let mut street_name = person.street.clone();
    if is_copy && dice.hits(habits.replaced) {
        street_name = street(dice).to_lowercase();
    }
    let (number, rest) = street_name.split_once(' ').unwrap_or(("", &street_name));
    let number = if is_copy && dice.hits(0.15) {
        dice.range(1, 300).to_string()
    } else {
        number.to_owned()
    };
    let rest = spoiled(dice, rest, rate);
    fields.push((Field::Address, format!("{number} {rest}")));
    let suburb = if is_copy && dice.hits(habits.replaced / 2.0) {
        family(dice)
    } else {
        town.name.to_lowercase()
    };
    let state = if is_copy && dice.hits(habits.state) {
        typo(dice, "nsw")
    } else {
        town.country.to_lowercase()
    };
    fields.push((Field::City, spoiled(dice, &suburb, rate)));
    fields.push((Field::Postcode, digits(dice, &person.postcode, rate)));
    fields.push((Field::State, if dice.hits(0.05) { String::new() } else { state }));
}

fn spoiled(dice: &mut Dice, text: &str, rate: Rate) -> String {
    match () {
        () if dice.hits(rate.missing) => String::new(),
        () if dice.hits(rate.wrong) => spoil(dice, text, rate.most),
        () => text.to_owned(),
    }
}

fn digits(dice: &mut Dice, text: &str, rate: Rate) -> String {
    if dice.hits(rate.missing) {
        return String::new();
    }
    let mut text = text.to_owned();
    if dice.hits(rate.wrong) {
        for _ in 0..1 + dice.below(rate.most) {
            text = digit_typo(dice, &text);
        }
    }
    text
}
