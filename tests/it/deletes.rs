//! What is deleted in one tool: how it is noticed, and what the others hear of it.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use compact_str::CompactString;
use nivel::error::Code;
use nivel::ledger::{Ask, SweepStage};
use nivel::merge::{OnDelete, StreamRules};
use nivel::model::{Fields, StreamId};
use proptest::prelude::*;

use crate::scene::{Deed, Scene, people};

const DAY: u64 = 24 * 3600;

/// `a` knows its people, `b` got them from Nivel. From now on `a` is read in full sweeps.
async fn mirrored(count: usize, change: impl Fn(&mut StreamRules)) -> Scene {
    let scene = Scene::new(&["a", "b"]).await.with_rules(|rules| {
        let stream = rules.systems.get_mut("b").unwrap().streams.get_mut("person").unwrap();
        change(stream);
    });
    let scene = scene.await;
    scene.tool("a").set_all(people(0..count));
    sync(&scene, Some("ana")).await;
    assert_eq!(scene.tool("b").made(), count);
    scene.tool("a").sweeps_by(10);
    sync(&scene, None).await;
    scene
}

fn deletes(stream: &mut StreamRules) {
    stream.on_delete = OnDelete::Delete;
}

async fn sync(scene: &Scene, approved_by: Option<&str>) {
    scene.later(60);
    scene.engine.sync(approved_by).await.unwrap();
}

/// The objects of a tool that the ledger says are gone.
async fn gone(scene: &Scene, system: &str, count: usize) -> BTreeSet<String> {
    let stream = StreamId::new(system, "person");
    let ask = Ask {
        records: (0..count).map(|number| stream.record(number.to_string())).collect(),
        ..Ask::default()
    };
    let view = scene.engine.ledger().view(ask).await.unwrap();
    let records = view.records.into_values().map(|(record, _)| record);
    let gone = records.filter(|record| record.id.stream == stream && record.deleted_at.is_some());
    gone.map(|record| record.id.remote.to_string()).collect()
}

async fn stage(scene: &Scene) -> SweepStage {
    let stream = StreamId::new("a", "person");
    scene.engine.ledger().stream(&stream).await.unwrap().sweep.stage
}

