//! Made-up records of which the truth is known: for training, for the bench, for trying things out.
//!
//! Every family of records has its own kinds of dirt; all of it comes from one seed, so that the same call gives the
//! same records for ever.

mod contacts;
mod dirt;
mod firms;
mod habits;
mod people;
mod registers;

use self::dirt::Dice;
use super::record::Field;
use crate::model::{Fields, Incoming, UnixMillis, Value};

/// A family of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// People in a sales, a shop and a support tool: mailbox, phone, company, address.
    Contacts,
    /// A population register typed in by hand: name, address, date of birth, social security number.
    Register,
    /// The same, with several errors in a field.
    RoughRegister,
    /// Very few fields, of which many are missing or misspelled: name, date of birth, town, mailbox.
    Sparse,
    /// Lives of historical people: name in several forms, date and place of birth, profession.
    Lives,
    /// Names and dates of birth, nothing else.
    Births,
    /// Five authorities about the same households.
    Households,
    /// Organizations: name, address, phone.
    Firms,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Contacts,
        Self::Register,
        Self::RoughRegister,
        Self::Sparse,
        Self::Lives,
        Self::Births,
        Self::Households,
        Self::Firms,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::Register => "register",
            Self::RoughRegister => "rough-register",
            Self::Sparse => "sparse",
            Self::Lives => "lives",
            Self::Births => "births",
            Self::Households => "households",
            Self::Firms => "firms",
        }
    }
}

/// A made-up record.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its id.
    pub id: String,
    /// The system it comes from.
    pub source: &'static str,
    /// Whom it is about.
    pub entity: u32,
    /// What it says, without empty fields.
    pub fields: Vec<(Field, String)>,
}

impl Made {
    /// The object as a connector would read it. Fields that no connector maps are left out.
    #[must_use]
    pub fn incoming(&self) -> Incoming {
        let mut fields = Fields::default();
        for (field, text) in &self.fields {
            let name = match field {
                Field::Given => "given_name",
                Field::Family => "family_name",
                Field::Full => "full_name",
                Field::Email => "email",
                Field::Phone => "phone",
                Field::Company => "company",
                Field::Address => "street",
                Field::Postcode => "postal_code",
                Field::City => "city",
                _ => continue,
            };
            if let Some(value) = Value::text(text) {
                fields.set(name, value);
            }
        }
        Incoming {
            remote: self.id.as_str().into(),
            fields,
            updated_at: Some(UnixMillis(1)),
            version: None,
            deleted: false,
            key: None,
            joined: None,
            problem: None,
        }
    }
}

/// About `rows` records of a family, in the order in which they would arrive.
#[must_use]
pub fn generate(family: Family, rows: usize, seed: u64) -> Vec<Made> {
    let mut dice = Dice::new(seed);
    let mut made = match family {
        Family::Contacts => contacts::contacts(&mut dice, rows),
        Family::Firms => firms::firms(&mut dice, rows),
        _ => registers::people(&mut dice, rows, family),
    };
    // Shuffled, as records of several years arrive.
    for at in (1..made.len()).rev() {
        made.swap(at, dice.below(at + 1));
    }
    made.truncate(rows);
    for (number, record) in made.iter_mut().enumerate() {
        record.id = format!("{}-{}", record.source, number + 1);
        record.fields.retain(|(_, text)| !text.is_empty());
    }
    made
}
