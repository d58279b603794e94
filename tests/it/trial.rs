//! One trial: three sandbox tools with invented people, the real binary, and the judge who reads only the tools.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use nivel::config::Config;
use nivel::model::Clock;
use nivel::sandbox::checker::{self, Expectation, Field, Finding, Rule, Target};
use nivel::sandbox::people::{self, People, Truth};
use nivel::sandbox::{Options, Sandbox, ToolName};
use nivel::sync::{Engine, Progress};
use tempfile::TempDir;

/// Three tools, a folder for the ledger, and who is who.
pub(crate) struct Trial {
    pub(crate) sandbox: Sandbox,
    pub(crate) people: People,
    pub(crate) truth: Truth,
    pub(crate) dir: TempDir,
    pub(crate) roles: [ToolName; 3],
}

/// In memory where there is such a place: the page cache survives a killed process, so nothing is lost by it.
pub(crate) fn scratch() -> TempDir {
    let shm = PathBuf::from("/dev/shm");
    let place = if shm.is_dir() { shm } else { std::env::temp_dir() };
    tempfile::Builder::new()
        .prefix("nivel-trial-")
        .tempdir_in(place)
        .unwrap()
}

impl Trial {
    pub(crate) async fn new(seed: u64, people: usize) -> Self {
        Self::with(Options::default(), seed, people).await
    }

    pub(crate) async fn with(options: Options, seed: u64, count: usize) -> Self {
        Self::of(ToolName::ALL, options, seed, count).await
    }

    /// With these tools for marketing, sales and support.
    pub(crate) async fn of(roles: [ToolName; 3], options: Options, seed: u64, count: usize) -> Self {
        let sandbox = Sandbox::start(options.clone()).await.unwrap();
        let people = people::generate_in(seed, count, roles);
        let truth = sandbox.seed(&people);
        let dir = scratch();
        std::fs::write(
            dir.path().join("nivel.yaml"),
            sandbox.settings_of(roles, &options, &dir.path().join("data")),
        )
        .unwrap();
        Self {
            sandbox,
            people,
            truth,
            dir,
            roles,
        }
    }

    /// An engine of the library on this trial's tools, for tests that must be inside.
    pub(crate) async fn engine(&self, clock: Arc<dyn Clock>, progress: Arc<dyn Progress>) -> Engine {
        let config = Config::load(&[self.dir.path().join("nivel.yaml")], &BTreeMap::new()).unwrap();
        nivel::daemon::open(&config, clock, progress)
            .await
            .unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    /// The real binary, still to be started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nivel"));
        command
            .arg("--config")
            .arg(self.dir.path().join("nivel.yaml"))
            .args(arguments)
            .env_remove("RUST_LOG");
        command
    }

    /// Runs the real binary; `fault` arms the door to effects.
    pub(crate) async fn nivel(&self, arguments: &[&str], fault: Option<&str>) -> Output {
        let mut command = self.command(arguments);
        command.env("NIVEL_FAULT", fault.unwrap_or_default());
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }

    /// Changes the config.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(String) -> String) {
        let file = self.dir.path().join("nivel.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, change(text)).unwrap();
    }

    /// One sync of the Nivel that has a bug put in on purpose.
    pub(crate) async fn seeded(&self, bug: &str, fault: Option<&str>) {
        let nivel = PathBuf::from(env!("CARGO_BIN_EXE_nivel"));
        let mut command = Command::new(nivel.with_file_name("examples").join("seeded"));
        command.arg(self.dir.path().join("nivel.yaml"));
        command
            .env("NIVEL_BUG", bug)
            .env("NIVEL_FAULT", fault.unwrap_or_default());
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
    }

    /// Runs a sync that must end well, and gives its summary.
    pub(crate) async fn sync(&self) -> serde_json::Value {
        let output = self.nivel(&["--output", "json", "sync", "--approve"], None).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "sync ended with {}: {errors}", output.status);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
    }

    /// Syncs until two seconds have passed: a tool that tells time in whole seconds lists nothing of the present one.
    pub(crate) async fn settle(&self) {
        let clock = &self.sandbox.pipedrive.clock;
        let begun = clock.now_ms();
        while clock.now_ms() < begun + 2_100 {
            self.sync().await;
        }
    }

    /// What the judge says, after `interruptions` kills or unclear answers.
    pub(crate) fn findings(&self, interruptions: usize) -> Vec<Finding> {
        let fields = vec![Field::Email, Field::FullName, Field::Phone];
        let target = |tool| Target {
            tool,
            create: true,
            fields: fields.clone(),
        };
        let expectation = Expectation {
            targets: self.roles.map(target).to_vec(),
            rules: BTreeMap::from([
                (Field::Email, Rule::Any),
                (Field::FullName, Rule::Any),
                (Field::Phone, Rule::Any),
            ]),
            updates_max: 3 + interruptions,
            idle_max: 200 * interruptions,
            ..Expectation::default()
        };
        checker::check(&self.sandbox, &self.people, &self.truth, &expectation)
    }
}
