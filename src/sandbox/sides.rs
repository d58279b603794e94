//! What a tool keeps beside its people: deals, tickets, notes. Each kind is a store of its own, with a history.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::Sandbox;
use super::history::{By, Event};
use super::store::{Act, Shape, Stamps, Store};
use super::tool::Tool;

/// Fields that the vendors move themselves.
const MOVING: &[&str] = &[
    "id",
    "add_time",
    "update_time",
    "created_at",
    "updated_at",
    "generated_timestamp",
    "is_deleted",
    "hs_object_id",
    "createdate",
    "hs_lastmodifieddate",
];

/// Writes id and time stamps into a body.
type Stamp = fn(&mut Value, &Stamps);

pub(super) struct Sides(Mutex<BTreeMap<&'static str, Store>>);

impl Sides {
    /// `step_ms`: the resolution of the vendor's time stamps.
    pub(super) fn new(step_ms: i64, kinds: &[(&'static str, Stamp)]) -> Self {
        let store = |stamp: Stamp| {
            let shape = Shape {
                stamp,
                keys: |_| Vec::new(),
                step_ms,
                moving: MOVING,
            };
            Store::new(shape, 1)
        };
        Self(Mutex::new(
            kinds.iter().map(|(kind, stamp)| (*kind, store(*stamp))).collect(),
        ))
    }

    /// Works with the objects of one kind; nothing where the vendor has none of it.
    pub(super) fn with<T>(&self, kind: &str, work: impl FnOnce(&mut Store) -> T) -> Option<T> {
        let mut stores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stores.get_mut(kind).map(work)
    }
}

impl Tool {
    /// A person enters a deal or ticket (`kind`) by hand; its id. Empty where the tool has none.
    pub fn add_activity(&self, kind: &str, typed: &Value) -> String {
        let vendor = &self.service.vendor;
        let body = laid(vendor.blank(kind), typed);
        let now_ms = self.clock.now_ms();
        let add = |store: &mut Store| store.insert(Act { by: By::User, now_ms }, body, now_ms, now_ms);
        let id = vendor.sides().and_then(|sides| sides.with(kind, add));
        id.map_or_else(String::new, |id| id.to_string())
    }

    /// A person edits a deal or ticket; false when it is not there.
    pub fn edit_activity(&self, kind: &str, id: &str, patch: &Value) -> bool {
        self.change(kind, id, patch, true)
    }

    /// A person joins a deal or ticket to other people: its own time does not move. False when it is not there.
    pub fn associate(&self, kind: &str, id: &str, patch: &Value) -> bool {
        self.change(kind, id, patch, false)
    }

    fn change(&self, kind: &str, id: &str, patch: &Value, moves_time: bool) -> bool {
        let act = Act {
            by: By::User,
            now_ms: self.clock.now_ms(),
        };
        let edit = |store: &mut Store| {
            let Some(object) = id.parse().ok().and_then(|id| store.live(id)) else {
                return false;
            };
            let (id, body) = (object.id, laid(Value::clone(&object.body), patch));
            if moves_time {
                store.revise(act, id, body, true);
            } else {
                store.associate(act, id, body);
            }
            true
        };
        let sides = self.service.vendor.sides();
        sides.and_then(|sides| sides.with(kind, edit)).unwrap_or(false)
    }

    /// A person deletes a deal or ticket; false when it is not there.
    pub fn delete_activity(&self, kind: &str, id: &str) -> bool {
        let act = Act {
            by: By::User,
            now_ms: self.clock.now_ms(),
        };
        let delete = |store: &mut Store| id.parse().is_ok_and(|id| store.delete(act, id));
        let sides = self.service.vendor.sides();
        sides.and_then(|sides| sides.with(kind, delete)).unwrap_or(false)
    }

    /// Live deals, tickets or notes, in the vendor's words.
    #[must_use]
    pub fn activities(&self, kind: &str) -> Vec<Value> {
        let list = |store: &mut Store| {
            let live = store.objects.values().filter(|object| object.is_live());
            live.map(|object| Value::clone(&object.body)).collect()
        };
        let sides = self.service.vendor.sides();
        sides.and_then(|sides| sides.with(kind, list)).unwrap_or_default()
    }

    /// Every write to deals, tickets or notes since the start, in order.
    #[must_use]
    pub fn activity_history(&self, kind: &str) -> Vec<Event> {
        let list = |store: &mut Store| store.history.clone();
        let sides = self.service.vendor.sides();
        sides.and_then(|sides| sides.with(kind, list)).unwrap_or_default()
    }
}

impl Sandbox {
    /// The tool of the marketing team.
    #[must_use]
    pub fn marketing(&self) -> &Tool {
        &self.hubspot
    }

    /// The tool of the sales team.
    #[must_use]
    pub fn sales(&self) -> &Tool {
        &self.pipedrive
    }

    /// The tool of the support team.
    #[must_use]
    pub fn support(&self) -> &Tool {
        &self.zendesk
    }
}

/// A patch over a body.
fn laid(mut body: Value, patch: &Value) -> Value {
    if let (Some(body), Some(patch)) = (body.as_object_mut(), patch.as_object()) {
        body.extend(patch.clone());
    }
    body
}
