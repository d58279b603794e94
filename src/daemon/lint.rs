//! Looks at connectors without speaking to a tool.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build::manifests;
use crate::config::{Config, share_problems};
use crate::connector::conformance;
use crate::error::{Code, Problem};
use crate::manifest::{self, Manifest};
use crate::model::Clock;

/// Lints every shipped manifest: how many there are, and everything that is wrong with them.
#[must_use]
pub fn lint_shipped() -> (u64, Vec<Problem>) {
    lint(
        manifest::shipped()
            .into_iter()
            .map(|(name, text)| (format!("connectors/{name}/manifest.yaml"), Ok(text.to_owned()))),
    )
}

/// Lints manifest files, or folders that hold a `manifest.yaml`.
#[must_use]
pub fn lint_files(paths: &[PathBuf]) -> (u64, Vec<Problem>) {
    lint(paths.iter().map(|path| {
        let file = if path.is_dir() {
            path.join("manifest.yaml")
        } else {
            path.clone()
        };
        let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, &error));
        (file.display().to_string(), text)
    }))
}

/// Lints a config with the connectors it names: what nobody would see in either alone.
///
/// # Errors
/// Everything that keeps it from being used at all.
pub fn lint_config(config: &Config, clock: &Arc<dyn Clock>) -> Result<Vec<Problem>, Vec<Problem>> {
    let connections = super::build::connect(config, clock)?;
    Ok(share_problems(config, &super::build::specs_of(&connections)))
}

fn unreadable(file: &Path, error: &std::io::Error) -> Problem {
    Problem::new(Code::ManifestInvalid, format!("cannot be read: {error}")).about(file.display())
}

fn lint(files: impl Iterator<Item = (String, Result<String, Problem>)>) -> (u64, Vec<Problem>) {
    let mut count = 0;
    let mut problems = Vec::new();
    for (place, text) in files {
        count += 1;
        match text
            .map_err(|problem| vec![problem])
            .and_then(|text| Manifest::parse(&place, &text))
        {
            Ok(manifest) => problems.extend(manifest::lint(&manifest)),
            Err(found) => problems.extend(found),
        }
    }
    (count, problems)
}

/// Plays the canned exchanges of one connector, or of all: how many cases there were, and what was not as expected.
pub async fn test_connectors(dir: Option<&Path>, only: Option<&str>) -> (u64, Vec<Problem>) {
    let manifests = match manifests(dir) {
        Ok(manifests) => manifests,
        Err(problems) => return (0, problems),
    };
    let mut cases = 0;
    let mut problems = Vec::new();
    for (name, manifest) in manifests
        .iter()
        .filter(|(name, _)| only.is_none_or(|only| only == name.as_str()))
    {
        let has_tests = dir.is_some_and(|dir| dir.join(name).join("tests.yaml").is_file());
        if manifest.guest.is_some() && !has_tests {
            let problem = Problem::new(Code::ConnectorTest, "it is a program, and there are no tests of it");
            let problem = problem
                .about(name)
                .hint("write tests.yaml beside its manifest: `server:` names the setting that takes the address of the test's server");
            problems.extend(only.map(|_| problem));
            continue;
        }
        match tests_of(name, dir) {
            Ok((place, text)) => {
                let report = conformance::run(manifest, &place, &text).await;
                cases += report.cases;
                problems.extend(report.problems);
            }
            Err(problem) => problems.push(problem),
        }
    }
    (cases, problems)
}

/// The canned exchanges of a connector: beside the admin's manifest if it is one of theirs, else the shipped ones.
fn tests_of(name: &str, dir: Option<&Path>) -> Result<(String, String), Problem> {
    let own = dir
        .map(|dir| dir.join(name))
        .filter(|folder| folder.join("manifest.yaml").is_file());
    if let Some(folder) = own {
        let file = folder.join("tests.yaml");
        let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
        return Ok((file.display().to_string(), text));
    }
    let place = format!("connectors/{name}/tests.yaml");
    match manifest::shipped_tests().get(name) {
        Some(text) => Ok((place, (*text).to_owned())),
        None => Err(Problem::new(Code::ConnectorTest, "the connector has no tests.yaml").about(place)),
    }
}
