//! What a program may take, and what becomes of it when it takes more.

use std::path::PathBuf;

use nivel::sync::Engine;

use super::{Stage, problems};

/// A tap that is one line of shell.
async fn shell(stage: &Stage, bounds: &str, script: &str) -> Engine {
    let manifest = format!(
        "
connector: shell
format: 1
guest: {{speaks: singer, command: [sh, ./tap.sh], catalog: catalog.json, {bounds}}}
objects:
  contact: {{guest: people, id: id, fields: {{email: mail}}}}
"
    );
    stage.connector("shell", "", &manifest);
    let folder = stage.path("connectors/shell");
    std::fs::write(
        folder.join("tap.sh"),
        script.replace("DIR", &stage.path("").display().to_string()),
    )
    .unwrap();
    std::fs::write(
        folder.join("catalog.json"),
        "{\"streams\":[{\"tap_stream_id\":\"people\"}]}",
    )
    .unwrap();
    stage.engine("  tap: {connector: shell, role: marketing}\n").await
}

#[track_caller]
fn told(summary: &nivel::sync::Summary) -> String {
    assert_eq!(problems(summary, "tap").len(), 1, "{summary:?}");
    summary.systems["tap"].problems[0].to_string()
}

/// Waits until a process is no more, or only a zombie.
async fn is_gone(pid_file: PathBuf) -> bool {
    let pid = std::fs::read_to_string(pid_file).unwrap();
    let stat = format!("/proc/{}/stat", pid.trim());
    for _ in 0..100_000 {
        match std::fs::read_to_string(&stat) {
            Err(_) => return true,
            Ok(text) if text.contains(") Z ") => return true,
            Ok(_) => tokio::task::yield_now().await,
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_program_is_killed_with_everything_it_started() {
    let stage = Stage::new();
    let script = "sleep 1000 & echo $! > DIR/child\necho $$ > DIR/leader\nwait\n";
    let engine = shell(&stage, "idle: 300ms", script).await;
    let summary = engine.sync(None).await.unwrap();
    assert_eq!(
        told(&summary),
        "GST004 tap/contact: the program said nothing for 300ms and was killed"
    );
    assert!(is_gone(stage.path("child")).await && is_gone(stage.path("leader")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_leaves_behind_is_killed_when_it_ends() {
    let stage = Stage::new();
    let engine = shell(
        &stage,
        "idle: 60s",
        "sleep 1000 >/dev/null 2>&1 & echo $! > DIR/child\nexit 0\n",
    )
    .await;
    let summary = engine.sync(None).await.unwrap();
    assert_eq!(problems(&summary, "tap"), [""; 0]);
    assert!(is_gone(stage.path("child")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_never_ends_is_killed() {
    let stage = Stage::new();
    let engine = shell(
        &stage,
        "wall: 400ms",
        "while :; do echo '{\"type\":\"STATE\",\"value\":{}}'; done\n",
    )
    .await;
    let summary = engine.sync(None).await.unwrap();
    assert_eq!(
        told(&summary),
        "GST004 tap/contact: the program took longer than 400ms and was killed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_line_is_not_kept_in_memory() {
    let stage = Stage::new();
    let engine = shell(&stage, "idle: 60s", "head -c 40000000 /dev/zero | tr '\\0' x\n").await;
    let summary = engine.sync(None).await.unwrap();
    assert_eq!(
        told(&summary),
        "GST003 tap/contact: the program said a line of more than 32 MiB"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_eats_memory_ends_by_itself() {
    let stage = Stage::new();
    let script = "exec python3 -c 'x = bytearray(400_000_000)'\n";
    let engine = shell(&stage, "memory_mib: 128", script).await;
    let summary = engine.sync(None).await.unwrap();
    let told = told(&summary);
    assert!(told.starts_with("GST002") && told.contains("MemoryError"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_cut_off_is_no_message() {
    let stage = Stage::new();
    let half = "printf '{\"type\":\"RECORD\",\"stream\":\"people\",\"record\":{\"id\":1'\n";
    let engine = shell(&stage, "idle: 60s", half).await;
    let summary = engine.sync(None).await.unwrap();
    assert_eq!(
        told(&summary),
        "GST003 tap/contact: the program said its last line only in part"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_is_named() {
    let stage = Stage::new();
    let engine = shell(&stage, "idle: 60s", "").await;
    drop(engine);
    let manifest = stage.path("connectors/shell/manifest.yaml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("[sh, ./tap.sh]", "[./tap-nothing]")).unwrap();
    let engine = stage.engine("  tap: {connector: shell, role: marketing}\n").await;
    let summary = engine.sync(None).await.unwrap();
    let told = told(&summary);
    assert!(
        told.starts_with("GST001")
            && told.ends_with("connectors/shell/tap-nothing` cannot be started: there is no such program"),
        "{told}"
    );
}
