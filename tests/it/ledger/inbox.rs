//! The inbox as plainly as it can be said, and what every ledger promises of it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use compact_str::CompactString;
use nivel::error::{Code, Problem};
use nivel::ledger::{Cause, Commit, Dropped, Error, Fate, Inbox, InboxState, Landed, Ledger, NewEvent, Waiting};
use nivel::model::{StreamId, UnixMillis};

use super::model::Model;

#[derive(Clone, Default)]
pub(super) struct Kept {
    events: Vec<(NewEvent, Option<Fate>)>,
    repeated: BTreeMap<CompactString, u64>,
    problems: BTreeMap<StreamId, Problem>,
}

impl Kept {
    pub(super) fn fold(&mut self, commit: &Commit) {
        if let Cause::Webhook(ids) = &commit.cause {
            ids.iter().for_each(|id| self.end(*id, Fate::Applied));
        }
    }

    fn end(&mut self, id: i64, fate: Fate) {
        let event = usize::try_from(id - 1).ok().and_then(|at| self.events.get_mut(at));
        if let Some((_, none @ None)) = event {
            *none = Some(fate);
        }
    }

    fn states(&self) -> BTreeMap<CompactString, InboxState> {
        let mut all: BTreeMap<CompactString, InboxState> = BTreeMap::new();
        for (event, fate) in &self.events {
            let state = all.entry(event.system.clone()).or_default();
            state.received += 1;
            match fate {
                Some(fate) => *state.fates.entry(*fate).or_default() += 1,
                None => state.waiting += 1,
            }
        }
        for (system, count) in &self.repeated {
            let state = all.entry(system.clone()).or_default();
            state.received += count;
            state.fates.insert(Fate::Duplicate, *count);
        }
        for (stream, problem) in &self.problems {
            let state = all.entry(stream.system.clone()).or_default();
            state.problems.insert(stream.stream.clone(), problem.clone());
        }
        all
    }
}

#[async_trait]
impl Inbox for Model {
    async fn land(&self, events: Vec<NewEvent>) -> Result<Landed, Error> {
        let kept = &mut self.0.lock().unwrap().inbox;
        let mut landed = Landed::default();
        for event in events {
            let is_known = |(known, _): &(NewEvent, _)| known.system == event.system && known.key == event.key;
            if event.key.is_some() && kept.events.iter().any(is_known) {
                landed.duplicates += 1;
                *kept.repeated.entry(event.system).or_default() += 1;
                continue;
            }
            let fate = event.problem.as_ref().map(|_| Fate::Unreadable);
            landed.fresh += u64::from(fate.is_none());
            kept.events.push((event, fate));
        }
        Ok(landed)
    }

    async fn waiting(&self, system: &str, limit: usize) -> Result<Vec<Waiting>, Error> {
        let kept = &self.0.lock().unwrap().inbox;
        let numbered = (1..).zip(&kept.events);
        let mine = numbered.filter(|(_, (event, fate))| fate.is_none() && event.system == system);
        let waiting = mine.take(limit).map(|(id, (event, _))| Waiting {
            id,
            received_at: event.received_at,
            headers: event.headers.clone(),
            body: event.body.clone(),
        });
        Ok(waiting.collect())
    }

    async fn systems_waiting(&self) -> Result<Vec<CompactString>, Error> {
        let all = self.0.lock().unwrap().inbox.states();
        Ok(all
            .into_iter()
            .filter(|(_, state)| state.waiting > 0)
            .map(|(system, _)| system)
            .collect())
    }

    async fn drop_events(&self, events: Vec<Dropped>, _at: UnixMillis) -> Result<(), Error> {
        let kept = &mut self.0.lock().unwrap().inbox;
        events.iter().for_each(|event| kept.end(event.id, event.fate));
        Ok(())
    }

    async fn inbox(&self) -> Result<BTreeMap<CompactString, InboxState>, Error> {
        Ok(self.0.lock().unwrap().inbox.states())
    }

    async fn heard(&self, stream: &StreamId, limit: usize) -> Result<Vec<UnixMillis>, Error> {
        let kept = &self.0.lock().unwrap().inbox;
        let mine = kept.events.iter().map(|(event, _)| event);
        let mine = mine.filter(|event| event.system == stream.system && event.stream.as_ref() == Some(&stream.stream));
        let mut times: Vec<UnixMillis> = mine.map(|event| event.received_at).collect();
        times.sort_by(|left, right| right.cmp(left));
        times.truncate(limit);
        Ok(times)
    }

