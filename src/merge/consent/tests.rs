use proptest::prelude::*;

use super::*;
use crate::merge::{Rules, Survivorship};
use crate::model::{Observed, Ours, StreamId};

const WORD: &str = "consent.email.marketing";

fn said(is_denial: bool, at: i64, is_proof: bool) -> Statement {
    Statement {
        is_denial,
        at: UnixMillis(at),
        is_proof,
        from: StreamId::new("crm", "person").record(format!("{at}")),
        proof: None,
    }
}

#[track_caller]
fn check(statements: &[Statement], denied: Option<bool>) {
    assert_eq!(strictest(statements).map(|one| one.is_denial), denied, "{statements:?}");
}

#[test]
fn the_strictest_word_holds_unless_a_newer_proof_comes() {
    check(&[], None);
    check(&[said(false, 1, false)], Some(false));
    check(&[said(true, 1, false)], Some(true));
    // A flag that is not set is no consent, however new.
    check(&[said(true, 1, false), said(false, 9, false)], Some(true));
    check(&[said(true, 1, false), said(false, 9, true)], Some(false));
    check(&[said(true, 9, false), said(false, 9, true)], Some(true));
    check(&[said(true, 9, false), said(false, 1, true)], Some(true));
    check(
        &[said(true, 1, false), said(false, 5, true), said(true, 9, false)],
        Some(true),
    );
}

fn record(number: usize, word: Option<&str>, at: i64) -> Record {
    let id = StreamId::new(["crm", "news", "desk"][number % 3], "person").record(format!("{number}"));
    let mut record = Record::new(id, UnixMillis(at));
    record.observed = Observed::all_at(UnixMillis(at));
    record
        .fields
        .0
        .extend(word.map(|word| (WORD.into(), Value::text(word))));
    record
}

fn golden(members: &[&Record], before: &[Fields]) -> Golden {
    let mut golden = crate::merge::survive(members, &Survivorship::new(&Rules::default()));
    survive(members, before.iter(), &mut golden);
    golden
}

#[test]
fn a_denial_outlives_the_record_that_said_it() {
    let denial = record(0, Some("denied"), 5);
    let first = golden(&[&denial], &[]);
    assert_eq!(first.fields.text(WORD), Some("denied"));
    assert_eq!(first.lineage[WORD].rule, STRICTEST);
    // The field was emptied there; then the record went to somebody else.
    let emptied = record(0, None, 5);
    let second = golden(&[&emptied], std::slice::from_ref(&first.fields));
    assert_eq!(second.fields.text(WORD), Some("denied"));
    let other = record(1, Some("granted"), 9);
    let third = golden(&[&other], std::slice::from_ref(&second.fields));
    assert_eq!(third.fields.text(WORD), Some("denied"), "it only stands there");
    let mut proven = other.clone();
    proven.observed.set(&WORD.into(), UnixMillis(10));
    let fourth = golden(&[&proven], std::slice::from_ref(&third.fields));
    assert_eq!(fourth.fields.text(WORD), Some("granted"));
}

#[test]
fn what_nivel_wrote_is_nobodys_word() {
    let mut echo = record(0, Some("granted"), 5);
    let ours = Ours {
        value: Value::text("granted"),
        placeholder: false,
        own: None,
    };
    echo.ours.insert(WORD.into(), ours);
    assert_eq!(golden(&[&echo], &[]).fields.text(WORD), None);
}

/// What happens to one of three records.
#[derive(Clone, Debug)]
enum Deed {
    Says(usize, &'static str),
    Empties(usize),
    Dies(usize),
    Leaves(usize),
    Joins(usize, &'static str),
    WeWrite(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let word = prop_oneof![Just("granted"), Just("denied"), Just("unknown")];
    prop_oneof![
        (0_usize..3, word.clone()).prop_map(|(at, word)| Deed::Says(at, word)),
        (0_usize..3).prop_map(Deed::Empties),
        (0_usize..3).prop_map(Deed::Dies),
        (0_usize..3).prop_map(Deed::Leaves),
        (0_usize..3, word).prop_map(|(at, word)| Deed::Joins(at, word)),
        (0_usize..3).prop_map(Deed::WeWrite),
    ]
}

fn carry_out(deed: &Deed, records: &mut [Option<Record>; 3], now: i64) {
    let (Deed::Says(at, _)
    | Deed::Empties(at)
    | Deed::Dies(at)
    | Deed::Leaves(at)
    | Deed::Joins(at, _)
    | Deed::WeWrite(at)) = *deed;
    if let Deed::Joins(_, word) = deed {
        records[at].get_or_insert_with(|| record(at, Some(word), now));
        return;
    }
    if matches!(deed, Deed::Leaves(_)) {
        records[at] = None;
        return;
    }
    let Some(record) = &mut records[at] else { return };
    match deed {
        Deed::Says(_, word) => {
            let value = Value::text(word);
            if record.fields.0.get(WORD) != Some(&value) {
                record.fields.0.insert(WORD.into(), value);
                record.observed.set(&WORD.into(), UnixMillis(now));
            }
        }
        Deed::Empties(_) => {
            record.fields.0.insert(WORD.into(), None);
            record.observed.set(&WORD.into(), UnixMillis(now));
        }
        Deed::Dies(_) => record.deleted_at = Some(UnixMillis(now)),
        Deed::WeWrite(_) => {
            let ours = Ours {
                value: Value::text("granted"),
                placeholder: false,
                own: None,
            };
            record.fields.0.insert(WORD.into(), Value::text("granted"));
            record.ours.insert(WORD.into(), ours);
        }
        Deed::Joins(..) | Deed::Leaves(_) => {}
    }
}

proptest! {
    /// Through any history: a denial ends only with a grant that a living record was itself seen to give, later than the
    /// denial.
    #[test]
    fn no_path_makes_consent_looser_without_a_newer_proof(deeds in prop::collection::vec(deed(), 1..40)) {
        let mut records: [Option<Record>; 3] = [None, None, None];
        let mut before = Fields::default();
        for (step, deed) in deeds.iter().enumerate() {
            let now = i64::try_from(step).unwrap() * 10 + 10;
            carry_out(deed, &mut records, now);
            let members: Vec<&Record> = records.iter().flatten().collect();
            if members.is_empty() {
                continue;
            }
            let next = golden(&members, std::slice::from_ref(&before)).fields;
            let was_denied = before.text(WORD) == Some("denied");
            if was_denied && next.text(WORD) != Some("denied") {
                let Some(Value::Time(denied_at)) = before.value("consent.email.marketing.at").cloned() else {
                    panic!("a denial without a time");
                };
                let proves = |record: &&Record| {
                    record.deleted_at.is_none()
                        && record.asserts(WORD)
                        && record.fields.text(WORD) == Some("granted")
                        && record.observed.fields.get(WORD).is_some_and(|at| *at > denied_at)
                };
                prop_assert_eq!(next.text(WORD), Some("granted"));
                prop_assert!(members.iter().any(proves), "{:?} after {:?}", next, deeds);
            }
            before = next;
        }
    }
}
