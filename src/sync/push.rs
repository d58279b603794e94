//! Delivers one stream's due writes and settles the answers.

use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use tokio::task::JoinSet;

use super::engine::Engine;
use super::frozen::Froze;
use super::look::For;
use super::progress::Event;
use super::settle::{Aftermath, settle};
use crate::connector::Connection;
use crate::connector::limits::{Lane, in_lane};
use crate::error::{Class, Code, Failure, Problem};
use crate::ledger::{Ask, Cause, DueWrites, Error as LedgerError, Slot, View, Write};
use crate::model::{Operation, Outcome, RecordId, StreamId, UnixMillis, WriteAction};

/// How long the writes that are handed out at once may keep a tool busy, about: one intent on disk and one settlement for
/// all of them, but whoever has a head start waits behind them, and so does the end of the program.
const CLAIM_FOR: Duration = Duration::from_secs(1);

/// How often the answers to a batch may be folded again. Reached only by a bug.
const FOLDS_MAX: usize = 16;

/// How many writes are handed out at once: about as many as the tool takes in [`CLAIM_FOR`], found out as it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    size: usize,
    min: usize,
    max: usize,
}

impl Claim {
    /// For a tool that takes so many writes in one request.
    fn new(batch_max: usize) -> Self {
        let (min, size) = if batch_max > 1 {
            (batch_max, batch_max * 5)
        } else {
            (10, 100)
        };
        Self {
            size,
            min,
            max: size * 4,
        }
    }

    /// So many writes took so long. One slow answer says little: at most twice or half as many next time.
    fn learn(&mut self, count: usize, took: Duration) {
        let is_full = count >= self.size;
        let wanted = if took <= CLAIM_FOR / 2 && is_full {
            self.size * 2
        } else if took > CLAIM_FOR * 2 {
            self.size / 2
        } else {
            self.size
        };
        self.size = wanted.clamp(self.min, self.max);
    }
}

impl Engine {
    /// Delivers a stream's due writes. With `give_up_at`, waits until then for writes that are to be tried again.
    ///
    /// # Errors
    /// When the ledger cannot be used. A tool's own problem is in the aftermath.
    pub(super) async fn push_stream(
        &self,
        stream: &StreamId,
        give_up_at: Option<UnixMillis>,
    ) -> Result<Aftermath, LedgerError> {
        let Some(connection) = self.connections.get(&stream.system) else {
            return Ok(Aftermath::default());
        };
        let batch_max = connection
            .streams()
            .get(&stream.stream)
            .map_or(1, |spec| spec.batch_max);
        let mut claim = Claim::new(batch_max);
        let mut total = Aftermath::default();
        let Some(approval) = self.approval().await? else {
            return Ok(total);
        };
        let mut delivered = DueWrites::default();
        loop {
            if let Some(problem) = self.match_records().await? {
                total.held = Some(problem);
                return Ok(total);
            }
            if let Some(problem) = self.brake(stream, &approval, delivered).await? {
                total.held = Some(problem);
            }
            let begun = self.clock.now();
            let writes = self.ledger.claim(stream, begun, claim.size).await?;
            if writes.is_empty() && self.wait_for_retry(stream, give_up_at).await? {
                continue;
            }
            if writes.is_empty() {
                return Ok(total);
            }
            for write in writes
                .iter()
                .filter(|write| write.attempts == 1 && write.due_at > approval.at)
            {
                match write.target.slot {
                    _ if write.removes_at.is_some() => delivered.deletes += 1,
                    Slot::New(_) => delivered.creates += 1,
                    Slot::Object(_) => delivered.updates += 1,
                }
            }
            let count = writes.len();
            let aftermath = self.deliver(connection, stream, writes).await?;
            claim.learn(count, self.clock.now().since(begun));
            self.tell(&Event::Wrote {
                stream: stream.clone(),
                done: aftermath.done,
                created: aftermath.created,
                dead: aftermath.dead,
            });
            let parked = aftermath.parked.clone();
            total += aftermath;
            if let Some((until, problem)) = parked {
                tracing::warn!(%stream, code = %problem.code, %problem, %until, "writing is parked");
                return Ok(total);
            }
        }
    }

