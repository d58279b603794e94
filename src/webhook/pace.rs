//! How fast one system may deliver: the generic cell rate algorithm on the calendar clock.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::UnixMillis;

/// A rate with a burst of the same size.
#[derive(Debug)]
pub(super) struct Pace {
    /// Between two deliveries, in microseconds.
    step: i64,
    /// How far ahead of the clock deliveries may run, in microseconds.
    ahead: i64,
    /// When the next one would be due at an even pace, in microseconds.
    due: Mutex<i64>,
}

impl Pace {
    pub(super) fn new(count: u32, every: Duration) -> Self {
        let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX / 4).max(1);
        Self {
            step: (every / i64::from(count.max(1))).max(1),
            ahead: every,
            due: Mutex::new(0),
        }
    }

    /// Lets one delivery pass.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn pass(&self, now: UnixMillis) -> Result<(), Duration> {
        let now = now.0.saturating_mul(1000);
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not shut the door for long.
        let from = if due.saturating_sub(now) > 2 * self.ahead {
            now
        } else {
            now.max(*due)
        };
        let over = from
            .saturating_add(self.step)
            .saturating_sub(now.saturating_add(self.ahead));
        if over > 0 {
            return Err(Duration::from_micros(over.unsigned_abs()).max(Duration::from_secs(1)));
        }
        *due = from + self.step;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_an_even_pace() {
        let pace = Pace::new(10, Duration::from_secs(1));
        let passed = |at: i64| (0..20).take_while(|_| pace.pass(UnixMillis(at)).is_ok()).count();
        assert_eq!(passed(1_000_000), 10);
        assert_eq!(passed(1_000_050), 0);
        assert_eq!(passed(1_000_100), 1);
        assert_eq!(passed(1_010_000), 10);
        assert_eq!(passed(500), 10, "a clock that was set back");
        assert_eq!(pace.pass(UnixMillis(500)), Err(Duration::from_secs(1)));
    }
}
