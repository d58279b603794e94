//! What each tool answers. No more work than finding the bytes of a page, or counting the objects of a write.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::people::Row;
use super::serve::{Server, json};
use super::shapes::{Tool, rfc3339};

/// The answer to one request.
pub(crate) fn answer(server: &Server, method: &Method, uri: &Uri, body: Bytes) -> Response {
    let path = uri.path().trim_end_matches('/').trim_end_matches(".json");
    let query = uri.query().unwrap_or_default();
    let answer = match server.tool {
        Tool::Marketing => marketing(server, method, path, query, &body),
        Tool::Sales => sales(server, method, path, query, &body),
        Tool::Support => support(server, method, path, query, &body),
    };
    answer.unwrap_or_else(|| {
        server.count(|counts| *counts.unknown.entry(format!("{method} {path}?{query}")).or_default() += 1);
        json(
            StatusCode::NOT_FOUND,
            "{\"status\":\"error\",\"message\":\"not found\"}",
        )
    })
}

fn ok(body: impl Into<Bytes>) -> Option<Response> {
    Some(json(StatusCode::OK, body))
}

/// A value of the query string, decoded.
fn asked(query: &str, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A page of the listing, or `empty` when there is none.
fn page(server: &Server, place: usize, empty: &'static str) -> Option<Response> {
    let store = server.store();
    // Once read to its end, the listing does not begin again.
    let is_over = place == 0 && server.is_read.load(Ordering::SeqCst);
    if store.is_last(place) {
        server.is_read.store(true, Ordering::SeqCst);
    }
    match store.page(place).filter(|_| !is_over) {
        Some(bytes) => {
            let rows = server
                .tool
                .page_rows()
                .min(store.len() - place * server.tool.page_rows());
            server.count(|counts| {
                counts.pages += 1;
                counts.rows += rows as u64;
            });
            ok(bytes.clone())
        }
        None => {
            server.count(|counts| counts.pages += 1);
            ok(empty)
        }
    }
}

/// Contacts that were asked for by id or value, as `before rows after`.
fn listed(server: &Server, rows: &[Option<&Row>], before: &str, after: &str) -> Option<Response> {
    let mut body = before.to_owned();
    for (place, row) in rows.iter().flatten().enumerate() {
        if place > 0 {
            body.push(',');
        }
        server.tool.spell(row, &mut body);
    }
    body.push_str(after);
    ok(body)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Search<'a> {
    #[serde(borrow, default)]
    filter_groups: Vec<Group<'a>>,
}

#[derive(Deserialize)]
struct Group<'a> {
    #[serde(borrow)]
    filters: Vec<Filter<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter<'a> {
    #[serde(borrow)]
    property_name: Cow<'a, str>,
    #[serde(borrow)]
    operator: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Inputs<'a> {
    #[serde(borrow)]
    inputs: Vec<Input<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    object_write_trace_id: Option<Cow<'a, str>>,
}

const NO_RESULTS: &str = "{\"total\":0,\"results\":[]}";

fn marketing(server: &Server, method: &Method, path: &str, query: &str, body: &Bytes) -> Option<Response> {
    if path == "/crm/v3/properties/contacts" {
        return ok("{\"results\":[]}");
    }
    let rest = path.strip_prefix("/crm/v3/objects/contacts")?;
    match (method.as_str(), rest) {
        ("GET", "") if asked(query, "archived").as_deref() == Some("true") => ok(NO_RESULTS),
        ("POST", "/search") => {
            let search: Search<'_> = serde_json::from_slice(body).ok()?;
            let mut filters = search.filter_groups.iter().flat_map(|group| &group.filters);
            if let Some(filter) = filters.clone().find(|filter| filter.operator == "EQ") {
                server.count(|counts| counts.lookups += 1);
                let store = server.store();
                let found = (filter.property_name == "email")
                    .then(|| store.with_email(&filter.value))
                    .flatten();
                return listed(server, &[found], "{\"results\":[", "]}");
            }
            let after = filters.find(|filter| filter.operator == "GT" && filter.property_name == "hs_object_id");
            let after = after.and_then(|filter| filter.value.parse().ok()).unwrap_or_default();
            page(server, server.store().place_behind(after), NO_RESULTS)
        }
        ("POST", "/batch/read") => {
            let inputs: Inputs<'_> = serde_json::from_slice(body).ok()?;
            server.count(|counts| counts.gets += inputs.inputs.len() as u64);
            let store = server.store();
            let row = |input: &Input<'_>| store.row(input.id.as_ref()?.parse().ok()?);
            let rows: Vec<_> = inputs.inputs.iter().map(row).collect();
            listed(server, &rows, "{\"status\":\"COMPLETE\",\"results\":[", "]}")
        }
        ("GET", key) if asked(query, "idProperty").as_deref() == Some("email") => {
            server.count(|counts| counts.lookups += 1);
            let key = percent_encoding::percent_decode_str(key.trim_start_matches('/')).decode_utf8_lossy();
            let store = server.store();
            match store.with_email(&key) {
                Some(row) => listed(server, &[Some(row)], "", ""),
                None => Some(json(
                    StatusCode::NOT_FOUND,
                    "{\"status\":\"error\",\"category\":\"OBJECT_NOT_FOUND\"}",
                )),
            }
        }
        ("POST", "/batch/update" | "/batch/create" | "/batch/upsert") => {
            batch(server, rest.trim_start_matches("/batch/"), body)
        }
        _ => None,
    }
}

