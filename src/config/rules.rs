//! What a fold needs of the config: the admin's wishes joined with what the connectors can do.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::{Config, SystemConfig};
use crate::merge::{Rules, StreamRules, SystemRules};
use crate::model::StreamSpec;

/// What each system's connection can do, by system and stream.
pub type Specs = BTreeMap<CompactString, BTreeMap<CompactString, StreamSpec>>;

/// The rules of the whole config. A system without specs has no streams: nothing is read from it or written to it.
#[must_use]
pub fn rules(config: &Config, specs: &Specs) -> Rules {
    let nothing = BTreeMap::new();
    let systems = config.systems.iter().map(|(name, system)| {
        let streams = specs.get(name).unwrap_or(&nothing);
        let streams = streams
            .iter()
            .map(|(stream, spec)| (stream.clone(), of_stream(system, stream, spec)));
        let rules = SystemRules {
            role: system.role,
            brake: system.brake.clone(),
            streams: streams.collect(),
        };
        (name.clone(), rules)
    });
    Rules {
        systems: systems.collect(),
        fields: config.fields.clone(),
        default: config.default_rule.clone(),
        external_ids: config.identity.external_ids.clone(),
        share: config.share.clone(),
        size_max: config.identity.size_max,
        quarantine: config.quarantine,
        matching: config.identity.matching,
        priority: config.priority.clone(),
        handoffs: super::handoffs::handoff_rules(config, specs).0,
        exports: exports(config),
    }
}

/// What each system's export says, as text.
fn exports(config: &Config) -> BTreeMap<CompactString, String> {
    let export = |(name, system): (&CompactString, &SystemConfig)| {
        let export = system.files.as_ref()?.options.get("export")?;
        Some((name.clone(), export.to_string()))
    };
    config.systems.iter().filter_map(export).collect()
}

fn of_stream(system: &SystemConfig, stream: &str, spec: &StreamSpec) -> StreamRules {
    let own = system.streams.get(stream).cloned().unwrap_or_default();
    StreamRules {
        spec: spec.clone(),
        create: own.create.unwrap_or(system.create),
        qualified_by: own.qualified_by.unwrap_or_else(|| system.qualified_by.clone()),
        // A stream may narrow what its system allows, never widen it: `write: false` on a system is a promise.
        write: system.write && own.write.unwrap_or(true),
        on_delete: own.on_delete.unwrap_or(system.on_delete),
        own: system.own,
        allows_final_deletes: system.allows_final_deletes,
        allows_erasing: system.allows_erasing,
        allows_unsubscribing: system.allows_unsubscribing,
    }
}
