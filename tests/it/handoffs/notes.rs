//! Notes of several customers are under way at once, those of one customer come in their order, and each is written once.

use std::collections::BTreeMap;
use std::time::Duration;

use nivel::handoff::{NoteKind, Rule, When, Within, Words};
use nivel::merge::Rules;
use nivel::model::{FieldName, Kind, StreamId};

use crate::scene::{Scene, people};

const CUSTOMERS: usize = 20;

/// As many as are written at once.
const AT_ONCE: usize = 8;

fn noted(rules: &mut Rules) {
    let fields = ["company", "phone"].map(FieldName::from);
    let words = Words {
        fields: fields.clone().into(),
        ..Words::default()
    };
    rules.handoffs = fields
        .iter()
        .map(|field| Rule {
            name: format!("{field}-change").into(),
            from: None,
            kind: Kind::Person,
            to: StreamId::new("sales", "person"),
            when: When::read(&format!("changed({field})"), &words).unwrap(),
            carry: Vec::new(),
            within: Within {
                time: Duration::from_hours(1),
                calendar: None,
            },
            create: false,
            note: Some(NoteKind::Timeline),
            opens: None,
            alert: None,
        })
        .collect();
}

/// Two notes are due for each customer: the company changed, then the phone.
async fn two_notes_each() -> Scene {
    let scene = Scene::new(&["sales"]).await.with_rules(noted).await;
    scene.tool("sales").set_all(people(0..CUSTOMERS));
    scene.engine.sync(Some("test")).await.unwrap();
    for (field, value) in [("company", "Acme"), ("phone", "+3584020000")] {
        scene.later(60);
        for number in 0..CUSTOMERS {
            let value = format!("{value}{number:02}");
            scene.tool("sales").change(&number.to_string(), field, &value);
        }
        scene.engine.plan().await.unwrap();
    }
    assert!(scene.tool("sales").notes.all().is_empty());
    scene
}

/// The rules that each object has notes of, in the order in which they came.
fn told(scene: &Scene) -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for note in scene.tool("sales").notes.all() {
        let first = note.text.lines().next().unwrap().to_owned();
        told.entry(note.remote.to_string()).or_default().push(first);
    }
    told
}

fn assert_all_told(scene: &Scene) {
    let told = told(scene);
    assert_eq!(told.len(), CUSTOMERS);
    for (remote, notes) in told {
        let expected = ["Handed over by company-change", "Handed over by phone-change"];
        assert_eq!(notes, expected, "{remote}");
    }
}

#[tokio::test]
async fn a_customers_notes_come_in_their_order() {
    let scene = two_notes_each().await;
    scene.engine.sync(None).await.unwrap();
    assert_all_told(&scene);
}

/// Nivel dies while the tool holds as many notes as are written at once, and has answered none.
#[tokio::test]
async fn notes_that_were_under_way_when_nivel_died_are_written_once() {
    let scene = two_notes_each().await;
    let notes = &scene.tool("sales").notes;
    notes.mute(true);
    let came = async {
        notes.reach(AT_ONCE).await;
        // Whoever else would come comes now.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    };
    let guard = Duration::from_mins(1);
    tokio::select! {
        _ = scene.engine.sync(None) => panic!("the tool never answers"),
        came = tokio::time::timeout(guard, came) => came.expect("several notes are under way at once"),
    }
    assert_eq!(notes.all().len(), AT_ONCE, "and never more");
    notes.mute(false);
    let scene = scene.with_rules(|_| {}).await;
    scene.later(60);
    scene.engine.sync(None).await.unwrap();
    assert_all_told(&scene);
}
