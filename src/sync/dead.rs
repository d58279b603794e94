//! What was given up waits until a person decides: writes, and the notes of handoffs.

use std::collections::BTreeSet;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::engine::Engine;
use crate::handoff::{NoteState, Passage, State};
use crate::ledger::{Cause, Commit, Error as LedgerError, Ledger, PassagesOf, Target, Write, WriteChange, WriteState};

/// Writes and passages are read from the ledger in pages of this size.
const PAGE: usize = 500;

/// What was given up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GivenUp {
    /// Writes.
    pub writes: Vec<Write>,
    /// Passages whose note was.
    pub notes: Vec<Passage>,
}

impl GivenUp {
    /// Everything that was given up.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn read(ledger: &dyn Ledger) -> Result<Self, LedgerError> {
        let mut all = Self::default();
        let mut after: Option<Target> = None;
        loop {
            let page = ledger.writes(&[WriteState::Dead], after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.target.clone());
            all.writes.extend(page);
        }
        all.notes = Self::notes(ledger).await?;
        Ok(all)
    }

    /// Passages whose note was given up although they were wanted.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn notes(ledger: &dyn Ledger) -> Result<Vec<Passage>, LedgerError> {
        let of = PassagesOf {
            states: vec![State::Open, State::Stopped, State::Delivered, State::Accepted],
            notes: vec![NoteState::GivenUp],
            ..PassagesOf::default()
        };
        let mut all = Vec::new();
        let mut after: Option<CompactString> = None;
        loop {
            let page = ledger.passages(&of, after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = Some(last.id.clone());
            all.extend(page);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writes.len() + self.notes.len()
    }

    /// True when nothing was given up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their names: a write's operation, a passage's id.
    pub fn ids(&self) -> impl Iterator<Item = &CompactString> {
        let notes = self.notes.iter().map(|passage| &passage.id);
        self.writes.iter().map(|write| &write.operation).chain(notes)
    }

    /// Leaves out all that are not named.
    pub fn keep(&mut self, ids: &[CompactString]) {
        let ids: BTreeSet<&CompactString> = ids.iter().collect();
        self.writes.retain(|write| ids.contains(&write.operation));
        self.notes.retain(|passage| ids.contains(&passage.id));
    }
}

impl Engine {
    /// Tries again what was given up, with what is right now, or drops it. How many there were under these names.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn settle_dead(&self, ids: &[CompactString], is_retry: bool, by: &str) -> Result<u64, LedgerError> {
        let mut given_up = GivenUp::read(&*self.ledger).await?;
        given_up.keep(ids);
        let number = given_up.len() as u64;
        let now = self.clock.now();
        let change = |write: Write| {
            if is_retry {
                WriteChange::Put(write.anew(now))
            } else {
                WriteChange::RemoveGeneration(write.target, write.generation)
            }
        };
        let mut commit = Commit::new(Cause::Operator(by.into()), now);
        commit.writes = given_up.writes.into_iter().map(change).collect();
        self.ledger.apply(commit).await?;
        for passage in given_up.notes {
            let note = passage.note.clone().filter(|_| is_retry).map(|note| note.anew(now));
            self.settle_note(&passage, note).await?;
        }
        self.bell.notify_waiters();
        Ok(number)
    }
}
