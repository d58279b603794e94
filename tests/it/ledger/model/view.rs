//! What a fold sees of the model.

use std::collections::{BTreeMap, BTreeSet};

use nivel::ledger::{Ask, Decision, View};
use nivel::model::{Customer, Identifier, RecordId};

use super::State;

impl State {
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
        let records = ask.records.iter().chain(view.holders.values().flatten());
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
}
