//! What may never happen: more than a window allows, in any stretch of it.

use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::connector::timer::JumpTimer;
use crate::model::{QuotaStore, TestClock, UnixMillis};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

fn rule(max: u32, span: Duration) -> Rule {
    Rule::new(max, span, 1.0)
}

fn budget(rules: impl IntoIterator<Item = Rule>) -> Budget {
    Budget::new(rules.into_iter().enumerate())
}

fn call(path: &str) -> Call<'_> {
    Call {
        path,
        op: "read",
        key: None,
        lane: Lane::Live,
    }
}

fn limits(rules: Vec<Rule>, parallel: usize, timer: Arc<dyn Timer>) -> Limits {
    let clock = Arc::new(TestClock::at(UnixMillis(1_767_225_600_000)));
    let quotas = rules.iter().cloned().enumerate().filter(|(_, rule)| rule.is_quota());
    let quotas = Quotas::new("s", quotas, Late::default(), 0.1, clock);
    let settings = Settings {
        system: "s".into(),
        rules,
        parallel,
        shared: Late::default(),
    };
    Limits::new(settings, quotas, timer)
}

proptest! {
    /// Whatever is asked for and whenever: in no stretch of `span`, both ends included, more than `max` is let through.
    #[test]
    fn no_stretch_of_a_window_holds_more_than_it_allows(
        max in 1_u32..60,
        span_ms in 1_u64..20_000,
        per_key in any::<bool>(),
        cost_max in 1_u32..20,
        asks in prop::collection::vec((0_u64..4_000, 1_u32..20, any::<bool>()), 1..250),
    ) {
        let span = Duration::from_millis(span_ms);
        let mut rule = rule(max, span);
        rule.per_key = per_key;
        // Costs a manifest may declare: at most half of the window (the lint says so).
        let cost_max = cost_max.min((max / 2).max(1));
        rule.costs = (1..=cost_max).map(|cost| (CompactString::from(cost.to_string()), cost)).collect();
        let mut budget = budget([rule]);
        let mut now = Duration::ZERO;
        let mut sent: Vec<(Duration, u32)> = Vec::new();
        for (pause, cost, is_patient) in asks {
            now += Duration::from_micros(pause * span_ms / 4);
            let cost = cost.min(cost_max);
            let op = cost.to_string();
            let call = Call { op: &op, key: Some("7"), ..call("/a") };
            match budget.spend(&call, now) {
                Ok(()) => sent.push((now, cost)),
                Err(lack) if is_patient => {
                    now += lack.wait;
                    prop_assert!(budget.spend(&call, now).is_ok(), "the wait told is enough");
                    sent.push((now, cost));
                }
                Err(_) => {}
            }
        }
        for (at, (first, _)) in sent.iter().enumerate() {
            let inside: u32 = sent[at..].iter().take_while(|(later, _)| *later <= *first + span).map(|(_, cost)| cost).sum();
            prop_assert!(inside <= max, "{inside} within {span:?}, at most {max}");
        }
    }
}

/// Sends as fast as the budget lets for `time`; how many calls went out.
fn run(budget: &mut Budget, call: &Call<'_>, time: Duration) -> usize {
    let mut now = Duration::ZERO;
    let mut sent = 0;
    while now < time {
        match budget.spend(call, now) {
            Ok(()) => sent += 1,
            Err(lack) => now += lack.wait,
        }
    }
    sent
}

#[test]
fn the_steady_pace_is_most_of_what_is_allowed() {
    for (max, span, least) in [
        (100, 10, 0.86),
        (20, 2, 0.84),
        (200, 60, 0.86),
        (5, 1, 0.79),
        (10, 60, 0.79),
    ] {
        let sent = run(&mut budget([rule(max, span * SECOND)]), &call("/a"), 50 * span * SECOND);
        let part = f64::from(u32::try_from(sent).unwrap()) / (50.0 * f64::from(max));
        assert!(part >= least && part <= 1.0, "{max}/{span}s: {part}");
    }
}

