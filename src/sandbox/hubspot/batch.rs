//! HubSpot's batch operations: 100 inputs, 207 with errors when every input carries a trace id (VENDORS.md A1.6).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::clock::rfc3339_ms;
use super::super::history::By;
use super::super::store::{Act, Store};
use super::super::wire::{Ask, Reply};
use super::kinds::Kind;
use super::{Hubspot, Reject};

const INPUTS_MAX: usize = 100;

enum Plan {
    Create(Map<String, Value>),
    Update(u64, Map<String, Value>),
}

impl Hubspot {
    pub(super) fn batch(&self, of: &Kind, store: &mut Store, ask: &Ask) -> Reply {
        let kind = ask.path.rsplit('/').next().unwrap_or_default();
        let inputs = match inputs(ask, kind == "create") {
            Ok(inputs) => inputs,
            Err(reject) => return reject.reply(),
        };
        let traced = inputs
            .iter()
            .all(|input| input.get("objectWriteTraceId").is_some_and(Value::is_string));
        if !traced {
            // Without trace ids it is all or nothing.
            if let Some(reject) = inputs.iter().find_map(|input| self.plan(of, store, kind, input).err()) {
                return reject.reply();
            }
        }
        let mut results = Vec::new();
        let mut errors = Vec::new();
        for input in &inputs {
            match self.plan(of, store, kind, input) {
                Ok(plan) => results.push(self.carry_out(of, store, ask, (kind, input), plan)),
                Err(reject) => errors.push(failed(&reject, input)),
            }
        }
        // No order is promised, so none that a caller could lean on is given (H1.1).
        results.reverse();
        errors.reverse();
        complete(ask, if kind == "create" { 201 } else { 200 }, &results, &errors)
    }

    fn plan(&self, of: &Kind, store: &Store, kind: &str, input: &Value) -> Result<Plan, Reject> {
        let mut properties = self.checked(of, input.get("properties"))?;
        let key = input.get("id").and_then(Value::as_str).unwrap_or_default();
        let by_email = input.get("idProperty").and_then(Value::as_str) == Some("email");
        let id = match kind {
            "create" => None,
            _ if by_email => store.with_key(key),
            "upsert" => {
                return Err(Reject::invalid(
                    "upsert needs an idProperty with unique values".to_owned(),
                ));
            }
            _ => key.parse::<u64>().ok().filter(|id| store.live(*id).is_some()),
        };
        match id {
            Some(id) => {
                Self::conflict(store, &properties, Some(id))?;
                Ok(Plan::Update(id, properties))
            }
            None if kind == "update" => Err(Reject::missing()),
            None => {
                if kind == "upsert" && !properties.contains_key("email") {
                    let key = self.checked(of, Some(&json!({"email": key})))?;
                    properties.extend(key);
                }
                Self::conflict(store, &properties, None)?;
                Ok(Plan::Create(properties))
            }
        }
    }

    fn carry_out(&self, of: &Kind, store: &mut Store, ask: &Ask, (kind, input): (&str, &Value), plan: Plan) -> Value {
        let (id, names, is_new) = match plan {
            Plan::Create(properties) => {
                let id = Self::insert(store, ask, &properties, input);
                (id, of.names_of(&properties), true)
            }
            Plan::Update(id, properties) => {
                self.update(store, ask, id, &properties);
                (id, of.names_of(&properties), false)
            }
        };
        let mut row = store
            .objects
            .get(&id)
            .map(|object| of.row(&object.body, None, &names))
            .unwrap_or_default();
        if let Some(map) = row.as_object_mut() {
            if kind == "upsert" {
                map.insert("new".to_owned(), Value::Bool(is_new));
            }
            if let Some(trace) = input.get("objectWriteTraceId") {
                map.insert("objectWriteTraceId".to_owned(), trace.clone());
            }
        }
        row
    }
}

