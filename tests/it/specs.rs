//! The requests and answers in the canned exchanges of shipped connectors (which `conformance` proves to be those the engine
//! sends), and the answers of the sandbox, against the vendors' own specification files. The files are not ours to pass on:
//! `NIVEL_SPECS` names the folder that has them, and without it the tests say that they were left out.

mod answers;
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use nivel::manifest::shipped_tests;
use nivel::manifest::tests::{ExpectedRequest, Suite};
use serde_json::Value as Json;

/// Connector → its specification files (all of a folder for `*`), and what stands before its paths there.
const SPECS: &[(&str, &str, &str)] = &[
    ("mailchimp", "mailchimp/*", ""),
    ("activecampaign", "activecampaign/*", ""),
    ("freshdesk", "freshdesk/*", ""),
    ("klaviyo", "klaviyo/*", "/api"),
    ("intercom", "intercom/*", ""),
    ("zoho", "zoho/*", "/crm/v8"),
    ("pipedrive", "pipedrive/pipedrive-v2.trimmed.json", ""),
    ("zendesk", "zendesk/*", "/api/v2"),
    ("hubspot", "hubspot/*", ""),
    ("jsm", "jira/*", "/rest"),
    ("servicenow", "servicenow/*", ""),
];

/// What a file does not know and is right all the same, with the reason.
const WAIVERS: &[(&str, &str, &str)] = &[
    (
        "activecampaign",
        "get /contacts: query `ids[]`",
        "the file calls it `ids` and shows `ids[]=1&ids[]=2`",
    ),
    (
        "activecampaign",
        "get /contacts: query `limit`",
        "every list has it (vendor's guide to paging)",
    ),
    (
        "activecampaign",
        "get /accounts: query `limit`",
        "every list has it (vendor's guide to paging)",
    ),
    (
        "activecampaign",
        "get /accounts: query `offset`",
        "every list has it (vendor's guide to paging)",
    ),
    (
        "freshdesk",
        "get /contacts: query `_updated_since`",
        "a third party's file; an open connector sends it",
    ),
    (
        "freshdesk",
        "post /contacts: `.unique_external_id`",
        "a third party's file",
    ),
    (
        "intercom",
        "post /contacts/search: `.sort`",
        "in the vendor's guide, not in the file",
    ),
    (
        "zoho",
        "get /crm/v8/{module_api_name}/{id}: query `module`",
        "is /settings/fields: the file with the fields of modules is not among ours",
    ),
];

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("NIVEL_SPECS").map(PathBuf::from);
    if folder.is_none() {
        println!("left out: NIVEL_SPECS does not name a folder with the vendors' files");
    }
    folder
}

