//! The admin's yes, on the real engine and the real ledger: a new setup only plans, mass changes wait, a stop stops.

use nivel::error::Code;
use nivel::ledger::{What, WriteState};
use nivel::model::Clock as _;
use nivel::sync::Scope;

use crate::scene::{Scene, people};

#[tokio::test]
async fn p17_a_new_setup_writes_nothing_until_it_was_approved() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..60));
    let first = scene.engine.sync(None).await.unwrap();
    assert!(first.needs_approval);
    assert_eq!((first.written(), first.waiting[&WriteState::Due]), (0, 60));
    assert!(scene.tool("desk").written().is_empty());

    scene.engine.approve("ana").await.unwrap();
    let second = scene.engine.sync(None).await.unwrap();
    assert!(!second.needs_approval && second.is_clean(), "{second:?}");
    assert_eq!(second.written(), 60, "all of them were in the plan: no brake");
}

#[tokio::test]
async fn another_rule_asks_for_another_yes() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..3));
    scene.engine.sync(Some("ana")).await.unwrap();
    let other = scene
        .with_rules(|rules| rules.external_ids.push("customer_no".into()))
        .await;
    assert!(other.engine.sync(None).await.unwrap().needs_approval);
}

#[tokio::test]
async fn p17_a_mass_of_new_objects_is_held_and_everything_else_goes_on() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..100));
    scene.engine.sync(Some("ana")).await.unwrap();
    scene.later(60);
    scene.tool("crm").set_all(people(0..130));
    scene.tool("desk").change("n0", "phone", "+358401999999");
    let summary = scene.engine.sync(None).await.unwrap();
    let problem = &summary.systems["desk"].problems[0];
    assert_eq!(problem.code, Code::WritesHeld);
    assert!(problem.message.starts_with("30 new objects"), "{problem}");
    assert_eq!(summary.waiting[&WriteState::Held], 30);
    assert_eq!(scene.tool("desk").made(), 100);
    assert_eq!(summary.systems["crm"].updated, 1, "what is not abnormal is written");

    assert_eq!(scene.engine.approve("ana").await.unwrap(), 30);
    let then = scene.engine.sync(None).await.unwrap();
    assert!(then.is_clean(), "{then:?}");
    assert_eq!(scene.tool("desk").made(), 130);
}

#[tokio::test]
async fn what_is_held_and_no_longer_wanted_vanishes() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..100));
    scene.engine.sync(Some("ana")).await.unwrap();
    scene.later(60);
    for person in 0..40 {
        scene
            .tool("crm")
            .change(&person.to_string(), "phone", &format!("+3584020000{person:02}"));
    }
    let mistake = scene.engine.sync(None).await.unwrap();
    assert_eq!(mistake.waiting[&WriteState::Held], 40);
    scene.later(60);
    scene.tool("crm").set_all(people(0..100));
    let mended = scene.engine.sync(None).await.unwrap();
    assert_eq!(mended.waiting.get(&WriteState::Held).copied().unwrap_or_default(), 0);
    assert_eq!(scene.tool("desk").updated(), 0, "the mistake went nowhere");
}

#[tokio::test]
async fn a_stop_stops_until_the_next_yes() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..2));
    scene.engine.sync(Some("ana")).await.unwrap();
    scene.engine.hold("bo").await.unwrap();
    scene.later(60);
    scene.tool("crm").change("1", "phone", "+358401234999");
    assert!(scene.engine.sync(None).await.unwrap().needs_approval);
    assert_eq!(scene.tool("desk").updated(), 0);
    let approved_at = scene.clock.now();
    scene.engine.approve("ana").await.unwrap();
    let approval = scene.engine.approval().await.unwrap().unwrap();
    assert_eq!((approval.by.as_str(), approval.at), ("ana", approved_at));
    scene.engine.sync(None).await.unwrap();
    assert_eq!(scene.tool("desk").updated(), 1);
}

#[tokio::test]
async fn undo_puts_back_what_a_run_wrote_where_nobody_changed_it_since() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..3));
    scene.engine.sync(Some("ana")).await.unwrap();
    scene.later(60);
    for person in ["0", "1"] {
        scene
            .tool("crm")
            .change(person, "phone", &format!("+35840200000{person}"));
    }
    scene.engine.sync(None).await.unwrap();
    let desk = scene.tool("desk");
    let copy_of = |number: usize| {
        let mail = format!("p{number}@example.com");
        desk.ids()
            .into_iter()
            .find(|id| desk.says(id, "email").as_deref() == Some(mail.as_str()))
            .unwrap()
    };
    let [first, second] = [copy_of(0), copy_of(1)];
    assert_eq!(desk.says(&first, "phone").as_deref(), Some("+358402000000"));
    scene.later(60);
    desk.change(&second, "phone", "+358403517924");
    scene.engine.sync(None).await.unwrap();
    let run = scene
        .engine
        .ledger()
        .trail(nivel::model::UnixMillis(0), 0, 1000)
        .await
        .unwrap()
        .into_iter()
        .find_map(|(_, line)| match line.change.what {
            What::Wrote(wrote) => wrote.run,
            _ => None,
        });
    let scope = Scope {
        run,
        ..Scope::default()
    };
    let planned = scene.engine.plan_undo(&scope).await.unwrap();
    assert_eq!(
        desk.says(&first, "phone").as_deref(),
        Some("+358402000000"),
        "a plan does nothing"
    );

    let done = scene.engine.undo(&scope, "ana").await.unwrap();
    assert_eq!(done, planned);
    assert_eq!(
        (done.back.len(), done.remove.len(), done.left.len()),
        (1, 0, 1),
        "{done:?}"
    );
    assert_eq!(done.left[0].why, "it was changed since");
    assert_eq!(desk.says(&first, "phone").as_deref(), Some("+3584012345000"));
    assert_eq!(desk.says(&second, "phone").as_deref(), Some("+358403517924"));

    scene.later(60);
    let after = scene.engine.sync(None).await.unwrap();
    assert_eq!(
        after.written(),
        0,
        "what was taken back is not written again, and is no news either: {after:?}"
    );
    assert_eq!(scene.tool("crm").says("0", "phone").as_deref(), Some("+358402000000"));
}

