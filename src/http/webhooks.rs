//! `/webhooks/SYSTEM` and `/webhooks/SYSTEM/SECRET`: from HTTP to the intake and back.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use futures::StreamExt;
use serde_json::{Map, Value as Json};

use crate::webhook::{Answer, Intake, Request as Hook};

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// The routes of webhooks.
pub fn webhooks(intake: Arc<Intake>) -> Router {
    let open = get(plain).post(plain);
    let secret = get(with_secret).post(with_secret);
    Router::new()
        .route("/webhooks/{system}", open)
        .route("/webhooks/{system}/{secret}", secret)
        .with_state(intake)
}

async fn plain(State(intake): State<Arc<Intake>>, Path(system): Path<String>, request: Request) -> Response {
    take(&intake, system, None, request).await
}

async fn with_secret(
    State(intake): State<Arc<Intake>>,
    Path((system, secret)): Path<(String, String)>,
    request: Request,
) -> Response {
    take(&intake, system, Some(secret), request).await
}

async fn take(intake: &Intake, system: String, secret: Option<String>, request: Request) -> Response {
    // Held until the answer: it bounds how many bodies are in memory.
    let _place = match intake.enter(&system) {
        Ok(place) => place,
        Err(answer) => return response(answer),
    };
    let (parts, body) = request.into_parts();
    let read = tokio::time::timeout(BODY_TIME, whole(body, intake.limits().body_max));
    let body = match read.await {
        Ok(Ok(body)) => body,
        Ok(Err(status)) => return response(status.into()),
        Err(_elapsed) => return response(StatusCode::REQUEST_TIMEOUT.into()),
    };
    let target = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let request = Hook {
        system: system.into(),
        secret,
        method: parts.method.as_str().to_owned(),
        target,
        headers: headers(&parts.headers),
        body,
    };
    response(intake.receive(request).await)
}

/// The raw body, unless it is larger than `max`.
async fn whole(body: Body, max: usize) -> Result<Vec<u8>, StatusCode> {
    let mut whole = Vec::new();
    let mut stream = body.into_data_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_cut_off| StatusCode::BAD_REQUEST)?;
        if whole.len() + piece.len() > max {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// Headers as text, by their name in small letters; of several with one name the first.
fn headers(headers: &HeaderMap) -> Map<String, Json> {
    let mut all = Map::new();
    for (name, value) in headers {
        if let Ok(text) = value.to_str() {
            all.entry(name.as_str()).or_insert_with(|| text.into());
        }
    }
    all
}

impl From<StatusCode> for Answer {
    fn from(status: StatusCode) -> Self {
        Self {
            status: status.as_u16(),
            ..Self::default()
        }
    }
}

fn response(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    // What is given back in a handshake came from outside: it must never be taken for a page.
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(wait) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    response
}
