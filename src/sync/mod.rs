//! Moves data: pulls pages, folds them into the ledger, pushes what is due, settles the answers.

pub mod consequence;
pub mod fold;
pub mod schedule;
pub mod settle;

mod approval;
mod arrivals;
mod engine;
mod gone;
mod hints;
mod hook;
mod joined;
mod links;
mod operate;
mod passing;
mod progress;
mod pull;
mod push;
mod subscribe;
mod sweep;
mod undo;
mod whereabouts;

pub use approval::Approval;
pub use engine::{Engine, Next, Parts, Stop, Summary, SystemFigures};
pub use hook::{Drained, silence};
pub use operate::{Act, Approved};
pub use progress::{Event, Progress, Silent};
pub use subscribe::{Step, Wish, steps};
pub use undo::{Left, Scope, Undo};
