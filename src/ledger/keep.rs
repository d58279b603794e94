//! How long history is kept.

use std::time::Duration;

/// How long history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Lines of the audit trail; 400 days unless told otherwise.
    pub changes: Duration,
    /// Runs, and answered requests of operators; 90 days unless told otherwise.
    pub runs: Duration,
    /// Events of webhooks after they were folded; 14 days unless told otherwise. As long, repetitions are known as such.
    pub inbox: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Keep {
    fn default() -> Self {
        Self {
            changes: DAY * 400,
            runs: DAY * 90,
            inbox: DAY * 14,
        }
    }
}
