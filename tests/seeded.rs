//! The test of the test: Nivel with one bug put in on purpose, so that the crash sweep can show that it would find it.
//!
//! Usage: `NIVEL_BUG=cursor-first NIVEL_FAULT=kill-before:7 seeded nivel.yaml` does one sync. Built by `cargo test`; never
//! part of the product.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use compact_str::CompactString;
use nivel::config::{Config, environment};
use nivel::error::Problem;
use nivel::fault;
use nivel::handoff::Passage;
use nivel::identity::affiliation::Sign;
use nivel::ledger::{
    Arrival, Ask, Census, ChangeRow, Commit, ContentHash, Counting, Decision, Dropped, DueWrites, Erasure, Error,
    Handoffs, Head, Inbox, InboxState, Keep, Known, Landed, Ledger, Mark, Matching, NewEvent, PassageCount, PassagesOf,
    Post, Posted, Posts, Privacy, Request, Review, Run, StreamState, SweepStage, Target, Totals, Traces, View, Waiting,
    Watch, Write, WriteChange, WriteState,
};
use nivel::model::{Activity, Customer, CustomerKey, Record, RecordId, StreamId, SystemClock, UnixMillis};
use nivel::sync::{Engine, Silent};

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// The cursor is saved before the records behind it.
    CursorFirst,
    /// A write leaves the outbox before it is sent.
    MarkFirst,
    /// Records are committed, the cursor behind them is not.
    NoCursor,
    /// None: proves that the harness itself does no harm.
    None,
}

struct Seeded {
    inner: Arc<dyn Ledger>,
    bug: Bug,
}

#[async_trait]
impl Ledger for Seeded {
    async fn apply(&self, mut commit: Commit) -> Result<(), Error> {
        match self.bug {
            Bug::CursorFirst if commit.advance.is_some() => {
                let mut first = Commit::new(commit.cause.clone(), commit.at);
                first.advance = commit.advance.take();
                self.inner.apply(first).await?;
            }
            Bug::NoCursor => commit.advance = None,
            _ => {}
        }
        self.inner.apply(commit).await
    }

    async fn claim(&self, stream: &StreamId, now: UnixMillis, limit: usize) -> Result<Vec<Write>, Error> {
        let writes = self.inner.claim(stream, now, limit).await?;
        if let (Bug::MarkFirst, Some(first)) = (self.bug, writes.first()) {
            let mut commit = Commit::new(nivel::ledger::Cause::Write(first.operation.clone()), now);
            commit.writes = writes
                .iter()
                .map(|write| WriteChange::Remove(write.target.clone()))
                .collect();
            self.inner.apply(commit).await?;
        }
        Ok(writes)
    }

    async fn heads(&self, records: &[RecordId]) -> Result<Vec<Option<Head>>, Error> {
        self.inner.heads(records).await
    }

    async fn view(&self, ask: Ask) -> Result<View, Error> {
        self.inner.view(ask).await
    }

    async fn due(&self, stream: &StreamId, since: UnixMillis) -> Result<DueWrites, Error> {
        self.inner.due(stream, since).await
    }

    async fn hold_due(&self, stream: &StreamId, since: UnixMillis, problem: Problem) -> Result<u64, Error> {
        self.inner.hold_due(stream, since, problem).await
    }

    async fn hold_deletes(&self, stream: &StreamId, since: UnixMillis, problem: Problem) -> Result<u64, Error> {
        self.inner.hold_deletes(stream, since, problem).await
    }

    async fn unmet(&self, stream: &StreamId, epoch: u64, after: &str, limit: usize) -> Result<Vec<RecordId>, Error> {
        self.inner.unmet(stream, epoch, after, limit).await
    }

    async fn count_unmet(&self, stream: &StreamId, epoch: u64) -> Result<u64, Error> {
        self.inner.count_unmet(stream, epoch).await
    }

    async fn note_sweep(
        &self,
        stream: &StreamId,
        epoch: u64,
        stage: SweepStage,
        problem: Option<Problem>,
    ) -> Result<(), Error> {
        self.inner.note_sweep(stream, epoch, stage, problem).await
    }

    async fn approve_sweeps(&self) -> Result<u64, Error> {
        self.inner.approve_sweeps().await
    }

