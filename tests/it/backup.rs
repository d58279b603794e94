//! A copy of the ledger, made beside a daemon, and back: an erased person does not come back with it.

use std::sync::Arc;
use std::time::Duration;

use nivel::model::SystemClock;
use nivel::sync::Silent;
use serde_json::{Value, json};

use crate::trial::Trial;

const HER: &str = "zora.quillfeather@erase-me.example";

async fn trial() -> Trial {
    let trial = Trial::new(21, 4).await;
    trial.reconfigure(|text| text.replace("create: always", "create: always\n    allow: [erase]"));
    let body = json!({"email": HER, "firstname": "Zora", "lastname": "Quillfeather", "phone": "+358401239876"});
    let now = trial.sandbox.hubspot.clock.now_ms();
    trial.sandbox.hubspot.seed(&body, now - 5_000, now - 5_000);
    trial.sync().await;
    trial
}

async fn said(trial: &Trial, arguments: &[&str], expected: i32) -> Value {
    let output = trial.nivel(&[&["-o", "json"], arguments].concat(), None).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {told}");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn is_in(path: &std::path::Path, text: &str) -> bool {
    let bytes = std::fs::read(path).unwrap().to_ascii_lowercase();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_does_not_come_back_with_an_old_copy() {
    let trial = trial().await;
    let copy = trial.dir.path().join("copy.db");
    let file = copy.to_str().unwrap();
    let engine = trial.engine(Arc::new(SystemClock), Arc::new(Silent)).await;
    said(&trial, &["backup", file], 0).await;
    assert!(
        is_in(&copy, HER),
        "she is in the copy that was made beside a process at work"
    );
    said(&trial, &["backup", file], 1).await;
    said(&trial, &["restore", file], 1).await;
    drop(engine);
    said(&trial, &["customer", "erase", HER, "--yes"], 0).await;

    let restored = said(&trial, &["restore", file], 0).await;
    assert_eq!(
        (&restored["erased_again"], &restored["without_list"]),
        (&json!(1), &json!(false)),
        "{restored}"
    );
    let plan = trial.nivel(&["sync"], None).await;
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(plan.contains("approve"), "nothing is written without a new yes: {plan}");
    for _ in 0..4 {
        trial.sync().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let found = said(&trial, &["customer", "erasures"], 0).await;
    assert!(
        found.as_array().unwrap().iter().all(|one| !one["done_at"].is_null()),
        "{found:#}"
    );
    assert!(
        !is_in(&trial.dir.path().join("data/nivel.db"), HER),
        "she came back with the copy"
    );
}

#[tokio::test]
async fn a_damaged_or_foreign_copy_is_refused_and_the_ledger_stays() {
    let trial = trial().await;
    let copy = trial.dir.path().join("copy.db");
    let file = copy.to_str().unwrap();
    said(&trial, &["backup", file], 0).await;
    let before = said(&trial, &["status"], 0).await;
    let mut bytes = std::fs::read(&copy).unwrap();
    for byte in bytes.iter_mut().skip(8192).step_by(3) {
        *byte ^= 0x5a;
    }
    std::fs::write(&copy, bytes).unwrap();
    said(&trial, &["restore", file], 1).await;
    std::fs::write(&copy, "not a ledger").unwrap();
    said(&trial, &["restore", file], 1).await;
    let after = said(&trial, &["status"], 0).await;
    assert_eq!(before["customers"], after["customers"]);
}
