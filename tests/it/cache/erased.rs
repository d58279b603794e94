//! An erased person is in no byte that Redis keeps.

use secrecy::ExposeSecret;
use serde_json::json;

use super::server::Server;
use crate::trial::Trial;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_erased_person_is_in_redis() {
    let Some(redis) = Server::start(&["--rdbcompression", "no"]).await else {
        return;
    };
    let trial = Trial::new(21, 4).await;
    let url = redis.url().expose_secret().to_owned();
    trial.reconfigure(|text| {
        let text = text.replace("create: always", "create: always\n    allow: [erase]");
        format!("cache: {{url: \"{url}\"}}\n{text}")
    });
    let (email, phone) = ("zora.quillfeather@erase-me.example", "+358401239876");
    let body = json!({"email": email, "firstname": "Zora", "lastname": "Quillfeather", "phone": phone});
    let now = trial.sandbox.hubspot.clock.now_ms();
    trial.sandbox.hubspot.seed(&body, now - 5_000, now - 5_000);
    trial.sync().await;
    let shown = trial.nivel(&["-o", "json", "customer", "show", email], None).await;
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let key = shown
        .to_string()
        .split("per_")
        .nth(1)
        .unwrap()
        .chars()
        .take(32)
        .collect::<String>();
    let said = |what: &str| redis.holds(what);
    assert!(!redis.names().is_empty(), "the sync went past the cache");
    assert!(said(&key), "her key is cached before");
    for value in [email, phone, "Quillfeather"] {
        assert!(
            !said(value),
            "{value} stands in Redis although only keyed hashes should"
        );
    }
    let done = trial.nivel(&["customer", "erase", email, "--yes"], None).await;
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stdout));
    for value in [email, phone, "Quillfeather", &key] {
        assert!(!said(value), "{value} is still in Redis");
    }
    trial.sync().await;
    assert!(!said(&key), "she came back into the cache");
}
