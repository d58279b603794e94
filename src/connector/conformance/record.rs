//! Makes a `tests.yaml` out of a live account: what the tool answers is masked, then played back, and what comes of it is
//! what the tests expect. Requests are those that the engine makes in that play: nothing of the live ones is kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use compact_str::CompactString;
use serde_json::{Map, Value as Json, json};

use super::compare::Came;
use super::{Connection, Runner, act};
use crate::connector::auth::exposed;
use crate::connector::http::Answer;
use crate::connector::{ConfigValue, Tape};
use crate::error::{Code, Failure, Problem};
use crate::manifest::mask::Mask;
use crate::manifest::tests::{Case, Exchange, Suite};
use crate::manifest::{Manifest, SettingType};
use crate::model::{Cursor, Incoming, UnixMillis, Value};

/// How many pages of a stream are recorded.
const PAGES: usize = 2;
/// How often another seed is tried when a fake happens to hold an original.
const SEEDS: u64 = 8;

/// What is recorded from.
pub struct Live<'a> {
    /// The system.
    pub connection: &'a dyn Connection,
    /// Keeps its answers.
    pub tape: &'a Tape,
    /// Its connector.
    pub manifest: &'a Manifest,
    /// The manifest's text.
    pub text: &'a str,
    /// What the admin set for it, secrets in clear: nothing of it may be left.
    pub config: &'a BTreeMap<CompactString, ConfigValue>,
}

impl Live<'_> {
    fn values(&self) -> BTreeMap<CompactString, String> {
        let text = |value: Json| match value {
            Json::String(text) => text,
            other => other.to_string(),
        };
        exposed(self.config)
            .into_iter()
            .map(|(name, value)| (name, text(value)))
            .collect()
    }
}

/// A recording.
pub struct Recording {
    /// The text of the `tests.yaml`.
    pub text: String,
    /// How many different values were replaced.
    pub masked: usize,
    /// How many tests it has.
    pub cases: usize,
}

/// One thing that was done, and what the tool answered.
struct Taken {
    name: String,
    act: Json,
    answers: Vec<Answer>,
    /// For `get` and `find`: the stream, and which of its records it was about.
    about: Option<(CompactString, usize)>,
}

/// Records `check`, the first pages, one `get` and one `find` of every stream. Writes nothing.
///
/// # Errors
/// When the tool refuses, or (never seen) an original value would be left.
pub async fn record(live: &Live<'_>, seed: u64, now: UnixMillis) -> Result<Recording, Problem> {
    let taken = take(live).await.map_err(|failure| failure.problem)?;
    let values = live.values();
    for attempt in 0..SEEDS {
        let mut mask = Mask::new(seed.wrapping_add(attempt), live.text);
        let config = config_of(live, &mut mask);
        let at = UnixMillis((now.0 + mask.shift_ms()) / 1000 * 1000);
        let cases = play(live, &taken, &mut mask, &config, at).await?;
        let secrets = values.values().map(String::as_str).filter(|value| value.len() >= 4);
        let originals: Vec<String> = mask.originals().chain(secrets).map(str::to_lowercase).collect();
        if cases.iter().all(|case| is_clean(&case.seen, &originals)) {
            return Ok(Recording {
                text: text_of(live.manifest, &config, at, &cases),
                masked: originals.len(),
                cases: cases.len(),
            });
        }
    }
    let problem = Problem::new(
        Code::RecordLeaks,
        "an original value would be left in the recording; nothing was written",
    );
    Err(problem)
}

async fn take(live: &Live<'_>) -> Result<Vec<Taken>, Failure> {
    let mut taken = Vec::new();
    drop(live.tape.take());
    if live.manifest.check.is_some() {
        live.connection.check().await?;
        taken.push(Taken {
            name: "the credential is proven".to_owned(),
            act: json!({"check": true}),
            answers: live.tape.take(),
            about: None,
        });
    }
    for (name, object) in &live.manifest.objects {
        if object.read.is_none() {
            continue;
        }
        let records = read(live, name, &mut taken).await?;
        let first = records
            .iter()
            .position(|record| !record.deleted && record.problem.is_none());
        let Some((at, record)) = first.and_then(|at| Some((at, records.get(at)?))) else {
            continue;
        };
        if object.get.is_some() {
            live.connection.get(name, std::slice::from_ref(&record.remote)).await?;
            taken.push(Taken {
                name: format!("{name}: one is read by its id"),
                act: json!({"get": {"object": name}}),
                answers: live.tape.take(),
                about: Some((name.clone(), at)),
            });
        }
        for by in object.find.keys() {
            let Some(value @ Value::Text(_)) = record.fields.value(by.as_str()) else {
                continue;
            };
            live.connection.find(name, &by.as_str().into(), value).await?;
            taken.push(Taken {
                name: format!("{name}: one is looked up by {by}"),
                act: json!({"find": {"object": name, "by": by}}),
                answers: live.tape.take(),
                about: Some((name.clone(), at)),
            });
        }
    }
    Ok(taken)
}

