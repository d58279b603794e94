//! What of a golden record may flow where: the only place that decides it. What may not flow to a tool is not there, as far
//! as that tool is concerned.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::consent::{is_consent, may_write};
use super::rules::{Role, Rules, StreamRules, SystemRules};
use crate::model::{FieldName, Fields};

/// What people write about customers for each other. It never reaches marketing unless a line of `share:` says so.
const NOTES: [&str; 6] = ["note", "notes", "comment", "comments", "support_note", "support_notes"];

/// Under this name `share:` also says to whom the notes of handoffs may tell of what happened in other teams' tools.
pub const NOTES_OF_HANDOFFS: &str = "notes";

/// What `share:` says: the roles that each named field may flow to.
pub type Share = BTreeMap<FieldName, BTreeSet<Role>>;

/// True when a field may flow to systems of a role.
#[must_use]
pub fn may_flow(share: &Share, field: &str, role: Role) -> bool {
    match share.get(field) {
        Some(roles) => roles.contains(&role),
        None => role != Role::Marketing || !NOTES.contains(&field),
    }
}

/// True for a field that may hold what people write about customers, by its name: one that should not reach marketing
/// without anybody having said so.
#[must_use]
pub fn may_be_a_note(field: &str) -> bool {
    const WORDS: [&str; 9] = [
        "note",
        "comment",
        "remark",
        "memo",
        "description",
        "message",
        "internal",
        "complaint",
        "reason",
    ];
    WORDS.iter().any(|word| field.contains(word))
}

impl Rules {
    /// True when a field may flow to systems of a role.
    #[must_use]
    pub fn may_flow(&self, field: &str, role: Role) -> bool {
        may_flow(&self.share, field, role)
    }

    /// True when a note for a system of a role may tell of what happened in another system: what support writes in its
    /// tickets is a note about the customer.
    #[must_use]
    pub fn may_tell_of(&self, from: &str, role: Role) -> bool {
        let from = self.systems.get(from).map(|system| system.role);
        from == Some(role) || self.may_flow(NOTES_OF_HANDOFFS, role)
    }

    /// What of a golden record a stream may be told.
    #[must_use]
    pub fn told<'g>(&self, golden: &'g Fields, system: &SystemRules, stream: &StreamRules) -> Cow<'g, Fields> {
        let may = |field: &FieldName| {
            let name = field.as_str();
            self.may_flow(name, system.role) && (!is_consent(name) || may_write(name, golden, stream))
        };
        if golden.0.keys().all(may) {
            return Cow::Borrowed(golden);
        }
        let told = golden.0.iter().filter(|(field, _)| may(field));
        Cow::Owned(Fields(
            told.map(|(field, value)| (field.clone(), value.clone())).collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Brake;
    use crate::model::Value;

    fn system(role: Role) -> SystemRules {
        SystemRules {
            role,
            brake: Brake::default(),
            streams: std::collections::BTreeMap::new(),
        }
    }

    fn golden() -> Fields {
        let text = |text: &str| Value::Text(text.into());
        Fields::from([
            ("email", text("a@b.fi")),
            ("notes", text("angry")),
            ("salary", text("9")),
            ("consent.email.marketing", text("denied")),
        ])
    }

    #[track_caller]
    fn check(rules: &Rules, role: Role, unsubscribe: bool, told: &[&str]) {
        let stream = StreamRules {
            allows_unsubscribing: unsubscribe,
            ..StreamRules::default()
        };
        let golden = golden();
        let names: Vec<String> = rules
            .told(&golden, &system(role), &stream)
            .0
            .keys()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, told, "{role:?}");
    }

    #[test]
    fn p53_notes_stay_away_from_marketing_and_denials_need_a_yes() {
        let rules = Rules {
            share: [("salary".into(), [Role::Sales].into())].into(),
            ..Rules::default()
        };
        check(&rules, Role::Sales, false, &["email", "notes", "salary"]);
        check(&rules, Role::Support, false, &["email", "notes"]);
        check(&rules, Role::Marketing, false, &["email"]);
        check(&rules, Role::Marketing, true, &["consent.email.marketing", "email"]);
        let with_desk = |rules: &Rules| Rules {
            systems: [
                ("desk".into(), system(Role::Support)),
                ("hub".into(), system(Role::Marketing)),
            ]
            .into(),
            ..rules.clone()
        };
        let told =
            |rules: &Rules, from| [Role::Marketing, Role::Sales].map(|role| with_desk(rules).may_tell_of(from, role));
        assert_eq!(told(&rules, "desk"), [false, true], "a ticket is a note about her");
        assert_eq!(told(&rules, "hub"), [true, true]);
        let granted = Fields::from([("consent.email.marketing", Value::Text("granted".into()))]);
        let allowed = StreamRules {
            allows_unsubscribing: true,
            ..StreamRules::default()
        };
        let told_of_grants = rules.told(&granted, &system(Role::Marketing), &allowed);
        assert!(told_of_grants.0.is_empty(), "a grant is for the tool itself to ask for");
        assert!(may_be_a_note("internal_remark") && !may_be_a_note("phone"));
        let open = Rules {
            share: [("notes".into(), [Role::Marketing].into())].into(),
            ..Rules::default()
        };
        check(&open, Role::Marketing, false, &["email", "notes", "salary"]);
        check(&open, Role::Sales, false, &["email", "salary"]);
        assert_eq!(told(&open, "desk"), [true, false]);
    }
}
