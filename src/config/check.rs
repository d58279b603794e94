//! Names that lead nowhere: the config is well-formed, but it speaks of a connector, system, stream or field there is not.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;

use super::words::suggestion;
use super::{Config, FILE_CONNECTOR, INBOUND_CONNECTOR, SQL_CONNECTOR, SystemConfig};
use crate::error::{Code, Problem};
use crate::merge::{NOTES_OF_HANDOFFS, OnDelete, Pick};
use crate::model::FieldName;

/// What the config must know about one connector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectorFacts {
    /// What it asks for under `config:`.
    pub config: BTreeMap<CompactString, Need>,
    /// The fields of each of its streams.
    pub streams: BTreeMap<CompactString, BTreeSet<FieldName>>,
    /// Of these, the ones whose objects are customers: what hangs on them is never removed by a rule.
    pub customers: BTreeSet<CompactString>,
    /// The streams in which it can remove objects; true where they are gone for good then.
    pub removals: BTreeMap<CompactString, bool>,
}

/// Whether a connector can do without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// It cannot.
    Required,
    /// It cannot, unless this other value is there.
    Unless(CompactString),
    /// It can.
    Optional,
}

/// All connectors there are, by name.
pub type Catalog = BTreeMap<CompactString, ConnectorFacts>;

/// Every name in the config that leads nowhere, and every value a connector needs and does not get.
#[must_use]
pub fn check(config: &Config, catalog: &Catalog) -> Vec<Problem> {
    let mut check = Check {
        config,
        catalog,
        problems: Vec::new(),
    };
    check.systems();
    check.fields();
    super::read::sort(&mut check.problems);
    check.problems
}

