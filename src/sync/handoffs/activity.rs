//! Activities on their way into the ledger: the same page commit, without anybody to be resolved.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::{self, IdentityRules};
use crate::ledger::{Ask, Cause, Commit, Error as LedgerError, View, content_hash_of};
use crate::merge::Rules;
use crate::model::{
    Activity, CustomerKey, FieldName, Fields, Holder, HolderBy, HolderSpec, Incoming, Kind, Record, RecordId, StreamId,
    StreamSpec, UnixMillis, Value,
};
use crate::sync::Engine;
use crate::sync::consequence::{Affected, consequences};
use crate::sync::pull::Behind;
use crate::sync::sweep::Unmet;

/// How often a page may be folded anew because the ledger moved on. Reached only by a bug.
const FOLDS_MAX: usize = 16;

/// The field that says when an activity came about.
const AT: &str = "at";

impl Engine {
    /// Leaves out the activities that say exactly what is known of them, and those that were never known and are gone.
    pub(in crate::sync) async fn activity_news(
        &self,
        ids: &[RecordId],
        incoming: Vec<Incoming>,
    ) -> Result<Vec<Incoming>, LedgerError> {
        let heads = self.ledger.activity_heads(ids).await?;
        let news = incoming.into_iter().zip(heads).filter_map(|(one, head)| {
            let hash = content_hash_of(&one.fields, one.deleted, false);
            let is_news = head.map_or(!one.deleted, |head| head != hash);
            is_news.then_some(one)
        });
        Ok(news.collect())
    }

    /// Takes activities into the ledger, with what follows for the handoffs of those they hang on.
    pub(in crate::sync) async fn fold_activities(
        &self,
        stream: &StreamId,
        incoming: &[Incoming],
        cause: Cause,
        behind: Option<&Behind>,
    ) -> Result<(), LedgerError> {
        self.fold_activities_if(stream, incoming, cause, behind, None)
            .await
            .map(drop)
    }

    /// As [`Self::fold_activities`]; with `unmet`, those that are gone are only believed to be while the sweep has not met
    /// them. How many of these there were.
    pub(in crate::sync) async fn fold_activities_if(
        &self,
        stream: &StreamId,
        incoming: &[Incoming],
        cause: Cause,
        behind: Option<&Behind>,
        unmet: Option<Unmet<'_>>,
    ) -> Result<u64, LedgerError> {
        let spec = self
            .rules
            .stream(&stream.system, &stream.stream)
            .map(|rules| &rules.spec);
        let Some(spec) = spec else { return Ok(0) };
        // What a stream says when it is read for the first time was so already.
        let is_first_look = self.ledger.stream(stream).await?.initial_done_at.is_none();
        let gate = self.gate.lock().await;
        for _ in 0..FOLDS_MAX {
            let now = self.clock.now();
            let incoming = match unmet {
                Some(unmet) => self.still_unmet(stream, incoming, unmet).await?,
                None => incoming.to_vec(),
            };
            let ids: Vec<RecordId> = incoming.iter().map(|one| stream.record(one.remote.clone())).collect();
            let gone = incoming.iter().filter(|one| one.deleted).count() as u64;
            let met = ids.iter().zip(&incoming).filter(|(_, one)| !one.deleted);
            let met: Vec<RecordId> = met.map(|(id, _)| id.clone()).collect();
            let news = self.activity_news(&ids, incoming).await?;
            let ids: Vec<RecordId> = news.iter().map(|one| stream.record(one.remote.clone())).collect();
            let known = self.ledger.activities(&ids).await?;
            let mut commit = Commit::new(cause.clone(), now);
            let read = news.iter().zip(&known);
            let read = read.filter_map(|(one, known)| activity(stream, spec, one, known.as_ref(), &self.rules, now));
            commit.activities = self.without_erased(read.collect()).await?;
            if !self.rules.handoffs.is_empty() && !commit.activities.is_empty() {
                let concerned = commit.activities.iter().chain(known.iter().flatten());
                let view = self.view(ask(concerned)).await?;
                self.follow_activities(view, is_first_look, &mut commit);
            }
            match behind {
                Some(behind) => behind.join(&mut commit),
                None => commit.seen = met,
            }
            let has_writes = !commit.writes.is_empty();
            match self.ledger.apply(commit).await {
                Err(LedgerError::Stale) => continue,
                Err(error) => return Err(error),
                Ok(()) => {}
            }
            drop(gate);
            if has_writes {
                self.bell.notify_waiters();
            }
            return Ok(gone);
        }
        Err(super::does_not_fold("activities"))
    }

