//! What a list leaves out of its objects and another request tells: asked for beside them.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Deserialize;

use super::body::Body;
use super::lint::Lint;
use super::object::{Object, one};
use super::path::Path;
use super::scalar::Request;

/// One thing that is asked for beside the objects of a page, and of a reading by id. Each object gets it as a member of
/// this name: a list, empty where there is nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// The request (`asked`: a list of objects with `id` and, from the second time on, `after`).
    pub request: Request,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<CompactString, Body>,
    /// Its query.
    #[serde(default)]
    pub query: BTreeMap<CompactString, Body>,
    /// Its JSON body.
    #[serde(default)]
    pub body: Option<Body>,
    /// The most objects of one request.
    #[serde(default = "one")]
    pub max: usize,
    /// Where the rows are.
    pub records: Path,
    /// Where a row says which object it is about.
    pub id: Path,
    /// Where a row has what is attached.
    pub value: Path,
    /// Where the tool names the objects for which there is nothing. With it, an object that is named nowhere in the answer
    /// is not known, and everything is read again; without it, it has nothing.
    #[serde(default)]
    pub none: Option<Path>,
    /// Where a row says what is to be asked next for its object, when one answer does not hold everything.
    #[serde(default)]
    pub after: Option<Path>,
}

/// Does what is attached make sense?
pub(super) fn check(lint: &mut Lint<'_>, name: &str, object: &Object) {
    for (member, attach) in &object.attach {
        let path = format!("objects.{name}.attach.{member}");
        let used: Vec<String> = attach
            .request
            .path
            .names()
            .into_iter()
            .chain(attach.query.values().chain(&attach.body).flat_map(Body::names))
            .collect();
        if !used.iter().any(|used| used.split('.').next() == Some("asked")) {
            let hint = "`body: {inputs: \"{{ asked }}\"}`";
            lint.sense(&path, "the request does not say which objects it is about", hint);
        }
    }
}
