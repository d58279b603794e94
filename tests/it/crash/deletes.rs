//! Deletions and merges by the tools' users, with the process dying at every effect of the sync that passes them on.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};
use nivel::sandbox::{By, Op, Tool};
use serde_json::json;

use super::{AT_ONCE, EFFECTS_MAX, seed};
use crate::trial::Trial;

/// Enough for two to be merged.
const FEW: usize = 9;

/// What is done before the process dies, and what must come of it.
struct Deeds {
    trial: Trial,
    /// E-mail of somebody who is deleted in the one tool that knew her.
    deleted: String,
    /// Who is left of two that are merged, in the marketing tool.
    winner: String,
    created: usize,
}

fn of(tool: &Tool, by: By, op: Op) -> BTreeSet<String> {
    let history = tool.history();
    let events = history.iter().filter(|event| event.by == by && event.op == op);
    events.map(|event| event.id.clone()).collect()
}

fn email(tool: &Tool, id: &str) -> Option<String> {
    tool.person(id)?.email.map(|email| email.to_lowercase())
}

/// A whole sync, then somebody is deleted in the support tool and two are merged in the marketing tool.
async fn prepared(merges: bool) -> Deeds {
    let trial = Trial::new(seed(), FEW).await;
    trial.reconfigure(|text| {
        let wished = "lag: 0s\n    on_delete: delete\n    allow: [delete]";
        format!("{}\ndeletes: {{quarantine: 0s}}\n", text.replace("lag: 0s", wished))
    });
    let (support, marketing) = (&trial.sandbox.zendesk, &trial.sandbox.hubspot);
    let deleted = "solveig.aalto@example.com".to_owned();
    let alone = support.create(&json!({"name": "Solveig Aalto", "email": deleted}));
    trial.sync().await;
    trial.sync().await;
    for tool in [marketing, &trial.sandbox.pipedrive] {
        assert!(find(tool, &deleted).is_some(), "{}: Nivel made her there", tool.name);
    }
    support.delete(&alone).unwrap();
    let known: Vec<String> = of(marketing, By::Seed, Op::Create)
        .into_iter()
        .filter(|id| email(marketing, id).is_some() && marketing.person(id).is_some_and(|person| !person.deleted))
        .collect();
    let [winner, loser, ..] = known.as_slice() else {
        panic!("too few people in the marketing tool");
    };
    if merges {
        marketing.merge(winner, loser).unwrap();
    }
    let winner = winner.clone();
    let created = created(&trial);
    Deeds {
        trial,
        deleted,
        winner,
        created,
    }
}

fn find(tool: &Tool, email: &str) -> Option<String> {
    let people = tool.people().into_iter();
    let mut same = people.filter(|person| person.email.as_deref().map(str::to_lowercase).as_deref() == Some(email));
    same.next().map(|person| person.id)
}

fn created(trial: &Trial) -> usize {
    let tools = [&trial.sandbox.hubspot, &trial.sandbox.pipedrive, &trial.sandbox.zendesk];
    tools.map(|tool| of(tool, By::Api, Op::Create).len()).iter().sum()
}

/// The deleted one is gone from every tool, nobody else was removed, and nobody was made anew.
fn assert_settled(deeds: &Deeds, place: &str) {
    let sandbox = &deeds.trial.sandbox;
    for tool in [&sandbox.hubspot, &sandbox.pipedrive, &sandbox.zendesk] {
        assert_eq!(find(tool, &deeds.deleted), None, "{place}: {} still has her", tool.name);
        let removed = of(tool, By::Api, Op::Delete);
        let emails: BTreeSet<String> = removed.iter().filter_map(|id| email(tool, id)).collect();
        let others: Vec<_> = emails.iter().filter(|email| **email != deeds.deleted).collect();
        assert!(others.is_empty(), "{place}: {} lost {others:?}", tool.name);
    }
    let winner = sandbox.hubspot.person(&deeds.winner).unwrap();
    assert!(!winner.deleted, "{place}: the merge was read as a deletion");
    assert_eq!(created(&deeds.trial), deeds.created, "{place}: somebody was made anew");
}

async fn interrupted(mode: &str, number: u64, merges: bool) -> bool {
    let deeds = prepared(merges).await;
    let place = format!("SEED={} {mode}:{number}", seed());
    let output = deeds
        .trial
        .nivel(&["--output", "json", "sync"], Some(&format!("{mode}:{number}")))
        .await;
    let was_there = !output.status.success();
    deeds.trial.sync().await;
    let last = deeds.trial.sync().await;
    assert_eq!(last["written"], 0, "{place}: the last sync still wrote: {last}");
    assert_settled(&deeds, &place);
    was_there
}

async fn swept(mode: &str) -> u64 {
    let numbers =
        stream::iter(1..EFFECTS_MAX).map(|number| async move { (number, interrupted(mode, number, false).await) });
    let mut numbers = std::pin::pin!(numbers.buffered(AT_ONCE));
    let mut swept = 0;
    while let Some((number, was_there)) = numbers.next().await {
        if !was_there {
            break;
        }
        swept = number;
    }
    swept
}

#[tokio::test(flavor = "multi_thread")]
async fn p51_deletions_that_are_passed_on_survive_a_kill_at_every_effect() {
    for mode in ["kill-before", "kill-after"] {
        let swept = swept(mode).await;
        assert!(swept > 10, "{mode}: only {swept} effects");
    }
}

/// The tool needs its time for what follows from a merge, so only some places are tried.
#[tokio::test(flavor = "multi_thread")]
async fn p43_a_merge_survives_a_kill() {
    let places = [
        ("kill-after", 3),
        ("kill-before", 8),
        ("kill-after", 13),
        ("kill-after", 18),
    ];
    let trials = stream::iter(places).map(|(mode, number)| interrupted(mode, number, true));
    trials.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
}
