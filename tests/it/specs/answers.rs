//! Answers against the schemas of the vendors' files: every member has a name that the file knows, and a type it may have.

use std::collections::BTreeSet;

use nivel::manifest::shipped_tests;
use nivel::manifest::tests::Suite;
use nivel::sandbox::{Options, Sandbox, ToolName, people};
use serde_json::{Value as Json, json};

use super::{SPECS, call, files, folder, named, resolve, settled};

/// What a file says otherwise, and the answer is right all the same.
const WAIVERS: &[(&str, &str, &str)] = &[
    (
        "activecampaign",
        "get /contacts 200: `.contacts[].orgname`",
        "made from the vendor's reference by others",
    ),
    (
        "freshdesk",
        "get /agents/{agent_id} 401: ",
        "a third party's file, without the body of errors",
    ),
    ("freshdesk", "get /contacts 200: `[].deleted`", "a third party's file"),
    (
        "freshdesk",
        "get /contacts 200: `[].unique_external_id`",
        "a third party's file",
    ),
    (
        "klaviyo",
        "get /api/profiles 401: `.errors[].status`",
        "JSON:API has it",
    ),
    (
        "klaviyo",
        "get /api/profiles 429: `.errors[].status`",
        "JSON:API has it",
    ),
    (
        "klaviyo",
        "post /api/profiles 409: `.errors[].status`",
        "JSON:API has it",
    ),
    (
        "klaviyo",
        "post /api/profiles 409: `.errors[].meta`",
        "where the id of the other profile stands",
    ),
    (
        "servicenow",
        "get /table/{tableName} 200: `.error`",
        "an error inside a 200: a third party's file has none",
    ),
    (
        "servicenow",
        "get /table/{tableName} 200: `.status`",
        "an error inside a 200: a third party's file has none",
    ),
    (
        "servicenow",
        "get /table/{tableName} 401: `.status`",
        "a third party's file",
    ),
    (
        "zendesk",
        "get /api/v2/users/me 200: ",
        "the file shows of this user nothing but a token",
    ),
    (
        "zoho",
        "get /crm/v8/{module_api_name}/{id} 200: `.fields`",
        "is /settings/fields, which is not among the files",
    ),
    (
        "zoho",
        "put /crm/v8/{module_api_name} 200: `.data[].details.Modified_Time`",
        "in the vendor's guide",
    ),
];

