//! Zendesk's event webhooks (VENDORS.md C1.10): one event each, signed over time and body, ordered by calls. One that was
//! made with a bearer token sends that as well. Events of a changed user all have the type `external_id_changed` here:
//! the sheet knows no other word for a change.

use std::collections::BTreeSet;

use base64::Engine as _;
use serde_json::{Value, json};

use super::super::Op;
use super::super::clock::rfc3339_s;
use super::super::hooks::{Happened, Hooks, Post, Posting, Subscriber, tag, text_in};
use super::super::wire::{Ask, Reply};
use super::{Zendesk, error, not_found};

impl Posting for Zendesk {
    fn subscriptions(&self, hooks: &mut Hooks, ask: &Ask) -> Option<Reply> {
        let id = ask.path.strip_prefix("/api/v2/webhooks")?;
        Some(match (ask.method.as_str(), id.strip_prefix('/')) {
            ("GET", None) => {
                let rows: Vec<Value> = hooks.subscribers.iter().map(row).collect();
                Reply::json(200, json!({"webhooks": rows, "meta": {"has_more": false}}))
            }
            ("POST", None) => made(hooks, ask),
            ("DELETE", Some(id)) => {
                hooks.subscribers.retain(|subscriber| subscriber.id.to_string() != id);
                Reply::empty(204)
            }
            _ => not_found(),
        })
    }

    fn post(&self, to: &Subscriber, events: &[Happened], now_ms: i64) -> (usize, Post) {
        let (seq, body) = events
            .first()
            .map_or((0, Value::Null), |happened| (happened.event.seq, body(happened)));
        let body = body.to_string().into_bytes();
        let at = rfc3339_s(now_ms);
        let mut text = at.clone().into_bytes();
        text.extend_from_slice(&body);
        let signature = base64::engine::general_purpose::STANDARD.encode(tag(&to.secret, &text));
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("authorization", format!("Bearer {}", to.secret)),
            ("x-zendesk-webhook-signature", signature),
            ("x-zendesk-webhook-signature-timestamp", at),
            ("x-zendesk-webhook-invocation-id", format!("01H{}-{seq}", to.id)),
        ];
        (1, Post { headers, body })
    }
}

fn body(happened: &Happened) -> Value {
    let event = &happened.event;
    let (word, change) = match (event.op, happened.merged_into) {
        (_, Some(winner)) => ("merged", json!({"merged_into": {"id": winner.to_string()}})),
        (Op::Create, None) => ("created", json!({})),
        (Op::Update, None) => ("external_id_changed", json!({"current": null, "previous": null})),
        (Op::Delete, None) => ("deleted", json!({})),
    };
    let after = event.after.as_ref();
    json!({
        "account_id": 12_514_403, "id": format!("2b24ef10-{}", event.seq), "subject": format!("zen:user:{}", event.id),
        "time": rfc3339_s(event.at_ms), "type": format!("zen:event-type:user.{word}"), "zendesk_event_version": "2022-06-20",
        "event": change,
        "detail": {"id": event.id, "email": text_in(after, "email"), "external_id": text_in(after, "external_id"),
            "role": "end-user", "updated_at": text_in(after, "updated_at")},
    })
}

fn made(hooks: &mut Hooks, ask: &Ask) -> Reply {
    let body = ask.json().unwrap_or_default();
    let Some(wanted) = body.get("webhook").and_then(Value::as_object) else {
        return error(400, "InvalidRequest", "webhook is required");
    };
    let text = |name: &str| wanted.get(name).and_then(Value::as_str).unwrap_or_default();
    let topics = wanted
        .get("subscriptions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let token = wanted
        .get("authentication")
        .and_then(|auth| auth.get("data")?.get("token")?.as_str());
    let id = hooks.add(Subscriber {
        id: 0,
        url: text("endpoint").to_owned(),
        via: None,
        topics: topics
            .filter_map(|topic| Some(topic.as_str()?.to_owned()))
            .collect::<BTreeSet<_>>(),
        secret: token.unwrap_or("made-by-the-vendor").to_owned(),
        is_alive: true,
    });
    let made = hooks.subscribers.iter().find(|subscriber| subscriber.id == id).map(row);
    Reply::json(201, json!({"webhook": made}))
}

fn row(subscriber: &Subscriber) -> Value {
    json!({"id": subscriber.id.to_string(), "name": "Nivel", "endpoint": subscriber.url, "http_method": "POST", "request_format": "json",
        "status": if subscriber.is_alive { "active" } else { "inactive" }, "subscriptions": subscriber.topics})
}
