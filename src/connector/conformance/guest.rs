//! The tests that every program must pass. It is started for real; the exchanges are played to it by a server whose
//! address it gets as one of its settings.

use std::sync::Arc;

use tempfile::TempDir;

use super::standard::{lints, report, same_records, secrets_of};
use super::{CaseReport, Runner};
use crate::connector::settings::ConnectionSettings;
use crate::connector::timer::RealTimer;
use crate::manifest::tests::Suite;

/// Makes settings fit for a program: a private folder, the variables of this process, time that passes.
pub(super) fn at_home(settings: &mut ConnectionSettings, suite: &Suite, base: &str) -> Result<TempDir, String> {
    let home = tempfile::tempdir().map_err(|error| format!("no folder for the program: {error}"))?;
    settings.home = home.path().to_path_buf();
    settings.environment = std::env::vars().collect();
    settings.timer = Arc::new(RealTimer::default());
    if let Some(name) = &suite.server {
        *settings = settings.clone().with(name, base);
    }
    Ok(home)
}

pub(super) async fn run(runner: &Runner<'_>) -> Vec<CaseReport> {
    let mut reports = vec![report("the manifest is in order", lints(runner))];
    let read = runner
        .suite
        .tests
        .iter()
        .find(|case| case.read.is_some() && case.expect.failure.is_none());
    let Some(read) = read else {
        reports.push(report(
            "a stream is read in a test",
            vec!["no test reads a page".to_owned()],
        ));
        return reports;
    };
    let plain = match runner.run(read, read.http.clone()).await {
        Ok(ran) => ran.came.records,
        Err(problem) => {
            reports.push(report("a stream can be read", vec![problem]));
            return reports;
        }
    };
    // A program that lists its objects in another order each time, or forgets some, cannot be followed.
    let again = match runner.run(read, read.http.clone()).await {
        Ok(ran) => same_records(&ran, &plain),
        Err(problem) => vec![problem],
    };
    reports.push(report("reading twice gives the same", again));
    // What the tool refuses must be told, and never with a secret in it.
    let mut http = read.http.clone();
    if let Some(first) = http.first_mut() {
        first.response.status = 401;
        first.response.body = Some(serde_json::json!({"message": secrets_of(runner).join(" ")}));
        http.truncate(1);
        let told = match runner.run(read, http).await {
            Ok(ran) => match &ran.came.failure {
                None => vec!["a refused credential was taken for an answer".to_owned()],
                Some(failure) => {
                    let told = format!("{failure:?}");
                    let is_told = secrets_of(runner).iter().any(|secret| told.contains(secret));
                    is_told.then(|| "a secret was told".to_owned()).into_iter().collect()
                }
            },
            Err(problem) => vec![problem],
        };
        reports.push(report("a refusal is told, without a secret", told));
    }
    reports
}
