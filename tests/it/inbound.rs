//! Records that come by themselves: what is posted and signed is on disk before it is answered, folded, and reaches the
//! other tools. What cannot be mapped is kept with its problem.

use std::collections::BTreeMap;
use std::sync::Arc;

use nivel::config::Config;
use nivel::ledger::{Fate, Inbox};
use nivel::model::{StreamId, SystemClock, UnixMillis};
use nivel::sync::{Engine, Silent};
use nivel::webhook::{Intake, Limits, signed};
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

use crate::trial::Trial;

const KEY: &[u8] = b"0123456789abcdef";
const OLD_KEY: &[u8] = b"fedcba9876543210";

/// A door for forms beside the three tools.
struct Scene {
    trial: Trial,
    engine: Engine,
    base: String,
}

impl Scene {
    async fn new() -> Self {
        let trial = Trial::new(5, 3).await;
        trial.reconfigure(|text| {
            let door = "  forms:\n    connector: inbound\n    role: channel\n    config:\n      secret: whsec_MDEyMzQ1Njc4OWFiY2RlZg== whsec_ZmVkY2JhOTg3NjU0MzIxMA==\n      stream: lead\n      rows: entries\n      id: \"{{ e.contact.mail | lower }}\"\n      at: sent\n      fields: {email: {path: contact.mail, type: email}, full_name: contact.name, vip: {path: vip, type: bool}}\nfields:\n";
            text.replace("fields:\n", door)
        });
        let config = Config::load(&[trial.dir.path().join("nivel.yaml")], &BTreeMap::new())
            .unwrap_or_else(|problems| panic!("{problems:#?}"));
        let engine = nivel::daemon::open(&config, Arc::new(SystemClock), Arc::new(Silent))
            .await
            .unwrap_or_else(|problems| panic!("{problems:#?}"));
        let inbox: Arc<dyn Inbox> = Arc::clone(engine.ledger()) as Arc<dyn Inbox>;
        let intake = Intake::open(
            engine.connections(),
            |_| false,
            inbox,
            Arc::new(SystemClock),
            Limits::default(),
            Arc::new(Notify::new()),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/webhooks/forms", listener.local_addr().unwrap());
        tokio::spawn(nivel::http::serve(
            listener,
            nivel::http::webhooks(Arc::new(intake)),
            std::future::pending(),
        ));
        engine.sync(Some("test")).await.unwrap();
        engine.sync(Some("test")).await.unwrap();
        Self { trial, engine, base }
    }

    async fn post(&self, key: &[u8], id: &str, body: &Json) -> u16 {
        let body = body.to_string().into_bytes();
        let headers = signed(&[key.to_vec()], id, self.engine.now(), &body).unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client
            .post(&self.base)
            .headers(headers)
            .body(body)
            .send()
            .await
            .unwrap();
        answer.status().as_u16()
    }

    async fn fate(&self, fate: Fate) -> u64 {
        let all = self.engine.ledger().inbox().await.unwrap();
        let state = &all["forms"];
        let fates: u64 = state.fates.values().sum();
        assert_eq!(state.received, state.waiting + fates, "{state:?}");
        state.fates.get(&fate).copied().unwrap_or_default()
    }

    /// What the record of a form says.
    async fn says(&self, id: &str) -> Option<(Json, Option<UnixMillis>, bool)> {
        let record = StreamId::new("forms", "lead").record(id);
        let ask = nivel::ledger::Ask {
            records: [record.clone()].into(),
            ..nivel::ledger::Ask::default()
        };
        let view = self.engine.ledger().view(ask).await.unwrap();
        let (record, _) = view.records.get(&record)?;
        Some((json!(record.fields), record.updated_at, record.problem.is_some()))
    }
}

fn entry(mail: &str, name: &str) -> Json {
    json!({"contact": {"mail": mail, "name": name}, "vip": true, "sent": "2026-01-31T08:00:00Z"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_becomes_a_customer_and_reaches_the_tools() {
    let scene = Scene::new().await;
    let body = json!({"entries": [entry("Kaisa@Form.example.com", "Kaisa Niemi"), entry("olli@form.example.com", "Olli Aho")]});
    assert_eq!(scene.post(b"another key that is wrong", "m1", &body).await, 401);
    assert_eq!(scene.post(KEY, "m1", &body).await, 200);
    assert_eq!(scene.post(KEY, "m1", &body).await, 200, "sent again");
    assert_eq!(scene.fate(Fate::Duplicate).await, 2);
    // Signed with the secret that is on its way out.
    let more = json!({"entries": [entry("eeva@form.example.com", "Eeva Salo")]});
    assert_eq!(scene.post(OLD_KEY, "m2", &more).await, 200);
    scene.engine.drain_inboxes().await.unwrap();
    assert_eq!(scene.fate(Fate::Applied).await, 3);
    let (fields, at, _) = scene.says("kaisa@form.example.com").await.unwrap();
    assert_eq!(fields["full_name"], "Kaisa Niemi");
    assert_eq!(at, UnixMillis::from_rfc3339("2026-01-31T08:00:00Z"));
    scene.engine.sync(None).await.unwrap();
    let people = scene.trial.sandbox.hubspot.people();
    assert!(
        people
            .iter()
            .any(|person| person.email.as_deref() == Some("kaisa@form.example.com"))
    );
    let again = scene.engine.sync(None).await.unwrap();
    assert!(again.is_clean(), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_mapped_is_kept_with_its_problem() {
    let scene = Scene::new().await;
    let half = json!({"entries": [{"contact": {"mail": "half@form.example.com", "name": "Half"}, "vip": "perhaps"}]});
    assert_eq!(scene.post(KEY, "m3", &half).await, 200);
    assert_eq!(
        scene
            .post(KEY, "m4", &json!({"entries": [{"contact": {"name": "Nobody"}}]}))
            .await,
        200
    );
    assert_eq!(scene.post(KEY, "m5", &json!({"wrong": []})).await, 200);
    scene.engine.drain_inboxes().await.unwrap();
    let (fields, _, has_problem) = scene.says("half@form.example.com").await.unwrap();
    assert!(has_problem && fields["full_name"] == "Half", "{fields}");
    assert_eq!(scene.fate(Fate::Unreadable).await, 2, "no id, and no list");
}
