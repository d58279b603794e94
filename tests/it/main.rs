//! Everything that crosses a boundary, in one binary.

mod cache;
mod cli;
mod fold;
mod ledger;
mod tidy;
