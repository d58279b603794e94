//! The admin's own programs are told while the daemon dies at its effects: each event at least once and with the same id,
//! each customer's events in their order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use serde_json::Value;

use super::AT_ONCE;
use crate::hooks::{Receiver, SECRETS};
use crate::trial::{Trial, scratch};

/// Where the address of the receiver stands until there is one.
const NOWHERE: &str = "http://127.0.0.1:9/nowhere";
/// The daemon reads, and tells a dozen events, within these.
const EFFECTS: u64 = 46;

/// The number and the customer of each event that waits, by its id.
type Waiting = BTreeMap<String, (i64, String)>;

/// A ledger with events that wait, several of one customer among them.
async fn prepared() -> (Trial, Waiting) {
    let trial = Trial::new(9, 3).await;
    let hooks = format!("hooks: {{bus: {{url: \"{NOWHERE}\", secret: {SECRETS}}}}}\n");
    trial.reconfigure(|text| text + &hooks);
    trial.sync().await;
    let people = trial.sandbox.hubspot.people();
    let person = people.into_iter().find(|person| person.email.is_some()).unwrap();
    for phone in ["+358405550001", "+358405550002"] {
        let change = serde_json::json!({ "phone": phone });
        trial.sandbox.hubspot.edit(&person.id, &change).unwrap();
        trial.settle().await;
    }
    let waiting = waiting(&trial.dir.path().join("nivel.yaml")).await;
    let mut of_one: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, customer) in waiting.values() {
        *of_one.entry(customer).or_default() += 1;
    }
    assert!(of_one.values().any(|count| *count > 2), "{waiting:?}");
    (trial, waiting)
}

async fn waiting(config: &Path) -> Waiting {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nivel"));
    command.arg("--config").arg(config);
    command
        .args(["--output", "json", "hook", "list"])
        .env_remove("NIVEL_FAULT");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await;
    let posts: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let word = |post: &Value, name: &str| post[name].as_str().unwrap().to_owned();
    let posts = posts.as_array().unwrap().iter();
    posts
        .map(|post| {
            (
                word(post, "token"),
                (post["id"].as_i64().unwrap(), word(post, "customer")),
            )
        })
        .collect()
}

fn daemon(config: &Path, fault: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nivel"));
    command
        .arg("--config")
        .arg(config)
        .arg("run")
        .env("NIVEL_FAULT", fault)
        .env_remove("RUST_LOG");
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Runs the daemon until nothing waits, or it dies: then true.
async fn runs(config: &Path, fault: &str) -> bool {
    let mut child = daemon(config, fault);
    let mut has_died = false;
    let telling = async {
        while !has_died && !waiting(config).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            has_died = child.try_wait().unwrap().is_some();
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(60), telling).await;
    child.kill().unwrap();
    child.wait().unwrap();
    told.unwrap_or_else(|_| panic!("{fault}: not everything is told"));
    has_died
}

/// A ledger of its own, as it was prepared, and a config that names the receiver.
fn copy_of(trial: &Trial, folder: &Path, receiver: &Receiver) -> PathBuf {
    let data = folder.join("data");
    std::fs::create_dir(&data).unwrap();
    for file in std::fs::read_dir(trial.dir.path().join("data")).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), data.join(file.file_name())).unwrap();
        }
    }
    let text = std::fs::read_to_string(trial.dir.path().join("nivel.yaml")).unwrap();
    let text = text.replace(trial.dir.path().to_str().unwrap(), folder.to_str().unwrap());
    let config = folder.join("nivel.yaml");
    std::fs::write(&config, text.replace(NOWHERE, &receiver.url)).unwrap();
    config
}

/// How many events came twice; `None` when the daemon told everything and lived.
async fn interrupted(trial: &Trial, waiting: &Waiting, fault: String) -> Option<usize> {
    let receiver = Receiver::start().await;
    let folder = scratch();
    let config = copy_of(trial, folder.path(), &receiver);
    let has_died = runs(&config, &fault).await;
    let mut told: Vec<String> = receiver.take().into_iter().map(|(id, _)| id).collect();
    assert!(!runs(&config, "").await);
    told.extend(receiver.take().into_iter().map(|(id, _)| id));

    let missing: Vec<&String> = waiting.keys().filter(|id| !told.contains(id)).collect();
    assert!(missing.is_empty(), "{fault}: never told: {missing:?}");
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for id in &told {
        let (number, customer) = &waiting[id];
        let before = last.insert(customer, *number).unwrap_or_default();
        assert!(before <= *number, "{fault}: {id} came after a later one: {told:?}");
    }
    has_died.then_some(told.len() - waiting.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_tells_the_admins_programs() {
    let (trial, waiting) = prepared().await;
    let faults = (1..=EFFECTS).step_by(2).map(|number| {
        let mode = if number % 4 == 1 { "kill-after" } else { "kill-before" };
        format!("{mode}:{number}")
    });
    let trials = stream::iter(faults).map(|fault| interrupted(&trial, &waiting, fault));
    let twice: Vec<Option<usize>> = trials.buffer_unordered(AT_ONCE).collect().await;
    assert!(
        twice.iter().flatten().any(|count| *count > 0),
        "never between an answer and its mark: {twice:?}"
    );
}
