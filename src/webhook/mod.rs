//! What tools send by themselves: proven, kept on disk, answered. What follows from it is the business of `sync`.

mod intake;
mod pace;
mod sign;
pub mod verify;

pub use intake::{Answer, Intake, Limits, Request};
pub use sign::signed;
pub use verify::{Delivery, Refusal, address, unprovable, verify};
