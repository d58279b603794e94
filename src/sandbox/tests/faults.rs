//! One test for each arm of the nemesis list.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::super::clock::{http_date, rfc3339_s};
use super::super::{Fault, Kind, Retry, Sandbox};
use super::{NOW_MS, get, post, sandbox, send};

const PERSONS: &str = "/api/v2/persons";
const EXPORT: &str = "/api/v2/incremental/users/cursor";

async fn seeded() -> Sandbox {
    let sandbox = sandbox().await;
    for n in 0..6 {
        let at = NOW_MS - 3_600_000 + n * 1_000;
        let email = format!("u{n}@mail.example");
        sandbox.hubspot.seed(&json!({"email": email}), 0, at);
        sandbox
            .pipedrive
            .seed(&json!({"name": format!("U {n}"), "emails": [{"value": email}]}), 0, at);
        sandbox
            .zendesk
            .seed(&json!({"name": format!("U {n}"), "email": email}), 0, at);
    }
    sandbox
}

fn new() -> Value {
    json!({"name": "New Person"})
}

#[tokio::test]
async fn throttle_with_seconds_date_and_nothing() {
    let sandbox = seeded().await;
    sandbox.pipedrive.set_faults(
        [Retry::Seconds(7), Retry::Date(9), Retry::Absent]
            .into_iter()
            .map(|retry| Fault::once(Kind::Throttle(retry)))
            .collect(),
    );
    for expected in [Some("7".to_owned()), Some(http_date(NOW_MS + 9_000)), None] {
        let response = send(&sandbox.pipedrive, Method::POST, PERSONS, Some(&new()))
            .await
            .unwrap();
        assert_eq!(response.status(), 429);
        assert_eq!(
            response
                .headers()
                .get("retry-after")
                .map(|value| value.to_str().unwrap().to_owned()),
            expected
        );
    }
    assert_eq!(sandbox.pipedrive.people().len(), 6);
    assert_eq!(sandbox.pipedrive.requests()[0].fault, Some("throttle"));
    assert_eq!(post(&sandbox.pipedrive, PERSONS, new()).await.0, 200);
}

#[tokio::test]
async fn server_error_applies_nothing_and_bad_gateway_does() {
    let sandbox = seeded().await;
    sandbox
        .pipedrive
        .set_faults(vec![Fault::once(Kind::ServerError), Fault::once(Kind::BadGatewayAfter)]);
    assert_eq!(post(&sandbox.pipedrive, PERSONS, new()).await.0, 500);
    assert_eq!(sandbox.pipedrive.people().len(), 6);
    let response = send(&sandbox.pipedrive, Method::POST, PERSONS, Some(&new()))
        .await
        .unwrap();
    assert_eq!((response.status().as_u16(), sandbox.pipedrive.people().len()), (502, 7));
}

#[tokio::test]
async fn resets_give_no_answer_before_and_after() {
    let sandbox = seeded().await;
    for (kind, people) in [(Kind::ResetBefore, 6), (Kind::ResetAfter, 7)] {
        sandbox.pipedrive.set_faults(vec![Fault::once(kind)]);
        let error = send(&sandbox.pipedrive, Method::POST, PERSONS, Some(&new()))
            .await
            .unwrap_err();
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
        assert_eq!(sandbox.pipedrive.people().len(), people);
        assert_eq!(get(&sandbox.pipedrive, PERSONS).await.0, 200);
    }
}

#[tokio::test]
async fn cut_json_is_whole_for_http_and_broken_for_json() {
    let sandbox = seeded().await;
    sandbox.pipedrive.set_faults(vec![Fault::once(Kind::CutJson)]);
    let text = send(&sandbox.pipedrive, Method::GET, PERSONS, None)
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(!text.is_empty() && serde_json::from_str::<Value>(&text).is_err());
}

