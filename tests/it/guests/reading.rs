//! Reading: what a program says is kept, its state only when it may be.

use serde_json::json;

use super::{Stage, count, problems, row};

const TAP: &str = "
connector: lying
format: 1
guest:
  speaks: singer
  command: [python3, ./lying_tap.py]
  returns: token
  config: {pages: '{{ config.pages }}', fails: '{{ config.fails }}', looks: '{{ config.looks }}', token: '{{ config.token }}', renews: '{{ config.renews }}', whole: '{{ config.whole }}'}
config: {pages: {}, fails: {}, looks: {}, token: {secret: true}, renews: {optional: true}, whole: {optional: true}}
objects:
  contact:
    guest: people
    id: id
    fields: {email: {to: mail, type: email}, full_name: name}
";

const TAP_SYSTEM: &str = "  tap:
    connector: lying
    role: marketing
    config: {pages: DIR/pages.json, fails: DIR/fails, looks: DIR/looks, token: c4n4ry-t0k3n}
";

fn tap() -> Stage {
    let stage = Stage::new();
    stage.connector("lying", "lying_tap.py", TAP);
    stage
}

impl Stage {
    /// What the tap saw of its surroundings, run by run.
    fn looks(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.path("looks")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The latest come first, so that the first page's state stands for rows that were never sent.
fn out_of_order() -> serde_json::Value {
    let first: Vec<_> = (0..700).map(|id| row(id, 90_000 + id)).collect();
    let second: Vec<_> = (700..1400).map(|id| row(id, id)).collect();
    json!([first, second])
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_a_tap_that_lies_about_its_state_loses_nothing() {
    let stage = tap();
    stage.write("pages.json", &out_of_order());
    stage.write("fails", &json!(1));
    let engine = stage.engine(TAP_SYSTEM).await;
    let first = engine.sync(None).await.unwrap();
    assert_eq!(problems(&first, "tap"), ["GST002"]);
    let told = &first.systems["tap"].problems[0].message;
    assert!(
        told.contains("exit code 1") && told.contains("page 2: 503 for [secret]"),
        "{told}"
    );
    assert_eq!(
        count(&engine, "tap").await,
        700,
        "what was read before the failure is kept"
    );

    let again = engine.sync(None).await.unwrap();
    assert_eq!(problems(&again, "tap"), ["GST002"]);
    std::fs::remove_file(stage.path("fails")).unwrap();
    let second = engine.sync(None).await.unwrap();
    assert_eq!(problems(&second, "tap"), [""; 0]);
    assert_eq!(count(&engine, "tap").await, 1400, "the second page, too");

    let state = |run: usize| stage.looks()[run]["state"].clone();
    assert_eq!([state(0), state(1), state(2)], [json!(null), json!(null), json!(null)]);
    // From now on it goes on from its state, and fails again behind one.
    stage.write("pages.json", &json!([[row(1500, 95_000)], [row(1501, 93_000)]]));
    stage.write("fails", &json!(1));
    let third = engine.sync(None).await.unwrap();
    assert_eq!(problems(&third, "tap"), ["GST002"]);
    assert_eq!(
        count(&engine, "tap").await,
        1401,
        "what was read before the failure is kept"
    );
    std::fs::remove_file(stage.path("fails")).unwrap();
    let fourth = engine.sync(None).await.unwrap();
    assert_eq!(fourth.systems["tap"].changed, 1, "what comes twice is no change");
    assert_eq!(count(&engine, "tap").await, 1402);
    assert_eq!([state(3), state(4)], [json!({"at": "090699"}), json!({"at": "090699"})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_kept_once_the_run_has_ended_well() {
    let stage = tap();
    stage.write("pages.json", &out_of_order());
    let engine = stage.engine(TAP_SYSTEM).await;
    let stream = nivel::model::StreamId::new("tap", "contact");
    engine.sync(None).await.unwrap();
    let cursor = engine.ledger().stream(&stream).await.unwrap().cursor.unwrap();
    assert!(!cursor.0.contains("\"run\""), "no run is under way: {}", cursor.0);
    assert!(cursor.0.contains("090699"), "{}", cursor.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_sees_its_settings_in_a_private_file_and_nothing_else_of_us() {
    let stage = tap();
    stage.write("pages.json", &json!([[row(1, 1)]]));
    let engine = stage.engine(TAP_SYSTEM).await;
    engine.sync(None).await.unwrap();
    let looks = stage.looks();
    let seen = &looks[0];
    assert_eq!(seen["mode"], 0o600);
    assert_eq!(seen["token"], "c4n4ry-t0k3n");
    assert!(!seen["argv"].to_string().contains("c4n4ry"), "{}", seen["argv"]);
    // Cargo gives its tests many variables of its own, none of which is on the short list.
    assert!(std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with("CARGO")));
    let names = seen["env"].as_array().unwrap();
    let foreign = |name: &&serde_json::Value| {
        name.as_str()
            .is_some_and(|name| name.starts_with("CARGO") || name.starts_with("NIVEL"))
    };
    assert_eq!(names.iter().find(foreign), None);
    let folder = seen["folder"].as_str().unwrap();
    assert!(folder.contains("/data/guests/tap/"), "{folder}");
    assert!(!std::path::Path::new(folder).exists(), "it is gone with the run");
}

#[tokio::test(flavor = "multi_thread")]
async fn p66_a_setting_that_a_tap_changes_is_sealed_and_used_next_time() {
    let stage = tap();
    stage.write("pages.json", &json!([[row(1, 1)]]));
    let system = TAP_SYSTEM.replace("token: c4n4ry-t0k3n", "token: c4n4ry-t0k3n, renews: yes");
    {
        let engine = stage.engine(&system).await;
        engine.sync(None).await.unwrap();
        let second = engine.sync(None).await.unwrap();
        assert_eq!(problems(&second, "tap"), [""; 0]);
    }
    let engine = stage.engine(&system).await;
    engine.sync(None).await.unwrap();
    let used: Vec<_> = stage.looks().iter().map(|look| look["token"].clone()).collect();
    assert_eq!(
        used,
        ["c4n4ry-t0k3n", "c4n4ry-t0k3n+", "c4n4ry-t0k3n++"],
        "over a restart, too"
    );
    for file in ["nivel.db", "nivel.db-wal"] {
        let bytes = std::fs::read(stage.path("data").join(file)).unwrap_or_default();
        assert!(
            !bytes.windows(6).any(|part| part == b"c4n4ry"),
            "{file} holds it in clear"
        );
    }
    // What the admin sets anew counts.
    drop(engine);
    let engine = stage.engine(&system.replace("c4n4ry-t0k3n", "fresh")).await;
    engine.sync(None).await.unwrap();
    assert_eq!(stage.looks()[3]["token"], "fresh");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_a_tap_declares_to_be_all_ends_a_sweep() {
    let stage = tap();
    let system = |version: u32| TAP_SYSTEM.replace("token:", &format!("whole: {version}, token:"));
    stage.write(
        "pages.json",
        &json!([(0..40).map(|id| row(id, id)).collect::<Vec<_>>()]),
    );
    stage.engine(&system(1)).await.sync(None).await.unwrap();
    stage.write(
        "pages.json",
        &json!([(0..39).map(|id| row(id, id)).collect::<Vec<_>>()]),
    );
    let gone = async |engine: &nivel::sync::Engine| {
        let id = nivel::model::StreamId::new("tap", "contact").record("39");
        let ask = nivel::ledger::Ask {
            records: [id.clone()].into(),
            ..Default::default()
        };
        let view = engine.ledger().view(ask).await.unwrap();
        view.records
            .get(&id)
            .is_none_or(|(record, ..)| record.deleted_at.is_some())
    };
    for version in 2..=3 {
        let engine = stage.engine(&system(version)).await;
        stage.later(3600);
        engine.sync(None).await.unwrap();
        // Nobody can be asked for it, so two lists in a row must have missed it.
        assert_eq!(gone(&engine).await, version == 3, "after version {version}");
    }
}

const SOURCE: &str = "
connector: small
format: 1
guest:
  speaks: airbyte
  command: [python3, ./small_source.py]
  config: {rows: '{{ config.rows }}', fails: '{{ config.fails }}'}
config: {rows: {}, fails: {}}
objects:
  contact:
    guest: people
    id: id
    fields: {email: {to: mail, type: email}, full_name: name}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_read_from_its_state_and_not_from_that_of_a_failed_run() {
    let stage = Stage::new();
    stage.connector("small", "small_source.py", SOURCE);
    stage.write("rows.json", &json!([row(1, 5), row(2, 3), row(3, 7)]));
    stage.write("fails", &json!(1));
    let system = "  src: {connector: small, role: marketing, config: {rows: DIR/rows.json, fails: DIR/fails}}\n";
    let engine = stage.engine(system).await;
    let first = engine.sync(None).await.unwrap();
    assert!(
        first.systems["src"].problems[0]
            .message
            .contains("the second page failed"),
        "{first:?}"
    );
    std::fs::remove_file(stage.path("fails")).unwrap();
    let second = engine.sync(None).await.unwrap();
    assert_eq!((problems(&second, "src").len(), count(&engine, "src").await), (0, 3));
    stage.write("rows.json", &json!([row(1, 5), row(4, 8)]));
    let third = engine.sync(None).await.unwrap();
    assert_eq!(third.systems["src"].read, 1, "it went on from its state");
    assert_eq!(count(&engine, "src").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_the_program_does_not_have_is_told_with_the_nearest() {
    let stage = tap();
    stage.connector("lying", "", &TAP.replace("guest: people", "guest: peple"));
    stage.write("pages.json", &json!([]));
    let engine = stage.engine(TAP_SYSTEM).await;
    let summary = engine.sync(None).await.unwrap();
    let problem = summary.systems["tap"].problems[0].to_string();
    assert_eq!(
        problem,
        "GST005 tap/contact: the program has no stream `peple` (hint: did you mean `people`?)"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_sees_that_a_connector_is_a_program() {
    let stage = tap();
    stage.write("pages.json", &json!([]));
    drop(stage.engine(TAP_SYSTEM).await);
    let nivel = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nivel"));
        command.arg("--config").arg(stage.path("nivel.yaml")).args(arguments);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    let (is_good, shown) = nivel(&["connector", "show", "lying"]);
    assert!(
        is_good && shown.contains("program: python3 ./lying_tap.py (speaks singer)"),
        "{shown}"
    );
    assert!(shown.contains("reads") && !shown.contains("writes"), "{shown}");
    let (is_good, told) = nivel(&["connector", "test", "lying"]);
    assert!(
        !is_good && told.contains("it is a program, and there are no tests of it"),
        "{told}"
    );
    let (is_good, told) = nivel(&["connector", "test"]);
    assert!(is_good, "it is no failure of the others: {told}");
}
