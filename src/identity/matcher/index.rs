//! The records, found by their keys, and how often each value occurs.

use super::compare::{Evidence, TERMS, Term, compare};
use super::keys::{Key, Kind, cap, key, keys};
use super::record::{Features, Part};
use super::table::{Map, Pages, Postings, hash, mix};
use super::ties::Ties;
use super::weights::{Context, Weights};

/// The place of a record in the matcher. Places are used again after a record was removed.
pub type Slot = u32;

/// A pair of records whose score is not hopeless, as one of the two holds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) other: Slot,
    /// Score without counts.
    pub(super) base: i32,
    /// Score.
    pub(super) score: i32,
    /// The counts that weaken it: bits of [`Term`].
    pub(super) terms: u16,
    pub(super) context: Context,
    /// Nothing but the name speaks for it.
    pub(super) is_bare: bool,
}

/// A record with what is known of its neighbours.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) features: Features,
    pub(super) id: Box<str>,
    /// Decides where two things are equally good; the same in every order of arrival.
    pub(super) order: u64,
    pub(super) keys: Box<[Key]>,
    /// What joins or parts it for sure; most records of a file have nothing of the kind.
    pub(super) ties: Option<Box<Ties>>,
    pub(super) edges: Vec<Edge>,
    /// The group it is in; [`ALONE`] for a group of itself.
    pub(super) group: u32,
    pub(super) is_dirty: bool,
    /// Counts on which the grouping of its component rests without an edge: bits of [`Term`]. When one of them passes a
    /// power of two the component is grouped again.
    pub(super) counted: u16,
}

/// No group but its own.
pub(super) const ALONE: u32 = u32::MAX;

/// What a change did to the counts: keys of which the numbers are now others.
#[derive(Debug, Default)]
pub(super) struct Shift {
    /// The number of records passed a power of two.
    pub(super) all: bool,
    /// Values whose count passed a power of two.
    pub(super) counts: Vec<Key>,
    /// Keys that have become too common, or are no longer.
    pub(super) caps: Vec<Key>,
}

