//! `nivel run`, the real binary: it becomes ready, brings the tools together by itself, refuses a second one, and ends in
//! order when told to.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::trial::Trial;

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub(crate) fn daemon(trial: &Trial) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nivel"));
    command
        .arg("--config")
        .arg(trial.dir.path().join("nivel.yaml"))
        .arg("run");
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Asks again and again until it is so; a minute is more than it can need.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_brings_the_tools_together_and_ends_in_order() {
    let trial = Trial::new(41, 10).await;
    let port = free_port();
    trial.reconfigure(|text| text.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")));
    let mut child = daemon(&trial);
    let ready = format!("http://127.0.0.1:{port}/readyz");
    until("ready", async || {
        reqwest::get(&ready)
            .await
            .is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    let approved = trial.nivel(&["--output", "json", "approve"], None).await;
    assert!(
        approved.status.success(),
        "asked beside a running daemon: {}",
        String::from_utf8_lossy(&approved.stderr)
    );
    until("the tools agree", async || trial.findings(0).is_empty()).await;
    let status = trial.nivel(&["status"], None).await;
    assert!(
        status.status.success(),
        "looking beside a running daemon: {}",
        String::from_utf8_lossy(&status.stderr)
    );
    let second = trial.nivel(&["sync", "--approve"], None).await;
    assert!(!second.status.success(), "a second one must be refused");
    assert!(String::from_utf8_lossy(&second.stderr).contains("LED001"));
    let figures = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.unwrap();
    assert!(figures.status().is_success());
    let told = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(told.success());
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap())
        .await
        .unwrap();
    assert!(ended.success(), "{ended}");
    let last = trial.sync().await;
    assert_eq!(last["written"], 0, "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_to_be_told_is_told_by_the_daemon() {
    let trial = Trial::new(43, 3).await;
    let (address, got) = crate::alert::receiver(200).await;
    trial.reconfigure(|text| text + &format!("alerts: {{to: {{ops: {{slack: \"{address}\"}}}}}}\n"));
    let mut child = daemon(&trial);
    until("somebody is told", async || !got.lock().unwrap().is_empty()).await;
    let told = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(told.success());
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert!(ended.await.unwrap().success());
    let messages = got.lock().unwrap().clone();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].1.contains("nivel approve"), "{messages:?}");
}
