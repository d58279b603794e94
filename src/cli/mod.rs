//! The command line: one file per verb. Data on standard output, the rest on standard error.
//!
//! Exit codes: 0 fine, 1 a problem, 2 usage or config (nothing was started), 3 done but degraded.

mod affiliated;
mod alert;
mod app;
mod approve;
mod auth;
mod backup;
mod check;
mod connector;
mod customer;
mod dead;
mod decided;
mod demo;
mod erase;
mod explain;
mod fields;
mod figures;
mod frozen;
mod handoffs;
mod history;
mod hook;
mod identity;
mod init;
mod joined;
mod lint;
mod log;
mod output;
mod past;
mod plan;
mod progress;
mod reconcile;
mod review;
mod run;
mod sandbox;
mod status;
mod story;
mod sync;
mod timeline;
mod undo;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::app::Context;
use self::output::{Exit, Format, Output};
use crate::error::Problem;
use crate::fault;

/// Why a verb did not do what was asked.
#[derive(Debug)]
struct Failed {
    exit: Exit,
    problems: Vec<Problem>,
}

impl Failed {
    /// The command line or the config is wrong; nothing was started.
    fn usage(problems: Vec<Problem>) -> Self {
        Self {
            exit: Exit::Usage,
            problems,
        }
    }
}

impl Failed {
    /// Problems from anywhere: those of config and manifests mean that nothing was started.
    fn from_all(problems: Vec<Problem>) -> Self {
        let is_usage = problems
            .iter()
            .all(|problem| matches!(problem.code.as_str().get(..3), Some("CFG" | "MAN")));
        Self {
            exit: if is_usage { Exit::Usage } else { Exit::Problem },
            problems,
        }
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self {
            exit: Exit::Problem,
            problems: vec![problem],
        }
    }
}

impl From<crate::ledger::Error> for Failed {
    fn from(error: crate::ledger::Error) -> Self {
        app::ledger_problem(error).into()
    }
}

/// Keeps customers whole across marketing, sales and support tools.
#[derive(Debug, Parser)]
#[command(
    name = "nivel",
    version,
    max_term_width = 100,
    after_help = "\
Begin with `nivel demo`, or with `nivel init`, `nivel check`, `nivel plan`, `nivel sync`.
Exit codes: 0 fine, 1 a problem, 2 usage or config, 3 done but something needs a look."
)]
struct Command {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every verb.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every verb")]
struct Global {
    /// Config file; several are laid on top of each other
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "NIVEL_CONFIG",
        hide_env_values = true,
        default_value = "nivel.yaml"
    )]
    config: Vec<PathBuf>,
    /// Where the ledger lives, instead of what the config says
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How results are printed: text, or json for programs
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    output: Format,
    /// Tell more of what happens; twice for every page
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a commented config to begin with
    Init(init::Init),
    /// Watch customers of three sandbox tools become one
    Demo(demo::Demo),
    /// Serve the tools of the sandbox on loopback, and print where they are
    #[command(hide = true)]
    Sandbox(sandbox::Sandbox),
    /// Run as a daemon: pull, merge and push at the configured times
    Run(run::Run),
    /// Check the config, and whether each system answers
    Check(check::Check),
    /// Sign in to a tool that gives access by OAuth, and look after the grants
    Auth(auth::Auth),
    /// Check connector manifests, and the config that is there, without speaking to a tool
    Lint(lint::Lint),
    /// Show what a sync would write, and write nothing
    Plan(plan::Plan),
    /// Say yes to what is planned: a new setup begins to write, held writes go out
    Approve(approve::Approve),
    /// Stop all writing until the next approval; reading goes on
    Hold(approve::Hold),
    /// Pull, merge and push once, to the end
    Sync(sync::Sync),
    /// Take back what Nivel wrote, where nobody has changed it since
    Undo(undo::Undo),
    /// Show where each stream stands and what waits
    Status(status::Status),
    /// Look at one customer, and say who is who
    #[command(subcommand)]
    Customer(customer::Customer),
    /// Answer whether customers that look alike are one
    #[command(subcommand)]
    Review(review::Review),
    /// Show how many customers stand where between the teams, and who is missing
    Handoffs(handoffs::Handoffs),
    /// Count who is in one system and not in another, each with the reason
    Reconcile(reconcile::Reconcile),
    /// Look at what was given up (writes, notes of handoffs), and retry or drop it
    #[command(subcommand)]
    Dead(dead::Dead),
    /// Try the ways on which people are told, and see what they were told
    #[command(subcommand)]
    Alert(alert::Alert),
    /// See what programs under `hooks:` were not told yet, and tell it again
    #[command(subcommand)]
    Hook(hook::Hook),
    /// Look at the connectors there are
    #[command(subcommand)]
    Connector(connector::Connector),
    /// Measure, train and try out the matching of records
    #[command(subcommand)]
    Identity(identity::Identity),
    /// Copy the ledger to a new file, also beside a running daemon
    Backup(backup::Backup),
    /// Put a copy in the ledger's place; no daemon may run
    Restore(backup::Restore),
    /// Explain an error code
    Explain(explain::Explain),
}

