//! Where a customer stands, seen from one rule: every reason to stop can come about, and nothing but what was read is proof.

use std::collections::BTreeSet;
use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::error::{Code, Problem};
use crate::handoff::{NoteKind, When, Within, Words};
use crate::ledger::Decision;
use crate::merge::{Brake, Role, StreamRules, SystemRules};
use crate::model::{FieldSpec, Kind, Ours, RecordId, StreamId, StreamSpec, Wanted};

const NOW: UnixMillis = UnixMillis(9_000);

fn key() -> CustomerKey {
    CustomerKey {
        id: Uuid::from_u128(1),
        kind: Kind::Person,
    }
}

fn there() -> StreamId {
    StreamId::new("sales", "person")
}

/// What a rule sees.
struct Scene {
    view: View,
    rules: Rules,
    rule: Rule,
    golden: Fields,
    members: Vec<Record>,
    desires: Vec<Desire>,
    writes: Vec<Write>,
    note: Option<Note>,
}

fn system(role: Role) -> SystemRules {
    let field = |name: &str| (FieldName::from(name), FieldSpec::default());
    let stream = StreamRules {
        spec: StreamSpec {
            fields: ["email", "phone", "consent.email.marketing"].map(field).into(),
            match_by: vec!["email".into()],
            can_create: true,
            can_update: true,
            ..StreamSpec::default()
        },
        create: Create::Handoff,
        write: true,
        ..StreamRules::default()
    };
    SystemRules {
        role,
        brake: Brake::default(),
        streams: [("person".into(), stream)].into(),
    }
}

impl Scene {
    /// Ana, known from marketing, with an address and a phone, is handed over to sales, where she is not.
    fn new() -> Self {
        let words = Words {
            fields: ["email".into()].into(),
            ..Words::default()
        };
        let golden = Fields::from([
            ("email", Value::Text("ana@example.com".into())),
            ("phone", Value::Text("+358401234567".into())),
        ]);
        let mut known = Record::new(StreamId::new("hub", "person").record("1"), UnixMillis(1));
        known.fields = golden.clone();
        Self {
            view: View::default(),
            rules: Rules {
                systems: [
                    ("hub".into(), system(Role::Marketing)),
                    ("sales".into(), system(Role::Sales)),
                ]
                .into(),
                ..Rules::default()
            },
            rule: Rule {
                name: "lead".into(),
                from: Some("hub".into()),
                kind: Kind::Person,
                to: there(),
                when: When::read("email", &words).unwrap(),
                carry: vec!["email".into(), "phone".into()],
                within: Within {
                    time: Duration::from_secs(60),
                    calendar: None,
                },
                create: true,
                note: None,
                opens: None,
                alert: None,
            },
            golden,
            members: vec![known],
            desires: Vec::new(),
            writes: Vec::new(),
            note: None,
        }
    }

