//! One passage of a customer through a handoff, and how it goes on.

use std::collections::BTreeMap;

use compact_str::{CompactString, format_compact};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::note::Note;
use super::rule::Rule;
use crate::model::{CustomerKey, FieldName, RecordId, UnixMillis, Value};

/// Where a passage stands. Whether it is late follows from its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// On its way.
    Open,
    /// It does not go on until somebody acts.
    Stopped,
    /// The target holds what was to be carried, as read from it.
    Delivered,
    /// Somebody there has taken it on.
    Accepted,
    /// It was not wanted any more before it arrived.
    Cancelled,
}

impl State {
    /// Every state, in the order of the way.
    pub const ALL: [Self; 5] = [
        Self::Open,
        Self::Stopped,
        Self::Delivered,
        Self::Accepted,
        Self::Cancelled,
    ];

    /// The name in figures and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Stopped => "stopped",
            Self::Delivered => "delivered",
            Self::Accepted => "accepted",
            Self::Cancelled => "cancelled",
        }
    }

    /// True while it has not arrived and still should.
    #[must_use]
    pub fn is_pending(self) -> bool {
        matches!(self, Self::Open | Self::Stopped)
    }
}

/// Why a passage does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The write was given up.
    DeadWrite,
    /// The write is held until somebody has looked at it.
    Held,
    /// She has more records than a person can have: nothing is written because of her.
    TooLarge,
    /// The config keeps a field that has to be carried away from there.
    NotShared,
    /// Nivel may not make objects there.
    NoCreate,
    /// Nivel may not write there.
    ReadOnly,
    /// There is nothing by which the new object could be found again or the customer reached.
    NoIdentifier,
    /// She does not want to hear of us, and the marketing tool cannot be told in the same breath.
    OptedOut,
    /// A field that has to be carried is not written any more, because the tool keeps changing it back.
    Frozen,
    /// The tool keeps a value of its own in a field that has to be carried, and the rules let it.
    Kept,
    /// It may be the same customer as another one; nobody has said yet.
    Doubtful,
    /// The object was deleted there.
    Deleted,
    /// The customer was deleted where she came from.
    CustomerGone,
    /// The object there cannot be used.
    Unusable,
    /// The note was given up, and nothing else was to be handed over; or what was to be opened for her was.
    Note,
}

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The admin of Nivel.
    Admin,
    /// Whoever works in the target tool.
    Target,
    /// Whoever recorded the customer.
    Source,
}

impl Who {
    /// In a sentence.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Target => "target team",
            Self::Source => "source team",
        }
    }
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::DeadWrite,
        Self::Held,
        Self::TooLarge,
        Self::NotShared,
        Self::NoCreate,
        Self::ReadOnly,
        Self::NoIdentifier,
        Self::OptedOut,
        Self::Frozen,
        Self::Kept,
        Self::Doubtful,
        Self::Deleted,
        Self::CustomerGone,
        Self::Unusable,
        Self::Note,
    ];

    /// The name in figures and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeadWrite => "dead_write",
            Self::Held => "held",
            Self::TooLarge => "too_large",
            Self::NotShared => "not_shared",
            Self::NoCreate => "no_create",
            Self::ReadOnly => "read_only",
            Self::NoIdentifier => "no_identifier",
            Self::OptedOut => "opted_out",
            Self::Frozen => "frozen",
            Self::Kept => "kept",
            Self::Doubtful => "doubtful",
            Self::Deleted => "deleted",
            Self::CustomerGone => "customer_gone",
            Self::Unusable => "unusable",
            Self::Note => "note",
        }
    }

    /// Who has to act.
    #[must_use]
    pub fn who(self) -> Who {
        match self {
            Self::DeadWrite
            | Self::Held
            | Self::TooLarge
            | Self::NotShared
            | Self::NoCreate
            | Self::ReadOnly
            | Self::Frozen
            | Self::Doubtful
            | Self::Note => Who::Admin,
            Self::Kept | Self::Deleted | Self::Unusable => Who::Target,
            Self::NoIdentifier | Self::OptedOut | Self::CustomerGone => Who::Source,
        }
    }
}

