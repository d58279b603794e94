//! What goes over the wire: a request taken apart, an answer before it is written, and a socket that can be cut.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::http::HeaderMap;
use axum::serve::{IncomingStream, Listener};
use base64::Engine as _;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// A request, taken apart once.
pub(super) struct Ask {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) raw_query: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The tool's clock, with the skew of a fault.
    pub(super) now_ms: i64,
    /// How late the search index is for this request.
    pub(super) lag_ms: i64,
}

impl Ask {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A parameter that is a list: with commas, or given several times (as the vendors' own clients do).
    pub(super) fn list(&self, name: &str) -> Option<Vec<String>> {
        self.get(name)?;
        let given = self.query.iter().filter(|(key, _)| key == name);
        let parts = given.flat_map(|(_, value)| value.split(','));
        let parts = parts.map(|part| part.trim().to_owned());
        Some(parts.filter(|part| !part.is_empty()).collect())
    }

    /// The tool's own address, as the client spells it.
    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.header("host").unwrap_or("127.0.0.1"))
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// The errors every vendor has, in its own words.
pub(super) enum Wrong {
    Unauthorized,
    Throttled { is_search: bool },
    TooManyJobs,
    DailyQuota,
    Server,
    NotFound,
}

/// A page of a list, still in parts, so that faults can rearrange it.
pub(super) struct Page {
    pub(super) key: &'static str,
    pub(super) rows: Vec<Arc<Value>>,
    /// Id of the last row, and of the row that opens the next page.
    pub(super) edge: Option<(u64, u64)>,
    /// Token of the next page.
    pub(super) next: Option<String>,
    /// Token of this page.
    pub(super) here: String,
    /// Another spelling of `here`, which the vendor takes for the same place.
    pub(super) again: String,
    /// Vendor-specific members that are known already.
    pub(super) extra: Map<String, Value>,
    /// Builds the members after the rows, from `next` and `extra`.
    pub(super) envelope: fn(&Page) -> Map<String, Value>,
}

pub(super) enum Content {
    Json(Value),
    Page(Box<Page>),
    Text(&'static str, String),
    Empty,
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) content: Content,
}

impl Reply {
    pub(super) fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Json(body),
        }
    }

    pub(super) fn page(page: Page) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            content: Content::Page(Box::new(page)),
        }
    }

    pub(super) fn text(status: u16, kind: &'static str, text: String) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Text(kind, text),
        }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Empty,
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Media type and bytes of the body.
    pub(super) fn bytes(&self) -> (&'static str, Vec<u8>) {
        const JSON: &str = "application/json;charset=utf-8";
        match &self.content {
            Content::Json(value) => (JSON, serde_json::to_vec(value).unwrap_or_default()),
            Content::Page(page) => (JSON, serde_json::to_vec(&Written(page)).unwrap_or_default()),
            Content::Text(kind, text) => (kind, text.clone().into_bytes()),
            Content::Empty => (JSON, Vec::new()),
        }
    }
}

struct Written<'a>(&'a Page);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.0.key, &self.0.rows)?;
        for (name, value) in (self.0.envelope)(self.0) {
            map.serialize_entry(&name, &value)?;
        }
        map.end()
    }
}

/// An opaque token.
pub(super) fn seal(text: &str) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

/// Opens a token of [`seal`]; a trailing `~` (a fault's other spelling) is left off.
pub(super) fn unseal(token: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(token.trim_end_matches('~'))
        .ok()?;
    String::from_utf8(bytes).ok()
}

/// The switch that cuts one connection.
#[derive(Clone, Default)]
pub(super) struct Line(Arc<AtomicBool>);

impl Line {
    pub(super) fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Accepts connections that can be cut without an answer.
pub(super) struct Door(pub(super) TcpListener);

impl Listener for Door {
    type Io = Wire;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, peer) = Listener::accept(&mut self.0).await;
        // Nagle and delayed acknowledgement together cost 40 ms a request on loopback; without it nothing is wrong.
        drop(stream.set_nodelay(true));
        (
            Wire {
                stream,
                line: Line::default(),
            },
            peer,
        )
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Door>> for Line {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().line.clone()
    }
}

/// A connection that fails as soon as its line is cut; hyper then closes it without a byte of an answer.
pub(super) struct Wire {
    stream: TcpStream,
    line: Line,
}

impl Wire {
    fn check(&self) -> std::io::Result<()> {
        if self.line.0.load(Ordering::SeqCst) {
            Err(std::io::ErrorKind::ConnectionReset.into())
        } else {
            Ok(())
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
