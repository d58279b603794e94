//! What the hints of webhooks come to: many events of one object become one look at it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compact_str::CompactString;
use serde_json::Value as Json;

use crate::connector::Hook;
use crate::error::{Code, Problem};
use crate::ledger::{Dropped, Fate, Waiting};
use crate::manifest::{Act, Hint, Subject};
use crate::model::{Fields, Incoming, Record, UnixMillis};

/// How much newer than an event the known state must be before the event counts as old news: time stamps of events and of
/// objects are cut to seconds in different ways.
const OLDER_BY: Duration = Duration::from_secs(2);

/// What is to be done about one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Job {
    /// The events behind it.
    pub(super) events: Vec<i64>,
    /// Objects to read.
    pub(super) fetch: BTreeSet<CompactString>,
    /// Objects that are said to be gone: they are, if they cannot be read.
    pub(super) gone: BTreeSet<CompactString>,
    /// Objects that became one: (survivor, other).
    pub(super) links: Vec<(CompactString, CompactString)>,
    /// The object itself, in every state that came with an event.
    pub(super) payloads: Vec<Json>,
    /// When the latest event happened; `None` when one of them does not say.
    pub(super) latest: Option<UnixMillis>,
}

/// Events by what they are about.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sorted {
    /// By stream and object.
    pub(super) jobs: BTreeMap<CompactString, BTreeMap<Subject, Job>>,
    /// Events that need no look.
    pub(super) dropped: Vec<Dropped>,
}

/// Reads what waits. `is_mapped` says whether a stream of that name exists.
pub(super) fn sort(waiting: &[Waiting], hook: &Hook, is_mapped: impl Fn(&str) -> bool) -> Sorted {
    let mut sorted = Sorted::default();
    for event in waiting {
        let drop = |fate, problem| Dropped {
            id: event.id,
            fate,
            problem,
        };
        match hint(event, hook) {
            Err(why) => {
                let problem = Problem::new(
                    Code::NotTheAnswer,
                    format!("an event of a webhook cannot be read: {why}"),
                );
                sorted.dropped.push(drop(Fate::Unreadable, Some(problem)));
            }
            Ok(hint) if hint.act == Act::Ignore => sorted.dropped.push(drop(Fate::Ignored, None)),
            Ok(hint) if !is_mapped(&hint.object) => sorted.dropped.push(drop(Fate::Unmapped, None)),
            Ok(hint) => {
                let jobs = sorted.jobs.entry(hint.object.clone()).or_default();
                jobs.entry(hint.subject.clone()).or_default().add(event.id, hint);
            }
        }
    }
    sorted
}

fn hint(event: &Waiting, hook: &Hook) -> Result<Hint, String> {
    let body: Json = serde_json::from_slice(&event.body).map_err(|error| error.to_string())?;
    let headers: Json = serde_json::from_str(&event.headers).map_err(|error| error.to_string())?;
    hook.webhook.events.hint(&body, &headers, hook.names())
}

impl Job {
    fn add(&mut self, event: i64, hint: Hint) {
        self.latest = match (self.events.is_empty(), self.latest, hint.at) {
            (true, _, at) => at,
            (false, Some(before), Some(at)) => Some(before.max(at)),
            _ => None,
        };
        self.events.push(event);
        if let Subject::Id(id) = &hint.subject {
            self.fetch.insert(id.clone());
        }
        match hint.act {
            Act::Delete | Act::Erase => {
                if let Subject::Id(id) = hint.subject {
                    self.gone.insert(id);
                }
            }
            Act::Merge { winner, losers } => losers.into_iter().for_each(|loser| self.join(&winner, loser)),
            // Objects that are named by a field keep their id when that field changes.
            Act::Rekey { from, to } if matches!(hint.subject, Subject::Id(_)) => self.join(&to, from),
            Act::Refetch | Act::Rekey { .. } => self.payloads.extend(hint.record),
            Act::Ignore => {}
        }
    }

    fn join(&mut self, winner: &CompactString, loser: CompactString) {
        self.fetch.insert(loser.clone());
        self.gone.insert(loser.clone());
        self.links.push((winner.clone(), loser));
    }

    /// True when the ledger knows a state that is newer than every event. After a write of ours the known time says
    /// nothing about what others changed before it.
    pub(super) fn is_old_news(&self, known: Option<&Record>) -> bool {
        let (Some(record), Some(latest)) = (known, self.latest) else {
            return false;
        };
        let is_plain = self.gone.is_empty() && self.links.is_empty() && record.deleted_at.is_none();
        let is_newer = record
            .updated_at
            .is_some_and(|known| known.since(latest) > OLDER_BY && known > latest);
        is_plain && is_newer && record.written_at.is_none()
    }

    /// True when the objects themselves came with the events and need not be read.
    pub(super) fn is_whole(&self) -> bool {
        !self.payloads.is_empty() && self.gone.is_empty() && self.links.is_empty()
    }
}

