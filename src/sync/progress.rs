//! What happens while it happens, for progress bars and figures.

use crate::model::StreamId;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A page was committed.
    Read {
        /// The stream.
        stream: StreamId,
        /// Records in the page.
        records: u64,
        /// Of these, the ones that said something new.
        changed: u64,
        /// Of these, the ones that could not be mapped.
        rejected: u64,
    },
    /// Some of what the first reading put aside was folded.
    Folded {
        /// Objects folded so far.
        done: u64,
        /// Objects that were put aside.
        total: u64,
    },
    /// A batch was delivered and settled.
    Wrote {
        /// The stream.
        stream: StreamId,
        /// Operations that were carried out.
        done: u64,
        /// Of these, the ones that made an object.
        created: u64,
        /// Operations that were given up.
        dead: u64,
    },
    /// A stream stopped early.
    Stopped {
        /// The stream.
        stream: StreamId,
        /// Why, in one line.
        why: String,
    },
}

/// Somebody who wants to know.
pub trait Progress: Send + Sync {
    /// Called for everything that happens; must not block.
    fn on(&self, event: &Event);
}

/// Nobody wants to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn on(&self, _event: &Event) {}
}
