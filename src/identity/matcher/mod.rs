//! The scored match: which records are one customer when no identifier says so.
//!
//! One record at a time: it is normalised ([`Features`]), found by keys, compared with the few records that share one,
//! and put where the evidence between whole groups points. Weights are data ([`Weights`]).

mod cluster;
mod compare;
mod doubt;
mod explain;
pub mod generate;
mod groups;
#[cfg(test)]
mod hard_cases;
mod index;
mod keys;
pub mod metrics;
mod record;
mod redo;
mod resolver;
mod strings;
mod table;
#[cfg(test)]
mod tests;
mod ties;
pub mod train;
mod weights;
mod words;

pub use doubt::Doubt;
pub use explain::{Explanation, Finding, Link};
pub use index::Slot;
pub use record::{Features, Field, UNKNOWN_SOURCE};
pub use resolver::{Decision, Matcher};
pub(super) use table::hash as digest;
pub use ties::Ties;
pub use weights::{BIT, Context, Weights};
