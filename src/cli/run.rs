//! `nivel run`: the daemon.

use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::Failed;
use super::app::Context;
use super::output::Exit;
use crate::sync::Silent;

/// Run as a daemon: pull, merge and push at the configured times
#[derive(Debug, Args)]
#[command(
    after_help = "Ends in order on SIGTERM and Ctrl-C: pulls stop, writes under way are settled, the ledger is closed.\n\n\
Example:\n  nivel run --config /etc/nivel/nivel.yaml"
)]
pub(super) struct Run {}

impl Run {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let config = context.config()?;
        super::log::for_daemon(&config.log, context.global.verbose);
        let stop = CancellationToken::new();
        let told = stop.clone();
        tokio::spawn(async move {
            asked_to_stop().await;
            told.cancel();
        });
        crate::daemon::run(&config, Arc::clone(&context.clock), Arc::new(Silent), stop)
            .await
            .map_err(Failed::from_all)?;
        Ok(Exit::Fine)
    }
}

/// Resolves at SIGTERM or Ctrl-C. Where a signal cannot be listened for, its default holds: the process dies, which loses
/// nothing either.
async fn asked_to_stop() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupt => tracing::info!("asked to stop by Ctrl-C"),
        () = terminated() => tracing::info!("asked to stop by SIGTERM"),
    }
}

#[cfg(unix)]
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
