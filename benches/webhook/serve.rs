//! The two servers: Nivel's intake on a ledger, and a bare handler that verifies the same signature and forgets.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use nivel::connector::{ConnectionSettings, Connections, build};
use nivel::ledger::Sqlite;
use nivel::manifest::Manifest;
use nivel::model::SystemClock;
use nivel::webhook::{Intake, Limits};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::send::SECRET;

const MANIFEST: &str = "
connector: bell
format: 1
base: http://127.0.0.1:1
config: {secret: {secret: true}}
check: GET /
errors: [{status: 401, class: auth}]
objects: {}
webhook:
  verify: {hmac: sha256, key: '{{ config.secret }}', over: '{{ sig.t }}.{{ body }}', equals: sig.v1, sig: {from: header:x-signature, split: [',', '=']}, time: {from: sig.t, format: s}}
  events: {rows: one, key: n, object: person, id: id}
";

/// Until standard input ends.
async fn serve(router: Router) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    // An error is an end, too.
    let asked = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    tokio::select! {
        served = axum::serve(listener, router) => served?,
        _ = asked => {}
    }
    Ok(())
}

pub(crate) async fn bare() -> Result<()> {
    serve(Router::new().route("/webhooks/bell", post(check))).await
}

async fn check(headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = headers
        .get("x-signature")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut parts = header.split(',').filter_map(|part| part.split_once('='));
    let (Some(("t", t)), Some(("v1", digits))) = (parts.next(), parts.next()) else {
        return StatusCode::UNAUTHORIZED;
    };
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let tag: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())
        .map(|mac| mac.chain_update(t).chain_update(".").chain_update(&body));
    let is_right = |tag: Vec<u8>| mac.is_ok_and(|mac| mac.verify_slice(&tag).is_ok());
    if tag.is_some_and(is_right) {
        StatusCode::OK
    } else {
        StatusCode::UNAUTHORIZED
    }
}

pub(crate) async fn nivel(folder: &Path) -> Result<()> {
    let clock = Arc::new(SystemClock);
    let ledger = Arc::new(Sqlite::open(&folder.join("nivel.db"), clock.as_ref())?);
    let manifest = Manifest::parse("bell", MANIFEST).map_err(|problems| anyhow!("{problems:?}"))?;
    let settings = ConnectionSettings::new("bell").with_secret("secret", SECRET);
    let mut connections = Connections::new();
    connections.insert(
        "bell".into(),
        build(manifest, settings).map_err(|problems| anyhow!("{problems:?}"))?,
    );
    let limits = Limits {
        rate: (1_000_000, std::time::Duration::from_secs(1)),
        ..Limits::default()
    };
    let intake = Intake::open(&connections, |_| false, ledger, clock, limits, Arc::new(Notify::new()));
    serve(nivel::http::webhooks(Arc::new(intake))).await
}
