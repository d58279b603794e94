//! The tests that every connector must pass, made out of its own canned exchanges.

use compact_str::CompactString;
use serde_json::{Value as Json, json};

use super::compare::Came;
use super::{CaseReport, PAGES_MAX, Ran, Runner};
use crate::connector::build;
use crate::error::Code;
use crate::manifest::tests::{Answered, Case, Exchange};
use crate::manifest::{Wait, lint};
use crate::model::{Cursor, Incoming};

/// A name that no tool expects.
const HOSTILE: &str = "Robert'); DROP TABLE \u{202E}\u{1F600} {{ config }} \\\" &<b> \u{0000}x";

pub(super) async fn run(runner: &Runner<'_>) -> Vec<CaseReport> {
    let mut reports = vec![report("the manifest is in order", lints(runner))];
    reports.push(report("a write of nothing asks nothing", empty_write(runner).await));
    // The first test that reads something and succeeds.
    let read = runner.suite.tests.iter().find(|case| {
        case.read.is_some()
            && case.expect.failure.is_none()
            && case.http.iter().any(|exchange| exchange.response.status == 200)
    });
    let Some(read) = read else {
        reports.push(report(
            "a stream is read in a test",
            vec!["no test reads a page".to_owned()],
        ));
        return reports;
    };
    let plain = match runner.run(read, read.http.clone()).await {
        Ok(plain) => plain.came.records,
        Err(problem) => {
            reports.push(report("a stream can be read", vec![problem]));
            return reports;
        }
    };
    reports.push(report(
        "a throttle answer is waited for",
        throttled(runner, read, &plain).await,
    ));
    reports.push(report(
        "a refused credential is tried once more",
        refused(runner, read, &plain).await,
    ));
    reports.push(report(
        "reading goes on in another process",
        resumed(runner, read, &plain).await,
    ));
    reports.push(report(
        "unknown fields are left out",
        unknown_fields(runner, read, &plain).await,
    ));
    reports.push(report("hostile values survive", hostile(runner, read, &plain).await));
    for (name, answer) in [
        (
            "a login page is no empty list",
            text(200, "<html><form>log in</form></html>"),
        ),
        ("a cut answer is no short list", text(200, "{\"results\": [{\"id\": 1")),
        (
            "an answer without its list is no empty list",
            body(200, json!({"unexpected": true})),
        ),
    ] {
        reports.push(report(name, not_the_answer(runner, read, answer).await));
    }
    reports.push(report("a secret is never repeated", secrets(runner, read).await));
    reports
}

fn report(name: &str, problems: Vec<String>) -> CaseReport {
    CaseReport {
        name: name.to_owned(),
        problems,
    }
}

fn text(status: u16, text: &str) -> Answered {
    Answered {
        status,
        headers: [("content-type".into(), "application/json".to_owned())].into(),
        body: None,
        text: Some(text.to_owned()),
    }
}

fn body(status: u16, body: Json) -> Answered {
    Answered {
        status,
        headers: [].into(),
        body: Some(body),
        text: None,
    }
}

fn lints(runner: &Runner<'_>) -> Vec<String> {
    lint(runner.manifest).iter().map(ToString::to_string).collect()
}

async fn empty_write(runner: &Runner<'_>) -> Vec<String> {
    let Some(case) = runner.suite.tests.first() else {
        return vec!["there are no tests".to_owned()];
    };
    let stage = match runner.stage(case, Vec::new()).await {
        Ok(stage) => stage,
        Err(problem) => return vec![problem],
    };
    let connection = match stage.connection(runner.manifest) {
        Ok(connection) => connection,
        Err(problem) => return vec![problem],
    };
    for stream in connection.streams().keys() {
        if !connection.write(stream, &[]).await.is_empty() {
            return vec![format!("{stream}: outcomes of nothing")];
        }
    }
    match stage.server.requests() {
        0 => Vec::new(),
        requests => vec![format!("{requests} requests")],
    }
}

/// The exchanges with the first request answered otherwise, and then as written.
fn first_answered(read: &Case, answer: Answered) -> Vec<Exchange> {
    let before = read.http.first().map(|first| Exchange {
        request: first.request.clone(),
        response: answer,
    });
    before.into_iter().chain(read.http.iter().cloned()).collect()
}

fn same_records(ran: &Ran, plain: &[Incoming]) -> Vec<String> {
    let mut problems = ran.wrong.clone();
    problems.extend(ran.came.failure.iter().map(|failure| format!("failed: {failure}")));
    if ran.came.records != plain {
        problems.push("the records are not the same".to_owned());
    }
    problems
}

async fn throttled(runner: &Runner<'_>, read: &Case, plain: &[Incoming]) -> Vec<String> {
    let answer = Answered {
        headers: [("retry-after".into(), "7".to_owned())].into(),
        ..body(429, json!({}))
    };
    let ran = match runner.run(read, first_answered(read, answer)).await {
        Ok(ran) => ran,
        Err(problem) => return vec![problem],
    };
    let mut problems = same_records(&ran, plain);
    let rule = runner
        .manifest
        .errors
        .iter()
        .find(|rule| rule.status.contains(&429) && rule.when.is_none());
    let is_told = rule.is_none_or(|rule| rule.wait.first() == Some(&Wait::Header("retry-after".into())));
    let longest = ran.waits.iter().max().map_or(0, std::time::Duration::as_secs);
    if longest < if is_told { 7 } else { 1 } {
        problems.push(format!("waited {longest} s"));
    }
    problems
}

async fn refused(runner: &Runner<'_>, read: &Case, plain: &[Incoming]) -> Vec<String> {
    match runner.run(read, first_answered(read, body(401, json!({})))).await {
        Ok(ran) => same_records(&ran, plain),
        Err(problem) => vec![problem],
    }
}

