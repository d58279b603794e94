//! Nobody is handed over twice.

use std::process::Stdio;

use nivel::sandbox::{Fault, Kind};
use serde_json::json;

use super::{cells, contact, emails, pass, trial};
use crate::daemon::until;

/// Ana is in sales, with a note. Her phone changes, the tool takes it, and Nivel dies before it has heard of it. When it
/// asks at its next start, the change has arrived: that settles the change, and begins no passage.
#[tokio::test]
async fn a_change_whose_answer_was_lost_hands_nobody_over_again() {
    let trial = trial().await;
    trial.reconfigure(|text| text.replace("within: 15m, create: true", "within: 15m, create: true, note: timeline"));
    let tools = &trial.sandbox;
    let ana = tools.hubspot.create(&contact("ana@example.com", "lead"));
    pass(&trial).await;
    let qualified = json!({"lifecyclestage": "salesqualifiedlead"});
    tools.hubspot.edit(&ana, &qualified).unwrap();
    pass(&trial).await;
    assert_eq!(emails(&tools.pipedrive), ["ana@example.com"]);
    let passages = async || cells(&trial, "lead-to-sales", [0, 4]).await;
    let first = passages().await;
    assert_eq!(first.len(), 1, "{first:?}");

    let writes = tools.pipedrive.history().len();
    let unheard = Kind::Hold {
        ms: 600_000,
        applied: true,
    };
    let unheard = Fault::once(unheard).method("PATCH").path("/api/v2/persons");
    tools.pipedrive.set_faults(vec![unheard]);
    tools.hubspot.edit(&ana, &json!({"phone": "+358402000001"})).unwrap();
    let mut nivel = trial
        .command(&["sync", "--approve"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("her phone is changed", async || {
        tools.pipedrive.history().len() > writes
    })
    .await;
    nivel.kill().unwrap();
    nivel.wait().unwrap();
    pass(&trial).await;
    assert_eq!(passages().await, first);
    assert_eq!(tools.pipedrive.history().len(), writes + 1, "it had arrived");
    assert_eq!(tools.pipedrive.people()[0].phone.as_deref(), Some("+358402000001"));
    assert_eq!(tools.pipedrive.activity_history("note").len(), 1, "one note");
}
