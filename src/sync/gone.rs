//! An object that was to be changed, and that the tool says is gone: it may live on in another one.
//!
//! First the tool is asked for it by id: one that merged two objects answers with the one that is left. Then it is looked
//! for by what identifies it. Only when both find nothing it is gone.

use std::sync::Arc;

use compact_str::CompactString;

use super::engine::Engine;
use super::whereabouts::look_for;
use crate::connector::Connection;
use crate::error::{Class, Failure};
use crate::ledger::{Error as LedgerError, Slot, View, Write};
use crate::merge::KEY_FIELD;
use crate::model::{FieldName, Outcome, StreamId, Value};

impl Engine {
    /// Turns "gone" into "merged" where the object lives on, and into "try again" where that cannot be found out.
    pub(super) async fn follow_gone(
        &self,
        connection: &Arc<dyn Connection>,
        stream: &StreamId,
        answers: &mut [(Write, Outcome)],
        view: &View,
    ) -> Result<(), LedgerError> {
        let mut gone: Vec<(&Write, &mut Failure, CompactString)> = answers
            .iter_mut()
            .filter_map(|(write, outcome)| lost(write, outcome))
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        let ids: Vec<CompactString> = gone.iter().map(|(.., id)| id.clone()).collect();
        let can_get = connection
            .streams()
            .get(&stream.stream)
            .is_some_and(|spec| spec.can_get);
        let mut merged = Vec::new();
        let mut there = Vec::new();
        if can_get {
            match look_for(connection.as_ref(), &stream.stream, &ids).await {
                Ok(whereabouts) => {
                    there.extend(
                        whereabouts
                            .found
                            .into_iter()
                            .filter(|object| !object.deleted)
                            .map(|object| object.remote),
                    );
                    merged = whereabouts.merged;
                }
                Err(_) => there = ids,
            }
        }
        self.link(stream, &merged).await?;
        for (write, failure, id) in &mut gone {
            if let Some((survivor, _)) = merged.iter().find(|(_, lost)| lost == id) {
                failure.class = Class::Merged;
                failure.remote = Some(survivor.clone());
            } else if there.contains(id) {
                // It is there, or nobody knows: what the tool said of the write is not believed.
                failure.class = Class::Transient;
            } else {
                match rematch(connection.as_ref(), stream, write, id, view).await {
                    Ok(Some(survivor)) => {
                        failure.class = Class::Merged;
                        failure.remote = Some(survivor);
                    }
                    Ok(None) => {}
                    Err(_) => failure.class = Class::Transient,
                }
            }
        }
        Ok(())
    }
}

/// A change whose object is said to be gone. A removal of it is done then.
fn lost<'a>(write: &'a Write, outcome: &'a mut Outcome) -> Option<(&'a Write, &'a mut Failure, CompactString)> {
    let Slot::Object(remote) = &write.target.slot else {
        return None;
    };
    let failure = outcome.as_mut().err().filter(|failure| failure.class == Class::Gone)?;
    write.removes_at.is_none().then(|| (write, failure, remote.clone()))
}

/// Another object that is found by what identified the one that is gone.
async fn rematch(
    connection: &dyn Connection,
    stream: &StreamId,
    write: &Write,
    id: &CompactString,
    view: &View,
) -> Result<Option<CompactString>, Failure> {
    let Some(spec) = connection.streams().get(&stream.stream) else {
        return Ok(None);
    };
    let record = view.records.get(&stream.record(id.clone())).map(|(record, _)| record);
    for by in &spec.match_by {
        let value = match by.as_str() {
            KEY_FIELD => Value::text(&write.customer.to_string()),
            other => record.and_then(|record| record.fields.value(other).cloned()),
        };
        let Some(value) = value else { continue };
        match find(connection, stream, by, &value).await? {
            Some(found) if found != *id => return Ok(Some(found)),
            _ => {}
        }
    }
    Ok(None)
}

/// Looks an object up; a tool without such a call has none.
async fn find(
    connection: &dyn Connection,
    stream: &StreamId,
    by: &FieldName,
    value: &Value,
) -> Result<Option<CompactString>, Failure> {
    match connection.find(&stream.stream, by, value).await {
        Ok(found) => Ok(found.filter(|object| !object.deleted).map(|object| object.remote)),
        Err(failure) if matches!(failure.class, Class::Gone | Class::Forbidden | Class::Invalid) => Ok(None),
        Err(failure) => Err(failure),
    }
}