/// Every page is read by a connection that knows nothing but the cursor.
async fn resumed(runner: &Runner<'_>, read: &Case, plain: &[Incoming]) -> Vec<String> {
    let stage = match runner.stage(read, read.http.clone()).await {
        Ok(stage) => stage,
        Err(problem) => return vec![problem],
    };
    let Some(wanted) = &read.read else {
        return Vec::new();
    };
    let mut came = Came::default();
    let mut cursor = wanted.cursor.clone().map(Cursor);
    for _ in 0..wanted.pages.unwrap_or(PAGES_MAX) {
        let connection = match build(runner.manifest.clone(), stage.settings.clone()) {
            Ok(connection) => connection,
            Err(_) => return vec!["the settings are refused".to_owned()],
        };
        match connection.pull(&wanted.object, cursor.as_ref()).await {
            Ok(page) => {
                came.records.extend(page.records);
                came.caught_up = page.is_caught_up;
                cursor = Some(page.next);
            }
            Err(failure) => came.failure = Some(failure),
        }
        if came.caught_up || came.failure.is_some() {
            break;
        }
    }
    same_records(&stage.ran(came), plain)
}

/// The exchanges with every row of every list changed.
fn rows_changed(runner: &Runner<'_>, read: &Case, change: impl Fn(&mut Json)) -> Vec<Exchange> {
    let stream = read.read.as_ref().map_or("", |read| read.object.as_str());
    let records = runner
        .manifest
        .objects
        .get(stream)
        .and_then(|object| object.read.as_ref())
        .map(|read| &read.records);
    let mut exchanges = read.http.clone();
    for answer in exchanges
        .iter_mut()
        .filter_map(|exchange| exchange.response.body.as_mut())
    {
        let names: Vec<CompactString> = records
            .map(|path| path.names().into_iter().map(Into::into).collect())
            .unwrap_or_default();
        let list = names.iter().try_fold(answer, |at, name| at.get_mut(name.as_str()));
        list.and_then(Json::as_array_mut)
            .into_iter()
            .flatten()
            .for_each(&change);
    }
    exchanges
}

async fn unknown_fields(runner: &Runner<'_>, read: &Case, plain: &[Incoming]) -> Vec<String> {
    let changed = rows_changed(runner, read, |row| {
        if let Some(row) = row.as_object_mut() {
            row.insert(
                "\u{1F600} unheard of.x[0]".to_owned(),
                json!({"deep": [1, {"x": null}]}),
            );
        }
    });
    match runner.run(read, changed).await {
        Ok(ran) => same_records(&ran, plain),
        Err(problem) => vec![problem],
    }
}

/// Puts a hostile text into every text of every row that is not an id, a key or a time: nothing may fail but the value.
async fn hostile(runner: &Runner<'_>, read: &Case, plain: &[Incoming]) -> Vec<String> {
    let changed = rows_changed(runner, read, poison);
    let ran = match runner.run(read, changed).await {
        Ok(ran) => ran,
        Err(problem) => return vec![problem],
    };
    let mut problems: Vec<String> = ran
        .came
        .failure
        .iter()
        .map(|failure| format!("failed: {failure}"))
        .collect();
    if ran.came.records.len() != plain.len() {
        problems.push(format!("{} records instead of {}", ran.came.records.len(), plain.len()));
    }
    problems
}

/// Texts with a letter and a space or without a digit are words; ids, tokens and times stay.
fn poison(value: &mut Json) {
    match value {
        Json::String(text) if !text.chars().any(|c| c.is_ascii_digit()) => HOSTILE.clone_into(text),
        Json::Array(items) => items.iter_mut().for_each(poison),
        Json::Object(map) => map.values_mut().for_each(poison),
        _ => {}
    }
}

async fn not_the_answer(runner: &Runner<'_>, read: &Case, answer: Answered) -> Vec<String> {
    let Some(first) = read.http.first() else {
        return Vec::new();
    };
    let http = vec![Exchange {
        request: first.request.clone(),
        response: answer,
    }];
    match runner.run(read, http).await {
        Err(problem) => vec![problem],
        Ok(ran) => match &ran.came.failure {
            Some(failure) if failure.problem.code == Code::NotTheAnswer => Vec::new(),
            Some(failure) => vec![format!("failed otherwise: {failure}")],
            None => vec!["was taken for an answer".to_owned()],
        },
    }
}

/// An error answer that repeats every secret.
async fn secrets(runner: &Runner<'_>, read: &Case) -> Vec<String> {
    let secrets: Vec<&str> = runner
        .suite
        .config
        .iter()
        .filter(|(name, _)| runner.manifest.config.get(*name).is_some_and(|setting| setting.secret))
        .filter_map(|(_, value)| value.as_str())
        .filter(|secret| secret.len() >= 4)
        .collect();
    let words = format!("bad request with {}", secrets.join(" and "));
    let mut problems = Vec::new();
    for status in [400, 401, 403, 500] {
        let echo = json!({"message": words, "error": words, "description": words, "detail": words, "errors": [{"message": words, "context": words}]});
        let Some(first) = read.http.first() else {
            return problems;
        };
        let http = vec![Exchange {
            request: first.request.clone(),
            response: body(status, echo),
        }];
        match runner.run(read, http).await {
            Err(problem) => problems.push(problem),
            Ok(ran) => {
                let told = format!("{:?}", ran.came.failure);
                if secrets.iter().any(|secret| told.contains(secret)) {
                    problems.push(format!("told after {status}"));
                }
            }
        }
    }
    problems
}
