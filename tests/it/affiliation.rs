//! Which organization a person belongs to, as an admin sees it: a company's own database, read by the real binary.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::trial::scratch;

const CONFIG: &str = "
data_dir: data
systems:
  own:
    connector: sql
    role: sales
    config:
      url: sqlite:shop.db
      streams:
        person:
          table: people
          key: id
          columns:
            email: {column: mail, type: email}
            full_name: name
            company: company
            organization: {column: firm, ref: firm}
        firm:
          table: firms
          kind: organization
          key: id
          columns: {company: name, domain: web}
";

/// Bolt is there twice: whoever says no more than its name may belong to either.
const ROWS: &str = "
CREATE TABLE firms (id INTEGER PRIMARY KEY, name TEXT, web TEXT);
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, mail TEXT, company TEXT, firm INTEGER);
INSERT INTO firms VALUES (1, 'ACME Oy', 'www.acme.com'), (2, 'Bolt Ltd', 'bolt.com'), (3, 'Bolt GmbH', 'bolt.de');
INSERT INTO people VALUES (1, 'Ann Berg', 'ann@gmail.com', NULL, 1), (2, 'Bob Dahl', 'bob@acme.com', NULL, NULL),
(3, 'Cid Falk', 'cid@gmail.com', 'Bolt', NULL), (4, 'Dan Holm', 'dan@bolt.com', 'Bolt', NULL),
(5, 'Eva Lind', 'eva@gmail.com', NULL, NULL);
";

fn nivel(folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nivel"));
    command
        .current_dir(folder)
        .args(words)
        .env_remove("RUST_LOG")
        .env_remove("NIVEL_FAULT");
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, words: &[&str]) -> Value {
    let words = [&["--output", "json"], words].concat();
    serde_json::from_str(&nivel(folder, &words)).unwrap()
}

/// What people are said to belong to, with the signs that say so.
fn belongs(sheet: &Value) -> Vec<(&str, Vec<String>)> {
    let all = sheet["organizations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let signs = |one: &Value| {
        let because = one["because"].as_array().unwrap().iter();
        because.map(|pair| pair[1].to_string()).collect()
    };
    all.iter()
        .map(|one| (one["name"].as_str().unwrap(), signs(one)))
        .collect()
}

#[test]
fn a_person_belongs_to_an_organization_and_it_says_who() {
    let dir = scratch();
    let folder = dir.path();
    std::fs::write(folder.join("nivel.yaml"), CONFIG).unwrap();
    let base = rusqlite::Connection::open(folder.join("shop.db")).unwrap();
    base.execute_batch(ROWS).unwrap();
    nivel(folder, &["sync", "--approve"]);

    let link = r#"{"object":{"system":"own","id":"1"}}"#.to_owned();
    let domain = |text: &str| format!(r#"{{"domain":"{text}"}}"#);
    let shown = json(folder, &["customer", "show", "own/person/1"]);
    assert_eq!(belongs(&shown), [("ACME Oy", vec![link])]);
    let told = json(folder, &["customer", "why", "own/person/2"]);
    assert_eq!(belongs(&told), [("ACME Oy", vec![domain("acme.com")])]);
    // The domain decides, and the name bears it out; the name alone decides nothing.
    let name = r#"{"name":"bolt"}"#.to_owned();
    let shown = json(folder, &["customer", "show", "own/person/4"]);
    assert_eq!(belongs(&shown), [("Bolt Ltd", vec![domain("bolt.com"), name])]);
    for nobody in ["own/person/3", "own/person/5"] {
        assert_eq!(belongs(&json(folder, &["customer", "show", nobody])), [], "{nobody}");
    }

    let firm = json(folder, &["customer", "show", "own/firm/1"]);
    let names = |firm: &Value| -> Vec<String> {
        let first = firm["people"]["first"].as_array().unwrap().iter();
        let mut names: Vec<String> = first.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(firm["people"]["count"], 2, "{firm}");
    assert_eq!(names(&firm), ["Ann Berg", "Bob Dahl"]);
    let text = nivel(folder, &["customer", "show", "own/firm/1"]);
    assert!(text.contains("belonging to it: 2 customers"), "{text}");
    let text = nivel(folder, &["customer", "why", "own/person/1"]);
    assert!(text.contains("ACME Oy (own/person/1: own links to 1)"), "{text}");

    // She moves, and the link follows by itself.
    base.execute_batch("UPDATE people SET firm = 3 WHERE id = 1").unwrap();
    nivel(folder, &["sync", "--approve"]);
    assert_eq!(
        belongs(&json(folder, &["customer", "show", "own/person/1"]))[0].0,
        "Bolt GmbH"
    );
    assert_eq!(names(&json(folder, &["customer", "show", "own/firm/1"])), ["Bob Dahl"]);
    assert_eq!(names(&json(folder, &["customer", "show", "own/firm/3"])), ["Ann Berg"]);
}

#[test]
fn of_many_people_the_first_are_shown_and_all_are_counted() {
    let dir = scratch();
    let folder = dir.path();
    std::fs::write(folder.join("nivel.yaml"), CONFIG).unwrap();
    let base = rusqlite::Connection::open(folder.join("shop.db")).unwrap();
    base.execute_batch(ROWS).unwrap();
    for number in 10..40 {
        let row = format!("INSERT INTO people VALUES ({number}, 'Person {number}', 'p{number}@bolt.de', NULL, NULL)");
        base.execute_batch(&row).unwrap();
    }
    nivel(folder, &["sync", "--approve"]);
    let firm = json(folder, &["customer", "show", "own/firm/3"]);
    assert_eq!(firm["people"]["count"], 30, "{firm}");
    assert_eq!(firm["people"]["first"].as_array().unwrap().len(), 20);
    let text = nivel(folder, &["customer", "show", "own/firm/3"]);
    assert!(text.contains("… and 10 more"), "{text}");
}
