//! The identity cache against a real Redis: found on this machine, started on a free port, killed at will.
//!
//! Without `redis-server` and `redis-cli` these tests are skipped, and say so.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "the lints spare test functions only, not what helps them"
)]

mod budget;
mod erased;
pub(crate) mod server;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use nivel::cache::{self, Ask, Hints, IdentityCache, Learned};
use nivel::error::Code;
use nivel::model::{CustomerKey, Identifier, IdentifierKind, RecordId, StreamId};

use self::server::{Server, until};

const TTL: Duration = Duration::from_secs(3_600);
const SECRET: &str = "a secret of the ledger";

async fn open(server: &Server) -> Arc<dyn IdentityCache> {
    cache::open(Some(&server.url()), TTL, &SECRET.into()).await.unwrap()
}

/// A call must come back soon, whatever Redis does; the slack is for a busy machine.
async fn soon<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3), call)
        .await
        .expect("in time")
}

/// Learns until it is known: on a busy machine a call may run out of its time, and then Redis rightly rests.
async fn learn(cache: &dyn IdentityCache, learned: &Learned, ask: &Ask, expected: &Hints) {
    until("what was learned is known", async || {
        cache.learn(learned).await;
        cache.look_up(ask).await == *expected
    })
    .await;
}

async fn learn_anna(cache: &dyn IdentityCache) {
    learn(cache, &anna(), &ask(), &all_known()).await;
}

async fn knows(cache: &dyn IdentityCache, expected: &Hints) {
    until("the cache knows it", async || cache.look_up(&ask()).await == *expected).await;
}

fn key(number: u8) -> CustomerKey {
    format!("per_{number:032x}").parse().unwrap()
}

fn email(text: &str) -> Identifier {
    Identifier::new(IdentifierKind::Email, text)
}

fn record(id: &str) -> RecordId {
    StreamId::new("crm", "contact").record(id)
}

fn anna() -> Learned {
    Learned {
        identifiers: vec![(email("anna@acme.com"), key(1)), (email("bob@acme.com"), key(2))],
        records: vec![(record("7"), key(1))],
    }
}

fn ask() -> Ask {
    Ask {
        identifiers: vec![email("bob@acme.com"), email("nobody@acme.com"), email("anna@acme.com")],
        records: vec![record("8"), record("7")],
    }
}

fn all_known() -> Hints {
    Hints {
        identifiers: vec![Some(key(2)), None, Some(key(1))],
        records: vec![None, Some(key(1))],
    }
}

fn nothing_known() -> Hints {
    Hints {
        identifiers: vec![None; 3],
        records: vec![None; 2],
    }
}

/// The name of an entry, made as the documentation tells other programs to.
fn name(kind: char, text: &str) -> String {
    let digest = |text: &str, bytes: usize| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..bytes])
    };
    format!("nivel:{}:{kind}:{}", digest("namespace", 6), digest(text, 16))
}

#[tokio::test]
async fn what_one_process_learns_another_one_knows() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let (one, other) = (open(&server).await, open(&server).await);
    assert_eq!(one.look_up(&ask()).await, nothing_known());
    learn_anna(&*one).await;
    knows(&*other, &all_known()).await;
    let health = other.health();
    assert_eq!(
        (health.kind, health.is_up, health.hits, health.problem),
        ("redis", true, 3, None)
    );
    assert!(health.misses >= 2);

    // Later entries win, also later ones of the same commit.
    let moved = Learned {
        identifiers: vec![(email("anna@acme.com"), key(8)), (email("anna@acme.com"), key(9))],
        records: vec![],
    };
    let mut expected = all_known();
    expected.identifiers[2] = Some(key(9));
    learn(&*one, &moved, &ask(), &expected).await;
    knows(&*other, &expected).await;
    one.learn(&Learned::default()).await;
    assert_eq!(one.look_up(&Ask::default()).await, Hints::default());
}

#[tokio::test]
async fn a_page_is_one_command() {
    let Some(server) = Server::start(&[]).await else {
        return;
    };
    let cache = open(&server).await;
    let page = Ask {
        identifiers: (0..1_500).map(|n| email(&format!("{n}@acme.com"))).collect(),
        records: (0..500).map(|n| record(&n.to_string())).collect(),
    };
    let asked = std::cell::Cell::new(0);
    until("redis answers", async || {
        asked.set(asked.get() + 1);
        cache.look_up(&page).await;
        cache.health().is_up
    })
    .await;
    let stats = server.cli(&["INFO", "commandstats"]);
    let calls = |command: &str| {
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse::<u32>().unwrap())
    };
    assert!((1..=asked.get()).contains(&calls("mget")), "{stats}");
    assert_eq!(calls("get"), 0);
}

