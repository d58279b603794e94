//! The person outranks the process: what is erased is gone everywhere, and stays so.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use nivel::ledger::{NewEvent, Proof, StepState};
use nivel::model::{Clock, SystemClock};
use nivel::sandbox::ToolName;
use nivel::sync::Silent;
use nivel::sync::erase::{certified, markdown};
use secrecy::ExposeSecret;
use serde_json::json;

use crate::cache::server::Server;
use crate::scene::{Scene, people};
use crate::trial::Trial;

/// True when a file of this folder holds these bytes, in any case.
fn holds(folder: &Path, text: &str) -> Vec<String> {
    let needle = text.to_lowercase().into_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holds(&path, text));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap().to_ascii_lowercase();
        if bytes.windows(needle.len()).any(|window| window == needle) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// What one invented person is known by. Nobody else has it.
struct Her {
    email: String,
    name: String,
    phone: String,
}

impl Her {
    fn all(&self) -> [&str; 3] {
        [&self.email, &self.name, &self.phone]
    }
}

/// Three tools with one person in the first; after a sync she stands in all of them.
async fn known_everywhere(count: usize) -> (Trial, Her) {
    known_with_cache(count, "").await
}

/// The same with these words about the cache in the config.
async fn known_with_cache(count: usize, cache: &str) -> (Trial, Her) {
    let trial = Trial::new(21, count).await;
    trial.reconfigure(|text| format!("{cache}{text}"));
    trial.reconfigure(|text| text.replace("create: always", "create: always\n    allow: [erase]"));
    let her = Her {
        email: "zora.quillfeather@erase-me.example".to_owned(),
        name: "Zora Quillfeather".to_owned(),
        phone: "+358401239876".to_owned(),
    };
    seed_her(&trial, &her);
    trial.sync().await;
    for tool in ToolName::ALL {
        assert!(has(&trial, tool, &her), "{tool} does not know her");
    }
    (trial, her)
}

fn seed_her(trial: &Trial, her: &Her) {
    let body = json!({"email": her.email, "firstname": "Zora", "lastname": "Quillfeather", "phone": her.phone});
    let now = trial.sandbox.hubspot.clock.now_ms();
    trial.sandbox.hubspot.seed(&body, now - 5_000, now - 5_000);
}

fn has(trial: &Trial, tool: ToolName, her: &Her) -> bool {
    let people = trial.sandbox.tool(tool).people();
    let mut live = people.iter().filter(|person| !person.deleted);
    live.any(|person| {
        let text = person.raw.to_string().to_lowercase();
        her.all().iter().any(|value| text.contains(&value.to_lowercase()))
    })
}

