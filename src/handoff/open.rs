//! Which passages of a customer begin, and which are not wanted any more: a function of what the ledger holds, so that
//! looking twice changes nothing.

use std::collections::BTreeMap;

use super::note::Note;
use super::passage::{Passage, State};
use super::rule::Rule;
use super::when::Missing;
use crate::model::{Activity, CustomerKey, FieldName, Fields, Record, RecordId, UnixMillis, Value};

/// One customer, as a fold leaves her.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Her key.
    pub key: CustomerKey,
    /// Her golden record, before; `None` when she is new.
    pub before: Option<&'a Fields>,
    /// Her golden record, now.
    pub golden: &'a Fields,
    /// Her records.
    pub members: &'a [&'a Record],
    /// Her activities.
    pub activities: &'a [&'a Activity],
    /// Her passages so far.
    pub passages: &'a [&'a Passage],
    /// The present moment.
    pub now: UnixMillis,
    /// Nivel looks for the first time: at her, or by these rules.
    pub is_first_look: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Passages that are new or changed.
    pub changed: Vec<Passage>,
    /// When to look again although nothing happened.
    pub look_at: Option<UnixMillis>,
}

/// Opens what has to be opened, and lets go of what has lost its reason.
#[must_use]
pub fn open(rules: &[Rule], scene: Scene<'_>) -> Opened {
    let mut opened = Opened::default();
    let changed = changes(scene.before, scene.golden);
    for rule in rules.iter().filter(|rule| rule.kind == scene.key.kind) {
        Opening {
            rule,
            scene,
            changed: &changed,
            opened: &mut opened,
        }
        .all();
    }
    opened
}

type Changes = BTreeMap<FieldName, (Option<Value>, Option<Value>)>;

/// The golden fields that changed; none for a customer who is new.
fn changes(before: Option<&Fields>, golden: &Fields) -> Changes {
    let Some(before) = before else { return Changes::new() };
    let names = before.0.keys().chain(golden.0.keys());
    let change = |name: &FieldName| {
        let (old, new) = (before.value(name.as_str()), golden.value(name.as_str()));
        (old != new).then(|| (name.clone(), (old.cloned(), new.cloned())))
    };
    names.filter_map(change).collect()
}

struct Opening<'a, 'o> {
    rule: &'a Rule,
    scene: Scene<'a>,
    changed: &'a Changes,
    opened: &'o mut Opened,
}

impl Opening<'_, '_> {
    fn all(&mut self) {
        let rule = self.rule;
        let known: Vec<&Passage> = self
            .scene
            .passages
            .iter()
            .copied()
            .filter(|p| p.rule == rule.name)
            .collect();
        let Some(name) = rule.when.activity() else {
            let holds = self.is_from() && self.holds(None);
            return self.subject(None, holds, &known);
        };
        let is_from = |activity: &&&Activity| {
            let stream = &activity.id.stream;
            stream.stream == name && rule.from.as_ref().is_none_or(|from| stream.system == *from)
        };
        let mut live: BTreeMap<&RecordId, &Activity> = BTreeMap::new();
        let all = self.scene.activities;
        live.extend(
            all.iter()
                .filter(is_from)
                .filter(|a| a.deleted_at.is_none())
                .map(|a| (&a.id, *a)),
        );
        for (id, activity) in &live {
            let holds = self.holds(Some(&activity.fields));
            self.subject(Some(id), holds, &known);
        }
        let mut gone: Vec<&RecordId> = known.iter().filter_map(|passage| passage.activity.as_ref()).collect();
        gone.retain(|id| !live.contains_key(*id));
        gone.sort();
        gone.dedup();
        for id in gone {
            self.subject(Some(id), false, &known);
        }
    }

    /// True when the customer is one of the system that hands over.
    fn is_from(&self) -> bool {
        let Some(from) = &self.rule.from else { return true };
        let mut members = self.scene.members.iter();
        members.any(|record| record.id.stream.system == *from && record.deleted_at.is_none())
    }

