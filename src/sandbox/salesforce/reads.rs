//! Salesforce's reading side: queries and their pages, what an object is made of, what was changed and removed (VENDORS.md
//! B1.3, B1.4).

use serde_json::{Map, Value, json};

use super::super::clock::parse_ms;
use super::super::store::{Object, Store};
use super::super::wire::{Ask, Reply, seal, unseal};
use super::soql::Query;
use super::{KEPT, KINDS, Kind, Salesforce, error, ids, not_found, time};

/// Rows of one answer (B1.3).
const BATCH: usize = 2_000;

fn version(ask: &Ask) -> String {
    let parts: Vec<&str> = ask.path.split('/').take(4).collect();
    parts.join("/")
}

/// One row with its `attributes`.
pub(super) fn row<'a>(ask: &Ask, kind: &Kind, body: &Value, fields: impl Iterator<Item = &'a str>) -> Value {
    let id = body.get("Id").and_then(Value::as_str).unwrap_or_default();
    let url = format!("{}/sobjects/{}/{id}", version(ask), kind.name);
    let mut map = Map::new();
    map.insert("attributes".to_owned(), json!({"type": kind.name, "url": url}));
    map.extend(fields.map(|name| (name.to_owned(), body.get(name).cloned().unwrap_or_default())));
    Value::Object(map)
}

impl Salesforce {
    /// `GET /query` and `/queryAll`; only the latter shows what is in the recycle bin.
    pub(super) fn query(&self, store: &mut Store, ask: &Ask, text: &str, offset: usize, all: bool) -> Reply {
        let query = match Query::parse(text) {
            Ok(query) => query,
            Err(why) => return error(400, "MALFORMED_QUERY", &why),
        };
        let Some(kind) = Kind::named(&query.object) else {
            let message = format!("sObject type '{}' is not supported.", query.object);
            return error(400, "INVALID_TYPE", &message);
        };
        if let Some(field) = query.names().find(|field| !kind.knows(field)) {
            let message = format!("No such column '{field}' on entity '{}'.", kind.name);
            return error(400, "INVALID_FIELD", &message);
        }
        let rows = self
            .with(store, kind, |store| found(store, &query, all))
            .unwrap_or_default();
        let batch = ask
            .header("sforce-query-options")
            .and_then(|text| text.strip_prefix("batchSize="));
        let batch = batch
            .and_then(|text| text.parse::<usize>().ok())
            .map_or(BATCH, |size| size.clamp(200, BATCH));
        let page = rows.iter().skip(offset).take(batch);
        let records: Vec<Value> = page
            .map(|body| row(ask, kind, body, query.fields.iter().map(String::as_str)))
            .collect();
        let end = offset + records.len();
        let mut body = json!({"totalSize": rows.len(), "done": end >= rows.len(), "records": records});
        if let Some(map) = body.as_object_mut().filter(|_| end < rows.len()) {
            let locator = seal(&json!([text, end, all]).to_string());
            map.insert(
                "nextRecordsUrl".to_owned(),
                json!(format!("{}/query/{locator}", version(ask))),
            );
        }
        Reply::json(200, body)
    }

    /// The page that `nextRecordsUrl` names.
    pub(super) fn query_more(&self, store: &mut Store, ask: &Ask, locator: &str) -> Reply {
        let place = unseal(locator).and_then(|text| serde_json::from_str::<(String, usize, bool)>(&text).ok());
        match place {
            Some((text, offset, all)) => self.query(store, ask, &text, offset, all),
            None => error(400, "INVALID_QUERY_LOCATOR", "invalid query locator"),
        }
    }

    /// `GET /sobjects/X/deleted` and `/updated` between two times.
    pub(super) fn feed(&self, store: &mut Store, ask: &Ask, name: &str, feed: &str) -> Reply {
        let Some(kind) = Kind::named(name) else {
            return not_found();
        };
        let moment = |name: &str| ask.get(name).and_then(parse_ms);
        let (Some(start), Some(end)) = (moment("start"), moment("end")) else {
            return error(400, "INVALID_FIELD", "start and end are required");
        };
        let within = |at: i64| at >= start && at < end;
        let read = |store: &mut Store| {
            let objects: Vec<&Object> = store
                .objects
                .values()
                .filter(|object| within(object.updated_ms))
                .collect();
            let id = |object: &Object| ids::id_of(kind.prefix, object.id);
            if feed == "updated" {
                let live = objects.iter().filter(|object| object.is_live());
                return json!({"ids": live.map(|object| id(object)).collect::<Vec<_>>(), "latestDateCovered": time(end)});
            }
            let gone = objects
                .iter()
                .filter_map(|object| Some((id(object), object.deleted_ms?)));
            let rows: Vec<Value> = gone
                .map(|(id, at)| json!({"id": id, "deletedDate": time(at)}))
                .collect();
            json!({"deletedRecords": rows, "earliestDateAvailable": time(start), "latestDateCovered": time(end)})
        };
        self.with(store, kind, read)
            .map_or_else(not_found, |body| Reply::json(200, body))
    }
}

pub(super) fn found(store: &Store, query: &Query, all: bool) -> Vec<Value> {
    let objects = store.objects.values().filter(|object| all || object.is_live());
    let mut rows: Vec<Value> = objects
        .filter(|object| query.holds(&object.body))
        .map(|object| Value::clone(&object.body))
        .collect();
    rows.sort_by(|one, other| query.compare(one, other));
    rows.truncate(query.limit.unwrap_or(usize::MAX));
    rows
}

/// `GET /sobjects`
pub(super) fn kinds() -> Reply {
    let row = |kind: &Kind| json!({"name": kind.name, "label": kind.name, "keyPrefix": kind.prefix, "custom": false, "queryable": true});
    let rows: Vec<Value> = KINDS.iter().map(row).collect();
    Reply::json(200, json!({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": rows}))
}

/// `GET /sobjects/X/describe`
pub(super) fn describe(kind: &'static Kind) -> Reply {
    let row = |name: &&str| {
        let kind = match *name {
            "Email" => "email",
            "Phone" | "MobilePhone" => "phone",
            "HasOptedOutOfEmail" | "DoNotCall" | "IsConverted" | "IsDeleted" => "boolean",
            name if name.ends_with("Id") => "reference",
            _ => "string",
        };
        json!({"name": name, "label": name, "type": kind, "custom": false, "picklistValues": [], "nillable": true,
            "createable": !KEPT.contains(name), "updateable": !KEPT.contains(name)})
    };
    let fields: Vec<Value> = KEPT.iter().chain(kind.writable).map(row).collect();
    Reply::json(
        200,
        json!({"name": kind.name, "label": kind.name, "keyPrefix": kind.prefix, "fields": fields}),
    )
}