fn assert_nothing_left(trial: &Trial, her: &Her, told: &str) {
    for value in her.all() {
        assert_eq!(
            holds(trial.dir.path(), value),
            Vec::<String>::new(),
            "{value} is still on the disk"
        );
        assert!(
            !told.to_lowercase().contains(&value.to_lowercase()),
            "{value} was told: {told}"
        );
    }
    for tool in ToolName::ALL {
        assert!(!has(trial, tool, her), "{tool} still has her");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_erasure_nothing_of_her_is_found_and_she_does_not_come_back() {
    let redis = Server::start(&["--rdbcompression", "no"]).await;
    let cache = redis
        .as_ref()
        .map(|redis| format!("cache: {{url: \"{}\"}}\n", redis.url().expose_secret()));
    let (trial, her) = known_with_cache(6, &cache.unwrap_or_default()).await;
    let is_cached = |text: &str| redis.as_ref().is_some_and(|redis| redis.holds(text));
    // Events about her that came in: one folded long ago, one that waits.
    let engine = trial.engine(Arc::new(SystemClock), Arc::new(Silent)).await;
    let event = |key: &str| NewEvent {
        system: "marketing".into(),
        stream: Some("contact".into()),
        key: Some(key.into()),
        received_at: SystemClock.now(),
        headers: "{}".to_owned(),
        body: json!({"note": her.email}).to_string().into_bytes(),
        problem: None,
    };
    engine.ledger().land(vec![event("a"), event("b")]).await.unwrap();
    drop(engine);
    let plan = trial.nivel(&["customer", "erase", &her.email], None).await;
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert_eq!(plan.matches("erased by Nivel").count(), 3, "{plan}");
    for tool in ToolName::ALL {
        assert!(has(&trial, tool, &her), "the plan alone must change nothing");
    }
    let export = trial.nivel(&["customer", "export", &her.email], None).await;
    let export = String::from_utf8_lossy(&export.stdout).into_owned();
    for value in [&her.email, &her.phone] {
        assert!(export.contains(value.as_str()), "{export}");
    }
    let done = trial
        .nivel(&["-vv", "customer", "erase", &her.email, "--yes"], None)
        .await;
    let told = [done.stdout, done.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert_eq!(done.status.code(), Some(0), "{told}");
    assert_nothing_left(&trial, &her, &told);
    assert!(!her.all().into_iter().any(is_cached), "Redis still has her");
    let certificate = trial.nivel(&["customer", "certificate", "1"], None).await;
    let certificate = String::from_utf8_lossy(&certificate.stdout).into_owned();
    assert!(
        certificate.contains("sales/person") && certificate.contains("destroys its own copy"),
        "{certificate}"
    );
    let before = trial.sync().await;
    // She is put into a tool again, as by an old list.
    seed_her(&trial, &her);
    let after = trial.sync().await;
    assert_eq!(before["customers"], after["customers"], "she was taken in again");
    assert_eq!(after["written"], 0, "{after}");
    for value in her.all() {
        assert_eq!(
            holds(trial.dir.path(), value),
            Vec::<String>::new(),
            "{value} came back to the disk"
        );
        assert!(!is_cached(value), "{value} came back to Redis");
    }
    assert!(!has(&trial, ToolName::Pipedrive, &her) && !has(&trial, ToolName::Zendesk, &her));
}

/// No erasure of so few objects has more effects.
const EFFECTS_MAX: u64 = 120;

/// Two at a time: as many as the machine has cores.
const AT_ONCE: usize = 2;

/// Dies at one effect of an erasure; then she is asked for once more, and a sync goes on with it. True when there was such
/// an effect.
async fn interrupted(fault: String) -> bool {
    let (trial, her) = known_everywhere(2).await;
    let erase = ["customer", "erase", &her.email, "--yes"];
    let first = trial.nivel(&erase, Some(&fault)).await;
    // If it is over already, nobody knows her any more; that is no mistake.
    trial.nivel(&erase, None).await;
    trial.sync().await;
    let list = trial.nivel(&["-o", "json", "customer", "erasures"], None).await;
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let all = list.as_array().unwrap();
    assert!(all.len() == 1 && !all[0]["done_at"].is_null(), "{fault}: {list:#}");
    assert_nothing_left(&trial, &her, "");
    !first.status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_effect_an_erasure_still_completes() {
    let faults = (1..EFFECTS_MAX).flat_map(|number| {
        let modes = ["kill-before", "kill-after"];
        modes.map(|mode| (number, format!("{mode}:{number}")))
    });
    let runs = stream::iter(faults).map(|(number, fault)| async move { (number, interrupted(fault).await) });
    let mut runs = std::pin::pin!(runs.buffered(AT_ONCE));
    while let Some((number, was_there)) = runs.next().await {
        if !was_there {
            assert!(
                number > 8,
                "only {number} effects: does everything go through the door?"
            );
            return;
        }
    }
    panic!("an erasure has more than {EFFECTS_MAX} effects");
}

#[tokio::test]
async fn what_nivel_cannot_erase_is_left_to_a_person_and_not_read_again() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..3));
    let engine = &scene.engine;
    engine.sync(Some("test")).await.unwrap();
    assert_eq!(scene.tool("desk").ids().len(), 3);
    let key = engine.ledger().search("p1@example.com", 2).await.unwrap()[0];
    let erasure = engine.erase(key, "test").await.unwrap().erasure.unwrap();
    assert!(erasure.purged_at.is_some() && erasure.done_at.is_none(), "{erasure:?}");
    assert!(
        erasure.steps.iter().all(|step| step.state == StepState::ByHand),
        "{erasure:?}"
    );
    assert!(markdown(&erasure).contains("by hand in the tool"));
    assert!(engine.ledger().search("p1@example.com", 2).await.unwrap().is_empty());
    // She still stands in both tools, and is read, and is not taken in.
    scene.later(60);
    let again = engine.sync(Some("test")).await.unwrap();
    assert_eq!((again.customers, again.written()), (2, 0), "{again:?}");
    let stream = nivel::model::StreamId::new("crm", "person");
    assert_eq!(engine.ledger().count_suppressed(&stream).await.unwrap(), 1);
    // A person removes her there; Nivel sees it.
    scene.tool("crm").remove("1");
    let there = scene.tool("desk").ids();
    let hers: Vec<_> = there
        .iter()
        .filter(|id| scene.tool("desk").says(id, "email").as_deref() == Some("p1@example.com"))
        .collect();
    scene.tool("desk").remove(hers[0]);
    scene.clock.advance(Duration::from_secs(3700));
    assert_eq!(engine.pursue_erasures().await.unwrap(), 0);
    let done = engine.ledger().erasures(false).await.unwrap().remove(0);
    assert!(done.done_at.is_some() && done.steps.iter().all(|step| step.proof == Some(Proof::Gone)));
    let text = serde_json::to_string(&certified(&done)).unwrap();
    assert!(!text.contains("p1@") && !text.contains("per_"), "{text}");
}

/// What hangs on an erased person alone is not read again either, and reconcile says whose objects are left out.
#[tokio::test(flavor = "multi_thread")]
async fn deals_of_an_erased_person_do_not_come_back() {
    let (trial, her) = known_everywhere(2).await;
    let tools = &trial.sandbox;
    // A rule reads activities with everything around them.
    let id_of = |email: &str| {
        let people = tools.pipedrive.people();
        let found = people
            .iter()
            .find(|one| !one.deleted && one.email.as_deref() == Some(email));
        found.map(|one| one.id.parse::<u64>().unwrap())
    };
    let hers = id_of(&her.email).unwrap();
    let deal = json!({"title": "Quillfeather deal", "person_id": hers});
    let number = tools.pipedrive.add_activity("deal", &deal);
    let until_known = async |wanted: bool| {
        for _ in 0..6 {
            trial.sync().await;
            if holds(trial.dir.path(), "quillfeather deal").is_empty() != wanted {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        false
    };
    assert!(until_known(true).await, "the deal was never read");
    let done = trial.nivel(&["customer", "erase", &her.email, "--yes"], None).await;
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stdout));
    assert_eq!(holds(trial.dir.path(), "quillfeather deal"), Vec::<String>::new());
    // The deal itself stays in the tool, and is changed there: it is read again.
    assert!(
        tools
            .pipedrive
            .edit_activity("deal", &number, &json!({"title": "Quillfeather deal, again"}))
    );
    for _ in 0..3 {
        trial.sync().await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert_eq!(holds(trial.dir.path(), "quillfeather deal"), Vec::<String>::new());
}

/// A tool tells of her once more, late: what it says is not kept in the inbox either. Somebody else's events stay.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_webhook_about_an_erased_person_leaves_nothing_in_the_inbox() {
    let (trial, her) = known_everywhere(2).await;
    let hers = {
        let people = trial.sandbox.hubspot.people();
        let found = people
            .into_iter()
            .find(|one| one.email.as_deref() == Some(her.email.as_str()));
        found.unwrap().id
    };
    let done = trial.nivel(&["customer", "erase", &her.email, "--yes"], None).await;
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stdout));
    let engine = trial.engine(Arc::new(SystemClock), Arc::new(Silent)).await;
    let event = |kind: &str, id: &str, value: &str| NewEvent {
        system: "marketing".into(),
        stream: Some("contact".into()),
        key: Some(format!("{kind} {id}")),
        received_at: SystemClock.now(),
        headers: "{}".to_owned(),
        body: json!({"subscriptionType": kind, "objectId": id.parse::<u64>().unwrap(), "propertyValue": value})
            .to_string()
            .into_bytes(),
        problem: None,
    };
    let events = vec![
        event("contact.propertyChange", &hers, &her.email),
        event("contact.deletion", &hers, &her.phone),
        event("contact.propertyChange", "999999", "somebody.else@example.com"),
    ];
    engine.ledger().land(events).await.unwrap();
    drop(engine);
    trial.sync().await;
    for value in her.all() {
        assert_eq!(holds(trial.dir.path(), value), Vec::<String>::new(), "{value} is kept");
    }
    assert_ne!(
        holds(trial.dir.path(), "somebody.else@example.com"),
        Vec::<String>::new()
    );
}