#[derive(Debug)]
pub(super) struct Index {
    entries: Pages<Option<Entry>>,
    pub(super) postings: Postings,
    /// Who has which identifier.
    tied: Postings,
    /// How many records show a name together with a mailbox, a number or an address.
    shown: Map,
    /// How many distinct names a mailbox, a number or an address has.
    distinct: Map,
    by_id: Map,
    len: usize,
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            entries: Pages::new(),
            postings: Postings::new(),
            tied: Postings::new(),
            shown: Map::new(),
            distinct: Map::new(),
            by_id: Map::new(),
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn slots(&self) -> u32 {
        self.entries.len()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Entry> {
        self.entries.try_at(slot)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.entries.at_mut(slot).as_mut()
    }

    pub(super) fn find(&self, id: &str) -> Option<Slot> {
        let mut at = order(id);
        loop {
            let slot = self.by_id.get(at)?;
            if self.get(slot).is_some_and(|entry| *entry.id == *id) {
                return Some(slot);
            }
            at = mix(at.wrapping_add(1));
        }
    }

    pub(super) fn insert(&mut self, id: &str, features: Features, ties: Ties) -> (Slot, Shift) {
        let keys = keys(&features).into_boxed_slice();
        let slot = self.entries.put(None);
        let mut at = order(id);
        while self.by_id.get(at).is_some() {
            at = mix(at.wrapping_add(1));
        }
        *self.by_id.entry(at, slot) = slot;
        let mut shift = Shift::default();
        self.len += 1;
        shift.all = log2(self.len) != log2(self.len - 1);
        let name = features.name_hash();
        self.postings.fetch(&keys);
        let named = || {
            keys.iter()
                .copied()
                .filter(|key| matches!(counting(*key), Counting::Names))
        };
        self.distinct.fetch(named());
        self.shown.fetch(named().filter_map(|key| Some(shown_at(key, name?))));
        for key in &keys {
            let len = self.postings.add(*key, slot);
            if len == cap(*key) + 1 {
                shift.caps.push(*key);
            }
            let crossed = match counting(*key) {
                Counting::Records => log2(len) != log2(len - 1),
                Counting::Names => name.is_some_and(|name| self.show(*key, name)),
                Counting::No => false,
            };
            if crossed {
                shift.counts.push(*key);
            }
        }
        for identifier in &ties.same {
            self.tied.add(*identifier, slot);
        }
        let entry = Entry {
            order: order(id),
            id: id.into(),
            features,
            keys,
            ties: (!ties.is_empty()).then(|| Box::new(ties)),
            edges: Vec::new(),
            group: ALONE,
            is_dirty: false,
            counted: 0,
        };
        *self.entries.at_mut(slot) = Some(entry);
        (slot, shift)
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<(Entry, Shift)> {
        let id = self.get(slot)?.id.clone();
        self.forget_id(&id);
        let entry = self.entries.at_mut(slot).take()?;
        self.entries.free(slot);
        for identifier in entry.ties.iter().flat_map(|ties| &ties.same) {
            self.tied.remove(*identifier, slot);
        }
        let mut shift = Shift::default();
        self.len -= 1;
        shift.all = log2(self.len) != log2(self.len + 1);
        let name = entry.features.name_hash();
        for key in &entry.keys {
            let len = self.postings.remove(*key, slot);
            if len == cap(*key) {
                shift.caps.push(*key);
            }
            let crossed = match counting(*key) {
                Counting::Records => log2(len) != log2(len + 1),
                Counting::Names => name.is_some_and(|name| self.unshow(*key, name)),
                Counting::No => false,
            };
            if crossed {
                shift.counts.push(*key);
            }
        }
        Some((entry, shift))
    }

    /// Looks at records that will be compared, so that memory brings them side by side and not one by one.
    pub(super) fn fetch(&self, slots: &[Slot]) {
        let look = |slot: &Slot| self.get(*slot).map(|entry| entry.order ^ entry.features.look());
        std::hint::black_box(slots.iter().filter_map(look).fold(0, |all, one| all ^ one));
    }

    /// Other records that share an identifier with one, each at least once.
    pub(super) fn tied(&self, entry: &Entry, slot: Slot) -> Vec<Slot> {
        let mut found = Vec::new();
        let mut one = [0];
        for identifier in entry.ties.iter().flat_map(|ties| &ties.same) {
            let holders = self.tied.of(*identifier, &mut one);
            found.extend(holders.iter().copied().filter(|other| *other != slot));
        }
        found
    }

    /// Ids whose hashes meet stand in a chain; taking one out puts the rest of its chain anew.
    fn forget_id(&mut self, id: &str) {
        let mut at = order(id);
        let mut chain = Vec::new();
        while let Some(slot) = self.by_id.get(at) {
            chain.push(slot);
            self.by_id.remove(at);
            at = mix(at.wrapping_add(1));
        }
        for slot in chain {
            let Some(other) = self.get(slot).map(|entry| order(&entry.id)) else {
                continue;
            };
            if self.get(slot).is_some_and(|entry| *entry.id == *id) {
                continue;
            }
            let mut at = other;
            while self.by_id.get(at).is_some() {
                at = mix(at.wrapping_add(1));
            }
            *self.by_id.entry(at, slot) = slot;
        }
    }

    /// Counts a name at a value; true when the number of distinct names passed a power of two.
    fn show(&mut self, key: Key, name: u64) -> bool {
        let shown = self.shown.entry(shown_at(key, name), 0);
        *shown += 1;
        if *shown > 1 {
            return false;
        }
        let distinct = self.distinct.entry(key, 0);
        *distinct += 1;
        log2(*distinct as usize) != log2(*distinct as usize - 1)
    }

    fn unshow(&mut self, key: Key, name: u64) -> bool {
        let at = shown_at(key, name);
        let shown = self.shown.entry(at, 1);
        *shown -= 1;
        if *shown > 0 {
            return false;
        }
        self.shown.remove(at);
        let distinct = self.distinct.entry(key, 1);
        *distinct -= 1;
        let left = *distinct as usize;
        if left == 0 {
            self.distinct.remove(key);
        }
        log2(left) != log2(left + 1)
    }

    /// True when the two share a key by which records are found.
    pub(super) fn is_found(&self, a: &Entry, b: &Entry) -> bool {
        let (mut left, mut right) = (a.keys.iter().peekable(), b.keys.iter().peekable());
        while let (Some(x), Some(y)) = (left.peek(), right.peek()) {
            match x.cmp(y) {
                std::cmp::Ordering::Less => {
                    left.next();
                }
                std::cmp::Ordering::Greater => {
                    right.next();
                }
                std::cmp::Ordering::Equal => {
                    if self.postings.len(**x) <= cap(**x) {
                        return true;
                    }
                    left.next();
                }
            }
        }
        false
    }

    pub(super) fn compare(&self, a: &Entry, b: &Entry) -> (Context, Evidence) {
        (Context::of(&a.features, &b.features), compare(&a.features, &b.features))
    }

    /// What counts take off a score. `asked` holds what was asked for before, since the same counts are met again.
    pub(super) fn penalty(
        &self,
        weights: &Weights,
        context: Context,
        terms: u16,
        (a, b): (&Features, &Features),
        asked: &mut Asked,
    ) -> i32 {
        (0..TERMS.len())
            .filter(|term| terms & (1 << term) != 0)
            .map(|term| {
                let weight = weights.term(context, term);
                if weight == 0 {
                    0
                } else {
                    weight * self.doublings(term, a, b, asked)
                }
            })
            .sum()
    }

    /// How often the count behind a term has doubled.
    pub(super) fn doublings(&self, term: usize, a: &Features, b: &Features, asked: &mut Asked) -> i32 {
        let mut one = |kind: Kind, part: Part| {
            let (left, right) = (a.part(part), b.part(part));
            let count = self.count(key(kind, &[left]), asked);
            if left == right {
                log2(count)
            } else {
                log2(count.max(self.count(key(kind, &[right]), asked)))
            }
        };
        match term {
            _ if term == Term::Expected as usize => {
                let names = one(Kind::Given, Part::Given) + one(Kind::Family, Part::Family);
                (names - log2(self.len)).max(0)
            }
            _ if term == Term::Name as usize => {
                let name = |record: &Features| {
                    let (given, family) = (record.part(Part::Given), record.part(Part::Family));
                    key(Kind::Name, &[given.min(family), given.max(family)])
                };
                log2(self.count(name(a), asked).max(self.count(name(b), asked)))
            }
            _ if term == Term::NameInCity as usize => {
                // Applies where all three are equal.
                let parts = [Part::City, Part::Given, Part::Family].map(|part| a.part(part));
                log2(self.count(key(Kind::CityBoth, &parts), asked))
            }
            _ if term == Term::Family as usize => one(Kind::Family, Part::Family),
            _ if term == Term::Company as usize => one(Kind::Company, Part::Company),
            _ if term == Term::Mailbox as usize => {
                let shared = a
                    .mailboxes()
                    .filter(|mine| b.mailboxes().any(|other| other.address() == mine.address()));
                self.fewest_names(shared.map(|mailbox| key(Kind::Mailbox, &[mailbox.local, mailbox.domain])))
            }
            _ if term == Term::Phone as usize => {
                let shared = a.phones().filter(|phone| b.phones().any(|other| other == *phone));
                self.fewest_names(shared.map(|phone| key(Kind::Phone, &[phone])))
            }
            _ => {
                let parts =
                    |record: &Features| key(Kind::Street, &[record.part(Part::Street), record.part(Part::Number)]);
                let (a, b) = (parts(a), parts(b));
                let most = self.distinct(a);
                log2(if a == b { most } else { most.max(self.distinct(b)) })
            }
        }
    }

    /// How many records have a key.
    fn count(&self, key: Key, asked: &mut Asked) -> usize {
        let (of, count) = &mut asked.0[(key & 31) as usize];
        if *of != key {
            (*of, *count) = (key, self.postings.len(key));
        }
        *count
    }

    /// The fewest names at any of some values.
    fn fewest_names(&self, keys: impl Iterator<Item = Key>) -> i32 {
        keys.map(|key| log2(self.distinct(key))).min().unwrap_or_default()
    }

    fn distinct(&self, key: Key) -> usize {
        self.distinct.get(key).unwrap_or_default() as usize
    }
}

/// How many records have a key, for the last key of each kind that was asked for. Good until the next record comes.
#[derive(Default)]
pub(super) struct Asked([(Key, usize); 32]);

/// What is counted at a key.
#[derive(Clone, Copy)]
enum Counting {
    No,
    Records,
    Names,
}

fn counting(key: Key) -> Counting {
    let is = |kind: Kind| key & 31 == kind as u64;
    if is(Kind::Given) || is(Kind::Family) || is(Kind::Name) || is(Kind::CityBoth) || is(Kind::Company) {
        Counting::Records
    } else if is(Kind::Mailbox) || is(Kind::Phone) || is(Kind::Street) {
        Counting::Names
    } else {
        Counting::No
    }
}

/// The counts that a key takes part in.
pub(super) fn terms_of(key: Key) -> u16 {
    let is = |kind: Kind| key & 31 == kind as u64;
    let bits = |terms: &[Term]| terms.iter().fold(0, |bits, term| bits | 1 << *term as u8);
    match () {
        () if is(Kind::Given) => bits(&[Term::Expected]),
        () if is(Kind::Family) => bits(&[Term::Expected, Term::Family]),
        () if is(Kind::Name) => bits(&[Term::Name]),
        () if is(Kind::CityBoth) => bits(&[Term::NameInCity]),
        () if is(Kind::Company) => bits(&[Term::Company]),
        () if is(Kind::Mailbox) => bits(&[Term::Mailbox]),
        () if is(Kind::Phone) => bits(&[Term::Phone]),
        () if is(Kind::Street) => bits(&[Term::Street]),
        () => 0,
    }
}

/// How often a count has doubled; 0 for none and for one.
pub(super) fn log2(count: usize) -> i32 {
    count.checked_ilog2().unwrap_or_default() as i32
}

/// Where it is counted how often a value is shown with a name.
fn shown_at(key: Key, name: u64) -> u64 {
    mix(key ^ name.rotate_left(17))
}

fn order(id: &str) -> u64 {
    hash(0x1d, &[id.as_bytes()])
}
