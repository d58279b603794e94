//! Every class of failure has exactly one behaviour; here each of them is held to it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::ledger::Target;
use crate::merge::{Create, Role, StreamRules, SystemRules};
use crate::model::{Customer, FieldSpec, Fields, Kind, Observed, StreamId, StreamSpec, Value, Wanted};

const NOW: UnixMillis = UnixMillis(1_000_000);

fn key(number: u128) -> CustomerKey {
    CustomerKey {
        id: Uuid::from_u128(number),
        kind: Kind::Person,
    }
}

fn stream() -> StreamId {
    StreamId::new("crm", "person")
}

fn rules() -> Rules {
    let spec = StreamSpec {
        fields: [("email", FieldSpec::default()), ("phone", FieldSpec::default())]
            .map(|(name, spec)| (name.into(), spec))
            .into(),
        match_by: vec!["email".into()],
        can_create: true,
        can_update: true,
        batch_max: 10,
        ..StreamSpec::default()
    };
    let there = StreamRules {
        spec: spec.clone(),
        create: Create::Always,
        qualified_by: Vec::new(),
        write: true,
        ..StreamRules::default()
    };
    let system = |role| SystemRules {
        role,
        brake: crate::merge::Brake::default(),
        streams: [("person".into(), there.clone())].into(),
    };
    Rules {
        systems: [
            ("crm".into(), system(Role::Sales)),
            ("hub".into(), system(Role::Marketing)),
        ]
        .into(),
        ..Rules::default()
    }
}

fn record(id: RecordId, fields: &[(&str, &str)]) -> Record {
    let mut record = Record::new(id, UnixMillis(1));
    record.observed = Observed::all_at(UnixMillis(1));
    for (name, value) in fields {
        record.fields.set(*name, Value::Text((*value).into()));
    }
    record
}

/// A customer known from `hub`; `crm` is to get an object (`slot` New) or a phone (`slot` Object).
fn case(slot: Slot, attempts: u32) -> (View, Write) {
    let hub = record(
        StreamId::new("hub", "person").record("h1"),
        &[("email", "a@example.com"), ("phone", "+358401234561")],
    );
    let customer = Customer {
        key: key(1),
        golden: Fields::default(),
        lineage: BTreeMap::new(),
        version: 3,
        merged_into: None,
    };
    let wanted = |value: &str| Wanted {
        value: Value::text(value),
        placeholder: false,
    };
    let mut view = View {
        customers: [(key(1), customer)].into(),
        ..View::default()
    };
    view.records.insert(hub.id.clone(), (hub, key(1)));
    let mut fields: BTreeMap<_, _> = [("phone".into(), wanted("+358401234561"))].into();
    match &slot {
        Slot::Object(remote) => {
            let there = record(stream().record(remote.clone()), &[("email", "a@example.com")]);
            view.records.insert(there.id.clone(), (there, key(1)));
        }
        Slot::New(_) => {
            fields.insert("email".into(), wanted("a@example.com"));
        }
    }
    let write = Write {
        target: Target { stream: stream(), slot },
        customer: key(1),
        fields,
        generation: 2,
        due_at: UnixMillis(5),
        attempts,
        problem: None,
        state: WriteState::Leased,
        operation: "op".into(),
        is_uncertain: false,
        run: None,
        removes_at: None,
    };
    view.writes.insert(write.target.clone(), write.clone());
    (view, write)
}

fn failure(class: Class) -> Failure {
    Failure::new(class, Problem::new(Code::ToolError, "no"))
}

fn settled(slot: Slot, attempts: u32, outcome: Outcome) -> (Commit, Aftermath) {
    let (view, write) = case(slot, attempts);
    let rules = rules();
    settle(view, &[(write, outcome)], &rules, &Survivorship::new(&rules), NOW)
}

fn object() -> Slot {
    Slot::Object("c1".into())
}

/// The row as it is left in the outbox: state, due time, attempts. `None` when it is gone.
fn row(commit: &Commit) -> Option<(WriteState, i64, u32)> {
    let mut left = None;
    for change in &commit.writes {
        match change {
            WriteChange::Put(row) | WriteChange::Settle(row) => left = Some((row.state, row.due_at.0, row.attempts)),
            WriteChange::Remove(_) | WriteChange::RemoveGeneration(..) => left = None,
        }
    }
    left
}

#[track_caller]
fn check(class: Class, expected: Option<(WriteState, i64, u32)>) {
    let (commit, _) = settled(object(), 1, Err(failure(class)));
    assert_eq!(row(&commit), expected, "{class:?}");
}

