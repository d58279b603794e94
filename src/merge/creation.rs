//! Whether an object may be made for a customer, with which fields, or why not.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::consent::bars;
use super::desire::{EMAIL, KEY_FIELD, fits, names_one_person};
use super::rules::{Create, Rules, StreamRules, SystemRules};
use crate::model::{FieldName, FieldSpec, Fields, Kind, Value, Wanted, WriteMode};

/// By which a person can be reached.
const CONTACT: [&str; 3] = [EMAIL, "phone", "mobile"];

/// Why no object may be made for a customer in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Refusal {
    /// The config keeps Nivel from writing there.
    NotWritten,
    /// The config says `create: never`.
    NeverMade,
    /// The connector cannot make objects there.
    CannotMake,
    /// The config wants fields that the customer has not.
    NotQualified {
        /// Those fields.
        lacks: Vec<FieldName>,
    },
    /// She has nothing by which the object could be found again, should the answer to its making get lost.
    NoIdentifier,
    /// Of a person only the name is known, or a mailbox she shares.
    NotReachable,
    /// She does not want to hear of us, and the marketing tool cannot be told.
    OptedOut,
    /// She is, or is to be, in another stream of the system that holds the same.
    MadeElsewhere {
        /// That stream.
        stream: CompactString,
    },
}

/// Why an object may not be made for a customer with this golden record; nothing when it may.
#[must_use]
pub fn refusal(golden: &Fields, rules: &Rules, system: &SystemRules, stream: &StreamRules) -> Option<Refusal> {
    if !stream.write {
        return Some(Refusal::NotWritten);
    }
    let told = rules.told(golden, system, stream);
    let has_own_email = names_one_person(golden, stream.spec.kind);
    let refused = creation(&told, stream, has_own_email, false).err();
    refused.or_else(|| bars(golden, system, stream).then_some(Refusal::OptedOut))
}

/// The fields of the object that may be made, or why none may. `is_brought`: a handoff lets her be made there.
pub(super) fn creation(
    golden: &Fields,
    rules: &StreamRules,
    has_own_email: bool,
    is_brought: bool,
) -> Result<BTreeMap<FieldName, Wanted>, Refusal> {
    let spec = &rules.spec;
    let wanted = match rules.create {
        Create::Never => return Err(Refusal::NeverMade),
        Create::Always => &[][..],
        Create::Handoff if !is_brought => return Err(Refusal::NotQualified { lacks: Vec::new() }),
        Create::Handoff => &[][..],
        Create::Qualified if is_brought => &[][..],
        Create::Qualified => &rules.qualified_by,
    };
    if !spec.can_create {
        return Err(Refusal::CannotMake);
    }
    let lacks = wanted.iter().filter(|field| golden.value(field.as_str()).is_none());
    let lacks: Vec<FieldName> = lacks.cloned().collect();
    if !lacks.is_empty() {
        return Err(Refusal::NotQualified { lacks });
    }
    if !can_be_found_again(golden, rules, has_own_email) {
        return Err(Refusal::NoIdentifier);
    }
    let fields = fields(golden, rules, has_own_email);
    // Somebody of whom only the name is known (or a mailbox she shares) is nobody a tool can do something for.
    let is_reachable = |field: &FieldName, wanted: &Wanted| !wanted.placeholder && CONTACT.contains(&field.as_str());
    if spec.kind == Kind::Person && !fields.iter().any(|(field, wanted)| is_reachable(field, wanted)) {
        return Err(Refusal::NotReachable);
    }
    Ok(fields)
}

fn fields(golden: &Fields, rules: &StreamRules, has_own_email: bool) -> BTreeMap<FieldName, Wanted> {
    let spec = &rules.spec;
    let is_shared = |field: &FieldName| field.as_str() == EMAIL && spec.match_by.contains(field) && !has_own_email;
    let writable = spec
        .fields
        .iter()
        .filter(|(_, spec)| !matches!(spec.write, WriteMode::Never | WriteMode::Call));
    let value = |field: &FieldName, spec: &FieldSpec| match golden.value(field.as_str()) {
        Some(value) if fits(value, spec) => Some(Wanted {
            value: Some(value.clone()),
            placeholder: false,
        }),
        _ => spec.placeholder.as_ref().map(stand_in),
    };
    writable
        .filter(|(field, _)| !is_shared(field))
        .filter_map(|(field, spec)| Some((field.clone(), value(field, spec)?)))
        .collect()
}

fn stand_in(value: &Value) -> Wanted {
    Wanted {
        value: Some(value.clone()),
        placeholder: true,
    }
}

/// A create whose answer gets lost must be looked up before it is repeated; without anything to look it up by, it would be
/// a gamble. An e-mail counts only when it names one person.
fn can_be_found_again(golden: &Fields, rules: &StreamRules, has_own_email: bool) -> bool {
    rules.spec.match_by.iter().any(|field| match field.as_str() {
        KEY_FIELD => true,
        // A mailbox that may not be told there finds nobody.
        EMAIL => has_own_email && [EMAIL, "emails"].iter().any(|name| golden.value(name).is_some()),
        other => golden.value(other).is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::{Brake, Role};
    use crate::model::StreamSpec;

    fn rules(create: Create) -> StreamRules {
        let field = |name: &str| (FieldName::from(name), FieldSpec::default());
        StreamRules {
            spec: StreamSpec {
                fields: ["email", "phone", "full_name", "company"].map(field).into(),
                match_by: vec![EMAIL.into()],
                can_create: true,
                ..StreamSpec::default()
            },
            create,
            qualified_by: vec!["company".into(), "phone".into()],
            write: true,
            ..StreamRules::default()
        }
    }

    fn golden(fields: &[&'static str]) -> Fields {
        let say = |name: &&'static str| (*name, Value::Text(if *name == EMAIL { "ana@b.fi" } else { "x" }.into()));
        Fields(
            fields
                .iter()
                .map(say)
                .map(|(name, value)| (name.into(), Some(value)))
                .collect(),
        )
    }

    #[track_caller]
    fn check(rules: &StreamRules, has: &[&'static str], expected: Option<Refusal>) {
        let system = SystemRules {
            role: Role::Sales,
            brake: Brake::default(),
            streams: BTreeMap::new(),
        };
        let found = refusal(&golden(has), &Rules::default(), &system, rules);
        assert_eq!(found, expected, "{has:?}");
    }

    #[test]
    fn every_refusal_has_its_reason() {
        let always = rules(Create::Always);
        check(&always, &["email"], None);
        check(&always, &["full_name"], Some(Refusal::NoIdentifier));
        check(&rules(Create::Never), &["email"], Some(Refusal::NeverMade));
        let lacks = |lacks: &[&str]| Refusal::NotQualified {
            lacks: lacks.iter().map(|name| FieldName::from(*name)).collect(),
        };
        check(
            &rules(Create::Qualified),
            &["email"],
            Some(lacks(&["company", "phone"])),
        );
        check(
            &rules(Create::Qualified),
            &["email", "phone"],
            Some(lacks(&["company"])),
        );
        check(&rules(Create::Qualified), &["email", "phone", "company"], None);
        let mut read_only = always.clone();
        read_only.write = false;
        check(&read_only, &["email"], Some(Refusal::NotWritten));
        let mut no_create = always.clone();
        no_create.spec.can_create = false;
        check(&no_create, &["email"], Some(Refusal::CannotMake));
        let mut by_key = always;
        by_key.spec.match_by = vec![KEY_FIELD.into()];
        check(&by_key, &["full_name"], Some(Refusal::NotReachable));
    }
}
