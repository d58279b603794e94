//! The cache in the process: bounded, forgets what was not asked for lately.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Ask, CacheHealth, Hints, IdentityCache, Learned};
use crate::model::CustomerKey;

/// Locks are held for one entry at a time; this many keep pages out of each other's way.
const SHARDS: usize = 16;

/// About 40 bytes each: 32 MB when full.
const ENTRIES_MAX: usize = 800_000;

/// A cache in the process. Entries are kept under a random 64-bit hash: two that collide by chance (1 in 10¹³) give a wrong
/// hint, which the ledger corrects.
pub struct Memory {
    hash: RandomState,
    shards: Vec<Mutex<Shard>>,
    entries_max: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Two generations: when the young one is full it becomes the old one, and what the old one still held is forgotten. What is
/// asked for gets young again, so an entry lasts while it is asked for once in half a cache's worth of others.
#[derive(Default)]
struct Shard {
    young: BTreeMap<u64, CustomerKey>,
    old: BTreeMap<u64, CustomerKey>,
}

impl Shard {
    fn get(&mut self, hash: u64, entries_max: usize) -> Option<CustomerKey> {
        if let Some(key) = self.young.get(&hash) {
            return Some(*key);
        }
        let key = self.old.remove(&hash)?;
        self.put(hash, key, entries_max);
        Some(key)
    }

    fn put(&mut self, hash: u64, key: CustomerKey, entries_max: usize) {
        self.old.remove(&hash);
        self.young.insert(hash, key);
        if self.young.len() >= entries_max.div_ceil(2) {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_entries_max(ENTRIES_MAX)
    }
}

impl Memory {
    /// A cache of at most about `entries_max` entries.
    #[must_use]
    pub fn with_entries_max(entries_max: usize) -> Self {
        Self {
            hash: RandomState::new(),
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            entries_max: entries_max.div_ceil(SHARDS),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    fn get(&self, hash: u64) -> Option<CustomerKey> {
        let found = self.shard(hash)?.get(hash, self.entries_max);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    fn put(&self, hash: u64, key: CustomerKey) {
        if let Some(mut shard) = self.shard(hash) {
            shard.put(hash, key, self.entries_max);
        }
    }

    fn drop_entry(&self, hash: u64) {
        if let Some(mut shard) = self.shard(hash) {
            shard.young.remove(&hash);
            shard.old.remove(&hash);
        }
    }

    fn shard(&self, hash: u64) -> Option<MutexGuard<'_, Shard>> {
        let at = usize::try_from(hash % SHARDS as u64).ok()?;
        // A panic elsewhere cannot leave a map half changed: each step is one insert or remove.
        Some(self.shards.get(at)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl IdentityCache for Memory {
    async fn look_up(&self, ask: &Ask) -> Hints {
        let identifiers = ask.identifiers.iter();
        let records = ask.records.iter();
        Hints {
            identifiers: identifiers
                .map(|one| self.get(self.hash.hash_one(('i', one))))
                .collect(),
            records: records.map(|one| self.get(self.hash.hash_one(('r', one)))).collect(),
        }
    }

    async fn learn(&self, learned: &Learned) {
        for (identifier, key) in &learned.identifiers {
            self.put(self.hash.hash_one(('i', identifier)), *key);
        }
        for (record, key) in &learned.records {
            self.put(self.hash.hash_one(('r', record)), *key);
        }
    }

    async fn forget(&self, forgotten: &Learned) {
        for (identifier, _) in &forgotten.identifiers {
            self.drop_entry(self.hash.hash_one(('i', identifier)));
        }
        for (record, _) in &forgotten.records {
            self.drop_entry(self.hash.hash_one(('r', record)));
        }
    }

    async fn clear(&self) {
        for shard in &self.shards {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
    }

    fn health(&self) -> CacheHealth {
        CacheHealth {
            kind: "memory",
            is_up: true,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            problem: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{Identifier, IdentifierKind, Kind, RecordId, StreamId};

    fn key(age: u128) -> CustomerKey {
        CustomerKey {
            id: Uuid::from_u128(age),
            kind: Kind::Person,
        }
    }

    fn email(number: u128) -> Identifier {
        Identifier::new(IdentifierKind::Email, format!("{number}@acme.com"))
    }

    async fn learn(cache: &Memory, number: u128) {
        let identifiers = vec![(email(number), key(number))];
        cache
            .learn(&Learned {
                identifiers,
                records: Vec::new(),
            })
            .await;
    }

    async fn look_up(cache: &Memory, number: u128) -> Option<CustomerKey> {
        let ask = Ask {
            identifiers: vec![email(number)],
            records: Vec::new(),
        };
        cache.look_up(&ask).await.identifiers[0]
    }

    fn entries(cache: &Memory) -> usize {
        let entries = |shard: &Mutex<Shard>| shard.lock().map(|shard| shard.young.len() + shard.old.len()).unwrap();
        cache.shards.iter().map(entries).sum()
    }

    #[tokio::test]
    async fn answers_come_in_the_order_asked() {
        let cache = Memory::default();
        let record = |id| -> RecordId { StreamId::new("crm", "contact").record(id) };
        let learned = Learned {
            identifiers: vec![(email(1), key(9)), (email(1), key(1)), (email(2), key(2))],
            records: vec![(record("a"), key(1))],
        };
        cache.learn(&learned).await;
        let ask = Ask {
            identifiers: vec![email(2), email(3), email(1)],
            records: vec![record("b"), record("a")],
        };
        let hints = cache.look_up(&ask).await;
        assert_eq!(
            hints.identifiers,
            [Some(key(2)), None, Some(key(1))],
            "later entries win"
        );
        assert_eq!(hints.records, [None, Some(key(1))]);
        let health = cache.health();
        assert_eq!((health.hits, health.misses), (3, 2));
        cache.clear().await;
        assert_eq!(cache.look_up(&ask).await.identifiers, [None, None, None]);
    }

    #[tokio::test]
    async fn it_never_grows_beyond_its_bound_and_keeps_what_is_asked_for() {
        let cache = Memory::with_entries_max(320);
        learn(&cache, 0).await;
        for number in 1..5_000 {
            learn(&cache, number).await;
            assert_eq!(look_up(&cache, 0).await, Some(key(0)), "after {number} others");
            assert!(entries(&cache) <= 320 + SHARDS);
        }
        assert_eq!(look_up(&cache, 1).await, None, "not asked for since long");
        assert_eq!(look_up(&cache, 4_999).await, Some(key(4_999)));
    }

    #[tokio::test]
    async fn a_changed_entry_never_shows_its_old_value_again() {
        let cache = Memory::with_entries_max(64);
        for number in 0..200 {
            let identifiers = vec![(email(0), key(number)), (email(number + 1), key(0))];
            cache
                .learn(&Learned {
                    identifiers,
                    records: Vec::new(),
                })
                .await;
            assert_eq!(look_up(&cache, 0).await, Some(key(number)));
        }
    }
}
