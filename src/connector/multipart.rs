//! Several HTTP messages in one body: `multipart/mixed`, each part `application/http`, numbered by `Content-ID`. Pure.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::http::Ask;

/// A message inside a body.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    /// The `Content-ID` of its part.
    pub(super) id: Option<String>,
    /// Its first line: `POST /contacts HTTP/1.1`, `HTTP/1.1 204 No Content`.
    pub(super) start: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// The status of an answer.
    pub(super) fn status(&self) -> Option<u16> {
        let mut words = self.start.split_ascii_whitespace();
        words.next().filter(|word| word.starts_with("HTTP/"))?;
        words.next()?.parse().ok()
    }
}

/// The requests as one body, numbered from 1, and its media type. Their hosts are that of the request around them.
pub(super) fn pack(asks: &[Ask]) -> (String, Vec<u8>) {
    let mut messages = Vec::with_capacity(asks.len());
    for ask in asks {
        let query = ask.url.query().map_or_else(String::new, |query| format!("?{query}"));
        let mut message = format!("{} {}{query} HTTP/1.1\r\n", ask.method, ask.url.path()).into_bytes();
        put_headers(&mut message, &ask.headers);
        message.extend_from_slice(ask.body.as_deref().unwrap_or_default());
        messages.push(message);
    }
    assemble(
        "batch",
        messages
            .iter()
            .enumerate()
            .map(|(at, message)| (Some(at + 1), message.as_slice())),
    )
}

/// Messages as one body, and its media type.
pub(super) fn assemble<'a>(
    name: &str,
    messages: impl Iterator<Item = (Option<usize>, &'a [u8])> + Clone,
) -> (String, Vec<u8>) {
    // A name made of the content stands nowhere in it.
    let digest = messages
        .clone()
        .fold(Sha256::new(), |digest, (_, message)| digest.chain_update(message));
    let digest: String = digest
        .finalize()
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let boundary = format!("{name}_{digest}");
    let mut body = Vec::new();
    for (id, message) in messages {
        body.extend(format!("--{boundary}\r\nContent-Type: application/http\r\n").into_bytes());
        body.extend_from_slice(b"Content-Transfer-Encoding: binary\r\n");
        body.extend(
            id.map(|id| format!("Content-ID: {id}\r\n"))
                .unwrap_or_default()
                .into_bytes(),
        );
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(message);
        body.extend_from_slice(b"\r\n");
    }
    body.extend(format!("--{boundary}--\r\n").into_bytes());
    (format!("multipart/mixed; boundary={boundary}"), body)
}

/// Writes headers and the empty line behind them.
pub(super) fn put_headers(message: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        message.extend_from_slice(name.as_str().as_bytes());
        message.extend_from_slice(b": ");
        message.extend_from_slice(value.as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"\r\n");
}

/// The messages of a body, those that are whole, in their order.
///
/// # Errors
/// What is wrong with it, in words without any of its content.
pub(super) fn unpack(media_type: &str, body: &[u8]) -> Result<Vec<Message>, &'static str> {
    let boundary = boundary(media_type).ok_or("answered with something that has no parts")?;
    let (next, last) = (format!("--{boundary}"), format!("--{boundary}--"));
    let mut messages = Vec::new();
    let (mut part, mut rest): (Option<Vec<u8>>, &[u8]) = (None, body);
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(rest.len(), |at| at + 1);
        let (line, behind) = rest.split_at(end);
        rest = behind;
        let mark = line.trim_ascii_end();
        let is_last = mark == last.as_bytes();
        if is_last || mark == next.as_bytes() {
            if let Some(part) = part.replace(Vec::new()) {
                messages.push(message(&part).ok_or("answered with a part that cannot be understood")?);
            }
            if is_last {
                break;
            }
        } else if let Some(part) = &mut part {
            part.extend_from_slice(line);
        }
    }
    if messages.is_empty() {
        Err("answered without a single whole part")
    } else {
        Ok(messages)
    }
}

fn boundary(media_type: &str) -> Option<&str> {
    let mut parameters = media_type.split(';').map(str::trim);
    parameters
        .next()
        .filter(|kind| kind.eq_ignore_ascii_case("multipart/mixed"))?;
    let (_, value) = parameters
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    Some(value.trim().trim_matches('"')).filter(|value| !value.is_empty())
}

fn message(part: &[u8]) -> Option<Message> {
    let (around, inside) = headers(part)?;
    let id = around.get("content-id").and_then(|id| id.to_str().ok());
    let end = inside
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(inside.len(), |at| at + 1);
    let (start, behind) = inside.split_at(end);
    let (own, body) = headers(behind)?;
    // The line end before the boundary is not the message's.
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    Some(Message {
        id: id.map(|id| id.trim().trim_matches(['<', '>']).to_owned()),
        start: String::from_utf8_lossy(start).trim().to_owned(),
        headers: own,
        body: body.strip_suffix(b"\r").unwrap_or(body).to_vec(),
    })
}

