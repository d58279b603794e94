use serde_json::json;

use super::*;
use crate::manifest::Manifest;

const NOW: UnixMillis = UnixMillis(1_790_000_001_000);
const SECRET: &str = "test-secret-0123456789";

/// A hook with this `verify`, and these values of `config`.
fn hook(verify: &str, config: &Json) -> Hook {
    let text = format!(
        "connector: x\nformat: 1\nbase: https://x.example\nobjects: {{}}\nwebhook: {{verify: {verify}, events: {{object: o, id: id}}}}\n\
         config: {{secret: {{optional: true, secret: true}}, old: {{optional: true, secret: true}}}}\n"
    );
    let manifest = Manifest::parse("x", &text).unwrap();
    Hook::new(manifest.webhook.unwrap(), config)
}

struct Sent {
    headers: Map<String, Json>,
    query: &'static str,
    path_secret: Option<&'static str>,
    url: Option<&'static str>,
    body: Vec<u8>,
}

fn sent(headers: &Json, body: &[u8]) -> Sent {
    Sent {
        headers: headers.as_object().unwrap().clone(),
        query: "",
        path_secret: None,
        url: Some("https://hooks.example.com/in"),
        body: body.to_vec(),
    }
}

fn ask(hook: &Hook, sent: &Sent) -> Result<(), Refusal> {
    let delivery = Delivery {
        method: "POST",
        url: sent.url,
        query: sent.query,
        path_secret: sent.path_secret,
        headers: &sent.headers,
        body: &sent.body,
    };
    verify(hook, &delivery, NOW)
}

fn hex_tag(key: &str, text: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    let tag = mac.chain_update(text).finalize().into_bytes();
    tag.iter().map(|byte| format!("{byte:02x}")).collect()
}

const OVER_BODY: &str =
    "{hmac: sha256, key: '{{ config.secret }}', over: '{{ body }}', equals: header:x-sig, prefix: 'sha256='}";

#[test]
fn a_raw_body_is_hashed_byte_by_byte() {
    let hook = hook(OVER_BODY, &json!({"secret": SECRET, "old": null}));
    let body = b"{\"a\":  1.0, \"b\":\"\xff\xfe\"}";
    let good = format!("sha256={}", hex_tag(SECRET, body));
    assert_eq!(
        ask(&hook, &sent(&json!({"x-sig": good}), body)),
        Ok(()),
        "also where it is no text"
    );
    assert_eq!(
        ask(&hook, &sent(&json!({"x-sig": good}), b"{\"a\":1.0}")),
        Err(Refusal::Wrong)
    );
    let bare = good.trim_start_matches("sha256=");
    assert_eq!(
        ask(&hook, &sent(&json!({"x-sig": bare}), body)),
        Err(Refusal::Wrong),
        "the prefix belongs to it"
    );
    let cut = good.trim_end_matches(|_| true).to_owned() + "sha256=" + &bare.chars().take(32).collect::<String>();
    assert_eq!(
        ask(&hook, &sent(&json!({"x-sig": cut}), body)),
        Err(Refusal::Wrong),
        "half a tag is none"
    );
    assert_eq!(ask(&hook, &sent(&json!({}), body)), Err(Refusal::Unsigned));
    assert_eq!(ask(&hook, &sent(&json!({"x-sig": ""}), body)), Err(Refusal::Unsigned));
}

#[test]
fn p38_a_secret_that_is_missing_refuses_everything() {
    let body = b"{}";
    let of_empty = format!("sha256={}", hex_tag("", body));
    for secret in [json!(null), json!(""), json!("  ")] {
        let hook = hook(OVER_BODY, &json!({"secret": secret, "old": null}));
        assert_eq!(
            ask(&hook, &sent(&json!({"x-sig": of_empty}), body)),
            Err(Refusal::NoSecret),
            "{secret}"
        );
    }
    let none = json!({"secret": null, "old": null});
    let ways = [
        "{path_secret: '{{ config.secret }}'}",
        "{basic: {user: u, password: '{{ config.secret }}'}}",
        "{header: {x-token: '{{ config.secret }}'}}",
        "{header: {authorization: 'Basic dTo={{ config.secret | text }}'}}",
        "{query: {code: '{{ config.secret }}'}}",
        "{body: {token: '{{ config.secret }}'}}",
        "{jwt: header:authorization, key: '{{ config.secret }}'}",
        "{hash: sha256, over: '{{ config.secret }}{{ body }}', equals: header:x-sig}",
        "{hash: sha256, over: '{{ body }}', equals: header:x-sig}",
        "[]",
    ];
    for way in ways {
        let mut sent = sent(
            &json!({"authorization": "Basic dTo=", "x-token": "", "x-sig": "00"}),
            b"{\"token\":\"\"}",
        );
        sent.path_secret = Some("");
        sent.query = "code=";
        assert_eq!(ask(&hook(way, &none), &sent), Err(Refusal::NoSecret), "{way}");
    }
}

