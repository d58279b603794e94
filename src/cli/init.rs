//! `nivel init`: a commented config to begin with. Asks nothing, overwrites nothing.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, line};
use crate::config::did_you_mean;
use crate::error::{Code, Problem};
use crate::manifest::Manifest;

/// What stands around the systems.
const TEMPLATE: &str = include_str!("init.yaml");
/// Where the systems go.
const PLACE: &str = "# SYSTEMS\n";

/// Write a commented config to begin with
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  nivel connector list\n  nivel init --with NAME,NAME\n  nivel init --config /etc/nivel/nivel.yaml"
)]
pub(super) struct Init {
    /// Connectors to prepare a system for, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    with: Vec<String>,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failed> {
        let manifests = crate::daemon::manifests(None).map_err(Failed::usage)?;
        let mut chosen = Vec::new();
        let mut problems = Vec::new();
        for name in &self.with {
            if let Some(manifest) = manifests.get(name.as_str()) {
                chosen.push(manifest);
            } else {
                let hint = did_you_mean(name, manifests.keys().map(|name| name.as_str()));
                problems.push(Problem::new(Code::NotFound, format!("there is no connector `{name}`")).hint(hint));
            }
        }
        if !problems.is_empty() {
            return Err(Failed::usage(problems));
        }
        let file = context.config_file();
        write_new(&file, &text(&chosen))?;
        let variables = chosen.iter().flat_map(|manifest| variables(manifest)).collect();
        context.output.show(&Written { file, variables });
        Ok(Exit::Fine)
    }
}

/// The whole config file.
fn text(manifests: &[&Manifest]) -> String {
    let mut systems = String::new();
    for manifest in manifests {
        systems.push_str(&system(manifest));
    }
    if systems.is_empty() {
        systems.push_str("systems: {}\n");
    } else {
        systems.insert_str(0, "systems:\n");
    }
    TEMPLATE.replacen(PLACE, &systems, 1)
}

fn system(manifest: &Manifest) -> String {
    let name = &manifest.connector;
    let mut text = String::new();
    if !manifest.doc.is_empty() {
        line(&mut text, format_args!("  # {}", manifest.doc));
    }
    line(&mut text, format_args!("  {name}:"));
    line(&mut text, format_args!("    connector: {name}"));
    line(
        &mut text,
        "    role: partner           # sales | support | marketing | partner | channel; the order of trust",
    );
    line(
        &mut text,
        "    create: never           # never | qualified | always: may Nivel make objects here?",
    );
    if !manifest.config.is_empty() {
        line(&mut text, "    config:");
    }
    for (key, setting) in &manifest.config {
        let comment = if setting.doc.is_empty() {
            String::new()
        } else {
            format!("   # {}", setting.doc)
        };
        if setting.is_required() {
            line(
                &mut text,
                format_args!("      {key}: ${{{}}}{comment}", variable(name, key)),
            );
        } else {
            line(&mut text, format_args!("      # {key}:{comment}"));
        }
    }
    text
}

fn variable(connector: &str, key: &str) -> String {
    format!("{connector}_{key}").to_uppercase().replace('-', "_")
}

fn variables(manifest: &Manifest) -> Vec<String> {
    let required = manifest.config.iter().filter(|(_, setting)| setting.is_required());
    required.map(|(key, _)| variable(&manifest.connector, key)).collect()
}

/// Writes a file that is not there yet, readable by its owner alone: it may come to hold secrets.
fn write_new(file: &Path, text: &str) -> Result<(), Problem> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = crate::fault::effect_blocking("file", || {
        let mut open = options.open(file)?;
        open.write_all(text.as_bytes())?;
        open.sync_all()
    });
    let problem = |why: String| Problem::new(Code::ConfigUnreadable, why).about(file.display());
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(problem("this file is there already; nothing was written".to_owned())
                .hint("name another with --config, or move this one away"))
        }
        Ok(Err(error)) => Err(problem(format!("cannot be written: {error}"))),
        Err(prevented) => Err(problem(prevented.to_string())),
    }
}

#[derive(Serialize)]
struct Written {
    file: PathBuf,
    variables: Vec<String>,
}

impl Show for Written {
    fn text(&self) -> String {
        let mut text = format!("wrote {}\n", self.file.display());
        if !self.variables.is_empty() {
            line(&mut text, format_args!("\nset {}", self.variables.join(", ")));
        }
        line(&mut text, "\nthen: nivel check, nivel plan, nivel sync, nivel run");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_is_written_loads() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nivel.yaml");
        write_new(&file, &text(&[])).unwrap();
        let config = Config::load(std::slice::from_ref(&file), &[].into()).unwrap();
        assert!(config.systems.is_empty());
        let again = write_new(&file, "x").unwrap_err();
        assert_eq!(again.code, Code::ConfigUnreadable);
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            text(&[]),
            "the file was left alone"
        );
    }
}
