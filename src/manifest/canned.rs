//! Checks the mapping half of every shipped `tests.yaml` without any request: answers become records, operations become
//! bodies. The whole exchange is played where requests are made.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::tests::{Case, ExpectedRecord, OperationCase, Suite};
use super::write::{Op, WriteOps};
use super::{Context, Manifest, Mapper, Object, shipped, shipped_tests};
use crate::model::{CustomerKey, Incoming, Kind, Operation, WriteAction};

fn same(text: &str, _: Option<&str>) -> Option<CompactString> {
    Some(text.into())
}

fn mapper(object: &Object) -> Mapper {
    Mapper::new(object, None, same)
}

fn visible(record: &Incoming) -> BTreeMap<String, Json> {
    let fields = record
        .fields
        .0
        .iter()
        .filter(|(name, _)| !name.as_str().starts_with('_') || name.as_str().starts_with("_of_"));
    fields.map(|(name, value)| (name.to_string(), json!(value))).collect()
}

#[track_caller]
fn check_record(expected: &ExpectedRecord, found: &Incoming) {
    assert_eq!(found.remote, expected.id);
    assert_eq!(found.deleted, expected.deleted, "{}", expected.id);
    assert_eq!(found.key, expected.key, "{}", expected.id);
    assert_eq!(found.problem.is_some(), expected.problem, "{:?}", found.problem);
    assert_eq!(found.updated_at, expected.updated_at.map(|at| at.0), "{}", expected.id);
    if let Some(fields) = &expected.fields {
        let fields: BTreeMap<_, _> = fields
            .0
            .iter()
            .map(|(name, value)| (name.to_string(), json!(value)))
            .collect();
        assert_eq!(visible(found), fields, "{}", expected.id);
    }
}

