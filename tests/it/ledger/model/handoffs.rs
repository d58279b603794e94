//! The model knows of no handoffs: what the ledger keeps for them is tried with the real one (`tests/it/handoffs.rs`).

use async_trait::async_trait;
use nivel::handoff::Passage;
use nivel::ledger::{ContentHash, Error, Handoffs, PassageCount, PassagesOf};
use nivel::model::{Activity, CustomerKey, RecordId, UnixMillis};

use super::Model;

#[async_trait]
impl Handoffs for Model {
    async fn activity_heads(&self, ids: &[RecordId]) -> Result<Vec<Option<ContentHash>>, Error> {
        Ok(vec![None; ids.len()])
    }

    async fn activities(&self, ids: &[RecordId]) -> Result<Vec<Option<Activity>>, Error> {
        Ok(vec![None; ids.len()])
    }

    async fn activities_of(&self, _customer: &CustomerKey, _limit: usize) -> Result<Vec<Activity>, Error> {
        Ok(Vec::new())
    }

    async fn count_activities(&self) -> Result<u64, Error> {
        Ok(0)
    }

    async fn passages(&self, _of: &PassagesOf, _after: Option<&str>, _limit: usize) -> Result<Vec<Passage>, Error> {
        Ok(Vec::new())
    }

    async fn passage_counts(&self, _now: UnixMillis) -> Result<Vec<PassageCount>, Error> {
        Ok(Vec::new())
    }

    async fn passages_of(&self, _customer: &CustomerKey) -> Result<Vec<Passage>, Error> {
        Ok(Vec::new())
    }

    async fn to_look_at(&self, _now: UnixMillis, _limit: usize) -> Result<Vec<CustomerKey>, Error> {
        Ok(Vec::new())
    }
}
