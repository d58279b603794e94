//! Notes: how a short text is put where the next person works, on an object or as an activity of its own, and how it is
//! found again.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Deserialize;

use super::body::Body;
use super::object::Object;
use super::path::Path;
use super::scalar::Request;

impl Object {
    /// How a text is put on one of its objects, or, with an activity of this kind, on a person.
    #[must_use]
    pub fn texts(&self) -> Option<&Notes> {
        self.notes.as_ref().or(self.open.as_ref())
    }
}

/// How notes are written on the objects of a kind, or activities of a kind are opened.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    /// How one is written (`id` of the object or person, `text`, `marker`).
    pub create: NoteCreate,
    /// How one is found again by its marker, so that one whose answer got lost is not written twice.
    #[serde(default)]
    pub find: Option<NoteFind>,
    /// There is no way to find one: an answer that got lost is never followed by a second try.
    #[serde(default)]
    pub unfindable: bool,
}

/// How a note is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoteCreate {
    /// The request.
    pub request: Request,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<CompactString, Body>,
    /// Its JSON body.
    pub body: Body,
    /// Where its id is in the answer.
    #[serde(default)]
    pub id: Option<Path>,
}

/// How a note is found again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoteFind {
    /// The request that lists the notes of an object (`id`, `marker`).
    pub request: Request,
    /// Its query.
    #[serde(default)]
    pub query: BTreeMap<CompactString, Body>,
    /// Where the notes are in the answer.
    pub records: Path,
    /// Where a note's text is.
    pub text: Path,
    /// Where a note's id is.
    pub id: Path,
}
