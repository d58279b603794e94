//! Runs a connector's `tests.yaml`, and the tests every connector must pass, against the real engine.
//!
//! A server on loopback plays the canned exchanges; time jumps instead of passing. `nivel connector test` prints the
//! report, the project's own tests run it over every shipped connector.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::settings::ConnectionSettings;
use super::timer::JumpTimer;
use super::{Connection, build};
use crate::error::{Code, Problem};
use crate::manifest::tests::{Case, Exchange, OperationCase, ReadCase, Suite, WebhookCase};
use crate::manifest::{Answer, GrantKind, Manifest, Template};
use crate::model::{Cursor, CustomerKey, FieldName, Kind, Operation, TestClock, UnixMillis, Value, WriteAction};

mod compare;
mod guest;
mod parts;
mod record;
mod server;
mod standard;
mod ties;

use compare::{Came, differences};
use server::{Server, TOKEN_PATH};

pub use record::{Live, Recording, record};

/// The present of tests that do not say: 2026-01-01T00:00:00Z.
const NOW: UnixMillis = UnixMillis(1_767_225_600_000);
/// How many pages a test may read.
const PAGES_MAX: usize = 200;

/// How a connector's tests went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many tests there were.
    pub cases: u64,
    /// What was not as expected, each with the test it is about; empty when all passed.
    pub problems: Vec<Problem>,
}

/// How one test went.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CaseReport {
    name: String,
    /// What was not as expected; empty when it passed.
    problems: Vec<String>,
}

/// Runs the tests of a connector (`text` of the `tests.yaml` at `place`) and those that every connector must pass.
pub async fn run(manifest: &Manifest, place: &str, text: &str) -> Report {
    let suite = match Suite::parse(place, text) {
        Ok(suite) => suite,
        Err(problems) => return Report { cases: 0, problems },
    };
    let runner = Runner {
        manifest,
        suite: &suite,
    };
    let mut cases = Vec::new();
    for case in &suite.tests {
        let came = runner.run(case, case.http.clone()).await;
        cases.push(CaseReport {
            name: case.name.clone(),
            problems: came.map_or_else(|problem| vec![problem], |ran| ran.problems(case)),
        });
    }
    cases.extend(if manifest.guest.is_some() {
        guest::run(&runner).await
    } else {
        standard::run(&runner).await
    });
    let told = |case: &CaseReport, what: &String| {
        Problem::new(Code::ConnectorTest, what).about(format!("{place}: {}", case.name))
    };
    Report {
        cases: cases.len() as u64,
        problems: cases
            .iter()
            .flat_map(|case| case.problems.iter().map(move |what| told(case, what)))
            .collect(),
    }
}

struct Runner<'a> {
    manifest: &'a Manifest,
    suite: &'a Suite,
}

/// A test that was run.
struct Ran {
    came: Came,
    /// Requests that were not as expected.
    wrong: Vec<String>,
    waits: Vec<Duration>,
}

impl Ran {
    fn problems(&self, case: &Case) -> Vec<String> {
        let longest = self.waits.iter().max().map_or(0, Duration::as_millis);
        let expected = case.expect.waited_ms.map(u128::from);
        let waited = expected.filter(|expected| *expected != longest);
        self.wrong
            .iter()
            .cloned()
            .chain(differences(&case.expect, &self.came))
            .chain(waited.map(|expected| format!("waited {longest} ms, expected {expected} ms")))
            .collect()
    }
}

/// A connection to a server that plays a script.
struct Stage {
    server: Server,
    settings: ConnectionSettings,
    timer: Arc<JumpTimer>,
    /// Where this server hands out access tokens.
    tokens: String,
    /// Where programs get private folders.
    _home: Option<tempfile::TempDir>,
}

impl Runner<'_> {
    /// The present of a test.
    fn now(&self, case: &Case) -> UnixMillis {
        case.now.or(self.suite.now).map_or(NOW, |now| now.0)
    }

    /// True when what a test writes is answered by a row for each operation.
    fn answers_by_rows(&self, case: &Case) -> bool {
        let write = case
            .write
            .as_ref()
            .and_then(|write| Some((write, self.manifest.objects.get(&write.object)?.write.as_ref()?)));
        let Some((case, ops)) = write else { return false };
        let first = case.operations.first();
        let words = match first {
            Some(operation) if operation.update.is_some() => &ops.update,
            Some(operation) if operation.delete.is_some() => &ops.delete,
            _ => &ops.create,
        };
        !words.is_empty() && words.iter().all(|op| op.answer() == Answer::Rows)
    }

    async fn stage(&self, case: &Case, http: Vec<Exchange>) -> Result<Stage, String> {
        let now = self.now(case);
        let server = Server::start(http, now)
            .await
            .map_err(|error| format!("no port on loopback: {error}"))?;
        let timer = Arc::new(JumpTimer::default());
        let mut settings = ConnectionSettings::new("test");
        for (name, value) in self.suite.config.iter().chain(&case.config) {
            let is_secret = self.manifest.config.get(name).is_some_and(|setting| setting.secret);
            settings = match value.as_str().filter(|_| is_secret) {
                Some(text) => settings.with_secret(name, text),
                None => settings.with(name, value.clone()),
            };
        }
        settings.base = Some(server.base.clone());
        settings.clock = Arc::new(TestClock::at(now));
        settings.timer = timer.clone();
        settings.calls = 1;
        let home = match &self.manifest.guest {
            Some(_) => Some(guest::at_home(&mut settings, self.suite, &server.base)?),
            None => None,
        };
        Ok(Stage {
            _home: home,
            tokens: format!("{}{TOKEN_PATH}", server.base),
            server,
            settings,
            timer,
        })
    }

    async fn run(&self, case: &Case, http: Vec<Exchange>) -> Result<Ran, String> {
        let stage = self.stage(case, http).await?;
        let connection = stage.connection(self.manifest)?;
        let came = act(&*connection, case).await;
        Ok(stage.ran(came))
    }
}

