//! Looks at objects right before they are changed, so that nobody's change is overwritten unseen, and right after, where a
//! tool is known to drop or change values without a word. Which of both a stream needs stands in its manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;

use super::engine::Engine;
use crate::connector::Connection;
use crate::connector::limits::{Lane, in_lane};
use crate::error::{Class, Code, Failure, Problem};
use crate::ledger::{Cause, Error as LedgerError, View, Write};
use crate::merge::observe;
use crate::model::{
    FieldName, Incoming, Operation, Outcome, Record, StreamId, StreamSpec, UnixMillis, Value, WriteAction, WriteMode,
};

/// Who wants to change the objects that are looked at.
#[derive(Clone, Copy)]
pub(super) enum For<'a> {
    /// The outbox: its rows, one for each operation.
    Outbox(&'a [Write]),
    /// An undo: what it puts back may stand there already, from a try that died before the ledger knew.
    Undo,
}

impl For<'_> {
    /// The object to look at before an operation. One that is to be removed is always looked at where that is possible:
    /// somebody may have begun to work on it. So is what a person wants undone, who may be late.
    fn looks_at(self, operation: &Operation, spec: &StreamSpec) -> Option<CompactString> {
        match &operation.action {
            WriteAction::Update(id) if spec.reads_before => Some(id.clone()),
            WriteAction::Update(id) if matches!(self, Self::Undo) && spec.can_get => Some(id.clone()),
            WriteAction::Delete(id) if spec.can_get => Some(id.clone()),
            _ => None,
        }
    }

    /// An answer that leaves an object out is looked at twice; then it is the tool's to tell what became of it. An undo is not
    /// repeated; to remove what is gone is done.
    fn believes_absence(self, place: usize, operation: &Operation) -> bool {
        match self {
            Self::Outbox(writes) => writes.get(place).is_none_or(|write| write.attempts > 1),
            Self::Undo => !matches!(operation.action, WriteAction::Update(_)),
        }
    }
}

impl Engine {
    /// The operations that may go ahead, each on what its object says now, or why one may not. What the objects newly say
    /// is folded: what was wanted of them may be something else then.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub(super) async fn look_before(
        &self,
        connection: &Arc<dyn Connection>,
        stream: &StreamId,
        view: &View,
        (wanted_by, operations): (For<'_>, Vec<Operation>),
        lane: Lane,
    ) -> Result<Vec<Result<Operation, Failure>>, LedgerError> {
        let Some(spec) = spec_of(connection, stream) else {
            return Ok(operations.into_iter().map(Ok).collect());
        };
        let to_change = |operation: &Operation| wanted_by.looks_at(operation, spec);
        let ids: Vec<CompactString> = operations.iter().filter_map(to_change).collect();
        if ids.is_empty() {
            return Ok(operations.into_iter().map(Ok).collect());
        }
        let asked_at = self.clock.now();
        let found = match in_lane(lane, connection.get(&stream.stream, &ids)).await {
            Ok(found) => found,
            Err(failure) => {
                let refuse = |operation: Operation| match to_change(&operation) {
                    Some(_) => Err(failure.clone()),
                    None => Ok(operation),
                };
                return Ok(operations.into_iter().map(refuse).collect());
            }
        };
        let mut news: Vec<Incoming> = Vec::new();
        let by_id: BTreeMap<&CompactString, &Incoming> = found.iter().map(|one| (&one.remote, one)).collect();
        let mut decided = Vec::with_capacity(operations.len());
        for (place, operation) in operations.into_iter().enumerate() {
            let now = to_change(&operation).and_then(|id| by_id.get(&id).copied());
            let is_open = !wanted_by.believes_absence(place, &operation);
            if now.is_none() && to_change(&operation).is_some() && is_open {
                let problem =
                    Problem::new(Code::WriteRaced, "the object was not found where it was").about(&operation.id);
                decided.push(Err(Failure::new(Class::Conflict, problem)));
                continue;
            }
            let record = now.and_then(|now| view.records.get(&stream.record(now.remote.clone())));
            let (Some(now), Some((record, _))) = (now, record) else {
                decided.push(Ok(operation));
                continue;
            };
            let mut now = now.clone();
            if matches!(wanted_by, For::Undo) {
                // It is ours, not the tool's own word.
                now.fields
                    .0
                    .retain(|name, value| operation.fields.get(name) != Some(value));
            }
            let verdict = compare(record, &now, asked_at, operation);
            if verdict.has_news {
                news.push(now);
            }
            decided.push(verdict.operation);
        }
        if !news.is_empty() {
            let cause = Cause::Write(decided_by(&decided));
            self.fold_incoming(stream, &news, asked_at, cause, None).await?;
        }
        Ok(decided)
    }

