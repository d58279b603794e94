//! Small tools in memory, a real engine and a real ledger: for what is about customers and not about the wire.

mod notes;
mod rules;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use compact_str::{CompactString, format_compact};
use nivel::cache::Memory;
use nivel::connector::{Connection, Connections};
use nivel::error::{Class, Code, Failure, Problem};
use nivel::ledger::Sqlite;
use nivel::merge::Rules;
use nivel::model::{
    Clock, Cursor, Done, FieldName, Fields, Incoming, Joined, Operation, Outcome, Page, StreamSpec, SweepMark,
    TestClock, UnixMillis, Value, WriteAction,
};
use nivel::sync::{Engine, Parts, Silent};

use self::notes::Notes;
use self::rules::{rules, spec};

const STREAM: &str = "person";
/// The stream of the objects whose ids begin with an `L`.
const LEADS: &str = "lead";
const START: UnixMillis = UnixMillis(1_790_000_000_000);

/// A tool that lists everything it has and does what it is told.
pub(crate) struct Tool {
    streams: BTreeMap<CompactString, StreamSpec>,
    objects: Mutex<BTreeMap<CompactString, Fields>>,
    written: Mutex<Vec<Operation>>,
    /// Fields that it takes and does not keep.
    drops: Mutex<Vec<FieldName>>,
    /// The next look-up by id finds nothing.
    hides: Mutex<bool>,
    pub(crate) play: Mutex<Play>,
    pub(crate) notes: Notes,
    clock: Arc<TestClock>,
}

/// What a tool does besides listing everything.
#[derive(Default)]
pub(crate) struct Play {
    /// It lists in pages of so many, as full sweeps; 0: all at once, as changes.
    pub(crate) page: usize,
    /// Reading fails once so many pages were read.
    pub(crate) breaks_after: Option<usize>,
    /// Objects that its lists do not show, although they are there.
    pub(crate) hidden: BTreeSet<CompactString>,
    /// Objects that live on in another one, for whoever asks by id.
    pub(crate) merged: BTreeMap<CompactString, CompactString>,
    /// What objects say of others that they are one with.
    pub(crate) joined: BTreeMap<CompactString, Joined>,
    /// So many changes are refused as if their object were gone.
    pub(crate) says_gone: usize,
    /// It takes nothing: no objects, no changes, no notes.
    pub(crate) refuses: bool,
    /// Objects that it lists in a form that cannot be understood.
    pub(crate) unreadable: BTreeSet<CompactString>,
    /// The answer to the next write gets lost; with true, so does the look after it.
    pub(crate) loses_answer: Option<bool>,
    /// What its users do, one at each question it is asked.
    pub(crate) script: VecDeque<Deed>,
    sweeps: i64,
}

/// What a user of a tool does to an object of it.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Delete(CompactString),
    Return(CompactString, Fields),
    Nothing,
}

impl Tool {
    /// The tool's users make it hold exactly this.
    pub(crate) fn set_all(&self, people: Vec<(CompactString, Fields)>) {
        let mut objects = self.objects.lock().unwrap();
        objects.extend(people);
    }

    /// A user of the tool changes one field.
    pub(crate) fn change(&self, remote: &str, field: &str, text: &str) {
        let mut objects = self.objects.lock().unwrap();
        objects
            .get_mut(remote)
            .unwrap()
            .0
            .insert(field.into(), Value::text(text));
    }

    /// A user of the tool empties one field.
    pub(crate) fn clear(&self, remote: &str, field: &str) {
        let mut objects = self.objects.lock().unwrap();
        objects.get_mut(remote).unwrap().0.insert(field.into(), None);
    }

    /// The next look-up by id finds nothing, although everything is there.
    pub(crate) fn hide_once(&self) {
        *self.hides.lock().unwrap() = true;
    }

    /// From now on the tool takes a field and does not keep it.
    pub(crate) fn drops(&self, field: &str) {
        self.drops.lock().unwrap().push(field.into());
    }

