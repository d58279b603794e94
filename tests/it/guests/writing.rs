//! Both ways, with the example program of our own language.

use serde_json::{Value as Json, json};

use super::{Stage, count, problems};

const EXAMPLE: &str = "
connector: example
format: 1
guest:
  speaks: nivel
  command: [python3, ./example_guest.py]
  returns: token
  config: {file: '{{ config.file }}', dies: '{{ config.dies }}', token: '{{ config.token }}', renews: '{{ config.renews }}'}
config: {file: {}, dies: {optional: true}, token: {secret: true, default: t}, renews: {optional: true}}
objects:
  contact:
    guest: {stream: people, can: [get, find, create, update, delete], full: 1d, deleted: record.gone}
    id: id
    match: email
    fields: {email: {to: mail, type: email}, full_name: name, phone: phone}
";

const TWO: &str = "  crm: {connector: example, role: sales, create: always, config: {file: DIR/crm.json}}
  desk: {connector: example, role: support, create: always, config: {file: DIR/desk.json, dies: DIR/dies}}
";

fn store(people: &[(&str, &str)]) -> Json {
    let people: serde_json::Map<_, _> = people
        .iter()
        .zip(1..)
        .map(|((name, mail), seq)| (seq.to_string(), json!({"name": name, "mail": mail, "seq": seq})))
        .collect();
    json!({"next": people.len() + 1, "people": people})
}

fn stage() -> Stage {
    let stage = Stage::new();
    stage.connector("example", "example_guest.py", EXAMPLE);
    stage.write(
        "crm.json",
        &store(&[("Ann Berg", "ann@example.com"), ("Bo Lind", "bo@example.com")]),
    );
    stage.write("desk.json", &store(&[("Bo Lind", "bo@example.com")]));
    stage
}

impl Stage {
    /// Everybody in a program's file, by address.
    fn mails(&self, name: &str) -> Vec<String> {
        let people = self.read(name)["people"].clone();
        let mut mails: Vec<String> = people
            .as_object()
            .unwrap()
            .values()
            .map(|person| person["mail"].as_str().unwrap().to_owned())
            .collect();
        mails.sort();
        mails
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_read_and_written_and_the_second_pass_writes_nothing() {
    let stage = stage();
    let engine = stage.engine(TWO).await;
    let first = engine.sync(Some("ana")).await.unwrap();
    assert_eq!(
        (problems(&first, "crm").len(), problems(&first, "desk").len()),
        (0, 0),
        "{first:?}"
    );
    assert_eq!(stage.mails("desk.json"), ["ann@example.com", "bo@example.com"]);
    stage.later(60);
    let mut crm = stage.read("crm.json");
    crm["people"]["2"]["name"] = json!("Bo Lindgren");
    crm["people"]["2"]["seq"] = json!(100);
    crm["next"] = json!(101);
    stage.write("crm.json", &crm);
    engine.sync(None).await.unwrap();
    assert_eq!(stage.read("desk.json")["people"]["1"]["name"], "Bo Lindgren");
    stage.later(60);
    let third = engine.sync(None).await.unwrap();
    assert_eq!(third.written(), 0, "{third:?}");
    assert_eq!((count(&engine, "crm").await, count(&engine, "desk").await), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn p18_a_program_that_dies_between_a_change_and_its_answer_doubles_nobody() {
    let stage = stage();
    let engine = stage.engine(TWO).await;
    engine.sync(Some("ana")).await.unwrap();
    let mut crm = stage.read("crm.json");
    crm["people"]["9"] = json!({"name": "Cid Moe", "mail": "cid@example.com", "seq": 50});
    stage.write("crm.json", &crm);
    stage.later(60);
    engine.pull_system("crm").await.unwrap();
    stage.write("dies", &json!(1));
    let desk = nivel::model::StreamId::new("desk", "contact");
    engine.push_due(&desk).await.unwrap();
    assert!(!stage.path("dies").exists(), "it died");
    let three = ["ann@example.com", "bo@example.com", "cid@example.com"];
    assert_eq!(stage.mails("desk.json"), three, "it was made, and nobody heard of it");
    for _ in 0..3 {
        stage.later(3600);
        engine.push_due(&desk).await.unwrap();
    }
    assert_eq!(stage.mails("desk.json"), three, "nobody twice");
    let last = engine.sync(None).await.unwrap();
    assert!(last.is_clean(), "{last:?}");
    assert_eq!(count(&engine, "desk").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn p21_somebody_who_was_never_read_is_found_and_not_made() {
    let stage = stage();
    let engine = stage.engine(TWO).await;
    engine.sync(Some("ana")).await.unwrap();
    stage.later(60);
    // Somebody comes into both between the readings of the two.
    let mut crm = stage.read("crm.json");
    crm["people"]["9"] = json!({"name": "Cid Moe", "mail": "cid@example.com", "seq": 50});
    stage.write("crm.json", &crm);
    let mut desk = stage.read("desk.json");
    desk["people"]["77"] = json!({"name": "C. Moe", "mail": "cid@example.com", "seq": 0});
    stage.write("desk.json", &desk);
    for _ in 0..2 {
        engine.sync(None).await.unwrap();
        stage.later(3600);
    }
    let last = engine.sync(None).await.unwrap();
    assert!(last.is_clean(), "{last:?}");
    assert_eq!(stage.mails("desk.json").len(), 3, "nobody twice");
    assert_eq!(stage.read("desk.json")["people"]["77"]["name"], "Cid Moe");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_that_is_refused_leaves_the_others_alone() {
    let stage = stage();
    let mut crm = stage.read("crm.json");
    for id in 10..30 {
        crm["people"][id.to_string()] =
            json!({"name": format!("P {id}"), "mail": format!("p{id}@example.com"), "seq": id});
    }
    stage.write("crm.json", &crm);
    let strict = std::fs::read_to_string(stage.path("connectors/example/example_guest.py")).unwrap();
    let strict = strict.replace(
        "if \"@\" not in",
        "if \"p15@\" in row[\"fields\"].get(\"mail\", \"\") or \"@\" not in",
    );
    std::fs::write(stage.path("connectors/example/example_guest.py"), strict).unwrap();
    let engine = stage.engine(TWO).await;
    let first = engine.sync(Some("ana")).await.unwrap();
    assert_eq!(first.systems["desk"].dead, 1, "{first:?}");
    assert_eq!(stage.mails("desk.json").len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn p66_a_new_token_is_durable_before_the_program_uses_it() {
    let stage = stage();
    let system = "  crm: {connector: example, role: sales, config: {file: DIR/crm.json, token: s3cr3t, renews: yes}}\n";
    {
        let engine = stage.engine(system).await;
        let first = engine.sync(None).await.unwrap();
        assert_eq!(problems(&first, "crm"), [""; 0]);
    }
    // Another process goes on with what the first one kept: the greeting holds it.
    let spy = std::fs::read_to_string(stage.path("connectors/example/example_guest.py")).unwrap();
    let spy = spy.replace(
        "guest = Guest(hear()[\"config\"])",
        "guest = Guest(hear()[\"config\"])\n    open(guest.file + \".token\", \"w\").write(guest.token)",
    );
    std::fs::write(stage.path("connectors/example/example_guest.py"), spy).unwrap();
    let engine = stage.engine(system).await;
    engine.sync(None).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(stage.path("crm.json.token")).unwrap(),
        "s3cr3t+"
    );
}
