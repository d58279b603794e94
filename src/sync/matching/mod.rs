//! The scored match behind the ledger: what commits put on its queue is compared, and what follows (merges, splits,
//! questions to people) is committed like everything else. Nothing is written to any tool while records wait here, so no
//! object is made for somebody who is about to be known.
//!
//! Its memory is made from the ledger when it is first needed, and everything is compared with the ledger then: a restart,
//! other weights or another threshold need no care of their own.

mod decide;
pub mod evidence;
pub mod regroup;
pub mod state;

use std::collections::BTreeSet;

use tokio::sync::Mutex;

pub use self::decide::{Decided, Word};
use self::regroup::{Regroup, Wanted};
use self::state::State;
use super::engine::Engine;
use super::pull::learned;
use crate::error::{Code, Problem};
use crate::ledger::{Ask, Cause, Commit, Error as LedgerError, Known, Review, ReviewChange, View, What};
use crate::merge::MatchRules;
use crate::model::RecordId;

/// Records that are taken off the queue at once.
const BATCH: usize = 2000;
/// Groups that are carried out in one commit.
const GROUPS: usize = 200;
/// Questions that are put or taken back in one commit.
const QUESTIONS: usize = 500;
/// More records looked at than this, and every open question is read instead of theirs.
const LOOKED_AT_MAX: usize = 20_000;
/// Groups, and records of each, that are shown of what is held.
const EXAMPLES: usize = 3;
const EXAMPLE_RECORDS: usize = 4;
/// How often a commit may be made anew because the ledger moved on. Reached only by a bug.
const TRIES: usize = 16;

/// Under this name stands for which rules all records were compared with the ledger. Once it stands there, masses of changes
/// are held.
const DONE: &str = "match_done";
/// Under this name stands in the ledger's settings why the match is held; empty when it is not.
pub const HELD: &str = "match_held";

/// The scored match of an engine.
#[derive(Debug, Default)]
pub(super) struct Matching {
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// `None` until it is needed, and after a pass that was broken off.
    state: Option<Box<State>>,
    /// Customers that changed since the queue was last empty.
    wave: u64,
    /// The state was not yet compared with the ledger as a whole.
    is_fresh: bool,
    /// The end of the queue when the state was made.
    loaded_at: i64,
    /// What is held may pass.
    is_released: bool,
}

