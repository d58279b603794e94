//! What a failing answer means: the manifest's error rules first, then what HTTP itself says.

use std::time::Duration;

use compact_str::CompactString;
use serde_json::{Map, Value as Json};

use super::http::{Answer, Ask, http_date};
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Context, ErrorRule, Pick, Wait};
use crate::model::UnixMillis;

/// The longest part of a tool's own words that is kept, in characters.
const MESSAGE_MAX: usize = 300;
/// The longest error body that is looked at, in bytes.
const BODY_MAX: usize = 256 << 10;
/// Numbers above this are moments, not spans, when a header says how long to wait.
const EPOCH_SECONDS_MIN: f64 = 1_000_000_000.0;

/// The failure that an answer is, or `None` when it is none. The first rule that matches wins; without one, 2xx and 304
/// are fine and the status decides for the rest. `attempt` counts from 0 and makes `backoff` longer.
#[must_use]
pub fn classify(rules: &[ErrorRule], ask: &Ask, answer: &Answer, attempt: u32, now: UnixMillis) -> Option<Failure> {
    let is_suspect = |rule: &ErrorRule| rule.status.contains(&answer.status);
    if answer.is_success() && !rules.iter().any(is_suspect) {
        return None;
    }
    let context = context(ask, answer);
    let rule = rules.iter().find(|rule| {
        let is_status = if rule.status.is_empty() {
            answer.status >= 400
        } else {
            is_suspect(rule)
        };
        is_status && rule.when.as_ref().is_none_or(|when| when.holds(&context.names))
    });
    if rule.is_none() && answer.is_success() {
        return None;
    }
    let class = rule.map_or_else(|| by_status(answer.status), |rule| rule.class);
    let waits = rule.map(|rule| &*rule.wait).filter(|waits| !waits.is_empty());
    let wait = match waits {
        Some(waits) => waits.iter().find_map(|wait| how_long(wait, answer, attempt, now)),
        None => default_wait(class, answer, attempt, now),
    };
    let own_words = rule
        .and_then(|rule| rule.message.as_ref())
        .and_then(|pick| context.pick(pick));
    let own_words = own_words.or_else(|| usual_message(&context.body));
    let message = match own_words.filter(|words| !words.trim().is_empty()) {
        Some(words) => format!("{} answered {}: {}", ask.name(), answer.status, shorten(&words)),
        None => format!("{} answered {}", ask.name(), answer.status),
    };
    Some(Failure {
        class,
        wait,
        remote: rule
            .and_then(|rule| rule.id.as_ref())
            .and_then(|pick| context.pick(pick))
            .map(CompactString::from),
        ambiguous: class == Class::Transient && !ask.is_read && (answer.status >= 500 || answer.status == 408),
        problem: Problem::new(code_of(class, ask.is_read), message),
    })
}

/// The code a class is reported under.
#[must_use]
pub fn code_of(class: Class, is_read: bool) -> Code {
    match class {
        Class::Throttle => Code::TooFast,
        Class::Quota => Code::QuotaUsed,
        Class::Auth => Code::CredentialRefused,
        Class::Forbidden => Code::NotAllowed,
        Class::Compliance => Code::WriteCompliance,
        Class::Invalid if !is_read => Code::WriteRefused,
        Class::Gone if !is_read => Code::WriteTargetGone,
        _ => Code::ToolError,
    }
}

/// The class of a status that no rule mentions.
fn by_status(status: u16) -> Class {
    match status {
        401 => Class::Auth,
        402 | 403 => Class::Forbidden,
        404 | 410 => Class::Gone,
        408 | 423 | 425 => Class::Transient,
        409 | 412 => Class::Conflict,
        429 => Class::Throttle,
        400..=499 => Class::Invalid,
        _ => Class::Transient,
    }
}

struct Names {
    names: Context,
    body: Json,
}