    /// A user of the tool deletes an object.
    pub(crate) fn remove(&self, remote: &str) -> Fields {
        self.objects.lock().unwrap().remove(remote).unwrap()
    }

    /// From now on it is read in full sweeps, in pages of so many.
    pub(crate) fn sweeps_by(&self, page: usize) {
        self.play.lock().unwrap().page = page;
    }

    fn is_gone(&self, objects: &BTreeMap<CompactString, Fields>, remote: &CompactString) -> bool {
        let left = &mut self.play.lock().unwrap().says_gone;
        let is_lie = *left > 0;
        *left = left.saturating_sub(1);
        is_lie || !objects.contains_key(remote)
    }

    fn act(&self) {
        match self.play.lock().unwrap().script.pop_front() {
            Some(Deed::Delete(remote)) => drop(self.objects.lock().unwrap().remove(&remote)),
            Some(Deed::Return(remote, fields)) => self.set_all(vec![(remote, fields)]),
            Some(Deed::Nothing) | None => {}
        }
    }

    fn is_of(stream: &str, remote: &str) -> bool {
        (stream == LEADS) == remote.starts_with('L')
    }

    fn page_of_sweep(&self, cursor: Option<&Cursor>) -> Result<Page, Failure> {
        let mut play = self.play.lock().unwrap();
        if play.breaks_after == Some(0) {
            play.breaks_after = None;
            let problem = Problem::new(Code::NotAllowed, "broken off");
            return Err(Failure::new(Class::Forbidden, problem));
        }
        play.breaks_after = play.breaks_after.map(|left| left - 1);
        let under_way = cursor.and_then(|cursor| cursor.0.strip_prefix("sweep ")?.split_once(' '));
        let (number, after) = match under_way {
            Some((number, after)) => (number.parse().unwrap(), after),
            None => {
                play.sweeps += 1;
                (play.sweeps, "")
            }
        };
        let beyond = self
            .shown(&play)
            .into_iter()
            .filter(|object| object.remote.as_str() > after);
        let records: Vec<Incoming> = beyond.take(play.page).collect();
        let is_over = records.len() < play.page;
        let next = match records.last() {
            Some(last) if !is_over => format!("sweep {number} {}", last.remote),
            _ => "end".to_owned(),
        };
        Ok(Page {
            records,
            next: Cursor(next),
            is_caught_up: is_over,
            asked_at: self.clock.now(),
            sweep: Some(SweepMark {
                began: UnixMillis(number),
                is_over,
                is_flawed: false,
            }),
        })
    }

    /// What the tool says in a field.
    pub(crate) fn says(&self, remote: &str, field: &str) -> Option<String> {
        let objects = self.objects.lock().unwrap();
        objects.get(remote)?.text(field).map(str::to_owned)
    }

    /// The ids of its objects.
    pub(crate) fn ids(&self) -> Vec<CompactString> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn written(&self) -> Vec<Operation> {
        self.written.lock().unwrap().clone()
    }

    /// Objects that Nivel made.
    pub(crate) fn made(&self) -> usize {
        self.written()
            .iter()
            .filter(|write| write.action == WriteAction::Create)
            .count()
    }

    /// Objects that Nivel removed.
    pub(crate) fn removed(&self) -> usize {
        let written = self.written();
        let removals = written
            .iter()
            .filter(|write| matches!(write.action, WriteAction::Delete(_)));
        removals.count()
    }

    /// Changes that Nivel made.
    pub(crate) fn updated(&self) -> usize {
        self.written().len() - self.made() - self.removed()
    }

    fn refusal(&self) -> Result<(), Failure> {
        if !self.play.lock().unwrap().refuses {
            return Ok(());
        }
        let problem = Problem::new(Code::WriteRefused, "not like this");
        Err(Failure::new(Class::Invalid, problem))
    }