    /// What a sweep did not meet, without what somebody else met meanwhile.
    async fn still_unmet(
        &self,
        stream: &StreamId,
        incoming: &[Incoming],
        unmet: Unmet<'_>,
    ) -> Result<Vec<Incoming>, LedgerError> {
        let still = unmet.list(&*self.ledger, stream).await?;
        let is_so = |one: &&Incoming| !one.deleted || still.iter().any(|id| id.remote == one.remote);
        Ok(incoming.iter().filter(is_so).cloned().collect())
    }

    /// What the news about activities mean for the handoffs of everybody in the view.
    fn follow_activities(&self, mut view: View, is_first_look: bool, commit: &mut Commit) {
        for activity in &commit.activities {
            view.activities.insert(activity.id.clone(), activity.clone());
        }
        let now = commit.at;
        let cause = commit.cause.clone();
        if is_first_look {
            commit.cause = Cause::FirstReading;
        }
        self.reckon(&view, now, commit);
        commit.cause = cause;
    }

    /// Adds to a commit what follows for everybody in a view whose golden records stay as they are.
    pub(super) fn reckon(&self, view: &View, now: UnixMillis, commit: &mut Commit) {
        consequences(view, &everybody(view), &self.rules, &self.survivorship, now, commit);
    }
}

/// Every customer of a view, as one whose golden record stays as it is.
fn everybody(view: &View) -> Affected<'static> {
    let customers: BTreeSet<CustomerKey> = view.customers.keys().copied().collect();
    Affected {
        unmoved: customers.clone(),
        customers,
        homes: view.records.iter().map(|(id, (_, home))| (id.clone(), *home)).collect(),
        merged: BTreeMap::new(),
        fresh: BTreeMap::<&RecordId, &Record>::new(),
    }
}

/// Whom activities may concern: those they hang on now, and those they hung on before.
fn ask<'a>(activities: impl Iterator<Item = &'a Activity>) -> Ask {
    let mut ask = Ask::default();
    for holder in activities.flat_map(|activity| &activity.holders) {
        match holder {
            Holder::Record(id) => drop(ask.records.insert(id.clone())),
            Holder::Identifier(identifier) => drop(ask.identifiers.insert(identifier.clone())),
        }
    }
    ask
}

/// The activity from now on; nothing when it is the one that is known.
fn activity(
    stream: &StreamId,
    spec: &StreamSpec,
    incoming: &Incoming,
    known: Option<&Activity>,
    rules: &Rules,
    now: UnixMillis,
) -> Option<Activity> {
    let is_silent = |holder: &HolderSpec| !incoming.fields.0.contains_key(&holder.field);
    if let Some(known) = known.filter(|_| incoming.deleted && spec.holders.iter().all(is_silent)) {
        // Nothing is told but that it is gone: what it was, and whose, is known.
        return known.deleted_at.is_none().then(|| Activity {
            seen_at: now,
            deleted_at: Some(now),
            ..known.clone()
        });
    }
    let at = match incoming.fields.value(AT) {
        Some(Value::Time(at)) => Some(*at),
        _ => None,
    };
    Some(Activity {
        id: stream.record(incoming.remote.clone()),
        holders: holders(stream, spec, &incoming.fields, rules),
        fields: incoming.fields.clone(),
        at: at.or(incoming.updated_at).unwrap_or(now),
        updated_at: incoming.updated_at,
        seen_at: now,
        deleted_at: incoming.deleted.then_some(now),
    })
}

/// On whom an activity says that it hangs.
fn holders(stream: &StreamId, spec: &StreamSpec, fields: &Fields, rules: &Rules) -> BTreeSet<Holder> {
    let mut holders = BTreeSet::new();
    for holder in &spec.holders {
        let said: Vec<&str> = match fields.value(holder.field.as_str()) {
            Some(Value::Set(items)) => items.iter().map(|item| item.as_str()).collect(),
            Some(Value::Text(text)) => vec![text.as_str()],
            _ => continue,
        };
        for text in said {
            match &holder.by {
                HolderBy::Record(of) => {
                    let id = StreamId::new(stream.system.clone(), of.clone()).record(text);
                    holders.insert(Holder::Record(id));
                }
                HolderBy::Field(field) => holders.extend(identified(field, text, rules)),
            }
        }
    }
    holders
}

fn identified(field: &FieldName, text: &str, rules: &Rules) -> impl Iterator<Item = Holder> {
    let identity_rules = IdentityRules {
        external_ids: &rules.external_ids,
        region: None,
    };
    let fields = Value::text(text).map(|value| Fields::from([(field.as_str(), value)]));
    let found = identity::identifiers(&fields.unwrap_or_default(), None, identity_rules, Kind::Person);
    found.into_iter().map(Holder::Identifier)
}
