//! What happens when something is deleted: `deletes:`, and the words about it under a system.

use std::collections::BTreeSet;

use super::read::time;
use super::reader::Section;
use super::words::duration;
use super::{Config, SystemConfig};
use crate::merge::OnDelete;
use crate::model::Sweeps;

/// The options of `deletes:`.
pub(super) const DELETES: &[&str] = &["quarantine"];

/// Words for [`OnDelete`].
pub(super) const ON_DELETE: &[(&str, OnDelete)] = &[("keep", OnDelete::Keep), ("delete", OnDelete::Delete)];

/// Verbs that cannot be taken back.
const FINAL_VERBS: &[&str] = &["delete", "erase", "unsubscribe"];

/// How long a deletion waits before other tools hear of it; the default when `None`.
pub(super) fn quarantine(root: &Section<'_>) -> Option<std::time::Duration> {
    time(&root.section("deletes", DELETES), "quarantine")
}

/// `full: 1d` or `full: never`.
pub(super) fn full(section: &Section<'_>) -> Option<Sweeps> {
    section.parse("full", "a time such as 1d, or never", |text| match text {
        "never" => Some(Sweeps::Never),
        text => duration(text).map(Sweeps::Every),
    })
}

/// The verbs that `allow:` names.
pub(super) fn allowed(section: &Section<'_>) -> BTreeSet<String> {
    let verbs: BTreeSet<String> = section.names("allow").unwrap_or_default().into_iter().collect();
    if let Some(wrong) = verbs.iter().find(|verb| !FINAL_VERBS.contains(&verb.as_str())) {
        let hint = format!("one of: {}", FINAL_VERBS.join(", "));
        section.wrong("allow", format!("`{wrong}` is no verb that has to be allowed"), &hint);
    }
    verbs
}

impl Config {
    /// How often everything of a stream is read, when the admin says so.
    #[must_use]
    pub fn sweeps_of(system: &SystemConfig, stream: &str) -> Option<Sweeps> {
        let own = system.streams.get(stream).and_then(|stream| stream.full);
        own.or(system.full)
    }
}
