//! The cursor of a file drop: which files were read to their end, and where reading stands in the one at hand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::connector::cursor::{AsCursor, Version};
use crate::model::UnixMillis;

/// What tells a file from an earlier one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// Length in bytes.
    pub(super) size: u64,
    /// Last change by the file system, in milliseconds.
    pub(super) mtime: i64,
}

/// A file that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Read {
    pub(super) stamp: Stamp,
    /// SHA-256 of the content, hex.
    pub(super) digest: String,
    /// It is not there any more; the same content under its name is not read again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) gone: bool,
}

impl Read {
    /// A file that is there and was read.
    pub(super) fn of(stamp: Stamp, digest: String) -> Self {
        Self {
            stamp,
            digest,
            gone: false,
        }
    }
}

/// A file that was seen and may still grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) stamp: Stamp,
    /// Since when it has not changed.
    pub(super) since: UnixMillis,
}

/// The file that is being read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) name: String,
    pub(super) stamp: Stamp,
    pub(super) digest: String,
    /// How many rows, header apart, were handed out.
    pub(super) row: u64,
}

/// Where reading a folder goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    v: Version,
    #[serde(default)]
    pub(super) read: BTreeMap<String, Read>,
    #[serde(default)]
    pub(super) pending: BTreeMap<String, Pending>,
    #[serde(default)]
    pub(super) open: Option<Open>,
}

impl AsCursor for Place {
    const WHOSE: &'static str = "a file drop";
}

impl Place {
    /// Takes note of which files are there; of those that are gone, the `known_max` youngest stay known.
    pub(super) fn forget(&mut self, is_there: impl Fn(&str) -> bool, known_max: usize) {
        self.pending.retain(|name, _| is_there(name));
        let mut gone = Vec::new();
        for (name, read) in &mut self.read {
            // Once gone it stays so until it is read again: what comes back may be another file of the same size and time.
            read.gone |= !is_there(name);
            if read.gone {
                gone.push((read.stamp.mtime, name.clone()));
            }
        }
        gone.sort_unstable();
        let too_many = gone.len().saturating_sub(known_max);
        for (_, name) in gone.into_iter().take(too_many) {
            self.read.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Cursor;

    #[test]
    fn a_place_reads_back_and_a_foreign_cursor_is_refused() {
        let mut place = Place::parse(None).unwrap();
        let stamp = Stamp { size: 1, mtime: 2 };
        place.read.insert("a.csv".into(), Read::of(stamp.clone(), "d".into()));
        place.open = Some(Open {
            name: "b.csv".into(),
            stamp,
            digest: "e".into(),
            row: 7,
        });
        assert_eq!(Place::parse(Some(&place.cursor())).unwrap(), place);
        assert!(Place::parse(Some(&Cursor("{\"v\":9}".into()))).is_err());
        assert!(Place::parse(Some(&Cursor(String::new()))).is_err());
    }

    #[test]
    fn files_that_are_gone_stay_known_for_a_while() {
        let mut place = Place::default();
        for (name, mtime) in [("old", 1), ("young", 3), ("middle", 2), ("here", 0)] {
            place
                .read
                .insert(name.into(), Read::of(Stamp { size: 1, mtime }, "d".into()));
        }
        place.forget(|name| name == "here", 2);
        let known: Vec<_> = place
            .read
            .iter()
            .map(|(name, read)| (name.as_str(), read.gone))
            .collect();
        assert_eq!(known, [("here", false), ("middle", true), ("young", true)]);
        place.forget(|_| true, 2);
        assert!(place.read["young"].gone, "what comes back is looked at");
    }
}
