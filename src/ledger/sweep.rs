//! Full sweeps: reading everything of a stream, which is also the only proof that something is not there any more.

use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::model::{StreamId, UnixMillis};

/// The latest full sweep of a stream. It is counted and not timed: a clock that is set back makes nothing absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// Its number: how many were begun.
    pub epoch: u64,
    /// What the connection calls it. Another name is another sweep: the one before it was given up and proves nothing.
    pub name: Option<UnixMillis>,
    /// How far it is.
    pub stage: SweepStage,
    /// Why it is held.
    pub problem: Option<Problem>,
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepStage {
    /// It is over, and what it proved is in the ledger; or there was none.
    #[default]
    Over,
    /// It is being read. What it has not met yet means nothing.
    UnderWay,
    /// Everything was read. What it did not meet is to be looked at.
    Read,
    /// It did not meet so much that somebody has to look at it.
    Held,
    /// Somebody did, and said yes.
    Approved,
}

/// What a page says about the sweep that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepPage {
    /// The stream.
    pub stream: StreamId,
    /// What the connection calls the sweep; see [`Sweep::name`].
    pub name: UnixMillis,
    /// With this page everything was read.
    pub is_over: bool,
    /// Some rows could not be told apart: what was not met may be among them, so the end proves nothing.
    pub is_flawed: bool,
}

impl Sweep {
    /// The sweep after one more page.
    #[must_use]
    pub fn after(self, page: &SweepPage) -> Self {
        let goes_on = self.stage == SweepStage::UnderWay && self.name == Some(page.name);
        Self {
            epoch: if goes_on { self.epoch } else { self.epoch + 1 },
            name: Some(page.name),
            stage: match (page.is_over, page.is_flawed) {
                (false, _) => SweepStage::UnderWay,
                (true, false) => SweepStage::Read,
                (true, true) => SweepStage::Over,
            },
            problem: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: i64, is_over: bool, is_flawed: bool) -> SweepPage {
        SweepPage {
            stream: StreamId::new("crm", "person"),
            name: UnixMillis(name),
            is_over,
            is_flawed,
        }
    }

    #[test]
    fn p51_a_sweep_that_was_begun_anew_is_another_one() {
        let first = Sweep::default().after(&page(7, false, false));
        assert_eq!((first.epoch, first.stage), (1, SweepStage::UnderWay));
        let second = first.clone().after(&page(7, false, false));
        assert_eq!(second, first, "the same one goes on");
        let anew = second.clone().after(&page(9, false, false));
        assert_eq!((anew.epoch, anew.stage), (2, SweepStage::UnderWay));
        let read = anew.after(&page(9, true, false));
        assert_eq!((read.epoch, read.stage), (2, SweepStage::Read));
        let next = read.after(&page(9, false, false));
        assert_eq!(next.epoch, 3, "one that is read does not go on, whatever its name");
    }

    #[test]
    fn p51_a_sweep_with_rows_that_cannot_be_told_apart_proves_nothing() {
        let flawed = Sweep::default().after(&page(7, true, true));
        assert_eq!(flawed.stage, SweepStage::Over);
    }
}
