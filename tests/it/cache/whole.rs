//! The cache is only a cache, held against whole syncs: flushed and killed in between, and the tools agree all the same.

use std::sync::Arc;

use nivel::model::SystemClock;
use nivel::sync::Silent;
use secrecy::ExposeSecret;
use serde_json::json;

use super::server::Server;
use crate::trial::Trial;

#[tokio::test(flavor = "multi_thread")]
async fn p60_flushed_or_killed_changes_nothing_but_speed() {
    let Some(mut redis) = Server::start(&[]).await else {
        return;
    };
    let trial = Trial::new(31, 20).await;
    let url = redis.url().expose_secret().to_owned();
    trial.reconfigure(|text| format!("cache: {{url: \"{url}\"}}\n{text}"));
    let engine = trial.engine(Arc::new(SystemClock), Arc::new(Silent)).await;
    engine.sync(Some("test")).await.unwrap();
    assert!(!redis.names().is_empty(), "the sync went past the cache");
    let customers = engine.ledger().totals().await.unwrap().customers;
    let people = trial.sandbox.hubspot.people();
    for (number, is_killed) in [(0, false), (1, true)] {
        if is_killed {
            redis.kill();
        } else {
            redis.cli(&["flushall"]);
        }
        let phone = format!("+35840123460{number}");
        trial
            .sandbox
            .hubspot
            .edit(&people[number].id, &json!({"phone": phone}))
            .unwrap();
        let mut written = Vec::new();
        while written.len() < 4 && !(written.iter().any(|count| *count > 0) && written.ends_with(&[0])) {
            written.push(engine.sync(Some("test")).await.unwrap().written());
        }
        assert_eq!(written.last(), Some(&0), "it comes to rest: {written:?}");
        assert!(written.iter().sum::<u64>() >= 2, "the phone was passed on: {written:?}");
    }
    assert_eq!(
        engine.ledger().totals().await.unwrap().customers,
        customers,
        "keys do not change because of the cache"
    );
    let findings = trial.findings(0);
    assert!(findings.is_empty(), "{findings:#?}");
}
