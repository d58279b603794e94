//! The last look before a deletion is passed on: whether those that were deleted elsewhere still are.
//!
//! A deletion waits in quarantine as a write that is not due yet; whoever comes back until then is seen by a fold, which
//! withdraws it. A tool that tells of deletions but not of returns would not be heard, so it is asked once more.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;

use super::engine::Engine;
use super::whereabouts::get;
use crate::error::{Class, Code, Failure, Problem};
use crate::ledger::{Cause, Error as LedgerError, View, Write};
use crate::model::{CustomerKey, Outcome, StreamId};

impl Engine {
    /// Parts the writes to be sent from removals that must not happen (now), with the reason as their answer.
    pub(super) async fn hold_back(
        &self,
        writes: Vec<Write>,
        view: &View,
    ) -> Result<(Vec<Write>, Vec<(Write, Outcome)>), LedgerError> {
        let customers: BTreeSet<CustomerKey> = writes
            .iter()
            .filter(|write| write.removes_at.is_some())
            .map(|write| write.customer)
            .collect();
        if customers.is_empty() {
            return Ok((writes, Vec::new()));
        }
        let mut reasons: BTreeMap<CustomerKey, Failure> = BTreeMap::new();
        for (stream, deleted) in deleted(view, &customers) {
            let ids: Vec<CompactString> = deleted.keys().cloned().collect();
            match self.look_again(&stream, &ids, &writes).await? {
                Ok(back) => {
                    let owners = back.iter().filter_map(|id| deleted.get(id));
                    reasons.extend(owners.map(|owner| (*owner, is_back(&stream))));
                }
                Err(failure) => reasons.extend(deleted.into_values().map(|owner| (owner, failure.clone()))),
            }
        }
        let mut sent = Vec::with_capacity(writes.len());
        let mut kept = Vec::new();
        for write in writes {
            match reasons.get(&write.customer).filter(|_| write.removes_at.is_some()) {
                Some(reason) => kept.push((write, Err(reason.clone()))),
                None => sent.push(write),
            }
        }
        Ok((sent, kept))
    }

    /// Which of these objects are there after all; those are folded, which withdraws what follows from their deletion. Of
    /// a tool that cannot be asked nothing is known but what it said.
    async fn look_again(
        &self,
        stream: &StreamId,
        ids: &[CompactString],
        writes: &[Write],
    ) -> Result<Result<Vec<CompactString>, Failure>, LedgerError> {
        let connection = self.connections.get(&stream.system);
        let can_get = |spec: &crate::model::StreamSpec| spec.can_get;
        let Some(connection) =
            connection.filter(|connection| connection.streams().get(&stream.stream).is_some_and(can_get))
        else {
            return Ok(Ok(Vec::new()));
        };
        let asked_at = self.clock.now();
        let mut back = match get(connection.as_ref(), &stream.stream, ids).await {
            Ok(found) => found,
            // Nothing is removed on the word of a tool that does not answer. Its own tool is not to blame for that.
            Err(failure) => return Ok(Err(Failure::new(Class::Transient, failure.problem))),
        };
        back.retain(|object| !object.deleted && ids.contains(&object.remote));
        let remotes = back.iter().map(|object| object.remote.clone()).collect();
        if let Some(first) = writes.first().filter(|_| !back.is_empty()) {
            let cause = Cause::Write(first.operation.clone());
            self.fold_incoming(stream, &back, asked_at, cause, None).await?;
        }
        Ok(Ok(remotes))
    }
}

/// What was deleted of these customers by somebody else than Nivel, by stream: object → its customer.
fn deleted(view: &View, customers: &BTreeSet<CustomerKey>) -> BTreeMap<StreamId, BTreeMap<CompactString, CustomerKey>> {
    let mut deleted: BTreeMap<StreamId, BTreeMap<CompactString, CustomerKey>> = BTreeMap::new();
    for (id, (record, owner)) in &view.records {
        if customers.contains(owner) && record.deleted_at.is_some() && !record.is_made {
            let of_stream = deleted.entry(id.stream.clone()).or_default();
            of_stream.insert(id.remote.clone(), *owner);
        }
    }
    deleted
}

fn is_back(stream: &StreamId) -> Failure {
    let problem = Problem::new(Code::WriteWithdrawn, "what was deleted elsewhere is back").about(stream);
    Failure::new(Class::Conflict, problem)
}
