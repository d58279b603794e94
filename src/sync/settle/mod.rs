//! What an answer to a write means: pure decisions from outcome to commit.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::error::{Class, Code, Failure, Problem};
use crate::ledger::{Cause, Change, Commit, Slot, View, What, Write, WriteChange, WriteState, Wrote};
use crate::merge::{Rules, Survivorship, settle_written_name};
use crate::model::{Bounce, CustomerKey, Done, FieldName, Freeze, Ours, Outcome, Record, RecordId, UnixMillis};
use crate::sync::consequence::{Affected, consequences};

/// How long after each failed try the next one comes. After the last, the write is dead and waits for a person.
const DELAYS: [Duration; 8] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
];

/// What a batch of answers asks of the one who sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aftermath {
    /// Operations that were carried out.
    pub done: u64,
    /// Of these, the ones that made an object.
    pub created: u64,
    /// Of these, the ones that removed one.
    pub removed: u64,
    /// Operations that will be tried again.
    pub again: u64,
    /// Operations that were given up.
    pub dead: u64,
    /// Nothing more may be sent to this stream until then, and why.
    pub parked: Option<(UnixMillis, Problem)>,
    /// Why some of what it wants is held until somebody has looked at it.
    pub held: Option<Problem>,
}

impl std::ops::AddAssign for Aftermath {
    fn add_assign(&mut self, other: Self) {
        self.done += other.done;
        self.created += other.created;
        self.removed += other.removed;
        self.again += other.again;
        self.dead += other.dead;
        self.parked = other.parked.or_else(|| self.parked.take());
        self.held = other.held.or_else(|| self.held.take());
    }
}

/// Folds the answers to a batch into a commit.
#[must_use]
pub fn settle(
    view: View,
    answers: &[(Write, Outcome)],
    rules: &Rules,
    survivorship: &Survivorship,
    now: UnixMillis,
) -> (Commit, Aftermath) {
    let operation = answers
        .first()
        .map(|(write, _)| write.operation.clone())
        .unwrap_or_default();
    let homes = view
        .records
        .iter()
        .map(|(id, (_, customer))| (id.clone(), *customer))
        .collect();
    let mut settling = Settling {
        view,
        now,
        homes,
        customers: BTreeSet::new(),
        moved: BTreeSet::new(),
        fresh: BTreeMap::new(),
        commit: Commit::new(Cause::Write(operation), now),
        aftermath: Aftermath::default(),
        is_matched: rules.matching.is_some(),
    };
    for (write, outcome) in answers {
        // A customer that is not there any more was erased meanwhile; nothing is left to settle.
        let Some(owner) = settling.owner(write) else { continue };
        match outcome {
            Ok(done) => settling.acknowledge(write, owner, done),
            Err(failure) => settling.fail(write, owner, failure),
        }
    }
    let Settling {
        view,
        homes,
        customers,
        moved,
        fresh,
        mut commit,
        aftermath,
        ..
    } = settling;
    let unmoved = customers.difference(&moved).copied().collect();
    let affected = Affected {
        customers,
        unmoved,
        homes,
        merged: BTreeMap::new(),
        fresh: fresh.iter().collect(),
    };
    consequences(&view, &affected, rules, survivorship, now, &mut commit);
    let homes = affected.homes;
    let settled = fresh
        .into_iter()
        .filter_map(|(id, record)| Some((record, *homes.get(&id)?)));
    commit.records.extend(settled);
    (commit, aftermath)
}

struct Settling {
    /// The ledger as this commit will leave it, as far as the outbox is concerned.
    view: View,
    now: UnixMillis,
    /// Record → its customer from now on.
    homes: BTreeMap<RecordId, CustomerKey>,
    /// Customers whose records changed.
    customers: BTreeSet<CustomerKey>,
    /// Those of them whose golden record may be another one now.
    moved: BTreeSet<CustomerKey>,
    /// Records that changed, as they are now.
    fresh: BTreeMap<RecordId, Record>,
    commit: Commit,
    aftermath: Aftermath,
    /// The scored match must hear of records that are gone.
    is_matched: bool,
}

impl Settling {
    /// The customer a write serves now: she may have been merged into another meanwhile.
    fn owner(&self, write: &Write) -> Option<CustomerKey> {
        let home = match &write.target.slot {
            Slot::Object(remote) => self.homes.get(&write.target.stream.record(remote.clone())).copied(),
            Slot::New(_) => None,
        };
        home.or_else(|| {
            self.view
                .customers
                .contains_key(&write.customer)
                .then_some(write.customer)
        })
        .or_else(|| self.view.aliases.get(&write.customer).copied())
    }

    fn known(&self, id: &RecordId) -> Option<&Record> {
        self.fresh
            .get(id)
            .or_else(|| self.view.records.get(id).map(|(record, _)| record))
    }

