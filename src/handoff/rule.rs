//! What the admin says about one handoff.

use std::time::Duration;

use compact_str::CompactString;

use super::calendar::Calendar;
use super::when::When;
use crate::model::{FieldName, Kind, StreamId, UnixMillis};

/// A handoff between two teams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: CompactString,
    /// The system whose customers it is about; all of them when `None`.
    pub from: Option<CompactString>,
    /// Whom it hands over.
    pub kind: Kind,
    /// Where the customer has to arrive.
    pub to: StreamId,
    /// When it begins.
    pub when: When,
    /// What has to arrive.
    pub carry: Vec<FieldName>,
    /// How long it may take.
    pub within: Within,
    /// True when it lets Nivel make the customer there.
    pub create: bool,
    /// The note that the next person finds.
    pub note: Option<NoteKind>,
    /// The kind of activity that is opened for her in the target, with the note as its text; without it the note is put
    /// on her record.
    pub opens: Option<StreamId>,
    /// Who is told when it is late.
    pub alert: Option<CompactString>,
}

/// How long something may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    /// So long,
    pub time: Duration,
    /// of working time, where there is a calendar.
    pub calendar: Option<Calendar>,
}

impl Within {
    /// When it is over.
    #[must_use]
    pub fn due(&self, from: UnixMillis) -> UnixMillis {
        match &self.calendar {
            Some(calendar) => calendar.after(from, self.time),
            None => from.plus(self.time),
        }
    }
}

/// What a note tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteKind {
    /// A short history of the customer.
    Timeline,
    /// What is still open with her: deals, tickets, handoffs.
    OpenItems,
}
