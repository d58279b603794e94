//! Objects that a tool makes one: the customer goes on, under an alias, and nothing is deleted or made anew.

use compact_str::CompactString;
use nivel::ledger::Ask;
use nivel::merge::OnDelete;
use nivel::model::{CustomerKey, Joined, StreamId, WriteAction};

use crate::scene::{Scene, people};

const DAY: u64 = 24 * 3600;

/// Both tools know everybody; `a` is trusted first, and a deletion would be passed on to it.
async fn both(count: usize) -> Scene {
    let scene = Scene::new(&["a", "b"]).await.with_rules(|rules| {
        let stream = rules.systems.get_mut("a").unwrap().streams.get_mut("person").unwrap();
        stream.on_delete = OnDelete::Delete;
        stream.own = true;
    });
    let scene = scene.await;
    scene.tool("a").set_all(people(0..count));
    scene.tool("b").set_all(people(0..count));
    sync(&scene, Some("ana")).await;
    sync(&scene, None).await;
    assert_eq!(
        (scene.tool("a").written().len(), scene.tool("b").written().len()),
        (0, 0)
    );
    scene
}

async fn sync(scene: &Scene, approved_by: Option<&str>) {
    scene.later(60);
    scene.engine.sync(approved_by).await.unwrap();
}

/// Whose an object is, and whether it is gone.
async fn whose(scene: &Scene, system: &str, remote: &str) -> (CustomerKey, bool) {
    let id = StreamId::new(system, "person").record(remote);
    let ask = Ask {
        records: [id.clone()].into(),
        ..Ask::default()
    };
    let view = scene.engine.ledger().view(ask).await.unwrap();
    let (record, customer) = &view.records[&id];
    (*customer, record.deleted_at.is_some())
}

/// The two are one customer, and `loser` is gone in `b` alone.
async fn assert_followed(scene: &Scene, winner: &str, loser: &str) {
    let (kept, is_winner_gone) = whose(scene, "b", winner).await;
    assert_eq!(whose(scene, "b", loser).await, (kept, true), "an alias");
    assert!(!is_winner_gone);
    assert_eq!(
        whose(scene, "a", loser).await,
        (kept, false),
        "one customer in all tools"
    );
    scene.later(3 * DAY);
    sync(scene, Some("ana")).await;
    for tool in ["a", "b"] {
        let written = scene.tool(tool).written();
        let others = written
            .iter()
            .filter(|write| !matches!(write.action, WriteAction::Update(_)));
        assert_eq!(
            others.count(),
            0,
            "{tool}: nothing is made anew or removed: {written:#?}"
        );
    }
    assert_eq!(scene.tool("a").ids().len(), 10);
}

fn merge(scene: &Scene, winner: &str, loser: &str) {
    scene.tool("b").remove(loser);
    let mut play = scene.tool("b").play.lock().unwrap();
    play.merged.insert(loser.into(), winner.into());
}

#[tokio::test]
async fn p42_a_change_of_an_object_that_was_merged_goes_to_the_one_that_is_left() {
    let scene = both(10).await;
    merge(&scene, "3", "7");
    scene.tool("a").change("7", "phone", "+358502718281");
    sync(&scene, None).await;
    sync(&scene, None).await;
    assert_followed(&scene, "3", "7").await;
    assert_eq!(scene.tool("b").says("3", "phone").as_deref(), Some("+358502718281"));
}

#[tokio::test]
async fn p42_an_object_that_is_gone_is_looked_for_by_what_identifies_it() {
    let scene = both(10).await;
    // The tool itself has forgotten the old id: a merge that made a third object, an import that made it anew.
    let fields = scene.tool("b").remove("7");
    scene.tool("b").set_all(vec![("99".into(), fields)]);
    scene.tool("b").play.lock().unwrap().hidden.insert("99".into());
    scene.tool("a").change("7", "phone", "+358502718281");
    sync(&scene, None).await;
    sync(&scene, None).await;
    let (customer, is_gone) = whose(&scene, "b", "7").await;
    assert!(is_gone);
    assert_eq!(whose(&scene, "b", "99").await, (customer, false));
    assert_eq!(scene.tool("b").says("99", "phone").as_deref(), Some("+358502718281"));
    assert_eq!(scene.tool("b").made(), 0);
}

#[tokio::test]
async fn p42_what_is_found_under_no_id_is_gone_and_not_made_anew() {
    let scene = both(10).await;
    scene.tool("b").remove("7");
    scene.tool("a").change("7", "phone", "+358502718281");
    sync(&scene, None).await;
    sync(&scene, None).await;
    assert!(whose(&scene, "b", "7").await.1);
    scene.later(3 * DAY);
    let summary = scene.engine.sync(None).await.unwrap();
    assert!(summary.is_clean(), "{summary:#?}");
    assert_eq!(scene.tool("b").made(), 0);
    assert_eq!(scene.tool("a").removed(), 1, "it mirrors the other one");
}