#[test]
fn p38_there_is_no_falling_back_to_a_weaker_way() {
    let both = "[{hmac: sha256, key: '{{ config.secret }}', over: '{{ body }}', equals: header:x-sig-v3}, \
                 {hash: sha256, over: '{{ config.secret }}{{ body }}', equals: header:x-sig-v1}]";
    let hook = hook(both, &json!({"secret": SECRET, "old": null}));
    let weak: String = digest(Hash::Sha256, format!("{SECRET}{{}}").as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        ask(&hook, &sent(&json!({"x-sig-v1": weak}), b"{}")),
        Err(Refusal::Unsigned)
    );
    let wrong = json!({"x-sig-v1": weak, "x-sig-v3": "00"});
    assert_eq!(ask(&hook, &sent(&wrong, b"{}")), Err(Refusal::Wrong));
    let good = json!({"x-sig-v3": hex_tag(SECRET, b"{}")});
    assert_eq!(ask(&hook, &sent(&good, b"{}")), Ok(()));
}

#[test]
fn p38_the_time_is_part_of_the_proof() {
    let timed = "{hmac: sha256, key: '{{ config.secret }}', over: '{{ sig.t }}.{{ body }}', equals: sig.v1, \
                  sig: {from: header:x-sig, split: [',', '=']}, time: {from: sig.t, format: s}}";
    let hook = hook(timed, &json!({"secret": SECRET, "old": null}));
    let at = |seconds: i64| {
        let t = NOW.0 / 1000 + seconds;
        let tag = hex_tag(SECRET, format!("{t}.{{}}").as_bytes());
        ask(
            &hook,
            &sent(&json!({"x-sig": format!("t={t},v0=zz,v1=00, v1={tag}")}), b"{}"),
        )
    };
    assert_eq!(
        [at(0), at(-300), at(300)],
        [Ok(()); 3],
        "five minutes unless the manifest says otherwise"
    );
    assert_eq!([at(-301), at(301)], [Err(Refusal::Stale); 2]);
    let tag = hex_tag(SECRET, b"1790000001.{}");
    for header in [
        format!("v1={tag}"),
        format!("t=,v1={tag}"),
        format!("t=soon,v1={tag}"),
        "t=1790000001".to_owned(),
    ] {
        assert_eq!(
            ask(&hook, &sent(&json!({"x-sig": header}), b"{}")),
            Err(Refusal::Unsigned),
            "{header}"
        );
    }
}

#[test]
fn p38_the_address_comes_from_the_config_alone() {
    let over =
        "{hmac: sha256, key: '{{ config.secret }}', over: '{{ method }}{{ url }}{{ body }}', equals: header:x-sig}";
    let hook = hook(over, &json!({"secret": SECRET, "old": null}));
    let tag = hex_tag(SECRET, b"POSThttps://hooks.example.com/in{}");
    let mut sent = sent(&json!({"x-sig": tag, "host": "10.0.0.7:8440"}), b"{}");
    assert_eq!(ask(&hook, &sent), Ok(()));
    sent.url = None;
    assert_eq!(ask(&hook, &sent), Err(Refusal::NoPublicUrl));
}

