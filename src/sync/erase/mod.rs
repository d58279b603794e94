//! Erasing a person: in every tool, in the ledger, and for good.
//!
//! From the first commit on she is known by marks alone ([`marks`]): whatever page, webhook or file brings her is dropped
//! before it is folded. Each object of hers is a step ([`state`]), tried until its tool has confirmed; what Nivel cannot do
//! stays a step for a person. When nothing is left for Nivel to do in the tools the ledger is purged and written anew. All
//! of it is durable, so a process that dies goes on where it was.

mod again;
mod brake;
mod certificate;
mod late;
mod marks;
mod state;
mod traces;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::RwLock;

pub use again::again;
pub use certificate::{answer, certified, markdown};
pub use marks::{Marker, hex};
pub use state::{Event, Sight, after, is_done, may_purge};

use self::traces::{cannot_be_asked, sight, values_of, values_of_hers};
use super::engine::Engine;
use super::fold::{Object, identifiers};
use super::whereabouts::get;
use crate::cache::Learned;
use crate::connector::Connection;
use crate::error::{Code, Failure, Problem};
use crate::ledger::{Ask, Erasure, Error as LedgerError, Mark, Step, StepState, View, WriteState};
use crate::merge::KEY_FIELD;
use crate::model::{Activity, CustomerKey, FieldName, Holder, Incoming, Kind, RecordId, StreamId, UnixMillis, Value};

/// Under this name the secret of the marks stands in the ledger's settings.
const SECRET: &str = "suppression_secret";

/// Who is not taken in, as an engine remembers it.
#[derive(Default)]
pub(super) struct Suppression(RwLock<Option<Arc<Known>>>);

struct Known {
    marker: Marker,
    marks: BTreeSet<Mark>,
}

/// What erasing a person would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasePlan {
    /// Who.
    pub customer: CustomerKey,
    /// Each object, and what is in the way of erasing it; nothing: Nivel does it.
    pub steps: Vec<(RecordId, Option<Problem>)>,
    /// It waits for `nivel approve`: more is asked for at once than the brake lets through.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_held: bool,
    /// The erasure that was begun; `None` when this is only the plan.
    pub erasure: Option<Erasure>,
}

impl Engine {
    /// What erasing a person would do.
    ///
    /// # Errors
    /// When she is no person, or the ledger cannot be read.
    pub async fn plan_erasure(&self, customer: CustomerKey) -> Result<ErasePlan, LedgerError> {
        if customer.kind != Kind::Person {
            let problem = Problem::new(Code::NotAPerson, format!("{customer} is an organization"));
            return Err(LedgerError::Broken(problem));
        }
        let view = self.view_of(customer).await?;
        let steps = view.records.keys().map(|id| (id.clone(), self.obstacle(&id.stream)));
        Ok(ErasePlan {
            customer,
            steps: steps.collect(),
            is_held: false,
            erasure: None,
        })
    }

    /// Begins to erase a person and does what can be done at once. The rest is tried until it is done.
    ///
    /// # Errors
    /// When she is no person, or the ledger cannot be used.
    pub async fn erase(&self, customer: CustomerKey, by: &str) -> Result<ErasePlan, LedgerError> {
        let mut plan = self.plan_erasure(customer).await?;
        let known = self.marker_for_good().await?;
        let open = self.ledger.erasures(true).await?;
        let begun = open.into_iter().find(|one| one.customer == Some(customer));
        let id = match begun {
            Some(erasure) => erasure.id,
            None => {
                let _gate = self.gate.lock().await;
                let traces = self.ledger.traces(&customer).await?;
                let marks: Vec<Mark> = known.marker.all(&traces).into_iter().collect();
                let now = self.clock.now();
                let erasure = Erasure {
                    id: 0,
                    subject: hex(&known.marker.key(&customer)),
                    customer: Some(customer),
                    by: by.to_owned(),
                    asked_at: now,
                    marks: marks.len() as u64,
                    steps: plan
                        .steps
                        .iter()
                        .map(|(id, _)| new_step(&known.marker, id, now))
                        .collect(),
                    purged_at: None,
                    scrubbed_at: None,
                    done_at: None,
                };
                let id = self.ledger.begin_erasure(erasure, marks).await?;
                self.suppression.0.write().await.take();
                id
            }
        };
        tracing::info!(erasure = id, by, "a person is erased");
        self.pursue_erasures().await?;
        let all = self.ledger.erasures(false).await?;
        plan.erasure = all.into_iter().find(|one| one.id == id);
        plan.is_held = self.held_erasures().await?.contains(&id);
        Ok(plan)
    }

