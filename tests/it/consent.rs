//! Whoever took a consent back in one tool has done so in all of them, by each tool's own call; nothing makes it looser but
//! a newer proof.

mod remembered;

use serde_json::{Value, json};

use crate::trial::Trial;

const ANA: &str = "ana@example.com";

/// Ana in marketing and in sales, and whether Nivel may unsubscribe there.
async fn trial(allowed: bool) -> (Trial, String, String) {
    let trial = Trial::new(5, 0).await;
    if allowed {
        trial.reconfigure(|text| text.replace("create: always", "create: always\n    allow: [unsubscribe]"));
    }
    let tools = &trial.sandbox;
    let contact = tools
        .hubspot
        .create(&json!({"email": ANA, "firstname": "Ana", "lastname": "Silva"}));
    let emails = json!([{"value": ANA, "primary": true, "label": "work"}]);
    let person = tools
        .pipedrive
        .create(&json!({"name": "Ana Silva", "emails": emails, "marketing_status": "no_consent"}));
    trial.settle().await;
    (trial, contact, person)
}

fn is_out(trial: &Trial, contact: &str) -> bool {
    let person = trial.sandbox.hubspot.person(contact).unwrap();
    person.raw["hs_email_optout"] == "true"
}

fn status(trial: &Trial, person: &str) -> Value {
    trial.sandbox.pipedrive.person(person).unwrap().raw["marketing_status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn p53_a_refusal_in_one_tool_is_told_to_the_others_by_their_own_calls() {
    let (trial, contact, person) = trial(true).await;
    let tools = &trial.sandbox;
    assert!(!is_out(&trial, &contact), "nobody has refused anything yet");
    tools
        .pipedrive
        .edit(&person, &json!({"marketing_status": "unsubscribed"}))
        .unwrap();
    trial.settle().await;
    assert!(is_out(&trial, &contact), "her refusal did not reach marketing");
    let quiet = tools.hubspot.history().len();
    trial.settle().await;
    assert_eq!(tools.hubspot.history().len(), quiet, "told once");

    // That the flag is taken away proves nothing: it is set again, and sales keeps it.
    tools
        .hubspot
        .edit(&contact, &json!({"hs_email_optout": "false"}))
        .unwrap();
    trial.settle().await;
    assert!(is_out(&trial, &contact));
    assert_eq!(status(&trial, &person), "unsubscribed");

    // An undo takes back nobody's refusal.
    let undone = trial
        .nivel(
            &[
                "undo",
                "--since",
                "2020-01-01T00:00:00Z",
                "--system",
                "marketing",
                "--yes",
            ],
            None,
        )
        .await;
    let undone = String::from_utf8_lossy(&undone.stdout).into_owned();
    assert!(undone.contains("nobody's refusal"), "{undone}");
    assert!(is_out(&trial, &contact));

    // She agrees again, in a tool that can prove it. That is for the other tool to ask for, and not written by Nivel.
    tools
        .pipedrive
        .edit(&person, &json!({"marketing_status": "subscribed"}))
        .unwrap();
    trial.settle().await;
    assert_eq!(status(&trial, &person), "subscribed", "a newer proof holds");
    assert!(is_out(&trial, &contact), "a grant is never written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_marketing_reaches_sales_and_a_call_whose_answer_got_lost_is_made_again() {
    let (trial, contact, person) = trial(true).await;
    let tools = &trial.sandbox;
    tools
        .hubspot
        .edit(&contact, &json!({"hs_email_optout": "true"}))
        .unwrap();
    trial.settle().await;
    assert_eq!(status(&trial, &person), "unsubscribed");

    let bo = tools
        .hubspot
        .create(&json!({"email": "bo@example.com", "firstname": "Bo", "lastname": "Li"}));
    trial.settle().await;
    let people = tools.pipedrive.people();
    let in_sales = people
        .iter()
        .find(|one| one.email.as_deref() == Some("bo@example.com"))
        .unwrap();
    tools.hubspot.set_faults(vec![
        nivel::sandbox::Fault::once(nivel::sandbox::Kind::ResetBefore).path("/communication-preferences"),
    ]);
    tools
        .pipedrive
        .edit(
            &in_sales.id,
            &json!({"name": "Bo Lima", "marketing_status": "unsubscribed"}),
        )
        .unwrap();
    for _ in 0..10 {
        trial.settle().await;
        if is_out(&trial, &bo) {
            break;
        }
    }
    assert!(is_out(&trial, &bo), "the call was not made again");
    let name = tools.hubspot.person(&bo).unwrap().raw["lastname"].clone();
    assert_eq!(name, "Lima", "what was to be written beside the call");
}

/// Somebody imports a list of refusals by mistake: who was taken off a list for good is not put back by an undo.
#[tokio::test(flavor = "multi_thread")]
async fn p53_a_mass_of_refusals_is_held_until_somebody_said_yes() {
    let (trial, ..) = trial(true).await;
    let tools = &trial.sandbox;
    for number in 0..60 {
        let email = format!("walker{number}@example.com");
        let person = json!({"email": email, "firstname": format!("Walker{number}"), "lastname": "Silva"});
        tools.hubspot.create(&person);
    }
    trial.settle().await;
    let out = || {
        let people = tools.hubspot.people().into_iter();
        people.filter(|person| is_out(&trial, &person.id)).count()
    };
    assert_eq!((tools.pipedrive.people().len(), out()), (61, 0));
    for person in tools.pipedrive.people() {
        let refuses = json!({"marketing_status": "unsubscribed"});
        tools.pipedrive.edit(&person.id, &refuses).unwrap();
    }
    let clock = &tools.pipedrive.clock;
    let edited = clock.now_ms();
    while clock.now_ms() < edited + 2_100 {
        trial.nivel(&["sync"], None).await;
    }
    assert_eq!(out(), 0, "held");
    let plan = trial.nivel(&["plan"], None).await;
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(plan.contains("61"), "{plan}");
    trial.sync().await;
    assert_eq!(out(), 61);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_admins_word_nobody_is_unsubscribed() {
    let (trial, contact, person) = trial(false).await;
    trial
        .sandbox
        .pipedrive
        .edit(&person, &json!({"marketing_status": "unsubscribed"}))
        .unwrap();
    trial.settle().await;
    assert!(!is_out(&trial, &contact));
}
