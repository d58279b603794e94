//! Finds every operation of a call in its answer: done, failed, or not mentioned. Success is never assumed. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use serde_json::{Value as Json, json};

use super::Stream;
use super::plan::{Batch, Entry, Verb};
use crate::connector::classify::{code_of, shorten, text_of};
use crate::connector::from_answer::told;
use crate::connector::link::Good;
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Answer, FailedRows, OkRows, Path, Results, RowKey};
use crate::model::{Done, Outcome, UnixMillis};

/// How each operation of the batch ended; `None` for one that the answer does not mention.
pub(super) fn account(stream: &Stream, results: &Results, batch: &Batch<'_>, good: &Good) -> Vec<Option<Outcome>> {
    match batch.op.answer() {
        Answer::Status => batch.entries.iter().map(|entry| Some(Ok(done(entry, None)))).collect(),
        Answer::One => {
            let mut outcomes = vec![None; batch.entries.len()];
            if let ([entry], Some(outcome)) = (batch.entries.as_slice(), outcomes.first_mut()) {
                *outcome = one(stream, results, entry, good).map(Ok);
            }
            outcomes
        }
        Answer::Rows => by_rows(stream, results, batch, &good.body),
    }
}

/// The failure of an operation that the answer does not mention.
pub(super) fn unanswered() -> Failure {
    let problem = Problem::new(Code::WriteUnanswered, "the answer to the write does not mention it");
    Failure {
        ambiguous: true,
        ..Failure::new(Class::Transient, problem)
    }
}

/// Done, with the id of the answer or else the one that was asked for. An empty id is looked up by the caller.
fn done(entry: &Entry, id: Option<CompactString>) -> Done {
    Done {
        remote: id.or_else(|| entry.id().cloned()).unwrap_or_default(),
        updated_at: None,
        version: None,
        created: false,
        unkept: BTreeMap::new(),
    }
}

/// Nothing, when the answer has a body and not the id that it should have: tools put errors into a 200.
pub(super) fn one(stream: &Stream, results: &Results, entry: &Entry, good: &Good) -> Option<Done> {
    let Some(one) = &results.one else {
        return Some(done(entry, stream.mapper.id_in(&good.body)));
    };
    let id = one.id.as_ref().and_then(|place| told(place, &good.answer, &good.body));
    let id: Option<CompactString> = id.map(Into::into);
    let lacks_id = one.id.is_some() && id.is_none() && good.body.as_object().is_some_and(|body| !body.is_empty());
    if lacks_id && entry.id().is_some() {
        return None;
    }
    let created = one.created.as_ref().map(|created| {
        let mut names = good.body.as_object().cloned().unwrap_or_default();
        names.insert("status_code".to_owned(), json!(good.answer.status));
        created.holds_on(&Json::Object(names))
    });
    Some(Done {
        updated_at: one.modified.as_ref().and_then(|path| time(stream, path, &good.body)),
        version: one.version.as_ref().and_then(|path| text(path, &good.body)),
        created: created.unwrap_or_else(|| entry.id().is_none()),
        ..done(entry, id)
    })
}

fn by_rows(stream: &Stream, results: &Results, batch: &Batch<'_>, body: &Json) -> Vec<Option<Outcome>> {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.entries.len()];
    let names = Names::of_batch(stream, batch);
    for ok in &*results.ok {
        for (at, row) in rows(&names, &ok.rows, &ok.op, body) {
            if let (Some(entry), Some(outcome)) = (batch.entries.get(at), outcomes.get_mut(at)) {
                *outcome = Some(Ok(done_row(stream, batch.verb, ok, entry, &row)));
            }
        }
    }
    // A row among the failed ones counts for more than one among the good: nothing is taken for written that is not.
    for failed in &*results.failed {
        for (at, row) in rows(&names, &failed.rows, &failed.op, body) {
            if let Some(outcome) = outcomes.get_mut(at) {
                *outcome = Some(Err(failed_row(results, failed, &row)));
            }
        }
    }
    outcomes
}

