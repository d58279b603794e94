use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::ledger::{Slot, Target, View};
use crate::merge::{Brake, Create, Refusal, Role, StreamRules, Survivorship, SystemRules, desires, survive};
use crate::model::{Customer, FieldName, FieldSpec, Fields, Kind, Record, StreamSpec, Value};

const NOW: UnixMillis = UnixMillis(1_000_000);

fn key() -> CustomerKey {
    CustomerKey {
        id: uuid::Uuid::from_u128(1),
        kind: Kind::Person,
    }
}

fn stream(system: &str) -> StreamId {
    StreamId::new(system, "person")
}

fn rules(create: Create) -> Rules {
    let field = |name: &str| (FieldName::from(name), FieldSpec::default());
    let stream = StreamRules {
        spec: StreamSpec {
            fields: ["email", "phone", "full_name"].map(field).into(),
            match_by: vec!["email".into()],
            can_create: true,
            can_update: true,
            ..StreamSpec::default()
        },
        create,
        qualified_by: vec!["phone".into()],
        write: true,
        ..StreamRules::default()
    };
    let system = |name: &str| {
        let system = SystemRules {
            role: Role::Sales,
            brake: Brake::default(),
            streams: [("person".into(), stream.clone())].into(),
        };
        (CompactString::from(name), system)
    };
    Rules {
        systems: ["crm", "desk"].map(system).into(),
        ..Rules::default()
    }
}

