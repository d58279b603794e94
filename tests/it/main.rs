//! Everything that crosses a boundary, in one binary.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests may")]

mod affiliation;
mod alert;
mod approval;
mod auth;
mod authoring;
mod backup;
mod cache;
mod cli;
mod conformance;
mod connector;
mod consent;
mod crash;
mod daemon;
mod deletes;
mod erase;
mod files;
mod first_reading;
mod fold;
mod guests;
mod handoffs;
mod hooks;
mod inbound;
mod ledger;
mod lessons;
mod limits;
mod loss;
mod matching;
mod merges;
mod neutral;
mod others;
mod reconcile;
mod scars;
mod scene;
mod soak;
mod specs;
mod sql;
mod tidy;
mod traps;
mod trial;
mod walk;
mod webhook;
mod writeback;
