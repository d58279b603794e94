//! One declared limit, and what it covers.

use std::collections::BTreeMap;
use std::time::Duration;

use compact_str::CompactString;
use regex::Regex;

use super::lanes::Lane;

/// A window of this length or more is a quota: what it lacks comes back tomorrow, not soon, and a restart must not
/// forget it.
const QUOTA_SPAN: Duration = Duration::from_secs(3600);

/// What one request counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// The path below the system's base address, with a leading slash.
    pub path: &'a str,
    /// What it does: `read get find create upsert update delete job check auth`.
    pub op: &'a str,
    /// The object it is about, when it is about one.
    pub key: Option<&'a str>,
    /// What it is for.
    pub lane: Lane,
}

/// One declared limit.
#[derive(Clone, Debug)]
pub struct Rule {
    /// How much Nivel may spend in `span`.
    pub max: u32,
    /// How much of the declared figure is left to others.
    pub others: u32,
    /// The length of the window.
    pub span: Duration,
    /// Only for paths that match.
    pub path: Option<Regex>,
    /// Only for this operation.
    pub op: Option<CompactString>,
    /// Counted for each object apart.
    pub per_key: bool,
    /// What an operation costs; those not named cost 1.
    pub costs: BTreeMap<CompactString, u32>,
    /// The part of the whole that Nivel may use.
    pub share: f64,
}

impl Rule {
    /// A limit of `total` in `span` for everything, of which Nivel may use `share` (above 0 and up to 1).
    #[must_use]
    pub fn new(total: u32, span: Duration, share: f64) -> Self {
        let mut rule = Self {
            max: 1,
            others: 0,
            span,
            path: None,
            op: None,
            per_key: false,
            costs: BTreeMap::new(),
            share,
        };
        rule.set_total(total);
        rule
    }

    /// What may be spent by everybody.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.max.saturating_add(self.others)
    }

    /// Sets what may be spent by everybody; Nivel's share of it is at least 1.
    pub fn set_total(&mut self, total: u32) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a u32 between 0 and 1 of it is a u32"
        )]
        let max = (f64::from(total) * self.share.clamp(0.0, 1.0)).floor() as u32;
        self.max = max.max(1);
        self.others = total.saturating_sub(self.max);
    }

    pub(in crate::connector) fn covers(&self, call: &Call<'_>) -> bool {
        self.path.as_ref().is_none_or(|path| path.is_match(call.path))
            && self.op.as_ref().is_none_or(|op| op == call.op)
            && (!self.per_key || call.key.is_some())
    }

    pub(super) fn is_narrow(&self) -> bool {
        self.path.is_some() || self.op.is_some() || self.per_key
    }

    /// True for a window of an hour or more, which a restart must not forget.
    #[must_use]
    pub fn is_quota(&self) -> bool {
        self.span >= QUOTA_SPAN
    }

    pub(super) fn key_of<'a>(&self, call: &Call<'a>) -> &'a str {
        if self.per_key { call.key.unwrap_or("") } else { "" }
    }

    pub(in crate::connector) fn cost(&self, call: &Call<'_>) -> u32 {
        self.costs.get(call.op).copied().unwrap_or(1)
    }

    pub(super) fn dearest(&self) -> u32 {
        self.costs.values().copied().max().unwrap_or(1)
    }

    /// What the limit is called where several processes meet: it must not depend on the order in the manifest.
    pub(super) fn name(&self, system: &str, key: &str) -> String {
        let path = self.path.as_ref().map_or("", |path| path.as_str());
        let op = self.op.as_deref().unwrap_or("");
        let every = self.span.as_millis();
        if key.is_empty() {
            return format!("{system} {every}ms {op}{path}");
        }
        format!("{system} {every}ms {op}{path} {key}")
    }
}
