//! Salesforce's query jobs (Bulk API 2.0, VENDORS.md B1.6): a query is handed in, and its result fetched as a table.
//!
//! A job moves on by one state whenever it is asked about. Where the sheet is silent: a result that is not there yet is
//! `INVALIDJOBSTATE`, and the bytes of a table have every value in quotes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::super::store::Store;
use super::super::wire::{Ask, Reply, seal, unseal};
use super::reads::found;
use super::soql::Query;
use super::{Kind, Salesforce, error, ids, not_found, time};

/// Rows of one answer when nothing is asked for.
const ROWS: usize = 10_000;
/// What ids of jobs begin with.
const PREFIX: &str = "750";

struct Job {
    operation: String,
    query: Query,
    kind: &'static Kind,
    state: &'static str,
    created_ms: i64,
    rows: Vec<Vec<String>>,
}

/// The query jobs of the account.
#[derive(Default)]
pub(super) struct Jobs(Mutex<BTreeMap<u64, Job>>);

impl Jobs {
    fn all(&self) -> MutexGuard<'_, BTreeMap<u64, Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn shown(&self, id: &str) -> Value {
        json!({"id": id, "operation": self.operation, "object": self.kind.name, "createdDate": time(self.created_ms),
            "state": self.state, "concurrencyMode": "Parallel", "contentType": "CSV", "apiVersion": 60.0,
            "lineEnding": "LF", "columnDelimiter": "COMMA", "numberRecordsProcessed": self.rows.len()})
    }

    fn table(&self, from: usize, count: usize) -> String {
        let quoted = |value: &String| format!("\"{}\"", value.replace('"', "\"\""));
        let line = |values: &Vec<String>| values.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n";
        let rows = self.rows.iter().skip(from).take(count).map(line);
        [line(&self.query.fields)].into_iter().chain(rows).collect()
    }
}

impl Salesforce {
    /// Everything behind `/jobs/query`.
    pub(super) fn jobs(&self, store: &mut Store, ask: &Ask, parts: &[&str]) -> Reply {
        let named = parts.first().map(|id| (*id, ids::number_of(PREFIX, id)));
        let mut jobs = self.jobs.all();
        let Some((id, number)) = named else {
            return if ask.method == "POST" {
                self.begin(&mut jobs, ask)
            } else {
                not_found()
            };
        };
        let Some((number, job)) = number.and_then(|number| Some((number, jobs.get_mut(&number)?))) else {
            return not_found();
        };
        match (ask.method.as_str(), parts) {
            ("GET", [_]) => {
                self.go_on(store, job);
                Reply::json(200, job.shown(id))
            }
            ("GET", [_, "results"]) => results(job, ask),
            ("PATCH", [_]) => {
                job.state = "Aborted";
                Reply::json(200, job.shown(id))
            }
            ("DELETE", [_]) => {
                jobs.remove(&number);
                Reply::empty(204)
            }
            _ => not_found(),
        }
    }

    fn begin(&self, jobs: &mut BTreeMap<u64, Job>, ask: &Ask) -> Reply {
        let body: Value = serde_json::from_slice(&ask.body).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let operation = text("operation");
        if !["query", "queryAll"].contains(&operation) {
            return error(400, "INVALIDJOB", "operation must be query or queryAll");
        }
        let query = match Query::parse(text("query")) {
            Ok(query) => query,
            Err(why) => return error(400, "MALFORMED_QUERY", &why),
        };
        let Some(kind) = Kind::named(&query.object) else {
            return error(400, "INVALID_TYPE", "sObject type is not supported");
        };
        if query.names().any(|field| !kind.knows(field)) {
            return error(400, "INVALID_FIELD", "No such column");
        }
        let number = jobs.last_key_value().map_or(1, |(last, _)| last + 1);
        let job = Job {
            operation: operation.to_owned(),
            query,
            kind,
            state: "UploadComplete",
            created_ms: ask.now_ms,
            rows: Vec::new(),
        };
        let shown = job.shown(&ids::id_of(PREFIX, number));
        jobs.insert(number, job);
        Reply::json(200, shown)
    }

    fn go_on(&self, store: &mut Store, job: &mut Job) {
        job.state = match job.state {
            "UploadComplete" => "InProgress",
            "InProgress" => {
                let all = job.operation == "queryAll";
                let bodies = self.with(store, job.kind, |store| found(store, &job.query, all));
                let cell = |body: &Value, name: &String| match body.get(name) {
                    None | Some(Value::Null) => String::new(),
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                };
                let row = |body: Value| job.query.fields.iter().map(|name| cell(&body, name)).collect();
                job.rows = bodies.unwrap_or_default().into_iter().map(row).collect();
                "JobComplete"
            }
            other => other,
        };
    }
}

/// A page of the result; the header says where the next one begins, `null` at the end.
fn results(job: &Job, ask: &Ask) -> Reply {
    if job.state != "JobComplete" {
        return error(400, "INVALIDJOBSTATE", "the job is not complete");
    }
    let from = match ask.get("locator") {
        None => 0,
        Some(locator) => match unseal(locator).and_then(|text| text.parse().ok()) {
            Some(from) => from,
            None => return error(400, "INVALID_QUERY_LOCATOR", "invalid query locator"),
        },
    };
    let count = ask.get("maxRecords").and_then(|text| text.parse().ok()).unwrap_or(ROWS);
    let end = (from + count).min(job.rows.len());
    let locator = if end < job.rows.len() {
        seal(&end.to_string())
    } else {
        "null".to_owned()
    };
    Reply::text(200, "text/csv", job.table(from, count))
        .with("sforce-locator", locator)
        .with("sforce-numberofrecords", end.saturating_sub(from).to_string())
}
