//! What is listed, searched and kept aside.

use std::collections::BTreeMap;

use nivel::error::{Code, Problem};
use nivel::ledger::{
    Arrival, Cause, Change, Commit, Decision, Error, Ledger, Slot, Target, What, Write, WriteChange, WriteState,
};
use nivel::model::{Bounce, Customer, CustomerKey, FieldName, Fields, Freeze, Incoming, Kind, Value};

use super::{
    advance, ask_record, at, commit, crm, customer, desk, email, key, merge, object, put, record, seed, write,
};

pub(super) async fn arrivals_wait_until_they_are_forgotten(ledger: &dyn Ledger) {
    let arrival = |remote: &str, mail: Option<&str>| Arrival {
        stream: crm(),
        asked_at: at(7),
        incoming: Incoming {
            remote: remote.into(),
            fields: Fields([("email".into(), Value::text("ana@x.eu")), ("phone".into(), None)].into()),
            updated_at: Some(at(5)),
            version: Some("v1".into()),
            deleted: true,
            key: Some(key(3)),
            problem: Some(Problem::new(Code::RecordUnmappable, "no date")),
            joined: None,
        },
        identifiers: mail.map(email).into_iter().collect(),
    };
    let all = [
        arrival("1", Some("ana@x.eu")),
        arrival("2", None),
        arrival("3", Some("ana@x.eu")),
    ];
    for page in all.chunks(2) {
        let mut page_commit = commit();
        page_commit.arrivals = page.to_vec();
        ledger.apply(page_commit).await.unwrap();
    }
    let links = ledger.arrival_links(0, 2).await.unwrap();
    let [(_, of_first), (_, of_second)] = &links[..] else {
        panic!("{links:?}")
    };
    assert_eq!(
        (of_first.len(), of_second.len()),
        (2, 1),
        "the object's own id, and each identifier"
    );
    let (second, _) = links[1];
    let rest = ledger.arrival_links(second, 9).await.unwrap();
    let [(third, of_third)] = &rest[..] else {
        panic!("{rest:?}")
    };
    assert_eq!(of_third.iter().filter(|link| of_first.contains(link)).count(), 1);
    assert!(of_third.iter().all(|link| !of_second.contains(link)));
    let read = ledger.arrivals(&[*third, links[0].0]).await.unwrap();
    assert_eq!(read, [all[2].clone(), all[0].clone()]);
    assert_eq!(ledger.totals().await.unwrap().records, 0);
    ledger.forget_arrivals(second).await.unwrap();
    assert_eq!(ledger.arrival_links(0, 9).await.unwrap(), rest);
    ledger.forget_arrivals(*third).await.unwrap();
    assert!(ledger.arrival_links(0, 9).await.unwrap().is_empty());
}

pub(super) async fn writes_are_listed_in_pages(ledger: &dyn Ledger) {
    seed(ledger, 1, "a@x.org").await;
    let remotes = ["b", "d", "a", "c"];
    for (due_at, remote) in (0_i64..).zip(remotes) {
        let row = Write {
            due_at: at(due_at / 2),
            ..write(&object(remote), 1, 1)
        };
        put(ledger, [WriteChange::Put(row)]).await;
    }
    let target = Target {
        stream: crm(),
        slot: Slot::New(key(1)),
    };
    let create = Write {
        due_at: at(0),
        ..write(&target, 1, 1)
    };
    put(ledger, [WriteChange::Put(create)]).await;
    let mut seen = Vec::new();
    loop {
        let page = ledger
            .writes(&[WriteState::Due, WriteState::Dead], seen.last(), 2)
            .await
            .unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|write| write.target));
        // What was seen last is put off while the list is read: nothing behind it is passed over, nothing comes twice.
        let later = Write {
            due_at: at(99),
            ..write(seen.last().unwrap(), 1, 2)
        };
        put(ledger, [WriteChange::Put(later)]).await;
    }
    assert_eq!(seen, [object("a"), object("b"), object("c"), object("d"), target]);
    assert!(ledger.writes(&[WriteState::Dead], None, 9).await.unwrap().is_empty());
}