    /// Ana, who has an object in sales with these words of that tool.
    fn with(says: &[(&'static str, &str)]) -> Self {
        let mut scene = Self::new();
        let mut record = Record::new(there().record("s1"), UnixMillis(1));
        for (name, value) in says {
            record.fields.set(*name, Value::Text((*value).into()));
        }
        scene.members.push(record);
        scene
    }

    /// Ana, whose object in sales Nivel made with everything.
    fn made() -> Self {
        let mut scene = Self::with(&[]);
        let record = scene.there();
        (record.is_made, record.is_unread) = (true, true);
        for name in ["email", "phone"] {
            let value = Scene::new().golden.value(name).cloned();
            let wanted = Wanted {
                value,
                placeholder: false,
            };
            record.take_ours(&name.into(), &wanted, UnixMillis(5));
        }
        scene
    }

    fn there(&mut self) -> &mut Record {
        self.members.last_mut().unwrap()
    }

    fn to(&mut self) -> &mut StreamRules {
        let system = self.rules.systems.get_mut(&self.rule.to.system).unwrap();
        system.streams.get_mut("person").unwrap()
    }

    fn row(mut self, state: WriteState) -> Self {
        let slot = match self.members.iter().find(|record| record.id.stream == there()) {
            Some(record) => Slot::Object(record.id.remote.clone()),
            None => Slot::New(key()),
        };
        let wanted = Wanted {
            value: Value::text("x"),
            placeholder: false,
        };
        self.writes.push(Write {
            target: Target { stream: there(), slot },
            customer: key(),
            fields: [("phone".into(), wanted)].into(),
            generation: 1,
            due_at: NOW,
            attempts: 1,
            problem: Some(Problem::new(Code::ToolError, "no")),
            state,
            operation: "op".into(),
            is_uncertain: false,
            run: None,
            removes_at: None,
        });
        self
    }

    fn noted(mut self, state: NoteState) -> Self {
        self.note = Some(Note {
            state,
            problem: Some("why".to_owned()),
            ..Note::new(NoteKind::Timeline, NOW)
        });
        self
    }

    fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn standing(&self) -> Standing {
        let members: Vec<&Record> = self.members.iter().collect();
        let outbox: Outbox<'_> = self.writes.iter().map(|write| (write.target.clone(), write)).collect();
        Sight {
            view: &self.view,
            rules: &self.rules,
            rule: &self.rule,
            key: key(),
            golden: &self.golden,
            members: &members,
            desires: &self.desires,
            outbox: &outbox,
            now: NOW,
            note: self.note.as_ref(),
        }
        .standing()
    }
}

const PHONE: (&str, &str) = ("phone", "+358401234567");
const EMAIL: (&str, &str) = ("email", "ana@example.com");

/// Nobody but support may know phones.
fn share(scene: &mut Scene) {
    let support = BTreeSet::from([Role::Support]);
    scene.rules.share.insert("phone".into(), support);
}

/// Every way to be stuck, with its reason.
fn stuck() -> Vec<(Reason, Scene)> {
    let only_email = || Scene::with(&[EMAIL]);
    let deny = |scene: &mut Scene| {
        scene
            .golden
            .set("consent.email.marketing", Value::Text("denied".into()));
        scene.rules.systems.get_mut("sales").unwrap().role = Role::Marketing;
    };
    let freeze = |scene: &mut Scene| {
        scene.desires.push(Desire {
            stream: there(),
            object: Some(there().record("s1")),
            fields: BTreeMap::new(),
            frozen: vec!["phone".into()],
            is_removal: false,
        });
    };
    let only_note = |scene: &mut Scene| (scene.rule.carry, scene.rule.create) = (Vec::new(), false);
    let opens = |scene: &mut Scene| scene.rule.opens = Some(StreamId::new("sales", "deal"));
    vec![
        (Reason::DeadWrite, Scene::new().row(WriteState::Dead)),
        (Reason::DeadWrite, only_email().row(WriteState::Dead)),
        (Reason::Held, Scene::new().row(WriteState::Held)),
        (
            Reason::TooLarge,
            Scene::new().but(|scene| scene.rules.size_max = Some(0)),
        ),
        (
            Reason::TooLarge,
            only_email().but(|scene| scene.rules.size_max = Some(1)),
        ),
        (Reason::NotShared, only_email().but(share)),
        (
            Reason::NoCreate,
            Scene::new().but(|scene| scene.to().create = Create::Never),
        ),
        (Reason::NoCreate, Scene::new().but(|scene| scene.rule.create = false)),
        (Reason::ReadOnly, Scene::new().but(|scene| scene.to().write = false)),
        (Reason::ReadOnly, only_email().but(|scene| scene.to().write = false)),
        (
            Reason::NoIdentifier,
            Scene::new().but(|scene| drop(scene.golden.0.remove("email"))),
        ),
        (Reason::OptedOut, Scene::new().but(deny)),
        (Reason::Frozen, only_email().but(freeze)),
        (Reason::Kept, Scene::with(&[EMAIL, ("phone", "+358409999999")])),
        (
            Reason::Doubtful,
            Scene::new().but(|scene| drop(scene.view.doubtful.insert(key(), [there()].into()))),
        ),
        (
            Reason::Deleted,
            Scene::with(&[]).but(|scene| scene.there().deleted_at = Some(NOW)),
        ),
        (
            Reason::CustomerGone,
            Scene::new().but(|scene| scene.members[0].deleted_at = Some(NOW)),
        ),
        (
            Reason::Unusable,
            only_email().but(|scene| scene.there().problem = Some(Problem::new(Code::RecordUnmappable, "no"))),
        ),
        (Reason::Note, Scene::with(&[]).but(only_note).noted(NoteState::GivenUp)),
        (
            Reason::Note,
            Scene::with(&[EMAIL, PHONE]).but(opens).noted(NoteState::GivenUp),
        ),
    ]
}

#[test]
fn every_reason_to_stop_can_come_about() {
    let mut met = BTreeSet::new();
    for (at, (reason, scene)) in stuck().into_iter().enumerate() {
        let found = scene.standing();
        assert!(
            matches!(&found, Standing::Stuck(why, detail) if *why == reason && !detail.is_empty()),
            "case {at}: {reason:?} expected, found {found:?}"
        );
        met.insert(reason);
    }
    assert_eq!(met.into_iter().collect::<Vec<_>>().len(), Reason::ALL.len());
}

#[track_caller]
fn check(scene: &Scene, expected: &str) {
    let found = match scene.standing() {
        Standing::Proven(proof) => format!("proven by {} with {}", proof.record, proof.fields.len()),
        Standing::Unread(id) => format!("{id} is unread"),
        Standing::Moving => "moving".to_owned(),
        Standing::Stuck(reason, _) => reason.as_str().to_owned(),
    };
    assert_eq!(found, expected);
}

#[test]
fn only_what_was_read_is_proof() {
    check(&Scene::with(&[EMAIL, PHONE]), "proven by sales/person/s1 with 2");
    check(&Scene::made(), "sales/person/s1 is unread");
    let read = |scene: &mut Scene| {
        scene.view.read_back.insert(there().record("s1"), UnixMillis(7));
    };
    check(&Scene::made().but(read), "proven by sales/person/s1 with 2");
    // What was read back does not say the phone: nobody takes her word for it.
    let dropped = |scene: &mut Scene| drop(scene.there().fields.0.insert("phone".into(), None));
    check(&Scene::made().but(read).but(dropped), "kept");
    // One field that Nivel wrote is enough to want a look.
    let ours = |scene: &mut Scene| {
        let ours = Ours {
            value: Value::text(PHONE.1),
            placeholder: false,
            own: None,
        };
        scene.there().ours.insert("phone".into(), ours);
    };
    check(&Scene::with(&[EMAIL, PHONE]).but(ours), "sales/person/s1 is unread");
    // What she has not need not be carried.
    let no_phone = |scene: &mut Scene| drop(scene.golden.0.remove("phone"));
    check(&Scene::with(&[EMAIL]).but(no_phone), "proven by sales/person/s1 with 1");
}

#[test]
fn on_its_way() {
    check(&Scene::new().row(WriteState::Due), "moving");
    check(&Scene::new().row(WriteState::Leased), "moving");
    check(&Scene::with(&[EMAIL]).row(WriteState::Due), "moving");
    let opens = |scene: &mut Scene| scene.rule.opens = Some(StreamId::new("sales", "deal"));
    for (state, expected) in [
        (NoteState::Due, "moving"),
        (NoteState::Sent, "moving"),
        (NoteState::Written, "proven by sales/person/s1 with 2"),
    ] {
        check(&Scene::with(&[EMAIL, PHONE]).but(opens).noted(state), expected);
    }
    // Somebody has vouched for all of her records: they are not too many.
    let many = |scene: &mut Scene| {
        scene.rules.size_max = Some(1);
        let id = |record: &Record| -> RecordId { record.id.clone() };
        let (left, right) = (id(&scene.members[0]), id(&scene.members[1]));
        scene.view.decisions.push(Decision {
            left,
            right,
            same: true,
        });
    };
    check(&Scene::with(&[EMAIL, ("phone", "+358409999999")]).but(many), "kept");
}
