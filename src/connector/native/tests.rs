//! Reading, against small tools that answer from a closure.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::connector::timer::JumpTimer;
use crate::model::{TestClock, UnixMillis};

mod jobs;
mod parents;

type Query = BTreeMap<String, String>;
type Reply = (u16, Json);
type Handler = dyn Fn(&str, &Query) -> Reply + Send + Sync;

/// 1000 seconds after the beginning of the tools' time.
const NOW: UnixMillis = UnixMillis(1_000_000);

struct Tool {
    answer: Box<Handler>,
    asked: Mutex<Vec<Query>>,
    date: Mutex<UnixMillis>,
}

async fn serve(State(tool): State<Arc<Tool>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let query: Query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let (status, body) = (tool.answer)(request.uri().path(), &query);
    tool.asked.lock().unwrap().push(query);
    let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    let mut response = Response::new(text.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let date = jiff::Timestamp::from_millisecond(tool.date.lock().unwrap().0).unwrap();
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&date)
        .unwrap();
    response
        .headers_mut()
        .insert(header::DATE, HeaderValue::from_str(&date).unwrap());
    response
}

struct Scene {
    tool: Arc<Tool>,
    clock: Arc<TestClock>,
    connection: Arc<dyn Connection>,
    cursor: Option<Cursor>,
}