    fn holds(&mut self, activity: Option<&Fields>) -> bool {
        let when = &self.rule.when;
        let missing: Vec<bool> = when.missing().iter().map(|missing| self.is_missing(missing)).collect();
        when.holds(self.scene.golden, self.changed, &missing, activity)
    }

    fn is_missing(&mut self, missing: &Missing) -> bool {
        let Some(since) = missing_since(missing, self.scene.golden, self.scene.members) else {
            return false;
        };
        let due = since.plus(missing.after);
        if due <= self.scene.now {
            return true;
        }
        let look_at = &mut self.opened.look_at;
        *look_at = Some(look_at.map_or(due, |earlier| earlier.min(due)));
        false
    }

    /// One customer, or one activity of hers: `holds` says whether the condition is true of it.
    fn subject(&mut self, activity: Option<&RecordId>, holds: bool, known: &[&Passage]) {
        let now = self.scene.now;
        let mut mine: Vec<&Passage> = known
            .iter()
            .copied()
            .filter(|p| p.activity.as_ref() == activity)
            .collect();
        mine.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
        let is_moment = !self.rule.when.changed().is_empty();
        if is_moment {
            // A note that has its words can tell of no other change.
            let is_told = |passage: &&Passage| passage.note.as_ref().is_some_and(|note| note.text.is_some());
            let mut pending = mine.into_iter().filter(|passage| passage.state.is_pending());
            match pending.find(|passage| !is_told(passage)) {
                Some(passage) if holds => self.amend(passage),
                None if holds => self.begin(activity),
                _ => {}
            }
            return;
        }
        let mut live = mine.into_iter().filter(|passage| passage.lapsed_at.is_none());
        let first = live.next();
        // Two customers turned out to be one: the older passage counts for both.
        for other in live {
            self.opened.changed.push(lapsed(other, now));
        }
        match (holds, first) {
            (true, None) => self.begin(activity),
            (false, Some(passage)) => self.opened.changed.push(lapsed(passage, now)),
            _ => {}
        }
    }

    /// The changes by which the rule holds.
    fn moved(&self) -> impl Iterator<Item = (&FieldName, &(Option<Value>, Option<Value>))> {
        let changed = self.rule.when.changed().iter();
        changed.filter_map(|field| self.changed.get_key_value(field))
    }

    /// It changed again before the passage arrived: what it tells goes from the first value to the last.
    fn amend(&mut self, passage: &Passage) {
        let mut amended = passage.clone();
        for (name, (old, new)) in self.moved() {
            let first = amended.changed.get(name).map_or(old, |(first, _)| first).clone();
            amended.changed.insert(name.clone(), (first, new.clone()));
        }
        self.opened.changed.push(amended);
    }

    fn begin(&mut self, activity: Option<&RecordId>) {
        let note = self.rule.note.map(|kind| Note::new(kind, self.scene.now));
        self.opened.changed.push(Passage {
            was_there: self.scene.is_first_look,
            // Whoever was there before Nivel is no news to anybody.
            note: note.filter(|_| !self.scene.is_first_look),
            changed: self
                .moved()
                .map(|(name, change)| (name.clone(), change.clone()))
                .collect(),
            ..Passage::new(self.rule, self.scene.key, activity, self.scene.now)
        });
    }
}

fn lapsed(passage: &Passage, now: UnixMillis) -> Passage {
    let state = if passage.state.is_pending() {
        State::Cancelled
    } else {
        passage.state
    };
    Passage {
        state,
        lapsed_at: Some(now),
        ..passage.clone()
    }
}

