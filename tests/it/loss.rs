//! How peers lose, double and loop data (the numbers are those of the scar list), played on the sandbox with the shipped
//! connectors.

use std::sync::Arc;
use std::time::Duration;

use nivel::model::{Clock, SystemClock, TestClock};
use nivel::sandbox::faults::Kind;
use nivel::sandbox::{By, Fault, Op, Options, ToolName};
use nivel::sync::{Event, Progress, Silent};
use serde_json::json;

use crate::trial::Trial;

/// A fixed start for the tools' clocks, so that "now" can be moved by hand.
const START: i64 = 1_790_000_000_000;

fn standing() -> Options {
    Options {
        clock_ms: Some(START),
        ..Options::default()
    }
}

/// Objects that Nivel made in a tool.
fn made(trial: &Trial, tool: ToolName) -> usize {
    let by_api = |event: &nivel::sandbox::Event| event.by == By::Api && event.op == Op::Create;
    trial
        .sandbox
        .tool(tool)
        .history()
        .iter()
        .filter(|event| by_api(event))
        .count()
}

fn seeded_hub(trial: &Trial, number: usize, updated_ms: i64) -> String {
    let body =
        json!({"email": format!("b{number}@example.com"), "firstname": "Burst", "lastname": format!("No{number}")});
    trial.sandbox.hubspot.seed(&body, updated_ms, updated_ms)
}

