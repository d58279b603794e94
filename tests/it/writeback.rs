//! Writing back: nobody's change is overwritten unseen, and what a tool does not keep is told once and not written for ever.

use std::time::Duration;

use nivel::error::Code;
use nivel::ledger::{What, WriteState};
use nivel::merge::{FieldRule, OnClear, Pick, Rules, StreamRules};
use nivel::model::Clock as _;

use crate::scene::{Scene, people};
use crate::trial::Trial;

/// Two tools that agree on three people.
async fn agreed() -> Scene {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..3));
    scene.engine.sync(Some("ana")).await.unwrap();
    scene.later(60);
    scene.engine.sync(None).await.unwrap();
    scene.later(60);
    scene
}

#[tokio::test]
async fn what_somebody_changed_after_it_was_read_is_not_overwritten() {
    let scene = agreed().await;
    scene.tool("crm").change("1", "phone", "+358401000001");
    scene.engine.plan().await.unwrap();
    scene.later(60);
    // Between our read and our write.
    scene.tool("desk").change("n1", "phone", "+358402000002");
    let summary = scene.engine.push_all().await.unwrap();
    assert_eq!(scene.tool("desk").says("n1", "phone").unwrap(), "+358402000002");
    assert_eq!(summary["desk"].again, 1, "{summary:?}");
    scene.later(60);
    assert!(scene.engine.sync(None).await.unwrap().is_clean());
    // The newest wins, and that is theirs.
    assert_eq!(scene.tool("crm").says("1", "phone").unwrap(), "+358402000002");
    assert_eq!(scene.tool("desk").updated(), 0);
}

#[tokio::test]
async fn an_answer_that_leaves_the_object_out_is_no_leave_to_overwrite_it() {
    let scene = agreed().await;
    scene.tool("crm").change("1", "phone", "+358401000001");
    scene.engine.plan().await.unwrap();
    scene.later(60);
    scene.tool("desk").change("n1", "phone", "+358402000002");
    scene.tool("desk").hide_once();
    scene.engine.push_all().await.unwrap();
    assert_eq!(scene.tool("desk").says("n1", "phone").unwrap(), "+358402000002");
}

#[tokio::test]
async fn a_change_beside_the_wanted_field_does_not_stop_the_write() {
    let scene = agreed().await;
    scene.tool("crm").change("1", "phone", "+358401000001");
    scene.engine.plan().await.unwrap();
    scene.later(60);
    scene.tool("desk").change("n1", "full_name", "Annika Berg1");
    scene.engine.push_all().await.unwrap();
    assert_eq!(scene.tool("desk").says("n1", "phone").unwrap(), "+358401000001");
    scene.engine.sync(None).await.unwrap();
    assert_eq!(scene.tool("crm").says("1", "full_name").unwrap(), "Annika Berg1");
}

#[tokio::test]
async fn p49_a_field_that_the_tool_drops_is_frozen_and_told_and_its_old_value_is_no_news() {
    let scene = agreed().await;
    scene.tool("desk").drops("phone");
    scene.tool("crm").change("1", "phone", "+358401000001");
    for _ in 0..4 {
        scene.later(60);
        scene.engine.sync(None).await.unwrap();
    }
    assert_eq!(scene.tool("desk").updated(), 1, "it is not tried again and again");
    assert_eq!(
        scene.tool("crm").says("1", "phone").unwrap(),
        "+358401000001",
        "what stood in the tool all the time did not win"
    );
    let frozen = scene.engine.frozen().await.unwrap();
    assert_eq!(frozen.len(), 1, "{frozen:?}");
    let problem = &frozen[0].problem;
    assert_eq!(problem.code, Code::FieldNotKept);
    assert!(problem.subject.contains("desk/person/n1"), "{problem}");
    assert!(problem.message.contains("phone"), "{problem}");
    assert!(
        problem.hint.contains("nivel dead release desk/person/n1 --field phone"),
        "{problem}"
    );
    assert_eq!(scene.engine.ledger().totals().await.unwrap().frozen, 1);
}

