//! Full sweeps in the model: for each record the number of the latest one that met it.

use nivel::ledger::{Commit, SweepStage};
use nivel::model::{RecordId, StreamId};

use super::State;

impl State {
    pub(super) fn sweep(&mut self, commit: &Commit) {
        if let Some(page) = &commit.sweep {
            let stream = self.streams.entry(page.stream.clone()).or_default();
            stream.sweep = std::mem::take(&mut stream.sweep).after(page);
        }
        let put = commit.records.iter().map(|(record, _)| &record.id);
        for id in commit.seen.iter().chain(put) {
            let epoch = self.streams.get(&id.stream).map_or(0, |stream| stream.sweep.epoch);
            self.met.insert(id.clone(), epoch);
        }
    }

    pub(super) fn unmet(&self, stream: &StreamId, epoch: u64) -> Vec<RecordId> {
        let records = self.records.values().map(|(record, _)| record);
        let live = records.filter(|record| record.id.stream == *stream && record.deleted_at.is_none());
        let is_unmet = |id: &RecordId| self.met.get(id).copied().unwrap_or(0) < epoch;
        live.map(|record| record.id.clone()).filter(is_unmet).collect()
    }

    pub(super) fn approve_sweeps(&mut self) -> u64 {
        let held = self
            .streams
            .values_mut()
            .filter(|stream| stream.sweep.stage == SweepStage::Held);
        let mut approved = 0;
        for stream in held {
            stream.sweep.stage = SweepStage::Approved;
            stream.sweep.problem = None;
            approved += 1;
        }
        approved
    }
}
