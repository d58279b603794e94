//! What such a tool can do, and the rules of a scene where nobody says others.

use std::collections::BTreeMap;

use compact_str::CompactString;
use nivel::merge::{Brake, Create, FieldRule, OnClear, Pick, Role, Rules, StreamRules, SystemRules};
use nivel::model::{FieldName, FieldSpec, StreamSpec};

pub(super) fn spec() -> StreamSpec {
    let field = |name: &str| (FieldName::from(name), FieldSpec::default());
    StreamSpec {
        fields: ["email", "phone", "full_name", "company"].map(field).into(),
        match_by: vec!["email".into()],
        can_create: true,
        can_update: true,
        can_delete: true,
        can_get: true,
        batch_max: 100,
        reads_before: true,
        reads_back: true,
        finds_notes: true,
        ..StreamSpec::default()
    }
}

pub(super) fn rules(names: &[&str], streams: &BTreeMap<CompactString, StreamSpec>) -> Rules {
    let stream = |(name, spec): (&CompactString, &StreamSpec)| {
        let rules = StreamRules {
            spec: spec.clone(),
            create: Create::Always,
            qualified_by: Vec::new(),
            write: true,
            ..StreamRules::default()
        };
        (name.clone(), rules)
    };
    let system = |name: &&str| {
        let rules = SystemRules {
            role: Role::Sales,
            brake: Brake::default(),
            streams: streams.iter().map(stream).collect(),
        };
        (CompactString::from(*name), rules)
    };
    Rules {
        systems: names.iter().map(system).collect(),
        default: Some(FieldRule {
            pick: Pick::Newest(Vec::new()),
            on_clear: OnClear::Ignore,
        }),
        ..Rules::default()
    }
}
