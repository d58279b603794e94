//! Waits on loopback for what a tool sends back after a person has agreed.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::error::{Code, Problem};

/// What the person reads in the browser.
const PAGE: &str = "<!doctype html><meta charset=utf-8><title>Nivel</title>\
<p>Nivel has heard the answer. You may close this page; what came of it stands in the terminal.";

/// Listens at the address of a redirect.
///
/// # Errors
/// `PortTaken` when something else listens there.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Problem> {
    TcpListener::bind(address).await.map_err(|error| {
        Problem::new(Code::PortTaken, format!("nothing can be heard there: {error}"))
            .about(address)
            .hint("`--redirect` names another address (the app in the tool must know it), `--paste` does without")
    })
}

/// Path and query of the first request that has a query.
///
/// # Errors
/// When the listener fails.
pub async fn answer(listener: TcpListener) -> Result<String, Problem> {
    let (told, mut heard) = mpsc::channel::<String>(4);
    let router = Router::new().fallback(hear).with_state(told);
    let server = axum::serve(listener, router).into_future();
    tokio::select! {
        came = heard.recv() => came.ok_or_else(closed),
        _ = server => Err(closed()),
    }
}

async fn hear(State(told): State<mpsc::Sender<String>>, uri: Uri) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html"), (header::CONNECTION, "close")];
    let response = (headers, PAGE).into_response();
    if uri.query().is_some() {
        let came = uri.to_string();
        // After the page has had a moment to go out; the listener ends with the first answer.
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            if told.send(came).await.is_err() {
                tracing::debug!("an answer came after the sign-in had ended");
            }
        });
    }
    response
}

fn closed() -> Problem {
    Problem::new(Code::PortTaken, "the answer of the tool could not be heard")
}