/// Why it does not go on, since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Why.
    pub reason: Reason,
    /// The particulars: a field, the tool's own words.
    pub detail: String,
    /// Since when.
    pub at: UnixMillis,
}

/// That it arrived: what the target was read to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The object there.
    pub record: RecordId,
    /// The activity that was opened for her.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<RecordId>,
    /// The carried fields, as read.
    pub fields: BTreeMap<FieldName, Value>,
    /// When they were read.
    pub at: UnixMillis,
}

/// That somebody has taken it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Who, as the tool says it.
    pub owner: CompactString,
    /// The object that says so: the customer's own, or a deal or ticket of hers.
    pub record: RecordId,
    /// When that was seen.
    pub at: UnixMillis,
}

/// One passage of a customer through a handoff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Names it for ever; it stands in the note.
    pub id: CompactString,
    /// The rule.
    pub rule: CompactString,
    /// The customer.
    pub customer: CustomerKey,
    /// The activity it is about, where the rule looks at one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<RecordId>,
    /// When it began.
    pub opened_at: UnixMillis,
    /// When it is late.
    pub due_at: UnixMillis,
    /// Where it stands.
    pub state: State,
    /// What the rule asks for was true already when Nivel first looked: its times say nothing about anybody's speed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_there: bool,
    /// Fields whose change began it, with what stood there and what stands there now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub changed: BTreeMap<FieldName, (Option<Value>, Option<Value>)>,
    /// Why it does not go on, while it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// That it arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// When that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<UnixMillis>,
    /// That somebody has taken it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
    /// The note that the next person finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// Since when its condition is not true any more: the next time it is, another passage begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lapsed_at: Option<UnixMillis>,
}

impl Passage {
    /// A passage that begins now.
    #[must_use]
    pub fn new(rule: &Rule, customer: CustomerKey, activity: Option<&RecordId>, now: UnixMillis) -> Self {
        Self {
            id: id_of(rule, customer, activity, now),
            rule: rule.name.clone(),
            customer,
            activity: activity.cloned(),
            opened_at: now,
            due_at: rule.within.due(now),
            state: State::Open,
            was_there: false,
            changed: BTreeMap::new(),
            stop: None,
            proof: None,
            delivered_at: None,
            accepted: None,
            note: None,
            lapsed_at: None,
        }
    }

    /// True when it should have arrived by now and has not.
    #[must_use]
    pub fn is_late(&self, now: UnixMillis) -> bool {
        self.state.is_pending() && now > self.due_at
    }

    /// True when it arrived, but after its deadline.
    #[must_use]
    pub fn was_late(&self) -> bool {
        self.delivered_at.is_some_and(|at| at > self.due_at)
    }
}

/// Names a passage: the same fold gives the same name.
fn id_of(rule: &Rule, customer: CustomerKey, activity: Option<&RecordId>, now: UnixMillis) -> CompactString {
    let activity = activity.map(ToString::to_string).unwrap_or_default();
    let said = format!("{}|{customer}|{activity}|{}", rule.name, now.0);
    let digest = Sha256::digest(said.as_bytes());
    let number = digest
        .iter()
        .take(8)
        .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    format_compact!("h{number:016x}")
}

/// What the target holds of a customer, seen from one passage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// What was to be carried, as read from the tool.
    Proven(Proof),
    /// What was to be carried, as written; nobody has read it back yet.
    Unread(RecordId),
    /// It is on its way.
    Moving,
    /// Nothing will happen until somebody acts.
    Stuck(Reason, String),
}

