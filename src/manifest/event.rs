//! From the body of a webhook to hints: which object it is about, and what it asks us to do. Pure.

use std::borrow::Cow;
use std::fmt;

use compact_str::CompactString;
use serde_json::{Map, Value as Json};

use super::expr::Context;
use super::hook::{Decode, EventKind, Events};
use super::types::Pick;
use crate::model::UnixMillis;

/// What one event says.
#[derive(Clone, Debug, PartialEq)]
pub struct Hint {
    /// The object's name in the manifest; perhaps not one that is mapped.
    pub object: CompactString,
    /// Which object.
    pub subject: Subject,
    /// When it happened, by the tool's clock.
    pub at: Option<UnixMillis>,
    /// What it asks us to do.
    pub act: Act,
    /// The object itself, where the manifest says that the event is the record.
    pub record: Option<Json>,
}

/// Which object an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The one with this id.
    Id(CompactString),
    /// The one whose field has this value.
    Match(CompactString, CompactString),
}

/// What an event asks us to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Read the object again.
    Refetch,
    /// It is said to be gone.
    Delete,
    /// The person asked to be forgotten.
    Erase,
    /// These objects live on in the winner.
    Merge {
        /// The surviving object.
        winner: CompactString,
        /// The others.
        losers: Vec<CompactString>,
    },
    /// The object has another id (or key, when events name objects by a field) now.
    Rekey {
        /// The former one.
        from: CompactString,
        /// The present one.
        to: CompactString,
    },
    /// Nothing.
    Ignore,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match &self.act {
            Act::Refetch => "refetch",
            Act::Delete => "delete",
            Act::Erase => "erase",
            Act::Merge { .. } => "merge",
            Act::Rekey { .. } => "rekey",
            Act::Ignore => "ignore",
        };
        write!(f, "{word} {}", self.object)?;
        match &self.subject {
            Subject::Id(id) => write!(f, " {id}")?,
            Subject::Match(field, value) => write!(f, " {field}={value}")?,
        }
        match &self.act {
            Act::Merge { losers, .. } => write!(f, " from {}", losers.join(","))?,
            Act::Rekey { from, .. } => write!(f, " from {from}")?,
            _ => {}
        }
        self.at.map_or(Ok(()), |at| write!(f, " at {at}"))
    }
}

impl Events {
    /// Splits a body into its events.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn split(&self, body: &[u8]) -> Result<Vec<Json>, String> {
        let whole = self.whole(body)?;
        if self.rows.is_root() && !whole.is_array() {
            return Ok(vec![whole]);
        }
        match self.rows.find(&whole) {
            super::path::Found::Absent => Err(format!("nothing at `{}`", self.rows)),
            _ => Ok(self.rows.rows(&whole).into_iter().map(Cow::into_owned).collect()),
        }
    }

    /// The whole body as JSON.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn whole(&self, body: &[u8]) -> Result<Json, String> {
        match self.decode {
            Decode::Json => serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}")),
            Decode::Form => Ok(form(body)),
        }
    }

    /// The object's name, and what makes an event unique: as far as the manifest says so and the event has it. `raw` is
    /// the body as it came.
    #[must_use]
    pub fn label(
        &self,
        event: &Json,
        headers: &Json,
        raw: &[u8],
        names: &Context,
    ) -> (Option<CompactString>, Option<String>) {
        let mut names = names_for(event, headers, names);
        let object = self.object.render_text(&names).ok().map(CompactString::from);
        let Some(pick) = &self.key else {
            return (object, None);
        };
        if matches!(pick, Pick::Template(template) if template.used().contains("body")) {
            names.set_bytes("body", raw);
        }
        (object, picked(pick, event, &names).and_then(|key| text(&key)))
    }

    /// What an event says.
    ///
    /// # Errors
    /// Why it cannot be understood.
    pub fn hint(&self, event: &Json, headers: &Json, names: &Context) -> Result<Hint, String> {
        let names = names_for(event, headers, names);
        let object = self
            .object
            .render_text(&names)
            .map_err(|why| format!("`object`: {}", why.why))?;
        let at = self.at.as_ref().and_then(|at| at.read(event));
        let (subject, act) = self.act(event, &names)?;
        let record = self
            .record
            .as_ref()
            .and_then(|path| path.find(event).value().map(Cow::into_owned));
        Ok(Hint {
            object: object.into(),
            subject,
            at,
            act,
            record,
        })
    }

    fn act(&self, event: &Json, names: &Context) -> Result<(Subject, Act), String> {
        let word = self.op.as_ref().and_then(|op| {
            let word = op.at.find(event).value().and_then(|word| text(&word));
            let known = word.and_then(|word| op.map.get(word.as_str()));
            known.or_else(|| op.map.get("*")).copied()
        });
        let kind = word.unwrap_or(EventKind::Refetch);
        let merge = self.merge.as_ref();
        let merge =
            merge.filter(|merge| kind == EventKind::Merge || merge.when.as_ref().is_some_and(|when| when.holds(names)));
        if let Some(merge) = merge {
            let winner = picked(&merge.winner, event, names).and_then(|winner| text(&winner));
            let winner = CompactString::from(winner.ok_or("a merge without a winner")?);
            let losers = picked(&merge.losers, event, names).map_or_else(Vec::new, texts);
            let losers = losers.into_iter().filter(|loser| *loser != winner).collect();
            return Ok((Subject::Id(winner.clone()), Act::Merge { winner, losers }));
        }
        if let (EventKind::Rekey, Some(rekey)) = (kind, &self.rekey) {
            let end = |path: &super::path::Path| path.find(event).value().and_then(|id| text(&id));
            let from = CompactString::from(end(&rekey.from).ok_or("a new key without the old one")?);
            let to = CompactString::from(end(&rekey.to).ok_or("a new key that is not said")?);
            let subject = match (&self.id, self.match_by.keys().next()) {
                (None, Some(field)) => Subject::Match(field.clone(), to.clone()),
                _ => Subject::Id(to.clone()),
            };
            return Ok((subject, Act::Rekey { from, to }));
        }
        let act = match kind {
            EventKind::Delete => Act::Delete,
            EventKind::Erase => Act::Erase,
            EventKind::Ignore => Act::Ignore,
            EventKind::Refetch | EventKind::Merge | EventKind::Rekey => Act::Refetch,
        };
        Ok((self.subject(event, names)?, act))
    }

    fn subject(&self, event: &Json, names: &Context) -> Result<Subject, String> {
        let id = self
            .id
            .as_ref()
            .and_then(|id| picked(id, event, names))
            .and_then(|id| text(&id));
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            return Ok(Subject::Id(id.into()));
        }
        let mut by = self.match_by.iter();
        let found = by.find_map(|(field, path)| {
            let value = path.find(event).value().and_then(|value| text(&value))?;
            (!value.is_empty()).then(|| Subject::Match(field.clone(), value.into()))
        });
        found.ok_or_else(|| "no id of an object".to_owned())
    }
}

