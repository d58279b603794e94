//! What makes a manifest one configured system: the admin's values, overrides, and where time comes from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use secrecy::SecretString;
use serde_json::Value as Json;

use super::http::Bounds;
use super::seal::KeyRing;
use super::tape::Tape;
use super::timer::{RealTimer, Timer};
use crate::manifest::{Limit, PhoneNormaliser};
use crate::model::{Clock, Late, QuotaStore, SharedBudget, Sweeps, SystemClock, TokenStore};

/// The part of a quota that is kept for handoffs when nothing else is said.
const RESERVE: f64 = 0.1;

/// One value of a system's config.
#[derive(Clone, Debug)]
pub enum ConfigValue {
    /// May be seen.
    Plain(Json),
    /// Never printed.
    Secret(SecretString),
}

/// Everything about one system that is not in its manifest.
#[derive(Clone)]
pub struct ConnectionSettings {
    /// The system's name.
    pub system: CompactString,
    /// The values of the manifest's `config`.
    pub config: BTreeMap<CompactString, ConfigValue>,
    /// Another address than the manifest's `base`: the sandbox, a proxy.
    pub base: Option<String>,
    /// The country whose phone numbers may lack a prefix (`FI`).
    pub region: Option<CompactString>,
    /// How phone numbers are put into one form.
    pub phone: PhoneNormaliser,
    /// Instead of the manifest's limits.
    pub limits: Option<Vec<Limit>>,
    /// The part of every limit that Nivel may use, above 0 and up to 1.
    pub share: f64,
    /// The part of a day's quota that only handoffs may use, from 0 up to 1.
    pub reserve: f64,
    /// Where rates are counted over all processes; left empty they are counted here.
    pub budget: Late<dyn SharedBudget>,
    /// Where quotas are counted; left empty a restart forgets them.
    pub quotas: Late<dyn QuotaStore>,
    /// Where OAuth grants are kept.
    pub tokens: Late<dyn TokenStore>,
    /// What they are sealed with.
    pub token_keys: Late<KeyRing>,
    /// Instead of the manifest's `lag`.
    pub lag: Option<Duration>,
    /// Instead of the manifest's `overlap`.
    pub overlap: Option<Duration>,
    /// How often everything of a stream is read, instead of as the manifest says.
    pub full: BTreeMap<CompactString, Sweeps>,
    /// How often a list of removed objects is read at most.
    pub removals_every: Duration,
    /// How many calls of one write are under way at once; the limits come on top.
    pub calls: usize,
    /// The bounds of every exchange; the manifest's `timeout` and `body_max` go before.
    pub bounds: Bounds,
    /// Where programs get private folders.
    pub home: PathBuf,
    /// The variables of this process; programs get the few that they need.
    pub environment: BTreeMap<String, String>,
    /// The calendar.
    pub clock: Arc<dyn Clock>,
    /// Waiting.
    pub timer: Arc<dyn Timer>,
    /// Keeps every answer, for whoever records them.
    pub tape: Option<Arc<Tape>>,
}

impl ConnectionSettings {
    /// Settings with nothing overridden, on the machine's clock.
    #[must_use]
    pub fn new(system: impl Into<CompactString>) -> Self {
        Self {
            system: system.into(),
            config: BTreeMap::new(),
            base: None,
            region: None,
            phone: crate::identity::phone::normalise,
            limits: None,
            share: 1.0,
            reserve: RESERVE,
            budget: Late::default(),
            quotas: Late::default(),
            tokens: Late::default(),
            token_keys: Late::default(),
            lag: None,
            overlap: None,
            full: BTreeMap::new(),
            removals_every: Duration::from_secs(15 * 60),
            calls: 4,
            bounds: Bounds::default(),
            home: PathBuf::from("guests"),
            environment: BTreeMap::new(),
            clock: Arc::new(SystemClock),
            timer: Arc::new(RealTimer::default()),
            tape: None,
        }
    }

    /// The same settings with a plain config value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.config.insert(name.into(), ConfigValue::Plain(value.into()));
        self
    }

    /// The same settings with a secret config value.
    #[must_use]
    pub fn with_secret(mut self, name: &str, value: impl Into<String>) -> Self {
        let value = SecretString::from(value.into());
        self.config.insert(name.into(), ConfigValue::Secret(value));
        self
    }
}
