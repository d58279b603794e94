//! What guests say, in their three languages, made one. Pure.

use std::collections::BTreeSet;

use compact_str::CompactString;
use serde_json::Value as Json;

use crate::manifest::Speaks;

/// A language, and the stream that is spoken of.
#[derive(Clone, Debug)]
pub(super) struct Speech {
    pub(super) speaks: Speaks,
    /// The program's name of the stream that is read.
    pub(super) stream: CompactString,
    /// The names of all others it has.
    pub(super) others: BTreeSet<CompactString>,
}

/// One message of a program.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// An object of the stream that is read.
    Record {
        /// The object.
        data: Json,
        /// The version of the rows, where the program counts them.
        version: Option<i64>,
        /// The program says that it is gone.
        is_deleted: bool,
    },
    /// What the program wants handed back next time.
    State(Json),
    /// Rows of the stream with another version are not there any more.
    Activate(i64),
    /// The streams it has.
    Catalog(Json),
    /// Whether it gets along with the tool, and why not.
    Connection(Result<(), String>),
    /// It failed, and says why.
    Failed(String),
    /// New values of its settings.
    Config(Json),
    /// The stream is read to its present end; true when nothing else is there.
    Done { is_whole: bool },
    /// A message of our own language about something asked for.
    Answer(Json),
    /// Something for the log.
    Log(String),
    /// Nothing that matters here.
    Other,
}

impl Speech {
    /// Understands one line of the program; the error says what it said instead.
    pub(super) fn hear(&self, line: &[u8]) -> Result<Said, String> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(Said::Other);
        }
        let mut message = match serde_json::from_slice::<Json>(line) {
            Ok(message) if message.is_object() => message,
            // The protocol says so: what is no message is a log line.
            _ if self.speaks == Speaks::Airbyte => {
                return Ok(Said::Log(String::from_utf8_lossy(line).trim_end().to_owned()));
            }
            _ => return Err("a line that is no message".to_owned()),
        };
        let kind = CompactString::from(message.get("type").and_then(Json::as_str).unwrap_or_default());
        match self.speaks {
            Speaks::Nivel => own(&kind, message),
            Speaks::Singer => self.singer(&kind, &mut message),
            Speaks::Airbyte => Ok(airbyte(&kind, &self.stream, &mut message)),
        }
    }

    /// Taps call a stream by one name in the catalog and by another in their messages. What is no other stream's is ours:
    /// nothing else was asked for.
    fn is_ours(&self, message: &Json) -> bool {
        let named = message.get("stream").and_then(Json::as_str).unwrap_or_default();
        named == self.stream || !self.others.contains(named)
    }

    fn singer(&self, kind: &str, message: &mut Json) -> Result<Said, String> {
        Ok(match kind {
            "RECORD" if self.is_ours(message) => Said::Record {
                version: message.get("version").and_then(Json::as_i64),
                data: object(take(message, "record"))?,
                is_deleted: false,
            },
            "STATE" => Said::State(take(message, "value")),
            "ACTIVATE_VERSION" if self.is_ours(message) => {
                let version = message.get("version").and_then(Json::as_i64);
                version.map_or(Said::Other, Said::Activate)
            }
            // Other kinds are extensions of single taps.
            _ if kind.is_empty() => return Err("a message without a type".to_owned()),
            _ => Said::Other,
        })
    }
}

fn take(message: &mut Json, name: &str) -> Json {
    message.get_mut(name).map(Json::take).unwrap_or_default()
}

fn text(message: &Json, pointer: &str) -> Option<String> {
    message.pointer(pointer)?.as_str().map(str::to_owned)
}

fn own(kind: &str, mut message: Json) -> Result<Said, String> {
    Ok(match kind {
        "record" => Said::Record {
            is_deleted: message.get("deleted").and_then(Json::as_bool).unwrap_or(false),
            data: object(take(&mut message, "data"))?,
            version: None,
        },
        "state" => Said::State(take(&mut message, "value")),
        "done" => Said::Done {
            is_whole: message.get("whole").and_then(Json::as_bool).unwrap_or(false),
        },
        "setting" => {
            let name = text(&message, "/name").ok_or("a setting without a name")?;
            Said::Config(serde_json::json!({ name: take(&mut message, "value") }))
        }
        "log" => Said::Log(text(&message, "/message").unwrap_or_default()),
        "ready" | "result" | "answer" => Said::Answer(message),
        _ => return Err(format!("a message of the unknown type `{kind}`")),
    })
}

fn airbyte(kind: &str, stream: &str, message: &mut Json) -> Said {
    match kind {
        "RECORD" => {
            let mut record = take(message, "record");
            let data = take(&mut record, "data");
            if record.get("stream").and_then(Json::as_str) == Some(stream) && data.is_object() {
                Said::Record {
                    data,
                    version: None,
                    is_deleted: false,
                }
            } else {
                Said::Other
            }
        }
        "STATE" => airbyte_state(stream, take(message, "state")),
        "CATALOG" => Said::Catalog(take(message, "catalog")),
        "CONNECTION_STATUS" => {
            let is_good = text(message, "/connectionStatus/status").as_deref() == Some("SUCCEEDED");
            let why = text(message, "/connectionStatus/message").unwrap_or_default();
            Said::Connection(if is_good { Ok(()) } else { Err(why) })
        }
        "TRACE" if text(message, "/trace/type").as_deref() == Some("ERROR") => {
            Said::Failed(text(message, "/trace/error/message").unwrap_or_else(|| "without a reason".to_owned()))
        }
        "CONTROL" if text(message, "/control/type").as_deref() == Some("CONNECTOR_CONFIG") => {
            let mut control = take(message, "control");
            Said::Config(take(&mut take(&mut control, "connectorConfig"), "config"))
        }
        "LOG" => Said::Log(text(message, "/log/message").unwrap_or_default()),
        _ => Said::Other,
    }
}

