//! Everything that crosses a boundary, in one binary.

mod cache;
mod cli;
mod conformance;
mod connector;
mod crash;
mod fold;
mod ledger;
mod loss;
mod tidy;
mod trial;
