//! The process dies before and after every time it keeps something: what was answered with 2xx is there, once.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nivel::ledger::{Inbox, Sqlite};
use nivel::model::{TestClock, UnixMillis};

use crate::trial::scratch;

const EVENTS: usize = 5;
/// What a start keeps comes before the events.
const EFFECTS: usize = EVENTS + 5;

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have died by itself, which is what it is for.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts the intake; its address, or nothing when it died before it had one.
async fn start(folder: &Path, fault: &str, bug: &str) -> (Process, Option<String>) {
    drop(std::fs::remove_file(folder.join("port")));
    let nivel = std::path::PathBuf::from(env!("CARGO_BIN_EXE_nivel"));
    let mut command = Command::new(nivel.with_file_name("examples").join("intake"));
    command.arg(folder).env("NIVEL_FAULT", fault).env("NIVEL_BUG", bug);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..2000 {
        let port = std::fs::read_to_string(folder.join("port"))
            .ok()
            .filter(|port| !port.is_empty());
        if let Some(port) = port {
            return (Process(child), Some(format!("http://127.0.0.1:{port}/webhooks/bell")));
        }
        if child.try_wait().unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (Process(child), None)
}

/// Sends events one after the other; the numbers of those that were answered with 2xx.
async fn send(address: &str, numbers: impl Iterator<Item = usize>) -> BTreeSet<usize> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut accepted = BTreeSet::new();
    for n in numbers {
        let request = client
            .post(address)
            .header("x-secret", "s3cret")
            .body(format!("{{\"n\": {n}}}"));
        match request.send().await {
            Ok(answer) if answer.status() == 200 => drop(accepted.insert(n)),
            Ok(answer) => assert_eq!(answer.status(), 503),
            Err(_) => {}
        }
    }
    accepted
}

/// The numbers that stand in the inbox, as often as they do.
async fn kept(folder: &Path) -> Vec<usize> {
    let ledger = Sqlite::open(&folder.join("nivel.db"), &TestClock::at(UnixMillis(1))).unwrap();
    let waiting = ledger.waiting("bell", 1000).await.unwrap();
    let number = |body: &[u8]| {
        serde_json::from_slice::<serde_json::Value>(body).unwrap()["n"]
            .as_u64()
            .unwrap()
    };
    let mut numbers: Vec<_> = waiting
        .iter()
        .map(|event| usize::try_from(number(&event.body)).unwrap())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// One interrupted process, then a whole one to which the sender comes again. What was accepted and lost.
async fn interrupted(fault: &str, bug: &str) -> Vec<usize> {
    let folder = scratch();
    // The commits that make a new ledger are not what is looked at here.
    drop(Sqlite::open(&folder.path().join("nivel.db"), &TestClock::at(UnixMillis(1))).unwrap());
    let (process, address) = start(folder.path(), fault, bug).await;
    let accepted = match &address {
        Some(address) => send(address, 0..EVENTS).await,
        None => BTreeSet::new(),
    };
    // The moment after the last 2xx is a bad one to die, too.
    drop(process);
    let found = kept(folder.path()).await;
    let lost: Vec<_> = accepted.iter().copied().filter(|n| !found.contains(n)).collect();
    if !lost.is_empty() {
        return lost;
    }
    let (process, address) = start(folder.path(), "", "").await;
    let again = (0..EVENTS).filter(|n| !accepted.contains(n));
    send(&address.unwrap(), again.chain([0])).await;
    drop(process);
    assert_eq!(
        kept(folder.path()).await,
        (0..EVENTS).collect::<Vec<_>>(),
        "{fault}: each once"
    );
    Vec::new()
}

#[tokio::test(flavor = "multi_thread")]
async fn p34_what_was_answered_2xx_is_there_whenever_the_process_dies() {
    for number in 1..=EFFECTS {
        for mode in ["kill-before", "kill-after", "error"] {
            let fault = format!("{mode}:{number}");
            assert!(interrupted(&fault, "").await.is_empty(), "{fault}: answered and lost");
        }
    }
}

/// The test of the test.
#[tokio::test(flavor = "multi_thread")]
async fn p34_an_answer_before_the_disk_is_found() {
    for number in 1..=EFFECTS {
        if !interrupted(&format!("error:{number}"), "answer-first").await.is_empty() {
            return;
        }
    }
    panic!("an intake that answers first was not found");
}
