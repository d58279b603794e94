//! The figures: how many customers pass each step, what keeps the others, and how long it takes, for people and for programs.

use std::process::Command;

use serde_json::json;

use super::{contact, pass, read, trial};
use crate::daemon::{daemon, free_port, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_funnel_tells_where_customers_stop_for_people_and_for_whoever_scrapes() {
    let trial = trial().await;
    let port = free_port();
    trial.reconfigure(|text| {
        text.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"))
            .replace("role: support\n", "role: support\n    write: false\n")
    });
    let tools = &trial.sandbox;
    let made = ["ana", "bo", "cy"].map(|name| tools.hubspot.create(&contact(&format!("{name}@example.com"), "lead")));
    pass(&trial).await;
    for id in &made[..2] {
        let qualified = json!({"lifecyclestage": "salesqualifiedlead"});
        tools.hubspot.edit(id, &qualified).unwrap();
    }
    pass(&trial).await;
    let person = tools.pipedrive.people()[0].id.parse::<u64>().unwrap();
    let won = json!({"title": "First", "person_id": person, "status": "won"});
    tools.pipedrive.add_activity("deal", &won);
    pass(&trial).await;

    let board = read(&trial, &["handoffs"]).await;
    let steps = board["funnel"].as_array().unwrap();
    let figures = |at: usize| ["reached", "began", "arrived"].map(|name| steps[at][name].as_u64().unwrap());
    assert_eq!((figures(0), figures(1)), ([2, 2, 2], [2, 1, 0]), "{board}");
    assert_eq!(steps[1]["kept"], json!({"read_only": 1}), "{board}");
    assert_eq!(steps[1]["after"], json!(["lead-to-sales"]), "{board}");
    for (view, said) in [
        ("--funnel", ["2 (100 %)", "1 (50 %)", "1 read_only"]),
        ("--weeks", ["lead-to-sales", "-W", "2 (100 %)"]),
    ] {
        let text = trial.nivel(&["handoffs", view], None).await;
        assert_eq!(text.status.code(), Some(3), "one of them is stopped");
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(said.iter().all(|said| text.contains(said)), "{text}");
    }

    let mut child = daemon(&trial);
    let address = format!("http://127.0.0.1:{port}/metrics");
    let wanted = [
        "nivel_handoffs{rule=\"lead-to-sales\",state=\"",
        "nivel_handoff_seconds{rule=\"lead-to-sales\",step=\"arrival\",quantile=\"0.95\"}",
        "nivel_handoffs_stopped{rule=\"deal-to-support\",reason=\"read_only\"} 1",
    ];
    until("the figures are there", async || {
        let Ok(answer) = reqwest::get(&address).await else {
            return false;
        };
        let text = answer.text().await.unwrap_or_default();
        wanted.iter().all(|wanted| text.contains(wanted))
    })
    .await;
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert!(ended.await.unwrap().success());
}
