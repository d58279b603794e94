//! HubSpot's webhooks (VENDORS.md A1.10): arrays of thin events, one for each changed property, signed as v3. They are ordered
//! in the app's settings; there is no call for it here.

use base64::Engine as _;
use serde_json::{Value, json};

use super::super::Op;
use super::super::hooks::{Happened, Post, Posting, Subscriber, tag, text_in};
use super::Hubspot;

/// Events of one request.
const EVENTS_MAX: usize = 100;

impl Posting for Hubspot {
    fn post(&self, to: &Subscriber, events: &[Happened], now_ms: i64) -> (usize, Post) {
        let told = events.len().min(EVENTS_MAX / 4);
        let rows: Vec<Value> = events.iter().take(told).flat_map(rows).collect();
        let body = Value::Array(rows).to_string().into_bytes();
        let mut text = format!("POST{}", to.url).into_bytes();
        text.extend_from_slice(&body);
        text.extend_from_slice(now_ms.to_string().as_bytes());
        let signature = base64::engine::general_purpose::STANDARD.encode(tag(&to.secret, &text));
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-hubspot-signature-v3", signature),
            ("x-hubspot-request-timestamp", now_ms.to_string()),
        ];
        (told, Post { headers, body })
    }
}

fn rows(happened: &Happened) -> Vec<Value> {
    let event = &happened.event;
    let id: u64 = event.id.parse().unwrap_or_default();
    let row = |kind: &str| {
        json!({"objectId": id, "changeSource": "CRM_UI", "eventId": event.seq, "subscriptionId": 25, "portalId": 33,
            "appId": 1_160_452, "occurredAt": event.at_ms, "subscriptionType": kind, "attemptNumber": 0})
    };
    match (event.op, happened.merged_into) {
        (_, Some(winner)) => {
            let mut row = row("contact.merge");
            let primary = happened.primary.unwrap_or(winner);
            row["objectId"] = primary.into();
            row["primaryObjectId"] = primary.into();
            row["mergedObjectIds"] = json!([id]);
            row["newObjectId"] = winner.into();
            vec![row]
        }
        (Op::Create, None) => vec![row("contact.creation")],
        (Op::Delete, None) => vec![row("contact.deletion")],
        (Op::Update, None) => {
            let changed = |(place, name): (usize, &String)| {
                let mut row = row("contact.propertyChange");
                // One subscription for each property.
                row["subscriptionId"] = (100 + place).into();
                row["propertyName"] = name.as_str().into();
                row["propertyValue"] = text_in(event.after.as_ref(), name);
                row
            };
            event.changed.iter().enumerate().map(changed).collect()
        }
    }
}
