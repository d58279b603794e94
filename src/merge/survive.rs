//! Survivorship: picks each field's golden value among a customer's records, and remembers why.
//!
//! The result is a function of the *set* of records: every comparison ends in the record id, so ties cannot flip. A value
//! that stands in a tool because Nivel wrote it is an echo and never outranks the one who said it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;

use super::rules::{FieldRule, OnClear, Pick, Rules};
use super::{consent, name};
use crate::identity::{email, phone};
use crate::model::{FieldName, Fields, Lineage, Origin, Record, UnixMillis, Value};

/// What a customer's records amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Golden {
    /// The surviving values.
    pub fields: Fields,
    /// Where each comes from.
    pub lineage: Lineage,
}

/// One record's say in one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate<'a> {
    /// The record.
    pub record: &'a Record,
    /// What it says; `None`: it was emptied.
    pub value: Option<&'a Value>,
    /// Since when.
    pub at: UnixMillis,
    /// False for an echo of what Nivel wrote.
    pub asserted: bool,
    /// Place of its system in the order of trust; lower is better.
    pub rank: usize,
}

/// The rules made ready for use: every field's rule with the order of systems under it.
#[derive(Clone, Debug)]
pub struct Survivorship {
    fields: BTreeMap<FieldName, Ranked>,
    default: Ranked,
}

/// A rule with the place of each system in its order of trust.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// The rule.
    pub rule: FieldRule,
    /// System → place; lower is better.
    pub ranks: BTreeMap<CompactString, usize>,
}

impl Survivorship {
    /// Makes rules ready for use.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        let order = rules.by_trust();
        let own = || FieldRule {
            pick: Pick::Own(order.clone()),
            on_clear: OnClear::Ignore,
        };
        let ranked = |rule: FieldRule| Ranked {
            ranks: rank(&rule, &order),
            rule,
        };
        Self {
            fields: rules
                .fields
                .iter()
                .map(|(field, rule)| (field.clone(), ranked(rule.clone())))
                .collect(),
            default: ranked(rules.default.clone().unwrap_or_else(own)),
        }
    }

    /// The rule of a field: its own, the config's default, or "the most trusted system owns it".
    #[must_use]
    pub fn of(&self, field: &str) -> &Ranked {
        self.fields.get(field).unwrap_or(&self.default)
    }

    /// The rule of a field, if it has one of its own.
    #[must_use]
    pub fn own_rule(&self, field: &str) -> Option<&Ranked> {
        self.fields.get(field)
    }
}

/// Picks the golden record of a customer.
#[must_use]
pub fn survive(members: &[&Record], rules: &Survivorship) -> Golden {
    let members = speaking(members);
    // Names and consents have ways of their own. Names that begin with `_` serve the connector that keeps them and mean nothing to anybody else.
    let is_own = |field: &str| name::is_part(field) || consent::is_consent(field) || field.starts_with('_');
    let is_common = |field: &FieldName| !is_own(field.as_str());
    let mut said: Vec<(&FieldName, &Record, Option<&Value>)> = Vec::new();
    for record in &members {
        let fields = record.fields.0.iter().filter(|(field, _)| is_common(field));
        said.extend(fields.map(|(field, value)| (field, *record, value.as_ref())));
    }
    // Stable: who says it stays in order.
    said.sort_by_key(|(field, ..)| *field);
    let mut golden = Golden::default();
    let mut candidates = Vec::new();
    for same in said.chunk_by(|a, b| a.0 == b.0) {
        let field = same[0].0;
        let ranked = rules.of(field.as_str());
        candidates.clear();
        candidates.extend(
            same.iter()
                .map(|(_, record, value)| candidate(record, field, *value, &ranked.ranks)),
        );
        let mut picked = pick(&candidates, &ranked.rule);
        // Looked at only where one would win: telling a stand-in costs more than picking.
        if picked
            .as_ref()
            .is_some_and(|(value, _)| is_stand_in(field.as_str(), value.as_ref()))
        {
            candidates.retain(|candidate| !is_stand_in(field.as_str(), candidate.value));
            picked = pick(&candidates, &ranked.rule);
        }
        if let Some((value, origin)) = picked {
            golden.lineage.insert(field.clone(), origin);
            golden.fields.0.insert(field.clone(), value);
        }
    }
    name::survive(&members, rules, &mut golden);
    golden
}

/// The records that have a say: those that still exist, or all of them when none does, so that nothing is forgotten.
fn speaking<'a>(members: &[&'a Record]) -> Vec<&'a Record> {
    let live: Vec<_> = members
        .iter()
        .copied()
        .filter(|record| record.deleted_at.is_none())
        .collect();
    if live.is_empty() { members.to_vec() } else { live }
}

