//! What can be read and looked up of one kind of object. Writing stands in [`super::write`].

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer};

use super::activity::{ObjectKind, Of};
use super::attach::Attach;
use super::body::Body;
use super::cond::Cond;
use super::consent::Consent;
use super::describe::Describe;
use super::field::{FieldMap, TimeFormat};
use super::guest::GuestStream;
use super::job::ListJob;
use super::joined::Merged;
use super::notes::Notes;
use super::paging::Paging;
use super::parents::Parents;
use super::path::Path;
use super::scalar::{Many, Param, Period, Request, Start};
use super::types::Reading;
use super::write::WriteOps;

/// One kind of object; each becomes a stream.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// What its objects are about.
    #[serde(default)]
    pub kind: ObjectKind,
    /// On whom an activity hangs.
    #[serde(default)]
    pub of: Many<Of>,
    /// Where an object's id is; of several places the first that has one. Ids are text, whatever the tool sends.
    pub id: Many<Path>,
    /// Fields by which an object can be found again, best first.
    #[serde(default, rename = "match")]
    pub match_by: Many<CompactString>,
    /// Another object that is the same thing for us (a lead and a contact): whoever is there as one is not made as the
    /// other, and who could be made as both is made as that one. `nothing`: it is a thing of its own.
    #[serde(default)]
    pub instead_of: Option<CompactString>,
    /// The tool's own time of the last change.
    #[serde(default)]
    pub modified: Option<Modified>,
    /// Where it says that it is one with another object now.
    #[serde(default)]
    pub merged: Many<Merged>,
    /// The tool's version or etag of the object.
    #[serde(default)]
    pub version: Option<Path>,
    /// Where its objects come from, when a program speaks to the tool.
    #[serde(default)]
    pub guest: Option<GuestStream>,
    /// How all objects are read.
    #[serde(default)]
    pub read: Option<Read>,
    /// How objects are read by id.
    #[serde(default)]
    pub get: Option<Get>,
    /// What another request tells of them, by the member that an object gets of it.
    #[serde(default)]
    pub attach: BTreeMap<CompactString, Attach>,
    /// How an object is looked up by a field.
    #[serde(default)]
    pub find: BTreeMap<CompactString, Find>,
    /// How the tool tells which fields its objects have.
    #[serde(default)]
    pub describe: Option<Describe>,
    /// How objects are made, changed and removed.
    #[serde(default)]
    pub write: Option<WriteOps>,
    /// How the tool is told that a person took a consent back, where that is a call of its own (`email.marketing`); the
    /// field `consent.….` has `write: after` then, and says how the consent is read.
    #[serde(default)]
    pub consent: BTreeMap<CompactString, Consent>,
    /// How notes are written on its objects.
    #[serde(default)]
    pub notes: Option<Notes>,
    /// How an activity is opened for the person `id`, with a text that tells why (`kind: activity` only).
    #[serde(default)]
    pub open: Option<Notes>,
    /// The mapping between canonical and remote fields.
    pub fields: FieldMap,
}

impl Object {
    /// An object that is nothing but its id and its fields: for connectors that are no manifests and map like one.
    #[must_use]
    pub fn of_fields(kind: ObjectKind, id: Path, fields: FieldMap) -> Self {
        Self {
            kind,
            of: Many::default(),
            id: Many(vec![id]),
            match_by: Many::default(),
            instead_of: None,
            modified: None,
            merged: Many::default(),
            version: None,
            guest: None,
            read: None,
            get: None,
            attach: BTreeMap::new(),
            find: BTreeMap::new(),
            describe: None,
            write: None,
            consent: BTreeMap::new(),
            notes: None,
            open: None,
            fields,
        }
    }
}

/// Where the time of the last change is; of several, the latest counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "$short/at")]
pub struct Modified {
    /// The places.
    pub at: Many<Path>,
    /// How it is written.
    #[serde(default)]
    pub format: TimeFormat,
}

/// How all objects of a stream are read. Exactly one of `window`, `cursor` and `full` says what the state is; `full`
/// may stand beside a window to find what vanished.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// Closed windows of time, each read to its end; the state is the end of the last one.
    #[serde(default)]
    pub window: Option<Window>,
    /// The tool's own opaque token.
    #[serde(default)]
    pub cursor: Option<CursorRead>,
    /// Everything, again and again; also the only proof of absence.
    #[serde(default)]
    pub full: Option<Full>,
    /// Read once for each value (`part.NAME` in expressions): for tools that leave objects out unless asked by state.
    #[serde(default)]
    pub partition: BTreeMap<CompactString, Vec<CompactString>>,
    /// Read once for each of other objects (`parent` in expressions): for lists that hang below them.
    #[serde(default)]
    pub parents: Option<Parents>,
    /// The request of a page.
    pub request: Request,
    /// Further headers (`if-modified-since`, an opt-in).
    #[serde(default)]
    pub headers: BTreeMap<CompactString, Body>,
    /// Its query; a list makes a repeated parameter.
    #[serde(default)]
    pub query: BTreeMap<CompactString, Body>,
    /// Its JSON body.
    #[serde(default)]
    pub body: Option<Body>,
    /// Where the objects are in the answer.
    pub records: Path,
    /// How the next page is asked for; one page is all when left out.
    #[serde(default)]
    pub page: Option<Paging>,
    /// How everything is listed at once, by a job of the tool.
    #[serde(default)]
    pub job: Option<ListJob>,
    /// A separate list of removed objects.
    #[serde(default)]
    pub deletes: Option<Deletes>,
    /// True for an object that says of itself that it is gone; on `record`. An object that lacks what the condition asks
    /// for is not gone.
    #[serde(default)]
    pub deleted: Option<Cond>,
}

