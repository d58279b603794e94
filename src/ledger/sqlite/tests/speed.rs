//! How fast three systems of people who are mostly the same go through heads, view and apply.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::ledger::Advance;
use crate::model::Cursor;

/// Processor time this process has used, from the kernel's own account; zero where there is none.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn memory_kib() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with("VmHWM")).collect()
}

pub(super) fn run(people: u128, page: usize) {
    let folder = TempDir::new().unwrap();
    let ledger = open(&folder).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    #[expect(clippy::disallowed_methods, reason = "this is a stop-watch")]
    let clock = std::time::Instant::now;
    let (began, used) = (clock(), processor_time());
    runtime.block_on(async {
        let gate = tokio::sync::Mutex::new(());
        let systems = ["crm", "desk", "mail"].map(|system| read_system(&ledger, &gate, system, people, page));
        futures::future::join_all(systems).await;
    });
    let (took, cost) = (began.elapsed(), processor_time() - used);
    let (again, used) = (clock(), processor_time());
    runtime.block_on(async {
        for system in ["crm", "desk", "mail"] {
            let stream = StreamId::new(system, "contact");
            for chunk in order(system, people).chunks(page) {
                let ids: Vec<_> = chunk.iter().map(|number| stream.record(number.to_string())).collect();
                assert!(ledger.heads(&ids).await.unwrap().iter().all(Option::is_some));
            }
        }
        let totals = ledger.totals().await.unwrap();
        assert_eq!(u128::from(totals.records), people * 3);
        assert_eq!(u128::from(totals.customers), people);
    });
    let (swept, sweep_cost) = (again.elapsed(), processor_time() - used);
    let size = std::fs::metadata(file(&folder)).unwrap().len() >> 20;
    let log = std::fs::metadata(with_suffix(&file(&folder), "-wal")).unwrap().len() >> 20;
    let rate = (people * 3 * 1000) / took.as_millis().max(1);
    println!("first seen: {rate} records/s, {took:?}, processor {cost:?}; pages of {page}");
    println!(
        "unchanged sweep: {swept:?}, processor {sweep_cost:?}; file {size} MiB, log {log} MiB, {}",
        memory_kib()
    );
}

/// Each system lists the same people in an order of its own.
fn order(system: &str, people: u128) -> Vec<u128> {
    let mut numbers: Vec<u128> = (0..people).collect();
    let salt = u64::from(system.as_bytes()[0]);
    numbers.sort_by_key(|number| {
        let mixed = (u64::try_from(*number).unwrap() + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ (salt << 32));
        mixed ^ (mixed >> 29)
    });
    numbers
}

/// One page at a time goes from view to commit, as the engine does it: pages of three systems are about the same people,
/// and nearly every one would find another one's versions.
async fn read_system(ledger: &Sqlite, gate: &tokio::sync::Mutex<()>, system: &str, people: u128, page: usize) {
    let stream = StreamId::new(system, "contact");
    for (version, chunk) in (0..).zip(order(system, people).chunks(page)) {
        let turn = gate.lock().await;
        let commit = fold(ledger, &stream, chunk, version).await;
        ledger.apply(commit).await.unwrap();
        drop(turn);
    }
}

/// The cheapest fold there is: whoever holds an identifier is the customer, and the last record to come wins.
async fn fold(ledger: &Sqlite, stream: &StreamId, chunk: &[u128], version: u64) -> Commit {
    let mut commit = Commit::new(Cause::Run(1), NOW);
    for number in chunk {
        first_seen(&mut commit, stream, *number);
    }
    let ids: Vec<_> = commit.records.iter().map(|(record, _)| record.id.clone()).collect();
    assert!(ledger.heads(&ids).await.unwrap().iter().all(Option::is_none));
    let ask = Ask {
        records: ids.into_iter().collect(),
        identifiers: commit
            .identifiers
            .iter()
            .flat_map(|(_, identifiers)| identifiers.clone())
            .collect(),
        ..Ask::default()
    };
    let view = ledger.view(ask).await.unwrap();
    let versions: BTreeMap<_, _> = view
        .customers
        .iter()
        .map(|(key, customer)| (*key, customer.version))
        .collect();
    for customer in &mut commit.customers {
        customer.version = versions.get(&customer.key).copied().unwrap_or(0);
    }
    commit.advance = Some(Advance {
        stream: stream.clone(),
        from_version: version,
        cursor: Cursor(version.to_string()),
        is_caught_up: false,
        read: 1,
        changed: 1,
        rejected: 0,
    });
    commit
}