/// An object that is said to be gone and cannot be read.
pub(super) fn tombstone(remote: &CompactString) -> Incoming {
    Incoming {
        remote: remote.clone(),
        fields: Fields::default(),
        updated_at: None,
        version: None,
        deleted: true,
        key: None,
        problem: None,
        joined: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::Manifest;
    use crate::model::StreamId;

    fn hook() -> Hook {
        let text = "connector: x\nformat: 1\nbase: https://x.example\nobjects: {}\nwebhook:\n  verify: {path_secret: x}\n  events: {object: '{{ e.kind }}', id: id, at: {from: at, format: ms}, record: whole, op: {at: op, map: {gone: delete, noise: ignore, joined: merge, '*': refetch}}, merge: {winner: id, losers: old}}\n";
        let manifest = Manifest::parse("x", text).unwrap();
        Hook::new(manifest.webhook.unwrap(), &json!({}))
    }

    fn sorted(events: &[Json]) -> Sorted {
        let waiting: Vec<Waiting> = (1..)
            .zip(events)
            .map(|(id, event)| Waiting {
                id,
                received_at: UnixMillis(0),
                headers: "{}".to_owned(),
                body: event.to_string().into_bytes(),
            })
            .collect();
        sort(&waiting, &hook(), |stream| stream == "person")
    }

    fn only_job(events: &[Json]) -> Job {
        let mut sorted = sorted(events);
        let mut jobs = sorted.jobs.remove("person").unwrap();
        assert_eq!(jobs.len(), 1);
        jobs.pop_first().unwrap().1
    }

    #[test]
    fn many_events_of_one_object_are_one_look() {
        let events: Vec<Json> = (0..50)
            .map(|at| json!({"kind": "person", "id": 7, "at": 1000 - at}))
            .collect();
        let job = only_job(&events);
        assert_eq!(job.fetch, BTreeSet::from(["7".into()]));
        assert_eq!((job.events.len(), job.latest), (50, Some(UnixMillis(1000))));
        assert!(!job.is_whole());
        let no_time = only_job(&[
            json!({"kind": "person", "id": 7, "at": 1}),
            json!({"kind": "person", "id": "7"}),
        ]);
        assert_eq!(no_time.latest, None);
    }

    #[test]
    fn what_needs_no_look() {
        let dropped = sorted(&[
            json!({"kind": "person", "id": 1, "op": "noise"}),
            json!({"kind": "boat", "id": 1}),
            json!({"kind": "person"}),
            json!({}),
        ]);
        let fates: Vec<_> = dropped
            .dropped
            .iter()
            .map(|dropped| (dropped.id, dropped.fate))
            .collect();
        assert_eq!(
            fates,
            [
                (1, Fate::Ignored),
                (2, Fate::Unmapped),
                (3, Fate::Unreadable),
                (4, Fate::Unreadable)
            ]
        );
        assert!(dropped.dropped[2].problem.is_some() && dropped.jobs.is_empty());
    }

    #[test]
    fn deletes_and_merges_are_looked_at_too() {
        let gone = only_job(&[
            json!({"kind": "person", "id": 7, "op": "gone"}),
            json!({"kind": "person", "id": 7}),
        ]);
        assert_eq!((gone.fetch.len(), gone.gone.len()), (1, 1));
        let joined = only_job(&[json!({"kind": "person", "id": 7, "op": "joined", "old": [8, 9]})]);
        assert_eq!(joined.fetch.len(), 3);
        assert_eq!(joined.gone, BTreeSet::from(["8".into(), "9".into()]));
        assert_eq!(joined.links, [("7".into(), "8".into()), ("7".into(), "9".into())]);
        let fat = only_job(&[json!({"kind": "person", "id": 7, "whole": {"id": 7, "name": "A"}})]);
        assert!(fat.is_whole());
    }

    #[track_caller]
    fn check_old(at: i64, known: Option<i64>, written: Option<i64>, old: bool) {
        let job = only_job(&[json!({"kind": "person", "id": 7, "at": at})]);
        let mut record = Record::new(StreamId::new("crm", "person").record("7"), UnixMillis(1));
        record.updated_at = known.map(UnixMillis);
        record.written_at = written.map(UnixMillis);
        assert_eq!(job.is_old_news(Some(&record)), old, "{at} {known:?} {written:?}");
    }

    #[test]
    fn p37_in_one_second_the_object_itself_is_asked() {
        check_old(10_000, Some(10_000), None, false);
        check_old(10_900, Some(10_000), None, false);
        check_old(10_000, Some(10_900), None, false);
        check_old(10_000, Some(12_000), None, false);
        check_old(10_000, Some(12_001), None, true);
        check_old(10_000, Some(9_000), None, false);
        check_old(10_000, None, None, false);
        check_old(10_000, Some(20_000), Some(20_000), false);
        assert!(!only_job(&[json!({"kind": "person", "id": 7, "at": 1})]).is_old_news(None));
        let gone = only_job(&[json!({"kind": "person", "id": 7, "at": 1, "op": "gone"})]);
        let mut record = Record::new(StreamId::new("crm", "person").record("7"), UnixMillis(1));
        record.updated_at = Some(UnixMillis(99_000));
        assert!(
            !gone.is_old_news(Some(&record)),
            "whether it is gone is asked, not guessed"
        );
    }
}
