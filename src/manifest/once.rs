//! Objects of one tool that are the same thing for us: which of them a customer is made as must be said.

use compact_str::CompactString;

use super::decode::suggest;
use super::lint::Lint;
use super::object::Object;
use super::types::Manifest;
use crate::model::Kind;

/// What `instead_of` says of an object that is a thing of its own beside others of its kind.
const NOTHING: &str = "nothing";

impl Object {
    /// The object that is made in its place where both could be.
    pub(super) fn stands_in_for(&self) -> Option<&CompactString> {
        self.instead_of.as_ref().filter(|name| name.as_str() != NOTHING)
    }

    /// The kind of customer that can be made as this object.
    fn makes(&self) -> Option<Kind> {
        let spec = self.spec();
        (spec.can_create && !spec.is_activity()).then_some(spec.kind)
    }
}

pub(super) fn check(lint: &mut Lint<'_>, name: &str, object: &Object) {
    let manifest: &Manifest = lint.manifest;
    let path = format!("objects.{name}");
    let place = format!("{path}.instead_of");
    if let Some(other) = object.stands_in_for() {
        let Some(found) = manifest.objects.get(other).filter(|_| other != name) else {
            let names: Vec<&str> = manifest.objects.keys().map(|name| name.as_str()).collect();
            return lint.sense(
                &place,
                format!("there is no other object `{other}`"),
                suggest(other, &names),
            );
        };
        if found.stands_in_for().is_some() {
            lint.sense(
                &place,
                format!("`{other}` stands in for another one itself"),
                "name the one that is made",
            );
        }
        if found.kind != object.kind {
            lint.sense(&place, format!("`{other}` is something of another kind"), "");
        }
        return;
    }
    let Some(kind) = object.makes().filter(|_| object.instead_of.is_none()) else {
        return;
    };
    let is_rival = |(rival, other): &(&CompactString, &Object)| {
        rival.as_str() < name && other.instead_of.is_none() && other.makes() == Some(kind)
    };
    if let Some((rival, _)) = manifest.objects.iter().find(is_rival) {
        let message = format!("one customer could be made as `{rival}` and as `{name}`");
        let hint = format!(
            "write `instead_of: {rival}` when she is one of both, `instead_of: {NOTHING}` when she may be both"
        );
        lint.sense(&path, message, hint);
    }
}
