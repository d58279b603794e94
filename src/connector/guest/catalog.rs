//! Catalogs of foreign programs: which streams they have, and what they are told to read. Pure.

use std::collections::BTreeSet;

use compact_str::CompactString;
use serde_json::{Map, Value as Json, json};

use crate::error::{Code, Problem};
use crate::manifest::{GuestStream, Speaks, suggest};
use crate::model::{Described, Description, FieldName};

/// What a program is told to read: the catalog it gets, and the names of its other streams.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub(super) catalog: Json,
    pub(super) others: BTreeSet<CompactString>,
}

/// The names of a stream, the one in the catalog first.
fn names(stream: &Json) -> impl Iterator<Item = &str> {
    let keys = ["tap_stream_id", "stream", "name"];
    keys.into_iter().filter_map(|key| stream.get(key)?.as_str())
}

fn streams(catalog: &Json) -> &[Json] {
    catalog
        .get("streams")
        .and_then(Json::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The stream of that name.
///
/// # Errors
/// When the program has none, with the nearest of those it has.
pub(super) fn find<'a>(catalog: &'a Json, wanted: &str) -> Result<&'a Json, Problem> {
    let all = streams(catalog);
    let by_id = all.iter().find(|stream| names(stream).next() == Some(wanted));
    let found = by_id.or_else(|| all.iter().find(|stream| names(stream).any(|name| name == wanted)));
    found.ok_or_else(|| {
        let known: Vec<&str> = all.iter().filter_map(|stream| names(stream).next()).collect();
        let problem = Problem::new(Code::GuestStream, format!("the program has no stream `{wanted}`"));
        problem.hint(suggest(wanted, &known))
    })
}

/// What the program is told, so that it reads this stream and nothing else.
///
/// # Errors
/// As [`find`].
pub(super) fn order(speaks: Speaks, catalog: &Json, wanted: &GuestStream) -> Result<Order, Problem> {
    let found = find(catalog, &wanted.stream)?;
    let others = streams(catalog).iter().filter(|stream| *stream != found);
    let others = others.flat_map(names).map(CompactString::from).collect();
    let catalog = match speaks {
        Speaks::Airbyte => json!({"streams": [configured(found, wanted)]}),
        Speaks::Singer | Speaks::Nivel => {
            let mut catalog = catalog.clone();
            let all = catalog.get_mut("streams").and_then(Json::as_array_mut);
            for stream in all.into_iter().flatten() {
                let is_wanted = stream == found;
                select(stream, wanted, is_wanted);
            }
            catalog
        }
    };
    Ok(Order { catalog, others })
}

/// A stream of an Airbyte source with how it is read.
fn configured(found: &Json, wanted: &GuestStream) -> Json {
    let modes = found.get("supported_sync_modes").and_then(Json::as_array);
    let is_incremental = modes.is_some_and(|modes| modes.iter().any(|mode| mode == "incremental"));
    let cursor = match &wanted.cursor {
        Some(cursor) => json!(cursor.split('.').collect::<Vec<_>>()),
        None => found.get("default_cursor_field").cloned().unwrap_or_else(|| json!([])),
    };
    json!({
        "stream": found,
        "sync_mode": if is_incremental { "incremental" } else { "full_refresh" },
        "destination_sync_mode": "append",
        "cursor_field": cursor,
        "primary_key": found.get("source_defined_primary_key").cloned().unwrap_or_else(|| json!([])),
    })
}

/// Selects a stream of a tap with all fields it supports, or leaves it out.
fn select(stream: &mut Json, wanted: &GuestStream, is_wanted: bool) {
    let Some(stream) = stream.as_object_mut() else { return };
    stream.insert("selected".to_owned(), is_wanted.into());
    let has = |stream: &Map<String, Json>, key: &str| stream.get(key).is_some_and(|value| !value.is_null());
    let told = has(stream, "replication_method") || has(stream, "replication_key");
    if let Some(cursor) = wanted.cursor.as_ref().filter(|_| is_wanted) {
        stream.insert("replication_method".to_owned(), "INCREMENTAL".into());
        stream.insert("replication_key".to_owned(), cursor.as_str().into());
    }
    let metadata = stream.entry("metadata").or_insert_with(|| json!([]));
    let Some(metadata) = metadata.as_array_mut() else {
        return;
    };
    if !metadata.iter().any(is_about_all) {
        metadata.push(json!({"breadcrumb": [], "metadata": {}}));
    }
    for entry in metadata {
        let is_root = is_about_all(entry);
        let Some(about) = entry.get_mut("metadata").and_then(Json::as_object_mut) else {
            continue;
        };
        if !is_root {
            let is_there = about
                .get("inclusion")
                .is_none_or(|inclusion| inclusion != "unsupported");
            about.insert("selected".to_owned(), is_there.into());
            continue;
        }
        about.insert("selected".to_owned(), is_wanted.into());
        let ways = [
            "replication-method",
            "forced-replication-method",
            "valid-replication-keys",
        ];
        let knows = told
            || ways
                .iter()
                .any(|way| about.get(*way).is_some_and(|value| !value.is_null()));
        match &wanted.cursor {
            Some(cursor) if is_wanted => {
                about.insert("replication-method".to_owned(), "INCREMENTAL".into());
                about.insert("replication-key".to_owned(), cursor.as_str().into());
            }
            // Database taps ask for an answer, and everything is the one that loses nothing.
            None if is_wanted && !knows => drop(about.insert("replication-method".to_owned(), "FULL_TABLE".into())),
            _ => {}
        }
    }
}

