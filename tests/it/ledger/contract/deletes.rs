//! What was not met by a full sweep, and removals that wait.

use nivel::error::{Code, Problem};
use nivel::ledger::{DueWrites, Ledger, Sweep, SweepPage, SweepStage, Write, WriteChange, WriteState};
use nivel::model::{RecordId, UnixMillis};

use super::{at, commit, crm, customer, key, object, put, record, seed, write};

fn page(name: i64, is_over: bool) -> SweepPage {
    SweepPage {
        stream: crm(),
        name: at(name),
        is_over,
        is_flawed: false,
    }
}

async fn read(ledger: &dyn Ledger, name: i64, seen: &[&str], is_over: bool) {
    let mut commit = commit();
    commit.sweep = Some(page(name, is_over));
    commit.seen = seen.iter().map(|remote| crm().record(*remote)).collect();
    ledger.apply(commit).await.unwrap();
}

async fn sweep(ledger: &dyn Ledger) -> Sweep {
    ledger.stream(&crm()).await.unwrap().sweep
}

async fn unmet(ledger: &dyn Ledger, epoch: u64) -> Vec<String> {
    let found = ledger.unmet(&crm(), epoch, "", 99).await.unwrap();
    assert_eq!(ledger.count_unmet(&crm(), epoch).await.unwrap(), found.len() as u64);
    found.into_iter().map(|id| id.remote.to_string()).collect()
}

pub(super) async fn p51_only_what_a_whole_sweep_did_not_meet_is_absent(ledger: &dyn Ledger) {
    for number in 1..=4 {
        seed(ledger, number, &format!("{number}@x.org")).await;
    }
    assert_eq!(unmet(ledger, 0).await, [""; 0], "nothing was swept yet");
    read(ledger, 7, &["1", "unknown"], false).await;
    assert_eq!(sweep(ledger).await.stage, SweepStage::UnderWay);
    // A webhook brings one that the sweep has passed already, and a new one.
    seed_again(ledger, 3).await;
    seed(ledger, 5, "5@x.org").await;
    read(ledger, 7, &["2"], true).await;
    let read_whole = sweep(ledger).await;
    assert_eq!((read_whole.epoch, read_whole.stage), (1, SweepStage::Read));
    assert_eq!(unmet(ledger, 1).await, ["4"]);
    assert_eq!(ledger.unmet(&crm(), 1, "4", 9).await.unwrap(), [] as [RecordId; 0]);
    // The next one is begun, given up, and begun anew: what the first part of it met counts for nothing.
    read(ledger, 8, &["1", "2", "3", "4"], false).await;
    read(ledger, 9, &["1", "2"], true).await;
    assert_eq!(unmet(ledger, 3).await, ["3", "4", "5"]);
    assert_eq!(
        unmet(ledger, 2).await,
        ["5"],
        "the sweep before that one met the others"
    );
    let mut gone = commit();
    gone.customers.push(customer(4, 1));
    let mut deleted = record(&crm().record("4"), "4@x.org");
    deleted.deleted_at = Some(at(100));
    gone.records.push((deleted, key(4)));
    ledger.apply(gone).await.unwrap();
    assert_eq!(unmet(ledger, 3).await, ["3", "5"], "what is deleted is not missed");
}

async fn seed_again(ledger: &dyn Ledger, number: u128) {
    let mut again = commit();
    let id = crm().record(number.to_string());
    again.customers.push(customer(number, 1));
    again.records.push((record(&id, "new@x.org"), key(number)));
    ledger.apply(again).await.unwrap();
}