fn context(ask: &Ask, answer: &Answer) -> Names {
    let start = answer.body.get(..BODY_MAX).unwrap_or(&answer.body);
    let body = match serde_json::from_slice(start) {
        Ok(body) => body,
        Err(_) if answer.is_empty() => Json::Null,
        Err(_) => Json::String(String::from_utf8_lossy(start).into_owned()),
    };
    let headers: Map<String, Json> = answer
        .headers
        .keys()
        .map(|name| (name.as_str().to_owned(), Json::from(answer.header(name.as_str()))))
        .collect();
    let mut names = Context::new();
    names.set("status", &Json::from(answer.status));
    names.set("headers", &Json::Object(headers));
    names.set("method", &Json::from(ask.method.as_str()));
    names.set("body", &body);
    Names { names, body }
}

impl Names {
    /// The text a rule points at. What cannot be evaluated on this answer is nothing: it must not hide the failure.
    fn pick(&self, pick: &Pick) -> Option<String> {
        let value = match pick {
            Pick::Path(path) => path.find(&self.body).value()?.into_owned(),
            Pick::Template(template) => template.render_value(&self.names).ok()?,
        };
        Some(text_of(&value)).filter(|text| !text.is_empty())
    }
}

/// A JSON value as plain text; null and empty values give an empty text.
#[must_use]
pub fn text_of(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Where tools usually put their words, for statuses that no rule mentions.
fn usual_message(body: &Json) -> Option<String> {
    let at = |body: &Json| {
        let mut places = [
            "message",
            "detail",
            "description",
            "error_description",
            "error",
            "title",
        ]
        .into_iter();
        places.find_map(|place| body.get(place).and_then(Json::as_str).map(ToOwned::to_owned))
    };
    at(body)
        .or_else(|| body.get("error").and_then(at))
        .or_else(|| body.get("errors").and_then(|errors| errors.get(0)).and_then(at))
}

/// One line of at most [`MESSAGE_MAX`] characters.
pub(super) fn shorten(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MESSAGE_MAX + 1)
        .collect();
    match line.char_indices().nth(MESSAGE_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

fn default_wait(class: Class, answer: &Answer, attempt: u32, now: UnixMillis) -> Option<Duration> {
    let told = || how_long(&Wait::Header("retry-after".into()), answer, attempt, now);
    match class {
        Class::Throttle => told().or_else(|| Some(backoff(attempt))),
        Class::Transient | Class::Quota => told(),
        _ => None,
    }
}

fn how_long(wait: &Wait, answer: &Answer, attempt: u32, now: UnixMillis) -> Option<Duration> {
    match wait {
        Wait::Fixed(time) => Some(*time),
        Wait::Backoff => Some(backoff(attempt)),
        Wait::Header(name) => span(answer.header(name), answer.server_time().unwrap_or(now)),
    }
}

/// A header's span: seconds, an HTTP date, an RFC 3339 time, or a moment in seconds or milliseconds since 1970.
#[must_use]
pub fn span(text: &str, now: UnixMillis) -> Option<Duration> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        if !number.is_finite() || number < 0.0 {
            return None;
        }
        if number < EPOCH_SECONDS_MIN {
            return Some(Duration::from_secs_f64(number));
        }
        let millis = if number < EPOCH_SECONDS_MIN * 1000.0 {
            number * 1000.0
        } else {
            number
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates, and is in the past or a long wait anyway"
        )]
        return Some(UnixMillis(millis as i64).since(now));
    }
    let at = http_date(text).or_else(|| UnixMillis::from_rfc3339(text))?;
    Some(at.since(now))
}

