//! `nivel connector practice`: a small tool that nobody has described, to learn on.

use clap::Args;

use super::super::Failed;
use super::super::app::Context;
use super::super::output::Exit;
use crate::error::{Code, Problem};
use crate::sandbox::practice;

/// Serve a small tool that no document describes, to learn on
#[derive(Debug, Args)]
#[command(
    after_help = "A card index on loopback, with invented people; connectors/GUIDE.md builds a connector for it.\n\n\
Example:\n  nivel connector practice --port 8099"
)]
pub(in crate::cli) struct Practice {
    /// Where it listens; 0 takes a free port
    #[arg(long, default_value_t = 8099)]
    port: u16,
}

impl Practice {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let served = practice::Practice::start(self.port)
            .await
            .map_err(|error| Problem::new(Code::PortTaken, error.to_string()).about(self.port))?;
        context
            .output
            .data(format_args!("{}  key {}", served.base, practice::KEY));
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "Ctrl-C cannot be heard");
            std::future::pending::<()>().await;
        }
        Ok(Exit::Fine)
    }
}
