//! The options of a database: where it is, and how its tables are read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compact_str::CompactString;
use secrecy::SecretString;
use serde_json::{Map, Value as Json, json};

use super::check::{ConnectorFacts, Need};
use super::read::{path, secret, time};
use super::reader::{Entry, Section};
use super::words::duration;
use super::{SqlConfig, deletes};
use crate::model::{FieldName, Sweeps};

pub(super) const SQL: &[&str] = &["url", "tls", "ca", "timeout", "streams"];
pub(super) const TABLE: &[&str] = &[
    "table", "query", "key", "cursor", "overlap", "deleted", "page", "match", "full", "kind", "of", "columns",
];
pub(super) const COLUMN: &[&str] = &["column", "type", "enum", "ref", "sep", "format", "write", "key"];

pub(super) const KINDS: [&str; 3] = ["person", "organization", "activity"];
const TYPES: [&str; 9] = ["text", "email", "phone", "bool", "int", "time", "set", "enum", "ref"];
const WRITES: [&str; 4] = ["always", "create_only", "fill_only", "never"];
/// How often everything of a table with a cursor is read when the admin does not say.
const FULL: Duration = Duration::from_hours(24);

/// The database of a system; `None` when something essential is missing, which was told then.
pub(super) fn sql(system: &Section<'_>) -> Option<SqlConfig> {
    if !system.has("config") {
        system.missing(
            "config",
            "write `config: {url: \"${SHOP_URL}\", streams: {customer: …}}`",
        );
        return None;
    }
    let section = system.section("config", SQL);
    for (key, hint) in [
        (
            "url",
            "write postgres://user:password@host/database, mysql://… or sqlite:path; best as {file: path}",
        ),
        (
            "streams",
            "name at least one table: {customer: {table: customers, key: id, columns: …}}",
        ),
    ] {
        if !section.has(key) {
            section.missing(key, hint);
        }
    }
    let mut options = Map::new();
    options.extend(section.flag("tls").map(|tls| ("tls".to_owned(), tls.into())));
    options.extend(path(&section, "ca").map(|ca| ("ca".to_owned(), ca.display().to_string().into())));
    options.extend(time(&section, "timeout").map(|time| ("timeout_ms".to_owned(), millis(time))));
    let url = section.get("url").and_then(|entry| secret(&entry))?;
    let url = SecretString::from(beside(&url, &section));
    let mut streams = Map::new();
    let mut facts = ConnectorFacts {
        config: SQL
            .iter()
            .map(|key| (CompactString::from(*key), Need::Optional))
            .collect(),
        ..ConnectorFacts::default()
    };
    for (name, entry) in section.entries("streams") {
        if let Some(table) = table(system, &entry) {
            note(&mut facts, name, &table);
            streams.insert(name.to_owned(), Json::Object(table));
        }
    }
    options.insert("streams".to_owned(), streams.into());
    Some(SqlConfig {
        url,
        options: options.into(),
        facts,
    })
}

/// A path of a file counts from the folder of the config, like all others.
fn beside(url: &str, section: &Section<'_>) -> String {
    match (url.strip_prefix("sqlite:"), section.file("url")) {
        (Some(path), Some(file)) => {
            let path = std::path::Path::new(path.trim_start_matches("//"));
            let folder = std::path::Path::new(file).parent();
            let path = folder.map_or_else(|| path.to_path_buf(), |folder| folder.join(path));
            format!("sqlite:{}", path.display())
        }
        _ => url.to_owned(),
    }
}

fn millis(time: Duration) -> Json {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}

/// What other parts of the config may name.
fn note(facts: &mut ConnectorFacts, name: &str, table: &Map<String, Json>) {
    let fields: BTreeSet<FieldName> = table
        .get("columns")
        .and_then(Json::as_object)
        .map(|columns| columns.keys().map(|field| FieldName::from(field.as_str())).collect())
        .unwrap_or_default();
    facts.streams.insert(name.into(), fields);
    if table.get("kind").and_then(Json::as_str) != Some("activity") {
        facts.customers.insert(name.into());
        let is_table = table.get("source").is_some_and(|source| source.get("table").is_some());
        if is_table {
            facts.removals.insert(name.into(), true);
        }
    }
}

/// A name in the database with its place in the config.
fn named(section: &Section<'_>, key: &str) -> Option<Json> {
    let name = section.text(key)?;
    Some(json!({"name": name, "at": section.place(key)}))
}