/// 1 s, 2 s, 4 s … at most a minute.
fn backoff(attempt: u32) -> Duration {
    Duration::from_secs(1 << attempt.min(6)).min(Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderName};
    use reqwest::{Method, Url};

    use super::*;

    const RULES: &str = "
- {status: [429], when: \"body.policyName == 'DAILY'\", class: quota}
- {status: [429], class: throttle, wait: [header:retry-after, header:x-reset, 10s]}
- {status: [403], when: not body, class: throttle, wait: [backoff]}
- {status: [401, 403], class: auth}
- {status: [409], class: exists, id: \"{{ body.message | find('Existing ID: (\\\\d+)') }}\"}
- {status: [200], when: body.ok == false, class: invalid, message: error}
- {status: [400], class: invalid, message: detail.text}
";

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
        Answer {
            status,
            headers: pairs.collect::<HeaderMap>(),
            body: body.as_bytes().to_vec(),
            asked_at: UnixMillis(0),
        }
    }

    fn classified(answer: &Answer, is_read: bool) -> Option<Failure> {
        let rules: Vec<ErrorRule> = serde_saphyr::from_str(RULES).unwrap();
        let ask = Ask {
            method: Method::POST,
            url: Url::parse("http://h/a?key=secret").unwrap(),
            headers: HeaderMap::new(),
            body: None,
            is_read,
        };
        classify(&rules, &ask, answer, 2, UnixMillis(0))
    }

    #[track_caller]
    fn check(status: u16, headers: &[(&str, &str)], body: &str, expected: Option<(Class, Option<u64>)>) {
        let found = classified(&answer(status, headers, body), false);
        let found = found.map(|failure| (failure.class, failure.wait.map(|wait| wait.as_secs())));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_first_rule_that_matches_wins() {
        check(429, &[], "{\"policyName\": \"DAILY\"}", Some((Class::Quota, None)));
        check(429, &[], "{}", Some((Class::Throttle, Some(10))));
        check(403, &[], "", Some((Class::Throttle, Some(4))));
        check(403, &[], "<html>blocked</html>", Some((Class::Auth, None)));
        check(200, &[], "{\"ok\": false}", Some((Class::Invalid, None)));
        check(200, &[], "{\"ok\": true}", None);
        check(204, &[], "", None);
    }

    #[test]
    fn waits_are_read_from_every_kind_of_header() {
        let date = ("date", "Thu, 01 Jan 2026 00:00:00 GMT");
        check(429, &[("retry-after", "7")], "{}", Some((Class::Throttle, Some(7))));
        check(
            429,
            &[("retry-after", "Thu, 01 Jan 2026 00:01:00 GMT"), date],
            "{}",
            Some((Class::Throttle, Some(60))),
        );
        check(
            429,
            &[("x-reset", "1767225605"), date],
            "{}",
            Some((Class::Throttle, Some(5))),
        );
        check(
            429,
            &[("x-reset", "2026-01-01T00:00:09Z"), date],
            "{}",
            Some((Class::Throttle, Some(9))),
        );
        check(
            429,
            &[("retry-after", "soon"), ("x-reset", "3.0")],
            "{}",
            Some((Class::Throttle, Some(3))),
        );
    }

    #[test]
    fn http_decides_where_no_rule_does() {
        for (status, class) in [
            (402, Class::Forbidden),
            (404, Class::Gone),
            (408, Class::Transient),
            (412, Class::Conflict),
            (418, Class::Invalid),
            (422, Class::Invalid),
            (500, Class::Transient),
            (523, Class::Transient),
        ] {
            check(status, &[], "", Some((class, None)));
        }
        check(503, &[("retry-after", "5")], "", Some((Class::Transient, Some(5))));
    }

    #[test]
    fn only_a_lost_write_is_ambiguous() {
        let is_ambiguous = |status, is_read| classified(&answer(status, &[], ""), is_read).unwrap().ambiguous;
        assert!(is_ambiguous(502, false));
        assert!(!is_ambiguous(502, true));
        assert!(!is_ambiguous(422, false));
        assert!(!is_ambiguous(425, false));
    }

    #[test]
    fn words_and_ids_are_picked_and_nothing_else_leaks() {
        let exists = classified(&answer(409, &[], "{\"message\": \"Existing ID: 71\"}"), false).unwrap();
        assert_eq!(exists.remote.as_deref(), Some("71"));
        assert_eq!(exists.problem.message, "POST /a answered 409: Existing ID: 71");
        let long = format!("{{\"detail\": {{\"text\": \"é\\n{}\"}}}}", "x".repeat(1000));
        let invalid = classified(&answer(400, &[], &long), false).unwrap();
        assert_eq!(invalid.problem.code, Code::WriteRefused);
        assert!(invalid.problem.message.ends_with("x…") && invalid.problem.message.chars().count() < 350);
        let page = classified(&answer(500, &[], "<html>secret</html>"), true).unwrap();
        assert_eq!(page.problem.message, "POST /a answered 500");
    }
}