    /// Notes in each outcome which fields the tool did not keep.
    pub(super) async fn look_after(
        &self,
        connection: &Arc<dyn Connection>,
        stream: &StreamId,
        operations: &[Operation],
        outcomes: &mut [Outcome],
        lane: Lane,
    ) {
        if !spec_of(connection, stream).is_some_and(|spec| spec.reads_back) {
            return;
        }
        let done = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok());
        let ids: Vec<CompactString> = done.map(|done| done.remote.clone()).collect();
        if ids.is_empty() {
            return;
        }
        let found = match in_lane(lane, connection.get(&stream.stream, &ids)).await {
            Ok(found) => found,
            Err(failure) => {
                // The next reading of the stream sees them all the same.
                tracing::warn!(%stream, code = %failure.problem.code, %failure, "what was written could not be read back");
                return;
            }
        };
        let by_id: BTreeMap<&CompactString, &Incoming> = found.iter().map(|one| (&one.remote, one)).collect();
        for (operation, outcome) in operations.iter().zip(outcomes) {
            let Ok(done) = outcome else { continue };
            let Some(now) = by_id.get(&done.remote) else { continue };
            // Somebody changed it in between: that is news, and comes with the next reading.
            if matches!((done.updated_at, now.updated_at), (Some(ours), Some(theirs)) if theirs > ours) {
                continue;
            }
            done.unkept = unkept(operation, now);
            // What was told by a call of its own may show in the object later.
            done.unkept.retain(|field, _| !is_called(connection, stream, field));
        }
    }
}

fn is_called(connection: &Arc<dyn Connection>, stream: &StreamId, field: &FieldName) -> bool {
    let spec = spec_of(connection, stream).and_then(|spec| spec.fields.get(field));
    spec.is_some_and(|spec| spec.write == WriteMode::Call)
}

fn spec_of<'a>(connection: &'a Arc<dyn Connection>, stream: &StreamId) -> Option<&'a StreamSpec> {
    connection.streams().get(&stream.stream)
}

fn decided_by(decided: &[Result<Operation, Failure>]) -> CompactString {
    let first = decided.iter().find_map(|one| one.as_ref().ok());
    first.map(|operation| operation.id.clone()).unwrap_or_default()
}

struct Verdict {
    /// The operation on what stands there now; a failure when somebody changed what it was to change.
    operation: Result<Operation, Failure>,
    /// The object says something that its record does not.
    has_news: bool,
}

fn compare(record: &Record, now: &Incoming, asked_at: UnixMillis, mut operation: Operation) -> Verdict {
    let seen = observe(Some(record), &record.id, now, asked_at);
    let raced = seen.as_ref().and_then(|seen| {
        let field = match operation.action {
            WriteAction::Delete(_) => seen.fields.keys().next(),
            _ => operation.fields.keys().find(|name| seen.fields.contains_key(*name)),
        };
        match field {
            Some(field) => Some(format!("`{field}` was changed in the tool meanwhile")),
            None => seen.deleted.then(|| "it was removed in the tool meanwhile".to_owned()),
        }
    });
    // What is written around our value, and the version it goes with, are the ones that stand there now.
    operation.known.0.extend(now.fields.0.clone());
    operation.version = now.version.clone().or(operation.version);
    let lost = |why: String| {
        let problem = Problem::new(Code::WriteRaced, why).about(&record.id);
        Failure::new(
            Class::Conflict,
            problem.hint("it is compared again, and written if it is still wanted"),
        )
    };
    Verdict {
        operation: raced.map_or(Ok(operation), |why| Err(lost(why))),
        has_news: seen.is_some(),
    }
}

