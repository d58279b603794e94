//! `nivel identity`: how well records are brought to customers, measured on records of which the truth is known.

mod eval;
mod generate;
mod lost;
mod score;
mod table;
mod train;

use clap::Subcommand;

use super::Failed;
use super::app::Context;
use super::output::Exit;

/// Measure, train and try out the matching of records
#[derive(Debug, Subcommand)]
pub(super) enum Identity {
    /// Score the matcher on records of which the truth is known
    Eval(eval::Eval),
    /// Make the weights of the matcher anew
    Train(train::Train),
    /// Make up records of which the truth is known
    Generate(generate::Generate),
}

impl Identity {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failed> {
        match self {
            Self::Eval(verb) => verb.run(context),
            Self::Train(verb) => verb.run(context),
            Self::Generate(verb) => verb.run(context),
        }
    }
}
