//! What came: the rows of an answer, their records, and whether the list still moves. Pure.

use std::borrow::Cow;

use compact_str::CompactString;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::Stream;
use super::place::{Aim, Position, Task};
use super::read::{no_progress, not_a_list};
use crate::connector::from_answer::told;
use crate::connector::link::Good;
use crate::error::Failure;
use crate::manifest::{Found, Path, Read};
use crate::model::Incoming;

/// How many empty pages may follow each other.
const EMPTY_MAX: u32 = 1000;
/// How often a page may come again behind a token of its own.
const REPEATS_MAX: u32 = 2;

/// How the id of a row begins that has none.
pub(super) const NO_ID: &str = "no-id-";

/// The rows of a list. An answer without the list is never an empty list.
pub(super) fn rows<'a>(read: &Read, task: &Task, good: &'a Good) -> Result<Vec<Cow<'a, Json>>, Failure> {
    let path: &Path = match (task.aim, &read.deletes, &read.job, &task.job) {
        (Aim::Removals, Some(deletes), ..) => &deletes.records,
        (.., Some(words), Some(_)) => &words.results.records,
        _ => &read.records,
    };
    if good.body.is_null() && task.job.is_none() {
        return Ok(Vec::new());
    }
    let rows = list_at(path, &good.body)?;
    let count = read.job.as_ref().filter(|_| task.job.is_some());
    let count = count.and_then(|words| words.results.count.as_ref());
    match count.map(|count| told(count, &good.answer, &good.body)) {
        Some(count)
            if count
                .as_deref()
                .is_none_or(|count| count.trim() != rows.len().to_string()) =>
        {
            Err(not_a_list("has another number of rows than it says"))
        }
        _ => Ok(rows),
    }
}

/// The list at a place of an answer; without it the answer is not understood.
pub(super) fn list_at<'a>(path: &Path, body: &'a Json) -> Result<Vec<Cow<'a, Json>>, Failure> {
    match path.find(body) {
        Found::Absent => Err(not_a_list(&format!("has no `{path}`"))),
        // A list that is the whole answer cannot be an object: that is something else, an error perhaps.
        Found::Value(value) if !value.is_array() && (path.is_root() || !value.is_object()) => {
            Err(not_a_list(&format!("has something at `{path}` that is not a list")))
        }
        Found::Empty | Found::Value(_) => Ok(path.rows(body)),
    }
}

/// The records of a page's rows.
pub(super) fn records(stream: &Stream, task: &Task, rows: &[Cow<'_, Json>]) -> Vec<Incoming> {
    match (&stream.removals, task.aim) {
        (Some(mapper), Aim::Removals) => {
            let rows = rows.iter().map(|row| mapper.record_in(row));
            // The list cannot always be filtered; what was removed before this window was told by an earlier one.
            let rows = rows.filter(|record| record.updated_at.is_none_or(|at| at >= task.since));
            rows.map(|record| Incoming {
                deleted: true,
                ..record
            })
            .collect()
        }
        _ => rows
            .iter()
            .map(|row| stream.below(task.parent.as_ref(), with_id(stream.mapper.record_in(row), row)))
            .collect(),
    }
}

/// A row without an id gets one from its content, so that it is kept and told like every other that cannot be used.
fn with_id(mut record: Incoming, row: &Json) -> Incoming {
    if record.remote.is_empty() {
        let digest = Sha256::digest(row.to_string());
        let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        record.remote = CompactString::from(format!("{NO_ID}{hex}"));
    }
    record
}

/// First and last record of a page, and how many there are; nothing for an empty page.
pub(super) fn signature(records: &[Incoming]) -> Option<String> {
    let (first, last) = (records.first()?, records.last()?);
    let at = |record: &Incoming| record.updated_at.map_or(0, |at| at.0);
    Some(format!(
        "{} {}@{} {}@{}",
        records.len(),
        first.remote,
        at(first),
        last.remote,
        at(last)
    ))
}

/// The same rows twice are a list that does not advance when we count ourselves: the tool ignores the position. A list
/// with tokens of its own may send a page again on the way, but not for ever.
pub(super) fn notice_repeats(task: &mut Task, signature: Option<String>) -> Result<(), Failure> {
    let is_empty = signature.is_none();
    task.repeats = if signature == task.last { task.repeats + 1 } else { 0 };
    task.last = signature;
    if is_empty {
        let is_endless = task.repeats > EMPTY_MAX;
        return if is_endless {
            Err(no_progress("sends empty pages without an end"))
        } else {
            Ok(())
        };
    }
    let is_counted = matches!(task.page, Position::Offset(_) | Position::Number(_));
    if task.repeats > if is_counted { 0 } else { REPEATS_MAX } {
        return Err(no_progress("sent the same page again"));
    }
    Ok(())
}