/// Since when a customer has a value that her record in a system has not; `None` when that is not so.
fn missing_since(missing: &Missing, golden: &Fields, members: &[&Record]) -> Option<UnixMillis> {
    let field = missing.field.as_str();
    let wanted = golden.value(field)?;
    let live = || members.iter().filter(|record| record.deleted_at.is_none());
    let lacks = |record: &&&Record| record.id.stream.system == missing.system && record.fields.value(field).is_none();
    let lacks = live().find(lacks)?;
    let says = |record: &&&Record| record.fields.value(field) == Some(wanted) && record.asserts(field);
    let known = live().filter(says).map(|record| record.observed.of(field)).min()?;
    Some(known.max(lacks.observed.of(field)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::rule::{NoteKind, Within};
    use super::super::when::{When, Words};
    use super::*;
    use crate::model::{Kind, Observed, StreamId};

    const DAY: i64 = 86_400_000;

    fn rule(when: &str) -> Rule {
        let names = |all: &[&str]| all.iter().map(|name| FieldName::from(*name)).collect::<BTreeSet<_>>();
        let words = Words {
            fields: names(&["stage", "owner", "phone"]),
            activities: [("deal".into(), names(&["status"]))].into(),
            systems: [("sales".into(), names(&["phone"]))].into(),
        };
        Rule {
            name: "rule".into(),
            from: Some("crm".into()),
            kind: Kind::Person,
            to: StreamId::new("sales", "person"),
            when: When::read(when, &words).unwrap(),
            carry: Vec::new(),
            within: Within {
                time: Duration::from_secs(60),
                calendar: None,
            },
            create: false,
            note: None,
            opens: None,
            alert: None,
        }
    }

    /// Plays moments after each other: what a customer's golden record and deals say. What came of each.
    struct Play {
        rule: Rule,
        golden: Option<Fields>,
        records: Vec<Record>,
        passages: Vec<Passage>,
        now: i64,
    }

    impl Play {
        fn new(when: &str) -> Self {
            Self {
                rule: rule(when),
                golden: None,
                records: vec![Record::new(StreamId::new("crm", "person").record("1"), UnixMillis(1))],
                passages: Vec::new(),
                now: 0,
            }
        }

        fn look(&mut self, golden: &Fields, deals: &[(&str, &str)]) -> Opened {
            let deals: Vec<Activity> = deals.iter().map(|(id, status)| deal(id, status)).collect();
            let members: Vec<&Record> = self.records.iter().collect();
            let passages: Vec<&Passage> = self.passages.iter().collect();
            let activities: Vec<&Activity> = deals.iter().collect();
            let scene = Scene {
                key: CustomerKey {
                    id: uuid::Uuid::from_u128(1),
                    kind: Kind::Person,
                },
                before: self.golden.as_ref(),
                golden,
                members: &members,
                activities: &activities,
                passages: &passages,
                now: UnixMillis(self.now),
                is_first_look: false,
            };
            open(std::slice::from_ref(&self.rule), scene)
        }

        /// One commit. How many passages are pending, arrived and over after it, in all.
        #[track_caller]
        fn then(&mut self, stage: &str, deals: &[(&str, &str)], expected: [usize; 3]) {
            self.now += 1000;
            let golden = Fields::from([
                ("stage", Value::Text(stage.into())),
                ("owner", Value::Text(stage.into())),
            ]);
            let opened = self.look(&golden, deals);
            self.golden = Some(golden.clone());
            for passage in opened.changed {
                self.passages.retain(|known| known.id != passage.id);
                self.passages.push(passage);
            }
            let again = self.look(&golden, deals);
            assert_eq!(again.changed, Vec::new(), "looking twice changes nothing");
            let count = |is: fn(&Passage) -> bool| self.passages.iter().filter(|passage| is(passage)).count();
            let now = [
                count(|passage| passage.state.is_pending()),
                count(|passage| passage.delivered_at.is_some()),
                count(|passage| passage.state == State::Cancelled),
            ];
            assert_eq!(now, expected, "{stage} {deals:?}");
        }

        fn deliver(&mut self) {
            for passage in self.passages.iter_mut().filter(|passage| passage.state.is_pending()) {
                passage.state = State::Delivered;
                passage.delivered_at = Some(UnixMillis(self.now));
            }
        }
    }

    fn deal(id: &str, status: &str) -> Activity {
        Activity {
            id: StreamId::new("crm", "deal").record(id),
            holders: BTreeSet::new(),
            fields: Fields::from([("status", Value::Text(status.into()))]),
            at: UnixMillis(1),
            updated_at: None,
            seen_at: UnixMillis(1),
            deleted_at: (status == "gone").then_some(UnixMillis(1)),
        }
    }

    #[test]
    fn a_passage_begins_once_and_again_only_after_it_lapsed() {
        let mut play = Play::new("stage == 'hot'");
        play.then("cold", &[], [0, 0, 0]);
        play.then("hot", &[], [1, 0, 0]);
        play.then("hot", &[], [1, 0, 0]);
        play.then("cold", &[], [0, 0, 1]);
        play.then("hot", &[], [1, 0, 1]);
        play.deliver();
        play.then("hot", &[], [0, 1, 1]);
        play.then("cold", &[], [0, 1, 1]);
        play.then("hot", &[], [1, 1, 1]);
    }

    #[test]
    fn each_deal_is_a_passage_of_its_own() {
        let mut play = Play::new("deal.status == 'won'");
        play.then("x", &[("1", "open")], [0, 0, 0]);
        play.then("x", &[("1", "won"), ("2", "open")], [1, 0, 0]);
        play.then("x", &[("1", "won"), ("2", "won")], [2, 0, 0]);
        play.then("x", &[("1", "lost"), ("2", "won")], [1, 0, 1]);
        play.then("x", &[("1", "lost"), ("2", "gone")], [0, 0, 2]);
        play.then("x", &[("1", "won")], [1, 0, 2]);
    }

    #[test]
    fn a_change_is_true_for_a_moment() {
        let mut play = Play::new("changed(owner)");
        play.then("ann", &[], [0, 0, 0]);
        play.then("ann", &[], [0, 0, 0]);
        play.then("bob", &[], [1, 0, 0]);
        assert_eq!(
            play.passages[0].changed["owner"],
            (Value::text("ann"), Value::text("bob"))
        );
        play.then("bob", &[], [1, 0, 0]);
        play.deliver();
        play.then("ann", &[], [1, 1, 0]);
    }

    #[test]
    fn who_changes_again_before_the_passage_arrived_is_in_it_or_in_another_one() {
        let mut play = Play::new("changed(owner)");
        play.rule.note = Some(NoteKind::Timeline);
        play.then("ann", &[], [0, 0, 0]);
        play.then("bob", &[], [1, 0, 0]);
        play.then("cid", &[], [1, 0, 0]);
        assert_eq!(
            play.passages[0].changed["owner"],
            (Value::text("ann"), Value::text("cid"))
        );
        let note = play.passages[0].note.as_mut().unwrap();
        note.text = Some("ann → cid".into());
        play.then("dan", &[], [2, 0, 0]);
        assert_eq!(
            play.passages[1].changed["owner"],
            (Value::text("cid"), Value::text("dan"))
        );
    }

    #[test]
    fn a_customer_who_left_the_system_is_not_handed_over() {
        let mut play = Play::new("stage == 'hot'");
        play.then("hot", &[], [1, 0, 0]);
        play.records[0].deleted_at = Some(UnixMillis(5));
        play.then("hot", &[], [0, 0, 1]);
    }

    #[test]
    fn data_that_is_not_used_is_noticed_when_its_time_has_come() {
        let mut play = Play::new("missing('sales', 'phone', 30)");
        let golden = Fields::from([("phone", Value::Text("1".into()))]);
        play.records[0].fields = golden.clone();
        play.records[0].observed = Observed::all_at(UnixMillis(DAY));
        play.now = 5 * DAY;
        assert_eq!(play.look(&golden, &[]), Opened::default(), "she is not in sales");
        let mut there = Record::new(StreamId::new("sales", "person").record("1"), UnixMillis(2 * DAY));
        play.records.push(there.clone());
        let waits = play.look(&golden, &[]);
        assert_eq!((waits.changed.len(), waits.look_at), (0, Some(UnixMillis(32 * DAY))));
        play.now = 32 * DAY;
        assert_eq!(play.look(&golden, &[]).changed.len(), 1);
        there.fields = golden.clone();
        play.records[1] = there;
        assert_eq!(play.look(&golden, &[]), Opened::default(), "it is there");
    }
}
