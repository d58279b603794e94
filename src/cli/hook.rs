//! `nivel hook`: what the admin's own programs were not told yet.

use clap::{Args, Subcommand};
use compact_str::CompactString;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, table};
use crate::error::{Code, Problem};
use crate::ledger::Post;
use crate::sync::Act;

/// Most events that are listed.
const LISTED_MAX: usize = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Hook {
    /// List events that are not delivered
    List(List),
    /// Tell dead events again
    Replay(Replay),
}

/// List events that are not delivered
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel hook list --dead")]
pub(super) struct List {
    /// Only those that are given up
    #[arg(long)]
    dead: bool,
}

/// Tell dead events again
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel hook replay --all\n  nivel hook replay evt_0a1b2c")]
pub(super) struct Replay {
    /// The events, as `nivel hook list` shows them
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    events: Vec<CompactString>,
    /// Every dead event
    #[arg(long)]
    all: bool,
}

impl Hook {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        match self {
            Self::List(verb) => verb.run(context).await,
            Self::Replay(verb) => verb.run(context).await,
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let posts = context.ledger()?.posts(self.dead, LISTED_MAX).await?;
        let has_dead = posts.iter().any(|post| post.is_dead);
        context.output.show(&Listed(posts));
        Ok(if has_dead { Exit::Degraded } else { Exit::Fine })
    }
}

impl Replay {
    async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let is_all = self.all;
        let replayed: u64 = context.act(Act::Replay { events: self.events }).await?;
        if replayed == 0 && !is_all {
            let problem = Problem::new(Code::NotFound, "there is no such dead event");
            return Err(problem.hint("`nivel hook list --dead` lists them").into());
        }
        context.output.show(&Replayed { replayed });
        Ok(Exit::Fine)
    }
}

#[derive(Serialize)]
struct Listed(Vec<Post>);

impl Show for Listed {
    fn text(&self) -> String {
        if self.0.is_empty() {
            return "every hook was told everything".to_owned();
        }
        let row = |post: &Post| {
            let next = if post.is_dead {
                "dead".to_owned()
            } else {
                post.due_at.to_string()
            };
            let why = post.problem.as_ref().map(|problem| problem.message.clone());
            [
                post.token.to_string(),
                post.hook.to_string(),
                post.kind.to_string(),
                post.customer.to_string(),
                post.attempts.to_string(),
                next,
                why.unwrap_or_default(),
            ]
        };
        table(
            ["event", "hook", "what", "customer", "tries", "next", "reason"],
            self.0.iter().map(row),
        )
    }
}

#[derive(Serialize)]
struct Replayed {
    replayed: u64,
}

impl Show for Replayed {
    fn text(&self) -> String {
        format!("{} due again", count(self.replayed, "event"))
    }
}
