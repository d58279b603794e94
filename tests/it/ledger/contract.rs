//! What every ledger promises, said once and run against each of them.

mod affiliation;
mod deletes;
mod listing;
mod outbox;

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;

use nivel::error::{Code, Problem};
use nivel::ledger::{
    Advance, Ask, Cause, Commit, Error, Ledger, Slot, StreamState, Target, Wanted, Write, WriteChange, WriteState,
    content_hash,
};
use nivel::model::{
    Bounce, Cursor, Customer, CustomerKey, FieldName, Fields, Identifier, IdentifierKind, Kind, Lineage, Origin,
    Record, RecordId, StreamId, UnixMillis, Value,
};
use uuid::Uuid;

/// Runs every scenario on a ledger of its own. `make` also gives back whatever must outlive the ledger.
pub(super) async fn contract<Keep>(make: impl Fn() -> (Box<dyn Ledger>, Keep)) {
    for (name, scenario) in SCENARIOS {
        println!("{name}");
        let (ledger, keep) = make();
        scenario(&*ledger).await;
        drop(ledger);
        drop(keep);
    }
}

type Scenario = for<'ledger> fn(&'ledger dyn Ledger) -> BoxFuture<'ledger, ()>;

macro_rules! scenarios {
    ($($name:ident,)+) => {
        const SCENARIOS: &[(&str, Scenario)] = &[$((stringify!($name), |ledger| Box::pin($name(ledger))),)+];
    };
}

use affiliation::people_find_their_organization;
use deletes::{
    a_sweep_is_held_and_let_out, p51_a_removal_waits_for_its_time_and_is_held_by_itself,
    p51_only_what_a_whole_sweep_did_not_meet_is_absent, p52_what_nivel_made_stays_known_as_such,
};
use listing::{
    arrivals_wait_until_they_are_forgotten, customers_are_listed_in_pages, decisions_are_seen_by_either_record,
    rejected_records_are_listed_in_pages, runs_add_up_what_commits_say, search_finds_identifiers_and_golden_values,
    settings_and_totals, the_trail_is_newest_first_with_that_of_aliases, writes_are_listed_in_pages,
};
use outbox::{
    a_failed_attempt_does_not_undo_a_newer_wish, a_failed_attempt_ends_its_lease,
    a_removed_write_cannot_be_acknowledged_by_a_late_answer, a_touched_customer_counts_like_a_changed_one,
    a_wish_that_changes_in_flight_goes_out_next, an_older_wish_does_not_undo_a_newer_one,
    claims_are_oldest_first_and_exclusive, creates_become_uncertain_behind_the_claim, leases_are_released,
    what_is_held_waits_until_it_is_released, what_may_have_been_made_stays_uncertain,
};

scenarios! {
    an_empty_ledger_knows_nothing,
    everything_of_a_record_reads_back,
    a_record_is_replaced_and_moves,
    the_view_takes_the_closure,
    former_holders_still_count,
    aliases_are_followed,
    a_stale_customer_refuses_the_whole_commit,
    a_touched_customer_counts_like_a_changed_one,
    a_stale_cursor_refuses_the_whole_commit,
    a_record_cannot_go_to_an_alias,
    a_merge_leaves_no_record_behind,
    two_commits_on_one_version_race,
    runs_add_up_what_commits_say,
    streams_keep_their_first_and_last_arrival,
    claims_are_oldest_first_and_exclusive,
    creates_become_uncertain_behind_the_claim,
    a_wish_that_changes_in_flight_goes_out_next,
    a_failed_attempt_ends_its_lease,
    a_failed_attempt_does_not_undo_a_newer_wish,
    an_older_wish_does_not_undo_a_newer_one,
    what_may_have_been_made_stays_uncertain,
    a_removed_write_cannot_be_acknowledged_by_a_late_answer,
    leases_are_released,
    what_is_held_waits_until_it_is_released,
    arrivals_wait_until_they_are_forgotten,
    writes_are_listed_in_pages,
    customers_are_listed_in_pages,
    rejected_records_are_listed_in_pages,
    search_finds_identifiers_and_golden_values,
    the_trail_is_newest_first_with_that_of_aliases,
    decisions_are_seen_by_either_record,
    settings_and_totals,
    people_find_their_organization,
    p51_only_what_a_whole_sweep_did_not_meet_is_absent,
    a_sweep_is_held_and_let_out,
    p51_a_removal_waits_for_its_time_and_is_held_by_itself,
    p52_what_nivel_made_stays_known_as_such,
}

