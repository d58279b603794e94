//! Moves data: pulls pages, folds them into the ledger, pushes what is due, settles the answers.

pub mod consequence;
pub mod fold;
pub mod matching;
pub mod schedule;
pub mod settle;

mod approval;
mod arrivals;
mod engine;
mod hints;
mod hook;
mod operate;
mod progress;
mod pull;
mod push;
mod subscribe;
mod undo;

pub use approval::Approval;
pub use engine::{Engine, Next, Parts, Stop, Summary, SystemFigures};
pub use hook::{Drained, silence};
pub use matching::{Decided, HELD as MATCH_HELD, Word};
pub use operate::{Act, Approved};
pub use progress::{Event, Progress, Silent};
pub use subscribe::{Step, Wish, steps};
pub use undo::{Left, Scope, Undo};
