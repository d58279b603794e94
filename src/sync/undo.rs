//! Takes back what Nivel wrote, where nobody has changed it since, and says what it left and why.
//!
//! Which steps that takes is decided purely, from the audit trail and the records as they are; then they are sent at once,
//! and what was put back is frozen: a rule that wants it otherwise must not write it again before somebody has looked.
//! Sent twice (after a crash between a step and its note in the ledger) a step changes nothing more.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::{CompactString, format_compact};
use serde::{Deserialize, Serialize};

use super::consequence::{Affected, consequences};
use super::engine::Engine;
use super::look::For;
use crate::connector::limits::Lane;
use crate::error::Class;
use crate::ledger::{Ask, Cause, Change, ChangeRow, Commit, Error as LedgerError, View, What, Wrote};
use crate::merge::{FieldChange, is_denial};
use crate::model::{
    Bounce, CustomerKey, FieldName, Fields, Freeze, Operation, Ours, Outcome, Record, RecordId, StreamId, UnixMillis,
    WriteAction,
};

/// Lines of the trail that are read at once.
const PAGE: usize = 5000;
/// Records that are looked up, and steps that are sent, at once.
const BATCH: usize = 100;

/// Which writes are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Those that followed from this run.
    pub run: Option<i64>,
    /// Those that were made since.
    pub since: Option<UnixMillis>,
    /// Only those to this system.
    pub system: Option<CompactString>,
}

/// What is taken back, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Fields that are set to what stood there before: record → name → (ours, before).
    pub back: BTreeMap<RecordId, BTreeMap<FieldName, FieldChange>>,
    /// Objects that Nivel made and removes again.
    pub remove: BTreeSet<RecordId>,
    /// What stays as it is, and why.
    pub left: Vec<Left>,
}

/// Something that is not taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Where.
    pub record: RecordId,
    /// Which field; the whole object when empty.
    pub field: Option<FieldName>,
    /// Why.
    pub why: String,
    /// A later try may do it: the tool could not be asked, or had no time.
    #[serde(default)]
    pub again: bool,
}

/// What Nivel wrote to one object in the scope, all together.
#[derive(Clone, Debug, Default)]
struct Written {
    is_made: bool,
    fields: BTreeMap<FieldName, FieldChange>,
}

impl Written {
    fn add(&mut self, wrote: &Wrote, is_made: bool) {
        self.is_made |= is_made;
        for (field, (before, ours)) in &wrote.fields {
            let known = self
                .fields
                .entry(field.clone())
                .or_insert_with(|| (before.clone(), None));
            known.1.clone_from(ours);
        }
    }
}

impl Scope {
    fn covers(&self, line: &ChangeRow, wrote: &Wrote) -> bool {
        let is_of_system = |record: &RecordId| {
            self.system
                .as_ref()
                .is_none_or(|system| *system == record.stream.system)
        };
        self.run.is_none_or(|run| wrote.run == Some(run))
            && self.since.is_none_or(|since| line.at >= since)
            && line.change.record.as_ref().is_some_and(is_of_system)
    }
}

/// Adds what a line of the trail says to what was written to each object.
fn gather(written: &mut BTreeMap<RecordId, Written>, line: &ChangeRow, scope: &Scope) {
    let (wrote, is_made) = match &line.change.what {
        What::Made(wrote) => (wrote, true),
        What::Wrote(wrote) => (wrote, false),
        _ => return,
    };
    if let (true, Some(record)) = (scope.covers(line, wrote), &line.change.record) {
        written.entry(record.clone()).or_default().add(wrote, is_made);
    }
}

/// What to do about one object.
fn decide(undo: &mut Undo, record: Option<&Record>, id: &RecordId, written: &Written, can_remove: bool) {
    let mut leave = |field: Option<&FieldName>, why: &str| {
        undo.left.push(Left {
            record: id.clone(),
            field: field.cloned(),
            why: why.to_owned(),
            again: false,
        });
    };
    let Some(record) = record.filter(|record| record.deleted_at.is_none()) else {
        return leave(None, "it is gone");
    };
    if written.is_made {
        let theirs = record.fields.0.iter().find(|(field, value)| {
            value.is_some() && !field.as_str().starts_with('_') && record.asserts(field.as_str())
        });
        match theirs {
            Some((field, _)) => leave(Some(field), "somebody has worked on the object since"),
            None if !can_remove => leave(None, "Nivel made it, and the connector cannot remove objects"),
            None => drop(undo.remove.insert(id.clone())),
        }
        return;
    }
    let mut back = BTreeMap::new();
    for (field, (before, ours)) in &written.fields {
        if record.fields.value(field.as_str()) != ours.as_ref() || record.asserts(field.as_str()) {
            leave(Some(field), "it was changed since");
        } else if is_denial(field.as_str(), ours.as_ref()) {
            leave(
                Some(field),
                "nobody's refusal is taken back: a tool may prove a new consent itself",
            );
        } else if before != ours {
            back.insert(field.clone(), (ours.clone(), before.clone()));
        }
    }
    if !back.is_empty() {
        undo.back.insert(id.clone(), back);
    }
}