impl Scene {
    /// A tool, and a manifest whose `read` is given.
    async fn new(read: &str, answer: impl Fn(&str, &Query) -> Reply + Send + Sync + 'static) -> Self {
        let tool = Arc::new(Tool {
            answer: Box::new(answer),
            asked: Mutex::default(),
            date: Mutex::new(NOW),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(serve).with_state(Arc::clone(&tool));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let yaml = format!(
            "connector: test\nformat: 1\nbase: https://nowhere.example\nobjects:\n  thing:\n    id: id\n    modified: {{at: at, format: s}}\n    read: {read}\n    fields: {{full_name: name}}\n"
        );
        let manifest = Manifest::parse("test", &yaml).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let clock = Arc::new(TestClock::at(NOW));
        let mut settings = ConnectionSettings::new("test");
        settings.base = Some(base);
        settings.clock = clock.clone();
        settings.timer = Arc::new(JumpTimer::default());
        settings.removals_every = Duration::ZERO;
        Self {
            tool,
            clock,
            connection: super::build(manifest, settings).unwrap(),
            cursor: None,
        }
    }

    fn advance(&self, seconds: u64) {
        let by = Duration::from_secs(seconds);
        self.clock.advance(by);
        let mut date = self.tool.date.lock().unwrap();
        *date = date.plus(by);
    }

    /// Everything until caught up; also whether a sweep ended.
    async fn read(&mut self) -> Result<(Vec<Incoming>, bool), Failure> {
        let mut records = Vec::new();
        let mut sweep_ended = false;
        for _ in 0..2000 {
            let page = self.connection.pull("thing", self.cursor.as_ref()).await?;
            records.extend(page.records);
            sweep_ended |= page.sweep.is_some_and(|sweep| sweep.is_over && !sweep.is_flawed);
            self.cursor = Some(page.next);
            if page.is_caught_up {
                return Ok((records, sweep_ended));
            }
        }
        panic!("never caught up");
    }

    async fn ids(&mut self) -> BTreeSet<u64> {
        let (records, _) = self.read().await.unwrap();
        records.iter().map(|record| record.remote.parse().unwrap()).collect()
    }

    async fn code(&mut self) -> Code {
        self.read().await.unwrap_err().problem.code
    }

    fn asked(&self) -> Vec<Query> {
        std::mem::take(&mut *self.tool.asked.lock().unwrap())
    }
}

fn number(query: &Query, name: &str) -> u64 {
    query.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn row(id: u64, at: u64) -> Json {
    json!({"id": id, "at": at, "name": format!("N {id}")})
}

/// A tool whose object `id` changed at `at(id)`, listed by offset inside the window, never beyond `ceiling` rows.
fn listed(
    count: u64,
    ceiling: u64,
    at: impl Fn(u64) -> u64 + Send + Sync,
) -> impl Fn(&str, &Query) -> Reply + Send + Sync {
    move |_, query| {
        let (since, until, offset) = (number(query, "since"), number(query, "until"), number(query, "offset"));
        if offset >= ceiling {
            return (400, json!({"message": "too deep"}));
        }
        let rows: Vec<_> = (1..=count)
            .filter(|id| (since..until).contains(&at(*id)))
            .map(|id| row(id, at(id)))
            .collect();
        let page: Vec<_> = rows
            .iter()
            .take(usize::try_from(ceiling).unwrap())
            .skip(usize::try_from(offset).unwrap())
            .take(10)
            .collect();
        (200, json!({"rows": page, "total": rows.len()}))
    }
}

const BY_OFFSET: &str = "{window: {start: \"1970-01-01T00:00:00Z\", lag: 0s, overlap: 0s, ceiling: {rows: 30}}, request: GET /things, query: {since: \"{{ window.since | s }}\", until: \"{{ window.until | s }}\"}, records: rows, page: {by: offset, to: query.offset, step: 10, size: 10}}";

#[tokio::test]
async fn p06_a_ceiling_is_split_around() {
    let mut scene = Scene::new(BY_OFFSET, listed(400, 30, |id| id * 2)).await;
    assert_eq!(scene.ids().await, (1..=400).collect());
    scene.advance(10);
    assert!(scene.ids().await.is_empty());
}

#[tokio::test]
async fn p09_a_ceiling_of_pages_is_split_around() {
    let by_pages = BY_OFFSET.replace("ceiling: {rows: 30}", "ceiling: {pages: 3}");
    let mut scene = Scene::new(&by_pages, listed(400, 30, |id| id * 2)).await;
    assert_eq!(scene.ids().await, (1..=400).collect());
}

#[tokio::test]
async fn p05_a_second_with_more_rows_than_the_ceiling_is_told() {
    let mut scene = Scene::new(BY_OFFSET, listed(100, 30, |_| 500)).await;
    assert_eq!(scene.code().await, Code::CeilingMet);
}

#[tokio::test]
async fn a_total_that_moves_begins_the_list_again() {
    let read = BY_OFFSET
        .replace("size: 10}", "total: total, guard: total}")
        .replace(", ceiling: {rows: 30}", "");
    let calls = Mutex::new(0);
    let tool = listed(35, 1000, |id| id * 2);
    // After the first page an object of it changes and leaves the window, so that every later row moves up by one.
    let moved = listed(35, 1000, |id| if id == 1 { 5000 } else { id * 2 });
    let mut scene = Scene::new(&read, move |path, query| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        if *calls == 1 {
            tool(path, query)
        } else {
            moved(path, query)
        }
    })
    .await;
    assert_eq!(scene.ids().await, (1..=35).collect());
    let offsets: Vec<u64> = scene.asked().iter().map(|query| number(query, "offset")).collect();
    assert_eq!(offsets, [0, 10, 0, 10, 20, 30]);
}

#[tokio::test]
async fn latest_first_stops_at_the_watermark() {
    let read = "{window: {start: \"1970-01-01T00:00:00Z\", lag: 0s, overlap: 5s, order: newest}, request: GET /things, records: rows, page: {by: page, to: query.page}}";
    let edited = Arc::new(Mutex::new(0));
    let late = Arc::clone(&edited);
    let mut scene = Scene::new(read, move |_, query| {
        let edited = *late.lock().unwrap();
        let at = |id: u64| if id == edited { 1005 } else { id * 10 };
        let mut ids: Vec<u64> = (1..=60).collect();
        ids.sort_by_key(|id| std::cmp::Reverse(at(*id)));
        let skip = usize::try_from(number(query, "page") - 1).unwrap() * 10;
        (
            200,
            json!({"rows": ids.iter().skip(skip).take(10).map(|id| row(*id, at(*id))).collect::<Vec<_>>()}),
        )
    })
    .await;
    assert_eq!(scene.ids().await, (1..=60).collect());
    scene.asked();
    *edited.lock().unwrap() = 7;
    scene.advance(10);
    assert!(scene.ids().await.contains(&7));
    assert_eq!(scene.asked().len(), 1, "one page reaches the watermark");
}

#[tokio::test]
async fn every_partition_is_read() {
    let read = "{window: {start: \"1970-01-01T00:00:00Z\", lag: 0s, overlap: 0s}, partition: {status: [a, b], kind: [x, y]}, request: GET /things, query: {q: \"{{ part.status }}{{ part.kind }}\"}, records: rows}";
    let mut scene = Scene::new(read, |_, query| {
        let id = match query["q"].as_str() {
            "ax" => 1,
            "ay" => 2,
            "bx" => 3,
            _ => 4,
        };
        (200, json!({"rows": [row(id, 1)]}))
    })
    .await;
    assert_eq!(scene.ids().await, (1..=4).collect());
}

#[tokio::test]
async fn p07_a_list_that_does_not_advance_is_told() {
    let by = |page: &str| format!("{{full: {{every: 1d}}, request: GET /things, records: rows, page: {page}}}");
    let same = |_: &str, _: &Query| (200, json!({"rows": [row(1, 1), row(2, 2)], "next": "x"}));
    let circle = |_: &str, query: &Query| {
        let next = (number(query, "t") + 1) % 3 + 3;
        (200, json!({"rows": [row(next, 1)], "next": next.to_string()}))
    };
    let empty = |_: &str, query: &Query| (200, json!({"rows": [], "next": (number(query, "t") + 1).to_string()}));
    let token = by("{by: token, from: next, to: query.t}");
    assert_eq!(
        Scene::new(&token, same).await.code().await,
        Code::NoProgress,
        "the same token"
    );
    assert_eq!(
        Scene::new(&token, circle).await.code().await,
        Code::NoProgress,
        "a circle of tokens"
    );
    assert_eq!(
        Scene::new(&token, empty).await.code().await,
        Code::NoProgress,
        "empty pages for ever"
    );
    let page = by("{by: page, to: query.page}");
    assert_eq!(
        Scene::new(&page, same).await.code().await,
        Code::NoProgress,
        "the page number is ignored"
    );
}

#[tokio::test]
async fn a_next_page_on_another_host_is_never_asked() {
    let read = "{full: {every: 1d}, request: GET /things, records: rows, page: {by: next_url, from: next}}";
    let elsewhere = |_: &str, _: &Query| (200, json!({"rows": [row(1, 1)], "next": "http://127.0.0.2:1/steal"}));
    assert_eq!(Scene::new(read, elsewhere).await.code().await, Code::NotTheAnswer);
    let relative = |path: &str, _: &Query| match path {
        "/things" => (200, json!({"rows": [row(1, 1)], "next": "/more?x=1"})),
        _ => (200, json!({"rows": [row(2, 1)]})),
    };
    assert_eq!(Scene::new(read, relative).await.ids().await, (1..=2).collect());
}

#[tokio::test]
async fn h1_6_a_forgotten_cursor_means_reading_from_the_start() {
    let read = "{cursor: {opaque: next, to: query.c, start: {query.from: \"{{ since | s }}\"}}, request: GET /things, records: rows, page: {by: cursor, until: end}}";
    let is_expired = Arc::new(Mutex::new(false));
    let expired = Arc::clone(&is_expired);
    let mut scene = Scene::new(read, move |_, query| match query.get("c") {
        Some(_) if *expired.lock().unwrap() => (410, json!({})),
        _ => (200, json!({"rows": [row(1, 1)], "next": "c1", "end": true})),
    })
    .await;
    assert_eq!(scene.ids().await, (1..=1).collect());
    scene.advance(10);
    *is_expired.lock().unwrap() = true;
    scene.asked();
    assert_eq!(scene.ids().await, (1..=1).collect());
    let asked: Vec<_> = scene
        .asked()
        .into_iter()
        .map(|query| query.into_keys().collect::<String>())
        .collect();
    assert_eq!(asked, ["c", "from"]);
}

#[tokio::test]
async fn p51_a_sweep_ends_when_all_is_read_and_is_due_again_later() {
    let read = "{full: {every: 1h}, request: GET /things, records: rows, page: {by: page, to: query.page, size: 2}}";
    let mut scene = Scene::new(read, |_, query| match number(query, "page") {
        1 => (200, json!({"rows": [row(1, 1), row(2, 1)]})),
        2 => (200, json!({"rows": [row(3, 1)]})),
        _ => (500, json!({})),
    })
    .await;
    let (records, sweep_ended) = scene.read().await.unwrap();
    assert_eq!((records.len(), sweep_ended), (3, true));
    scene.advance(600);
    assert_eq!(scene.read().await.unwrap(), (Vec::new(), false), "not due yet");
    scene.advance(3600);
    assert!(scene.read().await.unwrap().1);
}

#[tokio::test]
async fn p01_the_state_is_bounded_by_their_clock_when_ours_is_ahead() {
    let mut scene = Scene::new(BY_OFFSET, listed(400, 30, |id| if id == 400 { 850 } else { id * 2 })).await;
    // Our clock shows 1000 s, theirs 700 s: the object that changes at 850 s is still to come.
    *scene.tool.date.lock().unwrap() = UnixMillis(700_000);
    scene.ids().await;
    let place = Place::parse(scene.cursor.as_ref()).unwrap();
    assert_eq!(place.since, Some(UnixMillis(700_000)));
    scene.advance(200);
    assert!(scene.ids().await.contains(&400));
}

#[tokio::test]
async fn an_answer_without_its_list_is_never_an_empty_list() {
    let whole = "{full: {every: 1h}, request: GET /things, records: '.'}";
    let mut scene = Scene::new(whole, |_, _| (200, json!({"message": "no list"}))).await;
    assert_eq!(
        scene.code().await,
        Code::NotTheAnswer,
        "a list that is the whole answer"
    );
    let read = "{full: {every: 1h}, request: GET /things, records: rows}";
    for body in [json!({}), json!({"rows": "none"}), json!([])] {
        let mut scene = Scene::new(read, move |_, _| (200, body.clone())).await;
        assert_eq!(scene.code().await, Code::NotTheAnswer);
    }
    let mut scene = Scene::new(read, |_, _| (200, json!({"rows": []}))).await;
    assert!(scene.ids().await.is_empty());
}

#[tokio::test]
async fn a_delta_link_is_the_address_of_the_next_reading() {
    let read = "{cursor: {opaque: '[\"@delta\"]', to: url, start: {query.track: \"yes\"}, commit: end}, request: GET /things, query: {fields: id}, records: rows, page: {by: next_url, from: next}, deleted: \"{{ record.reason == 'deleted' }}\"}";
    let mut scene = Scene::new(read, |path, query| match (path, query.get("p"), query.get("d")) {
        ("/things", Some(_), _) => (200, json!({"rows": [row(2, 1)], "@delta": "/things?d=1"})),
        ("/things", _, Some(_)) => (
            200,
            json!({"rows": [{"id": 1, "reason": "deleted"}], "@delta": "/things?d=2"}),
        ),
        _ => (200, json!({"rows": [row(1, 1)], "next": "/things?p=2"})),
    })
    .await;
    assert_eq!(scene.ids().await, (1..=2).collect());
    let names = |scene: &Scene| -> Vec<String> {
        let asked = scene.asked().into_iter();
        asked
            .map(|query| query.into_keys().collect::<Vec<_>>().join(","))
            .collect()
    };
    assert_eq!(names(&scene), ["fields,track", "p"], "an address says all by itself");
    scene.advance(10);
    let (records, _) = scene.read().await.unwrap();
    assert!(records.iter().all(|record| record.deleted && record.remote == "1"));
    assert_eq!(names(&scene), ["d"]);
    let untracked = |_: &str, _: &Query| (200, json!({"rows": [row(1, 1)]}));
    assert_eq!(
        Scene::new(read, untracked).await.code().await,
        Code::NotTheAnswer,
        "without a delta link the state would stand still"
    );
    let elsewhere = |_: &str, _: &Query| (200, json!({"rows": [row(1, 1)], "@delta": "http://127.0.0.2:1/steal"}));
    assert_eq!(Scene::new(read, elsewhere).await.code().await, Code::NotTheAnswer);
}

#[tokio::test]
async fn a_page_that_the_tool_forgot_begins_its_list_again() {
    let read = "{full: {every: 1d}, request: GET /things, records: rows, page: {by: token, from: next, to: query.t}}";
    let forgets = Arc::new(Mutex::new(2));
    let left = Arc::clone(&forgets);
    let mut scene = Scene::new(read, move |_, query| {
        let mut left = left.lock().unwrap();
        match query.get("t") {
            Some(_) if *left > 0 => {
                *left -= 1;
                (404, json!({"message": "scroll expired"}))
            }
            Some(_) => (200, json!({"rows": [row(2, 1)]})),
            None => (200, json!({"rows": [row(1, 1)], "next": "x"})),
        }
    })
    .await;
    let (records, sweep_ended) = scene.read().await.unwrap();
    let ids: BTreeSet<_> = records.iter().map(|record| record.remote.as_str()).collect();
    assert_eq!((ids, sweep_ended), (BTreeSet::from(["1", "2"]), true));
    assert_eq!(
        scene.asked().len(),
        6,
        "three times the first page, three times the second"
    );
    // A list that is not there at all is told.
    let mut scene = Scene::new(read, |_, _| (404, json!({}))).await;
    assert!(scene.read().await.is_err());
}