fn check_read(object: &Object, case: &Case) {
    let (Some(read), Some(records)) = (&object.read, &case.expect.records) else {
        return;
    };
    // What is attached and what there are for parents comes from further answers, and tables are read where requests are made: those are played by the
    // conformance tests.
    if !object.attach.is_empty()
        || read.parents.is_some()
        || case.http.iter().any(|exchange| exchange.response.text.is_some())
    {
        return;
    }
    let mapper = mapper(object);
    let answers = case.http.iter().filter_map(|exchange| exchange.response.body.as_ref());
    let found: Vec<_> = answers
        .flat_map(|body| {
            read.records
                .rows(body)
                .into_iter()
                .map(|row| mapper.record_in(&row))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(found.len(), records.len(), "{}", case.name);
    for (expected, found) in records.iter().zip(&found) {
        check_record(expected, found);
    }
}

fn operation(case: &OperationCase, index: usize) -> Operation {
    let action = match (&case.update, &case.delete) {
        (Some(id), _) => WriteAction::Update(id.clone()),
        (_, Some(id)) => WriteAction::Delete(id.clone()),
        _ => WriteAction::Create,
    };
    Operation {
        id: case.id.clone().unwrap_or_else(|| format!("op-{}", index + 1).into()),
        action,
        fields: case.fields.0.clone(),
        known: case.known.clone(),
        version: case.version.clone(),
        key: case.key.unwrap_or(CustomerKey {
            id: Uuid::nil(),
            kind: Kind::Person,
        }),
    }
}

fn names(object: &Object, operation: &Operation, config: &Json) -> Context {
    let mapper = mapper(object);
    let remote = mapper.fields_out(operation).unwrap();
    let id = match &operation.action {
        WriteAction::Create => Json::Null,
        WriteAction::Update(id) | WriteAction::Delete(id) => json!(id.as_str()),
    };
    let email = operation.fields.get("email").cloned().flatten();
    let key = if id.is_null() { json!(email) } else { id.clone() };
    Context::new()
        .with("config", config)
        .with("remote", &remote)
        .with("known", &mapper.known(operation))
        .with("match", &mapper.wanted(operation))
        .with("op_id", &json!(operation.id.as_str()))
        .with("customer", &json!(operation.key.to_string()))
        .with("id", &id)
        .with("key", &key)
        .with("ops", &json!(1))
}

fn body_of(op: &Op, calls: &[Context]) -> Option<Json> {
    let first = calls.first()?;
    // The body of a change may ask for what only a change has.
    let mut body = op.body.as_ref().and_then(|body| body.render(first).ok());
    if let (Some(list), Some(item)) = (&op.list, &op.item) {
        let items: Result<_, _> = calls.iter().map(|names| item.render(names)).collect();
        let Ok(items) = items else { return None };
        list.put(
            body.get_or_insert_with(|| Json::Object(Map::new())),
            Some(Json::Array(items)),
            &Json::Null,
        );
    }
    body
}

/// The calls that tell of what a person took back, each by what addresses her there.
fn told(object: &Object, operations: &[Operation], calls: &[Context]) -> Vec<Json> {
    let mut bodies = Vec::new();
    for op in object.consent.values().map(|consent| &consent.deny) {
        for (operation, call) in operations.iter().zip(calls) {
            let by = op.by.iter().find(|by| *by != "id");
            let by = by.and_then(|by| operation.known.text(by));
            let call = by.map_or_else(|| call.clone(), |key| call.clone().with("key", &json!(key)));
            bodies.extend(body_of(op, &[call]));
        }
    }
    bodies
}

fn check_write(object: &Object, write: &WriteOps, case: &Case, config: &Json) {
    let operations: Vec<_> = case
        .write
        .iter()
        .flat_map(|write| &write.operations)
        .enumerate()
        .collect();
    let operations: Vec<_> = operations
        .into_iter()
        .map(|(index, case)| operation(case, index))
        .collect();
    let calls: Vec<_> = operations
        .iter()
        .map(|operation| names(object, operation, config))
        .collect();
    // What is refused before the call is in no body.
    let expected = case.expect.outcomes.as_deref().unwrap_or_default();
    let is_sent = |at: usize| expected.get(at).is_none_or(|outcome| outcome.class.is_none());
    let sent: Vec<_> = calls
        .iter()
        .enumerate()
        .filter(|(at, _)| is_sent(*at))
        .map(|(_, call)| call.clone())
        .collect();
    // Together, and each in a call of its own.
    let alone = calls.iter().map(std::slice::from_ref);
    let groups = [calls.as_slice(), sent.as_slice()].into_iter().chain(alone);
    let made: Vec<_> = groups
        .flat_map(|calls| {
            let bodies = write.ops().filter_map(|op| body_of(op, calls));
            bodies.collect::<Vec<_>>()
        })
        .chain(told(object, &operations, &calls))
        .collect();
    let is_search = |path: &str| path.ends_with("search") || path.ends_with("/users");
    for exchange in &case.http {
        if let (Some(body), false) = (&exchange.request.body, is_search(&exchange.request.path)) {
            assert!(made.contains(body), "{}: {body} is not among {made:#?}", case.name);
        }
    }
}

#[test]
fn canned_exchanges_map_as_expected() {
    let manifests = shipped();
    for (name, text) in shipped_tests() {
        let suite = Suite::parse(&format!("{name}/tests.yaml"), text).unwrap();
        let manifest = Manifest::parse(name, manifests[name]).unwrap();
        let config = manifest.settings(&suite.config).unwrap();
        for case in &suite.tests {
            if let Some(read) = &case.read {
                check_read(&manifest.objects[&read.object], case);
            }
            if let Some(write) = &case.write {
                let object = &manifest.objects[&write.object];
                check_write(object, object.write.as_ref().unwrap(), case, &config);
            }
        }
    }
}

/// Every expression of every request of every shipped connector can be evaluated.
#[test]
fn every_request_can_be_made() {
    let sample = json!({
        "window": {"since": 1_769_846_400_250_i64, "until": 1_769_846_460_000_i64}, "since": 0, "id": "7", "ids": ["7", "8"],
        "page": {"after": "0", "token": "t", "offset": 0, "number": 1}, "value": "ana@example.com", "job": {"id": "j"},
        "part": {"status": "s"}, "parent": "3",
    });
    let mut made = 0;
    for (name, text) in shipped() {
        let suite = Suite::parse(name, shipped_tests()[name]).unwrap();
        let manifest = Manifest::parse(name, text).unwrap();
        let config = manifest.settings(&suite.config).unwrap();
        for object in manifest.objects.values() {
            let fields = json!({"remote": object.remote_names()});
            let names = Context::of(&sample).with("config", &config).with("fields", &fields);
            let read = object.read.as_ref().unwrap();
            let get = object.get.as_ref().unwrap();
            let finds = object
                .find
                .values()
                .map(|find| (&find.request, &find.query, &find.body));
            let requests = [
                (&read.request, &read.query, &read.body),
                (&get.request, &get.query, &get.body),
            ];
            for (request, query, body) in requests.into_iter().chain(finds) {
                let path = request.path.render_url(&names).unwrap();
                assert!(path.starts_with('/'), "{name} {path}");
                for value in query.values() {
                    assert!(!value.render(&names).unwrap().is_null(), "{name} {path}");
                    made += 1;
                }
                body.iter().for_each(|body| drop(body.render(&names).unwrap()));
            }
        }
    }
    assert!(made > 20, "{made} expressions");
}

/// A connector that says how its tool asks to be called more slowly shows an answer that does, and reading goes on after it.
#[test]
fn p33_every_connector_that_throttles_has_a_scripted_429() {
    for (name, text) in shipped() {
        let manifest = Manifest::parse(name, text).unwrap();
        let suite = Suite::parse(name, shipped_tests()[name]).unwrap();
        let throttles = manifest
            .errors
            .iter()
            .any(|rule| rule.class == crate::error::Class::Throttle);
        let is_scripted = |case: &Case| {
            let asked = case
                .http
                .iter()
                .any(|exchange| matches!(exchange.response.status, 403 | 429));
            asked && case.expect.waited_ms.is_some() && case.expect.failure.is_none()
        };
        assert!(!throttles || suite.tests.iter().any(is_scripted), "{name}");
    }
}
