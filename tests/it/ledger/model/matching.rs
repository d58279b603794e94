//! The model keeps no queue for the scored match: what is compared with it has none either.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use nivel::identity::affiliation::{self, Sign};
use nivel::ledger::{Error, Known, Matching, Review};
use nivel::model::{Customer, CustomerKey, Kind, Record, RecordId};

use super::Model;

#[async_trait]
impl Matching for Model {
    async fn unmatched(&self, _limit: usize) -> Result<Option<(i64, Vec<Known>)>, Error> {
        Ok(None)
    }

    async fn last_unmatched(&self) -> Result<i64, Error> {
        Ok(0)
    }

    async fn forget_unmatched(&self, _last: i64, _keep_refolds: bool) -> Result<(), Error> {
        Ok(())
    }

    async fn known(&self, _after: i64, _limit: usize) -> Result<Vec<(i64, Known)>, Error> {
        Ok(Vec::new())
    }

    async fn former(&self, _records: &[RecordId]) -> Result<BTreeMap<RecordId, Customer>, Error> {
        Ok(BTreeMap::new())
    }

    async fn reviews(&self, _limit: usize) -> Result<Vec<Review>, Error> {
        Ok(Vec::new())
    }

    async fn reviews_of(&self, _records: &[RecordId]) -> Result<Vec<Review>, Error> {
        Ok(Vec::new())
    }

    async fn review(&self, _id: i64) -> Result<Option<Review>, Error> {
        Ok(None)
    }

    async fn joints(&self) -> Result<BTreeMap<CustomerKey, i32>, Error> {
        Ok(BTreeMap::new())
    }

    async fn oversized(&self, _size_max: usize, _limit: usize) -> Result<Vec<(CustomerKey, u64)>, Error> {
        Ok(Vec::new())
    }

    async fn organizations(&self, signs: &[Sign]) -> Result<Vec<BTreeSet<CustomerKey>>, Error> {
        let state = self.0.lock().unwrap();
        let answers = |record: &Record, sign: &Sign| match sign {
            Sign::Object { system, id } => {
                record.id.stream.system == *system
                    && record.id.remote == *id
                    && record.deleted_at.is_none()
                    && record.problem.is_none()
            }
            _ => affiliation::answers(record).contains(sign),
        };
        let of = |sign: &Sign| {
            let all = state.records.values();
            let found = all.filter(|(record, key)| key.kind == Kind::Organization && answers(record, sign));
            found.map(|(_, key)| *key).collect()
        };
        Ok(signs.iter().map(of).collect())
    }

    async fn people(&self, signs: &[Sign]) -> Result<BTreeSet<CustomerKey>, Error> {
        let signs: BTreeSet<Sign> = signs.iter().cloned().collect();
        let state = self.0.lock().unwrap();
        let hers = state.records.values().filter(|(_, key)| key.kind == Kind::Person);
        let said = hers.filter(|(record, _)| !affiliation::says(record).is_disjoint(&signs));
        Ok(said.map(|(_, key)| *key).collect())
    }

    async fn parted(&self) -> Result<Vec<RecordId>, Error> {
        Ok(Vec::new())
    }

    async fn forget_parted(&self, _records: &[RecordId]) -> Result<(), Error> {
        Ok(())
    }
}
