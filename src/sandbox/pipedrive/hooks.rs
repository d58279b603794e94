//! Pipedrive's webhooks, v2 (VENDORS.md B2.10): one event each, no signature but HTTP Basic, ordered by calls of API v1.

use std::collections::BTreeSet;

use base64::Engine as _;
use serde_json::{Value, json};

use super::super::Op;
use super::super::clock::rfc3339_ms;
use super::super::hooks::{Happened, Hooks, Post, Posting, Subscriber};
use super::super::wire::{Ask, Reply};
use super::{Pipedrive, invalid, not_found};

impl Posting for Pipedrive {
    fn subscriptions(&self, hooks: &mut Hooks, ask: &Ask) -> Option<Reply> {
        let id = ask.path.strip_prefix("/v1/webhooks")?;
        Some(match (ask.method.as_str(), id.strip_prefix('/')) {
            ("GET", None) => {
                let rows: Vec<Value> = hooks.subscribers.iter().map(row).collect();
                Reply::json(200, json!({"success": true, "status": "ok", "data": rows}))
            }
            ("POST", None) => made(hooks, ask),
            ("DELETE", Some(id)) => {
                let count = hooks.subscribers.len();
                hooks.subscribers.retain(|subscriber| subscriber.id.to_string() != id);
                if hooks.subscribers.len() == count {
                    return Some(not_found());
                }
                Reply::json(200, json!({"success": true, "status": "ok"}))
            }
            _ => not_found(),
        })
    }

    fn post(&self, to: &Subscriber, events: &[Happened], now_ms: i64) -> (usize, Post) {
        let body = events.first().map_or(Value::Null, |happened| body(to, happened));
        let credential = base64::engine::general_purpose::STANDARD.encode(&to.secret);
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("authorization", format!("Basic {credential}")),
            ("date", rfc3339_ms(now_ms)),
        ];
        let body = body.to_string().into_bytes();
        (1, Post { headers, body })
    }
}

fn body(to: &Subscriber, happened: &Happened) -> Value {
    let event = &happened.event;
    let action = match event.op {
        Op::Create => "create",
        Op::Update => "change",
        Op::Delete => "delete",
    };
    json!({
        "meta": {"action": action, "entity": "person", "version": "2.0", "company_id": 1, "entity_id": event.id,
            "id": format!("{}-{}", to.id, event.seq), "is_bulk_edit": false, "timestamp": rfc3339_ms(event.at_ms),
            "webhook_id": to.id.to_string(), "change_source": "app", "attempt": 1,
            "merged_to_id": happened.merged_into, "merged_from_id": happened.merged_into.map(|_| event.id.clone())},
        "data": event.after, "previous": Value::Null,
    })
}

fn made(hooks: &mut Hooks, ask: &Ask) -> Reply {
    let body = ask.json().unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("subscription_url").is_empty() || text("event_action").is_empty() || text("event_object").is_empty() {
        return invalid("subscription_url, event_action and event_object are required");
    }
    let id = hooks.add(Subscriber {
        id: 0,
        url: text("subscription_url").to_owned(),
        via: None,
        topics: BTreeSet::from([format!("{}.{}", text("event_action"), text("event_object"))]),
        secret: format!("{}:{}", text("http_auth_user"), text("http_auth_password")),
        is_alive: true,
    });
    let data = hooks.subscribers.iter().find(|subscriber| subscriber.id == id).map(row);
    Reply::json(201, json!({"success": true, "status": "ok", "data": data}))
}

fn row(subscriber: &Subscriber) -> Value {
    let topic = subscriber.topics.first().map_or("*.*", String::as_str);
    let (action, object) = topic.split_once('.').unwrap_or((topic, "*"));
    json!({"id": subscriber.id, "company_id": 1, "owner_id": 1, "user_id": 1, "event_action": action, "event_object": object,
        "subscription_url": subscriber.url, "version": "2.0", "is_active": u8::from(subscriber.is_alive), "type": "general"})
}