struct Check<'a> {
    config: &'a Config,
    catalog: &'a Catalog,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn tell(&mut self, code: Code, path: &[&str], message: String, hint: String) {
        let path: Vec<String> = path.iter().map(|&key| key.to_owned()).collect();
        let place = self.config.places.value(&path);
        self.problems.push(Problem::new(code, message).about(place).hint(hint));
    }

    fn systems(&mut self) {
        if self.config.systems.is_empty() {
            let hint = "name a tool under `systems:`; `nivel init` shows how".to_owned();
            self.tell(
                Code::ConfigDangling,
                &["systems"],
                "there is no system".to_owned(),
                hint,
            );
        }
        for (name, system) in &self.config.systems {
            if system.connector == FILE_CONNECTOR {
                continue;
            }
            let facts = system.facts().or_else(|| self.catalog.get(&system.connector));
            let Some(facts) = facts else {
                let built_in = [FILE_CONNECTOR, SQL_CONNECTOR, INBOUND_CONNECTOR];
                let hint = suggestion(
                    &system.connector,
                    self.catalog.keys().map(CompactString::as_str).chain(built_in),
                );
                let message = format!("there is no connector `{}`", system.connector);
                self.tell(Code::ConfigDangling, &["systems", name, "connector"], message, hint);
                continue;
            };
            self.system(name, system, facts);
        }
    }

    fn system(&mut self, name: &str, system: &SystemConfig, facts: &ConnectorFacts) {
        self.removals(name, system, facts);
        for key in system.config.keys().filter(|key| !facts.config.contains_key(*key)) {
            let message = format!("connector `{}` knows no `{key}`", system.connector);
            let hint = suggestion(key, facts.config.keys().map(CompactString::as_str));
            let at = ["systems", name, "config", key.as_str()];
            let place = self.config.places.key(&at.map(str::to_owned));
            let problem = Problem::new(Code::ConfigDangling, message);
            self.problems.push(problem.about(place).hint(hint));
        }
        let required = facts.config.iter().filter(|(_, need)| match need {
            Need::Required => true,
            Need::Unless(other) => !system.config.contains_key(other),
            Need::Optional => false,
        });
        for (key, _) in required.filter(|(key, _)| !system.config.contains_key(*key)) {
            let message = format!("connector `{}` needs `{key}`", system.connector);
            let variable = format!("{name}_{key}").to_uppercase().replace('-', "_");
            let hint = format!("write `config: {{{key}: \"${{{variable}}}\"}}`, or {{file: path}}");
            self.tell(Code::SecretMissing, &["systems", name, "config"], message, hint);
        }
        let has_own_streams = system.files.is_some() || system.sql.is_some() || system.inbound.is_some();
        for (stream, _) in system
            .streams
            .iter()
            .filter(|(_, own)| has_own_streams && own.read == Some(false))
        {
            let message = format!("`read: false` is for the streams of a connector, and `{stream}` is your own");
            let hint = "leave it out of `config`";
            self.tell(
                Code::ConfigInvalid,
                &["systems", name, "streams", stream],
                message,
                hint.to_owned(),
            );
        }
        for stream in system
            .streams
            .keys()
            .filter(|stream| !facts.streams.contains_key(*stream))
        {
            let message = format!("connector `{}` has no stream `{stream}`", system.connector);
            let hint = suggestion(stream, facts.streams.keys().map(CompactString::as_str));
            self.tell(
                Code::ConfigDangling,
                &["systems", name, "streams", stream],
                message,
                hint,
            );
        }
    }

    /// Removing is asked for by name: where the connector cannot, or cannot take it back, the admin must know.
    fn removals(&mut self, name: &str, system: &SystemConfig, facts: &ConnectorFacts) {
        for stream in &facts.customers {
            let own = system.streams.get(stream).and_then(|stream| stream.on_delete);
            if own.unwrap_or(system.on_delete) != OnDelete::Delete {
                continue;
            }
            let (message, hint) = match facts.removals.get(stream) {
                Some(true) if !system.allows_final_deletes => (
                    format!(
                        "what connector `{}` removes of `{stream}` cannot be brought back",
                        system.connector
                    ),
                    "write `allow: [delete]` beside it if you want that",
                ),
                None => (
                    format!("connector `{}` cannot remove objects of `{stream}`", system.connector),
                    "write `on_delete: keep`",
                ),
                Some(_) => continue,
            };
            let path: &[&str] = match own {
                Some(_) => &["systems", name, "streams", stream, "on_delete"],
                None => &["systems", name, "on_delete"],
            };
            self.tell(Code::ConfigInvalid, path, message, hint.to_owned());
        }
    }

    /// The fields that some system maps; `None` when that cannot be known.
    fn known_fields(&self) -> Option<BTreeSet<FieldName>> {
        let mut known = BTreeSet::new();
        for system in self.config.systems.values() {
            match (&system.files, system.facts()) {
                (Some(files), _) => known.extend(files.fields.iter().cloned()),
                (None, Some(facts)) => known.extend(facts.streams.values().flatten().cloned()),
                (None, None) => {
                    let facts = self.catalog.get(&system.connector)?;
                    known.extend(facts.streams.values().flatten().cloned());
                }
            }
        }
        Some(known)
    }

    fn fields(&mut self) {
        let config = self.config;
        let known = self.known_fields();
        let mut used: Vec<(Vec<&str>, &FieldName)> = Vec::new();
        for (field, rule) in &config.fields {
            used.push((vec!["fields", field.as_str()], field));
            self.rule_systems(field.as_str(), &rule.pick);
        }
        for field in config.share.keys().filter(|field| field.as_str() != NOTES_OF_HANDOFFS) {
            used.push((vec!["share", field.as_str()], field));
        }
        if let Some(rule) = &config.default_rule {
            self.rule_systems("*", &rule.pick);
        }
        for field in &config.identity.external_ids {
            used.push((vec!["identity", "external_ids"], field));
        }
        for (name, system) in &config.systems {
            let exported = system.files.iter().flat_map(|files| &files.exported);
            used.extend(exported.map(|field| {
                (
                    vec!["systems", name, "config", "export", "columns", field.as_str()],
                    field,
                )
            }));
            if config.places.has(&["systems", name, "qualified_by"]) {
                let fields = system.qualified_by.iter();
                used.extend(fields.map(|field| (vec!["systems", name, "qualified_by"], field)));
            }
            for (stream, rules) in &system.streams {
                let fields = rules.qualified_by.iter().flatten();
                used.extend(fields.map(|field| (vec!["systems", name, "streams", stream, "qualified_by"], field)));
            }
        }
        if let Some(priority) = &config.priority {
            used.push((vec!["priority", "field"], &priority.field));
        }
        let Some(known) = known else { return };
        for (path, field) in used {
            if !known.contains(field) {
                let hint = suggestion(field.as_str(), known.iter().map(FieldName::as_str));
                let message = format!("no system has a field `{field}`");
                self.tell(Code::ConfigDangling, &path, message, hint);
            }
        }
    }

    fn rule_systems(&mut self, field: &str, pick: &Pick) {
        let (Pick::Own(systems) | Pick::Newest(systems)) = pick else {
            return;
        };
        for system in systems
            .iter()
            .filter(|system| !self.config.systems.contains_key(*system))
        {
            let hint = suggestion(system, self.config.systems.keys().map(CompactString::as_str));
            let message = format!("there is no system `{system}`");
            self.tell(Code::ConfigDangling, &["fields", field, pick.name()], message, hint);
        }
    }
}
