//! Two questions, two types: what a person reads ([`Problem`]) and what the program does next ([`Class`]).

mod class;
mod code;
mod problem;

pub use class::{Class, Failure};
pub use code::{Code, page};
pub use problem::{Problem, Who};
