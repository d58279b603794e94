//! The shipped connectors of three other tools against sandboxes that the vendors' own clients understand (tests/clients).

use nivel::sandbox::{By, Options, ToolName};
use serde_json::json;

use crate::trial::Trial;

fn writes(trial: &Trial) -> usize {
    let by_api = |name: ToolName| {
        trial
            .sandbox
            .tool(name)
            .history()
            .iter()
            .filter(|event| event.by == By::Api)
            .count()
    };
    trial.roles.map(by_api).iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_are_in_all_three_and_the_second_sync_writes_nothing() {
    let trial = Trial::of(ToolName::OTHERS, Options::default(), 61, 60).await;
    trial.sync().await;
    let findings = trial.findings(0);
    assert!(findings.is_empty(), "{findings:#?}");
    let before = writes(&trial);
    assert!(before > 20, "{before}");
    let leads = trial.sandbox.salesforce.activities("Lead");
    assert!(leads.is_empty(), "nobody is made twice in one tool: {leads:#?}");
    trial.sync().await;
    assert_eq!(writes(&trial), before);
}

/// What a person changes in one of them is in the others after a sync, and nothing goes back.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_in_each_of_them_travels_to_the_others() {
    let trial = Trial::of(ToolName::OTHERS, Options::default(), 62, 12).await;
    trial.sync().await;
    let edits = [
        (
            ToolName::Mailchimp,
            json!({"merge_fields": {"PHONE": "+358 40 4960101"}}),
            "+358404960101",
        ),
        (ToolName::Salesforce, json!({"Phone": "+358404960102"}), "+358404960102"),
        (ToolName::Intercom, json!({"phone": "+358404960103"}), "+358404960103"),
    ];
    for (name, patch, phone) in edits {
        let email = "edited@nivel.test";
        let tool = trial.sandbox.tool(name);
        let known = tool
            .people()
            .into_iter()
            .find(|person| person.email.as_deref() == Some(email));
        let id = match known {
            Some(person) => person.id,
            None => tool.create(&json!({"email_address": email, "merge_fields": {"FNAME": "Ed", "LNAME": "Ited"}})),
        };
        tool.edit(&id, &patch).unwrap();
        trial.settle().await;
        for other in ToolName::OTHERS {
            let people = trial.sandbox.tool(other).people();
            let found: Vec<_> = people
                .iter()
                .filter(|person| person.email.as_deref() == Some(email))
                .collect();
            assert_eq!(found.len(), 1, "{other}: {found:#?}");
            let digits: String = found[0]
                .phone
                .iter()
                .flat_map(|phone| phone.chars())
                .filter(|c| !c.is_whitespace())
                .collect();
            assert_eq!(digits, phone, "{name} to {other}");
        }
    }
}

/// The people of the sales tool with this address, and its leads.
fn sales(trial: &Trial, email: &str) -> (usize, usize) {
    let tool = &trial.sandbox.salesforce;
    let people = tool
        .people()
        .into_iter()
        .filter(|person| person.email.as_deref() == Some(email));
    let leads = tool
        .activities("Lead")
        .into_iter()
        .filter(|lead| lead["Email"] == email);
    (people.count(), leads.count())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_a_lead_is_not_made_a_contact_as_well() {
    let trial = Trial::of(ToolName::OTHERS, Options::default(), 63, 8).await;
    let (early, late) = ("early@nivel.test", "late@nivel.test");
    let lead = |email: &str| json!({"LastName": "Lindqvist", "Company": "Globex", "Email": email});
    let member = |email: &str| json!({"email_address": email, "merge_fields": {"FNAME": "Li", "LNAME": "Lindqvist"}});
    trial.sandbox.salesforce.add_activity("Lead", &lead(early));
    trial.sandbox.mailchimp.create(&member(early));
    trial.settle().await;
    assert_eq!(sales(&trial, early), (0, 1));
    let supported = trial.sandbox.intercom.people();
    let supported = supported.iter().filter(|person| person.email.as_deref() == Some(early));
    assert_eq!(supported.count(), 1, "a lead is a customer like any other");

    // Typed in a moment ago: no list shows the lead yet, and the contact is about to be made.
    trial.reconfigure(|text| text.replacen("lag: 0s", "lag: 1h", 2).replacen("lag: 1h", "lag: 0s", 1));
    trial.sandbox.salesforce.add_activity("Lead", &lead(late));
    trial.sandbox.mailchimp.create(&member(late));
    trial.settle().await;
    assert_eq!(sales(&trial, late), (0, 1));
}
