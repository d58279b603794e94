//! What a full sweep proved: objects that were known and that it did not meet are looked for one last time, and what is
//! not there is noted as deleted.
//!
//! Nothing but a sweep that was read to its end proves absence. One that was broken off, begun anew, that met rows it
//! could not tell apart, or that misses suspiciously much, deletes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use compact_str::CompactString;

use super::approval::limit_of_gone;
use super::engine::{Engine, Stop};
use super::fold::{Object, ask, identifiers};
use super::hints::tombstone;
use super::whereabouts::{Whereabouts, look_for};
use crate::connector::Connection;
use crate::connector::limits::{Lane, in_lane};
use crate::error::{Code, Problem};
use crate::ledger::{Cause, Error as LedgerError, Ledger, SweepStage};
use crate::merge::Brake;
use crate::model::{Incoming, RecordId, StreamId, UnixMillis};

/// Objects looked for at once.
const AT_ONCE: usize = 100;

/// How often a fold may be repeated because the view was out of date. Reached only by a bug.
const FOLDS_MAX: usize = 16;

impl Engine {
    /// Draws the conclusions of a stream's latest sweep, if it was read to its end and they were not drawn yet. How many
    /// objects turned out to be gone.
    pub(super) async fn settle_sweep(
        &self,
        connection: &Arc<dyn Connection>,
        stream: &StreamId,
        run: i64,
    ) -> Result<u64, Stop> {
        let sweep = self.ledger.stream(stream).await?.sweep;
        if !matches!(sweep.stage, SweepStage::Read | SweepStage::Approved) {
            return Ok(0);
        }
        let can_get = connection
            .streams()
            .get(&stream.stream)
            .is_some_and(|spec| spec.can_get);
        // What cannot be asked for must have been missed by two sweeps in a row.
        let epoch = if can_get {
            sweep.epoch
        } else {
            sweep.epoch.saturating_sub(1)
        };
        if sweep.stage == SweepStage::Read
            && let Some(problem) = self.why_held(stream, epoch).await?
        {
            tracing::warn!(%stream, code = %problem.code, %problem, "a full sweep is held");
            self.ledger
                .note_sweep(stream, sweep.epoch, SweepStage::Held, Some(problem))
                .await?;
            return Ok(0);
        }
        let mut gone = 0;
        let mut after = CompactString::default();
        loop {
            let unmet = self.ledger.unmet(stream, epoch, &after, AT_ONCE).await?;
            let Some(last) = unmet.last() else { break };
            let next = last.remote.clone();
            let asked_at = self.clock.now();
            let ids: Vec<CompactString> = unmet.into_iter().map(|id| id.remote).collect();
            let whereabouts = if can_get {
                let look = look_for(connection.as_ref(), &stream.stream, &ids);
                match in_lane(Lane::Backfill, look).await {
                    Ok(whereabouts) => whereabouts,
                    Err(failure) => return Err(self.stop(stream, failure).await?),
                }
            } else {
                Whereabouts {
                    gone: ids,
                    ..Whereabouts::default()
                }
            };
            let is_unmet = Unmet { epoch, after: &after };
            gone += self.fold_absent(stream, whereabouts, asked_at, run, is_unmet).await?;
            after = next;
        }
        self.ledger
            .note_sweep(stream, sweep.epoch, SweepStage::Over, None)
            .await?;
        if gone > 0 {
            tracing::info!(%stream, gone, "objects that a full sweep did not meet are gone");
        }
        Ok(gone)
    }

    async fn why_held(&self, stream: &StreamId, epoch: u64) -> Result<Option<Problem>, LedgerError> {
        let missing = self.ledger.count_unmet(stream, epoch).await?;
        let known = self.ledger.count_records(stream).await?;
        Ok(held(missing, known, self.rules.brake(&stream.system)).map(|problem| problem.about(stream)))
    }

