//! Salesforce's writing side: one object, upsert by a field, and collections whose rows stand or fall by themselves (VENDORS.md
//! B1.5 to B1.7).

use serde_json::{Map, Value, json};

use super::super::By;
use super::super::store::{Act, Store};
use super::super::wire::{Ask, Reply};
use super::{Kind, Salesforce, empty, error, ids, laid, not_found, reads};

/// Rows of one collection (B1.6).
const ROWS_MAX: usize = 200;

/// Why a row is refused.
struct Reject {
    code: &'static str,
    message: String,
    fields: Vec<String>,
}

impl Reject {
    fn new(code: &'static str, message: &str) -> Self {
        Self {
            code,
            message: message.to_owned(),
            fields: Vec::new(),
        }
    }

    fn gone() -> Self {
        Self::new("ENTITY_IS_DELETED", "entity is deleted")
    }

    fn reply(&self) -> Reply {
        let status = if self.code == "ENTITY_IS_DELETED" { 404 } else { 400 };
        Reply::json(
            status,
            json!([{"message": self.message, "errorCode": self.code, "fields": self.fields}]),
        )
    }

    fn row(&self) -> Value {
        let error = json!({"statusCode": self.code, "message": self.message, "fields": self.fields});
        json!({"success": false, "errors": [error]})
    }
}

fn act(ask: &Ask) -> Act {
    Act {
        by: By::Api,
        now_ms: ask.now_ms,
    }
}

/// The fields of a write, checked: known, and what is required stays.
fn checked(kind: &Kind, typed: &Map<String, Value>, is_new: bool) -> Result<Map<String, Value>, Reject> {
    let named = typed
        .iter()
        .filter(|(name, _)| !["attributes", "Id", "id"].contains(&name.as_str()));
    let fields: Map<String, Value> = named.map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(name) = fields.keys().find(|name| !kind.writable.contains(&name.as_str())) {
        let message = format!("No such column '{name}' on sobject of type {}", kind.name);
        return Err(Reject::new("INVALID_FIELD", &message));
    }
    let is_blank = |name: &&&str| match fields.get(**name) {
        Some(value) => value.as_str().is_none_or(|text| text.trim().is_empty()),
        None => is_new,
    };
    let missing: Vec<String> = kind
        .required
        .iter()
        .filter(is_blank)
        .map(|name| (*name).to_owned())
        .collect();
    if !missing.is_empty() {
        return Err(Reject {
            code: "REQUIRED_FIELD_MISSING",
            message: format!("Required fields are missing: [{}]", missing.join(", ")),
            fields: missing,
        });
    }
    let email = fields.get("Email").and_then(Value::as_str).unwrap_or_default();
    if !email.is_empty() && !email.contains('@') {
        return Err(Reject {
            fields: vec!["Email".to_owned()],
            ..Reject::new(
                "INVALID_EMAIL_ADDRESS",
                &format!("Email: invalid email address: {email}"),
            )
        });
    }
    Ok(fields)
}

fn insert(store: &mut Store, ask: &Ask, kind: &Kind, typed: &Map<String, Value>) -> Result<String, Reject> {
    let fields = checked(kind, typed, true)?;
    let id = store.insert(act(ask), laid(&empty(kind), &fields), ask.now_ms, ask.now_ms);
    Ok(ids::id_of(kind.prefix, id))
}

/// The number of a live object.
fn live(store: &Store, kind: &Kind, id: &str) -> Result<u64, Reject> {
    match ids::number_of(kind.prefix, id).and_then(|number| store.objects.get(&number)) {
        Some(object) if object.is_live() => Ok(object.id),
        Some(_) => Err(Reject::gone()),
        None => Err(Reject::new("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")),
    }
}

fn update(store: &mut Store, ask: &Ask, kind: &Kind, id: &str, typed: &Map<String, Value>) -> Result<String, Reject> {
    let number = live(store, kind, id)?;
    let fields = checked(kind, typed, false)?;
    if let Some(body) = store.live(number).map(|object| laid(&object.body, &fields)) {
        store.revise(act(ask), number, body, true);
    }
    Ok(ids::id_of(kind.prefix, number))
}

