//! What is told of an erasure: what, where, when, and what the tool answered. No value of the person, only keyed hashes.

use std::fmt::Write as _;

use crate::ledger::{Erasure, Proof, Step, StepState};
use crate::model::UnixMillis;

/// The erasure without what leads to the person: ids of objects stay only where a person still has to act.
#[must_use]
pub fn certified(erasure: &Erasure) -> Erasure {
    let mut told = erasure.clone();
    told.customer = None;
    for step in told.steps.iter_mut().filter(|step| step.state != StepState::ByHand) {
        step.remote = None;
    }
    told
}

/// The same for people, as Markdown.
#[must_use]
pub fn markdown(erasure: &Erasure) -> String {
    let erasure = certified(erasure);
    let mut lines = vec![
        format!("# Certificate of erasure {}", erasure.id),
        String::new(),
        format!("- Subject (keyed hash): `{}`", erasure.subject),
        format!("- Asked for by {} at {}", erasure.by, erasure.asked_at),
        format!("- Ledger purged: {}", moment(erasure.purged_at)),
        format!("- Ledger file written anew: {}", moment(erasure.scrubbed_at)),
        format!(
            "- Kept so that the person is not taken in again: {} keyed hashes",
            erasure.marks
        ),
        format!("- Complete: {}", moment(erasure.done_at)),
        String::new(),
        "| where | object (keyed hash) | asked | confirmed | answer |".to_owned(),
        "| --- | --- | --- | --- | --- |".to_owned(),
    ];
    lines.extend(erasure.steps.iter().map(row));
    lines.join("\n")
}

fn row(step: &Step) -> String {
    format!(
        "| {} | `{}` | {} | {} | {} |",
        step.stream,
        step.object,
        moment(step.asked_at),
        moment(step.confirmed_at),
        answer(step)
    )
}

/// What came of a step, in words.
#[must_use]
pub fn answer(step: &Step) -> String {
    let mut text = match (step.state, step.proof) {
        (StepState::Confirmed, Some(Proof::Gone)) => "the tool does not have it any more".to_owned(),
        (StepState::Confirmed, Some(Proof::Emptied)) => "the tool keeps a tombstone that says nothing".to_owned(),
        (StepState::Confirmed, Some(Proof::Told)) => "the tool accepted; it cannot be asked".to_owned(),
        (StepState::Confirmed, Some(Proof::Said)) => "erased by hand, as a person said".to_owned(),
        (StepState::Confirmed, None) => "done".to_owned(),
        (StepState::Asked, _) => "the tool accepted; it is looked at again".to_owned(),
        (StepState::ByHand, _) => match &step.remote {
            Some(remote) => format!("by hand in the tool: {remote}"),
            None => "by hand in the tool".to_owned(),
        },
        (StepState::Planned, _) => "not done yet".to_owned(),
    };
    if let Some(at) = step.purged_by {
        // Writing to a `String` cannot fail.
        if write!(text, "; it destroys its own copy by {at}").is_err() {
            text.push('…');
        }
    }
    if let Some(problem) = &step.problem
        && write!(text, " ({problem})").is_err()
    {
        text.push('…');
    }
    text
}

fn moment(at: Option<UnixMillis>) -> String {
    at.map_or_else(|| "not yet".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CustomerKey, Kind, StreamId};

    #[test]
    fn a_certificate_names_nobody() {
        let step = Step {
            stream: StreamId::new("crm", "person"),
            object: "ab12".to_owned(),
            remote: Some("ana@b.fi".into()),
            state: StepState::Asked,
            problem: None,
            attempts: 0,
            due_at: UnixMillis(0),
            asked_at: Some(UnixMillis(0)),
            confirmed_at: None,
            proof: None,
            purged_by: Some(UnixMillis(86_400_000)),
        };
        let erasure = Erasure {
            id: 3,
            subject: "cd34".to_owned(),
            customer: Some(CustomerKey {
                id: uuid::Uuid::from_u128(1),
                kind: Kind::Person,
            }),
            by: "admin".to_owned(),
            asked_at: UnixMillis(0),
            marks: 4,
            steps: vec![step],
            purged_at: None,
            scrubbed_at: None,
            done_at: None,
        };
        let text = markdown(&erasure);
        assert!(!text.contains("ana@b.fi") && !text.contains("per_"), "{text}");
        assert!(
            text.contains("cd34") && text.contains("ab12") && text.contains("1970-01-02"),
            "{text}"
        );
        let json = serde_json::to_string(&certified(&erasure)).unwrap();
        assert!(!json.contains("ana@b.fi") && !json.contains("per_"), "{json}");
    }
}
