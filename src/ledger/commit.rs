//! What goes into the ledger in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cause, Change, ReviewChange, SweepPage, WriteChange};
use crate::handoff::Passage;
use crate::model::{
    Activity, Cursor, Customer, CustomerKey, Identifier, Incoming, Record, RecordId, StreamId, UnixMillis,
};

/// The cursor part of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Which stream.
    pub stream: StreamId,
    /// The version the fold started from; another one in the ledger refuses the commit.
    pub from_version: u64,
    /// Where reading goes on.
    pub cursor: Cursor,
    /// The stream is read up to the present.
    pub is_caught_up: bool,
    /// Records read with this page.
    pub read: u64,
    /// Of these, the ones that said something new.
    pub changed: u64,
    /// Of these, the ones that could not be mapped.
    pub rejected: u64,
}

/// An object that was read and is not folded yet: what the first reading of a stream brings is put aside until all of it
/// is here, and then folded customer by customer instead of page by page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The stream it was read from.
    pub stream: StreamId,
    /// When the page it was in was asked for.
    pub asked_at: UnixMillis,
    /// The object.
    pub incoming: Incoming,
    /// By what it is found. Arrivals that share an identifier are folded together.
    pub identifiers: BTreeSet<Identifier>,
}

/// What one page (or write result, or operator's act) changes in the ledger: all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// What caused it.
    pub cause: Cause,
    /// When.
    pub at: UnixMillis,
    /// The cursor behind it.
    pub advance: Option<Advance>,
    /// Records as they are now, with the customer each belongs to, who must be live: one that was merged away meanwhile,
    /// a merge that leaves a record behind with the alias, or a record taken from a customer that the commit does not
    /// name, makes the commit stale.
    pub records: Vec<(Record, CustomerKey)>,
    /// Identifiers that records assert now. Those of a record that are not in its list become historic.
    pub identifiers: Vec<(RecordId, BTreeSet<Identifier>)>,
    /// Customers as they are now; one that became an alias keeps the golden record and the lineage she had. `version` is the one the fold saw (0 for a new one); `apply` adds one, and refuses
    /// the commit when the ledger has another.
    pub customers: Vec<Customer>,
    /// Customers that stay as they are while records or writes of theirs change, with the version the fold saw: checked
    /// and counted on as if they had changed.
    pub touched: Vec<(CustomerKey, u64)>,
    /// Changes of the outbox.
    pub writes: Vec<WriteChange>,
    /// Lines for the audit trail.
    pub changes: Vec<Change>,
    /// Objects that are put aside, to be folded later.
    pub arrivals: Vec<Arrival>,
    /// Records that turned out to be about somebody known from another one, and customers that turned out to be one.
    pub merges: u64,
    /// The full sweep that the page belongs to.
    pub sweep: Option<SweepPage>,
    /// Objects that were there when they were read, whether they say something new or not. Together with
    /// [`Commit::records`] they are what the latest sweep of their stream has met; ones that are not known are left out.
    pub seen: Vec<RecordId>,
    /// The scored match has to look at the records of this commit.
    pub rematch: bool,
    /// Questions to people that are put or taken back.
    pub reviews: Vec<ReviewChange>,
    /// How surely the scored match holds customers together where that is not sure enough to overwrite values; `None`
    /// where it is, or is not needed.
    pub joints: BTreeMap<CustomerKey, Option<i32>>,
    /// Activities as they are now.
    pub activities: Vec<Activity>,
    /// Passages as they are now. The commit names their customers, so that their versions are checked.
    pub passages: Vec<Passage>,
    /// When the handoffs of customers have to be looked at again although nothing happens.
    pub looks: BTreeMap<CustomerKey, Option<UnixMillis>>,
    /// Who is served before others: her writes count as due so many milliseconds earlier; 0 is nobody in particular.
    pub head_starts: BTreeMap<CustomerKey, u64>,
    /// Records of customers that part: what Nivel wrote there of the other one's is to be taken back, and that is
    /// remembered until it is done.
    pub parted: Vec<RecordId>,
}

impl Commit {
    /// A commit that changes nothing yet.
    #[must_use]
    pub fn new(cause: Cause, at: UnixMillis) -> Self {
        Self {
            cause,
            at,
            advance: None,
            records: Vec::new(),
            identifiers: Vec::new(),
            customers: Vec::new(),
            touched: Vec::new(),
            writes: Vec::new(),
            changes: Vec::new(),
            arrivals: Vec::new(),
            merges: 0,
            sweep: None,
            seen: Vec::new(),
            rematch: false,
            reviews: Vec::new(),
            joints: BTreeMap::new(),
            activities: Vec::new(),
            passages: Vec::new(),
            looks: BTreeMap::new(),
            head_starts: BTreeMap::new(),
            parted: Vec::new(),
        }
    }
}
