//! What support writes about a customer is not told in marketing's notes unless a line of the config says so.

use nivel::sandbox::{Options, ToolName};
use serde_json::json;

use super::{notes, pass};
use crate::trial::Trial;

const RULE: &str = "
handoffs:
  owner-change: {in: marketing, when: \"changed(owner)\", within: 5m, note: timeline}
";

#[tokio::test(flavor = "multi_thread")]
async fn p53_a_note_for_marketing_is_silent_about_support_until_a_line_says_so() {
    let roles = [ToolName::Pipedrive, ToolName::Hubspot, ToolName::Zendesk];
    let trial = Trial::of(roles, Options::default(), 7, 0).await;
    trial.reconfigure(|text| format!("{text}{RULE}"));
    let tools = &trial.sandbox;
    let emails = json!([{"value": "ana@example.com", "primary": true, "label": "work"}]);
    let ana = tools
        .pipedrive
        .create(&json!({"name": "Ana Silva", "emails": emails, "owner_id": 1}));
    pass(&trial).await;
    let person = ana.parse::<u64>().unwrap();
    let user = tools.zendesk.people()[0].id.parse::<u64>().unwrap();
    let deal = json!({"title": "Spring campaign", "person_id": person});
    tools.pipedrive.add_activity("deal", &deal);
    let ticket = json!({"subject": "Furious about a bill", "requester_id": user});
    tools.zendesk.add_activity("ticket", &ticket);
    pass(&trial).await;

    tools.pipedrive.edit(&ana, &json!({"owner_id": 7})).unwrap();
    pass(&trial).await;
    let told = notes(&trial);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("Spring campaign") && !told[0].contains("Furious"),
        "{told:?}"
    );

    trial.reconfigure(|text| format!("{text}share: {{notes: [marketing, sales, support]}}\n"));
    trial.sync().await;
    pass(&trial).await;
    tools.pipedrive.edit(&ana, &json!({"owner_id": 8})).unwrap();
    pass(&trial).await;
    let told = notes(&trial);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[1].contains("Furious"), "{told:?}");
}
