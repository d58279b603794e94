//! Each reason for which a passage can stop, on a real engine and a real ledger: it is told while its cause is there, and
//! when the cause is gone, the customer arrives.

use std::collections::BTreeSet;
use std::time::Duration;

use nivel::handoff::{NoteKind, Passage, Reason, Rule, State, When, Within, Words};
use nivel::ledger::PassagesOf;
use nivel::merge::{Brake, Create, MatchRules, Role, Rules, StreamRules};
use nivel::model::{Kind, StreamId};
use nivel::sync::Word;

use crate::matching::person;
use crate::scene::{Scene, people};

const FIRST: &str = "1";

/// Whoever is a lead in `hub` has to arrive in `sales`.
fn handed_over(rules: &mut Rules) {
    let words = Words {
        fields: ["company".into()].into(),
        ..Words::default()
    };
    rules.handoffs = vec![Rule {
        name: "lead".into(),
        from: Some("hub".into()),
        kind: Kind::Person,
        to: StreamId::new("sales", "person"),
        when: When::read("company == 'lead'", &words).unwrap(),
        carry: vec!["email".into(), "phone".into()],
        within: Within {
            time: Duration::from_hours(1),
            calendar: None,
        },
        create: true,
        note: None,
        opens: None,
        alert: None,
    }];
    sales(rules).create = Create::Handoff;
}

fn sales(rules: &mut Rules) -> &mut StreamRules {
    let system = rules.systems.get_mut("sales").unwrap();
    system.streams.get_mut("person").unwrap()
}

fn only_a_note(rules: &mut Rules) {
    let rule = &mut rules.handoffs[0];
    (rule.carry, rule.create, rule.note) = (Vec::new(), false, Some(NoteKind::Timeline));
}

/// Nothing is written to sales without a yes.
fn braked(rules: &mut Rules) {
    rules.systems.get_mut("sales").unwrap().brake = Brake {
        percent: 0,
        count: 0,
        at_least: 0,
    };
}

/// Under such rules, Ana is in marketing, and, if `is_there`, with her address alone in sales; a first sync has met her.
async fn known(rules: impl FnOnce(&mut Rules), is_there: bool, before: impl FnOnce(&Scene)) -> Scene {
    let scene = Scene::new(&["hub", "sales"]).await;
    let scene = scene
        .with_rules(|all| {
            handed_over(all);
            rules(all);
        })
        .await;
    scene.tool("hub").set_all(people(1..2));
    if is_there {
        let mut there = people(1..2);
        there[0].0 = "s1".into();
        drop(there[0].1.0.remove("phone"));
        scene.tool("sales").set_all(there);
    }
    before(&scene);
    scene.engine.sync(Some("test")).await.unwrap();
    scene.later(60);
    scene
}

async fn passages(scene: &Scene) -> Vec<Passage> {
    let ledger = scene.engine.ledger();
    ledger.passages(&PassagesOf::default(), None, 10).await.unwrap()
}

/// She becomes a lead, and stops for this reason.
#[track_caller]
fn assert_stopped(passages: &[Passage], reason: Reason) {
    let found: Vec<_> = passages.iter().map(|passage| (passage.state, &passage.stop)).collect();
    let is_so = matches!(found[..], [(State::Stopped, Some(stop))] if stop.reason == reason && !stop.detail.is_empty());
    assert!(is_so, "{reason:?} expected, found {found:?}");
}

async fn stops(scene: Scene, reason: Reason, met: &mut BTreeSet<Reason>) -> Scene {
    scene.tool("hub").change(FIRST, "company", "lead");
    scene.engine.sync(None).await.unwrap();
    assert_stopped(&passages(&scene).await, reason);
    met.insert(reason);
    scene.later(60);
    scene
}

/// The cause is gone: she arrives.
async fn arrives(scene: &Scene, after: Reason) {
    for _ in 0..3 {
        scene.engine.sync(Some("test")).await.unwrap();
        scene.later(60);
    }
    let found: Vec<_> = passages(scene)
        .await
        .into_iter()
        .map(|passage| (passage.state, passage.stop, passage.proof.is_some()))
        .collect();
    assert_eq!(found, [(State::Delivered, None, true)], "after {after:?}");
}