fn names_for(event: &Json, headers: &Json, names: &Context) -> Context {
    names.clone().with("e", event).with("headers", headers)
}

fn picked(pick: &Pick, event: &Json, names: &Context) -> Option<Json> {
    match pick {
        Pick::Path(path) => path.find(event).value().map(Cow::into_owned),
        Pick::Template(template) => template.render_value(names).ok().filter(|value| !value.is_null()),
    }
}

fn text(value: &Json) -> Option<String> {
    match value {
        Json::Null | Json::Array(_) | Json::Object(_) => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn texts(value: Json) -> Vec<CompactString> {
    match value {
        Json::Array(items) => items.iter().filter_map(text).map(CompactString::from).collect(),
        one => text(&one).map(CompactString::from).into_iter().collect(),
    }
}

/// A form as JSON: `data[merges][EMAIL]=x` is a member of a member, `ids[]=1` an element of a list.
#[must_use]
pub(super) fn form(body: &[u8]) -> Json {
    let mut root = Json::Object(Map::new());
    for (name, value) in url::form_urlencoded::parse(body) {
        let (first, rest) = name.split_once('[').unwrap_or((&name, ""));
        let inner = rest.strip_suffix(']').unwrap_or(rest);
        let steps = std::iter::once(first).chain(inner.split("][").filter(|_| !rest.is_empty()));
        put(&mut root, steps, value.into_owned());
    }
    root
}

fn put<'a>(root: &mut Json, steps: impl Iterator<Item = &'a str>, value: String) {
    let mut at = root;
    for step in steps.take(FORM_DEPTH_MAX) {
        if step.is_empty() {
            if !at.is_array() {
                *at = Json::Array(Vec::new());
            }
            let Json::Array(items) = at else { return };
            items.push(Json::Null);
            let Some(last) = items.last_mut() else { return };
            at = last;
            continue;
        }
        if !at.is_object() {
            *at = Json::Object(Map::new());
        }
        at = &mut at[step];
    }
    *at = Json::String(value);
}

/// The deepest name of a form's field.
const FORM_DEPTH_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::Webhook;

    fn events(yaml: &str) -> Events {
        let text = format!("{{verify: {{path_secret: x}}, events: {yaml}}}");
        let webhook: Webhook = crate::manifest::yaml::read("test", &text).unwrap().0;
        webhook.events
    }

    #[track_caller]
    fn check(yaml: &str, event: &Json, subject: Subject, act: Act) {
        let hint = events(yaml).hint(event, &json!({}), &Context::new()).unwrap();
        assert_eq!((hint.subject, hint.act), (subject, act), "{event}");
    }

    #[test]
    fn p12_what_makes_an_event_unique_is_more_than_its_object() {
        let events =
            events("{rows: '.', object: person, id: id, key: '{{ e.sub }}/{{ e.id }}/{{ e.kind }}/{{ e.at }}'}");
        let key = |event: Json| events.label(&event, &json!({}), b"", &Context::new()).1;
        let first = key(json!({"sub": 1, "id": 7, "kind": "changed", "at": 10})).unwrap();
        let cases = [
            json!({"sub": 1, "id": 7, "kind": "changed", "at": 11}),
            json!({"sub": 1, "id": 7, "kind": "created", "at": 10}),
            json!({"sub": 1, "id": 8, "kind": "changed", "at": 10}),
        ];
        for other in cases {
            assert_ne!(key(other.clone()), Some(first.clone()), "{other}");
        }
        assert_eq!(
            key(json!({"at": 10, "kind": "changed", "id": 7, "sub": 1})),
            Some(first),
            "a retry is the same"
        );
        assert_eq!(
            key(json!({"id": 7})),
            None,
            "without all of it nothing is taken for a duplicate"
        );
    }

    #[test]
    fn deletes_merges_and_new_keys() {
        let ids = "{object: person, id: id, op: {at: op, map: {gone: delete, joined: merge, moved: rekey, noise: ignore, '*': refetch}}, \
             merge: {winner: \"{{ e.new | default(e.main) }}\", losers: \"{{ e.old + [e.main] }}\"}, rekey: {from: was, to: id}}";
        let id = |id: &str| Subject::Id(id.into());
        check(ids, &json!({"id": 7, "op": "edited"}), id("7"), Act::Refetch);
        check(ids, &json!({"id": "7"}), id("7"), Act::Refetch);
        check(ids, &json!({"id": 7, "op": "gone"}), id("7"), Act::Delete);
        check(ids, &json!({"id": 7, "op": "noise"}), id("7"), Act::Ignore);
        let merge = |winner: &str, losers: &[&str]| Act::Merge {
            winner: winner.into(),
            losers: losers.iter().map(|loser| (*loser).into()).collect(),
        };
        check(
            ids,
            &json!({"op": "joined", "main": 1, "old": [2]}),
            id("1"),
            merge("1", &["2"]),
        );
        check(
            ids,
            &json!({"op": "joined", "main": 1, "old": [2], "new": 3}),
            id("3"),
            merge("3", &["2", "1"]),
        );
        let rekey = Act::Rekey {
            from: "6".into(),
            to: "7".into(),
        };
        check(ids, &json!({"id": 7, "op": "moved", "was": 6}), id("7"), rekey);
        let when = "{object: person, id: id, op: {at: op, map: {gone: delete, '*': refetch}}, merge: {when: e.into, winner: into, losers: id}}";
        check(
            when,
            &json!({"id": 2, "op": "gone", "into": 1}),
            id("1"),
            merge("1", &["2"]),
        );
        check(
            when,
            &json!({"id": 2, "op": "gone", "into": null}),
            id("2"),
            Act::Delete,
        );
    }

    #[test]
    fn forms_objects_and_arrays() {
        let body = "type=upemail&fired_at=2009-03-26+21%3A31%3A21&data[old_email]=a@b.c&data[new_email]=d@b.c&data[merges][FNAME]=M%C3%BC&ids[]=1&ids[]=2";
        let wanted = json!({"type": "upemail", "fired_at": "2009-03-26 21:31:21",
            "data": {"old_email": "a@b.c", "new_email": "d@b.c", "merges": {"FNAME": "Mü"}}, "ids": ["1", "2"]});
        assert_eq!(form(body.as_bytes()), wanted);
        let by = "{decode: form, rows: one, object: member, match: {email: 'data[email]'}, at: {from: fired_at, format: '%Y-%m-%d %H:%M:%S', zone: UTC}, \
            op: {at: type, map: {upemail: rekey, '*': refetch}}, rekey: {from: 'data[old_email]', to: 'data[new_email]'}}";
        let to = Subject::Match("email".into(), "d@b.c".into());
        check(
            by,
            &wanted,
            to,
            Act::Rekey {
                from: "a@b.c".into(),
                to: "d@b.c".into(),
            },
        );
        let list = events("{rows: '.', object: person, id: id}");
        assert_eq!(list.split(br#"[{"id":1},{"id":2}]"#).unwrap().len(), 2);
        assert_eq!(list.split(br#"{"id":1}"#).unwrap().len(), 1);
        assert!(list.split(b"<html>").unwrap_err().starts_with("no JSON"));
        let deep = events("{rows: entries, object: person, id: id}");
        assert_eq!(deep.split(br#"{"entries":[]}"#).unwrap().len(), 0);
        assert!(
            deep.split(br#"{"rows":[]}"#).is_err(),
            "a body without the list is not an empty one"
        );
    }
}
