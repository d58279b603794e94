//! The vendors' files as documents with `paths`: JSON and YAML as they are, tables taken from SDKs put into that shape.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

/// All files of a folder (`NAME/*`), or one of it.
pub(super) fn read(folder: &Path, files: &str) -> Vec<Json> {
    let (below, name) = files.split_once('/').unwrap();
    let Ok(entries) = fs::read_dir(folder.join(below)) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| name == "*" || path.file_name().is_some_and(|file| file == name));
    let files = paths.filter_map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        match path.extension()?.to_str()? {
            "json" => serde_json::from_str(&text).ok(),
            "yml" | "yaml" => Some(yaml(&text)),
            _ => None,
        }
    });
    files.map(surface).collect()
}

fn yaml(text: &str) -> Json {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        budget: serde_saphyr::budget! { max_nodes: 1_000_000, max_depth: 100 },
    };
    serde_saphyr::from_str_with_options(text, options).unwrap_or_else(|error| panic!("{error}"))
}

/// A table of operations becomes paths; what it does not say is not asked (`x-any-body`, `x-any-query`).
fn surface(file: Json) -> Json {
    let mut paths: Map<String, Json> = Map::new();
    let mut add = |path: &str, method: &str, parameters: Vec<Json>, any_query: bool| {
        let item = paths
            .entry(path.to_owned())
            .or_insert_with(|| json!({"x-any-body": true, "x-any-query": any_query}));
        item[method.to_lowercase()] = json!({"parameters": parameters});
    };
    for api in file["apis"].as_object().into_iter().flat_map(Map::values) {
        for operation in api["operations"].as_array().into_iter().flatten() {
            let names = operation["query"].as_array().into_iter().flatten();
            let parameters = names.map(|name| json!({"in": "query", "name": name})).collect();
            add(
                operation["path"].as_str().unwrap(),
                operation["method"].as_str().unwrap(),
                parameters,
                false,
            );
        }
    }
    for operation in file["operations"].as_array().into_iter().flatten() {
        add(
            operation[1].as_str().unwrap(),
            operation[0].as_str().unwrap(),
            Vec::new(),
            true,
        );
    }
    if paths.is_empty() {
        file
    } else {
        json!({ "paths": paths })
    }
}
