//! The promises of the ledger, held against each of them.

mod contract;
mod inbox;
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

/// A folder in memory where there is one: thousands of commits ask the disk for nothing that is tested here.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    TempDir::new_in(memory).or_else(|_| TempDir::new()).unwrap()
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    contract(|| {
        let folder = folder();
        (Box::new(open(folder.path())) as Box<dyn Ledger>, folder)
    })
    .await;
    let kept = folder();
    inbox::contract(&open(kept.path())).await;
}

/// What the others are measured by must itself be right.
#[tokio::test]
async fn the_model_keeps_the_contract() {
    contract(|| (Box::new(Model::default()) as Box<dyn Ledger>, ())).await;
    inbox::contract(&Model::default()).await;
}
