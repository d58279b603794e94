//! Notes: how a short text is put where the next person works, and how it is found again.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Deserialize;

use super::body::Body;
use super::path::Path;
use super::scalar::Request;

/// How notes are written on the objects of a kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    /// How one is written (`id` of the object, `text`, `marker`).
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
