//! Survivorship: which value of a field wins among a customer's records, and what each tool should say then.

mod rules;

pub use rules::{Create, FieldRule, OnClear, Pick, Role, Rules, StreamRules, SystemRules};
