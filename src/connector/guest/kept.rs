//! Settings that a program may change by itself, a refresh token that is good for one use: sealed in the ledger.
//!
//! A program of our own language is told when its new value is durable, and uses it only then. Others write it into their
//! copy of the settings, which is read back after every page: what they changed last before a kill may be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compact_str::CompactString;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::connector::seal::KeyRing;
use crate::error::{Class, Code, Failure, Problem};
use crate::model::{Clock, Late, SealedToken, TokenStore};

/// How often a change is tried anew when another process was faster.
const TRIES_MAX: usize = 4;

/// The settings of a system's program, and what it may change of them.
pub(super) struct Kept {
    pub(super) system: CompactString,
    /// As the admin has set them.
    pub(super) base: Json,
    pub(super) returns: BTreeSet<CompactString>,
    pub(super) tokens: Late<dyn TokenStore>,
    pub(super) keys: Late<KeyRing>,
    pub(super) clock: Arc<dyn Clock>,
}

/// A changed setting.
#[derive(Serialize, Deserialize)]
struct Changed {
    /// A digest of what the admin had set: once that is another value, it counts again.
    over: String,
    value: Json,
}

type Overlay = BTreeMap<CompactString, Changed>;

impl Kept {
    /// The settings with what the program has changed.
    ///
    /// # Errors
    /// When they cannot be opened, or nobody here may change them.
    pub(super) async fn settings(&self) -> Result<Json, Failure> {
        let mut settings = self.base.clone();
        if self.returns.is_empty() {
            return Ok(settings);
        }
        let (overlay, _) = self.load().await?;
        if let Some(settings) = settings.as_object_mut() {
            for (name, changed) in overlay {
                settings.insert(name.into(), changed.value);
            }
        }
        Ok(settings)
    }

    /// Takes over what the program changed, durably. Settings that it may not change are left alone.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub(super) async fn put(&self, values: &Json) -> Result<(), Failure> {
        let current = self.settings().await?;
        let is_new = |name: &CompactString| {
            let new = values.get(name.as_str()).filter(|new| !new.is_null())?;
            (current.get(name.as_str()) != Some(new)).then(|| (name.clone(), new.clone()))
        };
        let new: Vec<_> = self.returns.iter().filter_map(is_new).collect();
        if new.is_empty() {
            return Ok(());
        }
        for _ in 0..TRIES_MAX {
            let (mut overlay, version) = self.load().await?;
            for (name, value) in &new {
                let over = self.digest(name);
                let value = value.clone();
                overlay.insert(name.clone(), Changed { over, value });
            }
            if self.store(&overlay, version).await? {
                return Ok(());
            }
        }
        Err(self.cannot("another process changes them at the same time"))
    }

    async fn load(&self) -> Result<(Overlay, u64), Failure> {
        let (Some(tokens), Some(keys)) = (self.tokens.get(), self.keys.get()) else {
            return Err(self.cannot("only the process that has the ledger open may start it"));
        };
        let told = |problem: Problem| Failure::new(Class::Forbidden, problem);
        let Some(row) = tokens.token(&self.system).await.map_err(told)? else {
            return Ok((Overlay::new(), 0));
        };
        let text = keys.open(&self.system, &row.sealed).map_err(told)?;
        let Ok(mut overlay) = serde_json::from_str::<Overlay>(text.expose_secret()) else {
            return Err(self.cannot("what is stored of them is damaged"));
        };
        overlay.retain(|name, changed| self.returns.contains(name) && changed.over == self.digest(name));
        Ok((overlay, row.version))
    }

    async fn store(&self, overlay: &Overlay, version: u64) -> Result<bool, Failure> {
        let (Some(tokens), Some(keys)) = (self.tokens.get(), self.keys.get()) else {
            return Err(self.cannot("only the process that has the ledger open may start it"));
        };
        let told = |problem: Problem| Failure::new(Class::Forbidden, problem);
        let text = serde_json::to_string(overlay).unwrap_or_default();
        let token = SealedToken {
            system: self.system.clone(),
            key_id: keys.current(),
            sealed: keys.seal(&self.system, &text).map_err(told)?,
            version,
            updated_at: self.clock.now(),
        };
        tokens.put_token(&token).await.map_err(told)
    }

    fn digest(&self, name: &str) -> String {
        let set = self.base.get(name).unwrap_or(&Json::Null).to_string();
        Sha256::digest(set).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn cannot(&self, why: &str) -> Failure {
        let problem = Problem::new(
            Code::GuestSettings,
            format!("the program's settings change with its runs: {why}"),
        );
        Failure::new(Class::Forbidden, problem.about(&self.system))
    }
}
