//! A stand-in for the native connector while it is being built: fixed code for the three shapes.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use compact_str::CompactString;
use nivel::cache::{Ask, CacheHealth, Hints, IdentityCache, Learned};
use nivel::connector::Connection;
use nivel::error::{Class, Code, Failure, Problem};
use nivel::merge::{Create, Role, Rules, StreamRules, SystemRules};
use nivel::model::{
    Clock as _, Cursor, Done, FieldName, FieldSpec, Fields, Incoming, Kind, Operation, Outcome, Page, StreamSpec,
    SystemClock, UnixMillis, Value, WriteAction,
};
use reqwest::Client;
use serde_json::{Value as Json, json};

use super::Addresses;
use super::bare::{contact, request, send};
use super::shapes::{TOOLS, Tool};

pub(crate) struct Direct {
    tool: Tool,
    client: Client,
    base: String,
    streams: BTreeMap<CompactString, StreamSpec>,
}

fn broken(error: &anyhow::Error) -> Failure {
    Failure::new(Class::Transient, Problem::new(Code::Bug, format!("{error:#}")))
}

fn spec(tool: Tool) -> StreamSpec {
    let names: &[&str] = match tool {
        Tool::Marketing => &["email", "given_name", "family_name", "phone", "company"],
        _ => &["email", "full_name", "phone"],
    };
    StreamSpec {
        kind: Kind::Person,
        fields: names
            .iter()
            .map(|name| (FieldName::from(*name), FieldSpec::default()))
            .collect(),
        match_by: vec!["email".into()],
        can_create: true,
        can_update: true,
        can_delete: false,
        batch_max: if tool == Tool::Sales { 1 } else { 100 },
    }
}

pub(crate) fn connections(addresses: &Addresses) -> BTreeMap<CompactString, Arc<dyn Connection>> {
    let one = |tool: Tool| {
        let direct = Direct {
            tool,
            client: Client::builder().tcp_nodelay(true).build().unwrap_or_default(),
            base: addresses.tools[tool as usize].clone(),
            streams: [("person".into(), spec(tool))].into(),
        };
        (tool.name().into(), Arc::new(direct) as Arc<dyn Connection>)
    };
    TOOLS.into_iter().map(one).collect()
}

pub(crate) fn rules() -> Rules {
    let system = |tool: Tool| {
        let stream = StreamRules {
            spec: spec(tool),
            create: if tool == Tool::Sales {
                Create::Qualified
            } else {
                Create::Always
            },
            qualified_by: vec!["phone".into(), "company".into()],
            write: true,
        };
        let role = [Role::Marketing, Role::Sales, Role::Support][tool as usize];
        (
            tool.name().into(),
            SystemRules {
                role,
                streams: [("person".into(), stream)].into(),
            },
        )
    };
    Rules {
        systems: TOOLS.into_iter().map(system).collect(),
        ..Rules::default()
    }
}

pub(crate) struct NoCache;

#[async_trait]
impl IdentityCache for NoCache {
    async fn look_up(&self, _: &Ask) -> Hints {
        Hints::default()
    }
    async fn learn(&self, _: &Learned) {}
    async fn clear(&self) {}
    fn health(&self) -> CacheHealth {
        CacheHealth {
            kind: "none",
            is_up: true,
            hits: 0,
            misses: 0,
        }
    }
}

fn text(to: &mut Fields, name: &str, value: &str) {
    to.0.insert(name.into(), Value::text(value));
}

impl Direct {
    fn incoming(&self, row: &Json) -> Incoming {
        let contact = contact(self.tool, row);
        let mut fields = Fields::default();
        text(&mut fields, "email", &contact.email.to_lowercase());
        text(&mut fields, "phone", &contact.phone.replace(' ', ""));
        if self.tool == Tool::Marketing {
            text(&mut fields, "given_name", &contact.given);
            text(&mut fields, "family_name", &contact.family);
            text(&mut fields, "company", &contact.company);
        } else {
            text(
                &mut fields,
                "full_name",
                row.get("name").and_then(Json::as_str).unwrap_or_default(),
            );
        }
        let at = row
            .get(["updatedAt", "update_time", "updated_at"][self.tool as usize])
            .and_then(Json::as_str);
        Incoming {
            remote: contact.id.into(),
            fields,
            updated_at: at.and_then(UnixMillis::from_rfc3339),
            version: None,
            deleted: false,
            key: None,
            problem: None,
        }
    }

