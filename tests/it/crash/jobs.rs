//! A first reading that a tool's jobs make, killed before and after its effects: what was begun is followed or begun anew,
//! and everybody is read.

use futures::stream::{self, StreamExt};
use nivel::sandbox::{Options, ToolName};

use super::AT_ONCE;
use crate::trial::Trial;

/// The jobs of three streams are begun, asked about and fetched among these.
const EFFECTS: u64 = 40;

async fn interrupted(mode: &str, number: u64) {
    let trial = Trial::of(ToolName::OTHERS, Options::default(), 7, 6).await;
    let fault = format!("{mode}:{number}");
    let output = trial.nivel(&["sync", "--approve"], Some(&fault)).await;
    assert!(!output.status.success(), "{fault}: there is no such effect");
    trial.sync().await;
    trial.settle().await;
    let last = trial.sync().await;
    assert_eq!(last["written"], 0, "{fault}: {last}");
    let findings = trial.findings(1);
    assert!(findings.is_empty(), "{fault}: {findings:#?}");
    let requests = trial.sandbox.salesforce.requests();
    let fetched = requests.iter().filter(|request| request.path.ends_with("/results"));
    assert!(fetched.count() > 0, "{fault}: no job was followed to its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_job_makes_the_first_reading() {
    let cases = (1..=EFFECTS)
        .step_by(3)
        .flat_map(|number| [("kill-before", number), ("kill-after", number + 1)]);
    let trials = stream::iter(cases).map(|(mode, number)| interrupted(mode, number));
    trials.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
}
