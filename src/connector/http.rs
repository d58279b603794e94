//! Sends one request and reads one bounded answer. Knows nothing of manifests.
//!
//! What decides loss or doubling is told apart here: a request that *surely* never left (no connection) from one whose
//! outcome is unknown (sent, no good answer). Nothing in an error or a log line contains a URL's query, a header or a body.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION};
use reqwest::{Client, Method, Url};

use super::table;
use super::tape::Tape;
use crate::error::{Class, Code, Failure, Problem};
use crate::fault;
use crate::model::{Clock, UnixMillis};

/// How many redirects to the same host a reading request follows.
const REDIRECTS_MAX: usize = 3;

/// The bounds of every exchange with one system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The largest answer that is read, in bytes after decompression.
    pub body_max_bytes: usize,
    /// How long opening a connection may take.
    pub connect: Duration,
    /// How long the other side may be silent in the middle of an answer.
    pub idle: Duration,
    /// How long one exchange may take in all.
    pub whole: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body_max_bytes: 32 << 20,
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            whole: Duration::from_secs(180),
        }
    }
}

/// One request, complete.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// The whole address.
    pub url: Url,
    /// Every header, the credential among them.
    pub headers: HeaderMap,
    /// The body, if any; its content type stands in the headers.
    pub body: Option<Vec<u8>>,
    /// True when repeating it changes nothing at the other side, so that a lost answer is not ambiguous.
    pub is_read: bool,
}

impl Ask {
    /// `GET /path`, without the query: what errors and logs may say about a request.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }
}

/// One answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decompressed.
    pub body: Vec<u8>,
    /// When the request was sent, by our clock.
    pub asked_at: UnixMillis,
}

impl Answer {
    /// True for 2xx and for 304 (nothing new).
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self.status, 200..=299 | 304)
    }

    /// True when the answer has no body worth the name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.iter().all(u8::is_ascii_whitespace)
    }

    /// A header's text; empty when missing or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    }

    /// The other side's clock, from its `Date` header (resolution one second).
    #[must_use]
    pub fn server_time(&self) -> Option<UnixMillis> {
        http_date(self.header(DATE.as_str()))
    }

    /// The body as JSON; an error answer that is a web page or nothing gives `null`.
    ///
    /// # Errors
    /// What is wrong with it, in words without any of its content. The caller knows whether that leaves a write open.
    pub fn json(&self) -> Result<serde_json::Value, &'static str> {
        if self.is_html() {
            return Err("answered with a web page where JSON was expected");
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            if error.is_eof() {
                "answered with JSON that is cut off"
            } else {
                "answered with something that is not JSON"
            }
        })
    }

    /// The body as a table (CSV): a list of objects.
    ///
    /// # Errors
    /// What is wrong with it, in words without any of its content.
    pub fn table(&self) -> Result<serde_json::Value, &'static str> {
        if self.is_html() {
            return Err("answered with a web page where a table was expected");
        }
        table::rows(&self.body)
    }

    fn is_html(&self) -> bool {
        self.header(CONTENT_TYPE.as_str()).contains("html")
            || self.body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<')
    }
}

/// A moment in the format of HTTP headers (`Sun, 06 Nov 1994 08:49:37 GMT`).
#[must_use]
pub fn http_date(text: &str) -> Option<UnixMillis> {
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(UnixMillis(at.as_millisecond()))
}

/// The client of one system.
pub struct Http {
    client: Client,
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    tape: Option<Arc<Tape>>,
}

