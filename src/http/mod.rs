//! What the daemon answers over HTTP: is it alive, is it ready, its figures; and where webhooks come in. No customer data
//! is served here.

pub mod callback;
mod readiness;
mod webhooks;

use std::future::Future;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

pub use readiness::Readiness;
pub use webhooks::webhooks;

use crate::error::{Code, Problem};

/// What `/metrics` promises to be.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where to look, for somebody who opened the address in a browser.
const WELCOME: &str = "\
Nivel keeps customers whole across tools.

/healthz   the process is alive
/readyz    it can do its work, or why not
/metrics   its figures, for Prometheus
/webhooks  where the tools deliver: /webhooks/SYSTEM

What is going on stands in `nivel status`; a customer in `nivel customer show`.
";

#[derive(Clone)]
struct Shared {
    readiness: Readiness,
    metrics: Option<PrometheusHandle>,
}

/// The routes. Without `metrics` the figures are empty.
pub fn router(readiness: Readiness, metrics: Option<PrometheusHandle>) -> Router {
    Router::new()
        .route("/", get(async || WELCOME))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(figures))
        .with_state(Shared { readiness, metrics })
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    let reasons = shared.readiness.reasons();
    if reasons.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let lines: String = reasons
        .iter()
        .map(|(part, reason)| format!("{part}: {reason}\n"))
        .collect();
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{lines}"))
}

async fn figures(State(shared): State<Shared>) -> impl IntoResponse {
    let text = shared.metrics.map(|metrics| metrics.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, METRICS_TYPE)], text)
}

/// Collects the figures of this process from now on; they are shown under `/metrics`.
///
/// # Errors
/// [`Code::Bug`] when something else collects them already: there is one such place in a process.
pub fn collect_metrics() -> Result<PrometheusHandle, Problem> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    match metrics::set_global_recorder(recorder) {
        Ok(()) => Ok(handle),
        Err(error) => Err(Problem::new(
            Code::Bug,
            format!("the figures are collected already: {error}"),
        )),
    }
}

/// Opens the port.
///
/// # Errors
/// [`Code::PortTaken`] with what the system says about it.
pub async fn bind(listen: SocketAddr) -> Result<TcpListener, Problem> {
    TcpListener::bind(listen).await.map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::AddrInUse => "another program has this port".to_owned(),
            std::io::ErrorKind::PermissionDenied => "Nivel may not use this port".to_owned(),
            std::io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            _ => error.to_string(),
        };
        Problem::new(Code::PortTaken, format!("cannot listen on {listen}: {why}"))
            .about("http.listen")
            .hint("choose another with `http: {listen: 127.0.0.1:8441}` or NIVEL__HTTP__LISTEN")
    })
}

/// Answers until `stop` is done, then finishes the answers that are on their way.
///
/// # Errors
/// What the system says when the listener breaks.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: &Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 16).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_is_said_only_when_nothing_holds() {
        let readiness = Readiness::starting();
        let router = router(readiness.clone(), None);
        assert_eq!(ask(&router, "/healthz").await, (200, "alive\n".to_owned()));
        assert_eq!(
            ask(&router, "/readyz").await,
            (503, "not ready\nnivel: starting\n".to_owned())
        );
        readiness.started();
        assert_eq!(ask(&router, "/readyz").await, (200, "ready\n".to_owned()));
        readiness.hold("ledger", "disk full");
        readiness.hold("ledger", "LED002: disk full");
        assert_eq!(
            ask(&router, "/readyz").await,
            (503, "not ready\nledger: LED002: disk full\n".to_owned())
        );
        assert_eq!(
            ask(&router, "/healthz").await.0,
            200,
            "a full disk is no reason to be restarted"
        );
        readiness.release("ledger");
        assert_eq!(ask(&router, "/readyz").await.0, 200);
    }

    #[tokio::test]
    async fn figures_are_shown_as_collected() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || metrics::counter!("nivel_records_read_total").increment(3));
        let router = router(Readiness::starting(), Some(handle));
        let (status, text) = ask(&router, "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("nivel_records_read_total 3"), "{text}");
        let (status, text) = ask(&router, "/").await;
        assert_eq!(status, 200);
        assert!(text.contains("nivel status"));
        assert_eq!(ask(&router, "/no-such-page").await.0, 404);
    }

    #[tokio::test]
    async fn a_taken_port_is_a_problem_with_a_code() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let problem = bind(first.local_addr().unwrap()).await.unwrap_err();
        assert_eq!(problem.code, Code::PortTaken);
        assert!(problem.message.ends_with("another program has this port"), "{problem}");
    }

    #[tokio::test]
    async fn serving_ends_when_asked() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let router = router(Readiness::starting(), None);
        let served = tokio::spawn(serve(listener, router, async move {
            assert!(stopped.await.is_ok());
        }));
        stop.send(()).unwrap();
        served.await.unwrap().unwrap();
    }
}
