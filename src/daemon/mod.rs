//! Builds the parts from the config, supervises them, and shuts them down in order. The only place that names a concrete
//! ledger or cache.

mod alerts;
mod backup;
mod build;
mod connections;
mod hooks;
mod lint;
mod mail;
mod measure;
mod posts;
mod record;
mod supervise;
mod vault;

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use alerts::Courier;
pub use backup::{Restored, back_up, restore};
pub use build::{
    answer_to, connect, connect_to_check, facts, leave_request, ledger, ledger_to_read, manifests, open, parts, quotas,
    rules,
};
pub use lint::{lint_config, lint_files, lint_shipped, test_connectors};
pub use posts::Postman;
pub use record::{Recorded, record};
pub use vault::{GrantLine, Vault};

use crate::config::Config;
use crate::error::Problem;
use crate::http::{self, Readiness};
use crate::model::Clock;
use crate::sync::{Progress, Silent};

/// Removes history that is older than the config wants it kept. How many rows that were.
///
/// # Errors
/// When the ledger cannot be written.
pub async fn trim(config: &Config, engine: &crate::sync::Engine) -> Result<u64, Problem> {
    let trimmed = engine.ledger().trim(engine.now(), supervise::keep(config)).await;
    trimmed.map_err(build::problem_of)
}

/// Runs until the process is asked to end (SIGTERM, Ctrl-C); see [`run_until`].
///
/// # Errors
/// As [`run_until`].
pub async fn run(config: &Config, clock: Arc<dyn Clock>) -> Result<(), Vec<Problem>> {
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        end_asked().await;
        asked.cancel();
    });
    run_until(config, clock, Arc::new(Silent), stop).await
}

/// Waits until the process is asked to end.
#[cfg(unix)]
pub async fn end_asked() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut term) => {
            tokio::select! {
                _ = term.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be heard; Ctrl-C still ends it");
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Waits until the process is asked to end.
#[cfg(not(unix))]
pub async fn end_asked() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Runs until `stop` is cancelled: HTTP for probes and figures, pulls on their intervals, writes as they fall due.
///
/// # Errors
/// Every problem that kept it from starting; nothing was started then.
pub async fn run_until(
    config: &Config,
    clock: Arc<dyn Clock>,
    progress: Arc<dyn Progress>,
    stop: CancellationToken,
) -> Result<(), Vec<Problem>> {
    let alone = |problem: Problem| vec![problem];
    let metrics = http::collect_metrics().map_err(alone)?;
    let listener = http::bind(config.http.listen).await.map_err(alone)?;
    let engine = Arc::new(open(config, Arc::clone(&clock), progress).await?);
    engine
        .release_leases()
        .await
        .map_err(|error| vec![build::problem_of(error)])?;
    engine
        .find_lost()
        .await
        .map_err(|error| vec![build::problem_of(error)])?;
    engine
        .note_rules()
        .await
        .map_err(|error| vec![build::problem_of(error)])?;
    let ready = Readiness::starting();
    let closing = CancellationToken::new();
    let landed = Arc::new(Notify::new());
    let intake = Arc::new(hooks::intake(&engine, config, Arc::clone(&clock), Arc::clone(&landed)));
    let router = http::router(ready.clone(), Some(metrics)).merge(http::webhooks(intake));
    let server = tokio::spawn(http::serve(listener, router, closing.clone().cancelled_owned()));
    ready.started();
    tracing::info!(listen = %config.http.listen, systems = config.systems.len(), "nivel runs");
    let finish = stop.clone();
    let told = ready.clone();
    tokio::spawn(async move {
        finish.cancelled().await;
        told.stopping();
    });
    supervise::supervise(engine, config, landed, ready, stop).await;
    closing.cancel();
    match server.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the HTTP server ended badly"),
        Err(error) => tracing::warn!(%error, "the HTTP server was cut off"),
    }
    tracing::info!("nivel has stopped");
    Ok(())
}