/// Somebody else's automation in `desk` keeps putting its own phone there, which belongs to `crm`.
async fn at_odds() -> Scene {
    let scene = agreed().await;
    let scene = scene
        .with_rules(|rules| {
            let own = FieldRule {
                pick: Pick::Own(vec!["crm".into()]),
                on_clear: OnClear::Ignore,
            };
            rules.fields.insert("phone".into(), own);
        })
        .await;
    scene.engine.sync(Some("ana")).await.unwrap();
    for round in 0..9 {
        scene.later(60);
        scene
            .tool("desk")
            .change("n1", "phone", &format!("+35840999000{round}"));
        scene.engine.sync(None).await.unwrap();
    }
    scene
}

#[tokio::test]
async fn a_field_that_goes_round_in_circles_is_frozen_alone_and_told() {
    let scene = at_odds().await;
    let rounds = scene.tool("desk").updated();
    assert!(rounds < 6, "{rounds} writes and no end");
    let frozen = scene.engine.frozen().await.unwrap();
    assert_eq!(frozen.len(), 1);
    assert_eq!(
        (frozen[0].field.as_str(), frozen[0].problem.code),
        ("phone", Code::RecordLoops)
    );
    assert_eq!(frozen[0].record.to_string(), "desk/person/n1");
    let trail = scene.engine.ledger().changes(&frozen[0].customer, 200).await.unwrap();
    let told = trail.iter().filter(|row| matches!(row.change.what, What::Frozen(_)));
    assert_eq!(told.count(), 1, "told once");
    // Every other field of the record goes on.
    scene.later(60);
    scene.tool("crm").change("1", "full_name", "Annika Berg1");
    scene.engine.sync(None).await.unwrap();
    assert_eq!(scene.tool("desk").says("n1", "full_name").unwrap(), "Annika Berg1");
    assert_eq!(scene.tool("desk").says("n1", "phone").unwrap(), "+358409990008");
}

#[tokio::test]
async fn a_released_field_is_written_again() {
    let scene = at_odds().await;
    let record = scene.engine.frozen().await.unwrap()[0].record.clone();
    let other = ["full_name".into()].into();
    assert!(scene.engine.release(&record, &other, "ana").await.unwrap().is_empty());
    let released = scene
        .engine
        .release(&record, &["phone".into()].into(), "ana")
        .await
        .unwrap();
    assert_eq!(released.len(), 1);
    assert!(scene.engine.frozen().await.unwrap().is_empty());
    scene.later(60);
    scene.engine.sync(None).await.unwrap();
    assert_eq!(
        scene.tool("desk").says("n1", "phone"),
        scene.tool("crm").says("1", "phone")
    );
    let trail = scene.engine.ledger().changes(&released[0].customer, 200).await.unwrap();
    assert!(trail.iter().any(|row| matches!(row.change.what, What::Released(_))));
}