fn table(system: &Section<'_>, entry: &Entry<'_>) -> Option<Map<String, Json>> {
    let section = entry.section(TABLE);
    match (section.has("table"), section.has("query")) {
        (false, false) => section.missing("table", "name a table, or write a SELECT under `query:`"),
        (true, true) => section.wrong("query", "`table` and `query` exclude each other", ""),
        _ => {}
    }
    for (key, hint) in [
        ("key", "the column that identifies a row: its primary key"),
        (
            "columns",
            "canonical field: column, for example {email: {column: mail, type: email}}",
        ),
    ] {
        if !section.has(key) {
            section.missing(key, hint);
        }
    }
    let mut table = Map::new();
    let kinds = KINDS.map(|kind| (kind, kind));
    table.extend(
        section
            .word("kind", &kinds)
            .map(|kind| ("kind".to_owned(), kind.into())),
    );
    for key in ["of", "key", "cursor", "deleted"] {
        table.extend(named(&section, key).map(|named| (key.to_owned(), named)));
    }
    let page = section.parse("page", "a number from 1 to 10000", |text| {
        text.parse::<u32>().ok().filter(|page| (1..=10_000).contains(page))
    });
    table.extend(page.map(|page| ("page".to_owned(), page.into())));
    let overlap = section.parse(
        "overlap",
        "a time such as 15m, or a number for a column that counts",
        overlap,
    );
    let overlap = overlap.or_else(|| Some(json!({"millis": millis(time(system, "overlap")?)})));
    table.extend(overlap.map(|overlap| ("overlap".to_owned(), overlap)));
    table.extend(section.names("match").map(|names| ("match".to_owned(), names.into())));
    let full = deletes::full(&section).or_else(|| deletes::full(system));
    let full = match (full, section.has("cursor")) {
        (Some(Sweeps::Every(time)), _) => Some(time),
        (Some(Sweeps::Never), true) => None,
        (None, true) => Some(FULL),
        (_, false) => Some(Duration::ZERO),
    };
    table.extend(full.map(|full| ("full_ms".to_owned(), millis(full))));
    let columns: Map<String, Json> = section
        .entries("columns")
        .into_iter()
        .filter_map(|(field, entry)| Some((field.to_owned(), mapped(field, &entry, "column", COLUMN)?)))
        .collect();
    table.insert("columns".to_owned(), columns.into());
    let source = match named(&section, "table") {
        Some(table) => json!({ "table": table }),
        None => json!({"query": named(&section, "query")?}),
    };
    table.insert("source".to_owned(), source);
    table.contains_key("key").then_some(table)
}

fn overlap(text: &str) -> Option<Json> {
    match text.parse::<i64>() {
        Ok(count) => (count >= 0).then(|| json!({ "count": count })),
        Err(_) => Some(json!({"millis": millis(duration(text)?)})),
    }
}

/// Where a field is, and what stands there: `place` is the word for where.
pub(super) fn mapped(field: &str, entry: &Entry<'_>, place: &str, keys: &'static [&'static str]) -> Option<Json> {
    if let Some(name) = entry.text() {
        if name.is_empty() {
            entry.wrong(format!("`{field}` must name a {place}"), "");
            return None;
        }
        return Some(json!({"column": {"name": name, "at": entry.place()}}));
    }
    let section = entry.section(keys);
    if section.is_table() && !section.has(place) {
        section.missing(place, &format!("write {{{place}: name, type: email}}"));
    }
    let mut column = Map::new();
    column.insert("column".to_owned(), named(&section, place)?);
    let kind = section.word("type", &TYPES.map(|kind| (kind, kind)));
    column.extend(kind.map(|kind| ("type".to_owned(), kind.into())));
    if keys.contains(&"write") {
        let write = section.word("write", &WRITES.map(|write| (write, write)));
        column.extend(write.map(|write| ("write".to_owned(), write.into())));
        column.extend(section.flag("key").map(|key| ("key".to_owned(), key.into())));
    }
    for key in ["ref", "sep"] {
        column.extend(section.text(key).map(|text| (key.to_owned(), text.into())));
    }
    column.extend(format_of(&section, "format").map(|format| ("format".to_owned(), format.into())));
    let values: BTreeMap<&str, &str> = section
        .entries("enum")
        .into_iter()
        .filter_map(|(canonical, value)| {
            if value.text().is_none() {
                value.wrong("it must be a single value", "");
            }
            Some((canonical, value.text()?))
        })
        .collect();
    if !values.is_empty() {
        column.insert("enum".to_owned(), json!(values));
        column.entry("type").or_insert_with(|| "enum".into());
    }
    Some(column.into())
}

/// How a time is written.
pub(super) fn format_of(section: &Section<'_>, key: &str) -> Option<String> {
    section.parse(key, "rfc3339, ms, s, sql or a strftime pattern", |text| {
        let is_format = ["rfc3339", "ms", "s", "sql"].contains(&text) || text.contains('%');
        is_format.then_some(text.to_owned())
    })
}
