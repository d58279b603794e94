//! Plays canned exchanges on loopback and notes every request that is not the expected one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use compact_str::CompactString;
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::parts::{differences as differences_in_parts, packed};
use crate::manifest::Many;
use crate::manifest::tests::{Answered, Exchange, ExpectedRequest};
use crate::model::UnixMillis;

/// The largest request that is looked at.
const BODY_MAX: usize = 4 << 20;

/// Where access tokens are handed out: `test-token-1`, then `test-token-2`. Such requests stand in no script.
pub(super) const TOKEN_PATH: &str = "/token-of-the-test";

/// A running server; it stops when dropped.
pub(super) struct Server {
    /// `http://127.0.0.1:PORT`
    pub(super) base: String,
    script: Arc<Mutex<Script>>,
    _stop: DropGuard,
}

struct Script {
    exchanges: Vec<Exchange>,
    at: usize,
    /// Requests in all, expected or not.
    requests: usize,
    /// Access tokens handed out.
    tokens: usize,
    wrong: Vec<String>,
    now: UnixMillis,
    /// Whatever is asked gets the next answer, and is written down as what was expected.
    follows: bool,
}

impl Server {
    /// Starts a server that plays `exchanges` in their order; its clock stands at `now`.
    pub(super) async fn start(exchanges: Vec<Exchange>, now: UnixMillis) -> std::io::Result<Self> {
        let script = Arc::new(Mutex::new(Script {
            exchanges,
            at: 0,
            requests: 0,
            tokens: 0,
            wrong: Vec::new(),
            now,
            follows: false,
        }));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let base = format!("http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let stopped = stop.clone().cancelled_owned();
        // Ends with the guard; what it returns then is of no interest.
        tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
        Ok(Self {
            base,
            script,
            _stop: stop.drop_guard(),
        })
    }

    /// From now on whatever is asked gets the next answer.
    pub(super) fn follow(&self) {
        lock(&self.script).follows = true;
    }

    /// The exchanges that took place.
    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        let script = lock(&self.script);
        script.exchanges.iter().take(script.at).cloned().collect()
    }

    /// How many requests came.
    pub(super) fn requests(&self) -> usize {
        lock(&self.script).requests
    }

    /// Everything that was not as expected, exchanges that did not happen among it.
    pub(super) fn wrong(&self) -> Vec<String> {
        let script = lock(&self.script);
        let missing = script.exchanges.iter().skip(script.at);
        let missing = missing.map(|exchange| format!("never asked: {}", name(&exchange.request)));
        script.wrong.iter().cloned().chain(missing).collect()
    }
}

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name(request: &ExpectedRequest) -> String {
    format!("{} {}", request.method, request.path)
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_MAX).await.unwrap_or_default();
    lock(&script).play(&parts, &body)
}

impl Script {
    fn play(&mut self, parts: &Parts, body: &Bytes) -> Response {
        if parts.uri.path() == TOKEN_PATH {
            self.tokens += 1;
            let token = serde_json::json!({"access_token": format!("test-token-{}", self.tokens), "token_type": "bearer", "expires_in": 3600});
            let mut response = plain(StatusCode::OK, Body::from(token.to_string()));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            return response;
        }
        self.requests += 1;
        if self.follows
            && let Some(exchange) = self.exchanges.get_mut(self.at)
        {
            exchange.request = seen(parts, body);
            self.at += 1;
            return self.reply(self.at - 1);
        }
        let next = self
            .exchanges
            .get(self.at)
            .map(|exchange| differences(&exchange.request, parts, body));
        if let Some(differences) = next.as_ref().filter(|differences| differences.is_empty()) {
            debug_assert!(differences.is_empty(), "an expected request is answered as written");
            self.at += 1;
            return self.reply(self.at - 1);
        }
        // A refused credential and a throttled call are tried again; that is the engine's and not written down.
        let before = self.at.checked_sub(1).and_then(|before| self.exchanges.get(before));
        let is_again = before.is_some_and(|before| {
            matches!(before.response.status, 400 | 401 | 403 | 429)
                && differences(&before.request, parts, body).is_empty()
        });
        if is_again {
            return self.reply(self.at - 1);
        }
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let asked = format!("{} {target}", parts.method);
        self.wrong.push(match next {
            Some(differences) => format!("asked {asked}: {}", differences.join("; ")),
            None => format!("asked {asked} after the last exchange"),
        });
        plain(StatusCode::NOT_IMPLEMENTED, Body::from("not the expected request"))
    }

