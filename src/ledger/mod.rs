//! The ledger: the durable store of everything Nivel knows, and the only truth.
//!
//! What one page, webhook, write result or operator's act changes is one [`Commit`], applied in one transaction.

mod change;
mod hash;
mod inbox;
mod keep;
mod sqlite;
mod sweep;

pub use change::{Cause, Change, ChangeRow, What, Wrote};
pub use hash::{content_hash, content_hash_of};
pub use inbox::{Dropped, Fate, Inbox, InboxState, Landed, NewEvent, Waiting};
pub use keep::Keep;
pub use sqlite::Sqlite;
pub use sweep::{Sweep, SweepPage, SweepStage};

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
pub use crate::model::Wanted;
use crate::model::{
    Cursor, Customer, CustomerKey, FieldName, Identifier, Incoming, Record, RecordId, StreamId, UnixMillis,
};

/// A 128-bit digest of what a record says (see [`content_hash`]): equal digests mean nothing changed.
pub type ContentHash = [u8; 16];

/// The cheap part of a stored record, enough to see that nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Digest of fields and deletion.
    pub hash: ContentHash,
    /// Whose record it is.
    pub customer: CustomerKey,
}

/// What a fold needs to see: the closure is taken by the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Records of the page.
    pub records: BTreeSet<RecordId>,
    /// Identifiers of the page's records.
    pub identifiers: BTreeSet<Identifier>,
    /// Customers asked for by name.
    pub customers: BTreeSet<CustomerKey>,
}

/// The part of the ledger that a fold touches: the asked records and every record that holds an asked identifier, the
/// customers of all those (aliases followed), *all* records, identifiers and pending writes of these customers, the
/// decisions about these records, and the same of every record that a decision says to be one with one of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Live customers by key (never aliases), without their lineage: whoever changes one makes a new one.
    pub customers: BTreeMap<CustomerKey, Customer>,
    /// Records with their customers.
    pub records: BTreeMap<RecordId, (Record, CustomerKey)>,
    /// Who holds the asked identifiers, now or formerly. Identifiers that nobody holds are left out.
    pub holders: BTreeMap<Identifier, BTreeSet<RecordId>>,
    /// Pending writes of the customers.
    pub writes: BTreeMap<Target, Write>,
    /// Operators' decisions about the records.
    pub decisions: Vec<Decision>,
    /// Asked customers that live on under another key: asked → live.
    pub aliases: BTreeMap<CustomerKey, CustomerKey>,
}

/// What a write is aimed at. One row of the outbox per target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The stream written to.
    pub stream: StreamId,
    /// The object, or the customer for whom one is to be made.
    pub slot: Slot,
}

/// Which object of the stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// An object that exists, by its id.
    Object(CompactString),
    /// An object to be made for this customer.
    New(CustomerKey),
}

/// Where a write stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteState {
    /// Waits for its time.
    Due,
    /// Was handed out; its intent is on disk and its outcome is not known yet.
    Leased,
    /// Given up; waits for a person.
    Dead,
    /// Held back by a brake or a plan; waits for a yes.
    Held,
}

/// One row of the outbox: the state one record of one system shall have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// What it is aimed at.
    pub target: Target,
    /// The customer it serves.
    pub customer: CustomerKey,
    /// The wanted fields; only differences, except for a new object.
    pub fields: BTreeMap<FieldName, Wanted>,
    /// Grows with every change of the wanted state; an acknowledgement of an older one does not end the write.
    pub generation: u64,
    /// When it may be tried (again).
    pub due_at: UnixMillis,
    /// Tries so far.
    pub attempts: u32,
    /// The last thing that went wrong.
    pub problem: Option<Problem>,
    /// Where it stands.
    pub state: WriteState,
    /// Names the operation towards the tool: stable over all attempts, and never used again for another write.
    pub operation: CompactString,
    /// A create whose outcome is not known: it must be looked up before it is repeated.
    pub is_uncertain: bool,
    /// The run whose news it follows from ([`FIRST_READING`] for the first); `None` when it was no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<i64>,
    /// The object is to be removed, and not before this moment: until then it may come back. `None`: it is to be made or
    /// changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removes_at: Option<UnixMillis>,
}