impl Engine {
    /// Compares the records that wait, and carries out what follows. The reason, when that is held because it is too much
    /// at once.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn match_records(&self) -> Result<Option<Problem>, LedgerError> {
        let held = self.match_waiting().await?;
        // Also what a process that died still owed.
        self.give_back("match").await?;
        Ok(held)
    }

    async fn match_waiting(&self) -> Result<Option<Problem>, LedgerError> {
        let Some(rules) = self.rules.matching else {
            return Ok(None);
        };
        let mut memory = self.matching.memory.lock().await;
        if memory.state.is_none() && self.is_matched().await? {
            return Ok(None);
        }
        self.match_with(rules, &mut memory).await
    }

    /// Forgets everything that was in memory: it is made anew from the ledger.
    pub(super) async fn forget_match(&self) {
        *self.matching.memory.lock().await = Memory::default();
    }

    /// True when another process compared all records by these rules, and none came since: then they need not be read.
    async fn is_matched(&self) -> Result<bool, LedgerError> {
        let done = self.ledger.setting(DONE).await?;
        Ok(done.is_some_and(|done| done == self.mark()) && self.ledger.last_unmatched().await? == 0)
    }

    /// From here until [`Engine::trust_all`] a process that dies leaves it to the next one to compare everything.
    async fn doubt_all(&self) -> Result<(), LedgerError> {
        if self.rules.matching.is_some() && self.ledger.setting(DONE).await?.is_some() {
            self.ledger.set_setting(DONE, "").await?;
        }
        Ok(())
    }

    async fn trust_all(&self) -> Result<(), LedgerError> {
        self.ledger.set_setting(DONE, &self.mark()).await
    }

    /// Names the rules and the weights that records are compared by.
    fn mark(&self) -> String {
        format!("{} {}", self.setup, env!("CARGO_PKG_VERSION"))
    }

    async fn match_with(&self, rules: MatchRules, memory: &mut Memory) -> Result<Option<Problem>, LedgerError> {
        self.be_loaded(rules, memory).await?;
        if memory.is_fresh {
            if let Some(held) = self.pass(memory, Vec::new()).await? {
                return Ok(Some(held));
            }
            self.ledger.forget_unmatched(memory.loaded_at, true).await?;
            self.trust_all().await?;
            memory.is_fresh = false;
        }
        while let Some((last, known)) = self.ledger.unmatched(BATCH).await? {
            if let Some(held) = self.pass(memory, known).await? {
                return Ok(Some(held));
            }
            self.ledger.forget_unmatched(last, false).await?;
        }
        memory.wave = 0;
        Ok(None)
    }

    async fn be_loaded(&self, rules: MatchRules, memory: &mut Memory) -> Result<(), LedgerError> {
        if memory.state.is_none() {
            memory.loaded_at = self.ledger.last_unmatched().await?;
            memory.state = Some(self.load(rules).await?);
            memory.is_fresh = true;
        }
        Ok(())
    }

    /// Makes the memory from the ledger.
    async fn load(&self, rules: MatchRules) -> Result<Box<State>, LedgerError> {
        let unsure = self.ledger.joints().await?.into_keys().collect();
        let mut state = Box::new(State::new(&self.rules, rules, unsure));
        let mut after = 0;
        loop {
            let known = self.ledger.known(after, BATCH).await?;
            let Some((last, _)) = known.last() else { break };
            after = *last;
            state = aside(state, move |state| {
                for (_, known) in &known {
                    state.take(known);
                }
            })
            .await?;
        }
        tracing::info!(records = state.len(), "the scored match knows all records");
        Ok(state)
    }

    /// Takes in records and carries out what follows. The reason, when it is held.
    async fn pass(&self, memory: &mut Memory, known: Vec<Known>) -> Result<Option<Problem>, LedgerError> {
        // Broken off between here and the end, the memory is made anew.
        let Some(state) = memory.state.take() else {
            return Ok(None);
        };
        let now = self.clock.now();
        let (found, given) = tokio::sync::oneshot::channel();
        let mut state = aside(state, move |state| {
            for known in &known {
                state.take(known);
            }
            state.settle();
            drop(found.send(state.changes(now)));
        })
        .await?;
        let changes = given.await.unwrap_or_default();
        let touched: Vec<&Wanted> = changes.groups.iter().filter(|group| !group.refold).collect();
        let (touched, some) = (touched.len() as u64, examples(&touched));
        if let Some(problem) = self.too_many(memory, touched, &some).await? {
            state.hold(changes);
            memory.state = Some(state);
            return Ok(Some(problem));
        }
        memory.wave += touched;
        for groups in changes.groups.chunks(GROUPS) {
            self.carry_out(&mut state, groups, Cause::Match).await?;
        }
        self.ask_people(changes.looked_at, changes.questions).await?;
        memory.state = Some(state);
        Ok(None)
    }

    /// Why this many changed customers are held, if they are.
    async fn too_many(&self, memory: &mut Memory, touched: u64, some: &str) -> Result<Option<Problem>, LedgerError> {
        if touched == 0 || memory.is_released {
            return Ok(None);
        }
        let is_first = self.ledger.setting(DONE).await?.is_none();
        if is_first || self.approval().await?.is_none() {
            return Ok(None);
        }
        let wave = memory.wave + touched;
        let limit = super::approval::limit(&self.rules.common_brake(), self.ledger.totals().await?.customers);
        let held = self.ledger.setting(HELD).await?.filter(|held| !held.is_empty());
        if wave <= limit {
            return Ok(None);
        }
        let message = format!(
            "the scored match would change {wave} customers at once, more than the brake lets through ({limit}): {some}"
        );
        let problem = Problem::new(Code::WritesHeld, message)
            .about("match")
            .hint("nothing is written meanwhile; was there an import that should not be? If all is well, `nivel approve` lets it through");
        if held.is_none() {
            tracing::warn!(%problem, "the scored match is held");
            self.ledger.set_setting(HELD, &problem.message).await?;
        }
        Ok(Some(problem))
    }

    /// An admin said yes: what the match wants may pass, once.
    pub(super) async fn release_match(&self) -> Result<(), LedgerError> {
        let Some(rules) = self.rules.matching else {
            return Ok(());
        };
        if self.ledger.setting(HELD).await?.is_none_or(|held| held.is_empty()) {
            return Ok(());
        }
        let mut memory = self.matching.memory.lock().await;
        memory.is_released = true;
        let released = self.match_with(rules, &mut memory).await;
        memory.is_released = false;
        released?;
        self.ledger.set_setting(HELD, "").await
    }

    /// Makes customers of groups: one commit. What no longer differs from the ledger is left alone.
    async fn carry_out(&self, state: &mut State, groups: &[Wanted], cause: Cause) -> Result<(), LedgerError> {
        let _gate = self.gate.lock().await;
        for _ in 0..TRIES {
            let (view, wanted) = self.whole(state, groups).await?;
            let commit = self.regrouped(&view, &wanted, cause.clone()).await?;
            if is_empty(&commit) {
                return Ok(());
            }
            match self.commit_groups(commit).await {
                Ok(commit) => {
                    for (record, customer) in &commit.records {
                        state.moved(&record.id, *customer);
                    }
                    state.joined(&commit.joints);
                    return Ok(());
                }
                Err(LedgerError::Stale) => {}
                Err(error) => return Err(error),
            }
        }
        Err(unsettled())
    }

    /// The part of the ledger that holds these groups with all that hangs together with them, and all groups in it.
    async fn whole(&self, state: &State, groups: &[Wanted]) -> Result<(View, Vec<Wanted>), LedgerError> {
        let mut wanted: Vec<Wanted> = groups.to_vec();
        let mut covered: BTreeSet<RecordId> = wanted.iter().flat_map(|group| group.records.clone()).collect();
        loop {
            let ask = Ask {
                records: covered.clone(),
                ..Ask::default()
            };
            let view = self.ledger.view(ask).await?;
            let mut is_whole = true;
            for id in view.records.keys() {
                if !covered.contains(id)
                    && let Some(group) = state.group_of(id)
                {
                    is_whole = false;
                    covered.extend(group.records.iter().cloned());
                    wanted.push(group);
                }
            }
            if is_whole {
                return Ok((view, wanted));
            }
        }
    }

    async fn regrouped(&self, view: &View, wanted: &[Wanted], cause: Cause) -> Result<Commit, LedgerError> {
        let records: Vec<RecordId> = view.records.keys().cloned().collect();
        let former = self.ledger.former(&records).await?;
        let mut commit = regroup::regroup(
            view,
            Regroup {
                wanted,
                former: &former,
                rules: &self.rules,
                survivorship: &self.survivorship,
                now: self.clock.now(),
                cause,
                mint: &mut Self::mint,
            },
        );
        commit.parted = parted(view, &commit);
        Ok(commit)
    }

    async fn commit_groups(&self, commit: Commit) -> Result<Commit, LedgerError> {
        self.ledger.apply(commit.clone()).await?;
        self.cache.learn(&learned(&commit)).await;
        if !commit.writes.is_empty() {
            self.bell.notify_waiters();
        }
        Ok(commit)
    }

    /// Puts the questions that are open now on the records looked at, and takes back the others on them.
    async fn ask_people(&self, looked_at: Vec<RecordId>, questions: Vec<Review>) -> Result<(), LedgerError> {
        let open = if looked_at.len() > LOOKED_AT_MAX {
            self.ledger.reviews(usize::MAX).await?
        } else {
            self.ledger.reviews_of(&looked_at).await?
        };
        let looked_at: BTreeSet<RecordId> = looked_at.into_iter().collect();
        let wanted: BTreeSet<(RecordId, RecordId)> = questions
            .iter()
            .map(|review| (review.left.clone(), review.right.clone()))
            .collect();
        let is_known = |review: &Review| {
            open.iter().any(|known| {
                (&known.left, &known.right, known.score, known.is_vetoed)
                    == (&review.left, &review.right, review.score, review.is_vetoed)
            })
        };
        let gone = open.iter().filter(|review| {
            (looked_at.contains(&review.left) || looked_at.contains(&review.right))
                && !wanted.contains(&(review.left.clone(), review.right.clone()))
        });
        let gone = gone.map(|review| ReviewChange::Close(review.left.clone(), review.right.clone()));
        let fresh = questions.iter().filter(|review| !is_known(review)).cloned();
        let changes: Vec<ReviewChange> = gone.chain(fresh.map(ReviewChange::Open)).collect();
        for some in changes.chunks(QUESTIONS) {
            let mut commit = Commit::new(Cause::Match, self.clock.now());
            commit.reviews = some.to_vec();
            self.ledger.apply(commit).await?;
        }
        Ok(())
    }
}