async fn by_the_rules(met: &mut BTreeSet<Reason>) {
    type Change = fn(&mut Rules);
    let cases: [(Reason, bool, Change, Change); 5] = [
        (
            Reason::TooLarge,
            false,
            |rules| rules.size_max = Some(0),
            |rules| {
                rules.size_max = None;
            },
        ),
        (
            Reason::NotShared,
            true,
            |rules| drop(rules.share.insert("phone".into(), [Role::Support].into())),
            |rules| rules.share.clear(),
        ),
        (
            Reason::NoCreate,
            false,
            |rules| rules.handoffs[0].create = false,
            |rules| {
                rules.handoffs[0].create = true;
            },
        ),
        (
            Reason::ReadOnly,
            false,
            |rules| sales(rules).write = false,
            |rules| {
                sales(rules).write = true;
            },
        ),
        (
            Reason::ReadOnly,
            true,
            |rules| sales(rules).write = false,
            |rules| {
                sales(rules).write = true;
            },
        ),
    ];
    for (reason, is_there, cause, mended) in cases {
        let scene = known(cause, is_there, |_| {}).await;
        let scene = stops(scene, reason, met).await;
        arrives(&scene.with_rules(mended).await, reason).await;
    }
}

async fn by_what_she_is(met: &mut BTreeSet<Reason>) {
    let nobody = |scene: &Scene| scene.tool("hub").clear(FIRST, "email");
    let scene = stops(known(|_| {}, false, nobody).await, Reason::NoIdentifier, met).await;
    scene.tool("hub").change(FIRST, "email", "p1@example.com");
    arrives(&scene, Reason::NoIdentifier).await;

    let marketing = |rules: &mut Rules| rules.systems.get_mut("sales").unwrap().role = Role::Marketing;
    let denies = |scene: &Scene| scene.tool("hub").change(FIRST, CONSENT, "denied");
    let scene = stops(known(marketing, false, denies).await, Reason::OptedOut, met).await;
    assert!(
        scene.tool("sales").ids().is_empty(),
        "she is not made where she would be written to"
    );
    scene.tool("hub").change(FIRST, CONSENT, "granted");
    arrives(&scene, Reason::OptedOut).await;

    let scene = known(
        |rules| rules.matching = Some(MatchRules::default()),
        false,
        |scene| {
            let maria = |text| vec![person(FIRST, text)];
            let hub = "Maria Belortsen|maria.belortsen@gmx.de|+49 170 7654321";
            scene.tool("hub").set_all(maria(hub));
            scene
                .tool("sales")
                .set_all(maria("Maria Belortsen|belo@web.de|+49 171 1111222"));
        },
    )
    .await;
    let scene = stops(scene, Reason::Doubtful, met).await;
    let id = scene.engine.ledger().reviews(10).await.unwrap()[0].id;
    let other = Word::Review { id, same: false };
    scene.engine.decide(&other, "test").await.unwrap();
    arrives(&scene, Reason::Doubtful).await;

    let from_anywhere = |rules: &mut Rules| {
        braked(rules);
        rules.handoffs[0].from = None;
    };
    let scene = known(from_anywhere, false, |scene| scene.tool("hub").sweeps_by(10)).await;
    let scene = stops(scene, Reason::Held, met).await;
    scene.tool("hub").remove(FIRST);
    scene.engine.sync(None).await.unwrap();
    assert_stopped(&passages(&scene).await, Reason::CustomerGone);
    met.insert(Reason::CustomerGone);
    assert!(scene.tool("sales").ids().is_empty());
}

const CONSENT: &str = "consent.email.marketing";

async fn by_what_becomes_of_the_write(met: &mut BTreeSet<Reason>) {
    let refuses = |scene: &Scene, does: bool| scene.tool("sales").play.lock().unwrap().refuses = does;
    let scene = known(|_| {}, false, |scene| refuses(scene, true)).await;
    let scene = stops(scene, Reason::DeadWrite, met).await;
    refuses(&scene, false);
    let (hub, sales) = ("hub".parse().unwrap(), "sales".parse().unwrap());
    scene.engine.repair(&hub, &sales, "test").await.unwrap();
    arrives(&scene, Reason::DeadWrite).await;

    let scene = stops(known(braked, false, |_| {}).await, Reason::Held, met).await;
    assert!(scene.tool("sales").ids().is_empty());
    scene.engine.approve("test").await.unwrap();
    arrives(&scene, Reason::Held).await;

    let scene = known(
        |_| {},
        true,
        |scene| scene.tool("sales").change("s1", "phone", "+3584012345001"),
    )
    .await;
    scene.tool("sales").drops("phone");
    scene.tool("hub").change(FIRST, "phone", "+358401000001");
    for _ in 0..3 {
        scene.engine.sync(None).await.unwrap();
        scene.later(60);
    }
    stops(scene, Reason::Frozen, met).await;

    let scene = known(only_a_note, true, |scene| refuses(scene, true)).await;
    stops(scene, Reason::Note, met).await;
}

