//! Runs a manifest: everything a connector of a vendor does, without a word about any vendor.
//!
//! | module | does |
//! | --- | --- |
//! | `place` | what the opaque cursor holds |
//! | `window`, `paging` | what is read next (pure) |
//! | `choose`, `parents` | which list is the next one; lists below other objects |
//! | `job` | everything as a file, made by a job of the tool |
//! | `read`, `sample` | one page: request, answer, records, next cursor; a few objects to look at |
//! | `lookup` | objects by id or by a field |
//! | `attach` | what another request tells of the objects of a page |
//! | `describe` | the tool's own fields and lists |
//! | `effort` | how many calls writes take |
//! | `subscribe` | subscriptions of webhooks |
//! | `write`, `plan`, `each`, `account` | operations: grouped, sent, and each found again in the answer |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use compact_str::CompactString;
use serde_json::{Map, Value as Json};

use super::effort::Effort;
use super::link::{Link, Purpose};
use super::render::{Draft, from_expression};
use super::settings::ConnectionSettings;
use super::{Connection, Hook, Sample, Subscription};
use crate::connector::cursor::AsCursor as _;
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Context, Deletes, Manifest, Many, Mapper, Modified, Object, Path, Request};
use crate::model::{
    Cursor, CustomerKey, Description, FieldName, Fields, Incoming, Operation, Outcome, Page, StreamSpec, Sweeps,
    UnixMillis, Value,
};

mod account;
mod attach;
mod choose;
mod consent;
mod describe;
mod each;
mod effort;
mod erase;
mod job;
mod lookup;
mod notes;
mod paging;
mod parents;
mod place;
mod plan;
mod read;
mod rows;
mod sample;
mod subscribe;
mod window;
mod write;

use place::Place;
use window::Pace;

/// A system that a manifest describes.
pub(super) struct Native {
    system: CompactString,
    link: Link,
    check: Option<Request>,
    streams: BTreeMap<CompactString, Stream>,
    specs: BTreeMap<CompactString, StreamSpec>,
    removals_every: std::time::Duration,
    full: BTreeMap<CompactString, Sweeps>,
    calls: usize,
    hook: Option<Hook>,
    lists: describe::KnownLists,
}

/// One stream, with everything that can be prepared once.
struct Stream {
    name: CompactString,
    object: Object,
    mapper: Mapper,
    /// Reads rows of the list of removed objects.
    removals: Option<Mapper>,
    /// Reads a bare time in the format of the object's own.
    times: Mapper,
    /// Names of the mapped fields as the tool spells them (`fields` in expressions).
    fields: Json,
    /// The partitions of a list (`part` in expressions); one empty one when there are none.
    parts: Vec<Json>,
    pace: Pace,
}

impl Native {
    /// The system that the manifest and the settings describe.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub(super) fn new(manifest: Manifest, settings: ConnectionSettings) -> Result<Self, Vec<Problem>> {
        let link = Link::new(&manifest, &settings)?;
        let specs = manifest
            .objects
            .iter()
            .map(|(name, object)| (name.clone(), object.spec()))
            .collect();
        let streams = manifest
            .objects
            .into_iter()
            .map(|(name, object)| (name.clone(), Stream::new(name, object, &settings)))
            .collect();
        let hook = manifest.webhook.map(|webhook| Hook {
            webhook,
            names: link.names(),
        });
        Ok(Self {
            hook,
            link,
            check: manifest.check,
            streams,
            specs,
            removals_every: settings.removals_every,
            full: settings.full,
            calls: settings.calls.max(1),
            system: settings.system,
            lists: describe::KnownLists::default(),
        })
    }

    fn stream(&self, name: &str) -> Result<&Stream, Failure> {
        self.streams.get(name).ok_or_else(|| {
            let problem = Problem::new(Code::ConfigDangling, format!("there is no stream `{name}`"));
            Failure::new(Class::Forbidden, problem.about(&self.system))
        })
    }

    /// Says which stream a failure is about.
    fn about(&self, stream: &str, mut failure: Failure) -> Failure {
        if failure.problem.subject.is_empty() {
            failure.problem.subject = format!("{}/{stream}", self.system);
        }
        failure
    }
}

impl Stream {
    fn new(name: CompactString, object: Object, settings: &ConnectionSettings) -> Self {
        let mapper = |object: &Object| Mapper::new(object, settings.region.clone(), settings.phone);
        let read = object.read.as_ref();
        let names: Vec<Json> = object
            .remote_names()
            .iter()
            .map(|name| Json::from(name.as_str()))
            .collect();
        let window = read.and_then(|read| read.window.as_ref());
        Self {
            name,
            removals: read
                .and_then(|read| read.deletes.as_ref())
                .map(|deletes| mapper(&as_removal(&object, deletes))),
            times: mapper(&as_time(&object)),
            mapper: mapper(&object),
            fields: Json::Object(Map::from_iter([("remote".to_owned(), Json::Array(names))])),
            parts: parts(read.map(|read| &read.partition)),
            pace: window.map_or_else(Pace::whole, |window| Pace::new(window, settings.lag, settings.overlap)),
            object,
        }
    }

    /// A time of an answer to a write, in the format of the object's own time.
    fn time_in(&self, value: &Json) -> Option<UnixMillis> {
        self.times.updated_at(value)
    }

    /// What the manifest does not say cannot be done.
    fn cannot(&self, what: &str) -> Failure {
        let problem = Problem::new(Code::NotAllowed, format!("the connector cannot {what}")).about(&self.name);
        Failure::new(Class::Forbidden, problem)
    }
}