    /// Waits until the next write of the stream is due; false when that is too far away.
    async fn wait_for_retry(&self, stream: &StreamId, give_up_at: Option<UnixMillis>) -> Result<bool, LedgerError> {
        let (Some(give_up_at), Some(due)) = (give_up_at, self.ledger.next_due(stream).await?) else {
            return Ok(false);
        };
        if due > give_up_at {
            return Ok(false);
        }
        tokio::time::sleep(due.since(self.clock.now()).max(Duration::from_millis(5))).await;
        Ok(true)
    }

    async fn deliver(
        &self,
        connection: &Arc<dyn Connection>,
        stream: &StreamId,
        writes: Vec<Write>,
    ) -> Result<Aftermath, LedgerError> {
        let view = self.view(ask_for(&writes, &[])).await?;
        let (writes, mut answers) = self.hold_back(writes, &view).await?;
        let operations: Vec<Operation> = writes.iter().map(|write| operation(write, &view)).collect();
        let lane = if writes.iter().all(|write| write.attempts > 1) {
            Lane::Retry
        } else {
            Lane::Live
        };
        let decided = self
            .look_before(connection, stream, &view, (For::Outbox(&writes), operations), lane)
            .await?;
        let going: Vec<Operation> = decided.iter().filter_map(|one| one.as_ref().ok()).cloned().collect();
        let mut carried = if going.is_empty() {
            Vec::new()
        } else {
            write(connection, stream, &going, lane).await
        };
        self.look_after(connection, stream, &going, &mut carried, lane).await;
        let mut carried = carried.into_iter();
        let outcomes = decided.into_iter().map(|one| match one {
            Ok(_) => carried.next(),
            Err(failure) => Some(Err(failure)),
        });
        for (write, outcome) in writes.into_iter().zip(outcomes) {
            // A connection that loses count must not lose a write.
            let outcome = outcome.unwrap_or_else(|| Err(unanswered(&write)));
            answers.push((write, outcome));
        }
        self.find_arrived(connection, stream, &mut answers).await;
        self.follow_gone(connection, stream, &mut answers, &view).await?;
        self.learn_existing(connection, stream, &answers).await?;
        self.settle_answers(answers, view).await
    }

    /// An object that turned out to exist already, or to be another than the one that was to be changed, is read and folded
    /// before anything is written to it, so that it gets its say like any other record.
    async fn learn_existing(
        &self,
        connection: &Arc<dyn Connection>,
        stream: &StreamId,
        answers: &[(Write, Outcome)],
    ) -> Result<(), LedgerError> {
        let found: Vec<CompactString> = answers.iter().filter_map(to_learn).collect();
        if found.is_empty() {
            return Ok(());
        }
        let asked_at = self.clock.now();
        match connection.get(&stream.stream, &found).await {
            Ok(objects) => {
                let cause = Cause::Write(answers[0].0.operation.clone());
                self.fold_incoming(stream, &objects, asked_at, cause, None).await
            }
            Err(failure) => {
                tracing::warn!(%stream, code = %failure.problem.code, %failure, "objects that exist already could not be read");
                Ok(())
            }
        }
    }

    /// Folds the answers into the ledger, first on the view that the writes were made from: nearly always nobody else
    /// had to do with these customers meanwhile, and when somebody had, the ledger refuses it as stale.
    pub(super) async fn settle_answers(
        &self,
        answers: Vec<(Write, Outcome)>,
        view: View,
    ) -> Result<Aftermath, LedgerError> {
        let writes: Vec<Write> = answers.iter().map(|(write, _)| write.clone()).collect();
        let met = |(write, outcome): &(Write, Outcome)| {
            let remote = match outcome {
                Ok(done) => Some(&done.remote),
                Err(failure) => failure.remote.as_ref(),
            };
            Some(write.target.stream.record(remote?.clone()))
        };
        let met: Vec<RecordId> = answers.iter().filter_map(met).collect();
        // An object that was there already was read and folded meanwhile: the view does not have it.
        let is_enough = |outcome: &Outcome| outcome.as_ref().err().is_none_or(|failure| failure.remote.is_none());
        let mut known = Some(view).filter(|_| answers.iter().all(|(_, outcome)| is_enough(outcome)));
        let gate = self.gate.lock().await;
        for _ in 0..FOLDS_MAX {
            let view = match known.take() {
                Some(view) => view,
                None => self.view(ask_for(&writes, &met)).await?,
            };
            let (commit, aftermath) = settle(view, &answers, &self.rules, &self.survivorship, self.clock.now());
            let froze = Froze::of(&commit);
            match self.ledger.apply(commit).await {
                Err(LedgerError::Stale) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    drop(gate);
                    froze.tell();
                    return Ok(aftermath);
                }
            }
        }
        Err(LedgerError::Broken(Problem::new(
            Code::Bug,
            format!("answers could not be settled in {FOLDS_MAX} tries"),
        )))
    }
}