pub(super) fn crm() -> StreamId {
    StreamId::new("crm", "contact")
}

pub(super) fn desk() -> StreamId {
    StreamId::new("desk", "user")
}

pub(super) fn key(number: u128) -> CustomerKey {
    CustomerKey {
        id: Uuid::from_u128(number),
        kind: Kind::Person,
    }
}

pub(super) fn email(text: &str) -> Identifier {
    Identifier::new(IdentifierKind::Email, text)
}

pub(super) fn at(millis: i64) -> UnixMillis {
    UnixMillis(millis)
}

pub(super) fn record(id: &RecordId, mail: &str) -> Record {
    let mut record = Record::new(id.clone(), at(10));
    record.fields = Fields::from([("email", Value::Text(mail.into()))]);
    record
}

pub(super) fn customer(number: u128, version: u64) -> Customer {
    Customer {
        key: key(number),
        golden: Fields::default(),
        lineage: Lineage::new(),
        version,
        merged_into: None,
    }
}

pub(super) fn commit() -> Commit {
    Commit::new(Cause::Operator("ana".into()), at(100))
}

pub(super) fn write(target: &Target, number: u128, generation: u64) -> Write {
    let wanted = Wanted {
        value: Some(Value::Int(i64::try_from(generation).unwrap())),
        placeholder: false,
    };
    Write {
        target: target.clone(),
        customer: key(number),
        fields: BTreeMap::from([(FieldName::from("score"), wanted)]),
        generation,
        due_at: at(50),
        attempts: 0,
        problem: None,
        state: WriteState::Due,
        operation: format!("op-{generation}").into(),
        is_uncertain: false,
        run: None,
        removes_at: None,
    }
}

pub(super) fn object(remote: &str) -> Target {
    Target {
        stream: crm(),
        slot: Slot::Object(remote.into()),
    }
}

/// Customer `number` with one record of the CRM that has an e-mail address.
async fn seed(ledger: &dyn Ledger, number: u128, mail: &str) -> RecordId {
    let id = crm().record(number.to_string());
    let mut seed = commit();
    seed.customers.push(customer(number, 0));
    seed.records.push((record(&id, mail), key(number)));
    seed.identifiers.push((id.clone(), BTreeSet::from([email(mail)])));
    ledger.apply(seed).await.unwrap();
    id
}

async fn put(ledger: &dyn Ledger, changes: impl IntoIterator<Item = WriteChange>) {
    let mut commit = commit();
    commit.writes.extend(changes);
    ledger.apply(commit).await.unwrap();
}

async fn pending(ledger: &dyn Ledger) -> Vec<Write> {
    ledger.writes(&[], None, 100).await.unwrap()
}

fn ask_record(id: &RecordId) -> Ask {
    Ask {
        records: BTreeSet::from([id.clone()]),
        ..Ask::default()
    }
}

async fn an_empty_ledger_knows_nothing(ledger: &dyn Ledger) {
    let id = crm().record("1");
    assert_eq!(ledger.heads(std::slice::from_ref(&id)).await.unwrap(), [None]);
    let ask = Ask {
        records: BTreeSet::from([id]),
        identifiers: BTreeSet::from([email("a@x.org")]),
        customers: BTreeSet::from([key(1)]),
        ..Ask::default()
    };
    assert_eq!(ledger.view(ask).await.unwrap(), nivel::ledger::View::default());
    assert_eq!(ledger.stream(&crm()).await.unwrap(), StreamState::default());
    assert!(ledger.streams().await.unwrap().is_empty());
    assert!(ledger.runs(9).await.unwrap().is_empty());
    assert!(ledger.claim(&crm(), at(1), 9).await.unwrap().is_empty());
    assert_eq!(ledger.next_due(&crm()).await.unwrap(), None);
    assert_eq!(ledger.customer(&key(1)).await.unwrap(), None);
    assert!(ledger.changes(&key(1), 9).await.unwrap().is_empty());
    assert!(ledger.search("a@x.org", 9).await.unwrap().is_empty());
    assert_eq!(ledger.totals().await.unwrap(), nivel::ledger::Totals::default());
    ledger.probe().await.unwrap();
}