#[test]
fn every_class_has_one_behaviour() {
    check(Class::Throttle, Some((WriteState::Due, NOW.0 + 10_000, 0)));
    check(Class::Quota, Some((WriteState::Due, NOW.0 + 3_600_000, 0)));
    check(Class::Auth, Some((WriteState::Due, NOW.0 + 300_000, 0)));
    check(Class::Forbidden, Some((WriteState::Due, NOW.0 + 300_000, 0)));
    check(Class::Transient, Some((WriteState::Due, NOW.0 + 1_000, 1)));
    check(Class::Conflict, Some((WriteState::Due, NOW.0, 1)));
    check(Class::Invalid, Some((WriteState::Dead, 5, 1)));
    check(Class::Compliance, Some((WriteState::Dead, 5, 1)));
    check(Class::Exists, Some((WriteState::Due, NOW.0 + 1_000, 1)));
    check(Class::Merged, Some((WriteState::Due, NOW.0 + 1_000, 1)));
    check(Class::Gone, None);
    check(Class::Ignore, None);
}

#[test]
fn a_parking_class_parks_the_stream() {
    let (_, aftermath) = settled(object(), 1, Err(failure(Class::Quota)));
    assert_eq!(
        aftermath.parked.map(|(until, _)| until),
        Some(NOW.plus(Duration::from_hours(1)))
    );
    let (_, aftermath) = settled(object(), 1, Err(failure(Class::Invalid)));
    assert_eq!((aftermath.parked, aftermath.dead), (None, 1));
}

#[test]
fn tries_end_and_the_last_problem_is_kept() {
    let (commit, _) = settled(object(), 9, Err(failure(Class::Transient)));
    assert_eq!(row(&commit).map(|(state, ..)| state), Some(WriteState::Dead));
    let died = commit.changes.iter().find_map(|change| match &change.what {
        What::Died(problem) => Some(problem),
        _ => None,
    });
    assert!(died.is_some_and(|problem| problem.code == Code::WriteExhausted && problem.message.contains("no")));
}

#[test]
fn what_was_written_is_ours_and_the_row_is_gone() {
    let done = Done {
        remote: "c1".into(),
        updated_at: Some(UnixMillis(7)),
        version: None,
        created: false,
        unkept: BTreeMap::new(),
    };
    let (commit, aftermath) = settled(object(), 1, Ok(done));
    assert_eq!((aftermath.done, aftermath.created), (1, 0));
    assert_eq!(row(&commit), None);
    let (record, home) = commit
        .records
        .iter()
        .find(|(record, _)| record.id.remote == "c1")
        .unwrap();
    assert_eq!((record.fields.text("phone"), *home), (Some("+358401234561"), key(1)));
    assert!(!record.asserts("phone") && record.asserts("email"));
    assert_eq!((record.written_at, record.updated_at), (Some(NOW), Some(UnixMillis(7))));
}

#[test]
fn p18_a_made_object_is_in_the_crosswalk_with_its_acknowledgement() {
    let done = Done {
        remote: "c9".into(),
        updated_at: None,
        version: None,
        created: true,
        unkept: BTreeMap::new(),
    };
    let (commit, aftermath) = settled(Slot::New(key(1)), 1, Ok(done));
    assert_eq!(aftermath.created, 1);
    assert!(
        commit
            .records
            .iter()
            .any(|(record, home)| record.id.remote == "c9" && *home == key(1))
    );
    assert_eq!(row(&commit), None, "neither the create nor an update is left");
}

#[test]
fn p13_each_row_of_a_batch_stands_for_itself() {
    let (mut view, good) = case(object(), 1);
    let (other, bad) = case(Slot::Object("c2".into()), 1);
    view.records.extend(other.records);
    view.writes.extend(other.writes);
    let done = Done {
        remote: "c1".into(),
        updated_at: None,
        version: None,
        created: false,
        unkept: BTreeMap::new(),
    };
    let rules = rules();
    let answers = [(good, Ok(done)), (bad, Err(failure(Class::Invalid)))];
    let (commit, aftermath) = settle(view, &answers, &rules, &Survivorship::new(&rules), NOW);
    assert_eq!((aftermath.done, aftermath.dead), (1, 1));
    let dead = commit.writes.iter().any(|change| {
        matches!(change, WriteChange::Settle(row) if row.state == WriteState::Dead && row.target.slot == Slot::Object("c2".into()))
    });
    assert!(dead);
    let failed = commit.records.iter().find(|(record, _)| record.id.remote == "c2");
    assert!(
        failed.is_none_or(|(record, _)| record.fields.text("phone").is_none()),
        "not taken as written"
    );
}