fn numbers(of: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    of.into_iter().map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn p50_p51_what_a_whole_sweep_does_not_meet_is_deleted_and_a_broken_one_deletes_nothing() {
    let scene = mirrored(35, |_| ()).await;
    scene.tool("a").remove("7");
    scene.tool("a").play.lock().unwrap().breaks_after = Some(2);
    sync(&scene, None).await;
    assert_eq!(stage(&scene).await, SweepStage::UnderWay);
    assert_eq!(gone(&scene, "a", 35).await, numbers([]), "the sweep was broken off");
    sync(&scene, None).await;
    assert_eq!(
        gone(&scene, "a", 35).await,
        numbers([7]),
        "the same sweep went on to its end"
    );
    scene.later(2 * DAY);
    sync(&scene, None).await;
    assert_eq!(
        scene.tool("b").removed(),
        0,
        "nothing is passed on unless somebody asks for it"
    );
}

#[tokio::test]
async fn p51_what_a_sweep_misses_and_is_there_is_alive() {
    let scene = mirrored(35, |_| ()).await;
    scene.tool("a").play.lock().unwrap().hidden = ["1".into(), "2".into()].into();
    sync(&scene, None).await;
    assert_eq!(stage(&scene).await, SweepStage::Over);
    assert_eq!(gone(&scene, "a", 35).await, numbers([]), "asked by id they are there");
}

#[tokio::test]
async fn p46_p51_a_list_that_shrank_deletes_nothing_until_somebody_looked() {
    let scene = mirrored(35, |_| ()).await;
    for number in 0..12 {
        scene.tool("a").remove(&number.to_string());
    }
    sync(&scene, None).await;
    assert_eq!(stage(&scene).await, SweepStage::Held);
    let stream = StreamId::new("a", "person");
    let state = scene.engine.ledger().stream(&stream).await.unwrap();
    assert_eq!(state.sweep.problem.unwrap().code, Code::SweepHeld);
    assert_eq!(gone(&scene, "a", 35).await, numbers([]));
    // It was a permission: everything is there again, and the hold ends by itself.
    scene.tool("a").set_all(people(0..12));
    sync(&scene, None).await;
    assert_eq!(stage(&scene).await, SweepStage::Over);
    // It was meant.
    for number in 0..12 {
        scene.tool("a").remove(&number.to_string());
    }
    sync(&scene, None).await;
    assert_eq!(stage(&scene).await, SweepStage::Held);
    scene.engine.approve("ana").await.unwrap();
    assert_eq!(stage(&scene).await, SweepStage::Approved);
    scene.tool("a").sweeps_by(0);
    sync(&scene, None).await;
    assert_eq!(gone(&scene, "a", 35).await, numbers(0..12));
}

#[tokio::test]
async fn p50_p51_a_deletion_is_passed_on_after_its_quarantine() {
    let scene = mirrored(35, deletes).await;
    scene.tool("a").remove("7");
    sync(&scene, None).await;
    assert_eq!(gone(&scene, "a", 35).await, numbers([7]));
    assert_eq!(scene.engine.ledger().totals().await.unwrap().deletes, 1);
    scene.later(DAY - 120);
    sync(&scene, None).await;
    assert_eq!(scene.tool("b").removed(), 0, "it may still come back");
    scene.later(120);
    sync(&scene, None).await;
    assert_eq!((scene.tool("b").removed(), scene.tool("b").ids().len()), (1, 34));
    let summary = scene.engine.sync(None).await.unwrap();
    assert!(summary.is_clean(), "{summary:#?}");
    scene.later(3 * DAY);
    sync(&scene, None).await;
    let tools = [scene.tool("a").written(), scene.tool("b").written()];
    assert_eq!(
        tools.map(|written| written.len()),
        [0, 36],
        "35 made, 1 removed, and nothing is made again"
    );
}

#[tokio::test]
async fn who_was_gone_before_deletions_were_passed_on_is_removed_after_a_yes() {
    let scene = mirrored(35, |_| ()).await;
    scene.tool("a").remove("7");
    sync(&scene, None).await;
    scene.later(3 * DAY);
    sync(&scene, None).await;
    assert_eq!(scene.tool("b").removed(), 0);
    let scene = scene.with_rules(|rules| {
        let stream = rules.systems.get_mut("b").unwrap().streams.get_mut("person").unwrap();
        deletes(stream);
    });
    let scene = scene.await;
    let planned = scene.engine.plan().await.unwrap();
    assert!(planned.needs_approval, "to remove is more than to write: {planned:?}");
    assert_eq!(scene.engine.ledger().totals().await.unwrap().deletes, 1);
    scene.later(2 * DAY);
    sync(&scene, None).await;
    assert_eq!(scene.tool("b").removed(), 0, "nobody has said yes");
    sync(&scene, Some("ana")).await;
    assert_eq!((scene.tool("b").removed(), scene.tool("b").ids().len()), (1, 34));
}

#[tokio::test]
async fn p43_p51_what_comes_back_in_quarantine_is_alive_again() {
    let scene = mirrored(35, deletes).await;
    let fields = scene.tool("a").remove("7");
    sync(&scene, None).await;
    assert_eq!(scene.engine.ledger().totals().await.unwrap().deletes, 1);
    scene.later(3600);
    scene.tool("a").set_all(vec![("7".into(), fields)]);
    sync(&scene, None).await;
    assert_eq!(gone(&scene, "a", 35).await, numbers([]));
    assert_eq!(scene.engine.ledger().totals().await.unwrap().deletes, 0);
    scene.later(3 * DAY);
    sync(&scene, None).await;
    assert_eq!((scene.tool("b").removed(), scene.tool("b").made()), (0, 35));
}

#[tokio::test]
async fn p51_who_came_back_unheard_is_seen_by_the_last_look() {
    let scene = mirrored(35, deletes).await;
    let fields = scene.tool("a").remove("7");
    sync(&scene, None).await;
    // Back, but no list shows it: neither a change nor a sweep tells.
    scene.tool("a").set_all(vec![("7".into(), fields)]);
    scene.tool("a").play.lock().unwrap().hidden.insert("7".into());
    scene.later(2 * DAY);
    let before = scene.tool("b").written().len();
    scene.engine.push_due(&StreamId::new("b", "person")).await.unwrap();
    assert_eq!(scene.tool("b").written().len(), before);
    assert_eq!(gone(&scene, "a", 35).await, numbers([]));
    assert_eq!(scene.engine.ledger().totals().await.unwrap().deletes, 0);
}

#[tokio::test]
async fn p52_only_what_nivel_made_is_removed_unless_the_tool_is_its_own() {
    for (own, removed) in [(false, 1), (true, 2)] {
        let scene = Scene::new(&["a", "b"]).await.with_rules(|rules| {
            let stream = rules.systems.get_mut("b").unwrap().streams.get_mut("person").unwrap();
            stream.on_delete = OnDelete::Delete;
            stream.own = own;
        });
        let scene = scene.await;
        scene.tool("a").set_all(people(0..10));
        // Nine are in `b` by themselves.
        scene.tool("b").set_all(people(1..10));
        sync(&scene, Some("ana")).await;
        assert_eq!(scene.tool("b").made(), 1);
        scene.tool("a").sweeps_by(100);
        sync(&scene, None).await;
        scene.tool("a").remove("0");
        scene.tool("a").remove("5");
        sync(&scene, None).await;
        scene.later(2 * DAY);
        sync(&scene, None).await;
        assert_eq!(scene.tool("b").removed(), removed, "own: {own}");
    }
}

#[tokio::test]
async fn p52_what_somebody_has_worked_on_since_stays() {
    let scene = mirrored(35, deletes).await;
    let theirs = scene.tool("b").ids()[3].clone();
    let email = scene.tool("b").says(&theirs, "email").unwrap();
    scene.tool("b").change(&theirs, "phone", "+358502718281");
    sync(&scene, None).await;
    let ids = scene.tool("a").ids();
    let same = ids
        .iter()
        .find(|id| scene.tool("a").says(id, "email").as_ref() == Some(&email));
    scene.tool("a").remove(same.unwrap());
    sync(&scene, None).await;
    scene.later(2 * DAY);
    sync(&scene, None).await;
    assert_eq!(scene.tool("b").removed(), 0);
}

#[tokio::test]
async fn p52_who_begins_to_work_on_it_is_seen_by_the_look_before_the_removal() {
    let scene = mirrored(35, deletes).await;
    let theirs = scene.tool("b").ids()[3].clone();
    let email = scene.tool("b").says(&theirs, "email").unwrap();
    let ids = scene.tool("a").ids();
    let same = ids
        .iter()
        .find(|id| scene.tool("a").says(id, "email").as_ref() == Some(&email));
    scene.tool("a").remove(same.unwrap());
    sync(&scene, None).await;
    assert_eq!(scene.engine.ledger().totals().await.unwrap().deletes, 1);
    scene.tool("b").change(&theirs, "phone", "+358502718281");
    scene.later(2 * DAY);
    scene.engine.push_due(&StreamId::new("b", "person")).await.unwrap();
    assert_eq!(scene.tool("b").removed(), 0);
    assert_eq!(
        scene.engine.ledger().totals().await.unwrap().deletes,
        0,
        "it is theirs now"
    );
}

#[tokio::test]
async fn p53_what_cannot_be_taken_back_needs_to_be_allowed() {
    for (allowed, removed) in [(false, 0), (true, 1)] {
        let scene = mirrored(35, |stream| {
            deletes(stream);
            stream.spec.delete_is_final = true;
            stream.allows_final_deletes = allowed;
        });
        let scene = scene.await;
        scene.tool("a").remove("7");
        sync(&scene, None).await;
        scene.later(2 * DAY);
        sync(&scene, None).await;
        assert_eq!(scene.tool("b").removed(), removed, "allowed: {allowed}");
    }
}

#[tokio::test]
async fn p51_p53_a_mass_of_removals_is_held_and_everything_else_goes_on() {
    let scene = mirrored(35, deletes).await;
    for step in 0..3 {
        // Few enough at a time for the sweep to believe them.
        for number in 0..4 {
            scene.tool("a").remove(&(step * 4 + number).to_string());
        }
        sync(&scene, None).await;
    }
    assert_eq!(gone(&scene, "a", 35).await.len(), 12);
    scene.tool("a").change("30", "phone", "+358503141592");
    scene.later(2 * DAY);
    sync(&scene, None).await;
    assert_eq!(scene.tool("b").removed(), 0);
    assert_eq!(scene.tool("b").updated(), 1, "a change is no removal");
    sync(&scene, Some("ana")).await;
    assert_eq!(scene.tool("b").removed(), 12);
}

#[tokio::test]
async fn nobody_is_made_anew_who_was_deleted() {
    let scene = Scene::new(&["a", "b"]).await;
    scene.tool("a").set_all(people(0..10));
    scene.engine.sync(None).await.unwrap();
    scene.tool("a").sweeps_by(100);
    scene.later(60);
    scene.tool("a").remove("3");
    scene.engine.sync(None).await.unwrap();
    sync(&scene, Some("ana")).await;
    assert_eq!(scene.tool("b").made(), 9, "her creation was still waiting for a yes");
}

const PEOPLE: usize = 12;

#[derive(Clone, Debug)]
enum Step {
    Delete(usize),
    Return(usize),
    Nothing,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        // Numbers 0 to 2 are never deleted.
        3 => (3..PEOPLE).prop_map(Step::Delete),
        3 => (3..PEOPLE).prop_map(Step::Return),
        4 => Just(Step::Nothing),
    ];
    prop::collection::vec(step, 0..40)
}

