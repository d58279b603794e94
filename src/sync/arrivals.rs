//! The first reading of a stream. Until every stream was read once nothing may be written anywhere, so its objects need
//! not be folded one page at a time: each page is put aside in the ledger with its cursor, and when nothing more is on its
//! way, everything is folded customer by customer. Every customer is then reckoned once instead of once per tool, and
//! what belongs to her lies together on the disk.
//!
//! The fold is the same, only the pages are put together differently; so it does not matter which objects share a page,
//! and a crash anywhere means that some of them are folded again, which changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::engine::Engine;
use super::fold::{Object, ask, identifiers};
use super::progress::Event;
use super::pull::{advance, learned};
use crate::error::{Code, Problem};
use crate::identity::Sets;
use crate::ledger::{Advance, Arrival, Ask, Cause, Commit, Error as LedgerError, View};
use crate::model::{Page, StreamId, UnixMillis};

/// Objects folded in one commit, at least; what belongs together is not parted for it.
const BATCH: usize = 4000;
/// No commit folds more than this many, whatever belongs together: the next one finds them in the ledger.
const BATCH_MAX: usize = 3 * BATCH;
/// Objects of a first reading that are put aside in one commit, about.
const TOGETHER_MAX: usize = 1000;
/// How long a page waits for the next one before both are put aside.
const TOGETHER_FOR: Duration = Duration::from_millis(250);
/// Links that are looked at in one go, 16 bytes each. More of them are looked at in several rounds.
const LINKS_MAX: usize = 2 << 20;
/// Arrivals whose links are read from the ledger at once.
const CHUNK: usize = 20_000;

/// First readings under way, and the folding of what they put aside.
#[derive(Debug, Default)]
pub(super) struct FirstReadings {
    count: AtomicUsize,
    folding: tokio::sync::Mutex<()>,
}

/// A first reading under way; it ends when this is dropped.
pub(super) struct FirstReading<'a>(&'a AtomicUsize);

impl FirstReadings {
    pub(super) fn begin(&self) -> FirstReading<'_> {
        self.count.fetch_add(1, Ordering::SeqCst);
        FirstReading(&self.count)
    }
}

impl Drop for FirstReading<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Pages of a first reading that wait to be committed together. A tool that answers fast is not slowed down by a commit
/// for each of its pages; of one that answers slowly, each page is committed for itself.
#[derive(Debug, Default)]
pub(super) struct Pages {
    waiting: Vec<Page>,
    records: usize,
    since: Option<UnixMillis>,
}

/// What is committed together: pages in the order in which they came.
#[derive(Debug)]
pub(super) struct Batched {
    before: Vec<Page>,
    last: Page,
}

impl Pages {
    /// Adds a page that came at `now`; gives back all of them when it is time to commit.
    pub(super) fn add(&mut self, page: Page, now: UnixMillis) -> Option<Batched> {
        let is_last = page.is_caught_up;
        self.records += page.records.len();
        let since = *self.since.get_or_insert(now);
        self.waiting.push(page);
        let is_enough = is_last || self.records >= TOGETHER_MAX || now.since(since) >= TOGETHER_FOR;
        is_enough.then(|| self.take()).flatten()
    }

    /// What waits, if anything does.
    pub(super) fn take(&mut self) -> Option<Batched> {
        let Self { mut waiting, .. } = std::mem::take(self);
        let last = waiting.pop()?;
        Some(Batched { before: waiting, last })
    }
}

