//! What makes a manifest one configured system: the admin's values, overrides, and where time comes from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use secrecy::SecretString;
use serde_json::Value as Json;

use super::http::Bounds;
use super::timer::{RealTimer, Timer};
use crate::error::{Code, Problem};
use crate::manifest::{Limit, Manifest, Setting, SettingType};
use crate::model::{Clock, SystemClock};

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
    /// Instead of the manifest's limits.
    pub limits: Option<Vec<Limit>>,
    /// The part of every limit that Nivel may use, above 0 and up to 1.
    pub share: f64,
    /// Instead of the manifest's `lag`.
    pub lag: Option<Duration>,
    /// Instead of the manifest's `overlap`.
    pub overlap: Option<Duration>,
    /// How often a list of removed objects is read at most.
    pub removals_every: Duration,
    /// The bounds of every exchange; the manifest's `timeout` and `body_max` go before.
    pub bounds: Bounds,
    /// The calendar.
    pub clock: Arc<dyn Clock>,
    /// Waiting.
    pub timer: Arc<dyn Timer>,
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
            limits: None,
            share: 1.0,
            lag: None,
            overlap: None,
            removals_every: Duration::from_secs(15 * 60),
            bounds: Bounds::default(),
            clock: Arc::new(SystemClock),
            timer: Arc::new(RealTimer::default()),
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

    /// Checks the values against what the manifest asks for. Every problem at once, none of them with a value in it.
    pub(super) fn check(&self, manifest: &Manifest) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |code, message: String| problems.push(Problem::new(code, message).about(&self.system));
        for (name, setting) in &manifest.config {
            let is_missing = match self.config.get(name) {
                None | Some(ConfigValue::Plain(Json::Null)) => true,
                Some(_) => false,
            };
            if is_missing && setting.is_required() {
                let code = if setting.secret { Code::SecretMissing } else { Code::ConfigInvalid };
                add(code, format!("`{name}` is missing: {}", setting.doc));
            }
            if let Some(ConfigValue::Plain(value)) = self.config.get(name).filter(|_| !is_missing)
                && let Err(expected) = fits(value, setting)
            {
                add(Code::ConfigInvalid, format!("`{name}` is not {expected}"));
            }
        }
        for name in self.config.keys().filter(|name| !manifest.config.contains_key(*name)) {
            let known: Vec<_> = manifest.config.keys().map(CompactString::as_str).collect();
            let message = format!("the connector `{}` has no setting `{name}`, only `{}`", manifest.connector, known.join("`, `"));
            add(Code::ConfigInvalid, message);
        }
        if !(self.share > 0.0 && self.share <= 1.0) {
            add(Code::ConfigInvalid, "the share of the limits must be above 0 and at most 1".to_owned());
        }
        problems
    }
}

/// Whether a plain value is what the setting asks for; the error says what that is.
fn fits(value: &Json, setting: &Setting) -> Result<(), String> {
    let is_kind = match setting.kind {
        SettingType::Bool => value.is_boolean(),
        SettingType::Int => value.is_i64(),
        SettingType::Text => value.is_string() || value.is_number(),
        SettingType::Url => value.as_str().is_some_and(|text| text.starts_with("http://") || text.starts_with("https://")),
    };
    if !is_kind {
        return Err(match setting.kind {
            SettingType::Bool => "true or false",
            SettingType::Int => "a whole number",
            SettingType::Text => "text",
            SettingType::Url => "an address that starts with http:// or https://",
        }
        .to_owned());
    }
    match (&setting.pattern, value.as_str()) {
        (Some(pattern), Some(text)) if !pattern.0.is_match(text) => Err(format!("like `{}`", pattern.0)),
        _ => Ok(()),
    }
}