#[tokio::test]
async fn undo_of_a_first_run_removes_what_it_made_and_nothing_else() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..4));
    scene
        .tool("desk")
        .set_all(vec![("own".into(), people(9..10).remove(0).1)]);
    scene.engine.sync(Some("ana")).await.unwrap();
    scene.later(60);
    let touched = scene.tool("desk").ids().into_iter().find(|id| id != "own").unwrap();
    scene.tool("desk").change(&touched, "full_name", "Anna Berg-Holm");
    scene.engine.sync(None).await.unwrap();
    let scope = Scope {
        run: Some(nivel::ledger::FIRST_READING),
        system: Some("desk".into()),
        ..Scope::default()
    };
    let done = scene.engine.undo(&scope, "ana").await.unwrap();
    assert_eq!((done.remove.len(), done.left.len()), (3, 1), "{done:?}");
    assert_eq!(scene.tool("desk").ids(), [touched.clone(), "own".into()].map(|id| id));
    scene.later(60);
    let after = scene.engine.sync(None).await.unwrap();
    assert_eq!(after.written(), 0, "what was removed is not made again: {after:?}");
}

/// What was written by the newest run that wrote.
async fn last_run(scene: &Scene) -> Scope {
    let trail = scene.engine.ledger().trail(nivel::model::UnixMillis(0), 0, 1000).await;
    let runs = trail
        .unwrap()
        .into_iter()
        .filter_map(|(_, line)| match line.change.what {
            What::Wrote(wrote) => wrote.run,
            _ => None,
        });
    Scope {
        run: runs.last(),
        ..Scope::default()
    }
}

#[tokio::test]
async fn undo_looks_at_what_stands_there_before_it_writes() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..3));
    scene.engine.sync(Some("ana")).await.unwrap();
    scene.later(60);
    for person in 0..3 {
        let phone = format!("+35840200000{person}");
        scene.tool("crm").change(&person.to_string(), "phone", &phone);
    }
    scene.engine.sync(None).await.unwrap();
    let desk = scene.tool("desk");
    let [changed, undone, plain] = [0, 1, 2].map(|number| {
        let mail = format!("p{number}@example.com");
        let is_hers = |id: &compact_str::CompactString| desk.says(id, "email").as_ref() == Some(&mail);
        desk.ids().into_iter().find(is_hers).unwrap()
    });
    let scope = last_run(&scene).await;
    scene.later(60);
    // Nobody has read this yet: a user's change, and what an undo put back that died before it could say so.
    desk.change(&changed, "phone", "+358403517924");
    desk.change(&undone, "phone", "+3584012345001");
    let done = scene.engine.undo(&scope, "ana").await.unwrap();
    assert_eq!((done.back.len(), done.left.len()), (2, 1), "{done:?}");
    assert_eq!(done.left[0].record.remote, changed);
    assert!(done.left[0].why.contains("changed in the tool meanwhile"), "{done:?}");
    assert_eq!(desk.says(&changed, "phone").as_deref(), Some("+358403517924"));
    for (id, phone) in [(&undone, "+3584012345001"), (&plain, "+3584012345002")] {
        assert_eq!(desk.says(id, "phone").as_deref(), Some(phone));
    }
    scene.later(60);
    scene.engine.sync(None).await.unwrap();
    let crm = ["0", "1", "2"].map(|id| scene.tool("crm").says(id, "phone").unwrap());
    assert_eq!(
        crm,
        ["+358403517924", "+358402000001", "+358402000002"],
        "the user's change travels on; what was put back is nobody's word"
    );
}

#[tokio::test]
async fn undo_does_not_remove_what_somebody_began_to_work_on() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..2));
    scene.engine.sync(Some("ana")).await.unwrap();
    let touched = scene.tool("desk").ids().remove(0);
    scene.tool("desk").change(&touched, "company", "Berg Oy");
    let scope = Scope {
        run: Some(nivel::ledger::FIRST_READING),
        ..Scope::default()
    };
    let done = scene.engine.undo(&scope, "ana").await.unwrap();
    assert_eq!((done.remove.len(), done.left.len()), (1, 1), "{done:?}");
    assert_eq!(scene.tool("desk").ids(), [touched]);
}