impl Engine {
    /// Commits pages of a first reading: their objects are put aside, with the cursor behind the last one.
    pub(super) async fn put_aside(
        &self,
        stream: &StreamId,
        run: i64,
        pages: Batched,
        from_version: u64,
    ) -> Result<Advance, LedgerError> {
        let Batched { before, last } = pages;
        let mut advance = advance(stream, &last, from_version);
        advance.read += before.iter().map(|page| page.records.len() as u64).sum::<u64>();
        let mut commit = Commit::new(Cause::Run(run), self.clock.now());
        for page in before.into_iter().chain([last]) {
            for incoming in self.sift(stream, page.records).await? {
                commit.arrivals.push(Arrival {
                    stream: stream.clone(),
                    asked_at: page.asked_at,
                    identifiers: identifiers(stream, &incoming, &self.rules),
                    incoming,
                });
            }
        }
        let rejected = commit
            .arrivals
            .iter()
            .filter(|arrival| arrival.incoming.problem.is_some());
        advance.rejected = rejected.count() as u64;
        advance.changed = commit.arrivals.len() as u64;
        commit.advance = Some(advance.clone());
        self.ledger.apply(commit).await?;
        Ok(advance)
    }

    /// Folds what first readings put aside, unless one is still under way: the last one to end does it for all.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub(super) async fn fold_arrivals(&self) -> Result<(), LedgerError> {
        let _one_at_a_time = self.first_readings.folding.lock().await;
        if self.first_readings.count.load(Ordering::SeqCst) > 0 {
            return Ok(());
        }
        let Some((numbers, groups)) = self.group_arrivals().await? else {
            return Ok(());
        };
        // Nobody else may fold meanwhile: views are taken one batch ahead.
        let gate = self.gate.lock().await;
        let folded = self.fold_batches(&numbers, batches(&groups)).await;
        drop(gate);
        match folded {
            // Two batches met in a customer who was there before: one after the other, each sees what the last one did.
            Err(LedgerError::Stale) => self.fold_in_turn(&numbers, batches(&groups)).await?,
            folded => folded?,
        }
        self.bell.notify_waiters();
        match numbers.last() {
            Some(last) => self.ledger.forget_arrivals(*last).await,
            None => Ok(()),
        }
    }

    /// While a batch is folded, the ledger applies the one before it and looks up the one behind it. They have no record
    /// and no identifier in common, so neither changes what the other sees; except through a customer who was there before
    /// and knows identifiers of both: then the later commit is refused as stale.
    async fn fold_batches(&self, numbers: &[i64], batches: Vec<Batch>) -> Result<(), LedgerError> {
        let total = numbers.len() as u64;
        let mut done = 0;
        // Batches have nothing in common: where nobody was before, none of them has to look for anybody.
        let before = self.ledger.totals().await?;
        let is_blank = before.customers == 0 && before.records == 0 && self.rules.handoffs.is_empty();
        let mut batches = batches.into_iter().peekable();
        let mut ahead = batches.next().map(|batch| self.look_ahead(numbers, batch, is_blank));
        let mut applied: Option<Task<()>> = None;
        while let Some(Ahead { arrivals, asked, view }) = end(ahead.take()).await? {
            let next = batches.next_if(|next| !next.is_torn);
            ahead = next.map(|batch| self.look_ahead(numbers, batch, is_blank));
            let objects: Vec<Object<'_>> = arrivals.iter().map(object).collect();
            let commit = self.fold_once(view, asked, &objects, &Cause::FirstReading).await?;
            end(applied.take()).await?;
            if self.cache.serves_others() {
                self.cache.learn(&learned(&commit)).await;
            }
            let ledger = Arc::clone(&self.ledger);
            applied = Some(Task::spawn(async move { ledger.apply(commit).await }));
            if ahead.is_none() {
                end(applied.take()).await?;
                ahead = batches.next().map(|batch| self.look_ahead(numbers, batch, is_blank));
            }
            done += objects.len() as u64;
            self.tell(&Event::Folded { done, total });
        }
        end(applied).await.map(drop)
    }

    /// Each batch on a view of its own; what was folded already changes nothing.
    async fn fold_in_turn(&self, numbers: &[i64], batches: Vec<Batch>) -> Result<(), LedgerError> {
        for batch in batches {
            let wanted: Vec<i64> = batch.members.iter().map(|at| numbers[*at]).collect();
            let arrivals = self.ledger.arrivals(&wanted).await?;
            let objects: Vec<Object<'_>> = arrivals.iter().map(object).collect();
            self.fold_objects(&objects, Cause::FirstReading, None).await?;
        }
        Ok(())
    }

    /// Begins to load a batch with the part of the ledger that it touches.
    fn look_ahead(&self, numbers: &[i64], batch: Batch, is_blank: bool) -> Task<Ahead> {
        let wanted: Vec<i64> = batch.members.iter().map(|at| numbers[*at]).collect();
        let ledger = Arc::clone(&self.ledger);
        let without_handoffs = self.rules.handoffs.is_empty();
        Task::spawn(async move {
            let arrivals = ledger.arrivals(&wanted).await?;
            let asked = Ask {
                without_handoffs,
                ..ask(&arrivals.iter().map(object).collect::<Vec<_>>())
            };
            let view = if is_blank && !batch.is_torn {
                View::default()
            } else {
                ledger.view(asked.clone()).await?
            };
            Ok(Ahead { arrivals, asked, view })
        })
    }

    /// The numbers of all arrivals, and which of them belong together. `None`: there are none.
    async fn group_arrivals(&self) -> Result<Option<(Vec<i64>, Sets)>, LedgerError> {
        let (mut numbers, mut links) = (Vec::new(), 0_usize);
        loop {
            let chunk = self
                .ledger
                .arrival_links(numbers.last().copied().unwrap_or(0), CHUNK)
                .await?;
            if chunk.is_empty() {
                break;
            }
            links += chunk.iter().map(|(_, links)| links.len()).sum::<usize>();
            numbers.extend(chunk.iter().map(|(number, _)| *number));
        }
        if numbers.is_empty() {
            return Ok(None);
        }
        let mut sets = Sets::new(numbers.len());
        let rounds = links.div_ceil(LINKS_MAX).max(1) as u64;
        for round in 0..rounds {
            self.join_linked(&numbers, &mut sets, |link| link % rounds == round)
                .await?;
        }
        Ok(Some((numbers, sets)))
    }

    /// Joins the arrivals that share one of the links of this round.
    async fn join_linked(
        &self,
        numbers: &[i64],
        sets: &mut Sets,
        is_of_round: impl Fn(u64) -> bool,
    ) -> Result<(), LedgerError> {
        let mut all: Vec<(u64, u32)> = Vec::new();
        let mut at = 0_u32;
        for chunk in numbers.chunks(CHUNK) {
            let after = chunk.first().map_or(0, |first| first - 1);
            for (_, links) in self.ledger.arrival_links(after, chunk.len()).await? {
                all.extend(
                    links
                        .into_iter()
                        .filter(|link| is_of_round(*link))
                        .map(|link| (link, at)),
                );
                at += 1;
            }
        }
        all.sort_unstable();
        for same in all.chunk_by(|a, b| a.0 == b.0) {
            for other in same.iter().skip(1) {
                sets.join(same[0].1 as usize, other.1 as usize);
            }
        }
        Ok(())
    }
}

