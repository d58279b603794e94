//! The model's outbox.

use nivel::ledger::{Error, Target, Write, WriteState};
use nivel::model::UnixMillis;

use super::{Row, State, bug};

impl Row {
    pub(super) fn next_wish(&mut self, at: UnixMillis, is_uncertain: bool) {
        self.write.state = WriteState::Due;
        self.write.due_at = at;
        self.write.attempts = 0;
        self.write.problem = None;
        self.write.is_uncertain = is_uncertain;
        match self.next_operation.take() {
            Some(operation) if !is_uncertain => self.write.operation = operation,
            _ => {}
        }
    }
}

trait Fate {
    fn take_fate(&mut self, from: &Self);
}

impl Fate for Write {
    fn take_fate(&mut self, from: &Self) {
        self.state = match from.state {
            WriteState::Leased => WriteState::Due,
            state => state,
        };
        self.due_at = from.due_at;
        self.attempts = from.attempts;
        self.problem.clone_from(&from.problem);
        self.is_uncertain = from.is_uncertain;
    }
}

impl State {
    pub(super) fn put(&mut self, write: &Write) -> Result<(), Error> {
        let mut fresh = write.clone();
        fresh.customer = self.live(&write.customer).ok_or_else(|| bug("no such customer"))?.key;
        if fresh.state == WriteState::Leased {
            fresh.state = WriteState::Due;
        }
        if let Some(row) = self.writes.get_mut(&write.target) {
            let present = &mut row.write;
            let newer = write.generation.max(present.generation + 1);
            fresh.is_uncertain |= present.is_uncertain;
            if row.is_removed {
                fresh.generation = newer;
            } else if present.state == WriteState::Leased {
                row.next_operation = Some(write.operation.clone());
                present.fields = fresh.fields;
                present.removes_at = fresh.removes_at;
                present.customer = fresh.customer;
                present.generation = newer;
                return Ok(());
            } else if write.generation < present.generation {
                present.take_fate(&fresh);
                return Ok(());
            }
        }
        let row = Row {
            write: fresh,
            next_operation: None,
            is_removed: false,
        };
        self.writes.insert(write.target.clone(), row);
        Ok(())
    }

    pub(super) fn settle(&mut self, write: &Write, at: UnixMillis) {
        let Some(row) = self.writes.get_mut(&write.target) else {
            return;
        };
        if row.is_removed {
            if !write.is_uncertain {
                self.writes.remove(&write.target);
            }
        } else if row.write.state == WriteState::Leased && row.write.generation == write.generation {
            row.write.take_fate(write);
        } else if row.write.state == WriteState::Leased {
            row.next_wish(at, write.is_uncertain);
        }
    }

    pub(super) fn remove(&mut self, target: &Target) {
        match self.writes.get_mut(target) {
            Some(row) if row.write.state == WriteState::Leased || row.write.is_uncertain => row.is_removed = true,
            Some(row) if row.is_removed => {}
            _ => drop(self.writes.remove(target)),
        }
    }

    pub(super) fn acknowledge(&mut self, target: &Target, generation: u64, at: UnixMillis) {
        let Some(row) = self.writes.get_mut(target) else {
            return;
        };
        if row.is_removed || row.write.generation == generation {
            self.writes.remove(target);
        } else if generation < row.write.generation && row.write.state == WriteState::Leased {
            row.next_wish(at, false);
        }
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &Write> {
        self.writes.values().filter(|row| !row.is_removed).map(|row| &row.write)
    }
}

/// When a write may be handed out.
pub(super) fn ready_at(write: &Write) -> UnixMillis {
    write.due_at.max(write.removes_at.unwrap_or(write.due_at))
}
