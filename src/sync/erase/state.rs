//! How far the erasure of one object is. Pure: what happened goes in, the step as it is then comes out.

use std::time::Duration;

use crate::error::{Class, Code, Failure, Problem};
use crate::ledger::{Erasure, Proof, Step, StepState};
use crate::model::UnixMillis;

/// How soon a step is tried again the first time; later each time.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// How late it is tried again at most.
const LAST_RETRY: Duration = Duration::from_secs(3600);
/// How long an object may still be shown after the tool took the request, before it is asked once more.
const SETTLES: Duration = Duration::from_secs(10);

/// What happened to a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nivel cannot, or may not, do it: why.
    Cannot(Problem),
    /// The tool took the request, and destroys what it keeps after this time, where it says so.
    Taken(Option<Duration>),
    /// The tool did not.
    Failed(Failure),
    /// The tool was asked what it has.
    Looked(Sight),
    /// A person says that it is done.
    Said,
}

/// What a tool has of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nothing.
    Gone,
    /// A tombstone that says nothing of her.
    Emptied,
    /// The object, or something of her.
    There,
    /// It cannot be asked.
    Blind,
}

/// The step after something happened. A confirmed one stays confirmed.
#[must_use]
pub fn after(step: &Step, event: &Event, now: UnixMillis) -> Step {
    let mut next = step.clone();
    if step.state == StepState::Confirmed {
        return next;
    }
    match event {
        Event::Cannot(problem) => {
            next.state = StepState::ByHand;
            next.problem = Some(problem.clone());
            next.due_at = now.plus(LAST_RETRY);
        }
        Event::Taken(purge) => {
            next.state = StepState::Asked;
            next.asked_at = Some(now);
            next.purged_by = purge.map(|purge| now.plus(purge));
            next.problem = None;
            next.due_at = now;
        }
        // What is not there needs no erasing, but it is looked at all the same.
        Event::Failed(failure) if failure.class == Class::Gone => {
            next.state = StepState::Asked;
            next.asked_at = Some(now);
            next.due_at = now;
        }
        Event::Failed(failure) => {
            let wait = failure.wait.unwrap_or_else(|| backoff(step.attempts));
            put_off(&mut next, failure.problem.clone(), now.plus(wait));
        }
        Event::Looked(sight) => look(&mut next, *sight, now),
        Event::Said => confirm(&mut next, Proof::Said, now),
    }
    next
}

fn look(step: &mut Step, sight: Sight, now: UnixMillis) {
    match (sight, step.state) {
        (Sight::Gone, _) => confirm(step, Proof::Gone, now),
        (Sight::Emptied, _) => confirm(step, Proof::Emptied, now),
        (Sight::Blind, StepState::Asked) => confirm(step, Proof::Told, now),
        (Sight::There, StepState::Asked) => {
            let is_settling = step.asked_at.is_some_and(|asked| now < asked.plus(SETTLES));
            if is_settling {
                step.due_at = now.plus(SETTLES);
            } else {
                let problem = Problem::new(
                    Code::EraseUnconfirmed,
                    "the tool took the request and still has the object",
                );
                let wait = backoff(step.attempts);
                put_off(step, problem, now.plus(wait));
                step.state = StepState::Planned;
            }
        }
        (Sight::There | Sight::Blind, _) => {}
    }
}

fn put_off(step: &mut Step, problem: Problem, until: UnixMillis) {
    step.attempts = step.attempts.saturating_add(1);
    step.problem = Some(problem);
    step.due_at = until;
}

fn confirm(step: &mut Step, proof: Proof, now: UnixMillis) {
    step.state = StepState::Confirmed;
    step.proof = Some(proof);
    step.confirmed_at = Some(now);
    step.problem = None;
    step.remote = None;
}

fn backoff(attempts: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << attempts.min(10)).min(LAST_RETRY)
}

/// True when Nivel itself has nothing more to do in the tools: the ledger need not know her any longer.
#[must_use]
pub fn may_purge(erasure: &Erasure) -> bool {
    let is_ours = |step: &Step| matches!(step.state, StepState::Planned | StepState::Asked);
    erasure.purged_at.is_none() && !erasure.steps.iter().any(is_ours)
}

