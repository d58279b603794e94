//! Tables that grow in small steps: no insert ever waits for a table of millions to be copied.

/// How many parts a table is cut into. Each grows by itself, so that one growth copies a thousandth of the entries.
const SHARDS: usize = 1024;

/// How many items a page of [`Pages`] holds.
const PAGE: usize = 4096;

/// A 64-bit hash of some bytes that stays the same for ever (FNV-1a with a final mix). Not for hostile input alone:
/// two values that meet by chance cost a comparison, never a merge, because scores are taken from the values.
pub(in crate::identity) fn hash(seed: u64, parts: &[&[u8]]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for part in parts {
        for byte in *part {
            state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        state = (state ^ 0xff).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(state)
}

/// Spreads the bits of a number over all of its bits.
pub(super) fn mix(mut state: u64) -> u64 {
    state = (state ^ (state >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    state = (state ^ (state >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    state ^ (state >> 33)
}

/// From hashes to numbers. A key of zero is taken for one.
#[derive(Debug)]
pub(super) struct Map {
    shards: Vec<Shard>,
}

#[derive(Clone, Debug, Default)]
struct Shard {
    /// Key and value; a key of zero is a free place. A power of two long.
    places: Vec<(u64, u32)>,
    used: usize,
}

impl Map {
    pub(super) fn new() -> Self {
        Self {
            shards: vec![Shard::default(); SHARDS],
        }
    }

    fn shard(&self, key: u64) -> &Shard {
        &self.shards[shard_of(key)]
    }

    pub(super) fn get(&self, key: u64) -> Option<u32> {
        let key = key.max(1);
        let shard = self.shard(key);
        let place = shard.find(key)?;
        let (found, value) = shard.places[place];
        (found == key).then_some(value)
    }

    /// The value of a key, which is `fresh` when the key was not there.
    pub(super) fn entry(&mut self, key: u64, fresh: u32) -> &mut u32 {
        let key = key.max(1);
        let shard = &mut self.shards[shard_of(key)];
        shard.make_room();
        let place = shard.find(key).unwrap_or_default();
        if shard.places[place].0 == 0 {
            shard.places[place] = (key, fresh);
            shard.used += 1;
        }
        &mut shard.places[place].1
    }

    /// Looks at the places of keys that will be asked for, so that memory brings them side by side and not one by one.
    pub(super) fn fetch(&self, keys: impl Iterator<Item = u64>) {
        let place = |key: u64| {
            let key = key.max(1);
            let shard = self.shard(key);
            (!shard.places.is_empty()).then(|| shard.places[shard.home(key)].0)
        };
        std::hint::black_box(keys.filter_map(place).fold(0, |all, key| all ^ key));
    }

    pub(super) fn remove(&mut self, key: u64) {
        let key = key.max(1);
        self.shards[shard_of(key)].remove(key);
    }
}

fn shard_of(key: u64) -> usize {
    usize::try_from(key >> 54).unwrap_or_default()
}

impl Shard {
    fn home(&self, key: u64) -> usize {
        usize::try_from(key & 0xffff_ffff).unwrap_or_default() & (self.places.len() - 1)
    }

    /// Where the key is, or the free place where it would go.
    fn find(&self, key: u64) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let mut place = self.home(key);
        while self.places[place].0 != 0 && self.places[place].0 != key {
            place = (place + 1) & (self.places.len() - 1);
        }
        Some(place)
    }

    fn make_room(&mut self) {
        if (self.used + 1) * 4 <= self.places.len() * 3 {
            return;
        }
        let larger = vec![(0, 0); (self.places.len() * 2).max(8)];
        let old = std::mem::replace(&mut self.places, larger);
        for (key, value) in old.into_iter().filter(|(key, _)| *key != 0) {
            if let Some(place) = self.find(key) {
                self.places[place] = (key, value);
            }
        }
    }

    fn remove(&mut self, key: u64) {
        let Some(mut hole) = self.find(key).filter(|place| self.places[*place].0 == key) else {
            return;
        };
        self.used -= 1;
        let mask = self.places.len() - 1;
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            let (key, _) = self.places[next];
            if key == 0 {
                break;
            }
            // An entry may move back to the hole when its home does not lie behind the hole.
            if (next.wrapping_sub(self.home(key)) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.places[hole] = self.places[next];
                hole = next;
            }
        }
        self.places[hole] = (0, 0);
    }
}

/// A vector that never moves what it holds.
#[derive(Debug)]
pub(super) struct Pages<T> {
    pages: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T> Pages<T> {
    pub(super) fn new() -> Self {
        Self {
            pages: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Puts an item where one was freed, or at the end; returns where.
    pub(super) fn put(&mut self, item: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            *self.at_mut(slot) = item;
            return slot;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let pages = self.pages.len();
        let Some(page) = self.pages.last_mut() else {
            return 0;
        };
        page.push(item);
        u32::try_from((pages - 1) * PAGE + page.len() - 1).unwrap_or(u32::MAX)
    }

    pub(super) fn at(&self, slot: u32) -> &T {
        let slot = slot as usize;
        &self.pages[slot / PAGE][slot % PAGE]
    }

    /// As [`Pages::at`], for places that may not be there.
    pub(super) fn try_at(&self, slot: u32) -> Option<&T> {
        let slot = slot as usize;
        self.pages.get(slot / PAGE)?.get(slot % PAGE)
    }

    pub(super) fn at_mut(&mut self, slot: u32) -> &mut T {
        let slot = slot as usize;
        &mut self.pages[slot / PAGE][slot % PAGE]
    }

    /// Frees a place; the caller has emptied it.
    pub(super) fn free(&mut self, slot: u32) {
        self.free.push(slot);
    }

    /// How many places there are, free ones included.
    pub(super) fn len(&self) -> u32 {
        let full = self.pages.len().saturating_sub(1) * PAGE;
        u32::try_from(full + self.pages.last().map_or(0, Vec::len)).unwrap_or(u32::MAX)
    }
}

/// Which records show a key. Most keys are shown by one record alone: it stands in the table itself.
#[derive(Debug)]
pub(super) struct Postings {
    map: Map,
    lists: Pages<Vec<u32>>,
}

/// Set in a value of the table that names a list.
const LIST: u32 = 1 << 31;

impl Postings {
    pub(super) fn new() -> Self {
        Self {
            map: Map::new(),
            lists: Pages::new(),
        }
    }

    /// The records of a key; `one` is where a single one is put.
    pub(super) fn of<'a>(&'a self, key: u64, one: &'a mut [u32; 1]) -> &'a [u32] {
        match self.map.get(key) {
            None => &[],
            Some(value) if value & LIST == 0 => {
                one[0] = value;
                &one[..]
            }
            Some(value) => self.lists.at(value & !LIST),
        }
    }

    /// As [`Map::fetch`], with the ends of the lists.
    pub(super) fn fetch(&self, keys: &[u64]) {
        let list = |key: &u64| self.map.get(*key).filter(|value| value & LIST != 0);
        let lists = keys.iter().filter_map(list);
        let last = |list: u32| self.lists.at(list & !LIST).last();
        std::hint::black_box(lists.filter_map(last).fold(0, |all, slot| all ^ slot));
    }

    pub(super) fn len(&self, key: u64) -> usize {
        match self.map.get(key) {
            None => 0,
            Some(value) if value & LIST == 0 => 1,
            Some(value) => self.lists.at(value & !LIST).len(),
        }
    }

    /// Adds a record that the key does not have yet; returns how many it has now.
    pub(super) fn add(&mut self, key: u64, slot: u32) -> usize {
        let value = self.map.entry(key, u32::MAX);
        if *value == u32::MAX {
            *value = slot;
            return 1;
        }
        if *value & LIST == 0 {
            *value = LIST | self.lists.put(vec![*value, slot]);
            return 2;
        }
        let list = self.lists.at_mut(*value & !LIST);
        list.push(slot);
        list.len()
    }

    /// Takes a record off; returns how many are left.
    pub(super) fn remove(&mut self, key: u64, slot: u32) -> usize {
        let Some(value) = self.map.get(key) else {
            return 0;
        };
        if value & LIST == 0 {
            self.map.remove(key);
            return 0;
        }
        let list = self.lists.at_mut(value & !LIST);
        if let Some(at) = list.iter().position(|other| *other == slot) {
            list.swap_remove(at);
        }
        let left = list.len();
        if let [only] = list[..] {
            *list = Vec::new();
            self.lists.free(value & !LIST);
            *self.map.entry(key, only) = only;
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn postings_hold_what_was_added_and_not_removed(steps in prop::collection::vec((any::<bool>(), 0_u64..12, 0_u32..30), 0..300)) {
            let mut postings = Postings::new();
            let mut plain: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
            for (add, key, slot) in steps {
                let key = mix(key);
                let held = plain.entry(key).or_default();
                let len = if add && held.insert(slot) {
                    postings.add(key, slot)
                } else if !add && held.remove(&slot) {
                    postings.remove(key, slot)
                } else {
                    continue;
                };
                prop_assert_eq!(len, held.len());
                let held = held.clone();
                let mut one = [0];
                let found: BTreeSet<u32> = postings.of(key, &mut one).iter().copied().collect();
                prop_assert_eq!(&found, &held);
                prop_assert_eq!(postings.len(key), held.len());
            }
        }

        #[test]
        fn a_map_forgets_what_was_removed_and_nothing_else(keys in prop::collection::vec(0_u64..200, 1..200)) {
            // Keys of one shard that collide.
            let key = |key: u64| 1 + (key % 40) * 8;
            let mut map = Map::new();
            let mut plain = BTreeMap::new();
            for number in keys {
                if plain.remove(&key(number)).is_some() {
                    map.remove(key(number));
                } else {
                    *map.entry(key(number), 0) = 7;
                    plain.insert(key(number), 7);
                }
                for other in 0..40 {
                    prop_assert_eq!(map.get(key(other)), plain.get(&key(other)).copied());
                }
            }
        }
    }

    #[test]
    fn hashes_never_change() {
        assert_eq!(hash(1, &[b"anna", b"muller"]), hash(1, &[b"anna", b"muller"]));
        assert_ne!(hash(1, &[b"an", b"na"]), hash(1, &[b"anna", b""]));
        assert_ne!(hash(1, &[b"anna"]), hash(2, &[b"anna"]));
    }
}
