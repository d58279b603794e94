//! The groups are a function of the set of records: of nothing else.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::generate::{Family, Made, generate};
use super::{Decision, Features, Field, Matcher, Weights};

fn features(made: &Made) -> Features {
    let fields: Vec<(Field, &str)> = made
        .fields
        .iter()
        .map(|(field, text)| (*field, text.as_str()))
        .collect();
    Features::new(&fields, u16::try_from(made.source.len()).unwrap(), false)
}

fn groups(matcher: &Matcher, records: &[&Made]) -> BTreeSet<BTreeSet<String>> {
    let slots = records.iter().filter_map(|made| matcher.find(&made.id));
    let ids = |slot| {
        matcher
            .group(slot)
            .into_iter()
            .filter_map(|slot| matcher.id(slot).map(str::to_owned))
            .collect()
    };
    slots.map(ids).collect()
}

/// Records in which much happens: few names, few towns, so that keys become too common and counts grow.
fn crowd(rows: usize, seed: u64) -> Vec<Made> {
    let mut made = generate(Family::Contacts, rows, seed);
    for (at, record) in made.iter_mut().enumerate() {
        for (field, text) in &mut record.fields {
            match field {
                Field::Family if at % 3 > 0 => *text = ["Smith", "Jones", "Smyth"][at % 3].to_owned(),
                Field::City | Field::Postcode if at % 2 == 0 => *text = "Leeds".to_owned(),
                Field::Company if at % 4 < 3 => *text = "Acme Ltd".to_owned(),
                _ => {}
            }
        }
    }
    made
}

fn shuffled(records: &[Made], seed: u64) -> Vec<&Made> {
    let mut order: Vec<&Made> = records.iter().collect();
    order.sort_by_key(|made| super::table::hash(seed, &[made.id.as_bytes()]));
    order
}

fn settled(records: &[&Made], step: usize) -> Matcher {
    let mut matcher = Matcher::new(Weights::shipped());
    for made in records {
        matcher.insert(&made.id, features(made));
        matcher.settle(step);
    }
    while !matcher.settle(10_000) {}
    matcher
}

#[track_caller]
fn check_orders(records: &[Made], seeds: u64) {
    let plain: Vec<&Made> = records.iter().collect();
    let first = groups(&settled(&plain, 0), &plain);
    assert!(
        first.len() < records.len(),
        "nothing was merged: the test would say nothing"
    );
    for seed in 0..seeds {
        let step = [0, 1, 500][usize::try_from(seed % 3).unwrap()];
        let other = groups(&settled(&shuffled(records, seed), step), &plain);
        assert_eq!(first, other, "order {seed}");
    }
}

#[test]
fn any_order_and_any_pace_give_the_same_groups() {
    check_orders(&generate(Family::Contacts, 1500, 21), 3);
    check_orders(&crowd(900, 22), 3);
    check_orders(&generate(Family::Sparse, 600, 23), 3);
    check_orders(&generate(Family::Households, 600, 24), 2);
    check_orders(&generate(Family::Lives, 700, 25), 3);
}

#[test]
fn what_was_removed_leaves_no_trace() {
    let records = crowd(900, 31);
    let all: Vec<&Made> = records.iter().collect();
    let (kept, gone): (Vec<&Made>, Vec<&Made>) = records
        .iter()
        .partition(|made| !super::table::hash(5, &[made.id.as_bytes()]).is_multiple_of(3));
    assert!(gone.len() > 100 && kept.len() > 100);
    let mut matcher = settled(&all, 0);
    for made in &gone {
        assert!(matcher.remove(&made.id));
    }
    while !matcher.settle(10_000) {}
    assert_eq!(matcher.len(), kept.len());
    assert_eq!(groups(&matcher, &all), groups(&settled(&kept, 0), &kept));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn coming_and_going_in_any_way(seed in 0_u64..1000, steps in prop::collection::vec((any::<bool>(), 0_usize..260), 50..400)) {
        let records = crowd(260, seed);
        let mut matcher = Matcher::new(Weights::shipped());
        let mut there = BTreeSet::new();
        for (comes, at) in steps {
            if comes {
                matcher.insert(&records[at].id, features(&records[at]));
                there.insert(at);
            } else {
                prop_assert_eq!(matcher.remove(&records[at].id), there.remove(&at));
            }
        }
        while !matcher.settle(10_000) {}
        let left: Vec<&Made> = there.iter().map(|at| &records[*at]).collect();
        prop_assert_eq!(groups(&matcher, &left), groups(&settled(&left, 0), &left));
    }
}

