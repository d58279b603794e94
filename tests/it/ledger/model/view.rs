//! What a fold sees of the model, and what it says it saw.

use std::collections::{BTreeMap, BTreeSet};

use nivel::ledger::{Ask, Decision, Error, View};
use nivel::model::{Customer, CustomerKey, Identifier, Record, RecordId};

use super::State;

impl State {
    pub(super) fn live(&self, key: &CustomerKey) -> Option<&Customer> {
        let mut at = self.customers.get(key)?;
        while let Some(into) = at.merged_into {
            at = self.customers.get(&into)?;
        }
        Some(at)
    }

    pub(super) fn view(&self, ask: &Ask) -> View {
        let mut view = View::default();
        for identifier in &ask.identifiers {
            let holds = |held: &BTreeMap<Identifier, bool>| held.contains_key(identifier);
            let holders: BTreeSet<_> = self
                .identifiers
                .iter()
                .filter(|(_, held)| holds(held))
                .map(|(id, _)| id.clone())
                .collect();
            if !holders.is_empty() {
                view.holders.insert(identifier.clone(), holders);
            }
        }
        let joined = self.said_to_be_one(ask, &view);
        let records = joined.iter().chain(view.holders.values().flatten());
        let owners = records.filter_map(|id| self.records.get(id)).map(|(_, key)| key);
        for key in &ask.customers {
            match self.live(key) {
                Some(live) if live.key != *key => drop(view.aliases.insert(*key, live.key)),
                _ => {}
            }
        }
        for key in owners.chain(&ask.customers) {
            if let Some(customer) = self.live(key) {
                let without_lineage = Customer {
                    lineage: BTreeMap::new(),
                    ..customer.clone()
                };
                view.customers.insert(customer.key, without_lineage);
            }
        }
        for (id, (record, key)) in &self.records {
            if view.customers.contains_key(key) {
                view.records.insert(id.clone(), (record.clone(), *key));
            }
        }
        for write in self
            .pending()
            .filter(|write| view.customers.contains_key(&write.customer))
        {
            view.writes.insert(write.target.clone(), write.clone());
        }
        let about = |id: &RecordId| view.records.contains_key(id) || ask.records.contains(id);
        for ((left, right), same) in &self.decisions {
            if about(left) || about(right) {
                view.decisions.push(Decision {
                    left: left.clone(),
                    right: right.clone(),
                    same: *same,
                });
            }
        }
        view
    }

    /// The asked records, and whatever decisions tie to them or to the records of the same customers.
    fn said_to_be_one(&self, ask: &Ask, view: &View) -> BTreeSet<RecordId> {
        let customer = |id: &RecordId| self.records.get(id).map(|(_, key)| *key);
        let mut asked: BTreeSet<RecordId> = ask.records.clone();
        loop {
            let of_ask = ask
                .customers
                .iter()
                .filter_map(|key| self.live(key))
                .map(|live| live.key);
            let held = view.holders.values().flatten();
            let keys: BTreeSet<CustomerKey> = asked.iter().chain(held).filter_map(customer).chain(of_ask).collect();
            let is_near = |id: &RecordId| asked.contains(id) || customer(id).is_some_and(|key| keys.contains(&key));
            let ties = self.decisions.iter().filter(|(_, same)| **same).map(|(pair, _)| pair);
            let ties = ties.filter(|(left, right)| is_near(left) || is_near(right));
            let more: BTreeSet<RecordId> = ties.flat_map(|(left, right)| [left.clone(), right.clone()]).collect();
            let known = more.into_iter().filter(|id| self.records.contains_key(id));
            let before = asked.len();
            let more: Vec<RecordId> = known.collect();
            asked.extend(more);
            if asked.len() == before {
                return asked;
            }
        }
    }

    /// Customers that stay as they are.
    pub(super) fn touch(&mut self, touched: &[(CustomerKey, u64)]) -> Result<(), Error> {
        for (key, version) in touched {
            let customer = self.customers.get_mut(key).ok_or(Error::Stale)?;
            if customer.version != *version || customer.merged_into.is_some() {
                return Err(Error::Stale);
            }
            customer.version += 1;
        }
        Ok(())
    }
}

pub(super) fn is_frozen(record: &Record) -> bool {
    record.bounces.values().any(nivel::model::Bounce::is_frozen)
}
