//! A refusal is remembered by the customer herself: through records that are emptied or gone, through merges and splits.

use nivel::ledger::Ask;
use nivel::merge::Rules;
use nivel::model::{CustomerKey, FieldSpec, RecordId};
use nivel::sync::Word;

use crate::scene::{Scene, people};

const WORD: &str = "consent.email.marketing";

/// Every tool may be told that somebody refuses.
fn told(rules: &mut Rules) {
    let streams = rules
        .systems
        .values_mut()
        .flat_map(|system| system.streams.values_mut());
    for stream in streams {
        stream.spec.fields.insert(WORD.into(), FieldSpec::default());
        stream.allows_unsubscribing = true;
    }
}

/// One person in each of two tools, numbered like this, of whom the first tool's has refused.
async fn refused(refuser: &str, numbers: [usize; 2]) -> Scene {
    let scene = Scene::new(&["crm", "desk"]).await.with_rules(told).await;
    let scene = scene
        .with_rules(|rules| {
            let streams = rules
                .systems
                .values_mut()
                .flat_map(|system| system.streams.values_mut());
            streams.for_each(|stream| stream.create = nivel::merge::Create::Never);
        })
        .await;
    for (tool, number) in ["crm", "desk"].into_iter().zip(numbers) {
        let mut one = people(number..number + 1);
        one[0].0 = "1".into();
        scene.tool(tool).set_all(one);
    }
    scene.tool(refuser).change("1", WORD, "denied");
    sync(&scene).await;
    scene
}

async fn sync(scene: &Scene) {
    scene.engine.sync(Some("test")).await.unwrap();
    scene.later(60);
}

async fn key_of(scene: &Scene, record: &str) -> CustomerKey {
    let id: RecordId = record.parse().unwrap();
    scene.engine.ledger().heads(&[id]).await.unwrap()[0].unwrap().customer
}

/// What is known of the consent of whoever a record belongs to.
async fn word(scene: &Scene, record: &str) -> Option<String> {
    let ask = Ask {
        customers: [key_of(scene, record).await].into(),
        ..Ask::default()
    };
    let view = scene.engine.ledger().view(ask).await.unwrap();
    let golden = &view.customers.values().next().unwrap().golden;
    golden.text(WORD).map(str::to_owned)
}

#[tokio::test]
async fn a_refusal_outlives_the_field_and_the_record_that_said_it() {
    let scene = refused("crm", [1, 1]).await;
    assert_eq!(scene.tool("desk").says("1", WORD).as_deref(), Some("denied"));
    scene.tool("crm").clear("1", WORD);
    sync(&scene).await;
    assert_eq!(
        word(&scene, "desk/person/1").await.as_deref(),
        Some("denied"),
        "emptied"
    );
    scene.tool("crm").sweeps_by(10);
    scene.tool("crm").remove("1");
    sync(&scene).await;
    sync(&scene).await;
    assert_eq!(word(&scene, "desk/person/1").await.as_deref(), Some("denied"), "gone");
    scene.tool("desk").change("1", WORD, "granted");
    sync(&scene).await;
    assert_eq!(
        word(&scene, "desk/person/1").await.as_deref(),
        Some("granted"),
        "a newer proof"
    );
}

#[tokio::test]
async fn whoever_becomes_one_with_somebody_who_refused_has_refused() {
    for refuser in ["crm", "desk"] {
        let scene = refused(refuser, [1, 2]).await;
        // Nothing says it any more but what is remembered of her.
        scene.tool(refuser).clear("1", WORD);
        sync(&scene).await;
        let (left, right) = (
            key_of(&scene, "crm/person/1").await,
            key_of(&scene, "desk/person/1").await,
        );
        assert_ne!(left, right);
        scene.engine.decide(&Word::Merge { left, right }, "test").await.unwrap();
        sync(&scene).await;
        assert_eq!(
            word(&scene, "crm/person/1").await.as_deref(),
            Some("denied"),
            "{refuser}"
        );
    }
}

#[tokio::test]
async fn no_split_takes_a_refusal_back() {
    let scene = refused("crm", [1, 2]).await;
    assert_eq!(scene.tool("desk").says("1", WORD), None);
    let (left, right) = (
        key_of(&scene, "crm/person/1").await,
        key_of(&scene, "desk/person/1").await,
    );
    scene.engine.decide(&Word::Merge { left, right }, "test").await.unwrap();
    sync(&scene).await;
    assert_eq!(scene.tool("desk").says("1", WORD).as_deref(), Some("denied"));
    let apart = Word::Split {
        customer: left.min(right),
        records: vec!["desk/person/1".parse().unwrap()],
        yes: true,
    };
    let done = scene.engine.decide(&apart, "test").await.unwrap();
    assert!(done.done, "{done:?}");
    sync(&scene).await;
    assert_eq!(
        scene.tool("desk").says("1", WORD).as_deref(),
        Some("denied"),
        "{:?}",
        done.back
    );
}
