//! Subscriptions in the tools: declared, compared, put right.

use nivel::sandbox::ToolName;
use nivel::sync::{Step, Wish};

use super::{PUBLIC, Scene, stream};

fn wish(scene: &Scene, name: ToolName, topics: &[&str], together: bool) -> Wish {
    let url = format!("{PUBLIC}/webhooks/{}", stream(name).system);
    let connection = &scene.engine.connections()[&stream(name).system];
    let declared = connection.hook().unwrap().webhook.subscriptions.as_ref().unwrap();
    let is_wanted = |topic: &&str| declared.want.iter().any(|want| want == topic);
    assert!(
        topics.iter().all(is_wanted),
        "the shipped connector wants this: {:?}",
        declared.want
    );
    let all = topics.iter().map(|topic| (*topic).into());
    Wish {
        ours: url.clone(),
        url,
        groups: if together {
            vec![all.collect()]
        } else {
            all.map(|topic| [topic].into()).collect()
        },
        can_renew: false,
    }
}

const USERS: [&str; 4] = [
    "zen:event-type:user.created",
    "zen:event-type:user.deleted",
    "zen:event-type:user.external_id_changed",
    "zen:event-type:user.merged",
];

#[tokio::test(flavor = "multi_thread")]
async fn p20_subscriptions_are_listed_adopted_made_and_ours_removed() {
    let scene = Scene::new(71, 3).await;
    let cases = [
        (
            ToolName::Pipedrive,
            wish(&scene, ToolName::Pipedrive, &["*.person"], false),
        ),
        (ToolName::Zendesk, wish(&scene, ToolName::Zendesk, &USERS, true)),
    ];
    for (name, wish) in cases {
        let system = stream(name).system.clone();
        let keep = async |wish: &Wish| scene.engine.keep_subscriptions(&system, wish).await.unwrap();
        scene
            .tool(name)
            .hook_to("https://other.example/webhooks/sales", None, "theirs");
        let first = keep(&wish).await;
        assert!(
            matches!(first.as_slice(), [Step::Create(_), Step::Remove(_)]),
            "{name}: the one made by hand has no topics: {first:?}"
        );
        assert_eq!(keep(&wish).await, [], "{name}: what is there is adopted");
        let mut hooked = scene.tool(name).hooked();
        hooked.sort();
        let mut wanted = vec![wish.url.clone(), "https://other.example/webhooks/sales".to_owned()];
        wanted.sort();
        assert_eq!(hooked, wanted, "{name}: ours once, and the others are left alone");
        let nothing = Wish {
            groups: Vec::new(),
            ..wish.clone()
        };
        assert_eq!(keep(&nothing).await.len(), 1);
        assert_eq!(
            scene.tool(name).hooked(),
            ["https://other.example/webhooks/sales"],
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p35_a_subscription_that_the_tool_gave_up_is_made_again() {
    let scene = Scene::new(72, 3).await;
    let wish = wish(&scene, ToolName::Pipedrive, &["*.person"], false);
    scene.engine.keep_subscriptions("sales", &wish).await.unwrap();
    scene.tool(ToolName::Pipedrive).unhook();
    let steps = scene.engine.keep_subscriptions("sales", &wish).await.unwrap();
    assert!(
        matches!(steps.as_slice(), [Step::Create(_), Step::Remove(_)]),
        "{steps:?}"
    );
    assert_eq!(scene.engine.keep_subscriptions("sales", &wish).await.unwrap(), []);
}
