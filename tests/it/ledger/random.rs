//! Random lives of a ledger: whatever is done to it, it answers like the model, also after it was closed and opened.

use std::collections::{BTreeMap, BTreeSet};

use nivel::error::{Code, Problem};
use nivel::ledger::{
    Advance, Ask, Cause, Change, Commit, Decision, Error, Ledger, Slot, SweepPage, Target, What, Write, WriteChange,
    WriteState,
};
use nivel::model::{Cursor, Customer, CustomerKey, Record, RecordId};
use proptest::prelude::*;

use super::contract::{at, crm, customer, desk, email, key, record, write};
use super::model::Model;

/// What happens next. Small numbers on purpose: things must meet.
#[derive(Clone, Debug)]
enum Step {
    /// A commit made from the present state, as a fold would.
    Commit(Vec<Act>),
    Claim {
        of_crm: bool,
        now: i64,
        limit: usize,
    },
    Release,
    Decide(u8, u8, bool),
    Park(bool),
    Reopen,
}

#[derive(Clone, Debug)]
enum Act {
    Customer {
        number: u8,
        golden: u8,
        behind: bool,
    },
    Merge {
        from: u8,
        into: u8,
    },
    Record {
        number: u8,
        owner: u8,
        mail: u8,
        deleted: bool,
        bad: bool,
    },
    Identifiers {
        number: u8,
        mails: BTreeSet<u8>,
    },
    Put {
        slot: u8,
        owner: u8,
        generation: u64,
        state: u8,
        due_at: i64,
        operation: u8,
        settles: bool,
        removes_at: Option<i64>,
    },
    Remove {
        slot: u8,
    },
    Acknowledge {
        slot: u8,
        generation: u64,
    },
    Advance {
        caught_up: bool,
        behind: bool,
    },
    Change {
        owner: u8,
        number: Option<u8>,
    },
    Sweep {
        name: u8,
        seen: BTreeSet<u8>,
        is_over: bool,
    },
}

const CUSTOMERS: u8 = 5;
const RECORDS: u8 = 6;

