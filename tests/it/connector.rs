//! The shipped connectors against tools that play every fault: nothing is lost, nothing is doubled, nothing is told.

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
        ToolName::Hubspot => "contact",
        ToolName::Pipedrive => "person",
        ToolName::Zendesk => "user",
    }
}

impl Scene {
    async fn new() -> Self {
        let options = Options {
            clock_ms: Some(NOW_MS),
            ..Options::default()
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
        let options = Options::default();
        let connector = match name {
            ToolName::Hubspot => "hubspot",
            ToolName::Pipedrive => "pipedrive",
            ToolName::Zendesk => "zendesk",
        };
        let mut settings = ConnectionSettings::new(connector);
        settings = match name {
            ToolName::Hubspot => settings.with_secret("token", options.hubspot_token),
            ToolName::Pipedrive => settings.with_secret("token", options.pipedrive_token),
            ToolName::Zendesk => settings
                .with("subdomain", "sandbox")
                .with("email", options.zendesk_email)
                .with_secret("token", options.zendesk_token),
        };
        settings.base = Some(self.base(name));
        settings.clock = self.clock.clone();
        settings.timer = self.timer.clone();
        settings.phone = phone::normalise;
        settings.region = Some("FI".into());
        settings.lag = Some(Duration::ZERO);
        settings.removals_every = Duration::ZERO;
        adjust(&mut settings);
        let manifest = Manifest::parse(connector, &small_pages(shipped()[connector])).unwrap();
        build(manifest, settings).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    /// Where the shipped manifest's paths begin.
    fn base(&self, name: ToolName) -> String {
        let base = &self.tool(name).base_url;
        match name {
            ToolName::Hubspot => base.clone(),
            ToolName::Pipedrive | ToolName::Zendesk => format!("{base}/api/v2"),
        }
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

#[tokio::test]
async fn every_tool_is_read_whole_and_nothing_comes_again() {
    let scene = Scene::seeded(600).await;
    for name in ToolName::ALL {
        let mut reader = Reader::new(&scene, name);
        reader.connection.check().await.unwrap();
        assert_eq!(ids(&reader.catch_up().await), scene.ids(name), "{name}");
        assert!(reader.failures.is_empty());
        scene.advance(Duration::from_secs(3600));
        assert!(reader.catch_up().await.is_empty(), "{name}: nothing changed");
    }
}

#[tokio::test]
async fn no_fault_loses_a_record() {
    let faults = [
        Kind::Throttle(Retry::Seconds(7)),
        Kind::Throttle(Retry::Date(7)),
        Kind::Throttle(Retry::Absent),
        Kind::ServerError,
        Kind::ResetBefore,
        Kind::CutJson,
        Kind::ResetMidBody,
        Kind::ErrorIn200,
        Kind::LoginPage,
        Kind::Unauthorized,
        Kind::DuplicatePage,
        Kind::RepeatedCursor,
        Kind::EmptyPage,
        Kind::EqualEdge,
        Kind::ClockSkew { ms: -300_000 },
        Kind::ClockSkew { ms: 300_000 },
        Kind::TypeChange,
        Kind::SlowDrip {
            bytes: 4096,
            pause_ms: 1,
        },
        Kind::HugeBody { bytes: 50 << 20 },
    ];
    let people = people::generate(7, 250);
    for fault in faults {
        for nth in [1, 2] {
            let scene = Scene::new().await;
            scene.sandbox.seed(&people);
            for name in ToolName::ALL {
                scene.tool(name).set_faults(vec![Fault::once(fault).nth(nth)]);
                let mut reader = Reader::new(&scene, name);
                let records = reader.catch_up().await;
                scene.tool(name).set_faults(Vec::new());
                scene.advance(Duration::from_secs(600));
                let later = reader.catch_up().await;
                let found = ids(&[records, later].concat());
                assert_eq!(found.len(), scene.ids(name).len(), "{name}: {fault:?} at request {nth}");
                assert_eq!(found, scene.ids(name), "{name}: {fault:?} at request {nth}");
            }
        }
    }
}

#[tokio::test]
async fn p33_a_throttle_answer_is_waited_for_as_told() {
    let scene = Scene::seeded(20).await;
    for retry in [Retry::Seconds(7), Retry::Date(7)] {
        scene
            .tool(ToolName::Hubspot)
            .set_faults(vec![Fault::once(Kind::Throttle(retry))]);
        let mut reader = Reader::new(&scene, ToolName::Hubspot);
        reader.catch_up().await;
        assert!(reader.failures.is_empty());
        let waits = scene.timer.waits();
        assert!(waits.last().unwrap() >= &Duration::from_secs(6), "{retry:?}: {waits:?}");
    }
    scene
        .tool(ToolName::Hubspot)
        .set_faults(vec![Fault::once(Kind::Throttle(Retry::Seconds(7))).times(50)]);
    let failure = scene
        .connect(ToolName::Hubspot)
        .pull("contact", None)
        .await
        .unwrap_err();
    assert_eq!(
        (failure.class, failure.wait),
        (Class::Throttle, Some(Duration::from_secs(7)))
    );
}

#[tokio::test]
async fn p04_same_second_rows_and_p11_edits_during_the_read() {
    let scene = Scene::new().await;
    for name in ToolName::ALL {
        let tool = scene.tool(name);
        for number in 0..300 {
            tool.create(&json!({"email": format!("p{number}@example.com"), "name": format!("P {number}")}));
        }
        scene.advance(Duration::from_secs(1));
        let mut reader = Reader::new(&scene, name);
        let first = reader.connection.pull(reader.stream, None).await.unwrap();
        reader.cursor = Some(first.next);
        // While the list is read, an object of its first page changes.
        let edited = first.records[0].remote.clone();
        let patch = if name == ToolName::Hubspot {
            json!({"company": "New"})
        } else {
            json!({"name": "New"})
        };
        tool.edit(&edited, &patch).unwrap();
        let mut records = reader.catch_up().await;
        scene.advance(Duration::from_secs(60));
        records.extend(reader.catch_up().await);
        assert!(
            records.iter().any(|record| record.remote == edited),
            "{name}: the edit is seen"
        );
        assert_eq!(ids(&[first.records, records].concat()), scene.ids(name), "{name}");
    }
}

#[tokio::test]
async fn p50_deletions_arrive() {
    let scene = Scene::seeded(60).await;
    for name in ToolName::ALL {
        let mut reader = Reader::new(&scene, name);
        let before = ids(&reader.catch_up().await);
        let gone = before.first().unwrap().clone();
        scene.advance(Duration::from_secs(60));
        scene.tool(name).delete(&gone).unwrap();
        // A day later even the tool without a list of removed objects is swept.
        scene.advance(Duration::from_secs(25 * 3600));
        let mut seen = BTreeSet::new();
        let mut is_told = false;
        let mut sweep_ended = false;
        for _ in 0..50 {
            let page = reader
                .connection
                .pull(reader.stream, reader.cursor.as_ref())
                .await
                .unwrap();
            is_told |= page
                .records
                .iter()
                .any(|record| record.deleted && record.remote == gone.as_str());
            seen.extend(ids(&page.records));
            sweep_ended |= page.sweep_ended;
            reader.cursor = Some(page.next);
            if page.is_caught_up {
                break;
            }
        }
        let is_absent = sweep_ended && !seen.contains(&gone) && seen.len() == before.len() - 1;
        assert!(
            is_told || is_absent,
            "{name}: told {is_told}, sweep {sweep_ended}, seen {}",
            seen.len()
        );
    }
}

#[tokio::test]
async fn objects_are_read_by_id_and_found_by_field() {
    let scene = Scene::seeded(150).await;
    for name in ToolName::ALL {
        let connection = scene.connect(name);
        let mut wanted: Vec<CompactString> = scene.ids(name).iter().map(Into::into).collect();
        wanted.push("999999999".into());
        let got = connection.get(stream(name), &wanted).await.unwrap();
        assert_eq!(ids(&got), scene.ids(name), "{name}: the missing one is left out");
        let person = scene
            .tool(name)
            .people()
            .into_iter()
            .find(|person| person.email.is_some())
            .unwrap();
        let email = text(&person.email.unwrap().to_lowercase());
        let found = connection
            .find(stream(name), &FieldName::from("email"), &email)
            .await
            .unwrap();
        assert_eq!(found.unwrap().fields.value("email"), Some(&email), "{name}");
        let nobody = connection
            .find(stream(name), &FieldName::from("email"), &text("nobody@nowhere.example"))
            .await;
        assert_eq!(nobody.unwrap(), None, "{name}");
    }
}

#[tokio::test]
async fn p16_writing_twice_makes_one_object() {
    let scene = Scene::new().await;
    for name in ToolName::ALL {
        let connection = scene.connect(name);
        let operations: Vec<_> = (0..120)
            .map(|number| create(number, &format!("n{number}@example.com")))
            .collect();
        let first = connection.write(stream(name), &operations).await;
        assert_eq!(first.iter().map(remote).collect::<BTreeSet<_>>().len(), 120, "{name}");
        scene.advance(Duration::from_secs(120));
        let second = connection.write(stream(name), &operations).await;
        assert_eq!(
            first.iter().map(remote).collect::<Vec<_>>(),
            second.iter().map(remote).collect::<Vec<_>>(),
            "{name}"
        );
        let doubled: Vec<_> = second
            .iter()
            .filter(|outcome| outcome.as_ref().is_ok_and(|done| done.created))
            .collect();
        assert!(doubled.is_empty(), "{name}: {} {:?}", doubled.len(), doubled[0]);
        assert_eq!(scene.tool(name).people().len(), 120, "{name}");
    }
}

#[tokio::test]
async fn p18_a_lost_answer_is_ambiguous_and_trying_again_doubles_nothing() {
    for fault in [
        Kind::BadGatewayAfter,
        Kind::ResetAfter,
        Kind::CutJson,
        Kind::ResetMidBody,
    ] {
        let scene = Scene::new().await;
        for name in ToolName::ALL {
            let connection = scene.connect(name);
            let operations: Vec<_> = (0..3)
                .map(|number| create(number, &format!("n{number}@example.com")))
                .collect();
            let post = Fault::once(fault).method("POST").path(write_path(name)).times(9);
            scene.tool(name).set_faults(vec![post]);
            let lost = connection.write(stream(name), &operations).await;
            for outcome in &lost {
                let failure = outcome.as_ref().unwrap_err();
                assert!(
                    failure.ambiguous && failure.class == Class::Transient,
                    "{name} {fault:?}: {failure:?}"
                );
            }
            scene.tool(name).set_faults(Vec::new());
            scene.advance(Duration::from_secs(120));
            let again = connection.write(stream(name), &operations).await;
            assert!(
                again.iter().all(|outcome| outcome.is_ok()),
                "{name} {fault:?}: {again:?}"
            );
            assert_eq!(scene.tool(name).people().len(), 3, "{name} {fault:?}");
        }
    }
}

fn write_path(name: ToolName) -> &'static str {
    match name {
        ToolName::Hubspot => "/crm/v3/objects/contacts/batch",
        ToolName::Pipedrive => "/api/v2/persons",
        ToolName::Zendesk => "/api/v2/users/create_or_update",
    }
}

#[tokio::test]
async fn p13_one_bad_record_fails_alone() {
    let scene = Scene::new().await;
    for name in ToolName::ALL {
        let connection = scene.connect(name);
        let mut operations: Vec<_> = (0..10)
            .map(|number| create(number, &format!("n{number}@example.com")))
            .collect();
        operations[4] = create(4, "not an address");
        let outcomes = connection.write(stream(name), &operations).await;
        let failed: Vec<usize> = (0..10).filter(|at| outcomes[*at].is_err()).collect();
        // The tools that do not check addresses take it.
        let expected: &[usize] = if name == ToolName::Hubspot { &[4] } else { &[] };
        assert_eq!(failed, expected, "{name}: {outcomes:?}");
        for failure in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert_eq!(failure.class, Class::Invalid);
        }
    }
}

#[tokio::test]
async fn updates_and_removals_reach_their_objects() {
    let scene = Scene::new().await;
    for name in ToolName::ALL {
        let connection = scene.connect(name);
        let made = connection
            .write(stream(name), &[create(1, "a@example.com"), create(2, "b@example.com")])
            .await;
        let (one, two) = (remote(&made[0]), remote(&made[1]));
        let field = if name == ToolName::Hubspot {
            "given_name"
        } else {
            "full_name"
        };
        let delete = Operation {
            action: WriteAction::Delete(two.clone()),
            ..create(2, "")
        };
        let operations = [
            update(1, &one, field, "Changed"),
            delete.clone(),
            update(3, "999999999", field, "Nobody"),
        ];
        let outcomes = connection.write(stream(name), &operations).await;
        assert_eq!(remote(&outcomes[0]), one, "{name}");
        assert_eq!(remote(&outcomes[1]), two, "{name}");
        let gone = outcomes[2].as_ref().unwrap_err();
        assert_eq!(gone.class, Class::Gone, "{name}: {gone}");
        let person = scene.tool(name).person(&one).unwrap();
        assert!(
            person.given.as_deref() == Some("Changed") || person.full_name.as_deref() == Some("Changed"),
            "{name}"
        );
        assert!(
            scene.tool(name).person(&two).is_none_or(|person| person.deleted),
            "{name}"
        );
        let again = connection.write(stream(name), &[delete]).await;
        assert!(again[0].is_ok(), "{name}: to remove what is gone is done: {again:?}");
    }
}

#[tokio::test]
async fn two_creates_of_one_person_in_one_call_make_one_object() {
    let scene = Scene::new().await;
    for name in ToolName::ALL {
        let operations = [
            create(1, "same@example.com"),
            create(2, "other@example.com"),
            create(3, "same@example.com"),
        ];
        let outcomes = scene.connect(name).write(stream(name), &operations).await;
        assert_eq!(remote(&outcomes[0]), remote(&outcomes[2]), "{name}");
        assert_eq!(scene.tool(name).people().len(), 2, "{name}");
    }
}

#[tokio::test]
async fn a_refused_credential_is_told_without_the_secret() {
    let scene = Scene::seeded(5).await;
    for name in ToolName::ALL {
        let connection = scene.connect_with(name, |settings| {
            settings.config.insert(
                "token".into(),
                nivel::connector::ConfigValue::Secret(CANARY.to_owned().into()),
            );
        });
        let before = scene.tool(name).requests_total();
        let failure = connection.check().await.unwrap_err();
        assert_eq!(
            (failure.class, failure.problem.code),
            (Class::Auth, Code::CredentialRefused),
            "{name}"
        );
        assert_eq!(
            scene.tool(name).requests_total() - before,
            2,
            "{name}: tried once more, then told"
        );
        assert!(!format!("{failure:?} {failure}").contains(CANARY));
    }
}

#[tokio::test]
async fn a_tool_that_is_not_there_is_unreachable_and_surely_nothing_was_sent() {
    let scene = Scene::new().await;
    let connection = scene.connect_with(ToolName::Hubspot, |settings| {
        settings.base = Some("http://127.0.0.1:1".to_owned());
    });
    let failure = connection.check().await.unwrap_err();
    assert_eq!(
        (failure.class, failure.problem.code),
        (Class::Transient, Code::Unreachable)
    );
    let outcomes = connection.write("contact", &[create(1, "a@example.com")]).await;
    assert!(!outcomes[0].as_ref().unwrap_err().ambiguous);
}
