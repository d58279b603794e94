//! The crash sweep: the real binary dies before and after every effect of a sync, and afterwards nothing is lost, doubled
//! or going round in circles. Judged by the tools' own histories.

mod deletes;
mod hooks;
mod jobs;
mod tokens;
mod verbs;
mod webhooks;

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};
use nivel::sandbox::Fault;
use nivel::sandbox::faults::{Kind, Retry};

use crate::trial::Trial;

/// Small enough to be swept whole, large enough for several pages and batches in every tool.
const PEOPLE: usize = 12;

/// No sync of so few people has more effects; a sweep that gets here goes round in circles.
const EFFECTS_MAX: u64 = 400;

/// Two at a time: as many as the machine has cores.
const AT_ONCE: usize = 2;

fn seed() -> u64 {
    std::env::vars()
        .find(|(name, _)| name == "SEED")
        .and_then(|(_, seed)| seed.parse().ok())
        .unwrap_or(7)
}

/// Dies (or fails) at effect `number`; then two whole syncs. True when there was such an effect.
async fn interrupted(mode: &str, number: u64) -> bool {
    let trial = Trial::new(seed(), PEOPLE).await;
    let output = trial
        .nivel(
            &["--output", "json", "sync", "--approve"],
            Some(&format!("{mode}:{number}")),
        )
        .await;
    let was_there = !output.status.success();
    trial.sync().await;
    let last = trial.sync().await;
    assert_eq!(last["written"], 0, "{mode}:{number}: the last sync still wrote: {last}");
    let findings = trial.findings(1);
    assert!(findings.is_empty(), "SEED={} {mode}:{number}: {findings:#?}", seed());
    was_there
}

/// Sweeps over every effect of a sync; returns how many there were.
async fn sweep(mode: &str) -> u64 {
    let numbers = stream::iter(1..EFFECTS_MAX).map(|number| async move { (number, interrupted(mode, number).await) });
    let mut numbers = std::pin::pin!(numbers.buffered(AT_ONCE));
    while let Some((number, was_there)) = numbers.next().await {
        if !was_there {
            return number - 1;
        }
    }
    panic!("a sync of {PEOPLE} people has more than {EFFECTS_MAX} effects");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_every_effect_and_every_effect_fails_once() {
    let swept = sweep("kill-before").await;
    assert!(
        swept > 20,
        "only {swept} effects were swept: does everything go through the door?"
    );
    // A sync need not fail because an effect did (a request is simply repeated), so the end is known from the first sweep.
    let trials = stream::iter(1..=swept).map(|number| interrupted("error", number));
    trials.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_every_effect() {
    assert!(sweep("kill-after").await > 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_every_tool() {
    let kinds = [
        Kind::Throttle(Retry::Seconds(1)),
        Kind::Throttle(Retry::Date(1)),
        Kind::ServerError,
        Kind::BadGatewayAfter,
        Kind::ResetBefore,
        Kind::ResetAfter,
        Kind::CutJson,
        Kind::ResetMidBody,
        Kind::ErrorIn200,
        Kind::LoginPage,
        Kind::Unauthorized,
        Kind::DuplicatePage,
        Kind::EmptyPage,
        Kind::EqualEdge,
        Kind::ClockSkew { ms: -90_000 },
        Kind::SlowDrip {
            bytes: 700,
            pause_ms: 1,
        },
        Kind::HugeBody { bytes: 1 << 20 },
    ];
    let mut played = BTreeSet::new();
    let cases: Vec<(Kind, u32)> = kinds
        .iter()
        .flat_map(|kind| [1, 2, 4].map(|nth| (*kind, nth)))
        .collect();
    let mut results = stream::iter(cases)
        .map(|(kind, nth)| async move { (kind.name(), faulty(kind, nth).await) })
        .buffer_unordered(AT_ONCE);
    while let Some((name, was_played)) = results.next().await {
        if was_played {
            played.insert(name);
        }
    }
    assert_eq!(
        played.len(),
        kinds.iter().map(Kind::name).collect::<BTreeSet<_>>().len(),
        "played: {played:?}"
    );
}

/// One fault in every tool, at its n-th request; true when at least one tool played it.
async fn faulty(kind: Kind, nth: u32) -> bool {
    let trial = Trial::new(seed(), PEOPLE).await;
    let tools = [&trial.sandbox.hubspot, &trial.sandbox.pipedrive, &trial.sandbox.zendesk];
    for tool in tools {
        tool.set_faults(vec![Fault::once(kind).nth(nth)]);
    }
    trial.nivel(&["sync", "--approve"], None).await;
    let was_played = tools
        .iter()
        .any(|tool| tool.requests().iter().any(|request| request.fault.is_some()));
    for tool in tools {
        tool.set_faults(Vec::new());
    }
    trial.sync().await;
    let last = trial.sync().await;
    assert_eq!(
        last["written"], 0,
        "{kind:?} at {nth}: the last sync still wrote: {last}"
    );
    let findings = trial.findings(3);
    assert!(
        findings.is_empty(),
        "SEED={} {kind:?} at request {nth}: {findings:#?}",
        seed()
    );
    was_played
}

/// The test of the test: a bug that is put in on purpose must be found by some kill of the sweep. Without the overlap,
/// which would heal some of them.
async fn is_found(bug: &str, prepare: impl Fn(&Trial)) -> bool {
    for number in 1..60 {
        for mode in ["kill-after", "kill-before"] {
            let trial = Trial::new(seed(), PEOPLE).await;
            trial.reconfigure(|text| text.replace("lag: 0s", "lag: 0s\n    overlap: 0s"));
            prepare(&trial);
            trial.seeded(bug, Some(&format!("{mode}:{number}"))).await;
            trial.seeded(bug, None).await;
            trial.seeded(bug, None).await;
            if !trial.findings(1).is_empty() {
                return true;
            }
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_saved_before_its_records_is_found() {
    assert!(is_found("cursor-first", |_| {}).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_marked_before_it_is_sent_is_found() {
    assert!(is_found("mark-first", |_| {}).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_its_cursor_is_found() {
    assert!(is_found("no-cursor", |_| {}).await);
}

/// A create under a name that nobody can recognise: the look-up before it never finds anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_cannot_be_recognised_is_found() {
    let blind = |trial: &Trial| {
        let shipped = nivel::manifest::shipped()["pipedrive"];
        let blinded = shipped.replace("term: \"{{ value }}\"", "term: \"nobody {{ value }}\"");
        assert_ne!(shipped, blinded, "the look-up is spelled in another way now");
        let folder = trial.dir.path().join("connectors/pipedrive");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("manifest.yaml"), blinded).unwrap();
        trial.reconfigure(|text| format!("connectors_dir: connectors\n{text}"));
    };
    assert!(is_found("none", blind).await);
}
