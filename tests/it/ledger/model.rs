//! The ledger as plainly as it can be said: maps in memory. What a real ledger does is compared with it.

mod arrival;
mod brake;
mod census;
mod handoffs;
mod matching;
mod outbox;
mod privacy;
mod sweep;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use nivel::error::{Code, Problem};
use nivel::ledger::{
    Advance, Arrival, Ask, Cause, Change, ChangeRow, Commit, Decision, DueWrites, Error, Head, Ledger, Request, Run,
    Slot, StreamState, SweepStage, Target, Totals, View, Write, WriteChange, WriteState, content_hash,
};
use nivel::model::{Customer, CustomerKey, Identifier, Record, RecordId, StreamId, UnixMillis};

use self::{outbox::ready_at, view::is_frozen};

#[derive(Clone, Default)]
pub(super) struct State {
    records: BTreeMap<RecordId, (Record, CustomerKey)>,
    identifiers: BTreeMap<RecordId, BTreeMap<Identifier, bool>>,
    customers: BTreeMap<CustomerKey, Customer>,
    writes: BTreeMap<Target, Row>,
    decisions: BTreeMap<(RecordId, RecordId), bool>,
    changes: Vec<ChangeRow>,
    streams: BTreeMap<StreamId, StreamState>,
    runs: Vec<Run>,
    settings: BTreeMap<String, String>,
    merges: u64,
    arrivals: BTreeMap<i64, Arrival>,
    met: BTreeMap<RecordId, u64>,
    pub(super) inbox: super::inbox::Kept,
}

#[derive(Clone)]
struct Row {
    write: Write,
    next_operation: Option<compact_str::CompactString>,
    is_removed: bool,
}

#[derive(Default)]
pub(super) struct Model(pub(super) Mutex<State>);

fn bug(message: &str) -> Error {
    Error::Broken(Problem::new(Code::Bug, message))
}

impl State {
    fn apply(&mut self, commit: &Commit) -> Result<(), Error> {
        if let Some(advance) = &commit.advance {
            self.advance(commit, advance)?;
        }
        for arrival in &commit.arrivals {
            let number = self.arrivals.last_key_value().map_or(0, |(last, _)| *last) + 1;
            self.arrivals.insert(number, arrival.clone());
        }
        self.touch(&commit.touched)?;
        self.put_customers(&commit.customers)?;
        let named = commit.customers.iter().map(|customer| customer.key);
        let of_commit: BTreeSet<_> = named.chain(commit.touched.iter().map(|(key, _)| *key)).collect();
        for (record, key) in &commit.records {
            let owner = self.customers.get(key).ok_or_else(|| bug("no such customer"))?;
            if owner.merged_into.is_some() {
                return Err(if of_commit.contains(key) {
                    bug("alias")
                } else {
                    Error::Stale
                });
            }
            let former = self.records.get(&record.id).map(|(_, owner)| *owner);
            if former.is_some_and(|former| former != *key && !of_commit.contains(&former)) {
                return Err(Error::Stale);
            }
            let was_made = self.records.get(&record.id).is_some_and(|(old, _)| old.is_made);
            let mut record = record.clone();
            record.is_made |= was_made;
            self.records.insert(record.id.clone(), (record, *key));
        }
        self.sweep(commit);
        let is_alias = |key: &CustomerKey| self.customers[key].merged_into.is_some();
        if self.records.values().any(|(_, key)| is_alias(key)) {
            return Err(Error::Stale);
        }
        let mut writes = std::mem::take(&mut self.writes);
        for row in writes.values_mut() {
            let live = self.live(&row.write.customer).map(|live| live.key);
            row.write.customer = live.unwrap_or(row.write.customer);
        }
        self.writes = writes;
        for (id, asserted) in &commit.identifiers {
            if !self.records.contains_key(id) {
                return Err(bug("no such record"));
            }
            let held = self.identifiers.entry(id.clone()).or_default();
            held.values_mut().for_each(|is_current| *is_current = false);
            held.extend(asserted.iter().map(|identifier| (identifier.clone(), true)));
        }
        for change in &commit.writes {
            match change {
                WriteChange::Put(write) => self.put(write)?,
                WriteChange::Settle(write) => self.settle(write, commit.at),
                WriteChange::Remove(target) => self.remove(target),
                WriteChange::RemoveGeneration(target, generation) => self.acknowledge(target, *generation, commit.at),
            }
        }
        self.merges += commit.merges;
        for change in &commit.changes {
            if !self.customers.contains_key(&change.customer) {
                return Err(bug("no such customer"));
            }
            self.changes.push(ChangeRow {
                at: commit.at,
                cause: commit.cause.clone(),
                change: change.clone(),
            });
        }
        Ok(())
    }

