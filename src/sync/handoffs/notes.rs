//! Writes the notes of handoffs and opens what they open, each exactly once: its words and the intent to send it are in the ledger before it goes out,
//! and one whose answer got lost is looked up by its marker before it is sent again. Where a tool cannot find notes, it is
//! given up instead: rather no note than two.

use std::collections::BTreeMap;
use std::time::Duration;

use compact_str::CompactString;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::connector::limits::{Lane, in_lane};
use crate::error::{Class, Failure};
use crate::handoff::{Note, NoteState, Passage, Rule, State, compose, marker};
use crate::ledger::{Ask, Cause, Commit, Error as LedgerError, PassagesOf, View};
use crate::merge::Rules;
use crate::model::{Activity, CustomerKey, RecordId};
use crate::sync::Engine;

/// Passages whose notes are read from the ledger at once.
const PAGE: usize = 200;

/// Customers whose notes are written at once; the tools' own limits hold as well.
const AT_ONCE: usize = 8;

/// How long after each failed try the next one comes; after the last, the note is given up.
const DELAYS: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(10),
    Duration::from_hours(1),
    Duration::from_hours(6),
];

/// How often a note's fate is put into the ledger anew because that moved on. Reached only by a bug.
const TRIES_MAX: usize = 16;

impl Engine {
    /// Writes every note that is due. How many were written or given up.
    ///
    /// # Errors
    /// When the ledger cannot be used. What a tool refuses is noted with the passage.
    pub(super) async fn write_notes(&self) -> Result<u64, LedgerError> {
        if self.rules.handoffs.iter().all(|rule| rule.note.is_none()) || self.approval().await?.is_none() {
            return Ok(0);
        }
        let open = PassagesOf {
            with_open_note: true,
            ..PassagesOf::default()
        };
        let (mut after, mut done) = (None::<CompactString>, 0);
        loop {
            let page = self.ledger.passages(&open, after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(done) };
            after = Some(last.id.clone());
            let written = by_customer(page)
                .into_values()
                .map(|hers| async move { self.write_in_turn(&hers).await });
            let written = futures::stream::iter(written).buffer_unordered(AT_ONCE);
            done += written
                .try_fold(0, |sum, over| std::future::ready(Ok(sum + over)))
                .await?;
        }
    }

    /// The notes of one customer, one after the other. How many were written or given up.
    async fn write_in_turn(&self, passages: &[Passage]) -> Result<u64, LedgerError> {
        let mut done = 0;
        for passage in passages {
            done += u64::from(self.write_note(passage).await?);
        }
        Ok(done)
    }

    /// One note, one step. True when nothing is left to do about it.
    async fn write_note(&self, passage: &Passage) -> Result<bool, LedgerError> {
        let Some(rule) = self.rules.handoffs.iter().find(|rule| rule.name == passage.rule) else {
            return Ok(false);
        };
        let Some(note) = passage.note.clone().filter(|note| note.at <= self.clock.now()) else {
            return Ok(false);
        };
        let Some(connection) = self.connections.get(&rule.to.system) else {
            return Ok(false);
        };
        let view = self.view(of(passage.customer)).await?;
        let Some(record) = target(&view, rule) else {
            return Ok(false);
        };
        if passage.state == State::Cancelled && note.state == NoteState::Due {
            return self
                .settle_note(passage, given_up(note, "it was not wanted any more"))
                .await;
        }
        let stream = rule.opens.as_ref().map_or(&record.stream.stream, |opens| &opens.stream);
        let mark = marker(passage);
        if note.state == NoteState::Sent {
            let finds = connection.streams().get(stream).is_some_and(|spec| spec.finds_notes);
            if !finds {
                let why = "its answer got lost, and the tool cannot say whether it is there";
                return self.settle_note(passage, given_up(note, why)).await;
            }
            match in_lane(Lane::Handoff, connection.find_note(stream, &record.remote, &mark)).await {
                Ok(Some(id)) => {
                    return self
                        .settle_note(passage, written(note, Some(id), self.clock.now()))
                        .await;
                }
                Ok(None) => {}
                Err(failure) => {
                    return self
                        .settle_note(passage, self.again(note, &failure, NoteState::Sent))
                        .await;
                }
            }
        }
        let text = note
            .text
            .clone()
            .unwrap_or_else(|| words(passage, &view, &note, &self.rules));
        let sent = Note {
            state: NoteState::Sent,
            text: Some(text.clone()),
            attempts: note.attempts + 1,
            ..note
        };
        self.settle_note(passage, sent.clone()).await?;
        let answer = in_lane(
            Lane::Handoff,
            connection.write_note(stream, &record.remote, (&mark, &text)),
        )
        .await;
        let next = match answer {
            Ok(id) => written(sent, id, self.clock.now()),
            Err(failure) if failure.ambiguous => self.again(sent, &failure, NoteState::Sent),
            Err(failure) => self.again(sent, &failure, NoteState::Due),
        };
        self.settle_note(passage, next).await
    }