/// Fields of an operation that the object does not say, with what it says instead. A field that the answer leaves out says
/// nothing about itself.
fn unkept(operation: &Operation, now: &Incoming) -> BTreeMap<FieldName, Option<Value>> {
    let differs = |(name, wanted): (&FieldName, &Option<Value>)| {
        let says = now.fields.0.get(name)?;
        (says != wanted).then(|| (name.clone(), says.clone()))
    };
    operation.fields.iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{CustomerKey, Fields, Kind, Ours};

    fn record() -> Record {
        let mut record = Record::new(StreamId::new("crm", "person").record("7"), UnixMillis(1));
        record.fields = Fields::from([
            ("phone", Value::Text("1".into())),
            ("company", Value::Text("Acme".into())),
        ]);
        record
    }

    fn now(phone: Option<&str>, company: &str) -> Incoming {
        let fields = [
            ("phone".into(), phone.and_then(Value::text)),
            ("company".into(), Value::text(company)),
        ];
        Incoming {
            remote: "7".into(),
            fields: Fields(fields.into()),
            updated_at: None,
            version: Some("v2".into()),
            deleted: false,
            key: None,
            problem: None,
            joined: None,
        }
    }

    fn change(phone: &str) -> Operation {
        Operation {
            id: "op".into(),
            action: WriteAction::Update("7".into()),
            fields: [("phone".into(), Value::text(phone))].into(),
            known: record().fields,
            version: Some("v1".into()),
            key: CustomerKey {
                id: Uuid::from_u128(1),
                kind: Kind::Person,
            },
        }
    }

    #[test]
    fn a_change_of_the_field_itself_is_a_lost_race_and_one_beside_it_is_not() {
        let same = compare(&record(), &now(Some("1"), "Acme"), UnixMillis(9), change("2"));
        assert!(!same.has_news);
        assert_eq!(same.operation.unwrap().version.as_deref(), Some("v2"));
        let beside = compare(&record(), &now(Some("1"), "Globex"), UnixMillis(9), change("2"));
        assert!(beside.has_news);
        assert_eq!(beside.operation.unwrap().known.text("company"), Some("Globex"));
        for theirs in [Some("3"), None] {
            let raced = compare(&record(), &now(theirs, "Acme"), UnixMillis(9), change("2"));
            assert!(raced.has_news);
            let failure = raced.operation.unwrap_err();
            assert_eq!(
                (failure.class, failure.problem.code),
                (Class::Conflict, Code::WriteRaced)
            );
        }
        let mut gone = now(Some("1"), "Acme");
        gone.deleted = true;
        assert!(compare(&record(), &gone, UnixMillis(9), change("2")).operation.is_err());
    }

    #[test]
    fn what_nivel_itself_put_there_is_no_race() {
        let mut record = record();
        record.fields.0.remove("phone");
        let placeholder = Ours {
            value: Value::text("unknown"),
            placeholder: true,
            own: None,
        };
        record.ours.insert("phone".into(), placeholder);
        let verdict = compare(&record, &now(Some("unknown"), "Acme"), UnixMillis(9), change("2"));
        assert!(verdict.operation.is_ok());
    }

    #[test]
    fn p49_a_field_that_did_not_stick_is_told_with_what_stands_there() {
        assert!(unkept(&change("2"), &now(Some("2"), "Acme")).is_empty());
        let dropped = unkept(&change("2"), &now(None, "Acme"));
        assert_eq!(dropped, [("phone".into(), None)].into());
        let coerced = unkept(&change("2 ext. 3"), &now(Some("2"), "Acme"));
        assert_eq!(coerced["phone"], Value::text("2"));
        let mut silent = now(None, "Acme");
        silent.fields.0.remove("phone");
        assert!(unkept(&change("2"), &silent).is_empty());
    }
}
