//! Whoever is to be made is looked for where the same tool holds the same in another stream (a lead, not a contact): she
//! may have been typed in there a moment ago. Who is found is read like any other object, and then not made.

use std::sync::Arc;

use compact_str::CompactString;
use futures::StreamExt as _;

use super::engine::Engine;
use crate::connector::Connection;
use crate::connector::limits::{Lane, in_lane};
use crate::error::{Class, Code, Failure, Problem};
use crate::ledger::{Cause, Error as LedgerError};
use crate::merge::KEY_FIELD;
use crate::model::{FieldName, Incoming, Operation, StreamId, Value, WriteAction};

/// Look-ups under way at once; the connection's own limits hold as well.
const LOOKUPS: usize = 8;

impl Engine {
    /// The operations that may go ahead, or why one may not.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub(super) async fn look_elsewhere(
        &self,
        connection: &Arc<dyn Connection>,
        stream: &StreamId,
        mut decided: Vec<Result<Operation, Failure>>,
        lane: Lane,
    ) -> Result<Vec<Result<Operation, Failure>>, LedgerError> {
        let Some(system) = self.rules.systems.get(&stream.system) else {
            return Ok(decided);
        };
        for other in system.alternatives(&stream.stream) {
            let there = StreamId::new(stream.system.clone(), other.clone());
            let asked_at = self.clock.now();
            let mut looks = Vec::with_capacity(decided.len());
            for one in &decided {
                looks.push(look(connection, &there, one.as_ref().ok()));
            }
            let looks = futures::stream::iter(looks).buffered(LOOKUPS).collect::<Vec<_>>();
            let looks = in_lane(lane, looks).await;
            let mut found = Vec::new();
            let mut cause = None;
            for (one, look) in decided.iter_mut().zip(looks) {
                let refused = match look {
                    Ok(None) => continue,
                    Ok(Some(object)) => {
                        cause = one.as_ref().ok().map(|operation| operation.id.clone()).or(cause);
                        let problem = stands_there(&there, &object);
                        found.push(object);
                        Failure::new(Class::Exists, problem)
                    }
                    Err(failure) => failure,
                };
                *one = Err(refused);
            }
            if let Some(operation) = cause {
                self.fold_incoming(&there, &found, asked_at, Cause::Write(operation), None)
                    .await?;
            }
        }
        Ok(decided)
    }
}

/// The object of the other stream that an operation would make once more.
async fn look(
    connection: &Arc<dyn Connection>,
    there: &StreamId,
    operation: Option<&Operation>,
) -> Result<Option<Incoming>, Failure> {
    let Some(operation) = operation.filter(|operation| operation.action == WriteAction::Create) else {
        return Ok(None);
    };
    let Some(spec) = connection.streams().get(&there.stream) else {
        return Ok(None);
    };
    let value = |by: &FieldName| match by.as_str() {
        KEY_FIELD => Value::text(&operation.key.to_string()),
        _ => operation.fields.get(by).cloned().flatten(),
    };
    for (by, value) in spec.match_by.iter().filter_map(|by| Some((by, value(by)?))) {
        match connection.find(&there.stream, by, &value).await {
            Ok(Some(object)) => return Ok(Some(object)),
            Ok(None) => {}
            // A tool without such a call, or that does not let us see these objects, has none for us.
            Err(failure) if matches!(failure.class, Class::Gone | Class::Forbidden | Class::Invalid) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

fn stands_there(there: &StreamId, object: &Incoming) -> Problem {
    let what: &CompactString = &there.stream;
    Problem::new(
        Code::WriteRefused,
        format!("she is there already as {what} and is not made twice"),
    )
    .about(there.record(object.remote.clone()).to_string())
}