    async fn release_held(&self, now: UnixMillis) -> Result<u64, Error> {
        self.inner.release_held(now).await
    }

    async fn count_records(&self, stream: &StreamId) -> Result<u64, Error> {
        self.inner.count_records(stream).await
    }

    async fn trail(&self, since: UnixMillis, after: i64, limit: usize) -> Result<Vec<(i64, ChangeRow)>, Error> {
        self.inner.trail(since, after, limit).await
    }

    async fn requests(&self, limit: usize) -> Result<Vec<Request>, Error> {
        self.inner.requests(limit).await
    }

    async fn answer_request(&self, number: i64, at: UnixMillis, answer: &str) -> Result<(), Error> {
        self.inner.answer_request(number, at, answer).await
    }

    async fn frozen(&self, after: Option<&RecordId>, limit: usize) -> Result<Vec<(Record, CustomerKey)>, Error> {
        self.inner.frozen(after, limit).await
    }

    async fn trim(&self, now: UnixMillis, keep: Keep) -> Result<u64, Error> {
        self.inner.trim(now, keep).await
    }

    async fn arrival_links(&self, after: i64, limit: usize) -> Result<Vec<(i64, Vec<u64>)>, Error> {
        self.inner.arrival_links(after, limit).await
    }

    async fn arrivals(&self, numbers: &[i64]) -> Result<Vec<Arrival>, Error> {
        self.inner.arrivals(numbers).await
    }

    async fn forget_arrivals(&self, last: i64) -> Result<(), Error> {
        self.inner.forget_arrivals(last).await
    }

    async fn stream(&self, stream: &StreamId) -> Result<StreamState, Error> {
        self.inner.stream(stream).await
    }

    async fn streams(&self) -> Result<BTreeMap<StreamId, StreamState>, Error> {
        self.inner.streams().await
    }

    async fn note_stream(
        &self,
        stream: &StreamId,
        problem: Option<Problem>,
        parked_until: Option<UnixMillis>,
    ) -> Result<(), Error> {
        self.inner.note_stream(stream, problem, parked_until).await
    }

    async fn open_run(&self, stream: &StreamId, at: UnixMillis) -> Result<i64, Error> {
        self.inner.open_run(stream, at).await
    }

    async fn close_run(&self, run: Run) -> Result<(), Error> {
        self.inner.close_run(run).await
    }

    async fn runs(&self, limit: usize) -> Result<Vec<Run>, Error> {
        self.inner.runs(limit).await
    }

    async fn release_leases(&self, now: UnixMillis) -> Result<u64, Error> {
        self.inner.release_leases(now).await
    }

    async fn writes(&self, states: &[WriteState], after: Option<&Target>, limit: usize) -> Result<Vec<Write>, Error> {
        self.inner.writes(states, after, limit).await
    }

    async fn next_due(&self, stream: &StreamId) -> Result<Option<UnixMillis>, Error> {
        self.inner.next_due(stream).await
    }

    async fn customer(&self, key: &CustomerKey) -> Result<Option<Customer>, Error> {
        self.inner.customer(key).await
    }

    async fn customers(&self, after: Option<&CustomerKey>, limit: usize) -> Result<Vec<Customer>, Error> {
        self.inner.customers(after, limit).await
    }

    async fn search(&self, text: &str, limit: usize) -> Result<Vec<CustomerKey>, Error> {
        self.inner.search(text, limit).await
    }

    async fn rejected(&self, after: Option<&RecordId>, limit: usize) -> Result<Vec<Record>, Error> {
        self.inner.rejected(after, limit).await
    }

    async fn changes(&self, customer: &CustomerKey, limit: usize) -> Result<Vec<ChangeRow>, Error> {
        self.inner.changes(customer, limit).await
    }

    async fn decide(&self, decision: Decision, by: &str, at: UnixMillis) -> Result<(), Error> {
        self.inner.decide(decision, by, at).await
    }

    async fn setting(&self, name: &str) -> Result<Option<String>, Error> {
        self.inner.setting(name).await
    }

    async fn set_setting(&self, name: &str, value: &str) -> Result<(), Error> {
        self.inner.set_setting(name, value).await
    }

