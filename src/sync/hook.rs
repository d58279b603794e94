//! Folds what waits in the inbox. An event is a hint: the object is read, and what was read is folded like any page. The
//! events are marked as folded by the same commit, so that a crash repeats a look and never loses one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compact_str::CompactString;

use super::engine::Engine;
use super::hints::{Job, sort, tombstone};
use super::whereabouts::get;
use crate::connector::Connection;
use crate::connector::limits::{Lane, in_lane};
use crate::error::{Class, Failure};
use crate::ledger::{Ask, Cause, Dropped, Error as LedgerError, Fate};
use crate::manifest::Subject;
use crate::model::{FieldName, Incoming, StreamId, UnixMillis, Value};

/// Events taken from the inbox at once.
const EVENTS_MAX: usize = 1000;
/// Objects of one commit. The trail names the events behind a change, so this also bounds its lines.
const OBJECTS_MAX: usize = 100;
/// How long an inbox rests when the tool fails without saying how long.
const REST: Duration = Duration::from_secs(10);
/// How long it rests when somebody must act first.
const LONG_REST: Duration = Duration::from_secs(300);

/// What came of an inbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Events whose consequences are in the ledger now.
    pub folded: u64,
    /// Events that needed none.
    pub dropped: u64,
    /// The tool does not answer: what is left waits so long.
    pub rest: Option<Duration>,
}

/// Why a stream's events could not be folded now.
enum Halt {
    Tool(Failure),
    Ledger(LedgerError),
}

impl From<LedgerError> for Halt {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl Engine {
    /// Folds everything that waits in the inbox, of every system.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn drain_inboxes(&self) -> Result<Drained, LedgerError> {
        let mut all = Drained::default();
        for system in self.ledger.systems_waiting().await? {
            let drained = self.drain_inbox(&system).await?;
            all.folded += drained.folded;
            all.dropped += drained.dropped;
            all.rest = all.rest.max(drained.rest);
        }
        Ok(all)
    }

