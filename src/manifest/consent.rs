//! Consents that a tool keeps apart from its objects: how it is told that a person took one back.

use serde::Deserialize;

use super::field::WriteRule;
use super::lint::Lint;
use super::object::Object;
use super::write::Op;

/// Names of consents begin so.
const PREFIX: &str = "consent.";

/// One consent that has a call of its own. There is no way to give one: asking again is for the tool that can prove it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Takes it back; what says so twice changes nothing.
    pub deny: Op,
}

impl Object {
    /// The call that takes a consent back, by the field's name.
    #[must_use]
    pub fn denial(&self, field: &str) -> Option<&Op> {
        let name = field.strip_prefix(PREFIX)?;
        self.consent.get(name).map(|consent| &consent.deny)
    }
}

/// Does what is said about consents make sense?
pub(super) fn check(lint: &mut Lint<'_>, name: &str, object: &Object) {
    for consent in object.consent.keys() {
        let field = object.fields.by_name.get(format!("{PREFIX}{consent}").as_str());
        if !field.is_some_and(|field| matches!(field.write, WriteRule::After)) {
            let hint = format!("map `{PREFIX}{consent}` with `write: after`: what is told must be read as well");
            lint.sense(
                &format!("objects.{name}.consent.{consent}"),
                "no field says how it is read",
                hint,
            );
        }
    }
    // Other fields of that kind are written by the calls that follow a write.
    let follows = object.write.as_ref().is_some_and(|write| !write.after.0.is_empty());
    for (field, rule) in &object.fields.by_name {
        if matches!(rule.write, WriteRule::After) && object.denial(field.as_str()).is_none() && !follows {
            let hint = "write the call under `consent` or `write.after`, or `write: never`";
            lint.sense(&format!("objects.{name}.fields.{field}"), "no call writes it", hint);
        }
    }
}
