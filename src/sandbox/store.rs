//! One tool's objects, their indexes and their history, behind the tool's mutex.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::history::{By, Event, Op};

/// How many older versions an object keeps, so that a lagging search index can show them.
const VERSIONS_MAX: usize = 8;

/// Where the store asks about a vendor's shape.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Writes id and time stamps into a body.
    pub(super) stamp: fn(&mut Value, &Stamps),
    /// What finds a body at once: its addresses, lower case, and `external:…`.
    pub(super) keys: fn(&Value) -> Vec<String>,
    /// Resolution of the vendor's time stamps.
    pub(super) step_ms: i64,
    /// Fields that the vendor moves itself; they are no change.
    pub(super) moving: &'static [&'static str],
}

/// What a vendor writes into every object by itself.
pub(super) struct Stamps {
    pub(super) id: u64,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
    pub(super) deleted_ms: Option<i64>,
}

/// Who acts, and what the tool's clock says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Act {
    pub(super) by: By,
    pub(super) now_ms: i64,
}

#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) id: u64,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
    pub(super) deleted_ms: Option<i64>,
    pub(super) body: Arc<Value>,
    /// Place in the order of changes (Zendesk's incremental export).
    pub(super) change: (i64, u64),
    /// Versions with the time each became true, oldest first; the newest is the current one.
    versions: Vec<(i64, Arc<Value>, i64)>,
}

impl Object {
    /// The version a search index sees that is `lag_ms` late: its body and its `updated` stamp.
    pub(super) fn indexed(&self, now_ms: i64, lag_ms: i64) -> Option<(&Arc<Value>, i64)> {
        if lag_ms <= 0 {
            return Some((&self.body, self.updated_ms));
        }
        let seen_until = now_ms - lag_ms;
        self.versions
            .iter()
            .rev()
            .find(|(since, ..)| *since <= seen_until)
            .map(|(_, body, updated)| (body, *updated))
    }

    pub(super) fn stamps(&self) -> Stamps {
        Stamps {
            id: self.id,
            created_ms: self.created_ms,
            updated_ms: self.updated_ms,
            deleted_ms: self.deleted_ms,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.deleted_ms.is_none()
    }
}

pub(super) struct Store {
    pub(super) objects: BTreeMap<u64, Object>,
    /// Live objects by (`updated`, id).
    pub(super) updates: BTreeSet<(i64, u64)>,
    /// All objects by their last change, deleted ones too.
    pub(super) changes: BTreeMap<(i64, u64), u64>,
    keys: BTreeMap<String, BTreeSet<u64>>,
    pub(super) history: Vec<Event>,
    /// Objects that live on in another one.
    merged: BTreeMap<u64, u64>,
    shape: Shape,
    next_id: u64,
    change_seq: u64,
    change_ms: i64,
}

impl Store {
    pub(super) fn new(shape: Shape, first_id: u64) -> Self {
        Self {
            objects: BTreeMap::new(),
            updates: BTreeSet::new(),
            changes: BTreeMap::new(),
            keys: BTreeMap::new(),
            history: Vec::new(),
            merged: BTreeMap::new(),
            shape,
            next_id: first_id,
            change_seq: 0,
            change_ms: 0,
        }
    }

    /// The first live object that holds this key, whatever its case.
    pub(super) fn with_key(&self, key: &str) -> Option<u64> {
        self.keys
            .get(&key.trim().to_lowercase())
            .and_then(|ids| ids.first().copied())
    }

    /// The live objects that hold this key, whatever its case.
    pub(super) fn all_with_key(&self, key: &str) -> impl Iterator<Item = &Object> {
        let ids = self.keys.get(&key.trim().to_lowercase());
        ids.into_iter().flatten().filter_map(|id| self.live(*id))
    }

    /// From now on `gone` lives on in `kept`.
    pub(super) fn join(&mut self, gone: u64, kept: u64) {
        self.merged.insert(gone, kept);
    }

    /// The object that an id leads to after all merges.
    pub(super) fn survivor(&self, mut id: u64) -> u64 {
        while let Some(kept) = self.merged.get(&id) {
            id = *kept;
        }
        id
    }