fn object(arrival: &Arrival) -> Object<'_> {
    Object {
        stream: &arrival.stream,
        incoming: &arrival.incoming,
        asked_at: arrival.asked_at,
        identifiers: &arrival.identifiers,
    }
}

/// Arrivals that are folded in one commit.
#[derive(Debug, Default)]
struct Batch {
    members: Vec<usize>,
    /// It goes on with what the batch before it began, and must see what became of that.
    is_torn: bool,
}

/// A batch, and the part of the ledger that it touches.
struct Ahead {
    arrivals: Vec<Arrival>,
    asked: Ask,
    view: View,
}

/// Something that is done in the background; given up when this is dropped.
struct Task<T>(JoinSet<Result<T, LedgerError>>);

impl<T: Send + 'static> Task<T> {
    fn spawn(work: impl Future<Output = Result<T, LedgerError>> + Send + 'static) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(work);
        Self(tasks)
    }
}

/// What came of a task, if there was one.
async fn end<T: 'static>(task: Option<Task<T>>) -> Result<Option<T>, LedgerError> {
    let Some(mut task) = task else { return Ok(None) };
    match task.0.join_next().await {
        Some(Ok(result)) => result.map(Some),
        _ => Err(LedgerError::Broken(Problem::new(
            Code::Bug,
            "a task of the first reading ended without a result",
        ))),
    }
}

