//! What peers did to their users, and what must not happen here: the scars that are about the program as a whole.

use std::sync::Arc;

use nivel::error::Code;
use nivel::ledger::{Advance, Cause, Commit};
use nivel::merge::Create;
use nivel::model::{Clock as _, Cursor, StreamId, SystemClock, TestClock, UnixMillis};
use nivel::sandbox::faults::Kind;
use nivel::sandbox::{Fault, Options};
use nivel::sync::Silent;
use serde_json::{Value, json};

use crate::scene::{Scene, people};
use crate::trial::Trial;

/// A fixed start for the tools' clocks, so that "now" can be moved by hand.
const START: i64 = 1_790_000_000_000;

#[tokio::test]
async fn p14_a_run_that_fails_leaves_its_state_and_a_new_stream_gets_one_of_its_own() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..25));
    scene.tool("crm").sweeps_by(10);
    scene.engine.sync(None).await.unwrap();
    let ledger = scene.engine.ledger();
    let crm = StreamId::new("crm", "person");
    let whole = ledger.stream(&crm).await.unwrap();
    assert!(whole.cursor.is_some() && whole.initial_done_at.is_some());
    // The next run fails at its first page, the one after it in the middle.
    for (pages, is_same) in [(0, true), (1, false)] {
        let before = ledger.stream(&crm).await.unwrap();
        scene.later(60);
        scene.tool("crm").play.lock().unwrap().breaks_after = Some(pages);
        let failed = scene.engine.sync(None).await.unwrap();
        assert_eq!(failed.systems["crm"].problems.len(), 1);
        let after = ledger.stream(&crm).await.unwrap();
        assert_eq!((after.cursor == before.cursor), is_same, "{before:?} {after:?}");
        assert_eq!(
            after.version - before.version,
            pages as u64,
            "one step for each page that was kept"
        );
        assert!(after.cursor.is_some() && after.initial_done_at == whole.initial_done_at);
    }
    // A state is replaced only by who knows the one before it.
    let now = ledger.stream(&crm).await.unwrap();
    let mut late = Commit::new(Cause::Rules, scene.engine.now());
    late.advance = Some(Advance {
        stream: crm.clone(),
        from_version: now.version - 1,
        cursor: Cursor(String::new()),
        is_caught_up: true,
        read: 0,
        changed: 0,
        rejected: 0,
    });
    assert!(matches!(ledger.apply(late).await, Err(nivel::ledger::Error::Stale)));
    assert_eq!(ledger.stream(&crm).await.unwrap(), now);
    // A stream that is new begins with a state of its own, and takes none from the others.
    let desk = StreamId::new("desk", "person");
    assert!(ledger.stream(&desk).await.unwrap().cursor.is_some());
    let other = ledger.stream(&StreamId::new("mail", "person")).await.unwrap();
    assert_eq!((other.cursor, other.version, other.initial_done_at), (None, 0, None));
    scene.later(60);
    scene.engine.sync(None).await.unwrap();
    assert_eq!(ledger.totals().await.unwrap().records, 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn p19_two_imports_of_one_object_at_once_make_one_customer() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..40));
    scene.tool("desk").set_all(people(20..60));
    // Those that come second are refused as stale, and read again.
    drop(futures::future::join_all((0..4).map(|_| scene.engine.plan())).await);
    let after = scene.engine.plan().await.unwrap();
    assert_eq!(after.customers, 60);
    let totals = scene.engine.ledger().totals().await.unwrap();
    assert_eq!((totals.records, totals.merges), (80, 20));
}

