//! What the admin's own programs are told: at least once and with the same id, each customer's events in their order, and
//! nothing of whom it forgot.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use nivel::config::Config;
use nivel::daemon::Postman;
use nivel::ledger::Erasure;
use nivel::model::{Clock, TestClock};
use nivel::sync::{Engine, Silent};
use serde_json::Value as Json;
use sha2::Sha256;

use crate::trial::Trial;

pub(crate) const SECRETS: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZg== whsec_ZmVkY2JhOTg3NjU0MzIxMA==";
const KEYS: [&[u8]; 2] = [b"0123456789abcdef", b"fedcba9876543210"];

/// One receiver; what it answers can be changed.
pub(crate) struct Receiver {
    pub(crate) url: String,
    status: Arc<AtomicU16>,
    got: Arc<Mutex<Vec<(HeaderMap, String)>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let (status, got) = (Arc::new(AtomicU16::new(200)), Arc::default());
        let (answer, kept) = (Arc::clone(&status), Arc::<Mutex<Vec<_>>>::clone(&got));
        let take = move |headers: HeaderMap, body: String| {
            kept.lock().unwrap().push((headers, body));
            let status = StatusCode::from_u16(answer.load(Ordering::SeqCst)).unwrap();
            async move { status }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/bus", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(take);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, status, got }
    }

    /// (id, event) of everything that came since the last time, both signatures proven.
    pub(crate) fn take(&self) -> Vec<(String, Json)> {
        let got = std::mem::take(&mut *self.got.lock().unwrap());
        got.into_iter()
            .map(|(headers, body)| {
                let say = |name: &str| headers[name].to_str().unwrap().to_owned();
                let signatures = KEYS.map(|key| {
                    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
                    mac.update(format!("{}.{}.{body}", say("webhook-id"), say("webhook-timestamp")).as_bytes());
                    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
                });
                assert_eq!(say("webhook-signature"), signatures.join(" "));
                (say("webhook-id"), serde_json::from_str(&body).unwrap())
            })
            .collect()
    }
}

struct Scene {
    trial: Trial,
    receiver: Receiver,
    clock: Arc<TestClock>,
    engine: Engine,
    postman: Postman,
}

async fn engine(trial: &Trial, clock: &Arc<TestClock>) -> (Engine, Postman) {
    let config = Config::load(&[trial.dir.path().join("nivel.yaml")], &BTreeMap::new())
        .unwrap_or_else(|problems| panic!("{problems:#?}"));
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let postman = Postman::new(&config.hooks, &clock).unwrap();
    let engine = nivel::daemon::open(&config, clock, Arc::new(Silent)).await;
    (engine.unwrap_or_else(|problems| panic!("{problems:#?}")), postman)
}

impl Scene {
    async fn new(people: usize) -> Self {
        let trial = Trial::new(9, people).await;
        let receiver = Receiver::start().await;
        let hooks = format!("hooks: {{bus: {{url: \"{}\", secret: {SECRETS}}}}}\n", receiver.url);
        trial.reconfigure(|text| text + &hooks);
        let clock = Arc::new(TestClock::at(nivel::model::SystemClock.now()));
        let (engine, postman) = engine(&trial, &clock).await;
        engine.sync(Some("test")).await.unwrap();
        Self {
            trial,
            receiver,
            clock,
            engine,
            postman,
        }
    }

    async fn deliver(&self) -> u64 {
        self.postman.deliver_due(&self.engine).await.unwrap()
    }