#[tokio::test]
async fn reset_mid_body_breaks_while_reading() {
    let sandbox = seeded().await;
    sandbox.pipedrive.set_faults(vec![Fault::once(Kind::ResetMidBody)]);
    let response = send(&sandbox.pipedrive, Method::POST, PERSONS, Some(&new()))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err());
    assert_eq!(sandbox.pipedrive.people().len(), 7);
}

#[tokio::test]
async fn status_200_may_carry_an_error_or_a_login_page() {
    let sandbox = seeded().await;
    sandbox
        .pipedrive
        .set_faults(vec![Fault::once(Kind::ErrorIn200), Fault::once(Kind::LoginPage)]);
    let (status, body) = post(&sandbox.pipedrive, PERSONS, new()).await;
    assert_eq!((status, &body["success"]), (200, &json!(false)));
    let response = send(&sandbox.pipedrive, Method::POST, PERSONS, Some(&new()))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert!(
        response.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    assert!(response.text().await.unwrap().contains("<form"));
    assert_eq!(sandbox.pipedrive.people().len(), 6);
}

#[tokio::test]
async fn the_token_dies_mid_run_and_the_day_ends() {
    let sandbox = seeded().await;
    let quota = |status| Fault::once(Kind::DailyQuota { status });
    sandbox.hubspot.set_faults(vec![
        Fault::once(Kind::Unauthorized).nth(2),
        quota(403).nth(2),
        quota(429).nth(2),
    ]);
    let path = "/crm/v3/objects/contacts";
    assert_eq!(get(&sandbox.hubspot, path).await.0, 200);
    assert_eq!(get(&sandbox.hubspot, path).await.0, 401);
    for status in [403, 429] {
        let (got, body) = get(&sandbox.hubspot, path).await;
        assert_eq!((got, &body["policyName"]), (status, &json!("DAILY")));
    }
    assert_eq!(get(&sandbox.hubspot, path).await.0, 200);
}

/// Reads the export to its end; rows with repeats.
async fn export(sandbox: &Sandbox) -> (Vec<i64>, u64) {
    let before = sandbox.zendesk.requests_total();
    let mut path = format!("{EXPORT}?start_time=0&per_page=2");
    let mut rows = Vec::new();
    loop {
        let (_, page) = get(&sandbox.zendesk, &path).await;
        rows.extend(
            page["users"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["id"].as_i64().unwrap() - 370_000),
        );
        if page["end_of_stream"] == true {
            return (rows, sandbox.zendesk.requests_total() - before);
        }
        path = format!("{EXPORT}?per_page=2&cursor={}", page["after_cursor"].as_str().unwrap());
    }
}

#[tokio::test]
async fn a_page_comes_twice_and_nothing_is_skipped() {
    let sandbox = seeded().await;
    sandbox
        .zendesk
        .set_faults(vec![Fault::once(Kind::DuplicatePage).nth(2)]);
    assert_eq!(export(&sandbox).await, (vec![1, 2, 1, 2, 3, 4, 5, 6], 4));
    sandbox
        .pipedrive
        .set_faults(vec![Fault::once(Kind::DuplicatePage).nth(2)]);
    let (_, first) = get(&sandbox.pipedrive, &format!("{PERSONS}?limit=2")).await;
    let cursor = |page: &Value| page["additional_data"]["next_cursor"].as_str().unwrap().to_owned();
    let (_, again) = get(
        &sandbox.pipedrive,
        &format!("{PERSONS}?limit=2&cursor={}", cursor(&first)),
    )
    .await;
    let (_, third) = get(
        &sandbox.pipedrive,
        &format!("{PERSONS}?limit=2&cursor={}", cursor(&again)),
    )
    .await;
    assert_eq!((&again["data"], &third["data"][0]["id"]), (&first["data"], &json!(3)));
    assert_ne!(cursor(&first), cursor(&again));
}

#[tokio::test]
async fn an_empty_page_still_has_a_next_token() {
    let sandbox = seeded().await;
    sandbox.zendesk.set_faults(vec![Fault::once(Kind::EmptyPage).nth(2)]);
    assert_eq!(export(&sandbox).await, (vec![1, 2, 3, 4, 5, 6], 4));
    sandbox.hubspot.set_faults(vec![Fault::once(Kind::EmptyPage).times(2)]);
    let path = "/crm/v3/objects/contacts";
    let (_, page) = get(&sandbox.hubspot, path).await;
    assert_eq!(
        (&page["results"], page["paging"]["next"]["after"].as_str()),
        (&json!([]), Some("0~"))
    );
    let (_, page) = post(&sandbox.hubspot, &format!("{path}/search"), json!({"limit": 2})).await;
    assert_eq!(
        (&page["results"], page["paging"]["next"]["after"].as_str()),
        (&json!([]), Some("00"))
    );
    let (_, page) = post(
        &sandbox.hubspot,
        &format!("{path}/search"),
        json!({"limit": 2, "after": "00"}),
    )
    .await;
    assert_eq!(page["results"].as_array().unwrap().len(), 2);
    assert_eq!(
        get(&sandbox.hubspot, &format!("{path}?after=0~")).await.1["results"]
            .as_array()
            .unwrap()
            .len(),
        6
    );
}

#[tokio::test]
async fn a_cursor_does_not_advance() {
    let sandbox = seeded().await;
    let (_, first) = get(&sandbox.zendesk, &format!("{EXPORT}?start_time=0&per_page=2")).await;
    sandbox.zendesk.set_faults(vec![Fault::once(Kind::RepeatedCursor)]);
    let cursor = first["after_cursor"].as_str().unwrap();
    let (_, second) = get(&sandbox.zendesk, &format!("{EXPORT}?per_page=2&cursor={cursor}")).await;
    assert_eq!(
        (second["after_cursor"].as_str(), &second["end_of_stream"]),
        (Some(cursor), &json!(false))
    );
}

#[tokio::test]
async fn two_rows_of_one_instant_stand_on_both_sides_of_the_edge() {
    let sandbox = seeded().await;
    sandbox.pipedrive.set_faults(vec![Fault::once(Kind::EqualEdge)]);
    let (_, first) = get(&sandbox.pipedrive, &format!("{PERSONS}?limit=3&sort_by=update_time")).await;
    let cursor = first["additional_data"]["next_cursor"].as_str().unwrap();
    let (_, second) = get(
        &sandbox.pipedrive,
        &format!("{PERSONS}?limit=3&sort_by=update_time&cursor={cursor}"),
    )
    .await;
    assert_eq!(first["data"][2]["update_time"], second["data"][0]["update_time"]);
    assert_eq!(
        (&first["data"][2]["id"], &second["data"][0]["id"]),
        (&json!(3), &json!(4))
    );
}

#[tokio::test]
async fn the_tools_clock_is_off() {
    let sandbox = seeded().await;
    sandbox
        .pipedrive
        .set_faults(vec![Fault::once(Kind::ClockSkew { ms: -300_000 })]);
    let response = send(&sandbox.pipedrive, Method::POST, PERSONS, Some(&new()))
        .await
        .unwrap();
    assert_eq!(
        response.headers()["date"].to_str().unwrap(),
        http_date(NOW_MS - 300_000)
    );
    assert_eq!(
        response.json::<Value>().await.unwrap()["data"]["update_time"],
        rfc3339_s(NOW_MS - 300_000)
    );
}

#[tokio::test]
async fn an_address_becomes_an_object() {
    let sandbox = seeded().await;
    for (tool, path, at) in [
        (
            &sandbox.hubspot,
            "/crm/v3/objects/contacts",
            "/results/0/properties/email/value",
        ),
        (&sandbox.pipedrive, PERSONS, "/data/0/emails/work"),
        (&sandbox.zendesk, "/api/v2/users", "/users/0/email/address"),
    ] {
        tool.set_faults(vec![Fault::once(Kind::TypeChange)]);
        assert!(get(tool, path).await.1.pointer(at).is_some(), "{path}");
        assert!(get(tool, path).await.1.pointer(at).is_none(), "{path}");
    }
}

#[tokio::test]
async fn a_body_drips() {
    let sandbox = seeded().await;
    sandbox
        .pipedrive
        .set_faults(vec![Fault::once(Kind::SlowDrip { bytes: 64, pause_ms: 1 })]);
    let mut response = send(&sandbox.pipedrive, Method::GET, PERSONS, None).await.unwrap();
    let mut drops = 0;
    let mut text = Vec::new();
    while let Some(drop) = response.chunk().await.unwrap() {
        drops += 1;
        text.extend_from_slice(&drop);
    }
    assert!(drops > 5, "{drops}");
    assert_eq!(
        serde_json::from_slice::<Value>(&text).unwrap()["data"]
            .as_array()
            .unwrap()
            .len(),
        6
    );
}

#[tokio::test]
async fn a_body_is_huge_and_still_json() {
    let sandbox = seeded().await;
    sandbox
        .pipedrive
        .set_faults(vec![Fault::once(Kind::HugeBody { bytes: 50_000_000 })]);
    let text = send(&sandbox.pipedrive, Method::GET, PERSONS, None)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert!(text.len() > 50_000_000);
    sandbox
        .pipedrive
        .set_faults(vec![Fault::once(Kind::HugeBody { bytes: 70_000 })]);
    let (_, page) = get(&sandbox.pipedrive, PERSONS).await;
    assert_eq!(
        (
            page["padding"].as_str().unwrap().len(),
            page["data"].as_array().unwrap().len()
        ),
        (70_000, 6)
    );
}

#[tokio::test]
async fn the_index_is_late_for_one_request() {
    let sandbox = seeded().await;
    sandbox.hubspot.create(&json!({"email": "new@mail.example"}));
    sandbox
        .hubspot
        .set_faults(vec![Fault::once(Kind::IndexLag { ms: 10_000 })]);
    let path = "/crm/v3/objects/contacts/search";
    assert_eq!(post(&sandbox.hubspot, path, json!({})).await.1["total"], 6);
    assert_eq!(post(&sandbox.hubspot, path, json!({})).await.1["total"], 7);
}

#[tokio::test]
async fn an_answer_is_held_until_the_client_gives_up() {
    let sandbox = seeded().await;
    for (applied, people) in [(false, 6), (true, 7)] {
        sandbox
            .pipedrive
            .set_faults(vec![Fault::once(Kind::Hold { ms: 60_000, applied })]);
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(100))
            .build()
            .unwrap();
        let request = client
            .post(format!("{}{PERSONS}", sandbox.pipedrive.base_url))
            .header("x-api-token", "pipedrive-sandbox");
        assert!(request.json(&new()).send().await.unwrap_err().is_timeout());
        assert_eq!(sandbox.pipedrive.people().len(), people);
    }
}

#[tokio::test]
async fn a_fault_waits_for_its_path_method_and_number() {
    let sandbox = seeded().await;
    sandbox.pipedrive.set_faults(vec![
        Fault::once(Kind::ServerError)
            .path("/api/v2/persons/2")
            .method("get")
            .nth(2),
    ]);
    for (path, status) in [
        (PERSONS, 200),
        ("/api/v2/persons/2", 200),
        ("/api/v2/persons/1", 200),
        ("/api/v2/persons/2", 500),
        ("/api/v2/persons/2", 200),
    ] {
        assert_eq!(get(&sandbox.pipedrive, path).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn chance_is_reproducible_by_its_seed() {
    let sandbox = seeded().await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        sandbox
            .pipedrive
            .set_faults(vec![Fault::once(Kind::ServerError).chance(0.5, 42)]);
        let mut statuses = Vec::new();
        for _ in 0..12 {
            statuses.push(get(&sandbox.pipedrive, PERSONS).await.0);
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].contains(&200) && runs[0].contains(&500));
}