async fn read(live: &Live<'_>, name: &CompactString, taken: &mut Vec<Taken>) -> Result<Vec<Incoming>, Failure> {
    let begun = beginning(live, name);
    let mut cursor = begun.clone();
    let mut records = Vec::new();
    let mut pages = 0;
    while pages < PAGES {
        let page = live.connection.pull(name, cursor.as_ref()).await?;
        pages += 1;
        records.extend(page.records);
        if page.is_caught_up {
            break;
        }
        cursor = Some(page.next);
    }
    taken.push(Taken {
        name: format!("{name}: the first pages"),
        act: match begun {
            Some(Cursor(begun)) => json!({"read": {"object": name, "pages": pages, "cursor": begun}}),
            None => json!({"read": {"object": name, "pages": pages}}),
        },
        answers: live.tape.take(),
        about: None,
    });
    Ok(records)
}

/// Where reading begins. Where the first one is made by a job of the tool, at a cursor from which it goes page by page:
/// nothing is left for a job to do when the last sweep is still to come.
fn beginning(live: &Live<'_>, name: &CompactString) -> Option<Cursor> {
    let read = live.manifest.objects.get(name)?.read.as_ref()?;
    let start = read.job.as_ref().and(read.window.as_ref())?.start.0;
    Some(Cursor(
        json!({"v": 1, "since": start, "swept_at": 4_102_444_800_000_i64}).to_string(),
    ))
}

/// Settings for the tests: of the kind and shape of the real ones.
fn config_of(live: &Live<'_>, mask: &mut Mask) -> Map<String, Json> {
    let mut config = Map::new();
    let values = live.values();
    for (name, setting) in &live.manifest.config {
        let Some(real) = values.get(name) else { continue };
        let value = match setting.kind {
            SettingType::Bool => Json::Bool(real == "true"),
            SettingType::Int => real.parse::<i64>().map_or_else(|_| Json::from(1), Json::from),
            SettingType::Url => "https://tool.example.com".into(),
            SettingType::Text => mask.text(real).into(),
        };
        config.insert(name.to_string(), value);
    }
    config
}

/// A test in the making.
struct Played {
    name: String,
    act: Json,
    http: Vec<Json>,
    expect: Json,
    /// Everything in it that came from the tool.
    seen: Json,
}

async fn play(
    live: &Live<'_>,
    taken: &[Taken],
    mask: &mut Mask,
    config: &Map<String, Json>,
    now: UnixMillis,
) -> Result<Vec<Played>, Problem> {
    let bug = |why: String| Problem::new(Code::Bug, format!("the recording cannot be played: {why}"));
    let suite = Suite {
        server: None,
        config: config
            .iter()
            .map(|(name, value)| (name.as_str().into(), value.clone()))
            .collect(),
        now: None,
        tests: Vec::new(),
    };
    let runner = Runner {
        manifest: live.manifest,
        suite: &suite,
    };
    let mut read: BTreeMap<CompactString, Vec<Incoming>> = BTreeMap::new();
    let mut played = Vec::new();
    for one in taken {
        let mut act_of = one.act.clone();
        if let Some((stream, at)) = &one.about {
            let Some(record) = read.get(stream).and_then(|records| records.get(*at)) else {
                continue;
            };
            if let Some(get) = act_of.get_mut("get").and_then(Json::as_object_mut) {
                get.insert("ids".to_owned(), json!([record.remote]));
            }
            if let Some(find) = act_of.get_mut("find").and_then(Json::as_object_mut) {
                let by = find.get("by").and_then(Json::as_str).unwrap_or_default();
                let Some(value) = record.fields.value(by).map(ToString::to_string) else {
                    continue;
                };
                find.insert("value".to_owned(), value.into());
            }
        }
        let answers: Vec<Json> = one.answers.iter().map(|answer| answered(live, answer, mask)).collect();
        let http: Vec<Json> = answers
            .iter()
            .map(|answer| json!({"request": {"method": "GET", "path": "/"}, "response": answer}))
            .collect();
        let mut whole = act_of.clone();
        if let Some(members) = whole.as_object_mut() {
            members.insert("name".to_owned(), one.name.clone().into());
            members.insert("now".to_owned(), now.to_string().into());
            members.insert("http".to_owned(), http.into());
            members.insert("expect".to_owned(), json!({}));
        }
        let case: Case = serde_json::from_value(whole).map_err(|error| bug(error.to_string()))?;
        let (exchanges, came) = runner.follow(&case).await.map_err(bug)?;
        let http: Vec<Json> = exchanges
            .iter()
            .zip(answers)
            .map(|(exchange, answer)| json!({"request": request(exchange), "response": answer}))
            .collect();
        let expect = expected(&came);
        if let Some(name) = one.act.pointer("/read/object").and_then(Json::as_str) {
            read.insert(name.into(), came.records);
        }
        played.push(Played {
            seen: json!([http, expect, act_of]),
            name: one.name.clone(),
            act: act_of,
            http,
            expect,
        });
    }
    Ok(played)
}