/// Reading by windows of time: `window.since` (included) to `window.until` (excluded), milliseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The beginning of time for this tool.
    pub start: Start,
    /// How late the tool's index may be: a window never ends later than now minus this.
    pub lag: Period,
    /// The longest window.
    #[serde(default)]
    pub max: Option<Period>,
    /// How far a window reaches back into the one before it, for the tool's time resolution and late commits.
    #[serde(default = "overlap")]
    pub overlap: Period,
    /// The most rows or pages the tool will list for one query; a window that meets it is split.
    #[serde(default)]
    pub ceiling: Option<Ceiling>,
    /// How the window is applied.
    #[serde(default)]
    pub order: Order,
}

fn overlap() -> Period {
    Period(std::time::Duration::from_secs(15 * 60))
}

/// How a window is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The request filters by `window.since` and `window.until`.
    #[default]
    Filter,
    /// The tool cannot filter, but lists the latest change first: reading stops at the first object changed before
    /// `window.since`.
    Newest,
}

/// A hard end of the tool's lists.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ceiling {
    /// So many rows of one query.
    Rows(u64),
    /// So many pages of one query.
    Pages(u64),
}

/// Reading by the tool's own token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CursorRead {
    /// Where the next token is in the answer.
    pub opaque: Path,
    /// Where it goes in the next request.
    pub to: CursorTo,
    /// What the very first request carries instead (`since` is the beginning, milliseconds).
    #[serde(default)]
    pub start: BTreeMap<Param, Body>,
    /// How far from now the first request must stay away.
    #[serde(default)]
    pub lag: Option<Period>,
    /// When the token becomes the state.
    #[serde(default)]
    pub commit: CommitAt,
}

/// Where the tool's own token goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorTo {
    /// Into the request.
    Param(Param),
    /// It is the whole address of the next request (`url`; a delta link). `page: {by: next_url}` leads to the next one.
    Url,
}

impl<'de> Deserialize<'de> for CursorTo {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = CompactString::deserialize(from)?;
        if text == "url" {
            return Ok(Self::Url);
        }
        Param::deserialize(text.as_str().into_deserializer()).map(Self::Param)
    }
}

/// When a token becomes the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitAt {
    /// With every page.
    #[default]
    Page,
    /// Only when the list is read to its end.
    End,
}

/// Reading everything.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Full {
    /// How often.
    pub every: Period,
}

/// A separate list of removed objects.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletes {
    /// The request of a page.
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
    /// Where the rows are.
    pub records: Path,
    /// Where a row's id is; the object's own `id` when left out.
    #[serde(default)]
    pub id: Option<Path>,
    /// Where the time of the removal is.
    #[serde(default)]
    pub at: Option<Path>,
    /// How that time is written.
    #[serde(default)]
    pub format: TimeFormat,
    /// How the next page is asked for.
    #[serde(default)]
    pub page: Option<Paging>,
}

/// How objects are read by id (`id`, `ids`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Get {
    /// The request.
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
    /// The most ids of one request.
    #[serde(default = "one")]
    pub max: usize,
    /// Where the objects are; the whole answer when left out.
    #[serde(default)]
    pub records: Path,
    /// How an id that is not there shows.
    #[serde(default)]
    pub missing: Missing,
    /// The header with the version or etag of a single object (`header:etag`).
    #[serde(default)]
    pub version: Option<Reading>,
}

/// How an id that is not there shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// It is left out of the answer, or the answer has the class `gone`.
    #[default]
    Absent,
    /// The whole request fails; ids must then be asked for one by one.
    Fails,
}

pub(super) fn one() -> usize {
    1
}

/// How an object is looked up by a field (`value`). What comes back is compared with the value again: tools ignore filters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// The request.
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
    /// Where the objects are.
    #[serde(default)]
    pub records: Path,
    /// Where a row's id is; the object's own `id` when left out.
    #[serde(default)]
    pub id: Option<Path>,
    /// What comes next.
    #[serde(default)]
    pub then: Then,
}

/// What comes after a lookup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// The rows are whole objects.
    #[default]
    Done,
    /// The rows hold ids only: the objects are read by `get`.
    Get,
}