/// The order of systems under a rule: those it names first, then the others by trust, because filling an empty field
/// takes nothing from its owner.
fn rank(rule: &FieldRule, order: &[CompactString]) -> BTreeMap<CompactString, usize> {
    let named: &[CompactString] = match &rule.pick {
        Pick::Own(named) | Pick::Newest(named) => named,
        Pick::Longest | Pick::Union => &[],
    };
    let mut ranks = BTreeMap::new();
    for system in named.iter().chain(order) {
        let next = ranks.len();
        ranks.entry(system.clone()).or_insert(next);
    }
    ranks
}

/// Who says what about a field.
#[must_use]
pub fn candidates<'a>(
    members: &[&'a Record],
    field: &FieldName,
    ranks: &BTreeMap<CompactString, usize>,
) -> Vec<Candidate<'a>> {
    let say = |record: &&'a Record| {
        let value = record.fields.0.get(field)?.as_ref();
        (!is_stand_in(field.as_str(), value)).then(|| candidate(record, field, value, ranks))
    };
    members.iter().filter_map(say).collect()
}

fn candidate<'a>(
    record: &'a Record,
    field: &FieldName,
    value: Option<&'a Value>,
    ranks: &BTreeMap<CompactString, usize>,
) -> Candidate<'a> {
    Candidate {
        record,
        value,
        at: record.observed.of(field.as_str()),
        asserted: record.asserts(field.as_str()),
        rank: ranks.get(&record.id.stream.system).copied().unwrap_or(usize::MAX),
    }
}

/// `0000000` and `test@none.com` were typed to get past a form: they never win over silence.
fn is_stand_in(field: &str, value: Option<&Value>) -> bool {
    let Some(text) = value.and_then(Value::as_text) else {
        return false;
    };
    match field {
        "phone" | "mobile" => phone::is_placeholder(text),
        "email" => email::normalise(text).is_some_and(|email| email.is_placeholder),
        _ => false,
    }
}