/// Any interleaving of pages, interruptions, deletions and returns: whoever was never deleted is never taken for it, and
/// in the end the ledger says what is true.
async fn live(steps: Vec<Step>, breaks: Vec<usize>, can_get: bool) {
    let scene = Scene::able_to_get(&["a"], can_get).await;
    let everybody = people(0..PEOPLE);
    let id = |number: usize| CompactString::from(number.to_string());
    let fields = |number: usize| -> Fields { everybody[number].1.clone() };
    scene.tool("a").set_all(everybody.clone());
    sync(&scene, Some("ana")).await;
    scene.tool("a").sweeps_by(3);
    let ever_deleted: BTreeSet<String> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Delete(number) => Some(number.to_string()),
            _ => None,
        })
        .collect();
    let deeds = steps.into_iter().map(|step| match step {
        Step::Delete(number) => Deed::Delete(id(number)),
        Step::Return(number) => Deed::Return(id(number), fields(number)),
        Step::Nothing => Deed::Nothing,
    });
    let play = || scene.tool("a").play.lock().unwrap_or_else(PoisonError::into_inner);
    play().script = deeds.collect();
    let mut breaks = breaks.into_iter();
    while !play().script.is_empty() {
        play().breaks_after = breaks.next();
        sync(&scene, None).await;
        let gone = gone(&scene, "a", PEOPLE).await;
        assert!(gone.is_subset(&ever_deleted), "{gone:?} of {ever_deleted:?}");
    }
    play().breaks_after = None;
    for _ in 0..3 {
        scene.later(3600);
        // Whatever is held is let out.
        sync(&scene, Some("ana")).await;
        sync(&scene, None).await;
    }
    let there: BTreeSet<String> = scene.tool("a").ids().iter().map(ToString::to_string).collect();
    let absent: BTreeSet<String> = numbers(0..PEOPLE).difference(&there).cloned().collect();
    assert_eq!(gone(&scene, "a", PEOPLE).await, absent);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p51_no_live_record_is_ever_taken_for_deleted(
        steps in steps(),
        breaks in prop::collection::vec(0..6_usize, 0..12),
        can_get in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(steps, breaks, can_get));
    }
}