    async fn note_webhook(&self, stream: &StreamId, problem: Option<Problem>) -> Result<(), Error> {
        let problems = &mut self.0.lock().unwrap().inbox.problems;
        match problem {
            Some(problem) => problems.insert(stream.clone(), problem),
            None => problems.remove(stream),
        };
        Ok(())
    }
}

fn event(system: &str, key: Option<&str>, at: i64) -> NewEvent {
    NewEvent {
        system: system.into(),
        stream: Some("person".into()),
        key: key.map(str::to_owned),
        received_at: UnixMillis(at),
        headers: "{}".to_owned(),
        body: format!("{{\"at\":{at}}}").into_bytes(),
        problem: None,
    }
}

/// What every ledger promises of its inbox.
pub(super) async fn contract(ledger: &dyn Ledger) {
    assert!(ledger.inbox().await.unwrap().is_empty());
    let broken = NewEvent {
        problem: Some(Problem::new(Code::NotTheAnswer, "no JSON")),
        ..event("crm", None, 4)
    };
    let events = vec![
        event("crm", Some("a"), 1),
        event("crm", Some("a"), 2),
        event("crm", None, 3),
        broken,
        event("desk", Some("a"), 5),
    ];
    let landed = ledger.land(events).await.unwrap();
    assert_eq!(
        (landed.fresh, landed.duplicates),
        (3, 1),
        "one key in two systems is two events"
    );
    let again = ledger
        .land(vec![event("crm", Some("a"), 6), event("crm", None, 3)])
        .await
        .unwrap();
    assert_eq!(
        (again.fresh, again.duplicates),
        (1, 1),
        "without a key nothing is a duplicate"
    );
    let waiting = ledger.waiting("crm", 10).await.unwrap();
    let at: Vec<i64> = waiting.iter().map(|event| event.received_at.0).collect();
    assert_eq!(at, [1, 3, 3], "in the order of arrival, without the unreadable one");
    assert_eq!(ledger.systems_waiting().await.unwrap(), ["crm", "desk"]);
    assert_eq!(ledger.waiting("crm", 1).await.unwrap().len(), 1);

    let commit = Commit::new(Cause::Webhook(vec![waiting[0].id]), UnixMillis(10));
    ledger.apply(commit.clone()).await.unwrap();
    ledger.apply(commit).await.unwrap();
    let dropped = |id| Dropped {
        id,
        fate: Fate::Older,
        problem: None,
    };
    ledger
        .drop_events(vec![dropped(waiting[0].id), dropped(waiting[1].id)], UnixMillis(11))
        .await
        .unwrap();
    let state = ledger.inbox().await.unwrap().remove("crm").unwrap();
    let fates = BTreeMap::from([
        (Fate::Applied, 1),
        (Fate::Duplicate, 2),
        (Fate::Older, 1),
        (Fate::Unreadable, 1),
    ]);
    assert_eq!(
        (state.received, state.waiting, &state.fates),
        (6, 1, &fates),
        "a replay counts nothing twice"
    );
    assert_eq!(state.received, state.waiting + state.fates.values().sum::<u64>());
    let late = ledger.land(vec![event("crm", Some("a"), 20)]).await.unwrap();
    assert_eq!(late.duplicates, 1, "also after it was folded");
    habits(ledger).await;
}

/// When events came, and what is wrong with them.
async fn habits(ledger: &dyn Ledger) {
    let stream = StreamId::new("crm", "person");
    let heard = ledger.heard(&stream, 3).await.unwrap();
    assert_eq!(heard, [4, 3, 3].map(UnixMillis));
    ledger
        .note_webhook(&stream, Some(Problem::new(Code::NotFound, "silent")))
        .await
        .unwrap();
    assert_eq!(
        ledger.inbox().await.unwrap()["crm"].problems["person"].message,
        "silent"
    );
    ledger.note_webhook(&stream, None).await.unwrap();
    assert!(ledger.inbox().await.unwrap()["crm"].problems.is_empty());
}