#[test]
fn two_keys_while_the_tool_changes_from_one_to_the_other() {
    let two =
        "{hmac: sha256, key: ['{{ config.secret }}', '{{ config.old }}'], over: '{{ body }}', equals: header:x-sig}";
    let with = |old: Json| hook(two, &json!({"secret": SECRET, "old": old}));
    let signed = |key: &str| sent(&json!({"x-sig": hex_tag(key, b"{}")}), b"{}");
    assert_eq!(ask(&with(json!("before")), &signed("before")), Ok(()));
    assert_eq!(ask(&with(json!("before")), &signed(SECRET)), Ok(()));
    assert_eq!(ask(&with(json!(null)), &signed(SECRET)), Ok(()));
    assert_eq!(ask(&with(json!(null)), &signed("")), Err(Refusal::Wrong));
}

#[test]
fn fixed_secrets() {
    let config = json!({"secret": SECRET, "old": null});
    let mut sent = sent(
        &json!({"authorization": "basic bml2ZWw6dGVzdC1zZWNyZXQtMDEyMzQ1Njc4OQ==", "x-token": SECRET}),
        format!("{{\"token\":\"{SECRET}\"}}").as_bytes(),
    );
    sent.query = "a=1&code=test%2Dsecret-0123456789";
    sent.path_secret = Some(SECRET);
    let ways = [
        "{path_secret: '{{ config.secret }}'}",
        "{basic: {user: nivel, password: '{{ config.secret }}'}}",
        "{header: {x-token: '{{ config.secret }}'}}",
        "{query: {code: '{{ config.secret }}'}}",
        "{body: {token: '{{ config.secret }}'}}",
    ];
    for way in ways {
        assert_eq!(ask(&hook(way, &config), &sent), Ok(()), "{way}");
        let other = hook(way, &json!({"secret": "test-secret-0123456780", "old": null}));
        assert_eq!(ask(&other, &sent), Err(Refusal::Wrong), "{way}");
        let bare = super::tests::sent(&json!({}), b"{}");
        assert_eq!(ask(&hook(way, &config), &bare), Err(Refusal::Unsigned), "{way}");
    }
}

/// The example of RFC 7515, A.1: it ended in 2011.
#[test]
fn tokens() {
    let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let key = base64::engine::general_purpose::STANDARD.encode(FOR_URLS.decode(key).unwrap());
    let hook = hook(
        "{jwt: header:authorization, key: '{{ config.secret }}', key_encoding: base64}",
        &json!({"secret": key, "old": null}),
    );
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let ask_at = |token: &str, now: i64| {
        let sent = sent(&json!({"authorization": format!("JWT {token}")}), b"{}");
        let delivery = Delivery {
            method: "POST",
            url: None,
            query: "",
            path_secret: None,
            headers: &sent.headers,
            body: &sent.body,
        };
        verify(&hook, &delivery, UnixMillis(now))
    };
    assert_eq!(ask_at(token, 1_300_819_379_000), Ok(()));
    assert_eq!(ask_at(token, 1_300_819_380_000), Err(Refusal::Stale));
    assert_eq!(
        ask_at(&token.replace("dBjf", "dBjg"), 1_300_819_379_000),
        Err(Refusal::Wrong)
    );
    let unsigned = FOR_URLS.encode("{\"alg\":\"none\"}") + ".eyJleHAiOjk5OTk5OTk5OTl9.";
    assert_eq!(ask_at(&unsigned, 1_300_819_379_000), Err(Refusal::Wrong));
}

/// The example of the documentation of a vendor that signs this way.
#[test]
fn sorted_parameters() {
    let way =
        "{hmac: sha1, key: '{{ config.secret }}', over: '{{ url }}{{ params }}', equals: header:x-sig, as: base64}";
    let hook = hook(way, &json!({"secret": "12345", "old": null}));
    let body = b"Digits=1234&To=%2B18005551212&From=%2B12349013030&Caller=%2B12349013030&CallSid=CA1234567890ABCDE";
    let mut sent = sent(&json!({"x-sig": "0/KCTR6DLpKmkAf8muzZqo1nDgQ="}), body);
    sent.url = Some("https://mycompany.com/myapp.php?foo=1&bar=2");
    assert_eq!(ask(&hook, &sent), Ok(()));
    sent.url = Some("https://mycompany.com/myapp.php?foo=1&bar=3");
    assert_eq!(ask(&hook, &sent), Err(Refusal::Wrong));
}
