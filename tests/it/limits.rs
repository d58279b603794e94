//! Budgets over whole syncs: what is used up parks a stream, and a restart forgets nothing.

use std::sync::Arc;
use std::time::Duration;

use nivel::error::Code;
use nivel::model::{Clock, StreamId, SystemClock, TestClock};
use nivel::sandbox::{Fault, Kind};
use nivel::sync::{Engine, Silent};

use crate::trial::Trial;

async fn engine(trial: &Trial, clock: &Arc<TestClock>) -> Engine {
    let clock: Arc<dyn Clock> = clock.clone();
    trial.engine(clock, Arc::new(Silent)).await
}

#[tokio::test]
async fn p29_a_used_up_day_parks_the_stream_and_keeps_its_cursor() {
    let trial = Trial::new(29, 12).await;
    trial.reconfigure(|text| {
        let only_contacts =
            "connector: hubspot\n    streams: {company: {read: false}, ticket: {read: false}, deal: {read: false}, call: {read: false}, meeting: {read: false}}";
        text.replace("connector: hubspot", only_contacts)
    });
    let clock = Arc::new(TestClock::at(SystemClock.now()));
    let engine = engine(&trial, &clock).await;
    engine.sync(Some("test")).await.unwrap();
    let stream = StreamId::new("marketing", "contact");
    let before = engine.ledger().stream(&stream).await.unwrap();
    clock.advance(Duration::from_secs(60));
    let tool = &trial.sandbox.hubspot;
    tool.set_faults(vec![Fault::once(Kind::DailyQuota { status: 429 })]);
    engine.sync(Some("test")).await.unwrap();
    let parked = engine.ledger().stream(&stream).await.unwrap();
    assert_eq!(parked.cursor, before.cursor, "nothing is read again, nothing left out");
    assert_eq!(parked.problem.unwrap().code, Code::QuotaUsed);
    // The vendor does not say when: an hour.
    assert_eq!(parked.parked_until, Some(clock.now().plus(Duration::from_secs(3600))));
    let asked = tool.requests_total();
    engine.sync(Some("test")).await.unwrap();
    assert_eq!(tool.requests_total(), asked, "a parked stream is left alone");
    clock.advance(Duration::from_secs(3601));
    engine.sync(Some("test")).await.unwrap();
    let resumed = engine.ledger().stream(&stream).await.unwrap();
    assert!(tool.requests_total() > asked && resumed.problem.is_none() && resumed.parked_until.is_none());
}

#[tokio::test]
async fn p30_a_budget_stops_softly_before_the_accounts_own_and_a_restart_does_not_forget_it() {
    let trial = Trial::new(30, 12).await;
    // 60% of 18 a day are ours, of which a tenth waits for handoffs: 9 requests, less than this takes.
    trial.reconfigure(|text| {
        let (before, after) = text.split_once("connector: pipedrive").unwrap();
        let after = after.replacen("limits: [1000/1s, {parallel: 6}]", "use: 60%\n    limits: [18/1d]", 1);
        format!("{before}connector: pipedrive{after}")
    });
    let clock = Arc::new(TestClock::at(SystemClock.now()));
    for _ in 0..4 {
        let engine = engine(&trial, &clock).await;
        engine.sync(Some("test")).await.unwrap();
        clock.advance(Duration::from_secs(600));
    }
    let tool = &trial.sandbox.pipedrive;
    assert_eq!(tool.requests_total(), 9);
    let status = trial.nivel(&["status"], None).await;
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(said.contains("9 of 9"), "{said}");
    // The next day goes on.
    clock.advance(Duration::from_secs(26 * 3600));
    engine(&trial, &clock).await.sync(Some("test")).await.unwrap();
    assert!(tool.requests_total() > 9);
}