/// In a task of its own: requests to several tools are put together and taken apart on several cores.
async fn write(
    connection: &Arc<dyn Connection>,
    stream: &StreamId,
    operations: &[Operation],
    lane: Lane,
) -> Vec<Outcome> {
    if operations.is_empty() {
        return Vec::new();
    }
    let (connection, name) = (Arc::clone(connection), stream.stream.clone());
    let operations = operations.to_vec();
    let mut task = JoinSet::new();
    task.spawn(in_lane(lane, async move { connection.write(&name, &operations).await }));
    match task.join_next().await {
        Some(Ok(outcomes)) => outcomes,
        // Every write is then one without an answer.
        _ => Vec::new(),
    }
}

/// The object that must be looked at before the next try. What [`Engine::look_before`] refused it has looked at.
fn to_learn((write, outcome): &(Write, Outcome)) -> Option<CompactString> {
    let failure = outcome.as_ref().err()?;
    match (failure.class, &write.target.slot) {
        (Class::Exists | Class::Merged, _) => failure.remote.clone(),
        (Class::Conflict, Slot::Object(remote)) if failure.problem.code != Code::WriteRaced => Some(remote.clone()),
        _ => None,
    }
}

pub(super) fn ask_for(writes: &[Write], made: &[crate::model::RecordId]) -> Ask {
    let mut ask = Ask::default();
    for write in writes {
        ask.customers.insert(write.customer);
        if let Slot::Object(remote) = &write.target.slot {
            ask.records.insert(write.target.stream.record(remote.clone()));
        }
    }
    ask.records.extend(made.iter().cloned());
    ask
}

fn operation(write: &Write, view: &View) -> Operation {
    let (action, record) = match &write.target.slot {
        Slot::New(_) => (WriteAction::Create, None),
        Slot::Object(remote) => {
            let record = view.records.get(&write.target.stream.record(remote.clone()));
            let action = match write.removes_at {
                Some(_) => WriteAction::Delete(remote.clone()),
                None => WriteAction::Update(remote.clone()),
            };
            (action, record.map(|(record, _)| record))
        }
    };
    Operation {
        id: write.operation.clone(),
        action,
        fields: write
            .fields
            .iter()
            .map(|(name, wanted)| (name.clone(), wanted.value.clone()))
            .collect(),
        known: record.map(|record| record.fields.clone()).unwrap_or_default(),
        version: record.and_then(|record| record.version.clone()),
        key: write.customer,
    }
}

pub(super) fn unanswered(write: &Write) -> Failure {
    let problem =
        Problem::new(Code::WriteUnanswered, "the connection gave no outcome for this write").about(&write.operation);
    Failure {
        ambiguous: true,
        ..Failure::new(Class::Transient, problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_about_a_second_of_the_tools_work() {
        let table = [
            // Takes them one by one.
            (1, vec![(100, 40), (200, 90), (400, 400)], 400),
            (1, vec![(100, 600)], 100),
            (1, vec![(30, 40)], 100),
            (1, vec![(100, 10_000), (50, 5_000), (25, 2_500), (12, 1_200)], 12),
            (1, vec![(100, 10_000), (50, 9_000), (25, 9_000), (12, 9_000)], 10),
            // Many in one request.
            (100, vec![(500, 100), (1_000, 100), (2_000, 100)], 2_000),
            (100, vec![(500, 9_000), (250, 9_000), (125, 9_000)], 100),
        ];
        for (batch_max, history, wanted) in table {
            let mut claim = Claim::new(batch_max);
            for (count, took_ms) in &history {
                claim.learn(*count, Duration::from_millis(*took_ms));
            }
            assert_eq!(claim.size, wanted, "{batch_max} {history:?}");
        }
    }
}