/// Applies a rule: the winning value (`None`: the clearing won) and where it comes from. Nothing when nobody says anything.
#[must_use]
pub fn pick(candidates: &[Candidate<'_>], rule: &FieldRule) -> Option<(Option<Value>, Origin)> {
    if rule.pick == Pick::Union {
        return unite(candidates, rule);
    }
    let asserted = candidates.iter().filter(|candidate| candidate.asserted);
    let winner = best(asserted, rule).or_else(|| best(candidates.iter().filter(|c| !c.asserted), rule))?;
    Some((winner.value.cloned(), origin(winner, rule)))
}

fn origin(winner: &Candidate<'_>, rule: &FieldRule) -> Origin {
    Origin {
        record: winner.record.id.clone(),
        at: winner.at,
        rule: rule.pick.name().into(),
    }
}

/// The best candidate under a rule that picks one.
fn best<'c, 'a>(candidates: impl Iterator<Item = &'c Candidate<'a>>, rule: &FieldRule) -> Option<&'c Candidate<'a>>
where
    'a: 'c,
{
    let counts = |candidate: &&Candidate<'_>| candidate.value.is_some() || rule.on_clear == OnClear::Propagate;
    let candidates = candidates.filter(counts);
    match &rule.pick {
        Pick::Own(_) | Pick::Union => candidates.min_by_key(|c| (c.rank, Reverse(c.at), &c.record.id)),
        Pick::Newest(named) => {
            let outside = |c: &Candidate<'_>| !named.is_empty() && !named.contains(&c.record.id.stream.system);
            candidates.min_by_key(|c| (outside(c), Reverse(c.at), c.rank, &c.record.id))
        }
        Pick::Longest => candidates.min_by_key(|c| (Reverse(length(c.value)), c.rank, Reverse(c.at), &c.record.id)),
    }
}

fn length(value: Option<&Value>) -> usize {
    value.map_or(0, |value| value.to_string().chars().count())
}

/// All values together. Echoes count too: a union never takes away, so that no tool's own entries can vanish.
fn unite(candidates: &[Candidate<'_>], rule: &FieldRule) -> Option<(Option<Value>, Origin)> {
    let mut all = BTreeSet::new();
    for candidate in candidates {
        match candidate.value {
            Some(Value::Set(items)) => all.extend(items.iter().cloned()),
            Some(other) => {
                all.insert(CompactString::from(other.to_string()));
            }
            None => {}
        }
    }
    let first = candidates
        .iter()
        .filter(|c| c.value.is_some())
        .min_by_key(|c| (!c.asserted, c.rank, &c.record.id))?;
    Some((Some(Value::Set(all)), origin(first, rule)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::rules::{Role, SystemRules};
    use crate::model::{Observed, Ours, StreamId};

    fn record(system: &str, remote: &str, at: i64, phone: Option<&str>) -> Record {
        let mut record = Record::new(StreamId::new(system, "person").record(remote), UnixMillis(at));
        record.observed = Observed::all_at(UnixMillis(at));
        record.fields.0.insert("note".into(), phone.and_then(Value::text));
        record
    }

    fn rules(rule: FieldRule) -> Rules {
        let system = |role| SystemRules {
            role,
            brake: crate::merge::Brake::default(),
            streams: BTreeMap::new(),
        };
        Rules {
            systems: [
                ("crm".into(), system(Role::Sales)),
                ("desk".into(), system(Role::Support)),
                ("news".into(), system(Role::Marketing)),
            ]
            .into(),
            fields: [("note".into(), rule)].into(),
            ..Rules::default()
        }
    }

    #[track_caller]
    fn check(rule: FieldRule, records: &[Record], expected: Option<Option<&str>>) {
        let rules = rules(rule);
        let mut members: Vec<&Record> = records.iter().collect();
        for _ in 0..members.len() {
            members.rotate_left(1);
            let golden = survive(&members, &Survivorship::new(&rules));
            let value = golden
                .fields
                .0
                .get("note")
                .map(|value| value.as_ref().and_then(Value::as_text));
            assert_eq!(value, expected, "members in another order");
        }
    }

    fn own(names: &[&str], on_clear: OnClear) -> FieldRule {
        FieldRule {
            pick: Pick::Own(names.iter().map(|name| CompactString::from(*name)).collect()),
            on_clear,
        }
    }

    fn newest(on_clear: OnClear) -> FieldRule {
        FieldRule {
            pick: Pick::Newest(Vec::new()),
            on_clear,
        }
    }

    #[test]
    fn the_owner_wins_whatever_the_time() {
        let records = [record("crm", "1", 1, Some("1")), record("news", "2", 9, Some("2"))];
        check(own(&["crm"], OnClear::Ignore), &records, Some(Some("1")));
        check(own(&["news", "crm"], OnClear::Ignore), &records, Some(Some("2")));
        check(own(&["desk"], OnClear::Ignore), &records, Some(Some("1")));
    }

    #[test]
    fn the_latest_change_wins_and_ties_go_to_trust() {
        let records = [record("crm", "1", 1, Some("1")), record("news", "2", 9, Some("2"))];
        check(newest(OnClear::Ignore), &records, Some(Some("2")));
        let tie = [record("crm", "1", 9, Some("1")), record("news", "2", 9, Some("2"))];
        check(newest(OnClear::Ignore), &tie, Some(Some("1")));
    }

    #[test]
    fn clearing_counts_only_when_the_rule_says_so() {
        let records = [record("crm", "1", 9, None), record("news", "2", 1, Some("2"))];
        check(own(&["crm"], OnClear::Ignore), &records, Some(Some("2")));
        check(own(&["crm"], OnClear::Propagate), &records, Some(None));
        check(newest(OnClear::Propagate), &records, Some(None));
        check(newest(OnClear::Restore), &records, Some(Some("2")));
    }

    #[test]
    fn p24_an_echo_of_ours_never_outranks_the_one_who_said_it() {
        let mut owner = record("crm", "1", 9, Some("1"));
        owner.ours.insert(
            "note".into(),
            Ours {
                value: Value::text("1"),
                placeholder: false,
                own: None,
            },
        );
        let records = [owner.clone(), record("news", "2", 1, Some("2"))];
        check(own(&["crm"], OnClear::Ignore), &records, Some(Some("2")));
        check(newest(OnClear::Ignore), &records, Some(Some("2")));
        check(own(&["crm"], OnClear::Ignore), &[owner], Some(Some("1")));
    }

    #[test]
    fn p39_the_deleted_speak_only_when_nobody_else_does() {
        let mut gone = record("crm", "1", 9, Some("1"));
        gone.deleted_at = Some(UnixMillis(10));
        check(
            own(&["crm"], OnClear::Ignore),
            &[gone.clone(), record("news", "2", 1, Some("2"))],
            Some(Some("2")),
        );
        check(own(&["crm"], OnClear::Ignore), &[gone], Some(Some("1")));
    }

    #[test]
    fn union_and_longest() {
        let mut one = record("crm", "1", 1, Some("long text"));
        one.fields.set("tags", Value::Set(["a".into()].into()));
        let mut two = record("news", "2", 2, Some("short"));
        two.fields.set("tags", Value::Set(["b".into()].into()));
        check(
            FieldRule {
                pick: Pick::Longest,
                on_clear: OnClear::Ignore,
            },
            &[one.clone(), two.clone()],
            Some(Some("long text")),
        );
        let mut rules = rules(newest(OnClear::Ignore));
        rules.fields.insert(
            "tags".into(),
            FieldRule {
                pick: Pick::Union,
                on_clear: OnClear::Ignore,
            },
        );
        let golden = survive(&[&one, &two], &Survivorship::new(&rules));
        assert_eq!(
            golden.fields.value("tags"),
            Some(&Value::Set(["a".into(), "b".into()].into()))
        );
        assert_eq!(golden.lineage["tags"].rule, "union");
    }
}