async fn everything_of_a_record_reads_back(ledger: &dyn Ledger) {
    let field = FieldName::from("phone");
    let mut full = record(&desk().record("a/b \"c\" \u{e4}"), "ana@x.org");
    full.fields.0.insert(field.clone(), None);
    full.fields.set("tags", Value::Set(["b".into(), "a".into()].into()));
    full.fields.set("optin", Value::Bool(false));
    full.fields.set("born", Value::Time(at(-5)));
    full.fields.set("size", Value::Int(i64::MIN));
    full.observed.set(&field, at(11));
    full.updated_at = Some(at(12));
    full.version = Some("W/\"7\"".into());
    let blank = Wanted {
        value: None,
        placeholder: true,
    };
    full.take_ours(&field, &blank, at(11));
    full.note_sent(&field, &blank);
    full.written_at = Some(at(13));
    let bounce = Bounce {
        count: 2,
        since: at(14),
        why: nivel::model::Freeze::NotKept,
    };
    full.bounces.insert(field.clone(), bounce);
    full.deleted_at = Some(at(15));
    full.is_unread = true;
    full.is_made = true;
    full.problem = Some(Problem::new(Code::RecordUnmappable, "no").about("x").hint("y"));
    let mut whole = customer(1, 0);
    whole.golden = full.fields.clone();
    let origin = |remote: &str| Origin {
        record: desk().record(remote),
        at: at(16),
        rule: "own".into(),
    };
    whole.lineage = Lineage::from([
        (FieldName::from("tags"), origin("1")),
        (FieldName::from("born"), origin("1")),
        (field, origin("a/b \"c\" \u{e4}")),
    ]);

    let mut both = commit();
    both.customers.push(whole.clone());
    both.records.push((full.clone(), key(1)));
    ledger.apply(both).await.unwrap();

    whole.version = 1;
    let view = ledger.view(ask_record(&full.id)).await.unwrap();
    assert_eq!(
        view.records,
        BTreeMap::from([(full.id.clone(), (full.clone(), key(1)))])
    );
    assert_eq!(ledger.customer(&key(1)).await.unwrap(), Some(whole.clone()));
    whole.lineage = Lineage::new();
    assert_eq!(view.customers, BTreeMap::from([(key(1), whole)]), "without her lineage");
    let heads = ledger.heads(&[crm().record("1"), full.id.clone()]).await.unwrap();
    assert_eq!(heads[0], None);
    assert_eq!(heads[1].unwrap().hash, content_hash(&full));
    assert_eq!(heads[1].unwrap().customer, key(1));
}

async fn a_record_is_replaced_and_moves(ledger: &dyn Ledger) {
    let id = seed(ledger, 1, "a@x.org").await;
    let mut moving = commit();
    moving.customers.push(customer(2, 0));
    let mut changed = record(&id, "b@x.org");
    changed.observed.set(&FieldName::from("email"), at(99));
    moving.records.push((changed.clone(), key(2)));
    let taken_unseen = ledger.apply(moving.clone()).await;
    assert_eq!(taken_unseen, Err(Error::Stale), "the fold did not know whose it was");
    moving.customers.push(customer(1, 1));
    ledger.apply(moving).await.unwrap();
    let view = ledger.view(ask_record(&id)).await.unwrap();
    assert_eq!(view.records, BTreeMap::from([(id, (changed, key(2)))]));
    assert_eq!(view.customers.keys().collect::<Vec<_>>(), [&key(2)]);
}

async fn the_view_takes_the_closure(ledger: &dyn Ledger) {
    let first = seed(ledger, 1, "a@x.org").await;
    let second = seed(ledger, 2, "b@x.org").await;
    seed(ledger, 3, "c@x.org").await;
    let other = desk().record("9");
    let mut more = commit();
    more.records.push((record(&other, "z@x.org"), key(2)));
    more.writes.push(WriteChange::Put(write(&object("2"), 2, 1)));
    more.writes.push(WriteChange::Put(write(&object("3"), 3, 1)));
    ledger.apply(more).await.unwrap();
    let ask = Ask {
        records: BTreeSet::from([first.clone(), crm().record("unknown")]),
        identifiers: BTreeSet::from([email("b@x.org"), email("nobody@x.org")]),
        ..Ask::default()
    };
    let view = ledger.view(ask).await.unwrap();
    assert_eq!(view.customers.keys().copied().collect::<Vec<_>>(), [key(1), key(2)]);
    let records: Vec<_> = view.records.keys().cloned().collect();
    assert_eq!(records, [first, second.clone(), other]);
    assert_eq!(
        view.holders,
        BTreeMap::from([(email("b@x.org"), BTreeSet::from([second]))])
    );
    assert_eq!(view.writes.keys().cloned().collect::<Vec<_>>(), [object("2")]);
}

