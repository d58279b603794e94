//! `nivel run`: the daemon.

use std::sync::Arc;

use clap::Args;

use super::Failed;
use super::app::Context;
use super::output::Exit;

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
        crate::daemon::run(&config, Arc::clone(&context.clock))
            .await
            .map_err(Failed::from_all)?;
        Ok(Exit::Fine)
    }
}
