//! Programs as connections, with small programs of our own (`tests/guests/`): what they read, what they write, how they
//! fail, and what they get to see. Real taps and sources: `make test-guests`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nivel::config::Config;
use nivel::error::Problem;
use nivel::model::{StreamId, TestClock, UnixMillis};
use nivel::sync::{Engine, Silent, Summary};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

mod bounds;
mod canned;
mod reading;
mod real;
mod writing;

/// A folder with connectors, a config, and whatever the programs leave behind.
pub(crate) struct Stage {
    dir: TempDir,
    clock: Arc<TestClock>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            dir: crate::trial::scratch(),
            clock: Arc::new(TestClock::at(UnixMillis(1_790_000_000_000))),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A connector: its manifest, beside a copy of a program of `tests/guests/`.
    pub(crate) fn connector(&self, name: &str, program: &str, manifest: &str) {
        let folder = self.path("connectors").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
        if !program.is_empty() {
            std::fs::copy(source.join(program), folder.join(program)).unwrap();
        }
        std::fs::write(folder.join("manifest.yaml"), manifest).unwrap();
    }

    pub(crate) fn write(&self, name: &str, content: &Json) {
        std::fs::write(self.path(name), content.to_string()).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Json {
        serde_json::from_str(&std::fs::read_to_string(self.path(name)).unwrap()).unwrap()
    }

    /// An engine on these systems; `DIR` is the stage's folder.
    pub(crate) async fn engine(&self, systems: &str) -> Engine {
        let engine = self.try_engine(systems).await;
        engine.unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    pub(crate) async fn try_engine(&self, systems: &str) -> Result<Engine, Vec<Problem>> {
        let dir = self.dir.path().display().to_string();
        let text = format!("data_dir: data\nconnectors_dir: connectors\nsystems:\n{systems}").replace("DIR", &dir);
        let file = self.path("nivel.yaml");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&[file], &BTreeMap::new())?;
        nivel::daemon::open(&config, self.clock.clone(), Arc::new(Silent)).await
    }

    pub(crate) fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// The codes of a system's problems.
#[track_caller]
pub(crate) fn problems<'a>(summary: &'a Summary, system: &str) -> Vec<&'a str> {
    let figures = &summary.systems[system];
    figures.problems.iter().map(|problem| problem.code.as_str()).collect()
}

pub(crate) async fn count(engine: &Engine, system: &str) -> u64 {
    let stream = StreamId::new(system, "contact");
    engine.ledger().count_records(&stream).await.unwrap()
}

/// A row as the tests' programs list it.
pub(crate) fn row(id: usize, at: usize) -> Json {
    json!({"id": id.to_string(), "mail": format!("p{id}@example.com"), "name": format!("Person {id}"), "at": format!("{at:06}")})
}
