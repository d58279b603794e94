//! Streams of one system that hold the same (a lead and a contact): nobody is made twice in one tool.

use std::collections::BTreeSet;

use compact_str::CompactString;

use super::creation::{Refusal, refusal};
use super::desire::Desire;
use super::rules::{Rules, SystemRules};
use crate::model::{Fields, Record, StreamId};

/// The other stream of the system that holds the same and has her. Whoever was deleted there is not made again here.
#[must_use]
pub fn stands_elsewhere<'a>(
    id: &'a StreamId,
    members: &[&Record],
    system: &'a SystemRules,
) -> Option<&'a CompactString> {
    let has_her = |other: &&CompactString| {
        let mut streams = members.iter().map(|record| &record.id.stream);
        streams.any(|stream| stream.system == id.system && stream.stream == **other)
    };
    system.alternatives(&id.stream).find(has_her)
}

/// Why a customer with these records is not made in this stream: she is, or is to be, in another one that holds the same.
#[must_use]
pub fn made_elsewhere(
    id: &StreamId,
    members: &[&Record],
    golden: &Fields,
    rules: &Rules,
    system: &SystemRules,
) -> Option<Refusal> {
    let comes_first = |other: &&CompactString| {
        let stream = system.streams.get(*other);
        place(system, other) < place(system, &id.stream)
            && stream.is_some_and(|stream| refusal(golden, rules, system, stream).is_none())
    };
    let other = stands_elsewhere(id, members, system);
    let other = other.or_else(|| system.alternatives(&id.stream).find(comes_first));
    other.map(|stream| Refusal::MadeElsewhere { stream: stream.clone() })
}

/// Of the objects that are to be made, leaves one where several streams hold the same: where a handoff brings her, else
/// where the connector says.
pub(super) fn once(desires: &mut Vec<Desire>, rules: &Rules, brought: &BTreeSet<StreamId>) {
    let made = desires.iter().filter(|desire| desire.object.is_none());
    let made: BTreeSet<StreamId> = made.map(|desire| desire.stream.clone()).collect();
    let is_first = |id: &StreamId| {
        let Some(system) = rules.systems.get(&id.system) else {
            return true;
        };
        let order = |stream: &StreamId| (!brought.contains(stream), place(system, &stream.stream));
        let others = system.alternatives(&id.stream);
        let others = others.map(|other| StreamId::new(id.system.clone(), other.clone()));
        let mut rivals = others.filter(|other| made.contains(other));
        rivals.all(|other| order(id) < order(&other))
    };
    desires.retain(|desire| desire.object.is_some() || is_first(&desire.stream));
}

