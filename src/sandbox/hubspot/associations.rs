//! Which contacts an object hangs on: told by a call of its own (VENDORS.md A1.3, and the vendor's reference of associations v4).
//! An object keeps their ids in its body under [`CONTACTS`], where no answer shows them.

use serde_json::{Value, json};

use super::super::store::Store;
use super::super::wire::{Ask, Reply};
use super::batch::{complete, inputs};
use super::kinds::Kind;

/// Where an object keeps the ids of its contacts.
pub(super) const CONTACTS: &str = "contacts";

/// The most contacts of one object in one answer.
const PAGE: usize = 500;

/// `POST /crm/v4/associations/KIND/contacts/batch/read`: what has none is told among the errors of a 207.
pub(super) fn read(kind: &Kind, store: &Store, ask: &Ask) -> Reply {
    let inputs = match inputs(ask, false) {
        Ok(inputs) => inputs,
        Err(reject) => return reject.reply(),
    };
    let mut results = Vec::new();
    let mut errors = Vec::new();
    for input in &inputs {
        let id = input.get("id").and_then(Value::as_str).unwrap_or_default();
        let after = input.get("after").and_then(Value::as_str);
        let after: usize = after.and_then(|after| after.parse().ok()).unwrap_or_default();
        let object = id.parse().ok().and_then(|id| store.live(id));
        let contacts = object.map(|object| contacts(&object.body)).unwrap_or_default();
        if contacts.is_empty() {
            errors.push(nobody(kind, id));
            continue;
        }
        let to = |contact: &u64| json!({"toObjectId": contact, "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": 3, "label": null}]});
        let page: Vec<Value> = contacts.iter().skip(after).take(PAGE).map(to).collect();
        let mut row = json!({"from": {"id": id}, "to": page});
        if contacts.len() > after + PAGE {
            row["paging"] = json!({"next": {"after": (after + PAGE).to_string(), "link": ""}});
        }
        results.push(row);
    }
    results.reverse();
    complete(ask, 200, &results, &errors)
}

/// The contacts that a body names; ids may be numbers or text.
fn contacts(body: &Value) -> Vec<u64> {
    let ids = body.get(CONTACTS).and_then(Value::as_array).into_iter().flatten();
    let number = |id: &Value| id.as_u64().or_else(|| id.as_str()?.parse().ok());
    ids.filter_map(number).collect()
}

/// What a new object is associated with by the call that makes it.
pub(super) fn of_new(input: &Value) -> Vec<Value> {
    let associations = input
        .get("associations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    associations
        .filter_map(|association| association.pointer("/to/id").cloned())
        .collect()
}

fn nobody(kind: &Kind, id: &str) -> Value {
    json!({
        "status": "error", "category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": format!("No contact is associated with {} {id}.", kind.name),
        "context": {"fromObjectId": [id], "fromObjectType": [kind.name], "toObjectType": ["contact"]},
    })
}
