//! What hangs on a customer in all tools stands in one timeline, and what is gone there is gone here.

use serde_json::{Value, json};

use super::{contact, pass, states, trial};
use crate::trial::Trial;

/// The timeline of somebody as it is printed.
async fn timeline(trial: &Trial, who: &str) -> String {
    let story = trial
        .nivel(&["customer", "timeline", who, "--last", "2000"], None)
        .await;
    String::from_utf8(story.stdout).unwrap()
}

#[track_caller]
fn check(story: &str, said: &[&str], unsaid: &[&str]) {
    for said in said {
        assert!(story.contains(said), "{said}:\n{story}");
    }
    for unsaid in unsaid {
        assert!(!story.contains(unsaid), "{unsaid}:\n{story}");
    }
}

/// Ana and Bo are contacts in marketing and persons in sales.
async fn with_both() -> (Trial, [u64; 2], [u64; 2]) {
    let trial = trial().await;
    let tools = &trial.sandbox;
    let made = ["ana", "bo"].map(|name| {
        let contact = contact(&format!("{name}@example.com"), "salesqualifiedlead");
        tools.hubspot.create(&contact).parse().unwrap()
    });
    pass(&trial).await;
    let person = |email: &str| {
        let people = tools.pipedrive.people();
        let found = people.iter().find(|person| person.email.as_deref() == Some(email));
        found.unwrap().id.parse().unwrap()
    };
    let persons = [person("ana@example.com"), person("bo@example.com")];
    (trial, made, persons)
}

#[tokio::test]
async fn one_timeline_tells_of_deals_calls_meetings_and_tasks_in_all_tools() {
    let (trial, [ana, bo], [_, bo_there]) = with_both().await;
    let tools = &trial.sandbox;
    let deal = tools.hubspot.add_activity(
        "deal",
        &json!({"dealname": "Annual plan", "dealstage": "closedwon", "contacts": [ana, bo]}),
    );
    let at = "2026-01-02T10:00:00.000Z";
    let call = json!({"hs_call_title": "Asked for a price", "hs_call_status": "COMPLETED", "hs_timestamp": at, "contacts": [ana]});
    tools.hubspot.add_activity("call", &call);
    let meeting =
        json!({"hs_meeting_title": "Kickoff", "hs_meeting_outcome": "NO_SHOW", "hs_timestamp": at, "contacts": [bo]});
    tools.hubspot.add_activity("meeting", &meeting);
    tools
        .hubspot
        .add_activity("call", &json!({"hs_call_title": "Nobody's call", "hs_timestamp": at}));
    let task = json!({"subject": "Send the offer", "participants": [{"person_id": bo_there, "primary": true}]});
    tools.pipedrive.add_activity("activity", &task);
    pass(&trial).await;
    let (story, other) = (
        timeline(&trial, "ana@example.com").await,
        timeline(&trial, "bo@example.com").await,
    );
    check(
        &story,
        &["Annual plan (won)", "Asked for a price (completed)"],
        &["Kickoff", "Send the offer", "Nobody's"],
    );
    check(
        &other,
        &["Annual plan (won)", "Kickoff (no_show)", "Send the offer (open)"],
        &["Asked", "Nobody's"],
    );
    let moved = json!({"dealname": "Annual plan, moved", "dealstage": "closedlost", "contacts": [bo]});
    assert!(tools.hubspot.edit_activity("deal", &deal, &moved));
    pass(&trial).await;
    check(&timeline(&trial, "ana@example.com").await, &["Asked"], &["Annual plan"]);
    check(
        &timeline(&trial, "bo@example.com").await,
        &["Annual plan, moved (lost)"],
        &[],
    );
    assert!(tools.hubspot.delete_activity("deal", &deal));
    trial.reconfigure(|text| text.replace("role: marketing\n", "role: marketing\n    full: 1s\n"));
    pass(&trial).await;
    check(
        &timeline(&trial, "bo@example.com").await,
        &["Annual plan, moved was deleted"],
        &[],
    );
}

/// A deal is joined to somebody else, and its own time does not move: what reads only changes never sees it, the sweep does.
#[tokio::test]
async fn p15_a_deal_that_is_joined_to_somebody_else_without_a_change_is_seen_by_a_sweep() {
    let (trial, [ana, bo], _) = with_both().await;
    let tools = &trial.sandbox;
    let plan = json!({"dealname": "Annual plan", "dealstage": "closedwon", "contacts": [ana]});
    let deal = tools.hubspot.add_activity("deal", &plan);
    pass(&trial).await;
    check(&timeline(&trial, "ana@example.com").await, &["Annual plan (won)"], &[]);
    assert!(tools.hubspot.associate("deal", &deal, &json!({ "contacts": [bo] })));
    trial.reconfigure(|text| text.replace("role: marketing\n", "role: marketing\n    full: 1s\n"));
    pass(&trial).await;
    check(&timeline(&trial, "ana@example.com").await, &[], &["Annual plan"]);
    check(&timeline(&trial, "bo@example.com").await, &["Annual plan (won)"], &[]);
}

