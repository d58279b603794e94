//! Tells a tool what a person took back, by the tool's own call, once everything else of an operation is done.

use compact_str::CompactString;
use serde_json::Value as Json;

use super::account::unanswered;
use super::plan::{Batch, Entry, Verb};
use super::{Native, Stream};
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Op, WriteOps};
use crate::merge::is_denial;
use crate::model::{FieldName, Operation, Outcome, WriteAction};

/// The consents that an operation denies and that have a call of their own.
pub(super) fn denials<'s>(stream: &'s Stream, operation: &'s Operation) -> Vec<(&'s FieldName, &'s Op)> {
    let denied = operation.fields.iter();
    let denied = denied.filter(|(field, value)| is_denial(field.as_str(), value.as_ref()));
    denied
        .filter_map(|(field, _)| Some((field, stream.object.denial(field.as_str())?)))
        .collect()
}

impl Native {
    /// Makes the calls that operations need beside their write. An operation is done when its calls are, too.
    pub(super) async fn tell_denials(
        &self,
        stream: &Stream,
        write: &WriteOps,
        operations: &[Operation],
        outcomes: &mut [Option<Outcome>],
    ) {
        for (operation, outcome) in operations.iter().zip(outcomes) {
            for (field, op) in denials(stream, operation) {
                let Some(Ok(done)) = outcome else { break };
                let told = self
                    .tell_denial(stream, write, (field, op), operation, &done.remote)
                    .await;
                if let Err(failure) = told {
                    *outcome = Some(Err(failure));
                }
            }
        }
    }

    async fn tell_denial(
        &self,
        stream: &Stream,
        write: &WriteOps,
        (field, op): (&FieldName, &Op),
        operation: &Operation,
        remote: &CompactString,
    ) -> Result<(), Failure> {
        let entry = Entry {
            index: 0,
            operation: Operation {
                action: WriteAction::Update(remote.clone()),
                ..operation.clone()
            },
            remote: Json::Null,
            is_redirected: false,
        };
        if entry.key(stream, op).is_none() {
            let message =
                format!("`{field}` was taken back, and the tool has nothing by which it could be told of whom");
            let problem = Problem::new(Code::ConsentUntold, message).about(remote);
            return Err(Failure::new(Class::Invalid, problem));
        }
        let batch = Batch {
            verb: Verb::Consent,
            op,
            entries: vec![entry],
        };
        let answered = self.send(stream, write, &batch).await;
        let outcome = answered.map(|outcomes| {
            outcomes
                .into_iter()
                .next()
                .flatten()
                .unwrap_or_else(|| Err(unanswered()))
        });
        match outcome {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(failure)) | Err(failure) if failure.class == Class::Ignore => Ok(()),
            Ok(Err(failure)) | Err(failure) => Err(failure),
        }
    }
}
