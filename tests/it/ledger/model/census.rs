//! Counts as plainly as it can be said.

use std::collections::BTreeSet;

use async_trait::async_trait;
use nivel::ledger::{Census, Counting, Error};
use nivel::model::{CustomerKey, StreamId};

use super::Model;

#[async_trait]
impl Counting for Model {
    async fn census(&self, here: &[StreamId], there: &[StreamId]) -> Result<Census, Error> {
        let state = self.0.lock().unwrap();
        let of = |streams: &[StreamId]| -> Vec<CustomerKey> {
            let live = state.records.values().filter(|(record, _)| record.deleted_at.is_none());
            live.filter(|(record, _)| streams.contains(&record.id.stream))
                .map(|(_, key)| *key)
                .collect()
        };
        let objects = of(here);
        let customers: BTreeSet<CustomerKey> = objects.iter().copied().collect();
        let others: BTreeSet<CustomerKey> = of(there).into_iter().collect();
        Ok(Census {
            objects: objects.len() as u64,
            customers: customers.len() as u64,
            matched: customers.intersection(&others).count() as u64,
            missing: customers.difference(&others).copied().collect(),
        })
    }
}
