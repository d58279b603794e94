//! What a manifest and a system's config together say about webhooks.

use std::fmt;

use crate::manifest::{Context, Webhook};

/// The webhooks of one system.
#[derive(Clone)]
pub struct Hook {
    /// What the manifest says.
    pub webhook: Webhook,
    /// Has `config`; every expression starts from it. Holds secrets.
    pub(super) names: Context,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook")
            .field("webhook", &self.webhook)
            .finish_non_exhaustive()
    }
}

impl Hook {
    /// Puts one together; `config` holds the values of the manifest's settings.
    #[must_use]
    pub fn new(webhook: Webhook, config: &serde_json::Value) -> Self {
        Self {
            webhook,
            names: Context::new().with("config", config),
        }
    }

    /// The names every expression may use: `config`.
    #[must_use]
    pub fn names(&self) -> &Context {
        &self.names
    }
}
