//! `nivel lint`: are connector manifests well-formed and sensible? Speaks to no tool.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, problems_text};
use crate::error::{Code, Problem};
use crate::manifest::{self, Manifest};

/// More than this is not a manifest.
const FILE_SIZE_MAX: u64 = 1 << 20;

/// Check connector manifests without speaking to a tool
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel lint connectors/acme/manifest.yaml\n  nivel lint")]
pub(super) struct Lint {
    /// Manifest files, or folders that hold a manifest.yaml; all shipped ones when left out
    paths: Vec<PathBuf>,
}

impl Lint {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failed> {
        let mut report = Report::default();
        if self.paths.is_empty() {
            for (name, text) in manifest::shipped() {
                report.add(&format!("connectors/{name}/manifest.yaml"), text);
            }
        }
        for path in &self.paths {
            report.add_file(path);
        }
        context.output.show(&report);
        Ok(if report.problems.is_empty() {
            Exit::Fine
        } else {
            Exit::Usage
        })
    }
}

#[derive(Default, Serialize)]
struct Report {
    manifests: u64,
    problems: Vec<Problem>,
}

impl Report {
    fn add_file(&mut self, path: &Path) {
        let file = if path.is_dir() {
            path.join("manifest.yaml")
        } else {
            path.to_owned()
        };
        let name = file.display().to_string();
        let is_too_large = std::fs::metadata(&file).is_ok_and(|about| about.len() > FILE_SIZE_MAX);
        if is_too_large {
            let problem = Problem::new(Code::ManifestInvalid, "larger than a manifest may be");
            self.problems.push(problem.about(name));
            return;
        }
        match std::fs::read_to_string(&file) {
            Ok(text) => self.add(&name, &text),
            Err(error) => {
                let problem = Problem::new(Code::ManifestInvalid, format!("cannot be read: {error}"));
                self.problems.push(
                    problem
                        .about(name)
                        .hint("name a manifest.yaml, or a folder that holds one"),
                );
            }
        }
    }

    fn add(&mut self, name: &str, text: &str) {
        self.manifests += 1;
        match Manifest::parse(name, text) {
            Ok(manifest) => self.problems.extend(manifest::lint(&manifest)),
            Err(problems) => self.problems.extend(problems),
        }
    }
}

impl Show for Report {
    fn text(&self) -> String {
        if self.problems.is_empty() {
            return format!("{} good", count(self.manifests, "manifest"));
        }
        problems_text(&self.problems)
    }
}
