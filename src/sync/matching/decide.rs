//! Operators' words on who is who. They outrank every matcher, for ever; what follows from one is carried out at once, and
//! a split gives every tool its former values back.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::regroup::{Wanted, members};
use crate::error::{Code, Problem};
use crate::identity::{self, Input};
use crate::ledger::{Ask, Cause, Decision, Error as LedgerError, View};
use crate::merge::{FieldChange, is_denial};
use crate::model::{CustomerKey, FieldName, Record, RecordId};
use crate::sync::Undo;
use crate::sync::engine::Engine;
use crate::sync::undo::Then;

/// What an operator says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Word {
    /// The answer to a question: the two are one, or they are two.
    Review {
        /// The question.
        id: i64,
        /// They are one.
        same: bool,
    },
    /// Two customers are one.
    Merge {
        /// One of them.
        left: CustomerKey,
        /// The other.
        right: CustomerKey,
    },
    /// These records are somebody else than the rest of a customer.
    Split {
        /// The customer.
        customer: CustomerKey,
        /// The records that leave.
        records: Vec<RecordId>,
        /// False: only say what it comes to.
        yes: bool,
    },
    /// A customer is right as she is.
    Pin {
        /// The customer.
        customer: CustomerKey,
    },
}

/// What an operator's word came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// It was done, not only reckoned.
    pub done: bool,
    /// Pairs of records that were decided on.
    pub pairs: u64,
    /// Who the records belong to now: customer → her records.
    pub customers: BTreeMap<CustomerKey, BTreeSet<RecordId>>,
    /// What a split gives back, and what it leaves.
    pub back: Undo,
}

impl Engine {
    /// Does what an operator says about who is who.
    ///
    /// # Errors
    /// When nobody is meant, or the ledger cannot be used.
    pub async fn decide(&self, word: &Word, by: &str) -> Result<Decided, LedgerError> {
        let (decisions, concerned) = self.meaning(word).await?;
        let mut decided = Decided {
            pairs: decisions.len() as u64,
            ..Decided::default()
        };
        if let Word::Split {
            records, yes: false, ..
        } = word
        {
            let view = self.look_at_all(&concerned).await?;
            let leaves = |id: &RecordId| usize::from(records.contains(id));
            decided.back.back = given_back(&view, leaves);
            return Ok(decided);
        }
        self.doubt_all().await?;
        for decision in &decisions {
            self.ledger.decide(decision.clone(), by, self.clock.now()).await?;
        }
        self.follow(&decisions, &concerned, by).await?;
        decided.done = true;
        let view = self.look_at_all(&concerned).await?;
        for id in &concerned {
            if let Some((_, customer)) = view.records.get(id) {
                decided.customers.entry(*customer).or_default().insert(id.clone());
            }
        }
        if matches!(word, Word::Split { .. } | Word::Review { same: false, .. }) {
            decided.back = self.give_back(by).await?;
        }
        tracing::info!(by, pairs = decided.pairs, "an operator decided who is who");
        Ok(decided)
    }

    /// Gives the tools back what stood there before Nivel wrote what somebody else had said, for records of customers that
    /// parted. That is owed until it is done, whoever dies meanwhile; done twice it changes nothing more.
    pub(super) async fn give_back(&self, by: &str) -> Result<Undo, LedgerError> {
        let records = self.ledger.parted().await?;
        let mut undo = Undo::default();
        if records.is_empty() {
            return Ok(undo);
        }
        // Held means held: it stays owed.
        if self.approval().await?.is_none() {
            return Ok(undo);
        }
        let view = self.look_at_all(&records).await?;
        let home = |id: &RecordId| view.records.get(id).map(|(_, customer)| *customer);
        undo.back = given_back(&view, home);
        self.carry_out_undo(&mut undo, by, Then::Theirs).await?;
        if undo.left.iter().any(|left| left.again) {
            return Ok(undo);
        }
        self.ledger.forget_parted(&records).await?;
        Ok(undo)
    }

