//! Everything that crosses a boundary, in one binary.

mod conformance;
mod connector;
mod fold;
mod ledger;