#[test]
fn p26_an_echo_is_suppressed_by_field_not_by_record() {
    // While the phone was on its way, the golden e-mail changed: the acknowledgement ends the phone, not the e-mail.
    let (mut view, write) = case(object(), 1);
    let hub = StreamId::new("hub", "person").record("h1");
    view.records
        .get_mut(&hub)
        .unwrap()
        .0
        .fields
        .set("phone", Value::Text("+358401234562".into()));
    let golden = &mut view.customers.get_mut(&key(1)).unwrap().golden;
    golden.set("phone", Value::Text("+358401234562".into()));
    let done = Done {
        remote: "c1".into(),
        updated_at: None,
        version: None,
        created: false,
        unkept: BTreeMap::new(),
    };
    let rules = rules();
    let (commit, _) = settle(view, &[(write, Ok(done))], &rules, &Survivorship::new(&rules), NOW);
    let next = commit.writes.iter().find_map(|change| match change {
        WriteChange::Put(row) => Some(row.fields["phone"].value.clone()),
        _ => None,
    });
    assert_eq!(next, Some(Value::text("+358401234562")));
}

#[test]
fn an_object_of_somebody_else_is_never_taken() {
    let (mut view, write) = case(Slot::New(key(1)), 1);
    let theirs = record(stream().record("c7"), &[("email", "b@example.com")]);
    view.records.insert(theirs.id.clone(), (theirs, key(2)));
    let done = Done {
        remote: "c7".into(),
        updated_at: None,
        version: None,
        created: false,
        unkept: BTreeMap::new(),
    };
    let rules = rules();
    let (commit, aftermath) = settle(view, &[(write, Ok(done))], &rules, &Survivorship::new(&rules), NOW);
    assert_eq!((aftermath.done, aftermath.dead), (0, 1));
    assert!(commit.records.iter().all(|(record, _)| record.id.remote != "c7"));
}

#[test]
fn gone_is_remembered_and_not_made_again() {
    let (commit, _) = settled(object(), 1, Err(failure(Class::Gone)));
    let (record, _) = commit
        .records
        .iter()
        .find(|(record, _)| record.id.remote == "c1")
        .unwrap();
    assert_eq!(record.deleted_at, Some(NOW));
    assert!(
        !commit
            .writes
            .iter()
            .any(|change| matches!(change, WriteChange::Put(row) if row.target.stream == stream()))
    );
}

#[test]
fn an_unclear_create_stays_uncertain_and_a_clear_one_does_not() {
    let unclear = Failure {
        ambiguous: true,
        ..failure(Class::Transient)
    };
    for (failure, expected) in [(unclear, true), (failure(Class::Transient), false)] {
        let (commit, _) = settled(Slot::New(key(1)), 1, Err(failure));
        let uncertain = commit.writes.iter().find_map(|change| match change {
            WriteChange::Settle(row) => Some(row.is_uncertain),
            _ => None,
        });
        assert_eq!(uncertain, Some(expected));
    }
}

#[test]
fn p18_what_was_sent_and_not_answered_is_ours_when_it_is_seen_whatever_was_wanted_since() {
    let unclear = Failure {
        ambiguous: true,
        ..failure(Class::Transient)
    };
    let sent = Value::text("+358401234561");
    for (failure, is_ours) in [(unclear, true), (failure(Class::Transient), false)] {
        let (mut view, write) = case(object(), 1);
        let rules = rules();
        let (commit, _) = settle(
            view.clone(),
            &[(write.clone(), Err(failure))],
            &rules,
            &Survivorship::new(&rules),
            NOW,
        );
        let id = stream().record("c1");
        view.records.extend(
            commit
                .records
                .into_iter()
                .map(|(record, home)| (record.id.clone(), (record, home))),
        );
        let incoming = crate::model::Incoming {
            remote: "c1".into(),
            fields: Fields([("phone".into(), sent.clone())].into()),
            updated_at: Some(UnixMillis(NOW.0 + 5)),
            version: None,
            deleted: false,
            key: None,
            problem: None,
            joined: None,
        };
        let known = &view.records[&id].0;
        let seen = crate::merge::observe(Some(known), &id, &incoming, UnixMillis(NOW.0 + 9)).unwrap();
        assert_eq!(seen.record.asserts("phone"), !is_ours);
        assert_eq!(seen.fields.is_empty(), is_ours);
        assert_eq!(seen.record.fields.text("phone"), Some("+358401234561"));
        // A later write that arrived ends the doubt.
        let done = Done {
            remote: "c1".into(),
            updated_at: None,
            version: None,
            created: false,
            unkept: BTreeMap::new(),
        };
        let (commit, _) = settle(view, &[(write, Ok(done))], &rules, &Survivorship::new(&rules), NOW);
        assert!(commit.records.iter().all(|(record, _)| record.sent.is_empty()));
    }
}