fn done_row(stream: &Stream, verb: Verb, ok: &OkRows, entry: &Entry, row: &Json) -> Done {
    let created = ok.created.as_ref().map(|created| created.holds_on(row));
    Done {
        updated_at: ok.modified.as_ref().and_then(|path| time(stream, path, row)),
        version: ok.version.as_ref().and_then(|path| text(path, row)),
        created: created.unwrap_or(verb == Verb::Create),
        ..done(entry, ok.id.as_ref().and_then(|path| text(path, row)))
    }
}

fn failed_row(results: &Results, failed: &FailedRows, row: &Json) -> Failure {
    let code = failed.class_at.as_ref().and_then(|path| text(path, row));
    let by_code = code.as_ref().and_then(|code| results.classes.get(code));
    let by_code = by_code.or_else(|| results.classes.get("*")).copied();
    let class = if failed.exists.as_ref().is_some_and(|exists| exists.holds_on(row)) {
        Class::Exists
    } else {
        by_code.unwrap_or(Class::Invalid)
    };
    let words = failed.message.as_ref().and_then(|path| text(path, row));
    let words = words
        .or_else(|| code.clone())
        .unwrap_or_else(|| "no reason given".into());
    let problem = Problem::new(code_of(class, false), format!("the tool answered: {}", shorten(&words)));
    Failure {
        remote: failed.id.as_ref().and_then(|path| text(path, row)),
        ..Failure::new(class, problem)
    }
}

/// The rows at a path, each with the position of the operation it is about.
fn rows<'a>(names: &Names, path: &Path, key: &RowKey, body: &'a Json) -> Vec<(usize, Cow<'a, Json>)> {
    let mut found = Vec::new();
    for (position, row) in path.rows(body).into_iter().enumerate() {
        match key {
            // The rows may have been filtered; what counts is the position in the tool's own list.
            RowKey::Index => found.push((position_in(body, &row).unwrap_or(position), row)),
            RowKey::Path(path) => {
                let meant: BTreeSet<usize> = path
                    .all(&row)
                    .iter()
                    .flat_map(|name| names.of(&text_of(name)))
                    .collect();
                found.extend(meant.into_iter().map(|at| (at, row.clone())));
            }
        }
    }
    found
}

/// What the operations of a batch are called in its answer: by our own id for them, or by what the object was addressed
/// by, whatever its case.
struct Names {
    by_id: BTreeMap<CompactString, Vec<usize>>,
    by_key: BTreeMap<String, Vec<usize>>,
}

impl Names {
    fn of_batch(stream: &Stream, batch: &Batch<'_>) -> Self {
        let mut names = Self {
            by_id: BTreeMap::new(),
            by_key: BTreeMap::new(),
        };
        for (at, entry) in batch.entries.iter().enumerate() {
            names.by_id.entry(entry.operation.id.clone()).or_default().push(at);
            let key = entry.key(stream, batch.op).map(|key| text_of(&key).to_lowercase());
            if let Some(key) = key.filter(|key| !key.is_empty()) {
                names.by_key.entry(key).or_default().push(at);
            }
        }
        names
    }

    fn of(&self, name: &str) -> Vec<usize> {
        let by_id = self.by_id.get(name).into_iter().flatten();
        by_id
            .chain(self.by_key.get(&name.to_lowercase()).into_iter().flatten())
            .copied()
            .collect()
    }
}

/// The position of an element in the list it is part of.
fn position_in(body: &Json, row: &Json) -> Option<usize> {
    match body {
        Json::Array(items) => {
            let here = items.iter().position(|item| std::ptr::eq(item, row));
            here.or_else(|| items.iter().find_map(|item| position_in(item, row)))
        }
        Json::Object(map) => map.values().find_map(|value| position_in(value, row)),
        _ => None,
    }
}

fn text(path: &Path, from: &Json) -> Option<CompactString> {
    let value = path.find(from).value()?;
    Some(text_of(&value)).filter(|text| !text.is_empty()).map(Into::into)
}

fn time(stream: &Stream, path: &Path, from: &Json) -> Option<UnixMillis> {
    let value = path.find(from).value()?;
    stream.time_in(&value)
}
