//! First sync against a bare job, measured side by side: `cargo bench --bench first_sync`.
//!
//! Three tools are served by a process of their own from pages that were rendered beforehand. A bare job (reqwest,
//! `serde_json`, a hash map) and Nivel (SQLite ledger, history, retries) then do the same work, each in a process of its own,
//! in turn, several times; the medians are compared. `NIVEL_BENCH_N` contacts per tool (100,000), `NIVEL_BENCH_RUNS` rounds
//! (3, or fewer when the time is up).

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints its figures"
)]

mod answer;
mod bare;
mod joint;
mod meter;
mod parent;
mod people;
mod report;
mod serve;
mod shapes;
mod store;

use anyhow::{Context as _, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Where the servers listen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Addresses {
    /// In the order of [`shapes::TOOLS`].
    pub tools: [String; 3],
    /// Counts, settle, reset.
    pub control: String,
}

/// One line for the parent process.
pub fn say(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    // A machine that cannot run it is no failed build; the figures are for people.
    if let Err(error) = play().await {
        eprintln!("the benchmark could not be run: {error:#}");
    }
}

async fn play() -> Result<()> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let Some(mode) = words.next() else {
        return parent::run().await;
    };
    let word = words.next().context("the mode needs a word")?;
    match mode.as_str() {
        "--serve" => serve::serve(word.parse()?).await,
        "--bare" => say(&bare::run(&parsed(&word)?).await?),
        "--nivel" => say(&joint::run(&parsed(&word)?, false).await?),
        "--nivel-checked" => say(&joint::run(&parsed(&word)?, true).await?),
        other => bail!("unknown mode {other}"),
    }
}

fn parsed<T: DeserializeOwned>(word: &str) -> Result<T> {
    Ok(serde_json::from_str(word)?)
}
