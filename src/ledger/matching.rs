//! What the scored match keeps in the ledger: the records it has to look at, the questions it puts to people, and which
//! keys a split gives back. Its memory is made anew from the records at every start.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Decision, Error};
use crate::identity::affiliation::Sign;
use crate::model::{Customer, CustomerKey, Identifier, Record, RecordId, UnixMillis};

/// A record with what the scored match must know of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The record.
    pub record: Record,
    /// Whose it is (never an alias).
    pub customer: CustomerKey,
    /// What it asserts, now and formerly.
    pub identifiers: BTreeSet<Identifier>,
    /// Operators' and tools' words on it and another record.
    pub decisions: Vec<Decision>,
    /// What is wanted of its customer has to be reckoned anew in any case: a question about her was put or taken back.
    pub refold: bool,
}

/// Two customers that may be one: a question to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Its number; 0 until the ledger has given it one.
    pub id: i64,
    /// The record of one that looks most like one of the other.
    pub left: RecordId,
    /// That one.
    pub right: RecordId,
    /// The mean evidence between the two, in thousandths of a bit.
    pub score: i32,
    /// They look like one, but a number that everybody has but once says that they are two.
    pub is_vetoed: bool,
    /// The evidence on the two records, as JSON.
    pub evidence: String,
    /// When the question was put.
    pub opened_at: UnixMillis,
}

/// A change of the questions. Both records come onto the queue of the scored match with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewChange {
    /// Puts a question; when it is there already, its score and evidence are brought up to date.
    Open(Review),
    /// Takes back the question on these two records, left and right.
    Close(RecordId, RecordId),
}

/// The part of the ledger that serves the scored match. Records come into its queue with the commits that say so
/// ([`super::Commit::rematch`]).
#[async_trait]
pub trait Matching: Send + Sync {
    /// The front of the queue: its last number, and the records as they are now, each once. Nothing when it is empty.
    async fn unmatched(&self, limit: usize) -> Result<Option<(i64, Vec<Known>)>, Error>;

    /// The last number in the queue; 0 when it is empty.
    async fn last_unmatched(&self) -> Result<i64, Error>;

    /// Takes everything up to a number off the queue: what follows from it is committed. With `keep_refolds` those stay
    /// whose customers have to be reckoned anew in any case.
    async fn forget_unmatched(&self, last: i64, keep_refolds: bool) -> Result<(), Error>;

    /// All records, in the order in which they came, behind the one numbered `after`; with their numbers.
    async fn known(&self, after: i64, limit: usize) -> Result<Vec<(i64, Known)>, Error>;

    /// The customers that records had first, where these live on under another key: each as what a commit needs to bring it
    /// to life again, with its own version and no golden record.
    async fn former(&self, records: &[RecordId]) -> Result<BTreeMap<RecordId, Customer>, Error>;

    /// Open questions, the surest first.
    async fn reviews(&self, limit: usize) -> Result<Vec<Review>, Error>;

    /// Open questions on any of these records.
    async fn reviews_of(&self, records: &[RecordId]) -> Result<Vec<Review>, Error>;

    /// One question; `None` when it is not open.
    async fn review(&self, id: i64) -> Result<Option<Review>, Error>;

    /// Customers that the scored match holds together, but not so surely that values may be overwritten: how surely, in
    /// thousandths of a bit.
    async fn joints(&self) -> Result<BTreeMap<CustomerKey, i32>, Error>;

    /// Customers with more than so many records that are not deleted, the largest first, with how many.
    async fn oversized(&self, size_max: usize, limit: usize) -> Result<Vec<(CustomerKey, u64)>, Error>;

    /// The organizations that answer to each of these signs, in the order asked: those with a record, not deleted, that has
    /// the domain or the name, or is the object.
    async fn organizations(&self, signs: &[Sign]) -> Result<Vec<BTreeSet<CustomerKey>>, Error>;

    /// The people with a record, not deleted, that says one of these signs. Every record is looked at: for somebody who asks
    /// about one organization, not for what runs along.
    async fn people(&self, signs: &[Sign]) -> Result<BTreeSet<CustomerKey>, Error>;

    /// Records of customers that parted, whose tools have not yet got back what stood there
    /// ([`super::Commit::parted`]).
    async fn parted(&self) -> Result<Vec<RecordId>, Error>;

    /// Forgets that these parted: what had to be given back is, or is told.
    async fn forget_parted(&self, records: &[RecordId]) -> Result<(), Error>;
}
