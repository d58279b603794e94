//! Objects that say of themselves that a tool made them one with others.

use std::collections::BTreeSet;

use super::engine::Engine;
use super::hints::tombstone;
use crate::ledger::{Ask, Cause, Error as LedgerError};
use crate::model::{Incoming, RecordId, StreamId};

impl Engine {
    /// Notes the aliases that these objects speak of. One that lives on in another is gone; those that live on in one of
    /// these are added as gone, when they are known and nobody has heard of it yet.
    pub(super) async fn follow_joined(
        &self,
        stream: &StreamId,
        incoming: &mut Vec<Incoming>,
        cause: &Cause,
    ) -> Result<(), LedgerError> {
        let mut merged: Vec<(RecordId, RecordId)> = Vec::new();
        let mut losers: BTreeSet<RecordId> = BTreeSet::new();
        for object in incoming.iter_mut() {
            let Some(joined) = object.joined.take() else { continue };
            let this = stream.record(object.remote.clone());
            if let Some((kind, id)) = joined.into {
                object.deleted = true;
                let into = kind.map_or_else(|| stream.clone(), |kind| StreamId::new(stream.system.clone(), kind));
                merged.push((into.record(id), this.clone()));
            }
            for id in joined.of {
                losers.insert(stream.record(id.clone()));
                merged.push((this.clone(), stream.record(id)));
            }
        }
        if merged.is_empty() {
            return Ok(());
        }
        let news = self.link_records(&merged).await?;
        self.regroup(news, cause).await?;
        let here: BTreeSet<RecordId> = incoming
            .iter()
            .map(|object| stream.record(object.remote.clone()))
            .collect();
        losers.retain(|loser| !here.contains(loser));
        if losers.is_empty() {
            return Ok(());
        }
        let ask = Ask {
            records: losers.clone(),
            ..Ask::default()
        };
        let view = self.view(ask).await?;
        let known = losers.iter().filter_map(|loser| view.records.get(loser));
        let alive = known.filter(|(record, _)| record.deleted_at.is_none());
        incoming.extend(alive.map(|(record, _)| tombstone(&record.id.remote)));
        Ok(())
    }
}