/// Stands for a run where writes follow from the first reading of all streams together.
pub const FIRST_READING: i64 = 0;

/// A change of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteChange {
    /// A newer wish: insert or replace the row of this target, filed under the live customer. A row that is leased takes
    /// the new fields and generation but stays leased under its operation's name: its outcome is still to come, and the
    /// new operation is used afterwards. An older generation than the row's leaves the row's wish and operation alone and
    /// only says when, and whether, it is to be tried. A new row is never leased, whatever it says.
    Put(Write),
    /// The outcome of a leased write is known and it did not end: state, due time, attempts, problem and uncertainty are
    /// taken from this row and the lease ends. Newer wishes (another generation in the ledger) are kept and become due at
    /// once, with the attempts counted anew and only the uncertainty taken over. No leased row: nothing happens.
    Settle(Write),
    /// Remove the row of this target. The outcome of what may be on its way then changes nothing any more. It is also
    /// what ends an acknowledged create: whatever more is wanted of the new object is a write to [`Slot::Object`].
    Remove(Target),
    /// An acknowledged delivery: remove the row while it still has this generation; a leased row with a newer one is due
    /// at once, under the operation of that.
    RemoveGeneration(Target, u64),
}

/// An operator's word on two records; outranks every matcher, for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Decision {
    /// One record.
    pub left: RecordId,
    /// The other record.
    pub right: RecordId,
    /// True: the same customer. False: never the same customer.
    pub same: bool,
}

/// Where a stream stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamState {
    /// Where reading goes on; `None` before the first page.
    pub cursor: Option<Cursor>,
    /// Counts the commits on this stream.
    pub version: u64,
    /// When it was first read to its end; until every stream was, nothing is written anywhere.
    pub initial_done_at: Option<UnixMillis>,
    /// When it was last read to its end.
    pub caught_up_at: Option<UnixMillis>,
    /// What last went wrong; `None` when all is well.
    pub problem: Option<Problem>,
    /// When it may be read again, while it is parked (quota, back-off).
    pub parked_until: Option<UnixMillis>,
    /// Its latest full sweep.
    pub sweep: Sweep,
}

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
        }
    }
}

/// Why the ledger did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Somebody else changed a customer or cursor meanwhile: fold again on a fresh view.
    #[error("the ledger moved on meanwhile")]
    Stale,
    /// The ledger cannot be used; the problem says why and who must act.
    #[error("{0}")]
    Broken(Problem),
}

/// One pull of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its number.
    pub id: i64,
    /// The stream.
    pub stream: StreamId,
    /// When it began.
    pub started_at: UnixMillis,
    /// When it ended; `None` while it goes on, or when the process died.
    pub ended_at: Option<UnixMillis>,
    /// Records read.
    pub read: u64,
    /// Records that said something new.
    pub changed: u64,
    /// Records that could not be mapped.
    pub rejected: u64,
    /// Why it stopped early.
    pub problem: Option<Problem>,
}

/// Writes that were not tried yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueWrites {
    /// Objects to be made.
    pub creates: u64,
    /// Objects to be changed.
    pub updates: u64,
    /// Objects to be removed, also those whose time has not come, and those that are held: what comes in small pieces
    /// is a mass all the same.
    pub deletes: u64,
}

/// What an operator asks of the process that has the ledger open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number.
    pub number: i64,
    /// Who asks.
    pub by: String,
    /// What for, as JSON.
    pub act: String,
}

