//! Why Nivel cannot do its work just now. Others say so; `/readyz` and `nivel status` repeat it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The part that holds readiness back until everything has been started.
const SELF: &str = "nivel";

/// A handle on the reasons. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, String>>>);

impl Readiness {
    /// Not ready until [`Self::started`].
    #[must_use]
    pub fn starting() -> Self {
        let readiness = Self::default();
        readiness.hold(SELF, "starting");
        readiness
    }

    /// Everything that had to be started is.
    pub fn started(&self) {
        self.release(SELF);
    }

    /// From now on this process ends; no new work is taken.
    pub fn stopping(&self) {
        self.hold(SELF, "stopping");
    }

    /// `part` cannot do its work, for this reason. A later reason of the same part replaces it.
    pub fn hold(&self, part: &str, reason: impl Into<String>) {
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.insert(part.to_owned(), reason.into());
    }

    /// `part` is well again.
    pub fn release(&self, part: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    /// What holds Nivel back, by part; empty when it is ready.
    #[must_use]
    pub fn reasons(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True when nothing holds Nivel back.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reasons().is_empty()
    }
}
