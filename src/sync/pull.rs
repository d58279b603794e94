//! Reads one stream up to the present, page by page; every page is one commit.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use tokio::task::JoinSet;

use super::arrivals::Pages;
use super::drift::Presence;
use super::engine::{Engine, Stop};
use super::fold::{Context, Folded, Object, ask, fold, identifiers};
use super::frozen::Froze;
use super::progress::Event;
use super::sweep::alive;
use crate::cache;
use crate::connector::Connection;
use crate::connector::limits::{Lane, in_lane};
use crate::error::{Class, Code, Failure, Problem};
use crate::ledger::{
    Advance, Ask, Cause, Commit, Error as LedgerError, Run, StreamState, SweepPage, View, content_hash_of,
};
use crate::model::{Cursor, Incoming, Page, RecordId, StreamId, UnixMillis};

/// How often a fold may be repeated because the view was too small or out of date. Reached only by a bug.
const FOLDS_MAX: usize = 16;

/// What came of reading a stream.
#[derive(Debug, Default)]
pub(super) struct PullReport {
    pub(super) read: u64,
    pub(super) changed: u64,
    pub(super) rejected: u64,
    pub(super) stop: Option<Stop>,
    pub(super) presence: Presence,
}

impl Engine {
    /// Reads a stream up to the present. What goes wrong is noted with the stream and in the report.
    pub(super) async fn pull_stream(&self, stream: &StreamId) -> PullReport {
        let mut report = PullReport::default();
        let result = self.pull_pages(stream, &mut report).await;
        if let Err(stop) = result {
            if let Stop::Stream(problem) = &stop {
                tracing::warn!(%stream, code = %problem.code, %problem, "reading stopped");
                self.tell(&Event::Stopped {
                    stream: stream.clone(),
                    why: problem.to_string(),
                });
            }
            report.stop = Some(stop);
        }
        report
    }

    async fn pull_pages(&self, stream: &StreamId, report: &mut PullReport) -> Result<(), Stop> {
        let Some(connection) = self.connections.get(&stream.system) else {
            return Ok(());
        };
        let state = self.ledger.stream(stream).await?;
        if state.parked_until.is_some_and(|until| until > self.clock.now()) {
            return state.problem.map_or(Ok(()), |problem| Err(Stop::Stream(problem)));
        }
        let started_at = self.clock.now();
        let id = self.ledger.open_run(stream, started_at).await?;
        tidy(connection, stream, state.cursor.as_ref()).await;
        let reading = state.initial_done_at.is_none().then(|| self.first_readings.begin());
        let result = self.pull_run(connection, stream, id, &state, report).await;
        drop(reading);
        let problem = result.as_ref().err().map(Stop::problem);
        let run = Run {
            id,
            stream: stream.clone(),
            started_at,
            ended_at: Some(self.clock.now()),
            read: report.read,
            changed: report.changed,
            rejected: report.rejected,
            problem: problem.clone(),
        };
        self.ledger.close_run(run).await?;
        if report.read > 0 {
            tidy(connection, stream, self.ledger.stream(stream).await?.cursor.as_ref()).await;
        }
        if problem.is_none() {
            self.note_presence(stream, &report.presence).await?;
        }
        if problem.is_none() && state.problem.is_some() {
            self.ledger.note_stream(stream, None, None).await?;
        }
        tracing::info!(%stream, read = report.read, changed = report.changed, rejected = report.rejected, "run ended");
        result
    }