impl Verb {
    async fn run(self, context: &Context) -> Result<Exit, Failed> {
        match self {
            Self::Init(verb) => verb.run(context),
            Self::Demo(verb) => verb.run(context).await,
            Self::Sandbox(verb) => verb.run(context).await,
            Self::Run(verb) => verb.run(context).await,
            Self::Check(verb) => verb.run(context).await,
            Self::Auth(verb) => verb.run(context).await,
            Self::Lint(verb) => verb.run(context),
            Self::Plan(verb) => verb.run(context).await,
            Self::Approve(verb) => verb.run(context).await,
            Self::Hold(verb) => verb.run(context).await,
            Self::Sync(verb) => verb.run(context).await,
            Self::Undo(verb) => verb.run(context).await,
            Self::Status(verb) => verb.run(context).await,
            Self::Customer(verb) => verb.run(context).await,
            Self::Review(verb) => verb.run(context).await,
            Self::Handoffs(verb) => verb.run(context).await,
            Self::Reconcile(verb) => verb.run(context).await,
            Self::Dead(verb) => verb.run(context).await,
            Self::Alert(verb) => verb.run(context).await,
            Self::Hook(verb) => verb.run(context).await,
            Self::Connector(verb) => verb.run(context).await,
            Self::Identity(verb) => verb.run(context),
            Self::Backup(verb) => verb.run(context),
            Self::Restore(verb) => verb.run(context).await,
            Self::Explain(verb) => verb.run(context),
        }
    }
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => return told_by_clap(&error),
    };
    let output = Output {
        format: command.global.output,
    };
    let exit = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(command, output)),
        Err(error) => {
            output.note(format_args!("cannot start: {error}"));
            Exit::Problem
        }
    };
    ExitCode::from(exit.code())
}

/// Help goes to standard output with 0, mistakes to standard error with 2; both are clap's own words.
fn told_by_clap(error: &clap::Error) -> ExitCode {
    let is_told = error.print().is_ok();
    let code = u8::try_from(error.exit_code()).unwrap_or_else(|_| Exit::Usage.code());
    ExitCode::from(if is_told { code } else { Exit::Problem.code() })
}

async fn run(command: Command, output: Output) -> Exit {
    if !matches!(command.verb, Verb::Run(_)) {
        log::for_verb(command.global.verbose);
    }
    let context = Context::new(command.global, output);
    if let Some(plan) = context.env.get("NIVEL_FAULT").and_then(|text| fault::Plan::parse(text)) {
        fault::arm(plan);
    }
    match Box::pin(command.verb.run(&context)).await {
        Ok(exit) => exit,
        Err(failed) => {
            output.problems(&failed.problems);
            failed.exit
        }
    }
}
