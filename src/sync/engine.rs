//! Holds the parts together and runs one whole pass over all systems.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use futures::future::join_all;
use serde::Serialize;

use super::approval::setup_of;
use super::arrivals::FirstReadings;
use super::erase::Suppression;
use super::matching::Matching;
use super::progress::{Event, Progress};
use super::settle::Aftermath;
use crate::cache::IdentityCache;
use crate::connector::Connections;
use crate::error::Problem;
use crate::ledger::{Ask, Error as LedgerError, Ledger, View, WriteState};
use crate::merge::{Rules, Survivorship};
use crate::model::{Clock, CustomerKey, Kind, StreamId, UnixMillis};

/// How long one pass waits for writes that are to be tried again soon.
const PATIENCE: Duration = Duration::from_secs(45);

/// What an engine is made of.
pub struct Parts {
    /// The durable store.
    pub ledger: Arc<dyn Ledger>,
    /// The identity cache.
    pub cache: Arc<dyn IdentityCache>,
    /// Every configured system.
    pub connections: Connections,
    /// The admin's rules.
    pub rules: Rules,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Who wants to know what happens.
    pub progress: Arc<dyn Progress>,
}

/// Pulls, folds, pushes and settles. Cheap to share behind an [`Arc`].
pub struct Engine {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) cache: Arc<dyn IdentityCache>,
    pub(super) connections: Connections,
    pub(super) rules: Rules,
    pub(super) survivorship: Survivorship,
    pub(super) clock: Arc<dyn Clock>,
    /// Digest of the rules, as an approval names it.
    pub(super) setup: String,
    progress: Arc<dyn Progress>,
    /// One fold at a time: with one node nobody else writes, so no commit is ever stale.
    pub(super) gate: tokio::sync::Mutex<()>,
    /// First readings under way, and the folding of what they put aside.
    pub(super) first_readings: FirstReadings,
    /// The scored match.
    pub(super) matching: Matching,
    /// Who is not taken in any more.
    pub(super) suppression: Suppression,
    /// Erasures go on one at a time.
    pub(super) erasing: tokio::sync::Mutex<()>,
    /// Rung when a commit may have put writes into the outbox.
    pub(super) bell: tokio::sync::Notify,
}

/// Why work on a stream stopped early.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stop {
    /// The stream has a problem; the others go on.
    #[error("{0}")]
    Stream(Problem),
    /// The ledger cannot be used: everything stops.
    #[error("{0}")]
    Ledger(#[from] LedgerError),
}

impl Stop {
    /// What a person reads.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Stream(problem) | Self::Ledger(LedgerError::Broken(problem)) => problem.clone(),
            Self::Ledger(LedgerError::Stale) => Problem::new(
                crate::error::Code::Bug,
                "the ledger kept moving on while a commit was tried",
            ),
        }
    }
}

/// How things stood when a pass began.
#[derive(Clone, Copy, Debug)]
struct Began {
    at: UnixMillis,
    merges: u64,
}

/// When to look at an outbox again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing waits.
    Idle,
    /// The next write is due after this time.
    In(Duration),
    /// The tool takes no writes for this time.
    Parked(Duration),
}

/// Figures of one system in one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SystemFigures {
    /// Records read.
    pub read: u64,
    /// Records that said something new.
    pub changed: u64,
    /// Records that could not be mapped.
    pub rejected: u64,
    /// Objects made.
    pub created: u64,
    /// Objects changed.
    pub updated: u64,
    /// Objects removed, because their customer was deleted elsewhere.
    pub removed: u64,
    /// Writes given up.
    pub dead: u64,
    /// Rows of the export file that was written.
    #[serde(skip_serializing_if = "is_zero")]
    pub exported: u64,
    /// Why it stopped early; empty when it did not.
    pub problems: Vec<Problem>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Figures of one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Per system.
    pub systems: BTreeMap<CompactString, SystemFigures>,
    /// Live customers in the ledger.
    pub customers: u64,
    /// Records that turned out in this pass to be about somebody known from another one, and customers to be one.
    pub merges: u64,
    /// Writes that wait, by state.
    pub waiting: BTreeMap<WriteState, u64>,
    /// Nobody has said yes to this setup yet: nothing is written.
    pub needs_approval: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl Summary {
    /// Writes carried out.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.systems
            .values()
            .map(|figures| figures.created + figures.updated + figures.removed)
            .sum()
    }

    /// Counts what an earlier pass had read and found changed as part of this one.
    pub fn add_reading_of(&mut self, earlier: &Self) {
        for (system, figures) in &earlier.systems {
            let mine = self.systems.entry(system.clone()).or_default();
            mine.read += figures.read;
            mine.changed += figures.changed;
            mine.rejected += figures.rejected;
        }
        self.merges += earlier.merges;
        self.took_ms += earlier.took_ms;
    }

    /// True when nothing is left to do and nothing went wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.waiting.values().all(|count| *count == 0) && self.systems.values().all(|f| f.problems.is_empty())
    }
}

