//! Changes whose answer was lost: sent, and nobody knows whether they arrived. What Nivel put there must not be taken for the
//! tool's own word: it would be newer than what somebody entered elsewhere meanwhile. So the object is asked before anything
//! else is read, and when it says what it was to say, the change arrived.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;

use super::engine::Engine;
use super::push::{ask_for, unanswered};
use crate::connector::Connection;
use crate::connector::limits::{Lane, in_lane};
use crate::ledger::{Error as LedgerError, Slot, Target, Write, WriteState};
use crate::model::{Done, Incoming, Outcome, StreamId};

/// Rows of the outbox that are looked through at once.
const PAGE: usize = 1000;
/// Objects that are asked for and settled at once.
const BATCH: usize = 100;

impl Engine {
    /// Asks the objects of changes whose answer was lost; those that say what they were to say are acknowledged. False when
    /// they could not be asked.
    pub(super) async fn find_arrived(
        &self,
        connection: &Arc<dyn Connection>,
        stream: &StreamId,
        answers: &mut [(Write, Outcome)],
    ) -> bool {
        let can_get = connection
            .streams()
            .get(&stream.stream)
            .is_some_and(|spec| spec.can_get);
        let lost = answers.iter().filter_map(|(write, outcome)| {
            let is_open = outcome.as_ref().is_err_and(|failure| failure.ambiguous);
            changed(write).filter(|_| can_get && is_open).cloned()
        });
        let ids: Vec<CompactString> = lost.collect();
        if ids.is_empty() {
            return can_get;
        }
        let found = match in_lane(Lane::Retry, connection.get(&stream.stream, &ids)).await {
            Ok(found) => found,
            Err(failure) => {
                // Settled as unknown: the record remembers what may stand there, whatever takes the place of the wish.
                tracing::debug!(%stream, %failure, "what became of a change whose answer was lost is not known");
                return false;
            }
        };
        let by_id: BTreeMap<&CompactString, &Incoming> = found.iter().map(|one| (&one.remote, one)).collect();
        for (write, outcome) in answers {
            let is_open = outcome.as_ref().is_err_and(|failure| failure.ambiguous);
            let now = changed(write).filter(|_| is_open).and_then(|id| by_id.get(id));
            if let Some(now) = now.filter(|now| says(now, write)) {
                *outcome = Ok(Done {
                    remote: now.remote.clone(),
                    updated_at: now.updated_at,
                    version: now.version.clone(),
                    created: false,
                    unkept: BTreeMap::new(),
                });
            }
        }
        true
    }

    /// Finds out about the changes that a process had sent when it died, before anything else is read.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn find_lost(&self) -> Result<(), LedgerError> {
        let mut sent: BTreeMap<StreamId, Vec<Write>> = BTreeMap::new();
        let mut after: Option<Target> = None;
        loop {
            let page = self.ledger.writes(&[WriteState::Due], after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.target.clone());
            for write in page {
                if write.attempts > 0 && changed(&write).is_some() {
                    // How often it was tried is not what is settled here.
                    let write = Write { attempts: 1, ..write };
                    sent.entry(write.target.stream.clone()).or_default().push(write);
                }
            }
        }
        for (stream, writes) in sent {
            let Some(connection) = self.connections.get(&stream.system) else {
                continue;
            };
            for some in writes.chunks(BATCH) {
                let view = self.view(ask_for(some, &[])).await?;
                let open = some.iter().map(|write| (write.clone(), Err(unanswered(write))));
                let mut answers: Vec<(Write, Outcome)> = open.collect();
                if self.find_arrived(connection, &stream, &mut answers).await {
                    answers.retain(|(_, outcome)| outcome.is_ok());
                }
                if !answers.is_empty() {
                    self.settle_answers(answers, view).await?;
                }
            }
        }
        Ok(())
    }
}

/// The object that a write is to change.
fn changed(write: &Write) -> Option<&CompactString> {
    match &write.target.slot {
        Slot::Object(remote) if write.removes_at.is_none() => Some(remote),
        _ => None,
    }
}

/// True when the object says all that it was to say.
fn says(now: &Incoming, write: &Write) -> bool {
    let mut wanted = write.fields.iter();
    !now.deleted && wanted.all(|(name, wanted)| now.fields.0.get(name) == Some(&wanted.value))
}
