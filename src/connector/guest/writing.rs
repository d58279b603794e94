//! Looks objects up and writes them through a program of our own language.
//!
//! Every operation gets exactly one outcome: what the program said of its row, or that nobody knows. What is to be made is
//! looked up first, so a row whose answer was lost is found instead of made again.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use serde_json::{Map, Value as Json, json};

use super::session::{Answer, Session, outcome_of, rounds, unanswered};
use super::{GuestConnection, Stream};
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::Can;
use crate::model::{Done, FieldName, Incoming, Operation, Outcome, Value, WriteAction};

/// An operation on its way, with its place among those handed in.
struct Row {
    index: usize,
    operation: Operation,
    /// What the program gets of it.
    remote: Json,
}

impl Row {
    fn id(&self) -> Option<&CompactString> {
        match &self.operation.action {
            WriteAction::Create => None,
            WriteAction::Update(id) | WriteAction::Delete(id) => Some(id),
        }
    }

    fn needed(&self) -> Can {
        match self.operation.action {
            WriteAction::Create => Can::Create,
            WriteAction::Update(_) => Can::Update,
            WriteAction::Delete(_) => Can::Delete,
        }
    }

    fn value(&self, field: &FieldName) -> Option<Value> {
        if field.as_str() == "key" {
            return Value::text(&self.operation.key.to_string());
        }
        self.operation.fields.get(field).cloned().flatten()
    }

    fn is_empty_update(&self) -> bool {
        let is_update = matches!(self.operation.action, WriteAction::Update(_));
        is_update && self.remote.as_object().is_some_and(Map::is_empty)
    }

    fn unchanged(&self) -> Done {
        Done {
            remote: self.id().cloned().unwrap_or_default(),
            updated_at: None,
            version: None,
            created: false,
            unkept: BTreeMap::new(),
        }
    }

    /// What the program gets.
    fn message(&self) -> Json {
        let operation = &self.operation;
        let action = match operation.action {
            WriteAction::Create => "create",
            WriteAction::Update(_) => "update",
            WriteAction::Delete(_) => "delete",
        };
        json!({
            "op": operation.id,
            "action": action,
            "id": self.id(),
            "fields": self.remote,
            "version": operation.version,
            "key": operation.key.to_string(),
        })
    }
}

impl GuestConnection {
    /// Asks the program that answers questions; one that does not answer is replaced at the next question.
    pub(super) async fn question(&self, question: Json) -> Answer {
        let mut kept = self.session.lock().await;
        let mut session = match kept.take().filter(Session::is_fresh) {
            Some(session) => session,
            None => match self.open().await {
                Ok(session) => session,
                Err(failure) => {
                    return Answer {
                        failure: Some(failure),
                        ..Answer::default()
                    };
                }
            },
        };
        let answer = session.ask(question).await;
        // An answer, good or bad, keeps it; silence does not. One whose settings change begins with those of the moment.
        if !answer.body.is_null() && self.kept.returns.is_empty() {
            *kept = Some(session);
        }
        answer
    }

    async fn objects(&self, stream: &Stream, question: Json) -> Result<Vec<Incoming>, Failure> {
        let answer = self.question(question).await;
        if let Some(failure) = answer.failure {
            return Err(failure);
        }
        let Some(objects) = answer.body.get("objects").and_then(Json::as_array) else {
            return Err(super::problem::foul(&self.system, "an answer without `objects`"));
        };
        let records = objects.iter().map(|object| stream.mapper.record_in(object));
        Ok(records.filter(|record| !record.remote.is_empty()).collect())
    }

    pub(super) async fn get_all(&self, stream: &Stream, remotes: &[CompactString]) -> Result<Vec<Incoming>, Failure> {
        stream.must(Can::Get)?;
        if remotes.is_empty() {
            return Ok(Vec::new());
        }
        let question = json!({"type": "get", "stream": stream.source.stream, "ids": remotes});
        self.objects(stream, question).await
    }

    /// The object with this value; what comes back is compared again, for a program may search less strictly than we ask.
    pub(super) async fn find_one(
        &self,
        stream: &Stream,
        by: &FieldName,
        value: &Value,
    ) -> Result<Option<Incoming>, Failure> {
        stream.must(Can::Find)?;
        let own = stream.own_name(by);
        let question = json!({
            "type": "find",
            "stream": stream.source.stream,
            "by": stream.remote_name(own),
            "value": stream.mapper.value_out(own, value),
        });
        let mut found = self.objects(stream, question).await?;
        found.retain(|record| !record.deleted && has_value(record, by, value));
        Ok(found
            .into_iter()
            .min_by_key(|record| (record.remote.len(), record.remote.clone())))
    }