fn delete(store: &mut Store, ask: &Ask, kind: &Kind, id: &str) -> Result<String, Reject> {
    let number = live(store, kind, id)?;
    store.delete(act(ask), number);
    Ok(ids::id_of(kind.prefix, number))
}

fn typed(ask: &Ask) -> Result<Map<String, Value>, Reply> {
    match ask.json() {
        Some(Value::Object(typed)) => Ok(typed),
        _ => Err(error(400, "JSON_PARSER_ERROR", "the body must be an object")),
    }
}

fn done(row: Result<String, Reject>) -> Value {
    row.map_or_else(
        |reject| reject.row(),
        |id| json!({"id": id, "success": true, "errors": []}),
    )
}

impl Salesforce {
    /// `POST /sobjects/X`
    pub(super) fn create(&self, store: &mut Store, ask: &Ask, name: &str) -> Reply {
        let (Some(kind), Ok(typed)) = (Kind::named(name), typed(ask)) else {
            return not_found();
        };
        let made = self.with(store, kind, |store| insert(store, ask, kind, &typed));
        match made {
            Some(Ok(id)) => Reply::json(201, json!({"id": id, "success": true, "errors": []})),
            Some(Err(reject)) => reject.reply(),
            None => not_found(),
        }
    }

    /// `GET`, `PATCH` and `DELETE /sobjects/X/{id}`
    pub(super) fn single(&self, store: &mut Store, ask: &Ask, name: &str, id: &str) -> Reply {
        let Some(kind) = Kind::named(name) else {
            return not_found();
        };
        let work = |store: &mut Store| match ask.method.as_str() {
            "GET" => match live(store, kind, id) {
                Ok(number) => {
                    let Some(object) = store.live(number) else {
                        return not_found();
                    };
                    let named = ask.list("fields");
                    let all = || {
                        object
                            .body
                            .as_object()
                            .map(|map| map.keys().cloned().collect())
                            .unwrap_or_default()
                    };
                    let fields: Vec<String> = named.unwrap_or_else(all);
                    Reply::json(
                        200,
                        reads::row(ask, kind, &object.body, fields.iter().map(String::as_str)),
                    )
                }
                Err(reject) if reject.code == "ENTITY_IS_DELETED" => reject.reply(),
                Err(_) => not_found(),
            },
            "PATCH" => match typed(ask) {
                Ok(typed) => match update(store, ask, kind, id, &typed) {
                    Ok(_) => Reply::empty(204),
                    Err(reject) if reject.code == "INVALID_CROSS_REFERENCE_KEY" => not_found(),
                    Err(reject) => reject.reply(),
                },
                Err(reply) => reply,
            },
            "DELETE" => match delete(store, ask, kind, id) {
                Ok(_) => Reply::empty(204),
                Err(reject) if reject.code == "ENTITY_IS_DELETED" => reject.reply(),
                Err(_) => not_found(),
            },
            _ => not_found(),
        };
        self.with(store, kind, work).unwrap_or_else(not_found)
    }

