//! The outbox: who may deliver what, and what becomes of it.

use nivel::error::{Code, Problem};
use nivel::ledger::{DueWrites, Error, Ledger, Slot, Target, Write, WriteChange, WriteState};

use super::{at, commit, crm, desk, key, object, pending, put, record, seed, write};

pub(super) async fn claims_are_oldest_first_and_exclusive(ledger: &dyn Ledger) {
    seed(ledger, 1, "a@x.org").await;
    let due = |remote: &str, due_at, state| {
        WriteChange::Put(Write {
            due_at: at(due_at),
            state,
            ..write(&object(remote), 1, 1)
        })
    };
    let rows = [
        due("late", 30, WriteState::Due),
        due("early", 10, WriteState::Due),
        due("middle", 20, WriteState::Due),
        due("held", 10, WriteState::Held),
        due("dead", 10, WriteState::Dead),
        due("future", 90, WriteState::Due),
    ];
    put(ledger, rows).await;
    assert_eq!(ledger.next_due(&crm()).await.unwrap(), Some(at(10)));
    assert!(ledger.claim(&desk(), at(40), 9).await.unwrap().is_empty());
    let first = ledger.claim(&crm(), at(40), 2).await.unwrap();
    let targets: Vec<_> = first.iter().map(|write| write.target.clone()).collect();
    assert_eq!(targets, [object("early"), object("middle")]);
    assert!(
        first
            .iter()
            .all(|write| write.state == WriteState::Leased && write.attempts == 1)
    );
    assert_eq!(ledger.next_due(&crm()).await.unwrap(), Some(at(30)));
    let second = ledger.claim(&crm(), at(40), 9).await.unwrap();
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].target, object("late"));
    assert!(ledger.claim(&crm(), at(40), 9).await.unwrap().is_empty());
    let leased = ledger.writes(&[WriteState::Leased], None, 9).await.unwrap();
    assert_eq!(leased.len(), 3);
}

pub(super) async fn creates_become_uncertain_behind_the_claim(ledger: &dyn Ledger) {
    seed(ledger, 1, "a@x.org").await;
    let target = Target {
        stream: crm(),
        slot: Slot::New(key(1)),
    };
    put(
        ledger,
        [
            WriteChange::Put(write(&target, 1, 1)),
            WriteChange::Put(write(&object("1"), 1, 1)),
        ],
    )
    .await;
    let claimed = ledger.claim(&crm(), at(60), 9).await.unwrap();
    assert!(claimed.iter().all(|write| !write.is_uncertain), "not tried before");
    let uncertain = |writes: Vec<Write>| -> Vec<Target> {
        let uncertain = writes.into_iter().filter(|write| write.is_uncertain);
        uncertain.map(|write| write.target).collect()
    };
    assert_eq!(uncertain(pending(ledger).await), std::slice::from_ref(&target));
    ledger.release_leases(at(70)).await.unwrap();
    assert_eq!(uncertain(ledger.claim(&crm(), at(70), 9).await.unwrap()), [target]);
}

pub(super) async fn a_wish_that_changes_in_flight_goes_out_next(ledger: &dyn Ledger) {
    seed(ledger, 1, "a@x.org").await;
    let target = object("1");
    put(ledger, [WriteChange::Put(write(&target, 1, 1))]).await;
    ledger.claim(&crm(), at(60), 9).await.unwrap();
    put(ledger, [WriteChange::Put(write(&target, 1, 2))]).await;
    let row = pending(ledger).await.remove(0);
    assert_eq!((row.state, row.generation), (WriteState::Leased, 2));
    assert_eq!(row.operation, "op-1", "the one on its way keeps its name");
    assert_eq!(row.fields, write(&target, 1, 2).fields);
    assert!(ledger.claim(&crm(), at(99), 9).await.unwrap().is_empty());

    put(ledger, [WriteChange::RemoveGeneration(target.clone(), 1)]).await;
    let row = pending(ledger).await.remove(0);
    assert_eq!((row.state, row.generation, row.due_at), (WriteState::Due, 2, at(100)));
    assert_eq!((row.operation.as_str(), row.attempts), ("op-2", 0));
    ledger.claim(&crm(), at(100), 9).await.unwrap();
    put(ledger, [WriteChange::RemoveGeneration(target.clone(), 2)]).await;
    assert!(pending(ledger).await.is_empty());
    put(ledger, [WriteChange::RemoveGeneration(target, 2)]).await;
}

fn failed(write: Write, state: WriteState, is_uncertain: bool) -> Write {
    Write {
        state,
        due_at: at(500),
        attempts: 3,
        problem: Some(Problem::new(Code::ToolError, "no")),
        is_uncertain,
        ..write
    }
}