#[tokio::test]
async fn what_was_undone_stays_frozen_however_long_ago() {
    let scene = agreed().await;
    scene.tool("crm").change("1", "phone", "+358401000001");
    scene.engine.sync(None).await.unwrap();
    let since = nivel::sync::Scope {
        since: Some(scene.clock.now().minus(Duration::from_secs(30))),
        ..nivel::sync::Scope::default()
    };
    scene.engine.undo(&since, "ana").await.unwrap();
    // Two days later somebody works on the field in the tool.
    scene.later(2 * 24 * 3600);
    scene.tool("desk").change("n1", "phone", "+358403000003");
    scene.engine.sync(None).await.unwrap();
    assert_eq!(scene.engine.frozen().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_changed_rule_reaches_the_customers_that_are_known_already() {
    let scene = Scene::new(&["crm", "desk"]).await;
    let scene = scene
        .with_rules(|rules| set_streams(rules, |stream| stream.write = false))
        .await;
    scene.tool("crm").set_all(people(0..3));
    scene.engine.sync(Some("ana")).await.unwrap();
    scene.later(60);
    scene.tool("desk").set_all(people(1..2));
    scene.tool("desk").change("1", "phone", "+358402000002");
    scene.engine.sync(None).await.unwrap();
    assert_eq!(phone_of(&scene, 1).await, "+358402000002", "the newest");

    let scene = scene
        .with_rules(|rules| {
            set_streams(rules, |stream| stream.write = true);
            rules.default = Some(FieldRule {
                pick: Pick::Own(vec!["crm".into()]),
                on_clear: OnClear::Ignore,
            });
        })
        .await;
    let planned = scene.engine.plan().await.unwrap();
    assert!(planned.needs_approval);
    assert_eq!(
        planned.waiting[&WriteState::Due],
        3,
        "two to be made in desk, one to be changed"
    );
    assert_eq!(phone_of(&scene, 1).await, "+3584012345001", "the owner's");
    assert!(scene.tool("desk").written().is_empty());
    scene.engine.sync(Some("ana")).await.unwrap();
    assert_eq!((scene.tool("desk").made(), scene.tool("desk").updated()), (2, 1));
    assert_eq!(scene.engine.refold().await.unwrap(), 0, "once is enough");
}

/// The soak found it: a value that Nivel had sent, and whose answer got lost, was taken for the tool's own word, newer than what
/// somebody had entered elsewhere meanwhile, and went back over it.
#[tokio::test]
async fn p24_what_was_sent_and_not_answered_never_comes_back_as_the_tools_word() {
    for is_killed in [false, true] {
        let scene = Scene::new(&["crm", "desk"]).await;
        scene.tool("crm").set_all(people(0..2));
        scene.engine.sync(Some("ana")).await.unwrap();
        let copy = scene.tool("desk").ids().into_iter().find(|id| {
            let email = scene.tool("desk").says(id, "email");
            email.as_deref() == Some("p0@example.com")
        });
        let copy = copy.unwrap();
        scene.later(60);
        scene.tool("crm").change("0", "phone", "+358402000001");
        scene.engine.pull_system("crm").await.unwrap();
        scene.tool("desk").play.lock().unwrap().loses_answer = Some(is_killed);
        let desk = nivel::model::StreamId::new("desk", "person");
        scene.engine.push_due(&desk).await.unwrap();
        assert_eq!(
            scene.tool("desk").says(&copy, "phone").as_deref(),
            Some("+358402000001")
        );
        // Somebody enters another one; the tool that has the old one is read last.
        scene.later(10);
        scene.tool("crm").change("0", "phone", "+358402000002");
        let scene = match is_killed {
            true => {
                let scene = scene.with_rules(|_| ()).await;
                scene.engine.plan().await.unwrap();
                scene
            }
            false => scene,
        };
        scene.engine.pull_system("crm").await.unwrap();
        scene.later(10);
        scene.engine.pull_system("desk").await.unwrap();
        scene.engine.push_all().await.unwrap();
        for (tool, id) in [("crm", "0"), ("desk", copy.as_str())] {
            let says = scene.tool(tool).says(id, "phone");
            assert_eq!(says.as_deref(), Some("+358402000002"), "{tool}, killed: {is_killed}");
        }
    }
}

#[tokio::test]
async fn another_field_that_is_an_id_makes_one_of_those_who_share_it() {
    let numbered = |number: usize, remote: &str| {
        let mut fields = people(number..number + 1).remove(0).1;
        fields.set("customer_no", nivel::model::Value::Text("C-77".into()));
        vec![(remote.into(), fields)]
    };
    let scene = Scene::new(&["crm", "desk"]).await;
    let scene = scene
        .with_rules(|rules| set_streams(rules, |stream| stream.write = false))
        .await;
    scene.tool("crm").set_all(people(3..6));
    scene.tool("crm").set_all(numbered(0, "0"));
    scene.tool("desk").set_all(numbered(1, "x"));
    assert_eq!(scene.engine.sync(Some("ana")).await.unwrap().customers, 5);
    let older = scene
        .engine
        .ledger()
        .search("p0@example.com", 9)
        .await
        .unwrap()
        .remove(0);
    let scene = scene
        .with_rules(|rules| rules.external_ids.push("customer_no".into()))
        .await;
    let planned = scene.engine.plan().await.unwrap();
    assert!(planned.needs_approval);
    assert_eq!(planned.customers, 4, "two of them are one");
    for email in ["p0@example.com", "p1@example.com"] {
        let found = scene.engine.ledger().search(email, 9).await.unwrap();
        assert!(
            found.contains(&older),
            "the older key stays: {email} leads to {found:?}"
        );
    }
    assert_eq!(scene.engine.refold().await.unwrap(), 0, "once is enough");
    // What it was by before is still known: it joins whoever comes with it.
    scene.later(60);
    scene.tool("desk").set_all(numbered(9, "y"));
    assert_eq!(scene.engine.sync(None).await.unwrap().customers, 4);
}

fn set_streams(rules: &mut Rules, set: impl Fn(&mut StreamRules)) {
    let systems = rules.systems.values_mut();
    systems.flat_map(|system| system.streams.values_mut()).for_each(set);
}

async fn phone_of(scene: &Scene, person: usize) -> String {
    let ledger = scene.engine.ledger();
    let found = ledger.search(&format!("p{person}@example.com"), 9).await.unwrap();
    let customer = ledger.customer(&found[0]).await.unwrap().unwrap();
    customer.golden.text("phone").unwrap().to_owned()
}

#[tokio::test]
async fn merges_are_counted_where_records_meet() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..5));
    scene.tool("desk").set_all(people(3..9));
    let planned = scene.engine.plan().await.unwrap();
    assert_eq!((planned.customers, planned.merges), (9, 2));
    let first = scene.engine.sync(Some("ana")).await.unwrap();
    assert_eq!(first.merges, 0, "what Nivel makes is no merge");
    scene.later(60);
    assert_eq!(scene.engine.sync(None).await.unwrap().merges, 0);
    scene.later(60);
    let twice = people(0..1).into_iter().map(|(_, fields)| ("x".into(), fields));
    scene.tool("crm").set_all(twice.collect());
    assert_eq!(scene.engine.sync(None).await.unwrap().merges, 1);
    assert_eq!(scene.engine.ledger().totals().await.unwrap().merges, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tells_merges_quota_and_time() {
    let trial = Trial::new(5, 60).await;
    let output = trial.nivel(&["--output", "json", "plan"], None).await;
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(plan["read"]["merges"].as_u64().unwrap() > 20, "{plan}");
    for system in ["marketing", "sales", "support"] {
        let cost = &plan["cost"][system];
        let calls = cost["calls"].as_object().unwrap();
        assert!(
            !calls.is_empty() && cost["limits"][0]["cost"].as_u64().unwrap() > 0,
            "{cost}"
        );
    }
    let creates = plan["streams"]["sales/person"]["creates"].as_u64().unwrap();
    assert_eq!(plan["cost"]["sales"]["calls"]["create"], creates, "one call each");
    assert_eq!(
        plan["cost"]["sales"]["calls"]["find"], creates,
        "each is looked up first"
    );
    assert!(plan["cost"]["sales"]["seconds"].is_u64());
    let text = trial.nivel(&["plan"], None).await;
    let text = String::from_utf8(text.stdout).unwrap();
    for words in ["CALLS", "TAKES AT LEAST", "merge", "nivel approve"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let status = trial.nivel(&["status"], None).await;
    assert_eq!(status.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&status.stdout).contains("OUT008"));
}
