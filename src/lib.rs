//! Nivel keeps customers whole across the tools of marketing, sales and support.
//!
//! Start with ARCHITECTURE.md; the modules below are listed from the lowest layer to the highest, and a module imports
//! lower layers only (`tests/it/tidy.rs` enforces it).

pub mod error;
pub mod fault;
pub mod model;

pub mod handoff;
pub mod identity;
pub mod manifest;
pub mod merge;

pub mod cache;
pub mod config;
pub mod connector;
pub mod ledger;

pub mod sandbox;
pub mod sync;
pub mod webhook;

pub mod http;

pub mod daemon;

pub mod cli;
