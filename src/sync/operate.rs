//! What an operator can ask for. Her own process does it when it has the ledger; otherwise the one that has it is asked,
//! by a request in the ledger: durable, with her name, answered once.

use std::collections::BTreeSet;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::engine::{Engine, Stop};
use super::matching::Word;
use super::reconcile::Place;
use super::undo::Scope;
use crate::error::{Code, Problem};
use crate::ledger::{Error as LedgerError, WriteState};
use crate::model::{CustomerKey, FieldName, RecordId, StreamId};

/// Requests that are answered in one go.
const REQUESTS: usize = 16;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// See [`Engine::approve`].
    Approve,
    /// See [`Engine::hold`].
    Hold,
    /// See [`Engine::undo`].
    Undo {
        /// Which writes.
        scope: Scope,
        /// False: only say what it comes to.
        yes: bool,
    },
    /// See [`Engine::release`].
    Release {
        /// Which record.
        record: RecordId,
        /// Which of its fields; all that are frozen when empty.
        fields: BTreeSet<FieldName>,
    },
    /// See [`Engine::decide`].
    Decide(Word),
    /// See [`Engine::erase`].
    Erase {
        /// Whom.
        customer: CustomerKey,
        /// False: only say what it comes to.
        yes: bool,
    },
    /// See [`Engine::say_erased`].
    SayErased {
        /// Which erasure.
        id: i64,
        /// Where it was done by hand.
        stream: StreamId,
    },
    /// See [`Engine::why`].
    Why {
        /// The records of a customer.
        records: Vec<RecordId>,
    },
    /// See [`Engine::repair`].
    Repair {
        /// Where they are.
        here: Place,
        /// Where they are missing.
        there: Place,
    },
    /// See [`Engine::settle_dead`].
    Dead {
        /// Which, by their whole names.
        ids: Vec<CompactString>,
        /// True: they are tried again. False: they are dropped.
        retry: bool,
    },
    /// Dead events of hooks are told again.
    Replay {
        /// Which, by the ids they have for their receivers; all when empty.
        events: Vec<CompactString>,
    },
    /// See [`Engine::why_apart`].
    WhyApart {
        /// One record.
        left: RecordId,
        /// The other record.
        right: RecordId,
    },
}

/// What an approval or a stop came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// Nivel may write now.
    pub may_write: bool,
    /// Writes that are due.
    pub due: u64,
    /// Of these, the ones that were held before.
    pub released: u64,
}

impl Engine {
    /// Does what an operator asks for, and says what came of it: an [`Approved`], an `Undo` or what was released, as JSON.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn act(&self, act: &Act, by: &str) -> Result<Json, LedgerError> {
        match act {
            Act::Approve => {
                let released = self.approve(by).await?;
                self.approved(true, released).await
            }
            Act::Hold => {
                self.hold(by).await?;
                self.approved(false, 0).await
            }
            Act::Release { record, fields } => Ok(json!(self.release(record, fields, by).await?)),
            Act::Undo { scope, yes } => {
                let undo = if *yes {
                    self.undo(scope, by).await?
                } else {
                    self.plan_undo(scope).await?
                };
                Ok(json!(undo))
            }
            Act::Erase { customer, yes: false } => Ok(json!(self.plan_erasure(*customer).await?)),
            Act::Erase { customer, yes: true } => Ok(json!(self.erase(*customer, by).await?)),
            Act::SayErased { id, stream } => Ok(json!(self.say_erased(*id, stream).await?)),
            Act::Decide(word) => Ok(json!(self.decide(word, by).await?)),
            Act::Repair { here, there } => Ok(json!(self.repair(here, there, by).await?)),
            Act::Why { records } => Ok(json!(self.why(records).await?)),
            Act::Dead { ids, retry } => Ok(json!(self.settle_dead(ids, *retry, by).await?)),
            Act::Replay { events } => {
                let now = self.clock.now();
                Ok(json!(self.ledger.replay_posts(events.clone(), now).await?))
            }
            Act::WhyApart { left, right } => Ok(json!(self.why_apart(left, right).await?)),
        }
    }

    async fn approved(&self, may_write: bool, released: u64) -> Result<Json, LedgerError> {
        let writes = self.ledger.totals().await?.writes;
        Ok(json!(Approved {
            may_write,
            due: writes.get(&WriteState::Due).copied().unwrap_or_default(),
            released,
        }))
    }

    /// Does what other processes asked for. How many requests there were.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn serve_requests(&self) -> Result<usize, LedgerError> {
        let requests = self.ledger.requests(REQUESTS).await?;
        for request in &requests {
            tracing::info!(by = request.by, act = request.act, "an operator asks");
            let answer = match serde_json::from_str::<Act>(&request.act) {
                Ok(act) => match self.act(&act, &request.by).await {
                    Ok(done) => json!({"done": done}),
                    Err(error) => json!({"problem": Stop::Ledger(error).problem()}),
                },
                Err(_) => {
                    let problem = Problem::new(Code::Bug, "the running Nivel does not know this request");
                    json!({"problem": problem.hint("it may be of another version")})
                }
            };
            self.ledger
                .answer_request(request.number, self.clock.now(), &answer.to_string())
                .await?;
        }
        Ok(requests.len())
    }
}