/// The inputs; too many, or two with one key, and the whole batch is refused.
pub(super) fn inputs(ask: &Ask, keyless: bool) -> Result<Vec<Value>, Reject> {
    let body = ask
        .json()
        .ok_or_else(|| Reject::invalid("Invalid input JSON".to_owned()))?;
    let inputs = body
        .get("inputs")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if inputs.len() > INPUTS_MAX {
        return Err(Reject::invalid(format!("at most {INPUTS_MAX} inputs are allowed")));
    }
    let mut keys = BTreeSet::new();
    for input in &inputs {
        let key = if keyless {
            input.pointer("/properties/email")
        } else {
            input.get("id")
        };
        let key = key
            .and_then(Value::as_str)
            .map(|key| key.trim().to_lowercase())
            .filter(|key| !key.is_empty());
        match key {
            Some(key) if !keys.insert(key.clone()) => {
                return Err(Reject::invalid(format!(
                    "Duplicate IDs found in batch input: [{key}]. IDs must be unique"
                )));
            }
            None if !keyless => return Err(Reject::invalid("every input needs an id".to_owned())),
            _ => {}
        }
    }
    Ok(inputs)
}

fn failed(reject: &Reject, input: &Value) -> Value {
    let trace = input
        .get("objectWriteTraceId")
        .and_then(Value::as_str)
        .unwrap_or_default();
    json!({"status": "error", "category": reject.category, "message": reject.message, "context": {"objectWriteTraceId": [trace]}})
}

pub(super) fn complete(ask: &Ask, status: u16, results: &[Value], errors: &[Value]) -> Reply {
    let at = rfc3339_ms(ask.now_ms);
    let mut body = json!({"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at});
    if let Some(map) = body.as_object_mut().filter(|_| !errors.is_empty()) {
        map.insert("numErrors".to_owned(), Value::from(errors.len()));
        map.insert("errors".to_owned(), Value::from(errors));
        return Reply::json(207, body);
    }
    Reply::json(status, body)
}

/// `POST batch/read`: ids that are not there are named in one error (A1.6).
pub(super) fn read(kind: &Kind, store: &Store, ask: &Ask) -> Reply {
    let inputs = match inputs(ask, false) {
        Ok(inputs) => inputs,
        Err(reject) => return reject.reply(),
    };
    let body = ask.json().unwrap_or_default();
    let by_email = body.get("idProperty").and_then(Value::as_str) == Some("email");
    let names = body.get("properties").and_then(Value::as_array).into_iter().flatten();
    let wanted = kind.wanted(Some(
        names.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
    ));
    let mut results = Vec::new();
    let mut missing = Vec::new();
    for key in inputs
        .iter()
        .filter_map(|input| input.get("id").and_then(Value::as_str))
    {
        let id = if by_email {
            store.with_key(key)
        } else {
            // A merged id leads to the survivor, who answers under an id of its own (A1.7).
            key.parse::<u64>().ok().map(|id| store.survivor(id))
        };
        match id.and_then(|id| store.live(id)) {
            Some(object) => results.push(kind.row(&object.body, None, &wanted)),
            None => missing.push(key),
        }
    }
    results.reverse();
    let label = kind.name.to_uppercase();
    let message =
        format!("Could not get some {label} objects, they may be deleted or not exist. Check that ids are valid.");
    let error =
        json!({"status": "error", "category": "OBJECT_NOT_FOUND", "message": message, "context": {"ids": missing}});
    let errors = if missing.is_empty() { Vec::new() } else { vec![error] };
    complete(ask, 200, &results, &errors)
}

/// `POST gdpr-delete`: 204, and nothing is left, not even in the recycle bin (A1.7). What is not there is 404.
pub(super) fn erase(store: &mut Store, ask: &Ask) -> Reply {
    let body = ask.json().unwrap_or_default();
    let id = body.get("objectId").and_then(Value::as_str);
    let id = id.and_then(|id| id.parse::<u64>().ok());
    let Some(id) = id.filter(|id| store.objects.contains_key(id)) else {
        return Reject::missing().reply();
    };
    let act = Act {
        by: By::Api,
        now_ms: ask.now_ms,
    };
    store.delete(act, id);
    store.purge(id);
    Reply::empty(204)
}

/// `POST batch/archive`: 204, also for what is gone (A1.6).
pub(super) fn archive(store: &mut Store, ask: &Ask) -> Reply {
    let inputs = match inputs(ask, false) {
        Ok(inputs) => inputs,
        Err(reject) => return reject.reply(),
    };
    for id in inputs
        .iter()
        .filter_map(|input| input.get("id").and_then(Value::as_str)?.parse::<u64>().ok())
    {
        store.delete(
            Act {
                by: By::Api,
                now_ms: ask.now_ms,
            },
            id,
        );
    }
    Reply::empty(204)
}
