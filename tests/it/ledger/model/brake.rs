//! What the model holds.

use nivel::error::Problem;
use nivel::ledger::{DueWrites, Slot, Write, WriteState};
use nivel::model::{StreamId, UnixMillis};

use super::State;

impl State {
    fn untried(&mut self, stream: &StreamId, since: UnixMillis) -> impl Iterator<Item = &mut Write> {
        let rows = self.writes.values_mut().filter(|row| !row.is_removed);
        rows.map(|row| &mut row.write).filter(move |write| {
            write.target.stream == *stream
                && write.state == WriteState::Due
                && write.attempts == 0
                && write.due_at > since
        })
    }

    pub(super) fn due(&mut self, stream: &StreamId, since: UnixMillis) -> DueWrites {
        let mut due = DueWrites::default();
        let held = self.writes.values().filter(|row| !row.is_removed).map(|row| &row.write);
        let held = held.filter(|write| {
            let is_untried = write.attempts == 0 && write.due_at > since;
            write.target.stream == *stream && write.state == WriteState::Held && is_untried
        });
        due.deletes += held.filter(|write| write.removes_at.is_some()).count() as u64;
        for write in self.untried(stream, since) {
            match write.target.slot {
                _ if write.removes_at.is_some() => due.deletes += 1,
                Slot::New(_) => due.creates += 1,
                Slot::Object(_) => due.updates += 1,
            }
        }
        due
    }

    pub(super) fn hold_due(&mut self, stream: &StreamId, since: UnixMillis, problem: &Problem) -> u64 {
        self.hold(stream, since, problem, false)
    }

    pub(super) fn hold_deletes(&mut self, stream: &StreamId, since: UnixMillis, problem: &Problem) -> u64 {
        self.hold(stream, since, problem, true)
    }

    fn hold(&mut self, stream: &StreamId, since: UnixMillis, problem: &Problem, deletes: bool) -> u64 {
        let mut held = 0;
        let writes = self.untried(stream, since);
        for write in writes.filter(|write| write.removes_at.is_some() == deletes) {
            write.state = WriteState::Held;
            write.problem = Some(problem.clone());
            held += 1;
        }
        held
    }

    pub(super) fn release_held(&mut self, now: UnixMillis) -> u64 {
        let mut released = 0;
        for row in self
            .writes
            .values_mut()
            .filter(|row| row.write.state == WriteState::Held)
        {
            row.write.state = WriteState::Due;
            row.write.due_at = now;
            row.write.problem = None;
            released += 1;
        }
        released
    }

    pub(super) fn count_records(&self, stream: &StreamId) -> u64 {
        let live = self.records.values().filter(|(record, _)| record.deleted_at.is_none());
        live.filter(|(record, _)| record.id.stream == *stream).count() as u64
    }
}
