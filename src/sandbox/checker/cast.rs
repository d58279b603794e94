//! Who is who: every object of every tool with its story, and the persona it belongs to.

use std::collections::{BTreeMap, BTreeSet};

use super::super::history::{By, Event, Op};
use super::super::people::{People, Truth};
use super::super::{Person, Sandbox, Tool, ToolName};
use super::compare::Field;

/// One write in the story of an object.
pub(super) struct Step {
    pub(super) seq: u64,
    pub(super) at_ms: i64,
    pub(super) op: Op,
    pub(super) by: By,
    pub(super) changed: usize,
    before: Option<Person>,
    after: Option<Person>,
}

impl Step {
    pub(super) fn before(&self, field: Field) -> Option<String> {
        self.before.as_ref().and_then(|person| field.of(person))
    }

    pub(super) fn after(&self, field: Field) -> Option<String> {
        self.after.as_ref().and_then(|person| field.of(person))
    }
}

/// A value that a person or the seed gave a field.
pub(super) struct Claim {
    pub(super) at_ms: i64,
    pub(super) by: By,
    pub(super) value: Option<String>,
}

/// One object and its story.
pub(super) struct Track {
    pub(super) tool: ToolName,
    pub(super) id: String,
    pub(super) persona: Option<usize>,
    pub(super) made_by: By,
    /// Positions in the tool's history.
    pub(super) born: u64,
    pub(super) died: Option<u64>,
    pub(super) steps: Vec<Step>,
    /// The object as it is now, when it is live.
    pub(super) last: Option<Person>,
}

impl Track {
    pub(super) fn is_live(&self) -> bool {
        self.died.is_none()
    }

    pub(super) fn edit_times(&self) -> impl Iterator<Item = i64> {
        self.steps
            .iter()
            .filter(|step| step.by == By::User)
            .map(|step| step.at_ms)
    }

    /// What people gave this field here, oldest first.
    pub(super) fn claims(&self, field: Field) -> impl Iterator<Item = Claim> {
        let given = self
            .steps
            .iter()
            .filter(|step| step.by != By::Api && step.op != Op::Delete);
        given
            .filter(move |step| step.op == Op::Create || step.before(field) != step.after(field))
            .map(move |step| Claim {
                at_ms: step.at_ms,
                by: step.by,
                value: step.after(field),
            })
    }

    /// The last thing a person (or the seed) said about this field here.
    pub(super) fn asserted(&self, field: Field) -> Option<Claim> {
        self.claims(field).last()
    }
}

/// All objects, and which of them are one persona.
pub(super) struct Cast {
    pub(super) tracks: Vec<Track>,
    by_persona: BTreeMap<usize, Vec<usize>>,
}

impl Cast {
    pub(super) fn gather(sandbox: &Sandbox, people: &People, truth: &Truth) -> Self {
        let mut tracks: Vec<Track> = ToolName::EVERY
            .iter()
            .flat_map(|name| tracks(sandbox.tool(*name)))
            .collect();
        for track in &mut tracks {
            track.persona = truth.persona(track.tool, &track.id);
        }
        recognise(&mut tracks, people);
        let mut by_persona: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, track) in tracks.iter().enumerate() {
            if let Some(persona) = track.persona {
                by_persona.entry(persona).or_default().push(index);
            }
        }
        Self { tracks, by_persona }
    }

    pub(super) fn personas(&self) -> Vec<usize> {
        self.by_persona.keys().copied().collect()
    }

    pub(super) fn of(&self, persona: usize) -> impl Iterator<Item = &Track> {
        self.by_persona
            .get(&persona)
            .into_iter()
            .flatten()
            .filter_map(|index| self.tracks.get(*index))
    }

    pub(super) fn is_deleted_by_user(&self, persona: usize) -> bool {
        self.of(persona).any(|track| {
            track
                .steps
                .iter()
                .any(|step| step.by == By::User && step.op == Op::Delete)
        })
    }
}

