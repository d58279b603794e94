//! Looks after passages that are on their way: reads back what was written to the target, and notices what happened without
//! a fold: a write that was held, let go or given up, a time that came.

use std::collections::BTreeMap;

use compact_str::CompactString;

use crate::connector::limits::{Lane, in_lane};
use crate::handoff::{Passage, Standing, State};
use crate::ledger::{Ask, Cause, Commit, Error as LedgerError, PassagesOf, View};
use crate::model::{CustomerKey, Incoming, Record, RecordId, StreamId, UnixMillis};
use crate::sync::Engine;

/// Passages that are looked after in one commit.
const BATCH: usize = 200;

/// How often a batch may be folded anew because the ledger moved on. Reached only by a bug.
const FOLDS_MAX: usize = 16;

impl Engine {
    /// Looks after every passage that has not arrived. How many moved on.
    ///
    /// # Errors
    /// When the ledger cannot be used. A tool that does not answer leaves its passages as they are.
    pub async fn tend_handoffs(&self) -> Result<u64, LedgerError> {
        if self.rules.handoffs.is_empty() || !self.is_initial_read_done().await? {
            return Ok(0);
        }
        let mut moved = self.tend_pending().await?;
        let noted = self.write_notes().await?;
        if noted > 0 && self.rules.handoffs.iter().any(|rule| rule.opens.is_some()) {
            // Whoever waited for what was opened has arrived now.
            moved += self.tend_pending().await?;
        }
        moved += noted;
        loop {
            let due = self.ledger.to_look_at(self.clock.now(), BATCH).await?;
            if due.is_empty() {
                return Ok(moved);
            }
            moved += self.reckon_again(&due, &BTreeMap::new(), true).await?;
        }
    }

    /// Every passage that has not arrived, once.
    async fn tend_pending(&self) -> Result<u64, LedgerError> {
        let pending = PassagesOf {
            states: vec![State::Open, State::Stopped],
            ..PassagesOf::default()
        };
        let (mut after, mut moved) = (None::<CompactString>, 0);
        loop {
            let page = self.ledger.passages(&pending, after.as_deref(), BATCH).await?;
            let Some(last) = page.last() else { return Ok(moved) };
            after = Some(last.id.clone());
            moved += self.tend_some(&page).await?;
        }
    }

    async fn tend_some(&self, passages: &[Passage]) -> Result<u64, LedgerError> {
        let keys: Vec<CustomerKey> = passages.iter().map(|passage| passage.customer).collect();
        let view = self.view(ask(&keys)).await?;
        let read = self.read_back(&view, passages).await?;
        self.reckon_again(&keys, &read, false).await
    }

    /// Reads the objects in which passages should have arrived and that nobody has read since Nivel wrote to them.
    async fn read_back(
        &self,
        view: &View,
        passages: &[Passage],
    ) -> Result<BTreeMap<RecordId, UnixMillis>, LedgerError> {
        let mut unread: BTreeMap<StreamId, Vec<CompactString>> = BTreeMap::new();
        for (passage, standing) in self.standings(view, passages) {
            if let Standing::Unread(id) = standing {
                tracing::debug!(passage = %passage.id, record = %id, "is read back");
                unread.entry(id.stream.clone()).or_default().push(id.remote);
            }
        }
        let mut read = BTreeMap::new();
        for (stream, mut ids) in unread {
            ids.sort();
            ids.dedup();
            let Some(connection) = self.connections.get(&stream.system) else {
                continue;
            };
            let asked_at = self.clock.now();
            let found = match in_lane(Lane::Handoff, connection.get(&stream.stream, &ids)).await {
                Ok(found) => found,
                Err(failure) => {
                    tracing::warn!(%stream, code = %failure.problem.code, %failure, "handoffs could not be read back");
                    continue;
                }
            };
            let cause = Cause::Write("read-back".into());
            self.fold_incoming(&stream, &found, asked_at, cause, None).await?;
            read.extend(self.same(&stream, &found, asked_at).await?);
        }
        Ok(read)
    }