fn act() -> impl Strategy<Value = Act> {
    let (owner, number) = (0..CUSTOMERS, 0..RECORDS);
    prop_oneof![
        3 => (owner.clone(), any::<u8>(), prop::bool::weighted(0.05))
            .prop_map(|(number, golden, behind)| Act::Customer { number, golden, behind }),
        1 => (owner.clone(), owner.clone()).prop_map(|(from, into)| Act::Merge { from, into }),
        4 => (number.clone(), owner.clone(), 0..4_u8, any::<bool>(), any::<bool>())
            .prop_map(|(number, owner, mail, deleted, bad)| Act::Record { number, owner, mail, deleted, bad }),
        3 => (number.clone(), prop::collection::btree_set(0..4_u8, 0..3))
            .prop_map(|(number, mails)| Act::Identifiers { number, mails }),
        5 => (0..4_u8, owner.clone(), 1..4_u64, 0..4_u8, 0..9_i64, 0..3_u8, any::<bool>(), prop::option::of(0..9_i64))
            .prop_map(|(slot, owner, generation, state, due_at, operation, settles, removes_at)| {
                Act::Put { slot, owner, generation, state, due_at, operation, settles, removes_at }
            }),
        2 => (0..2_u8, prop::collection::btree_set(0..RECORDS, 0..3), any::<bool>())
            .prop_map(|(name, seen, is_over)| Act::Sweep { name, seen, is_over }),
        1 => (0..4_u8).prop_map(|slot| Act::Remove { slot }),
        2 => (0..4_u8, 1..4_u64).prop_map(|(slot, generation)| Act::Acknowledge { slot, generation }),
        1 => (any::<bool>(), prop::bool::weighted(0.1))
            .prop_map(|(caught_up, behind)| Act::Advance { caught_up, behind }),
        2 => (owner, prop::option::of(number)).prop_map(|(owner, number)| Act::Change { owner, number }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop::collection::vec(act(), 1..6).prop_map(Step::Commit),
        4 => (any::<bool>(), 0..10_i64, 1..4_usize)
            .prop_map(|(of_crm, now, limit)| Step::Claim { of_crm, now, limit }),
        1 => Just(Step::Release),
        1 => (0..RECORDS, 0..RECORDS, any::<bool>()).prop_map(|(left, right, same)| Step::Decide(left, right, same)),
        1 => any::<bool>().prop_map(Step::Park),
        1 => Just(Step::Reopen),
    ]
}

fn id_of(number: u8) -> RecordId {
    let stream = if number.is_multiple_of(2) { crm() } else { desk() };
    stream.record(number.to_string())
}

fn key_of(number: u8) -> CustomerKey {
    key(u128::from(number))
}

fn target_of(slot: u8) -> Target {
    Target {
        stream: if slot.is_multiple_of(2) { crm() } else { desk() },
        slot: match slot {
            0 | 1 => Slot::Object("1".into()),
            _ => Slot::New(key_of(slot)),
        },
    }
}

fn mail_of(number: u8) -> String {
    format!("m{number}@x.org")
}

/// What a fold makes of the acts: versions come from a fresh view, and a merge takes all records along.
#[expect(clippy::too_many_lines, reason = "one arm for each act")]
async fn fold(ledger: &dyn Ledger, acts: &[Act], now: i64) -> Commit {
    let mut commit = Commit::new(Cause::Run(1), at(now));
    let everybody = (0..CUSTOMERS).map(key_of).collect();
    let ask = Ask {
        customers: everybody,
        ..Ask::default()
    };
    let view = ledger.view(ask).await.unwrap();
    let mut customers: BTreeMap<CustomerKey, Customer> = BTreeMap::new();
    let mut records: BTreeMap<RecordId, (Record, CustomerKey)> = BTreeMap::new();
    for act in acts {
        // Whoever is named exists, otherwise most commits would be refused; some still name an alias.
        if let Act::Record { owner, .. } | Act::Put { owner, .. } | Act::Change { owner, .. } = act {
            let key = key_of(*owner);
            if !view.customers.contains_key(&key) && !view.aliases.contains_key(&key) {
                customers.entry(key).or_insert_with(|| customer((*owner).into(), 0));
            }
        }
        match act {
            Act::Customer { number, golden, behind } => {
                let mut put = view
                    .customers
                    .get(&key_of(*number))
                    .cloned()
                    .unwrap_or_else(|| customer((*number).into(), 0));
                put.golden.set("score", nivel::model::Value::Int((*golden).into()));
                put.version += u64::from(*behind);
                customers.entry(put.key).or_insert(put);
            }
            Act::Merge { from, into } => {
                let both = (view.customers.get(&key_of(*from)), view.customers.get(&key_of(*into)));
                let (Some(alias), Some(live)) = both else { continue };
                if alias.key == live.key || customers.contains_key(&alias.key) || customers.contains_key(&live.key) {
                    continue;
                }
                customers.insert(live.key, live.clone());
                let mut alias = alias.clone();
                alias.merged_into = Some(live.key);
                for (record, owner) in view.records.values().filter(|(_, owner)| *owner == alias.key) {
                    assert_eq!(*owner, alias.key);
                    records.insert(record.id.clone(), (record.clone(), live.key));
                }
                customers.insert(alias.key, alias);
            }
            Act::Record {
                number,
                owner,
                mail,
                deleted,
                bad,
            } => {
                let mut said = record(&id_of(*number), &mail_of(*mail));
                said.deleted_at = deleted.then_some(at(now));
                said.problem = bad.then(|| Problem::new(Code::RecordUnmappable, "no"));
                let owner = key_of(*owner);
                let live = view.aliases.get(&owner).filter(|_| !*bad).copied();
                records.insert(said.id.clone(), (said, live.unwrap_or(owner)));
            }
            Act::Identifiers { number, mails } => {
                let id = id_of(*number);
                if !view.records.contains_key(&id) && !records.contains_key(&id) {
                    continue;
                }
                let asserted = mails.iter().map(|mail| email(&mail_of(*mail))).collect();
                commit.identifiers.push((id, asserted));
            }
            Act::Put {
                slot,
                owner,
                generation,
                state,
                due_at,
                operation,
                settles,
                removes_at,
            } => {
                let states = [WriteState::Due, WriteState::Leased, WriteState::Dead, WriteState::Held];
                let row = Write {
                    state: states[usize::from(*state)],
                    due_at: at(*due_at),
                    operation: format!("op-{operation}").into(),
                    removes_at: removes_at.map(at),
                    ..write(&target_of(*slot), (*owner).into(), *generation)
                };
                // A leased outcome is none.
                let is_outcome = *settles && row.state != WriteState::Leased;
                commit.writes.push(if is_outcome {
                    WriteChange::Settle(row)
                } else {
                    WriteChange::Put(row)
                });
            }
            Act::Remove { slot } => commit.writes.push(WriteChange::Remove(target_of(*slot))),
            Act::Acknowledge { slot, generation } => {
                commit
                    .writes
                    .push(WriteChange::RemoveGeneration(target_of(*slot), *generation));
            }
            Act::Advance { caught_up, behind } => {
                let from_version = ledger.stream(&crm()).await.unwrap().version + u64::from(*behind);
                commit.advance = Some(Advance {
                    stream: crm(),
                    from_version,
                    cursor: Cursor(now.to_string()),
                    is_caught_up: *caught_up,
                    read: 3,
                    changed: 2,
                    rejected: 1,
                });
            }
            Act::Sweep { name, seen, is_over } => {
                commit.sweep = Some(SweepPage {
                    stream: crm(),
                    name: at((*name).into()),
                    is_over: *is_over,
                    is_flawed: false,
                });
                commit.seen = seen.iter().copied().map(id_of).collect();
            }
            Act::Change { owner, number } => commit.changes.push(Change {
                customer: key_of(*owner),
                record: number.map(id_of),
                what: What::Appeared,
            }),
        }
    }
    commit.customers = customers.into_values().collect();
    commit.records = records.into_values().collect();
    commit
}

/// Errors are alike when they are of the same kind: the words are each ledger's own.
fn kind_of<T>(result: Result<T, Error>) -> Result<T, &'static str> {
    result.map_err(|error| match error {
        Error::Stale => "stale",
        Error::Broken(problem) => problem.code.as_str(),
    })
}