/// Cuts everything into batches, customers whole where that is possible, in the order in which they came.
fn batches(sets: &Sets) -> Vec<Batch> {
    let mut order: Vec<(usize, usize)> = (0..sets.len()).map(|at| (sets.root(at), at)).collect();
    order.sort_unstable();
    let mut batches = Vec::new();
    let mut batch = Batch::default();
    for group in order.chunk_by(|a, b| a.0 == b.0) {
        for (_, at) in group {
            if batch.members.len() >= BATCH_MAX {
                let is_torn = true;
                batches.push(std::mem::replace(
                    &mut batch,
                    Batch {
                        is_torn,
                        ..Batch::default()
                    },
                ));
            }
            batch.members.push(*at);
        }
        if batch.members.len() >= BATCH {
            batches.push(std::mem::take(&mut batch));
        }
    }
    batches.extend((!batch.members.is_empty()).then_some(batch));
    batches
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::{Cursor, Fields, Incoming};

    fn page(records: usize, is_caught_up: bool) -> Page {
        let one = Incoming {
            remote: "1".into(),
            fields: Fields::default(),
            updated_at: None,
            version: None,
            deleted: false,
            key: None,
            problem: None,
            joined: None,
        };
        Page {
            records: vec![one; records],
            next: Cursor(String::new()),
            is_caught_up,
            asked_at: UnixMillis(0),
            sweep: None,
        }
    }

    #[test]
    fn pages_of_a_fast_tool_are_put_aside_together() {
        let mut pages = Pages::default();
        let mut add = |records, is_caught_up, at| {
            pages
                .add(page(records, is_caught_up), UnixMillis(at))
                .map(|all| all.before.len() + 1)
        };
        assert_eq!(add(TOGETHER_MAX - 1, false, 0), None);
        assert_eq!(add(1, false, 1), Some(2), "enough of them");
        assert_eq!(add(1, false, 2), None);
        assert_eq!(add(1, false, 252), Some(2), "the first one waited long enough");
        assert_eq!(add(0, false, 253), None);
        assert_eq!(add(0, true, 254), Some(2), "the last one");
        assert!(pages.take().is_none());
    }

    #[test]
    fn a_customer_is_not_parted_between_batches() {
        let mut sets = Sets::new(3 * BATCH);
        let last = 3 * BATCH - 1;
        sets.join(BATCH - 1, last);
        let batches = batches(&sets);
        let with = |at: usize| batches.iter().position(|batch| batch.members.contains(&at));
        assert_eq!(with(BATCH - 1), with(last));
        assert!(batches.iter().all(|batch| !batch.is_torn));
        let all: BTreeSet<usize> = batches.iter().flat_map(|batch| batch.members.clone()).collect();
        assert_eq!(all.len(), 3 * BATCH);
        assert_eq!(
            batches.iter().map(|batch| batch.members.len()).sum::<usize>(),
            3 * BATCH
        );
    }

    #[test]
    fn what_all_belongs_together_is_parted_all_the_same() {
        let mut sets = Sets::new(2 * BATCH_MAX + 1);
        (1..sets.len()).for_each(|at| sets.join(0, at));
        let batches: Vec<_> = batches(&sets)
            .iter()
            .map(|batch| (batch.members.len(), batch.is_torn))
            .collect();
        assert_eq!(batches, [(BATCH_MAX, false), (BATCH_MAX, true), (1, true)]);
    }
}
