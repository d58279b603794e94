//! The sweep over what operators ask for: killed before and after every effect of `approve`, `undo` and `dead release`, and asked
//! again, the outcome is the same as if nothing had happened.

use futures::stream::{self, StreamExt};
use nivel::sandbox::ToolName;
use serde_json::{Value, json};

use super::seed;
use crate::trial::Trial;

/// No verb of so few people has more effects.
const EFFECTS_MAX: u64 = 120;
const PEOPLE: usize = 4;

/// They mostly wait for jobs of the tools.
const AT_ONCE: usize = 8;

fn objects(trial: &Trial) -> Vec<usize> {
    ToolName::ALL
        .iter()
        .map(|name| trial.sandbox.tool(*name).people().len())
        .collect()
}

async fn told(trial: &Trial, words: &[&str]) -> Value {
    let output = trial.nivel(&[&["--output", "json"], words].concat(), None).await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        let errors = String::from_utf8_lossy(&output.stderr);
        panic!("{words:?} ended with {}: {errors}", output.status)
    })
}

/// Dies at effect `number` of an approval, is asked again, and the sync writes as if nothing had happened.
async fn approved(fault: String) -> bool {
    let trial = Trial::new(seed(), PEOPLE).await;
    trial.nivel(&["plan"], None).await;
    let was_there = !trial.nivel(&["approve"], Some(&fault)).await.status.success();
    let again = told(&trial, &["approve"]).await;
    assert_eq!(again["may_write"], true, "{fault}");
    told(&trial, &["sync"]).await;
    let last = told(&trial, &["sync"]).await;
    assert_eq!(last["written"], 0, "{fault}: {last}");
    let findings = trial.findings(1);
    assert!(findings.is_empty(), "{fault}: {findings:#?}");
    was_there
}

/// Dies at effect `number` of an undo, is asked again; then nothing is left to put back, and nothing is written again.
async fn undone(fault: String) -> bool {
    let trial = Trial::new(seed(), PEOPLE).await;
    trial.sync().await;
    let before = objects(&trial);
    let crm = &trial.sandbox.pipedrive;
    let person = crm.people().into_iter().find(|person| person.email.is_some()).unwrap();
    let there = trial.sandbox.zendesk.people();
    let same = there
        .iter()
        .find(|other| other.email.is_some() && other.emails == person.emails)
        .unwrap();
    let old = same.phone.clone();
    let phones = json!([{"value": "+358401234599", "primary": true, "label": "work"}]);
    crm.edit(&person.id, &json!({"phones": phones})).unwrap();
    // The tool counts seconds, and tells the present one only when it is over.
    let mut synced = json!(null);
    for _ in 0..60 {
        synced = told(&trial, &["sync", "--approve"]).await;
        if synced["written"] != 0 {
            break;
        }
    }
    let runs = told(&trial, &["undo"]).await;
    let run = runs
        .as_object()
        .unwrap()
        .keys()
        .filter(|run| *run != "0")
        .max_by_key(|run| run.parse::<u64>().unwrap());
    let run = run.unwrap_or_else(|| panic!("{synced} {runs}"));
    let undo = ["undo", "--run", run.as_str(), "--yes"];
    let was_there = !trial.nivel(&undo, Some(&fault)).await.status.success();
    told(&trial, &undo).await;
    let left = told(&trial, &["undo", "--run", run.as_str()]).await;
    assert_eq!(left["back"], json!({}), "{fault}: {left}");
    assert_eq!(objects(&trial), before, "{fault}");
    let after = trial.sandbox.zendesk.people();
    let now = after.iter().find(|other| other.id == same.id).unwrap();
    assert_eq!(now.phone, old, "{fault}");
    let last = told(&trial, &["sync"]).await;
    assert_eq!(
        last["written"], 0,
        "{fault}: what was undone is not written again: {last}"
    );
    was_there
}

/// Sweeps until there is no such effect any more; how many there were.
pub(super) async fn sweep<F: Future<Output = bool>>(mode: &str, one: impl Fn(String) -> F) -> u64 {
    let numbers = stream::iter(1..EFFECTS_MAX).map(|number| {
        let done = one(format!("{mode}:{number}"));
        async move { (number, done.await) }
    });
    let mut numbers = std::pin::pin!(numbers.buffered(AT_ONCE));
    while let Some((number, was_there)) = numbers.next().await {
        if !was_there {
            return number - 1;
        }
    }
    panic!("the verb has more than {EFFECTS_MAX} effects");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_killed_anywhere_is_given_again() {
    for mode in ["kill-before", "kill-after"] {
        assert!(sweep(mode, approved).await > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_killed_anywhere_is_done_again() {
    for mode in ["kill-before", "kill-after"] {
        assert!(sweep(mode, undone).await > 1, "nothing was undone: another seed?");
    }
}