    /// The objects that say what Nivel wrote to them.
    async fn same(
        &self,
        stream: &StreamId,
        found: &[Incoming],
        asked_at: UnixMillis,
    ) -> Result<Vec<(RecordId, UnixMillis)>, LedgerError> {
        let ids: Vec<RecordId> = found.iter().map(|one| stream.record(one.remote.clone())).collect();
        let ask = Ask {
            records: ids.iter().cloned().collect(),
            ..Ask::default()
        };
        let view = self.view(ask).await?;
        let says_so = |(id, one): (RecordId, &Incoming)| {
            let (record, _) = view.records.get(&id)?;
            proves(record, one, asked_at).then_some((id, asked_at))
        };
        Ok(ids.into_iter().zip(found).filter_map(says_so).collect())
    }

    /// Where passages stand by what the ledger holds now.
    fn standings<'p>(&self, view: &View, passages: &'p [Passage]) -> Vec<(&'p Passage, Standing)> {
        let mut standings = Vec::new();
        for passage in passages {
            let standing = super::passing::standing_of(view, &self.rules, passage, self.clock.now());
            standings.extend(standing.map(|standing| (passage, standing)));
        }
        standings
    }

    /// Reckons the handoffs of customers anew, because their time has come or to see what moved. How many passages did.
    async fn reckon_again(
        &self,
        keys: &[CustomerKey],
        read: &BTreeMap<RecordId, UnixMillis>,
        is_time: bool,
    ) -> Result<u64, LedgerError> {
        let _gate = self.gate.lock().await;
        for _ in 0..FOLDS_MAX {
            let mut view = self.view(ask(keys)).await?;
            view.read_back.clone_from(read);
            let now = self.clock.now();
            let mut commit = Commit::new(Cause::Write("handoffs".into()), now);
            self.reckon(&view, now, &mut commit);
            let moved = commit.passages.len() as u64;
            let has_writes = !commit.writes.is_empty();
            if is_time {
                for key in keys {
                    commit.looks.entry(*key).or_insert(None);
                }
            } else if moved == 0 && !has_writes {
                return Ok(0);
            }
            match self.ledger.apply(commit).await {
                Err(LedgerError::Stale) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    if has_writes {
                        self.bell.notify_waiters();
                    }
                    return Ok(moved);
                }
            }
        }
        Err(super::does_not_fold("handoffs"))
    }
}

/// True when an object, asked for at `asked_at`, says everything that Nivel wrote to it, and was asked for after that.
fn proves(record: &Record, read: &Incoming, asked_at: UnixMillis) -> bool {
    let is_after = record.written_at.is_none_or(|at| at <= asked_at);
    is_after && read.problem.is_none() && !read.deleted && holds_ours(record, read)
}

/// True when an object says everything that Nivel wrote to it.
fn holds_ours(record: &Record, read: &Incoming) -> bool {
    let mut written = record.ours.iter().filter(|(_, ours)| !ours.placeholder);
    written.all(|(name, ours)| read.fields.0.get(name) == Some(&ours.value) || record.asserts(name.as_str()))
}

fn ask(keys: &[CustomerKey]) -> Ask {
    Ask {
        customers: keys.iter().copied().collect(),
        ..Ask::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Problem};
    use crate::model::{Ours, StreamId, Value};

    #[test]
    fn only_what_was_read_after_it_was_written_and_says_so_is_a_proof() {
        let id = StreamId::new("desk", "user").record("1");
        let mut record = Record::new(id, UnixMillis(1));
        let ours = |text| Ours {
            value: Value::text(text),
            placeholder: false,
            own: None,
        };
        record.ours.insert("phone".into(), ours("7"));
        record.written_at = Some(UnixMillis(10));
        let read = Incoming {
            remote: "1".into(),
            fields: crate::model::Fields([("phone".into(), Value::text("7"))].into()),
            updated_at: None,
            version: None,
            deleted: false,
            key: None,
            problem: None,
            joined: None,
        };
        assert!(proves(&record, &read, UnixMillis(10)));
        assert!(!proves(&record, &read, UnixMillis(9)), "asked before it was written");
        let gone = Incoming {
            deleted: true,
            ..read.clone()
        };
        let broken = Incoming {
            problem: Some(Problem::new(Code::NotTheAnswer, "x")),
            ..read.clone()
        };
        let other = Incoming {
            fields: crate::model::Fields([("phone".into(), Value::text("8"))].into()),
            ..read
        };
        for wrong in [gone, broken, other] {
            assert!(!proves(&record, &wrong, UnixMillis(11)), "{wrong:?}");
        }
    }
}
