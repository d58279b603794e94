//! Intercom's companies: read by a scroll, of which there is one at a time (VENDORS.md C3.3, C3.6).

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::super::store::Store;
use super::super::wire::{Ask, Reply};
use super::{act, error, id_of, laid, number_of, shown, text};

const SCROLL_ROWS: usize = 100;
/// A scroll that nobody asks ends (C3.3).
const SCROLL_IDLE_MS: i64 = 60_000;

/// The one open scroll of the workspace.
#[derive(Default)]
pub(super) struct Scroll(Mutex<Option<Open>>);

struct Open {
    token: String,
    after: u64,
    asked_ms: i64,
}

fn not_found() -> Reply {
    error(404, "company_not_found", "Company Not Found")
}

impl Scroll {
    pub(super) fn answer(&self, store: &mut Store, ask: &Ask, rest: &[&str]) -> Reply {
        match (ask.method.as_str(), rest) {
            ("GET", ["scroll"]) => self.next(store, ask),
            ("GET", []) => by_company_id(store, ask.get("company_id").unwrap_or_default()),
            ("GET", [id]) => number_of(id)
                .and_then(|id| store.live(id))
                .map_or_else(not_found, shown),
            ("POST", []) => upsert(store, ask),
            _ => not_found(),
        }
    }

    fn next(&self, store: &Store, ask: &Ask) -> Reply {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open
            .as_ref()
            .is_some_and(|scroll| ask.now_ms - scroll.asked_ms > SCROLL_IDLE_MS)
        {
            *open = None;
        }
        let scroll = match (ask.get("scroll_param"), open.take()) {
            (None, None) => Open {
                token: format!("{}-scroll", ask.now_ms),
                after: 0,
                asked_ms: ask.now_ms,
            },
            (None, Some(other)) => {
                *open = Some(other);
                return error(400, "scroll_exists", "scroll already exists for this workspace");
            }
            (Some(token), Some(scroll)) if scroll.token == token => scroll,
            (Some(_), other) => {
                *open = other;
                return error(404, "not_found", "scroll parameter not found");
            }
        };
        let rows = store.objects.range(scroll.after + 1..).map(|(_, object)| object);
        let rows: Vec<_> = rows.filter(|object| object.is_live()).take(SCROLL_ROWS).collect();
        let data: Vec<&Value> = rows.iter().map(|object| object.body.as_ref()).collect();
        // The end is an empty page without a parameter: the vendor's own client goes on as long as there is one.
        let next = rows.last().map(|_| scroll.token.as_str());
        let body = json!({"type": "list", "data": data, "pages": null, "total_count": null, "scroll_param": next});
        *open = rows.last().map(|last| Open {
            after: last.id,
            asked_ms: ask.now_ms,
            token: scroll.token,
        });
        Reply::json(200, body)
    }
}

fn by_company_id(store: &Store, company_id: &str) -> Reply {
    let mut live = store.objects.values().filter(|object| object.is_live());
    let found = live.find(|object| text(&object.body, "company_id") == Some(company_id));
    found.map_or_else(not_found, shown)
}

/// `POST /companies` makes or changes by `company_id` (C3.6).
fn upsert(store: &mut Store, ask: &Ask) -> Reply {
    let Some(Value::Object(mut typed)) = ask.json() else {
        return error(400, "bad_request", "the body must be an object");
    };
    let Some(company_id) = typed.get("company_id").and_then(Value::as_str).map(str::to_owned) else {
        return error(400, "parameter_not_found", "company_id must be present");
    };
    typed.retain(|name, _| !["id", "type", "created_at", "updated_at"].contains(&name.as_str()));
    let mut live = store.objects.values().filter(|object| object.is_live());
    let known = live.find(|object| text(&object.body, "company_id") == Some(&company_id));
    let id = match known.map(|object| (object.id, laid(&object.body, &typed))) {
        Some((id, body)) => {
            store.revise(act(ask), id, body, false);
            id
        }
        None => {
            let fresh = json!({"type": "company", "name": null, "website": null, "industry": null, "size": null, "custom_attributes": {}});
            store.insert(act(ask), laid(&fresh, &typed), ask.now_ms, ask.now_ms)
        }
    };
    debug_assert!(number_of(&id_of(id)) == Some(id));
    store.live(id).map_or_else(not_found, shown)
}
