//! One running tool: its server, its store, and the handles a test or the demo holds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::faults::{Fault, Kind, Nemesis};
use super::history::{By, Event, RequestLog, Ring};
use super::hooks::{Hooks, Posting};
use super::serve::serve_one;
use super::sides::Sides;
use super::store::{Act, Shape, Stamps, Store};
pub(super) use super::wire::Wrong;
use super::wire::{Ask, Door, Line, Reply};
use super::{Error, ToolName};

/// A person as any of the tools shows one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Person {
    /// The vendor's id; the sandbox's number of it where the vendor spells ids otherwise (then it stands in `raw`).
    pub id: String,
    /// The main address, as stored.
    pub email: Option<String>,
    /// Every address.
    pub emails: Vec<String>,
    /// Given name, where the tool keeps one.
    pub given: Option<String>,
    /// Family name, where the tool keeps one.
    pub family: Option<String>,
    /// The full name, joined where the tool keeps two parts.
    pub full_name: Option<String>,
    /// The main phone, as stored.
    pub phone: Option<String>,
    /// Company as text (HubSpot only).
    pub company: Option<String>,
    /// Zendesk's `external_id`.
    pub external_id: Option<String>,
    /// Last change by the vendor's own stamp.
    pub updated_ms: i64,
    /// In the vendor's bin.
    pub deleted: bool,
    /// The object in the vendor's words.
    pub raw: Value,
}

/// What a vendor is: how it checks, answers, and words its errors.
pub(super) trait Vendor: Posting + Send + Sync + 'static {
    fn name(&self) -> ToolName;
    fn shape(&self) -> Shape;
    fn first_id(&self) -> u64;
    fn authorized(&self, ask: &Ask) -> bool;
    fn answer(&self, store: &mut Store, ask: &Ask) -> Reply;
    fn wrong(&self, wrong: Wrong) -> Reply;
    /// A body in the common shape.
    fn person(&self, body: &Value, stamps: &Stamps) -> Person;
    /// Lets the vendor's own queues run on, as they would without anybody asking.
    fn catch_up(&self, _store: &mut Store, _now_ms: i64) {}
    /// Makes a body out of what a person or the seed types in.
    fn compose(&self, typed: &Value) -> Value;
    /// Lays a person's edit over a body.
    fn amend(&self, body: &Value, patch: &Value) -> Value;
    /// A body that notes that another object was merged into it, where the vendor has a place for that.
    fn took_in(&self, _body: &Value, _gone: u64) -> Option<Value> {
        None
    }
    /// Deals, tickets and notes, where the vendor has them; and one before anything is typed in.
    fn sides(&self) -> Option<&Sides> {
        None
    }
    fn blank(&self, _kind: &str) -> Value {
        Value::Null
    }
    /// Makes the e-mail of a row an object.
    fn twist(&self, row: &mut Value);
}