#[test]
fn requests_are_those_of_the_vendors_files() {
    let Some(folder) = folder() else { return };
    let mut wrong = Vec::new();
    for (connector, files, before) in SPECS {
        let specs = files::read(&folder, files);
        assert!(!specs.is_empty(), "{connector}: no file at {files}");
        let suite = Suite::parse(connector, shipped_tests()[connector]).unwrap();
        let requests = suite.tests.iter().flat_map(|case| &case.http);
        let found = requests.flat_map(|exchange| check(&specs, before, &exchange.request));
        wrong.extend(settled(WAIVERS, connector, found.collect()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Findings without those that a waiver begins like, and waivers that nothing needs.
fn settled(waivers: &[(&str, &str, &str)], connector: &str, found: BTreeSet<String>) -> Vec<String> {
    let own = waivers.iter().filter(|(name, ..)| *name == connector);
    let waived: BTreeSet<&str> = own.map(|(_, finding, _)| *finding).collect();
    let idle = waived
        .iter()
        .filter(|waiver| !found.iter().any(|finding| finding.starts_with(**waiver)));
    let idle = idle.map(|waiver| format!("{connector}: needs no waiver: {waiver}"));
    let open = found
        .iter()
        .filter(|finding| !waived.iter().any(|waiver| finding.starts_with(waiver)));
    idle.chain(open.map(|finding| format!("{connector}: {finding}")))
        .collect()
}

/// The call of a file that a request is: of several the one with the fewest placeholders.
fn call<'a>(specs: &'a [Json], method: &str, path: &str) -> Option<(&'a Json, &'a str, &'a Json)> {
    let calls = specs.iter().flat_map(|spec| {
        let paths = spec["paths"].as_object().into_iter().flatten();
        let fitting = paths.filter(|(template, item)| fits(template, path) && item[method].is_object());
        fitting.map(move |(template, item)| (spec, template.as_str(), item))
    });
    calls.min_by_key(|(_, template, _)| template.matches('{').count())
}

/// What a request has that no file knows.
fn check(specs: &[Json], before: &str, request: &ExpectedRequest) -> Vec<String> {
    let path = format!("{before}{}", request.path);
    let method = request.method.as_str().to_lowercase();
    let Some((spec, template, item)) = call(specs, &method, &path) else {
        return vec![format!("{method} {path}: no such call")];
    };
    let call = &item[&method];
    let own = call["parameters"].as_array().into_iter().flatten();
    let shared = item["parameters"].as_array().into_iter().flatten();
    let known: BTreeSet<&str> = own
        .chain(shared)
        .map(|parameter| resolve(spec, parameter))
        .filter(|parameter| parameter["in"] == "query")
        .filter_map(|parameter| parameter["name"].as_str())
        .collect();
    let mut found = Vec::new();
    let knows_queries = item["x-any-query"] != true;
    for name in request.query.iter().flat_map(BTreeMap::keys) {
        if knows_queries && !known.contains(name.as_str()) {
            found.push(format!("{method} {template}: query `{name}`"));
        }
    }
    if let Some(body) = request.body.as_ref().filter(|_| item["x-any-body"] != true) {
        let content = resolve(spec, &call["requestBody"])["content"].as_object();
        let Some(schema) = content.and_then(|content| content.values().next()) else {
            found.push(format!("{method} {template}: takes no body"));
            return found;
        };
        let mut unknown = Vec::new();
        members(spec, &schema["schema"], body, "", &mut unknown);
        found.extend(unknown.iter().map(|name| format!("{method} {template}: `{name}`")));
    }
    found
}

/// Whether a path is one of a template's: a `{name}` stands for one segment.
fn fits(template: &str, path: &str) -> bool {
    let plain = |text: &str| text.trim_end_matches('/').trim_end_matches(".json").to_owned();
    let segments = |text: &str| -> Vec<String> { plain(text).split('/').map(Into::into).collect() };
    let (template, path) = (segments(template), segments(path));
    template.len() == path.len()
        && template
            .iter()
            .zip(&path)
            .all(|(wanted, found)| wanted == found || wanted.contains('{'))
}

fn resolve<'a>(spec: &'a Json, value: &'a Json) -> &'a Json {
    let pointer = value["$ref"].as_str().and_then(|text| text.strip_prefix('#'));
    let there = pointer.and_then(|pointer| spec.pointer(pointer));
    there.map_or(value, |there| resolve(spec, there))
}

/// The members a schema names, and whether it takes others as well.
fn named<'a>(spec: &'a Json, schema: &'a Json) -> (BTreeMap<&'a str, &'a Json>, bool) {
    let schema = resolve(spec, schema);
    let mut is_open = schema["additionalProperties"].is_object() || schema["additionalProperties"] == true;
    let mut all = BTreeMap::new();
    for part in ["allOf", "oneOf", "anyOf"] {
        for inner in schema[part].as_array().into_iter().flatten() {
            let (more, opens) = named(spec, inner);
            all.extend(more);
            is_open |= opens;
        }
    }
    let own = schema["properties"].as_object().into_iter().flatten();
    all.extend(own.map(|(name, schema)| (name.as_str(), schema)));
    (all, is_open)
}

fn members(spec: &Json, schema: &Json, body: &Json, at: &str, unknown: &mut Vec<String>) {
    match body {
        Json::Array(items) => {
            let schema = resolve(spec, schema);
            for item in items.iter().filter(|_| schema["items"].is_object()) {
                members(spec, &schema["items"], item, &format!("{at}[]"), unknown);
            }
        }
        Json::Object(map) => {
            let (known, is_open) = named(spec, schema);
            for (name, value) in map.iter().filter(|_| !known.is_empty()) {
                match known.get(name.as_str()) {
                    Some(schema) => members(spec, schema, value, &format!("{at}.{name}"), unknown),
                    None if is_open => {}
                    None => unknown.push(format!("{at}.{name}")),
                }
            }
        }
        _ => {}
    }
}