fn person(given: &str, family: &str, rest: &[(Field, &str)]) -> Features {
    let mut fields = vec![(Field::Given, given), (Field::Family, family)];
    fields.extend_from_slice(rest);
    Features::new(&fields, 1, false)
}

#[test]
fn p44_a_bridge_that_goes_takes_the_merge_with_it() {
    let mut matcher = Matcher::new(Weights::shipped());
    let a = matcher.insert(
        "a",
        person("A.", "Quonetom", &[(Field::Email, "anneliese.quonetom@gmx.de")]),
    );
    let c = matcher.insert(
        "c",
        person("Anneliese", "Quonetom", &[(Field::Phone, "+4915190817263")]),
    );
    let before = matcher.group(a).len();
    let both = [
        (Field::Email, "anneliese.quonetom@gmx.de"),
        (Field::Phone, "+4915190817263"),
    ];
    matcher.insert("b", person("Anneliese", "Quonetom", &both));
    while !matcher.settle(1000) {}
    assert_eq!(matcher.group(a).len(), 3);
    assert!(matcher.changes().contains(&c));
    matcher.remove("b");
    while !matcher.settle(1000) {}
    assert_eq!((before, matcher.group(a).len(), matcher.group(c).len()), (1, 1, 1));
    assert!(matcher.changes().contains(&a));
}

#[test]
fn decisions_outrank_evidence_and_can_be_taken_back() {
    let mut matcher = Matcher::new(Weights::shipped());
    let email = [(Field::Email, "anna.quonetom@gmx.de"), (Field::Phone, "+4915190817263")];
    let a = matcher.insert("a", person("Anna", "Quonetom", &email));
    let b = matcher.insert("b", person("Anna", "Quonetom", &email));
    let x = matcher.insert("x", person("Xaver", "Huber", &[]));
    let sizes = |matcher: &mut Matcher| {
        while !matcher.settle(1000) {}
        [a, b, x].map(|slot| matcher.group(slot).len())
    };
    assert_eq!(sizes(&mut matcher), [2, 2, 1]);
    matcher.decide("a", "b", Some(Decision::Apart));
    assert_eq!(sizes(&mut matcher), [1, 1, 1]);
    matcher.decide("b", "x", Some(Decision::Same));
    assert_eq!(sizes(&mut matcher), [1, 2, 2]);
    matcher.decide("a", "b", None);
    matcher.decide("b", "x", None);
    assert_eq!(sizes(&mut matcher), [2, 2, 1]);
    // A decision outlives the record it is about.
    matcher.decide("a", "b", Some(Decision::Apart));
    matcher.remove("b");
    assert_eq!(matcher.insert("b", person("Anna", "Quonetom", &email)), b);
    assert_eq!(sizes(&mut matcher), [1, 1, 1]);
}

#[test]
fn an_explanation_adds_up_and_names_the_weakest_link() {
    let mut matcher = Matcher::new(Weights::shipped());
    let email = [(Field::Email, "anna.quonetom@gmx.de")];
    let a = matcher.insert("a", person("Anna", "Quonetom", &email));
    let b = matcher.insert("b", person("Anna", "Quonetom", &email));
    let why = matcher.explain(a, b).unwrap();
    assert!(why.is_found && why.chance > 0.9, "{why:?}");
    assert!(
        why.findings.iter().any(|finding| finding.what == "email: equal"),
        "{why:?}"
    );
    let sum: f64 = why.findings.iter().map(|finding| finding.bits).sum();
    assert!((sum - why.bits).abs() < 1e-9);
    let (from, to, bits) = matcher.weakest_link(a).unwrap();
    assert_eq!(BTreeSet::from([from, to]), BTreeSet::from([a, b]));
    assert!((bits - why.bits).abs() < 0.05, "{bits} {}", why.bits);
    assert_eq!(matcher.weakest_link(99), None);
}

/// Found by [`coming_and_going_in_any_way`]: a pair that was hopeless only when one of the two came first.
#[test]
fn who_comes_first_does_not_matter() {
    let records = crowd(260, 671);
    let pair = [&records[34], &records[72]];
    let groups_of = |order: [usize; 2]| {
        let mut matcher = Matcher::new(Weights::shipped());
        for at in order {
            matcher.insert(&pair[at].id, features(pair[at]));
        }
        while !matcher.settle(10_000) {}
        groups(&matcher, &pair)
    };
    assert_eq!(groups_of([0, 1]), groups_of([1, 0]));
}
