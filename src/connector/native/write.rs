//! Carries out operations: what is to be made is looked up first, unless the tool itself refuses to make it twice; in
//! batches where it takes them.
//!
//! Every operation gets exactly one outcome. One bad record never takes its batch with it, an object that is already
//! there is told as such instead of made twice or overwritten unread, and what may have been carried out is told as such.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compact_str::CompactString;
use futures::StreamExt;
use serde_json::{Map, Value as Json};

use super::account::{account, unanswered};
use super::plan::{Batch, Entry, Verb, call_names, route, waves};
use super::{Native, Stream};
use crate::connector::link::{Good, Purpose};
use crate::connector::render::{Draft, from_expression};
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Job, Op, WriteOps};
use crate::model::{Done, FieldName, Incoming, Operation, Outcome, Value, WriteAction};

/// How long a job is waited for when the manifest does not say.
const JOB_TIMEOUT: Duration = Duration::from_secs(300);

/// What becomes of an operation after a call.
enum Next<'a> {
    Over(Outcome),
    Again(Batch<'a>),
}

impl Native {
    /// Carries out operations; one outcome for each, in the same order.
    pub(super) async fn write_all(&self, stream: &Stream, operations: &[Operation]) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; operations.len()];
        let mut put = |index: usize, outcome: Outcome| {
            if let Some(place) = outcomes.get_mut(index) {
                *place = Some(outcome);
            }
        };
        let Some(write) = &stream.object.write else {
            return operations
                .iter()
                .map(|_| Err(stream.cannot("write these objects")))
                .collect();
        };
        let mut entries = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            match entry(stream, index, operation.clone()) {
                Ok(entry) if is_empty_update(&entry) => put(index, Ok(unchanged(&entry))),
                Ok(entry) => entries.push(entry),
                Err(failure) => put(index, Err(failure)),
            }
        }
        let (entries, refused) = self.refuse_unlisted(stream, entries).await;
        for (index, failure) in refused {
            put(index, Err(failure));
        }
        let match_by = self
            .specs
            .get(&stream.name)
            .map(|spec| spec.match_by.as_slice())
            .unwrap_or_default();
        for wave in waves(entries, match_by) {
            for (index, outcome) in self.wave(stream, write, wave).await {
                put(index, outcome);
            }
        }
        self.tell_denials(stream, write, operations, &mut outcomes).await;
        let veiled = |outcome: Option<Outcome>| match outcome {
            Some(Ok(done)) => Ok(done),
            Some(Err(failure)) => Err(self.link.veil(failure)),
            None => Err(unanswered()),
        };
        outcomes.into_iter().map(veiled).collect()
    }

    /// Operations of which no two are about the same object.
    async fn wave(&self, stream: &Stream, write: &WriteOps, entries: Vec<Entry>) -> Vec<(usize, Outcome)> {
        let names = self.link.names();
        let mut over = Vec::new();
        let (creates, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.id().is_none());
        let (mut creates, lookups): (Vec<_>, Vec<_>) = creates
            .into_iter()
            .partition(|entry| self.is_never_doubled(stream, write, entry));
        let (deletes, updates): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|entry| matches!(entry.operation.action, WriteAction::Delete(_)));
        let mut absent = Vec::new();
        let looked_up = futures::stream::iter(lookups.into_iter().map(|entry| async {
            let found = self.existing(stream, &entry).await;
            (entry, found)
        }));
        let looked_up: Vec<_> = looked_up.buffered(self.calls).collect().await;
        for (entry, found) in looked_up {
            match found.and_then(|found| found.map(|found| redirect(stream, &entry, found)).transpose()) {
                Ok(Some(update)) if is_empty_update(&update) => over.push((update.index, Ok(unchanged(&update)))),
                Ok(Some(update)) => over.push((update.index, Err(stands_there(&update)))),
                Ok(None) => absent.push(entry),
                Err(failure) => over.push((entry.index, Err(failure))),
            }
        }
        // An upsert of something that was never read would overwrite it: it is looked up like every other create.
        let (mut batches, rest) = route(stream, Verb::Upsert, &write.upsert, absent, &names);
        creates.extend(rest);
        for (verb, ops, entries) in [
            (Verb::Create, &write.create, creates),
            (Verb::Update, &write.update, updates),
            (Verb::Delete, &write.delete, deletes),
        ] {
            let (more, rest) = route(stream, verb, ops, entries, &names);
            batches.extend(more);
            let cannot = |entry: Entry| (entry.index, Err(stream.cannot(&format!("{} this object", verb.word()))));
            over.extend(rest.into_iter().map(cannot));
        }
        let mut calls = Vec::with_capacity(batches.len());
        for batch in batches {
            calls.push(self.batch(stream, write, batch));
        }
        let ended: Vec<_> = futures::stream::iter(calls).buffered(self.calls).collect().await;
        over.extend(ended.into_iter().flatten());
        over
    }

    /// The tool itself refuses a second object with any of the values that this one could be found by.
    fn is_never_doubled(&self, stream: &Stream, write: &WriteOps, entry: &Entry) -> bool {
        let specs = self.specs.get(&stream.name).map(|spec| spec.match_by.as_slice());
        let mut known_by = specs
            .unwrap_or_default()
            .iter()
            .filter(|by| entry.value(by.as_str()).is_some())
            .peekable();
        known_by.peek().is_some() && known_by.all(|by| stream.is_refused_twice(write, by))
    }

    /// One batch to its end: halves it around a bad record, follows objects that are elsewhere.
    async fn batch<'a>(&self, stream: &Stream, write: &'a WriteOps, batch: Batch<'a>) -> Vec<(usize, Outcome)> {
        let mut over = Vec::new();
        let mut work = vec![batch];
        while let Some(mut batch) = work.pop() {
            let outcomes = match self.send(stream, write, &batch).await {
                Ok(outcomes) => outcomes,
                Err(failure) if batch.entries.len() > 1 && is_about_a_record(failure.class) => {
                    let half = batch.entries.split_off(batch.entries.len() / 2);
                    let (verb, op) = (batch.verb, batch.op);
                    work.push(Batch {
                        verb,
                        op,
                        entries: half,
                    });
                    work.push(batch);
                    continue;
                }
                Err(failure) => vec![Some(Err(failure)); batch.entries.len()],
            };
            for (entry, outcome) in batch.entries.into_iter().zip(outcomes) {
                let index = entry.index;
                let outcome = outcome.unwrap_or_else(|| Err(unanswered()));
                match self.follow(stream, write, batch.verb, entry, outcome).await {
                    Next::Over(outcome) => over.push((index, outcome)),
                    Next::Again(batch) => work.push(batch),
                }
            }
        }
        over
    }

    pub(super) async fn send(
        &self,
        stream: &Stream,
        write: &WriteOps,
        batch: &Batch<'_>,
    ) -> Result<Vec<Option<Outcome>>, Failure> {
        let op = batch.op;
        if let Some(each) = &op.each {
            return self.send_each(stream, write, batch, each).await;
        }
        let draft = self
            .draft_write(stream, batch)
            .map_err(|why| from_expression(&why, false))?;
        let key = match batch.entries.as_slice() {
            [one] => one.key(stream, op).map(|key| crate::connector::classify::text_of(&key)),
            _ => None,
        };
        let purpose = Purpose {
            op: batch.verb.word(),
            key: key.as_deref(),
            is_read: false,
        };
        let mut good = self.link.call(&draft, purpose).await?;
        if let Some(job) = &op.job {
            let names = call_names(stream, batch, self.link.names());
            good = self.wait_for(job, good, names).await?;
        }
        Ok(account(stream, &write.result, batch, &good))
    }

    fn draft_write(&self, stream: &Stream, batch: &Batch<'_>) -> Result<Draft, crate::manifest::BadExpression> {
        let op: &Op = batch.op;
        let names = call_names(stream, batch, self.link.names());
        let mut draft =
            Draft::new(&op.request, &op.query, op.body.as_ref(), &names)?.with_headers(&op.headers, &names)?;
        if let (Some(list), Some(item)) = (&op.list, &op.item) {
            // A batch is long and an item uses few names.
            let used: BTreeSet<String> = item.names();
            let is_used = |name: &str| used.iter().any(|used| used.split('.').next() == Some(name));
            let items = batch
                .entries
                .iter()
                .map(|entry| item.render(&entry.names(stream, op, names.clone(), is_used)));
            let items = items.collect::<Result<Vec<Json>, _>>()?;
            let body = draft.body.get_or_insert_with(|| Json::Object(Map::new()));
            list.put(body, Some(Json::Array(items)), &Json::Null);
        }
        Ok(draft)
    }

    /// Waits until a job is over and returns its last state.
    async fn wait_for(&self, job: &Job, begun: Good, names: crate::manifest::Context) -> Result<Good, Failure> {
        let Some(id) = job.id.find(&begun.body).value().map(std::borrow::Cow::into_owned) else {
            return Err(unanswered());
        };
        let names = names.with("job", &serde_json::json!({"id": id}));
        let draft = Draft::new(&job.poll, &super::lookup::NoQuery::new(), None, &names);
        let draft = draft.map_err(|why| from_expression(&why, false))?;
        let timeout = job.timeout.map_or(JOB_TIMEOUT, |timeout| timeout.0);
        let every = job.every.0.max(Duration::from_millis(50));
        let mut last = begun;
        let mut waited = Duration::ZERO;
        while !job.done.holds_on(&last.body) {
            if waited >= timeout {
                return Err(unanswered());
            }
            self.link.timer().wait(every).await;
            waited += every;
            last = match self.link.call(&draft, Purpose::read("job")).await {
                Ok(good) => good,
                // The write itself was accepted: a poll that fails leaves its outcome open, whatever the reason.
                Err(failure) if failure.class == Class::Transient => continue,
                Err(failure) => {
                    return Err(Failure {
                        class: Class::Transient,
                        ambiguous: true,
                        ..failure
                    });
                }
            };
        }
        Ok(last)
    }

    /// What becomes of an operation: it is over, or it is sent again to the object that is really meant.
    async fn follow<'a>(
        &self,
        stream: &Stream,
        write: &'a WriteOps,
        verb: Verb,
        entry: Entry,
        outcome: Outcome,
    ) -> Next<'a> {
        let mut failure = match outcome {
            Ok(done) if done.remote.is_empty() => return Next::Over(self.look_up_id(stream, &entry, done).await),
            Ok(done) => {
                let created = done.created && !entry.is_redirected;
                return Next::Over(Ok(Done { created, ..done }));
            }
            Err(failure) => failure,
        };
        let target = match failure.class {
            Class::Ignore => return Next::Over(Ok(unchanged(&entry))),
            Class::Gone if verb == Verb::Delete => return Next::Over(Ok(unchanged(&entry))),
            Class::Exists if matches!(verb, Verb::Create | Verb::Upsert) => {
                self.in_the_way(stream, &entry, &failure).await
            }
            Class::Merged if verb == Verb::Update => Ok(failure.remote.clone().map(Existing::Id)),
            _ => Ok(None),
        };
        let target = match target {
            Ok(target) => target.filter(|_| !entry.is_redirected),
            Err(other) => return Next::Over(Err(other)),
        };
        let Some(target) = target else {
            if failure.ambiguous && verb == Verb::Create {
                failure.problem.code = Code::CreateUnknown;
            }
            return Next::Over(Err(failure));
        };
        let redirected = match target {
            Existing::Id(id) => redirect_to(stream, &entry, id),
            Existing::Object(found) => redirect(stream, &entry, *found),
        };
        match redirected {
            Err(failure) => Next::Over(Err(failure)),
            Ok(update) if is_empty_update(&update) => Next::Over(Ok(unchanged(&update))),
            Ok(update) if verb != Verb::Update => Next::Over(Err(stands_there(&update))),
            Ok(update) => {
                let (mut batches, rest) = route(stream, Verb::Update, &write.update, vec![update], &self.link.names());
                match (batches.pop(), rest.first()) {
                    (Some(batch), _) => Next::Again(batch),
                    // It is there and cannot be changed: to know it is all that can be had.
                    (None, Some(update)) => Next::Over(Ok(unchanged(update))),
                    (None, None) => Next::Over(Err(failure)),
                }
            }
        }
    }

    /// A good answer without an id: the object is looked up, or its outcome is open.
    async fn look_up_id(&self, stream: &Stream, entry: &Entry, done: Done) -> Outcome {
        match self.existing(stream, entry).await {
            Ok(Some(found)) => Ok(Done {
                remote: found.remote,
                updated_at: done.updated_at.or(found.updated_at),
                ..done
            }),
            Ok(None) => Err(unanswered()),
            Err(failure) => Err(Failure {
                ambiguous: true,
                class: Class::Transient,
                ..failure
            }),
        }
    }

    /// The object that a create met: by the id of the answer, else by what it can be found by.
    async fn in_the_way(&self, stream: &Stream, entry: &Entry, failure: &Failure) -> Result<Option<Existing>, Failure> {
        if let Some(id) = &failure.remote {
            return Ok(Some(Existing::Id(id.clone())));
        }
        for (by, value) in self.findable(stream, entry) {
            if let Some(found) = self.find_known(stream, &by, &value).await? {
                return Ok(Some(Existing::Object(Box::new(found))));
            }
        }
        Ok(None)
    }

    /// The object that an operation is about, by the first of its match fields that finds one.
    async fn existing(&self, stream: &Stream, entry: &Entry) -> Result<Option<Incoming>, Failure> {
        for (by, value) in self.findable(stream, entry) {
            if let Some(found) = self.find_one(stream, &by, &value).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What the object of an operation can be looked up by, best first.
    fn findable(&self, stream: &Stream, entry: &Entry) -> Vec<(FieldName, Value)> {
        let match_by = self
            .specs
            .get(&stream.name)
            .map(|spec| spec.match_by.as_slice())
            .unwrap_or_default();
        let known = match_by.iter().filter(|by| stream.find_by(by).is_some());
        known
            .filter_map(|by| Some((by.clone(), entry.value(by.as_str())?)))
            .collect()
    }
}

impl Stream {
    /// The tool itself refuses a second object with the same value in this field.
    pub(super) fn is_refused_twice(&self, write: &WriteOps, by: &FieldName) -> bool {
        let name = self.own_name(by);
        let refuses = |op: &Op| op.refuses.iter().any(|refused| refused == name);
        !write.create.is_empty() && write.create.iter().all(refuses)
    }
}

/// An object that is already there.
enum Existing {
    Id(CompactString),
    Object(Box<Incoming>),
}

fn entry(stream: &Stream, index: usize, operation: Operation) -> Result<Entry, Failure> {
    let remote = stream.mapper.fields_out(&operation);
    Ok(Entry {
        index,
        remote: remote.map_err(|problem| Failure::new(Class::Invalid, problem))?,
        operation,
        is_redirected: false,
    })
}

/// The operation as a change of an object that was found. Only what differs from it is written.
fn redirect(stream: &Stream, from: &Entry, found: Incoming) -> Result<Entry, Failure> {
    let mut operation = from.operation.clone();
    operation
        .fields
        .retain(|name, value| found.fields.0.get(name).is_none_or(|there| there != value));
    operation.action = WriteAction::Update(found.remote);
    operation.known = found.fields;
    let made = entry(stream, from.index, operation)?;
    Ok(Entry {
        is_redirected: true,
        ..made
    })
}

/// The operation as a change of an object of which only the id is known.
fn redirect_to(stream: &Stream, from: &Entry, id: CompactString) -> Result<Entry, Failure> {
    let mut operation = from.operation.clone();
    operation.action = WriteAction::Update(id);
    let made = entry(stream, from.index, operation)?;
    Ok(Entry {
        is_redirected: true,
        ..made
    })
}

/// The object is there and says something else. It has its own say before anything is written to it.
fn stands_there(found: &Entry) -> Failure {
    let id = found.id().cloned();
    let problem = Problem::new(
        Code::WriteRefused,
        "the object is there already and is read before it is changed",
    )
    .about(id.clone().unwrap_or_default());
    Failure {
        remote: id,
        ..Failure::new(Class::Exists, problem)
    }
}

/// Nothing of what changed is kept in this tool.
fn is_empty_update(entry: &Entry) -> bool {
    let is_update = matches!(entry.operation.action, WriteAction::Update(_));
    is_update && entry.remote.as_object().is_some_and(Map::is_empty)
}

fn unchanged(entry: &Entry) -> Done {
    Done {
        remote: entry.id().cloned().unwrap_or_default(),
        updated_at: None,
        version: None,
        created: false,
        unkept: BTreeMap::new(),
    }
}

/// Classes that say something about one record, not about the call.
fn is_about_a_record(class: Class) -> bool {
    matches!(
        class,
        Class::Invalid | Class::Exists | Class::Conflict | Class::Gone | Class::Merged | Class::Compliance
    )
}
