//! Erases one object for good: every request of `erase:`, in order.

use std::collections::BTreeMap;
use std::time::Duration;

use compact_str::CompactString;
use serde_json::Value as Json;

use super::account::unanswered;
use super::plan::{Batch, Entry, Verb};
use super::{Native, Stream};
use crate::error::{Class, Failure};
use crate::manifest::Op;
use crate::model::{CustomerKey, Fields, Operation, WriteAction};

impl Native {
    /// Erases an object. How long the tool keeps what was removed, where the manifest says so.
    pub(super) async fn erase_one(
        &self,
        stream: &Stream,
        remote: &CompactString,
        known: &Fields,
        customer: CustomerKey,
    ) -> Result<Option<Duration>, Failure> {
        let steps: &[Op] = stream.object.write.as_ref().map_or(&[], |write| &write.erase);
        if steps.is_empty() {
            return Err(stream.cannot("erase these objects"));
        }
        let entry = Entry {
            index: 0,
            operation: Operation {
                id: "erase".into(),
                action: WriteAction::Delete(remote.clone()),
                fields: BTreeMap::new(),
                known: known.clone(),
                version: None,
                key: customer,
            },
            remote: Json::Null,
            is_redirected: false,
        };
        let names = self.link.names();
        let mut purge = None;
        for op in steps {
            if !op.condition.as_ref().is_none_or(|condition| condition.holds(&names)) {
                continue;
            }
            purge = op.purge.map(|purge| purge.0).or(purge);
            let batch = Batch {
                verb: Verb::Erase,
                op,
                entries: vec![entry.clone()],
            };
            self.erase_step(stream, &batch).await?;
        }
        Ok(purge)
    }

    async fn erase_step(&self, stream: &Stream, batch: &Batch<'_>) -> Result<(), Failure> {
        let Some(write) = &stream.object.write else {
            return Err(stream.cannot("erase these objects"));
        };
        let outcome = match self.send(stream, write, batch).await {
            Ok(outcomes) => outcomes
                .into_iter()
                .next()
                .flatten()
                .unwrap_or_else(|| Err(unanswered())),
            Err(failure) => Err(failure),
        };
        match outcome {
            // A step that finds nothing to do was done before, by us or by somebody else.
            Err(failure) if !matches!(failure.class, Class::Gone | Class::Ignore) => Err(self.link.veil(failure)),
            _ => Ok(()),
        }
    }
}