    /// The decisions that a word amounts to, and every record of the customers it is about.
    async fn meaning(&self, word: &Word) -> Result<(Vec<Decision>, Vec<RecordId>), LedgerError> {
        let (left, right) = match word {
            Word::Review { id, .. } => {
                let review = self.ledger.review(*id).await?;
                let review = review.ok_or_else(|| nothing(format!("there is no open question {id}")))?;
                let heads = self.ledger.heads(&[review.left, review.right]).await?;
                let mut customers = heads.into_iter().flatten().map(|head| head.customer);
                let pair = customers.next().zip(customers.next());
                let (left, right) = pair.ok_or_else(|| nothing("the records are gone".to_owned()))?;
                (left, Some(right))
            }
            Word::Merge { left, right } => (*left, Some(*right)),
            Word::Split { customer, .. } | Word::Pin { customer } => (*customer, None),
        };
        let (view, left) = self.records_of(left).await?;
        let (other, right) = match right {
            Some(right) => self.records_of(right).await?,
            None => (View::default(), Vec::new()),
        };
        let concerned: Vec<RecordId> = left.iter().chain(&right).cloned().collect();
        let said = view.decisions.iter().chain(&other.decisions);
        let apart: BTreeSet<(&RecordId, &RecordId)> = said
            .filter(|decision| !decision.same)
            .map(|decision| (&decision.left, &decision.right))
            .collect();
        let decisions = match word {
            Word::Review { same: true, .. } | Word::Merge { .. } => {
                // One word that joins, and none left that parts.
                let pairs = cross(&left, &right, true);
                let parted = |decision: &Decision| {
                    apart.contains(&(&decision.left, &decision.right))
                        || apart.contains(&(&decision.right, &decision.left))
                };
                let mut joining: Vec<Decision> = pairs.iter().filter(|pair| parted(pair)).cloned().collect();
                joining.extend(pairs.first().cloned());
                joining
            }
            Word::Review { same: false, .. } => cross(&left, &right, false),
            Word::Split { records, .. } => {
                let (leaving, staying): (Vec<_>, Vec<_>) = left.into_iter().partition(|id| records.contains(id));
                if leaving.is_empty() || staying.is_empty() {
                    return Err(nothing(
                        "name some of the customer's records, and not all of them".to_owned(),
                    ));
                }
                cross(&leaving, &staying, false)
            }
            Word::Pin { .. } => {
                let first = left.iter().take(1).cloned().collect::<Vec<_>>();
                cross(&first, left.get(1..).unwrap_or_default(), true)
            }
        };
        Ok((decisions, concerned))
    }

    /// A customer with her records.
    async fn records_of(&self, customer: CustomerKey) -> Result<(View, Vec<RecordId>), LedgerError> {
        let ask = Ask {
            customers: [customer].into(),
            ..Ask::default()
        };
        let view = self.view(ask).await?;
        let key = view.aliases.get(&customer).copied().unwrap_or(customer);
        let hers = view.records.iter().filter(|(_, (_, home))| *home == key);
        let mut hers: Vec<&Record> = hers.map(|(_, (record, _))| record).collect();
        // Those that speak for themselves first: a word about the others joins nobody.
        hers.sort_by_key(|record| !identity::speaks(record, key.kind));
        let records: Vec<RecordId> = hers.into_iter().map(|record| record.id.clone()).collect();
        if records.is_empty() {
            return Err(nothing(format!("there is no customer `{customer}`")));
        }
        Ok((view, records))
    }

    async fn look_at_all(&self, records: &[RecordId]) -> Result<View, LedgerError> {
        let ask = Ask {
            records: records.iter().cloned().collect(),
            ..Ask::default()
        };
        self.view(ask).await
    }