/// More erasures within a day than the brake lets through wait for a yes; who is to be erased is kept out meanwhile.
#[tokio::test]
async fn a_mass_of_erasures_is_held_until_somebody_says_yes() {
    let scene = Scene::new(&["crm", "desk"]).await;
    scene.tool("crm").set_all(people(0..9));
    let engine = &scene.engine;
    engine.sync(Some("test")).await.unwrap();
    scene.clock.advance(Duration::from_secs(60));
    let mut held = Vec::new();
    for number in 0..7 {
        let key = engine
            .ledger()
            .search(&format!("p{number}@example.com"), 2)
            .await
            .unwrap()[0];
        let plan = engine.erase(key, "test").await.unwrap();
        held.push(plan.is_held);
    }
    assert_eq!(held, [false, false, false, false, false, true, true]);
    let waits = engine.held_erasures().await.unwrap();
    assert_eq!(waits.len(), 2, "those that were begun before are done");
    let purged = |all: Vec<nivel::ledger::Erasure>| all.iter().filter(|one| one.purged_at.is_some()).count();
    assert_eq!(purged(engine.ledger().erasures(false).await.unwrap()), 5);
    engine.approve("test").await.unwrap();
    engine.pursue_erasures().await.unwrap();
    assert_eq!(purged(engine.ledger().erasures(false).await.unwrap()), 7);
}
