//! The scored match: which records are one customer when no identifier says so.
//!
//! One record at a time: it is normalised ([`Features`]), found by keys, compared with the few records that share one,
//! and put where the evidence between whole groups points. Weights are data ([`Weights`]).

mod cluster;
mod compare;
pub mod generate;
mod index;
mod keys;
pub mod metrics;
mod record;
mod resolver;
mod strings;
mod table;
pub mod train;
mod weights;
mod words;

pub use index::Slot;
pub use record::{Features, Field};
pub use resolver::{Decision, Matcher};
pub use weights::{BIT, Context, Weights};
