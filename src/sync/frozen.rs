//! Fields that Nivel does not write any more: the loop breaker's, those a tool does not keep, and what an operator took
//! back. Each is a problem with record and field; a person releases it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::consequence::{Affected, consequences};
use super::engine::Engine;
use crate::error::{Code, Problem};
use crate::ledger::{Ask, Cause, Change, Commit, Error as LedgerError, View, What};
use crate::model::{Bounce, CustomerKey, FieldName, Freeze, Record, RecordId, UnixMillis, Value};

/// Records that are read at once.
const PAGE: usize = 500;
/// How often a release is tried anew because the ledger moved on. Reached only by a bug.
const TRIES_MAX: usize = 16;

/// One frozen field of one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Where.
    pub record: RecordId,
    /// Which field.
    pub field: FieldName,
    /// Whose record it is.
    pub customer: CustomerKey,
    /// What stands there.
    pub says: Option<Value>,
    /// Since when, or since the first of the changes that led to it.
    pub since: UnixMillis,
    /// Why, and what to do.
    pub problem: Problem,
}

/// What a person reads about a frozen field.
#[must_use]
fn problem(record: &RecordId, field: &FieldName, bounce: &Bounce) -> Problem {
    let (code, message) = match bounce.why {
        Freeze::Loop => {
            let times = bounce.count;
            (
                Code::RecordLoops,
                format!("the tool changed `{field}` {times} times after Nivel had written it"),
            )
        }
        Freeze::NotKept => (
            Code::FieldNotKept,
            format!("the tool said that `{field}` was written and did not keep it"),
        ),
        Freeze::Undone => (
            Code::RecordLoops,
            format!("an operator took back what Nivel had written to `{field}`"),
        ),
    };
    Problem::new(code, message).about(record).hint(format!(
        "once the cause is gone: nivel dead release {record} --field {field}"
    ))
}

/// The frozen fields of a record.
fn of(record: &Record, customer: CustomerKey) -> impl Iterator<Item = Frozen> {
    let frozen = record.bounces.iter().filter(|(_, bounce)| bounce.is_frozen());
    frozen.map(move |(field, bounce)| Frozen {
        record: record.id.clone(),
        field: field.clone(),
        customer,
        says: record.fields.value(field.as_str()).cloned(),
        since: bounce.since,
        problem: problem(&record.id, field, bounce),
    })
}

/// What a commit freezes; told when it is applied.
pub(super) struct Froze(Vec<(FieldName, Problem)>);

impl Froze {
    pub(super) fn of(commit: &Commit) -> Self {
        let mut all = Vec::new();
        for change in &commit.changes {
            let (What::Frozen(fields), Some(id)) = (&change.what, &change.record) else {
                continue;
            };
            let record = commit
                .records
                .iter()
                .map(|(record, _)| record)
                .find(|record| record.id == *id);
            let bounce = |field: &FieldName| record?.bounces.get(field).copied();
            let told = fields
                .iter()
                .filter_map(|field| Some((field.clone(), problem(id, field, &bounce(field)?))));
            all.extend(told);
        }
        Self(all)
    }

    pub(super) fn tell(self) {
        for (field, problem) in self.0 {
            tracing::warn!(%field, code = %problem.code, %problem, "a field is frozen");
        }
    }
}

impl Engine {
    /// Every frozen field, in the order of records.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn frozen(&self) -> Result<Vec<Frozen>, LedgerError> {
        frozen(self.ledger.as_ref()).await
    }

    /// Lets Nivel write these fields of a record again; all that are frozen when `fields` is empty. What was released.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn release(
        &self,
        record: &RecordId,
        fields: &BTreeSet<FieldName>,
        by: &str,
    ) -> Result<Vec<Frozen>, LedgerError> {
        let _gate = self.gate.lock().await;
        for _ in 0..TRIES_MAX {
            let ask = Ask {
                records: [record.clone()].into(),
                ..Ask::default()
            };
            let view = self.view(ask).await?;
            let Some((released, commit)) = self.released(&view, record, fields, by) else {
                return Ok(Vec::new());
            };
            match self.ledger.apply(commit).await {
                Err(LedgerError::Stale) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    self.bell.notify_waiters();
                    return Ok(released);
                }
            }
        }
        Err(LedgerError::Stale)
    }

    fn released(
        &self,
        view: &View,
        id: &RecordId,
        fields: &BTreeSet<FieldName>,
        by: &str,
    ) -> Option<(Vec<Frozen>, Commit)> {
        let (record, customer) = view.records.get(id)?;
        let is_meant = |one: &Frozen| fields.is_empty() || fields.contains(&one.field);
        let released: Vec<Frozen> = of(record, *customer).filter(is_meant).collect();
        let mut fresh = record.clone();
        for one in &released {
            fresh.bounces.remove(&one.field);
        }
        let names = released.iter().map(|one| one.field.clone()).collect();
        let now = self.clock.now();
        let mut commit = Commit::new(Cause::Operator(by.into()), now);
        commit.changes.push(Change {
            customer: *customer,
            record: Some(id.clone()),
            what: What::Released(names),
        });
        let affected = Affected {
            customers: [*customer].into(),
            homes: view.records.iter().map(|(id, (_, home))| (id.clone(), *home)).collect(),
            fresh: BTreeMap::from([(id, &fresh)]),
            ..Affected::default()
        };
        consequences(view, &affected, &self.rules, &self.survivorship, now, &mut commit);
        drop(affected);
        commit.records.push((fresh, *customer));
        (!released.is_empty()).then_some((released, commit))
    }
}

/// Every frozen field of a ledger, in the order of records.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn frozen(ledger: &dyn crate::ledger::Ledger) -> Result<Vec<Frozen>, LedgerError> {
    let mut found: Vec<Frozen> = Vec::new();
    let mut after: Option<RecordId> = None;
    loop {
        let page = ledger.frozen(after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after = Some(last.id.clone());
        found.extend(page.iter().flat_map(|(record, customer)| of(record, *customer)));
    }
}
