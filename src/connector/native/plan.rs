//! Prepares operations: which of them may go side by side, and what each is called in expressions. Pure.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use serde_json::{Value as Json, json};

use super::Stream;
use crate::connector::classify::text_of;
use crate::manifest::{Context, Op};
use crate::model::{FieldName, Operation, Value, WriteAction};

/// One operation on its way.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its place in the caller's list.
    pub(super) index: usize,
    pub(super) operation: Operation,
    /// What the manifest calls `remote`.
    pub(super) remote: Json,
    /// It was sent to another object than planned, once: it is not sent on again.
    pub(super) is_redirected: bool,
}

impl Entry {
    /// The id of the object to write to; none for a create.
    pub(super) fn id(&self) -> Option<&CompactString> {
        match &self.operation.action {
            WriteAction::Create => None,
            WriteAction::Update(id) | WriteAction::Delete(id) => Some(id),
        }
    }

    /// The value a field has or will have, to address the object by.
    pub(super) fn value(&self, by: &str) -> Option<Value> {
        if by == "key" {
            return Some(Value::Text(self.operation.key.to_string().into()));
        }
        let new = self.operation.fields.get(by).and_then(Option::as_ref);
        new.or_else(|| self.operation.known.value(by)).cloned()
    }

    /// What addresses the object in a request (`key`): the first of `by` that is known.
    pub(super) fn key(&self, stream: &Stream, op: &Op) -> Option<Json> {
        if op.by.is_empty() {
            return Some(self.id().map_or(Json::Null, |id| Json::from(id.as_str())));
        }
        op.by.iter().find_map(|by| {
            if by == "id" {
                return self.id().map(|id| Json::from(id.as_str()));
            }
            if stream.object.key_field().is_some_and(|key| key.as_str() == by) {
                return Some(Json::from(self.operation.key.to_string()));
            }
            // An object is addressed by what it is known under; a new value is only a name for a new object.
            let known = self.operation.known.value(by).cloned();
            let value = if self.id().is_some() {
                known.or_else(|| self.value(by))
            } else {
                self.value(by)
            };
            value
                .map(|value| stream.mapper.value_out(by, &value))
                .filter(|key| !text_of(key).is_empty())
        })
    }

    /// The names of one operation over those of the call, as far as `is_used`.
    pub(super) fn names(
        &self,
        stream: &Stream,
        op: &Op,
        mut names: Context,
        is_used: impl Fn(&str) -> bool,
    ) -> Context {
        let mut set = |name: &str, value: &dyn Fn() -> Json| {
            if is_used(name) {
                names.set(name, &value());
            }
        };
        set("key", &|| self.key(stream, op).unwrap_or(Json::Null));
        set("id", &|| self.id().map_or(Json::Null, |id| Json::from(id.as_str())));
        set("version", &|| {
            self.operation
                .version
                .as_ref()
                .map_or(Json::Null, |version| Json::from(version.as_str()))
        });
        set("op_id", &|| Json::from(self.operation.id.as_str()));
        set("remote", &|| self.remote.clone());
        set("known", &|| stream.mapper.known(&self.operation));
        set("match", &|| stream.mapper.wanted(&self.operation));
        set("customer", &|| Json::from(self.operation.key.to_string()));
        names
    }

    /// Everything that must not stand twice in one batch: the object's id, and each value it can be found by.
    fn marks(&self, match_by: &[FieldName]) -> BTreeSet<String> {
        let values = match_by
            .iter()
            .filter_map(|by| Some((by.as_str(), self.value(by.as_str())?)));
        let values = values.map(|(by, value)| format!("{by}={}", value.to_string().to_lowercase()));
        values.chain(self.id().map(|id| format!("id={id}"))).collect()
    }
}