fn batch(server: &Server, kind: &str, body: &Bytes) -> Option<Response> {
    let inputs: Inputs<'_> = serde_json::from_slice(body).ok()?;
    let store = server.store();
    let at = rfc3339(jiff::Timestamp::now().as_second());
    let mut ids = Vec::with_capacity(inputs.inputs.len());
    let mut answer = String::with_capacity(200 * inputs.inputs.len() + 100);
    answer.push_str("{\"status\":\"COMPLETE\",\"results\":[");
    for input in &inputs.inputs {
        let key = input.id.as_deref().unwrap_or_default();
        let known = match kind {
            "update" => key.parse().ok(),
            "upsert" => store.with_email(key).map(|row| row.id),
            _ => None,
        };
        let id = known.unwrap_or_else(|| server.next_id.fetch_add(1, Ordering::SeqCst));
        let comma = if ids.is_empty() { "" } else { "," };
        let trace = input.object_write_trace_id.as_deref().unwrap_or_default();
        let new = if kind == "upsert" {
            if known.is_some() {
                "\"new\":false,"
            } else {
                "\"new\":true,"
            }
        } else {
            ""
        };
        write!(
            answer,
            "{comma}{{\"id\":\"{id}\",\"properties\":{{\"hs_object_id\":\"{id}\",\"lastmodifieddate\":\"{at}\"}},{new}\
             \"createdAt\":\"{at}\",\"updatedAt\":\"{at}\",\"archived\":false,\"objectWriteTraceId\":\"{trace}\"}}"
        )
        .ok()?;
        ids.push(id);
    }
    write!(answer, "],\"startedAt\":\"{at}\",\"completedAt\":\"{at}\"}}").ok()?;
    server.take(ids, body.clone());
    let status = if kind == "create" {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Some(json(status, answer))
}

const NO_DATA: &str = "{\"success\":true,\"data\":[],\"additional_data\":{\"next_cursor\":null}}";

fn sales(server: &Server, method: &Method, path: &str, query: &str, body: &Bytes) -> Option<Response> {
    let path = path.trim_start_matches("/api");
    // Nobody has a deal.
    if path == "/v2/deals" {
        return ok(NO_DATA);
    }
    let rest = path.strip_prefix("/v2/persons")?;
    let done = |id: u64| {
        let at = rfc3339(jiff::Timestamp::now().as_second());
        server.take(vec![id], body.clone());
        ok(format!(
            "{{\"success\":true,\"data\":{{\"id\":{id},\"update_time\":\"{at}\",\"is_deleted\":false}}}}"
        ))
    };
    let store = server.store();
    match (method.as_str(), rest.trim_start_matches('/')) {
        ("GET", "") if asked(query, "ids").is_some() => {
            let ids = asked(query, "ids")?;
            let rows: Vec<_> = ids.split(',').map(|id| store.row(id.parse().ok()?)).collect();
            server.count(|counts| counts.gets += rows.len() as u64);
            listed(
                server,
                &rows,
                "{\"success\":true,\"data\":[",
                "],\"additional_data\":{\"next_cursor\":null}}",
            )
        }
        ("GET", "") => {
            let cursor = asked(query, "cursor").unwrap_or_else(|| "p0".to_owned());
            page(server, cursor.trim_start_matches('p').parse().ok()?, NO_DATA)
        }
        ("GET", "search") => {
            server.count(|counts| counts.lookups += 1);
            let found =
                asked(query, "term").and_then(|term| store.with_email(&term).map(|row| (row.id, row.email.clone())));
            let item =
                |(id, email)| json!({"result_score": 1.0, "item": {"id": id, "type": "person", "emails": [email]}});
            let items: Vec<Value> = found.into_iter().map(item).collect();
            ok(
                json!({"success": true, "data": {"items": items}, "additional_data": {"next_cursor": null}})
                    .to_string(),
            )
        }
        ("POST", "") => done(server.next_id.fetch_add(1, Ordering::SeqCst)),
        ("PATCH", id) => done(id.parse().ok()?),
        ("GET", id) => {
            let row = store.row(id.parse().ok()?);
            server.count(|counts| counts.gets += 1);
            listed(server, &[row], "{\"success\":true,\"data\":", "}")
        }
        _ => None,
    }
}

const NO_TICKETS: &str = "{\"tickets\":[],\"after_cursor\":\"end\",\"end_of_stream\":true}";

const NO_USERS: &str = "{\"users\":[],\"after_url\":\"/api/v2/incremental/users/cursor.json?cursor=end\",\
     \"after_cursor\":\"end\",\"end_of_stream\":true}";

#[derive(Deserialize)]
struct Users<'a> {
    #[serde(borrow)]
    users: Vec<User<'a>>,
}

