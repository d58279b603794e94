//! `tests.yaml` of a program: it is started for real, and the exchanges are played to it.

use super::Stage;

const TAP: &str = "
connector: asking
format: 1
guest:
  speaks: singer
  command: [python3, ./asking_tap.py]
  config: {url: '{{ config.url }}', token: '{{ config.token }}'}
config: {url: {type: url}, token: {secret: true}}
objects:
  contact:
    guest: people
    id: id
    fields: {email: {to: mail, type: email}, full_name: name}
";

const TESTS: &str = "
config: {token: c4n4ry-t0k3n}
server: url
tests:
  - name: people of all pages
    read: {object: contact}
    http:
      - request: {method: GET, path: /people, query: {page: '1'}, headers: {x-token: c4n4ry-t0k3n}}
        response: {status: 200, body: {people: [{id: '1', mail: Ann@Example.com, name: Ann}], next: 2}}
      - request: {method: GET, path: /people, query: {page: '2'}}
        response: {status: 200, body: {people: [{id: '2', mail: null, name: Bo}], next: null}}
    expect:
      caught_up: true
      records:
        - {id: '1', fields: {email: ann@example.com, full_name: Ann}}
        - {id: '2', fields: {email: null, full_name: Bo}}
";

/// What `nivel connector test` says of a program with these tests.
fn told(tests: &str) -> (bool, String) {
    let stage = Stage::new();
    stage.connector("asking", "asking_tap.py", TAP);
    std::fs::write(stage.path("connectors/asking/tests.yaml"), tests).unwrap();
    std::fs::write(
        stage.path("nivel.yaml"),
        "data_dir: data\nconnectors_dir: connectors\nsystems: {}\n",
    )
    .unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nivel"));
    command.arg("--config").arg(stage.path("nivel.yaml"));
    let output = command.args(["connector", "test", "asking"]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_program_is_tested_with_canned_exchanges() {
    let (is_good, said) = told(TESTS);
    assert!(is_good, "{said}");
    let (is_good, said) = told(&TESTS.replace("full_name: Bo}", "full_name: Bob}"));
    assert!(!is_good && said.contains("people of all pages"), "{said}");
    let (is_good, said) = told(&TESTS.replace("query: {page: '2'}", "query: {page: '3'}"));
    assert!(!is_good && said.contains("page"), "{said}");
    assert!(!said.contains("c4n4ry"), "{said}");
}
