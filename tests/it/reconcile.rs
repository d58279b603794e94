//! Who is in one tool and not in another: every customer accounted for once, whatever goes wrong.

use std::sync::Arc;

use futures::stream::{self, StreamExt as _};
use nivel::ledger::{Ask, Cause, Commit, Write, WriteChange, WriteState};
use nivel::model::SystemClock;
use nivel::sandbox::faults::{Kind, Retry};
use nivel::sandbox::{Fault, ToolName};
use nivel::sync::reconcile::{Place, Reconciled, Repaired, reconcile};
use nivel::sync::{Engine, Silent};

use crate::scene::{Scene, people};
use crate::trial::Trial;

fn place(text: &str) -> Place {
    text.parse().unwrap()
}

/// Every pair of systems, both ways; the sum is asserted inside.
async fn all_pairs(engine: &Engine) -> Vec<Reconciled> {
    let names: Vec<Place> = engine.rules().systems.keys().map(|name| place(name)).collect();
    let mut all = Vec::new();
    for here in &names {
        for there in names.iter().filter(|there| *there != here) {
            let found = reconcile(engine.ledger().as_ref(), engine.rules(), (here, there), engine.now()).await;
            let found = found.unwrap_or_else(|error| panic!("{here} {there}: {error}"));
            assert_eq!(found.accounted(), found.customers, "{found:?}");
            all.push(found);
        }
    }
    all
}

async fn between(scene: &Scene, here: &str, there: &str) -> Reconciled {
    let pair = (&place(here), &place(there));
    let engine = &scene.engine;
    reconcile(engine.ledger().as_ref(), engine.rules(), pair, engine.now())
        .await
        .unwrap()
}

fn words(found: &Reconciled) -> Vec<(&str, u64)> {
    found
        .reasons
        .iter()
        .map(|(word, number)| (word.as_str(), *number))
        .collect()
}

/// Takes the first waiting writes of the desk and changes the outbox with each.
async fn spoil(scene: &Scene, number: usize, change: impl Fn(Write) -> WriteChange) {
    let ledger = scene.engine.ledger();
    let writes = ledger.writes(&[WriteState::Due], None, number).await.unwrap();
    let mut commit = Commit::new(Cause::Operator("test".into()), scene.engine.now());
    commit.writes = writes.into_iter().map(change).collect();
    ledger.apply(commit).await.unwrap();
}

#[tokio::test]
async fn a_dropped_and_a_dead_write_are_found_and_repaired() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..9));
    scene.tool("desk").set_all(people(0..2));
    let engine = &scene.engine;
    engine.plan().await.unwrap();
    let found = between(&scene, "crm", "desk/person").await;
    assert_eq!((found.objects, found.customers, found.matched), (9, 9, 2));
    assert_eq!(words(&found), [("waiting", 7)]);
    spoil(&scene, 2, |write| WriteChange::Remove(write.target)).await;
    spoil(&scene, 3, |write| {
        WriteChange::Put(Write {
            state: WriteState::Dead,
            ..write
        })
    })
    .await;
    let found = between(&scene, "crm", "desk").await;
    assert_eq!(words(&found), [("dead", 3), ("unasked", 2), ("waiting", 2)]);
    let repaired = engine.repair(&place("crm"), &place("desk"), "test").await.unwrap();
    let expected = Repaired {
        retried: 3,
        asked_again: 2,
    };
    assert_eq!(repaired, expected);
    engine.sync(Some("test")).await.unwrap();
    engine.sync(Some("test")).await.unwrap();
    let found = between(&scene, "crm", "desk").await;
    assert_eq!((found.customers, found.matched, found.missing.len()), (9, 9, 0));
    assert_eq!(scene.tool("desk").made(), 7);
}

#[tokio::test]
async fn who_was_deleted_there_and_who_is_rejected_have_their_reason() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..4));
    scene.tool("desk").set_all(people(0..4));
    scene.tool("desk").sweeps_by(100);
    let engine = &scene.engine;
    engine.sync(Some("test")).await.unwrap();
    scene.tool("desk").remove("3");
    engine.sync(Some("test")).await.unwrap();
    let found = between(&scene, "crm", "desk").await;
    assert_eq!((found.matched, words(&found)), (3, vec![("deleted_there", 1)]));
    let back = between(&scene, "desk", "crm").await;
    assert_eq!((back.customers, back.matched), (3, 3));
    // An alias is asked for like the customer she became.
    let ask = Ask {
        customers: found.missing.iter().map(|missing| missing.customer).collect(),
        ..Ask::default()
    };
    assert_eq!(engine.ledger().view(ask).await.unwrap().customers.len(), 1);
}