    /// Forgets an object as if it had never been there: vendors empty their bins.
    pub(super) fn purge(&mut self, id: u64) -> bool {
        let Some(object) = self.objects.remove(&id) else {
            return false;
        };
        self.updates.remove(&(object.updated_ms, id));
        self.changes.remove(&object.change);
        self.keys.values_mut().for_each(|ids| ids.retain(|known| *known != id));
        true
    }

    pub(super) fn live(&self, id: u64) -> Option<&Object> {
        self.objects.get(&id).filter(|object| object.is_live())
    }

    /// Adds an object and returns its id. `created_ms` and `updated_ms` are cut to the vendor's resolution.
    pub(super) fn insert(&mut self, act: Act, mut body: Value, created_ms: i64, updated_ms: i64) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let (created_ms, updated_ms) = (self.cut(created_ms), self.cut(updated_ms));
        (self.shape.stamp)(
            &mut body,
            &Stamps {
                id,
                created_ms,
                updated_ms,
                deleted_ms: None,
            },
        );
        let body = Arc::new(body);
        let at_ms = if act.by == By::Seed { updated_ms } else { act.now_ms };
        let change = self.next_change(at_ms);
        let object = Object {
            id,
            created_ms,
            updated_ms,
            deleted_ms: None,
            change,
            versions: vec![(at_ms, Arc::clone(&body), updated_ms)],
            body: Arc::clone(&body),
        };
        for key in (self.shape.keys)(&body) {
            self.keys.entry(key).or_default().insert(id);
        }
        self.updates.insert((updated_ms, id));
        self.changes.insert(change, id);
        self.objects.insert(id, object);
        let changed = fields(&body, self.shape.moving);
        self.record(at_ms, Op::Create, id, act.by, changed, (None, Some(body)));
        id
    }

    /// Writes a new body; `touch` moves the time stamp even where nothing changed. Returns whether something did.
    pub(super) fn revise(&mut self, act: Act, id: u64, mut body: Value, touch: bool) -> bool {
        let Some(object) = self.objects.get(&id) else {
            return false;
        };
        let before = Arc::clone(&object.body);
        let changed = difference(&before, &body, self.shape.moving);
        if changed.is_empty() && !touch {
            self.record(
                act.now_ms,
                Op::Update,
                id,
                act.by,
                changed,
                (Some(Arc::clone(&before)), Some(before)),
            );
            return false;
        }
        let stamps = Stamps {
            id,
            created_ms: object.created_ms,
            updated_ms: self.cut(act.now_ms),
            deleted_ms: object.deleted_ms,
        };
        (self.shape.stamp)(&mut body, &stamps);
        let body = Arc::new(body);
        self.replace(act, id, stamps.updated_ms, stamps.deleted_ms, Arc::clone(&body));
        let is_changed = !changed.is_empty();
        self.record(act.now_ms, Op::Update, id, act.by, changed, (Some(before), Some(body)));
        is_changed
    }

    /// Writes a new body and leaves the time stamp: whom an object is joined to is no property of its own.
    pub(super) fn associate(&mut self, act: Act, id: u64, body: Value) {
        let Some(object) = self.objects.get(&id) else { return };
        let (updated_ms, deleted_ms) = (object.updated_ms, object.deleted_ms);
        let (before, body) = (Arc::clone(&object.body), Arc::new(body));
        let changed = difference(&before, &body, self.shape.moving);
        self.replace(act, id, updated_ms, deleted_ms, Arc::clone(&body));
        self.record(act.now_ms, Op::Update, id, act.by, changed, (Some(before), Some(body)));
    }

    /// Takes an object out of the bin, with a new body.
    pub(super) fn restore(&mut self, act: Act, id: u64, body: Value) {
        if let Some(object) = self.objects.get_mut(&id) {
            object.deleted_ms = None;
        }
        self.revise(act, id, body, true);
    }

    /// Puts an object in the bin; false when it is not there (any more).
    pub(super) fn delete(&mut self, act: Act, id: u64) -> bool {
        let Some(object) = self.objects.get(&id).filter(|object| object.is_live()) else {
            return false;
        };
        let before = Arc::clone(&object.body);
        let mut body = Value::clone(&before);
        let stamps = Stamps {
            id,
            created_ms: object.created_ms,
            updated_ms: self.cut(act.now_ms),
            deleted_ms: Some(act.now_ms),
        };
        (self.shape.stamp)(&mut body, &stamps);
        let body = Arc::new(body);
        self.replace(act, id, stamps.updated_ms, stamps.deleted_ms, Arc::clone(&body));
        self.record(
            act.now_ms,
            Op::Delete,
            id,
            act.by,
            Vec::new(),
            (Some(before), Some(body)),
        );
        true
    }