impl Engine {
    /// Puts an engine together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            survivorship: Survivorship::new(&parts.rules),
            setup: setup_of(&parts.rules),
            ledger: parts.ledger,
            cache: parts.cache,
            connections: parts.connections,
            rules: parts.rules,
            clock: parts.clock,
            progress: parts.progress,
            gate: tokio::sync::Mutex::new(()),
            first_readings: FirstReadings::default(),
            matching: Matching::default(),
            suppression: Suppression::default(),
            erasing: tokio::sync::Mutex::new(()),
            bell: tokio::sync::Notify::new(),
        }
    }

    /// The durable store.
    #[must_use]
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    /// The present by the engine's clock.
    #[must_use]
    pub fn now(&self) -> crate::model::UnixMillis {
        self.clock.now()
    }

    /// The identity cache.
    #[must_use]
    pub fn cache(&self) -> &Arc<dyn IdentityCache> {
        &self.cache
    }

    /// Where the time comes from.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The same, to be shared.
    #[must_use]
    pub fn shared_clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// When a system was last read to its end; `None` when a stream of it never was.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn last_read(&self, system: &str) -> Result<Option<UnixMillis>, LedgerError> {
        let states = self.ledger.streams().await?;
        let mut streams = self.streams().into_iter().filter(|stream| stream.system == system);
        let first = streams.try_fold(None::<UnixMillis>, |first, stream| {
            let at = states.get(&stream)?.caught_up_at?;
            Some(Some(first.map_or(at, |first| first.min(at))))
        });
        Ok(first.flatten())
    }

    /// The systems.
    #[must_use]
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Every stream of every system.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        let of = |(system, connection): (&CompactString, &Arc<dyn crate::connector::Connection>)| {
            connection
                .streams()
                .keys()
                .map(|stream| StreamId::new(system.clone(), stream.clone()))
                .collect::<Vec<_>>()
        };
        self.connections.iter().flat_map(of).collect()
    }

    /// Makes the writes of a process that died due again. Called once, before anything is delivered.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn release_leases(&self) -> Result<u64, LedgerError> {
        if self.rules.matching.is_none() {
            // Nobody looks at it any more, and it must hold nothing up.
            let last = self.ledger.last_unmatched().await?;
            if last > 0 {
                self.ledger.forget_unmatched(last, false).await?;
            }
        }
        self.ledger.release_leases(self.clock.now()).await
    }

    /// The part of the ledger a fold touches; with what handoffs need where there are any.
    pub(super) async fn view(&self, ask: Ask) -> Result<View, LedgerError> {
        let without_handoffs = self.rules.handoffs.is_empty();
        self.ledger
            .view(Ask {
                without_handoffs,
                ..ask
            })
            .await
    }

    pub(super) fn tell(&self, event: &Event) {
        self.progress.on(event);
    }

    /// A key that was never given out before; later keys sort after earlier ones.
    pub(super) fn mint(kind: Kind) -> CustomerKey {
        CustomerKey {
            id: uuid::Uuid::now_v7(),
            kind,
        }
    }

    /// True when every stream was read to its end at least once, and everything read was folded. Until then nothing is written anywhere: an object that is
    /// about to be made might stand on a page that was not read yet.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn is_initial_read_done(&self) -> Result<bool, LedgerError> {
        let states = self.ledger.streams().await?;
        // Activities are nobody an object could be made for; only conditions of handoffs have to know all of them.
        let decides = |stream: &StreamId| {
            let mut rules = self.rules.handoffs.iter();
            rules.any(|rule| {
                let is_from = rule.from.as_ref().is_none_or(|from| *from == stream.system);
                is_from && rule.when.activity() == Some(stream.stream.as_str())
            })
        };
        let counts = |stream: &&StreamId| !self.rules.is_activity(&stream.system, &stream.stream) || decides(stream);
        Ok(self
            .streams()
            .iter()
            .filter(counts)
            .all(|stream| states.get(stream).is_some_and(|state| state.initial_done_at.is_some()))
            && self.ledger.arrival_links(0, 1).await?.is_empty())
    }

    /// Reads every stream up to the present.
    ///
    /// # Errors
    /// When the ledger cannot be used. A system's own problem is in the figures, the others go on.
    pub async fn pull_all(&self) -> Result<BTreeMap<CompactString, SystemFigures>, LedgerError> {
        let streams = self.streams();
        let reports = join_all(streams.iter().map(|stream| self.pull_stream(stream))).await;
        let mut figures: BTreeMap<CompactString, SystemFigures> = BTreeMap::new();
        for (stream, report) in streams.iter().zip(reports) {
            let mine = figures.entry(stream.system.clone()).or_default();
            mine.read += report.read;
            mine.changed += report.changed;
            mine.rejected += report.rejected;
            match report.stop {
                Some(Stop::Ledger(error)) => return Err(error),
                Some(Stop::Stream(problem)) => mine.problems.push(problem),
                None => {}
            }
        }
        self.fold_arrivals().await?;
        Ok(figures)
    }

    /// Reads every stream of one system up to the present. A stream's own problem is noted with the stream.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn pull_system(&self, system: &str) -> Result<(), LedgerError> {
        let streams: Vec<StreamId> = self
            .streams()
            .into_iter()
            .filter(|stream| stream.system == system)
            .collect();
        let reports = join_all(streams.iter().map(|stream| self.pull_stream(stream))).await;
        for report in reports {
            if let Some(Stop::Ledger(error)) = report.stop {
                return Err(error);
            }
        }
        self.fold_arrivals().await
    }

    /// Delivers what is due in one stream, and says when to look again.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn push_due(&self, stream: &StreamId) -> Result<Next, LedgerError> {
        if !self.is_initial_read_done().await? {
            return Ok(Next::Idle);
        }
        // Also before anybody said yes: who is who belongs to what she says yes to.
        self.match_records().await?;
        if self.approval().await?.is_none() {
            return Ok(Next::Idle);
        }
        let aftermath = self.push_stream(stream, None).await?;
        let now = self.clock.now();
        if let Some((until, _)) = aftermath.parked {
            return Ok(Next::Parked(until.since(now)));
        }
        Ok(self
            .ledger
            .next_due(stream)
            .await?
            .map_or(Next::Idle, |due| Next::In(due.since(now))))
    }

    /// Resolves when a commit may have put writes into the outbox.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Delivers what is due everywhere, and waits a little for what is to be tried again soon.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn push_all(&self) -> Result<BTreeMap<CompactString, Aftermath>, LedgerError> {
        let streams = self.streams();
        let give_up_at = self.clock.now().plus(PATIENCE);
        let results = join_all(streams.iter().map(|stream| self.push_stream(stream, Some(give_up_at)))).await;
        let mut all: BTreeMap<CompactString, Aftermath> = BTreeMap::new();
        for (stream, result) in streams.iter().zip(results) {
            *all.entry(stream.system.clone()).or_default() += result?;
        }
        Ok(all)
    }

    /// One whole pass: reads every stream, then delivers everything that follows. With `approved_by` somebody says yes
    /// beforehand to whatever that is.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn sync(&self, approved_by: Option<&str>) -> Result<Summary, LedgerError> {
        let began = self.begin().await?;
        let mut systems = self.pull_all().await?;
        self.drain_inboxes().await?;
        self.pursue_erasures().await?;
        self.refold().await?;
        self.match_records().await?;
        if let Some(by) = approved_by {
            self.approve(by).await?;
        }
        if self.is_initial_read_done().await? {
            for (system, aftermath) in self.push_all().await? {
                let figures = systems.entry(system).or_default();
                figures.created += aftermath.created;
                figures.updated += aftermath.done - aftermath.created - aftermath.removed;
                figures.removed += aftermath.removed;
                figures.dead += aftermath.dead;
                figures.problems.extend(aftermath.parked.map(|(_, problem)| problem));
                figures.problems.extend(aftermath.held);
            }
            self.tend_handoffs().await?;
            for (system, exported) in self.export(true).await? {
                let figures = systems.entry(system).or_default();
                figures.exported += exported.rows;
                figures.problems.extend(exported.problem);
            }
        }
        self.summary(systems, began).await
    }

    /// Reads every stream and says what would be written, without writing.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn plan(&self) -> Result<Summary, LedgerError> {
        let began = self.begin().await?;
        let systems = self.pull_all().await?;
        self.refold().await?;
        self.match_records().await?;
        self.summary(systems, began).await
    }

    async fn begin(&self) -> Result<Began, LedgerError> {
        let at = self.clock.now();
        self.release_leases().await?;
        self.find_lost().await?;
        self.note_rules().await?;
        let merges = self.ledger.totals().await?.merges;
        Ok(Began { at, merges })
    }

    async fn summary(
        &self,
        systems: BTreeMap<CompactString, SystemFigures>,
        began: Began,
    ) -> Result<Summary, LedgerError> {
        let totals = self.ledger.totals().await?;
        let took = self.clock.now().since(began.at);
        Ok(Summary {
            systems,
            customers: totals.customers,
            merges: totals.merges.saturating_sub(began.merges),
            waiting: totals.writes,
            needs_approval: self.approval().await?.is_none(),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}