/// Edits a record of the hub when its first page was read: at that moment its old state is already on its way.
struct EditOnce {
    edit: std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Progress for EditOnce {
    fn on(&self, event: &Event) {
        if let Event::Read { stream, .. } = event
            && stream.system == "marketing"
            && let Some(edit) = self.edit.lock().unwrap().take()
        {
            edit();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p01_p11_a_row_edited_while_the_stream_is_read_is_read_again() {
    let trial = Arc::new(Trial::new(11, 30).await);
    let person = trial
        .sandbox
        .hubspot
        .people()
        .into_iter()
        .find(|person| person.email.is_some())
        .unwrap();
    let (id, inner) = (person.id.clone(), Arc::clone(&trial));
    let edit = move || {
        inner
            .sandbox
            .hubspot
            .edit(&id, &json!({"phone": "+358401234599"}))
            .unwrap();
    };
    let progress = Arc::new(EditOnce {
        edit: std::sync::Mutex::new(Some(Box::new(edit))),
    });
    let engine = trial.engine(Arc::new(SystemClock), progress).await;
    engine.sync(Some("test")).await.unwrap();
    engine.sync(Some("test")).await.unwrap();
    let email = person.email.unwrap().trim().to_lowercase();
    for tool in [ToolName::Pipedrive, ToolName::Zendesk] {
        let there = trial.sandbox.tool(tool).people();
        let there = there.iter().find(|p| {
            p.email
                .as_deref()
                .is_some_and(|mail| mail.trim().to_lowercase() == email)
        });
        let phone = there.and_then(|person| person.phone.clone()).unwrap_or_default();
        assert!(phone.replace(' ', "").ends_with("401234599"), "{tool} has {phone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p02_p03_a_late_index_is_read_again_by_default() {
    let trial = Trial::with(
        Options {
            index_lag_ms: 30_000,
            ..standing()
        },
        3,
        4,
    )
    .await;
    trial.sandbox.advance(600_000);
    let engine = trial
        .engine(
            Arc::new(TestClock::at(nivel::model::UnixMillis(START + 600_000))),
            Arc::new(Silent),
        )
        .await;
    engine.sync(Some("test")).await.unwrap();
    seeded_hub(&trial, 1, START + 600_000);
    // The search index does not show it yet, but the cursor moves on.
    trial.sandbox.advance(10_000);
    engine.sync(Some("test")).await.unwrap();
    trial.sandbox.advance(60_000);
    engine.sync(Some("test")).await.unwrap();
    let crm = trial.sandbox.pipedrive.people();
    assert!(
        crm.iter()
            .any(|person| person.email.as_deref() == Some("b1@example.com")),
        "the late row never arrived"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p04_same_second_rows() {
    let trial = Trial::with(standing(), 4, 1).await;
    for number in 0..1_250 {
        let body = json!({"name": format!("Burst No{number}"), "email": format!("z{number}@example.com")});
        trial.sandbox.zendesk.seed(&body, START - 500_000, START - 500_000);
    }
    for number in 0..700 {
        let body = json!({"name": format!("Burst No{number}"), "emails": [{"value": format!("p{number}@example.com"), "primary": true}]});
        trial.sandbox.pipedrive.seed(&body, START - 500_000, START - 500_000);
    }
    trial.sandbox.advance(600_000);
    let engine = trial
        .engine(
            Arc::new(TestClock::at(nivel::model::UnixMillis(START + 600_000))),
            Arc::new(Silent),
        )
        .await;
    let summary = engine.plan().await.unwrap();
    assert!(summary.systems["support"].changed >= 1_250, "{summary:?}");
    assert!(summary.systems["sales"].changed >= 700, "{summary:?}");
    // One more row of the same second, written after the cursor had passed it.
    let body = json!({"name": "Late", "email": "late@example.com"});
    trial.sandbox.zendesk.seed(&body, START + 600_000, START + 600_000);
    trial.sandbox.advance(120_000);
    let again = engine.plan().await.unwrap();
    assert_eq!(again.systems["support"].changed, 1, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p05_p06_more_than_ten_thousand_rows_with_one_time_stamp() {
    let trial = Trial::with(standing(), 5, 1).await;
    for number in 0..10_450 {
        seeded_hub(&trial, number, START - 5_000);
    }
    trial.sandbox.advance(600_000);
    let engine = trial
        .engine(
            Arc::new(TestClock::at(nivel::model::UnixMillis(START + 600_000))),
            Arc::new(Silent),
        )
        .await;
    let summary = engine.plan().await.unwrap();
    assert!(
        summary.systems["marketing"].changed >= 10_450,
        "silently capped: {summary:?}"
    );
    assert!(summary.systems["marketing"].problems.is_empty(), "{summary:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p07_a_cursor_that_does_not_advance_is_an_error_and_no_endless_loop() {
    let trial = Trial::new(7, 700).await;
    let engine = trial.engine(Arc::new(SystemClock), Arc::new(Silent)).await;
    for tool in ToolName::ALL {
        trial
            .sandbox
            .tool(tool)
            .set_faults(vec![Fault::once(Kind::RepeatedCursor).times(u32::MAX)]);
    }
    let stuck = tokio::time::timeout(Duration::from_secs(60), engine.plan())
        .await
        .expect("an endless loop")
        .unwrap();
    assert!(
        stuck.systems.values().any(|figures| !figures.problems.is_empty()),
        "nobody noticed: {stuck:?}"
    );
    for tool in ToolName::ALL {
        trial.sandbox.tool(tool).set_faults(Vec::new());
    }
    let well = engine.plan().await.unwrap();
    assert!(
        well.systems.values().all(|figures| figures.problems.is_empty()),
        "{well:?}"
    );
    let records: usize = ToolName::ALL
        .iter()
        .map(|tool| trial.sandbox.tool(*tool).people().len())
        .sum();
    assert_eq!(engine.ledger().totals().await.unwrap().records, records as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn p08_the_state_is_the_tools_time_and_not_ours() {
    let trial = Trial::with(standing(), 8, 5).await;
    trial.sandbox.advance(600_000);
    // Our clock is a day fast.
    let clock = Arc::new(TestClock::at(nivel::model::UnixMillis(START + 600_000 + 86_400_000)));
    let ours: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let engine = trial.engine(ours, Arc::new(Silent)).await;
    engine.sync(Some("test")).await.unwrap();
    seeded_hub(&trial, 1, START + 700_000);
    trial.sandbox.advance(7_200_000);
    clock.advance(Duration::from_secs(7_200));
    engine.sync(Some("test")).await.unwrap();
    let crm = trial.sandbox.pipedrive.people();
    assert!(
        crm.iter()
            .any(|person| person.email.as_deref() == Some("b1@example.com")),
        "skipped by our own clock"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p16_a_changed_email_makes_no_second_person() {
    let trial = Trial::new(16, 12).await;
    let engine = trial.engine(Arc::new(SystemClock), Arc::new(Silent)).await;
    engine.sync(Some("test")).await.unwrap();
    let before = (
        ToolName::ALL.map(|tool| made(&trial, tool)),
        engine.ledger().totals().await.unwrap().customers,
    );
    let person = trial
        .sandbox
        .pipedrive
        .people()
        .into_iter()
        .find(|person| person.email.is_some())
        .unwrap();
    let body = json!({"emails": [{"value": "new.address@example.org", "primary": true, "label": "work"}]});
    trial.sandbox.pipedrive.edit(&person.id, &body).unwrap();
    engine.sync(Some("test")).await.unwrap();
    engine.sync(Some("test")).await.unwrap();
    let after = (
        ToolName::ALL.map(|tool| made(&trial, tool)),
        engine.ledger().totals().await.unwrap().customers,
    );
    assert_eq!(before, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn p18_a_create_whose_answer_is_lost_is_looked_up_before_it_is_repeated() {
    for kind in [
        Kind::ResetAfter,
        Kind::BadGatewayAfter,
        Kind::CutJson,
        Kind::ResetMidBody,
    ] {
        let trial = Trial::new(18, 10).await;
        for tool in ToolName::ALL {
            trial.sandbox.tool(tool).set_faults(vec![
                Fault::once(kind).method("POST").path("/api/v2/persons").nth(1),
                Fault::once(kind).method("POST").path("/api/v2/users").nth(1),
                Fault::once(kind)
                    .method("POST")
                    .path("/crm/v3/objects/contacts/batch/")
                    .nth(1),
            ]);
        }
        let engine = trial.engine(Arc::new(SystemClock), Arc::new(Silent)).await;
        engine.sync(Some("test")).await.unwrap();
        engine.sync(Some("test")).await.unwrap();
        let findings = trial.findings(3);
        assert!(findings.is_empty(), "{kind:?}: {findings:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p23_what_we_wrote_and_see_again_is_no_change() {
    let trial = Trial::new(23, 40).await;
    let engine = trial.engine(Arc::new(SystemClock), Arc::new(Silent)).await;
    let first = engine.sync(Some("test")).await.unwrap();
    let dead = engine
        .ledger()
        .writes(&[nivel::ledger::WriteState::Dead], None, 10)
        .await
        .unwrap();
    assert!(first.written() > 0 && first.is_clean(), "{first:?} {dead:#?}");
    for _ in 0..3 {
        let next = engine.sync(Some("test")).await.unwrap();
        assert_eq!(next.written(), 0, "{next:?}");
    }
    assert!(trial.findings(0).is_empty(), "{:#?}", trial.findings(0));
}

/// Found by asking alone, without a webhook: a flag, a list of removed objects, or absence in a whole sweep.
#[tokio::test(flavor = "multi_thread")]
async fn p50_a_deletion_in_any_tool_is_found_by_asking() {
    for name in ToolName::ALL {
        let trial = Trial::with(standing(), 50, 8).await;
        trial.sandbox.advance(600_000);
        let clock = Arc::new(TestClock::at(nivel::model::UnixMillis(START + 600_000)));
        let engine = trial.engine(clock.clone(), Arc::new(Silent)).await;
        let sync = async |seconds: u64| {
            trial.sandbox.advance(i64::try_from(seconds).unwrap() * 1000);
            clock.advance(Duration::from_secs(seconds));
            engine.sync(Some("test")).await.unwrap()
        };
        sync(60).await;
        sync(60).await;
        let tool = trial.sandbox.tool(name);
        let [gone, kept] = [0, 1].map(|place| tool.people()[place].id.clone());
        tool.delete(&gone).unwrap();
        let made = made(&trial, name);
        // A day later, every tool was swept whose lists do not tell of removed objects.
        sync(120).await;
        sync(25 * 3600).await;
        let (system, stream) = match name {
            ToolName::Hubspot => ("marketing", "contact"),
            ToolName::Pipedrive => ("sales", "person"),
            ToolName::Zendesk => ("support", "user"),
            other => unreachable!("{other} is not asked here"),
        };
        let id = |remote: &str| nivel::model::StreamId::new(system, stream).record(remote);
        let ask = nivel::ledger::Ask {
            records: [id(&gone), id(&kept)].into(),
            ..nivel::ledger::Ask::default()
        };
        let view = engine.ledger().view(ask).await.unwrap();
        let is_gone = |remote: &str| view.records[&id(remote)].0.deleted_at.is_some();
        assert_eq!([is_gone(&gone), is_gone(&kept)], [true, false], "{name}");
        assert_eq!(
            self::made(&trial, name),
            made,
            "{name}: who was deleted is not made again"
        );
    }
}

/// The answer to a change is lost, the object cannot be asked either, and by then somebody wants something newer. What stands
/// in the tool since is what Nivel sent: later than the newer wish, and yet nobody's word.
#[tokio::test(flavor = "multi_thread")]
async fn p18_what_a_lost_answer_left_in_a_tool_is_not_taken_for_its_own_word() {
    let trial = Arc::new(Trial::new(180, 12).await);
    let quiet = trial.engine(Arc::new(SystemClock), Arc::new(Silent)).await;
    quiet.sync(Some("test")).await.unwrap();
    quiet.sync(Some("test")).await.unwrap();
    drop(quiet);
    let person = trial
        .sandbox
        .hubspot
        .people()
        .into_iter()
        .find(|one| one.email.is_some());
    let person = person.unwrap();
    let phone = |phone: &str| json!({ "phone": phone });
    trial.sandbox.hubspot.edit(&person.id, &phone("+358401234501")).unwrap();
    let (id, inner) = (person.id.clone(), Arc::clone(&trial));
    let edit = move || {
        inner.sandbox.hubspot.edit(&id, &phone("+358401234502")).unwrap();
        inner.sandbox.advance(60_000);
    };
    let progress = Arc::new(EditOnce {
        edit: std::sync::Mutex::new(Some(Box::new(edit))),
    });
    let persons = |kind, method: &str| Fault::once(kind).method(method).path("/api/v2/persons");
    trial.sandbox.pipedrive.set_faults(vec![
        persons(Kind::ResetAfter, "PATCH"),
        // The look for the lost change; the first two are the reading and the look before.
        persons(Kind::LoginPage, "GET").nth(3),
    ]);
    let engine = trial.engine(Arc::new(SystemClock), progress).await;
    engine.sync(Some("test")).await.unwrap();
    let email = person.email.unwrap().trim().to_lowercase();
    let ends_with = |tool: ToolName, digits: &str| {
        let people = trial.sandbox.tool(tool).people();
        let is_she = |mail: &String| mail.trim().to_lowercase() == email;
        let she = people.iter().find(|one| one.email.as_ref().is_some_and(is_she));
        let there = she.and_then(|one| one.phone.clone()).unwrap_or_default();
        there.replace(' ', "").ends_with(digits)
    };
    assert!(
        ends_with(ToolName::Pipedrive, "401234501"),
        "the older wish arrived, unheard"
    );
    engine.sync(Some("test")).await.unwrap();
    engine.sync(Some("test")).await.unwrap();
    for tool in ToolName::ALL {
        assert!(ends_with(tool, "401234502"), "{tool}");
    }
}
