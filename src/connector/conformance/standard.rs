//! The tests that every connector must pass, made out of its own canned exchanges.

use std::sync::{Arc, Mutex, PoisonError};

use compact_str::CompactString;
use serde_json::{Value as Json, json};

use tracing::instrument::WithSubscriber;
use tracing_subscriber::fmt::MakeWriter;

use super::compare::Came;
use super::{CaseReport, PAGES_MAX, Ran, Runner};
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
        "every header that says how long is understood in every style",
        every_style(runner, read).await,
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
    reports.push(report(
        "rows of one time are read over the edge of a page",
        super::ties::check(runner).await,
    ));
    reports.push(report("a secret is never repeated", secrets(runner, read).await));
    reports.push(report("a secret is in no log", logged(runner, read).await));
    reports.push(report(
        "an answer that mentions nobody is no success",
        unmentioned(runner).await,
    ));
    reports
}

pub(super) fn report(name: &str, problems: Vec<String>) -> CaseReport {
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
        parts: None,
    }
}

fn body(status: u16, body: Json) -> Answered {
    Answered {
        status,
        headers: [].into(),
        body: Some(body),
        text: None,
        parts: None,
    }
}

pub(super) fn lints(runner: &Runner<'_>) -> Vec<String> {
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

pub(super) fn same_records(ran: &Ran, plain: &[Incoming]) -> Vec<String> {
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

/// For each header that the rules of 429 read: seconds, a moment since 1970 in seconds and milliseconds, one written out, and
/// an HTTP date.
async fn every_style(runner: &Runner<'_>, read: &Case) -> Vec<String> {
    let rules = runner.manifest.errors.iter();
    let rules = rules.filter(|rule| rule.status.contains(&429) && rule.when.is_none());
    let headers = rules.flat_map(|rule| rule.wait.iter()).filter_map(|wait| match wait {
        Wait::Header(name) => Some(name),
        _ => None,
    });
    let now = runner.now(read);
    let then = now.plus(std::time::Duration::from_secs(7));
    let moment = jiff::Timestamp::from_millisecond(then.0).unwrap_or_default();
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&moment);
    let styles = [
        "7".to_owned(),
        (then.0 / 1000).to_string(),
        then.0.to_string(),
        then.to_string(),
        date.unwrap_or_default(),
    ];
    let mut problems = Vec::new();
    for header in headers {
        // A moment so near to 1970 looks like a span: the tests of such a connector play in another time.
        for style in styles.iter().filter(|_| now.0 > 1_200_000_000_000) {
            let answer = Answered {
                headers: [(header.clone(), style.clone())].into(),
                ..body(429, json!({}))
            };
            let waited = match runner.run(read, first_answered(read, answer)).await {
                Ok(ran) => ran.waits.iter().max().map_or(0, std::time::Duration::as_secs),
                Err(problem) => return vec![problem],
            };
            if waited != 7 {
                problems.push(format!("`{header}: {style}` was taken for {waited} s, not 7 s"));
            }
        }
    }
    problems
}

/// The first write that succeeds by rows, with no rows in its answer.
async fn unmentioned(runner: &Runner<'_>) -> Vec<String> {
    let has_rows = |exchange: &Exchange| exchange.response.body.as_ref().is_some_and(has_list);
    let mut writes = runner.suite.tests.iter().filter(|case| {
        let outcomes = case.expect.outcomes.as_deref().unwrap_or_default();
        case.write.is_some() && outcomes.iter().any(|outcome| outcome.class.is_none()) && {
            let last = case.http.last();
            last.is_some_and(|last| last.request.method != "GET" && has_rows(last))
        }
    });
    let Some(case) = writes.find(|case| runner.answers_by_rows(case)) else {
        return Vec::new();
    };
    let mut http = case.http.clone();
    if let Some(body) = http.last_mut().and_then(|last| last.response.body.as_mut()) {
        empty_lists(body);
    }
    match runner.run(case, http).await {
        Err(problem) => vec![problem],
        Ok(ran) => {
            let good = ran.came.outcomes.iter().filter(|outcome| outcome.is_ok()).count();
            (good > 0)
                .then(|| format!("{good} operations of `{}` are taken for done", case.name))
                .into_iter()
                .collect()
        }
    }
}

fn has_list(value: &Json) -> bool {
    value.is_array() || value.as_object().is_some_and(|map| map.values().any(has_list))
}

fn empty_lists(value: &mut Json) {
    match value {
        Json::Array(items) => items.clear(),
        Json::Object(map) => map.values_mut().for_each(empty_lists),
        _ => {}
    }
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
        let connection = match stage.connection(runner.manifest) {
            Ok(connection) => connection,
            Err(problem) => return vec![problem],
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

/// The secrets of the tests.
pub(super) fn secrets_of<'a>(runner: &'a Runner<'_>) -> Vec<&'a str> {
    let config = runner.suite.config.iter();
    config
        .filter(|(name, _)| runner.manifest.config.get(*name).is_some_and(|setting| setting.secret))
        .filter_map(|(_, value)| value.as_str())
        .filter(|secret| secret.len() >= 4)
        .collect()
}

/// Everything that is logged while a page is read, and while it is refused, at the finest level.
async fn logged(runner: &Runner<'_>, read: &Case) -> Vec<String> {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let refusal = first_answered(read, body(401, json!({"message": secrets_of(runner).join(" ")})));
    let runs = async {
        // What comes of them is looked at elsewhere.
        let _plain = runner.run(read, read.http.clone()).await;
        let _refused = runner.run(read, refusal).await;
    };
    runs.with_subscriber(subscriber).await;
    let text = log.text();
    let found = secrets_of(runner).into_iter().chain(["test-token-"]);
    let found = found.filter(|secret| text.contains(*secret)).count();
    (found > 0).then(|| format!("{found} secrets")).into_iter().collect()
}

/// What was logged.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// An error answer that repeats every secret.
async fn secrets(runner: &Runner<'_>, read: &Case) -> Vec<String> {
    let secrets = secrets_of(runner);
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
