//! Nivel's own process: the library on a SQLite ledger in a temporary folder, syncing the three tools until nothing is new.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use std::sync::Arc;

use anyhow::{Result, anyhow};
use nivel::config::Config;
use nivel::error::Problem;
use nivel::model::SystemClock;
use nivel::sync::{Engine, Silent};
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Addresses;
use super::meter::{Cost, Meter};
use super::serve::Counts;
use super::shapes::TOOLS;
use super::store::Agreement;

/// The credential that everybody sends.
pub(crate) const BASIC: &str = "Basic YWdlbnRAYmVuY2guZXUvdG9rZW46YmVuY2g=";
/// How many write requests are under way at once, per tool; the same for the bare job and for Nivel.
pub(crate) const PARALLEL: [usize; 3] = [1, 4, 1];
/// Tables that a sync may change when nothing changed: where the streams stand, and that it ran.
const CURSORS: &[&str] = &["stream_state", "run"];

/// What the syncs cost, and what the tools saw of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Joint {
    /// Reading alone, part of `first`.
    pub reading: Cost,
    pub first: Cost,
    /// The sync that sees what the first one wrote.
    pub echo: Cost,
    pub second: Cost,
    pub counts: [Counts; 3],
    pub(crate) echoed: [Counts; 3],
    pub again: [Counts; 3],
    /// How the tools agree after the first sync.
    pub agreement: Agreement,
    /// Tables besides [`CURSORS`] that a sync with nothing new changed; `None` when nobody looked.
    pub changed: Option<Vec<String>>,
    /// What a person would be told after the first sync, if it is anything bad.
    pub problem: Option<String>,
}

async fn control<T: DeserializeOwned>(addresses: &Addresses, what: &str) -> Result<T> {
    let response = reqwest::get(format!("{}/{what}", addresses.control)).await?;
    Ok(response.error_for_status()?.json().await?)
}

/// Syncs, lets the tools settle, reads back what it made of them, and syncs once more when nothing is new. With
/// `is_checked` looks into the ledger's file as well.
pub(crate) async fn run(addresses: &Addresses, is_checked: bool) -> Result<Joint> {
    let folder = tempfile::tempdir()?;
    let mut joint = Joint::default();
    let meter = Meter::start()?;
    let engine = engine(addresses, folder.path()).await?;
    // What `sync` does in one go, cut in two to see what reading costs.
    engine.plan().await?;
    joint.reading = meter.stop()?;
    joint.problem = sync(&engine).await?;
    joint.first = meter.stop()?;
    joint.counts = control(addresses, "counts").await?;
    joint.agreement = control(addresses, "settle").await?;
    let meter = Meter::start()?;
    joint.problem = joint.problem.or(sync(&engine).await?);
    joint.echo = meter.stop()?;
    joint.echoed = control(addresses, "counts").await?;
    control::<Agreement>(addresses, "settle").await?;
    let before = is_checked.then(|| fingerprint(folder.path())).transpose()?;
    let meter = Meter::start()?;
    joint.problem = joint.problem.or(sync(&engine).await?);
    joint.second = meter.stop()?;
    joint.again = control(addresses, "counts").await?;
    if let Some(before) = before {
        let after = fingerprint(folder.path())?;
        let changed = after
            .into_iter()
            .filter(|(name, print)| before.get(name) != Some(print));
        joint.changed = Some(changed.map(|(name, _)| name).collect());
    }
    Ok(joint)
}

/// The engine as the daemon builds it, from a config file.
async fn engine(addresses: &Addresses, folder: &Path) -> Result<Engine> {
    let file = folder.join("nivel.yaml");
    std::fs::write(&file, include_str!("nivel.yaml"))?;
    let mut env = BTreeMap::from([("DATA_DIR".to_owned(), folder.display().to_string())]);
    for tool in TOOLS {
        env.insert(
            format!("{}_URL", tool.name().to_uppercase()),
            addresses.tools[tool as usize].clone(),
        );
    }
    let told = |problems: Vec<Problem>| {
        let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
        anyhow!("{}", lines.join("; "))
    };
    let config = Config::load(&[file], &env).map_err(told)?;
    nivel::daemon::open(&config, Arc::new(SystemClock), Arc::new(Silent))
        .await
        .map_err(told)
}

async fn sync(engine: &Engine) -> Result<Option<String>> {
    let summary = engine.sync().await?;
    if std::env::args().any(|word| word == "--loud") {
        eprintln!("{}", serde_json::to_string(&summary)?);
    }
    Ok((!summary.is_clean())
        .then(|| serde_json::to_string(&summary))
        .transpose()?)
}

/// Table → how many rows it has, and a digest of them that does not depend on their order.
fn fingerprint(folder: &Path) -> Result<BTreeMap<String, (u64, u64)>> {
    let ledger = Connection::open_with_flags(folder.join("nivel.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut names =
        ledger.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?;
    let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut prints = BTreeMap::new();
    for name in names.into_iter().filter(|name| !CURSORS.contains(&name.as_str())) {
        let mut query = ledger.prepare(&format!("SELECT * FROM \"{name}\""))?;
        let columns = query.column_count();
        let mut rows = query.query([])?;
        let mut print = (0, 0_u64);
        while let Some(row) = rows.next()? {
            let mut digest = DefaultHasher::new();
            for column in 0..columns {
                match row.get_ref(column)? {
                    ValueRef::Null => 0_u8.hash(&mut digest),
                    ValueRef::Integer(number) => number.hash(&mut digest),
                    ValueRef::Real(number) => number.to_bits().hash(&mut digest),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.hash(&mut digest),
                }
            }
            print = (print.0 + 1, print.1.wrapping_add(digest.finish()));
        }
        prints.insert(name, print);
    }
    Ok(prints)
}