    async fn pull_run(
        &self,
        connection: &Arc<dyn Connection>,
        stream: &StreamId,
        run: i64,
        state: &StreamState,
        report: &mut PullReport,
    ) -> Result<(), Stop> {
        let is_first = state.initial_done_at.is_none();
        let lane = if is_first { Lane::Backfill } else { Lane::Live };
        let mut version = state.version;
        let mut next = ask_page(connection, stream, state.cursor.as_ref(), lane).await;
        let mut pages = Pages::default();
        loop {
            let page = match next {
                Ok(page) => page,
                Err(failure) => {
                    if let Some(pages) = pages.take() {
                        self.tell_read(stream, &self.put_aside(stream, run, pages, version).await?, report);
                    }
                    return Err(self.stop(stream, failure).await?);
                }
            };
            report.presence.look(&page.records);
            // The next page is on its way while this one is folded: its cursor is known, and reading changes nothing.
            let ahead = (!page.is_caught_up).then(|| page.next.clone());
            let ahead = ask_ahead(connection, stream, ahead.as_ref(), lane);
            let commit = async {
                if !is_first || self.rules.is_activity(&stream.system, &stream.stream) {
                    return self.commit_page(stream, run, page, version).await.map(Some);
                }
                match pages.add(page, self.clock.now()) {
                    Some(enough) => self.put_aside(stream, run, enough, version).await.map(Some),
                    None => Ok(None),
                }
            };
            let (committed, ahead) = tokio::join!(commit, ahead);
            if let Some(advance) = committed? {
                version += 1;
                self.tell_read(stream, &advance, report);
            }
            match ahead {
                Some(ahead) => next = ahead,
                None => break,
            }
        }
        if !is_first {
            self.settle_sweep(connection, stream, run).await?;
        }
        Ok(())
    }

    fn tell_read(&self, stream: &StreamId, advance: &Advance, report: &mut PullReport) {
        report.read += advance.read;
        report.changed += advance.changed;
        report.rejected += advance.rejected;
        self.tell(&Event::Read {
            stream: stream.clone(),
            records: advance.read,
            changed: advance.changed,
            rejected: advance.rejected,
        });
    }

    /// Notes with the stream why reading stopped, and until when it makes no sense to go on.
    pub(super) async fn stop(&self, stream: &StreamId, failure: Failure) -> Result<Stop, LedgerError> {
        let wait = match failure.class {
            Class::Quota => Some(failure.wait.unwrap_or(Duration::from_hours(1))),
            Class::Throttle => Some(failure.wait.unwrap_or(Duration::from_secs(30))),
            _ => failure.wait,
        };
        let until = wait.map(|wait| self.clock.now().plus(wait));
        self.ledger
            .note_stream(stream, Some(failure.problem.clone()), until)
            .await?;
        Ok(Stop::Stream(failure.problem))
    }

    async fn commit_page(
        &self,
        stream: &StreamId,
        run: i64,
        mut page: Page,
        from_version: u64,
    ) -> Result<Advance, LedgerError> {
        let read = page.records.len() as u64;
        self.follow_joined(stream, &mut page.records, &Cause::Run(run)).await?;
        let mut behind = behind(stream, &page, from_version);
        behind.advance.read = read;
        let asked_at = page.asked_at;
        let news = self.news(stream, page.records).await?;
        behind.advance.changed = news.len() as u64;
        if news.is_empty() {
            let mut commit = Commit::new(Cause::Run(run), self.clock.now());
            behind.join(&mut commit);
            self.ledger.apply(commit).await?;
            return Ok(behind.advance);
        }
        self.fold_incoming(stream, &news, asked_at, Cause::Run(run), Some(&behind))
            .await?;
        Ok(behind.advance)
    }

    /// Leaves out the objects that say exactly what their record says.
    async fn news(&self, stream: &StreamId, records: Vec<Incoming>) -> Result<Vec<Incoming>, LedgerError> {
        let ids: Vec<RecordId> = records
            .iter()
            .map(|record| stream.record(record.remote.clone()))
            .collect();
        if self.rules.is_activity(&stream.system, &stream.stream) {
            return self.activity_news(&ids, records).await;
        }
        let heads = self.ledger.heads(&ids).await?;
        let is_news = |(incoming, head): (Incoming, Option<crate::ledger::Head>)| {
            let hash = content_hash_of(&incoming.fields, incoming.deleted, incoming.problem.is_some());
            let unknown_and_gone = head.is_none() && incoming.deleted;
            (head.is_none_or(|head| head.hash != hash) && !unknown_and_gone).then_some(incoming)
        };
        Ok(records.into_iter().zip(heads).filter_map(is_news).collect())
    }

