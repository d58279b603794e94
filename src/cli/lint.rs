//! `nivel lint`: are connector manifests well-formed and sensible, and does nothing of the config flow where nobody said that it
//! may? Speaks to no tool.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, problems_text};
use crate::error::Problem;

/// Check connector manifests, and the config that is there, without speaking to a tool
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel lint connectors/acme/manifest.yaml\n  nivel lint")]
pub(super) struct Lint {
    /// Manifest files, or folders that hold a manifest.yaml; all shipped ones and the config when left out
    paths: Vec<PathBuf>,
}

impl Lint {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failed> {
        let (manifests, problems) = if self.paths.is_empty() {
            crate::daemon::lint_shipped()
        } else {
            crate::daemon::lint_files(&self.paths)
        };
        let mut problems = problems;
        // The config beside, if there is one: who would be told what.
        if self.paths.is_empty() && context.config_file().is_file() {
            let config = context.config()?;
            problems.extend(crate::daemon::lint_config(&config, &context.clock).map_err(Failed::usage)?);
        }
        let report = Report { manifests, problems };
        context.output.show(&report);
        Ok(if report.problems.is_empty() {
            Exit::Fine
        } else {
            Exit::Usage
        })
    }
}

#[derive(Serialize)]
struct Report {
    manifests: u64,
    problems: Vec<Problem>,
}

impl Show for Report {
    fn text(&self) -> String {
        if self.problems.is_empty() {
            return format!("{} good", count(self.manifests, "manifest"));
        }
        problems_text(&self.problems)
    }
}
