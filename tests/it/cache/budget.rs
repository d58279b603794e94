//! Rates shared by several processes, against a real Redis: together they never send more than one of them might alone.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nivel::cache::IdentityCache;
use nivel::connector::limits::{Call, Lane, Limits, Quotas, Rule, Settings, Shape};
use nivel::connector::timer::{RealTimer, Timer};
use nivel::model::{Bucket, Late, SharedBudget, SystemClock, Taken};
use tokio::time::Instant;

use super::server::{Server, until};
use super::{SECRET, TTL, open};

const SPAN: Duration = Duration::from_millis(400);
const MAX: u32 = 40;

fn bucket(name: &str, cost: u32) -> Bucket {
    let shape = Shape::of(&Rule::new(MAX, SPAN, 1.0));
    Bucket {
        name: name.to_owned(),
        burst: shape.burst,
        period: shape.period,
        cost,
        is_full_at_first: false,
    }
}

async fn budget(server: &Server) -> Arc<dyn SharedBudget> {
    open(server).await.budget().unwrap()
}

/// Takes as fast as it gets, for `time`: from when to when each grant was asked for, and what it cost.
async fn hammer(budget: Arc<dyn SharedBudget>, time: Duration, cost: u32) -> Vec<(Instant, Instant, u32)> {
    let end = Instant::now() + time;
    let mut granted = Vec::new();
    while Instant::now() < end {
        let asked = Instant::now();
        match budget.take(&[bucket("w", cost)]).await {
            Some(Taken::Now) => granted.push((asked, Instant::now(), cost)),
            Some(Taken::In { wait, .. }) => tokio::time::sleep(wait).await,
            // Slow for a moment on a busy machine; nothing was granted that we know of.
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    granted
}

fn never_too_many(granted: &[(Instant, Instant, u32)]) {
    for (first, _, _) in granted {
        let end = *first + SPAN;
        let inside: u32 = granted
            .iter()
            .filter(|(from, to, _)| from >= first && *to <= end)
            .map(|(_, _, cost)| cost)
            .sum();
        assert!(inside <= MAX, "{inside} within {SPAN:?}, at most {MAX}");
    }
}

#[tokio::test]
async fn p31_processes_that_share_a_redis_share_its_budget() {
    let Some(server) = Server::start(&[]).await else { return };
    let time = 4 * SPAN;
    // Two processes, with four tasks each; one task sends dear calls.
    let (one, two) = (budget(&server).await, budget(&server).await);
    let tasks = (0..8).map(|task| {
        let budget = if task % 2 == 0 { &one } else { &two };
        tokio::spawn(hammer(Arc::clone(budget), time, if task == 7 { 3 } else { 1 }))
    });
    let mut granted = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        granted.extend(task.await.unwrap());
    }
    never_too_many(&granted);
    let total: u32 = granted.iter().map(|(_, _, cost)| cost).sum();
    assert!(total > 2 * MAX, "and most of it is used, but only {total}");
    assert_eq!((one.members(), two.members()), (2, 2));
}

#[tokio::test]
async fn p31_a_flushed_redis_grants_no_second_burst() {
    let Some(server) = Server::start(&[]).await else { return };
    let (one, two) = (budget(&server).await, budget(&server).await);
    let tasks = [
        tokio::spawn(hammer(one, 3 * SPAN, 1)),
        tokio::spawn(hammer(two, 3 * SPAN, 1)),
    ];
    for _ in 0..20 {
        tokio::time::sleep(SPAN / 8).await;
        server.cli(&["FLUSHALL"]);
    }
    let mut granted = Vec::new();
    for task in tasks {
        granted.extend(task.await.unwrap());
    }
    never_too_many(&granted);
}

#[tokio::test]
async fn all_buckets_give_or_none() {
    let Some(server) = Server::start(&[]).await else { return };
    let budget = budget(&server).await;
    let full = Bucket {
        is_full_at_first: true,
        ..bucket("full", 1)
    };
    let slow = Bucket {
        burst: 1,
        period: Duration::from_secs(3600),
        is_full_at_first: true,
        ..bucket("slow", 1)
    };
    let both = [full.clone(), slow];
    assert_eq!(budget.take(&both).await, Some(Taken::Now));
    for _ in 0..50 {
        assert!(matches!(budget.take(&both).await, Some(Taken::In { index: 1, .. })));
    }
    // Had the refused ones spent anything, the burst of the first would be gone.
    assert_eq!(budget.take(std::slice::from_ref(&full)).await, Some(Taken::Now));
    budget.close("full", Duration::from_secs(60)).await;
    let closed = budget.take(&[full]).await;
    assert!(
        matches!(closed, Some(Taken::In { index: 0, wait }) if wait > Duration::from_secs(50)),
        "{closed:?}"
    );
    assert!(
        server.names().iter().all(|name| name.contains(":b:")),
        "no name says what it limits"
    );
}

fn limits(shared: &Arc<dyn SharedBudget>) -> Limits {
    let shared: Late<dyn SharedBudget> = Arc::new(OnceLock::from(Arc::clone(shared)));
    let settings = Settings {
        system: "crm".into(),
        rules: vec![Rule::new(MAX, SPAN, 1.0)],
        parallel: 100,
        shared,
    };
    let quotas = Quotas::new("crm", [], Late::default(), 0.0, Arc::new(SystemClock));
    let timer: Arc<dyn Timer> = Arc::new(RealTimer::default());
    Limits::new(settings, quotas, timer)
}

async fn send(limits: &Limits, count: u32) {
    for _ in 0..count {
        let call = Call {
            path: "/a",
            op: "read",
            key: None,
            lane: Lane::Live,
        };
        drop(limits.enter(&call).await.unwrap());
    }
}

#[tokio::test]
async fn p31_two_limiters_keep_one_pace_and_a_dead_redis_halves_it() {
    let Some(mut server) = Server::start(&[]).await else {
        return;
    };
    let (one, two) = (budget(&server).await, budget(&server).await);
    let shape = Shape::of(&Rule::new(MAX, SPAN, 1.0));
    let (left, right) = (limits(&one), limits(&two));
    let begun = Instant::now();
    tokio::join!(send(&left, 40), send(&right, 40));
    // Together they had one burst and one refill.
    let least = shape.period * (80 - shape.burst);
    assert!(
        begun.elapsed() >= least - Duration::from_millis(1),
        "{:?} for 80 calls",
        begun.elapsed()
    );
    until("each knows of the other", async || {
        one.members() == 2 && two.members() == 2
    })
    .await;
    server.kill();
    // Each goes on with its half, from an empty bucket.
    let half = Shape::of(&Rule::new(MAX / 2, SPAN, 1.0));
    let begun = Instant::now();
    tokio::join!(send(&left, 20), send(&right, 20));
    assert!(
        begun.elapsed() >= half.period * 19,
        "{:?} for 40 calls",
        begun.elapsed()
    );
    server.up().await;
    // Nothing to assert but that it goes on: when it comes back is a matter of pauses.
    tokio::join!(send(&left, 3), send(&right, 3));
}

#[tokio::test]
async fn a_cache_in_the_process_shares_nothing() {
    let cache = nivel::cache::open(None, TTL, &SECRET.into()).await.unwrap();
    assert!(IdentityCache::budget(cache).is_none());
}