    fn carry_out(&self, operation: &Operation) -> Outcome {
        self.refusal()?;
        let mut objects = self.objects.lock().unwrap();
        let remote = match &operation.action {
            WriteAction::Create => format_compact!("n{}", objects.len()),
            WriteAction::Update(remote) | WriteAction::Delete(remote) => remote.clone(),
        };
        if operation.action != WriteAction::Create && self.is_gone(&objects, &remote) {
            let problem = Problem::new(Code::WriteTargetGone, "404");
            return Err(Failure::new(Class::Gone, problem));
        }
        if operation.action == WriteAction::Delete(remote.clone()) {
            objects.remove(&remote);
        } else {
            let fields = &mut objects.entry(remote.clone()).or_default().0;
            let drops = self.drops.lock().unwrap();
            let kept = operation.fields.iter().filter(|(name, _)| !drops.contains(name));
            fields.extend(kept.map(|(name, value)| (name.clone(), value.clone())));
        }
        self.written.lock().unwrap().push(operation.clone());
        if let Some(is_deaf) = self.play.lock().unwrap().loses_answer.take() {
            *self.hides.lock().unwrap() = is_deaf;
            let failure = Failure::new(
                Class::Transient,
                Problem::new(Code::Unreachable, "the answer broke off"),
            );
            return Err(Failure {
                ambiguous: true,
                ..failure
            });
        }
        Ok(Done {
            remote,
            updated_at: None,
            version: None,
            created: operation.action == WriteAction::Create,
            unkept: BTreeMap::new(),
        })
    }

    fn shown(&self, play: &Play) -> Vec<Incoming> {
        let objects = self.objects.lock().unwrap();
        let shown = objects.iter().filter(|(remote, _)| !play.hidden.contains(*remote));
        shown
            .map(|(remote, fields)| Self::listed(play, remote, fields))
            .collect()
    }

    fn listed(play: &Play, remote: &CompactString, fields: &Fields) -> Incoming {
        Incoming {
            remote: remote.clone(),
            fields: fields.clone(),
            updated_at: None,
            version: None,
            deleted: false,
            key: None,
            problem: play
                .unreadable
                .contains(remote)
                .then(|| Problem::new(Code::RecordUnmappable, "no name")),
            joined: play.joined.get(remote).cloned().map(Box::new),
        }
    }
}

#[async_trait]
impl Connection for Tool {
    fn streams(&self) -> &BTreeMap<CompactString, StreamSpec> {
        &self.streams
    }

    async fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn pull(&self, stream: &str, cursor: Option<&Cursor>) -> Result<Page, Failure> {
        self.act();
        if self.play.lock().unwrap().page > 0 {
            return self.page_of_sweep(cursor);
        }
        let mut records = self.shown(&self.play.lock().unwrap());
        records.retain(|record| Self::is_of(stream, &record.remote));
        Ok(Page {
            records,
            next: Cursor("end".to_owned()),
            is_caught_up: true,
            asked_at: self.clock.now(),
            sweep: None,
        })
    }

    async fn get(&self, stream: &str, remotes: &[CompactString]) -> Result<Vec<Incoming>, Failure> {
        self.act();
        if std::mem::take(&mut *self.hides.lock().unwrap()) {
            return Ok(Vec::new());
        }
        let objects = self.objects.lock().unwrap();
        let play = self.play.lock().unwrap();
        let found = remotes.iter().filter_map(|remote| {
            let remote = play.merged.get(remote).unwrap_or(remote);
            Self::is_of(stream, remote).then_some(())?;
            Some(Self::listed(&play, remote, objects.get(remote)?))
        });
        Ok(found.collect())
    }

    async fn find(&self, stream: &str, by: &FieldName, value: &Value) -> Result<Option<Incoming>, Failure> {
        let objects = self.objects.lock().unwrap();
        let mut objects = objects.iter().filter(|(remote, _)| Self::is_of(stream, remote));
        let found = objects.find(|(_, fields)| fields.value(by.as_str()) == Some(value));
        Ok(found.map(|(remote, fields)| Self::listed(&Play::default(), remote, fields)))
    }

    async fn write(&self, _stream: &str, operations: &[Operation]) -> Vec<Outcome> {
        operations.iter().map(|operation| self.carry_out(operation)).collect()
    }