/// Totals of the whole ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Records that are not deleted.
    pub records: u64,
    /// Live customers (not aliases).
    pub customers: u64,
    /// How often a record turned out to be about a customer who was known from another one, or two customers to be one.
    pub merges: u64,
    /// Records with a problem.
    pub rejected: u64,
    /// Records with a field that Nivel does not write any more, until somebody releases it.
    pub frozen: u64,
    /// Writes by state.
    pub writes: BTreeMap<WriteState, u64>,
    /// Of the due and held ones, those that remove an object.
    pub deletes: u64,
}

/// The durable store. Every implementation passes the same contract suite (`tests/it/ledger.rs`).
#[async_trait]
pub trait Ledger: Inbox {
    /// Digest and customer of each record, in the order asked; `None` for unknown ones.
    async fn heads(&self, records: &[RecordId]) -> Result<Vec<Option<Head>>, Error>;

    /// The part of the ledger a fold touches.
    async fn view(&self, ask: Ask) -> Result<View, Error>;

    /// Applies a commit in one transaction.
    async fn apply(&self, commit: Commit) -> Result<(), Error>;

    /// What arrivals behind the one numbered `after` may have in common with others, by number, at most `limit` of them:
    /// a digest of the object's own id and of each identifier. Equal digests by chance do no harm.
    async fn arrival_links(&self, after: i64, limit: usize) -> Result<Vec<(i64, Vec<u64>)>, Error>;

    /// The arrivals of these numbers, in the order asked; those that are gone are left out.
    async fn arrivals(&self, numbers: &[i64]) -> Result<Vec<Arrival>, Error>;

    /// Forgets the arrivals up to the one numbered `last`: they are folded.
    async fn forget_arrivals(&self, last: i64) -> Result<(), Error>;

    /// Where a stream stands; the default state when it was never read.
    async fn stream(&self, stream: &StreamId) -> Result<StreamState, Error>;

    /// Every stream that was ever read or tried.
    async fn streams(&self) -> Result<BTreeMap<StreamId, StreamState>, Error>;

    /// Notes what went wrong with a stream (or, with `None`, that all is well again), and until when it is parked.
    async fn note_stream(
        &self,
        stream: &StreamId,
        problem: Option<Problem>,
        parked_until: Option<UnixMillis>,
    ) -> Result<(), Error>;

    /// Opens a run.
    async fn open_run(&self, stream: &StreamId, at: UnixMillis) -> Result<i64, Error>;

    /// Closes a run: notes its end and its problem. Its figures are those that commits with [`Cause::Run`] added up.
    async fn close_run(&self, run: Run) -> Result<(), Error>;

    /// The latest runs, newest first.
    async fn runs(&self, limit: usize) -> Result<Vec<Run>, Error>;

    /// Hands out due writes of one stream, oldest first, and notes the intent: they are leased, their attempt is counted
    /// and creates are marked uncertain, durably, before this returns. The returned writes say whether a create was
    /// uncertain *before*: then it must be looked up first.
    async fn claim(&self, stream: &StreamId, now: UnixMillis, limit: usize) -> Result<Vec<Write>, Error>;

    /// How much a stream wants that was not tried yet and came due after `since`.
    async fn due(&self, stream: &StreamId, since: UnixMillis) -> Result<DueWrites, Error>;

    /// Holds the creates and changes that [`Ledger::due`] counts, and says why. How many writes that were.
    async fn hold_due(&self, stream: &StreamId, since: UnixMillis, problem: Problem) -> Result<u64, Error>;

    /// As [`Ledger::hold_due`], for the removals alone.
    async fn hold_deletes(&self, stream: &StreamId, since: UnixMillis, problem: Problem) -> Result<u64, Error>;

    /// Records of a stream that are not deleted and that no full sweep from number `epoch` on has met, in the order of
    /// their ids, from behind `after` on.
    async fn unmet(&self, stream: &StreamId, epoch: u64, after: &str, limit: usize) -> Result<Vec<RecordId>, Error>;

    /// How many records [`Ledger::unmet`] would list.
    async fn count_unmet(&self, stream: &StreamId, epoch: u64) -> Result<u64, Error>;