impl Http {
    /// A client for the system at `base`.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(base: &Url, bounds: Bounds, clock: Arc<dyn Clock>) -> Result<Self, Problem> {
        let mut builder = Client::builder()
            .user_agent(concat!("nivel/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            // Every try must pass the effect door, so the client never tries again by itself.
            .retry(reqwest::retry::never())
            .connect_timeout(bounds.connect)
            .read_timeout(bounds.idle)
            .timeout(bounds.whole)
            .pool_idle_timeout(Duration::from_secs(20))
            .gzip(true);
        if is_loopback(base) {
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|_error| Problem::new(Code::Bug, "the HTTP client cannot be set up"))?;
        Ok(Self {
            client,
            bounds,
            clock,
            tape: None,
        })
    }

    /// The same; every answer is kept.
    #[must_use]
    pub fn taped(self, tape: Option<Arc<Tape>>) -> Self {
        Self { tape, ..self }
    }

    /// Sends the request and reads the answer, whatever its status.
    ///
    /// # Errors
    /// A transient failure when there is no answer, or one that is too large or leads elsewhere; `ambiguous` tells
    /// whether the request may have been carried out.
    pub async fn send(&self, ask: &Ask) -> Result<Answer, Failure> {
        let mut url = ask.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.exchange(ask, &url).await?;
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                if let Some(tape) = &self.tape {
                    tape.keep(&answer);
                }
                return Ok(answer);
            }
            match url.join(answer.header(LOCATION.as_str())) {
                Ok(next) if ask.method == Method::GET && next.origin() == url.origin() => url = next,
                _ => return Err(not_the_answer(ask, "redirects elsewhere")),
            }
        }
        Err(not_the_answer(ask, "redirects without an end"))
    }

    async fn exchange(&self, ask: &Ask, url: &Url) -> Result<Answer, Failure> {
        let asked_at = self.clock.now();
        let mut request = self
            .client
            .request(ask.method.clone(), url.clone())
            .headers(ask.headers.clone());
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        let result = fault::effect("send", async {
            let response = request.send().await.map_err(|error| no_answer(ask, &error))?;
            self.read(ask, response, asked_at).await
        });
        match result.await {
            Ok(result) => result,
            Err(prevented) => Err(unreachable(ask, &prevented.to_string(), false)),
        }
    }

    async fn read(&self, ask: &Ask, mut response: reqwest::Response, asked_at: UnixMillis) -> Result<Answer, Failure> {
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| no_answer(ask, &error))? {
            if body.len() + chunk.len() > self.bounds.body_max_bytes {
                return Err(too_large(ask, self.bounds.body_max_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            headers,
            body,
            asked_at,
        })
    }
}

/// The failure of an answer that is not what the manifest describes.
#[must_use]
pub fn not_the_answer(ask: &Ask, what: &str) -> Failure {
    let problem = Problem::new(Code::NotTheAnswer, format!("{} {what}", ask.name()));
    Failure {
        ambiguous: !ask.is_read,
        ..Failure::new(Class::Transient, problem)
    }
}

/// As [`not_the_answer`], for a reading request that is only known by what it is.
#[must_use]
pub(super) fn not_the_answer_to(request: &str, what: &str) -> Failure {
    let problem = Problem::new(Code::NotTheAnswer, format!("the answer to {request} {what}"));
    Failure::new(Class::Transient, problem)
}

fn too_large(ask: &Ask, max_bytes: usize) -> Failure {
    let message = format!("{} answered with more than {} MiB", ask.name(), max_bytes >> 20);
    let problem =
        Problem::new(Code::AnswerTooLarge, message).hint("a smaller page size of this stream keeps answers small");
    Failure {
        ambiguous: !ask.is_read,
        ..Failure::new(Class::Transient, problem)
    }
}

fn unreachable(ask: &Ask, why: &str, was_sent: bool) -> Failure {
    let host = ask.url.host_str().unwrap_or("");
    let problem = Problem::new(Code::Unreachable, format!("{}: {why}", ask.name())).about(host);
    Failure {
        ambiguous: was_sent && !ask.is_read,
        ..Failure::new(Class::Transient, problem)
    }
}

/// Words for a transport error. The library's own text is not used: it contains the whole address.
fn no_answer(ask: &Ask, error: &reqwest::Error) -> Failure {
    if error.is_connect() {
        let why = if error.is_timeout() {
            "no connection in time"
        } else if error.is_dns() {
            "the host name is not known"
        } else {
            "no connection"
        };
        return unreachable(ask, why, false);
    }
    let why = if error.is_timeout() {
        "no answer in time"
    } else if error.is_body() || error.is_decode() {
        "the answer broke off"
    } else {
        "the connection broke off"
    };
    unreachable(ask, why, true)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content_type: &str, body: &str, expected: Result<serde_json::Value, &str>) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        let answer = Answer {
            status: 200,
            headers,
            body: body.as_bytes().to_vec(),
            asked_at: UnixMillis(0),
        };
        assert_eq!(answer.json(), expected);
    }

    #[test]
    fn what_is_not_json_is_never_taken_for_an_empty_answer() {
        check("application/json", "{\"a\":1}", Ok(serde_json::json!({"a": 1})));
        let page = Err("answered with a web page where JSON was expected");
        check("text/html; charset=utf-8", "{}", page.clone());
        check("application/json", "\n <html>", page);
        check(
            "application/json",
            "{\"a\":[1,",
            Err("answered with JSON that is cut off"),
        );
        check("application/json", "", Err("answered with JSON that is cut off"));
        check(
            "application/json",
            "ok",
            Err("answered with something that is not JSON"),
        );
    }

    #[test]
    fn http_dates_are_read() {
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:07 GMT"), Some(UnixMillis(7000)));
        assert_eq!(http_date("7"), None);
    }
}
