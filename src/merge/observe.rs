//! What a freshly read object says that its record did not say yet.
//!
//! Here echoes die: a value that Nivel itself wrote and now sees again is not a change, whatever the object's time stamp
//! says. Comparison is by field and by value, never by time or by "who did it", so it also works when the tool's
//! automations act under Nivel's own account.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::name;
use crate::model::{Bounce, FieldName, Freeze, Incoming, Observed, Ours, Record, RecordId, UnixMillis, Value};

/// A field's value before and after; `None` is "no value".
pub type FieldChange = (Option<Value>, Option<Value>);

/// How long the loop breaker remembers.
const BOUNCE_MEMORY: Duration = Duration::from_hours(24);

/// By how much two times of one tool for the same moment may differ.
const CUT_TO_SECONDS: Duration = Duration::from_secs(2);

/// No tool's list shows an object for longer than this after it was deleted.
const INDEX_LATE_MAX: Duration = Duration::from_mins(15);

/// What an object newly says.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The record as it is now.
    pub record: Record,
    /// The object was not known before.
    pub appeared: bool,
    /// It is gone now and was not before.
    pub deleted: bool,
    /// It was gone and is back.
    pub restored: bool,
    /// Fields that changed.
    pub fields: BTreeMap<FieldName, FieldChange>,
    /// Of these, the ones that changed once too often: the loop breaker froze them.
    pub frozen: BTreeSet<FieldName>,
}

/// Compares an object, as a page asked for at `asked_at` returned it, with its record. `None`: it says nothing new.
#[must_use]
pub fn observe(old: Option<&Record>, id: &RecordId, incoming: &Incoming, asked_at: UnixMillis) -> Option<Seen> {
    let Some(old) = old else {
        return Some(first_seen(id, incoming, asked_at));
    };
    if is_old_news(old, incoming, asked_at) {
        return None;
    }
    let came_before_deletion = old.deleted_at.is_some_and(|gone| asked_at < gone);
    let mut seen = Seen {
        record: old.clone(),
        appeared: false,
        deleted: incoming.deleted && old.deleted_at.is_none(),
        restored: !incoming.deleted && old.deleted_at.is_some() && !came_before_deletion,
        fields: BTreeMap::new(),
        frozen: BTreeSet::new(),
    };
    if seen.deleted {
        seen.record.deleted_at = Some(incoming.updated_at.unwrap_or(asked_at));
    } else if seen.restored {
        seen.record.deleted_at = None;
    }
    if !incoming.deleted {
        note_defaults(&mut seen.record, incoming, asked_at);
        take_fields(&mut seen, incoming, asked_at);
        if name::settle_echo(old, &mut seen.record) {
            seen.fields.retain(|field, _| !name::is_part(field.as_str()));
        }
    }
    let has_news = seen.record.is_unread != old.is_unread
        || seen.record.fields != old.fields
        || seen.deleted
        || seen.restored
        || !seen.fields.is_empty()
        || seen.record.problem != incoming.problem;
    seen.record.problem.clone_from(&incoming.problem);
    seen.record.updated_at = incoming.updated_at.or(old.updated_at);
    seen.record.version = incoming.version.clone().or_else(|| old.version.clone());
    has_news.then_some(seen)
}

/// True when the record says something newer already.
fn is_old_news(old: &Record, incoming: &Incoming, asked_at: UnixMillis) -> bool {
    let (Some(known), Some(now)) = (old.updated_at, incoming.updated_at) else {
        return false;
    };
    if now >= known {
        return false;
    }
    match (incoming.deleted, old.deleted_at) {
        // It was seen alive later. Times of deletions may be cut to seconds.
        (true, _) => known.since(now) > CUT_TO_SECONDS,
        // What is there long after it was deleted was brought back, whatever its own time says.
        (false, Some(gone)) => asked_at.since(gone) <= INDEX_LATE_MAX,
        (false, None) => true,
    }
}