#[tokio::test]
async fn p42_a_tool_that_says_gone_of_what_is_there_is_not_believed() {
    let scene = both(10).await;
    scene.tool("b").play.lock().unwrap().says_gone = 1;
    scene.tool("a").change("7", "phone", "+358502718281");
    scene.later(60);
    scene.engine.pull_all().await.unwrap();
    let stream = StreamId::new("b", "person");
    scene.engine.push_due(&stream).await.unwrap();
    assert!(!whose(&scene, "b", "7").await.1);
    scene.later(60);
    scene.engine.push_due(&stream).await.unwrap();
    assert_eq!(scene.tool("b").says("7", "phone").as_deref(), Some("+358502718281"));
}

#[tokio::test]
async fn p42_p43_a_sweep_that_misses_a_merged_object_follows_it() {
    let scene = both(10).await;
    merge(&scene, "3", "7");
    scene.tool("b").sweeps_by(4);
    sync(&scene, None).await;
    assert_followed(&scene, "3", "7").await;
}

#[tokio::test]
async fn p42_p43_a_pointer_in_the_one_that_is_left_is_followed() {
    let scene = both(10).await;
    scene.tool("b").remove("7");
    scene.tool("b").change("3", "phone", "+358502718281");
    let joined = Joined {
        into: None,
        of: vec!["7".into(), "unknown".into()],
    };
    scene.tool("b").play.lock().unwrap().joined.insert("3".into(), joined);
    sync(&scene, None).await;
    assert_followed(&scene, "3", "7").await;
}

#[tokio::test]
async fn p43_p44_a_pointer_in_the_one_that_is_gone_is_followed() {
    let scene = both(10).await;
    let into: Option<(Option<CompactString>, CompactString)> = Some((None, "3".into()));
    let joined = Joined { into, of: Vec::new() };
    scene.tool("b").play.lock().unwrap().joined.insert("7".into(), joined);
    sync(&scene, None).await;
    assert_followed(&scene, "3", "7").await;
}

/// A lead that becomes a contact goes on as one: another stream, the same customer; nothing is deleted or made.
#[tokio::test]
async fn p44_a_lead_that_is_converted_lives_on_in_another_stream() {
    for is_contact_late in [false, true] {
        let scene = Scene::with_leads(&["a", "b"]).with_rules(|rules| {
            let streams = |system: &str| rules.systems[system].streams.clone();
            let (mut here, mut there) = (streams("a"), streams("b"));
            here.get_mut("person").unwrap().on_delete = OnDelete::Delete;
            there.get_mut("person").unwrap().write = false;
            rules.systems.get_mut("a").unwrap().streams = here;
            rules.systems.get_mut("b").unwrap().streams = there;
        });
        let scene = scene.await;
        let b = scene.tool("b");
        let lead = people(1..2).remove(0).1;
        let mut contact = lead.clone();
        for (field, text) in [("email", "anna@other.example"), ("phone", "+358407654321")] {
            contact.set(field, nivel::model::Value::Text(text.into()));
        }
        b.set_all(vec![("L1".into(), lead)]);
        sync(&scene, Some("ana")).await;
        sync(&scene, None).await;
        assert_eq!((scene.tool("a").made(), b.made()), (1, 0));
        // The tool makes a contact of it, who is reached otherwise by now, and says so in the lead alone.
        let before = lead_of(&scene).await.0;
        let into = Some((Some("person".into()), "77".into()));
        let joined = Joined { into, of: Vec::new() };
        b.play.lock().unwrap().joined.insert("L1".into(), joined);
        if is_contact_late {
            sync(&scene, None).await;
        }
        b.set_all(vec![("77".into(), contact)]);
        sync(&scene, None).await;
        assert_eq!(whose(&scene, "b", "77").await, (before, false), "the same customer");
        assert_eq!(lead_of(&scene).await, (before, true), "an alias");
        scene.later(3 * DAY);
        sync(&scene, Some("ana")).await;
        assert_eq!((scene.tool("a").removed(), b.removed()), (0, 0));
        assert_eq!((scene.tool("a").made(), b.made()), (1, 0), "late: {is_contact_late}");
    }
}

async fn lead_of(scene: &Scene) -> (CustomerKey, bool) {
    let id = StreamId::new("b", "lead").record("L1");
    let ask = Ask {
        records: [id.clone()].into(),
        ..Ask::default()
    };
    let view = scene.engine.ledger().view(ask).await.unwrap();
    let (record, customer) = &view.records[&id];
    (*customer, record.deleted_at.is_some())
}

#[tokio::test]
async fn p41_what_a_person_said_outranks_the_tool() {
    let scene = both(10).await;
    let stream = StreamId::new("b", "person");
    let decision = nivel::ledger::Decision {
        left: stream.record("3"),
        right: stream.record("7"),
        same: false,
    };
    scene
        .engine
        .ledger()
        .decide(decision, "ana", scene.engine.now())
        .await
        .unwrap();
    merge(&scene, "3", "7");
    scene.tool("b").sweeps_by(4);
    sync(&scene, None).await;
    let (three, seven) = (whose(&scene, "b", "3").await, whose(&scene, "b", "7").await);
    assert_ne!(three.0, seven.0);
    assert!(seven.1 && !three.1);
}