/// Some groups, for a person to judge by: their first records.
fn examples(groups: &[&Wanted]) -> String {
    let first = |group: &&Wanted| {
        let records = group.records.iter().take(EXAMPLE_RECORDS).map(ToString::to_string);
        records.collect::<Vec<_>>().join(" and ")
    };
    let shown: Vec<String> = groups.iter().take(EXAMPLES).map(first).collect();
    format!("such as {}", shown.join("; "))
}

/// The records of customers from whom a commit takes some away.
fn parted(view: &View, commit: &Commit) -> Vec<RecordId> {
    let left = commit.changes.iter().filter_map(|change| match change.what {
        What::Moved(from) => Some(from),
        _ => None,
    });
    let left: BTreeSet<_> = left.collect();
    let hers = view.records.iter().filter(|(_, (_, customer))| left.contains(customer));
    hers.map(|(id, _)| id.clone()).collect()
}

/// Nothing in it would change the ledger.
fn is_empty(commit: &Commit) -> bool {
    commit.records.is_empty() && commit.customers.is_empty() && commit.writes.is_empty() && commit.joints.is_empty()
}

/// Works on the memory where it keeps nobody waiting.
async fn aside(
    mut state: Box<State>,
    work: impl FnOnce(&mut State) + Send + 'static,
) -> Result<Box<State>, LedgerError> {
    let done = tokio::task::spawn_blocking(move || {
        work(&mut state);
        state
    });
    done.await.map_err(|error| {
        LedgerError::Broken(Problem::new(
            Code::Bug,
            format!("the scored match was cut off: {error}"),
        ))
    })
}

fn unsettled() -> LedgerError {
    LedgerError::Broken(Problem::new(
        Code::Bug,
        format!("customers could not be put together in {TRIES} tries"),
    ))
}