/// What becomes of a value that was put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is frozen: the rule that wanted it otherwise is still there.
    Frozen,
    /// It is the tool's own word again: what wanted it otherwise was somebody else.
    Theirs,
}

impl Engine {
    /// What taking back the writes of a scope comes to. Changes nothing.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn plan_undo(&self, scope: &Scope) -> Result<Undo, LedgerError> {
        let mut written = BTreeMap::new();
        let mut after = 0;
        loop {
            let since = scope.since.unwrap_or(UnixMillis(i64::MIN));
            let page = self.ledger.trail(since, after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            page.iter().for_each(|(_, line)| gather(&mut written, line, scope));
        }
        let mut undo = Undo::default();
        let ids: Vec<RecordId> = written.keys().cloned().collect();
        for some in ids.chunks(BATCH) {
            let view = self.look_at(some).await?;
            for id in some {
                let record = view.records.get(id).map(|(record, _)| record);
                decide(&mut undo, record, id, &written[id], self.can_remove(&id.stream));
            }
        }
        Ok(undo)
    }

    /// Takes back what [`Engine::plan_undo`] says now. What the tools refuse is left, with their reason.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn undo(&self, scope: &Scope, by: &str) -> Result<Undo, LedgerError> {
        let mut undo = self.plan_undo(scope).await?;
        self.carry_out_undo(&mut undo, by, Then::Frozen).await?;
        Ok(undo)
    }

    /// Sends the steps of an undo. What the tools refuse is left, with their reason.
    pub(super) async fn carry_out_undo(&self, undo: &mut Undo, by: &str, then: Then) -> Result<(), LedgerError> {
        let mut by_stream: BTreeMap<StreamId, Vec<RecordId>> = BTreeMap::new();
        for id in undo.back.keys().chain(&undo.remove) {
            by_stream.entry(id.stream.clone()).or_default().push(id.clone());
        }
        for (stream, ids) in by_stream {
            for some in ids.chunks(BATCH) {
                self.take_back(undo, &stream, some, by, then).await?;
            }
        }
        Ok(())
    }

    async fn look_at(&self, ids: &[RecordId]) -> Result<View, LedgerError> {
        let records = ids.iter().cloned().collect();
        self.view(Ask {
            records,
            ..Ask::default()
        })
        .await
    }

    fn can_remove(&self, stream: &StreamId) -> bool {
        let connection = self.connections.get(&stream.system);
        let spec = connection.and_then(|connection| connection.streams().get(&stream.stream));
        spec.is_some_and(|spec| spec.can_delete)
    }

    async fn take_back(
        &self,
        undo: &mut Undo,
        stream: &StreamId,
        ids: &[RecordId],
        by: &str,
        then: Then,
    ) -> Result<(), LedgerError> {
        let Some(connection) = self.connections.get(&stream.system) else {
            return Ok(());
        };
        let view = self.look_at(ids).await?;
        let steps = ids.iter().filter_map(|id| Some((id, operation(undo, &view, id)?)));
        let (ids, operations): (Vec<&RecordId>, Vec<Operation>) = steps.unzip();
        let wanted = (For::Undo, operations);
        let looked = self.look_before(connection, stream, &view, wanted, Lane::Live).await?;
        let going: Vec<Operation> = looked.iter().filter_map(|one| one.as_ref().ok()).cloned().collect();
        // Nobody folds until the ledger knows: what comes back must not be taken for the tool's own word.
        let gate = self.gate.lock().await;
        let view = self.look_at(&ids.iter().copied().cloned().collect::<Vec<_>>()).await?;
        let written = match going.is_empty() {
            true => Vec::new(),
            false => connection.write(&stream.stream, &going).await,
        };
        let mut written = written.into_iter();
        let mut outcomes = looked.into_iter().map(|one| match one {
            Ok(_) => written.next(),
            Err(failure) => Some(Err(failure)),
        });
        let now = self.clock.now();
        let mut commit = Commit::new(Cause::Operator(by.into()), now);
        let mut fresh: BTreeMap<RecordId, Record> = BTreeMap::new();
        for id in ids {
            let outcome = outcomes.next().flatten();
            if let Some((why, again)) = refusal(outcome) {
                undo.back.remove(id);
                undo.remove.remove(id);
                undo.left.push(Left {
                    record: id.clone(),
                    field: None,
                    why,
                    again,
                });
            } else if let Some((record, customer)) = view.records.get(id) {
                let (record, what) = match (then, undo.back.get(id)) {
                    (Then::Theirs, Some(back)) => given_back(record.clone(), back, now),
                    (_, back) => taken_back(record.clone(), back, now),
                };
                commit.changes.push(line(*customer, id, what));
                fresh.insert(id.clone(), record);
            }
        }
        let homes: BTreeMap<_, _> = view.records.iter().map(|(id, (_, home))| (id.clone(), *home)).collect();
        let affected = Affected {
            customers: fresh.keys().filter_map(|id| homes.get(id).copied()).collect(),
            homes,
            fresh: fresh.iter().collect(),
            ..Affected::default()
        };
        consequences(&view, &affected, &self.rules, &self.survivorship, now, &mut commit);
        let homes = affected.homes;
        let records = fresh
            .into_iter()
            .filter_map(|(id, record)| Some((record, *homes.get(&id)?)));
        commit.records.extend(records);
        self.ledger.apply(commit).await?;
        drop(gate);
        Ok(())
    }
}