async fn by_what_the_target_says(met: &mut BTreeSet<Reason>) {
    let scene = known(|_| {}, true, |_| {}).await;
    scene.tool("sales").clear("s1", "phone");
    let scene = stops(scene, Reason::Kept, met).await;
    scene.tool("sales").change("s1", "phone", "+3584012345001");
    arrives(&scene, Reason::Kept).await;

    let scene = known(|_| {}, true, |scene| scene.tool("sales").sweeps_by(10)).await;
    let ana = scene.tool("sales").remove("s1");
    scene.engine.sync(None).await.unwrap();
    let scene = stops(scene, Reason::Deleted, met).await;
    scene.tool("sales").set_all(vec![("s1".into(), ana)]);
    arrives(&scene, Reason::Deleted).await;

    let unreadable = |scene: &Scene, is_so: bool| {
        let mut play = scene.tool("sales").play.lock().unwrap();
        play.unreadable = is_so.then(|| "s1".into()).into_iter().collect();
    };
    let scene = known(|_| {}, true, |_| {}).await;
    unreadable(&scene, true);
    scene.tool("hub").change(FIRST, "phone", "+358401000001");
    let scene = stops(scene, Reason::Unusable, met).await;
    unreadable(&scene, false);
    arrives(&scene, Reason::Unusable).await;
}

#[tokio::test]
async fn every_reason_to_stop_comes_about_and_passes() {
    let mut met = BTreeSet::new();
    by_the_rules(&mut met).await;
    by_what_she_is(&mut met).await;
    by_what_becomes_of_the_write(&mut met).await;
    by_what_the_target_says(&mut met).await;
    assert_eq!(met, Reason::ALL.into(), "each of them");
}

#[tokio::test]
async fn whoever_is_no_lead_any_more_is_not_made() {
    let scene = stops(known(braked, false, |_| {}).await, Reason::Held, &mut BTreeSet::new()).await;
    scene.tool("hub").change(FIRST, "company", "nobody");
    scene.engine.sync(None).await.unwrap();
    scene.engine.sync(Some("test")).await.unwrap();
    let found: Vec<State> = passages(&scene).await.iter().map(|passage| passage.state).collect();
    assert_eq!(found, [State::Cancelled]);
    assert!(scene.tool("sales").ids().is_empty());
}

#[tokio::test]
async fn two_leads_who_turn_out_to_be_one_pass_once() {
    let scene = known(braked, false, |scene| scene.tool("hub").set_all(people(2..3))).await;
    for lead in [FIRST, "2"] {
        scene.tool("hub").change(lead, "company", "lead");
    }
    scene.engine.sync(None).await.unwrap();
    let both = passages(&scene).await;
    let [left, right] = [0, 1].map(|at| both[at].customer);
    assert_ne!(left, right);
    let one = Word::Merge { left, right };
    scene.engine.decide(&one, "test").await.unwrap();
    for _ in 0..3 {
        scene.engine.sync(Some("test")).await.unwrap();
        scene.later(60);
    }
    let mut found: Vec<State> = passages(&scene).await.iter().map(|passage| passage.state).collect();
    found.sort();
    assert_eq!(found, [State::Delivered, State::Cancelled]);
    assert_eq!(scene.tool("sales").made(), 1);
}

/// The tool takes her phone and never says it in any answer: that she has arrived is not proven, however long it takes.
#[tokio::test]
async fn what_the_tool_does_not_say_is_not_proven() {
    let scene = known(|_| {}, false, |scene| scene.tool("sales").drops("phone")).await;
    scene.tool("hub").change(FIRST, "company", "lead");
    for _ in 0..4 {
        scene.engine.sync(None).await.unwrap();
        scene.later(1200);
    }
    assert_eq!(scene.tool("sales").made(), 1, "she is there");
    let passage = passages(&scene).await.remove(0);
    assert_eq!((passage.state, passage.proof.is_some()), (State::Open, false));
    assert!(passage.is_late(scene.engine.now()));
}
