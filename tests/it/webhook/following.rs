//! What follows from events, whatever happened to them on the way.

use nivel::ledger::{Cause, Fate, What};
use nivel::model::UnixMillis;
use nivel::sandbox::{HookFault, ToolName};
use serde_json::{Value, json};

use super::{Scene, event};

/// A new phone for an object, in the words of its tool.
fn phone(name: ToolName, number: &str) -> Value {
    match name {
        ToolName::Pipedrive => json!({"phones": [{"value": number, "primary": true, "label": "work"}]}),
        _ => json!({"phone": number}),
    }
}

fn requests(scene: &Scene, name: ToolName) -> u64 {
    scene.tool(name).requests_total()
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_arrive_from_every_tool_and_travel_on() {
    let scene = Scene::new(51, 8).await;
    for (number, name) in (0..).zip(ToolName::ALL) {
        let id = scene.ids(name)[number].clone();
        let new = format!("+35840555010{number}");
        scene.tool(name).edit(&id, &phone(name, &new)).unwrap();
        assert!(
            scene.deliver(name, &[], 200).await > 0,
            "{name}: also what Nivel itself wrote comes"
        );
        assert!(scene.state(name).await.waiting > 0);
        scene.drain().await;
        assert_eq!(scene.field(name, &id, "phone").await.0, Some(new.clone()), "{name}");
        let trail = scene.trail(name, &id).await;
        let by_hook = trail
            .iter()
            .filter(|row| matches!(row.cause, Cause::Webhook(_)))
            .count();
        assert!(by_hook > 0, "{name}: the trail names the webhook: {trail:#?}");
        scene.engine.push_all().await.unwrap();
    }
    let last = scene.engine.sync(Some("test")).await.unwrap();
    assert_eq!(last.written(), 0, "{last:?}");
    assert!(scene.trial.findings(0).is_empty(), "{:#?}", scene.trial.findings(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_of_one_record_are_one_request() {
    let scene = Scene::new(52, 6).await;
    let name = ToolName::Hubspot;
    let id = scene.ids(name)[0].clone();
    for number in 0..20 {
        let edit = json!({"phone": format!("+3584055501{number:02}"), "company": format!("Example {number}"), "lastname": format!("Renamed {number}")});
        scene.tool(name).edit(&id, &edit).unwrap();
    }
    scene.deliver(name, &[], 200).await;
    assert_eq!(scene.state(name).await.waiting, 60, "one event for each property");
    let before = requests(&scene, name);
    let drained = scene.drain().await;
    assert_eq!(drained.folded, 60);
    assert_eq!(requests(&scene, name) - before, 1);
    assert_eq!(scene.changed(name, &id, "family_name").await, 1);
}

/// Duplicated, the last one first, the first one held back, and everything once more later: one consequence each.
#[tokio::test(flavor = "multi_thread")]
async fn p34_p36_doubled_reordered_late_and_replayed_events_have_one_consequence() {
    for name in ToolName::ALL {
        let scene = Scene::new(53, 6).await;
        let ids = scene.ids(name);
        for number in 0..3 {
            for (place, id) in ids.iter().take(3).enumerate() {
                scene
                    .tool(name)
                    .edit(id, &phone(name, &format!("+35840777{place}1{number}")))
                    .unwrap();
            }
        }
        scene
            .deliver(name, &[HookFault::Late, HookFault::Reorder, HookFault::Duplicate], 200)
            .await;
        scene.drain().await;
        scene.deliver(name, &[HookFault::Duplicate], 200).await;
        scene.drain().await;
        for (place, id) in ids.iter().take(3).enumerate() {
            let wanted = format!("+35840777{place}12");
            assert_eq!(
                scene.field(name, id, "phone").await.0,
                Some(wanted),
                "{name}: the newest state stands"
            );
            assert_eq!(scene.changed(name, id, "phone").await, 1, "{name}: once");
        }
        let state = scene.state(name).await;
        assert_eq!((state.received, state.waiting), (18, 0), "{name}");
        assert_eq!(state.fates[&Fate::Duplicate], 9, "{name}: {state:?}");
        scene.engine.push_all().await.unwrap();
        let written: Vec<_> = scene.trial.findings(0);
        assert!(written.is_empty(), "{name}: {written:#?}");
    }
}

/// The event says what was; what is stands in the tool.
#[tokio::test(flavor = "multi_thread")]
async fn p36_an_event_is_a_hint_and_the_tool_is_asked() {
    let scene = Scene::new(54, 6).await;
    let name = ToolName::Pipedrive;
    let id = scene.ids(name)[0].clone();
    scene.tool(name).edit(&id, &phone(name, "+358408880001")).unwrap();
    let now = scene.engine.now();
    let mut late: Value = serde_json::from_slice(&event(1, &id, "change", now)).unwrap();
    late["data"] = json!({"id": id, "phones": [{"value": "+358400000000", "primary": true}], "update_time": "2001-01-01T00:00:00Z"});
    assert_eq!(
        scene
            .post("/webhooks/sales", late.to_string().into_bytes())
            .await
            .status(),
        200
    );
    scene.drain().await;
    assert_eq!(
        scene.field(name, &id, "phone").await.0,
        Some("+358408880001".to_owned())
    );
    let before = requests(&scene, name);
    let old = event(2, &id, "change", UnixMillis(now.0 - 3_600_000));
    assert_eq!(scene.post("/webhooks/sales", old).await.status(), 200);
    scene.drain().await;
    assert_eq!(scene.fate(name, Fate::Older).await, 1, "{:?}", scene.state(name).await);
    assert_eq!(requests(&scene, name), before, "old news cost no request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_is_believed_when_the_object_is_gone_and_only_then() {
    for name in ToolName::ALL {
        let scene = Scene::new(55, 6).await;
        let ids = scene.ids(name);
        scene.tool(name).delete(&ids[0]).unwrap();
        scene.deliver(name, &[], 200).await;
        scene.drain().await;
        assert!(scene.field(name, &ids[0], "email").await.1, "{name}");
        let customers = scene.engine.ledger().totals().await.unwrap().customers;
        scene.engine.push_all().await.unwrap();
        scene.drain().await;
        assert_eq!(
            scene.engine.ledger().totals().await.unwrap().customers,
            customers,
            "{name}"
        );
        if name == ToolName::Pipedrive {
            let lie = event(9, &ids[1], "delete", scene.engine.now());
            assert_eq!(scene.post("/webhooks/sales", lie).await.status(), 200);
            let nobody = event(10, "99999", "change", scene.engine.now());
            assert_eq!(scene.post("/webhooks/sales", nobody).await.status(), 200);
            scene.drain().await;
            assert!(!scene.field(name, &ids[1], "email").await.1, "it can still be read");
            assert_eq!(
                scene.fate(name, Fate::Absent).await,
                1,
                "a changed object that is not there is no delete"
            );
        }
    }
}

/// Two objects become one in the tool: one customer, who keeps her key, and nothing is made anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_in_a_tool_is_followed() {
    for name in ToolName::ALL {
        let scene = Scene::new(56, 8).await;
        let ids = scene.ids(name);
        let (winner, loser) = (&ids[0], &ids[1]);
        let heads = [scene.record(name, winner), scene.record(name, loser)];
        let before = scene.engine.ledger().heads(&heads).await.unwrap();
        assert_ne!(
            before[0].unwrap().customer,
            before[1].unwrap().customer,
            "{name}: two people so far"
        );
        scene.tool(name).merge(winner, loser).unwrap();
        scene.deliver(name, &[HookFault::Duplicate], 200).await;
        scene.drain().await;
        let after = scene.engine.ledger().heads(&heads).await.unwrap();
        assert_eq!(
            after[0].unwrap().customer,
            after[1].unwrap().customer,
            "{name}: one customer now"
        );
        assert!(
            scene.field(name, loser, "email").await.1 && !scene.field(name, winner, "email").await.1,
            "{name}"
        );
        let trail = scene.trail(name, winner).await;
        let merged = trail
            .iter()
            .filter(|row| matches!(row.change.what, What::Merged(..)))
            .count();
        assert_eq!(merged, 1, "{name}: {trail:#?}");
        let made = |tool: &nivel::sandbox::Tool| {
            tool.history()
                .iter()
                .filter(|event| event.op == nivel::sandbox::Op::Create)
                .count()
        };
        let count = made(scene.tool(name));
        scene.engine.sync(Some("test")).await.unwrap();
        assert_eq!(made(scene.tool(name)), count, "{name}: the loser is not made again");
    }
}

/// A third object is made of two; the event of the merge comes before or after that of a deletion.
#[tokio::test(flavor = "multi_thread")]
async fn h1_2_a_merge_that_makes_a_third_object_is_followed_in_any_order() {
    let name = ToolName::Hubspot;
    for fault in [None, Some(HookFault::Late)] {
        let scene = Scene::new(59, 8).await;
        let ids = scene.ids(name);
        let made = |scene: &Scene| {
            let history = scene.tool(name).history();
            let by_api = history.iter().filter(|event| event.by == nivel::sandbox::By::Api);
            by_api.filter(|event| event.op == nivel::sandbox::Op::Create).count()
        };
        let count = made(&scene);
        let third = scene.tool(name).merge_anew(&ids[0], &ids[1]).unwrap();
        scene.deliver(name, fault.as_slice(), 200).await;
        scene.drain().await;
        scene.deliver(name, &[], 200).await;
        scene.drain().await;
        let heads = [&ids[0], &ids[1], &third].map(|id| scene.record(name, id));
        let after = scene.engine.ledger().heads(&heads).await.unwrap();
        let customers: std::collections::BTreeSet<_> = after.iter().map(|head| head.unwrap().customer).collect();
        assert_eq!(customers.len(), 1, "{fault:?}: one customer now");
        let mut gone = Vec::new();
        for id in [&ids[0], &ids[1], &third] {
            gone.push(scene.field(name, id, "email").await.1);
        }
        assert_eq!(gone, [true, true, false], "{fault:?}");
        scene.engine.sync(Some("test")).await.unwrap();
        assert_eq!(made(&scene), count, "{fault:?}: nobody is made again");
    }
}

/// Lost events are found by the poll, so a webhook is never the only way.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_dropped_on_the_way_is_found_by_the_poll() {
    let scene = Scene::new(57, 6).await;
    let name = ToolName::Zendesk;
    let id = scene.ids(name)[0].clone();
    scene.tool(name).edit(&id, &phone(name, "+358409990001")).unwrap();
    assert_eq!(scene.deliver(name, &[HookFault::Drop], 200).await, 0);
    scene.engine.sync(Some("test")).await.unwrap();
    assert_eq!(
        scene.field(name, &id, "phone").await.0,
        Some("+358409990001".to_owned())
    );
}

/// A tool that is down when it should be asked: the events wait, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn events_wait_while_the_tool_does_not_answer() {
    use nivel::sandbox::faults::{Fault, Kind};
    let scene = Scene::new(58, 6).await;
    let name = ToolName::Hubspot;
    let id = scene.ids(name)[0].clone();
    scene.tool(name).edit(&id, &phone(name, "+358401112223")).unwrap();
    scene.deliver(name, &[], 200).await;
    scene
        .tool(name)
        .set_faults(vec![Fault::once(Kind::ServerError).times(u32::MAX)]);
    let drained = scene.drain().await;
    assert!(drained.rest.is_some() && drained.folded == 0, "{drained:?}");
    assert_eq!(scene.state(name).await.waiting, 1);
    scene.tool(name).set_faults(Vec::new());
    assert_eq!(scene.drain().await.folded, 1);
    assert_eq!(
        scene.field(name, &id, "phone").await.0,
        Some("+358401112223".to_owned())
    );
}