/// The place of a stream among those that hold the same: first the one that the others stand in for, then by name.
fn place(system: &SystemRules, stream: &str) -> (bool, CompactString) {
    let rules = system.streams.get(stream);
    (
        rules.is_some_and(|rules| rules.spec.instead_of.is_some()),
        stream.into(),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::merge::{Brake, Create, Role, StreamRules, Survivorship, desires};
    use crate::model::{CustomerKey, FieldSpec, Kind, StreamSpec, UnixMillis, Value};

    /// `contact always, lead always instead of contact, …`: the streams of one system.
    fn rules(text: &str) -> Rules {
        let stream = |text: &str| {
            let words: Vec<&str> = text.split_whitespace().collect();
            let spec = StreamSpec {
                fields: ["email", "company"]
                    .map(|name| (name.into(), FieldSpec::default()))
                    .into(),
                match_by: vec!["email".into()],
                can_create: true,
                can_update: true,
                instead_of: words.get(4).map(|name| (*name).into()),
                ..StreamSpec::default()
            };
            let create = match words[1] {
                "never" => Create::Never,
                "qualified" => Create::Qualified,
                "handoff" => Create::Handoff,
                _ => Create::Always,
            };
            let rules = StreamRules {
                spec,
                create,
                qualified_by: vec!["company".into()],
                write: true,
                ..StreamRules::default()
            };
            (CompactString::from(words[0]), rules)
        };
        let system = SystemRules {
            role: Role::Sales,
            brake: Brake::default(),
            streams: text.split(", ").map(stream).collect(),
        };
        Rules {
            systems: BTreeMap::from([("crm".into(), system)]),
            ..Rules::default()
        }
    }

    /// Where a customer with these records is made; `d` at the end of a record's stream: deleted there.
    #[track_caller]
    fn check(streams: &str, records: &[&str], brought: &[&str], expected: &[&str]) {
        let rules = rules(streams);
        let id = |stream: &str| StreamId::new("crm", stream);
        let record = |text: &&str| {
            let (stream, mark) = text.split_once(' ').unwrap_or((text, ""));
            let id = match stream.split_once('/') {
                Some((system, stream)) => StreamId::new(system, stream),
                None => id(stream),
            };
            let mut record = Record::new(id.record("7"), UnixMillis(1));
            record.fields.set("email", Value::Text("ana@b.fi".into()));
            record.deleted_at = (mark == "d").then_some(UnixMillis(2));
            record
        };
        let records: Vec<Record> = records.iter().map(record).collect();
        let members: Vec<&Record> = records.iter().collect();
        let golden = Fields::from([("email", Value::Text("ana@b.fi".into()))]);
        let key = CustomerKey {
            id: Uuid::nil(),
            kind: Kind::Person,
        };
        let brought = brought.iter().map(|stream| id(stream)).collect();
        let wanted = desires(&key, &golden, &members, &rules, &Survivorship::new(&rules), &brought);
        let made: Vec<&str> = wanted
            .iter()
            .filter(|desire| desire.object.is_none())
            .map(|desire| desire.stream.stream.as_str())
            .collect();
        assert_eq!(made, expected, "{streams}; {records:?}; brought {brought:?}");
        let system = &rules.systems["crm"];
        for stream in system.streams.keys().filter(|_| brought.is_empty()) {
            let elsewhere = made_elsewhere(&id(stream), &members, &golden, &rules, system).is_some();
            let is_refused = refusal(&golden, &rules, system, &system.streams[stream]).is_some();
            let stands_here = members.iter().any(|record| record.id.stream == id(stream));
            let is_made = !elsewhere && !is_refused && !stands_here;
            assert_eq!(is_made, made.contains(&stream.as_str()), "the reason agrees: {stream}");
        }
    }

    #[test]
    fn nobody_is_made_twice_in_one_tool() {
        let both = "contact always, lead always instead of contact";
        let other = "contact always instead of lead, lead always";
        let elsewhere = ["shop/contact"];
        check(both, &elsewhere, &[], &["contact"]);
        check(other, &elsewhere, &[], &["lead"]);
        check(both, &["lead"], &[], &[]);
        check(both, &["contact"], &[], &[]);
        check(both, &["lead d"], &[], &[]);
        check(both, &["shop/lead"], &[], &["contact"]);
    }

    #[test]
    fn who_may_not_be_made_in_the_first_is_made_in_the_other() {
        let elsewhere = ["shop/contact"];
        check(
            "contact never, lead always instead of contact",
            &elsewhere,
            &[],
            &["lead"],
        );
        check(
            "contact qualified, lead always instead of contact",
            &elsewhere,
            &[],
            &["lead"],
        );
        check("contact qualified, lead always instead of contact", &["lead"], &[], &[]);
        check("contact never, lead never instead of contact", &elsewhere, &[], &[]);
    }

    #[test]
    fn a_handoff_says_where_but_not_twice() {
        let elsewhere = ["shop/contact"];
        let both = "contact always, lead handoff instead of contact";
        check(both, &elsewhere, &["lead"], &["lead"]);
        check(both, &elsewhere, &["contact"], &["contact"]);
        check(both, &elsewhere, &["contact", "lead"], &["contact"]);
        check(both, &["contact"], &["lead"], &[]);
        check(both, &elsewhere, &[], &["contact"]);
    }

    #[test]
    fn streams_that_hold_other_things_are_none_of_each_others_business() {
        check(
            "contact always, member always",
            &["shop/contact"],
            &[],
            &["contact", "member"],
        );
        check("contact always, member always", &["member"], &[], &["contact"]);
        let three = "contact always, lead always instead of contact, prospect always instead of contact";
        check(three, &["shop/contact"], &[], &["contact"]);
        check(three, &["prospect"], &[], &[]);
        let without = "contact never, lead always instead of contact, prospect always instead of contact";
        check(without, &["shop/contact"], &[], &["lead"]);
    }
}