    fn acknowledge(&mut self, write: &Write, owner: CustomerKey, done: &Done) {
        if write.removes_at.is_some() {
            self.aftermath.done += 1;
            self.aftermath.removed += 1;
            return self.gone(write, owner, What::Removed);
        }
        let id = write.target.stream.record(done.remote.clone());
        if let Some(holder) = self.homes.get(&id).copied().filter(|holder| *holder != owner) {
            self.bury(write, owner, taken(&id, holder, owner));
            return;
        }
        let known = self
            .known(&id)
            .cloned()
            .unwrap_or_else(|| Record::new(id.clone(), self.now));
        let stood = |name: &FieldName| known.fields.value(name.as_str()).cloned();
        let fields = write.fields.iter().filter(|(name, _)| !done.unkept.contains_key(*name));
        let wrote = Wrote {
            run: write.run,
            fields: fields
                .map(|(name, wanted)| (name.clone(), (stood(name), wanted.value.clone())))
                .collect(),
        };
        let what = if done.created {
            What::Made(wrote)
        } else {
            What::Wrote(wrote)
        };
        let record = written(known, write, done, self.now);
        self.note(owner, Some(id.clone()), what);
        if !done.unkept.is_empty() {
            let fields = done.unkept.keys().cloned().collect();
            self.note(owner, Some(id.clone()), What::Frozen(fields));
        }
        self.fresh.insert(id.clone(), record);
        self.homes.insert(id, owner);
        // What was written is what her golden record says, and an echo never outranks the one who said it: it stays.
        self.customers.insert(owner);
        // What is still wanted (also wishes that came in meanwhile) is compared with what now stands in the tool, as if
        // this row had never been; the customer's version guards against wishes that come in from here on.
        self.drop_row(write);
        self.aftermath.done += 1;
        self.aftermath.created += u64::from(done.created);
    }

    fn fail(&mut self, write: &Write, owner: CustomerKey, failure: &Failure) {
        if failure.ambiguous {
            self.note_sent(write, owner);
        }
        match failure.class {
            Class::Throttle | Class::Quota | Class::Auth | Class::Forbidden => {
                let until = self
                    .now
                    .plus(failure.wait.unwrap_or_else(|| default_wait(failure.class)));
                self.aftermath.parked = Some((until, failure.problem.clone()));
                self.again(write, failure, until, write.attempts.saturating_sub(1));
            }
            // A race that was lost once is folded already, and compared again at once.
            Class::Conflict if write.attempts <= 1 => self.again(write, failure, self.now, write.attempts),
            Class::Transient | Class::Conflict => self.again_or_bury(write, owner, failure),
            Class::Exists | Class::Merged => self.adopt(write, owner, failure),
            Class::Gone => self.lose(write, owner),
            Class::Ignore => {
                self.aftermath.done += 1;
                self.drop_row(write);
            }
            Class::Invalid | Class::Compliance => self.bury(write, owner, failure.problem.clone()),
        }
    }

    /// Remembers what may stand in the object now: a newer wish may take the place of this one before anybody knows.
    fn note_sent(&mut self, write: &Write, owner: CustomerKey) {
        let Slot::Object(remote) = &write.target.slot else {
            return;
        };
        let id = write.target.stream.record(remote.clone());
        let Some(mut record) = self.known(&id).filter(|_| write.removes_at.is_none()).cloned() else {
            return;
        };
        for (name, wanted) in &write.fields {
            record.note_sent(name, wanted);
        }
        self.fresh.insert(id, record);
        self.customers.insert(owner);
    }

    fn again_or_bury(&mut self, write: &Write, owner: CustomerKey, failure: &Failure) {
        if let Some(delay) = DELAYS.get(write.attempts.saturating_sub(1) as usize) {
            let due = self.now.plus(failure.wait.unwrap_or(*delay));
            self.again(write, failure, due, write.attempts);
            return;
        }
        let message = format!("{} tries failed, the last: {}", write.attempts, failure.problem.message);
        let problem = Problem::new(Code::WriteExhausted, message)
            .about(&failure.problem.subject)
            .hint("`nivel dead retry` once the cause is gone");
        self.bury(write, owner, problem);
    }

    fn again(&mut self, write: &Write, failure: &Failure, due_at: UnixMillis, attempts: u32) {
        self.aftermath.again += 1;
        // A create that surely was not carried out need not be looked up.
        let is_uncertain = matches!(write.target.slot, Slot::New(_)) && (failure.ambiguous || write.is_uncertain);
        let problem = Some(failure.problem.clone());
        self.end_lease(write, |row| Write {
            due_at,
            attempts,
            problem,
            is_uncertain,
            state: WriteState::Due,
            ..row
        });
    }

    fn bury(&mut self, write: &Write, owner: CustomerKey, problem: Problem) {
        self.aftermath.dead += 1;
        let record = match &write.target.slot {
            Slot::Object(remote) => Some(write.target.stream.record(remote.clone())),
            Slot::New(_) => None,
        };
        self.note(owner, record, What::Died(problem.clone()));
        self.end_lease(write, |row| Write {
            problem: Some(problem),
            state: WriteState::Dead,
            ..row
        });
    }

