//! What the model keeps aside.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use nivel::ledger::Arrival;

use super::State;

fn digest(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl State {
    pub(super) fn arrival_links(&self, after: i64, limit: usize) -> Vec<(i64, Vec<u64>)> {
        let behind = self.arrivals.range(after + 1..).take(limit);
        let links = |arrival: &Arrival| {
            let own = digest(&(&arrival.stream, &arrival.incoming.remote));
            std::iter::once(own)
                .chain(arrival.identifiers.iter().map(digest))
                .collect()
        };
        behind.map(|(number, arrival)| (*number, links(arrival))).collect()
    }
}
