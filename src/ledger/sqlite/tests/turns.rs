//! Nobody waits longer for those with a head start than that.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::Sqlite;
use crate::ledger::{Cause, Commit, Ledger as _, Slot, Target, Write, WriteChange, WriteState};
use crate::model::{Customer, CustomerKey, Fields, Kind, Lineage, StreamId, TestClock, UnixMillis};

/// The longest head start.
const AHEAD_MAX: u64 = 50;

fn key(number: usize) -> CustomerKey {
    CustomerKey {
        id: uuid::Uuid::from_u128(number as u128 + 1),
        kind: Kind::Person,
    }
}

fn customer(number: usize) -> Customer {
    Customer {
        key: key(number),
        golden: Fields::default(),
        lineage: Lineage::new(),
        version: 0,
        merged_into: None,
    }
}

fn write(number: usize, due_at: i64) -> WriteChange {
    WriteChange::Put(Write {
        target: Target {
            stream: StreamId::new("crm", "person"),
            slot: Slot::Object(number.to_string().into()),
        },
        customer: key(number),
        fields: BTreeMap::new(),
        generation: 1,
        due_at: UnixMillis(due_at),
        attempts: 0,
        problem: None,
        state: WriteState::Due,
        operation: number.to_string().into(),
        is_uncertain: false,
        run: None,
        removes_at: None,
    })
}

/// The due times of writes in the order in which they are handed out, `limit` at a time, with their head starts.
async fn order(writes: &[(i64, u64)], limit: usize) -> Vec<(i64, u64)> {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Sqlite::open(&dir.path().join("nivel.db"), &TestClock::at(UnixMillis(0))).unwrap();
    let mut commit = Commit::new(Cause::Rules, UnixMillis(0));
    for (number, (due_at, ahead)) in writes.iter().enumerate() {
        commit.customers.push(customer(number));
        commit.head_starts.insert(key(number), *ahead);
        commit.writes.push(write(number, *due_at));
    }
    ledger.apply(commit).await.unwrap();
    let mut order = Vec::new();
    loop {
        let claimed = ledger
            .claim(&StreamId::new("crm", "person"), UnixMillis(10_000), limit)
            .await
            .unwrap();
        if claimed.is_empty() {
            return order;
        }
        for write in claimed {
            let number: usize = write.operation.parse().unwrap();
            order.push(writes[number]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_write_is_overtaken_only_by_one_that_came_due_within_the_head_start(
        writes in prop::collection::vec((0..200_i64, prop_oneof![Just(0), 0..=AHEAD_MAX]), 1..40),
        limit in 1..12_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let order = runtime.block_on(order(&writes, limit));
        prop_assert_eq!(order.len(), writes.len(), "everybody has a turn, once");
        for (place, (due_at, _)) in order.iter().enumerate() {
            for (before, ahead) in order.iter().take(place) {
                prop_assert!(before - i64::try_from(*ahead).unwrap() <= *due_at, "{before} with {ahead} before {due_at}");
                prop_assert!(*before <= due_at + i64::try_from(AHEAD_MAX).unwrap());
            }
        }
    }
}