    async fn totals(&self) -> Result<Totals, Error> {
        self.inner.totals().await
    }

    async fn probe(&self) -> Result<(), Error> {
        self.inner.probe().await
    }
}

#[async_trait]
impl Inbox for Seeded {
    async fn land(&self, events: Vec<NewEvent>) -> Result<Landed, Error> {
        self.inner.land(events).await
    }

    async fn waiting(&self, system: &str, limit: usize) -> Result<Vec<Waiting>, Error> {
        self.inner.waiting(system, limit).await
    }

    async fn systems_waiting(&self) -> Result<Vec<CompactString>, Error> {
        self.inner.systems_waiting().await
    }

    async fn drop_events(&self, events: Vec<Dropped>, at: UnixMillis) -> Result<(), Error> {
        self.inner.drop_events(events, at).await
    }

    async fn inbox(&self) -> Result<BTreeMap<CompactString, InboxState>, Error> {
        self.inner.inbox().await
    }

    async fn heard(&self, stream: &StreamId, limit: usize) -> Result<Vec<UnixMillis>, Error> {
        self.inner.heard(stream, limit).await
    }

    async fn note_webhook(&self, stream: &StreamId, problem: Option<Problem>) -> Result<(), Error> {
        self.inner.note_webhook(stream, problem).await
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let env = environment();
    let bug = match env.get("NIVEL_BUG").map(String::as_str) {
        Some("cursor-first") => Bug::CursorFirst,
        Some("mark-first") => Bug::MarkFirst,
        Some("no-cursor") => Bug::NoCursor,
        _ => Bug::None,
    };
    if let Some(plan) = env.get("NIVEL_FAULT").and_then(|text| fault::Plan::parse(text)) {
        fault::arm(plan);
    }
    let config: PathBuf = std::env::args_os().nth(1).unwrap_or_default().into();
    match sync(&config, &env, bug).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

async fn sync(config: &PathBuf, env: &BTreeMap<String, String>, bug: Bug) -> Result<bool, Vec<Problem>> {
    let config = Config::load(std::slice::from_ref(config), env)?;
    let mut parts = nivel::daemon::parts(&config, Arc::new(SystemClock), Arc::new(Silent)).await?;
    parts.ledger = Arc::new(Seeded {
        inner: parts.ledger,
        bug,
    });
    Ok(Engine::new(parts)
        .sync(Some("test"))
        .await
        .is_ok_and(|summary| summary.is_clean()))
}

#[async_trait]
impl Counting for Seeded {
    async fn census(&self, here: &[StreamId], there: &[StreamId]) -> Result<Census, Error> {
        self.inner.census(here, there).await
    }
}

#[async_trait]
impl Matching for Seeded {
    async fn unmatched(&self, limit: usize) -> Result<Option<(i64, Vec<Known>)>, Error> {
        self.inner.unmatched(limit).await
    }

    async fn last_unmatched(&self) -> Result<i64, Error> {
        self.inner.last_unmatched().await
    }

    async fn forget_unmatched(&self, last: i64, keep_refolds: bool) -> Result<(), Error> {
        self.inner.forget_unmatched(last, keep_refolds).await
    }

    async fn known(&self, after: i64, limit: usize) -> Result<Vec<(i64, Known)>, Error> {
        self.inner.known(after, limit).await
    }

    async fn former(&self, records: &[RecordId]) -> Result<BTreeMap<RecordId, Customer>, Error> {
        self.inner.former(records).await
    }

    async fn reviews(&self, limit: usize) -> Result<Vec<Review>, Error> {
        self.inner.reviews(limit).await
    }

    async fn reviews_of(&self, records: &[RecordId]) -> Result<Vec<Review>, Error> {
        self.inner.reviews_of(records).await
    }

    async fn review(&self, id: i64) -> Result<Option<Review>, Error> {
        self.inner.review(id).await
    }

    async fn joints(&self) -> Result<BTreeMap<CustomerKey, i32>, Error> {
        self.inner.joints().await
    }

    async fn people(&self, signs: &[Sign]) -> Result<BTreeSet<CustomerKey>, Error> {
        self.inner.people(signs).await
    }

    async fn oversized(&self, size_max: usize, limit: usize) -> Result<Vec<(CustomerKey, u64)>, Error> {
        self.inner.oversized(size_max, limit).await
    }

    async fn organizations(&self, signs: &[Sign]) -> Result<Vec<BTreeSet<CustomerKey>>, Error> {
        self.inner.organizations(signs).await
    }

    async fn parted(&self) -> Result<Vec<RecordId>, Error> {
        self.inner.parted().await
    }

    async fn forget_parted(&self, records: &[RecordId]) -> Result<(), Error> {
        self.inner.forget_parted(records).await
    }
}

#[async_trait]
impl Posts for Seeded {
    async fn watch(&self, watches: Vec<Watch>) -> Result<(), Error> {
        self.inner.watch(watches).await
    }

    async fn due_posts(&self, now: UnixMillis, limit: usize) -> Result<Vec<Post>, Error> {
        self.inner.due_posts(now, limit).await
    }

    async fn settle_post(&self, id: i64, posted: Posted) -> Result<(), Error> {
        self.inner.settle_post(id, posted).await
    }

    async fn posts(&self, only_dead: bool, limit: usize) -> Result<Vec<Post>, Error> {
        self.inner.posts(only_dead, limit).await
    }

    async fn replay_posts(&self, tokens: Vec<CompactString>, now: UnixMillis) -> Result<u64, Error> {
        self.inner.replay_posts(tokens, now).await
    }
}

#[async_trait]
impl Handoffs for Seeded {
    async fn activity_heads(&self, ids: &[RecordId]) -> Result<Vec<Option<ContentHash>>, Error> {
        self.inner.activity_heads(ids).await
    }

    async fn activities(&self, ids: &[RecordId]) -> Result<Vec<Option<Activity>>, Error> {
        self.inner.activities(ids).await
    }

    async fn activities_of(&self, customer: &CustomerKey, limit: usize) -> Result<Vec<Activity>, Error> {
        self.inner.activities_of(customer, limit).await
    }

    async fn count_activities(&self) -> Result<u64, Error> {
        self.inner.count_activities().await
    }

    async fn passages(&self, of: &PassagesOf, after: Option<&str>, limit: usize) -> Result<Vec<Passage>, Error> {
        self.inner.passages(of, after, limit).await
    }

    async fn passage_counts(&self, now: UnixMillis) -> Result<Vec<PassageCount>, Error> {
        self.inner.passage_counts(now).await
    }

    async fn passages_of(&self, customer: &CustomerKey) -> Result<Vec<Passage>, Error> {
        self.inner.passages_of(customer).await
    }

    async fn to_look_at(&self, now: UnixMillis, limit: usize) -> Result<Vec<CustomerKey>, Error> {
        self.inner.to_look_at(now, limit).await
    }
}

#[async_trait]
impl Privacy for Seeded {
    async fn traces(&self, customer: &CustomerKey) -> Result<Traces, Error> {
        self.inner.traces(customer).await
    }

    async fn begin_erasure(&self, erasure: Erasure, marks: Vec<Mark>) -> Result<i64, Error> {
        self.inner.begin_erasure(erasure, marks).await
    }

    async fn note_erasure(&self, erasure: Erasure, marks: Vec<Mark>) -> Result<(), Error> {
        self.inner.note_erasure(erasure, marks).await
    }

    async fn erasures(&self, open: bool) -> Result<Vec<Erasure>, Error> {
        self.inner.erasures(open).await
    }

    async fn suppression(&self) -> Result<BTreeSet<Mark>, Error> {
        self.inner.suppression().await
    }

    async fn note_suppressed(&self, met: Vec<(StreamId, Mark)>, at: UnixMillis) -> Result<(), Error> {
        self.inner.note_suppressed(met, at).await
    }

    async fn count_suppressed(&self, stream: &StreamId) -> Result<u64, Error> {
        self.inner.count_suppressed(stream).await
    }

    async fn blank_events(&self, events: Vec<i64>) -> Result<(), Error> {
        self.inner.blank_events(events).await
    }

    async fn purge(&self, erasure: Erasure, traces: Traces, values: Vec<String>) -> Result<(), Error> {
        self.inner.purge(erasure, traces, values).await
    }

    async fn scrub(&self) -> Result<bool, Error> {
        self.inner.scrub().await
    }
}