    /// Moves the object to the end of the change order without moving its time stamp (VENDORS.md C1.4: system updates).
    pub(super) fn system_update(&mut self, id: u64, now_ms: i64) -> bool {
        let change = self.next_change(now_ms);
        let Some(object) = self.objects.get_mut(&id) else {
            return false;
        };
        self.changes.remove(&object.change);
        object.change = change;
        self.changes.insert(change, id);
        true
    }

    /// Gives `other` the time stamp of `id`: two rows of one instant. No event: the vendor rounded, nobody wrote.
    pub(super) fn level(&mut self, id: u64, other: u64) {
        let Some(updated_ms) = self.objects.get(&id).map(|object| object.updated_ms) else {
            return;
        };
        let Some(object) = self.objects.get_mut(&other) else {
            return;
        };
        if self.updates.remove(&(object.updated_ms, other)) {
            self.updates.insert((updated_ms, other));
        }
        object.updated_ms = updated_ms;
        let stamps = Stamps {
            id: other,
            created_ms: object.created_ms,
            updated_ms,
            deleted_ms: object.deleted_ms,
        };
        (self.shape.stamp)(Arc::make_mut(&mut object.body), &stamps);
    }

    fn replace(&mut self, act: Act, id: u64, updated_ms: i64, deleted_ms: Option<i64>, body: Arc<Value>) {
        let change = self.next_change(act.now_ms);
        let Some(object) = self.objects.get_mut(&id) else {
            return;
        };
        for key in (self.shape.keys)(&object.body) {
            if let Some(ids) = self.keys.get_mut(&key) {
                ids.remove(&id);
            }
        }
        self.updates.remove(&(object.updated_ms, id));
        self.changes.remove(&object.change);
        self.changes.insert(change, id);
        object.change = change;
        object.updated_ms = updated_ms;
        object.deleted_ms = deleted_ms;
        object.versions.push((act.now_ms, Arc::clone(&body), updated_ms));
        if object.versions.len() > VERSIONS_MAX {
            object.versions.remove(0);
        }
        if deleted_ms.is_none() {
            self.updates.insert((updated_ms, id));
            for key in (self.shape.keys)(&body) {
                self.keys.entry(key).or_default().insert(id);
            }
        }
        object.body = body;
    }

    fn record(
        &mut self,
        at_ms: i64,
        op: Op,
        id: u64,
        by: By,
        changed: Vec<String>,
        bodies: (Option<Arc<Value>>, Option<Arc<Value>>),
    ) {
        let seq = self.history.len() as u64 + 1;
        self.history.push(Event {
            seq,
            at_ms,
            op,
            id: id.to_string(),
            by,
            changed,
            before: bodies.0,
            after: bodies.1,
        });
    }

    /// Never goes back, so that a cursor which stands here has seen everything before it.
    fn next_change(&mut self, at_ms: i64) -> (i64, u64) {
        self.change_ms = self.change_ms.max(at_ms);
        self.change_seq += 1;
        (self.change_ms.div_euclid(1_000), self.change_seq)
    }

    fn cut(&self, ms: i64) -> i64 {
        ms - ms.rem_euclid(self.shape.step_ms)
    }
}

fn fields(body: &Value, moving: &[&str]) -> Vec<String> {
    let Some(map) = body.as_object() else { return Vec::new() };
    map.iter()
        .filter(|(name, value)| !value.is_null() && !moving.contains(&name.as_str()))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Names of the fields that differ; null, absent and (HubSpot's way) the empty string are the same.
fn difference(before: &Value, after: &Value, moving: &[&str]) -> Vec<String> {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else {
        return Vec::new();
    };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |map: &serde_json::Map<String, Value>, name: &str| map.get(name).filter(|v| !is_blank(v)).cloned();
    names
        .into_iter()
        .filter(|name| !moving.contains(&name.as_str()) && value(before, name) != value(after, name))
        .cloned()
        .collect()
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}
