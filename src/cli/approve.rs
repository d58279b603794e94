//! `nivel approve` and `nivel hold`: the admin's yes, and her stop.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, line};
use crate::ledger::WriteState;
use crate::sync::Silent;

/// Say yes to what is planned: a new setup begins to write, held writes go out
#[derive(Debug, Args)]
#[command(
    after_help = "From then on Nivel writes by itself, until the systems or rules in the config change.\n\n\
Example:\n  nivel plan --details 50\n  nivel approve"
)]
pub(super) struct Approve {}

/// Stop all writing until the next `nivel approve`; reading goes on
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel hold")]
pub(super) struct Hold {}

/// What became of it.
#[derive(Debug, Serialize)]
struct Done {
    may_write: bool,
    due: u64,
    released: u64,
}

impl Approve {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let engine = open(context).await?;
        let released = engine.approve(&context.operator()).await?;
        let waiting = engine.ledger().totals().await?.writes;
        context.output.show(&Done {
            may_write: true,
            due: waiting.get(&WriteState::Due).copied().unwrap_or_default(),
            released,
        });
        Ok(Exit::Fine)
    }
}

impl Hold {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let engine = open(context).await?;
        engine.hold(&context.operator()).await?;
        let waiting = engine.ledger().totals().await?.writes;
        context.output.show(&Done {
            may_write: false,
            due: waiting.get(&WriteState::Due).copied().unwrap_or_default(),
            released: 0,
        });
        Ok(Exit::Fine)
    }
}

async fn open(context: &Context) -> Result<crate::sync::Engine, Failed> {
    let config = context.config_with_ledger()?;
    crate::daemon::open(&config, Arc::clone(&context.clock), Arc::new(Silent))
        .await
        .map_err(Failed::from_all)
}

impl Show for Done {
    fn text(&self) -> String {
        let mut text = String::new();
        let due = count(self.due, "write");
        if self.may_write {
            line(
                &mut text,
                format_args!("approved: {due} may go out, {} of them were held", self.released),
            );
            line(&mut text, "the next `nivel sync`, or the daemon, writes them");
        } else {
            line(
                &mut text,
                format_args!("held: {due} wait until `nivel approve`; reading goes on"),
            );
        }
        text
    }
}
