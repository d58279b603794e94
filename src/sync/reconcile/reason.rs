//! Why a customer is not where others are. Pure: the same rules that make objects say why none is made.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::super::consequence::is_withheld;
use super::Missing;
use crate::error::Problem;
use crate::ledger::{Slot, View, Write, WriteState};
use crate::merge::{Refusal, Rules, StreamRules, is_gone, made_elsewhere, refusal};
use crate::model::{CustomerKey, Fields, Record, RecordId, StreamId, UnixMillis, Value};

/// What a write that is due waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// Not every stream was read to its end yet.
    FirstReading,
    /// Nobody has approved the setup.
    Approval,
    /// The scored match has not looked at everything that came.
    Matching,
    /// The stream is parked: a quota, or a tool that is left alone.
    Parked,
    /// The next try after one that failed.
    Retry,
    /// Nothing but its turn.
    Turn,
}

/// Why a customer has no object in a place. Exactly one holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// Sent; its outcome is not known yet.
    OnItsWay,
    /// It waits.
    Waiting {
        /// What for.
        because: Because,
        /// Until when, where that is known.
        until: Option<UnixMillis>,
        /// What went wrong before.
        problem: Option<Problem>,
    },
    /// Held by a brake; waits for a yes.
    Held {
        /// Which.
        problem: Option<Problem>,
    },
    /// Given up; waits for a person.
    Dead {
        /// Why.
        problem: Option<Problem>,
    },
    /// Wanted, and nothing waits: somebody dropped the write, or the rules changed and she was not reckoned anew yet.
    Unasked,
    /// She may be one with somebody who stands there; a person has to say.
    Review,
    /// She is being erased.
    Erased,
    /// She has more records than a person can have: nothing is written because of her.
    TooLarge,
    /// Her objects here could not be understood.
    Rejected {
        /// One of them.
        record: RecordId,
        /// Why.
        problem: Problem,
    },
    /// She was there and was deleted there.
    DeletedThere {
        /// The object.
        record: RecordId,
        /// When.
        at: UnixMillis,
    },
    /// She was deleted elsewhere, and what stands here Nivel made.
    DeletedElsewhere,
    /// The other place keeps nothing of her kind.
    OtherKind,
    /// The rules make no object for her.
    #[serde(untagged)]
    NotMade(Refusal),
}

impl Reason {
    /// The word under which it is counted and asked for.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::OnItsWay => "on_its_way",
            Self::Waiting { .. } => "waiting",
            Self::Held { .. } => "held",
            Self::Dead { .. } => "dead",
            Self::Unasked => "unasked",
            Self::Review => "review",
            Self::Erased => "erased",
            Self::TooLarge => "too_large",
            Self::Rejected { .. } => "rejected",
            Self::DeletedThere { .. } => "deleted_there",
            Self::DeletedElsewhere => "deleted_elsewhere",
            Self::NotMade(refusal) => match refusal {
                Refusal::NotWritten => "not_written",
                Refusal::NeverMade => "never_made",
                Refusal::CannotMake => "cannot_make",
                Refusal::NotQualified { .. } => "not_qualified",
                Refusal::NoIdentifier => "no_identifier",
                Refusal::NotReachable => "not_reachable",
                Refusal::OptedOut => "opted_out",
                Refusal::MadeElsewhere { .. } => "made_elsewhere",
            },
            Self::OtherKind => "other_kind",
        }
    }

    /// Every word of [`Reason::word`], the nearest to arriving first.
    pub const WORDS: &[&str] = &[
        "on_its_way",
        "waiting",
        "held",
        "dead",
        "unasked",
        "review",
        "erased",
        "too_large",
        "rejected",
        "deleted_there",
        "deleted_elsewhere",
        "not_qualified",
        "no_identifier",
        "not_reachable",
        "opted_out",
        "made_elsewhere",
        "never_made",
        "cannot_make",
        "not_written",
        "other_kind",
    ];

    /// True when nothing more happens until a person acts.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Held { .. } | Self::Dead { .. } | Self::Unasked | Self::Rejected { .. } => true,
            Self::Review | Self::TooLarge => true,
            Self::Waiting { because, .. } => *because == Because::Approval,
            _ => false,
        }
    }

    fn rank(&self) -> usize {
        let at = Self::WORDS.iter().position(|word| *word == self.word());
        at.unwrap_or(usize::MAX)
    }
}

/// What holds for all customers at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The present moment.
    pub now: UnixMillis,
    /// Every stream was read to its end, and all of it folded.
    pub is_read: bool,
    /// Somebody has said yes to the present setup.
    pub is_approved: bool,
    /// Records wait for the scored match.
    pub is_matching: bool,
    /// Who is being erased.
    pub erased: BTreeSet<CustomerKey>,
    /// Streams that are parked, until when, and why.
    pub parked: BTreeMap<StreamId, (UnixMillis, Option<Problem>)>,
}

/// How a customer who was missing when all were counted stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// She is there meanwhile.
    Arrived,
    /// She is not here any more, or lives on under another key.
    Moved,
    /// She is missing, for one reason.
    Missing(Box<Missing>),
}

