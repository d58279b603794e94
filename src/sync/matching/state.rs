//! The memory of the scored match, and what it thinks should change. Pure: records go in, groups that differ from the
//! ledger's customers come out. It is made anew from the ledger at every start, so it holds nothing that is not there.

use std::collections::{BTreeMap, BTreeSet};

use super::regroup::Wanted;
use crate::identity::matcher::{Decision as Word, Explanation, Features, Link, Matcher, Slot, Weights};
use crate::identity::{features, ties};
use crate::ledger::{Decision, Known, Review};
use crate::merge::{MatchRules, Rules};
use crate::model::{CustomerKey, FieldName, Kind, RecordId, StreamId, UnixMillis};

/// Groups larger than this are not looked at link by link.
const GROUP_MAX: usize = 64;

/// The memory of the scored match.
#[derive(Debug)]
pub struct State {
    matcher: Matcher,
    rules: MatchRules,
    external_ids: Vec<FieldName>,
    sources: BTreeMap<StreamId, u16>,
    /// Whose each record is in the ledger, by its place.
    homes: Vec<Option<CustomerKey>>,
    /// How many records of a customer are here.
    sizes: BTreeMap<CustomerKey, u32>,
    /// Customers of whom the ledger says that they are not surely one.
    unsure: BTreeSet<CustomerKey>,
    /// Records whose customers are reckoned anew in any case.
    refold: BTreeSet<Slot>,
    /// Places that were to be looked at when a brake held what came of it.
    held: BTreeSet<RecordId>,
}

/// What the match thinks should change.
#[derive(Debug, Default)]
pub struct Changes {
    /// Groups that are not what the ledger has, each with all that is wanted of it.
    pub groups: Vec<Wanted>,
    /// The questions that should be open on the records looked at.
    pub questions: Vec<Review>,
    /// The records looked at.
    pub looked_at: Vec<RecordId>,
}

impl State {
    /// Nothing known yet. `streams` numbers the systems; `unsure` is what the ledger says.
    #[must_use]
    pub fn new(rules: &Rules, matching: MatchRules, unsure: BTreeSet<CustomerKey>) -> Self {
        let streams = rules.systems.iter().flat_map(|(system, of)| {
            let streams = of.streams.keys();
            streams.map(|stream| StreamId::new(system.clone(), stream.clone()))
        });
        Self {
            matcher: Matcher::new(Weights::shipped()).following(f64::from(matching.merge) / 1000.0),
            rules: matching,
            external_ids: rules.external_ids.clone(),
            sources: streams.zip(0..).collect(),
            homes: Vec::new(),
            sizes: BTreeMap::new(),
            unsure,
            refold: BTreeSet::new(),
            held: BTreeSet::new(),
        }
    }

    /// The chance from which on groups are joined.
    #[must_use]
    pub fn merge(&self) -> f64 {
        f64::from(self.rules.merge) / 1000.0
    }

    /// How many records it compares.
    #[must_use]
    pub fn len(&self) -> usize {
        self.matcher.len()
    }

