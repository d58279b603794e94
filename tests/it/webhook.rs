//! Webhooks from end to end: the sandbox tools send them over loopback to a real intake with a real ledger, and what
//! follows is judged by the ledger and by what the tools saw.

mod following;
mod intake;
mod killed;
mod subscriptions;
mod vectors;

use std::collections::BTreeMap;
use std::sync::Arc;

use nivel::config::Config;
use nivel::ledger::{ChangeRow, Fate, Inbox, InboxState, What};
use nivel::model::{RecordId, StreamId, SystemClock, UnixMillis};
use nivel::sandbox::{HookFault, Options, Tool, ToolName};
use nivel::sync::{Drained, Engine, Silent};
use nivel::webhook::{Intake, Limits};
use tokio::sync::Notify;

use crate::trial::Trial;

/// The address as the world knows it: a proxy stands there, and the Host header that arrives is another one.
const PUBLIC: &str = "https://hooks.example.com/nivel";
const SECRET: &str = "hush-hush-0123456789";

/// Three tools that deliver, an intake, and an engine on one ledger.
struct Scene {
    trial: Trial,
    engine: Engine,
    base: String,
}

fn stream(name: ToolName) -> StreamId {
    match name {
        ToolName::Hubspot => StreamId::new("marketing", "contact"),
        ToolName::Pipedrive => StreamId::new("sales", "person"),
        ToolName::Zendesk => StreamId::new("support", "user"),
        other => unreachable!("{other} sends nothing"),
    }
}

fn secret(name: ToolName) -> String {
    match name {
        ToolName::Pipedrive => format!("nivel:{SECRET}"),
        _ => SECRET.to_owned(),
    }
}

fn limits() -> Limits {
    Limits {
        public_url: Some(PUBLIC.to_owned()),
        ..Limits::default()
    }
}

impl Scene {
    async fn new(seed: u64, people: usize) -> Self {
        Self::with(seed, people, limits()).await
    }

    /// Everything was read and written once; then the tools are told where to deliver.
    async fn with(seed: u64, people: usize, limits: Limits) -> Self {
        let trial = Trial::with(Options::default(), seed, people).await;
        trial.reconfigure(|text| {
            text.replace(
                "config: {token: pat-eu1-sandbox}",
                &format!("config: {{token: pat-eu1-sandbox, app_secret: {SECRET}}}"),
            )
            .replace(
                "config: {token: pipedrive-sandbox}",
                &format!("config: {{token: pipedrive-sandbox, hook_user: nivel, hook_password: {SECRET}}}"),
            )
            .replace(
                "token: zendesk-sandbox}",
                &format!("token: zendesk-sandbox, webhook_secret: {SECRET}}}"),
            )
        });
        let config = Config::load(&[trial.dir.path().join("nivel.yaml")], &BTreeMap::new()).unwrap();
        let engine = nivel::daemon::open(&config, Arc::new(SystemClock), Arc::new(Silent))
            .await
            .unwrap_or_else(|problems| panic!("{problems:#?}"));
        let inbox: Arc<dyn Inbox> = Arc::clone(engine.ledger()) as Arc<dyn Inbox>;
        let clock = Arc::new(SystemClock);
        let intake = Intake::open(
            engine.connections(),
            |_| false,
            inbox,
            clock,
            limits,
            Arc::new(Notify::new()),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = nivel::http::webhooks(Arc::new(intake));
        tokio::spawn(nivel::http::serve(listener, router, std::future::pending()));
        engine.sync(Some("test")).await.unwrap();
        engine.sync(Some("test")).await.unwrap();
        let scene = Self { trial, engine, base };
        for name in ToolName::ALL {
            let system = stream(name).system.clone();
            let via = format!("{}/webhooks/{system}", scene.base);
            scene
                .tool(name)
                .hook_to(&format!("{PUBLIC}/webhooks/{system}"), Some(&via), &secret(name));
        }
        scene
    }

    fn tool(&self, name: ToolName) -> &Tool {
        self.trial.sandbox.tool(name)
    }

    /// Delivers what is due; every answer must be this.
    async fn deliver(&self, name: ToolName, faults: &[HookFault], status: u16) -> usize {
        let delivered = self.tool(name).deliver(faults).await;
        assert!(
            delivered.iter().all(|delivered| delivered.status == Some(status)),
            "{name}: {delivered:?}"
        );
        delivered.len()
    }

    async fn drain(&self) -> Drained {
        self.engine.drain_inboxes().await.unwrap()
    }

    async fn state(&self, name: ToolName) -> InboxState {
        let mut all = self.engine.ledger().inbox().await.unwrap();
        let state = all.remove(&stream(name).system).unwrap_or_default();
        let fates: u64 = state.fates.values().sum();
        assert_eq!(
            state.received,
            state.waiting + fates,
            "p34: what came in is accounted for: {state:?}"
        );
        state
    }

    async fn fate(&self, name: ToolName, fate: Fate) -> u64 {
        self.state(name).await.fates.get(&fate).copied().unwrap_or_default()
    }

    fn record(&self, name: ToolName, id: &str) -> RecordId {
        stream(name).record(id)
    }

    /// What a record says in a field, and whether it is gone.
    async fn field(&self, name: ToolName, id: &str, field: &str) -> (Option<String>, bool) {
        let ask = nivel::ledger::Ask {
            records: [self.record(name, id)].into(),
            ..nivel::ledger::Ask::default()
        };
        let view = self.engine.ledger().view(ask).await.unwrap();
        let (record, _) = &view.records[&self.record(name, id)];
        (
            record.fields.value(field).map(ToString::to_string),
            record.deleted_at.is_some(),
        )
    }

    /// The trail of the customer behind a record, oldest first.
    async fn trail(&self, name: ToolName, id: &str) -> Vec<ChangeRow> {
        let head = self.engine.ledger().heads(&[self.record(name, id)]).await.unwrap()[0].unwrap();
        let mut rows = self.engine.ledger().changes(&head.customer, 1000).await.unwrap();
        rows.reverse();
        rows
    }

    /// How often a field of a record changed, by the trail.
    async fn changed(&self, name: ToolName, id: &str, field: &str) -> usize {
        let record = self.record(name, id);
        let is_it = |row: &&ChangeRow| match &row.change.what {
            What::Fields(fields) => row.change.record.as_ref() == Some(&record) && fields.contains_key(field),
            _ => false,
        };
        self.trail(name, id).await.iter().filter(is_it).count()
    }

    /// Ids of people in a tool, who have an address.
    fn ids(&self, name: ToolName) -> Vec<String> {
        let people = self.tool(name).people();
        people
            .into_iter()
            .filter(|person| person.email.is_some())
            .map(|person| person.id)
            .collect()
    }

    /// Signed the simplest way: as the sales tool, whose proof is a password.
    async fn post(&self, path: &str, body: Vec<u8>) -> reqwest::Response {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client
            .post(format!("{}{path}", self.base))
            .basic_auth("nivel", Some(SECRET));
        request.body(body).send().await.unwrap()
    }
}

/// An event of the sales tool about a person.
pub(crate) fn event(n: u64, id: &str, action: &str, at: UnixMillis) -> Vec<u8> {
    serde_json::json!({"meta": {"action": action, "entity": "person", "version": "2.0", "entity_id": id, "id": format!("n{n}"),
        "timestamp": at.to_string()}, "data": null, "previous": null})
    .to_string()
    .into_bytes()
}