    /// The note after a try that failed.
    fn again(&self, note: Note, failure: &Failure, state: NoteState) -> Note {
        let is_final = matches!(failure.class, Class::Invalid | Class::Compliance | Class::Gone);
        let delay = DELAYS.get(note.attempts.saturating_sub(1) as usize);
        let why = failure.problem.to_string();
        match delay {
            Some(delay) if !is_final => Note {
                state,
                at: self.clock.now().plus(failure.wait.unwrap_or(*delay)),
                problem: Some(why),
                ..note
            },
            _ => given_up(note, &why),
        }
    }

    /// Puts what became of a note into the ledger, with what follows for its passage.
    async fn settle_note(&self, passage: &Passage, note: Note) -> Result<bool, LedgerError> {
        let is_over = !note.is_open();
        let _gate = self.gate.lock().await;
        for _ in 0..TRIES_MAX {
            let mut view = self.view(of(passage.customer)).await?;
            let mut found = view.passages.values_mut().flatten();
            let Some(now_there) = found.find(|known| known.id == passage.id) else {
                return Ok(is_over);
            };
            now_there.note = Some(note.clone());
            let noted = now_there.clone();
            let now = self.clock.now();
            let mut commit = Commit::new(Cause::Write("note".into()), now);
            self.reckon(&view, now, &mut commit);
            if !commit.passages.iter().any(|known| known.id == noted.id) {
                commit.passages.push(noted);
            }
            match self.ledger.apply(commit).await {
                Err(LedgerError::Stale) => {}
                done => return done.map(|()| is_over),
            }
        }
        Err(super::does_not_fold("a note"))
    }
}

/// Each customer's passages in the order in which they began: so her notes are read.
fn by_customer(passages: Vec<Passage>) -> BTreeMap<CustomerKey, Vec<Passage>> {
    let mut all: BTreeMap<CustomerKey, Vec<Passage>> = BTreeMap::new();
    for passage in passages {
        all.entry(passage.customer).or_default().push(passage);
    }
    for hers in all.values_mut() {
        hers.sort_by(|one, other| (one.opened_at, &one.id).cmp(&(other.opened_at, &other.id)));
    }
    all
}

fn of(customer: CustomerKey) -> Ask {
    Ask {
        customers: [customer].into(),
        ..Ask::default()
    }
}

/// The object on which the note is written: the customer's in the target.
fn target(view: &View, rule: &Rule) -> Option<RecordId> {
    let here = |id: &RecordId| id.stream == rule.to;
    let mut live = view
        .records
        .values()
        .filter(|(record, _)| here(&record.id) && record.deleted_at.is_none());
    live.next().map(|(record, _)| record.id.clone())
}

fn words(passage: &Passage, view: &View, note: &Note, rules: &Rules) -> String {
    let rule = rules.handoffs.iter().find(|rule| rule.name == passage.rule);
    let system = rule.and_then(|rule| rules.systems.get(&rule.to.system));
    let may = |activity: &&Activity| system.is_none_or(|to| rules.may_tell_of(&activity.id.stream.system, to.role));
    let activities: Vec<&Activity> = view.activities.values().filter(may).collect();
    let passages: Vec<&Passage> = view.passages.values().flatten().collect();
    compose(passage, note.kind, &activities, &passages)
}

fn written(note: Note, remote: Option<CompactString>, at: crate::model::UnixMillis) -> Note {
    Note {
        state: NoteState::Written,
        remote,
        at,
        problem: None,
        ..note
    }
}

fn given_up(note: Note, why: &str) -> Note {
    Note {
        state: NoteState::GivenUp,
        problem: Some(why.to_owned()),
        ..note
    }
}
