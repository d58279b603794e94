//! The shipped connectors against tools that play every fault: nothing is lost, nothing is doubled, no secret is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use nivel::connector::timer::JumpTimer;
use nivel::connector::{Connection, ConnectionSettings, build};
use nivel::error::{Class, Code, Failure};
use nivel::identity::phone;
use nivel::manifest::{Manifest, shipped};
use nivel::model::{
    Cursor, CustomerKey, FieldName, Fields, Incoming, Kind as CustomerKind, Operation, Outcome, TestClock, UnixMillis,
    Value, WriteAction,
};
use nivel::sandbox::{Fault, Kind, Options, Retry, Sandbox, Tool, ToolName, people};
use serde_json::json;
use uuid::Uuid;

mod reading;
mod traps;
mod writing;

const NOW_MS: i64 = 1_767_225_600_000;
const CANARY: &str = "c4n4ry-5ecret";

/// Three tools and our connections to them, on clocks that stand still until they are moved together.
struct Scene {
    sandbox: Sandbox,
    clock: Arc<TestClock>,
    timer: Arc<JumpTimer>,
}

fn stream(name: ToolName) -> &'static str {
    match name {
        ToolName::Hubspot | ToolName::Salesforce | ToolName::Intercom => "contact",
        ToolName::Pipedrive => "person",
        ToolName::Zendesk => "user",
        ToolName::Mailchimp => "member",
    }
}

fn connector(name: ToolName) -> &'static str {
    match name {
        ToolName::Hubspot => "hubspot",
        ToolName::Pipedrive => "pipedrive",
        ToolName::Zendesk => "zendesk",
        ToolName::Mailchimp => "mailchimp",
        ToolName::Salesforce => "salesforce",
        ToolName::Intercom => "intercom",
    }
}

impl Scene {
    async fn new() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let options = Options {
            clock_ms: Some(NOW_MS),
            ..options
        };
        Self {
            sandbox: Sandbox::start(options).await.unwrap(),
            clock: Arc::new(TestClock::at(UnixMillis(NOW_MS))),
            timer: Arc::new(JumpTimer::default()),
        }
    }

    /// The same tools filled with invented people.
    async fn seeded(count: usize) -> Self {
        let scene = Self::new().await;
        scene.sandbox.seed(&people::generate(7, count));
        scene
    }

    fn advance(&self, time: Duration) {
        self.sandbox.advance(i64::try_from(time.as_millis()).unwrap());
        self.clock.advance(time);
    }

    fn tool(&self, name: ToolName) -> &Tool {
        self.sandbox.tool(name)
    }

    fn connect(&self, name: ToolName) -> Arc<dyn Connection> {
        self.connect_with(name, |_| {})
    }

    fn connect_with(&self, name: ToolName, adjust: impl FnOnce(&mut ConnectionSettings)) -> Arc<dyn Connection> {
        self.connect_as(name, shipped()[connector(name)], adjust)
    }

    /// By another manifest than the shipped one.
    fn connect_by(&self, name: ToolName, manifest: &str) -> Arc<dyn Connection> {
        self.connect_as(name, manifest, |_| {})
    }

    fn connect_as(
        &self,
        name: ToolName,
        manifest: &str,
        adjust: impl FnOnce(&mut ConnectionSettings),
    ) -> Arc<dyn Connection> {
        let options = Options::default();
        let connector = connector(name);
        let mut settings = ConnectionSettings::new(connector);
        settings = match name {
            ToolName::Hubspot => settings.with_secret("token", options.hubspot_token),
            ToolName::Pipedrive => settings.with_secret("token", options.pipedrive_token),
            ToolName::Zendesk => settings
                .with("subdomain", "sandbox")
                .with("email", options.zendesk_email)
                .with_secret("token", options.zendesk_token),
            ToolName::Mailchimp => settings
                .with("list", options.mailchimp_list)
                .with_secret("key", options.mailchimp_key),
            ToolName::Salesforce => settings
                .with("url", self.tool(name).base_url.clone())
                .with("client_id", options.salesforce_client_id)
                .with_secret("client_secret", options.salesforce_client_secret),
            ToolName::Intercom => settings.with_secret("token", options.intercom_token),
        };
        settings.base = Some(self.base(name));
        settings.clock = self.clock.clone();
        settings.timer = self.timer.clone();
        settings.phone = phone::normalise;
        settings.region = Some("FI".into());
        settings.lag = Some(Duration::ZERO);
        settings.removals_every = Duration::ZERO;
        settings.bounds.body_max_bytes = 4 << 20;
        adjust(&mut settings);
        let manifest = Manifest::parse(connector, &small_pages(manifest)).unwrap();
        build(manifest, settings).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    /// Where the shipped manifest's paths begin.
    fn base(&self, name: ToolName) -> String {
        self.tool(name).api_base()
    }

    fn ids(&self, name: ToolName) -> BTreeSet<String> {
        self.tool(name).people().into_iter().map(|person| person.id).collect()
    }
}

