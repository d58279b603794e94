//! The options of outbound hooks: who is told what happens to customers and handoffs.

use std::collections::BTreeMap;

use compact_str::CompactString;
use secrecy::SecretString;
use url::Url;

use super::alerts::key_of;
use super::read::secret;
use super::reader::{Entry, Section};
use super::words::suggestion;

pub(super) const HOOK: &[&str] = &["url", "secret", "events"];

/// What there is to be told, and the short words for several; the ledger's own list is held against it by a test.
pub const EVENTS: [&str; 11] = [
    "customer.updated",
    "customer.merged",
    "customer.split",
    "customer.erased",
    "customer.*",
    "handoff.open",
    "handoff.stopped",
    "handoff.delivered",
    "handoff.accepted",
    "handoff.cancelled",
    "handoff.*",
];

/// One receiver of events.
#[derive(Clone, Debug)]
pub struct HookConfig {
    /// Where it listens. May hold a secret of its own.
    pub url: Url,
    /// The keys it is signed with, newest first; several while one takes the place of another.
    pub keys: Vec<SecretString>,
    /// What it is told.
    pub events: Vec<CompactString>,
}

/// Everybody who is told.
pub(super) fn hooks(root: &Section<'_>) -> BTreeMap<CompactString, HookConfig> {
    let entries = root.entries("hooks").into_iter();
    entries
        .filter_map(|(name, entry)| Some((name.into(), hook(&entry)?)))
        .collect()
}

fn hook(entry: &Entry<'_>) -> Option<HookConfig> {
    let section = entry.section(HOOK);
    for (key, hint) in [
        ("url", "the address that is told, such as https://bus.example.com/nivel"),
        (
            "secret",
            "what it is signed with: whsec_ and base64; `openssl rand -base64 24` makes one",
        ),
    ] {
        if !section.has(key) {
            section.missing(key, hint);
        }
    }
    let url = section.get("url").and_then(|entry| secret(&entry));
    let url = url.and_then(|url| match Url::parse(&url) {
        Ok(url) if is_safe(&url) => Some(url),
        _ => {
            section.wrong(
                "url",
                "`url` must begin with https:// (http:// only on this machine)",
                "",
            );
            None
        }
    });
    let keys = section.get("secret").and_then(|entry| secret(&entry)).and_then(|text| {
        if text.split_whitespace().any(|key| key_of(key).is_none()) {
            let hint = "it looks like whsec_ and base64; several stand apart by spaces or line ends";
            section.wrong("secret", "`secret` must be a Standard Webhooks secret", hint);
            return None;
        }
        Some(text.split_whitespace().map(SecretString::from).collect())
    });
    let events = section
        .names("events")
        .unwrap_or_else(|| vec!["customer.*".into(), "handoff.*".into()]);
    for wrong in events.iter().filter(|event| !EVENTS.contains(&event.as_str())) {
        section.wrong(
            "events",
            format!("there is no event `{wrong}`"),
            &suggestion(wrong, EVENTS),
        );
    }
    Some(HookConfig {
        url: url?,
        keys: keys?,
        events: events.into_iter().map(CompactString::from).collect(),
    })
}

/// What is told of customers must not travel in the open.
fn is_safe(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.has_host() && (url.scheme() == "https" || url.scheme() == "http" && is_here)
}