    /// Makes customers of the records as decisions now say.
    async fn follow(&self, decisions: &[Decision], concerned: &[RecordId], by: &str) -> Result<(), LedgerError> {
        let cause = Cause::Operator(CompactString::from(by));
        let Some(rules) = self.rules.matching else {
            return self.resolve_anew(concerned, cause).await;
        };
        let mut memory = self.matching.memory.lock().await;
        self.be_loaded(rules, &mut memory).await?;
        if let Some(state) = &mut memory.state {
            decisions.iter().for_each(|decision| state.decide(decision));
            state.settle();
            let mut groups: Vec<Wanted> = Vec::new();
            for group in concerned.iter().filter_map(|id| state.group_of(id)) {
                // What was withheld until somebody has said is wanted from now on.
                let group = Wanted { refold: true, ..group };
                if !groups.contains(&group) {
                    groups.push(group);
                }
            }
            self.carry_out(state, &groups, cause).await?;
        }
        // Questions that are answered by it, and what else follows.
        if self.pass(&mut memory, Vec::new()).await?.is_none() && self.match_with(rules, &mut memory).await?.is_none() {
            self.trust_all().await?;
        }
        Ok(())
    }

    /// Where identifiers alone join: resolves the customers of these records once more.
    async fn resolve_anew(&self, concerned: &[RecordId], cause: Cause) -> Result<(), LedgerError> {
        let _gate = self.gate.lock().await;
        let view = self.look_at_all(concerned).await?;
        let word = |same| {
            let said = view.decisions.iter().filter(move |decision| decision.same == same);
            said.map(|decision| (decision.left.clone(), decision.right.clone()))
                .collect()
        };
        let resolution = identity::resolve(Input {
            members: members(&view, &self.rules),
            must: word(true),
            cannot: word(false),
            ..Input::default()
        });
        let wanted: Vec<Wanted> = resolution
            .groups
            .into_iter()
            .map(|group| Wanted {
                records: group.records.into_iter().collect(),
                refold: true,
                ..Wanted::default()
            })
            .collect();
        let commit = self.regrouped(&view, &wanted, cause).await?;
        self.commit_groups(commit).await.map(drop)
    }
}

fn nothing(why: String) -> LedgerError {
    LedgerError::Broken(Problem::new(Code::NotFound, why))
}

fn cross(left: &[RecordId], right: &[RecordId], same: bool) -> Vec<Decision> {
    let pairs = left
        .iter()
        .flat_map(|left| right.iter().map(move |right| (left, right)));
    pairs
        .map(|(left, right)| Decision {
            left: left.clone(),
            right: right.clone(),
            same,
        })
        .collect()
}

/// What stands in tools because another customer said it, and what stood there before: record → field → (ours, before).
/// `side` tells who goes with whom.
fn given_back<S: PartialEq>(
    view: &View,
    side: impl Fn(&RecordId) -> S,
) -> BTreeMap<RecordId, BTreeMap<FieldName, FieldChange>> {
    let live = || {
        let records = view.records.values().map(|(record, _)| record);
        records.filter(|record| record.deleted_at.is_none())
    };
    let mut back: BTreeMap<RecordId, BTreeMap<FieldName, FieldChange>> = BTreeMap::new();
    for record in live() {
        for (field, ours) in &record.ours {
            let is_refusal = is_denial(field.as_str(), ours.value.as_ref());
            if ours.placeholder || is_refusal || record.asserts(field.as_str()) {
                continue;
            }
            let stands = record.fields.value(field.as_str());
            let says = |other: &&Record| stands.is_some() && other.own_word(field.as_str()) == stands;
            let is_of_others = live().filter(says).any(|other| side(&other.id) != side(&record.id));
            let is_own = live().filter(says).any(|other| side(&other.id) == side(&record.id));
            if is_of_others && !is_own && ours.own.as_ref() != stands {
                let of_record = back.entry(record.id.clone()).or_default();
                of_record.insert(field.clone(), (stands.cloned(), ours.own.clone()));
            }
        }
    }
    back
}
