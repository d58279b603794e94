//! Handoffs in motion: activities come in, passages follow from what the ledger holds, and what was written is read back
//! until it is proven.

mod activity;
mod notes;
mod passing;
mod prove;
mod standing;

pub(in crate::sync) use passing::Passing;

use crate::error::{Code, Problem};
use crate::ledger::Error as LedgerError;

fn does_not_fold(what: &str) -> LedgerError {
    let why = format!("{what} could not be folded, however often it was tried");
    LedgerError::Broken(Problem::new(Code::Bug, why))
}
