//! People are told: by message, signed where that is wanted, once.

mod mail;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use nivel::handoff::{Passage, Reason, State, Stop};
use nivel::ledger::{Cause, Commit, Write, WriteChange, WriteState};
use nivel::model::UnixMillis;
use nivel::sync::alert::{Extra, Kind, Routes, Rule};
use sha2::Sha256;

use crate::scene::{Scene, people};
use crate::trial::Trial;

pub(crate) type Got = Arc<Mutex<Vec<(axum::http::HeaderMap, String)>>>;

/// Takes whatever comes, answers with this status.
pub(crate) async fn receiver(status: u16) -> (String, Got) {
    let got = Got::default();
    let kept = Arc::clone(&got);
    let take = move |headers: axum::http::HeaderMap, body: String| {
        kept.lock().unwrap().push((headers, body));
        async move { axum::http::StatusCode::from_u16(status).unwrap() }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(take);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, got)
}

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZg==";

#[tokio::test(flavor = "multi_thread")]
async fn a_test_reaches_every_target_and_says_which_it_does_not() {
    let trial = Trial::new(3, 1).await;
    let (plain, plain_got) = receiver(200).await;
    let (signed, signed_got) = receiver(200).await;
    let (broken, _) = receiver(500).await;
    let targets = format!(
        "alerts: {{to: {{ops: {{slack: \"{plain}\"}}, audit: {{webhook: \"{signed}\", secret: \"{SECRET}\"}}, old: {{slack: \"{broken}\"}}}}}}\n"
    );
    trial.reconfigure(|text| text + &targets);
    let output = trial.nivel(&["alert", "test"], None).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.matches("delivered").count(), 2, "{text}");
    assert!(text.contains("ALR001") || text.contains("answered with 500"), "{text}");
    assert!(!text.contains("127.0.0.1"), "an address may hold a secret: {text}");
    let plain = plain_got.lock().unwrap()[0].1.clone();
    assert!(plain.contains("\"text\""), "{plain}");
    let (headers, body) = signed_got.lock().unwrap()[0].clone();
    let say = |name: &str| headers[name].to_str().unwrap().to_owned();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"0123456789abcdef").unwrap();
    mac.update(format!("{}.{}.{body}", say("webhook-id"), say("webhook-timestamp")).as_bytes());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(say("webhook-signature"), expected);
}

fn routes() -> Routes {
    Routes {
        targets: Rule::ALL.map(|rule| (rule, ["ops".into()].into())).into(),
        quiet: None,
        repeat: Duration::from_secs(24 * 3600),
    }
}

/// True when something is to be delivered.
async fn look(scene: &Scene) -> bool {
    let found = scene.engine.look_for_alerts(&routes(), &Extra::default()).await;
    found.unwrap()
}

#[tokio::test]
async fn a_dead_write_is_told_once_also_after_a_restart_and_resolved() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..5));
    scene.engine.plan().await.unwrap();
    scene.engine.approve("test").await.unwrap();
    let ledger = scene.engine.ledger();
    let writes = ledger.writes(&[WriteState::Due], None, 3).await.unwrap();
    let mut commit = Commit::new(Cause::Operator("test".into()), scene.engine.now());
    let die = |write: Write| {
        WriteChange::Put(Write {
            state: WriteState::Dead,
            ..write
        })
    };
    commit.writes = writes.into_iter().map(die).collect();
    ledger.apply(commit).await.unwrap();
    assert!(look(&scene).await);
    let board = scene.engine.alerts().await.unwrap();
    assert_eq!(board.pending.len(), 1, "{board:?}");
    assert_eq!(
        (board.pending[0].rule, board.pending[0].kind),
        (Rule::DeadWrite, Kind::New)
    );
    assert!(board.pending[0].text().contains('3'), "{}", board.pending[0].text());
    assert!(
        !board.pending[0].text().contains("example.com"),
        "a value of a customer was told"
    );
    let mut delivered = board;
    delivered.pending.clear();
    scene.engine.keep_alerts(&delivered).await.unwrap();
    let scene = scene.with_rules(|_| {}).await;
    assert!(!look(&scene).await, "told again");
    let crm = "crm".parse().unwrap();
    let desk = "desk".parse().unwrap();
    scene.engine.repair(&crm, &desk, "test").await.unwrap();
    assert!(look(&scene).await);
    let board = scene.engine.alerts().await.unwrap();
    assert_eq!(board.pending[0].kind, Kind::Resolved, "{board:?}");
}

#[tokio::test]
async fn a_handoff_past_its_deadline_is_told_with_who_must_act() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..1));
    scene.engine.plan().await.unwrap();
    scene.engine.approve("test").await.unwrap();
    let ledger = scene.engine.ledger();
    let customer = ledger.customers(None, 1).await.unwrap()[0].key;
    let now = scene.engine.now();
    let passage = |id: &str, due_at| Passage {
        id: id.into(),
        rule: "lead-to-sales".into(),
        customer,
        activity: None,
        opened_at: now,
        due_at,
        state: State::Stopped,
        was_there: false,
        changed: BTreeMap::new(),
        stop: Some(Stop {
            reason: Reason::ReadOnly,
            detail: "anna@example.com".to_owned(),
            at: now,
        }),
        proof: None,
        delivered_at: None,
        accepted: None,
        note: None,
        lapsed_at: None,
    };
    let mut commit = Commit::new(Cause::Operator("test".into()), now);
    let later = |seconds: i64| UnixMillis(now.0 + seconds * 1000);
    commit.passages = vec![passage("h1", later(60)), passage("h2", later(7200))];
    ledger.apply(commit).await.unwrap();
    look(&scene).await;
    let told = |board: &nivel::sync::alert::Board| {
        let late = board.pending.iter().find(|notice| notice.rule == Rule::LateHandoff);
        late.map(nivel::sync::alert::Notice::text)
    };
    assert_eq!(told(&scene.engine.alerts().await.unwrap()), None, "nothing is late yet");
    scene.later(3600);
    look(&scene).await;
    let text = told(&scene.engine.alerts().await.unwrap()).unwrap();
    assert!(
        text.contains("nivel handoffs h1") && text.contains("read_only: the admin must act"),
        "{text}"
    );
    assert!(!text.contains("h2") && !text.contains("example.com"), "{text}");
}
