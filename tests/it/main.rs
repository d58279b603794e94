//! Everything that crosses a boundary, in one binary.

mod conformance;
mod connector;
mod cli;
mod cache;
mod cli;
mod fold;
mod ledger;
mod tidy;
