//! The servers' process: three tools and a control port, on loopback. A read is a look-up of bytes that were rendered
//! before; a write is answered as the vendor would and kept unread until [`settle`](Servers::settle).
//!
//! Every stream is listed once to its end and has nothing new after that, until the writes are settled; then it is listed
//! once more, as if every contact had been touched.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::shapes::{TOOLS, Tool};
use super::store::{Agreement, Store, Written, agreement};
use super::{Addresses, answer};

/// What a tool was asked for since the last reset or settle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Pages of the listing, and contacts on them.
    pub pages: u64,
    pub rows: u64,
    /// Contacts read by id, or looked up by a value.
    pub gets: u64,
    pub lookups: u64,
    /// Write requests, the contacts in them, and their bytes.
    pub writes: u64,
    pub written: u64,
    pub bytes: u64,
    /// Requests nobody understood: method and path → how often.
    pub unknown: BTreeMap<String, u64>,
}

/// One running tool.
pub(crate) struct Server {
    pub tool: Tool,
    original: Arc<Store>,
    store: RwLock<Arc<Store>>,
    /// The listing was read to its end.
    pub is_read: AtomicBool,
    pub next_id: AtomicU64,
    log: Mutex<Vec<Written>>,
    counts: Mutex<Counts>,
    jobs: Mutex<BTreeMap<String, Bytes>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    fn new(tool: Tool, per_tool: usize) -> Self {
        let original = Arc::new(Store::new(tool, per_tool));
        Self {
            tool,
            store: RwLock::new(Arc::clone(&original)),
            next_id: AtomicU64::new(tool.first_id() + original.len() as u64),
            original,
            is_read: AtomicBool::new(false),
            log: Mutex::default(),
            counts: Mutex::default(),
            jobs: Mutex::default(),
        }
    }

    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, store: Arc<Store>) {
        self.next_id
            .store(self.tool.first_id() + store.len() as u64, Ordering::SeqCst);
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = store;
        self.is_read.store(false, Ordering::SeqCst);
        *lock(&self.counts) = Counts::default();
        lock(&self.log).clear();
        lock(&self.jobs).clear();
    }

    pub(crate) fn count(&self, act: impl FnOnce(&mut Counts)) {
        act(&mut lock(&self.counts));
    }

    /// Takes a write in.
    pub(crate) fn take(&self, ids: Vec<u64>, body: Bytes) {
        self.count(|counts| {
            counts.writes += 1;
            counts.written += ids.len() as u64;
            counts.bytes += body.len() as u64;
        });
        lock(&self.log).push(Written { ids, body });
    }

    pub(crate) fn keep_job(&self, id: String, answer: Bytes) {
        lock(&self.jobs).insert(id, answer);
    }

    pub(crate) fn job(&self, id: &str) -> Option<Bytes> {
        lock(&self.jobs).get(id).cloned()
    }

    fn settle(&self) -> Arc<Store> {
        let (store, next_id) = (self.store(), self.next_id.load(Ordering::SeqCst));
        let now = jiff::Timestamp::now().as_second();
        let settled = Arc::new(store.settled(&lock(&self.log), next_id, now));
        self.put(Arc::clone(&settled));
        settled
    }
}

/// The three tools.
struct Servers([Arc<Server>; 3]);

impl Servers {
    /// Lays the writes over the contacts and renders the pages anew.
    fn settle(&self) -> Agreement {
        let stores = [0, 1, 2].map(|place| self.0[place].settle());
        agreement(&stores, &[Tool::Marketing, Tool::Support])
    }

    /// Back to how it began.
    fn reset(&self) {
        for server in &self.0 {
            server.put(Arc::clone(&server.original));
        }
    }
}

/// JSON bytes as an answer.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (status, headers, body.into()).into_response()
}

async fn tool(State(server): State<Arc<Server>>, method: Method, uri: Uri, body: Bytes) -> Response {
    answer::answer(&server, &method, &uri, body)
}

async fn control(State(servers): State<Arc<Servers>>, uri: Uri) -> Response {
    let reply = match uri.path() {
        "/reset" => {
            servers.reset();
            Ok("{}".to_owned())
        }
        "/settle" => serde_json::to_string(&servers.settle()),
        _ => serde_json::to_string(&servers.0.each_ref().map(|server| lock(&server.counts).clone())),
    };
    match reply {
        Ok(text) => json(StatusCode::OK, text),
        Err(error) => json(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// Renders the pages, says where it listens, and serves until standard input ends.
pub(crate) async fn serve(per_tool: usize) -> Result<()> {
    let servers = Arc::new(Servers(TOOLS.map(|tool| Arc::new(Server::new(tool, per_tool)))));
    let mut addresses = Vec::new();
    for server in &servers.0 {
        addresses.push(listen(Router::new().fallback(tool).with_state(Arc::clone(server))).await?);
    }
    let control = listen(Router::new().fallback(control).with_state(servers)).await?;
    let [marketing, sales, support] = <[String; 3]>::try_from(addresses).ok().context("three tools")?;
    super::say(&Addresses {
        tools: [marketing, sales, support],
        control,
    })?;
    // The parent holds the other end; when it dies, so do we.
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    Ok(())
}

async fn listen(router: Router) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // Without it small answers wait for an acknowledgement; failing to set it only costs time.
        drop(stream.set_nodelay(true));
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}
