//! A note that cannot be written waits where somebody sees it, and is written once when the cause is gone.

use std::sync::Arc;
use std::time::Duration;

use nivel::sandbox::{Fault, Kind};
use nivel::sync::Silent;
use serde_json::json;

use super::{notes, pass, read, with_owner};
use crate::soak::{KINDS, Later};
use crate::trial::Trial;

/// After so many hours a note is not tried any more.
const HOURS: u64 = 14;

async fn later(trial: &Trial, hour: u64) {
    let clock = Arc::new(Later(Duration::from_hours(hour)));
    let engine = trial.engine(clock, Arc::new(Silent)).await;
    engine.sync(Some("test")).await.unwrap();
}

/// Ana gets another owner while the tool takes no notes, for hours.
async fn without_notes(trial: &Trial, ana: &str, owner: u64) {
    let tool = &trial.sandbox.pipedrive;
    let outage = Fault::once(Kind::ServerError).path("/v1/notes").times(u32::MAX);
    tool.set_faults(vec![outage]);
    tool.edit(ana, &json!({ "owner_id": owner })).unwrap();
    for hour in 0..HOURS {
        later(trial, hour).await;
    }
    tool.set_faults(Vec::new());
}

async fn says(trial: &Trial, arguments: &[&str]) -> (Option<i32>, String) {
    let output = trial.nivel(arguments, None).await;
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// A good status with an error in it, a page for people, an answer cut short: whatever the tool answers to the note, it stands
/// there once at last.
#[tokio::test]
async fn a_note_is_written_once_whatever_the_tool_answers() {
    let (trial, ana) = with_owner().await;
    let tool = &trial.sandbox.pipedrive;
    let mut hour = 0;
    for (before, kind) in KINDS.into_iter().enumerate() {
        tool.set_faults(vec![Fault::once(kind).path("/v1/notes")]);
        tool.edit(&ana, &json!({"owner_id": 100 + before})).unwrap();
        // At first the tool lists nothing of the present second.
        while notes(&trial).len() == before {
            hour += 1;
            assert!(hour < 200, "{}: no note", kind.name());
            later(&trial, hour).await;
        }
        hour += 1;
        later(&trial, hour).await;
        assert_eq!(notes(&trial).len(), before + 1, "{}: one note", kind.name());
        let met = tool
            .requests()
            .into_iter()
            .any(|request| request.fault == Some(kind.name()));
        assert!(met, "{}: no request was met", kind.name());
    }
}

#[tokio::test]
async fn a_note_that_was_given_up_waits_with_the_dead_writes_until_somebody_decides() {
    let (trial, ana) = with_owner().await;
    without_notes(&trial, &ana, 7).await;
    assert!(notes(&trial).is_empty());
    assert_eq!(read(&trial, &["status"]).await["totals"]["noteless"], json!(1));
    let (code, status) = says(&trial, &["status"]).await;
    assert_eq!(code, Some(3), "{status}");
    assert!(status.contains("1 note of handoffs given up"), "{status}");
    let (code, list) = says(&trial, &["dead", "list"]).await;
    assert_eq!(code, Some(3));
    assert!(list.contains("note of owner-change"), "{list}");
    let id = read(&trial, &["dead", "list"]).await["notes"][0]["id"].clone();
    let (_, sheet) = says(&trial, &["dead", "show", id.as_str().unwrap()]).await;
    assert!(
        sheet.contains("owner: 1 → 7") && sheet.contains("given up after 7 tries"),
        "{sheet}"
    );

    let (_, done) = says(&trial, &["dead", "retry", id.as_str().unwrap()]).await;
    assert!(done.contains("1 due again"), "{done}");
    pass(&trial).await;
    assert_eq!(notes(&trial).len(), 1);
    assert_eq!(
        says(&trial, &["dead", "list"]).await,
        (Some(0), "nothing was given up\n".to_owned())
    );

    without_notes(&trial, &ana, 8).await;
    assert!(says(&trial, &["dead", "drop", "--all"]).await.1.contains("1 dropped"));
    pass(&trial).await;
    assert_eq!(says(&trial, &["dead", "list"]).await.0, Some(0));
    assert_eq!(notes(&trial).len(), 1, "what was dropped is not written");
}