    /// A person says that what Nivel cannot erase in a stream is erased there.
    ///
    /// # Errors
    /// When there is no such erasure, or the ledger cannot be used.
    pub async fn say_erased(&self, id: i64, stream: &StreamId) -> Result<Erasure, LedgerError> {
        let all = self.ledger.erasures(false).await?;
        let found = all.into_iter().find(|one| one.id == id);
        let mut erasure = found.ok_or_else(|| {
            let problem = Problem::new(Code::NotFound, format!("there is no erasure {id}"));
            LedgerError::Broken(problem.hint("`nivel customer erasures` lists them"))
        })?;
        let now = self.clock.now();
        for step in &mut erasure.steps {
            if step.stream == *stream && step.state == StepState::ByHand {
                *step = after(step, &Event::Said, now);
            }
        }
        self.settle_erasure(&mut erasure).await?;
        Ok(erasure)
    }

    /// Does what is due of all erasures that are not done. How many of them are left.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn pursue_erasures(&self) -> Result<usize, LedgerError> {
        let _one_at_a_time = self.erasing.lock().await;
        let mut left = 0;
        let held = self.held_erasures().await?;
        for mut erasure in self.ledger.erasures(true).await? {
            if held.contains(&erasure.id) {
                left += 1;
                continue;
            }
            self.pursue(&mut erasure).await?;
            left += usize::from(erasure.done_at.is_none());
        }
        Ok(left)
    }

    async fn pursue(&self, erasure: &mut Erasure) -> Result<(), LedgerError> {
        let view = match erasure.customer {
            Some(customer) => self.view_of(customer).await?,
            None => View::default(),
        };
        self.add_steps(erasure, view.records.keys()).await?;
        self.take_steps(erasure, &view).await?;
        if let Some(customer) = erasure.customer.filter(|_| may_purge(erasure)) {
            let is_leased = view.writes.values().any(|write| write.state == WriteState::Leased);
            let Some(others) = self.search_everywhere(&view).await? else {
                return Ok(());
            };
            if is_leased || self.add_steps(erasure, others.iter()).await? {
                // What is on its way to a tool ends first; what was found is erased like the rest.
                return if is_leased {
                    Ok(())
                } else {
                    Box::pin(self.take_steps(erasure, &view)).await
                };
            }
            self.forget(erasure, customer, &view).await?;
        }
        self.settle_erasure(erasure).await
    }

    /// Writes the file anew once she is out of it, and notes when all is done.
    async fn settle_erasure(&self, erasure: &mut Erasure) -> Result<(), LedgerError> {
        if erasure.purged_at.is_some() && erasure.scrubbed_at.is_none() && self.ledger.scrub().await? {
            erasure.scrubbed_at = Some(self.clock.now());
        }
        if is_done(erasure) && erasure.done_at.is_none() {
            erasure.done_at = Some(self.clock.now());
            tracing::info!(erasure = erasure.id, "a person is erased everywhere");
        }
        self.ledger.note_erasure(erasure.clone(), Vec::new()).await
    }

    /// Adds a step for every object that has none yet. True when there was one.
    async fn add_steps(
        &self,
        erasure: &mut Erasure,
        objects: impl Iterator<Item = &RecordId>,
    ) -> Result<bool, LedgerError> {
        let known = self.suppression().await?;
        let now = self.clock.now();
        let mut marks = Vec::new();
        for id in objects {
            let step = new_step(&known.marker, id, now);
            let is_known = |one: &Step| one.stream == step.stream && one.object == step.object;
            if !erasure.steps.iter().any(is_known) {
                marks.push(known.marker.record(id));
                erasure.steps.push(step);
            }
        }
        if marks.is_empty() {
            return Ok(false);
        }
        self.ledger.note_erasure(erasure.clone(), marks).await?;
        self.suppression.0.write().await.take();
        Ok(true)
    }

    /// Takes every step that is due, and notes each as soon as it is taken.
    async fn take_steps(&self, erasure: &mut Erasure, view: &View) -> Result<(), LedgerError> {
        for at in 0..erasure.steps.len() {
            let Some(step) = erasure.steps.get(at).cloned() else {
                continue;
            };
            let now = self.clock.now();
            let (Some(remote), true) = (step.remote.clone(), step.due_at <= now) else {
                continue;
            };
            let id = step.stream.record(remote);
            let mut next = step.clone();
            if step.state != StepState::Asked {
                next = after(&next, &self.ask_to_erase(&id, erasure.customer, view).await, now);
            }
            if next.state == StepState::Asked || next.state == StepState::ByHand {
                let sight = self.sight_of(&id, view).await;
                next = after(&next, &sight, self.clock.now());
            }
            if let Some(place) = erasure.steps.get_mut(at) {
                *place = next;
            }
            self.ledger.note_erasure(erasure.clone(), Vec::new()).await?;
        }
        Ok(())
    }

    /// Why Nivel cannot, or may not, erase objects of a stream; nothing when it can.
    fn obstacle(&self, stream: &StreamId) -> Option<Problem> {
        let rules = self.rules.stream(&stream.system, &stream.stream);
        let what = match rules {
            None => "the config has no such system any more",
            Some(rules) if !rules.spec.can_erase => "the connector has no call that erases",
            Some(rules) if !rules.write => "the config keeps Nivel from writing there",
            Some(rules) if !rules.allows_erasing => "the config does not say `allow: [erase]`",
            Some(_) => return None,
        };
        let problem = Problem::new(Code::EraseByHand, what).about(stream);
        Some(problem.hint("erase it by hand in the tool, or let Nivel do it"))
    }

    async fn ask_to_erase(&self, id: &RecordId, customer: Option<CustomerKey>, view: &View) -> Event {
        if let Some(problem) = self.obstacle(&id.stream) {
            return Event::Cannot(problem);
        }
        let Some(connection) = self.connections.get(&id.stream.system) else {
            return Event::Cannot(Problem::new(Code::EraseByHand, "there is no such system").about(&id.stream));
        };
        let key = customer.unwrap_or(CustomerKey {
            id: uuid::Uuid::nil(),
            kind: Kind::Person,
        });
        let known = view.records.get(id).map(|(record, _)| record.fields.clone());
        let known = known.unwrap_or_default();
        match connection.erase(&id.stream.stream, &id.remote, &known, key).await {
            Ok(purge) => Event::Taken(purge),
            Err(failure) => Event::Failed(failure),
        }
    }

    /// Asks a tool what it still has of an object.
    async fn sight_of(&self, id: &RecordId, view: &View) -> Event {
        let Some(connection) = self.connections.get(&id.stream.system) else {
            return Event::Looked(Sight::Blind);
        };
        let can_get = connection
            .streams()
            .get(&id.stream.stream)
            .is_some_and(|spec| spec.can_get);
        if !can_get {
            return Event::Looked(Sight::Blind);
        }
        match get(connection.as_ref(), &id.stream.stream, std::slice::from_ref(&id.remote)).await {
            Ok(found) => Event::Looked(sight(&found, id, view)),
            Err(failure) => Event::Failed(failure),
        }
    }

    /// Looks in every tool for objects that hold an address or number of hers: one that was being made when she was erased,
    /// one that nobody had read yet. `None`: a tool did not answer, so it is done again.
    async fn search_everywhere(&self, view: &View) -> Result<Option<BTreeSet<RecordId>>, LedgerError> {
        let mut found = BTreeSet::new();
        for (system, connection) in &self.connections {
            let streams = connection.streams().iter();
            for (name, spec) in streams.filter(|(_, spec)| spec.kind == Kind::Person) {
                let stream = StreamId::new(system.clone(), name.clone());
                let by = spec.match_by.iter().filter(|by| by.as_str() != KEY_FIELD);
                let questions =
                    by.flat_map(|by| values_of(view, by.as_str()).into_iter().map(move |value| (by, value)));
                match search(connection.as_ref(), &stream, questions.collect()).await {
                    Ok(objects) => found.extend(objects),
                    Err(failure) => {
                        tracing::warn!(%stream, code = %failure.problem.code, "an erasure waits: the tool does not answer");
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(found))
    }

    /// Takes everything of her out of the ledger, the cache and the match.
    async fn forget(&self, erasure: &mut Erasure, customer: CustomerKey, view: &View) -> Result<(), LedgerError> {
        let traces = self.ledger.traces(&customer).await?;
        let values = values_of_hers(&traces, view);
        let gate = self.gate.lock().await;
        erasure.purged_at = Some(self.clock.now());
        self.ledger.purge(erasure.clone(), traces.clone(), values).await?;
        erasure.customer = None;
        drop(gate);
        self.forget_match().await;
        let forgotten = Learned {
            identifiers: traces.identifiers.into_iter().map(|one| (one, customer)).collect(),
            records: traces.records.into_iter().map(|one| (one, customer)).collect(),
        };
        self.cache.forget(&forgotten).await;
        Ok(())
    }

    async fn view_of(&self, customer: CustomerKey) -> Result<View, LedgerError> {
        let ask = Ask {
            customers: [customer].into(),
            ..Ask::default()
        };
        let mut view = self.view(ask).await?;
        let live = view.aliases.get(&customer).copied().unwrap_or(customer);
        view.records.retain(|_, (_, owner)| *owner == live);
        view.writes.retain(|_, write| write.customer == live);
        Ok(view)
    }

    async fn suppression(&self) -> Result<Arc<Known>, LedgerError> {
        if let Some(known) = self.suppression.0.read().await.as_ref() {
            return Ok(Arc::clone(known));
        }
        let mut place = self.suppression.0.write().await;
        // Before the first erasure there is no secret, and nobody to be recognised by it.
        let secret = self.ledger.setting(SECRET).await?;
        let known = Arc::new(Known {
            marker: Marker::new(secret.as_deref().unwrap_or("none")).map_err(LedgerError::Broken)?,
            marks: self.ledger.suppression().await?,
        });
        *place = Some(Arc::clone(&known));
        Ok(known)
    }

    /// As [`Engine::suppression`]; the secret is made if there is none.
    async fn marker_for_good(&self) -> Result<Arc<Known>, LedgerError> {
        if self.ledger.setting(SECRET).await?.is_none() {
            let secret: String = std::iter::repeat_with(|| format!("{:016x}", rand::random::<u64>()))
                .take(4)
                .collect();
            self.ledger.set_setting(SECRET, &secret).await?;
            self.suppression.0.write().await.take();
        }
        self.suppression().await
    }

    /// Of some objects, those that are of an erased person. They are counted, and nothing of them is kept.
    pub(super) async fn suppressed(&self, objects: &[Object<'_>]) -> Result<BTreeSet<RecordId>, LedgerError> {
        let known = self.suppression().await?;
        if known.marks.is_empty() {
            return Ok(BTreeSet::new());
        }
        let is_hers = |object: &&Object<'_>| {
            let key = object.incoming.key.as_ref().map(|key| known.marker.key(key));
            let own = object.identifiers.iter().map(|one| known.marker.identifier(one));
            let mut marks = own.chain(key).chain([known.marker.record(&object.id())]);
            marks.any(|mark| known.marks.contains(&mark))
        };
        let hers: BTreeSet<RecordId> = objects.iter().filter(is_hers).map(Object::id).collect();
        if !hers.is_empty() {
            let met = hers.iter().map(|id| (id.stream.clone(), known.marker.record(id)));
            self.ledger.note_suppressed(met.collect(), self.clock.now()).await?;
            tracing::info!(
                objects = hers.len(),
                "suppressed: objects of erased people are not taken in"
            );
        }
        Ok(hers)
    }

    /// Takes erased people off activities; those that hang on nobody else are not taken in.
    pub(super) async fn without_erased(&self, activities: Vec<Activity>) -> Result<Vec<Activity>, LedgerError> {
        let known = self.suppression().await?;
        if known.marks.is_empty() {
            return Ok(activities);
        }
        let is_hers = |holder: &Holder| {
            let mark = match holder {
                Holder::Record(id) => known.marker.record(id),
                Holder::Identifier(identifier) => known.marker.identifier(identifier),
            };
            known.marks.contains(&mark)
        };
        let sifted = activities.into_iter().filter_map(|mut activity| {
            let before = activity.holders.len();
            activity.holders.retain(|holder| !is_hers(holder));
            let is_orphan = activity.holders.is_empty() && before > 0;
            (!is_orphan).then_some(activity)
        });
        Ok(sifted.collect())
    }

    /// As [`Engine::suppressed`], for objects as a tool gave them: gives back the others.
    pub(super) async fn sift(&self, stream: &StreamId, objects: Vec<Incoming>) -> Result<Vec<Incoming>, LedgerError> {
        if self.suppression().await?.marks.is_empty() {
            return Ok(objects);
        }
        let own: Vec<_> = objects
            .iter()
            .map(|one| identifiers(stream, one, &self.rules))
            .collect();
        let seen: Vec<Object<'_>> = objects
            .iter()
            .zip(&own)
            .map(|(incoming, identifiers)| Object {
                stream,
                incoming,
                asked_at: UnixMillis(0),
                identifiers,
            })
            .collect();
        let hers = self.suppressed(&seen).await?;
        let is_kept = |one: &Incoming| !hers.contains(&stream.record(one.remote.clone()));
        Ok(objects.into_iter().filter(is_kept).collect())
    }
}

/// Looks in one stream for objects that hold one of these values.
async fn search(
    connection: &dyn Connection,
    stream: &StreamId,
    questions: Vec<(&FieldName, Value)>,
) -> Result<Vec<RecordId>, Failure> {
    let mut found = Vec::new();
    for (by, value) in questions {
        match connection.find(&stream.stream, by, &value).await {
            Ok(object) => found.extend(object.map(|object| stream.record(object.remote))),
            Err(failure) if cannot_be_asked(&failure) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(found)
}

fn new_step(marker: &Marker, id: &RecordId, now: UnixMillis) -> Step {
    Step {
        stream: id.stream.clone(),
        object: hex(&marker.record(id)),
        remote: Some(id.remote.clone()),
        state: StepState::Planned,
        problem: None,
        attempts: 0,
        due_at: now,
        asked_at: None,
        confirmed_at: None,
        proof: None,
        purged_by: None,
    }
}