/// State is per stream, for all streams, or (of old sources) just data. It is handed back in the shape it came in.
fn airbyte_state(stream: &str, mut state: Json) -> Said {
    let kind = text(&state, "/type");
    match kind.as_deref() {
        Some("STREAM") if text(&state, "/stream/stream_descriptor/name").as_deref() != Some(stream) => Said::Other,
        Some("STREAM" | "GLOBAL") => {
            let counts = ["sourceStats", "destinationStats", "data"];
            if let Some(state) = state.as_object_mut() {
                state.retain(|name, _| !counts.contains(&name.as_str()));
            }
            Said::State(Json::Array(vec![state]))
        }
        _ => Said::State(take(&mut state, "data")),
    }
}

fn object(data: Json) -> Result<Json, String> {
    if data.is_object() {
        Ok(data)
    } else {
        Err("a record that is no object".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(speaks: Speaks, line: &str, expected: Result<Said, &str>) {
        let speech = Speech {
            speaks,
            stream: "users".into(),
            others: BTreeSet::from(["others".into()]),
        };
        let heard = speech.hear(line.as_bytes());
        assert_eq!(heard, expected.map_err(str::to_owned), "{line}");
    }

    fn record(version: Option<i64>) -> Said {
        Said::Record {
            data: json!({"id": 1}),
            version,
            is_deleted: false,
        }
    }

    #[test]
    fn singer_is_understood() {
        let check = |line: &str, expected| check(Speaks::Singer, line, expected);
        check(
            "{\"type\":\"RECORD\",\"stream\":\"users\",\"record\":{\"id\":1},\"version\":9}",
            Ok(record(Some(9))),
        );
        check(
            "{\"type\":\"RECORD\",\"stream\":\"others\",\"record\":{\"id\":1}}",
            Ok(Said::Other),
        );
        check(
            "{\"type\":\"RECORD\",\"stream\":\"public-users\",\"record\":{\"id\":1}}",
            Ok(record(None)),
        );
        check(
            "{\"type\":\"SCHEMA\",\"stream\":\"users\",\"schema\":{},\"key_properties\":[]}",
            Ok(Said::Other),
        );
        check(
            "{\"type\":\"STATE\",\"value\":{\"a\":1}}",
            Ok(Said::State(json!({"a": 1}))),
        );
        check(
            "{\"type\":\"ACTIVATE_VERSION\",\"stream\":\"users\",\"version\":9}",
            Ok(Said::Activate(9)),
        );
        check("{\"type\":\"BATCH\",\"stream\":\"users\"}", Ok(Said::Other));
        check("  \n", Ok(Said::Other));
        check("loading…", Err("a line that is no message"));
        check("[1]", Err("a line that is no message"));
        check("{}", Err("a message without a type"));
        check(
            "{\"type\":\"RECORD\",\"stream\":\"users\",\"record\":7}",
            Err("a record that is no object"),
        );
    }

    #[test]
    fn airbyte_is_understood() {
        let check = |line: &str, expected| check(Speaks::Airbyte, line, expected);
        check(
            "{\"type\":\"RECORD\",\"record\":{\"stream\":\"users\",\"data\":{\"id\":1},\"emitted_at\":5}}",
            Ok(record(None)),
        );
        let stream =
            json!({"type": "STREAM", "stream": {"stream_descriptor": {"name": "users"}, "stream_state": {"at": 1}}});
        let mut counted = stream.clone();
        counted["sourceStats"] = json!({"recordCount": 1.0});
        check(
            &json!({"type": "STATE", "state": counted}).to_string(),
            Ok(Said::State(json!([stream]))),
        );
        let other =
            json!({"type": "STATE", "state": {"type": "STREAM", "stream": {"stream_descriptor": {"name": "x"}}}});
        check(&other.to_string(), Ok(Said::Other));
        check(
            "{\"type\":\"STATE\",\"state\":{\"data\":{\"at\":1}}}",
            Ok(Said::State(json!({"at": 1}))),
        );
        let error = json!({"type": "TRACE", "trace": {"type": "ERROR", "error": {"message": "page 2 failed"}}});
        check(&error.to_string(), Ok(Said::Failed("page 2 failed".into())));
        check(
            "{\"type\":\"TRACE\",\"trace\":{\"type\":\"STREAM_STATUS\"}}",
            Ok(Said::Other),
        );
        check("Warning: slow", Ok(Said::Log("Warning: slow".into())));
        let control = json!({"type": "CONTROL", "control": {"type": "CONNECTOR_CONFIG", "connectorConfig": {"config": {"t": "n"}}}});
        check(&control.to_string(), Ok(Said::Config(json!({"t": "n"}))));
    }

    #[test]
    fn our_own_language_is_strict() {
        let check = |line: &str, expected| check(Speaks::Nivel, line, expected);
        check("{\"type\":\"record\",\"data\":{\"id\":1}}", Ok(record(None)));
        check("{\"type\":\"done\",\"whole\":true}", Ok(Said::Done { is_whole: true }));
        check(
            "{\"type\":\"setting\",\"name\":\"t\",\"value\":\"n\"}",
            Ok(Said::Config(json!({"t": "n"}))),
        );
        check("{\"type\":\"recrod\"}", Err("a message of the unknown type `recrod`"));
        check("hello", Err("a line that is no message"));
    }
}
