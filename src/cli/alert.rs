//! `nivel alert`: try the ways on which people are told, and see what they were told.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use compact_str::CompactString;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, line, table};
use crate::daemon::Courier;
use crate::error::{Code, Problem};
use crate::sync::alert::{Board, Open, alerts};

#[derive(Debug, Subcommand)]
pub(super) enum Alert {
    /// Send a message that says that nothing is wrong
    Test(Test),
    /// List what is wrong, and what was told of it
    List(List),
}

/// Send a message that says that nothing is wrong
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel alert test\n  nivel alert test ops")]
pub(super) struct Test {
    /// Only to this target; to all of them when left out
    target: Option<String>,
}

/// List what is wrong, and what was told of it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel alert list")]
pub(super) struct List {}

impl Alert {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        match self {
            Self::Test(verb) => verb.run(context).await,
            Self::List(verb) => verb.run(context).await,
        }
    }
}

impl Test {
    async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let config = context.config()?;
        let courier = Courier::new(&config.alerts, &context.clock)?;
        let results = courier.try_out(self.target.as_deref()).await;
        if results.is_empty() {
            let problem = Problem::new(Code::NotFound, "there is nobody to alert");
            return Err(problem
                .hint("`alerts: {to: …}` in the config names who is told, and how")
                .into());
        }
        let outcome = |result: Result<(), Problem>| result.err();
        let tried = Tried(
            results
                .into_iter()
                .map(|(name, result)| (name, outcome(result)))
                .collect(),
        );
        let is_fine = tried.0.values().all(Option::is_none);
        context.output.show(&tried);
        Ok(if is_fine { Exit::Fine } else { Exit::Problem })
    }
}

#[derive(Serialize)]
struct Tried(BTreeMap<CompactString, Option<Problem>>);

impl Show for Tried {
    fn text(&self) -> String {
        let row = |(name, problem): (&CompactString, &Option<Problem>)| {
            let text = problem
                .as_ref()
                .map_or_else(|| "delivered".to_owned(), ToString::to_string);
            [name.to_string(), text]
        };
        table(["target", "result"], self.0.iter().map(row))
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let board = alerts(context.ledger()?.as_ref()).await?;
        let exit = if board.open.is_empty() {
            Exit::Fine
        } else {
            Exit::Degraded
        };
        context.output.show(&Listed(board));
        Ok(exit)
    }
}

#[derive(Serialize)]
struct Listed(Board);

impl Show for Listed {
    fn text(&self) -> String {
        if self.0.open.is_empty() {
            return "nothing is wrong that there is an alert for".to_owned();
        }
        let row = |open: &Open| {
            let told = open.told_at.map_or_else(|| "not yet".to_owned(), |at| at.to_string());
            [
                open.rule.word().to_owned(),
                open.says.clone(),
                open.since.to_string(),
                told,
            ]
        };
        let mut text = table(["alert", "what", "since", "told"], self.0.open.iter().map(row));
        let waiting = self.0.pending.len();
        if waiting > 0 {
            line(&mut text, format_args!("\n{waiting} not delivered yet"));
        }
        text
    }
}
