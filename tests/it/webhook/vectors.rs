//! Every scheme of signing that vendors use, held against the vectors that were computed with their own libraries or by
//! another one (`vectors.json` says which).

use nivel::connector::Hook;
use nivel::manifest::Manifest;
use nivel::model::UnixMillis;
use nivel::webhook::{Delivery, Refusal, verify};
use serde_json::{Map, Value, json};

/// One second after the vectors were signed; one of them says another time of that day.
const NOW: UnixMillis = UnixMillis(1_790_000_002_000);
const EARLIER_BY: &[(&str, i64)] = &[("zendesk", 2_400_000)];

/// Name of the vectors → how a manifest says it.
const SCHEMES: &[(&str, &str)] = &[
    (
        "hubspot-v3",
        r#"{hmac: sha256, key: "{{ config.secret }}", over: '{{ method }}{{ url | unescape(":/?@!$''()*,;") }}{{ body }}{{ headers["x-hubspot-request-timestamp"] }}', equals: header:x-hubspot-signature-v3, as: base64, time: {from: header:x-hubspot-request-timestamp, format: ms}}"#,
    ),
    (
        "hubspot-v2",
        r#"{hash: sha256, over: "{{ config.secret }}{{ method }}{{ url }}{{ body }}", equals: header:x-hubspot-signature}"#,
    ),
    (
        "hubspot-v1",
        r#"{hash: sha256, over: "{{ config.secret }}{{ body }}", equals: header:x-hubspot-signature}"#,
    ),
    (
        "mailchimp",
        r#"{hmac: sha256, key: "{{ config.secret }}", over: "{{ sig.t }}.{{ body }}", equals: sig.v1, sig: {from: header:x-mailchimp-signature, split: [",", "="]}, time: {from: sig.t, format: s}}"#,
    ),
    (
        "klaviyo",
        r#"{hmac: sha256, key: "{{ config.secret }}", over: "{{ body }}{{ headers['klaviyo-timestamp'] }}", equals: header:klaviyo-signature, time: {from: header:klaviyo-timestamp, format: s}}"#,
    ),
    (
        "zendesk",
        r#"{hmac: sha256, key: "{{ config.secret }}", over: "{{ headers['x-zendesk-webhook-signature-timestamp'] }}{{ body }}", equals: header:x-zendesk-webhook-signature, as: base64, time: {from: header:x-zendesk-webhook-signature-timestamp}}"#,
    ),
    (
        "intercom",
        r#"{hmac: sha1, key: "{{ config.secret }}", over: "{{ body }}", equals: header:x-hub-signature, prefix: "sha1="}"#,
    ),
    (
        "jira-admin-webhook",
        r#"{hmac: sha256, key: "{{ config.secret }}", over: "{{ body }}", equals: header:x-hub-signature, prefix: "sha256="}"#,
    ),
    (
        "helpscout",
        r#"{hmac: sha1, key: "{{ config.secret }}", over: "{{ body }}", equals: header:x-helpscout-signature, as: base64}"#,
    ),
    (
        "slack-request",
        r#"{hmac: sha256, key: "{{ config.secret }}", over: "v0:{{ headers['x-slack-request-timestamp'] }}:{{ body }}", equals: header:x-slack-signature, prefix: "v0=", time: {from: header:x-slack-request-timestamp, format: s}}"#,
    ),
    (
        "standard-webhooks",
        r#"{hmac: sha256, key: "{{ config.secret | replace('whsec_', '') }}", key_encoding: base64, over: "{{ headers['webhook-id'] }}.{{ headers['webhook-timestamp'] }}.{{ body }}", equals: sig.v1, as: base64, sig: {from: header:webhook-signature, split: [" ", ","]}, time: {from: header:webhook-timestamp, format: s}}"#,
    ),
];

struct Vector {
    name: String,
    hook: Hook,
    headers: Map<String, Value>,
    method: String,
    url: Option<String>,
    body: Vec<u8>,
}

fn hook(scheme: &str, secret: &str) -> Hook {
    let text = format!(
        "connector: x\nformat: 1\nbase: https://x.example\nobjects: {{}}\nwebhook:\n  verify: {scheme}\n  events: {{object: o, id: id}}\n"
    );
    let manifest = Manifest::parse("x", &text).unwrap_or_else(|problems| panic!("{scheme}: {problems:#?}"));
    Hook::new(manifest.webhook.unwrap(), &json!({"secret": secret}))
}

