//! What tools send by themselves: proven, kept on disk, answered. What follows from it is the business of `sync`.

pub mod verify;

pub use verify::{Delivery, Refusal, verify};
