//! The sweep over events of webhooks that wait on the disk: killed before and after every effect of the sync that folds them,
//! each is accounted for once, and what it told of reaches the other tools.

use nivel::ledger::{Inbox, NewEvent, Sqlite};
use nivel::model::{Clock, SystemClock};
use nivel::sandbox::Person;
use serde_json::json;

use super::seed;
use super::verbs::sweep;
use crate::trial::Trial;
use crate::webhook::event;

const PEOPLE: usize = 4;
const PHONE: &str = "+358401234599";

/// What the intake keeps of a delivery, and of the same one sent again.
async fn land(trial: &Trial, person: &Person) {
    let now = SystemClock.now();
    let kept = |number: u64| NewEvent {
        system: "sales".into(),
        stream: Some("person".into()),
        key: Some(format!("n{number}")),
        received_at: now,
        headers: "{}".to_owned(),
        body: event(number, &person.id, "change", now),
        problem: None,
    };
    let ledger = Sqlite::open(&trial.dir.path().join("data/nivel.db"), &SystemClock).unwrap();
    let landed = ledger.land(vec![kept(1), kept(1), kept(2)]).await.unwrap();
    assert_eq!((landed.fresh, landed.duplicates), (2, 1));
}

async fn folded(fault: String) -> bool {
    let trial = Trial::new(seed(), PEOPLE).await;
    trial.sync().await;
    let crm = &trial.sandbox.pipedrive;
    let person = crm.people().into_iter().find(|person| person.email.is_some()).unwrap();
    let phones = json!([{"value": PHONE, "primary": true, "label": "work"}]);
    crm.edit(&person.id, &json!({"phones": phones})).unwrap();
    land(&trial, &person).await;
    let was_there = !trial.nivel(&["sync", "--approve"], Some(&fault)).await.status.success();
    trial.sync().await;
    {
        let ledger = Sqlite::open_to_read(&trial.dir.path().join("data/nivel.db")).unwrap();
        let state = ledger.inbox().await.unwrap().remove("sales").unwrap();
        let fates: u64 = state.fates.values().sum();
        assert_eq!((state.received, state.waiting, fates), (3, 0, 3), "{fault}: {state:?}");
    }
    let there = trial.sandbox.zendesk.people();
    let same = there.iter().find(|other| other.emails == person.emails).unwrap();
    assert_eq!(
        same.phone.as_deref().map(|phone| phone.replace(' ', "")).as_deref(),
        Some(PHONE),
        "{fault}"
    );
    let last = trial.sync().await;
    assert_eq!(last["written"], 0, "{fault}: {last}");
    let findings = trial.findings(1);
    assert!(findings.is_empty(), "{fault}: {findings:#?}");
    was_there
}

#[tokio::test(flavor = "multi_thread")]
async fn p34_events_that_wait_are_folded_once_whenever_the_process_dies() {
    for mode in ["kill-before", "kill-after"] {
        assert!(sweep(mode, folded).await > 5);
    }
}