    async fn try_write(&self, operations: &[Operation]) -> anyhow::Result<Vec<Done>> {
        let mut done = vec![None; operations.len()];
        let (creates, updates): (Vec<usize>, Vec<usize>) =
            (0..operations.len()).partition(|place| operations[*place].action == WriteAction::Create);
        for (places, is_new) in [(updates, false), (creates, true)] {
            if places.is_empty() {
                continue;
            }
            let items: Vec<Json> = places.iter().map(|place| self.item(&operations[*place])).collect();
            let (method, path, body) = request(self.tool, is_new, items, operations[places[0]].action_id());
            let answer = send(&self.client, method, &format!("{}{path}", self.base), Some(&body)).await?;
            let rows = answer
                .get("results")
                .or_else(|| answer.pointer("/job_status/results"))
                .and_then(Json::as_array);
            let ids: Vec<CompactString> = match rows {
                Some(rows) => rows.iter().map(id_of).collect(),
                None => vec![id_of(answer.get("data").unwrap_or(&answer))],
            };
            for (place, remote) in places.into_iter().zip(ids) {
                done[place] = Some(Done {
                    remote,
                    updated_at: Some(SystemClock.now()),
                    version: None,
                    created: is_new,
                });
            }
        }
        done.into_iter()
            .map(|done| done.ok_or_else(|| anyhow::anyhow!("unanswered")))
            .collect()
    }

    fn item(&self, operation: &Operation) -> Json {
        let value = |name: &str| {
            operation
                .fields
                .get(name)
                .and_then(Option::as_ref)
                .and_then(Value::as_text)
        };
        let mut item = serde_json::Map::new();
        let names = match self.tool {
            Tool::Marketing => [
                ("email", "email"),
                ("given_name", "firstname"),
                ("family_name", "lastname"),
                ("phone", "phone"),
                ("company", "company"),
            ],
            _ => [
                ("email", "email"),
                ("full_name", "name"),
                ("phone", "phone"),
                ("-", ""),
                ("-", ""),
            ],
        };
        for (name, remote) in names {
            let Some(value) = value(name) else { continue };
            match (self.tool, name) {
                (Tool::Sales, "email") => item.insert("emails".into(), json!([{"value": value, "primary": true}])),
                (Tool::Sales, "phone") => item.insert("phones".into(), json!([{"value": value, "primary": true}])),
                _ => item.insert(remote.into(), value.into()),
            };
        }
        let id = match &operation.action {
            WriteAction::Update(id) => Some(id.as_str()),
            _ => None,
        };
        match (self.tool, id) {
            (Tool::Marketing, Some(id)) => json!({"id": id, "objectWriteTraceId": operation.id, "properties": item}),
            (Tool::Marketing, None) => {
                json!({"id": item.get("email"), "idProperty": "email", "objectWriteTraceId": operation.id, "properties": item})
            }
            (Tool::Support, Some(id)) => {
                item.insert("id".into(), id.into());
                item.into()
            }
            _ => item.into(),
        }
    }
}

trait ActionId {
    fn action_id(&self) -> Option<&str>;
}

impl ActionId for Operation {
    fn action_id(&self) -> Option<&str> {
        match &self.action {
            WriteAction::Update(id) => Some(id),
            _ => None,
        }
    }
}

fn id_of(row: &Json) -> CompactString {
    row.get("id")
        .map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned))
        .unwrap_or_default()
        .into()
}

#[async_trait]
impl Connection for Direct {
    fn streams(&self) -> &BTreeMap<CompactString, StreamSpec> {
        &self.streams
    }

    async fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn pull(&self, _: &str, cursor: Option<&Cursor>) -> Result<Page, Failure> {
        let asked_at = SystemClock.now();
        let place = cursor
            .map(|cursor| cursor.0.as_str())
            .filter(|cursor| !cursor.is_empty());
        let (page, next) = super::bare::page(self.tool, &self.client, &self.base, place)
            .await
            .map_err(|error| broken(&error))?;
        let rows = page
            .get(["results", "data", "users"][self.tool as usize])
            .and_then(Json::as_array);
        let is_caught_up = next.is_none();
        Ok(Page {
            records: rows.into_iter().flatten().map(|row| self.incoming(row)).collect(),
            next: Cursor(next.unwrap_or_default()),
            is_caught_up,
            asked_at,
            sweep_ended: false,
        })
    }

    async fn get(&self, _: &str, _: &[CompactString]) -> Result<Vec<Incoming>, Failure> {
        Ok(Vec::new())
    }

    async fn find(&self, _: &str, _: &FieldName, _: &Value) -> Result<Option<Incoming>, Failure> {
        Ok(None)
    }

    async fn write(&self, _: &str, operations: &[Operation]) -> Vec<Outcome> {
        match self.try_write(operations).await {
            Ok(done) => done.into_iter().map(Ok).collect(),
            Err(error) => operations.iter().map(|_| Err(broken(&error))).collect(),
        }
    }
}