    /// Folds objects of one stream into the ledger.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub(super) async fn fold_incoming(
        &self,
        stream: &StreamId,
        incoming: &[Incoming],
        asked_at: UnixMillis,
        cause: Cause,
        behind: Option<&Behind>,
    ) -> Result<(), LedgerError> {
        if self.rules.is_activity(&stream.system, &stream.stream) {
            return self.fold_activities(stream, incoming, cause, behind).await;
        }
        let identifiers: Vec<_> = incoming
            .iter()
            .map(|one| identifiers(stream, one, &self.rules))
            .collect();
        let objects = incoming.iter().zip(&identifiers).map(|(incoming, identifiers)| Object {
            stream,
            incoming,
            asked_at,
            identifiers,
        });
        self.fold_objects(&objects.collect::<Vec<_>>(), cause, behind).await
    }

    /// Folds objects into the ledger: view, fold, apply, until it fits.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub(super) async fn fold_objects(
        &self,
        objects: &[Object<'_>],
        cause: Cause,
        behind: Option<&Behind>,
    ) -> Result<(), LedgerError> {
        let mut asked = ask(objects);
        self.add_hints(&mut asked).await;
        let gate = self.gate.lock().await;
        for _ in 0..FOLDS_MAX {
            let view = self.view(asked.clone()).await?;
            let mut commit = self.fold_once(view, asked.clone(), objects, &cause).await?;
            match behind {
                Some(behind) => behind.join(&mut commit),
                // What is read for the first time is put with the commit, and nothing of it was swept yet.
                None if cause == Cause::FirstReading => {}
                None => commit.seen = alive(objects),
            }
            let learned = learned(&commit);
            let has_writes = !commit.writes.is_empty();
            let froze = Froze::of(&commit);
            match self.ledger.apply(commit).await {
                Err(LedgerError::Stale) => continue,
                Err(error) => return Err(error),
                Ok(()) => {}
            }
            drop(gate);
            froze.tell();
            self.cache.learn(&learned).await;
            if has_writes {
                self.bell.notify_waiters();
            }
            return Ok(());
        }
        Err(does_not_fold())
    }

    /// Folds objects on a view; looks up more where it does not reach far enough. The gate must be held.
    pub(super) async fn fold_once(
        &self,
        mut view: View,
        mut asked: Ask,
        objects: &[Object<'_>],
        cause: &Cause,
    ) -> Result<Commit, LedgerError> {
        let hers = self.suppressed(objects).await?;
        let kept: Vec<Object<'_>> = objects
            .iter()
            .filter(|one| !hers.contains(&one.id()))
            .copied()
            .collect();
        for _ in 0..FOLDS_MAX {
            let context = Context {
                rules: &self.rules,
                survivorship: &self.survivorship,
                now: self.clock.now(),
                cause: cause.clone(),
                mint: &mut Self::mint,
            };
            match fold(&view, &asked, &kept, context) {
                Folded::Done(commit) => return Ok(*commit),
                Folded::NeedsMore(identifiers) => asked.identifiers.extend(identifiers),
            }
            view = self.view(asked.clone()).await?;
        }
        Err(does_not_fold())
    }

    /// Customers the cache knows for the page's identifiers and records are loaded with the view. Only a hint: the ledger
    /// still looks every identifier up.
    async fn add_hints(&self, asked: &mut Ask) {
        let question = cache::Ask {
            identifiers: asked.identifiers.iter().cloned().collect(),
            records: asked.records.iter().cloned().collect(),
        };
        let hints = self.cache.look_up(&question).await;
        asked
            .customers
            .extend(hints.identifiers.into_iter().chain(hints.records).flatten());
    }
}

