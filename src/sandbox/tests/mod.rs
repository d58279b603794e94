//! Real HTTP on loopback against the three tools.

mod checking;
mod faults;
mod hubspot;
mod pipedrive;
mod zendesk;

use base64::Engine as _;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;

use super::{Options, Sandbox, Tool, ToolName};

/// 2026-01-05T08:00:00Z
pub(super) const NOW_MS: i64 = 1_767_600_000_000;

pub(super) async fn sandbox() -> Sandbox {
    with(Options {
        clock_ms: Some(NOW_MS),
        ..Options::default()
    })
    .await
}

pub(super) async fn with(options: Options) -> Sandbox {
    Sandbox::start(options).await.unwrap()
}

/// Sends with the tool's default token.
pub(super) async fn send(
    tool: &Tool,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Response, reqwest::Error> {
    let request = Client::new().request(method, format!("{}{path}", tool.base_url));
    let basic = base64::engine::general_purpose::STANDARD.encode("agent@example.com/token:zendesk-sandbox");
    let request = match tool.name {
        ToolName::Hubspot => request.bearer_auth("pat-eu1-sandbox"),
        ToolName::Pipedrive => request.header("x-api-token", "pipedrive-sandbox"),
        ToolName::Zendesk => request.header("authorization", format!("Basic {basic}")),
        ToolName::Mailchimp => request.basic_auth("anystring", Some("sandboxsandboxsandbox-us19")),
        ToolName::Salesforce => request.bearer_auth("00Dsandbox!session"),
        ToolName::Intercom => request.bearer_auth("intercom-sandbox"),
    };
    match body {
        Some(body) => request.json(body).send().await,
        None => request.send().await,
    }
}

pub(super) async fn get(tool: &Tool, path: &str) -> (u16, Value) {
    parts(send(tool, Method::GET, path, None).await).await
}

pub(super) async fn post(tool: &Tool, path: &str, body: Value) -> (u16, Value) {
    parts(send(tool, Method::POST, path, Some(&body)).await).await
}

pub(super) async fn put(tool: &Tool, path: &str, body: Value) -> (u16, Value) {
    parts(send(tool, Method::PUT, path, Some(&body)).await).await
}

pub(super) async fn patch(tool: &Tool, path: &str, body: Value) -> (u16, Value) {
    parts(send(tool, Method::PATCH, path, Some(&body)).await).await
}

pub(super) async fn delete(tool: &Tool, path: &str) -> (u16, Value) {
    parts(send(tool, Method::DELETE, path, None).await).await
}

async fn parts(response: Result<Response, reqwest::Error>) -> (u16, Value) {
    let response = response.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (
        status,
        if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap()
        },
    )
}

#[tokio::test]
async fn a_wrong_token_meets_the_vendors_401() {
    let sandbox = sandbox().await;
    for (tool, path, member) in [
        (&sandbox.hubspot, "/crm/v3/objects/contacts", "/category"),
        (&sandbox.pipedrive, "/api/v2/persons", "/success"),
        (&sandbox.zendesk, "/api/v2/users/me", "/error"),
    ] {
        let response = Client::new()
            .get(format!("{}{path}", tool.base_url))
            .bearer_auth("wrong")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let body: Value = response.json().await.unwrap();
        assert!(body.pointer(member).is_some(), "{body}");
    }
}

#[tokio::test]
async fn the_root_says_what_it_is() {
    let sandbox = sandbox().await;
    let text = reqwest::get(&sandbox.zendesk.base_url)
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(text.contains("sandbox") && text.contains("Zendesk"), "{text}");
}

#[tokio::test]
async fn shutdown_frees_the_port() {
    let sandbox = sandbox().await;
    let base = sandbox.hubspot.base_url.clone();
    sandbox.shutdown().await;
    assert!(reqwest::get(base).await.is_err());
}

#[tokio::test]
async fn serve_fills_the_tools() {
    let served = super::serve(Options::default(), &ToolName::EVERY, 5, 100)
        .await
        .unwrap();
    let objects: usize = served.summary.tools.iter().map(|tool| tool.objects).sum();
    assert_eq!(objects, served.people.objects.len());
    assert_eq!(served.truth.iter().count(), objects);
}

#[tokio::test]
async fn requests_are_logged_in_a_ring() {
    let sandbox = with(Options {
        log_rows_max: 2,
        ..Options::default()
    })
    .await;
    for _ in 0..3 {
        get(&sandbox.pipedrive, "/api/v2/persons?limit=1").await;
    }
    let log = sandbox.pipedrive.requests();
    assert_eq!((log.len(), sandbox.pipedrive.requests_total()), (2, 3));
    assert_eq!(
        (
            log[1].seq,
            log[1].method.as_str(),
            log[1].path.as_str(),
            log[1].query.as_str()
        ),
        (3, "GET", "/api/v2/persons", "limit=1")
    );
}

/// Not a benchmark: it only says that a page of 1000 is not slow by an order of magnitude.
#[tokio::test]
async fn reading_is_fast_enough() {
    let sandbox = sandbox().await;
    for n in 0..4_000 {
        sandbox.zendesk.seed(
            &serde_json::json!({"name": format!("N {n}"), "email": format!("n{n}@mail.example")}),
            0,
            n * 1_000,
        );
    }
    let start = sandbox.zendesk.requests_total();
    let mut path = "/api/v2/incremental/users/cursor?start_time=0&per_page=1000".to_owned();
    let mut rows = 0;
    loop {
        let (_, page) = get(&sandbox.zendesk, &path).await;
        rows += page["users"].as_array().unwrap().len();
        if page["end_of_stream"] == true {
            break;
        }
        path = format!(
            "/api/v2/incremental/users/cursor?per_page=1000&cursor={}",
            page["after_cursor"].as_str().unwrap()
        );
    }
    assert_eq!((rows, sandbox.zendesk.requests_total() - start), (4_000, 4));
}