/// The object with id and time where a row of the list of removed objects has them.
fn as_removal(object: &Object, deletes: &Deletes) -> Object {
    let mut object = object.clone();
    if let Some(id) = &deletes.id {
        object.id = Many(vec![id.clone()]);
    }
    if let Some(at) = &deletes.at {
        object.modified = Some(Modified {
            at: Many(vec![at.clone()]),
            format: deletes.format.clone(),
        });
    }
    object
}

/// The object as if it were nothing but its time.
fn as_time(object: &Object) -> Object {
    let mut object = object.clone();
    let format = object.modified.map(|modified| modified.format).unwrap_or_default();
    object.modified = Some(Modified {
        at: Many(vec![Path::default()]),
        format,
    });
    object
}

/// Every combination of a partition's values.
fn parts(partition: Option<&BTreeMap<CompactString, Vec<CompactString>>>) -> Vec<Json> {
    let mut parts = vec![Map::new()];
    for (name, values) in partition.into_iter().flatten() {
        parts = parts
            .iter()
            .flat_map(|part| {
                values.iter().map(move |value| {
                    let mut part = part.clone();
                    part.insert(name.to_string(), Json::from(value.as_str()));
                    part
                })
            })
            .collect();
    }
    parts.into_iter().map(Json::Object).collect()
}

#[async_trait]
impl Connection for Native {
    fn streams(&self) -> &BTreeMap<CompactString, StreamSpec> {
        &self.specs
    }

    async fn check(&self) -> Result<(), Failure> {
        let Some(request) = &self.check else {
            return Ok(());
        };
        let names: Context = self.link.names();
        let draft = Draft::new(request, &BTreeMap::new(), None, &names).map_err(|why| from_expression(&why, true))?;
        let answer = self.link.call(&draft, Purpose::read("check")).await;
        answer.map(drop).map_err(|mut failure| {
            failure.problem.subject = self.system.to_string();
            failure
        })
    }

    async fn sample(&self, stream: &str, limit: usize) -> Result<Vec<Sample>, Failure> {
        let sampled = self.first_of(self.stream(stream)?, limit).await;
        sampled.map_err(|failure| self.about(stream, failure))
    }

    async fn pull(&self, stream: &str, cursor: Option<&Cursor>) -> Result<Page, Failure> {
        let found = self.stream(stream)?;
        let pulled = match Place::parse(cursor) {
            Ok(place) => self.pull_page(found, place).await,
            Err(failure) => Err(failure),
        };
        pulled.map_err(|failure| self.about(stream, failure))
    }

    async fn get(&self, stream: &str, remotes: &[CompactString]) -> Result<Vec<Incoming>, Failure> {
        let got = self.get_all(self.stream(stream)?, remotes).await;
        got.map_err(|failure| self.about(stream, failure))
    }

    async fn find(&self, stream: &str, by: &FieldName, value: &Value) -> Result<Option<Incoming>, Failure> {
        let found = self.find_one(self.stream(stream)?, by, value).await;
        found.map_err(|failure| self.about(stream, failure))
    }

    async fn write(&self, stream: &str, operations: &[Operation]) -> Vec<Outcome> {
        let outcomes = match self.stream(stream) {
            Ok(found) => self.write_all(found, operations).await,
            Err(failure) => operations.iter().map(|_| Err(failure.clone())).collect(),
        };
        let about = |outcome: Outcome| outcome.map_err(|failure| self.about(stream, failure));
        outcomes.into_iter().map(about).collect()
    }

    async fn erase(
        &self,
        stream: &str,
        remote: &CompactString,
        known: &Fields,
        customer: CustomerKey,
    ) -> Result<Option<Duration>, Failure> {
        let erased = self.erase_one(self.stream(stream)?, remote, known, customer).await;
        erased.map_err(|failure| self.about(stream, failure))
    }

    async fn describe(&self, stream: &str) -> Result<Option<Description>, Failure> {
        let described = self.description(self.stream(stream)?).await;
        described.map_err(|failure| self.about(stream, failure))
    }

    async fn write_note(
        &self,
        stream: &str,
        remote: &str,
        (marker, text): (&str, &str),
    ) -> Result<Option<CompactString>, Failure> {
        let noted = self.add_note(self.stream(stream)?, remote, (marker, text)).await;
        noted.map_err(|failure| self.about(stream, failure))
    }

    async fn find_note(&self, stream: &str, remote: &str, marker: &str) -> Result<Option<CompactString>, Failure> {
        let found = self.look_for_note(self.stream(stream)?, remote, marker).await;
        found.map_err(|failure| self.about(stream, failure))
    }

    fn effort(&self, stream: &str, creates: u64, updates: u64) -> Effort {
        let found = self.streams.get(stream);
        found.map_or_else(Effort::default, |stream| self.effort_of(stream, creates, updates))
    }

    fn hook(&self) -> Option<&Hook> {
        self.hook.as_ref()
    }

    async fn subscriptions(&self) -> Result<Vec<Subscription>, Failure> {
        self.list_subscriptions().await
    }

    async fn subscribe(&self, id: Option<&str>, url: &str, topics: &[CompactString]) -> Result<(), Failure> {
        self.make_subscription(id, url, topics).await
    }

    async fn unsubscribe(&self, id: &str) -> Result<(), Failure> {
        self.end_subscription(id).await
    }

    fn read(&self, stream: &str, object: &Json) -> Option<Incoming> {
        let stream = self.streams.get(stream).filter(|stream| !stream.is_scoped())?;
        let record = stream.mapper.record_in(object);
        (!record.remote.is_empty()).then_some(record)
    }
}

/// The connection of a native manifest.
///
/// # Errors
/// Everything that is wrong with the settings.
pub(super) fn build(manifest: Manifest, settings: ConnectionSettings) -> Result<Arc<dyn Connection>, Vec<Problem>> {
    Ok(Arc::new(Native::new(manifest, settings)?))
}

#[cfg(test)]
mod tests;
