//! Moves data: pulls pages, folds them into the ledger, pushes what is due, settles the answers.

pub mod consequence;
pub mod fold;
pub mod settle;

mod arrivals;
mod engine;
mod hints;
mod hook;
mod progress;
mod pull;
mod push;
mod subscribe;

pub use engine::{Engine, Next, Parts, Stop, Summary, SystemFigures};
pub use hook::{Drained, silence};
pub use progress::{Event, Progress, Silent};
pub use subscribe::{Step, Wish, steps};
