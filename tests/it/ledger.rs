//! The promises of the ledger, held against each of them.

mod contract;
mod model;
mod random;

use std::path::Path;

use contract::contract;
use model::Model;
use nivel::ledger::{Ledger, Sqlite};
use nivel::model::{TestClock, UnixMillis};
use tempfile::TempDir;

fn open(folder: &Path) -> Sqlite {
    Sqlite::open(&folder.join("nivel.db"), &TestClock::at(UnixMillis(1))).unwrap()
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    contract(|| {
        let folder = TempDir::new().unwrap();
        (Box::new(open(folder.path())) as Box<dyn Ledger>, folder)
    })
    .await;
}

/// What the others are measured by must itself be right.
#[tokio::test]
async fn the_model_keeps_the_contract() {
    contract(|| (Box::new(Model::default()) as Box<dyn Ledger>, ())).await;
}