#[test]
fn several_windows_give_all_or_nothing() {
    let search = Rule {
        path: Some(Regex::new("/search$").unwrap()),
        ..rule(2, SECOND)
    };
    let mut budget = budget([rule(80, 10 * SECOND), search]);
    assert!(budget.spend(&call("/a/search"), Duration::ZERO).is_ok());
    for _ in 0..50 {
        assert!(budget.spend(&call("/a/search"), Duration::ZERO).is_err());
    }
    // The refused ones took nothing from the window for everything: nine of its ten are left.
    for _ in 0..9 {
        assert!(budget.spend(&call("/a"), Duration::ZERO).is_ok());
    }
    assert!(budget.spend(&call("/a"), Duration::ZERO).is_err());
}

#[test]
fn a_window_per_object_counts_each_object() {
    let per_key = Rule {
        per_key: true,
        op: Some("update".into()),
        ..rule(1, SECOND)
    };
    let mut budget = budget([per_key]);
    fn update(key: &str) -> Call<'_> {
        Call {
            op: "update",
            key: Some(key),
            ..call("/a")
        }
    }
    assert!(budget.spend(&update("1"), Duration::ZERO).is_ok());
    assert!(budget.spend(&update("2"), Duration::ZERO).is_ok());
    assert!(budget.spend(&update("1"), Duration::ZERO).is_err());
    for key in 0..20_000 {
        assert!(budget.spend(&update(&format!("x{key}")), Duration::ZERO).is_ok());
    }
    assert!(budget.keys(0) <= 10_000);
}

#[test]
fn a_dear_call_waits_for_what_it_costs() {
    let mut dear = rule(10, SECOND);
    dear.costs.insert("find".into(), 5);
    let mut budget = budget([dear]);
    let find = Call {
        op: "find",
        ..call("/a")
    };
    assert!(budget.spend(&find, Duration::ZERO).is_ok());
    assert_eq!(budget.spend(&find, Duration::ZERO).unwrap_err().wait, SECOND);
    assert_eq!(budget.spend(&call("/a"), Duration::ZERO).unwrap_err().wait, SECOND / 5);
}

#[test]
fn a_share_leaves_room_for_others_also_of_what_the_headers_tell() {
    let half = Rule::new(100, 10 * SECOND, 0.5);
    assert_eq!((half.max, half.others), (50, 50));
    let mut budget = budget([half]);
    budget.correct(0, &call("/a"), 52, 0, Duration::MAX, Duration::ZERO);
    assert!(budget.spend(&call("/a"), Duration::ZERO).is_ok());
    assert!(budget.spend(&call("/a"), Duration::ZERO).is_ok());
    assert!(
        budget.spend(&call("/a"), Duration::ZERO).is_err(),
        "the other half is not ours"
    );
}

#[test]
fn p28_headers_correct_the_declared_figure() {
    let mut budget = budget([rule(100, 10 * SECOND)]);
    budget.correct(0, &call("/a"), 3, 1, Duration::MAX, Duration::ZERO);
    assert!(budget.spend(&call("/a"), Duration::ZERO).is_ok());
    assert!(budget.spend(&call("/a"), Duration::ZERO).is_ok());
    assert_eq!(budget.spend(&call("/a"), Duration::ZERO).unwrap_err().wait, 10 * SECOND);
    budget.correct(0, &call("/a"), 0, 0, 3 * SECOND, Duration::ZERO);
    assert_eq!(budget.spend(&call("/a"), Duration::ZERO).unwrap_err().wait, 3 * SECOND);
    budget.correct(0, &call("/a"), 90, 0, Duration::MAX, SECOND);
    assert!(budget.spend(&call("/a"), SECOND).is_ok());
    // A larger plan than declared is used, once the tool says so.
    budget.resize(0, 1000, SECOND);
    assert!(run(&mut budget, &call("/a"), 100 * SECOND) > 8000);
}

#[tokio::test]
async fn waits_are_sat_out_and_long_ones_are_handed_back() {
    let timer = Arc::new(JumpTimer::default());
    let limits = limits(vec![rule(1, SECOND)], 4, timer.clone());
    drop(limits.enter(&call("/a")).await.unwrap());
    drop(limits.enter(&call("/a")).await.unwrap());
    assert_eq!(timer.waits(), [Duration::from_millis(1010)]);
    limits.close(&call("/a"), 300 * SECOND).await;
    let failure = limits.enter(&call("/a")).await.err().unwrap();
    assert_eq!((failure.class, failure.wait), (Class::Throttle, Some(300 * SECOND)));
}