    /// Folds everything that waits for one system. A tool that does not answer leaves the rest waiting.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn drain_inbox(&self, system: &str) -> Result<Drained, LedgerError> {
        let mut drained = Drained::default();
        loop {
            let waiting = self.ledger.waiting(system, EVENTS_MAX).await?;
            let connection = self.connections.get(system);
            let Some((connection, hook)) = connection.and_then(|found| Some((found, found.hook()?))) else {
                let ids = waiting.iter().map(|event| event.id);
                drained.dropped += self.drop_all(ids, Fate::Unmapped).await?;
                return Ok(drained);
            };
            if waiting.is_empty() {
                return Ok(drained);
            }
            let sorted = sort(&waiting, hook, |stream| connection.streams().contains_key(stream));
            drained.dropped += self.drop_events(sorted.dropped).await?;
            for (stream, jobs) in sorted.jobs {
                let stream = StreamId::new(system, stream);
                match self.fold_hints(connection.as_ref(), &stream, jobs, &mut drained).await {
                    Ok(()) => {}
                    Err(Halt::Ledger(error)) => return Err(error),
                    Err(Halt::Tool(failure)) => {
                        tracing::warn!(%stream, code = %failure.problem.code, %failure, "webhooks wait: the tool does not answer");
                        drained.rest = Some(rest(&failure));
                        return Ok(drained);
                    }
                }
            }
        }
    }

    async fn fold_hints(
        &self,
        connection: &dyn Connection,
        stream: &StreamId,
        jobs: BTreeMap<Subject, Job>,
        drained: &mut Drained,
    ) -> Result<(), Halt> {
        let mut jobs = jobs.into_iter();
        loop {
            let some: BTreeMap<Subject, Job> = jobs.by_ref().take(OBJECTS_MAX).collect();
            if some.is_empty() {
                return Ok(());
            }
            self.fold_some(connection, stream, some, drained).await?;
        }
    }

    async fn fold_some(
        &self,
        connection: &dyn Connection,
        stream: &StreamId,
        mut jobs: BTreeMap<Subject, Job>,
        drained: &mut Drained,
    ) -> Result<(), Halt> {
        drained.dropped += self.drop_erased(stream, &mut jobs).await?;
        let view = self.view(ask_for(stream, &jobs)).await?;
        let known = |subject: &Subject| match subject {
            Subject::Id(id) => view.records.get(&stream.record(id.clone())).map(|(record, _)| record),
            Subject::Match(..) => None,
        };
        let mut old = Vec::new();
        jobs.retain(|subject, job| {
            let is_old = job.is_old_news(known(subject));
            old.extend(job.events.iter().copied().filter(|_| is_old));
            !is_old
        });
        drained.dropped += self.drop_all(old.into_iter(), Fate::Older).await?;
        let asked_at = self.clock.now();
        let mut look = Look::default();
        in_lane(Lane::Webhook, look.fetch(connection, stream, &jobs))
            .await
            .map_err(Halt::Tool)?;
        let absent = look.settle(connection, stream, &jobs);
        drained.dropped += self.drop_all(absent.into_iter(), Fate::Absent).await?;
        if look.events.is_empty() {
            return Ok(());
        }
        let links: Vec<_> = jobs.values().flat_map(|job| &job.links).cloned().collect();
        self.link(stream, &links).await?;
        let count = look.events.len() as u64;
        let cause = Cause::Webhook(look.events);
        self.follow_joined(stream, &mut look.incoming, &Cause::Webhook(Vec::new()))
            .await?;
        let read = look.incoming.len();
        let incoming = self.sift(stream, look.incoming).await?;
        let is_suppressed = incoming.len() < read;
        self.fold_incoming(stream, &incoming, asked_at, cause.clone(), None)
            .await?;
        if let Cause::Webhook(events) = cause
            && is_suppressed
        {
            // What came about an erased person is not kept for the usual time.
            self.ledger.blank_events(events).await?;
        }
        drained.folded += count;
        Ok(())
    }

    async fn drop_all(&self, ids: impl Iterator<Item = i64>, fate: Fate) -> Result<u64, LedgerError> {
        let dropped = ids.map(|id| Dropped {
            id,
            fate,
            problem: None,
        });
        self.drop_events(dropped.collect()).await
    }

    async fn drop_events(&self, events: Vec<Dropped>) -> Result<u64, LedgerError> {
        if events.is_empty() {
            return Ok(0);
        }
        let count = events.len() as u64;
        self.ledger.drop_events(events, self.clock.now()).await?;
        Ok(count)
    }
}

/// What was found out about the objects behind some jobs.
#[derive(Default)]
struct Look {
    found: BTreeMap<CompactString, Incoming>,
    by_field: BTreeMap<Subject, CompactString>,
    incoming: Vec<Incoming>,
    events: Vec<i64>,
}

impl Look {
    /// Reads every object that has to be read, once.
    async fn fetch(
        &mut self,
        connection: &dyn Connection,
        stream: &StreamId,
        jobs: &BTreeMap<Subject, Job>,
    ) -> Result<(), Failure> {
        let read = jobs.values().filter(|job| !job.is_whole());
        let ids: BTreeSet<&CompactString> = read.flat_map(|job| &job.fetch).collect();
        let ids: Vec<CompactString> = ids.into_iter().cloned().collect();
        let objects = get(connection, &stream.stream, &ids).await?;
        self.found
            .extend(objects.into_iter().map(|object| (object.remote.clone(), object)));
        for subject in jobs.keys() {
            let Subject::Match(field, value) = subject else {
                continue;
            };
            // Addresses are compared in small letters everywhere.
            let value = if value.contains('@') {
                value.to_lowercase()
            } else {
                value.clone()
            };
            let Some(value) = Value::text(&value) else { continue };
            if let Some(object) = connection
                .find(&stream.stream, &FieldName::from(field.as_str()), &value)
                .await?
            {
                self.by_field.insert(subject.clone(), object.remote.clone());
                self.found.insert(object.remote.clone(), object);
            }
        }
        Ok(())
    }