    fn advance(&mut self, commit: &Commit, advance: &Advance) -> Result<(), Error> {
        let known = self.streams.contains_key(&advance.stream);
        if !known && advance.from_version != 0 {
            return Err(Error::Stale);
        }
        let stream = self.streams.entry(advance.stream.clone()).or_default();
        if stream.version != advance.from_version {
            return Err(Error::Stale);
        }
        stream.version += 1;
        stream.cursor = Some(advance.cursor.clone());
        if advance.is_caught_up {
            stream.initial_done_at.get_or_insert(commit.at);
            stream.caught_up_at = Some(commit.at);
        }
        if let Cause::Run(id) = commit.cause
            && let Some(run) = self.runs.iter_mut().find(|run| run.id == id)
        {
            run.read += advance.read;
            run.changed += advance.changed;
            run.rejected += advance.rejected;
        }
        Ok(())
    }

    fn put_customers(&mut self, customers: &[Customer]) -> Result<(), Error> {
        for customer in customers {
            let version = self.customers.get(&customer.key).map_or(0, |stored| stored.version);
            if version != customer.version {
                return Err(Error::Stale);
            }
            let mut stored = customer.clone();
            stored.version += 1;
            self.customers.insert(stored.key, stored);
        }
        let aliases = customers.iter().filter_map(|customer| customer.merged_into);
        if aliases.into_iter().any(|into| !self.customers.contains_key(&into)) {
            return Err(bug("no such customer"));
        }
        Ok(())
    }
}

#[async_trait]
impl Ledger for Model {
    async fn heads(&self, records: &[RecordId]) -> Result<Vec<Option<Head>>, Error> {
        let state = self.0.lock().unwrap();
        let head = |id| {
            let (record, customer) = state.records.get(id)?;
            Some(Head {
                hash: content_hash(record),
                customer: *customer,
            })
        };
        Ok(records.iter().map(head).collect())
    }

    async fn view(&self, ask: Ask) -> Result<View, Error> {
        Ok(self.0.lock().unwrap().view(&ask))
    }