#[tokio::test]
async fn p29_a_used_up_quota_parks_and_says_when_it_goes_on() {
    let timer = Arc::new(JumpTimer::default());
    let limits = limits(vec![rule(10, DAY)], 4, timer.clone());
    for _ in 0..9 {
        drop(limits.enter(&call("/a")).await.unwrap());
    }
    let failure = limits.enter(&call("/a")).await.err().unwrap();
    assert_eq!((failure.class, failure.problem.code), (Class::Quota, Code::QuotaUsed));
    assert_eq!(failure.wait, Some(DAY + DAY / 24));
    assert!(failure.problem.message.contains("2026-01-02T01:00:00Z"), "{failure}");
    assert!(timer.waits().is_empty(), "a quota is never slept for");
    // The tenth is kept for a handoff.
    let handoff = Call {
        lane: Lane::Handoff,
        ..call("/a")
    };
    assert!(limits.enter(&handoff).await.is_ok());
    assert!(limits.enter(&handoff).await.is_err());
}

#[tokio::test]
async fn a_quota_is_corrected_by_headers_and_survives_its_limiter() {
    let clock: Arc<TestClock> = Arc::new(TestClock::at(UnixMillis(1_767_225_600_000)));
    let store: Arc<dyn QuotaStore> = Arc::new(super::quota::InMemory::default());
    let late: Late<dyn QuotaStore> = Arc::new(OnceLock::from(store));
    let quotas = || Quotas::new("s", [(0, rule(1000, DAY))], Arc::clone(&late), 0.0, clock.clone());
    let first = quotas();
    first.take(&call("/a")).await.unwrap();
    first.correct(0, &call("/a"), 8, Some(1000)).await.unwrap();
    let second = quotas();
    for _ in 0..4 {
        second.take(&call("/a")).await.unwrap();
    }
    // Four of the eight went as one reservation of the first limiter, which died with it.
    assert!(second.take(&call("/a")).await.is_err());
}

/// Who goes first while calls of all lanes wait for one window.
#[tokio::test]
async fn urgent_calls_go_first_and_nobody_starves() {
    let timer = Arc::new(JumpTimer::default());
    let limits = Arc::new(limits(vec![rule(2, SECOND)], 1, timer));
    let served = Arc::new(Mutex::new(Vec::new()));
    let held = limits.enter(&call("/a")).await.unwrap();
    let mut tasks = Vec::new();
    for lane in [Lane::Backfill, Lane::Retry, Lane::Live, Lane::Webhook, Lane::Handoff] {
        for _ in 0..20 {
            let (limits, served) = (Arc::clone(&limits), Arc::clone(&served));
            tasks.push(tokio::spawn(async move {
                let permit = limits.enter(&Call { lane, ..call("/a") }).await.unwrap();
                served.lock().unwrap().push(lane);
                drop(permit);
            }));
        }
        tokio::task::yield_now().await;
    }
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    drop(held);
    for task in tasks {
        task.await.unwrap();
    }
    let served = served.lock().unwrap();
    assert_eq!(served[0], Lane::Handoff);
    let among = |lane| served[..31].iter().filter(|served| **served == lane).count();
    assert!(among(Lane::Handoff) >= 15, "{served:?}");
    assert!(among(Lane::Backfill) >= 1, "{served:?}");
}

/// A window that is not theirs does not hold others up.
#[tokio::test]
async fn a_call_that_waits_for_its_own_window_lets_others_pass() {
    let search = Rule {
        path: Some(Regex::new("/search$").unwrap()),
        ..rule(1, 60 * SECOND)
    };
    let timer = Arc::new(super::super::timer::RealTimer::default());
    let limits = Arc::new(limits(vec![rule(1000, SECOND), search], 4, timer));
    drop(limits.enter(&call("/search")).await.unwrap());
    let waiting = tokio::spawn({
        let limits = Arc::clone(&limits);
        async move {
            limits
                .enter(&Call {
                    lane: Lane::Handoff,
                    ..call("/search")
                })
                .await
                .is_ok()
        }
    });
    tokio::task::yield_now().await;
    drop(limits.enter(&call("/a")).await.unwrap());
    waiting.abort();
    assert!(waiting.await.is_err());
    // Given up, it leaves no trace.
    assert!(limits.state().waiting.is_empty());
}