fn first_seen(id: &RecordId, incoming: &Incoming, asked_at: UnixMillis) -> Seen {
    let at = incoming.updated_at.unwrap_or(asked_at);
    let mut record = Record::new(id.clone(), at);
    record.observed = Observed::all_at(at);
    // A field that was never filled is absent; only one that was emptied is kept as empty.
    record.fields.0.extend(
        incoming
            .fields
            .0
            .iter()
            .filter(|(_, value)| value.is_some())
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    record.updated_at = incoming.updated_at;
    record.version.clone_from(&incoming.version);
    record.deleted_at = incoming.deleted.then_some(at);
    record.problem.clone_from(&incoming.problem);
    Seen {
        record,
        appeared: true,
        deleted: false,
        restored: false,
        fields: BTreeMap::new(),
        frozen: BTreeSet::new(),
    }
}

/// The first look at an object that Nivel made: what the tool filled in by itself is remembered as its own stand-in.
fn note_defaults(record: &mut Record, incoming: &Incoming, asked_at: UnixMillis) {
    if !record.is_unread || record.written_at.is_some_and(|written| written >= asked_at) {
        return;
    }
    record.is_unread = false;
    // The other shape of the name that was written is no stand-in; it is known as ours by `settle_echo`.
    let same_name = name::same(&record.fields, &incoming.fields);
    for (name, value) in &incoming.fields.0 {
        if same_name && name::is_part(name.as_str()) {
            continue;
        }
        let is_default = value.is_some() && !record.fields.0.contains_key(name) && !record.ours.contains_key(name);
        // Names that begin with `_` are the connector's own bookkeeping.
        if is_default && !name.as_str().starts_with('_') {
            record.ours.insert(
                name.clone(),
                Ours {
                    value: value.clone(),
                    placeholder: true,
                    own: None,
                },
            );
        }
    }
}

fn take_fields(seen: &mut Seen, incoming: &Incoming, asked_at: UnixMillis) {
    let moved = match (seen.record.updated_at, incoming.updated_at) {
        (Some(known), Some(now)) => now > known,
        (_, now) => now.is_some(),
    };
    // A value that changed although the object's time did not move (changes in child records) changed by the time we asked.
    let at = if moved {
        incoming.updated_at.unwrap_or(asked_at)
    } else {
        asked_at
    };
    for (name, value) in &incoming.fields.0 {
        take_field(seen, name, value.as_ref(), at, asked_at);
    }
}

fn take_field(seen: &mut Seen, name: &FieldName, value: Option<&Value>, at: UnixMillis, asked_at: UnixMillis) {
    let record = &mut seen.record;
    let ours = record.ours.get(name.as_str());
    // The page may have been asked for before our write arrived: it says nothing about what we wrote.
    if ours.is_some() && record.written_at.is_some_and(|written| written >= asked_at) {
        return;
    }
    if ours.is_some_and(|ours| ours.placeholder && ours.value.as_ref() == value) {
        return;
    }
    let known = record.fields.value(name.as_str());
    if known == value {
        return;
    }
    // Sent, and the answer was lost.
    if let Some(sent) = record.sent_as(name, value).cloned() {
        return record.take_ours(name, &sent, at);
    }
    let change = (known.cloned(), value.cloned());
    if record.ours.remove(name.as_str()).is_some() && note_bounce(record, name, at) {
        seen.frozen.insert(name.clone());
    }
    record.fields.0.insert(name.clone(), value.cloned());
    record.observed.set(name, at);
    seen.fields.insert(name.clone(), change);
}

/// Counts; true when it was once too often.
fn note_bounce(record: &mut Record, name: &FieldName, at: UnixMillis) -> bool {
    let first = Bounce {
        count: 0,
        since: at,
        why: Freeze::Loop,
    };
    let bounce = record.bounces.entry(name.clone()).or_insert(first);
    // What is frozen stays so until somebody releases it.
    if bounce.is_frozen() {
        return false;
    }
    if at.since(bounce.since) > BOUNCE_MEMORY {
        *bounce = first;
    }
    bounce.count += 1;
    bounce.is_frozen()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Fields, StreamId};

    fn incoming(phone: Option<&str>, updated: i64) -> Incoming {
        Incoming {
            remote: "1".into(),
            fields: Fields([("phone".into(), phone.and_then(Value::text))].into()),
            updated_at: Some(UnixMillis(updated)),
            version: None,
            deleted: false,
            key: None,
            problem: None,
            joined: None,
        }
    }

    fn id() -> RecordId {
        StreamId::new("crm", "person").record("1")
    }

    fn known(phone: &str, updated: i64) -> Record {
        observe(None, &id(), &incoming(Some(phone), updated), UnixMillis(updated))
            .unwrap()
            .record
    }

    fn ours(mut record: Record, value: &str, placeholder: bool) -> Record {
        record.ours.insert(
            "phone".into(),
            Ours {
                value: Value::text(value),
                placeholder,
                own: None,
            },
        );
        record.written_at = Some(UnixMillis(10));
        record
    }

    #[test]
    fn p23_a_value_we_wrote_is_no_change_even_when_the_time_moved() {
        let record = ours(known("1", 5), "1", false);
        assert_eq!(
            observe(Some(&record), &id(), &incoming(Some("1"), 99), UnixMillis(100)),
            None
        );
    }

    #[test]
    fn p25_only_the_field_that_differs_from_what_we_wrote_counts() {
        let mut record = ours(known("1", 5), "1", false);
        record.fields.set("company", Value::Text("Acme".into()));
        let mut page = incoming(Some("1"), 99);
        page.fields.set("company", Value::Text("Globex".into()));
        let seen = observe(Some(&record), &id(), &page, UnixMillis(100)).unwrap();
        assert_eq!(
            seen.fields.keys().map(FieldName::as_str).collect::<Vec<_>>(),
            ["company"]
        );
        assert!(!seen.record.asserts("phone") && seen.record.asserts("company"));
    }

    #[test]
    fn p27_a_placeholder_never_comes_back_as_data() {
        let mut record = ours(known("1", 5), "Unknown", true);
        record.fields.0.clear();
        assert_eq!(
            observe(Some(&record), &id(), &incoming(Some("Unknown"), 99), UnixMillis(100)),
            None
        );
        let seen = observe(Some(&record), &id(), &incoming(Some("2"), 99), UnixMillis(100)).unwrap();
        assert_eq!(seen.record.fields.text("phone"), Some("2"));
    }

    #[test]
    fn p27_what_a_tool_fills_in_by_itself_is_no_data() {
        let mut record = ours(known("1", 5), "1", false);
        record.is_unread = true;
        let mut page = incoming(Some("1"), 99);
        page.fields.set("locale", Value::Text("en-US".into()));
        let seen = observe(Some(&record), &id(), &page, UnixMillis(100)).unwrap();
        assert!(seen.fields.is_empty() && seen.record.fields.value("locale").is_none() && !seen.record.is_unread);
        page.fields.set("locale", Value::Text("fi".into()));
        let seen = observe(Some(&seen.record), &id(), &page, UnixMillis(101)).unwrap();
        assert_eq!(seen.record.fields.text("locale"), Some("fi"), "a person changed it");
    }

    #[test]
    fn a_tool_that_splits_the_name_we_wrote_says_nothing_new() {
        let mut record = known("1", 5);
        record.fields.set("full_name", Value::Text("Elli Korhonen".into()));
        record.fields.set("given_name", Value::Text("Elisabet".into()));
        record.fields.set("family_name", Value::Text("Korhonen".into()));
        name::settle_written(&mut record, |part| part == "full_name");
        let mut page = incoming(Some("1"), 99);
        for (part, text) in [
            ("full_name", "Elli Korhonen"),
            ("given_name", "Elli"),
            ("family_name", "Korhonen"),
        ] {
            page.fields.set(part, Value::Text(text.into()));
        }
        let seen = observe(Some(&record), &id(), &page, UnixMillis(100)).unwrap();
        assert!(seen.fields.is_empty(), "{:?}", seen.fields);
        assert!(!seen.record.asserts("given_name") && !seen.record.asserts("full_name"));
        page.fields.set("given_name", Value::Text("Ella".into()));
        let seen = observe(Some(&seen.record), &id(), &page, UnixMillis(101)).unwrap();
        assert!(seen.record.asserts("given_name"), "a person changed it");
    }

    #[test]
    fn p25_one_part_of_a_name_that_nivel_made_is_changed_and_the_name_is_still_whole() {
        let mut record = Record::new(id(), UnixMillis(5));
        record.fields.set("full_name", Value::Text("Bo Li".into()));
        name::settle_written(&mut record, |part| part == "full_name");
        record.is_unread = true;
        let page = |full: &str, family: &str| {
            let mut page = incoming(None, 99);
            page.fields.set("full_name", Value::Text(full.into()));
            page.fields.set("given_name", Value::Text("Bo".into()));
            page.fields.set("family_name", Value::Text(family.into()));
            page
        };
        let made = observe(Some(&record), &id(), &page("Bo Li", "Li"), UnixMillis(100)).unwrap();
        assert!(made.fields.is_empty(), "{:?}", made.fields);
        let seen = observe(Some(&made.record), &id(), &page("Bo Lima", "Lima"), UnixMillis(101)).unwrap();
        assert_eq!(name::full(&seen.record.fields).as_deref(), Some("Bo Lima"));
        assert!(seen.record.asserts("full_name"), "a person changed it");
    }

    #[test]
    fn parts_made_of_the_name_we_wrote_are_no_word_of_the_tool() {
        let mut record = known("1", 5);
        record.fields.set("full_name", Value::Text("Elli Korhonen".into()));
        name::settle_written(&mut record, |part| part == "full_name");
        record.ours.entry("full_name".into()).and_modify(|ours| ours.own = None);
        let mut page = incoming(Some("1"), 99);
        for (part, text) in [
            ("full_name", "Elli Korhonen"),
            ("given_name", "Elli"),
            ("family_name", "Korhonen"),
        ] {
            page.fields.set(part, Value::Text(text.into()));
        }
        let seen = observe(Some(&record), &id(), &page, UnixMillis(100)).unwrap();
        for part in ["full_name", "given_name", "family_name"] {
            assert_eq!(seen.record.own_word(part), None, "{part}");
        }
    }

    #[test]
    fn a_page_asked_for_before_our_write_says_nothing_about_it() {
        let record = ours(known("2", 5), "2", false);
        assert_eq!(
            observe(Some(&record), &id(), &incoming(Some("1"), 9), UnixMillis(10)),
            None
        );
        assert!(observe(Some(&record), &id(), &incoming(Some("1"), 11), UnixMillis(12)).is_some());
    }

    #[test]
    fn p36_an_older_version_is_ignored_and_a_tie_goes_to_the_last_fetched() {
        let record = known("2", 50);
        assert_eq!(
            observe(Some(&record), &id(), &incoming(Some("1"), 49), UnixMillis(100)),
            None
        );
        let seen = observe(Some(&record), &id(), &incoming(Some("1"), 50), UnixMillis(100)).unwrap();
        assert_eq!(seen.record.fields.text("phone"), Some("1"));
        assert_eq!(seen.record.observed.of("phone"), UnixMillis(100));
    }

    #[test]
    fn p48_absent_empty_and_value_are_three_things() {
        let first = observe(None, &id(), &incoming(None, 1), UnixMillis(1)).unwrap().record;
        assert_eq!(first.fields.0.get("phone"), None, "never filled is absent");
        let filled = observe(Some(&first), &id(), &incoming(Some("1"), 2), UnixMillis(2))
            .unwrap()
            .record;
        let cleared = observe(Some(&filled), &id(), &incoming(None, 3), UnixMillis(3)).unwrap();
        assert_eq!(
            cleared.record.fields.0.get("phone"),
            Some(&None),
            "emptied is kept as empty"
        );
        assert_eq!(cleared.fields.values().next(), Some(&(Value::text("1"), None)));
        let mut silent = incoming(None, 4);
        silent.fields.0.clear();
        assert_eq!(
            observe(Some(&filled), &id(), &silent, UnixMillis(4)),
            None,
            "not said changes nothing"
        );
    }

    #[test]
    fn a_field_that_keeps_coming_back_changed_is_counted() {
        let mut record = known("1", 5);
        for round in 1..=3 {
            record.fields.set("phone", Value::Text("9".into()));
            record = ours(record, "9", false);
            record = observe(Some(&record), &id(), &incoming(Some("1"), 20 + round), UnixMillis(50))
                .unwrap()
                .record;
        }
        assert_eq!(record.bounces["phone"].count, 3);
    }

    #[test]
    fn deletion_and_return() {
        let record = known("1", 5);
        let mut gone = incoming(None, 6);
        gone.deleted = true;
        let seen = observe(Some(&record), &id(), &gone, UnixMillis(7)).unwrap();
        assert!(
            seen.deleted && seen.record.fields.text("phone") == Some("1"),
            "what it said is kept"
        );
        assert_eq!(observe(Some(&seen.record), &id(), &gone, UnixMillis(8)), None);
        let back = observe(Some(&seen.record), &id(), &incoming(Some("1"), 9), UnixMillis(9)).unwrap();
        assert!(back.restored && back.record.deleted_at.is_none());
    }

    #[test]
    fn what_is_there_long_after_its_deletion_was_brought_back() {
        let mut gone = incoming(None, 60_000);
        gone.deleted = true;
        let seen = observe(Some(&known("1", 5_000)), &id(), &gone, UnixMillis(61_000)).unwrap();
        let there = incoming(Some("1"), 5_000);
        let soon = observe(Some(&seen.record), &id(), &there, UnixMillis(120_000));
        assert_eq!(soon, None, "a late list");
        let late = observe(Some(&seen.record), &id(), &there, UnixMillis(1_000_000)).unwrap();
        assert!(late.restored);
    }

    #[test]
    fn a_deletion_before_a_later_sign_of_life_is_old_news() {
        let record = known("1", 60_000);
        let mut gone = incoming(None, 57_000);
        gone.deleted = true;
        assert_eq!(observe(Some(&record), &id(), &gone, UnixMillis(61_000)), None);
        gone.updated_at = Some(UnixMillis(59_000));
        assert!(
            observe(Some(&record), &id(), &gone, UnixMillis(61_000))
                .unwrap()
                .deleted,
            "cut to seconds"
        );
    }
}
