use serde_json::{Value, json};

use super::super::Sandbox;
use super::{NOW_MS, delete, get, patch, post, sandbox};

const PERSONS: &str = "/api/v2/persons";

fn seed(sandbox: &Sandbox, count: i64) {
    for n in 0..count {
        // Three rows a second, so that page edges fall between rows of one stamp.
        let body = json!({"name": format!("P {n}"), "emails": [{"value": format!("p{n}@mail.example")}]});
        sandbox.pipedrive.seed(&body, 0, NOW_MS - 3_600_000 + n / 3 * 1_000);
    }
}

async fn walk(sandbox: &Sandbox, query: &str) -> Vec<i64> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, page) = get(&sandbox.pipedrive, &format!("{PERSONS}?{query}{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        all.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["id"].as_i64().unwrap()),
        );
        match page["additional_data"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn every_order_meets_every_person_once() {
    let sandbox = sandbox().await;
    seed(&sandbox, 25);
    let up: Vec<i64> = (1..=25).collect();
    let down: Vec<i64> = (1..=25).rev().collect();
    assert_eq!(walk(&sandbox, "limit=4").await, up);
    assert_eq!(
        walk(&sandbox, "limit=4&sort_by=update_time&sort_direction=asc").await,
        up
    );
    assert_eq!(
        walk(&sandbox, "limit=4&sort_by=update_time&sort_direction=desc").await,
        down
    );
    assert_eq!(walk(&sandbox, "limit=7&sort_by=add_time").await, up);
    assert_eq!(walk(&sandbox, "ids=3,1,99").await, [1, 3]);
}

#[tokio::test]
async fn updated_since_is_inclusive_and_takes_whole_seconds() {
    let sandbox = sandbox().await;
    seed(&sandbox, 9);
    assert_eq!(
        walk(&sandbox, "updated_since=2026-01-05T07:00:01Z&sort_by=update_time").await,
        [4, 5, 6, 7, 8, 9]
    );
    assert_eq!(
        walk(
            &sandbox,
            "updated_since=2026-01-05T07:00:01Z&updated_until=2026-01-05T07:00:02Z"
        )
        .await,
        [4, 5, 6]
    );
    let (status, problem) = get(
        &sandbox.pipedrive,
        &format!("{PERSONS}?updated_since=2026-01-05T07:00:01.500Z"),
    )
    .await;
    assert_eq!(
        (status, &problem["code"]),
        (400, &json!("ERR_SCHEMA_VALIDATION_FAILED"))
    );
    assert_eq!(get(&sandbox.pipedrive, &format!("{PERSONS}?limit=501")).await.0, 400);
    assert_eq!(get(&sandbox.pipedrive, &format!("{PERSONS}?cursor=junk")).await.0, 400);
}

#[tokio::test]
async fn one_address_may_have_two_persons() {
    let sandbox = sandbox().await;
    let body = json!({"name": "Ana Maria Brown", "emails": [{"value": "ana@mail.example"}]});
    let (status, made) = post(&sandbox.pipedrive, PERSONS, body.clone()).await;
    assert_eq!(
        (status, &made["data"]["first_name"], &made["data"]["last_name"]),
        (200, &json!("Ana"), &json!("Maria Brown"))
    );
    assert_eq!(
        made["data"]["emails"],
        json!([{"value": "ana@mail.example", "primary": true, "label": "work"}])
    );
    assert_eq!(made["data"]["update_time"], "2026-01-05T08:00:00Z");
    post(&sandbox.pipedrive, PERSONS, body).await;
    let (_, found) = get(
        &sandbox.pipedrive,
        &format!("{PERSONS}/search?term=ANA@mail.example&fields=email&exact_match=true"),
    )
    .await;
    assert_eq!(found["data"]["items"].as_array().unwrap().len(), 2);
    assert_eq!(found["data"]["items"][0]["item"]["emails"], json!(["ana@mail.example"]));
    assert_eq!(
        get(&sandbox.pipedrive, &format!("{PERSONS}/search?term=a")).await.0,
        400
    );
}

#[tokio::test]
async fn custom_fields_are_hashes_and_null_clears() {
    let sandbox = sandbox().await;
    let key = "a".repeat(40);
    let (_, made) = post(
        &sandbox.pipedrive,
        PERSONS,
        json!({"name": "A", "custom_fields": {key.clone(): "per_1"}}),
    )
    .await;
    let path = format!("{PERSONS}/{}", made["data"]["id"]);
    assert_eq!(
        get(
            &sandbox.pipedrive,
            &format!("{PERSONS}/search?term=per_1&fields=custom_fields&exact_match=true")
        )
        .await
        .1["data"]["items"][0]["item"]["id"],
        made["data"]["id"]
    );
    assert_eq!(
        patch(&sandbox.pipedrive, &path, json!({"custom_fields": {key.clone(): []}}))
            .await
            .0,
        400
    );
    assert_eq!(
        patch(&sandbox.pipedrive, &path, json!({"custom_fields": {"short": 1}}))
            .await
            .0,
        400
    );
    let (_, cleared) = patch(&sandbox.pipedrive, &path, json!({"custom_fields": {key: null}})).await;
    assert_eq!(cleared["data"]["custom_fields"], json!({}));
}

#[tokio::test]
async fn a_deleted_person_leaves_the_list_but_can_be_read() {
    let sandbox = sandbox().await;
    seed(&sandbox, 2);
    assert_eq!(
        delete(&sandbox.pipedrive, &format!("{PERSONS}/1")).await,
        (200, json!({"success": true, "data": {"id": 1}}))
    );
    assert_eq!(walk(&sandbox, "").await, [2]);
    assert_eq!(
        get(&sandbox.pipedrive, &format!("{PERSONS}/1")).await.1["data"]["is_deleted"],
        true
    );
    assert_eq!(
        patch(&sandbox.pipedrive, &format!("{PERSONS}/1"), json!({"name": "x"}))
            .await
            .0,
        404
    );
    assert_eq!(delete(&sandbox.pipedrive, &format!("{PERSONS}/1")).await.0, 404);
}

#[tokio::test]
async fn lists_are_replaced_whole_and_names_are_needed() {
    let sandbox = sandbox().await;
    seed(&sandbox, 1);
    let emails = json!([{"value": "x@mail.example", "primary": false}, {"value": "y@mail.example", "primary": true}]);
    let (_, row) = patch(&sandbox.pipedrive, &format!("{PERSONS}/1"), json!({"emails": emails})).await;
    assert_eq!(row["data"]["emails"].as_array().unwrap().len(), 2);
    assert_eq!(sandbox.pipedrive.people()[0].email.as_deref(), Some("y@mail.example"));
    assert_eq!(post(&sandbox.pipedrive, PERSONS, json!({"emails": []})).await.0, 400);
    assert_eq!(
        patch(&sandbox.pipedrive, &format!("{PERSONS}/1"), json!({"emails": "x"}))
            .await
            .0,
        400
    );
    let (_, me) = get(&sandbox.pipedrive, "/api/v1/users/me?api_token=pipedrive-sandbox").await;
    assert_eq!(me["data"]["is_you"], Value::Bool(true));
}