#[tokio::test]
async fn p22_nothing_is_made_where_nobody_wants_it() {
    for (create, expected) in [(Create::Never, 0), (Create::Qualified, 1), (Create::Always, 3)] {
        let scene = Scene::new(&["crm", "desk"]).await;
        let scene = scene
            .with_rules(|rules| {
                let systems = rules.systems.values_mut();
                for stream in systems.flat_map(|system| system.streams.values_mut()) {
                    stream.create = create;
                    stream.qualified_by = vec!["phone".into()];
                }
            })
            .await;
        scene.tool("crm").set_all(people(0..3));
        for junk in ["0", "2"] {
            scene.tool("crm").clear(junk, "phone");
        }
        scene.engine.sync(Some("ana")).await.unwrap();
        assert_eq!(scene.tool("desk").made(), expected, "{create:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p45_a_new_field_in_a_tool_resets_nothing_and_writes_nothing() {
    let options = Options {
        clock_ms: Some(START),
        hubspot_properties: vec!["favourite_colour".to_owned()],
        ..Options::default()
    };
    let trial = Trial::with(options, 9, 40).await;
    trial.sandbox.advance(600_000);
    let clock = Arc::new(TestClock::at(UnixMillis(START + 600_000)));
    let engine = trial.engine(clock.clone(), Arc::new(Silent)).await;
    engine.sync(Some("test")).await.unwrap();
    for _ in 0..2 {
        trial.sandbox.advance(600_000);
        clock.advance(std::time::Duration::from_secs(600));
        engine.sync(Some("test")).await.unwrap();
    }
    let before = engine.ledger().streams().await.unwrap();
    for person in trial.sandbox.hubspot.people() {
        trial
            .sandbox
            .hubspot
            .edit(&person.id, &json!({"favourite_colour": "green"}))
            .unwrap();
    }
    trial.sandbox.advance(600_000);
    clock.advance(std::time::Duration::from_secs(600));
    let summary = engine.sync(Some("test")).await.unwrap();
    assert_eq!(
        (summary.systems["marketing"].changed, summary.written()),
        (0, 0),
        "{summary:?}"
    );
    assert!(
        summary.systems["marketing"].read > 0,
        "the rows were read: their time moved"
    );
    for (stream, state) in engine.ledger().streams().await.unwrap() {
        assert_eq!(
            state.initial_done_at, before[&stream].initial_done_at,
            "{stream} began anew"
        );
        assert!(state.problem.is_none());
    }
}

/// Once Nivel has written its own key into every object, the field it stands in tells nothing else, and has not vanished.
#[tokio::test(flavor = "multi_thread")]
async fn our_own_key_is_no_field_that_vanished() {
    let trial = Trial::new(11, 60).await;
    trial.settle().await;
    trial.settle().await;
    let status = trial.nivel(&["status"], None).await;
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(
        status.contains("support/user") && !status.contains("SCH003"),
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p63_a_value_of_another_type_is_parked_alone_and_heals_by_itself() {
    let options = Options {
        clock_ms: Some(START),
        ..Options::default()
    };
    let trial = Trial::with(options, 10, 30).await;
    trial.sandbox.advance(600_000);
    let clock = Arc::new(TestClock::at(UnixMillis(START + 600_000)));
    let engine = trial.engine(clock.clone(), Arc::new(Silent)).await;
    engine.sync(Some("test")).await.unwrap();
    let pause = |seconds: u64| {
        trial.sandbox.advance(i64::try_from(seconds).unwrap() * 1000);
        clock.advance(std::time::Duration::from_secs(seconds));
    };
    pause(600);
    engine.sync(Some("test")).await.unwrap();
    let desk = &trial.sandbox.zendesk;
    let known: Vec<_> = desk
        .people()
        .into_iter()
        .filter(|person| person.email.is_some())
        .collect();
    for (person, name) in [(&known[0], "Poison Berg"), (&known[1], "Plain Berg")] {
        desk.edit(&person.id, &json!({"name": name})).unwrap();
        pause(2);
    }
    pause(600);
    // The e-mail of the first row has become an object.
    desk.set_faults(vec![Fault::once(Kind::TypeChange).path("/api/v2/incremental/users")]);
    engine.sync(Some("test")).await.unwrap();
    desk.set_faults(Vec::new());
    let rejected = engine.ledger().rejected(None, 9).await.unwrap();
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    let problem = rejected[0].problem.as_ref().unwrap();
    assert_eq!(problem.code, Code::RecordUnmappable);
    assert!(problem.message.contains("email"), "{problem}");
    let kept = rejected[0].fields.text("email").unwrap();
    assert!(
        kept.contains('@'),
        "what it said before is kept, not what can be made of the new: {kept}"
    );
    assert_eq!(
        rejected[0].fields.text("full_name"),
        Some("Poison Berg"),
        "its other fields are read"
    );
    let stream = nivel::model::StreamId::new("support", "user");
    let other = stream.record(known[1].id.as_str());
    let ask = nivel::ledger::Ask {
        records: [other.clone()].into(),
        ..nivel::ledger::Ask::default()
    };
    let view = engine.ledger().view(ask).await.unwrap();
    assert_eq!(
        view.records[&other].0.fields.text("full_name"),
        Some("Plain Berg"),
        "the stream goes on"
    );
    // Nobody restarts or resets anything.
    desk.edit(&known[0].id, &json!({"notes": "x"})).unwrap();
    pause(600);
    engine.sync(Some("test")).await.unwrap();
    assert!(engine.ledger().rejected(None, 9).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn p58_no_verb_changes_the_admins_files() {
    let trial = Trial::new(3, 5).await;
    let file = trial.dir.path().join("nivel.yaml");
    let env = trial.dir.path().join(".env");
    std::fs::write(&env, "HUBSPOT_TOKEN=mine\n").unwrap();
    let before = std::fs::read(&file).unwrap();
    for verb in [
        &["init"][..],
        &["check"],
        &["plan"],
        &["approve"],
        &["sync"],
        &["status"],
        &["undo"],
        &["hold"],
    ] {
        trial.nivel(verb, None).await;
        assert_eq!(std::fs::read(&file).unwrap(), before, "{verb:?}");
        assert_eq!(
            std::fs::read_to_string(&env).unwrap(),
            "HUBSPOT_TOKEN=mine\n",
            "{verb:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p61_a_failure_says_what_where_who_acts_and_where_to_read_on() {
    let trial = Trial::new(3, 5).await;
    let right = Options::default();
    trial.reconfigure(|text| {
        let tokens = [&right.hubspot_token, &right.pipedrive_token, &right.zendesk_token];
        tokens
            .into_iter()
            .fold(text, |text, token| text.replace(token.as_str(), "wrong"))
    });
    let output = trial.nivel(&["--output", "json", "check"], None).await;
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let systems = report["systems"].as_array().unwrap();
    assert_eq!(systems.len(), 3);
    for system in systems {
        let problem = &system["problem"];
        let code = problem["code"].as_str().unwrap();
        assert!(
            problem["subject"]
                .as_str()
                .unwrap()
                .contains(system["system"].as_str().unwrap()),
            "{problem}"
        );
        assert!(problem["message"].as_str().unwrap().len() > 10, "{problem}");
        let page = trial.nivel(&["explain", code], None).await;
        let page = String::from_utf8(page.stdout).unwrap();
        for part in ["What happened.", "Who acts.", "What to do"] {
            assert!(page.contains(part), "{code} has no `{part}`: {page}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p64_a_connector_is_two_files_and_tried_without_a_platform() {
    let trial = Trial::new(3, 1).await;
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors/pipedrive");
    let own = trial.dir.path().join("own/mycrm");
    std::fs::create_dir_all(&own).unwrap();
    for file in ["manifest.yaml", "tests.yaml"] {
        let text = std::fs::read_to_string(shipped.join(file)).unwrap();
        let text = text.replace("connector: pipedrive", "connector: mycrm");
        std::fs::write(own.join(file), text).unwrap();
    }
    trial.reconfigure(|text| format!("connectors_dir: own\n{text}"));
    let started = SystemClock.now();
    let output = trial.nivel(&["connector", "test", "mycrm"], None).await;
    let took = SystemClock.now().since(started);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    // A fraction of a second by itself; this is a busy machine and a build without optimisation.
    assert!(took.as_secs() < 20, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_describes_its_fields() {
    let trial = Trial::new(3, 5).await;
    let output = trial.nivel(&["check", "--fields"], None).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("lifecyclestage") && text.contains("lifecycle"), "{text}");
}