fn answered(live: &Live<'_>, answer: &Answer, mask: &mut Mask) -> Json {
    let (origin, prefix) = split(live.tape.base());
    let mut out = Map::new();
    out.insert("status".to_owned(), answer.status.into());
    let mut headers = Map::new();
    for (name, value) in &answer.headers {
        let is_used =
            live.text.contains(&format!("header:{name}")) || (name == "link" && live.text.contains("by: link"));
        if let (true, Ok(text)) = (is_used, value.to_str()) {
            let text = text.replace(&format!("{origin}{prefix}"), "");
            headers.insert(name.to_string(), mask.text(&text).into());
        }
    }
    if !headers.is_empty() {
        out.insert("headers".to_owned(), headers.into());
    }
    if let Ok(body) = serde_json::from_slice::<Json>(&answer.body) {
        out.insert("body".to_owned(), mask.json(&body, origin, prefix));
    }
    out.into()
}

/// `https://api.example.com` and `/v1`.
fn split(base: &str) -> (&str, &str) {
    let host = base.find("://").map_or(0, |at| at + 3);
    let end = base
        .get(host..)
        .and_then(|rest| rest.find('/'))
        .map_or(base.len(), |at| host + at);
    (
        base.get(..end).unwrap_or(base),
        base.get(end..).unwrap_or_default().trim_end_matches('/'),
    )
}

fn request(exchange: &Exchange) -> Json {
    let request = &exchange.request;
    let mut out = Map::new();
    out.insert("method".to_owned(), request.method.as_str().into());
    out.insert("path".to_owned(), request.path.as_str().into());
    let query = request.query.iter().flatten();
    let query: Map<String, Json> = query
        .map(|(name, values)| match values.0.as_slice() {
            [one] => (name.to_string(), Json::from(one.as_str())),
            many => (name.to_string(), json!(many)),
        })
        .collect();
    if !query.is_empty() {
        out.insert("query".to_owned(), query.into());
    }
    out.extend(request.body.iter().map(|body| ("body".to_owned(), body.clone())));
    out.into()
}

fn expected(came: &Came) -> Json {
    if let Some(failure) = &came.failure {
        return json!({"failure": failure.class});
    }
    if came.records.is_empty() {
        return json!({});
    }
    let record = |record: &Incoming| {
        let mut fields = record.fields.clone();
        fields.0.retain(|name, _| !name.as_str().starts_with('_'));
        let mut out = Map::new();
        out.insert("id".to_owned(), record.remote.as_str().into());
        out.insert("fields".to_owned(), json!(fields));
        out.extend(
            record
                .updated_at
                .map(|at| ("updated_at".to_owned(), at.to_string().into())),
        );
        out.extend(record.deleted.then(|| ("deleted".to_owned(), true.into())));
        out.extend(record.problem.as_ref().map(|_| ("problem".to_owned(), true.into())));
        out.extend(record.key.map(|key| ("key".to_owned(), json!(key))));
        Json::Object(out)
    };
    json!({"records": came.records.iter().map(record).collect::<Vec<_>>()})
}

/// True when no scalar of `value` holds one of these.
fn is_clean(value: &Json, originals: &[String]) -> bool {
    match value {
        Json::Object(members) => members.values().all(|member| is_clean(member, originals)),
        Json::Array(items) => items.iter().all(|item| is_clean(item, originals)),
        Json::String(text) => {
            let text = text.to_lowercase();
            !originals.iter().any(|original| text.contains(original))
        }
        Json::Number(number) => !originals.contains(&number.to_string()),
        Json::Bool(_) | Json::Null => true,
    }
}

fn text_of(manifest: &Manifest, config: &Map<String, Json>, now: UnixMillis, cases: &[Played]) -> String {
    let mut text = format!(
        "# Recorded by `nivel connector record` from a live {} and masked: nobody in here exists.\n",
        manifest.connector
    );
    let mut add = |line: String| {
        // Writing to a `String` cannot fail.
        if writeln!(text, "{line}").is_err() {
            text.push('\n');
        }
    };
    add(format!("config: {}", Json::Object(config.clone())));
    add(format!("now: {now}"));
    add("tests:".to_owned());
    for case in cases {
        add(format!("  - name: {}", Json::from(case.name.as_str())));
        for (what, value) in case.act.as_object().into_iter().flatten() {
            add(format!("    {what}: {value}"));
        }
        add("    http:".to_owned());
        for exchange in &case.http {
            add(format!(
                "      - request: {}",
                exchange.get("request").unwrap_or(&Json::Null)
            ));
            add(format!(
                "        response: {}",
                exchange.get("response").unwrap_or(&Json::Null)
            ));
        }
        add(format!("    expect: {}", case.expect));
    }
    text
}

impl Runner<'_> {
    /// Answers whatever is asked with the case's answers in their order; the requests that came, and what came of them.
    async fn follow(&self, case: &Case) -> Result<(Vec<Exchange>, Came), String> {
        let stage = self.stage(case, case.http.clone()).await?;
        stage.server.follow();
        let connection = stage.connection(self.manifest)?;
        let came = act(&*connection, case).await;
        Ok((stage.server.exchanges(), came))
    }
}
