//! Builds the parts from the config, supervises them, and shuts them down in order. The only place that names a concrete
//! ledger or cache.

mod build;
mod supervise;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use build::{catalog, connection, ledger, manifests, open, parts};

use crate::config::Config;
use crate::error::Problem;
use crate::http::{self, Readiness};
use crate::model::Clock;
use crate::sync::Progress;

/// Runs until `stop` is cancelled: HTTP for probes and figures, pulls on their intervals, writes as they fall due.
///
/// # Errors
/// Every problem that kept it from starting; nothing was started then.
pub async fn run(
    config: &Config,
    clock: Arc<dyn Clock>,
    progress: Arc<dyn Progress>,
    stop: CancellationToken,
) -> Result<(), Vec<Problem>> {
    let alone = |problem: Problem| vec![problem];
    let metrics = http::collect_metrics().map_err(alone)?;
    let listener = http::bind(config.http.listen).await.map_err(alone)?;
    let engine = Arc::new(open(config, Arc::clone(&clock), progress).await?);
    engine.release_leases().await.map_err(|error| vec![build::problem_of(error)])?;
    let ready = Readiness::starting();
    let closing = CancellationToken::new();
    let router = http::router(ready.clone(), Some(metrics));
    let server = tokio::spawn(http::serve(listener, router, closing.clone().cancelled_owned()));
    ready.started();
    tracing::info!(listen = %config.http.listen, systems = config.systems.len(), "nivel runs");
    let finish = stop.clone();
    let told = ready.clone();
    tokio::spawn(async move {
        finish.cancelled().await;
        told.stopping();
    });
    supervise::supervise(engine, config, ready, stop).await;
    closing.cancel();
    match server.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the HTTP server ended badly"),
        Err(error) => tracing::warn!(%error, "the HTTP server was cut off"),
    }
    tracing::info!("nivel has stopped");
    Ok(())
}
