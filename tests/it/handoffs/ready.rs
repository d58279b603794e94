//! The rules that stand ready in `config/full.yaml`, one for each break that loses customers, work as they stand there.

use serde_json::json;

use super::{cells, contact, emails, notes, pass, trial};
use crate::trial::Trial;

/// The blocks of these names, as they are in the file.
fn blocks(names: &[&str]) -> String {
    let full = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/full.yaml")).unwrap();
    let mut taken = String::new();
    let mut is_wanted = false;
    for line in full.lines() {
        if line.starts_with(|first: char| first.is_ascii_alphabetic()) {
            is_wanted = names.iter().any(|name| line.starts_with(&format!("{name}:")));
        }
        if is_wanted {
            taken += line;
            taken.push('\n');
        }
    }
    taken
}

/// The sandbox's tools and a partner's folder under the names of that file.
async fn as_in_the_file() -> Trial {
    let trial = trial().await;
    let drop = trial.dir.path().join("drop");
    std::fs::create_dir(&drop).unwrap();
    trial.reconfigure(|text| {
        let (tools, _) = text.split_once("handoffs:").unwrap();
        let tools = tools.replace("  marketing:\n", "  marketing-hub:\n");
        let (systems, rest) = tools.split_once("fields:").unwrap();
        let partner = format!(
            "  partner-list:\n    connector: csv\n    role: partner\n    write: false\n    config: {{folder: {}, settle: 0s, id: Number, \
             columns: {{email: E-mail, full_name: Name, tier: Class}}}}\n",
            drop.display()
        );
        let told = "alerts: {to: {ops: {slack: \"http://127.0.0.1:9/\"}}}\n";
        format!("{systems}{partner}fields:{rest}{told}{}", blocks(&["handoffs", "calendars"]))
    });
    trial
}

async fn begun(trial: &Trial, rule: &str) -> usize {
    cells(trial, rule, [0]).await.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ready_rule_of_each_break_notices_it() {
    let trial = as_in_the_file().await;
    let tools = &trial.sandbox;
    let address = json!([{"value": "ana@example.com", "primary": true, "label": "work"}]);
    let ana = tools
        .pipedrive
        .create(&json!({"name": "Ana Silva", "emails": address, "owner_id": 1}));
    let lead = tools.hubspot.create(&contact("lea@example.com", "lead"));
    pass(&trial).await;
    for rule in ["lead-to-sales", "owner-change", "partner-to-us", "into-sales"] {
        assert_eq!(begun(&trial, rule).await, 0, "{rule}");
    }
    // A person changes; marketing hands over; the partner's list says that a customer is ours; a customer comes to sales.
    tools.pipedrive.edit(&ana, &json!({"owner_id": 7})).unwrap();
    let qualified = json!({"lifecyclestage": "salesqualifiedlead"});
    tools.hubspot.edit(&lead, &qualified).unwrap();
    let list = "Number,E-mail,Name,Class\n1,pia@example.com,Pia Partner,direct\n2,per@example.com,Per Partner,served\n";
    std::fs::write(trial.dir.path().join("drop/list.csv"), list).unwrap();
    let deal = json!({"title": "Asked in a fair", "person_id": ana.parse::<u64>().unwrap(), "status": "open"});
    tools.pipedrive.add_activity("deal", &deal);
    for _ in 0..3 {
        pass(&trial).await;
    }
    assert_eq!(
        emails(&tools.pipedrive),
        ["ana@example.com", "lea@example.com", "pia@example.com"],
        "who is handed over is there, and nobody else"
    );
    for rule in ["lead-to-sales", "owner-change", "partner-to-us"] {
        let found = cells(&trial, rule, [4, 13]).await;
        let arrived = found
            .iter()
            .filter(|row| ["delivered", "accepted"].contains(&row[0].as_str()));
        assert_eq!((found.len(), arrived.count()), (1, 1), "{rule}: {found:?}");
    }
    assert!(begun(&trial, "into-sales").await >= 1);
    let written = notes(&trial);
    assert!(written.iter().any(|note| note.contains("owner: 1 → 7")), "{written:?}");
    assert!(
        written.iter().any(|note| note.contains("Asked in a fair")),
        "{written:?}"
    );
}