/// More deals than a page of the search and a request for associations hold, and a deal with more contacts than an answer.
#[tokio::test]
async fn every_deal_finds_its_contacts_over_the_edges_of_pages() {
    let trial = Trial::new(7, 0).await;
    let tools = &trial.sandbox;
    let contacts: Vec<u64> = (0..510)
        .map(|number| {
            let contact = contact(&format!("c{number}@example.com"), "lead");
            tools.hubspot.create(&contact).parse().unwrap()
        })
        .collect();
    for number in 0..230 {
        let deal = json!({"dealname": format!("Deal no. {number}."), "contacts": [contacts[0]]});
        tools.hubspot.add_activity("deal", &deal);
    }
    tools
        .hubspot
        .add_activity("deal", &json!({"dealname": "Everybody's", "contacts": contacts}));
    trial.reconfigure(|text| text.replace("create: always", "create: never"));
    trial.sync().await;
    let story = timeline(&trial, "c0@example.com").await;
    for number in 0..230 {
        check(&story, &[&format!("Deal no. {number}.")], &[]);
    }
    check(
        &timeline(&trial, "c509@example.com").await,
        &["Everybody's"],
        &["Deal no."],
    );
}

/// The sales tool lists no deal that was deleted; nobody tells of it, and its id leads to it all the same.
#[tokio::test]
async fn a_deal_that_vanished_from_the_list_is_noticed_by_a_sweep_and_ends_its_handoff() {
    let (trial, _, [ana, _]) = with_both().await;
    let tools = &trial.sandbox;
    trial.reconfigure(|text| text.replace("role: support\n", "role: support\n    write: false\n"));
    let won = |title: &str| json!({"title": title, "person_id": ana, "status": "won"});
    let deal = tools.pipedrive.add_activity("deal", &won("Mistaken"));
    tools.pipedrive.add_activity("deal", &won("Real"));
    pass(&trial).await;
    assert_eq!(states(&trial, "deal-to-support").await, ["stopped", "stopped"]);
    assert!(tools.pipedrive.delete_activity("deal", &deal));
    pass(&trial).await;
    check(
        &timeline(&trial, "ana@example.com").await,
        &["Mistaken (won)"],
        &["was deleted"],
    );
    trial.reconfigure(|text| text.replace("role: sales\n", "role: sales\n    full: 1s\n"));
    pass(&trial).await;
    check(
        &timeline(&trial, "ana@example.com").await,
        &["Mistaken was deleted", "Real (won)"],
        &["Real was deleted"],
    );
    let mut states = states(&trial, "deal-to-support").await;
    states.sort();
    assert_eq!(states, ["cancelled", "stopped"]);
}

/// Support knew her before, and somebody had a ticket of hers: that is nobody's taking on of what comes now.
#[tokio::test]
async fn an_old_ticket_takes_nobody_on() {
    let (trial, _, [ana, _]) = with_both().await;
    let tools = &trial.sandbox;
    let user = tools
        .zendesk
        .create(&json!({"name": "Ana Silva", "email": "ana@example.com"}));
    let mut ticket = json!({"subject": "Long ago", "requester_id": user.parse::<u64>().unwrap(), "assignee_id": 3});
    tools.zendesk.add_activity("ticket", &ticket);
    pass(&trial).await;
    check(&timeline(&trial, "ana@example.com").await, &["Long ago (new)"], &[]);
    let won = json!({"title": "First", "person_id": ana, "status": "won"});
    tools.pipedrive.add_activity("deal", &won);
    pass(&trial).await;
    assert_eq!(states(&trial, "deal-to-support").await, ["delivered"]);
    ticket["subject"] = json!("About the order");
    tools.zendesk.add_activity("ticket", &ticket);
    pass(&trial).await;
    assert_eq!(states(&trial, "deal-to-support").await, ["accepted"]);
}

#[tokio::test]
async fn a_stream_that_is_not_read_does_not_exist() {
    let trial = Trial::new(7, 0).await;
    let tools = &trial.sandbox;
    let ana: Value = tools.hubspot.create(&contact("ana@example.com", "lead")).into();
    tools
        .hubspot
        .add_activity("deal", &json!({"dealname": "Unseen", "contacts": [ana]}));
    trial.reconfigure(|text| {
        text.replace(
            "role: marketing\n",
            "role: marketing\n    streams: {deal: {read: false}}\n",
        )
    });
    trial.sync().await;
    check(&timeline(&trial, "ana@example.com").await, &["first seen"], &["Unseen"]);
    let asked = tools.hubspot.requests();
    assert!(asked.iter().any(|one| one.path.contains("/calls/")));
    assert!(
        !asked.iter().any(|one| one.path.contains("/deals")),
        "nothing asks for it"
    );
}
