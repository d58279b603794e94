//! Everything that crosses a boundary, in one binary.

mod cache;
mod fold;
mod ledger;