#[tokio::test]
async fn other_programs_find_a_customer_as_documented() {
    let Some(server) = Server::start(&[]).await else { return };
    learn_anna(&*open(&server).await).await;
    assert_eq!(
        server.cli(&["GET", &name('i', "email:anna@acme.com")]),
        key(1).to_string()
    );
    assert_eq!(server.cli(&["GET", &name('r', "crm/contact/7")]), key(1).to_string());
    let ttl: u64 = server.cli(&["TTL", &name('r', "crm/contact/7")]).parse().unwrap();
    assert!((3_500..=3_600).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn no_address_is_ever_in_redis() {
    let Some(server) = Server::start(&["--dbfilename", "dump.rdb", "--rdbcompression", "no"]).await else {
        return;
    };
    let cache = open(&server).await;
    let learned = Learned {
        identifiers: vec![
            (email("canary@acme.com"), key(1)),
            (
                Identifier::new(IdentifierKind::PhoneName, "+4930901820/canary bird"),
                key(1),
            ),
        ],
        records: vec![(record("canary"), key(1))],
    };
    until("three entries are written", async || {
        cache.learn(&learned).await;
        server.names().len() == 3
    })
    .await;
    assert_eq!(server.cli(&["SAVE"]), "OK");
    let dump = std::fs::read(server.dir.path().join("dump.rdb")).unwrap();
    let dump = String::from_utf8_lossy(&dump);
    assert!(dump.contains("per_"), "the dump holds the entries in plain text");
    for canary in ["canary", "acme", "4930901820", "crm", SECRET] {
        assert!(!dump.contains(canary), "{canary}");
    }
}

#[tokio::test]
async fn a_killed_redis_is_missed_and_comes_back_by_itself() {
    let Some(mut server) = Server::start(&[]).await else {
        return;
    };
    let cache = open(&server).await;
    learn_anna(&*cache).await;
    server.kill();
    for _ in 0..50 {
        assert_eq!(soon(cache.look_up(&ask())).await, nothing_known());
        soon(cache.learn(&anna())).await;
        soon(cache.clear()).await;
    }
    let health = cache.health();
    assert!(!health.is_up);
    assert_eq!(health.problem.unwrap().code, Code::CacheDown);
    server.up().await;
    learn_anna(&*cache).await;
    let health = cache.health();
    assert_eq!((health.is_up, health.problem), (true, None));
}

#[tokio::test]
async fn a_redis_that_hangs_holds_nobody_up() {
    let Some(server) = Server::start(&[]).await else { return };
    let cache = open(&server).await;
    learn_anna(&*cache).await;
    server.signal("-STOP");
    assert_eq!(soon(cache.look_up(&ask())).await, nothing_known());
    assert!(!cache.health().is_up);
    // While it is paused a call costs nothing at all.
    let calls = async {
        for _ in 0..1_000 {
            assert_eq!(cache.look_up(&ask()).await, nothing_known());
        }
    };
    soon(calls).await;
    server.signal("-CONT");
    knows(&*cache, &all_known()).await;
}

#[tokio::test]
async fn a_redis_that_comes_late_is_used() {
    let Some(mut server) = Server::start(&[]).await else {
        return;
    };
    server.kill();
    let cache = soon(open(&server)).await;
    assert!(!cache.health().is_up);
    server.up().await;
    learn_anna(&*cache).await;
}

#[tokio::test]
async fn a_flushed_redis_is_empty_and_nothing_else() {
    let Some(server) = Server::start(&[]).await else { return };
    let cache = open(&server).await;
    learn_anna(&*cache).await;
    assert_eq!(server.cli(&["FLUSHALL"]), "OK");
    assert_eq!(cache.look_up(&ask()).await, nothing_known());
    assert_eq!(cache.health().problem, None);
    learn_anna(&*cache).await;
}

#[tokio::test]
async fn what_others_wrote_there_is_not_believed() {
    let Some(server) = Server::start(&[]).await else { return };
    let cache = open(&server).await;
    let (anna, bob, seven) = (
        name('i', "email:anna@acme.com"),
        name('i', "email:bob@acme.com"),
        name('r', "crm/contact/7"),
    );
    for garbage in [
        "",
        "per_",
        "per_xyz",
        "1",
        "per_00000000000000000000000000000001 ",
        &"x".repeat(100_000),
    ] {
        server.cli(&["SET", &anna, garbage]);
        server.cli(&["DEL", &bob, &seven]);
        server.cli(&["LPUSH", &bob, "per_00000000000000000000000000000001"]);
        server.cli(&["HSET", &seven, "a", "b"]);
        let hints = async || (cache.look_up(&ask()).await, cache.health().is_up);
        until("redis answers with garbage", async || {
            hints().await == (nothing_known(), true)
        })
        .await;
    }
    learn_anna(&*cache).await;
    assert_eq!(cache.health().problem, None);
}

#[tokio::test]
async fn clearing_takes_our_own_entries_only() {
    let Some(server) = Server::start(&[]).await else { return };
    let cache = open(&server).await;
    let other = cache::open(Some(&server.url()), TTL, &"another ledger".into())
        .await
        .unwrap();
    server.cli(&["SET", "session:1", "x"]);
    learn_anna(&*other).await;
    let identifiers = (0..5_000).map(|n| (email(&format!("{n}@acme.com")), key(1))).collect();
    let many = Learned {
        identifiers,
        records: vec![],
    };
    until("5000 entries are written beside the other four", async || {
        cache.learn(&many).await;
        server.names().len() == 5_004
    })
    .await;
    until("only the other four are left", async || {
        cache.clear().await;
        server.names().len() <= 4
    })
    .await;
    assert_eq!(server.names().len(), 4);
    knows(&*other, &all_known()).await;
    assert_eq!(cache.look_up(&ask()).await, nothing_known());
}

#[tokio::test]
async fn p60_a_redis_that_drops_keys_is_reported() {
    let Some(server) = Server::start(&["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"]).await else {
        return;
    };
    let cache = open(&server).await;
    let health = cache.health();
    assert!(health.is_up);
    let problem = health.problem.unwrap();
    assert_eq!(problem.code, Code::CacheEvicts);
    assert!(problem.message.contains("allkeys-lru"), "{problem}");
    learn_anna(&*cache).await;
}

#[tokio::test]
async fn a_full_redis_is_still_read() {
    let Some(server) = Server::start(&[]).await else { return };
    let cache = open(&server).await;
    learn_anna(&*cache).await;
    assert_eq!(server.cli(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    let new = Learned {
        identifiers: vec![(email("nobody@acme.com"), key(3))],
        records: vec![],
    };
    until("it is read although it refuses to be written", async || {
        cache.learn(&new).await;
        let health = cache.health();
        cache.look_up(&ask()).await == all_known()
            && health.is_up
            && health.problem.is_some_and(|problem| problem.code == Code::CacheDown)
    })
    .await;
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    let mut expected = all_known();
    expected.identifiers[1] = Some(key(3));
    learn(&*cache, &new, &ask(), &expected).await;
    assert_eq!(cache.health().problem, None);
}

#[tokio::test]
async fn passwords_are_used_and_never_shown() {
    let Some(server) = Server::start(&["--requirepass", "opensesame"]).await else {
        return;
    };
    let with = async |password: &str| {
        let url = format!("redis://:{password}@127.0.0.1:{}", server.port);
        cache::open(Some(&url.into()), TTL, &SECRET.into()).await.unwrap()
    };
    let cache = with("opensesame").await;
    learn_anna(&*cache).await;
    let cache = with("wrong-canary").await;
    assert_eq!(cache.look_up(&ask()).await, nothing_known());
    let problem = cache.health().problem.unwrap();
    assert_eq!(problem.code, Code::CacheDown);
    assert!(!problem.to_string().contains("canary"), "{problem}");
    // The password is changed on the server: what was refused once is tried again.
    server.cli(&["-a", "opensesame", "CONFIG", "SET", "requirepass", "wrong-canary"]);
    knows(&*cache, &all_known()).await;

    for url in ["http://:canary@localhost", "canary", "", "rediss://:canary@localhost"] {
        let problem = cache::open(Some(&url.into()), TTL, &SECRET.into())
            .await
            .map(drop)
            .unwrap_err();
        assert_eq!(problem.code, Code::ConfigInvalid, "{url}");
        assert!(!problem.to_string().contains("canary"), "{problem}");
    }
}

#[tokio::test]
async fn without_a_url_the_cache_is_in_the_process() {
    let cache = cache::open(None, TTL, &SECRET.into()).await.unwrap();
    learn_anna(&*cache).await;
    assert_eq!(cache.health().kind, "memory");
}
