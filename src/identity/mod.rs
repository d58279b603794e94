//! Who is who: what a record says, brought to identifiers, and records that share one brought to one customer.
//!
//! Pure: no I/O, no clock. Values are normalised ([`email`], [`phone`], [`name`], [`domain`]), guarded (role mailboxes,
//! stand-ins and shared values say nothing about a person; `lists/` holds them as data), turned into
//! [`identifiers`], and [`resolve`]d into groups.
//!
//! The scored match on comparable fields (names, addresses) belongs between the shared identifiers and the making of a
//! new key: it will propose further pairs to [`resolve`], weaker than every identifier. Nothing here guesses.

pub mod domain;
pub mod email;
mod identifiers;
mod lists;
pub mod matcher;
pub mod name;
pub mod phone;
mod resolve;
mod sets;
mod text;

pub use identifiers::{IdentityRules, has_own_mailbox, identifiers};
pub use resolve::{Group, Input, Member, Resolution, resolve};
pub use sets::Sets;
