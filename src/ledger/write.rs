//! The outbox: what is to be written to which object, and how far that is.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::model::{CustomerKey, FieldName, StreamId, UnixMillis, Wanted};

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

impl Write {
    /// The same, due at once and with all its tries before it: somebody says that its cause is gone.
    #[must_use]
    pub fn anew(self, now: UnixMillis) -> Self {
        Self {
            state: WriteState::Due,
            due_at: now,
            attempts: 0,
            ..self
        }
    }
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
