//! Customers pass from marketing to sales to support, on the sandbox's tools, through the real binary.

use serde_json::{Value, json};

use crate::trial::Trial;

const RULES: &str = "
handoffs:
  lead-to-sales: {from: marketing, when: \"lifecycle == 'qualified'\", to: sales, carry: [email, full_name, phone], within: 15m, create: true}
  deal-to-support: {from: sales, when: \"deal.status == 'won'\", to: support, carry: [email], within: 1h, create: true}
";

async fn trial() -> Trial {
    let trial = Trial::new(7, 0).await;
    let by_handoff = |text: String| {
        let (head, tail) = text.split_once("  sales:").unwrap();
        format!(
            "{head}  sales:{}{RULES}",
            tail.replace("create: always", "create: handoff")
        )
    };
    trial.reconfigure(by_handoff);
    trial
}

fn contact(email: &str, stage: &str) -> Value {
    json!({"email": email, "firstname": "Ana", "lastname": "Silva", "phone": "+358401234567", "lifecyclestage": stage})
}

async fn read(trial: &Trial, arguments: &[&str]) -> Value {
    let output = trial.nivel(&[&["--output", "json"], arguments].concat(), None).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

/// State and proof of each passage of a rule, in the order in which they began.
async fn passages(trial: &Trial, rule: &str) -> Vec<Vec<String>> {
    let output = trial.nivel(&["handoffs", "--csv", "--rule", rule], None).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let rows = rows.records().map(Result::unwrap);
    rows.map(|row| [4, 10, 6, 13].map(|at| row[at].to_owned()).to_vec())
        .collect()
}

fn emails(tool: &nivel::sandbox::Tool) -> Vec<String> {
    let mut emails: Vec<String> = tool.people().into_iter().filter_map(|person| person.email).collect();
    emails.sort();
    emails
}

#[tokio::test]
async fn a_lead_arrives_in_sales_and_with_a_won_deal_in_support_and_both_are_proven() {
    let trial = trial().await;
    let tools = &trial.sandbox;
    tools.hubspot.create(&contact("ana@example.com", "salesqualifiedlead"));
    let bo = tools.hubspot.create(&contact("bo@example.com", "lead"));
    trial.sync().await;
    assert_eq!(
        emails(&tools.pipedrive),
        ["ana@example.com"],
        "only who is handed over is made"
    );
    assert!(emails(&tools.zendesk).is_empty());
    let ana = tools.pipedrive.people()[0].id.clone();
    let was_there = vec![vec![
        "delivered".to_owned(),
        format!("sales/person/{ana}"),
        "true".into(),
        String::new(),
    ]];
    assert_eq!(passages(&trial, "lead-to-sales").await, was_there);

    tools
        .hubspot
        .edit(&bo, &json!({"lifecyclestage": "salesqualifiedlead"}))
        .unwrap();
    let deal = tools.pipedrive.add_activity(
        "deal",
        &json!({"title": "First", "person_id": ana.parse::<u64>().unwrap()}),
    );
    trial.sync().await;
    assert_eq!(emails(&tools.pipedrive), ["ana@example.com", "bo@example.com"]);
    let board = read(&trial, &["handoffs"]).await;
    let lead = &board["rules"]["lead-to-sales"];
    assert_eq!(
        (&lead["total"], &lead["delivered"], &lead["was_there"]),
        (&json!(2), &json!(2), &json!(1)),
        "{board}"
    );
    assert_eq!(lead["to_delivery"]["count"], json!(1), "what was there is not measured");
    assert_eq!(board["rules"]["deal-to-support"], Value::Null, "the deal is not won");

    assert!(tools.pipedrive.edit_activity("deal", &deal, &json!({"status": "won"})));
    tools.pipedrive.edit(&ana, &json!({"owner_id": 7})).unwrap();
    trial.sync().await;
    assert_eq!(emails(&tools.zendesk), ["ana@example.com"]);
    let user = tools.zendesk.people()[0].id.clone();
    let arrived = vec![vec![
        "delivered".to_owned(),
        format!("support/user/{user}"),
        "false".into(),
        String::new(),
    ]];
    assert_eq!(passages(&trial, "deal-to-support").await, arrived);
    let states: Vec<String> = passages(&trial, "lead-to-sales")
        .await
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert_eq!(states, ["accepted", "delivered"], "somebody has taken Ana on");

    tools.zendesk.add_activity(
        "ticket",
        &json!({"subject": "Help", "requester_id": user.parse::<u64>().unwrap(), "assignee_id": 3}),
    );
    let quiet: Vec<usize> = nivel::sandbox::ToolName::ALL
        .iter()
        .map(|name| tools.tool(*name).history().len())
        .collect();
    trial.sync().await;
    let after: Vec<usize> = nivel::sandbox::ToolName::ALL
        .iter()
        .map(|name| tools.tool(*name).history().len())
        .collect();
    assert_eq!(after, quiet, "nothing is written twice");
    assert_eq!(
        passages(&trial, "deal-to-support").await[0][0],
        "accepted",
        "the ticket has an owner"
    );

    let story = trial.nivel(&["customer", "timeline", "ana@example.com"], None).await;
    let story = String::from_utf8(story.stdout).unwrap();
    for said in [
        "First (won)",
        "Help (new)",
        "lead-to-sales began",
        "deal-to-support arrived as support/user/",
    ] {
        assert!(story.contains(said), "{said}:\n{story}");
    }
}

#[tokio::test]
async fn a_handoff_that_the_target_refuses_stops_with_a_reason_and_goes_on_when_the_cause_is_gone() {
    let trial = trial().await;
    let tools = &trial.sandbox;
    let ana = tools.hubspot.create(&contact("ana@example.com", "lead"));
    trial.sync().await;
    tools
        .hubspot
        .edit(&ana, &json!({"lifecyclestage": "salesqualifiedlead"}))
        .unwrap();
    trial.reconfigure(|text| {
        text.replace("carry: [email, full_name, phone]", "carry: [email]")
            .replace("role: sales\n", "role: sales\n    write: false\n")
    });
    trial.nivel(&["sync", "--approve"], None).await;
    let stopped = passages(&trial, "lead-to-sales").await;
    assert_eq!(
        (stopped[0][0].as_str(), stopped[0][3].as_str()),
        ("stopped", "read_only"),
        "{stopped:?}"
    );
    let list = trial.nivel(&["handoffs", "--stopped"], None).await;
    assert_eq!(list.status.code(), Some(3));
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains("ana@example.com") && list.contains("admin"), "{list}");

    trial.reconfigure(|text| text.replace("    write: false\n", ""));
    trial.nivel(&["sync", "--approve"], None).await;
    assert_eq!(passages(&trial, "lead-to-sales").await[0][0], "delivered");

    let bo = tools.hubspot.create(&contact("bo@example.com", "salesqualifiedlead"));
    trial.sync().await;
    tools.hubspot.edit(&bo, &json!({"lifecyclestage": ""})).unwrap();
    trial.sync().await;
    tools
        .hubspot
        .edit(&bo, &json!({"lifecyclestage": "salesqualifiedlead"}))
        .unwrap();
    trial.sync().await;
    let states: Vec<String> = passages(&trial, "lead-to-sales")
        .await
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert!(states.iter().all(|state| state == "delivered"), "{states:?}");
}
