//! Waiting, as something a test can replace: rate limits, throttle answers and job polls wait through here.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

/// Waits, and tells how much time has gone by. Has nothing to do with the calendar: see [`crate::model::Clock`].
#[async_trait]
pub trait Timer: Send + Sync {
    /// The time since some fixed moment; never goes back.
    fn elapsed(&self) -> Duration;

    /// Waits.
    async fn wait(&self, time: Duration);
}

/// The runtime's timer.
#[derive(Clone, Copy, Debug)]
pub struct RealTimer(Instant);

impl Default for RealTimer {
    fn default() -> Self {
        Self(Instant::now())
    }
}

#[async_trait]
impl Timer for RealTimer {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// A timer whose waits are over at once, and are remembered: tests and the conformance runner use it.
#[derive(Debug, Default)]
pub struct JumpTimer(Mutex<Vec<Duration>>);

impl JumpTimer {
    /// Every wait so far.
    #[must_use]
    pub fn waits(&self) -> Vec<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Timer for JumpTimer {
    fn elapsed(&self) -> Duration {
        self.waits().iter().sum()
    }

    async fn wait(&self, time: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(time);
        // Lets others run, as a real wait would.
        tokio::task::yield_now().await;
    }
}