/// The manifest with pages small enough for many of them, and with the last page told by the answer instead of by its
/// being empty.
fn small_pages(manifest: &str) -> String {
    let by_emptiness = "{by: keyset, key: id, start: \"0\"}";
    let told = "{by: keyset, key: id, start: \"0\", until: not paging.next}";
    let mut text = manifest.replace(by_emptiness, told);
    for (large, small) in [
        ("limit: 200", "limit: 50"),
        ("limit: 500", "limit: 50"),
        ("per_page: 1000", "per_page: 50"),
    ] {
        text = text.replace(large, small);
    }
    text
}

/// Reads a stream as the engine does: a page that failed is asked for again with the same cursor.
struct Reader {
    connection: Arc<dyn Connection>,
    stream: &'static str,
    cursor: Option<Cursor>,
    failures: Vec<Failure>,
}

impl Reader {
    fn new(scene: &Scene, name: ToolName) -> Self {
        Self {
            connection: scene.connect(name),
            stream: stream(name),
            cursor: None,
            failures: Vec::new(),
        }
    }

    async fn catch_up(&mut self) -> Vec<Incoming> {
        let mut records = Vec::new();
        for _ in 0..500 {
            match self.connection.pull(self.stream, self.cursor.as_ref()).await {
                Ok(page) => {
                    records.extend(page.records);
                    self.cursor = Some(page.next);
                    if page.is_caught_up {
                        return records;
                    }
                }
                Err(failure) => {
                    self.failures.push(failure);
                    assert!(self.failures.len() < 20, "{:#?}", self.failures);
                }
            }
        }
        panic!("never caught up");
    }
}

fn ids(records: &[Incoming]) -> BTreeSet<String> {
    records
        .iter()
        .filter(|record| !record.deleted)
        .map(|record| record.remote.to_string())
        .collect()
}

fn create(number: u128, email: &str) -> Operation {
    let key = CustomerKey {
        id: Uuid::from_u128(number),
        kind: CustomerKind::Person,
    };
    Operation {
        id: format!("op-{number}").into(),
        action: WriteAction::Create,
        fields: Fields::from([
            ("email", text(email)),
            ("full_name", text("Ana Li")),
            ("given_name", text("Ana")),
        ])
        .0,
        known: Fields::default(),
        version: None,
        key,
    }
}

fn update(number: u128, id: &str, field: &str, value: &str) -> Operation {
    Operation {
        action: WriteAction::Update(id.into()),
        fields: BTreeMap::from([(FieldName::from(field), Some(text(value)))]),
        ..create(number, "")
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// The object of an outcome: made, found as wanted, or found to say something else.
fn remote(outcome: &Outcome) -> CompactString {
    match outcome {
        Ok(done) => done.remote.clone(),
        Err(Failure {
            class: Class::Exists,
            remote: Some(remote),
            ..
        }) => remote.clone(),
        Err(failure) => panic!("{failure}"),
    }
}