    async fn apply(&self, commit: Commit) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        let mut next = state.clone();
        next.apply(&commit)?;
        next.inbox.fold(&commit);
        *state = next;
        Ok(())
    }

    async fn arrival_links(&self, after: i64, limit: usize) -> Result<Vec<(i64, Vec<u64>)>, Error> {
        Ok(self.0.lock().unwrap().arrival_links(after, limit))
    }

    async fn arrivals(&self, numbers: &[i64]) -> Result<Vec<Arrival>, Error> {
        let state = self.0.lock().unwrap();
        Ok(numbers
            .iter()
            .filter_map(|number| state.arrivals.get(number).cloned())
            .collect())
    }

    async fn forget_arrivals(&self, last: i64) -> Result<(), Error> {
        self.0.lock().unwrap().arrivals.retain(|number, _| *number > last);
        Ok(())
    }

    async fn stream(&self, stream: &StreamId) -> Result<StreamState, Error> {
        Ok(self.streams().await?.remove(stream).unwrap_or_default())
    }

    async fn streams(&self) -> Result<BTreeMap<StreamId, StreamState>, Error> {
        Ok(self.0.lock().unwrap().streams.clone())
    }

    async fn note_stream(
        &self,
        stream: &StreamId,
        problem: Option<Problem>,
        parked_until: Option<UnixMillis>,
    ) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        let stream = state.streams.entry(stream.clone()).or_default();
        stream.problem = problem;
        stream.parked_until = parked_until;
        Ok(())
    }

    async fn open_run(&self, stream: &StreamId, at: UnixMillis) -> Result<i64, Error> {
        let mut state = self.0.lock().unwrap();
        let id = i64::try_from(state.runs.len()).unwrap() + 1;
        state.runs.push(Run {
            id,
            stream: stream.clone(),
            started_at: at,
            ended_at: None,
            read: 0,
            changed: 0,
            rejected: 0,
            problem: None,
        });
        Ok(id)
    }

    async fn close_run(&self, run: Run) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        if let Some(open) = state.runs.iter_mut().find(|open| open.id == run.id) {
            open.ended_at = run.ended_at;
            open.problem = run.problem;
        }
        Ok(())
    }

    async fn runs(&self, limit: usize) -> Result<Vec<Run>, Error> {
        Ok(self.0.lock().unwrap().runs.iter().rev().take(limit).cloned().collect())
    }

    async fn claim(&self, stream: &StreamId, now: UnixMillis, limit: usize) -> Result<Vec<Write>, Error> {
        let mut state = self.0.lock().unwrap();
        let is_due =
            |write: &&Write| write.state == WriteState::Due && ready_at(write) <= now && write.target.stream == *stream;
        let mut due: Vec<Write> = state.pending().filter(is_due).cloned().collect();
        due.sort_by(|a, b| (a.due_at, &a.target).cmp(&(b.due_at, &b.target)));
        due.truncate(limit);
        for write in &mut due {
            write.state = WriteState::Leased;
            write.attempts += 1;
            let row = state.writes.get_mut(&write.target).unwrap();
            row.write = write.clone();
            row.write.is_uncertain |= matches!(write.target.slot, Slot::New(_));
        }
        Ok(due)
    }

    async fn trail(&self, since: UnixMillis, after: i64, limit: usize) -> Result<Vec<(i64, ChangeRow)>, Error> {
        let state = self.0.lock().unwrap();
        let lines = (1..).zip(state.changes.iter().cloned());
        let wanted = lines.filter(|(number, line)| *number > after && line.at >= since);
        Ok(wanted.take(limit).collect())
    }

    /// Nobody can leave a request with a model.
    async fn requests(&self, _limit: usize) -> Result<Vec<Request>, Error> {
        Ok(Vec::new())
    }

    async fn answer_request(&self, _number: i64, _at: UnixMillis, _answer: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn due(&self, stream: &StreamId, since: UnixMillis) -> Result<DueWrites, Error> {
        Ok(self.0.lock().unwrap().due(stream, since))
    }

    async fn hold_due(&self, stream: &StreamId, since: UnixMillis, problem: Problem) -> Result<u64, Error> {
        Ok(self.0.lock().unwrap().hold_due(stream, since, &problem))
    }

    async fn hold_deletes(&self, stream: &StreamId, since: UnixMillis, problem: Problem) -> Result<u64, Error> {
        Ok(self.0.lock().unwrap().hold_deletes(stream, since, &problem))
    }

    async fn unmet(&self, stream: &StreamId, epoch: u64, after: &str, limit: usize) -> Result<Vec<RecordId>, Error> {
        let unmet = self.0.lock().unwrap().unmet(stream, epoch).into_iter();
        Ok(unmet.filter(|id| id.remote.as_str() > after).take(limit).collect())
    }

    async fn count_unmet(&self, stream: &StreamId, epoch: u64) -> Result<u64, Error> {
        Ok(self.0.lock().unwrap().unmet(stream, epoch).len() as u64)
    }

    async fn note_sweep(
        &self,
        stream: &StreamId,
        epoch: u64,
        stage: SweepStage,
        problem: Option<Problem>,
    ) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        let latest = state.streams.get_mut(stream).map(|stream| &mut stream.sweep);
        if let Some(sweep) = latest.filter(|sweep| sweep.epoch == epoch) {
            sweep.stage = stage;
            sweep.problem = problem;
        }
        Ok(())
    }

    async fn approve_sweeps(&self) -> Result<u64, Error> {
        Ok(self.0.lock().unwrap().approve_sweeps())
    }

    async fn release_held(&self, now: UnixMillis) -> Result<u64, Error> {
        Ok(self.0.lock().unwrap().release_held(now))
    }

    async fn count_records(&self, stream: &StreamId) -> Result<u64, Error> {
        Ok(self.0.lock().unwrap().count_records(stream))
    }

    async fn release_leases(&self, now: UnixMillis) -> Result<u64, Error> {
        let mut state = self.0.lock().unwrap();
        state.writes.retain(|_, row| !row.is_removed || row.write.is_uncertain);
        let mut released = 0;
        for row in state
            .writes
            .values_mut()
            .filter(|row| row.write.state == WriteState::Leased && !row.is_removed)
        {
            row.write.state = WriteState::Due;
            row.write.due_at = row.write.due_at.min(now);
            released += 1;
        }
        Ok(released)
    }

    async fn writes(&self, states: &[WriteState], after: Option<&Target>, limit: usize) -> Result<Vec<Write>, Error> {
        let state = self.0.lock().unwrap();
        let wanted = |write: &&Write| states.is_empty() || states.contains(&write.state);
        let is_behind = |write: &&Write| after.is_none_or(|after| write.target > *after);
        let mut found: Vec<&Write> = state.pending().filter(wanted).filter(is_behind).collect();
        found.sort_by(|a, b| a.target.cmp(&b.target));
        Ok(found.into_iter().take(limit).cloned().collect())
    }

    async fn next_due(&self, stream: &StreamId) -> Result<Option<UnixMillis>, Error> {
        let state = self.0.lock().unwrap();
        let due = state
            .pending()
            .filter(|write| write.state == WriteState::Due && write.target.stream == *stream);
        Ok(due.map(ready_at).min())
    }

    async fn customer(&self, key: &CustomerKey) -> Result<Option<Customer>, Error> {
        Ok(self.0.lock().unwrap().live(key).cloned())
    }

    async fn customers(&self, after: Option<&CustomerKey>, limit: usize) -> Result<Vec<Customer>, Error> {
        let state = self.0.lock().unwrap();
        let all = state.customers.values();
        let live = all.filter(|customer| customer.merged_into.is_none());
        let rest = live.filter(|customer| after.is_none_or(|after| customer.key > *after));
        Ok(rest.take(limit).cloned().collect())
    }

    async fn search(&self, text: &str, limit: usize) -> Result<Vec<CustomerKey>, Error> {
        let state = self.0.lock().unwrap();
        let lower = text.trim().to_lowercase();
        let mut found = BTreeSet::new();
        if lower.is_empty() {
            return Ok(Vec::new());
        }
        for (id, held) in &state.identifiers {
            let is_it = |held: &Identifier| held.value == lower || held.value == text.trim();
            if held.keys().any(is_it) {
                found.insert(state.records[id].1);
            }
        }
        for customer in state
            .customers
            .values()
            .filter(|customer| customer.merged_into.is_none())
        {
            let says = |value: &nivel::model::Value| value.to_string().to_lowercase().contains(&lower);
            if customer.golden.0.values().flatten().any(says) {
                found.insert(customer.key);
            }
        }
        Ok(found.into_iter().take(limit).collect())
    }

    async fn rejected(&self, after: Option<&RecordId>, limit: usize) -> Result<Vec<Record>, Error> {
        let state = self.0.lock().unwrap();
        let bad = state
            .records
            .values()
            .map(|(record, _)| record)
            .filter(|record| record.problem.is_some());
        let rest = bad.filter(|record| after.is_none_or(|after| record.id > *after));
        Ok(rest.take(limit).cloned().collect())
    }

    async fn frozen(&self, after: Option<&RecordId>, limit: usize) -> Result<Vec<(Record, CustomerKey)>, Error> {
        let state = self.0.lock().unwrap();
        let frozen = state.records.values().filter(|(record, _)| is_frozen(record));
        let rest = frozen.filter(|(record, _)| after.is_none_or(|after| record.id > *after));
        Ok(rest.take(limit).cloned().collect())
    }

    async fn changes(&self, customer: &CustomerKey, limit: usize) -> Result<Vec<ChangeRow>, Error> {
        let state = self.0.lock().unwrap();
        let Some(live) = state.live(customer) else {
            return Ok(Vec::new());
        };
        let hers = |row: &&ChangeRow| {
            let Change { customer, .. } = &row.change;
            state.live(customer).is_some_and(|whose| whose.key == live.key)
        };
        Ok(state.changes.iter().rev().filter(hers).take(limit).cloned().collect())
    }

    async fn decide(&self, decision: Decision, _by: &str, _at: UnixMillis) -> Result<(), Error> {
        let Decision { left, right, same } = decision;
        let pair = if left <= right { (left, right) } else { (right, left) };
        self.0.lock().unwrap().decisions.insert(pair, same);
        Ok(())
    }

    async fn setting(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.0.lock().unwrap().settings.get(name).cloned())
    }

    async fn set_setting(&self, name: &str, value: &str) -> Result<(), Error> {
        self.0
            .lock()
            .unwrap()
            .settings
            .insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    async fn trim(&self, _now: UnixMillis, _keep: nivel::ledger::Keep) -> Result<u64, Error> {
        Ok(0)
    }

    async fn totals(&self) -> Result<Totals, Error> {
        let state = self.0.lock().unwrap();
        let count = |is: &dyn Fn(&Record) -> bool| {
            u64::try_from(state.records.values().filter(|(record, _)| is(record)).count()).unwrap()
        };
        let mut totals = Totals {
            records: count(&|record| record.deleted_at.is_none()),
            rejected: count(&|record| record.problem.is_some()),
            frozen: count(&is_frozen),
            merges: state.merges,
            ..Totals::default()
        };
        for customer in state.customers.values() {
            totals.customers += u64::from(customer.merged_into.is_none());
        }
        for write in state.pending() {
            *totals.writes.entry(write.state).or_default() += 1;
            let waits = matches!(write.state, WriteState::Due | WriteState::Held);
            totals.deletes += u64::from(waits && write.removes_at.is_some());
        }
        Ok(totals)
    }

    async fn probe(&self) -> Result<(), Error> {
        Ok(())
    }
}
