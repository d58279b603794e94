//! What a test that is not written in Rust asks a tool besides the vendor's API: the truth, and faults. Paths below
//! [`PREFIX`] are the sandbox's own; no vendor has them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::{Fault, Kind, Retry};
use super::tool::Service;

/// What all paths of the sandbox itself begin with.
pub(super) const PREFIX: &str = "/_sandbox/";

/// A fault as it is asked for over HTTP.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    kind: Word,
    /// `Retry-After` of a throttled answer, seconds.
    #[serde(default)]
    retry_after_s: Option<u32>,
    #[serde(default = "one")]
    times: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Throttle,
    Unauthorized,
    ServerError,
}

fn one() -> u32 {
    1
}

impl Wanted {
    fn fault(&self) -> Fault {
        let kind = match self.kind {
            Word::Throttle => Kind::Throttle(self.retry_after_s.map_or(Retry::Absent, Retry::Seconds)),
            Word::Unauthorized => Kind::Unauthorized,
            Word::ServerError => Kind::ServerError,
        };
        Fault::once(kind).times(self.times)
    }
}

/// Status and body for a path of the sandbox's own.
pub(super) fn answer(service: &Service, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
    match (method, path.strip_prefix(PREFIX).unwrap_or_default()) {
        ("GET", "people") => (200, json!(service.people())),
        ("GET", "requests") => (200, json!(service.requests())),
        ("POST", "faults") => match serde_json::from_slice::<Vec<Wanted>>(body) {
            Ok(wanted) => {
                service.arm(wanted.iter().map(Wanted::fault).collect());
                (200, json!({"armed": wanted.len()}))
            }
            Err(error) => (400, json!({"error": error.to_string()})),
        },
        _ => (404, json!({"error": "the sandbox knows people, requests and faults"})),
    }
}
