//! Consent: whether a person may be spoken to, per channel and purpose (`consent.email.marketing`).
//!
//! A tool says `granted` or `denied`; anything else says nothing. The strictest word holds, for ever, unless a newer *proof*
//! of a grant comes: a tool's own word, with the time of the consent itself (`consent.….at`), or one that was seen to change
//! there. That a flag is not set proves nothing, and what Nivel wrote is nobody's word. A denial is remembered with the
//! customer, also when the record that said it is gone.

use std::cmp::Ordering;

use super::rules::{Role, StreamRules, SystemRules};
use super::survive::Golden;
use crate::model::{FieldName, Fields, Origin, Record, RecordId, UnixMillis, Value, WriteMode};

/// Names of consents begin so.
const PREFIX: &str = "consent.";
/// Behind a consent's name: when it was given or taken back.
const AT: &str = ".at";
/// Behind a consent's name: where that was said, as Nivel remembers it.
const FROM: &str = ".from";
/// Behind a consent's name: what proves it, in the tool's own words.
const PROOF: &str = ".proof";

const DENIED: &str = "denied";
const GRANTED: &str = "granted";

/// The rule's name in lineage and config.
pub const STRICTEST: &str = "strictest";

/// True for a consent and for what stands beside one.
#[must_use]
pub fn is_consent(field: &str) -> bool {
    field.starts_with(PREFIX)
}

/// True for a value that takes a consent back. Such a value is never taken away again by Nivel itself.
#[must_use]
pub fn is_denial(field: &str, value: Option<&Value>) -> bool {
    is_word(field) && value.and_then(Value::as_text) == Some(DENIED)
}

/// True for the consent itself.
fn is_word(field: &str) -> bool {
    is_consent(field) && ![AT, FROM, PROOF].iter().any(|end| field.ends_with(end))
}

fn beside(field: &str, end: &str) -> FieldName {
    FieldName::from(format!("{field}{end}").as_str())
}

/// What somebody said about one consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// True: taken back, or never to be given. False: given.
    pub is_denial: bool,
    /// When.
    pub at: UnixMillis,
    /// True when a grant proves itself, and does not only stand there.
    pub is_proof: bool,
    /// Which record says so.
    pub from: RecordId,
    /// The tool's own words for it.
    pub proof: Option<Value>,
}

impl Statement {
    /// Among statements of one kind the newest counts; ties are broken by the record.
    fn newer(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at).then_with(|| other.from.cmp(&self.from))
    }
}

/// The statement that holds, if anything was said.
#[must_use]
pub(super) fn strictest(statements: &[Statement]) -> Option<&Statement> {
    let newest = |kept: &dyn Fn(&&Statement) -> bool| {
        let kept = statements.iter().filter(kept);
        kept.max_by(|one, other| one.newer(other))
    };
    let Some(denial) = newest(&|one| one.is_denial) else {
        return newest(&|one| !one.is_denial);
    };
    let proven = newest(&|one| !one.is_denial && one.is_proof && one.at > denial.at);
    Some(proven.unwrap_or(denial))
}

/// What a record itself says about a consent.
fn statement(record: &Record, field: &FieldName) -> Option<Statement> {
    let word = record.fields.text(field.as_str())?;
    let is_denial = match word {
        DENIED => true,
        GRANTED => false,
        _ => return None,
    };
    if !record.asserts(field.as_str()) {
        return None;
    }
    let told = match record.fields.value(beside(field.as_str(), AT).as_str()) {
        Some(Value::Time(at)) => Some(*at),
        _ => None,
    };
    let changed = record.observed.fields.get(field).copied();
    Some(Statement {
        is_denial,
        at: told.unwrap_or_else(|| record.observed.of(field.as_str())),
        is_proof: record.deleted_at.is_none() && (told.is_some() || changed.is_some()),
        from: record.id.clone(),
        proof: record.fields.value(beside(field.as_str(), PROOF).as_str()).cloned(),
    })
}

/// The denial that a golden record remembers.
fn remembered(golden: &Fields, field: &FieldName, members: &[&Record]) -> Option<Statement> {
    if golden.text(field.as_str()) != Some(DENIED) {
        return None;
    }
    let at = match golden.value(beside(field.as_str(), AT).as_str()) {
        Some(Value::Time(at)) => *at,
        _ => UnixMillis(i64::MIN),
    };
    let from = golden.text(beside(field.as_str(), FROM).as_str());
    let from = from.and_then(|text| text.parse::<RecordId>().ok());
    Some(Statement {
        is_denial: true,
        at,
        is_proof: false,
        from: from.or_else(|| members.first().map(|record| record.id.clone()))?,
        proof: golden.value(beside(field.as_str(), PROOF).as_str()).cloned(),
    })
}

/// Puts the consents of a customer into her golden record: from all her records, deleted ones too, and from what the golden
/// records that became this one remember.
pub fn survive<'a>(members: &[&Record], before: impl Iterator<Item = &'a Fields> + Clone, golden: &mut Golden) {
    let said = members.iter().flat_map(|record| record.fields.0.keys());
    let known = before.clone().flat_map(|fields| fields.0.keys());
    let mut names: Vec<&FieldName> = said.chain(known).filter(|name| is_word(name.as_str())).collect();
    names.sort();
    names.dedup();
    for name in names {
        let own = members.iter().filter_map(|record| statement(record, name));
        let old = before.clone().filter_map(|fields| remembered(fields, name, members));
        let statements: Vec<Statement> = own.chain(old).collect();
        if let Some(holds) = strictest(&statements) {
            put(holds, name, golden);
        }
    }
}

fn put(holds: &Statement, name: &FieldName, golden: &mut Golden) {
    let word = if holds.is_denial { DENIED } else { GRANTED };
    let values = [
        (name.clone(), Some(Value::Text(word.into()))),
        (beside(name.as_str(), AT), Some(Value::Time(holds.at))),
        (beside(name.as_str(), FROM), Value::text(&holds.from.to_string())),
        (beside(name.as_str(), PROOF), holds.proof.clone()),
    ];
    for (field, value) in values.into_iter().filter(|(_, value)| value.is_some()) {
        let origin = Origin {
            record: holds.from.clone(),
            at: holds.at,
            rule: STRICTEST.into(),
        };
        golden.lineage.insert(field.clone(), origin);
        golden.fields.0.insert(field, value);
    }
}

/// True when a consent may be written to a stream: only denials are, and only where the admin allows it. A grant is for the
/// tool itself to ask for.
pub(super) fn may_write(field: &str, golden: &Fields, stream: &StreamRules) -> bool {
    is_word(field) && golden.text(field) == Some(DENIED) && stream.allows_unsubscribing
}

/// True when nobody may be made there: she does not want to hear of us, and the tool cannot be told in the same breath.
#[must_use]
pub(super) fn bars(golden: &Fields, system: &SystemRules, stream: &StreamRules) -> bool {
    let can_say = |field: &FieldName| {
        let spec = stream.spec.fields.get(field);
        stream.allows_unsubscribing
            && spec.is_some_and(|spec| !matches!(spec.write, WriteMode::Never | WriteMode::Call))
    };
    let mut denied = golden
        .0
        .keys()
        .filter(|field| is_word(field.as_str()) && golden.text(field.as_str()) == Some(DENIED));
    system.role == Role::Marketing && denied.any(|field| !can_say(field))
}

#[cfg(test)]
mod tests;