    /// Says how far a stream's sweep of that number is; one that is not the latest any more changes nothing.
    async fn note_sweep(
        &self,
        stream: &StreamId,
        epoch: u64,
        stage: SweepStage,
        problem: Option<Problem>,
    ) -> Result<(), Error>;

    /// Says yes to every sweep that is held. How many there were.
    async fn approve_sweeps(&self) -> Result<u64, Error>;

    /// Makes held writes due at `now`; removals keep the moment before which they do not happen. How many there were.
    async fn release_held(&self, now: UnixMillis) -> Result<u64, Error>;

    /// Records of a stream that are not deleted.
    async fn count_records(&self, stream: &StreamId) -> Result<u64, Error>;

    /// Turns leased writes of a process that died back into due ones. Called once at start.
    async fn release_leases(&self, now: UnixMillis) -> Result<u64, Error>;

    /// Writes by state (all states when empty), by due time, keyset-paged by the last target seen. When that one is gone
    /// meanwhile, the list starts anew: rather twice than not at all.
    async fn writes(&self, states: &[WriteState], after: Option<&Target>, limit: usize) -> Result<Vec<Write>, Error>;

    /// Earliest due time among due writes of a stream.
    async fn next_due(&self, stream: &StreamId) -> Result<Option<UnixMillis>, Error>;

    /// Follows aliases to the live customer; `None` when the key was never given out.
    async fn customer(&self, key: &CustomerKey) -> Result<Option<Customer>, Error>;

    /// Live customers in key order, keyset-paged.
    async fn customers(&self, after: Option<&CustomerKey>, limit: usize) -> Result<Vec<Customer>, Error>;

    /// Live customers that hold an identifier with this value (any kind), or whose golden record contains this text.
    async fn search(&self, text: &str, limit: usize) -> Result<Vec<CustomerKey>, Error>;

    /// Records with a problem, keyset-paged.
    async fn rejected(&self, after: Option<&RecordId>, limit: usize) -> Result<Vec<Record>, Error>;

    /// Records with a frozen field, with whose they are, keyset-paged.
    async fn frozen(&self, after: Option<&RecordId>, limit: usize) -> Result<Vec<(Record, CustomerKey)>, Error>;

    /// The audit trail of a customer (with that of her aliases), newest first.
    async fn changes(&self, customer: &CustomerKey, limit: usize) -> Result<Vec<ChangeRow>, Error>;

    /// The audit trail of everybody from `since` on, oldest first, behind the line numbered `after`; with their numbers.
    async fn trail(&self, since: UnixMillis, after: i64, limit: usize) -> Result<Vec<(i64, ChangeRow)>, Error>;

    /// Notes an operator's decision; a later one on the same pair replaces it, whichever way round. Views show the
    /// smaller record id on the left.
    async fn decide(&self, decision: Decision, by: &str, at: UnixMillis) -> Result<(), Error>;

    /// A value of the ledger's own settings (rules digest, approved plan); `None` when unset.
    async fn setting(&self, name: &str) -> Result<Option<String>, Error>;

    /// Sets a value of the ledger's own settings.
    async fn set_setting(&self, name: &str, value: &str) -> Result<(), Error>;

    /// Requests of operators that wait for an answer, oldest first.
    async fn requests(&self, limit: usize) -> Result<Vec<Request>, Error>;

    /// Notes what came of a request.
    async fn answer_request(&self, number: i64, at: UnixMillis, answer: &str) -> Result<(), Error>;

    /// Removes history that is older than it has to be kept. How many rows that were.
    async fn trim(&self, now: UnixMillis, keep: Keep) -> Result<u64, Error>;

    /// Totals for `status` and the figures of a run.
    async fn totals(&self) -> Result<Totals, Error>;

    /// Proves that the ledger can be written: used by `/readyz` and to resume after a full disk.
    async fn probe(&self) -> Result<(), Error>;
}