#[derive(Deserialize)]
struct User<'a> {
    id: Option<Value>,
    #[serde(borrow)]
    email: Option<Cow<'a, str>>,
}

impl User<'_> {
    /// The user's id, and whether she is new.
    fn resolve(&self, server: &Server) -> (u64, bool) {
        let own = self
            .id
            .as_ref()
            .and_then(|id| id.as_u64().or_else(|| id.as_str()?.parse().ok()));
        let known = own.or_else(|| Some(server.store().with_email(self.email.as_ref()?)?.id));
        known.map_or_else(
            || (server.next_id.fetch_add(1, Ordering::SeqCst), true),
            |id| (id, false),
        )
    }
}

#[derive(Deserialize)]
struct One<'a> {
    #[serde(borrow)]
    user: User<'a>,
}

fn support(server: &Server, method: &Method, path: &str, query: &str, body: &Bytes) -> Option<Response> {
    let rest = path.strip_prefix("/api/v2/")?;
    let store = server.store();
    match (method.as_str(), rest) {
        ("GET", "incremental/users/cursor") => {
            let cursor = asked(query, "cursor").unwrap_or_else(|| "p0".to_owned());
            // The cursor of the end is where the next reading begins.
            page(
                server,
                cursor.trim_start_matches('p').parse().unwrap_or_default(),
                NO_USERS,
            )
        }
        ("GET", "incremental/tickets/cursor") => ok(NO_TICKETS),
        ("GET", "users/show_many") => {
            let ids = asked(query, "ids")?;
            let rows: Vec<_> = ids.split(',').map(|id| store.row(id.parse().ok()?)).collect();
            server.count(|counts| counts.gets += rows.len() as u64);
            listed(server, &rows, "{\"users\":[", "]}")
        }
        ("GET", "users/search") => {
            server.count(|counts| counts.lookups += 1);
            let term = asked(query, "query").unwrap_or_default();
            let found = store.with_email(term.trim_start_matches("email:").trim_matches('"'));
            listed(server, &[found], "{\"users\":[", "]}")
        }
        ("POST", "users/create_or_update_many" | "users/create_many") | ("PUT", "users/update_many") => {
            job(server, body)
        }
        ("POST", "users/create_or_update" | "users") => {
            let one: One<'_> = serde_json::from_slice(body).ok()?;
            let (id, is_new) = one.user.resolve(server);
            single(
                server,
                id,
                if is_new { StatusCode::CREATED } else { StatusCode::OK },
                body,
            )
        }
        ("PUT", rest) => single(server, rest.strip_prefix("users/")?.parse().ok()?, StatusCode::OK, body),
        ("GET", rest) => ok(server.job(rest.strip_prefix("job_statuses/")?)?),
        _ => None,
    }
}

fn single(server: &Server, id: u64, status: StatusCode, body: &Bytes) -> Option<Response> {
    let at = rfc3339(jiff::Timestamp::now().as_second());
    server.take(vec![id], body.clone());
    Some(json(
        status,
        format!("{{\"user\":{{\"id\":{id},\"updated_at\":\"{at}\",\"active\":true}}}}"),
    ))
}

/// A bulk call: its job is done before it is answered, because a queue's waiting is not what is measured.
fn job(server: &Server, body: &Bytes) -> Option<Response> {
    let users: Users<'_> = serde_json::from_slice(body).ok()?;
    let mut rows = String::with_capacity(90 * users.users.len());
    let mut ids = Vec::with_capacity(users.users.len());
    for (index, user) in users.users.iter().enumerate() {
        let (id, is_new) = user.resolve(server);
        let (action, status) = if is_new {
            ("create", "Created")
        } else {
            ("update", "Updated")
        };
        let comma = if index > 0 { "," } else { "" };
        let row = format_args!(
            "\"index\":{index},\"id\":{id},\"action\":\"{action}\",\"status\":\"{status}\",\"success\":true"
        );
        write!(rows, "{comma}{{{row}}}").ok()?;
        ids.push(id);
    }
    let (total, first) = (ids.len(), ids.first()?);
    let name = format!("{first}-{total}");
    let answer = Bytes::from(format!(
        "{{\"job_status\":{{\"id\":\"{name}\",\"url\":\"/api/v2/job_statuses/{name}.json\",\"total\":{total},\
         \"progress\":{total},\"status\":\"completed\",\"message\":null,\"results\":[{rows}]}}}}"
    ));
    server.take(ids, body.clone());
    server.keep_job(name, answer.clone());
    ok(answer)
}