/// Asks for one page; passing faults are retried a few times, because nothing is lost by reading again.
///
/// In a task of its own: answers of several streams are taken apart on several cores.
async fn ask_page(
    connection: &Arc<dyn Connection>,
    stream: &StreamId,
    cursor: Option<&Cursor>,
    lane: Lane,
) -> Result<Page, Failure> {
    let (connection, name, cursor) = (Arc::clone(connection), stream.stream.clone(), cursor.cloned());
    let mut task = JoinSet::new();
    let work = async move {
        let ask = || async { connection.pull(&name, cursor.as_ref()).await };
        let pace = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(20))
            .with_max_times(5)
            .with_jitter();
        ask.retry(pace).when(|failure| failure.class == Class::Transient).await
    };
    task.spawn(in_lane(lane, work));
    match task.join_next().await {
        Some(Ok(answer)) => answer,
        _ => Err(Failure::new(
            Class::Transient,
            Problem::new(Code::Bug, "the task that asks for a page ended without an answer").about(stream),
        )),
    }
}

/// Lets the connection put away what the ledger holds; nothing depends on it.
async fn tidy(connection: &Arc<dyn Connection>, stream: &StreamId, committed: Option<&Cursor>) {
    let Some(cursor) = committed else { return };
    if let Err(failure) = connection.tidy(&stream.stream, cursor).await {
        tracing::warn!(%stream, problem = %failure.problem, "what was read could not be put away");
    }
}

async fn ask_ahead(
    connection: &Arc<dyn Connection>,
    stream: &StreamId,
    cursor: Option<&Cursor>,
    lane: Lane,
) -> Option<Result<Page, Failure>> {
    match cursor {
        Some(cursor) => Some(ask_page(connection, stream, Some(cursor), lane).await),
        None => None,
    }
}

/// What a page's commit says beside what its objects say.
pub(super) struct Behind {
    pub(super) advance: Advance,
    pub(super) sweep: Option<SweepPage>,
    /// Everything that was there while a sweep is under way, news or not.
    pub(super) seen: Vec<RecordId>,
}

impl Behind {
    pub(super) fn join(&self, commit: &mut Commit) {
        commit.advance = Some(self.advance.clone());
        commit.sweep.clone_from(&self.sweep);
        commit.seen.clone_from(&self.seen);
    }
}

fn behind(stream: &StreamId, page: &Page, from_version: u64) -> Behind {
    let met = page
        .records
        .iter()
        .filter(|record| page.sweep.is_some() && !record.deleted);
    Behind {
        advance: advance(stream, page, from_version),
        seen: met.map(|record| stream.record(record.remote.clone())).collect(),
        sweep: page.sweep.map(|sweep| SweepPage {
            stream: stream.clone(),
            name: sweep.began,
            is_over: sweep.is_over,
            is_flawed: sweep.is_flawed,
        }),
    }
}

/// The cursor part of a page's commit; nothing is known yet of what changed.
pub(super) fn advance(stream: &StreamId, page: &Page, from_version: u64) -> Advance {
    Advance {
        stream: stream.clone(),
        from_version,
        cursor: page.next.clone(),
        is_caught_up: page.is_caught_up,
        read: page.records.len() as u64,
        changed: 0,
        rejected: page.records.iter().filter(|record| record.problem.is_some()).count() as u64,
    }
}

fn does_not_fold() -> LedgerError {
    LedgerError::Broken(Problem::new(
        Code::Bug,
        format!("a page could not be folded in {FOLDS_MAX} tries"),
    ))
}

/// What the cache should remember of a commit.
pub(super) fn learned(commit: &Commit) -> cache::Learned {
    let homes: std::collections::BTreeMap<&RecordId, _> = commit
        .records
        .iter()
        .map(|(record, customer)| (&record.id, *customer))
        .collect();
    let mut learned = cache::Learned::default();
    for (record, identifiers) in &commit.identifiers {
        if let Some(customer) = homes.get(record) {
            learned
                .identifiers
                .extend(identifiers.iter().map(|identifier| (identifier.clone(), *customer)));
        }
    }
    learned.records = homes.into_iter().map(|(id, customer)| (id.clone(), customer)).collect();
    learned
}