/// Says why a customer who is in one of the streams `from` is in none of the streams `to`.
#[must_use]
pub fn classify(
    key: &CustomerKey,
    view: &View,
    rules: &Rules,
    (from, to): (&[StreamId], &[StreamId]),
    standing: &Standing,
) -> Verdict {
    let Some(customer) = view.customers.get(key) else {
        return Verdict::Moved;
    };
    let members: Vec<&Record> = view
        .records
        .values()
        .filter(|(_, owner)| owner == key)
        .map(|(record, _)| record)
        .collect();
    let stands_in = |streams: &[StreamId]| {
        let mut live = members.iter().filter(|record| record.deleted_at.is_none());
        live.any(|record| streams.contains(&record.id.stream))
    };
    if !stands_in(from) {
        return Verdict::Moved;
    }
    if stands_in(to) {
        return Verdict::Arrived;
    }
    let case = Case {
        key,
        golden: &customer.golden,
        members: &members,
        view,
        rules,
        standing,
    };
    let kept = to.iter().filter_map(|stream| {
        let rules = rules.stream(&stream.system, &stream.stream)?;
        (rules.spec.kind == key.kind).then(|| (case.reason(stream, rules), Some(stream.clone())))
    });
    let nearest = kept.min_by_key(|(reason, stream)| (reason.rank(), stream.clone()));
    let (reason, stream) = nearest.unwrap_or((Reason::OtherKind, None));
    Verdict::Missing(Box::new(Missing {
        customer: *key,
        called: called(&customer.golden),
        stream,
        reason,
    }))
}

/// How people know somebody.
fn called(golden: &Fields) -> String {
    let names = ["email", "full_name", "name", "company", "phone", "domain"];
    let mut known = names.iter().filter_map(|name| golden.value(name));
    known.next().map(Value::to_string).unwrap_or_default()
}

struct Case<'a> {
    key: &'a CustomerKey,
    golden: &'a Fields,
    members: &'a [&'a Record],
    view: &'a View,
    rules: &'a Rules,
    standing: &'a Standing,
}

impl Case<'_> {
    fn reason(&self, stream: &StreamId, rules: &StreamRules) -> Reason {
        if self.standing.erased.contains(self.key) {
            return Reason::Erased;
        }
        let is_create = |write: &&Write| matches!(write.target.slot, Slot::New(_)) && write.customer == *self.key;
        let mut writes = self.view.writes.values().filter(is_create);
        if let Some(write) = writes.find(|write| write.target.stream == *stream) {
            return self.of_write(write);
        }
        let deleted = self.members.iter().filter(|record| record.id.stream == *stream);
        if let Some((at, record)) = deleted
            .filter_map(|record| Some((record.deleted_at?, record)))
            .max_by_key(|(at, _)| *at)
        {
            return Reason::DeletedThere {
                record: record.id.clone(),
                at,
            };
        }
        if is_gone(self.members, self.rules) {
            return Reason::DeletedElsewhere;
        }
        let system = self.rules.systems.get(&stream.system);
        let refused = system.and_then(|system| {
            let elsewhere = || made_elsewhere(stream, self.members, self.golden, self.rules, system);
            refusal(self.golden, self.rules, system, rules).or_else(elsewhere)
        });
        match refused {
            Some(because) => self.not_made(because),
            None if self.is_doubtful(stream) => Reason::Review,
            None if is_withheld(self.view, *self.key, self.rules.size_max()) => Reason::TooLarge,
            None => Reason::Unasked,
        }
    }

    fn is_doubtful(&self, stream: &StreamId) -> bool {
        let streams = self.view.doubtful.get(self.key);
        streams.is_some_and(|streams| streams.contains(stream))
    }

    /// What is not understood says nothing: that is the reason then, and not what it fails to say.
    fn not_made(&self, because: Refusal) -> Reason {
        let is_about_her = matches!(
            because,
            Refusal::NotQualified { .. } | Refusal::NoIdentifier | Refusal::NotReachable
        );
        let mut rejected = self
            .members
            .iter()
            .filter_map(|record| Some((record, record.problem.as_ref()?)));
        match rejected.next().filter(|_| is_about_her) {
            Some((record, problem)) => Reason::Rejected {
                record: record.id.clone(),
                problem: problem.clone(),
            },
            None => Reason::NotMade(because),
        }
    }

    fn of_write(&self, write: &Write) -> Reason {
        let problem = write.problem.clone();
        match write.state {
            WriteState::Leased => Reason::OnItsWay,
            WriteState::Dead => Reason::Dead { problem },
            WriteState::Held => Reason::Held { problem },
            WriteState::Due => self.waiting(write),
        }
    }

    fn waiting(&self, write: &Write) -> Reason {
        let standing = self.standing;
        let wait = |because, until, problem| Reason::Waiting {
            because,
            until,
            problem,
        };
        if !standing.is_read {
            return wait(Because::FirstReading, None, None);
        }
        if !standing.is_approved {
            return wait(Because::Approval, None, None);
        }
        if standing.is_matching {
            return wait(Because::Matching, None, None);
        }
        let problem = write.problem.clone();
        match standing.parked.get(&write.target.stream) {
            Some((until, why)) => wait(
                Because::Parked,
                Some((*until).max(write.due_at)),
                why.clone().or(problem),
            ),
            None if write.due_at > standing.now => wait(Because::Retry, Some(write.due_at), problem),
            None => wait(Because::Turn, None, problem),
        }
    }
}
