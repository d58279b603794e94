//! What a person is told without being asked: facts from the ledger, decided upon, kept there until they are delivered.

mod decide;

use std::collections::BTreeMap;

use compact_str::CompactString;

pub use decide::{Board, Fact, Kind, Notice, Open, Quiet, Routes, Rule, decide};

use super::dead::GivenUp;
use super::engine::Engine;
use crate::error::{Code, Problem};
use crate::handoff::{Passage, State};
use crate::ledger::{Error as LedgerError, Ledger, PassageCount, PassagesOf, Write, WriteState};
use crate::model::{StreamId, UnixMillis};

/// Under this name the board stands in the ledger's settings.
const SETTING: &str = "alerts";
/// When more handoffs are late, they are told of by rule alone: a list that leaves some out would say that these are over.
const LATE_MAX: u64 = 1000;
/// Dead writes and passages are read in pages of this size.
const PAGE: usize = 500;

/// What only others know: each is a fact as it is.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// Systems whose run is due and did not begin: (system, what a person reads).
    pub late_runs: Vec<(CompactString, String)>,
}

impl Engine {
    /// The board as the ledger has it.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn alerts(&self) -> Result<Board, LedgerError> {
        alerts(self.ledger.as_ref()).await
    }

    /// Keeps the board.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn keep_alerts(&self, board: &Board) -> Result<(), LedgerError> {
        let text = serde_json::to_string(board);
        let text = text.map_err(|error| LedgerError::Broken(Problem::new(Code::Bug, error.to_string())))?;
        self.ledger.set_setting(SETTING, &text).await
    }

    /// Looks at what is so now and decides what is told; kept before anything goes out. True when something is to be
    /// delivered.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn look_for_alerts(&self, routes: &Routes, extra: &Extra) -> Result<bool, LedgerError> {
        let before = self.alerts().await?;
        let mut facts = facts(self.ledger.as_ref(), &self.streams()).await?;
        if self.is_initial_read_done().await? && self.approval().await?.is_none() {
            facts.push(Fact {
                rule: Rule::HeldPlan,
                subject: "setup".to_owned(),
                says: "nobody has said yes to this setup: nothing is written (`nivel plan`, then `nivel approve`)"
                    .to_owned(),
            });
        }
        facts.extend(late_handoffs(self.ledger.as_ref(), self.clock.now()).await?);
        facts.extend(extra.facts());
        let after = decide(&before, &facts, routes, self.clock.now());
        if after != before {
            self.keep_alerts(&after).await?;
        }
        Ok(!after.pending.is_empty())
    }
}

impl Extra {
    fn facts(&self) -> impl Iterator<Item = Fact> {
        self.late_runs.iter().map(|(system, says)| Fact {
            rule: Rule::RunLate,
            subject: system.to_string(),
            says: format!("{system}: {says}"),
        })
    }
}

/// The board as a ledger has it.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn alerts(ledger: &dyn Ledger) -> Result<Board, LedgerError> {
    let stored = ledger.setting(SETTING).await?;
    let stored = stored.and_then(|text| serde_json::from_str(&text).ok());
    Ok(stored.unwrap_or_default())
}

/// What the ledger itself says is so now. No value of a customer is in it.
async fn facts(ledger: &dyn Ledger, streams: &[StreamId]) -> Result<Vec<Fact>, LedgerError> {
    let mut facts = Vec::new();
    for (stream, state) in ledger.streams().await? {
        facts.extend(state.problem.as_ref().map(|problem| of_stream(&stream, problem)));
        let held = state.sweep.problem.as_ref();
        facts.extend(held.map(|problem| fact(Rule::HeldPlan, format!("{stream} sweep"), &stream, problem)));
    }
    for (system, state) in ledger.inbox().await? {
        for (stream, problem) in state.problems {
            let stream = StreamId::new(system.clone(), stream);
            facts.push(fact(Rule::SilentWebhook, stream.to_string(), &stream, &problem));
        }
    }
    for problem in super::vanished(ledger, streams).await? {
        facts.push(Fact {
            rule: Rule::Drift,
            subject: format!("{} {}", problem.subject, problem.message),
            says: format!("{} {problem}", problem.code),
        });
    }
    for (state, rule) in [(WriteState::Dead, Rule::DeadWrite), (WriteState::Held, Rule::HeldPlan)] {
        for ((stream, code), number) in waiting(ledger, state).await? {
            facts.push(Fact {
                rule,
                subject: format!("{stream} {code}"),
                says: format!("{stream}: {number} with {code} (`nivel explain {code}`)"),
            });
        }
    }
    for (rule, number) in noteless(ledger).await? {
        facts.push(Fact {
            rule: Rule::DeadWrite,
            subject: format!("notes of {rule}"),
            says: format!("{rule}: {number} notes were given up (`nivel dead list`)"),
        });
    }
    Ok(facts)
}

