//! Changed rules reach the customers that are known already. A digest of everything that decides golden records and
//! writes stands in the ledger; when it is another one, every customer is reckoned anew, in batches, and what follows waits
//! in the outbox like everything else: it is planned, and a changed setup writes nothing before its approval.

use std::collections::BTreeSet;

use compact_str::format_compact;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::engine::Engine;
use super::fold::{Context, Folded, refold};
use super::progress::Event;
use super::pull::learned;
use crate::error::{Code, Problem};
use crate::ledger::{Ask, Cause, Error as LedgerError};
use crate::merge::Rules;
use crate::model::CustomerKey;

/// Under this name the digest stands in the ledger's settings.
const SETTING: &str = "rules";
/// Customers of one commit.
const BATCH: usize = 500;
/// How often a batch is tried anew because the ledger moved on. Reached only by a bug.
const TRIES_MAX: usize = 16;

/// By which rules customers are reckoned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reckoned {
    /// Digest of the rules.
    rules: String,
    /// The last customer who was reckoned anew by them; `None` when none was yet.
    upto: Option<CustomerKey>,
    /// All of them were.
    is_done: bool,
    /// The fields that the rules call ids.
    #[serde(default)]
    external_ids: Option<Vec<String>>,
    /// These are other ones than before: what identifies records is found anew.
    #[serde(default)]
    is_renamed: bool,
}

/// Digest of everything that decides a golden record and what is written of it, what connectors can do included. The
/// brakes are no part of it.
fn digest(rules: &Rules) -> String {
    let mut rules = rules.clone();
    rules
        .systems
        .values_mut()
        .for_each(|system| system.brake = crate::merge::Brake::default());
    let digest = Sha256::digest(format!("{rules:?}"));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Engine {
    /// Reckons every customer anew when the rules changed since the last time. Goes on where an interrupted one stopped;
    /// does nothing until every stream was read once. How many there were.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn refold(&self) -> Result<u64, LedgerError> {
        let Some(mut reckoned) = self.reckoned().await? else {
            return Ok(0);
        };
        if reckoned.is_done || !self.is_initial_read_done().await? {
            return Ok(0);
        }
        let total = self.ledger.totals().await?.customers;
        let mut done = 0;
        loop {
            let page = self.ledger.customers(reckoned.upto.as_ref(), BATCH).await?;
            let Some(last) = page.last() else { break };
            let keys: Vec<CustomerKey> = page.iter().map(|customer| customer.key).collect();
            self.refold_some(&keys, reckoned.is_renamed).await?;
            done += keys.len() as u64;
            reckoned.upto = Some(last.key);
            self.note_reckoned(&reckoned).await?;
            self.tell(&Event::Folded { done, total });
        }
        reckoned.is_done = true;
        self.note_reckoned(&reckoned).await?;
        if done > 0 {
            tracing::info!(customers = done, "the rules changed: every customer was reckoned anew");
            self.bell.notify_waiters();
        }
        Ok(done)
    }

    /// How far customers are reckoned by the present rules; `None` when the ledger has none: they all will be.
    async fn reckoned(&self) -> Result<Option<Reckoned>, LedgerError> {
        let rules = digest(&self.rules);
        let stored = self.ledger.setting(SETTING).await?;
        let stored = stored.and_then(|text| serde_json::from_str::<Reckoned>(&text).ok());
        let external_ids = Some(self.rules.external_ids.iter().map(ToString::to_string).collect());
        let is_renamed = stored
            .as_ref()
            .is_some_and(|stored| stored.external_ids != external_ids || (stored.is_renamed && !stored.is_done));
        let is_empty = stored.is_none() && self.ledger.customers(None, 1).await?.is_empty();
        match stored {
            Some(stored) if stored.rules == rules => return Ok(Some(stored)),
            _ => {}
        }
        let fresh = Reckoned {
            rules,
            upto: None,
            is_done: is_empty,
            external_ids,
            is_renamed,
        };
        self.note_reckoned(&fresh).await?;
        Ok(Some(fresh).filter(|fresh| !fresh.is_done))
    }

    /// Notes the rules of a ledger that has no customers yet, so that they are not reckoned twice.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn note_rules(&self) -> Result<(), LedgerError> {
        self.reckoned().await.map(drop)
    }

    async fn note_reckoned(&self, reckoned: &Reckoned) -> Result<(), LedgerError> {
        let text = serde_json::to_string(reckoned).map_err(|error| {
            LedgerError::Broken(Problem::new(
                Code::Bug,
                format!("a digest of rules has no JSON: {error}"),
            ))
        })?;
        self.ledger.set_setting(SETTING, &text).await
    }

    /// Reckons these customers anew.
    pub(super) async fn refold_some(&self, keys: &[CustomerKey], is_renamed: bool) -> Result<(), LedgerError> {
        let _gate = self.gate.lock().await;
        let keys: BTreeSet<CustomerKey> = keys.iter().copied().collect();
        let mut ask = Ask {
            customers: keys.clone(),
            ..Ask::default()
        };
        for _ in 0..TRIES_MAX {
            let view = self.ledger.view(ask.clone()).await?;
            let context = Context {
                rules: &self.rules,
                survivorship: &self.survivorship,
                now: self.clock.now(),
                cause: Cause::Rules,
                mint: &mut Self::mint,
            };
            match refold(&view, &ask, &keys, is_renamed, context) {
                Folded::NeedsMore(more) => ask.identifiers.extend(more),
                Folded::Done(commit) => {
                    let learned = learned(&commit);
                    match self.ledger.apply(*commit).await {
                        Err(LedgerError::Stale) => {}
                        Err(error) => return Err(error),
                        Ok(()) => {
                            self.cache.learn(&learned).await;
                            return Ok(());
                        }
                    }
                }
            }
        }
        let why = format_compact!("customers could not be reckoned anew in {TRIES_MAX} tries");
        Err(LedgerError::Broken(Problem::new(Code::Bug, why)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_rule_is_another_digest_and_another_brake_is_not() {
        let rules = Rules::default();
        let mut other = rules.clone();
        other.external_ids.push("customer_no".into());
        assert_ne!(digest(&rules), digest(&other));
        assert_eq!(digest(&rules), digest(&rules.clone()));
    }
}