/// Headers up to the empty line, and what is behind it.
fn headers(mut text: &[u8]) -> Option<(HeaderMap, &[u8])> {
    let mut headers = HeaderMap::new();
    while !text.is_empty() {
        let end = text
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(text.len(), |at| at + 1);
        let (line, behind) = text.split_at(end);
        text = behind;
        let line = line.trim_ascii();
        if line.is_empty() {
            break;
        }
        let at = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(at);
        let value = value.strip_prefix(b":")?.trim_ascii();
        headers.append(
            HeaderName::from_bytes(name.trim_ascii()).ok()?,
            HeaderValue::from_bytes(value).ok()?,
        );
    }
    Some((headers, text))
}

#[cfg(test)]
mod tests {
    use reqwest::{Method, Url};

    use super::*;

    fn ask(path: &str, body: &str) -> Ask {
        let content_type = HeaderValue::from_static("application/json");
        Ask {
            method: Method::POST,
            url: Url::parse(&format!("https://h.example/api{path}")).unwrap(),
            headers: [(reqwest::header::CONTENT_TYPE, content_type)].into_iter().collect(),
            body: Some(body.as_bytes().to_vec()),
            is_read: false,
        }
    }

    #[test]
    fn what_is_packed_can_be_unpacked() {
        let hostile = "{\"name\":\"--batch_1--\\r\\nHTTP/1.1 200 OK\"}";
        let (media_type, body) = pack(&[ask("/a?x=1", hostile), ask("/b", "")]);
        let messages = unpack(&media_type, &body).unwrap();
        let told: Vec<_> = messages
            .iter()
            .map(|message| {
                (
                    message.id.as_deref(),
                    message.start.as_str(),
                    String::from_utf8_lossy(&message.body),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (Some("1"), "POST /api/a?x=1 HTTP/1.1", hostile.into()),
                (Some("2"), "POST /api/b HTTP/1.1", "".into())
            ]
        );
        assert_eq!(messages[0].headers["content-type"], "application/json");
    }

    /// A part: its number, its status, its body.
    type Told<'a> = (Option<&'a str>, Option<u16>, &'a str);

    #[track_caller]
    fn check(media_type: &str, body: &str, expected: Result<Vec<Told<'_>>, &str>) {
        let messages = unpack(media_type, body.as_bytes());
        let told = messages.as_ref().map(|messages| {
            let tell = |message: &Message| {
                let body = String::from_utf8(message.body.clone()).unwrap();
                (message.id.clone(), message.status(), body)
            };
            messages.iter().map(tell).collect::<Vec<_>>()
        });
        let own = |(id, status, body): &Told<'_>| (id.map(str::to_owned), *status, (*body).to_owned());
        let expected = expected
            .as_ref()
            .map(|expected| expected.iter().map(own).collect::<Vec<_>>());
        assert_eq!(told.map_err(|why| *why), expected.map_err(|why| *why));
    }

    #[test]
    fn answers_are_read_part_by_part() {
        let media_type = "multipart/mixed; boundary=\"batchresponse_1\"";
        let good = "--batchresponse_1\r\nContent-Type: application/http\r\nContent-ID: 2\r\n\r\nHTTP/1.1 204 No Content\r\n\
                    OData-EntityId: x\r\n\r\n\r\n--batchresponse_1\r\nContent-Type: application/http\r\n\r\n\
                    HTTP/1.1 412 Precondition Failed\r\nContent-Type: application/json\r\n\r\n{\"a\":1}\r\n--batchresponse_1--\r\n";
        let parts = vec![(Some("2"), Some(204), ""), (None, Some(412), "{\"a\":1}")];
        check(media_type, good, Ok(parts.clone()));
        check(media_type, &good.replace("\r\n", "\n"), Ok(parts.clone()));
        check(media_type, &format!("preamble\r\n{good}epilogue"), Ok(parts));
        // Cut off in the middle of the second part: only the first is known.
        let cut = good.split("\"a\"").next().unwrap();
        check(media_type, cut, Ok(vec![(Some("2"), Some(204), "")]));
        check(
            media_type,
            "--batchresponse_1\r\nContent-",
            Err("answered without a single whole part"),
        );
        check(
            "application/json",
            good,
            Err("answered with something that has no parts"),
        );
        check(
            "multipart/mixed",
            good,
            Err("answered with something that has no parts"),
        );
        let odd = "--batchresponse_1\r\nno header\r\n--batchresponse_1--";
        check(media_type, odd, Err("answered with a part that cannot be understood"));
    }
}
