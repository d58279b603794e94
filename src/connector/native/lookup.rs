//! Objects by id and by a field.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde_json::{Value as Json, json};

use super::place::Aim;
use super::{Native, Stream};
use crate::connector::classify::text_of;
use crate::connector::http::not_the_answer_to;
use crate::connector::link::{Good, Purpose};
use crate::connector::meter::reading;
use crate::connector::render::{Draft, from_expression};
use crate::error::{Class, Failure};
use crate::manifest::{Find, Found, Get, Missing, Path, Then};
use crate::model::{FieldName, Incoming, Value};

impl Native {
    /// Objects by id, in requests of as many as the tool takes; missing ones are left out.
    pub(super) async fn get_all(&self, stream: &Stream, remotes: &[CompactString]) -> Result<Vec<Incoming>, Failure> {
        let Some(get) = &stream.object.get else {
            return Err(stream.cannot("read objects by id"));
        };
        let mut records = Vec::with_capacity(remotes.len());
        let mut work: Vec<&[CompactString]> = remotes.chunks(get.max.max(1)).rev().collect();
        while let Some(ids) = work.pop() {
            match self.get_some(stream, get, ids).await {
                Ok(found) => records.extend(found),
                Err(failure) if failure.class == Class::Gone && ids.len() == 1 => {}
                Err(failure) if ids.len() > 1 && is_one_missing(get, &failure) => work.extend(ids.chunks(1).rev()),
                Err(failure) => return Err(failure),
            }
        }
        Ok(records)
    }

    async fn get_some(&self, stream: &Stream, get: &Get, ids: &[CompactString]) -> Result<Vec<Incoming>, Failure> {
        let mut names = self.link.names();
        let (parent, own) = ids.first().map_or((None, ""), |id| stream.own_id(id));
        names.set("ids", &json!(ids));
        names.set("id", &json!(own));
        names.set("parent", &json!(parent));
        names.set("fields", &stream.fields);
        let draft = Draft::new(&get.request, &get.query, get.body.as_ref(), &names)
            .and_then(|draft| draft.with_headers(&get.headers, &names));
        let draft = draft.map_err(|why| from_expression(&why, true))?;
        let good = self.link.call(&draft, Purpose::read("get")).await?;
        let rows = self
            .attached(stream, Aim::Changes, objects(&get.records, &good)?)
            .await?;
        let parent = parent.map(CompactString::from);
        let records = rows
            .iter()
            .map(|row| stream.below(parent.as_ref(), stream.mapper.record_in(row)));
        let mut records: Vec<Incoming> = records.filter(|record| !record.remote.is_empty()).collect();
        if let ([one], Some(version)) = (records.as_mut_slice(), &get.version) {
            one.version = Some(reading(version, &good.answer).into()).filter(|text: &CompactString| !text.is_empty());
        }
        Ok(records)
    }

    /// The object whose field has the value; of several the one with the lowest id, so that it is always the same.
    pub(super) async fn find_one(
        &self,
        stream: &Stream,
        by: &FieldName,
        value: &Value,
    ) -> Result<Option<Incoming>, Failure> {
        // Tools ignore filters they do not know and answer with everybody, so the value is compared again.
        let fits = |record: &Incoming| is_there(record) && has_value(record, by, value);
        let found = self.find_all(stream, by, value).await?;
        Ok(found.into_iter().filter(fits).min_by_key(order))
    }

    /// As [`Native::find_one`], when the tool has said that there is one: a single answer is then believed although its
    /// field says something else, because the value may be a second one of the same person.
    pub(super) async fn find_known(
        &self,
        stream: &Stream,
        by: &FieldName,
        value: &Value,
    ) -> Result<Option<Incoming>, Failure> {
        let mut found = self.find_all(stream, by, value).await?;
        found.retain(is_there);
        if found.len() > 1 {
            found.retain(|record| has_value(record, by, value));
        }
        Ok(found.into_iter().min_by_key(order))
    }