pub(super) struct Service {
    pub(super) vendor: Box<dyn Vendor>,
    pub(super) clock: Arc<Clock>,
    store: Mutex<Store>,
    pub(super) hooks: Mutex<Hooks>,
    nemesis: Mutex<Nemesis>,
    log: Mutex<Ring>,
    /// The last page of each path, for [`Kind::DuplicatePage`].
    last_pages: Mutex<BTreeMap<String, Vec<Arc<Value>>>>,
    index_lag_ms: i64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    pub(super) fn new(vendor: Box<dyn Vendor>, clock: Arc<Clock>, log_rows_max: usize, index_lag_ms: i64) -> Self {
        let store = Store::new(vendor.shape(), vendor.first_id());
        Self {
            vendor,
            clock,
            store: Mutex::new(store),
            hooks: Mutex::default(),
            nemesis: Mutex::default(),
            log: Mutex::new(Ring::new(log_rows_max)),
            last_pages: Mutex::default(),
            index_lag_ms,
        }
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    pub(super) fn last_pages(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Arc<Value>>>> {
        lock(&self.last_pages)
    }

    fn settled(&self) -> MutexGuard<'_, Store> {
        let mut store = self.store();
        self.vendor.catch_up(&mut store, self.clock.now_ms());
        store
    }

    /// Live objects in a common shape, by id.
    pub(super) fn people(&self) -> Vec<Person> {
        let store = self.settled();
        let live = store.objects.values().filter(|object| object.is_live());
        live.map(|object| self.vendor.person(&object.body, &object.stamps()))
            .collect()
    }

    /// The newest requests, oldest first.
    pub(super) fn requests(&self) -> Vec<RequestLog> {
        lock(&self.log).rows()
    }

    /// Replaces the armed faults.
    pub(super) fn arm(&self, faults: Vec<Fault>) {
        lock(&self.nemesis).arm(faults);
    }

    /// Authorisation and the vendor's own answer, without any fault.
    pub(super) fn dispatch(&self, ask: &Ask) -> Reply {
        if !self.vendor.authorized(ask) {
            return self.vendor.wrong(Wrong::Unauthorized);
        }
        let about_hooks = self.vendor.subscriptions(&mut lock(&self.hooks), ask);
        about_hooks.unwrap_or_else(|| self.vendor.answer(&mut self.store(), ask))
    }

    /// The armed fault that meets this request.
    pub(super) fn fault(&self, ask: &Ask) -> Option<Kind> {
        lock(&self.nemesis).pick(ask)
    }

    pub(super) fn note(&self, ask: &Ask, status: u16, fault: Option<Kind>) {
        lock(&self.log).push(RequestLog {
            seq: 0,
            at_ms: ask.now_ms,
            method: ask.method.clone(),
            path: ask.path.clone(),
            query: ask.raw_query.clone(),
            status,
            fault: fault.map(|kind| kind.name()),
        });
    }

    pub(super) fn ask(&self, parts: &axum::http::request::Parts, body: Bytes) -> Ask {
        let raw_query = parts.uri.query().unwrap_or_default().to_owned();
        let query = url::form_urlencoded::parse(raw_query.as_bytes()).into_owned().collect();
        let path = percent_encoding::percent_decode_str(parts.uri.path())
            .decode_utf8_lossy()
            .into_owned();
        Ask {
            method: parts.method.as_str().to_owned(),
            path,
            raw_query,
            query,
            headers: parts.headers.clone(),
            body,
            now_ms: self.clock.now_ms(),
            lag_ms: self.index_lag_ms,
        }
    }
}

/// A running tool. Dropping it stops the server.
pub struct Tool {
    /// `http://127.0.0.1:port`, without a trailing slash.
    pub base_url: String,
    /// Which tool it is.
    pub name: ToolName,
    /// The tool's own clock.
    pub clock: Arc<Clock>,
    pub(super) service: Arc<Service>,
    stop: CancellationToken,
    server: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
}

impl Tool {
    pub(super) async fn start(service: Service, port: u16) -> Result<Self, Error> {
        let name = service.vendor.name();
        let problem = |source| Error::Listen {
            tool: name,
            port,
            source,
        };
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))
            .await
            .map_err(problem)?;
        let address = listener.local_addr().map_err(problem)?;
        let service = Arc::new(service);
        let router = Router::new().fallback(serve_one).with_state(Arc::clone(&service));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let make = router.into_make_service_with_connect_info::<Line>();
        let server =
            tokio::spawn(async move { axum::serve(Door(listener), make).with_graceful_shutdown(stopped).await });
        Ok(Self {
            base_url: format!("http://{address}"),
            name,
            clock: Arc::clone(&service.clock),
            service,
            stop,
            server: Some(server),
        })
    }

    /// What stands in a system's `base` so that the shipped manifest reaches this tool instead of the vendor.
    #[must_use]
    pub fn api_base(&self) -> String {
        match self.name {
            ToolName::Hubspot | ToolName::Intercom => self.base_url.clone(),
            ToolName::Mailchimp => format!("{}/3.0", self.base_url),
            ToolName::Salesforce => format!("{}/services/data/v60.0", self.base_url),
            ToolName::Pipedrive | ToolName::Zendesk => format!("{}/api/v2", self.base_url),
        }
    }

    /// Live objects in a common shape, by id.
    #[must_use]
    pub fn people(&self) -> Vec<Person> {
        self.service.people()
    }

    /// One object, also a deleted one.
    #[must_use]
    pub fn person(&self, id: &str) -> Option<Person> {
        let store = self.service.store();
        store
            .objects
            .get(&id.parse().ok()?)
            .map(|object| self.service.vendor.person(&object.body, &object.stamps()))
    }

    /// A body out of the history, in the common shape.
    pub(super) fn view(&self, id: &str, at_ms: i64, body: &Value) -> Person {
        let stamps = Stamps {
            id: id.parse().unwrap_or_default(),
            created_ms: at_ms,
            updated_ms: at_ms,
            deleted_ms: None,
        };
        self.service.vendor.person(body, &stamps)
    }

    /// Every write since the start, in order.
    #[must_use]
    pub fn history(&self) -> Vec<Event> {
        self.service.settled().history.clone()
    }

    /// The newest requests, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestLog> {
        self.service.requests()
    }

    /// How many requests came in all, also those the ring has dropped.
    #[must_use]
    pub fn requests_total(&self) -> u64 {
        lock(&self.service.log).count()
    }

    /// A person edits an object in the tool: `patch` holds the vendor's fields (HubSpot: properties), null clears.
    ///
    /// # Errors
    /// When no live object has this id.
    pub fn edit(&self, id: &str, patch: &Value) -> Result<(), Error> {
        let mut store = self.service.store();
        let number = self.number(id)?;
        let body = store
            .live(number)
            .map(|object| self.service.vendor.amend(&object.body, patch))
            .ok_or_else(|| self.missing(id))?;
        let act = Act {
            by: By::User,
            now_ms: self.clock.now_ms(),
        };
        store.revise(act, number, body, true);
        Ok(())
    }

    /// A person enters a new object by hand; returns its id.
    pub fn create(&self, body: &Value) -> String {
        let now_ms = self.clock.now_ms();
        let body = self.service.vendor.compose(body);
        self.service
            .store()
            .insert(Act { by: By::User, now_ms }, body, now_ms, now_ms)
            .to_string()
    }

    /// A person deletes an object.
    ///
    /// # Errors
    /// When no live object has this id.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        let act = Act {
            by: By::User,
            now_ms: self.clock.now_ms(),
        };
        if self.service.store().delete(act, self.number(id)?) {
            Ok(())
        } else {
            Err(self.missing(id))
        }
    }

    /// Adds an object the tool starts with; returns its id.
    pub fn seed(&self, body: &Value, created_ms: i64, updated_ms: i64) -> String {
        let act = Act {
            by: By::Seed,
            now_ms: self.clock.now_ms(),
        };
        let body = self.service.vendor.compose(body);
        self.service
            .store()
            .insert(act, body, created_ms, updated_ms)
            .to_string()
    }

    /// The vendor touches an object for its own reasons: it comes again in an incremental export, with its old time
    /// stamp (VENDORS.md C1.4).
    ///
    /// # Errors
    /// When no object has this id.
    pub fn system_update(&self, id: &str) -> Result<(), Error> {
        let number = self.number(id)?;
        if self.service.store().system_update(number, self.clock.now_ms()) {
            Ok(())
        } else {
            Err(self.missing(id))
        }
    }

    /// Replaces the armed faults; an empty list makes the tool well again.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.service.arm(faults);
    }

    /// Stops the server and waits until its port is free.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(mut server) = self.server.take() {
            // A held answer may outlive any patience; it is cut off.
            if tokio::time::timeout(Duration::from_secs(1), &mut server).await.is_err() {
                server.abort();
            }
        }
    }

    fn number(&self, id: &str) -> Result<u64, Error> {
        id.parse().map_err(|_bad: std::num::ParseIntError| self.missing(id))
    }

    fn missing(&self, id: &str) -> Error {
        Error::Missing {
            tool: self.name,
            id: id.to_owned(),
        }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