    /// The object is there already, or lives on under another id: what it still lacks is written to it. It was read and
    /// folded before this (see `push`); if that did not work, the write is tried again.
    fn adopt(&mut self, write: &Write, owner: CustomerKey, failure: &Failure) {
        let id = failure
            .remote
            .as_ref()
            .map(|remote| write.target.stream.record(remote.clone()));
        let found = id.and_then(|id| self.homes.get(&id).copied().map(|holder| (id, holder)));
        match found {
            None => self.again_or_bury(write, owner, failure),
            // What took its place is somebody else's: it did not live on, it is gone.
            Some((_, holder)) if holder != owner && failure.class == Class::Merged => self.lose(write, owner),
            Some((id, holder)) if holder != owner => self.bury(write, owner, taken(&id, holder, owner)),
            Some(_) => {
                if let Slot::Object(old) = &write.target.slot {
                    self.mark_deleted(&write.target.stream.record(old.clone()));
                }
                self.aftermath.again += 1;
                self.move_on(owner);
                self.drop_row(write);
            }
        }
    }

    /// The object to change is gone: its record says so from now on, and it is not made again.
    fn lose(&mut self, write: &Write, owner: CustomerKey) {
        self.gone(write, owner, What::Deleted);
    }

    fn gone(&mut self, write: &Write, owner: CustomerKey, what: What) {
        if let Slot::Object(remote) = &write.target.slot {
            let id = write.target.stream.record(remote.clone());
            self.mark_deleted(&id);
            self.note(owner, Some(id), what);
        }
        self.move_on(owner);
        self.drop_row(write);
    }

    /// More happened to a customer than that a write to one of her records arrived.
    fn move_on(&mut self, owner: CustomerKey) {
        self.customers.insert(owner);
        self.moved.insert(owner);
    }

    fn mark_deleted(&mut self, id: &RecordId) {
        if let Some(mut record) = self.known(id).cloned() {
            record.deleted_at = Some(self.now);
            self.fresh.insert(id.clone(), record);
            self.commit.rematch = self.is_matched;
        }
    }

    fn drop_row(&mut self, write: &Write) {
        self.view.writes.remove(&write.target);
        // First the operation under way ends, then what is wanted beyond it goes; what is still wanted is put anew.
        self.commit
            .writes
            .push(WriteChange::RemoveGeneration(write.target.clone(), write.generation));
        self.commit.writes.push(WriteChange::Remove(write.target.clone()));
    }

    /// Ends the lease of a row that stays. Wishes that came in while it was under way are kept by the ledger.
    fn end_lease(&mut self, write: &Write, change: impl FnOnce(Write) -> Write) {
        let row = change(write.clone());
        if let Some(now) = self.view.writes.get_mut(&write.target) {
            if now.generation == write.generation {
                *now = row.clone();
            } else {
                now.state = WriteState::Due;
            }
        }
        self.commit.writes.push(WriteChange::Settle(row));
    }

    fn note(&mut self, customer: CustomerKey, record: Option<RecordId>, what: What) {
        self.commit.changes.push(Change { customer, record, what });
    }
}

fn taken(id: &RecordId, holder: CustomerKey, owner: CustomerKey) -> Problem {
    Problem::new(
        Code::WriteRefused,
        format!("the object {id} already belongs to {holder}"),
    )
    .about(owner)
    .hint("the tool sees one object where Nivel sees two customers; compare them with `nivel customer show`")
}

fn default_wait(class: Class) -> Duration {
    match class {
        Class::Throttle => Duration::from_secs(10),
        Class::Quota => Duration::from_hours(1),
        _ => Duration::from_mins(5),
    }
}

/// The record after a write arrived: what was written stands there, and it is ours. What the tool did not keep is frozen:
/// it would be written again and again, and what stands there instead must not pass for somebody's word.
fn written(mut record: Record, write: &Write, done: &Done, now: UnixMillis) -> Record {
    for (name, says) in &done.unkept {
        if record.fields.value(name.as_str()) != says.as_ref() {
            let own = record.own_word(name.as_str()).cloned();
            record.fields.0.insert(name.clone(), says.clone());
            record.observed.set(name, now);
            let ours = Ours {
                value: says.clone(),
                placeholder: false,
                own,
            };
            record.ours.insert(name.clone(), ours);
        }
        record
            .bounces
            .insert(name.clone(), Bounce::frozen(Freeze::NotKept, now));
    }
    for (name, wanted) in write.fields.iter().filter(|(name, _)| !done.unkept.contains_key(*name)) {
        record.sent.remove(name.as_str());
        record.take_ours(name, wanted, now);
    }
    settle_written_name(&mut record, |part| {
        write.fields.get(part).is_some_and(|wanted| !wanted.placeholder)
    });
    record.is_unread |= done.created;
    record.is_made |= done.created;
    record.written_at = Some(now);
    record.updated_at = done.updated_at.or(record.updated_at);
    record.version = done.version.clone().or(record.version);
    record
}