    /// True when there is nothing to compare.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.matcher.is_empty()
    }

    /// Takes in what a record says now.
    pub fn take(&mut self, known: &Known) {
        let record = &known.record;
        let id = record.id.to_string();
        self.forget(&id);
        let kind = known.customer.kind;
        let source = self.sources.get(&record.id.stream).copied();
        let source = source.unwrap_or(crate::identity::matcher::UNKNOWN_SOURCE);
        known.decisions.iter().for_each(|decision| self.decide(decision));
        // Who is gone, or says nothing, counts only where somebody said of whom he is.
        let is_named = || known.decisions.iter().any(|decision| decision.same);
        let silent = || is_named().then(|| Features::new(&[], source, kind == Kind::Organization));
        let Some(features) = features(record, kind, source).or_else(silent) else {
            return;
        };
        let ties = ties(&known.identifiers, record, &self.external_ids, kind);
        let slot = self.matcher.insert_tied(&id, features, ties);
        self.move_to(slot, Some(known.customer));
        if known.refold {
            self.refold.insert(slot);
        }
    }

    fn forget(&mut self, id: &str) {
        if let Some(slot) = self.matcher.find(id) {
            self.move_to(slot, None);
            self.refold.remove(&slot);
            self.matcher.remove(id);
        }
    }

    /// Notes whose a record is in the ledger from now on.
    pub fn moved(&mut self, record: &RecordId, to: CustomerKey) {
        if let Some(slot) = self.matcher.find(&record.to_string()) {
            self.move_to(slot, Some(to));
        }
    }

    /// Notes how sure the ledger is of customers.
    pub fn joined(&mut self, joints: &BTreeMap<CustomerKey, Option<i32>>) {
        for (key, unsure) in joints {
            if unsure.is_some() {
                self.unsure.insert(*key);
            } else {
                self.unsure.remove(key);
            }
        }
    }

    fn move_to(&mut self, slot: Slot, to: Option<CustomerKey>) {
        let at = slot as usize;
        if self.homes.len() <= at {
            self.homes.resize(at + 1, None);
        }
        if let Some(from) = std::mem::replace(&mut self.homes[at], to)
            && let Some(size) = self.sizes.get_mut(&from)
        {
            *size -= 1;
            if *size == 0 {
                self.sizes.remove(&from);
            }
        }
        if let Some(to) = to {
            *self.sizes.entry(to).or_default() += 1;
        }
    }

    /// Takes an operator's word.
    pub fn decide(&mut self, decision: &Decision) {
        let word = if decision.same { Word::Same } else { Word::Apart };
        let (left, right) = (decision.left.to_string(), decision.right.to_string());
        self.matcher.decide(&left, &right, Some(word));
    }

    /// Does everything that was put off.
    pub fn settle(&mut self) {
        while !self.matcher.settle(100_000) {}
    }

    /// What should change now, as far as anything was grouped anew since this was last asked. Only for a settled state.
    #[must_use]
    pub fn changes(&mut self, now: UnixMillis) -> Changes {
        let mut looked_at = self.matcher.regrouped();
        let held = std::mem::take(&mut self.held);
        looked_at.extend(held.iter().filter_map(|id| self.matcher.find(&id.to_string())));
        let refold = std::mem::take(&mut self.refold);
        looked_at.extend(&refold);
        let mut changes = Changes::default();
        let mut done: BTreeSet<Slot> = BTreeSet::new();
        let mut asked = BTreeSet::new();
        for slot in looked_at {
            if self.matcher.id(slot).is_none() || done.contains(&slot) {
                continue;
            }
            let group = self.matcher.group(slot);
            done.extend(&group);
            changes
                .looked_at
                .extend(group.iter().filter_map(|slot| self.record(*slot)));
            let wanted = self.wanted(&group, group.iter().any(|slot| refold.contains(slot)));
            if wanted.refold || !self.agrees(&group, &wanted) {
                changes.groups.push(wanted);
            }
            self.ask(slot, now, &mut asked, &mut changes.questions);
        }
        changes
    }

    fn record(&self, slot: Slot) -> Option<RecordId> {
        self.matcher.id(slot)?.parse().ok()
    }

    /// True when the ledger has exactly this group as a customer.
    fn agrees(&self, group: &[Slot], wanted: &Wanted) -> bool {
        let home = |slot: &Slot| self.homes.get(*slot as usize).copied().flatten();
        let Some(key) = group.first().and_then(home) else {
            return false;
        };
        let size = u32::try_from(group.len()).unwrap_or(u32::MAX);
        group.iter().all(|slot| home(slot) == Some(key))
            && self.sizes.get(&key) == Some(&size)
            && self.unsure.contains(&key) == wanted.unsure.is_some()
    }

    fn wanted(&self, group: &[Slot], refold: bool) -> Wanted {
        Wanted {
            records: group.iter().filter_map(|slot| self.record(*slot)).collect(),
            unsure: self.unsure(group),
            refold,
        }
    }

    /// The score of the weakest link of a group, when it is too weak to overwrite values.
    fn unsure(&self, group: &[Slot]) -> Option<i32> {
        // Larger ones hang together by identifiers.
        let slot = group.first().filter(|_| (2..=GROUP_MAX).contains(&group.len()))?;
        let (_, _, bits) = self.matcher.weakest_link(*slot)?;
        let chance = f64::from(self.rules.overwrite) / 1000.0;
        (bits < bits_of(chance)).then(|| thousandths(bits))
    }

    fn ask(
        &self,
        slot: Slot,
        now: UnixMillis,
        asked: &mut BTreeSet<(RecordId, RecordId)>,
        questions: &mut Vec<Review>,
    ) {
        let least = bits_of(f64::from(self.rules.review) / 1000.0);
        for doubt in self.matcher.doubts(slot) {
            let pair = self.record(doubt.left).zip(self.record(doubt.right));
            let Some((left, right)) = pair.filter(|pair| doubt.bits >= least && asked.insert(pair.clone())) else {
                continue;
            };
            let evidence = self.matcher.explain(doubt.left, doubt.right);
            questions.push(Review {
                id: 0,
                left,
                right,
                score: thousandths(doubt.bits),
                is_vetoed: doubt.is_vetoed,
                evidence: evidence
                    .and_then(|why| serde_json::to_string(&why).ok())
                    .unwrap_or_default(),
                opened_at: now,
            });
        }
    }

    /// Holds what was found for later.
    pub fn hold(&mut self, changes: Changes) {
        self.held.extend(changes.looked_at);
    }

    /// True when a record is compared here.
    #[must_use]
    pub fn knows(&self, record: &RecordId) -> bool {
        self.matcher.find(&record.to_string()).is_some()
    }

    /// The group that a record shall be in, as it is now.
    #[must_use]
    pub fn group_of(&self, record: &RecordId) -> Option<Wanted> {
        let slot = self.matcher.find(&record.to_string())?;
        Some(self.wanted(&self.matcher.group(slot), false))
    }

    /// True when the ledger has the group of a record as it shall be, as far as was told here.
    #[must_use]
    pub fn is_settled(&self, wanted: &Wanted) -> bool {
        let slots: Vec<Slot> = wanted
            .records
            .iter()
            .filter_map(|id| self.matcher.find(&id.to_string()))
            .collect();
        slots.len() == wanted.records.len() && self.agrees(&slots, wanted)
    }

    /// The links that hold the group of a record together.
    #[must_use]
    pub fn links(&self, record: &RecordId) -> Vec<(RecordId, RecordId, Option<f64>)> {
        let Some(slot) = self.matcher.find(&record.to_string()) else {
            return Vec::new();
        };
        let named = |link: Link| Some((self.record(link.from)?, self.record(link.to)?, link.bits));
        self.matcher.links(slot).into_iter().filter_map(named).collect()
    }

    /// The evidence on two records.
    #[must_use]
    pub fn explain(&self, a: &RecordId, b: &RecordId) -> Option<Explanation> {
        let (a, b) = (self.matcher.find(&a.to_string())?, self.matcher.find(&b.to_string())?);
        self.matcher.explain(a, b)
    }

    /// The mean evidence between two sets of records, in bits.
    #[must_use]
    pub fn between(&self, left: &[RecordId], right: &[RecordId]) -> f64 {
        let slots = |ids: &[RecordId]| -> Vec<Slot> {
            ids.iter().filter_map(|id| self.matcher.find(&id.to_string())).collect()
        };
        self.matcher.between(&slots(left), &slots(right))
    }
}

/// A chance in bits: the log2 of its odds.
#[must_use]
pub fn bits_of(chance: f64) -> f64 {
    (chance / (1.0 - chance)).log2()
}

#[expect(clippy::cast_possible_truncation, reason = "scores are small")]
fn thousandths(bits: f64) -> i32 {
    (bits * 1000.0).round() as i32
}
