//! Events about an erased person that come late: nothing is done about them, and what they say is not kept.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::Known;
use crate::identity::{self, IdentityRules};
use crate::ledger::{Dropped, Error as LedgerError, Fate};
use crate::manifest::Subject;
use crate::merge::Rules;
use crate::model::{Fields, Kind, StreamId, Value};
use crate::sync::Engine;
use crate::sync::hints::Job;

impl Engine {
    /// Takes what is about erased people out of what the events of a stream come to. Their words go first, so that a crash
    /// leaves an event that says nothing. How many events there were.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub(in crate::sync) async fn drop_erased(
        &self,
        stream: &StreamId,
        jobs: &mut BTreeMap<Subject, Job>,
    ) -> Result<u64, LedgerError> {
        let known = self.suppression().await?;
        if known.marks.is_empty() {
            return Ok(0);
        }
        let mut events = Vec::new();
        jobs.retain(|subject, job| {
            let is_hers = known.is_about(stream, subject, job, &self.rules);
            events.extend(job.events.iter().copied().filter(|_| is_hers));
            !is_hers
        });
        if events.is_empty() {
            return Ok(0);
        }
        self.ledger.blank_events(events.clone()).await?;
        let count = events.len() as u64;
        let dropped = events.into_iter().map(|id| Dropped {
            id,
            fate: Fate::Ignored,
            problem: None,
        });
        self.ledger.drop_events(dropped.collect(), self.clock.now()).await?;
        Ok(count)
    }
}

impl Known {
    /// True when events are about an object of an erased person, or name her by what identified her.
    fn is_about(&self, stream: &StreamId, subject: &Subject, job: &Job, rules: &Rules) -> bool {
        let is_hers = |id: &CompactString| self.marks.contains(&self.marker.record(&stream.record(id.clone())));
        if job.fetch.iter().chain(&job.gone).any(is_hers) {
            return true;
        }
        let Subject::Match(field, value) = subject else {
            return false;
        };
        let identity_rules = IdentityRules {
            external_ids: &rules.external_ids,
            region: None,
        };
        let said: Fields = Fields(BTreeMap::from([(field.as_str().into(), Value::text(value))]));
        let named = identity::identifiers(&said, None, identity_rules, Kind::Person);
        named
            .iter()
            .any(|one| self.marks.contains(&self.marker.identifier(one)))
    }
}
