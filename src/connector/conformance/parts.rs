//! Requests and answers inside others, as a test writes them.

use crate::connector::multipart::{Message, assemble, unpack};
use crate::manifest::tests::{AnsweredPart, ExpectedRequest};

/// What of the requests inside a body is not as expected.
pub(super) fn differences(expected: &[ExpectedRequest], media_type: &str, body: &[u8]) -> Vec<String> {
    let found = match unpack(media_type, body) {
        Ok(found) => found,
        Err(why) => return vec![format!("parts: {why}")],
    };
    if found.len() != expected.len() {
        return vec![format!("parts: expected {}, found {}", expected.len(), found.len())];
    }
    let pairs = expected.iter().zip(&found).enumerate();
    pairs
        .flat_map(|(at, (expected, found))| compare(at + 1, expected, found))
        .collect()
}

fn compare(number: usize, expected: &ExpectedRequest, found: &Message) -> Vec<String> {
    let mut differences = Vec::new();
    let start = format!("{} {} HTTP/1.1", expected.method, expected.path);
    if start != found.start || found.id.as_deref() != Some(number.to_string().as_str()) {
        differences.push(format!(
            "part {number}: expected {start}, found {:?} {}",
            found.id, found.start
        ));
    }
    for (name, wanted) in &expected.headers {
        let value = found.headers.get(name.as_str()).and_then(|value| value.to_str().ok());
        if value != Some(wanted.as_str()) {
            differences.push(format!("part {number}: header {name} is not as expected"));
        }
    }
    if let Some(wanted) = &expected.body {
        let body: serde_json::Value = serde_json::from_slice(&found.body).unwrap_or_default();
        if *wanted != body {
            differences.push(format!("part {number}: expected {wanted}, found {body}"));
        }
    }
    differences
}

/// Answers as one body, and its media type.
pub(super) fn packed(parts: &[AnsweredPart]) -> (String, Vec<u8>) {
    let message = |part: &AnsweredPart| {
        let mut message = format!("HTTP/1.1 {} Status\r\n", part.answer.status);
        for (name, value) in &part.answer.headers {
            message.push_str(&format!("{name}: {value}\r\n"));
        }
        message.push_str("\r\n");
        let body = part.answer.body.as_ref().map(ToString::to_string);
        message.push_str(&body.or_else(|| part.answer.text.clone()).unwrap_or_default());
        message.into_bytes()
    };
    let messages: Vec<_> = parts.iter().map(|part| (part.id, message(part))).collect();
    let messages = messages.iter().map(|(id, message)| (*id, message.as_slice()));
    assemble("batchresponse", messages)
}