async fn former_holders_still_count(ledger: &dyn Ledger) {
    let id = seed(ledger, 1, "old@x.org").await;
    for mails in [vec!["new@x.org"], vec![], vec!["old@x.org"]] {
        let mut now = commit();
        now.identifiers
            .push((id.clone(), mails.into_iter().map(email).collect()));
        ledger.apply(now).await.unwrap();
        let ask = Ask {
            identifiers: BTreeSet::from([email("old@x.org"), email("new@x.org")]),
            ..Ask::default()
        };
        let view = ledger.view(ask).await.unwrap();
        let holders = BTreeSet::from([id.clone()]);
        assert_eq!(view.holders.get(&email("old@x.org")), Some(&holders));
        assert_eq!(view.holders.get(&email("new@x.org")), Some(&holders));
    }
}

/// Merges customer `from` (with the record `id`) into `into`.
async fn merge(ledger: &dyn Ledger, from: u128, into: u128, id: &RecordId) {
    let mut alias = ledger.customer(&key(from)).await.unwrap().unwrap();
    alias.merged_into = Some(key(into));
    let mut merge = commit();
    merge.customers.push(alias);
    merge
        .customers
        .push(ledger.customer(&key(into)).await.unwrap().unwrap());
    merge.records.push((record(id, "moved@x.org"), key(into)));
    ledger.apply(merge).await.unwrap();
}

async fn aliases_are_followed(ledger: &dyn Ledger) {
    let third = seed(ledger, 3, "c@x.org").await;
    let second = seed(ledger, 2, "b@x.org").await;
    seed(ledger, 1, "a@x.org").await;
    put(ledger, [WriteChange::Put(write(&object("7"), 3, 1))]).await;
    merge(ledger, 3, 2, &third).await;
    let mut both = commit();
    both.customers.push(Customer {
        merged_into: Some(key(1)),
        ..customer(2, 2)
    });
    both.customers.push(customer(1, 1));
    both.records.push((record(&second, "b@x.org"), key(1)));
    both.records.push((record(&third, "c@x.org"), key(1)));
    ledger.apply(both).await.unwrap();

    assert_eq!(ledger.customer(&key(3)).await.unwrap().unwrap().key, key(1));
    let ask = Ask {
        customers: BTreeSet::from([key(3)]),
        ..Ask::default()
    };
    let view = ledger.view(ask).await.unwrap();
    assert_eq!(view.customers.keys().copied().collect::<Vec<_>>(), [key(1)]);
    assert_eq!(view.aliases, BTreeMap::from([(key(3), key(1))]));
    assert_eq!(view.records.len(), 3);
    assert_eq!(view.writes[&object("7")].customer, key(1), "her writes came along");
    put(ledger, [WriteChange::Put(write(&object("8"), 3, 1))]).await;
    assert!(pending(ledger).await.iter().all(|write| write.customer == key(1)));
}

async fn a_stale_customer_refuses_the_whole_commit(ledger: &dyn Ledger) {
    seed(ledger, 1, "a@x.org").await;
    for version in [0, 2] {
        let mut stale = commit();
        stale.records.push((record(&desk().record("5"), "e@x.org"), key(1)));
        stale.customers.push(customer(5, 0));
        stale.customers.push(customer(1, version));
        stale.writes.push(WriteChange::Put(write(&object("1"), 1, 1)));
        assert_eq!(ledger.apply(stale).await, Err(Error::Stale));
    }
    assert_eq!(ledger.heads(&[desk().record("5")]).await.unwrap(), [None]);
    assert_eq!(ledger.customer(&key(5)).await.unwrap(), None);
    assert!(pending(ledger).await.is_empty());
    assert_eq!(ledger.customer(&key(1)).await.unwrap().unwrap().version, 1);
}

