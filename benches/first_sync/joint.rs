//! Nivel itself, the program as it is delivered: each verb in a process of its own, on a SQLite ledger in a temporary
//! folder, syncing the three tools until nothing is new.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::Addresses;
use super::meter::{self, Cost};
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
    let mut joint = Joint::default();
    // What reading alone costs, in a ledger of its own.
    let reading = Nivel::new(addresses)?;
    // It ends with "look at the plan, then approve it": that is no problem here.
    joint.reading = reading.run(&["plan"], &mut None)?;
    drop(reading);
    let nivel = Nivel::new(addresses)?;
    control::<serde_json::Value>(addresses, "reset").await?;
    joint.first = nivel.run(&["sync", "--approve"], &mut joint.problem)?;
    joint.counts = control(addresses, "counts").await?;
    joint.agreement = control(addresses, "settle").await?;
    joint.echo = nivel.run(&["sync"], &mut joint.problem)?;
    joint.echoed = control(addresses, "counts").await?;
    control::<Agreement>(addresses, "settle").await?;
    let before = is_checked.then(|| fingerprint(nivel.folder.path())).transpose()?;
    joint.second = nivel.run(&["sync"], &mut joint.problem)?;
    joint.again = control(addresses, "counts").await?;
    if let Some(before) = before {
        let after = fingerprint(nivel.folder.path())?;
        let changed = after
            .into_iter()
            .filter(|(name, print)| before.get(name) != Some(print));
        joint.changed = Some(changed.map(|(name, _)| name).collect());
    }
    Ok(joint)
}

/// The program, with a config file and a ledger of its own.
struct Nivel {
    folder: TempDir,
    env: BTreeMap<String, String>,
}

impl Nivel {
    fn new(addresses: &Addresses) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("nivel.yaml"), include_str!("nivel.yaml"))?;
        let mut env = BTreeMap::from([("DATA_DIR".to_owned(), folder.path().display().to_string())]);
        for tool in TOOLS {
            env.insert(
                format!("{}_URL", tool.name().to_uppercase()),
                addresses.tools[tool as usize].clone(),
            );
        }
        Ok(Self { folder, env })
    }

    /// Runs one verb to its end.
    fn run(&self, verb: &[&str], problem: &mut Option<String>) -> Result<Cost> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nivel"));
        command.args(verb).args(["--output", "json", "--config"]);
        command.arg(self.folder.path().join("nivel.yaml")).envs(&self.env);
        let (cost, said) = meter::run(&mut command)?;
        if said.is_none() && problem.is_none() {
            *problem = Some(format!("`nivel {}` ended badly", verb.join(" ")));
        }
        Ok(cost)
    }
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
