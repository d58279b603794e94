//! The weights of the evidence, in bits (log2 of the odds), as they lie in `weights.json`.

#![expect(clippy::cast_possible_truncation, reason = "weights are small")]

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::compare::{Evidence, HOUSEHOLD, HOUSEHOLD_BITS, LEVELS, TERMS, level_name};
use super::record::Features;

/// Scores are whole numbers of this part of a bit: sums do not depend on the order in which they were made.
pub const BIT: i32 = 1024;

/// Which kind of records are compared. What a field says depends on what else is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// People as business tools hold them: mailbox, phone, company, address.
    Contact,
    /// People of whom a date of birth or an official number is known.
    Register,
    /// Organizations.
    Organization,
}

impl Context {
    /// All of them, in the order in which they are stored.
    pub const ALL: [Self; 3] = [Self::Contact, Self::Register, Self::Organization];

    /// The name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Register => "register",
            Self::Organization => "organization",
        }
    }

    pub(super) fn of(a: &Features, b: &Features) -> Self {
        if a.is_organization && b.is_organization {
            Self::Organization
        } else if a.is_registered() || b.is_registered() {
            Self::Register
        } else {
            Self::Contact
        }
    }
}

/// Weights of levels and counts for each context.
#[derive(Clone, Debug)]
pub struct Weights {
    levels: [Vec<i32>; 3],
    terms: [[i32; TERMS.len()]; 3],
}

static SHIPPED: LazyLock<Weights> = LazyLock::new(|| {
    let text = include_str!("weights.json");
    serde_json::from_str(text)
        .ok()
        .map_or_else(Weights::none, |value| Weights::from_json(&value))
});

impl Weights {
    /// Weights that say nothing about anything, but for the guards.
    #[must_use]
    pub fn none() -> Self {
        let mut levels = vec![0; LEVELS];
        if let Some(guards) = levels.get_mut(HOUSEHOLD) {
            guards.fill(HOUSEHOLD_BITS * BIT);
        }
        Self {
            levels: std::array::from_fn(|_| levels.clone()),
            terms: [[0; TERMS.len()]; 3],
        }
    }

    /// Weights by which no two records are one: for finding pairs without grouping them.
    #[must_use]
    pub fn none_far() -> Self {
        let mut weights = Self::none();
        for levels in &mut weights.levels {
            levels[0] = -1000 * BIT;
        }
        weights
    }

    /// The weights that Nivel is shipped with.
    #[must_use]
    pub fn shipped() -> Self {
        SHIPPED.clone()
    }

    /// Reads weights; what is missing weighs nothing (a guard what it always weighs), what is unknown is left out.
    #[must_use]
    pub fn from_json(value: &Value) -> Self {
        let mut weights = Self::none();
        let number =
            |value: Option<&Value>| (value.and_then(Value::as_f64).unwrap_or_default() * f64::from(BIT)).round() as i32;
        for (at, context) in Context::ALL.iter().enumerate() {
            let Some(of_context) = value.get(context.name()) else {
                continue;
            };
            for (level, weight) in weights.levels[at].iter_mut().enumerate() {
                let (group, name) = level_name(level);
                if let Some(found) = of_context.get(group).and_then(|group| group.get(name)) {
                    *weight = number(Some(found));
                }
            }
            for (weight, name) in weights.terms[at].iter_mut().zip(TERMS) {
                *weight = number(of_context.get("per_doubling").and_then(|terms| terms.get(name))).min(0);
            }
        }
        weights
    }

    /// The same as JSON, rounded to a hundredth of a bit.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let number = |weight: i32| json!((f64::from(weight) / f64::from(BIT) * 100.0).round() / 100.0);
        let mut whole = Map::new();
        for (at, context) in Context::ALL.iter().enumerate() {
            let mut of_context = Map::new();
            for (level, weight) in self.levels[at].iter().enumerate() {
                let (group, name) = level_name(level);
                let group = of_context.entry(group).or_insert_with(|| json!({}));
                group[name] = number(*weight);
            }
            let terms = self.terms[at]
                .iter()
                .zip(TERMS)
                .map(|(weight, name)| (name.to_owned(), number(*weight)));
            of_context.insert("per_doubling".to_owned(), Value::Object(terms.collect()));
            whole.insert(context.name().to_owned(), Value::Object(of_context));
        }
        Value::Object(whole)
    }

    pub(super) fn level(&self, context: Context, level: u16) -> i32 {
        self.levels[context as usize][usize::from(level)]
    }

    pub(super) fn term(&self, context: Context, term: usize) -> i32 {
        self.terms[context as usize][term]
    }

    /// The score of evidence before counts, in parts of a bit.
    pub(super) fn base(&self, context: Context, evidence: &Evidence) -> i32 {
        let levels = &self.levels[context as usize];
        evidence.levels().iter().map(|level| levels[usize::from(*level)]).sum()
    }

    pub(super) fn set(&mut self, context: Context, at: usize, bits: f64) {
        let value = (bits * f64::from(BIT)).round() as i32;
        if at < LEVELS {
            self.levels[context as usize][at] = value;
        } else {
            self.terms[context as usize][at - LEVELS] = value.min(0);
        }
    }

    pub(super) fn get(&self, context: Context, at: usize) -> f64 {
        let value = if at < LEVELS {
            self.levels[context as usize][at]
        } else {
            self.terms[context as usize][at - LEVELS]
        };
        f64::from(value) / f64::from(BIT)
    }
}
