//! The tools' own clock: real time by default, set and moved by tests.
//!
//! A vendor's clock is not ours. Nothing here reads the daemon's clock, so a test may let the two drift apart.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::UNIX_EPOCH;

use jiff::Timestamp;

/// Marks a clock that follows real time.
const REAL: i64 = i64::MIN;

/// A clock that either follows real time or stands where a test put it.
#[derive(Debug)]
pub struct Clock {
    fixed_ms: AtomicI64,
    offset_ms: AtomicI64,
}

impl Clock {
    /// A clock that follows real time.
    #[must_use]
    pub fn real() -> Self {
        Self {
            fixed_ms: AtomicI64::new(REAL),
            offset_ms: AtomicI64::new(0),
        }
    }

    /// A clock that stands still at `ms` (Unix milliseconds).
    #[must_use]
    pub fn fixed(ms: i64) -> Self {
        Self {
            fixed_ms: AtomicI64::new(ms),
            offset_ms: AtomicI64::new(0),
        }
    }

    /// The time in Unix milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        let fixed = self.fixed_ms.load(Ordering::SeqCst);
        if fixed == REAL {
            real_ms().saturating_add(self.offset_ms.load(Ordering::SeqCst))
        } else {
            fixed
        }
    }

    /// Stops the clock at `ms`.
    pub fn set(&self, ms: i64) {
        self.fixed_ms.store(ms, Ordering::SeqCst);
    }

    /// Moves the clock by `ms`, also backwards; a running clock goes on running.
    pub fn advance(&self, ms: i64) {
        if self.fixed_ms.load(Ordering::SeqCst) == REAL {
            self.offset_ms.fetch_add(ms, Ordering::SeqCst);
        } else {
            self.fixed_ms.fetch_add(ms, Ordering::SeqCst);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the sandbox that asks the machine for the time"
)]
fn real_ms() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn stamp(ms: i64, format: &str) -> String {
    Timestamp::from_millisecond(ms)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .strftime(format)
        .to_string()
}

/// `2024-08-15T17:09:13.648Z`, as HubSpot writes times (VENDORS.md A1.12).
pub(crate) fn rfc3339_ms(ms: i64) -> String {
    stamp(ms, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

/// `2026-01-01T09:30:00Z`, as Pipedrive and Zendesk write times (VENDORS.md B2.4, C1.11).
pub(crate) fn rfc3339_s(ms: i64) -> String {
    stamp(ms, "%Y-%m-%dT%H:%M:%SZ")
}

/// The form of the headers `Date` and `Retry-After`.
pub(crate) fn http_date(ms: i64) -> String {
    stamp(ms, "%a, %d %b %Y %H:%M:%S GMT")
}

/// Reads an RFC 3339 time, or Unix milliseconds written as digits.
pub(crate) fn parse_ms(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<i64>() {
        return Some(number);
    }
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_have_the_vendors_forms() {
        assert_eq!(rfc3339_ms(1_723_741_753_648), "2024-08-15T17:09:13.648Z");
        assert_eq!(rfc3339_ms(1_723_741_753_000), "2024-08-15T17:09:13.000Z");
        assert_eq!(rfc3339_s(1_723_741_753_648), "2024-08-15T17:09:13Z");
        assert_eq!(http_date(1_723_741_753_648), "Thu, 15 Aug 2024 17:09:13 GMT");
        assert_eq!(parse_ms("2024-08-15T17:09:13.648Z"), Some(1_723_741_753_648));
        assert_eq!(parse_ms("1723741753648"), Some(1_723_741_753_648));
        assert_eq!(parse_ms("yesterday"), None);
    }

    #[test]
    fn set_and_advance_move_the_clock() {
        let clock = Clock::fixed(1_000);
        clock.advance(500);
        assert_eq!(clock.now_ms(), 1_500);
        clock.set(10);
        assert_eq!(clock.now_ms(), 10);
        let running = Clock::real();
        let before = running.now_ms();
        running.advance(3_600_000);
        assert!(running.now_ms() >= before + 3_600_000);
    }
}
