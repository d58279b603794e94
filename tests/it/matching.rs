//! The scored match through the ledger: merges, questions, splits and what the tools say in the end.

use std::collections::BTreeSet;

use compact_str::CompactString;
use nivel::ledger::Ask;
use nivel::merge::{MatchRules, Rules};
use nivel::model::{CustomerKey, Fields, RecordId, Value};

use crate::scene::Scene;

fn scored(rules: &mut Rules) {
    rules.matching = Some(MatchRules::default());
}

/// A person of a tool, as `name|email|phone|company`.
pub(crate) fn person(remote: &str, text: &str) -> (CompactString, Fields) {
    let mut fields = Fields::default();
    for (name, text) in ["full_name", "email", "phone", "company"].into_iter().zip(text.split('|')) {
        if let Some(value) = Value::text(text) {
            fields.set(name, value);
        }
    }
    (remote.into(), fields)
}

async fn scene() -> Scene {
    Scene::new(&["crm", "desk"]).await.with_rules(scored).await
}

/// Who is who: the records of each customer.
async fn partition(scene: &Scene) -> BTreeSet<BTreeSet<String>> {
    let ledger = scene.engine.ledger();
    let mut partition = BTreeSet::new();
    for customer in ledger.customers(None, 100_000).await.unwrap() {
        let view = ledger
            .view(Ask {
                customers: [customer.key].into(),
                ..Ask::default()
            })
            .await
            .unwrap();
        let hers = view.records.iter().filter(|(_, (_, home))| *home == customer.key);
        partition.insert(hers.map(|(id, _)| id.to_string()).collect());
    }
    partition
}

async fn key_of(scene: &Scene, record: &str) -> CustomerKey {
    let id: RecordId = record.parse().unwrap();
    scene.engine.ledger().heads(&[id]).await.unwrap()[0].unwrap().customer
}

#[tokio::test]
async fn what_looks_like_one_customer_is_one_before_anything_is_written() {
    let scene = scene().await;
    scene
        .tool("crm")
        .set_all(vec![person("1", "Jürgen Quonetom|j.quonetom77@web.de|+49 151 2345678|Barstad GmbH")]);
    scene
        .tool("desk")
        .set_all(vec![person("1", "Juergen Quonetom|juergen@barstad.de|0151 2345678|Barstad")]);
    let summary = scene.engine.sync(Some("ana")).await.unwrap();
    assert!(summary.is_clean(), "{summary:?}");
    assert_eq!(summary.customers, 1, "{summary:?}");
    assert_eq!(scene.tool("crm").made() + scene.tool("desk").made(), 0, "nobody is doubled");
    let both: BTreeSet<String> = ["crm/person/1".to_owned(), "desk/person/1".to_owned()].into();
    assert_eq!(partition(&scene).await, [both].into());
    assert_eq!(key_of(&scene, "crm/person/1").await, key_of(&scene, "desk/person/1").await);
}
