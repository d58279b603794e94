//! The real binary on the sandbox's tools: who is who is decided, undone, and the tools say what the decision asks for.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _};
use serde_json::Value as Json;

use crate::trial::Trial;

/// They mostly wait for jobs of the tools.
const AT_ONCE: usize = 4;

async fn json(trial: &Trial, arguments: &[&str]) -> Json {
    let mut all = vec!["--output", "json"];
    all.extend(arguments);
    let output = trial.nivel(&all, None).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {errors}"))
}

/// What each record of a customer says: record → field → value.
async fn says(trial: &Trial, who: &str) -> (String, BTreeMap<String, BTreeMap<String, Json>>) {
    let sheet = json(trial, &["customer", "show", who]).await;
    let records = sheet["records"].as_array().unwrap().iter().map(|record| {
        let fields = ["email", "phone", "full_name"].map(|field| (field.to_owned(), record["fields"][field].clone()));
        (record["id"].as_str().unwrap().to_owned(), BTreeMap::from(fields))
    });
    (sheet["key"].as_str().unwrap().to_owned(), records.collect())
}

/// A customer who stands in two tools with different numbers.
async fn somebody(trial: &Trial) -> (String, BTreeMap<String, BTreeMap<String, Json>>) {
    let found = json(trial, &["customer", "show", "@"]).await;
    for customer in found.as_array().unwrap() {
        let (key, records) = says(trial, customer["key"].as_str().unwrap()).await;
        let phones: Vec<&Json> = records.values().map(|fields| &fields["phone"]).collect();
        if phones.len() == 2 && phones[0] != phones[1] {
            return (key, records);
        }
    }
    panic!("nobody stands in two tools with two numbers: {found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_split_and_made_one_again_and_the_tools_follow() {
    let trial = Trial::new(7, 40).await;
    trial.reconfigure(|text| format!("{text}identity: {{match: scored}}\n"));
    // Read, and nothing written: a plan that waits for its yes.
    trial.nivel(&["plan"], None).await;
    let (key, before) = somebody(&trial).await;
    let summary = trial.sync().await;
    assert_eq!(trial.sync().await["written"], 0, "{summary}");
    // Who looks like somebody else in name alone waits for a person, and is made nowhere beside that other one.
    let open = json(&trial, &["review", "list"]).await;
    assert_eq!(open["all"], open["shown"].as_array().unwrap().len());
    for question in open["shown"].as_array().unwrap() {
        let id = question["id"].to_string();
        let shown = trial.nivel(&["review", "show", &id], None).await;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("in all:"), "{shown}");
        json(&trial, &["review", "reject", &id]).await;
    }
    trial.sync().await;
    assert_eq!(json(&trial, &["review", "list"]).await["all"], 0);
    let findings = trial.findings(0);
    assert!(findings.is_empty(), "{findings:#?}");
    let status = trial.nivel(&["status"], None).await;
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(!status.contains("to be compared"), "{status}");

    let [stays, leaves] = [before.keys().next().unwrap(), before.keys().next_back().unwrap()];
    let (_, merged) = says(&trial, &key).await;
    let is_written = |id: &String| before[id] != merged[id];
    assert!(is_written(stays) || is_written(leaves), "{merged:#?}");
    let planned = json(&trial, &["customer", "split", &key, leaves]).await;
    assert_eq!(planned["done"], false);
    assert_eq!(says(&trial, &key).await.1, merged, "a plan does nothing");
    let done = json(&trial, &["customer", "split", &key, leaves, "--yes"]).await;
    assert_eq!(done["customers"].as_object().unwrap().len(), 2, "{done:#}");

    // Two customers with one mailbox: a tool that allows each mailbox once takes the second one's object not, and says so.
    for _ in 0..2 {
        let output = trial.nivel(&["sync", "--approve"], None).await;
        assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
    }
    let (one, of_one) = says(&trial, stays).await;
    let (other, of_other) = says(&trial, leaves).await;
    assert_ne!(one, other);
    assert_eq!((&of_one[stays], &of_other[leaves]), (&before[stays], &before[leaves]));
    let why = trial.nivel(&["customer", "why", stays, leaves], None).await;
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.contains("an operator said so"), "{why}");

    let merged = json(&trial, &["customer", "merge", stays, leaves]).await;
    assert_eq!(merged["customers"].as_object().unwrap().len(), 1, "{merged:#}");
    assert_eq!(says(&trial, leaves).await.0, one.min(other));
    let why = trial.nivel(&["customer", "why", stays], None).await;
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.contains("joined by") && why.contains(stays.as_str()), "{why}");
}

