//! What a tool says about its own fields: for people (`nivel check --fields`), and to refuse a value that is in none of its
//! lists before it is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use compact_str::CompactString;

use super::plan::Entry;
use super::{Native, Stream};
use crate::connector::link::Purpose;
use crate::connector::render::{Draft, from_expression};
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Describe, Lists};
use crate::model::{Described, Description, UnixMillis};

/// How long what a tool said about its lists is believed.
const LISTS_KEPT: Duration = Duration::from_secs(3600);

/// The lists of each stream, and when they were asked for.
pub(super) type KnownLists = Mutex<BTreeMap<CompactString, (UnixMillis, Arc<Lists>)>>;

impl Native {
    /// The fields of a stream as the tool itself describes them; `None` when the manifest does not say how to ask.
    pub(super) async fn description(&self, stream: &Stream) -> Result<Option<Description>, Failure> {
        let Some(describe) = &stream.object.describe else {
            return Ok(None);
        };
        let fields = self.described(stream, describe).await?;
        let vanished = stream.object.vanished(describe, &fields);
        Ok(Some(Description { fields, vanished }))
    }

    async fn described(&self, stream: &Stream, describe: &Describe) -> Result<Vec<Described>, Failure> {
        let draft = Draft::new(&describe.request, &describe.query, None, &self.link.names());
        let draft = draft.map_err(|why| from_expression(&why, true))?;
        let good = self.link.call(&draft, Purpose::read("describe")).await?;
        Ok(stream.object.described(describe, &good.body))
    }

    /// Takes out operations with a value that is in none of the tool's lists.
    pub(super) async fn refuse_unlisted(
        &self,
        stream: &Stream,
        entries: Vec<Entry>,
    ) -> (Vec<Entry>, Vec<(usize, Failure)>) {
        let is_listed = |entry: &Entry| {
            stream
                .object
                .picklists()
                .any(|name| entry.operation.fields.contains_key(name))
        };
        if !entries.iter().any(is_listed) {
            return (entries, Vec::new());
        }
        let lists = self.lists(stream).await;
        let mut refused = Vec::new();
        let mut good = Vec::with_capacity(entries.len());
        for entry in entries {
            match stream.mapper.outside(&lists, &entry.operation) {
                None => good.push(entry),
                Some((field, value)) => {
                    let message = format!("`{value}` is not in the tool's list for `{field}`");
                    let hint =
                        "add it to the list in the tool, or map it to a value that is there; then `nivel dead retry`";
                    let problem = Problem::new(Code::NotInList, message).hint(hint);
                    refused.push((entry.index, Failure::new(Class::Invalid, problem)));
                }
            }
        }
        (good, refused)
    }

    /// What is not known is not checked: then the tool itself has the last word.
    async fn lists(&self, stream: &Stream) -> Arc<Lists> {
        let now = self.link.now();
        let known = self
            .lists
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&stream.name)
            .cloned();
        if let Some((_, lists)) = known.filter(|(at, _)| now.since(*at) < LISTS_KEPT) {
            return lists;
        }
        let lists = match &stream.object.describe {
            None => Lists::new(),
            Some(describe) => match self.described(stream, describe).await {
                Ok(described) => stream.object.lists(&described),
                Err(failure) => {
                    tracing::debug!(stream = %stream.name, %failure, "the tool's lists of values are not known");
                    Lists::new()
                }
            },
        };
        let lists = Arc::new(lists);
        let mut all = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(stream.name.clone(), (now, Arc::clone(&lists)));
        lists
    }
}