impl Stage {
    /// The manifest with this server in the place of the one that hands out access tokens, and with nobody asked to agree.
    fn signed_in(&self, manifest: &Manifest) -> Manifest {
        let mut manifest = manifest.clone();
        if let (Some(oauth2), Ok(token)) = (&mut manifest.oauth2, Template::compile(&self.tokens)) {
            oauth2.token = token;
            oauth2.grant = GrantKind::ClientCredentials;
        }
        manifest
    }

    fn connection(&self, manifest: &Manifest) -> Result<Arc<dyn Connection>, String> {
        build(self.signed_in(manifest), self.settings.clone()).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            lines.join("; ")
        })
    }

    fn ran(&self, came: Came) -> Ran {
        Ran {
            came,
            wrong: self.server.wrong(),
            waits: self.timer.waits(),
        }
    }
}

async fn act(connection: &dyn Connection, case: &Case) -> Came {
    let mut came = Came::default();
    if case.check {
        came.failure = connection.check().await.err();
    } else if let Some(read) = &case.read {
        read_pages(connection, read, &mut came).await;
    } else if let Some(get) = &case.get {
        match connection.get(&get.object, &get.ids).await {
            Ok(records) => came.records = records,
            Err(failure) => came.failure = Some(failure),
        }
    } else if let Some(find) = &case.find {
        let value = Value::Text(find.value.clone());
        match connection.find(&find.object, &FieldName(find.by.clone()), &value).await {
            Ok(record) => came.records = record.into_iter().collect(),
            Err(failure) => came.failure = Some(failure),
        }
    } else if let Some(write) = &case.write {
        let operations: Vec<_> = write.operations.iter().enumerate().map(operation).collect();
        came.outcomes = connection.write(&write.object, &operations).await;
    } else if let Some(case) = &case.webhook {
        came.hints = hints(connection, case);
    }
    came
}

/// What the events of a webhook ask for; what cannot be read says why.
fn hints(connection: &dyn Connection, case: &WebhookCase) -> Vec<String> {
    let Some(hook) = connection.hook() else {
        return vec!["the connector has no webhooks".to_owned()];
    };
    let body = case.body.as_str().map_or_else(|| case.body.to_string(), str::to_owned);
    let headers = serde_json::json!(case.headers);
    let events = &hook.webhook.events;
    let hint = |event| {
        events
            .hint(event, &headers, hook.names())
            .map_or_else(|why| why, |hint| hint.to_string())
    };
    match events.split(body.as_bytes()) {
        Ok(rows) => rows.iter().map(hint).collect(),
        Err(why) => vec![why],
    }
}

async fn read_pages(connection: &dyn Connection, read: &ReadCase, came: &mut Came) {
    let mut cursor = read.cursor.clone().map(Cursor);
    for _ in 0..read.pages.unwrap_or(PAGES_MAX) {
        match connection.pull(&read.object, cursor.as_ref()).await {
            Ok(page) => {
                came.records.extend(page.records);
                came.caught_up = page.is_caught_up;
                cursor = Some(page.next);
            }
            Err(failure) => came.failure = Some(failure),
        }
        if came.caught_up || came.failure.is_some() {
            return;
        }
    }
}

fn operation((at, case): (usize, &OperationCase)) -> Operation {
    let action = match (&case.update, &case.delete) {
        (Some(id), _) => WriteAction::Update(id.clone()),
        (None, Some(id)) => WriteAction::Delete(id.clone()),
        (None, None) => WriteAction::Create,
    };
    let made_up = CustomerKey {
        id: Uuid::from_u128(at as u128 + 1),
        kind: Kind::Person,
    };
    Operation {
        id: case.id.clone().unwrap_or_else(|| format!("op-{}", at + 1).into()),
        action,
        fields: case.fields.0.clone(),
        known: case.known.clone(),
        version: case.version.clone(),
        key: case.key.unwrap_or(made_up),
    }
}