/// How many notes of each handoff were given up.
async fn noteless(ledger: &dyn Ledger) -> Result<BTreeMap<CompactString, u64>, LedgerError> {
    let mut numbers = BTreeMap::new();
    for passage in GivenUp::notes(ledger).await? {
        *numbers.entry(passage.rule).or_default() += 1;
    }
    Ok(numbers)
}

/// Passages past their deadline, each with what keeps it.
async fn late_handoffs(ledger: &dyn Ledger, now: UnixMillis) -> Result<Vec<Fact>, LedgerError> {
    let mut late = Vec::new();
    let counts = ledger.passage_counts(now).await?;
    if counts.iter().map(|count| count.late).sum::<u64>() > LATE_MAX {
        return Ok(late_by_rule(&counts));
    }
    if counts.iter().all(|count| count.late == 0) {
        return Ok(late);
    }
    let pending = PassagesOf {
        states: vec![State::Open, State::Stopped],
        ..PassagesOf::default()
    };
    let mut after: Option<CompactString> = None;
    loop {
        let page = ledger.passages(&pending, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(late) };
        after = Some(last.id.clone());
        late.extend(page.iter().filter(|passage| passage.is_late(now)).map(late_handoff));
    }
}

/// One fact for each rule; its number may change without its being another one.
fn late_by_rule(counts: &[PassageCount]) -> Vec<Fact> {
    let mut late: BTreeMap<&CompactString, u64> = BTreeMap::new();
    for count in counts.iter().filter(|count| count.late > 0) {
        *late.entry(&count.rule).or_default() += count.late;
    }
    let fact = |(rule, number): (&CompactString, u64)| Fact {
        rule: Rule::LateHandoff,
        subject: format!("rule {rule}"),
        says: format!("{rule}: {number} are past their deadline (`nivel handoffs --late --rule {rule}`)"),
    };
    late.into_iter().map(fact).collect()
}

fn late_handoff(passage: &Passage) -> Fact {
    let why = passage.stop.as_ref().map(|stop| {
        let (reason, who) = (stop.reason.as_str(), stop.reason.who().as_str());
        format!("; stopped by {reason}: the {who} must act")
    });
    Fact {
        rule: Rule::LateHandoff,
        subject: passage.id.to_string(),
        says: format!(
            "{} was due {} and has not arrived{} (`nivel handoffs {}`)",
            passage.rule,
            passage.due_at,
            why.unwrap_or_default(),
            passage.id
        ),
    }
}

fn of_stream(stream: &StreamId, problem: &Problem) -> Fact {
    let rule = match problem.code {
        Code::NotSignedIn | Code::TokenSealed | Code::TokenKey | Code::CredentialRefused => Rule::ExpiredGrant,
        _ => Rule::ParkedStream,
    };
    fact(rule, format!("{stream} {}", problem.code), stream, problem)
}

fn fact(rule: Rule, subject: String, stream: &StreamId, problem: &Problem) -> Fact {
    Fact {
        rule,
        subject,
        says: format!("{stream}: {} {}", problem.code, problem.message),
    }
}

/// Writes in a state by stream and error code: a thousand of one kind are one fact.
async fn waiting(ledger: &dyn Ledger, state: WriteState) -> Result<BTreeMap<(StreamId, String), u64>, LedgerError> {
    let mut counts = BTreeMap::new();
    let mut after = None;
    loop {
        let page: Vec<Write> = ledger.writes(&[state], after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(counts);
        };
        after = Some(last.target.clone());
        for write in page {
            let code = write.problem.as_ref().map(|problem| problem.code.to_string());
            let key = (write.target.stream, code.unwrap_or_default());
            *counts.entry(key).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_late_handoffs_are_one_fact_for_each_rule() {
        let count = |rule: &str, state, late| PassageCount {
            rule: rule.into(),
            state,
            count: late + 1,
            late,
        };
        let told = |more: u64| {
            late_by_rule(&[
                count("help", State::Open, 0),
                count("sell", State::Open, 900 + more),
                count("sell", State::Stopped, 300),
            ])
        };
        let (before, after) = (told(0), told(1));
        assert_eq!((before.len(), after.len()), (1, 1));
        assert!(before[0].says.starts_with("sell: 1200 are past"), "{}", before[0].says);
        assert_eq!(
            before[0].subject, after[0].subject,
            "the same alert, whatever the number"
        );
    }
}