    fn reply(&self, at: usize) -> Response {
        let Some(exchange) = self.exchanges.get(at) else {
            return plain(StatusCode::NOT_IMPLEMENTED, Body::empty());
        };
        let answered = &exchange.response;
        let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::NOT_IMPLEMENTED);
        let mut response = plain(status, body_of(answered));
        let headers = response.headers_mut();
        if answered.body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(kind) = answered
            .parts
            .as_ref()
            .and_then(|parts| HeaderValue::from_str(&packed(parts).0).ok())
        {
            headers.insert(header::CONTENT_TYPE, kind);
        }
        // Without a date of ours the server library adds the real one.
        let date = jiff::Timestamp::from_millisecond(self.now.0).ok();
        let date = date.and_then(|date| {
            jiff::fmt::rfc2822::DateTimePrinter::new()
                .timestamp_to_rfc9110_string(&date)
                .ok()
        });
        if let Some(date) = date.and_then(|date| HeaderValue::from_str(&date).ok()) {
            headers.insert(header::DATE, date);
        }
        for (name, value) in &answered.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// A request as it came, without its headers.
fn seen(parts: &Parts, body: &Bytes) -> ExpectedRequest {
    let mut query: BTreeMap<CompactString, Many<String>> = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        query
            .entry(CompactString::from(&*name))
            .or_default()
            .0
            .push(value.into_owned());
    }
    ExpectedRequest {
        method: parts.method.as_str().into(),
        path: parts.uri.path().to_owned(),
        query: Some(query),
        headers: BTreeMap::new(),
        body: serde_json::from_slice(body).ok(),
        parts: None,
    }
}

fn plain(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn body_of(answered: &Answered) -> Body {
    match (&answered.body, &answered.text, &answered.parts) {
        (Some(body), ..) => Body::from(body.to_string()),
        (None, Some(text), _) => Body::from(text.clone()),
        (None, None, Some(parts)) => Body::from(packed(parts).1),
        (None, None, None) => Body::empty(),
    }
}

/// What of a request is not as expected; only what is written in the test is compared.
fn differences(expected: &ExpectedRequest, parts: &Parts, body: &Bytes) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differ = |what: &str, expected: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
        differences.push(format!("{what}: expected {expected}, found {found}"));
    };
    if expected.method != parts.method.as_str() {
        differ("method", &expected.method, &parts.method);
    }
    if expected.path != parts.uri.path() {
        differ("path", &expected.path, &parts.uri.path());
    }
    if let Some(wanted) = &expected.query {
        let mut wanted: Vec<(String, String)> = wanted
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |value| (name.to_string(), value.clone())))
            .collect();
        let text = parts.uri.query().unwrap_or_default();
        let mut found: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        wanted.sort();
        found.sort();
        if wanted != found {
            differ("query", &format!("{wanted:?}"), &format!("{found:?}"));
        }
    }
    for (name, wanted) in &expected.headers {
        let found = parts.headers.get(name.as_str()).and_then(|value| value.to_str().ok());
        if found != Some(wanted.as_str()) {
            // A header may hold a credential: what was sent is not repeated.
            differences.push(format!("header {name} is not as expected"));
        }
    }
    if let Some(wanted) = &expected.body {
        let found: Json = serde_json::from_slice(body).unwrap_or_default();
        if *wanted != found {
            differences.push(format!("body: expected {wanted}, found {found}"));
        }
    }
    if let Some(wanted) = &expected.parts {
        let kind = parts.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        differences.extend(differences_in_parts(wanted, kind, body));
    }
    differences
}
