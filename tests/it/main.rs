//! Everything that crosses a boundary, in one binary.

mod cache;
mod cli;
mod conformance;
mod connector;
mod fold;
mod ledger;
mod tidy;