fn advance(from_version: u64, is_caught_up: bool) -> Advance {
    Advance {
        stream: crm(),
        from_version,
        cursor: Cursor(format!("page {from_version}")),
        is_caught_up,
        read: 10,
        changed: 3,
        rejected: 1,
    }
}

async fn a_stale_cursor_refuses_the_whole_commit(ledger: &dyn Ledger) {
    for (from_version, expected) in [(1, Err(Error::Stale)), (0, Ok(())), (0, Err(Error::Stale)), (1, Ok(()))] {
        let mut page = commit();
        page.advance = Some(advance(from_version, false));
        page.customers.push(customer(u128::from(from_version) + 1, 0));
        assert_eq!(ledger.apply(page).await, expected, "from {from_version}");
    }
    assert_eq!(
        ledger.stream(&crm()).await.unwrap().cursor,
        Some(Cursor("page 1".into()))
    );
    assert_eq!(ledger.totals().await.unwrap().customers, 2);
}

async fn a_record_cannot_go_to_an_alias(ledger: &dyn Ledger) {
    let id = seed(ledger, 2, "b@x.org").await;
    seed(ledger, 1, "a@x.org").await;
    merge(ledger, 2, 1, &id).await;
    let mut late = commit();
    late.records.push((record(&desk().record("5"), "e@x.org"), key(2)));
    assert_eq!(ledger.apply(late).await, Err(Error::Stale));
    let mut unknown = commit();
    unknown.records.push((record(&desk().record("5"), "e@x.org"), key(77)));
    assert!(matches!(ledger.apply(unknown).await, Err(Error::Broken(_))));
}

async fn a_merge_leaves_no_record_behind(ledger: &dyn Ledger) {
    seed(ledger, 2, "b@x.org").await;
    seed(ledger, 1, "a@x.org").await;
    let mut blind = commit();
    blind.customers.push(Customer {
        merged_into: Some(key(1)),
        ..customer(2, 1)
    });
    assert_eq!(ledger.apply(blind).await, Err(Error::Stale));
    assert_eq!(ledger.totals().await.unwrap().merges, 0);
}

async fn two_commits_on_one_version_race(ledger: &dyn Ledger) {
    seed(ledger, 1, "a@x.org").await;
    let one = |remote: &str| {
        let mut one = commit();
        one.customers.push(customer(1, 1));
        one.records.push((record(&desk().record(remote), "x@x.org"), key(1)));
        one
    };
    let (left, right) = futures::join!(ledger.apply(one("left")), ledger.apply(one("right")));
    assert!(left.is_ok() != right.is_ok(), "{left:?} {right:?}");
    assert!([left.clone(), right].contains(&Err(Error::Stale)));
    let heads = ledger
        .heads(&[desk().record("left"), desk().record("right")])
        .await
        .unwrap();
    assert_eq!(heads[0].is_some(), left.is_ok());
    assert_eq!(heads[1].is_some(), left.is_err());
    assert_eq!(ledger.customer(&key(1)).await.unwrap().unwrap().version, 2);
}

async fn streams_keep_their_first_and_last_arrival(ledger: &dyn Ledger) {
    let problem = Problem::new(Code::QuotaUsed, "tomorrow");
    ledger
        .note_stream(&crm(), Some(problem.clone()), Some(at(7)))
        .await
        .unwrap();
    for (version, caught_up) in [(0, false), (1, true), (2, true), (3, false)] {
        let mut page = Commit::new(Cause::Run(0), at(200 + i64::try_from(version).unwrap()));
        page.advance = Some(advance(version, caught_up));
        ledger.apply(page).await.unwrap();
    }
    let expected = StreamState {
        cursor: Some(Cursor("page 3".into())),
        version: 4,
        initial_done_at: Some(at(201)),
        caught_up_at: Some(at(202)),
        problem: Some(problem),
        parked_until: Some(at(7)),
        sweep: nivel::ledger::Sweep::default(),
    };
    assert_eq!(ledger.stream(&crm()).await.unwrap(), expected);
    ledger.note_stream(&crm(), None, None).await.unwrap();
    let healed = StreamState {
        problem: None,
        parked_until: None,
        sweep: nivel::ledger::Sweep::default(),
        ..expected
    };
    assert_eq!(ledger.streams().await.unwrap(), BTreeMap::from([(crm(), healed)]));
}