    /// Carries out operations; one outcome for each, in the same order.
    pub(super) async fn write_all(&self, stream: &Stream, operations: &[Operation]) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; operations.len()];
        let mut rows = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            match row(stream, index, operation.clone()) {
                Ok(row) if row.is_empty_update() => put(&mut outcomes, index, Ok(row.unchanged())),
                Ok(row) => rows.push(row),
                Err(failure) => put(&mut outcomes, index, Err(failure)),
            }
        }
        let match_by = self
            .specs
            .get(&stream.name)
            .map(|spec| spec.match_by.clone())
            .unwrap_or_default();
        for round in rounds(rows, |row| marks(row, &match_by)) {
            let mut absent = Vec::new();
            for row in round {
                let looked = if row.id().is_none() {
                    self.stands_there(stream, &match_by, &row).await
                } else {
                    Ok(None)
                };
                match looked {
                    Ok(Some(outcome)) => put(&mut outcomes, row.index, outcome),
                    Ok(None) => absent.push(row),
                    Err(failure) => put(&mut outcomes, row.index, Err(failure)),
                }
            }
            if !absent.is_empty() {
                self.send(stream, &absent, &mut outcomes).await;
            }
        }
        let all = outcomes.into_iter();
        all.map(|outcome| outcome.unwrap_or_else(|| Err(unanswered("the program did not say what became of it"))))
            .collect()
    }

    /// What becomes of a create whose object is there already: it has its own say before anything is written to it.
    async fn stands_there(
        &self,
        stream: &Stream,
        match_by: &[FieldName],
        row: &Row,
    ) -> Result<Option<Outcome>, Failure> {
        for by in match_by {
            let Some(value) = row.value(by) else { continue };
            let Some(found) = self.find_one(stream, by, &value).await? else {
                continue;
            };
            let mut operation = row.operation.clone();
            let is_other =
                |name: &FieldName, value: &Option<Value>| found.fields.0.get(name).is_none_or(|there| there != value);
            operation.fields.retain(|name, value| is_other(name, value));
            operation.action = WriteAction::Update(found.remote.clone());
            operation.known = found.fields;
            let update = self::row(stream, row.index, operation)?;
            if update.is_empty_update() {
                return Ok(Some(Ok(update.unchanged())));
            }
            let message = "the object is there already and is read before it is changed";
            let problem = Problem::new(Code::WriteRefused, message).about(&found.remote);
            return Ok(Some(Err(Failure {
                remote: Some(found.remote),
                ..Failure::new(Class::Exists, problem)
            })));
        }
        Ok(None)
    }

    async fn send(&self, stream: &Stream, rows: &[Row], outcomes: &mut [Option<Outcome>]) {
        let messages: Vec<Json> = rows.iter().map(Row::message).collect();
        let question = json!({"type": "write", "stream": stream.source.stream, "rows": messages});
        let sent = crate::fault::effect("send", self.question(question)).await;
        let answer = sent.unwrap_or_default();
        let was_refused = !answer.body.is_null();
        for row in rows {
            let outcome = match (answer.rows.get(&row.operation.id), &answer.failure) {
                (Some(told), _) => outcome_of(&self.system, told, row.id()),
                // An answer that refuses everything is about every row that it did not speak of.
                (None, Some(failure)) if was_refused => Err(failure.clone()),
                (None, Some(failure)) => Err(lost(row, failure)),
                (None, None) => Err(lost(row, &unanswered("the program did not say what became of it"))),
            };
            let outcome = match outcome {
                Err(failure) if failure.class == Class::Gone && row.needed() == Can::Delete => Ok(row.unchanged()),
                other => other,
            };
            put(outcomes, row.index, outcome);
        }
    }
}

/// Nobody knows what became of a row.
fn lost(row: &Row, failure: &Failure) -> Failure {
    let code = match row.operation.action {
        WriteAction::Create => Code::CreateUnknown,
        _ => Code::WriteUnanswered,
    };
    Failure {
        class: Class::Transient,
        ambiguous: true,
        problem: Problem {
            code,
            ..failure.problem.clone()
        },
        ..failure.clone()
    }
}

fn put(outcomes: &mut [Option<Outcome>], index: usize, outcome: Outcome) {
    if let Some(place) = outcomes.get_mut(index) {
        *place = Some(outcome);
    }
}

fn row(stream: &Stream, index: usize, operation: Operation) -> Result<Row, Failure> {
    let remote = stream.mapper.fields_out(&operation);
    let row = Row {
        index,
        remote: remote.map_err(|problem| Failure::new(Class::Invalid, problem))?,
        operation,
    };
    stream.must(row.needed())?;
    Ok(row)
}

/// What tells rows about one object: its id, or what it could be found by.
fn marks(row: &Row, match_by: &[FieldName]) -> BTreeSet<String> {
    let found_by = match_by
        .iter()
        .filter_map(|by| Some(format!("{by}={}", row.value(by)?)));
    row.id()
        .map(|id| format!("id={id}"))
        .into_iter()
        .chain(found_by)
        .collect()
}

fn has_value(record: &Incoming, by: &FieldName, value: &Value) -> bool {
    if by.as_str() == "key" {
        let key = record.key.map(|key| key.to_string());
        return key.as_deref() == value.as_text();
    }
    record.fields.value(by.as_str()) == Some(value)
}

impl Stream {
    fn must(&self, what: Can) -> Result<(), Failure> {
        if self.object.guest_can(what) {
            return Ok(());
        }
        let word = match what {
            Can::Get => "read single objects",
            Can::Find => "look objects up",
            Can::Create => "make objects",
            Can::Update => "change objects",
            Can::Delete => "remove objects",
        };
        let problem = Problem::new(Code::NotAllowed, format!("the program cannot {word}")).about(&self.name);
        Err(Failure::new(Class::Forbidden, problem))
    }

    /// The manifest's name of a field that the rest of Nivel may spell `key`.
    fn own_name<'a>(&'a self, by: &'a FieldName) -> &'a str {
        match self.object.key_field() {
            Some(key) if by.as_str() == "key" => key.as_str(),
            _ => by.as_str(),
        }
    }

    /// Where the program keeps a field.
    fn remote_name(&self, field: &str) -> String {
        let found = self
            .object
            .fields
            .by_name
            .iter()
            .find(|(name, _)| name.as_str() == field);
        found.map_or_else(|| field.to_owned(), |(_, field)| field.to.to_string())
    }
}