fn line(customer: CustomerKey, id: &RecordId, what: What) -> Change {
    Change {
        customer,
        record: Some(id.clone()),
        what,
    }
}

fn operation(undo: &Undo, view: &View, id: &RecordId) -> Option<Operation> {
    let (record, customer) = view.records.get(id)?;
    let back = undo.back.get(id);
    let action = match back {
        Some(_) => WriteAction::Update(id.remote.clone()),
        None => WriteAction::Delete(id.remote.clone()),
    };
    let fields = back.into_iter().flatten();
    Some(Operation {
        id: format_compact!("undo-{}", id.remote),
        action,
        fields: fields
            .map(|(name, (_, before))| (name.clone(), before.clone()))
            .collect(),
        known: Fields(record.fields.0.clone()),
        version: record.version.clone(),
        key: *customer,
    })
}

/// Why a step was not carried out, if so, and whether a later try may do it.
fn refusal(outcome: Option<Outcome>) -> Option<(String, bool)> {
    match outcome {
        Some(Ok(_)) => None,
        Some(Err(failure)) => {
            let is_final = matches!(
                failure.class,
                Class::Invalid | Class::Gone | Class::Merged | Class::Compliance
            );
            Some((failure.problem.to_string(), !is_final))
        }
        None => Some(("the connection gave no outcome".to_owned(), true)),
    }
}

/// The record after a step that gives its values back: they are its own again.
fn given_back(mut record: Record, back: &BTreeMap<FieldName, FieldChange>, now: UnixMillis) -> (Record, What) {
    for (name, (_, before)) in back {
        record.ours.remove(name);
        record.observed.set(name, now);
        match before {
            Some(value) => drop(record.fields.0.insert(name.clone(), Some(value.clone()))),
            None => drop(record.fields.0.remove(name)),
        }
    }
    record.written_at = Some(now);
    (record, What::GivenBack(back.clone()))
}

/// The record after its step: as it was before, ours, and frozen; or gone.
fn taken_back(mut record: Record, back: Option<&BTreeMap<FieldName, FieldChange>>, now: UnixMillis) -> (Record, What) {
    let Some(back) = back else {
        record.deleted_at = Some(now);
        return (record, What::Deleted);
    };
    for (name, (_, before)) in back {
        let own = record.own_word(name.as_str()).cloned();
        record.fields.0.insert(name.clone(), before.clone());
        record.observed.set(name, now);
        record.ours.insert(
            name.clone(),
            Ours {
                value: before.clone(),
                placeholder: false,
                own,
            },
        );
        record.bounces.insert(name.clone(), Bounce::frozen(Freeze::Undone, now));
    }
    record.written_at = Some(now);
    (record, What::Undone(back.clone()))
}