pub(super) async fn a_failed_attempt_ends_its_lease(ledger: &dyn Ledger) {
    seed(ledger, 1, "a@x.org").await;
    for state in [WriteState::Due, WriteState::Dead] {
        let target = object(&format!("{state:?}"));
        put(ledger, [WriteChange::Put(write(&target, 1, 1))]).await;
        let claimed = ledger.claim(&crm(), at(60), 9).await.unwrap().remove(0);
        let outcome = failed(claimed, state, false);
        put(ledger, [WriteChange::Settle(outcome.clone())]).await;
        assert_eq!(ledger.writes(&[state], None, 9).await.unwrap(), [outcome]);
    }
    put(ledger, [WriteChange::Settle(write(&object("unknown"), 1, 1))]).await;
    assert_eq!(pending(ledger).await.len(), 2);
    // Nothing is on its way there, so nothing can have come of it.
    let early = failed(write(&object("Dead"), 1, 1), WriteState::Due, false);
    put(ledger, [WriteChange::Settle(early)]).await;
    assert_eq!(ledger.writes(&[WriteState::Dead], None, 9).await.unwrap().len(), 1);
}

pub(super) async fn a_failed_attempt_does_not_undo_a_newer_wish(ledger: &dyn Ledger) {
    seed(ledger, 1, "a@x.org").await;
    for (is_uncertain, operation) in [(false, "op-2"), (true, "op-1")] {
        let target = object(operation);
        put(ledger, [WriteChange::Put(write(&target, 1, 1))]).await;
        let claimed = ledger.claim(&crm(), at(60), 9).await.unwrap().remove(0);
        put(ledger, [WriteChange::Put(write(&target, 1, 2))]).await;
        let outcome = failed(claimed, WriteState::Dead, is_uncertain);
        put(ledger, [WriteChange::Settle(outcome)]).await;
        let rows = pending(ledger).await;
        let row = rows.iter().find(|row| row.target == target).unwrap();
        assert_eq!((row.state, row.due_at, row.attempts), (WriteState::Due, at(100), 0));
        assert_eq!((row.generation, row.operation.as_str()), (2, operation));
        assert_eq!((row.is_uncertain, &row.problem), (is_uncertain, &None));
        assert_eq!(row.fields, write(&target, 1, 2).fields);
    }
}

pub(super) async fn an_older_wish_does_not_undo_a_newer_one(ledger: &dyn Ledger) {
    seed(ledger, 1, "a@x.org").await;
    let target = object("1");
    put(ledger, [WriteChange::Put(write(&target, 1, 2))]).await;
    let older = failed(write(&target, 1, 1), WriteState::Held, false);
    put(ledger, [WriteChange::Put(older.clone())]).await;
    let expected = Write {
        state: older.state,
        due_at: older.due_at,
        attempts: older.attempts,
        problem: older.problem,
        ..write(&target, 1, 2)
    };
    assert_eq!(pending(ledger).await, [expected]);
}

pub(super) async fn what_may_have_been_made_stays_uncertain(ledger: &dyn Ledger) {
    seed(ledger, 1, "a@x.org").await;
    let target = Target {
        stream: crm(),
        slot: Slot::New(key(1)),
    };
    put(ledger, [WriteChange::Put(write(&target, 1, 1))]).await;
    let claimed = ledger.claim(&crm(), at(60), 9).await.unwrap().remove(0);
    put(ledger, [WriteChange::Settle(failed(claimed, WriteState::Due, true))]).await;
    // A fold that looked before all that.
    put(ledger, [WriteChange::Put(write(&target, 1, 2))]).await;
    assert!(pending(ledger).await[0].is_uncertain);
    // Not wanted any more, then wanted again, also after the process died.
    put(ledger, [WriteChange::Remove(target.clone())]).await;
    assert!(pending(ledger).await.is_empty());
    assert_eq!(ledger.release_leases(at(70)).await.unwrap(), 0);
    put(ledger, [WriteChange::Put(write(&target, 1, 1))]).await;
    assert!(pending(ledger).await[0].is_uncertain);
    // Made for certain: the next one is a new one.
    let claimed = ledger.claim(&crm(), at(70), 9).await.unwrap().remove(0);
    let made = WriteChange::RemoveGeneration(target.clone(), claimed.generation);
    put(ledger, [made, WriteChange::Remove(target.clone())]).await;
    put(ledger, [WriteChange::Put(write(&target, 1, 1))]).await;
    assert!(!pending(ledger).await[0].is_uncertain);
}

