//! What came of a test against what must come of it.

use crate::error::Failure;
use crate::manifest::tests::{Expect, ExpectedOutcome, ExpectedRecord};
use crate::model::{Incoming, Outcome};

/// What came of a test.
#[derive(Clone, Debug, Default)]
pub(super) struct Came {
    pub(super) records: Vec<Incoming>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) failure: Option<Failure>,
    pub(super) caught_up: bool,
    pub(super) hints: Vec<String>,
}

/// Everything that is not as expected.
pub(super) fn differences(expect: &Expect, came: &Came) -> Vec<String> {
    let mut out = Vec::new();
    let class = came.failure.as_ref().map(|failure| failure.class);
    if expect.failure != class {
        let words = came
            .failure
            .as_ref()
            .map_or(String::new(), |failure| format!(" ({failure})"));
        out.push(format!(
            "failure: expected {:?}, found {class:?}{words}",
            expect.failure
        ));
    }
    if let Some(wait) = expect.wait_ms {
        let found = came
            .failure
            .as_ref()
            .and_then(|failure| failure.wait)
            .map(|wait| wait.as_millis());
        if found != Some(u128::from(wait)) {
            out.push(format!("wait: expected {wait} ms, found {found:?}"));
        }
    }
    if let Some(caught_up) = expect.caught_up.filter(|caught_up| *caught_up != came.caught_up) {
        out.push(format!("caught up: expected {caught_up}, found {}", came.caught_up));
    }
    if let Some(records) = &expect.records {
        compare(&mut out, "record", records, &came.records, record);
    }
    if let Some(hints) = expect.hints.as_ref().filter(|hints| **hints != came.hints) {
        out.push(format!("hints: expected {hints:?}, found {:?}", came.hints));
    }
    if let Some(outcomes) = &expect.outcomes {
        compare(&mut out, "outcome", outcomes, &came.outcomes, outcome);
    }
    out
}

fn compare<E, F>(out: &mut Vec<String>, what: &str, expected: &[E], found: &[F], one: impl Fn(&E, &F) -> Vec<String>) {
    if expected.len() != found.len() {
        out.push(format!("{what}s: expected {}, found {}", expected.len(), found.len()));
    }
    for (at, (expected, found)) in expected.iter().zip(found).enumerate() {
        let differences = one(expected, found).into_iter();
        out.extend(differences.map(|difference| format!("{what} {}: {difference}", at + 1)));
    }
}

fn record(expected: &ExpectedRecord, found: &Incoming) -> Vec<String> {
    let mut out = Vec::new();
    let mut differ = |what: &str, expected: String, found: String| {
        if expected != found {
            out.push(format!("{what}: expected {expected}, found {found}"));
        }
    };
    differ("id", expected.id.to_string(), found.remote.to_string());
    differ("deleted", expected.deleted.to_string(), found.deleted.to_string());
    differ("key", format!("{:?}", expected.key), format!("{:?}", found.key));
    if expected.problem != found.problem.is_some() {
        differ("problem", expected.problem.to_string(), format!("{:?}", found.problem));
    }
    if let Some(at) = expected.updated_at {
        differ(
            "updated_at",
            format!("{:?}", Some(at.0)),
            format!("{:?}", found.updated_at),
        );
    }
    if let Some(wanted) = &expected.fields {
        let mut found = found.fields.clone();
        // Names with `_` serve writing only and need not be written down.
        found
            .0
            .retain(|name, _| !name.as_str().starts_with('_') || wanted.0.contains_key(name));
        if *wanted != found {
            let text = |fields| serde_json::to_string(fields).unwrap_or_default();
            differ("fields", text(wanted), text(&found));
        }
    }
    out
}

fn outcome(expected: &ExpectedOutcome, found: &Outcome) -> Vec<String> {
    let mut out = Vec::new();
    match (expected.class, found) {
        (None, Ok(done)) => {
            if expected.id.as_ref().is_some_and(|id| *id != done.remote) {
                out.push(format!("id: expected {:?}, found {}", expected.id, done.remote));
            }
            if expected.created.is_some_and(|created| created != done.created) {
                out.push(format!(
                    "created: expected {:?}, found {}",
                    expected.created, done.created
                ));
            }
        }
        (Some(class), Err(failure)) => {
            if class != failure.class {
                out.push(format!(
                    "class: expected {class:?}, found {:?} ({failure})",
                    failure.class
                ));
            }
            if expected.ambiguous != failure.ambiguous {
                out.push(format!(
                    "ambiguous: expected {}, found {}",
                    expected.ambiguous, failure.ambiguous
                ));
            }
            if expected.remote.is_some() && expected.remote != failure.remote {
                out.push(format!(
                    "remote: expected {:?}, found {:?}",
                    expected.remote, failure.remote
                ));
            }
        }
        (None, Err(failure)) => out.push(format!("failed: {failure}")),
        (Some(class), Ok(done)) => out.push(format!("expected {class:?}, but it was written as {}", done.remote)),
    }
    out
}
