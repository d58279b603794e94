//! What joins or parts two records for sure, whatever they look like.

use super::index::Entry;

/// The sure side of a record: who shares an identifier with it is the same, who has another number where everybody has
/// but one is somebody else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ties {
    /// Digests of its identifiers.
    pub same: Box<[u64]>,
    /// Digests of fields that hold one number per customer, and of what they say.
    pub unique: Box<[(u64, u64)]>,
}

impl Ties {
    pub(super) fn is_empty(&self) -> bool {
        self.same.is_empty() && self.unique.is_empty()
    }

    fn share(&self, other: &Self) -> bool {
        self.same.iter().any(|identifier| other.same.contains(identifier))
    }

    /// One field, two values, and none in common.
    fn contradict(&self, other: &Self) -> bool {
        self.unique.iter().any(|(field, _)| {
            let theirs = || other.unique.iter().filter(|(of, _)| of == field);
            let mut mine = self.unique.iter().filter(|(of, _)| of == field);
            theirs().next().is_some() && !mine.any(|mine| theirs().any(|their| their == mine))
        })
    }
}

/// What is sure about two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bond {
    /// They share an identifier.
    Tied,
    /// They cannot be one.
    Vetoed,
    /// Only what they look like says anything.
    Open,
}

pub(super) fn bond(a: &Entry, b: &Entry) -> Bond {
    if a.features.is_organization != b.features.is_organization {
        return Bond::Vetoed;
    }
    match (&a.ties, &b.ties) {
        (Some(left), Some(right)) if left.share(right) => Bond::Tied,
        (Some(left), Some(right)) if left.contradict(right) => Bond::Vetoed,
        _ => Bond::Open,
    }
}
