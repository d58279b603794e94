//! Which fields may flow to which roles: `share:`.

use std::collections::{BTreeMap, BTreeSet};

use super::read::ROLES;
use super::reader::Section;
use super::words::suggestion;
use crate::merge::Role;
use crate::model::FieldName;

/// The roles that each named field may flow to.
pub(super) fn share(root: &Section<'_>) -> BTreeMap<FieldName, BTreeSet<Role>> {
    let mut shared = BTreeMap::new();
    for (name, entry) in root.entries("share") {
        let mut roles = BTreeSet::new();
        for word in entry.words() {
            match ROLES.iter().find(|(known, _)| *known == word) {
                Some((_, role)) => drop(roles.insert(*role)),
                None => {
                    let hint = suggestion(&word, ROLES.iter().map(|(known, _)| *known));
                    entry.wrong(format!("`{word}` is no role"), &hint);
                }
            }
        }
        shared.insert(FieldName::from(name), roles);
    }
    shared
}
