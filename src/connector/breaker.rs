//! The circuit breaker of one system: when it fails again and again, it is left alone, and one call at a time asks whether
//! it is back. Pure; time is handed in.

use std::time::Duration;

/// Failures in a row after which the system is left alone.
const FAILURES_MAX: u32 = 8;
/// For how long at first; twice as long after each probe that fails.
const PAUSE_MIN: Duration = Duration::from_secs(5);
/// For how long at most.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// A probe that gave no answer in this time is forgotten: its task may be gone.
const PROBE_MAX: Duration = Duration::from_secs(300);

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result {
    /// The system answered, well or not.
    Answered,
    /// It did not, or said that it is broken.
    Failed,
}

/// The breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row.
    failures: u32,
    /// Nothing is sent before.
    until: Duration,
    /// When the probe that is under way was let through.
    probe: Option<Duration>,
}

impl Breaker {
    fn is_open(&self) -> bool {
        self.failures >= FAILURES_MAX
    }

    /// Whether a call may be sent.
    ///
    /// # Errors
    /// How long to leave the system alone.
    pub fn enter(&mut self, now: Duration) -> std::result::Result<(), Duration> {
        if !self.is_open() {
            return Ok(());
        }
        if now < self.until {
            return Err(self.until - now);
        }
        match self.probe {
            Some(since) if now < since + PROBE_MAX => Err(PAUSE_MIN),
            _ => {
                self.probe = Some(now);
                Ok(())
            }
        }
    }

    /// Notes what became of a call. True when this opened or closed the breaker.
    pub fn note(&mut self, result: Result, now: Duration) -> bool {
        let was_open = self.is_open();
        match result {
            Result::Answered => *self = Self::default(),
            // Calls that were under way when it opened say nothing new.
            Result::Failed if was_open && self.probe.is_none() => {}
            Result::Failed => {
                self.failures = self.failures.saturating_add(1);
                self.probe = None;
                if self.is_open() {
                    let doubled = PAUSE_MIN.saturating_mul(1 << (self.failures - FAILURES_MAX).min(16));
                    self.until = now + doubled.min(PAUSE_MAX);
                }
            }
        }
        was_open != self.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_MAX {
            assert_eq!(breaker.enter(s(0)), Ok(()));
            breaker.note(Result::Failed, s(0));
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let mut breaker = Breaker::default();
        for _ in 0..3 * FAILURES_MAX {
            breaker.note(Result::Failed, s(0));
            breaker.note(Result::Answered, s(0));
        }
        assert_eq!(breaker.enter(s(0)), Ok(()));
        assert_eq!(open().enter(s(0)), Err(PAUSE_MIN));
    }

    #[test]
    fn one_probe_at_a_time_and_a_longer_pause_after_each() {
        let mut breaker = open();
        let mut now = s(5);
        for pause in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(breaker.enter(now), Ok(()), "a probe");
            assert!(breaker.enter(now).is_err(), "one only");
            breaker.note(Result::Failed, now);
            assert_eq!(breaker.enter(now), Err(s(pause)));
            now += s(pause);
        }
        assert_eq!(breaker.enter(now), Ok(()));
        assert!(breaker.note(Result::Answered, now));
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn a_probe_that_vanished_does_not_block_for_ever() {
        let mut breaker = open();
        assert_eq!(breaker.enter(s(5)), Ok(()));
        assert!(breaker.enter(s(304)).is_err());
        assert_eq!(breaker.enter(s(305)), Ok(()));
    }

    #[test]
    fn late_failures_do_not_lengthen_the_pause() {
        let mut breaker = open();
        for _ in 0..100 {
            breaker.note(Result::Failed, s(1));
        }
        assert_eq!(breaker.enter(s(5)), Ok(()));
    }
}