pub(super) async fn a_sweep_is_held_and_let_out(ledger: &dyn Ledger) {
    read(ledger, 7, &[], true).await;
    let why = Problem::new(Code::SweepHeld, "half of everything");
    ledger
        .note_sweep(&crm(), 9, SweepStage::Held, Some(why.clone()))
        .await
        .unwrap();
    assert_eq!(sweep(ledger).await.stage, SweepStage::Read, "another one was meant");
    ledger
        .note_sweep(&crm(), 1, SweepStage::Held, Some(why.clone()))
        .await
        .unwrap();
    assert_eq!(sweep(ledger).await.problem, Some(why));
    assert_eq!(ledger.streams().await.unwrap()[&crm()].sweep, sweep(ledger).await);
    assert_eq!(ledger.approve_sweeps().await.unwrap(), 1);
    let approved = sweep(ledger).await;
    assert_eq!((approved.stage, approved.problem), (SweepStage::Approved, None));
    assert_eq!(ledger.approve_sweeps().await.unwrap(), 0);
    ledger.note_sweep(&crm(), 1, SweepStage::Over, None).await.unwrap();
    assert_eq!(sweep(ledger).await.stage, SweepStage::Over);
}

pub(super) async fn p51_a_removal_waits_for_its_time_and_is_held_by_itself(ledger: &dyn Ledger) {
    seed(ledger, 1, "a@x.org").await;
    let removal = |remote: &str, removes_at: i64| {
        WriteChange::Put(Write {
            due_at: at(60),
            removes_at: Some(at(removes_at)),
            fields: [].into(),
            ..write(&object(remote), 1, 1)
        })
    };
    let change = WriteChange::Put(Write {
        due_at: at(60),
        ..write(&object("9"), 1, 1)
    });
    put(ledger, [removal("7", 500), removal("8", 400), change]).await;
    let due = |updates, deletes| DueWrites {
        creates: 0,
        updates,
        deletes,
    };
    assert_eq!(ledger.due(&crm(), at(50)).await.unwrap(), due(1, 2));
    assert_eq!(ledger.totals().await.unwrap().deletes, 2);
    let why = Problem::new(Code::WritesHeld, "too many");
    assert_eq!(ledger.hold_deletes(&crm(), at(50), why).await.unwrap(), 2);
    assert_eq!(
        ledger.due(&crm(), at(50)).await.unwrap(),
        due(1, 2),
        "what is held counts"
    );
    assert_eq!(ledger.release_held(at(70)).await.unwrap(), 2);
    let stream = crm();
    let claimed = |now| ledger.claim(&stream, UnixMillis(now), 9);
    assert_eq!(
        claimed(70).await.unwrap().len(),
        1,
        "only the change: a yes cuts no quarantine short"
    );
    assert_eq!(ledger.next_due(&crm()).await.unwrap(), Some(at(400)));
    assert_eq!(claimed(399).await.unwrap().len(), 0);
    let removed = claimed(499).await.unwrap();
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0].removes_at, Some(at(400)));
    // It is back while the removal is on its way: what is wanted next is a change.
    put(ledger, [WriteChange::Put(write(&object("8"), 1, 2))]).await;
    put(ledger, [WriteChange::RemoveGeneration(object("8"), 1)]).await;
    let waiting = ledger.writes(&[WriteState::Due], None, 9).await.unwrap();
    let left: Vec<_> = waiting
        .iter()
        .map(|write| (write.target.clone(), write.removes_at))
        .collect();
    assert!(left.contains(&(object("8"), None)) && left.contains(&(object("7"), Some(at(500)))));
}

pub(super) async fn p52_what_nivel_made_stays_known_as_such(ledger: &dyn Ledger) {
    let id = seed(ledger, 1, "a@x.org").await;
    let mut made = record(&id, "a@x.org");
    made.is_made = true;
    let put = async |record| {
        let mut again = commit();
        let version = ledger.customer(&key(1)).await.unwrap().unwrap().version;
        again.customers.push(customer(1, version));
        again.records.push((record, key(1)));
        ledger.apply(again).await.unwrap();
    };
    put(made.clone()).await;
    let view = ledger.view(super::ask_record(&id)).await.unwrap();
    assert!(view.records[&id].0.is_made);
    put(record(&id, "b@x.org")).await;
    let view = ledger.view(super::ask_record(&id)).await.unwrap();
    assert!(view.records[&id].0.is_made, "that is never forgotten");
}
