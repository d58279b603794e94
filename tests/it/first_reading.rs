//! The first reading of a tool that joins a ledger in which customers stand already.

use std::collections::BTreeSet;

use nivel::ledger::Ask;
use nivel::model::{StreamId, Value};

use crate::scene::{Scene, people};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_batches_may_meet_in_a_customer_who_was_there_before() {
    let scene = Scene::new(&["crm", "desk"]).await;
    let mut known = people(0..1);
    let second = Value::Set(["second@example.com".into()].into());
    known[0].1.set("emails", second);
    scene.tool("crm").set_all(known);
    scene.engine.pull_system("crm").await.unwrap();
    // More than one batch, the first and the last of which are hers by different addresses.
    let mut many = people(0..4500);
    many.iter_mut()
        .enumerate()
        .for_each(|(at, (remote, _))| *remote = format!("{at:05}").into());
    let (_, last) = many.last_mut().unwrap();
    last.set("email", Value::Text("second@example.com".into()));
    scene.tool("desk").set_all(many);
    scene.engine.pull_system("desk").await.unwrap();
    let desk = StreamId::new("desk", "person");
    let records = ["00000", "04499"].map(|remote| desk.record(remote));
    let ask = Ask {
        records: records.clone().into(),
        ..Ask::default()
    };
    let view = scene.engine.ledger().view(ask).await.unwrap();
    let owners: BTreeSet<_> = records.iter().map(|id| view.records[id].1).collect();
    assert_eq!(owners.len(), 1, "both are hers");
    assert_eq!(scene.engine.ledger().totals().await.unwrap().records, 4501);
}