fn vectors() -> Vec<Vector> {
    let all: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    let vector = |row: &Value| {
        let name = row["vendor"].as_str().unwrap();
        let (_, scheme) = SCHEMES
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("{name}"));
        let secret = row["secret"]
            .as_str()
            .unwrap_or_else(|| all["secret"].as_str().unwrap());
        let headers = row["headers"].as_object().unwrap().iter();
        Vector {
            name: name.to_owned(),
            hook: hook(scheme, secret),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.clone()))
                .collect(),
            method: row["method"].as_str().unwrap_or("POST").to_owned(),
            url: row["url"].as_str().map(str::to_owned),
            body: all["body_utf8"].as_str().unwrap().as_bytes().to_vec(),
        }
    };
    all["vectors"].as_array().unwrap().iter().map(vector).collect()
}

impl Vector {
    fn ask(&self, now: UnixMillis) -> Result<(), Refusal> {
        let delivery = Delivery {
            method: &self.method,
            url: self.url.as_deref(),
            query: "",
            path_secret: None,
            headers: &self.headers,
            body: &self.body,
        };
        let earlier = EARLIER_BY.iter().find(|(name, _)| *name == self.name);
        verify(
            &self.hook,
            &delivery,
            UnixMillis(now.0 - earlier.map_or(0, |(_, by)| *by)),
        )
    }
}

#[test]
fn p38_every_vector_of_every_vendor() {
    let vectors = vectors();
    assert_eq!(vectors.len(), SCHEMES.len());
    for mut vector in vectors {
        let name = vector.name.clone();
        assert_eq!(vector.ask(NOW), Ok(()), "{name}");
        let is_timed = ![
            "hubspot-v1",
            "hubspot-v2",
            "intercom",
            "jira-admin-webhook",
            "helpscout",
        ]
        .contains(&name.as_str());
        let later = UnixMillis(NOW.0 + 600_000);
        assert_eq!(
            vector.ask(later),
            if is_timed { Err(Refusal::Stale) } else { Ok(()) },
            "{name}: replayed later"
        );
        let earlier = UnixMillis(NOW.0 - 600_000);
        assert_eq!(
            vector.ask(earlier),
            if is_timed { Err(Refusal::Stale) } else { Ok(()) },
            "{name}: of the future"
        );
        vector.body.push(b' ');
        assert_eq!(vector.ask(NOW), Err(Refusal::Wrong), "{name}: another body");
        vector.body.pop();
        let (_, scheme) = SCHEMES.iter().find(|(known, _)| *known == name).unwrap();
        let good = std::mem::replace(&mut vector.hook, hook(scheme, "dGVzdC1zZWNyZXQtMDEyMzQ1Njc4OA=="));
        assert_eq!(vector.ask(NOW), Err(Refusal::Wrong), "{name}: another secret");
        vector.hook = good;
        if let Some(url) = vector.url.take().filter(|_| name != "hubspot-v1") {
            vector.url = Some(format!("{url}/x"));
            assert_eq!(vector.ask(NOW), Err(Refusal::Wrong), "{name}: another address");
            vector.url = Some(url);
        }
        for header in vector.headers.keys().cloned().collect::<Vec<_>>() {
            if header == "x-hubspot-signature-version" {
                continue;
            }
            let value = vector.headers.remove(&header);
            assert_eq!(vector.ask(NOW), Err(Refusal::Unsigned), "{name}: without {header}");
            vector.headers.insert(header, value.unwrap());
        }
    }
}

/// A list of signatures, as while a secret is being changed: one that fits is enough, other versions count for nothing.
#[test]
fn p38_a_list_of_signatures() {
    let mut vector = vectors().pop().unwrap();
    assert_eq!(vector.name, "standard-webhooks");
    let good = vector.headers["webhook-signature"].as_str().unwrap().to_owned();
    let mut with = |list: String| {
        vector.headers.insert("webhook-signature".to_owned(), list.into());
        vector.ask(NOW)
    };
    assert_eq!(with(format!("v1,AAAA v1a,xyz {good}")), Ok(()));
    assert_eq!(with(good.replace("v1,", "v1a,")), Err(Refusal::Unsigned));
    assert_eq!(with(good.replace("v1,", "v2,")), Err(Refusal::Unsigned));
    assert_eq!(with("v1,".to_owned()), Err(Refusal::Wrong));
}

/// Escaped letters of an address are signed as the letters they stand for, and only those of the list.
#[test]
fn an_escaped_address_is_signed_partly_unescaped() {
    let mut vector = vectors().swap_remove(0);
    assert_eq!(vector.name, "hubspot-v3");
    vector.url = Some("https%3A//hooks.example.com%2Fin/hubspot".to_owned());
    assert_eq!(vector.ask(NOW), Ok(()));
    vector.url = Some("https://hooks.example.com/in/hub%73pot".to_owned());
    assert_eq!(vector.ask(NOW), Err(Refusal::Wrong));
}
