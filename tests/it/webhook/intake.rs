//! What is let in, and what is answered to the rest.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use compact_str::CompactString;
use nivel::connector::{ConnectionSettings, Connections, build};
use nivel::error::{Code, Problem};
use nivel::ledger::{Dropped, Error, Fate, Inbox, InboxState, Landed, NewEvent, Waiting};
use nivel::manifest::Manifest;
use nivel::model::{StreamId, SystemClock, UnixMillis};
use nivel::sandbox::{HookFault, ToolName};
use nivel::webhook::{Intake, Limits, Request};
use serde_json::{Map, json};
use tokio::sync::{Notify, Semaphore};

use super::{Scene, event, limits};

#[tokio::test(flavor = "multi_thread")]
async fn p38_a_wrong_or_old_signature_is_401_without_a_word_and_leaves_nothing() {
    let scene = Scene::new(61, 5).await;
    for name in ToolName::ALL {
        let id = scene.ids(name)[0].clone();
        let edit = if name == ToolName::Pipedrive {
            json!({"name": "New Name"})
        } else {
            json!({"phone": "+358401230000"})
        };
        scene.tool(name).edit(&id, &edit).unwrap();
        assert!(
            scene.deliver(name, &[HookFault::WrongSignature], 401).await > 0,
            "{name}"
        );
        if name != ToolName::Pipedrive {
            scene.deliver(name, &[HookFault::Stale], 401).await;
        }
        assert_eq!(scene.state(name).await.received, 0, "{name}");
        scene.deliver(name, &[], 200).await;
        assert_eq!(scene.state(name).await.received, 1, "{name}: a genuine retry is taken");
    }
    let bare = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = bare
        .post(format!("{}/webhooks/sales", scene.base))
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(
        answer.text().await.unwrap(),
        "",
        "nothing tells an attacker what was wrong"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_names_and_kinds_of_requests() {
    let small = Limits {
        body_max: 2000,
        ..limits()
    };
    let scene = Scene::with(62, 4, small).await;
    let at = scene.engine.now();
    assert_eq!(scene.post("/webhooks/sales", vec![b'x'; 2001]).await.status(), 413);
    assert_eq!(
        scene
            .post("/webhooks/nobody", event(1, "1", "change", at))
            .await
            .status(),
        404
    );
    assert_eq!(
        scene
            .post("/webhooks/sales", event(1, "1", "change", at))
            .await
            .status(),
        200
    );
    assert_eq!(
        scene.post("/webhooks/sales", b"<html>".to_vec()).await.status(),
        200,
        "kept as it is"
    );
    assert_eq!(scene.fate(ToolName::Pipedrive, Fate::Unreadable).await, 1);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let put = client
        .put(format!("{}/webhooks/sales", scene.base))
        .send()
        .await
        .unwrap();
    assert_eq!(put.status(), 405);
    let get = client
        .get(format!("{}/webhooks/sales", scene.base))
        .send()
        .await
        .unwrap();
    assert_eq!(get.status(), 404, "no handshake is declared");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_fast_is_429_with_a_wait() {
    let slow = Limits {
        rate: (3, Duration::from_secs(3600)),
        ..limits()
    };
    let scene = Scene::with(63, 4, slow).await;
    let mut statuses = Vec::new();
    for n in 0..5 {
        let answer = scene
            .post("/webhooks/sales", event(n, "1", "change", UnixMillis(0)))
            .await;
        let wait = answer
            .headers()
            .get("retry-after")
            .and_then(|wait| wait.to_str().ok()?.parse::<u64>().ok());
        statuses.push((answer.status().as_u16(), wait.is_some()));
    }
    assert_eq!(
        statuses,
        [(200, false), (200, false), (200, false), (429, true), (429, true)]
    );
    let bare = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = bare
        .post(format!("{}/webhooks/sales", scene.base))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401, "who proves nothing takes no part of the rate");
}

/// An inbox that can be stopped, and that can fail as a full disk does.
struct Sluice {
    open: Semaphore,
    is_full: bool,
}

#[async_trait]
impl Inbox for Sluice {
    async fn land(&self, events: Vec<NewEvent>) -> Result<Landed, Error> {
        self.open.acquire().await.unwrap().forget();
        if self.is_full {
            return Err(Error::Broken(Problem::new(Code::LedgerFull, "the disk is full")));
        }
        Ok(Landed {
            fresh: events.len() as u64,
            duplicates: 0,
        })
    }

    async fn waiting(&self, _system: &str, _limit: usize) -> Result<Vec<Waiting>, Error> {
        Ok(Vec::new())
    }

    async fn systems_waiting(&self) -> Result<Vec<CompactString>, Error> {
        Ok(Vec::new())
    }

    async fn drop_events(&self, _events: Vec<Dropped>, _at: UnixMillis) -> Result<(), Error> {
        Ok(())
    }

    async fn inbox(&self) -> Result<std::collections::BTreeMap<CompactString, InboxState>, Error> {
        Ok(std::collections::BTreeMap::new())
    }

    async fn heard(&self, _stream: &StreamId, _limit: usize) -> Result<Vec<UnixMillis>, Error> {
        Ok(Vec::new())
    }

    async fn note_webhook(&self, _stream: &StreamId, _problem: Option<Problem>) -> Result<(), Error> {
        Ok(())
    }
}

fn manifest(webhook: &str) -> Manifest {
    let text = format!(
        "connector: bell\nformat: 1\nbase: http://127.0.0.1:1\nobjects: {{}}\nconfig: {{secret: {{secret: true}}, token: {{optional: true, secret: true}}}}\nwebhook: {webhook}\n"
    );
    Manifest::parse("bell", &text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

const BELL: &str =
    "{verify: {header: {x-secret: '{{ config.secret }}'}}, events: {rows: one, key: n, object: person, id: n}}";

fn intake(webhook: &str, inbox: Arc<dyn Inbox>, limits: Limits) -> Arc<Intake> {
    let settings = ConnectionSettings::new("bell")
        .with_secret("secret", "s3cret")
        .with_secret("token", "t0ken");
    let mut connections = Connections::new();
    connections.insert("bell".into(), build(manifest(webhook), settings).unwrap());
    Arc::new(Intake::open(
        &connections,
        |_| false,
        inbox,
        Arc::new(SystemClock),
        limits,
        Arc::new(Notify::new()),
    ))
}

fn ask(method: &str, target: &str, secret: Option<&str>, body: &str) -> Request {
    let headers: Map<_, _> = [("x-secret".to_owned(), json!("s3cret"))].into_iter().collect();
    Request {
        system: "bell".into(),
        secret: secret.map(str::to_owned),
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body: body.as_bytes().to_vec(),
    }
}

fn sluice(permits: usize, is_full: bool) -> Arc<Sluice> {
    Arc::new(Sluice {
        open: Semaphore::new(permits),
        is_full,
    })
}

#[tokio::test]
async fn p34_a_full_disk_is_503_and_never_2xx() {
    let intake = intake(BELL, sluice(10, true), Limits::default());
    let answer = intake.receive(ask("POST", "/webhooks/bell", None, "{\"n\": 1}")).await;
    assert_eq!((answer.status, answer.retry_after.is_some()), (503, true));
}

/// Nothing is answered before it is kept, and more than there is room for is refused at once.
#[tokio::test]
async fn p34_overload_is_503_at_once() {
    let limits = Limits {
        waiting_max: 3,
        ..Limits::default()
    };
    let sluice = sluice(0, false);
    let intake = intake(BELL, Arc::clone(&sluice) as Arc<dyn Inbox>, limits);
    let sent: Vec<_> = (0..3)
        .map(|n| {
            let intake = Arc::clone(&intake);
            tokio::spawn(async move {
                let place = intake.enter("bell").unwrap();
                let answer = intake
                    .receive(ask("POST", "/webhooks/bell", None, &format!("{{\"n\": {n}}}")))
                    .await;
                drop(place);
                answer.status
            })
        })
        .collect();
    while intake.enter("bell").is_ok() {
        tokio::task::yield_now().await;
    }
    let full = intake.enter("bell").unwrap_err();
    assert_eq!((full.status, full.retry_after.is_some()), (503, true));
    assert!(sent.iter().all(|task| !task.is_finished()), "nobody has a 2xx yet");
    sluice.open.add_permits(3);
    for task in sent {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert!(intake.enter("bell").is_ok());
}

#[tokio::test]
async fn handshakes() {
    let get = "{handshake: [{method: GET, when: \"query['hub.verify_token'] == config.token\", echo: \"{{ query['hub.challenge'] }}\"}], \
               verify: {path_secret: '{{ config.secret }}'}, events: {object: person, id: n}}";
    let open = |webhook| intake(webhook, sluice(10, false), Limits::default());
    let answer = async |intake: &Intake, request| {
        let answer = intake.receive(request).await;
        (answer.status, answer.body)
    };
    let door = open(get);
    let asked = "/webhooks/bell/s3cret?hub.verify_token=t0ken&hub.challenge=ab%20c";
    assert_eq!(
        answer(&door, ask("GET", asked, Some("s3cret"), "")).await,
        (200, "ab c".to_owned())
    );
    assert_eq!(answer(&door, ask("HEAD", asked, Some("s3cret"), "")).await.0, 200);
    assert_eq!(
        answer(&door, ask("GET", asked, Some("s3cre"), "")).await,
        (401, String::new())
    );
    assert_eq!(
        answer(
            &door,
            ask("GET", "/webhooks/bell/s3cret?hub.challenge=x", Some("s3cret"), "")
        )
        .await
        .0,
        404
    );
    assert_eq!(
        answer(&door, ask("POST", "/webhooks/bell/s3cret", Some("s3cret"), "{\"n\":1}"))
            .await
            .0,
        200
    );
    assert_eq!(
        answer(&door, ask("POST", "/webhooks/bell/s3cre", Some("s3cre"), "{\"n\":1}"))
            .await
            .0,
        401
    );

    let post = "{handshake: {method: POST, when: \"body.type == 'url_verification'\", echo: '{{ body.challenge }}'}, \
                verify: {header: {x-secret: '{{ config.secret }}'}}, events: {object: person, id: n}}";
    let door = open(post);
    let question = "{\"type\": \"url_verification\", \"challenge\": \"xyz\"}";
    assert_eq!(
        answer(&door, ask("POST", "/webhooks/bell", None, question)).await,
        (200, "xyz".to_owned())
    );
    let mut unsigned = ask("POST", "/webhooks/bell", None, question);
    unsigned.headers.clear();
    assert_eq!(
        answer(&door, unsigned).await.0,
        401,
        "a question that is posted is proven like every delivery"
    );

    let bare = open(
        "{handshake: {method: GET}, verify: {header: {x-secret: '{{ config.secret }}'}}, events: {decode: form, object: person, id: n}}",
    );
    assert_eq!(
        answer(&bare, ask("GET", "/webhooks/bell", None, "")).await,
        (200, String::new())
    );
    assert_eq!(
        answer(&bare, ask("POST", "/webhooks/bell", None, "n=1&data[x]=y"))
            .await
            .0,
        200
    );
}
