//! What a list leaves out of its objects: asked for beside them, before they are mapped.
//!
//! What must never happen here: an object passes for one without, because its row was missing or the answer was cut.

use std::borrow::Cow;
use std::collections::BTreeMap;

use compact_str::CompactString;
use serde_json::{Value as Json, json};

use super::place::Aim;
use super::{Native, Stream};
use crate::connector::classify::text_of;
use crate::connector::http::not_the_answer_to;
use crate::connector::link::Purpose;
use crate::connector::render::{Draft, from_expression};
use crate::error::{Class, Failure};
use crate::manifest::{Attach, Found};

/// How many answers one object may take.
const ANSWERS_MAX: usize = 1000;

/// What is attached, by object.
type Told = BTreeMap<CompactString, Vec<Json>>;

impl Native {
    /// The rows with everything that is attached to them; those of the list of removed objects say nothing but that.
    pub(super) async fn attached<'r>(
        &self,
        stream: &Stream,
        aim: Aim,
        rows: Vec<Cow<'r, Json>>,
    ) -> Result<Vec<Cow<'r, Json>>, Failure> {
        if stream.object.attach.is_empty() || aim == Aim::Removals {
            return Ok(rows);
        }
        let mut rows: Vec<Json> = rows.into_iter().map(Cow::into_owned).collect();
        for (member, attach) in &stream.object.attach {
            let mut told: Told = rows
                .iter()
                .filter_map(|row| Some((stream.mapper.id_in(row)?, Vec::new())))
                .collect();
            self.tell_beside(attach, &mut told).await.map_err(not_about_an_object)?;
            for row in &mut rows {
                let values = stream.mapper.id_in(row).and_then(|id| told.get(&id).cloned());
                if let (Some(row), Some(values)) = (row.as_object_mut(), values) {
                    row.insert(member.to_string(), Json::Array(values));
                }
            }
        }
        Ok(rows.into_iter().map(Cow::Owned).collect())
    }

    /// Asks for what is attached to these objects, all of it.
    async fn tell_beside(&self, attach: &Attach, told: &mut Told) -> Result<(), Failure> {
        let mut asked: Vec<Json> = told.keys().map(|id| json!({"id": id})).collect();
        for _ in 0..ANSWERS_MAX {
            if asked.is_empty() {
                return Ok(());
            }
            let mut more = Vec::new();
            for some in asked.chunks(attach.max.max(1)) {
                more.extend(self.ask_beside(attach, some, told).await?);
            }
            asked = more;
        }
        Err(not_the_answer_to("what is attached", "goes on without an end"))
    }

    /// One request. What has to be asked next.
    async fn ask_beside(&self, attach: &Attach, asked: &[Json], told: &mut Told) -> Result<Vec<Json>, Failure> {
        let names = self.link.names().with("asked", &json!(asked));
        let draft = Draft::new(&attach.request, &attach.query, attach.body.as_ref(), &names)
            .and_then(|draft| draft.with_headers(&attach.headers, &names));
        let draft = draft.map_err(|why| from_expression(&why, true))?;
        let good = self.link.call(&draft, Purpose::read("get")).await?;
        if attach.records.find(&good.body) == Found::Absent {
            let what = format!("has no `{}`", attach.records);
            return Err(not_the_answer_to("what is attached", &what));
        }
        let rows = attach.records.rows(&good.body);
        let mut more = Vec::new();
        let mut named: Vec<CompactString> = Vec::new();
        for row in &rows {
            let Some(id) = attach.id.find(row).value().map(|id| CompactString::from(text_of(&id))) else {
                continue;
            };
            let after = attach.after.as_ref().and_then(|after| after.find(row).value());
            if let Some(after) = after {
                let next = json!({"id": id, "after": *after});
                if asked.contains(&next) {
                    return Err(not_the_answer_to(
                        "what is attached",
                        "points back to what was read already",
                    ));
                }
                more.push(next);
            }
            let values = attach.value.all(row).into_iter().map(Cow::into_owned);
            told.entry(id.clone()).or_default().extend(values);
            named.push(id);
        }
        if let Some(none) = &attach.none {
            named.extend(none.all(&good.body).iter().map(|id| CompactString::from(text_of(id))));
            let id_of = |one: &Json| one.get("id").map(text_of).unwrap_or_default();
            let missing = asked
                .iter()
                .map(id_of)
                .find(|id| !named.iter().any(|named| named == id));
            if let Some(id) = missing {
                return Err(not_the_answer_to(
                    "what is attached",
                    &format!("says nothing about {id}"),
                ));
            }
        }
        Ok(more)
    }
}

/// That a list of this kind is not there says nothing about the objects.
fn not_about_an_object(failure: Failure) -> Failure {
    match failure.class {
        Class::Gone => Failure {
            class: Class::Transient,
            ..failure
        },
        _ => failure,
    }
}
