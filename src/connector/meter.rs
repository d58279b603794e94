//! What an answer's headers say about a limit.

use std::time::Duration;

use reqwest::header::HeaderName;
use serde_json::{Map, Value as Json};

use super::classify::{span, text_of};
use super::http::Answer;
use super::limits::Told;
use crate::manifest::{Context, RateLimit, Reading};
use crate::model::UnixMillis;

/// Reads the headers that a limit of the manifest names.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    /// The limit's position among the rates.
    pub(super) index: usize,
    remaining: Option<Reading>,
    used: Option<Reading>,
    total: Option<Reading>,
    reset: Option<Reading>,
}

impl Meter {
    /// The meter of a limit; `None` when no header says anything about it.
    pub(super) fn of(index: usize, limit: &RateLimit) -> Option<Self> {
        limit
            .remaining
            .as_ref()
            .or(limit.used.as_ref())
            .or(limit.total.as_ref())?;
        let mut reset = limit.reset.clone();
        if let (None, Some(Reading::Header(name))) = (&reset, &limit.remaining) {
            // Where one header is `x-remaining`, its neighbour is `x-reset`.
            let named = name.replace("remaining", "reset");
            reset = (named != name.as_str()).then(|| Reading::Header(named.into()));
        }
        Some(Self {
            index,
            remaining: limit.remaining.clone(),
            used: limit.used.clone(),
            total: limit.total.clone(),
            reset,
        })
    }

    /// What the answer says; `None` when it says nothing of use.
    pub(super) fn read(&self, answer: &Answer, now: UnixMillis) -> Option<Told> {
        let number = |reading: &Option<Reading>| count(&self::reading(reading.as_ref()?, answer));
        let told = Told {
            remaining: number(&self.remaining),
            used: number(&self.used),
            total: number(&self.total),
            reset: self
                .reset
                .as_ref()
                .and_then(|reading| until(&self::reading(reading, answer), answer, now)),
        };
        (told.left().is_some() || told.total.is_some()).then_some(told)
    }
}

/// What the headers of an answer say at a place; empty when nothing.
pub(super) fn reading(reading: &Reading, answer: &Answer) -> String {
    match reading {
        Reading::Header(name) => match HeaderName::try_from(name.as_str()) {
            Ok(name) => answer.header(name.as_str()).to_owned(),
            Err(_) => String::new(),
        },
        Reading::Template(template) => {
            let headers: Map<String, Json> = answer
                .headers
                .keys()
                .map(|name| (name.as_str().to_owned(), Json::from(answer.header(name.as_str()))))
                .collect();
            let mut names = Context::new();
            names.set("headers", &Json::Object(headers));
            // A header that is missing on this answer is nothing, not an error.
            template
                .render_value(&names)
                .map(|value| text_of(&value))
                .unwrap_or_default()
        }
    }
}

/// A whole number; some tools write `100.0`.
fn count(text: &str) -> Option<u32> {
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite())?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let number = number.max(0.0) as u32;
    Some(number)
}

fn until(text: &str, answer: &Answer, now: UnixMillis) -> Option<Duration> {
    span(text, answer.server_time().unwrap_or(now))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::manifest::Limit;

    #[track_caller]
    fn check(limit: &str, headers: &[(&str, &str)], expected: Option<(Option<u32>, Option<u32>, Option<u64>)>) {
        let limit: Limit = serde_saphyr::from_str(limit).unwrap();
        let Limit::Rate(limit) = limit else { panic!("a rate") };
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
        let answer = Answer {
            status: 200,
            headers: pairs.collect::<HeaderMap>(),
            body: Vec::new(),
            asked_at: UnixMillis(0),
        };
        let told = Meter::of(3, &limit)
            .unwrap()
            .read(&answer, UnixMillis(1_767_225_600_000));
        let told = told.map(|told| (told.left(), told.total, told.reset.map(|reset| reset.as_secs())));
        assert_eq!(told, expected);
    }

    #[test]
    fn p28_p30_every_style_of_headers_is_read() {
        // Only what is left; a window's size beside it.
        let remaining = "{rate: 100/10s, remaining: header:x-burst-remaining, total: header:x-burst-max}";
        let told = [("x-burst-remaining", "97"), ("x-burst-max", "190")];
        check(remaining, &told, Some((Some(97), Some(190), None)));
        check(remaining, &[], None);
        // Seconds left, as a neighbour.
        let left = "{rate: 20/2s, remaining: header:x-ratelimit-remaining}";
        check(
            left,
            &[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "2")],
            Some((Some(3), None, Some(2))),
        );
        // A moment in seconds since 1970; one as ISO.
        let moment = "{rate: 10/10s, remaining: header:x-remaining, reset: header:x-when}";
        check(
            moment,
            &[("x-remaining", "0"), ("x-when", "1767225607")],
            Some((Some(0), None, Some(7))),
        );
        check(
            moment,
            &[("x-remaining", "0"), ("x-when", "2026-01-01T00:00:09Z")],
            Some((Some(0), None, Some(9))),
        );
        // Figures with a point.
        check(moment, &[("x-remaining", "100.0")], Some((Some(100), None, None)));
        // Used and total in one header.
        let usage = "{rate: 15000/1d, used: \"{{ headers['sforce-limit-info'] | find('api-usage=(\\\\d+)/') }}\", total: \"{{ headers['sforce-limit-info'] | find('api-usage=\\\\d+/(\\\\d+)') }}\"}";
        check(
            usage,
            &[("sforce-limit-info", "api-usage=18/5000")],
            Some((Some(4982), Some(5000), None)),
        );
        check(usage, &[], None);
    }
}
