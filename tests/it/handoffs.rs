//! Customers pass from marketing to sales to support, on the sandbox's tools, through the real binary.

mod activities;
mod figures;
mod funnel;
mod notes;
mod once;
mod ready;
mod reasons;
mod sharing;
mod stops;

use nivel::sandbox::{Fault, Kind};
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

/// Syncs until more than a second has passed: a tool that tells time in whole seconds lists nothing of the present one.
async fn pass(trial: &Trial) {
    let clock = &trial.sandbox.pipedrive.clock;
    let begun = clock.now_ms();
    while clock.now_ms() < begun + 2_100 {
        trial.nivel(&["sync", "--approve"], None).await;
    }
}

fn contact(email: &str, stage: &str) -> Value {
    let name = email.split('@').next().unwrap();
    let number = name
        .bytes()
        .fold(7_u64, |sum, byte| (sum * 131 + u64::from(byte)) % 10_000_000);
    json!({"email": email, "firstname": name, "lastname": "Silva", "phone": format!("+35840{number:07}"), "lifecyclestage": stage})
}

async fn read(trial: &Trial, arguments: &[&str]) -> Value {
    let output = trial.nivel(&[&["--output", "json"], arguments].concat(), None).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

/// State and proof of each passage of a rule, in the order in which they began.
async fn passages(trial: &Trial, rule: &str) -> Vec<Vec<String>> {
    cells(trial, rule, [4, 10, 6, 13]).await
}

/// These columns of every passage of a rule.
async fn cells<const N: usize>(trial: &Trial, rule: &str, columns: [usize; N]) -> Vec<Vec<String>> {
    let output = trial.nivel(&["handoffs", "--csv", "--rule", rule], None).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let rows = rows.records().map(Result::unwrap);
    rows.map(|row| columns.map(|at| row[at].to_owned()).to_vec()).collect()
}

fn emails(tool: &nivel::sandbox::Tool) -> Vec<String> {
    let mut emails: Vec<String> = tool.people().into_iter().filter_map(|person| person.email).collect();
    emails.sort();
    emails
}

/// Ana is handed over from the beginning.
async fn with_ana() -> (Trial, String) {
    let trial = trial().await;
    trial
        .sandbox
        .hubspot
        .create(&contact("ana@example.com", "salesqualifiedlead"));
    pass(&trial).await;
    assert_eq!(emails(&trial.sandbox.pipedrive), ["ana@example.com"]);
    let ana = trial.sandbox.pipedrive.people()[0].id.clone();
    (trial, ana)
}

async fn states(trial: &Trial, rule: &str) -> Vec<String> {
    let rows = passages(trial, rule).await;
    rows.into_iter().map(|row| row[0].clone()).collect()
}

fn arrived(record: &str, was_there: bool) -> Vec<String> {
    ["delivered", record, if was_there { "true" } else { "false" }, ""]
        .map(str::to_owned)
        .to_vec()
}

#[tokio::test]
async fn a_lead_arrives_in_sales_with_proof_and_is_taken_on() {
    let (trial, ana) = with_ana().await;
    let tools = &trial.sandbox;
    assert!(emails(&tools.zendesk).is_empty(), "only who is handed over is made");
    assert_eq!(
        passages(&trial, "lead-to-sales").await,
        [arrived(&format!("sales/person/{ana}"), true)]
    );
    let bo = tools.hubspot.create(&contact("bo@example.com", "lead"));
    pass(&trial).await;
    assert_eq!(emails(&tools.pipedrive), ["ana@example.com"]);
    tools
        .hubspot
        .edit(&bo, &json!({"lifecyclestage": "salesqualifiedlead"}))
        .unwrap();
    pass(&trial).await;
    assert_eq!(emails(&tools.pipedrive), ["ana@example.com", "bo@example.com"]);
    let board = read(&trial, &["handoffs"]).await;
    let lead = &board["rules"]["lead-to-sales"];
    let counts = (&lead["total"], &lead["delivered"], &lead["was_there"]);
    assert_eq!(counts, (&json!(2), &json!(2), &json!(1)), "{board}");
    assert_eq!(lead["to_delivery"]["count"], json!(1), "what was there is not measured");
    tools.pipedrive.edit(&ana, &json!({"owner_id": 7})).unwrap();
    pass(&trial).await;
    assert_eq!(
        states(&trial, "lead-to-sales").await,
        ["accepted", "delivered"],
        "somebody has taken Ana on"
    );
}

#[tokio::test]
async fn a_won_deal_brings_the_customer_to_support_and_one_timeline_tells_it() {
    let (trial, ana) = with_ana().await;
    let tools = &trial.sandbox;
    let person = ana.parse::<u64>().unwrap();
    let deal = tools
        .pipedrive
        .add_activity("deal", &json!({"title": "First", "person_id": person}));
    pass(&trial).await;
    assert!(
        passages(&trial, "deal-to-support").await.is_empty(),
        "the deal is not won"
    );
    assert!(tools.pipedrive.edit_activity("deal", &deal, &json!({"status": "won"})));
    pass(&trial).await;
    assert_eq!(emails(&tools.zendesk), ["ana@example.com"]);
    let user = tools.zendesk.people()[0].id.clone();
    assert_eq!(
        passages(&trial, "deal-to-support").await,
        [arrived(&format!("support/user/{user}"), false)]
    );

    let ticket = json!({"subject": "Help", "requester_id": user.parse::<u64>().unwrap(), "assignee_id": 3});
    tools.zendesk.add_activity("ticket", &ticket);
    let writes = || nivel::sandbox::ToolName::ALL.map(|name| tools.tool(name).history().len());
    let quiet = writes();
    pass(&trial).await;
    assert_eq!(writes(), quiet, "nothing is written twice");
    assert_eq!(
        states(&trial, "deal-to-support").await,
        ["accepted"],
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
    pass(&trial).await;
    tools
        .hubspot
        .edit(&ana, &json!({"lifecyclestage": "salesqualifiedlead"}))
        .unwrap();
    trial.reconfigure(|text| {
        text.replace("carry: [email, full_name, phone]", "carry: [email]")
            .replace("role: sales\n", "role: sales\n    write: false\n")
    });
    pass(&trial).await;
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
    pass(&trial).await;
    assert_eq!(passages(&trial, "lead-to-sales").await[0][0], "delivered");

    let bo = tools.hubspot.create(&contact("bo@example.com", "salesqualifiedlead"));
    pass(&trial).await;
    tools.hubspot.edit(&bo, &json!({"lifecyclestage": ""})).unwrap();
    pass(&trial).await;
    tools
        .hubspot
        .edit(&bo, &json!({"lifecyclestage": "salesqualifiedlead"}))
        .unwrap();
    pass(&trial).await;
    let states: Vec<String> = passages(&trial, "lead-to-sales")
        .await
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert!(states.iter().all(|state| state == "delivered"), "{states:?}");
}

/// The notes on a person of the sales tool.
fn notes(trial: &Trial) -> Vec<String> {
    let notes = trial.sandbox.pipedrive.activities("note");
    notes
        .iter()
        .map(|note| note["content"].as_str().unwrap().to_owned())
        .collect()
}

const OWNER: &str = "
handoffs:
  owner-change: {in: sales, when: \"changed(owner)\", within: 5m, note: open-items}
";

/// A person of the sales tool with an open deal and one that is won.
async fn with_owner() -> (Trial, String) {
    let trial = Trial::new(7, 0).await;
    trial.reconfigure(|text| format!("{text}{OWNER}"));
    let tools = &trial.sandbox;
    let emails = json!([{"value": "ana@example.com", "primary": true, "label": "work"}]);
    let ana = tools
        .pipedrive
        .create(&json!({"name": "Ana Silva", "emails": emails, "owner_id": 1}));
    let id = ana.parse::<u64>().unwrap();
    tools
        .pipedrive
        .add_activity("deal", &json!({"title": "Open one", "person_id": id}));
    tools
        .pipedrive
        .add_activity("deal", &json!({"title": "Won one", "person_id": id, "status": "won"}));
    pass(&trial).await;
    assert!(notes(&trial).is_empty());
    (trial, ana)
}

#[tokio::test]
async fn whoever_takes_over_finds_one_note_with_what_is_open() {
    let (trial, ana) = with_owner().await;
    trial.sandbox.pipedrive.edit(&ana, &json!({"owner_id": 7})).unwrap();
    pass(&trial).await;
    let written = notes(&trial);
    assert_eq!(written.len(), 1, "{written:?}");
    for said in ["owner: 1 → 7", "Open one: open", "[nivel h"] {
        assert!(written[0].contains(said), "{said}: {}", written[0]);
    }
    assert!(!written[0].contains("Won one"), "what is done is no open item");
    pass(&trial).await;
    assert_eq!(notes(&trial).len(), 1);
    assert_eq!(passages(&trial, "owner-change").await[0][0], "accepted");
}

/// She has arrived when the deal stands there, too: opened once, although the answer to it got lost.
#[tokio::test]
async fn what_a_handoff_opens_is_opened_once_and_belongs_to_the_proof() {
    let trial = trial().await;
    trial.reconfigure(|text| text.replacen("create: true", "create: true, open: deal", 1));
    let tools = &trial.sandbox;
    let contact_of = |name: &str, stage: &str| contact(&format!("{name}@example.com"), stage);
    let bo = tools.hubspot.create(&contact_of("bo", "lead"));
    tools.hubspot.create(&contact_of("old", "salesqualifiedlead"));
    pass(&trial).await;
    assert!(
        tools.pipedrive.activities("deal").is_empty(),
        "whoever was there is no news"
    );
    let lost = Fault::once(Kind::ResetAfter).method("POST").path("/api/v2/deals");
    tools.pipedrive.set_faults(vec![lost]);
    tools
        .hubspot
        .edit(&bo, &json!({"lifecyclestage": "salesqualifiedlead"}))
        .unwrap();
    pass(&trial).await;
    pass(&trial).await;
    let deals = tools.pipedrive.activities("deal");
    assert_eq!(deals.len(), 1, "{deals:?}");
    assert!(deals[0]["title"].as_str().unwrap().contains("[nivel h"), "{deals:?}");
    let opened = format!("sales/deal/{}", deals[0]["id"]);
    let mut told = cells(&trial, "lead-to-sales", [6, 15]).await;
    told.sort();
    assert_eq!(told, [["false", opened.as_str()], ["true", ""]]);
    let states = states(&trial, "lead-to-sales").await;
    assert!(
        states.iter().all(|state| state == "delivered" || state == "accepted"),
        "{states:?}"
    );
}

/// The process is killed before and after every effect of the sync that writes the note; the next one goes on.
#[tokio::test]
async fn no_note_is_written_twice_whenever_nivel_dies() {
    let (trial, ana) = with_owner().await;
    let mut changes = 0;
    for at in 1.. {
        changes += 1;
        trial
            .sandbox
            .pipedrive
            .edit(&ana, &json!({"owner_id": 100 + changes}))
            .unwrap();
        let mode = if at % 2 == 0 { "kill-before" } else { "kill-after" };
        let killed = trial.nivel(&["sync", "--approve"], Some(&format!("{mode}:{at}"))).await;
        for _ in 0..20 {
            pass(&trial).await;
            if passages(&trial, "owner-change")
                .await
                .iter()
                .all(|row| row[0] != "open")
            {
                break;
            }
        }
        let written = notes(&trial);
        assert_eq!(written.len(), changes, "effect {at}: {written:#?}");
        if killed.status.success() {
            assert!(at > 5, "the sweep met {at} effects");
            return;
        }
    }
}