pub(super) async fn a_removed_write_cannot_be_acknowledged_by_a_late_answer(ledger: &dyn Ledger) {
    seed(ledger, 1, "a@x.org").await;
    let target = object("1");
    let claim = async || {
        put(ledger, [WriteChange::Put(write(&target, 1, 1))]).await;
        let claimed = ledger.claim(&crm(), at(60), 9).await.unwrap().remove(0);
        put(ledger, [WriteChange::Remove(target.clone())]).await;
        assert!(pending(ledger).await.is_empty());
        claimed
    };
    // The late answer finds nothing.
    claim().await;
    put(ledger, [WriteChange::RemoveGeneration(target.clone(), 1)]).await;
    assert!(pending(ledger).await.is_empty());
    // A late failure does not bring it back.
    let claimed = claim().await;
    put(ledger, [WriteChange::Settle(failed(claimed, WriteState::Due, false))]).await;
    assert!(pending(ledger).await.is_empty());
    // The late answer does not end a new wish, although that counts its generations from the start and bears the
    // same name.
    claim().await;
    put(ledger, [WriteChange::Put(write(&target, 1, 1))]).await;
    put(ledger, [WriteChange::RemoveGeneration(target.clone(), 1)]).await;
    assert_eq!(pending(ledger).await.remove(0).state, WriteState::Due);
    put(ledger, [WriteChange::Remove(target)]).await;
    assert!(pending(ledger).await.is_empty());
}

pub(super) async fn leases_are_released(ledger: &dyn Ledger) {
    seed(ledger, 1, "a@x.org").await;
    put(
        ledger,
        [
            WriteChange::Put(write(&object("1"), 1, 1)),
            WriteChange::Put(write(&object("2"), 1, 1)),
        ],
    )
    .await;
    ledger.claim(&crm(), at(60), 1).await.unwrap();
    assert_eq!(ledger.release_leases(at(70)).await.unwrap(), 1);
    let again = ledger.claim(&crm(), at(70), 9).await.unwrap();
    let attempts: Vec<_> = again.iter().map(|write| write.attempts).collect();
    assert_eq!(attempts, [2, 1]);
    assert_eq!(again[0].operation, "op-1");
}

pub(super) async fn what_is_held_waits_until_it_is_released(ledger: &dyn Ledger) {
    seed(ledger, 1, "a@x.org").await;
    let create = Target {
        stream: crm(),
        slot: Slot::New(key(1)),
    };
    let late = |target: &Target| {
        WriteChange::Put(Write {
            due_at: at(60),
            ..write(target, 1, 1)
        })
    };
    put(
        ledger,
        [
            WriteChange::Put(write(&object("old"), 1, 1)),
            late(&object("7")),
            late(&object("8")),
            late(&create),
        ],
    )
    .await;
    let counted = |creates, updates| DueWrites {
        creates,
        updates,
        deletes: 0,
    };
    assert_eq!(
        ledger.due(&crm(), at(50)).await.unwrap(),
        counted(1, 2),
        "the old one was due before"
    );
    let why = Problem::new(Code::WritesHeld, "too many");
    assert_eq!(ledger.hold_due(&crm(), at(50), why.clone()).await.unwrap(), 3);
    assert_eq!(ledger.due(&crm(), at(50)).await.unwrap(), DueWrites::default());
    let claimed = ledger.claim(&crm(), at(1000), 10).await.unwrap();
    assert_eq!(
        claimed.iter().map(|write| write.target.clone()).collect::<Vec<_>>(),
        [object("old")]
    );
    let held = ledger.writes(&[WriteState::Held], None, 10).await.unwrap();
    assert!(held.len() == 3 && held.iter().all(|write| write.problem.as_ref() == Some(&why)));
    assert_eq!(ledger.release_held(at(70)).await.unwrap(), 3);
    assert_eq!(ledger.claim(&crm(), at(69), 10).await.unwrap().len(), 0);
    assert_eq!(ledger.claim(&crm(), at(70), 10).await.unwrap().len(), 3);
    assert_eq!(ledger.count_records(&crm()).await.unwrap(), 1);
}

pub(super) async fn a_touched_customer_counts_like_a_changed_one(ledger: &dyn Ledger) {
    let id = seed(ledger, 1, "a@x.org").await;
    let mut touching = commit();
    touching.touched.push((key(1), 1));
    touching.records.push((record(&id, "b@x.org"), key(1)));
    ledger.apply(touching.clone()).await.unwrap();
    let customer = ledger.customer(&key(1)).await.unwrap().unwrap();
    assert_eq!(customer.version, 2);
    assert_eq!(
        ledger.apply(touching).await,
        Err(Error::Stale),
        "somebody saw an older state"
    );
    let mut unknown = commit();
    unknown.touched.push((key(9), 1));
    assert_eq!(ledger.apply(unknown).await, Err(Error::Stale));
}
