//! `nivel backup` and `nivel restore`: a copy of the ledger, and back.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, line};
use crate::daemon::Restored;

/// Copy the ledger to a new file, also beside a running daemon
#[derive(Debug, Args)]
#[command(
    after_help = "The copy holds customer data, and nothing of people who were erased. Tokens in it are sealed; keep their key apart.\n\n\
Example:\n  nivel backup /backups/nivel-2026-01-31.db"
)]
pub(super) struct Backup {
    /// The file to write; it must not be there yet
    file: PathBuf,
}

/// Put a copy in the ledger's place; no daemon may run
#[derive(Debug, Args)]
#[command(
    after_help = "The copy is checked first. Who was erased since it was made is taken over from the ledger that stands there, and is erased\n\
again. Nothing is written until `nivel approve`. What stood there is kept as nivel.db.replaced.\n\n\
Example:\n  nivel restore /backups/nivel-2026-01-31.db"
)]
pub(super) struct Restore {
    /// The copy
    file: PathBuf,
}

impl Backup {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failed> {
        let config = context.config_with_ledger()?;
        let bytes = crate::daemon::back_up(&config, &self.file)?;
        context.output.show(&Copied { file: self.file, bytes });
        Ok(Exit::Fine)
    }
}

impl Restore {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let config = context.config()?;
        let restored = crate::daemon::restore(&config, &self.file, &context.clock).await?;
        let exit = if restored.without_list {
            Exit::Degraded
        } else {
            Exit::Fine
        };
        context.output.show(&restored);
        Ok(exit)
    }
}

#[derive(Serialize)]
struct Copied {
    file: PathBuf,
    bytes: u64,
}

impl Show for Copied {
    fn text(&self) -> String {
        format!("{}: {}", self.file.display(), count(self.bytes, "byte"))
    }
}

impl Show for Restored {
    fn text(&self) -> String {
        let mut text = String::new();
        line(
            &mut text,
            format_args!("put back: {}", count(self.customers, "customer")),
        );
        if self.erased_again > 0 {
            let people = count(self.erased_again, "customer");
            line(
                &mut text,
                format_args!("{people} had been erased since: the next sync, or the daemon, erases them again"),
            );
        }
        if self.without_list {
            line(
                &mut text,
                "there was no ledger to tell who was erased since the copy was made: erase them again by hand",
            );
        }
        line(
            &mut text,
            "nothing is written until `nivel plan` was looked at and `nivel approve` said",
        );
        text
    }
}
