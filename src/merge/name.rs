//! Names are one thing in two shapes: given and family name, or one full name. They survive together, and a tool that keeps
//! the other shape loses nothing: parts are taken from a record that spelled them out, and split by guess only at last.

use std::cmp::Reverse;

use super::rules::Pick;
use super::survive::{Golden, Survivorship};
use crate::identity::name;
use crate::model::{Fields, Origin, Ours, Record, UnixMillis, Value};

const GIVEN: &str = "given_name";
const FAMILY: &str = "family_name";
const FULL: &str = "full_name";

/// True for the fields that make up a person's name.
#[must_use]
pub(super) fn is_part(field: &str) -> bool {
    matches!(field, GIVEN | FAMILY | FULL)
}

/// The name as one text, whatever shape a record keeps it in.
#[must_use]
pub fn full(fields: &Fields) -> Option<String> {
    match (fields.text(GIVEN), fields.text(FAMILY)) {
        (None, None) => fields.text(FULL).map(str::to_owned),
        (given, family) => Some([given, family].into_iter().flatten().collect::<Vec<_>>().join(" ")),
    }
}

/// True when both say the same name, letter by letter but for white space, in whatever shape.
#[must_use]
pub(super) fn same(left: &Fields, right: &Fields) -> bool {
    let squeeze = |fields: &Fields| full(fields).map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    squeeze(left) == squeeze(right)
}

/// True when a field is part of a name, and both say the same name, in whatever shape.
#[must_use]
pub fn says_same(field: &str, left: &Fields, right: &Fields) -> bool {
    is_part(field) && same(left, right)
}

/// After Nivel wrote a part of the name: the whole name that now stands in the tool is ours, in the shape it was written in.
/// The other shape is left out until the tool shows what it made of it.
pub fn settle_written(record: &mut Record, wrote: impl Fn(&str) -> bool) {
    let (parts, whole) = (wrote(GIVEN) || wrote(FAMILY), wrote(FULL));
    let outdated: &[&str] = match (parts, whole) {
        (false, false) => return,
        (false, true) => &[GIVEN, FAMILY],
        (true, false) => &[FULL],
        (true, true) => &[],
    };
    for part in outdated {
        record.fields.0.remove(*part);
        record.ours.remove(*part);
    }
    claim(record, |value| Some(value.clone()));
}

/// A tool that splits or joins the name that Nivel wrote says nothing new by it. True when that is what happened; the
/// record's parts are ours then.
pub(super) fn settle_echo(before: &Record, after: &mut Record) -> bool {
    let is_ours = |part: &&str| before.fields.value(part).is_some();
    let mut parts = [GIVEN, FAMILY, FULL].into_iter().filter(is_ours).peekable();
    let was_ours = parts.peek().is_some() && parts.all(|part| !before.asserts(part));
    let is_echo = was_ours && same(&before.fields, &after.fields);
    if is_echo {
        // A part that comes up now for the first time was made from what Nivel wrote.
        claim(after, |_| None);
    }
    is_echo
}

/// Marks the name's parts as ours. `own` is what the system said last by itself of a part that was not ours before.
fn claim(record: &mut Record, own: fn(&Value) -> Option<Value>) {
    for part in [GIVEN, FAMILY, FULL] {
        if let Some(value) = record.fields.value(part) {
            let own = match record.ours.get(part) {
                Some(ours) => ours.own.clone(),
                None => own(value),
            };
            record.ours.insert(
                part.into(),
                Ours {
                    value: Some(value.clone()),
                    placeholder: false,
                    own,
                },
            );
        }
    }
}

struct Spelling<'a> {
    record: &'a Record,
    full: String,
    at: UnixMillis,
    asserted: bool,
    rank: usize,
}

/// Picks the surviving name and sets all three golden fields.
pub(super) fn survive(members: &[&Record], rules: &Survivorship, golden: &mut Golden) {
    let ranked = [FULL, FAMILY, GIVEN]
        .iter()
        .find_map(|field| rules.own_rule(field))
        .unwrap_or_else(|| rules.of(FULL));
    let spellings: Vec<Spelling<'_>> = members
        .iter()
        .filter_map(|record| {
            let parts = [GIVEN, FAMILY, FULL]
                .into_iter()
                .filter(|part| record.fields.value(part).is_some());
            let (mut at, mut asserted) = (UnixMillis(i64::MIN), false);
            for part in parts {
                at = at.max(record.observed.of(part));
                asserted |= record.asserts(part);
            }
            let rank = ranked
                .ranks
                .get(&record.id.stream.system)
                .copied()
                .unwrap_or(usize::MAX);
            Some(Spelling {
                record,
                full: full(&record.fields)?,
                at,
                asserted,
                rank,
            })
        })
        .collect();
    // Half a name never replaces a whole one.
    let half = |s: &Spelling<'_>| s.full.split_whitespace().nth(1).is_none();
    let winner = match &ranked.rule.pick {
        Pick::Own(_) | Pick::Union => spellings
            .iter()
            .min_by_key(|s| (!s.asserted, half(s), s.rank, Reverse(s.at), &s.record.id)),
        Pick::Newest(named) => {
            let outside = |s: &Spelling<'_>| !named.is_empty() && !named.contains(&s.record.id.stream.system);
            spellings
                .iter()
                .min_by_key(|s| (!s.asserted, half(s), outside(s), Reverse(s.at), s.rank, &s.record.id))
        }
        Pick::Longest => spellings.iter().min_by_key(|s| {
            (
                !s.asserted,
                Reverse(s.full.chars().count()),
                s.rank,
                Reverse(s.at),
                &s.record.id,
            )
        }),
    };
    let Some(winner) = winner else { return };
    let origin = Origin {
        record: winner.record.id.clone(),
        at: winner.at,
        rule: ranked.rule.pick.name().into(),
    };
    let (given, family) = parts(winner, &spellings);
    let mut set = |field: &str, value: Option<Value>| {
        if value.is_some() {
            golden.fields.0.insert(field.into(), value);
            golden.lineage.insert(field.into(), origin.clone());
        }
    };
    set(GIVEN, given);
    set(FAMILY, family);
    set(FULL, Value::text(&winner.full));
}

/// The parts of the winning name: its own, those of a record that spells the same name out, or a split.
fn parts(winner: &Spelling<'_>, spellings: &[Spelling<'_>]) -> (Option<Value>, Option<Value>) {
    let own = |record: &Record| {
        (
            record.fields.value(GIVEN).cloned(),
            record.fields.value(FAMILY).cloned(),
        )
    };
    let spelled = |s: &&Spelling<'_>| s.record.fields.value(GIVEN).is_some() || s.record.fields.value(FAMILY).is_some();
    if spelled(&winner) {
        return own(winner.record);
    }
    let twin = spellings
        .iter()
        .filter(|s| spelled(s) && same(&s.record.fields, &winner.record.fields))
        .min_by_key(|s| (s.rank, &s.record.id));
    if let Some(twin) = twin {
        return own(twin.record);
    }
    let (given, family) = name::split(&winner.full);
    (
        given.and_then(|text| Value::text(&text)),
        family.and_then(|text| Value::text(&text)),
    )
}
