//! Copies of the ledger: out of it, and back into its place.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::build::problem_of;
use crate::config::Config;
use crate::error::{Code, Problem};
use crate::ledger::{Ledger, Sqlite};
use crate::model::Clock;
use crate::sync::erase;

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Customers in it.
    pub customers: u64,
    /// People who had been erased since, and are again.
    pub erased_again: u64,
    /// There was no ledger to take the list of erased people from.
    pub without_list: bool,
}

/// Copies the ledger to a new file, also beside a running daemon. Its size in bytes.
///
/// # Errors
/// When it cannot be read, or the copy cannot be written.
pub fn back_up(config: &Config, to: &Path) -> Result<u64, Problem> {
    Sqlite::back_up(&config.ledger_path(), to).map_err(problem_of)
}

/// Puts a copy in the ledger's place. Whoever was erased since is erased again, and nothing is written before somebody says yes.
///
/// # Errors
/// When a daemon has the ledger open, or the copy is not good; the ledger is then the one it was.
pub async fn restore(config: &Config, from: &Path, clock: &Arc<dyn Clock>) -> Result<Restored, Problem> {
    std::fs::create_dir_all(&config.data_dir).map_err(|error| {
        let message = format!("the data folder cannot be made: {error}");
        Problem::new(Code::LedgerFull, message).about(config.data_dir.display())
    })?;
    let path = config.ledger_path();
    let without_list = !path.exists();
    let staged = Sqlite::stage(from, &path, clock.as_ref()).map_err(problem_of)?;
    let ledger = Sqlite::open(staged.part(), clock.as_ref()).map_err(problem_of)?;
    let erased_again = erase::again(&ledger, clock.now()).await.map_err(problem_of)?;
    let customers = ledger.totals().await.map_err(problem_of)?.customers;
    drop(ledger);
    staged.put_in_place().map_err(problem_of)?;
    Ok(Restored {
        customers,
        erased_again,
        without_list,
    })
}
