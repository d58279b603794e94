//! Passages stop for a reason, go on when it is gone, and arrive only when what was carried was read back.

use nivel::sandbox::{Fault, Kind};
use serde_json::json;

use super::{arrived, cells, contact, emails, pass, read, states, trial, with_ana};

/// The sales tool has Ana three times over; with marketing that is more than a person can have, until somebody vouches for it.
#[tokio::test]
async fn who_has_too_many_records_stops_until_somebody_vouches_for_them() {
    let (trial, ana) = with_ana().await;
    let tools = &trial.sandbox;
    let same = json!({"name": "Ana Silva", "emails": [{"value": "ana@example.com", "primary": true, "label": "work"}]});
    tools.pipedrive.create(&same);
    tools.pipedrive.create(&same);
    trial.reconfigure(|text| format!("{text}identity: {{size_max: 3}}\n"));
    pass(&trial).await;
    let person = ana.parse::<u64>().unwrap();
    let won = json!({"title": "First", "person_id": person, "status": "won"});
    tools.pipedrive.add_activity("deal", &won);
    pass(&trial).await;
    assert_eq!(
        cells(&trial, "deal-to-support", [4, 13]).await,
        [["stopped", "too_large"]]
    );
    assert!(emails(&tools.zendesk).is_empty());
    let pinned = trial.nivel(&["customer", "pin", "ana@example.com"], None).await;
    assert!(pinned.status.success(), "{}", String::from_utf8_lossy(&pinned.stderr));
    pass(&trial).await;
    assert_eq!(emails(&tools.zendesk), ["ana@example.com"]);
    assert_eq!(states(&trial, "deal-to-support").await, ["delivered"]);
}

/// What may not flow to a role can never arrive there: the config that asks for it is refused, nothing is started.
#[tokio::test]
async fn a_field_that_is_not_shared_with_the_target_cannot_be_carried_there() {
    let trial = trial().await;
    let tools = &trial.sandbox;
    trial.reconfigure(|text| format!("{text}share: {{phone: [marketing, support]}}\n"));
    tools.hubspot.create(&contact("ana@example.com", "salesqualifiedlead"));
    let refused = trial.nivel(&["sync", "--approve"], None).await;
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && errors.contains("HND001"), "{errors}");
    assert!(errors.contains("`phone` may not flow to sales/person"), "{errors}");
    assert!(emails(&tools.pipedrive).is_empty());
    trial.reconfigure(|text| text.replace("carry: [email, full_name, phone]", "carry: [email, full_name]"));
    pass(&trial).await;
    let ana = tools.pipedrive.people().remove(0);
    assert_eq!((ana.email.as_deref(), ana.phone), (Some("ana@example.com"), None));
    let record = format!("sales/person/{}", ana.id);
    assert_eq!(super::passages(&trial, "lead-to-sales").await, [arrived(&record, true)]);
}

/// The tool takes Bo and then does not answer when it is asked what it holds: nothing is proven. Meanwhile somebody there
/// takes the phone out. Only what stands there at last is in the proof.
#[tokio::test]
async fn a_passage_arrives_when_what_it_carries_was_read_back_and_not_before() {
    let (trial, _) = with_ana().await;
    let tools = &trial.sandbox;
    let bo = tools.hubspot.create(&contact("bo@example.com", "lead"));
    pass(&trial).await;
    let qualified = json!({"lifecyclestage": "salesqualifiedlead"});
    tools.hubspot.edit(&bo, &qualified).unwrap();
    // The first two are the list and the lookup before Bo is made.
    let silent = Fault::once(Kind::ServerError)
        .method("GET")
        .path("/api/v2/persons")
        .nth(3)
        .times(u32::MAX);
    tools.pipedrive.set_faults(vec![silent]);
    trial.nivel(&["sync", "--approve"], None).await;
    let there = tools.pipedrive.people();
    let made = there
        .iter()
        .find(|person| person.email.as_deref() == Some("bo@example.com"));
    let made = made.unwrap_or_else(|| panic!("Bo was made: {there:?}"));
    let phone = made.phone.clone().unwrap();
    let mut now = states(&trial, "lead-to-sales").await;
    now.sort();
    assert_eq!(now, ["delivered", "open"], "written is not read");
    tools.pipedrive.edit(&made.id, &json!({"phones": []})).unwrap();
    tools.pipedrive.set_faults(Vec::new());
    for _ in 0..5 {
        pass(&trial).await;
    }
    let board = read(&trial, &["handoffs", "--rule", "lead-to-sales"]).await;
    let there = tools.pipedrive.person(&made.id).unwrap();
    let states = states(&trial, "lead-to-sales").await;
    match there.phone {
        // It was put back, and read.
        Some(now) => assert_eq!((now, states), (phone, vec!["delivered".to_owned(); 2]), "{board}"),
        // It is kept as that team wants it: she is there, and has not arrived.
        None => assert!(states.contains(&"stopped".to_owned()), "{states:?} {board}"),
    }
}