/// Splits operations into waves: within one no two are about the same object, and the order per object is kept.
pub(super) fn waves(entries: Vec<Entry>, match_by: &[FieldName]) -> Vec<Vec<Entry>> {
    let mut latest: BTreeMap<String, usize> = BTreeMap::new();
    let mut waves: Vec<Vec<Entry>> = Vec::new();
    for entry in entries {
        let marks = entry.marks(match_by);
        let wave = marks
            .iter()
            .filter_map(|mark| latest.get(mark))
            .max()
            .map_or(0, |wave| wave + 1);
        latest.extend(marks.into_iter().map(|mark| (mark, wave)));
        if waves.len() <= wave {
            waves.resize_with(wave + 1, Vec::new);
        }
        if let Some(members) = waves.get_mut(wave) {
            members.push(entry);
        }
    }
    waves
}

/// A call that carries some operations.
#[derive(Clone, Debug)]
pub(super) struct Batch<'a> {
    pub(super) verb: Verb,
    pub(super) op: &'a Op,
    pub(super) entries: Vec<Entry>,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Update,
    Upsert,
    Delete,
    Erase,
    Consent,
}

impl Verb {
    /// The word limits use.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
            Self::Erase => "erase",
            Self::Consent => "consent",
        }
    }
}

/// Gives operations to the first way to write that can address them and whose condition holds; the rest comes back.
pub(super) fn route<'a>(
    stream: &Stream,
    verb: Verb,
    ops: &'a [Op],
    mut entries: Vec<Entry>,
    names: &Context,
) -> (Vec<Batch<'a>>, Vec<Entry>) {
    let mut batches = Vec::new();
    for op in ops {
        let (fit, rest): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.key(stream, op).is_some());
        let names = names.clone().with("ops", &Json::from(fit.len()));
        if fit.is_empty() || !op.condition.as_ref().is_none_or(|condition| condition.holds(&names)) {
            entries = [fit, rest].concat();
            entries.sort_by_key(|entry| entry.index);
            continue;
        }
        for chunk in fit.chunks(op.max.max(1)) {
            batches.push(Batch {
                verb,
                op,
                entries: chunk.to_vec(),
            });
        }
        entries = rest;
    }
    (batches, entries)
}

/// The names of a whole call.
pub(super) fn call_names(stream: &Stream, batch: &Batch<'_>, mut names: Context) -> Context {
    let keys: Vec<Json> = batch
        .entries
        .iter()
        .filter_map(|entry| entry.key(stream, batch.op))
        .collect();
    names.set("ops", &json!(batch.entries.len()));
    names.set("keys", &Json::Array(keys));
    names.set("fields", &stream.fields);
    match batch.entries.as_slice() {
        [one] => one.names(stream, batch.op, names, |_| true),
        _ => names,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{CustomerKey, Fields, Kind};

    fn entry(index: usize, action: WriteAction, email: &str) -> Entry {
        let operation = Operation {
            id: format!("op{index}").into(),
            action,
            fields: Fields::from([("email", Value::Text(email.into()))]).0,
            known: Fields::default(),
            version: None,
            key: CustomerKey {
                id: Uuid::from_u128(index as u128),
                kind: Kind::Person,
            },
        };
        Entry {
            index,
            operation,
            remote: Json::Null,
            is_redirected: false,
        }
    }

    #[test]
    fn h1_1_two_operations_with_one_key_never_share_a_batch() {
        let entries = vec![
            entry(0, WriteAction::Create, "a@b.c"),
            entry(1, WriteAction::Create, "x@b.c"),
            entry(2, WriteAction::Create, "A@b.c"),
            entry(3, WriteAction::Update("7".into()), "y@b.c"),
            entry(4, WriteAction::Update("7".into()), "a@b.c"),
        ];
        let waves = waves(entries, &[FieldName::from("email")]);
        let indexes: Vec<Vec<usize>> = waves
            .iter()
            .map(|wave| wave.iter().map(|entry| entry.index).collect())
            .collect();
        assert_eq!(indexes, [vec![0, 1, 3], vec![2], vec![4]]);
    }
}
