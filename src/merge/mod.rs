//! Survivorship: which value of a field wins among a customer's records, and what each tool should say then.

mod consent;
mod creation;
mod desire;
mod name;
mod observe;
mod once;
mod presence;
mod rules;
mod share;
mod survive;

pub use consent::{STRICTEST, is_consent, is_denial, survive as survive_consent};
pub use creation::{Refusal, refusal};
pub use desire::{Desire, KEY_FIELD, desires};
pub use name::{full as full_name, says_same as says_same_name, settle_written as settle_written_name};
pub use observe::{FieldChange, Seen, observe};
pub use once::{made_elsewhere, stands_elsewhere};
pub use presence::{is_gone, is_worked_on};
pub use rules::{
    Brake, Create, FieldRule, MatchRules, OnClear, OnDelete, Pick, Priority, Role, Rules, StreamRules, SystemRules,
};
pub use share::{NOTES_OF_HANDOFFS, Share, may_be_a_note, may_flow};
pub use survive::{Candidate, Golden, Ranked, Survivorship, candidates, pick, survive};
