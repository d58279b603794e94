//! Everything that crosses a boundary, in one binary.

mod fold;
mod ledger;