fn record(system: &str, remote: &str, fields: &[(&'static str, &str)]) -> Record {
    let mut record = Record::new(stream(system).record(remote), UnixMillis(1));
    for (name, value) in fields {
        record.fields.set(*name, Value::Text((*value).into()));
    }
    record
}

/// A view in which all these records are one customer.
fn view(records: Vec<Record>, rules: &Rules) -> View {
    let golden = survive(&records.iter().collect::<Vec<_>>(), &Survivorship::new(rules));
    let customer = Customer {
        key: key(),
        golden: golden.fields,
        lineage: golden.lineage,
        version: 1,
        merged_into: None,
    };
    let mut view = View::default();
    view.customers.insert(key(), customer);
    for record in records {
        view.records.insert(record.id.clone(), (record, key()));
    }
    view
}

fn write(state: WriteState, due_at: i64) -> (Target, Write) {
    let target = Target {
        stream: stream("desk"),
        slot: Slot::New(key()),
    };
    let write = Write {
        target: target.clone(),
        customer: key(),
        fields: BTreeMap::new(),
        generation: 1,
        due_at: UnixMillis(due_at),
        attempts: 1,
        problem: Some(Problem::new(Code::WriteRefused, "no")),
        state,
        operation: "a".into(),
        is_uncertain: false,
        run: None,
        removes_at: None,
    };
    (target, write)
}

fn standing() -> Standing {
    Standing {
        now: NOW,
        is_read: true,
        is_approved: true,
        is_matching: false,
        erased: BTreeSet::new(),
        parked: BTreeMap::new(),
    }
}

fn verdict(view: &View, rules: &Rules, standing: &Standing) -> Verdict {
    let sides = (&[stream("crm")][..], &[stream("desk")][..]);
    classify(&key(), view, rules, sides, standing)
}

#[track_caller]
fn reason(view: &View, rules: &Rules, standing: &Standing) -> Reason {
    match verdict(view, rules, standing) {
        Verdict::Missing(missing) => missing.reason,
        other => panic!("{other:?}"),
    }
}

fn ana() -> Record {
    record("crm", "1", &[("email", "ana@b.fi")])
}

#[test]
fn the_rules_say_why_nobody_is_made() {
    let check = |create, record: Record, word: &str| {
        let rules = rules(create);
        assert_eq!(reason(&view(vec![record], &rules), &rules, &standing()).word(), word);
    };
    check(Create::Never, ana(), "never_made");
    check(Create::Qualified, ana(), "not_qualified");
    check(
        Create::Always,
        record("crm", "1", &[("full_name", "Ana")]),
        "no_identifier",
    );
    // Wanted, and nothing in the outbox.
    check(Create::Always, ana(), "unasked");
    let mut broken = record("crm", "1", &[("full_name", "Ana")]);
    broken.problem = Some(Problem::new(Code::RecordUnmappable, "no"));
    check(Create::Always, broken, "rejected");
}

#[test]
fn a_write_says_how_far_it_is() {
    let rules = rules(Create::Always);
    let with = |state, due_at, standing: &Standing| {
        let mut view = view(vec![ana()], &rules);
        view.writes.extend([write(state, due_at)]);
        reason(&view, &rules, standing)
    };
    assert_eq!(with(WriteState::Leased, 0, &standing()), Reason::OnItsWay);
    assert_eq!(with(WriteState::Dead, 0, &standing()).word(), "dead");
    assert_eq!(with(WriteState::Held, 0, &standing()).word(), "held");
    let because = |reason: Reason| match reason {
        Reason::Waiting { because, until, .. } => (because, until),
        other => panic!("{other:?}"),
    };
    let due = |due_at, standing: &Standing| because(with(WriteState::Due, due_at, standing));
    assert_eq!(due(0, &standing()), (Because::Turn, None));
    let later = NOW.0 + 5;
    assert_eq!(due(later, &standing()), (Because::Retry, Some(UnixMillis(later))));
    let until = UnixMillis(NOW.0 + 9);
    let parked = Standing {
        parked: [(stream("desk"), (until, None))].into(),
        ..standing()
    };
    assert_eq!(due(0, &parked), (Because::Parked, Some(until)));
    let no_yes = Standing {
        is_approved: false,
        ..standing()
    };
    assert_eq!(due(0, &no_yes), (Because::Approval, None));
}

#[test]
fn the_deleted_and_the_doubtful_have_reasons_of_their_own() {
    let rules = rules(Create::Always);
    let mut gone = record("desk", "9", &[("email", "ana@b.fi")]);
    gone.deleted_at = Some(UnixMillis(5));
    let known = view(vec![ana(), gone], &rules);
    assert_eq!(reason(&known, &rules, &standing()).word(), "deleted_there");
    let mut doubtful = view(vec![ana()], &rules);
    doubtful.doubtful.insert(key(), BTreeSet::from([stream("desk")]));
    assert_eq!(reason(&doubtful, &rules, &standing()), Reason::Review);
    let erased = Standing {
        erased: BTreeSet::from([key()]),
        ..standing()
    };
    assert_eq!(reason(&doubtful, &rules, &erased), Reason::Erased);
    let there = view(vec![ana(), record("desk", "9", &[])], &rules);
    assert_eq!(verdict(&there, &rules, &standing()), Verdict::Arrived);
    let elsewhere = view(vec![record("desk", "9", &[])], &rules);
    assert_eq!(verdict(&elsewhere, &rules, &standing()), Verdict::Moved);
}

#[test]
fn every_reason_has_its_word_and_reads_back() {
    let lacks = vec![FieldName::from("phone")];
    let reasons = [
        Reason::OnItsWay,
        Reason::Unasked,
        Reason::Erased,
        Reason::OtherKind,
        Reason::NotMade(Refusal::NotQualified { lacks }),
        Reason::NotMade(Refusal::NeverMade),
    ];
    for reason in reasons {
        assert!(Reason::WORDS.contains(&reason.word()));
        let text = serde_json::to_string(&reason).unwrap();
        assert!(text.contains(&format!("\"reason\":\"{}\"", reason.word())), "{text}");
        assert_eq!(serde_json::from_str::<Reason>(&text).unwrap(), reason);
    }
}

#[test]
fn a_sum_that_does_not_close_is_a_bug() {
    let mut found = Reconciled {
        here: "crm".parse().unwrap(),
        there: "desk/person".parse().unwrap(),
        objects: 3,
        erased: 0,
        customers: 2,
        matched: 1,
        moved: 0,
        reasons: BTreeMap::new(),
        missing: Vec::new(),
    };
    assert_eq!(found.gap().map(|problem| problem.code), Some(Code::Bug));
    found.matched = 2;
    assert_eq!(found.gap(), None);
}

fn some_record() -> impl Strategy<Value = Record> {
    let fields = (any::<bool>(), any::<bool>(), any::<bool>());
    let marks = (any::<bool>(), any::<bool>(), any::<bool>());
    ("crm|desk", 0_u8..3, fields, marks).prop_map(|(system, remote, (email, phone, name), (gone, broken, made))| {
        let mut said = Vec::new();
        said.extend(email.then_some(("email", "ana@b.fi")));
        said.extend(phone.then_some(("phone", "+358401234567")));
        said.extend(name.then_some(("full_name", "Ana Berg")));
        let mut record = record(&system, &remote.to_string(), &said);
        record.deleted_at = gone.then_some(UnixMillis(5));
        record.problem = broken.then(|| Problem::new(Code::RecordUnmappable, "no"));
        record.is_made = made;
        record
    })
}

proptest! {
    /// Whatever the records are: a reason that says "the rules make none" is given exactly when the rules make none, and
    /// "nothing waits" exactly when they make one. So no reason hides a loss.
    #[test]
    fn reasons_agree_with_what_is_wanted(
        records in prop::collection::vec(some_record(), 1..5),
        create in prop_oneof![Just(Create::Never), Just(Create::Qualified), Just(Create::Always)],
    ) {
        let rules = rules(create);
        let known = view(records, &rules);
        let golden: &Fields = &known.customers[&key()].golden;
        let members: Vec<&Record> = known.records.values().map(|(record, _)| record).collect();
        let wanted = desires(&key(), golden, &members, &rules, &Survivorship::new(&rules), &BTreeSet::new());
        let is_made = wanted.iter().any(|desire| desire.object.is_none() && desire.stream.system == "desk");
        match verdict(&known, &rules, &standing()) {
            Verdict::Missing(missing) => prop_assert_eq!(missing.reason == Reason::Unasked, is_made, "{:?}", missing),
            Verdict::Arrived | Verdict::Moved => prop_assert!(!is_made || members.iter().all(|r| r.id.stream.system != "crm" || r.deleted_at.is_some())),
        }
    }
}