    /// Decides what is folded, and gives back the events that lead to nothing.
    fn settle(&mut self, connection: &dyn Connection, stream: &StreamId, jobs: &BTreeMap<Subject, Job>) -> Vec<i64> {
        let mut absent = Vec::new();
        let mut gone = BTreeSet::new();
        for (subject, job) in jobs {
            let payloads = job.payloads.iter().filter(|_| job.is_whole());
            let payloads: Vec<Incoming> = payloads
                .filter_map(|payload| connection.read(&stream.stream, payload))
                .collect();
            let is_found = match subject {
                Subject::Id(id) => self.found.contains_key(id),
                Subject::Match(..) => self.by_field.contains_key(subject),
            };
            gone.extend(job.gone.iter().filter(|id| !self.found.contains_key(*id)).cloned());
            if is_found || !payloads.is_empty() || !job.gone.is_empty() {
                self.events.extend(&job.events);
            } else {
                absent.extend(&job.events);
            }
            self.incoming.extend(payloads);
        }
        self.incoming.extend(std::mem::take(&mut self.found).into_values());
        self.incoming.extend(gone.iter().map(tombstone));
        absent
    }
}

fn ask_for(stream: &StreamId, jobs: &BTreeMap<Subject, Job>) -> Ask {
    let mut ask = Ask::default();
    for job in jobs.values() {
        ask.records.extend(job.fetch.iter().map(|id| stream.record(id.clone())));
    }
    ask
}

fn rest(failure: &Failure) -> Duration {
    let usual = match failure.class {
        Class::Auth | Class::Forbidden | Class::Quota => LONG_REST,
        _ => REST,
    };
    failure.wait.unwrap_or(usual)
}

/// When a stream that sent events is suspiciously quiet: how long it has been, when that is more than `times` its usual
/// gap. `heard` is newest first. Nothing is said before its habits are known.
#[must_use]
pub fn silence(heard: &[UnixMillis], now: UnixMillis, times: u32) -> Option<Duration> {
    const KNOWN_FROM: usize = 5;
    const QUIET_MIN: Duration = Duration::from_secs(3600);
    let latest = heard.first()?;
    let mut gaps: Vec<Duration> = heard.windows(2).map(|pair| pair[0].since(pair[1])).collect();
    if gaps.len() < KNOWN_FROM {
        return None;
    }
    gaps.sort();
    // Not the median: nights and weekends are part of the habit.
    let usual = gaps.get(gaps.len() * 9 / 10).copied()?;
    let quiet = now.since(*latest);
    (quiet > (usual * times).max(QUIET_MIN)).then_some(quiet)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[track_caller]
    fn check(gaps: &[i64], quiet: i64, silent: bool) {
        let mut heard = vec![UnixMillis(1000 * HOUR)];
        for gap in gaps {
            heard.push(UnixMillis(heard[heard.len() - 1].0 - gap));
        }
        let now = UnixMillis(1000 * HOUR + quiet);
        assert_eq!(silence(&heard, now, 10).is_some(), silent, "{gaps:?} {quiet}");
    }

    #[test]
    fn p35_a_webhook_that_is_silent_for_many_times_its_usual_gap_is_noticed() {
        let steady = [60_000; 20];
        check(&steady, HOUR - 1, false);
        check(&steady, HOUR + 1, true);
        check(&[HOUR; 20], 9 * HOUR, false);
        check(&[HOUR; 20], 11 * HOUR, true);
        let mut nights = [60_000; 40];
        for night in 0..6 {
            nights[night * 6] = 12 * HOUR;
        }
        check(&nights, 24 * HOUR, false);
        check(&[60_000; 4], 100 * HOUR, false);
        check(&[], 100 * HOUR, false);
        assert_eq!(silence(&[], UnixMillis(0), 10), None);
    }
}