/// Customers and open questions after a first sync, and what a second one writes.
async fn outcome(trial: &Trial) -> (Json, Json, Json) {
    let first = trial.sync().await;
    let second = trial.sync().await;
    let open = json(trial, &["review", "list"]).await;
    (
        first["customers"].clone(),
        open["all"].clone(),
        second["written"].clone(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_while_it_matches_ends_with_the_same_customers() {
    let scored = || async {
        let trial = Trial::new(11, 16).await;
        trial.reconfigure(|text| format!("{text}identity: {{match: scored}}\n"));
        trial
    };
    let wanted = outcome(&scored().await).await;
    let mut killed = 0;
    for number in (1..400).step_by(6) {
        let trial = scored().await;
        let fault = format!("kill-before:{number}");
        let output = trial
            .nivel(&["--output", "json", "sync", "--approve"], Some(&fault))
            .await;
        if output.status.success() {
            break;
        }
        killed += 1;
        let found = outcome(&trial).await;
        let open = json(&trial, &["review", "list"]).await;
        assert_eq!(found, wanted, "{fault}: {open:#}");
    }
    assert!(killed > 5, "{killed}");
}

/// Splits a customer, dying at an effect, and lets the next syncs go on. Where the two records stand then, beside what they
/// said before; `None` when the process did not die.
async fn split_and_killed(fault: &str) -> Option<[BTreeMap<String, Json>; 4]> {
    let trial = Trial::new(7, 12).await;
    trial.reconfigure(|text| format!("{text}identity: {{match: scored}}\n"));
    trial.nivel(&["plan"], None).await;
    let (key, before) = somebody(&trial).await;
    trial.sync().await;
    trial.sync().await;
    let [stays, leaves] = [before.keys().next().unwrap(), before.keys().next_back().unwrap()];
    let split = ["customer", "split", key.as_str(), leaves.as_str(), "--yes"];
    if trial.nivel(&split, Some(fault)).await.status.success() {
        return None;
    }
    // Somebody asks again, where the word itself was lost.
    let (stands, _) = says(&trial, stays).await;
    if says(&trial, leaves).await.0 == stands {
        trial.nivel(&split, None).await;
    }
    for _ in 0..2 {
        trial.nivel(&["sync", "--approve"], None).await;
    }
    let (one, of_one) = says(&trial, stays).await;
    let (other, of_other) = says(&trial, leaves).await;
    assert_ne!(one, other, "{fault}");
    Some([
        of_one[stays].clone(),
        of_other[leaves].clone(),
        before[stays].clone(),
        before[leaves].clone(),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_while_it_splits_gives_every_tool_its_own_back() {
    let faults = stream::iter(0..20).map(|number| async move {
        let fault = format!("kill-after:{number}");
        let ended = split_and_killed(&fault).await;
        (fault, ended)
    });
    let ended: Vec<_> = faults.buffered(AT_ONCE).collect().await;
    let killed = ended.iter().filter(|(_, ended)| ended.is_some()).count();
    assert!((3..18).contains(&killed), "{killed} of 20");
    for (fault, [one, other, was_one, was_other]) in
        ended.into_iter().filter_map(|(fault, ended)| Some((fault, ended?)))
    {
        assert_eq!((one, other), (was_one, was_other), "{fault}");
    }
}