/// Every kind of fault, one after the other. A new kind is not compiled until it has its place here.
fn after(kind: Kind) -> Option<Kind> {
    Some(match kind {
        Kind::Throttle(_) => Kind::ServerError,
        Kind::ServerError => Kind::BadGatewayAfter,
        Kind::BadGatewayAfter => Kind::ResetBefore,
        Kind::ResetBefore => Kind::ResetAfter,
        Kind::ResetAfter => Kind::CutJson,
        Kind::CutJson => Kind::ResetMidBody,
        Kind::ResetMidBody => Kind::ErrorIn200,
        Kind::ErrorIn200 => Kind::LoginPage,
        Kind::LoginPage => Kind::Redirect,
        Kind::Redirect => Kind::BlockPage,
        Kind::BlockPage => Kind::Unauthorized,
        Kind::Unauthorized => Kind::DailyQuota { status: 403 },
        Kind::DailyQuota { .. } => Kind::DuplicatePage,
        Kind::DuplicatePage => Kind::RepeatedCursor,
        Kind::RepeatedCursor => Kind::EmptyPage,
        Kind::EmptyPage => Kind::EqualEdge,
        Kind::EqualEdge => Kind::ClockSkew { ms: -90_000 },
        Kind::ClockSkew { .. } => Kind::TypeChange,
        Kind::TypeChange => Kind::SlowDrip {
            bytes: 512,
            pause_ms: 1,
        },
        Kind::SlowDrip { .. } => Kind::HugeBody { bytes: 50_000_000 },
        Kind::HugeBody { .. } => Kind::TooManyJobs,
        Kind::TooManyJobs => Kind::StuckJob,
        Kind::StuckJob => Kind::IndexLag { ms: 5_000 },
        Kind::IndexLag { .. } => Kind::Hold { ms: 50, applied: true },
        Kind::Hold { .. } => return None,
    })
}

/// Each tool fails so while it is read, and again while it is written to.
fn arm(trial: &Trial, kind: Kind) {
    for tool in ToolName::ALL {
        let reading = [1, 3, 5].map(|nth| Fault::once(kind).nth(nth));
        let writing = ["POST", "PATCH"].map(|method| Fault::once(kind).method(method).nth(7).times(3));
        trial
            .sandbox
            .tool(tool)
            .set_faults(reading.into_iter().chain(writing).collect());
    }
}

/// Most of the time is waiting for tools that fail: so many kinds at once.
const AT_ONCE: usize = 9;

#[tokio::test(flavor = "multi_thread")]
async fn the_sum_closes_under_every_fault() {
    let kinds = std::iter::successors(Some(Kind::Throttle(Retry::Seconds(1))), |kind| after(*kind));
    stream::iter(kinds)
        .for_each_concurrent(AT_ONCE, async |kind| closes_under(kind).await)
        .await;
}

async fn closes_under(kind: Kind) {
    let trial = Trial::new(5, 10).await;
    let engine = trial.engine(Arc::new(SystemClock), Arc::new(Silent)).await;
    // Also before anything was read, and when nothing may be written yet.
    all_pairs(&engine).await;
    arm(&trial, kind);
    engine.plan().await.unwrap();
    all_pairs(&engine).await;
    engine.sync(Some("test")).await.unwrap();
    all_pairs(&engine).await;
    for tool in ToolName::ALL {
        let tool = trial.sandbox.tool(tool);
        let met = tool.requests().iter().any(|one| one.fault == Some(kind.name()));
        assert!(met, "{kind:?} never met {}", tool.name);
        tool.set_faults(Vec::new());
    }
    engine.sync(Some("test")).await.unwrap();
    let known: u64 = all_pairs(&engine).await.iter().map(|found| found.customers).sum();
    assert!(known > 0, "{kind:?}: nobody was read");
}

/// The verb itself: text with the sum, JSON, a wrong name with the nearest.
#[tokio::test(flavor = "multi_thread")]
async fn the_verb_shows_the_sum() {
    let trial = Trial::new(9, 8).await;
    trial.sync().await;
    let output = trial.nivel(&["reconcile", "marketing", "sales"], None).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("missing with a reason"), "{text}");
    let output = trial
        .nivel(&["-o", "json", "reconcile", "marketing", "support"], None)
        .await;
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let listed = found["missing"].as_array().unwrap().len() as u64;
    assert_eq!(
        found["matched"].as_u64().unwrap() + listed,
        found["customers"].as_u64().unwrap()
    );
    let output = trial.nivel(&["reconcile", "marketing", "slaes"], None).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("sales"));
}
