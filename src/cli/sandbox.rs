//! `nivel sandbox`: the tools of the sandbox by themselves, for clients that are not Nivel.

use clap::Args;

use super::Failed;
use super::app::Context;
use super::output::Exit;
use crate::error::{Code, Problem};
use crate::sandbox::{self, Options, ToolName};

/// Serve the tools of the sandbox on loopback, and print where they are
#[derive(Debug, Args)]
#[command(
    after_help = "Prints addresses and credentials as one line of JSON and serves until SIGTERM or Ctrl-C.\n\n\
Example:\n  nivel sandbox --people 500 --seed 7"
)]
pub(super) struct Sandbox {
    /// How many people stand behind the records
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    people: u32,
    /// Makes the same people again
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Sandbox {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let people = usize::try_from(self.people).unwrap_or(usize::MAX);
        let served = sandbox::serve(Options::generous(), &ToolName::EVERY, self.seed, people)
            .await
            .map_err(|error| Problem::new(Code::PortTaken, error.to_string()))?;
        let line =
            serde_json::to_string(&served.summary).map_err(|error| Problem::new(Code::Bug, error.to_string()))?;
        context.output.data(line);
        crate::daemon::end_asked().await;
        served.sandbox.shutdown().await;
        Ok(Exit::Fine)
    }
}