pub(super) async fn customers_are_listed_in_pages(ledger: &dyn Ledger) {
    let mut all = commit();
    for number in [5, 1, 3] {
        all.customers.push(customer(number, 0));
    }
    let organization = CustomerKey {
        kind: Kind::Organization,
        ..key(3)
    };
    all.customers.push(Customer {
        key: organization,
        ..customer(3, 0)
    });
    all.customers.push(Customer {
        merged_into: Some(key(1)),
        ..customer(4, 0)
    });
    ledger.apply(all).await.unwrap();
    let mut seen: Vec<CustomerKey> = Vec::new();
    loop {
        let page = ledger.customers(seen.last(), 1).await.unwrap();
        let Some(next) = page.first() else { break };
        seen.push(next.key);
    }
    assert_eq!(seen, [key(1), key(3), organization, key(5)]);
}

pub(super) async fn rejected_records_are_listed_in_pages(ledger: &dyn Ledger) {
    let bad = [desk().record("1"), crm().record("2"), crm().record("10")];
    let mut commit = commit();
    commit.customers.push(customer(1, 0));
    for id in &bad {
        let mut record = record(id, "a@x.org");
        record.problem = Some(Problem::new(Code::RecordUnmappable, "no"));
        commit.records.push((record, key(1)));
    }
    commit.records.push((record(&crm().record("3"), "a@x.org"), key(1)));
    ledger.apply(commit).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let page = ledger.rejected(seen.last(), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|record| record.id));
    }
    assert_eq!(seen, [crm().record("10"), crm().record("2"), desk().record("1")]);
}

pub(super) async fn search_finds_identifiers_and_golden_values(ledger: &dyn Ledger) {
    seed(ledger, 1, "ana@x.org").await;
    let mut named = commit();
    for (number, name) in [(2, "J\u{f6}rg \"Joe\" Ana"), (3, "100% \\ Bob")] {
        let mut customer = customer(number, 0);
        customer.golden = Fields::from([("full_name", Value::Text(name.into()))]);
        named.customers.push(customer);
    }
    ledger.apply(named).await.unwrap();
    for (text, expected) in [
        ("ANA@x.org", vec![1]),
        ("ana", vec![2]),
        ("J\u{d6}RG", vec![2]),
        ("\"joe\"", vec![2]),
        ("\\ bob", vec![3]),
        ("100%", vec![3]),
        ("full_name", vec![]),
        ("", vec![]),
    ] {
        let mut found = ledger.search(text, 9).await.unwrap();
        found.sort();
        let expected: Vec<_> = expected.into_iter().map(key).collect();
        assert_eq!(found, expected, "{text}");
    }
    assert_eq!(ledger.search("o", 1).await.unwrap().len(), 1);
}

pub(super) async fn the_trail_is_newest_first_with_that_of_aliases(ledger: &dyn Ledger) {
    let id = seed(ledger, 2, "b@x.org").await;
    seed(ledger, 1, "a@x.org").await;
    let note = async |number: u128, what: What| {
        let mut note = commit();
        note.changes.push(Change {
            customer: key(number),
            record: Some(id.clone()),
            what,
        });
        ledger.apply(note).await.unwrap();
    };
    let fields = BTreeMap::from([(FieldName::from("a"), (None, Some(Value::Bool(true))))]);
    note(2, What::Appeared).await;
    note(2, What::Fields(fields.clone())).await;
    merge(ledger, 2, 1, &id).await;
    note(1, What::Merged(key(2), vec![id.clone()])).await;
    let whats =
        |rows: Vec<nivel::ledger::ChangeRow>| -> Vec<What> { rows.into_iter().map(|row| row.change.what).collect() };
    let all = [
        What::Merged(key(2), vec![id.clone()]),
        What::Fields(fields),
        What::Appeared,
    ];
    for asked in [key(1), key(2)] {
        assert_eq!(whats(ledger.changes(&asked, 9).await.unwrap()), all);
    }
    let latest = ledger.changes(&key(1), 1).await.unwrap().remove(0);
    assert_eq!((latest.at, latest.cause), (at(100), Cause::Operator("ana".into())));
    assert_eq!((latest.change.customer, latest.change.record), (key(1), Some(id)));
}

