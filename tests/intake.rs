//! The intake of webhooks alone, as a process that can be killed: everything it does to the world is to keep deliveries.
//!
//! Usage: `NIVEL_FAULT=kill-after:3 intake FOLDER` prints its port. `NIVEL_BUG=answer-first` answers before the disk has
//! it, so that the sweep can show that it would find that. Built by `cargo test`; never part of the product.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use compact_str::CompactString;
use nivel::config::environment;
use nivel::connector::{ConnectionSettings, Connections, build};
use nivel::error::Problem;
use nivel::fault;
use nivel::ledger::{Dropped, Error, Inbox, InboxState, Landed, NewEvent, Sqlite, Waiting};
use nivel::manifest::Manifest;
use nivel::model::{StreamId, SystemClock, UnixMillis};
use nivel::webhook::{Intake, Limits};
use tokio::sync::Notify;

/// A tool that proves itself by a header.
pub const MANIFEST: &str = "
connector: bell
format: 1
base: http://127.0.0.1:1
config: {secret: {secret: true}}
check: GET /
errors: [{status: 401, class: auth}]
objects: {}
webhook:
  verify: {header: {x-secret: '{{ config.secret }}'}}
  events: {rows: one, key: n, object: person, id: n}
";

/// Says yes before the disk does.
struct Hasty(Arc<Sqlite>);

#[async_trait]
impl Inbox for Hasty {
    async fn land(&self, events: Vec<NewEvent>) -> Result<Landed, Error> {
        let ledger = Arc::clone(&self.0);
        tokio::spawn(async move { ledger.land(events).await });
        Ok(Landed::default())
    }

    async fn waiting(&self, system: &str, limit: usize) -> Result<Vec<Waiting>, Error> {
        self.0.waiting(system, limit).await
    }

    async fn systems_waiting(&self) -> Result<Vec<CompactString>, Error> {
        self.0.systems_waiting().await
    }

    async fn drop_events(&self, events: Vec<Dropped>, at: UnixMillis) -> Result<(), Error> {
        self.0.drop_events(events, at).await
    }

    async fn inbox(&self) -> Result<BTreeMap<CompactString, InboxState>, Error> {
        self.0.inbox().await
    }

    async fn heard(&self, stream: &StreamId, limit: usize) -> Result<Vec<UnixMillis>, Error> {
        self.0.heard(stream, limit).await
    }

    async fn note_webhook(&self, stream: &StreamId, problem: Option<Problem>) -> Result<(), Error> {
        self.0.note_webhook(stream, problem).await
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let env = environment();
    if let Some(plan) = env.get("NIVEL_FAULT").and_then(|text| fault::Plan::parse(text)) {
        fault::arm(plan);
    }
    let folder: PathBuf = std::env::args_os().nth(1).unwrap_or_default().into();
    match serve(&folder, &env).await {
        Some(()) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}

async fn serve(folder: &std::path::Path, env: &BTreeMap<String, String>) -> Option<()> {
    let clock = Arc::new(SystemClock);
    let ledger = Arc::new(Sqlite::open(&folder.join("nivel.db"), clock.as_ref()).ok()?);
    let inbox: Arc<dyn Inbox> = match env.get("NIVEL_BUG").map(String::as_str) {
        Some("answer-first") => Arc::new(Hasty(ledger)),
        _ => ledger,
    };
    let manifest = Manifest::parse("bell", MANIFEST).ok()?;
    let settings = ConnectionSettings::new("bell").with_secret("secret", "s3cret");
    let mut connections = Connections::new();
    connections.insert("bell".into(), build(manifest, settings).ok()?);
    let landed = Arc::new(Notify::new());
    let intake = Intake::open(&connections, |_| false, inbox, clock, Limits::default(), landed);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.ok()?;
    let port = listener.local_addr().ok()?.port();
    std::fs::write(folder.join("port"), port.to_string()).ok()?;
    let router = nivel::http::webhooks(Arc::new(intake));
    nivel::http::serve(listener, router, std::future::pending()).await.ok()
}
