//! The scored match through the ledger: merges, questions, splits and what the tools say in the end.

use std::collections::BTreeSet;

use compact_str::CompactString;
use nivel::ledger::Ask;
use nivel::merge::{MatchRules, Rules};
use nivel::model::{CustomerKey, Fields, RecordId, Value};
use nivel::sync::Word;

use crate::scene::Scene;

fn scored(rules: &mut Rules) {
    rules.matching = Some(MatchRules::default());
}

/// A person of a tool, as `name|email|phone|company`.
pub(crate) fn person(remote: &str, text: &str) -> (CompactString, Fields) {
    let mut fields = Fields::default();
    for (name, text) in ["full_name", "email", "phone", "company"]
        .into_iter()
        .zip(text.split('|'))
    {
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
    scene.tool("crm").set_all(vec![person(
        "1",
        "Jürgen Quonetom|j.quonetom77@web.de|+49 151 2345678|Barstad GmbH",
    )]);
    scene.tool("desk").set_all(vec![person(
        "1",
        "Juergen Quonetom|juergen@barstad.de|0151 2345678|Barstad",
    )]);
    let summary = scene.engine.sync(Some("ana")).await.unwrap();
    assert!(summary.is_clean(), "{summary:?}");
    assert_eq!(summary.customers, 1, "{summary:?}");
    assert_eq!(
        scene.tool("crm").made() + scene.tool("desk").made(),
        0,
        "nobody is doubled"
    );
    let both: BTreeSet<String> = ["crm/person/1".to_owned(), "desk/person/1".to_owned()].into();
    assert_eq!(partition(&scene).await, [both].into());
    assert_eq!(
        key_of(&scene, "crm/person/1").await,
        key_of(&scene, "desk/person/1").await
    );
}

/// Two who look alike in name alone, and share nothing by which they could be reached.
async fn in_doubt() -> Scene {
    let scene = scene().await;
    scene.tool("crm").set_all(vec![person(
        "1",
        "Maria Belortsen|maria.belortsen@gmx.de|+49 170 7654321",
    )]);
    scene
        .tool("desk")
        .set_all(vec![person("1", "Maria Belortsen|belo@web.de|+49 171 1111222")]);
    let first = scene.engine.sync(Some("ana")).await.unwrap();
    assert_eq!((first.customers, first.written()), (2, 0), "{first:?}");
    scene
}

async fn questions(scene: &Scene) -> Vec<nivel::ledger::Review> {
    scene.engine.ledger().reviews(100).await.unwrap()
}

#[tokio::test]
async fn who_is_in_doubt_is_made_nowhere_until_somebody_has_said() {
    let scene = in_doubt().await;
    let open = questions(&scene).await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(open[0].evidence.contains("full name: equal"), "{open:?}");
    let word = Word::Review {
        id: open[0].id,
        same: false,
    };
    scene.later(60);
    let done = scene.engine.decide(&word, "ana").await.unwrap();
    assert!(done.done && done.customers.len() == 2 && done.pairs == 1, "{done:?}");
    assert!(questions(&scene).await.is_empty());
    let then = scene.engine.sync(None).await.unwrap();
    assert!(then.is_clean(), "{then:?}");
    assert_eq!((scene.tool("crm").made(), scene.tool("desk").made()), (1, 1));
    // What was said holds for ever: also for the next process.
    let scene = scene.with_rules(|_| ()).await;
    scene.later(60);
    let again = scene.engine.sync(None).await.unwrap();
    assert_eq!((again.customers, again.written()), (2, 0), "{again:?}");
    assert!(questions(&scene).await.is_empty());
    assert!(
        scene.engine.decide(&word, "ana").await.is_err(),
        "a question is answered once"
    );
}

#[tokio::test]
async fn an_accepted_question_makes_one_customer() {
    let scene = in_doubt().await;
    let older = key_of(&scene, "crm/person/1")
        .await
        .min(key_of(&scene, "desk/person/1").await);
    let id = questions(&scene).await[0].id;
    let word = Word::Review { id, same: true };
    let done = scene.engine.decide(&word, "ana").await.unwrap();
    assert_eq!(done.customers.keys().copied().collect::<Vec<_>>(), [older], "{done:?}");
    scene.later(60);
    let then = scene.engine.sync(None).await.unwrap();
    assert!(then.is_clean() && questions(&scene).await.is_empty(), "{then:?}");
    assert_eq!(scene.tool("crm").made() + scene.tool("desk").made(), 0);
    let scene = scene.with_rules(|_| ()).await;
    scene.engine.sync(None).await.unwrap();
    assert_eq!(partition(&scene).await.len(), 1);
}

/// Two records that the match joins, and who had keys of their own before.
async fn joined() -> (Scene, [CustomerKey; 2]) {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(vec![person(
        "1",
        "Karl Weissmoor|karl.weissmoor@web.de|+49 163 7773344|Feningham AG",
    )]);
    scene
        .tool("desk")
        .set_all(vec![person("1", "Karl Weismoor|kweis@gmx.de|+49 163 7773344|")]);
    scene.engine.sync(None).await.unwrap();
    let scene = scene
        .with_rules(|rules| {
            // So that joining shows in the tools.
            rules.matching = Some(MatchRules {
                overwrite: 900,
                ..MatchRules::default()
            });
        })
        .await;
    let keys = [
        key_of(&scene, "crm/person/1").await,
        key_of(&scene, "desk/person/1").await,
    ];
    (scene, keys)
}

fn split(customer: CustomerKey, yes: bool) -> Word {
    Word::Split {
        customer,
        records: vec!["desk/person/1".parse().unwrap()],
        yes,
    }
}

#[tokio::test]
async fn p41_a_split_gives_back_keys_and_values_and_is_never_undone_by_the_match() {
    let (scene, keys) = joined().await;
    assert_ne!(keys[0], keys[1], "they share no identifier");
    let before = |tool: &str| {
        let says = |field| scene.tool(tool).says("1", field);
        ["email", "phone", "full_name", "company"].map(says)
    };
    let (crm, desk) = (before("crm"), before("desk"));
    scene.later(60);
    let first = scene.engine.sync(Some("ana")).await.unwrap();
    assert_eq!(first.customers, 1, "{first:?}");
    assert_eq!(key_of(&scene, "desk/person/1").await, keys[0].min(keys[1]));
    assert_ne!(
        (before("crm"), before("desk")),
        (crm.clone(), desk.clone()),
        "it shows in the tools"
    );
    assert_eq!(
        scene.tool("crm").says("1", "email"),
        scene.tool("desk").says("1", "email")
    );

    scene.later(60);
    let planned = scene.engine.decide(&split(keys[0], false), "ana").await.unwrap();
    assert!(!planned.done && !planned.back.back.is_empty(), "{planned:?}");
    assert_eq!(partition(&scene).await.len(), 1, "a plan does nothing");

    let done = scene.engine.decide(&split(keys[0], true), "ana").await.unwrap();
    assert_eq!(done.back.back, planned.back.back);
    assert_eq!((before("crm"), before("desk")), (crm.clone(), desk.clone()), "{done:?}");
    assert_eq!(
        [
            key_of(&scene, "crm/person/1").await,
            key_of(&scene, "desk/person/1").await
        ],
        keys,
        "everybody has the key she had"
    );
    // The next passes, and the next process, know better than to join them again.
    for _ in 0..2 {
        scene.later(60);
        let again = scene.engine.sync(None).await.unwrap();
        assert!(again.is_clean() && again.customers == 2, "{again:?}");
    }
    let scene = scene.with_rules(|_| ()).await;
    scene.later(60);
    scene.tool("desk").change("1", "company", "Feningham AG");
    let again = scene.engine.sync(None).await.unwrap();
    assert_eq!(again.customers, 2, "{again:?}");
    assert_eq!((scene.tool("crm").made(), scene.tool("desk").made()), (1, 1));
    assert_eq!(scene.tool("crm").says("1", "email"), crm[0], "each goes her own way");
    assert_eq!(scene.tool("desk").says("1", "email"), desk[0]);

    // And what was split can be made one again.
    let [left, right] = keys;
    let merged = scene.engine.decide(&Word::Merge { left, right }, "ana").await.unwrap();
    assert_eq!(
        merged.customers.keys().copied().collect::<Vec<_>>(),
        [left.min(right)],
        "{merged:?}"
    );
}

#[tokio::test]
async fn what_the_match_takes_back_is_given_back_too() {
    let (scene, keys) = joined().await;
    scene.engine.sync(Some("ana")).await.unwrap();
    assert_eq!(partition(&scene).await.len(), 1);
    // It was somebody else all the time.
    scene.later(60);
    for (field, text) in [
        ("full_name", "Bruno Vandermolt"),
        ("email", "bruno@vandermolt.se"),
        ("phone", "+46 70 5551234"),
        ("company", "Oddvik AB"),
    ] {
        scene.tool("desk").change("1", field, text);
    }
    scene.engine.sync(None).await.unwrap();
    let apart = [
        key_of(&scene, "crm/person/1").await,
        key_of(&scene, "desk/person/1").await,
    ];
    assert_eq!(apart, keys, "evidence that goes takes the merge with it");
    assert_eq!(
        scene.tool("crm").says("1", "full_name").as_deref(),
        Some("Karl Weissmoor")
    );
    assert_eq!(
        scene.tool("crm").says("1", "email").as_deref(),
        Some("karl.weissmoor@web.de")
    );
}

#[tokio::test]
async fn p40_one_number_makes_no_one_customer_and_a_wrong_merge_is_undone_in_every_tool() {
    let scene = scene().await;
    scene.tool("crm").set_all(vec![person(
        "1",
        "Teresa Rosinworth|teresa@rosinworth.de|+49 160 2223344",
    )]);
    scene.tool("desk").set_all(vec![person(
        "1",
        "Bruno Vandermolt|bruno@vandermolt.de|+49 160 2223344",
    )]);
    let first = scene.engine.sync(Some("ana")).await.unwrap();
    assert_eq!(first.customers, 2, "{first:?}");
    let (teresa, bruno) = (
        key_of(&scene, "crm/person/1").await,
        key_of(&scene, "desk/person/1").await,
    );
    // Somebody errs.
    scene.later(60);
    let word = Word::Merge {
        left: teresa,
        right: bruno,
    };
    scene.engine.decide(&word, "bo").await.unwrap();
    scene.engine.sync(None).await.unwrap();
    let names = || ["crm", "desk"].map(|tool| scene.tool(tool).says("1", "full_name").unwrap());
    assert_eq!(names()[0], names()[1], "the mistake shows");
    scene.later(60);
    let word = Word::Split {
        customer: teresa,
        records: vec!["desk/person/1".parse().unwrap()],
        yes: true,
    };
    scene.engine.decide(&word, "ana").await.unwrap();
    scene.later(60);
    scene.engine.sync(None).await.unwrap();
    assert_eq!(names(), ["Teresa Rosinworth", "Bruno Vandermolt"]);
    assert_eq!(
        scene.tool("desk").says("1", "email").as_deref(),
        Some("bruno@vandermolt.de")
    );
    assert_eq!(key_of(&scene, "crm/person/1").await, teresa);
    assert_eq!(key_of(&scene, "desk/person/1").await, bruno);
}

#[tokio::test]
async fn what_is_not_quite_sure_fills_and_does_not_overwrite() {
    let scene = scene().await;
    scene.tool("crm").set_all(vec![person(
        "1",
        "Ole Fentrum|ole@fentrum.de|+49 163 8883345|Fentrum AG",
    )]);
    scene
        .tool("desk")
        .set_all(vec![person("1", "|of@gmx.de|+49 163 8883345|")]);
    let summary = scene.engine.sync(Some("ana")).await.unwrap();
    assert_eq!(summary.customers, 1, "{summary:?}");
    let desk = scene.tool("desk");
    assert_eq!(desk.says("1", "full_name").as_deref(), Some("Ole Fentrum"));
    assert_eq!(desk.says("1", "email").as_deref(), Some("of@gmx.de"));
    assert_eq!(scene.tool("crm").says("1", "email").as_deref(), Some("ole@fentrum.de"));
}

/// A person of her own for each number.
fn somebody(number: usize, mailbox: &str) -> String {
    let letters = |salt: usize| -> String {
        let mut state = (number + 1) * 7919 + salt * 104_729;
        let letter = |_| {
            state = state * 31 + 17;
            char::from(b'a' + u8::try_from(state / 7 % 26).unwrap())
        };
        (0..7).map(letter).collect()
    };
    let (given, family, firm) = (letters(1), letters(2), letters(3));
    format!(
        "{given} {family}|{mailbox}{number}@{family}.de|+49 151 {:07}|{firm} GmbH",
        1_000_000 + number * 4567
    )
}

/// A hundred people are known everywhere; then sixty of them are imported once more, by other mailboxes and without their
/// numbers.
async fn imported_twice(change: impl FnOnce(&mut Rules)) -> Scene {
    let people = |numbers: std::ops::Range<usize>, mailbox: &str| -> Vec<_> {
        numbers
            .map(|number| person(&number.to_string(), &somebody(number, mailbox)))
            .collect()
    };
    let scene = scene().await.with_rules(change).await;
    scene.tool("crm").set_all(people(0..100, "a"));
    scene.engine.sync(Some("ana")).await.unwrap();
    assert_eq!(scene.tool("desk").made(), 100);
    scene.later(60);
    let again = people(0..60, "b").into_iter().map(|(remote, mut fields)| {
        fields.0.remove("phone");
        (CompactString::from(format!("again{remote}")), fields)
    });
    scene.tool("crm").set_all(again.collect());
    scene
}

#[tokio::test]
async fn merges_are_held_by_the_admins_brake_and_not_by_the_usual_one() {
    let scene = imported_twice(|rules| {
        for system in rules.systems.values_mut() {
            system.brake.percent = 50;
        }
    })
    .await;
    assert_eq!(scene.engine.sync(None).await.unwrap().customers, 100);
}

#[tokio::test]
async fn a_mass_of_merges_is_held_until_it_was_approved() {
    let scene = imported_twice(|_| ()).await;
    let held = scene.engine.sync(None).await.unwrap();
    assert_eq!((held.customers, held.written()), (160, 0), "{held:?}");
    assert!(
        held.systems["desk"].problems[0]
            .message
            .starts_with("the scored match would change 60"),
        "{held:?}"
    );
    // The next process holds it as well.
    let scene = scene.with_rules(|_| ()).await;
    assert_eq!(scene.engine.sync(None).await.unwrap().customers, 160);
    scene.engine.approve("ana").await.unwrap();
    let then = scene.engine.sync(None).await.unwrap();
    assert_eq!(then.customers, 100, "{then:?}");
    assert_eq!(scene.tool("desk").made(), 100, "nobody is doubled");
}

#[tokio::test]
async fn evidence_is_told_for_those_who_are_one_and_those_who_are_not() {
    let (scene, _) = joined().await;
    scene.engine.sync(Some("ana")).await.unwrap();
    let ids: Vec<RecordId> = ["crm/person/1", "desk/person/1"].map(|id| id.parse().unwrap()).to_vec();
    let path = scene.engine.why(&ids).await.unwrap();
    assert_eq!((path.joints.len(), path.weakest), (1, Some(0)), "{path:?}");
    let why = path.joints[0].why.as_ref().unwrap();
    assert!(
        why.findings.iter().any(|finding| finding.what == "phone: equal"),
        "{why:?}"
    );
    assert!(path.margin.unwrap() > 1.0, "{path:?}");
    let scene = in_doubt().await;
    let pair = scene.engine.why_apart(&ids[0], &ids[1]).await.unwrap();
    assert!(pair.decided.is_none() && pair.shared.is_empty(), "{pair:?}");
    assert!(
        pair.why
            .unwrap()
            .findings
            .iter()
            .any(|finding| finding.what == "full name: equal")
    );
}

#[tokio::test]
async fn where_only_identifiers_join_a_customer_can_be_split_and_merged_too() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene
        .tool("crm")
        .set_all(vec![person("1", "Anna Berg|anna@berg.de|+49 160 2223344")]);
    scene.tool("desk").set_all(vec![person("1", "Anna Berg|anna@berg.de|")]);
    scene.engine.sync(Some("ana")).await.unwrap();
    let customer = key_of(&scene, "crm/person/1").await;
    assert_eq!(key_of(&scene, "desk/person/1").await, customer);
    assert_eq!(
        scene.tool("desk").says("1", "phone").as_deref(),
        Some("+49 160 2223344")
    );
    scene.later(60);
    scene.engine.decide(&split(customer, true), "ana").await.unwrap();
    assert_eq!(partition(&scene).await.len(), 2);
    assert_eq!(scene.tool("desk").says("1", "phone"), None, "it was hers, not his");
    let (left, right) = (
        key_of(&scene, "crm/person/1").await,
        key_of(&scene, "desk/person/1").await,
    );
    scene.engine.decide(&Word::Merge { left, right }, "ana").await.unwrap();
    assert_eq!(partition(&scene).await.len(), 1);
}

