//! Everything that crosses a boundary, in one binary.

mod cli;
mod cache;
mod fold;
mod ledger;
mod tidy;