    /// Folds what was found out about objects that the sweep did not meet. One that somebody else met meanwhile is alive.
    async fn fold_absent(
        &self,
        stream: &StreamId,
        whereabouts: Whereabouts,
        asked_at: UnixMillis,
        run: i64,
        unmet: Unmet<'_>,
    ) -> Result<u64, LedgerError> {
        if self.rules.is_activity(&stream.system, &stream.stream) {
            return self.fold_absent_activities(stream, whereabouts, run, unmet).await;
        }
        self.link(stream, &whereabouts.merged).await?;
        let lost = whereabouts.merged.iter().map(|(_, lost)| lost);
        let absent: BTreeSet<&CompactString> = lost.chain(&whereabouts.gone).collect();
        let gate = self.gate.lock().await;
        for _ in 0..FOLDS_MAX {
            let still = unmet.list(&*self.ledger, stream).await?;
            let still = still.iter().filter(|id| absent.contains(&id.remote));
            let tombstones: Vec<Incoming> = still.map(|id| tombstone(&id.remote)).collect();
            let count = tombstones.len() as u64;
            let incoming: Vec<Incoming> = whereabouts.found.iter().cloned().chain(tombstones).collect();
            let identifiers: Vec<_> = incoming
                .iter()
                .map(|one| identifiers(stream, one, &self.rules))
                .collect();
            let objects: Vec<Object<'_>> = incoming
                .iter()
                .zip(&identifiers)
                .map(|(incoming, identifiers)| Object {
                    stream,
                    incoming,
                    asked_at,
                    identifiers,
                })
                .collect();
            let asked = ask(&objects);
            let view = self.view(asked.clone()).await?;
            let mut commit = self.fold_once(view, asked, &objects, &Cause::Run(run)).await?;
            commit.seen = alive(&objects);
            match self.ledger.apply(commit).await {
                Err(LedgerError::Stale) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    drop(gate);
                    self.bell.notify_waiters();
                    return Ok(count);
                }
            }
        }
        Err(LedgerError::Broken(Problem::new(
            Code::Bug,
            format!("what a sweep did not meet could not be folded in {FOLDS_MAX} tries"),
        )))
    }

    /// As [`Self::fold_absent`], for activities. One that lives on in another one is gone: the other is read by itself.
    async fn fold_absent_activities(
        &self,
        stream: &StreamId,
        whereabouts: Whereabouts,
        run: i64,
        unmet: Unmet<'_>,
    ) -> Result<u64, LedgerError> {
        let lost = whereabouts.merged.iter().map(|(_, lost)| lost);
        let tombstones = lost.chain(&whereabouts.gone).map(tombstone);
        let incoming: Vec<Incoming> = whereabouts.found.iter().cloned().chain(tombstones).collect();
        self.fold_activities_if(stream, &incoming, Cause::Run(run), None, Some(unmet))
            .await
    }
}

/// Which of the objects that a sweep did not meet are being looked at.
#[derive(Clone, Copy)]
pub(super) struct Unmet<'a> {
    epoch: u64,
    after: &'a str,
}

impl Unmet<'_> {
    /// Those that nobody has met since.
    pub(super) async fn list(self, ledger: &dyn Ledger, stream: &StreamId) -> Result<Vec<RecordId>, LedgerError> {
        ledger.unmet(stream, self.epoch, self.after, AT_ONCE).await
    }
}

/// The objects that are there.
pub(super) fn alive(objects: &[Object<'_>]) -> Vec<RecordId> {
    let alive = objects.iter().filter(|object| !object.incoming.deleted);
    alive.map(Object::id).collect()
}

/// Why so much cannot be believed to be gone. A list that has nothing of what is known proves nothing.
fn held(missing: u64, known: u64, brake: &Brake) -> Option<Problem> {
    let limit = limit_of_gone(brake, known);
    let is_empty = missing == known && known > 1;
    (missing > limit || is_empty).then(|| {
        let message =
            format!("{missing} of {known} objects are missing, more than is believed without a look ({limit})");
        Problem::new(Code::SweepHeld, message).hint(
            "compare with the tool; `nivel approve` if they really are gone, else put right what the token may see",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(missing: u64, known: u64, is_held: bool) {
        assert_eq!(
            held(missing, known, &Brake::default()).is_some(),
            is_held,
            "{missing} of {known}"
        );
    }

    #[test]
    fn p46_p51_a_list_that_shrank_is_not_believed() {
        check(0, 0, false);
        check(0, 100, false);
        check(1, 1, false);
        check(2, 2, true);
        check(5, 6, false);
        check(5, 5, true);
        check(6, 20, true);
        check(10, 100, false);
        check(11, 100, true);
        check(500, 1_000_000, false);
        check(501, 1_000_000, true);
    }
}