#[tokio::test]
async fn nothing_is_written_because_of_somebody_with_too_many_records_until_a_person_says_she_is_right() {
    let scene = Scene::new(&["crm", "desk"])
        .await
        .with_rules(|rules| rules.size_max = Some(3))
        .await;
    let one = |remote: &str, name: &str| person(remote, &format!("{name}|anna.berg@web.de|"));
    scene
        .tool("crm")
        .set_all(vec![one("1", "Anna Berg"), one("2", "Karl Lind")]);
    scene.tool("desk").set_all(vec![one("1", "Anna"), one("2", "Bo Ek")]);
    let first = scene.engine.sync(Some("ana")).await.unwrap();
    assert_eq!((first.customers, first.written()), (1, 0), "{first:?}");
    let ledger = scene.engine.ledger();
    let large = ledger.oversized(3, 10).await.unwrap();
    let key = key_of(&scene, "crm/person/1").await;
    assert_eq!(large, [(key, 4)]);
    assert!(ledger.oversized(4, 10).await.unwrap().is_empty());
    // Somebody looked: she is one.
    scene.engine.decide(&Word::Pin { customer: key }, "ana").await.unwrap();
    scene.later(60);
    let then = scene.engine.sync(None).await.unwrap();
    assert!(then.is_clean() && then.written() > 0, "{then:?}");
}