    async fn write_note(
        &self,
        _stream: &str,
        remote: &str,
        (_marker, text): (&str, &str),
    ) -> Result<Option<CompactString>, Failure> {
        self.refusal()?;
        Ok(Some(self.notes.take(remote, text).await))
    }

    async fn find_note(&self, _stream: &str, remote: &str, marker: &str) -> Result<Option<CompactString>, Failure> {
        Ok(self.notes.find(remote, marker))
    }
}

/// People by number, with a name, an e-mail and a phone.
pub(crate) fn people(numbers: Range<usize>) -> Vec<(CompactString, Fields)> {
    let person = |number: usize| {
        let text = |text: String| Value::Text(text.into());
        let fields = Fields::from([
            ("email", text(format!("p{number}@example.com"))),
            ("full_name", text(format!("Anna Berg{number}"))),
            ("phone", text(format!("+3584012345{number:03}"))),
        ]);
        (format_compact!("{number}"), fields)
    };
    numbers.map(person).collect()
}

/// An engine over such tools; the first one is the most trusted.
pub(crate) struct Scene {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<TestClock>,
    tools: BTreeMap<CompactString, Arc<Tool>>,
    dir: Arc<tempfile::TempDir>,
}

impl Scene {
    pub(crate) async fn new(names: &[&str]) -> Self {
        Self::able_to_get(names, true).await
    }

    /// Tools that can, or cannot, be asked for objects by id.
    pub(crate) async fn able_to_get(names: &[&str], can_get: bool) -> Self {
        let spec = StreamSpec { can_get, ..spec() };
        Self::of(names, &[(STREAM, spec)])
    }

    /// Tools that have leads beside their people: only a user makes them.
    pub(crate) fn with_leads(names: &[&str]) -> Self {
        let leads = StreamSpec {
            can_create: false,
            ..spec()
        };
        Self::of(names, &[(STREAM, spec()), (LEADS, leads)])
    }

    fn of(names: &[&str], streams: &[(&str, StreamSpec)]) -> Self {
        let streams: BTreeMap<CompactString, StreamSpec> = streams
            .iter()
            .map(|(name, spec)| ((*name).into(), spec.clone()))
            .collect();
        let clock = Arc::new(TestClock::at(START));
        let tool = |name: &&str| {
            let tool = Tool {
                streams: streams.clone(),
                objects: Mutex::default(),
                written: Mutex::default(),
                drops: Mutex::default(),
                hides: Mutex::default(),
                play: Mutex::default(),
                notes: Notes::default(),
                clock: Arc::clone(&clock),
            };
            (CompactString::from(*name), Arc::new(tool))
        };
        let tools: BTreeMap<_, _> = names.iter().map(tool).collect();
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let rules = rules(names, &streams);
        Self {
            engine: engine(&tools, rules, &clock, dir.path()),
            clock,
            tools,
            dir,
        }
    }

    /// The same tools and ledger under other rules, as after a restart.
    pub(crate) async fn with_rules(self, change: impl FnOnce(&mut Rules)) -> Self {
        let mut rules = self.engine.rules().clone();
        change(&mut rules);
        let Self {
            engine: old,
            clock,
            tools,
            dir,
        } = self;
        drop(old);
        Self {
            engine: engine(&tools, rules, &clock, dir.path()),
            clock,
            tools,
            dir,
        }
    }

    pub(crate) fn tool(&self, name: &str) -> &Tool {
        &self.tools[name]
    }

    pub(crate) fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn engine(
    tools: &BTreeMap<CompactString, Arc<Tool>>,
    rules: Rules,
    clock: &Arc<TestClock>,
    dir: &std::path::Path,
) -> Engine {
    let connections: Connections = tools
        .iter()
        .map(|(name, tool)| (name.clone(), Arc::clone(tool) as Arc<dyn Connection>))
        .collect();
    Engine::new(Parts {
        ledger: Arc::new(Sqlite::open(&dir.join("nivel.db"), clock.as_ref()).unwrap()),
        cache: Arc::new(Memory::default()),
        connections,
        rules,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        progress: Arc::new(Silent),
    })
}
