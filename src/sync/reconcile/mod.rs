//! Who is in one place and not in another, each with exactly one reason, and a sum that closes.

mod reason;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

pub use reason::{Because, Reason, Standing, Verdict, classify};

use super::engine::Engine;
use crate::error::{Code, Problem};
use crate::ledger::{Ask, Cause, Commit, Error as LedgerError, Ledger, Write, WriteChange, WriteState};
use crate::merge::Rules;
use crate::model::{CustomerKey, StreamId, UnixMillis};

/// Customers that are looked at together.
const BATCH: usize = 200;

/// One side of a reconciliation: a whole system, or one stream of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The system.
    pub system: CompactString,
    /// Its stream; all of them when there is none.
    pub stream: Option<CompactString>,
}

impl Place {
    /// The streams it means. None: there is no such system or stream.
    #[must_use]
    pub fn streams(&self, rules: &Rules) -> Vec<StreamId> {
        let Some(system) = rules.systems.get(&self.system) else {
            return Vec::new();
        };
        let is_meant = |stream: &&CompactString| self.stream.as_ref().is_none_or(|wanted| wanted == *stream);
        let meant = system.streams.keys().filter(is_meant);
        meant
            .map(|stream| StreamId::new(self.system.clone(), stream.clone()))
            .collect()
    }
}

impl FromStr for Place {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (system, stream) = text
            .split_once('/')
            .map_or((text, None), |(system, stream)| (system, Some(stream)));
        Ok(Self {
            system: system.into(),
            stream: stream.map(CompactString::from),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stream {
            Some(stream) => write!(f, "{}/{stream}", self.system),
            None => f.write_str(&self.system),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Ok(place) = String::deserialize(from)?.parse();
        Ok(place)
    }
}

/// A customer who is in one place and not in the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Who.
    pub customer: CustomerKey,
    /// How people know her: an e-mail, a name, a phone number.
    pub called: String,
    /// The stream she comes nearest to; none when the other place keeps nothing of her kind.
    pub stream: Option<StreamId>,
    /// Why she is not there.
    #[serde(flatten)]
    pub reason: Reason,
}

/// What came of holding one place against another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciled {
    /// One place.
    pub here: Place,
    /// The other.
    pub there: Place,
    /// Objects here that are not deleted.
    pub objects: u64,
    /// Objects here that are of erased people: they are nobody's any more, and not among the others.
    #[serde(default)]
    pub erased: u64,
    /// Customers they belong to.
    pub customers: u64,
    /// Of these, the ones who are there, too.
    pub matched: u64,
    /// Of these, the ones who left this place, or became one with another, while they were looked at.
    pub moved: u64,
    /// Everybody else, by reason.
    pub reasons: BTreeMap<CompactString, u64>,
    /// The same, one by one.
    pub missing: Vec<Missing>,
}

impl Reconciled {
    /// The customers that are accounted for.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        self.matched + self.moved + self.reasons.values().sum::<u64>()
    }

    /// Who is missing for this reason.
    #[must_use]
    pub fn with(&self, word: &str) -> Vec<CustomerKey> {
        let found = self.missing.iter().filter(|missing| missing.reason.word() == word);
        found.map(|missing| missing.customer).collect()
    }

    /// Nothing when every customer is accounted for exactly once.
    #[must_use]
    pub fn gap(&self) -> Option<Problem> {
        let listed = u64::try_from(self.missing.len()).unwrap_or(u64::MAX);
        let by_reason: u64 = self.reasons.values().sum();
        (self.accounted() != self.customers || listed != by_reason).then(|| {
            let message = format!(
                "the sum does not close: {} customers in {}, but {} of them in {}, {} changed meanwhile, {by_reason} with a \
                 reason, {listed} listed",
                self.customers, self.here, self.matched, self.there, self.moved
            );
            Problem::new(Code::Bug, message)
        })
    }
}

/// What an operator made due again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// Writes that had been given up.
    pub retried: u64,
    /// Customers for whom an object was wanted and nothing waited.
    pub asked_again: u64,
}