/// The passage after a look at its target; `None` when nothing changed.
#[must_use]
pub fn advance(passage: &Passage, standing: Standing, owner: Option<Accepted>, now: UnixMillis) -> Option<Passage> {
    let mut next = passage.clone();
    if next.state.is_pending() {
        match standing {
            Standing::Proven(proof) => {
                next.state = State::Delivered;
                next.stop = None;
                next.delivered_at = Some(now);
                next.proof = Some(proof);
            }
            Standing::Unread(_) | Standing::Moving => {
                next.state = State::Open;
                next.stop = None;
            }
            Standing::Stuck(reason, detail) => {
                let since = next.stop.as_ref().filter(|stop| stop.reason == reason);
                let at = since.map_or(now, |stop| stop.at);
                next.state = State::Stopped;
                next.stop = Some(Stop { reason, detail, at });
            }
        }
    }
    if next.state == State::Delivered
        && let Some(accepted) = owner
    {
        next.state = State::Accepted;
        next.accepted = Some(accepted);
    }
    (next != *passage).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::super::when::{When, Words};
    use super::super::{Within, rule::Rule};
    use super::*;
    use crate::model::{Kind, StreamId};

    fn passage() -> Passage {
        let words = Words {
            fields: [FieldName::from("email")].into(),
            ..Words::default()
        };
        let rule = Rule {
            name: "lead".into(),
            from: None,
            kind: Kind::Person,
            to: StreamId::new("sales", "person"),
            when: When::read("email", &words).unwrap(),
            carry: vec!["email".into()],
            within: Within {
                time: std::time::Duration::from_secs(60),
                calendar: None,
            },
            create: true,
            note: None,
            opens: None,
            alert: None,
        };
        let customer = CustomerKey {
            id: uuid::Uuid::from_u128(7),
            kind: Kind::Person,
        };
        Passage::new(&rule, customer, None, UnixMillis(1_000))
    }

    fn proven() -> Standing {
        Standing::Proven(Proof {
            record: StreamId::new("sales", "person").record("1"),
            opened: None,
            fields: BTreeMap::new(),
            at: UnixMillis(5_000),
        })
    }

    fn stuck(reason: Reason) -> Standing {
        Standing::Stuck(reason, "why".to_owned())
    }

    fn owner() -> Option<Accepted> {
        Some(Accepted {
            owner: "7".into(),
            record: StreamId::new("sales", "person").record("1"),
            at: UnixMillis(6_000),
        })
    }

    #[test]
    fn a_passage_arrives_once_and_is_taken_on_once() {
        let open = passage();
        assert_eq!(open.due_at, UnixMillis(61_000));
        assert_eq!(advance(&open, Standing::Moving, None, UnixMillis(2_000)), None);
        assert_eq!(
            advance(&open, Standing::Moving, owner(), UnixMillis(2_000)),
            None,
            "nothing arrived yet"
        );
        let delivered = advance(&open, proven(), None, UnixMillis(5_000)).unwrap();
        assert_eq!(
            (delivered.state, delivered.delivered_at),
            (State::Delivered, Some(UnixMillis(5_000)))
        );
        assert_eq!(advance(&delivered, proven(), None, UnixMillis(9_000)), None);
        assert_eq!(
            advance(&delivered, stuck(Reason::Deleted), None, UnixMillis(9_000)),
            None,
            "what arrived, arrived"
        );
        let accepted = advance(&delivered, Standing::Moving, owner(), UnixMillis(9_000)).unwrap();
        assert_eq!(accepted.state, State::Accepted);
        assert_eq!(advance(&accepted, proven(), owner(), UnixMillis(10_000)), None);
    }

    #[test]
    fn a_stopped_passage_keeps_its_reason_and_goes_on_when_the_cause_is_gone() {
        let open = passage();
        let stopped = advance(&open, stuck(Reason::Held), None, UnixMillis(2_000)).unwrap();
        assert_eq!(
            (stopped.state, stopped.stop.as_ref().unwrap().at),
            (State::Stopped, UnixMillis(2_000))
        );
        assert_eq!(
            advance(&stopped, stuck(Reason::Held), None, UnixMillis(3_000)),
            None,
            "still the same"
        );
        let dead = advance(&stopped, stuck(Reason::DeadWrite), None, UnixMillis(4_000)).unwrap();
        assert_eq!(dead.stop.as_ref().unwrap().at, UnixMillis(4_000));
        let again = advance(&dead, Standing::Moving, None, UnixMillis(5_000)).unwrap();
        assert_eq!((again.state, again.stop), (State::Open, None));
        assert!(dead.is_late(UnixMillis(61_001)) && !dead.is_late(UnixMillis(61_000)));
    }
}
