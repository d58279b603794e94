//! Everything by a job of the tool, against a tool whose jobs fail, are forgotten, or never end.

use super::*;

const BY_JOB: &str = "{window: {start: 1970-01-01T00:01:40Z, lag: 1s, overlap: 10s}, full: {every: 1h}, \
    request: GET /things, query: {since: '{{ window.since }}'}, records: rows, \
    job: {request: POST /jobs, query: {until: '{{ window.until }}'}, id: job.id, poll: 'GET /jobs/{{ job.id }}', every: 8s, \
    done: state == 'done', failed: state == 'bad', timeout: 100s, cancel: {request: 'POST /jobs/{{ job.id }}/stop'}, \
    results: {request: 'GET /jobs/{{ job.id }}/rows', format: csv, page: {by: offset, to: query.offset, step: 2, size: 2}}}}";

/// What a tool's job does when it is asked about for the `polls`th time.
type Fate = dyn Fn(u64, u64) -> Reply + Send + Sync;

/// A tool with five objects, whose jobs end as `fate` says of the job and the question; and everything it was asked.
async fn scene(fate: Box<Fate>) -> (Scene, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let (begun, polls) = (Mutex::new(0), Mutex::new(0));
    let scene = Scene::new(BY_JOB, move |path, query| {
        seen.lock().unwrap().push(path.to_owned());
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match parts.as_slice() {
            ["things"] => (200, json!({"rows": [row(5, 900)]})),
            ["jobs"] => {
                *begun.lock().unwrap() += 1;
                *polls.lock().unwrap() = 0;
                (200, json!({"job": {"id": *begun.lock().unwrap()}}))
            }
            ["jobs", id] => {
                *polls.lock().unwrap() += 1;
                fate(id.parse().unwrap(), *polls.lock().unwrap())
            }
            ["jobs", _, "stop"] => (200, json!({})),
            ["jobs", id, "rows"] if fate(id.parse().unwrap(), 0).0 == 404 => (404, json!({})),
            ["jobs", _, "rows"] => {
                let from = number(query, "offset") + 1;
                let rows = (from..=5).take(2).map(|id| format!("{id},{},N {id}\n", id * 10));
                (
                    200,
                    Json::String(["id,at,name\n".to_owned()].into_iter().chain(rows).collect()),
                )
            }
            _ => (500, json!({})),
        }
    });
    (scene.await, asked)
}

fn state(state: &str) -> Reply {
    (200, json!({"state": state}))
}

fn count(asked: &Mutex<Vec<String>>, path: &str) -> usize {
    asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
}

#[tokio::test]
async fn everything_is_made_by_a_job_and_changes_are_not() {
    let (mut scene, asked) = scene(Box::new(|_, polls| state(if polls < 3 { "works" } else { "done" }))).await;
    assert_eq!(scene.ids().await, (1..=5).collect());
    assert_eq!(
        (
            count(&asked, "/jobs"),
            count(&asked, "/jobs/1"),
            count(&asked, "/jobs/1/rows")
        ),
        (1, 3, 3)
    );
    assert_eq!(count(&asked, "/things"), 0);
    scene.advance(60);
    let (records, _) = scene.read().await.unwrap();
    assert_eq!(
        (records.len(), count(&asked, "/jobs"), count(&asked, "/things")),
        (1, 1, 1)
    );
    scene.advance(3600);
    let (records, sweep_ended) = scene.read().await.unwrap();
    assert_eq!(
        (records.len(), sweep_ended),
        (1 + 5 + 1, true),
        "changes, the sweep, and what changed meanwhile"
    );
    assert_eq!((count(&asked, "/jobs"), count(&asked, "/things")), (2, 3));
}

#[tokio::test]
async fn a_job_that_fails_is_begun_anew_and_in_the_end_there_are_pages() {
    let (mut scene, asked) = self::scene(Box::new(|id, _| state(if id < 3 { "bad" } else { "done" }))).await;
    assert_eq!(scene.ids().await, (1..=5).collect());
    assert_eq!(count(&asked, "/jobs"), 3);
    let (mut scene, asked) = self::scene(Box::new(|_, _| state("bad"))).await;
    assert_eq!(scene.ids().await, (5..=5).collect());
    assert_eq!((count(&asked, "/jobs"), count(&asked, "/things")), (3, 1));
}

#[tokio::test]
async fn a_job_that_the_tool_forgot_is_begun_anew() {
    let (mut scene, asked) = self::scene(Box::new(|id, polls| match (id, polls) {
        (1, _) => (404, json!({})),
        // Forgotten when its result is fetched.
        (2, 0) => (404, json!({})),
        _ => state("done"),
    }))
    .await;
    assert_eq!(scene.ids().await, (1..=5).collect());
    assert_eq!((count(&asked, "/jobs"), count(&asked, "/jobs/2/rows")), (3, 1));
}

#[tokio::test]
async fn a_job_that_never_ends_is_called_off() {
    let (mut scene, asked) = self::scene(Box::new(|id, _| state(if id == 1 { "works" } else { "done" }))).await;
    let mut ids = BTreeSet::new();
    loop {
        let page = scene.connection.pull("thing", scene.cursor.as_ref()).await.unwrap();
        ids.extend(page.records.into_iter().map(|record| record.remote));
        scene.cursor = Some(page.next);
        scene.advance(20);
        if page.is_caught_up {
            break;
        }
    }
    assert_eq!(ids.len(), 5);
    let asked = asked.lock().unwrap().clone();
    let stopped = asked.iter().position(|path| path == "/jobs/1/stop").unwrap();
    assert_eq!(asked[stopped + 1], "/jobs", "called off, then begun anew: {asked:?}");
}

/// Every page is asked for twice, as after a kill before its commit.
#[tokio::test]
async fn a_job_goes_on_in_another_process() {
    let (mut scene, asked) = self::scene(Box::new(|_, polls| state(if polls < 3 { "works" } else { "done" }))).await;
    let mut ids = BTreeSet::new();
    loop {
        let lost = scene.connection.pull("thing", scene.cursor.as_ref()).await.unwrap();
        drop(lost);
        let page = scene.connection.pull("thing", scene.cursor.as_ref()).await.unwrap();
        ids.extend(page.records.into_iter().map(|record| record.remote));
        scene.cursor = Some(page.next);
        if page.is_caught_up {
            break;
        }
    }
    assert_eq!(ids.len(), 5);
    assert_eq!(
        count(&asked, "/jobs"),
        2,
        "the one that nobody noted, and the one that was followed"
    );
    assert_eq!(count(&asked, "/jobs/1/rows"), 0);
}