/// Holds one place against another. Reads only the ledger.
///
/// # Errors
/// When the ledger cannot be read, or (a bug) the sum does not close.
pub async fn reconcile(
    ledger: &dyn Ledger,
    rules: &Rules,
    (here, there): (&Place, &Place),
    now: UnixMillis,
) -> Result<Reconciled, LedgerError> {
    let (from, to) = (here.streams(rules), there.streams(rules));
    let standing = standing(ledger, rules, now).await?;
    let census = ledger.census(&from, &to).await?;
    let mut found = Reconciled {
        here: here.clone(),
        there: there.clone(),
        objects: census.objects,
        erased: count_erased(ledger, &from).await?,
        customers: census.customers,
        matched: census.matched,
        moved: 0,
        reasons: BTreeMap::new(),
        missing: Vec::new(),
    };
    for keys in census.missing.chunks(BATCH) {
        let ask = Ask {
            customers: keys.iter().copied().collect(),
            ..Ask::default()
        };
        let view = ledger.view(ask).await?;
        for key in keys {
            match classify(key, &view, rules, (&from, &to), &standing) {
                Verdict::Arrived => found.matched += 1,
                Verdict::Moved => found.moved += 1,
                Verdict::Missing(missing) => {
                    *found.reasons.entry(missing.reason.word().into()).or_default() += 1;
                    found.missing.push(*missing);
                }
            }
        }
    }
    match found.gap() {
        Some(problem) => Err(LedgerError::Broken(problem)),
        None => Ok(found),
    }
}

/// Objects of erased people that these streams were last seen to hold.
async fn count_erased(ledger: &dyn Ledger, streams: &[StreamId]) -> Result<u64, LedgerError> {
    let mut count = 0;
    for stream in streams {
        count += ledger.count_suppressed(stream).await?;
    }
    Ok(count)
}

async fn standing(ledger: &dyn Ledger, rules: &Rules, now: UnixMillis) -> Result<Standing, LedgerError> {
    let streams = ledger.streams().await?;
    let is_read = rules.systems.iter().all(|(system, rules)| {
        let mut names = rules.streams.keys();
        names.all(|stream| {
            let state = streams.get(&StreamId::new(system.clone(), stream.clone()));
            state.is_some_and(|state| state.initial_done_at.is_some())
        })
    });
    let parked = streams
        .into_iter()
        .filter_map(|(stream, state)| {
            Some((
                stream,
                (state.parked_until.filter(|until| *until > now)?, state.problem),
            ))
        })
        .collect();
    Ok(Standing {
        now,
        is_read: is_read && ledger.arrival_links(0, 1).await?.is_empty(),
        is_approved: super::is_approved(ledger, rules).await?,
        is_matching: ledger.last_unmatched().await? > 0,
        erased: ledger
            .erasures(true)
            .await?
            .into_iter()
            .filter_map(|one| one.customer)
            .collect(),
        parked,
    })
}

impl Engine {
    /// Makes due again what can be: writes that were given up, and objects that are wanted and for which nothing waits.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn repair(&self, here: &Place, there: &Place, by: &str) -> Result<Repaired, LedgerError> {
        let found = reconcile(self.ledger.as_ref(), &self.rules, (here, there), self.clock.now()).await?;
        let (dead, unasked) = (found.with("dead"), found.with("unasked"));
        let streams: BTreeSet<StreamId> = there.streams(&self.rules).into_iter().collect();
        let mut repaired = Repaired {
            asked_again: unasked.len() as u64,
            ..Repaired::default()
        };
        for keys in dead.chunks(BATCH) {
            repaired.retried += self.retry_dead(keys, &streams, by).await?;
        }
        for keys in unasked.chunks(BATCH) {
            self.refold_some(keys, false).await?;
        }
        self.bell.notify_waiters();
        Ok(repaired)
    }

    async fn retry_dead(
        &self,
        keys: &[CustomerKey],
        streams: &BTreeSet<StreamId>,
        by: &str,
    ) -> Result<u64, LedgerError> {
        let _gate = self.gate.lock().await;
        let ask = Ask {
            customers: keys.iter().copied().collect(),
            ..Ask::default()
        };
        let view = self.view(ask).await?;
        let now = self.clock.now();
        let mut commit = Commit::new(Cause::Operator(by.into()), now);
        let dead = view
            .writes
            .into_values()
            .filter(|write| write.state == WriteState::Dead);
        let again = |write: Write| WriteChange::Put(write.anew(now));
        commit.writes = dead
            .filter(|write| streams.contains(&write.target.stream))
            .map(again)
            .collect();
        let retried = commit.writes.len() as u64;
        self.ledger.apply(commit).await?;
        Ok(retried)
    }
}
