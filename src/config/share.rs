//! Which fields may flow to which roles: `share:`.

use std::collections::{BTreeMap, BTreeSet};

use super::Config;
use super::read::ROLES;
use super::reader::Section;
use super::rules::Specs;
use super::words::suggestion;
use crate::error::{Code, Problem};
use crate::merge::{NOTES_OF_HANDOFFS, Role, may_be_a_note};
use crate::model::{FieldName, FieldSpec, WriteMode};

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

/// What is doubtful about who is told what: a line about a field that nobody has, and what people write in support that would
/// reach marketing without a line that says so.
#[must_use]
pub fn share_problems(config: &Config, specs: &Specs) -> Vec<Problem> {
    let rules = super::rules(config, specs);
    let mut problems = Vec::new();
    let streams = || {
        rules
            .systems
            .iter()
            .flat_map(|(system, rules)| rules.streams.iter().map(move |one| (system, rules, one)))
    };
    let known: BTreeSet<&FieldName> = streams()
        .flat_map(|(_, _, (_, stream))| stream.spec.fields.keys())
        .collect();
    let says_nothing = |field: &&FieldName| !known.contains(*field) && field.as_str() != NOTES_OF_HANDOFFS;
    for field in config.share.keys().filter(says_nothing) {
        let place = config.places.value(&["share", field.as_str()].map(str::to_owned));
        let hint = suggestion(field.as_str(), known.iter().map(|name| name.as_str()));
        let message = format!("no system has a field `{field}`: this line keeps nothing away from anybody");
        problems.push(Problem::new(Code::ConfigDangling, message).about(place).hint(hint));
    }
    let has = |role: Role, field: &FieldName, writes: bool| {
        let mut found = streams().filter(|(_, system, (_, stream))| {
            let spec = stream.spec.fields.get(field);
            let fits = |spec: &FieldSpec| !writes || stream.write && spec.write != WriteMode::Never;
            system.role == role && !stream.spec.is_activity() && spec.is_some_and(fits)
        });
        found
            .next()
            .map(|(system, _, (stream, _))| format!("{system}/{stream}"))
    };
    for field in known {
        let is_open = may_be_a_note(field.as_str()) && !config.share.contains_key(field);
        if !is_open || !rules.may_flow(field.as_str(), Role::Marketing) {
            continue;
        }
        if let (Some(from), Some(to)) = (has(Role::Support, field, false), has(Role::Marketing, field, true)) {
            let message = format!("`{field}` flows from {from} to {to}, and no line of `share` says that it may");
            let hint = format!(
                "`share: {{{field}: [sales, support]}}` keeps it away, `[sales, support, marketing]` lets it through"
            );
            problems.push(Problem::new(Code::ShareUnsaid, message).about("share").hint(hint));
        }
    }
    problems
}
