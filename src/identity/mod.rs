//! Who is who: what a record says, brought to identifiers, and records that share one brought to one customer.
//!
//! Pure: no I/O, no clock. Values are normalised ([`email`], [`phone`], [`name`], [`domain`]), guarded (role mailboxes,
//! stand-ins and shared values say nothing about a person; `lists/` holds them as data), turned into
//! [`identifiers`], and [`resolve`]d into groups.
//!
//! What no identifier joins, the scored [`matcher`] may: on [`features`] of what the records say by themselves.

pub mod affiliation;
pub mod domain;
pub mod email;
mod features;
mod identifiers;
mod lists;
pub mod matcher;
pub mod name;
pub mod phone;
mod resolve;
mod sets;
mod tax_id;
mod text;

pub use features::{features, speaks, ties};
pub use identifiers::{IdentityRules, has_own_mailbox, identifiers};
pub use resolve::{Group, Input, Member, Resolution, regroup, resolve};
pub use sets::Sets;