    async fn find_all(&self, stream: &Stream, by: &FieldName, value: &Value) -> Result<Vec<Incoming>, Failure> {
        let Some(find) = stream.find_by(by) else {
            return Err(stream.cannot(&format!("look objects up by `{by}`")));
        };
        let value = stream.mapper.value_out(stream.own_name(by), value);
        let mut found = Vec::new();
        for parent in self.parents_of(stream, find).await? {
            found.extend(self.find_below(stream, find, parent.as_ref(), &value).await?);
        }
        Ok(found)
    }

    async fn find_below(
        &self,
        stream: &Stream,
        find: &Find,
        parent: Option<&CompactString>,
        value: &Json,
    ) -> Result<Vec<Incoming>, Failure> {
        let mut names = self.link.names();
        names.set("value", value);
        names.set("parent", &json!(parent));
        names.set("fields", &stream.fields);
        let draft = Draft::new(&find.request, &find.query, find.body.as_ref(), &names)
            .and_then(|draft| draft.with_headers(&find.headers, &names));
        let draft = draft.map_err(|why| from_expression(&why, true))?;
        let good = match self.link.call(&draft, Purpose::read("find")).await {
            Err(failure) if failure.class == Class::Gone => return Ok(Vec::new()),
            good => good?,
        };
        let rows = objects(&find.records, &good)?;
        match find.then {
            Then::Done => {
                let records = rows.iter().map(|row| stream.mapper.record_in(row));
                Ok(records.map(|record| stream.below(parent, record)).collect())
            }
            Then::Get => {
                let ids = rows.iter().filter_map(|row| stream.id_of_row(find, row));
                let ids: Vec<_> = ids.map(|id| stream.id_below(parent, id)).collect();
                self.get_all(stream, &ids).await
            }
        }
    }
}

fn is_there(record: &Incoming) -> bool {
    !record.remote.is_empty() && !record.deleted
}

fn order(record: &Incoming) -> (usize, CompactString) {
    (record.remote.len(), record.remote.clone())
}

impl Stream {
    /// How objects are looked up by a field; our own key is spelled `key`.
    pub(super) fn find_by(&self, by: &FieldName) -> Option<&Find> {
        self.object.find.get(self.own_name(by))
    }

    /// The manifest's name of a field that the rest of Nivel may spell `key`.
    pub(super) fn own_name<'a>(&'a self, by: &'a FieldName) -> &'a str {
        match self.object.key_field() {
            Some(key) if by.as_str() == "key" => key.as_str(),
            _ => by.as_str(),
        }
    }

    fn id_of_row(&self, find: &Find, row: &Json) -> Option<CompactString> {
        match &find.id {
            Some(path) => path.find(row).value().map(|id| text_of(&id).into()),
            None => self.mapper.id_in(row),
        }
    }
}

fn has_value(record: &Incoming, by: &FieldName, value: &Value) -> bool {
    if by.as_str() == "key" {
        return record
            .key
            .is_some_and(|key| value.as_text() == Some(key.to_string().as_str()));
    }
    record.fields.value(by.as_str()) == Some(value)
}

fn is_one_missing(get: &Get, failure: &Failure) -> bool {
    get.missing == Missing::Fails && matches!(failure.class, Class::Gone | Class::Invalid | Class::Forbidden)
}

/// The objects of an answer; an answer without the list is never an empty list.
fn objects<'a>(path: &Path, good: &'a Good) -> Result<Vec<std::borrow::Cow<'a, Json>>, Failure> {
    if good.body.is_null() {
        return Ok(Vec::new());
    }
    match path.find(&good.body) {
        Found::Absent => Err(not_the_answer_to("a lookup", &format!("has no `{path}`"))),
        Found::Empty | Found::Value(_) => Ok(path.rows(&good.body)),
    }
}

/// The query of requests without one.
pub(super) type NoQuery = BTreeMap<CompactString, crate::manifest::Body>;