pub(super) async fn decisions_are_seen_by_either_record(ledger: &dyn Ledger) {
    let left = seed(ledger, 1, "a@x.org").await;
    let right = seed(ledger, 2, "b@x.org").await;
    let other = seed(ledger, 3, "c@x.org").await;
    let mut decision = Decision {
        left: right.clone(),
        right: left.clone(),
        same: true,
    };
    ledger.decide(decision.clone(), "ana", at(1)).await.unwrap();
    std::mem::swap(&mut decision.left, &mut decision.right);
    decision.same = false;
    ledger.decide(decision.clone(), "ana", at(2)).await.unwrap();
    for id in [left, right] {
        let view = ledger.view(ask_record(&id)).await.unwrap();
        assert_eq!(view.decisions, std::slice::from_ref(&decision));
    }
    assert!(ledger.view(ask_record(&other)).await.unwrap().decisions.is_empty());
}

pub(super) async fn settings_and_totals(ledger: &dyn Ledger) {
    assert_eq!(ledger.setting("rules").await.unwrap(), None);
    for value in ["one", "two"] {
        ledger.set_setting("rules", value).await.unwrap();
        assert_eq!(ledger.setting("rules").await.unwrap().as_deref(), Some(value));
    }
    let id = seed(ledger, 2, "b@x.org").await;
    seed(ledger, 1, "a@x.org").await;
    merge(ledger, 2, 1, &id).await;
    let mut gone = record(&desk().record("1"), "a@x.org");
    gone.deleted_at = Some(at(1));
    gone.problem = Some(Problem::new(Code::RecordUnmappable, "no"));
    let mut more = commit();
    more.records.push((gone, key(1)));
    let mut round = record(&crm().record("4"), "r@x.org");
    round
        .bounces
        .insert("email".into(), Bounce::frozen(Freeze::Loop, at(1)));
    let mut once = record(&crm().record("5"), "s@x.org");
    once.bounces.insert(
        "email".into(),
        Bounce {
            count: 1,
            ..Bounce::frozen(Freeze::Loop, at(1))
        },
    );
    more.records.push((round.clone(), key(1)));
    more.records.push((once, key(1)));
    more.merges = 1;
    more.writes.push(WriteChange::Put(write(&object("1"), 1, 1)));
    more.writes.push(WriteChange::Put(Write {
        state: WriteState::Held,
        ..write(&object("2"), 1, 1)
    }));
    ledger.apply(more).await.unwrap();
    let totals = ledger.totals().await.unwrap();
    assert_eq!(
        (totals.records, totals.customers, totals.merges, totals.rejected),
        (4, 1, 1, 1)
    );
    assert_eq!(totals.frozen, 1);
    let frozen = ledger.frozen(None, 9).await.unwrap();
    assert_eq!(frozen, [(round.clone(), key(1))]);
    assert!(ledger.frozen(Some(&round.id), 9).await.unwrap().is_empty());
    assert!(ledger.frozen(None, 0).await.unwrap().is_empty());
    assert_eq!(
        totals.writes,
        BTreeMap::from([(WriteState::Due, 1), (WriteState::Held, 1)])
    );
}

pub(super) async fn runs_add_up_what_commits_say(ledger: &dyn Ledger) {
    let first = ledger.open_run(&crm(), at(1)).await.unwrap();
    let second = ledger.open_run(&desk(), at(2)).await.unwrap();
    assert_ne!(first, second);
    for version in 0..2 {
        let mut page = Commit::new(Cause::Run(first), at(3));
        page.advance = Some(advance(version, false));
        ledger.apply(page).await.unwrap();
    }
    let mut stale = Commit::new(Cause::Run(first), at(3));
    stale.advance = Some(advance(0, false));
    assert_eq!(ledger.apply(stale).await, Err(Error::Stale));
    let mut run = ledger.runs(9).await.unwrap().pop().unwrap();
    assert_eq!((run.read, run.changed, run.rejected), (20, 6, 2));
    run.ended_at = Some(at(4));
    run.problem = Some(Problem::new(Code::QuotaUsed, "tomorrow"));
    ledger.close_run(run.clone()).await.unwrap();
    let runs = ledger.runs(9).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [second, first]);
    assert_eq!(runs[1], run);
    assert_eq!(ledger.runs(1).await.unwrap().len(), 1);
}
