use serde_json::{Value, json};

use super::super::{By, Op, Options, Sandbox};
use super::{NOW_MS, delete, get, patch, post, sandbox, with};

const CONTACTS: &str = "/crm/v3/objects/contacts";
const SEARCH: &str = "/crm/v3/objects/contacts/search";

fn seed(sandbox: &Sandbox, count: i64) {
    for n in 0..count {
        let body = json!({"email": format!("c{n}@mail.example"), "firstname": format!("C{n}"), "phone": "+1"});
        sandbox.hubspot.seed(&body, 0, NOW_MS - 86_400_000 + n);
    }
}

/// The manifest's own read request (manifest-sketch/hubspot.yaml).
fn window(since: i64, until: i64, after: &str) -> Value {
    json!({
        "filterGroups": [{"filters": [
            {"propertyName": "lastmodifieddate", "operator": "GTE", "value": since.to_string()},
            {"propertyName": "lastmodifieddate", "operator": "LT", "value": until.to_string()},
            {"propertyName": "hs_object_id", "operator": "GT", "value": after},
        ]}],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": ["email", "firstname"], "limit": 200,
    })
}

fn ids(page: &Value) -> Vec<String> {
    page["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn keyset_reading_meets_every_contact_once() {
    let sandbox = sandbox().await;
    seed(&sandbox, 450);
    let mut after = "0".to_owned();
    let mut all = Vec::new();
    loop {
        let (status, page) = post(&sandbox.hubspot, SEARCH, window(0, NOW_MS, &after)).await;
        assert_eq!(status, 200);
        let found = ids(&page);
        let Some(last) = found.last() else { break };
        after.clone_from(last);
        assert_eq!(
            page["results"][0]["properties"]["email"]
                .as_str()
                .map(|email| email.ends_with("@mail.example")),
            Some(true)
        );
        all.extend(found);
    }
    assert_eq!(all.len(), 450);
    all.dedup();
    assert_eq!(all.len(), 450);
}

#[tokio::test]
async fn list_pages_by_token_and_shows_the_bin() {
    let sandbox = sandbox().await;
    seed(&sandbox, 5);
    let (_, page) = get(&sandbox.hubspot, &format!("{CONTACTS}?limit=3&properties=email,phone")).await;
    assert_eq!(page["results"][0]["properties"]["phone"], "+1");
    let after = page["paging"]["next"]["after"].as_str().unwrap();
    let (_, rest) = get(&sandbox.hubspot, &format!("{CONTACTS}?limit=3&after={after}")).await;
    assert_eq!((ids(&page).len(), ids(&rest).len()), (3, 2));
    assert!(rest.get("paging").is_none());
    let id = ids(&page).remove(0);
    assert_eq!(delete(&sandbox.hubspot, &format!("{CONTACTS}/{id}")).await.0, 204);
    let (_, bin) = get(&sandbox.hubspot, &format!("{CONTACTS}?archived=true&limit=100")).await;
    assert_eq!(ids(&bin), [id.as_str()]);
    assert_eq!(
        (
            &bin["results"][0]["archived"],
            bin["results"][0]["archivedAt"].is_string()
        ),
        (&json!(true), true)
    );
    assert_eq!(get(&sandbox.hubspot, &format!("{CONTACTS}/{id}")).await.0, 404);
    assert_eq!(get(&sandbox.hubspot, &format!("{CONTACTS}?limit=101")).await.0, 400);
}

#[tokio::test]
async fn search_stops_at_the_ceiling_and_at_its_limits() {
    let sandbox = sandbox().await;
    let ask = |after: i64, limit: i64| json!({"after": after.to_string(), "limit": limit});
    assert_eq!(post(&sandbox.hubspot, SEARCH, ask(9_800, 200)).await.0, 200);
    assert_eq!(post(&sandbox.hubspot, SEARCH, ask(9_801, 200)).await.0, 400);
    assert_eq!(post(&sandbox.hubspot, SEARCH, ask(0, 201)).await.0, 400);
    assert_eq!(
        post(&sandbox.hubspot, SEARCH, json!({"query": "x".repeat(3_000)}))
            .await
            .0,
        400
    );
    let filters = vec![json!({"propertyName": "email", "operator": "HAS_PROPERTY"}); 7];
    assert_eq!(
        post(
            &sandbox.hubspot,
            SEARCH,
            json!({"filterGroups": [{"filters": filters}]})
        )
        .await
        .0,
        400
    );
}

#[tokio::test]
async fn operators_do_what_they_say() {
    let sandbox = sandbox().await;
    for (email, name) in [
        ("ana@mail.example", "Ana"),
        ("bo@mail.example", "Bo"),
        ("cy@mail.example", ""),
    ] {
        sandbox
            .hubspot
            .seed(&json!({"email": email, "firstname": name}), 0, NOW_MS);
    }
    for (filter, count) in [
        (
            json!({"propertyName": "email", "operator": "EQ", "value": "ANA@mail.example"}),
            1,
        ),
        (
            json!({"propertyName": "email", "operator": "NEQ", "value": "ana@mail.example"}),
            2,
        ),
        (
            json!({"propertyName": "email", "operator": "IN", "values": ["ana@mail.example", "bo@mail.example"]}),
            2,
        ),
        (json!({"propertyName": "firstname", "operator": "HAS_PROPERTY"}), 2),
        (json!({"propertyName": "firstname", "operator": "NOT_HAS_PROPERTY"}), 1),
        (
            json!({"propertyName": "email", "operator": "CONTAINS_TOKEN", "value": "bo"}),
            1,
        ),
        (
            json!({"propertyName": "hs_object_id", "operator": "LTE", "value": "1002"}),
            2,
        ),
        (
            json!({"propertyName": "lastmodifieddate", "operator": "LT", "value": "2026-01-05T08:00:00.000Z"}),
            0,
        ),
        (
            json!({"propertyName": "lastmodifieddate", "operator": "BETWEEN", "value": "0", "highValue": NOW_MS.to_string()}),
            3,
        ),
    ] {
        let (_, page) = post(
            &sandbox.hubspot,
            SEARCH,
            json!({"filterGroups": [{"filters": [filter]}]}),
        )
        .await;
        assert_eq!(page["total"], count, "{filter}");
    }
    let sorted = json!({"sorts": [{"propertyName": "email", "direction": "DESCENDING"}], "limit": 1});
    let (_, page) = post(&sandbox.hubspot, SEARCH, sorted).await;
    assert_eq!(page["results"][0]["properties"]["email"], "cy@mail.example");
    assert_eq!(page["paging"]["next"]["after"], "1");
}

#[tokio::test]
async fn create_conflicts_without_case_and_names_the_holder() {
    let sandbox = sandbox().await;
    let (status, made) = post(
        &sandbox.hubspot,
        CONTACTS,
        json!({"properties": {"email": "Ana@Mail.example"}}),
    )
    .await;
    assert_eq!(
        (status, &made["properties"]["email"]),
        (201, &json!("ana@mail.example"))
    );
    let id = made["id"].as_str().unwrap();
    let (status, problem) = post(
        &sandbox.hubspot,
        CONTACTS,
        json!({"properties": {"email": "ANA@mail.example"}}),
    )
    .await;
    assert_eq!((status, &problem["category"]), (409, &json!("CONFLICT")));
    assert!(
        problem["message"]
            .as_str()
            .unwrap()
            .ends_with(&format!("Existing ID: {id}"))
    );
    let (_, found) = get(
        &sandbox.hubspot,
        &format!("{CONTACTS}/ana@mail.example?idProperty=email"),
    )
    .await;
    assert_eq!(found["id"], id);
    let (status, problem) = post(&sandbox.hubspot, CONTACTS, json!({"properties": {"missing": "x"}})).await;
    assert_eq!(status, 400);
    assert!(problem["message"].as_str().unwrap().contains("PROPERTY_DOESNT_EXIST"));
}

#[tokio::test]
async fn the_empty_string_clears_and_the_stage_goes_forward_only() {
    let sandbox = sandbox().await;
    let id = sandbox.hubspot.seed(
        &json!({"email": "a@mail.example", "phone": "1", "lifecyclestage": "customer"}),
        0,
        0,
    );
    let path = format!("{CONTACTS}/{id}");
    let (status, row) = patch(
        &sandbox.hubspot,
        &path,
        json!({"properties": {"phone": "", "lifecyclestage": "lead"}}),
    )
    .await;
    assert_eq!(
        (
            status,
            &row["properties"]["phone"],
            &row["properties"]["lifecyclestage"]
        ),
        (200, &Value::Null, &json!("customer"))
    );
    patch(&sandbox.hubspot, &path, json!({"properties": {"lifecyclestage": ""}})).await;
    let (_, row) = patch(
        &sandbox.hubspot,
        &path,
        json!({"properties": {"lifecyclestage": "lead"}}),
    )
    .await;
    assert_eq!(row["properties"]["lifecyclestage"], "lead");
}

#[tokio::test]
async fn a_write_without_change_moves_the_stamp_only_when_told_to() {
    for (echo_touch, expected) in [(true, NOW_MS), (false, 0)] {
        let sandbox = with(Options {
            echo_touch,
            clock_ms: Some(NOW_MS),
            ..Options::default()
        })
        .await;
        let id = sandbox
            .hubspot
            .seed(&json!({"email": "a@mail.example", "phone": "1"}), 0, 0);
        patch(
            &sandbox.hubspot,
            &format!("{CONTACTS}/{id}"),
            json!({"properties": {"phone": "1"}}),
        )
        .await;
        assert_eq!(sandbox.hubspot.person(&id).unwrap().updated_ms, expected);
        let event = sandbox.hubspot.history().pop().unwrap();
        assert_eq!((event.by, event.op, event.changed.len()), (By::Api, Op::Update, 0));
    }
}

#[tokio::test]
async fn batch_upsert_tells_new_from_known_and_finds_errors_by_trace() {
    let sandbox = sandbox().await;
    sandbox.hubspot.seed(&json!({"email": "a@mail.example"}), 0, 0);
    let input = |email: &str, trace: &str| json!({"id": email, "idProperty": "email", "objectWriteTraceId": trace, "properties": {"email": email, "firstname": "N"}});
    let inputs =
        json!({"inputs": [input("A@mail.example", "t1"), input("b@mail.example", "t2"), input("broken", "t3")]});
    let (status, answer) = post(&sandbox.hubspot, &format!("{CONTACTS}/batch/upsert"), inputs).await;
    assert_eq!((status, &answer["numErrors"]), (207, &json!(1)));
    assert_eq!(answer["errors"][0]["context"]["objectWriteTraceId"], json!(["t3"]));
    let rows = answer["results"].as_array().unwrap();
    let row = |trace: &str| rows.iter().find(|row| row["objectWriteTraceId"] == trace).unwrap();
    assert_eq!((&row("t1")["new"], &row("t2")["new"]), (&json!(false), &json!(true)));
}

#[tokio::test]
async fn batches_are_all_or_nothing_without_trace_ids_and_refuse_twins() {
    let sandbox = sandbox().await;
    let path = format!("{CONTACTS}/batch/create");
    let input = |email: &str| json!({"properties": {"email": email}});
    let (status, _) = post(
        &sandbox.hubspot,
        &path,
        json!({"inputs": [input("a@mail.example"), input("broken")]}),
    )
    .await;
    assert_eq!((status, sandbox.hubspot.people().len()), (400, 0));
    let (status, _) = post(
        &sandbox.hubspot,
        &path,
        json!({"inputs": [input("a@mail.example"), input("A@mail.example")]}),
    )
    .await;
    assert_eq!((status, sandbox.hubspot.people().len()), (400, 0));
    let (status, made) = post(
        &sandbox.hubspot,
        &path,
        json!({"inputs": [input("a@mail.example"), input("b@mail.example")]}),
    )
    .await;
    assert_eq!((status, made["results"].as_array().unwrap().len()), (201, 2));
    let twins = json!({"inputs": [{"id": "1001", "properties": {}}, {"id": "1001", "properties": {}}]});
    assert_eq!(
        post(&sandbox.hubspot, &format!("{CONTACTS}/batch/update"), twins)
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn batch_read_names_what_is_missing_and_archive_answers_204() {
    let sandbox = sandbox().await;
    seed(&sandbox, 2);
    let (status, answer) = post(
        &sandbox.hubspot,
        &format!("{CONTACTS}/batch/read"),
        json!({"properties": ["phone"], "inputs": [{"id": "1001"}, {"id": "9"}]}),
    )
    .await;
    assert_eq!(
        (
            status,
            &answer["results"][0]["id"],
            &answer["errors"][0]["context"]["ids"]
        ),
        (207, &json!("1001"), &json!(["9"]))
    );
    let (status, _) = post(
        &sandbox.hubspot,
        &format!("{CONTACTS}/batch/archive"),
        json!({"inputs": [{"id": "1001"}, {"id": "9"}]}),
    )
    .await;
    assert_eq!((status, sandbox.hubspot.people().len()), (204, 1));
    let (_, answer) = post(
        &sandbox.hubspot,
        &format!("{CONTACTS}/batch/update"),
        json!({"inputs": [{"id": "9", "objectWriteTraceId": "x", "properties": {"phone": "1"}}]}),
    )
    .await;
    assert_eq!(answer["errors"][0]["category"], "OBJECT_NOT_FOUND");
}

#[tokio::test]
async fn a_late_index_shows_the_former_version() {
    let sandbox = with(Options {
        index_lag_ms: 30_000,
        clock_ms: Some(NOW_MS),
        ..Options::default()
    })
    .await;
    let id = sandbox
        .hubspot
        .seed(&json!({"email": "a@mail.example", "phone": "1"}), 0, NOW_MS - 60_000);
    sandbox.hubspot.edit(&id, &json!({"phone": "2"})).unwrap();
    sandbox.hubspot.create(&json!({"email": "new@mail.example"}));
    let ask = json!({"properties": ["phone"]});
    let (_, early) = post(&sandbox.hubspot, SEARCH, ask.clone()).await;
    assert_eq!(
        (&early["total"], &early["results"][0]["properties"]["phone"]),
        (&json!(1), &json!("1"))
    );
    sandbox.hubspot.clock.advance(30_000);
    let (_, late) = post(&sandbox.hubspot, SEARCH, ask).await;
    assert_eq!(
        (&late["total"], &late["results"][0]["properties"]["phone"]),
        (&json!(2), &json!("2"))
    );
    assert_eq!(
        get(&sandbox.hubspot, "/crm/v3/owners/").await.1["results"][0]["id"],
        "101"
    );
}