/// What is asked of the sandbox: the tool, its files, what stands before its paths there, and the calls.
struct Round {
    tool: ToolName,
    files: &'static str,
    before: &'static str,
    calls: Vec<(&'static str, String, Option<Json>)>,
}

#[test]
fn canned_answers_are_those_of_the_vendors_files() {
    let Some(folder) = folder() else { return };
    let mut wrong = Vec::new();
    for (connector, files, before) in SPECS {
        let specs = files::read(&folder, files);
        let suite = Suite::parse(connector, shipped_tests()[connector]).unwrap();
        let exchanges = suite.tests.iter().flat_map(|case| &case.http);
        let found = exchanges.filter_map(|exchange| {
            let path = format!("{before}{}", exchange.request.path);
            let body = exchange.response.body.as_ref()?;
            Some(check(
                &specs,
                exchange.request.method.as_str(),
                &path,
                exchange.response.status,
                body,
            ))
        });
        wrong.extend(settled(WAIVERS, connector, found.flatten().collect()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_answers_as_the_vendors_files_say() {
    let Some(folder) = folder() else { return };
    let options = Options::generous();
    let sandbox = Sandbox::start(options.clone()).await.unwrap();
    sandbox.seed(&people::generate(3, 30));
    sandbox.seed(&people::generate_in(3, 30, ToolName::OTHERS));
    let mut wrong = Vec::new();
    for round in rounds(&sandbox) {
        let specs = files::read(&folder, round.files);
        assert!(!specs.is_empty(), "no file at {}", round.files);
        let tool = sandbox.tool(round.tool);
        let mut found = BTreeSet::new();
        for (method, path, body) in &round.calls {
            let url = format!("{}{path}", tool.api_base());
            let request = reqwest::Client::new().request(method.parse().unwrap(), url);
            let config = tool.config(&options);
            let request = match round.tool {
                ToolName::Pipedrive => request.header("x-api-token", &config["token"]),
                ToolName::Zendesk => request.basic_auth(format!("{}/token", config["email"]), Some(&config["token"])),
                ToolName::Mailchimp => request.basic_auth("any", Some(&config["key"])),
                _ => request.bearer_auth(&config["token"]),
            };
            let request = match body {
                Some(body) => request.json(body),
                None => request,
            };
            let answer = request.send().await.unwrap();
            let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
            assert!(status < 500, "{method} {path}: {status} {text}");
            let Ok(body) = serde_json::from_str(&text) else {
                continue;
            };
            let plain = path.split('?').next().unwrap();
            found.extend(check(
                &specs,
                method,
                &format!("{}{plain}", round.before),
                status,
                &body,
            ));
        }
        wrong.extend(settled(SANDBOX_WAIVERS, &round.tool.to_string(), found));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the sandbox says and the file does not.
const SANDBOX_WAIVERS: &[(&str, &str, &str)] = &[
    (
        "Zendesk",
        "get /api/v2/users 200: `.links`",
        "paging by cursor is in the vendor's guide, not in the file",
    ),
    (
        "Zendesk",
        "get /api/v2/users 200: `.meta`",
        "paging by cursor is in the vendor's guide, not in the file",
    ),
    (
        "Zendesk",
        "get /api/v2/users/me 200: ",
        "the file shows of this user nothing but a token",
    ),
    (
        "Zendesk",
        "get /api/v2/users/show_many 200: ",
        "paging by number is in the vendor's guide, not in the file",
    ),
];

fn rounds(sandbox: &Sandbox) -> Vec<Round> {
    let first = |name: ToolName| sandbox.tool(name).people().first().unwrap().clone();
    let id = |name: ToolName| first(name).id;
    let contact = first(ToolName::Intercom).raw["id"].as_str().unwrap().to_owned();
    let list = "/lists/a6b5da1054";
    let member = format!(
        "{list}/members/{}",
        first(ToolName::Mailchimp).raw["id"].as_str().unwrap()
    );
    let get = |path: String| ("GET", path, None);
    vec![
        Round {
            tool: ToolName::Pipedrive,
            files: "pipedrive/pipedrive-v2.trimmed.json",
            before: "",
            calls: vec![
                get("/persons?limit=2".to_owned()),
                get(format!("/persons/{}", id(ToolName::Pipedrive))),
                get("/persons/search?term=example&limit=2".to_owned()),
                get("/personFields".to_owned()),
                (
                    "POST",
                    "/persons".to_owned(),
                    Some(json!({"name": "New", "emails": [{"value": "n@nivel.test", "primary": true}]})),
                ),
                (
                    "PATCH",
                    format!("/persons/{}", id(ToolName::Pipedrive)),
                    Some(json!({"name": "Other"})),
                ),
                ("DELETE", format!("/persons/{}", id(ToolName::Pipedrive)), None),
            ],
        },
        Round {
            tool: ToolName::Zendesk,
            files: "zendesk/*",
            before: "/api/v2",
            calls: vec![
                get("/users?page[size]=2".to_owned()),
                get("/users/me".to_owned()),
                get("/incremental/users/cursor?start_time=0&per_page=2".to_owned()),
                get(format!("/users/show_many?ids={}", id(ToolName::Zendesk))),
                get(format!("/users/{}", id(ToolName::Zendesk))),
                get("/user_fields".to_owned()),
                (
                    "POST",
                    "/users".to_owned(),
                    Some(json!({"user": {"name": "New", "email": "n@nivel.test"}})),
                ),
                (
                    "POST",
                    "/users/create_many".to_owned(),
                    Some(json!({"users": [{"name": "Other"}]})),
                ),
                (
                    "PUT",
                    format!("/users/{}", id(ToolName::Zendesk)),
                    Some(json!({"user": {"name": "Other"}})),
                ),
                ("DELETE", format!("/users/{}", id(ToolName::Zendesk)), None),
            ],
        },
        Round {
            tool: ToolName::Mailchimp,
            files: "mailchimp/*",
            before: "",
            calls: vec![
                get("/lists".to_owned()),
                get(list.to_owned()),
                get(format!("{list}/members?count=2")),
                get(format!("{list}/members?status=nonsense")),
                get(format!("{list}/merge-fields")),
                get(member.clone()),
                (
                    "POST",
                    format!("{list}/members"),
                    Some(json!({"email_address": "n@nivel.test", "status": "transactional"})),
                ),
                (
                    "POST",
                    list.to_owned(),
                    Some(
                        json!({"members": [{"email_address": "m@nivel.test", "status": "transactional"}, {"email_address": "bad"}]}),
                    ),
                ),
                (
                    "PATCH",
                    member.clone(),
                    Some(json!({"merge_fields": {"FNAME": "Other"}})),
                ),
                (
                    "POST",
                    format!("{member}/tags"),
                    Some(json!({"tags": [{"name": "vip", "status": "active"}]})),
                ),
                get(format!("{member}/tags")),
            ],
        },
        Round {
            tool: ToolName::Intercom,
            files: "intercom/*",
            before: "",
            calls: vec![
                get("/me".to_owned()),
                get("/contacts?per_page=2".to_owned()),
                get(format!("/contacts/{contact}")),
                get("/contacts/ffffffffffffffffffffffff".to_owned()),
                get("/data_attributes?model=contact".to_owned()),
                (
                    "POST",
                    "/contacts".to_owned(),
                    Some(json!({"role": "user", "email": "n@nivel.test"})),
                ),
                ("PUT", format!("/contacts/{contact}"), Some(json!({"name": "Other"}))),
                (
                    "POST",
                    "/contacts/search".to_owned(),
                    Some(json!({"query": {"field": "email", "operator": "=", "value": "n@nivel.test"}})),
                ),
                (
                    "POST",
                    "/companies".to_owned(),
                    Some(json!({"company_id": "c1", "name": "Globex"})),
                ),
                get("/companies/scroll".to_owned()),
                ("DELETE", format!("/contacts/{contact}"), None),
            ],
        },
    ]
}

/// What an answer has that the file does not know, and what is of another type there.
fn check(specs: &[Json], method: &str, path: &str, status: u16, body: &Json) -> Vec<String> {
    let method = method.to_lowercase();
    let Some((spec, template, item)) = call(specs, &method, path) else {
        return Vec::new();
    };
    let responses = &item[&method]["responses"];
    let family = format!("{}XX", status / 100);
    let response = [status.to_string(), family, "default".to_owned()];
    let response = response
        .iter()
        .map(|key| &responses[key])
        .find(|response| response.is_object());
    let content = response.and_then(|response| resolve(spec, response)["content"].as_object());
    let Some(schema) = content
        .and_then(|content| content.values().next())
        .map(|content| &content["schema"])
    else {
        return Vec::new();
    };
    let mut found = Vec::new();
    compare(spec, schema, body, "", &mut found);
    found
        .iter()
        .map(|what| format!("{method} {template} {status}: {what}"))
        .collect()
}

fn compare(spec: &Json, schema: &Json, body: &Json, at: &str, found: &mut Vec<String>) {
    let types = types(spec, schema);
    let own = match body {
        Json::Null => return,
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    };
    let fits = types.is_empty() || types.contains(own) || own == "integer" && types.contains("number");
    if !fits {
        found.push(format!("`{at}` is {own}, not {types:?}"));
        return;
    }
    match body {
        Json::Array(items) => {
            let inner = parts(spec, schema).into_iter().find(|part| part["items"].is_object());
            for item in items {
                if let Some(part) = inner {
                    compare(spec, &part["items"], item, &format!("{at}[]"), found);
                }
            }
        }
        Json::Object(map) => {
            let (known, is_open) = named(spec, schema);
            for (name, value) in map.iter().filter(|_| !known.is_empty()) {
                match known.get(name.as_str()) {
                    Some(schema) => compare(spec, schema, value, &format!("{at}.{name}"), found),
                    None if is_open => {}
                    None => found.push(format!("`{at}.{name}` is not known")),
                }
            }
        }
        _ => {}
    }
}

/// The schema and everything it is made of.
fn parts<'a>(spec: &'a Json, schema: &'a Json) -> Vec<&'a Json> {
    let schema = resolve(spec, schema);
    let inner = ["allOf", "oneOf", "anyOf"]
        .into_iter()
        .flat_map(|part| schema[part].as_array().into_iter().flatten());
    std::iter::once(schema)
        .chain(inner.flat_map(|inner| parts(spec, inner)))
        .collect()
}

/// The types a value may have; empty where the file does not say.
fn types<'a>(spec: &'a Json, schema: &'a Json) -> BTreeSet<&'a str> {
    let parts = parts(spec, schema);
    let named = parts.iter().flat_map(|part| match &part["type"] {
        Json::String(name) => vec![name.as_str()],
        Json::Array(names) => names.iter().filter_map(Json::as_str).collect(),
        _ if part["properties"].is_object() => vec!["object"],
        _ => Vec::new(),
    });
    named.collect()
}
