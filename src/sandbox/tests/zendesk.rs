use serde_json::{Value, json};

use super::super::{Options, Sandbox};
use super::{NOW_MS, delete, get, post, put, sandbox, with};

const USERS: &str = "/api/v2/users";
const EXPORT: &str = "/api/v2/incremental/users/cursor";

fn seed(sandbox: &Sandbox, count: i64) {
    for n in 0..count {
        let body =
            json!({"name": format!("U {n}"), "email": format!("u{n}@mail.example"), "external_id": format!("Ext-{n}")});
        sandbox.zendesk.seed(&body, 0, NOW_MS - 3_600_000 + n / 3 * 1_000);
    }
}

fn ids(page: &Value) -> Vec<i64> {
    page["users"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn the_export_is_read_by_cursor_to_its_end_and_goes_on_from_there() {
    let sandbox = sandbox().await;
    seed(&sandbox, 7);
    let (_, first) = get(&sandbox.zendesk, &format!("{EXPORT}?start_time=0&per_page=5")).await;
    assert_eq!((ids(&first).len(), &first["end_of_stream"]), (5, &json!(false)));
    let (_, last) = get(
        &sandbox.zendesk,
        &format!("{EXPORT}?per_page=5&cursor={}", first["after_cursor"].as_str().unwrap()),
    )
    .await;
    assert_eq!((ids(&last).len(), &last["end_of_stream"]), (2, &json!(true)));
    let cursor = last["after_cursor"].as_str().unwrap();
    let (_, nothing) = get(&sandbox.zendesk, &format!("{EXPORT}?cursor={cursor}")).await;
    assert_eq!(
        (ids(&nothing).len(), &nothing["after_cursor"], &nothing["end_of_stream"]),
        (0, &json!(cursor), &json!(true))
    );
    // The vendor touches an old row: it comes again and its stamp is older than the cursor.
    sandbox.zendesk.system_update("370001").unwrap();
    sandbox.zendesk.delete("370002").unwrap();
    let (_, more) = get(&sandbox.zendesk, &format!("{EXPORT}?cursor={cursor}")).await;
    assert_eq!(ids(&more), [370_001, 370_002]);
    assert_eq!(
        (&more["users"][0]["updated_at"], &more["users"][1]["active"]),
        (&json!("2026-01-05T07:00:00Z"), &json!(false))
    );
}

#[tokio::test]
async fn a_start_time_of_the_last_minute_is_refused() {
    let sandbox = sandbox().await;
    let at = |before_s: i64| format!("{EXPORT}?start_time={}", NOW_MS / 1_000 - before_s);
    assert_eq!(get(&sandbox.zendesk, &at(59)).await.0, 422);
    assert_eq!(get(&sandbox.zendesk, &at(60)).await.0, 200);
    assert_eq!(get(&sandbox.zendesk, EXPORT).await.0, 400);
}

#[tokio::test]
async fn users_are_found_in_many_ways() {
    let sandbox = sandbox().await;
    seed(&sandbox, 3);
    for path in [
        "/show_many?ids=370002,9",
        "/show_many?external_ids=EXT-1",
        "/search?external_id=ext-1",
        "/search?query=email:%22U1@mail.example%22",
        "/search?query=u1@mail",
        "/search?query=name:%22u%201%22",
    ] {
        let (status, page) = get(&sandbox.zendesk, &format!("{USERS}{path}")).await;
        assert_eq!((status, ids(&page)), (200, vec![370_002]), "{path}");
    }
    let (_, page) = get(&sandbox.zendesk, &format!("{USERS}?page[size]=2")).await;
    assert_eq!((ids(&page).len(), &page["meta"]["has_more"]), (2, &json!(true)));
    let (_, rest) = get(
        &sandbox.zendesk,
        &format!(
            "{USERS}?page[size]=2&page[after]={}",
            page["meta"]["after_cursor"].as_str().unwrap()
        ),
    )
    .await;
    assert_eq!((ids(&rest), &rest["meta"]["has_more"]), (vec![370_003], &json!(false)));
    assert_eq!(
        get(&sandbox.zendesk, "/api/v2/users/me.json").await.1["user"]["role"],
        "admin"
    );
}

#[tokio::test]
async fn create_refuses_a_taken_address() {
    let sandbox = sandbox().await;
    seed(&sandbox, 1);
    let (status, problem) = post(
        &sandbox.zendesk,
        USERS,
        json!({"user": {"name": "N", "email": "U0@mail.example"}}),
    )
    .await;
    assert_eq!((status, &problem["error"]), (422, &json!("RecordInvalid")));
    assert_eq!(problem["details"]["email"][0]["error"], "DuplicateValue");
    assert_eq!(
        post(&sandbox.zendesk, USERS, json!({"user": {"email": "n@mail.example"}}))
            .await
            .0,
        422
    );
    let (status, made) = post(
        &sandbox.zendesk,
        USERS,
        json!({"user": {"name": "N", "email": "n@mail.example"}}),
    )
    .await;
    assert_eq!(
        (status, &made["user"]["role"], &made["user"]["active"]),
        (201, &json!("end-user"), &json!(true))
    );
}

#[tokio::test]
async fn create_or_update_answers_200_or_201() {
    let sandbox = sandbox().await;
    seed(&sandbox, 1);
    let path = format!("{USERS}/create_or_update");
    let (status, user) = post(
        &sandbox.zendesk,
        &path,
        json!({"user": {"name": "New", "external_id": "EXT-0"}}),
    )
    .await;
    assert_eq!(
        (status, &user["user"]["external_id"], &user["user"]["name"]),
        (200, &json!("EXT-0"), &json!("New"))
    );
    let (status, _) = post(
        &sandbox.zendesk,
        &path,
        json!({"user": {"name": "Two", "email": "two@mail.example"}}),
    )
    .await;
    assert_eq!((status, sandbox.zendesk.people().len()), (201, 2));
    let (_, user) = put(
        &sandbox.zendesk,
        &format!("{USERS}/370001"),
        json!({"user": {"email": "second@mail.example", "phone": null}}),
    )
    .await;
    assert_eq!(user["user"]["email"], "u0@mail.example");
}

#[tokio::test]
async fn a_deleted_user_is_inactive_and_frees_the_address() {
    let sandbox = sandbox().await;
    seed(&sandbox, 1);
    assert_eq!(
        delete(&sandbox.zendesk, &format!("{USERS}/370001")).await.1["user"]["active"],
        false
    );
    assert_eq!(
        get(&sandbox.zendesk, &format!("{USERS}/370001")).await.1["user"]["active"],
        false
    );
    assert_eq!(
        put(
            &sandbox.zendesk,
            &format!("{USERS}/370001"),
            json!({"user": {"name": "x"}})
        )
        .await
        .0,
        404
    );
    assert_eq!(
        post(
            &sandbox.zendesk,
            USERS,
            json!({"user": {"name": "N", "email": "u0@mail.example"}})
        )
        .await
        .0,
        201
    );
}

#[tokio::test]
async fn jobs_are_queued_then_working_then_completed() {
    let sandbox = sandbox().await;
    seed(&sandbox, 2);
    let users = json!({"users": [{"id": 370_001, "name": "One"}, {"id": 9, "name": "Nobody"}, {"id": 370_002, "external_id": "ext-0"}]});
    let (_, job) = put(&sandbox.zendesk, &format!("{USERS}/update_many"), users).await;
    assert_eq!(job["job_status"]["status"], "queued");
    assert_eq!(sandbox.zendesk.requests_total(), 1);
    let path = format!("/api/v2/job_statuses/{}", job["job_status"]["id"].as_str().unwrap());
    assert_eq!(get(&sandbox.zendesk, &path).await.1["job_status"]["status"], "working");
    let (_, done) = get(&sandbox.zendesk, &path).await;
    assert_eq!(
        (&done["job_status"]["status"], &done["job_status"]["total"]),
        (&json!("completed"), &json!(3))
    );
    let row = |index: usize| &done["job_status"]["results"][index];
    assert_eq!(
        (&row(0)["success"], &row(0)["action"], &row(0)["index"]),
        (&json!(true), &json!("update"), &json!(0))
    );
    assert_eq!(
        (&row(1)["success"], &row(1)["error"]),
        (&json!(false), &json!("RecordNotFound"))
    );
    assert_eq!(row(2)["error"], "UserUpdateError");
    let (_, job) = delete(&sandbox.zendesk, &format!("{USERS}/destroy_many?ids=370001")).await;
    assert_eq!(job["job_status"]["status"], "queued");
    // Nobody asks again; the vendor works on all the same.
    assert_eq!(sandbox.zendesk.people().len(), 1);
}

#[tokio::test]
async fn bulk_imports_need_support() {
    let path = format!("{USERS}/create_or_update_many");
    let users = json!({"users": [{"name": "A", "email": "a@mail.example"}, {"name": "B", "email": "A@mail.example"}]});
    assert_eq!(post(&sandbox().await.zendesk, &path, users.clone()).await.0, 403);
    let sandbox = with(Options {
        zendesk_bulk_import: true,
        ..Options::default()
    })
    .await;
    let (_, job) = post(&sandbox.zendesk, &path, users.clone()).await;
    let poll = format!("/api/v2/job_statuses/{}", job["job_status"]["id"].as_str().unwrap());
    get(&sandbox.zendesk, &poll).await;
    let (_, done) = get(&sandbox.zendesk, &poll).await;
    let statuses: Vec<&Value> = done["job_status"]["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["status"])
        .collect();
    assert_eq!(
        (statuses, sandbox.zendesk.people().len()),
        (vec![&json!("Created"), &json!("Updated")], 1)
    );
}
