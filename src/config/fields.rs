//! Who decides about a field: the rules of `fields:`.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::reader::{Entry, Section};
use super::words::suggestion;
use crate::merge::{FieldRule, OnClear, Pick, STRICTEST, is_consent};
use crate::model::FieldName;

/// The options of a field's rule.
pub(super) const FIELD: &[&str] = &["own", "newest", "union", "longest", "on_clear"];

/// The rules by field, and the one for all others.
pub(super) fn fields(root: &Section<'_>) -> (BTreeMap<FieldName, FieldRule>, Option<FieldRule>) {
    let mut rules = BTreeMap::new();
    let mut default = None;
    for (name, entry) in root.entries("fields") {
        if is_consent(name) {
            if entry.text() != Some(STRICTEST) {
                entry.wrong("consents are always merged by `strictest`", "leave the line out");
            }
            continue;
        }
        let Some(rule) = field(&entry) else {
            continue;
        };
        if name == "*" {
            default = Some(rule);
        } else {
            rules.insert(FieldName::from(name), rule);
        }
    }
    (rules, default)
}

fn field(entry: &Entry<'_>) -> Option<FieldRule> {
    let bare = [
        ("newest", Pick::Newest(Vec::new())),
        ("longest", Pick::Longest),
        ("union", Pick::Union),
    ];
    if let Some(text) = entry.text() {
        let Some((_, pick)) = bare.iter().find(|(word, _)| *word == text) else {
            let hint = match text {
                "own" => "write {own: [system, …]}, the first that has a value wins".to_owned(),
                _ => suggestion(text, bare.iter().map(|(word, _)| *word)),
            };
            entry.wrong(format!("{} is not a rule", entry.shown()), &hint);
            return None;
        };
        return Some(FieldRule {
            pick: pick.clone(),
            on_clear: OnClear::default(),
        });
    }
    let section = entry.section(FIELD);
    let on_clear = section.word(
        "on_clear",
        &[
            ("ignore", OnClear::Ignore),
            ("propagate", OnClear::Propagate),
            ("restore", OnClear::Restore),
        ],
    );
    let systems = |key| -> Option<Vec<CompactString>> {
        let names = section.names(key)?;
        Some(names.into_iter().map(CompactString::from).collect())
    };
    let is_on = |key| section.flag(key).filter(|is_on| *is_on);
    let picks: Vec<Pick> = [
        systems("own").map(Pick::Own),
        systems("newest").map(Pick::Newest),
        is_on("longest").map(|_| Pick::Longest),
        is_on("union").map(|_| Pick::Union),
    ]
    .into_iter()
    .flatten()
    .collect();
    let [pick] = picks.as_slice() else {
        if section.is_table() || entry.is_nothing() {
            entry.wrong("a field needs exactly one of own, newest, union, longest", "");
        }
        return None;
    };
    if *pick == Pick::Own(Vec::new()) {
        section.wrong(
            "own",
            "`own` names no system",
            "write {own: [system, …]}, the first that has a value wins",
        );
    }
    Some(FieldRule {
        pick: pick.clone(),
        on_clear: on_clear.unwrap_or_default(),
    })
}
