//! One request at one tool: its faults, its answer, and how the answer travels.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::{StreamExt, stream};
use serde_json::Value;

use super::clock::http_date;
use super::faults::Kind;
use super::play::{Delivery, Outcome};
use super::tool::Service;
use super::wire::{Ask, Line};
use super::{ToolName, control};

/// The largest request body a tool reads.
const BODY_MAX: usize = 16 * 1024 * 1024;

pub(super) async fn serve_one(
    State(service): State<Arc<Service>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    if path == "/" {
        return hello(service.vendor.name());
    }
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "the sandbox reads bodies up to 16 MiB\n");
    };
    if path.starts_with(control::PREFIX) {
        return own(control::answer(&service, parts.method.as_str(), &path, &body));
    }
    let mut ask = service.ask(&parts, body);
    let fault = service.fault(&ask);
    if let Some(Kind::Hold { ms, applied: false }) = fault {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    let outcome = super::play::play(&service, &mut ask, fault);
    service.note(&ask, outcome.reply.status, fault);
    deliver(outcome, &ask, &line).await
}

async fn deliver(outcome: Outcome, ask: &Ask, line: &Line) -> Response {
    let Outcome { reply, delivery } = outcome;
    let (kind, bytes) = reply.bytes();
    let mut promised = None;
    let body = match delivery {
        Delivery::Plain => Body::from(bytes),
        Delivery::Reset => {
            line.cut();
            Body::empty()
        }
        Delivery::Hold { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Body::from(bytes)
        }
        Delivery::CutJson => Body::from(first_half(&bytes)),
        Delivery::ResetMidBody => {
            promised = Some(bytes.len());
            broken(first_half(&bytes))
        }
        Delivery::Drip { bytes: size, pause_ms } => drip(bytes, size, pause_ms),
        Delivery::Pad { bytes: size } => pad(bytes, size),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(date) = HeaderValue::from_str(&http_date(ask.now_ms)) {
        headers.insert(header::DATE, date);
    }
    if let Some(length) = promised {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

fn first_half(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().take(bytes.len() / 2).copied().collect()
}

/// Some bytes and then a dead socket. The pause lets the head and the bytes out first; without it nothing is sent at all.
fn broken(bytes: Vec<u8>) -> Body {
    let rest = stream::once(async {
        tokio::task::yield_now().await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    });
    Body::from_stream(stream::iter([Ok(Bytes::from(bytes))]).chain(rest))
}

fn drip(bytes: Vec<u8>, size: usize, pause_ms: u64) -> Body {
    let drops: Vec<Bytes> = bytes.chunks(size.max(1)).map(Bytes::copy_from_slice).collect();
    Body::from_stream(stream::iter(drops).then(move |drop| async move {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        Ok::<Bytes, Infallible>(drop)
    }))
}

/// `{…}` becomes `{"padding":"xxx…",…}`; the padding is made while it is sent.
fn pad(bytes: Vec<u8>, size: usize) -> Body {
    const BLOCK: usize = 64 * 1024;
    let block = Bytes::from(vec![b'x'; BLOCK]);
    let tail = bytes.get(1..).unwrap_or_default().to_vec();
    let ending = if tail.first() == Some(&b'}') { "\"" } else { "\"," };
    let blocks = (0..size.div_ceil(BLOCK)).map(move |index| block.slice(..BLOCK.min(size - index * BLOCK)));
    let parts = std::iter::once(Bytes::from_static(b"{\"padding\":\""))
        .chain(blocks)
        .chain([Bytes::from_static(ending.as_bytes()), Bytes::from(tail)]);
    Body::from_stream(stream::iter(parts.map(Ok::<Bytes, Infallible>)))
}

/// An answer of the sandbox itself.
fn own((status, body): (u16, Value)) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

fn hello(name: ToolName) -> Response {
    plain(
        StatusCode::OK,
        &format!(
            "This is Nivel's sandbox: it speaks the shape of {name}, holds invented people, and forgets them when it stops.\n"
        ),
    )
}
