//! Objects that a tool made one stay one customer: followed as an alias, never as a delete and a create.

use std::collections::BTreeSet;

use compact_str::CompactString;

use super::engine::Engine;
use crate::ledger::{Ask, Cause, Decision, Error as LedgerError};
use crate::model::{RecordId, StreamId};

/// In whose name vendors' merges are noted.
const BY: &str = "tool";

impl Engine {
    /// Notes that objects of one stream became one: (survivor, other).
    pub(super) async fn link(
        &self,
        stream: &StreamId,
        merged: &[(CompactString, CompactString)],
    ) -> Result<(), LedgerError> {
        let pair = |(winner, loser): &(CompactString, CompactString)| {
            (stream.record(winner.clone()), stream.record(loser.clone()))
        };
        self.link_records(&merged.iter().map(pair).collect::<Vec<_>>()).await?;
        Ok(())
    }

    /// Notes that objects became one: (survivor, other). What a person said before outranks the tool, and an object that
    /// was never known needs no alias. Which pairs are news; whatever folds one of them next makes them one customer.
    pub(super) async fn link_records(
        &self,
        merged: &[(RecordId, RecordId)],
    ) -> Result<BTreeSet<RecordId>, LedgerError> {
        let mut news = BTreeSet::new();
        if merged.is_empty() {
            return Ok(news);
        }
        let records: BTreeSet<RecordId> = merged.iter().flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
        let ask = Ask {
            records,
            ..Ask::default()
        };
        let view = self.view(ask).await?;
        for (winner, loser) in merged {
            let is_pair = |decision: &&Decision| {
                (decision.left == *winner && decision.right == *loser)
                    || (decision.left == *loser && decision.right == *winner)
            };
            let is_said = view.decisions.iter().any(|decision| is_pair(&decision));
            if winner == loser || is_said || !view.records.contains_key(loser) {
                continue;
            }
            let decision = Decision {
                left: winner.clone(),
                right: loser.clone(),
                same: true,
            };
            self.ledger.decide(decision, BY, self.clock.now()).await?;
            news.insert(loser.clone());
        }
        Ok(news)
    }

    /// Makes one customer of records that were said to be one, where nothing else makes a fold look at them.
    pub(super) async fn regroup(&self, records: BTreeSet<RecordId>, cause: &Cause) -> Result<(), LedgerError> {
        if records.is_empty() {
            return Ok(());
        }
        let asked = Ask {
            records,
            ..Ask::default()
        };
        let gate = self.gate.lock().await;
        loop {
            let view = self.view(asked.clone()).await?;
            let commit = self.fold_once(view, asked.clone(), &[], cause).await?;
            match self.ledger.apply(commit).await {
                Err(LedgerError::Stale) => {}
                result => {
                    drop(gate);
                    self.bell.notify_waiters();
                    return result;
                }
            }
        }
    }
}