    /// `GET` and `PATCH /sobjects/X/{field}/{value}`: 201 for a new one, 200 for a known one, 300 where several have the value.
    pub(super) fn by_field(&self, store: &mut Store, ask: &Ask, name: &str, field: &str, value: &str) -> Reply {
        let Some(kind) = Kind::named(name).filter(|kind| kind.knows(field)) else {
            return not_found();
        };
        let work = |store: &mut Store| {
            let live = store.objects.values().filter(|object| object.is_live());
            let holders: Vec<u64> = live
                .filter(|object| object.body.get(field).and_then(Value::as_str) == Some(value))
                .map(|object| object.id)
                .collect();
            let url = |id: &u64| {
                format!(
                    "/services/data/v60.0/sobjects/{}/{}",
                    kind.name,
                    ids::id_of(kind.prefix, *id)
                )
            };
            let mut typed = match typed(ask) {
                Ok(typed) => typed,
                Err(reply) => return reply,
            };
            let written = match holders.as_slice() {
                [] => {
                    typed.insert(field.to_owned(), json!(value));
                    insert(store, ask, kind, &typed).map(|id| (201, id))
                }
                [one] => update(store, ask, kind, &ids::id_of(kind.prefix, *one), &typed).map(|id| (200, id)),
                several => return Reply::json(300, json!(several.iter().map(url).collect::<Vec<_>>())),
            };
            match written {
                Ok((status, id)) => Reply::json(
                    status,
                    json!({"id": id, "success": true, "errors": [], "created": status == 201}),
                ),
                Err(reject) => reject.reply(),
            }
        };
        if ask.method != "PATCH" {
            return not_found();
        }
        self.with(store, kind, work).unwrap_or_else(not_found)
    }

    /// `POST`, `PATCH` and `DELETE /composite/sobjects`: status 200 and a row for each, in the order of the request.
    pub(super) fn collection(&self, store: &mut Store, ask: &Ask) -> Reply {
        if ask.method == "DELETE" {
            let ids = ask.list("ids").unwrap_or_default();
            if ids.is_empty() || ids.len() > ROWS_MAX {
                return error(400, "LIMIT_EXCEEDED", "1 to 200 ids");
            }
            let remove = |id: &String| self.remove(store, ask, id);
            return Reply::json(200, Value::Array(ids.iter().map(remove).map(done).collect()));
        }
        let body = ask.json().unwrap_or_default();
        let records = body.get("records").and_then(Value::as_array);
        let Some(records) = records.filter(|records| !records.is_empty() && records.len() <= ROWS_MAX) else {
            return error(400, "LIMIT_EXCEEDED", "1 to 200 records");
        };
        let is_new = ask.method == "POST";
        let all_or_none = body.get("allOrNone") == Some(&Value::Bool(true));
        let refused = |record: &Value| {
            let kind = record
                .pointer("/attributes/type")
                .and_then(Value::as_str)
                .and_then(Kind::named);
            kind.zip(record.as_object())
                .is_none_or(|(kind, typed)| checked(kind, typed, is_new).is_err())
        };
        let holds_back = all_or_none && records.iter().any(refused);
        let write = |record: &Value| match holds_back && !refused(record) {
            true => Err(Reject::new(
                "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                "Record rolled back because not all records were valid",
            )),
            false => self.put(store, ask, record, is_new),
        };
        Reply::json(200, Value::Array(records.iter().map(write).map(done).collect()))
    }

    fn put(&self, store: &mut Store, ask: &Ask, record: &Value, is_new: bool) -> Result<String, Reject> {
        let kind = record
            .pointer("/attributes/type")
            .and_then(Value::as_str)
            .and_then(Kind::named);
        let Some((kind, typed)) = kind.zip(record.as_object()) else {
            return Err(Reject::new("INVALID_TYPE", "attributes.type is missing"));
        };
        let id = typed.get("Id").or_else(|| typed.get("id")).and_then(Value::as_str);
        let write = |store: &mut Store| match id {
            None if is_new => insert(store, ask, kind, typed),
            Some(_) if is_new => Err(Reject::new(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                "cannot specify Id in an insert call",
            )),
            Some(id) => update(store, ask, kind, id, typed),
            None => Err(Reject::new("MISSING_ARGUMENT", "Id not specified in an update call")),
        };
        self.with(store, kind, write).unwrap_or_else(|| Err(Reject::gone()))
    }

    fn remove(&self, store: &mut Store, ask: &Ask, id: &str) -> Result<String, Reject> {
        let kind = super::KINDS.iter().find(|kind| id.starts_with(kind.prefix));
        let Some(kind) = kind else {
            return Err(Reject::new("MALFORMED_ID", "malformed id"));
        };
        self.with(store, kind, |store| delete(store, ask, kind, id))
            .unwrap_or_else(|| Err(Reject::gone()))
    }
}