fn tracks(tool: &Tool) -> Vec<Track> {
    let mut found: BTreeMap<String, Track> = BTreeMap::new();
    for event in tool.history() {
        let step = step(tool, &event);
        let track = found.entry(event.id.clone()).or_insert_with(|| Track {
            tool: tool.name,
            id: event.id.clone(),
            persona: None,
            made_by: event.by,
            born: event.seq,
            died: None,
            steps: Vec::new(),
            last: None,
        });
        if event.op == Op::Delete {
            track.died = Some(event.seq);
        }
        track.steps.push(step);
    }
    for person in tool.people() {
        if let Some(track) = found.get_mut(&person.id) {
            track.last = Some(person);
        }
    }
    found.into_values().collect()
}

fn step(tool: &Tool, event: &Event) -> Step {
    let view = |body: &Option<std::sync::Arc<serde_json::Value>>| {
        body.as_ref().map(|body| tool.view(&event.id, event.at_ms, body))
    };
    Step {
        seq: event.seq,
        at_ms: event.at_ms,
        op: event.op,
        by: event.by,
        changed: event.changed.len(),
        before: view(&event.before),
        after: view(&event.after),
    }
}

/// Gives objects that were not seeded their persona: by any address they ever had, else by phone and name.
/// Objects that a user entered and nobody knows are new personas; then the daemon's copies of them are found.
fn recognise(tracks: &mut [Track], people: &People) {
    let mut book = Book::default();
    for persona in &people.personas {
        book.emails.entry(persona.email.clone()).or_default().insert(persona.id);
        let phone = Field::Phone.of(&blank(None, Some(persona.phone.clone())));
        let name = Field::FullName.of(&blank(Some(format!("{} {}", persona.given, persona.family)), None));
        book.name(phone, name, persona.id);
    }
    for track in tracks.iter() {
        if let Some(persona) = track.persona {
            book.learn(track, persona);
        }
    }
    let mut next = people.personas.len();
    for maker in [By::User, By::Api] {
        for track in tracks
            .iter_mut()
            .filter(|track| track.persona.is_none() && track.made_by == maker)
        {
            let known = book.find(track);
            track.persona = known.or_else(|| (maker == By::User).then_some(next));
            next += usize::from(known.is_none() && maker == By::User);
            if let Some(persona) = track.persona {
                book.learn(track, persona);
            }
        }
    }
}

fn blank(full_name: Option<String>, phone: Option<String>) -> Person {
    Person {
        id: String::new(),
        email: None,
        emails: Vec::new(),
        given: None,
        family: None,
        full_name,
        phone,
        company: None,
        external_id: None,
        updated_ms: 0,
        deleted: false,
        raw: serde_json::Value::Null,
    }
}

#[derive(Default)]
struct Book {
    emails: BTreeMap<String, BTreeSet<usize>>,
    names: BTreeMap<(String, String), BTreeSet<usize>>,
}

impl Book {
    fn name(&mut self, phone: Option<String>, name: Option<String>, persona: usize) {
        if let (Some(phone), Some(name)) = (phone, name) {
            self.names.entry((phone, name)).or_default().insert(persona);
        }
    }

    fn learn(&mut self, track: &Track, persona: usize) {
        for person in track.steps.iter().filter_map(|step| step.after.as_ref()) {
            for email in &person.emails {
                self.emails.entry(email.clone()).or_default().insert(persona);
            }
            self.name(Field::Phone.of(person), Field::FullName.of(person), persona);
        }
    }

    /// The one persona that fits; a shared mailbox fits many and decides nothing, unless the name does.
    fn find(&self, track: &Track) -> Option<usize> {
        let first = track.steps.first()?.after.as_ref()?;
        let by_email: BTreeSet<usize> = first
            .emails
            .iter()
            .filter_map(|email| self.emails.get(email))
            .flatten()
            .copied()
            .collect();
        let key = Field::Phone.of(first).zip(Field::FullName.of(first));
        let by_name: BTreeSet<usize> = key
            .and_then(|key| self.names.get(&key))
            .into_iter()
            .flatten()
            .copied()
            .collect();
        let both: BTreeSet<usize> = by_email.intersection(&by_name).copied().collect();
        [both, by_email, by_name]
            .into_iter()
            .find(|set| !set.is_empty())
            .and_then(|set| set.first().copied())
    }
}
