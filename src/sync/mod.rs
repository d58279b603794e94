//! Moves data: pulls pages, folds them into the ledger, pushes what is due, settles the answers.

pub mod affiliation;
pub mod alert;
pub mod consequence;
pub mod erase;
pub mod export;
pub mod fold;
pub mod matching;
pub mod reconcile;
pub mod schedule;
pub mod settle;

mod approval;
mod arrivals;
mod drift;
mod engine;
mod frozen;
mod gone;
mod handoffs;
mod hints;
mod hook;
mod joined;
mod links;
mod look;
mod lost;
mod operate;
mod passing;
mod progress;
mod pull;
mod push;
mod refold;
mod subscribe;
mod sweep;
mod undo;
mod whereabouts;

pub use approval::{Approval, is_approved};
pub use consequence::is_withheld;
pub use drift::vanished;
pub use engine::{Engine, Next, Parts, Stop, Summary, SystemFigures};
pub use frozen::{Frozen, frozen};
pub use hook::{Drained, silence};
pub use matching::{Decided, HELD as MATCH_HELD, Word};
pub use operate::{Act, Approved};
pub use progress::{Event, Progress, Silent};
pub use subscribe::{Step, Wish, steps};
pub use undo::{Left, Scope, Undo};