fn is_about_all(entry: &Json) -> bool {
    entry
        .get("breadcrumb")
        .and_then(Json::as_array)
        .is_some_and(Vec::is_empty)
}

/// The fields of a stream as the program's schema describes them.
pub(super) fn describe(stream: &Json, mapped: &[(FieldName, CompactString)]) -> Description {
    let schema = stream.get("schema").or_else(|| stream.get("json_schema"));
    let properties = schema
        .and_then(|schema| schema.get("properties"))
        .and_then(Json::as_object);
    let described = |(name, property): (&String, &Json)| Described {
        name: name.into(),
        kind: property.get("type").map(type_word).unwrap_or_default(),
        mapped_to: mapped
            .iter()
            .find(|(_, remote)| remote == name)
            .map(|(field, _)| field.clone()),
        ..Described::default()
    };
    let fields: Vec<Described> = properties.into_iter().flatten().map(described).collect();
    // A schema without properties describes nothing, so nothing has vanished from it.
    let is_gone = |remote: &CompactString| !fields.is_empty() && !fields.iter().any(|field| field.name == *remote);
    let vanished = mapped.iter().filter(|(_, remote)| is_gone(remote)).cloned().collect();
    Description { fields, vanished }
}

fn type_word(kind: &Json) -> CompactString {
    let words = match kind {
        Json::Array(words) => words
            .iter()
            .filter_map(Json::as_str)
            .filter(|word| *word != "null")
            .collect(),
        other => other.as_str().into_iter().collect::<Vec<_>>(),
    };
    words.join(" or ").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(yaml: &str) -> GuestStream {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn a_tap_reads_the_wanted_stream_and_no_other() {
        let found = json!({"streams": [
            {"tap_stream_id": "db-public-people", "stream": "people", "metadata": [
                {"breadcrumb": [], "metadata": {"table-key-properties": ["id"]}},
                {"breadcrumb": ["properties", "id"], "metadata": {"inclusion": "automatic"}},
                {"breadcrumb": ["properties", "shape"], "metadata": {"inclusion": "unsupported"}},
            ]},
            {"tap_stream_id": "db-public-orders", "stream": "orders"},
        ]});
        let told = order(Speaks::Singer, &found, &wanted("{stream: db-public-people}")).unwrap();
        assert_eq!(
            told.others,
            BTreeSet::from(["db-public-orders".into(), "orders".into()])
        );
        let metadata = |told: &Order, stream: usize, at: usize| {
            told.catalog["streams"][stream]["metadata"][at]["metadata"].clone()
        };
        assert_eq!(
            metadata(&told, 0, 0),
            json!({"table-key-properties": ["id"], "selected": true, "replication-method": "FULL_TABLE"})
        );
        assert_eq!(metadata(&told, 0, 1)["selected"], true);
        assert_eq!(metadata(&told, 0, 2)["selected"], false);
        assert_eq!(metadata(&told, 1, 0), json!({"selected": false}));
        let told = order(Speaks::Singer, &found, &wanted("{stream: people, cursor: updated_at}")).unwrap();
        assert_eq!(metadata(&told, 0, 0)["replication-method"], "INCREMENTAL");
        assert_eq!(metadata(&told, 0, 0)["replication-key"], "updated_at");
        assert_eq!(metadata(&told, 1, 0), json!({"selected": false}));
    }

    #[test]
    fn a_source_is_read_by_its_cursor_where_it_has_one() {
        let found = json!({"streams": [
            {"name": "users", "supported_sync_modes": ["full_refresh", "incremental"], "default_cursor_field": ["at"]},
            {"name": "lists", "supported_sync_modes": ["full_refresh"]},
        ]});
        let one = |yaml: &str| order(Speaks::Airbyte, &found, &wanted(yaml)).unwrap().catalog["streams"][0].clone();
        let users = one("{stream: users}");
        assert_eq!(
            (&users["sync_mode"], &users["cursor_field"]),
            (&json!("incremental"), &json!(["at"]))
        );
        assert_eq!(
            one("{stream: users, cursor: meta.at}")["cursor_field"],
            json!(["meta", "at"])
        );
        assert_eq!(one("{stream: lists}")["sync_mode"], "full_refresh");
        let problem = order(Speaks::Airbyte, &found, &wanted("{stream: user}")).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "GST005: the program has no stream `user` (hint: did you mean `users`?)"
        );
    }
}