async fn take(ledger: &dyn Ledger, step: &Step, now: i64) -> Result<Vec<Write>, &'static str> {
    match step {
        Step::Commit(acts) => {
            let commit = fold(ledger, acts, now).await;
            kind_of(ledger.apply(commit).await).map(|()| Vec::new())
        }
        Step::Claim { of_crm, now, limit } => {
            let stream = if *of_crm { crm() } else { desk() };
            kind_of(ledger.claim(&stream, at(*now), *limit).await)
        }
        Step::Release => kind_of(ledger.release_leases(at(5)).await).map(|_| Vec::new()),
        Step::Decide(left, right, same) => {
            let decision = Decision {
                left: id_of(*left),
                right: id_of(*right),
                same: *same,
            };
            kind_of(ledger.decide(decision, "ana", at(now)).await).map(|()| Vec::new())
        }
        Step::Park(parked) => {
            let problem = parked.then(|| Problem::new(Code::QuotaUsed, "tomorrow"));
            kind_of(ledger.note_stream(&desk(), problem, parked.then_some(at(now))).await).map(|()| Vec::new())
        }
        Step::Reopen => Ok(Vec::new()),
    }
}

/// Everything that can be asked.
async fn compare(left: &dyn Ledger, right: &dyn Ledger) {
    let ids: Vec<_> = (0..RECORDS).map(id_of).collect();
    assert_eq!(left.heads(&ids).await, right.heads(&ids).await);
    let asks = [
        (0..RECORDS)
            .map(|number| Ask {
                records: [id_of(number)].into(),
                ..Ask::default()
            })
            .collect::<Vec<_>>(),
        (0..4)
            .map(|mail| Ask {
                identifiers: [email(&mail_of(mail))].into(),
                ..Ask::default()
            })
            .collect(),
        (0..CUSTOMERS)
            .map(|number| Ask {
                customers: [key_of(number)].into(),
                ..Ask::default()
            })
            .collect(),
    ];
    for ask in asks.into_iter().flatten() {
        assert_eq!(left.view(ask.clone()).await, right.view(ask).await);
    }
    let by_target = |mut writes: Vec<Write>| {
        writes.sort_by(|a, b| a.target.cmp(&b.target));
        writes
    };
    assert_eq!(
        left.writes(&[], None, 99).await.map(by_target),
        right.writes(&[], None, 99).await.map(by_target)
    );
    for number in 0..CUSTOMERS {
        let key = key_of(number);
        assert_eq!(left.customer(&key).await, right.customer(&key).await);
        assert_eq!(left.changes(&key, 99).await, right.changes(&key, 99).await);
    }
    assert_eq!(left.customers(None, 99).await, right.customers(None, 99).await);
    assert_eq!(left.rejected(None, 99).await, right.rejected(None, 99).await);
    assert_eq!(left.streams().await, right.streams().await);
    assert_eq!(left.runs(9).await, right.runs(9).await);
    assert_eq!(left.totals().await, right.totals().await);
    for stream in [crm(), desk()] {
        assert_eq!(left.next_due(&stream).await, right.next_due(&stream).await);
        assert_eq!(left.due(&stream, at(3)).await, right.due(&stream, at(3)).await);
        for epoch in 0..3 {
            assert_eq!(
                left.unmet(&stream, epoch, "", 99).await,
                right.unmet(&stream, epoch, "", 99).await
            );
        }
    }
}

async fn live(steps: &[Step]) {
    let folder = super::folder();
    let model = Model::default();
    let mut ledger = Some(super::open(folder.path()));
    let run = ledger.as_ref().unwrap().open_run(&crm(), at(0)).await.unwrap();
    assert_eq!(model.open_run(&crm(), at(0)).await.unwrap(), run);
    for (now, step) in (1_i64..).zip(steps) {
        if matches!(step, Step::Reopen) {
            drop(ledger.take());
            ledger = Some(super::open(folder.path()));
        }
        let real: &dyn Ledger = ledger.as_ref().unwrap();
        assert_eq!(take(real, step, now).await, take(&model, step, now).await, "{step:?}");
        compare(real, &model).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_lives_like_the_model(steps in prop::collection::vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(live(&steps));
    }
}
