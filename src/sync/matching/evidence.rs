//! Why records are one customer, or are not: the links that hold her together, the weakest of them, and what would break
//! it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::regroup::members;
use super::state::{State, bits_of};
use crate::identity::matcher::Explanation;
use crate::ledger::{Ask, Error as LedgerError, Known, View};
use crate::merge::Rules;
use crate::model::{Identifier, RecordId};
use crate::sync::engine::Engine;

/// What joins two records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Joint {
    /// One record.
    pub left: RecordId,
    /// The other record.
    pub right: RecordId,
    /// Identifiers that both assert now. Empty, and `bits` too: an operator's word, or something one of them said formerly.
    pub shared: Vec<String>,
    /// The score of the link in bits, when only the scored match joins the two.
    pub bits: Option<f64>,
    /// What the two records say about each other.
    pub why: Option<Explanation>,
}

/// Why a customer is one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// The links that hold her together, each leading to one more record.
    pub joints: Vec<Joint>,
    /// Records that only go along: they are gone, or hold nothing but what Nivel wrote.
    pub along: Vec<RecordId>,
    /// The place of the weakest link among the scored ones.
    pub weakest: Option<usize>,
    /// What the two sides of that link have for each other on the whole, in bits over the threshold: evidence that weighs
    /// more against it breaks the customer there.
    pub margin: Option<f64>,
}

/// What two records that are apart have to do with each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// One record.
    pub left: RecordId,
    /// The other record.
    pub right: RecordId,
    /// What an operator said of the two: they are one, or they are two.
    pub decided: Option<bool>,
    /// Identifiers that both assert.
    pub shared: Vec<String>,
    /// The evidence.
    pub why: Option<Explanation>,
    /// From this chance on the scored match joins; `None`: it does not join at all.
    pub merge: Option<f64>,
}

/// The path of the records of one customer, from what these records say.
#[must_use]
pub fn path(state: &State, view: &View, rules: &Rules, records: &[RecordId]) -> Path {
    let mut path = Path::default();
    let Some(first) = records.iter().find(|id| state.knows(id)) else {
        path.along = records.to_vec();
        return path;
    };
    let links = state.links(first);
    path.along = records.iter().filter(|id| !state.knows(id)).cloned().collect();
    let scored = links
        .iter()
        .enumerate()
        .filter_map(|(at, (_, _, bits))| Some((at, (*bits)?)));
    path.weakest = scored.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at);
    if let Some(weakest) = path.weakest {
        let (one, other) = sides(&links, weakest, first);
        path.margin = Some(state.between(&one, &other) - bits_of(state.merge()));
    }
    for (left, right, bits) in links {
        path.joints.push(Joint {
            shared: shared(view, rules, &left, &right),
            why: bits.is_some().then(|| state.explain(&left, &right)).flatten(),
            left,
            right,
            bits,
        });
    }
    path
}

/// The records on both sides of one link of a tree.
fn sides(links: &[(RecordId, RecordId, Option<f64>)], cut: usize, first: &RecordId) -> (Vec<RecordId>, Vec<RecordId>) {
    let mut near: BTreeSet<&RecordId> = [first].into();
    let mut far = BTreeSet::new();
    // Each link leads from a record that is reached to one more.
    for (at, (from, to, _)) in links.iter().enumerate() {
        if at == cut || far.contains(from) {
            far.insert(to);
        } else {
            near.insert(to);
        }
    }
    (near.into_iter().cloned().collect(), far.into_iter().cloned().collect())
}

/// What two records have to do with each other.
#[must_use]
pub fn pair(state: &State, view: &View, rules: &Rules, left: &RecordId, right: &RecordId) -> Pair {
    let about = |(a, b): (&RecordId, &RecordId)| (a, b) == (left, right) || (a, b) == (right, left);
    let decided = view.decisions.iter().find(|said| about((&said.left, &said.right)));
    Pair {
        left: left.clone(),
        right: right.clone(),
        decided: decided.map(|said| said.same),
        shared: shared(view, rules, left, right),
        why: state.explain(left, right),
        merge: rules.matching.map(|rules| f64::from(rules.merge) / 1000.0),
    }
}

fn shared(view: &View, rules: &Rules, left: &RecordId, right: &RecordId) -> Vec<String> {
    let of = |id: &RecordId| -> BTreeSet<Identifier> {
        let members = members(view, rules).into_iter();
        members
            .filter(|member| member.record == *id)
            .flat_map(|member| member.identifiers)
            .collect()
    };
    of(left).intersection(&of(right)).map(ToString::to_string).collect()
}

/// The records of a view alone: enough to see which of them share identifiers, not how common what they say is.
#[must_use]
pub fn apart_from_others(view: &View, rules: &Rules) -> State {
    let matching = rules.matching.unwrap_or_default();
    let mut state = State::new(rules, matching, BTreeSet::new());
    for member in members(view, rules) {
        if let (Some((record, _)), Some(customer)) = (view.records.get(&member.record), member.customer) {
            state.take(&Known {
                record: record.clone(),
                customer,
                identifiers: member.identifiers,
                decisions: Vec::new(),
                refold: false,
            });
        }
    }
    for decision in &view.decisions {
        state.decide(decision);
    }
    state.settle();
    state
}

impl Engine {
    /// Why the customer of these records is one.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn why(&self, records: &[RecordId]) -> Result<Path, LedgerError> {
        let view = self.seen(records).await?;
        self.with_evidence(&view, |state| path(state, &view, &self.rules, records))
            .await
    }

    /// What two records have to do with each other.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn why_apart(&self, left: &RecordId, right: &RecordId) -> Result<Pair, LedgerError> {
        let view = self.seen(&[left.clone(), right.clone()]).await?;
        self.with_evidence(&view, |state| pair(state, &view, &self.rules, left, right))
            .await
    }

    async fn seen(&self, records: &[RecordId]) -> Result<View, LedgerError> {
        let ask = Ask {
            records: records.iter().cloned().collect(),
            ..Ask::default()
        };
        self.view(ask).await
    }

    async fn with_evidence<T>(&self, view: &View, look: impl FnOnce(&State) -> T) -> Result<T, LedgerError> {
        let Some(rules) = self.rules.matching else {
            return Ok(look(&apart_from_others(view, &self.rules)));
        };
        let mut memory = self.matching.memory.lock().await;
        self.be_loaded(rules, &mut memory).await?;
        let Some(state) = &mut memory.state else {
            return Ok(look(&apart_from_others(view, &self.rules)));
        };
        state.settle();
        Ok(look(state))
    }
}
