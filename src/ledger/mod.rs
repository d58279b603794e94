//! The ledger: the durable store of everything Nivel knows, and the only truth.
//!
//! What one page, webhook, write result or operator's act changes is one [`Commit`], applied in one transaction.

mod census;
mod change;
mod commit;
mod handoff;
mod hash;
mod inbox;
mod keep;
mod matching;
mod posts;
mod privacy;
mod sqlite;
mod sweep;
mod write;

pub use census::{Census, Counting};
pub use change::{Cause, Change, ChangeRow, What, Wrote};
pub use commit::{Advance, Arrival, Commit};
pub use handoff::{Handoffs, PassageCount, PassagesOf};
pub use hash::{content_hash, content_hash_of};
pub use inbox::{Dropped, Fate, Inbox, InboxState, Landed, NewEvent, Waiting};
pub use keep::Keep;
pub use matching::{Known, Matching, Review, ReviewChange};
pub use posts::{EVENTS, Post, Posted, Posts, Watch};
pub use privacy::{Erasure, Mark, Privacy, Proof, Step, StepState, Traces};
pub use sqlite::{Sqlite, Staged};
pub use sweep::{Sweep, SweepPage, SweepStage};
pub use write::{FIRST_READING, Slot, Target, Write, WriteChange, WriteState};

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::handoff::Passage;
pub use crate::model::Wanted;
use crate::model::{Activity, Cursor, Customer, CustomerKey, Identifier, Record, RecordId, StreamId, UnixMillis};

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
    /// There are no rules of handoffs: activities and passages are not looked for. A fold that has such rules and does not
    /// see a passage begins another one, so they are seen unless somebody says that nobody needs them.
    pub without_handoffs: bool,
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
    /// Customers that the scored match holds together, but not so surely that values may be overwritten: how surely, in
    /// thousandths of a bit.
    pub joints: BTreeMap<CustomerKey, i32>,
    /// Customers who may be the same as another one, as long as nobody has said: with the streams in which that other one
    /// stands. Nothing is made for them there.
    pub doubtful: BTreeMap<CustomerKey, BTreeSet<StreamId>>,
    /// Activities of the customers, and those that wait for one of the asked records or identifiers; not where
    /// [`Ask::without_handoffs`] says so.
    pub activities: BTreeMap<RecordId, Activity>,
    /// Passages of the customers, the oldest first; likewise.
    pub passages: BTreeMap<CustomerKey, Vec<Passage>>,
    /// Objects that were read just now and found to say what their records say: what Nivel wrote there arrived.
    pub read_back: BTreeMap<RecordId, UnixMillis>,
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
    /// Records that wait for the scored match.
    #[serde(default)]
    pub unmatched: u64,
    /// Questions that wait for a person.
    #[serde(default)]
    pub reviews: u64,
}

/// The durable store. Every implementation passes the same contract suite (`tests/it/ledger.rs`).
#[async_trait]
pub trait Ledger: Inbox + Matching + Counting + Privacy + Handoffs + Posts {
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

    /// Hands out due writes of one stream, none while records wait for the scored match; oldest first, and notes the intent: they are leased, their attempt is counted
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

    /// Writes by state (all states when empty), by stream and slot, keyset-paged by the last target seen; it need not be
    /// there any more.
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