/// True when every tool has confirmed and nothing of her can be read from the ledger's file.
#[must_use]
pub fn is_done(erasure: &Erasure) -> bool {
    let is_confirmed = |step: &Step| step.state == StepState::Confirmed;
    erasure.scrubbed_at.is_some() && erasure.steps.iter().all(is_confirmed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StreamId;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn step(state: StepState) -> Step {
        Step {
            stream: StreamId::new("crm", "person"),
            object: "ab".to_owned(),
            remote: Some("7".into()),
            state,
            problem: None,
            attempts: 0,
            due_at: UnixMillis(0),
            asked_at: (state == StepState::Asked).then_some(UnixMillis(0)),
            confirmed_at: None,
            proof: None,
            purged_by: None,
        }
    }

    fn failed(class: Class) -> Event {
        Event::Failed(Failure::new(class, Problem::new(Code::ToolError, "no")))
    }

    fn cannot() -> Event {
        Event::Cannot(Problem::new(Code::EraseByHand, "no"))
    }

    #[test]
    fn every_event_leads_to_one_state() {
        use StepState::{Asked, ByHand, Confirmed, Planned};
        let table = [
            (Planned, cannot(), ByHand),
            (Planned, Event::Taken(None), Asked),
            (Planned, failed(Class::Gone), Asked),
            (Planned, failed(Class::Transient), Planned),
            (Planned, failed(Class::Forbidden), Planned),
            (Planned, Event::Looked(Sight::There), Planned),
            (Planned, Event::Looked(Sight::Gone), Confirmed),
            (Asked, Event::Looked(Sight::Gone), Confirmed),
            (Asked, Event::Looked(Sight::Emptied), Confirmed),
            (Asked, Event::Looked(Sight::Blind), Confirmed),
            (Asked, Event::Looked(Sight::There), Planned),
            (Asked, failed(Class::Transient), Asked),
            (ByHand, Event::Looked(Sight::There), ByHand),
            (ByHand, Event::Looked(Sight::Blind), ByHand),
            (ByHand, Event::Looked(Sight::Gone), Confirmed),
            (ByHand, Event::Taken(None), Asked),
            (ByHand, Event::Said, Confirmed),
            (Confirmed, cannot(), Confirmed),
            (Confirmed, failed(Class::Transient), Confirmed),
            (Confirmed, Event::Looked(Sight::There), Confirmed),
        ];
        for (from, event, to) in table {
            let next = after(&step(from), &event, NOW);
            assert_eq!(next.state, to, "{from:?} {event:?}");
            assert_eq!(
                next.remote.is_none(),
                to == Confirmed && from != Confirmed,
                "{from:?} {event:?}"
            );
        }
    }

    #[test]
    fn a_failing_tool_is_asked_later_each_time_and_never_given_up() {
        let mut now = NOW;
        let mut last = Duration::ZERO;
        let mut one = step(StepState::Planned);
        for _ in 0..20 {
            one = after(&one, &failed(Class::Transient), now);
            let wait = one.due_at.since(now);
            assert!(wait >= last && wait <= LAST_RETRY && !wait.is_zero());
            last = wait;
            now = one.due_at;
        }
        assert_eq!(one.state, StepState::Planned);
        let told = Failure {
            wait: Some(Duration::from_secs(7)),
            ..Failure::new(Class::Throttle, Problem::new(Code::TooFast, "slow"))
        };
        let next = after(&one, &Event::Failed(told), now);
        assert_eq!(next.due_at, now.plus(Duration::from_secs(7)));
    }

    #[test]
    fn what_the_tool_still_shows_right_after_it_was_asked_is_looked_at_again() {
        let asked = after(
            &step(StepState::Planned),
            &Event::Taken(Some(Duration::from_secs(30))),
            NOW,
        );
        assert_eq!(asked.purged_by, Some(NOW.plus(Duration::from_secs(30))));
        let soon = after(&asked, &Event::Looked(Sight::There), NOW);
        assert_eq!((soon.state, soon.due_at), (StepState::Asked, NOW.plus(SETTLES)));
        let later = after(&asked, &Event::Looked(Sight::There), NOW.plus(SETTLES));
        assert_eq!(later.state, StepState::Planned);
        assert_eq!(later.problem.map(|problem| problem.code), Some(Code::EraseUnconfirmed));
    }
}