    async fn waiting(&self) -> usize {
        self.engine.ledger().posts(false, 10_000).await.unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_customer_is_told_once_and_a_change_with_what_changed() {
    let scene = Scene::new(8).await;
    assert!(scene.waiting().await > 0);
    scene.deliver().await;
    assert_eq!(scene.waiting().await, 0);
    let first = scene.receiver.take();
    let mut keys: Vec<&str> = first
        .iter()
        .map(|(_, event)| event["data"]["customer"].as_str().unwrap())
        .collect();
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert!(keys.len() > 4 && all >= keys.len());
    let person = scene
        .trial
        .sandbox
        .hubspot
        .people()
        .into_iter()
        .find(|person| person.email.is_some())
        .unwrap();
    scene
        .trial
        .sandbox
        .hubspot
        .edit(&person.id, &serde_json::json!({"phone": "+358405550042"}))
        .unwrap();
    // The tool tells its time in whole seconds: of the present one nothing is read yet.
    let mut changed = Vec::new();
    for _ in 0..200 {
        scene.clock.advance(Duration::from_secs(60));
        scene.engine.sync(None).await.unwrap();
        scene.deliver().await;
        changed = scene.receiver.take();
        if !changed.is_empty() {
            break;
        }
    }
    assert!(
        changed
            .iter()
            .any(|(_, event)| event["data"]["fields"]["phone"] == "+358405550042" && event["data"]["is_new"] == false),
        "{changed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_was_down_gets_all_of_it_later_and_in_order() {
    let scene = Scene::new(3).await;
    scene.receiver.status.store(503, Ordering::SeqCst);
    let person = scene
        .trial
        .sandbox
        .hubspot
        .people()
        .into_iter()
        .find(|person| person.email.is_some())
        .unwrap();
    scene.deliver().await;
    for phone in ["+358405550001", "+358405550002"] {
        scene
            .trial
            .sandbox
            .hubspot
            .edit(&person.id, &serde_json::json!({ "phone": phone }))
            .unwrap();
        scene.clock.advance(Duration::from_secs(60));
        scene.engine.sync(None).await.unwrap();
    }
    let waiting = scene.waiting().await;
    // A customer's later events are not tried while an earlier one waits.
    scene.deliver().await;
    let tried: Vec<String> = scene.receiver.take().into_iter().map(|(id, _)| id).collect();
    let posts = scene.engine.ledger().posts(false, 1000).await.unwrap();
    assert_eq!(posts.len(), waiting);
    for post in &posts {
        let is_first = posts
            .iter()
            .all(|other| other.customer != post.customer || other.id >= post.id);
        assert_eq!(tried.iter().any(|id| *id == post.token), is_first, "{post:?}");
    }
    scene.receiver.status.store(200, Ordering::SeqCst);
    scene.clock.advance(Duration::from_hours(1));
    assert_eq!(scene.deliver().await, waiting as u64);
    let told = scene.receiver.take();
    let ids: Vec<&str> = told.iter().map(|(id, _)| id.as_str()).collect();
    assert!(
        tried.iter().all(|id| ids.contains(&id.as_str())),
        "the same ids as before"
    );
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for (id, event) in &told {
        let number = posts.iter().find(|post| post.token == *id).unwrap().id;
        let before = last.insert(event["data"]["customer"].as_str().unwrap(), number);
        assert!(before.is_none_or(|before| before < number), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dead_waits_for_a_person_and_holds_nothing_up() {
    let scene = Scene::new(2).await;
    scene.receiver.status.store(500, Ordering::SeqCst);
    // Each customer's later events come to their turn when an earlier one is dead.
    for _ in 0..60 {
        scene.deliver().await;
        scene.clock.advance(Duration::from_hours(25));
    }
    let dead = scene.engine.ledger().posts(true, 100).await.unwrap();
    assert!(
        !dead.is_empty() && dead.iter().all(|post| post.is_dead && post.attempts == 10),
        "{dead:?}"
    );
    scene.receiver.take();
    assert_eq!(scene.deliver().await, 0);
    assert!(scene.receiver.take().is_empty(), "what is dead is not tried");
    scene.receiver.status.store(200, Ordering::SeqCst);
    let number = scene
        .engine
        .ledger()
        .replay_posts(Vec::new(), scene.engine.now())
        .await
        .unwrap();
    assert_eq!(number, dead.len() as u64);
    assert_eq!(scene.deliver().await, number);
    assert_eq!(scene.waiting().await, 0);
}

/// The process dies between the answer and the mark: a try whose result never reached the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_answer_and_the_mark_it_is_told_again_with_the_same_id() {
    let scene = Scene::new(2).await;
    let due = scene.engine.ledger().due_posts(scene.engine.now(), 1).await.unwrap();
    let Scene {
        trial,
        receiver,
        clock,
        engine: old,
        postman,
    } = scene;
    drop(postman);
    drop(old);
    let (again, postman) = engine(&trial, &clock).await;
    postman.deliver_due(&again).await.unwrap();
    let first = receiver.take();
    assert!(
        first.iter().any(|(id, _)| *id == due[0].token),
        "ids are kept with the events"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_erased_person_only_her_key_is_told() {
    let scene = Scene::new(3).await;
    let posts = scene.engine.ledger().posts(false, 100).await.unwrap();
    let hers = posts[0].customer.clone();
    let ledger = scene.engine.ledger();
    let key = hers.parse().unwrap();
    let traces = ledger.traces(&key).await.unwrap();
    let mut erasure = Erasure {
        id: 0,
        subject: String::new(),
        customer: Some(key),
        by: "test".to_owned(),
        asked_at: scene.engine.now(),
        marks: 0,
        steps: Vec::new(),
        purged_at: Some(scene.engine.now()),
        scrubbed_at: None,
        done_at: None,
    };
    erasure.id = ledger.begin_erasure(erasure.clone(), Vec::new()).await.unwrap();
    ledger.purge(erasure, traces, Vec::new()).await.unwrap();
    let left: Vec<_> = scene
        .engine
        .ledger()
        .posts(false, 1000)
        .await
        .unwrap()
        .into_iter()
        .filter(|post| post.customer == hers)
        .collect();
    assert!(left.iter().all(|post| post.kind == "customer.erased"), "{left:?}");
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].body, format!("{{\"customer\":\"{hers}\"}}"));
}
