//! The rules the admin owns: who may say what, and where objects may be made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::handoff;
use crate::model::{FieldName, Fields, Kind, StreamSpec};

/// The part a system plays for the company. The order is the default order of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Owns the relationship: trusted first.
    Sales,
    /// Talks to customers who have a problem.
    Support,
    /// Talks to customers who have none yet.
    Marketing,
    /// Another company's lists.
    Partner,
    /// Messages.
    Channel,
}

/// How the surviving value of a field is picked among the records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// The first of these systems that asserts a value owns the field.
    Own(Vec<CompactString>),
    /// The latest change among these systems wins (empty: all systems).
    Newest(Vec<CompactString>),
    /// The longest text wins.
    Longest,
    /// All values together; for sets.
    Union,
}

impl Pick {
    /// The rule's name in the config and in lineage.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Own(_) => "own",
            Self::Newest(_) => "newest",
            Self::Longest => "longest",
            Self::Union => "union",
        }
    }
}

/// What it means that somebody emptied a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnClear {
    /// Nothing: the others keep their value and the emptied one is left alone.
    #[default]
    Ignore,
    /// The emptiness is a value like any other: it is passed on.
    Propagate,
    /// The emptied field is filled again.
    Restore,
}

/// The rule of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldRule {
    /// Who wins.
    pub pick: Pick,
    /// What clearing means.
    #[serde(default)]
    pub on_clear: OnClear,
}

/// When objects may be made in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Create {
    /// Never.
    Never,
    /// For customers whom a handoff brings.
    Handoff,
    /// For customers whom a handoff brings, and for those whose golden record has every field of [`StreamRules::qualified_by`].
    #[default]
    Qualified,
    /// For every customer that can be found again and reached there.
    Always,
}

/// What becomes of a stream's objects when their customer was deleted everywhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// They stay.
    #[default]
    Keep,
    /// They are removed, as the tool removes things: to its recycle bin, to its archive, or for good.
    Delete,
}

/// The rules of one stream of a system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamRules {
    /// What the connector can do there.
    pub spec: StreamSpec,
    /// When objects may be made.
    pub create: Create,
    /// The fields a customer must have for [`Create::Qualified`].
    pub qualified_by: Vec<FieldName>,
    /// False when Nivel must not write there at all.
    pub write: bool,
    /// What becomes of objects when their customer was deleted elsewhere.
    pub on_delete: OnDelete,
    /// True when that holds also for objects that Nivel did not make.
    pub own: bool,
    /// True when objects may be removed for good.
    pub allows_final_deletes: bool,
    /// True when objects may be erased at a person's wish.
    pub allows_erasing: bool,
    /// True when a person's opt-out may be written, which most tools let nobody take back.
    pub allows_unsubscribing: bool,
}

impl StreamRules {
    /// True when Nivel may remove objects there at all.
    #[must_use]
    pub fn may_remove(&self) -> bool {
        let is_allowed = !self.spec.delete_is_final || self.allows_final_deletes;
        self.write && self.on_delete == OnDelete::Delete && self.spec.can_delete && is_allowed
    }
}

/// How much may be written to a stream in one go before somebody must look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brake {
    /// This part of its records, in percent,
    pub percent: u8,
    /// but never more than this many,
    pub count: u64,
    /// and never fewer than this many.
    pub at_least: u64,
}

impl Default for Brake {
    fn default() -> Self {
        Self {
            percent: 10,
            count: 500,
            at_least: 20,
        }
    }
}

/// The rules of one system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemRules {
    /// The part it plays.
    pub role: Role,
    /// When writing there is held.
    pub brake: Brake,
    /// Its streams.
    pub streams: BTreeMap<CompactString, StreamRules>,
}

impl SystemRules {
    /// The other streams that hold the same as this one: a customer is made in one of them at most.
    pub fn alternatives<'a>(&'a self, stream: &'a str) -> impl Iterator<Item = &'a CompactString> {
        let first = self.first(stream);
        let others = self.streams.keys().filter(move |other| other.as_str() != stream);
        others.filter(move |other| self.first(other.as_str()) == first)
    }

    /// The one of them in which customers are made.
    fn first<'a>(&'a self, stream: &'a str) -> &'a str {
        let rules = self.streams.get(stream);
        rules
            .and_then(|rules| rules.spec.instead_of.as_deref())
            .unwrap_or(stream)
    }
}

/// How far the scored match may go. Chances are in thousandths: 900 is nine of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchRules {
    /// From this chance on two customers become one.
    pub merge: u16,
    /// From this chance on a person is asked; below, they stay apart.
    pub review: u16,
    /// From this chance on a value of one record may replace that of another; below, only what is empty is filled.
    pub overwrite: u16,
}

impl Default for MatchRules {
    fn default() -> Self {
        Self {
            merge: 900,
            review: 500,
            overwrite: 996,
        }
    }
}

/// Everything a fold needs to know about the admin's wishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Systems by name.
    pub systems: BTreeMap<CompactString, SystemRules>,
    /// Rules of fields that have one of their own.
    pub fields: BTreeMap<FieldName, FieldRule>,
    /// The rule of all other fields.
    pub default: Option<FieldRule>,
    /// Fields that hold an id the company itself gives to its customers.
    pub external_ids: Vec<FieldName>,
    /// How long a deletion waits before other tools hear of it; see [`Rules::quarantine`].
    pub quarantine: Option<Duration>,
    /// Fields that may flow only to systems of these roles; see [`Rules::may_flow`] for those that are not named.
    pub share: BTreeMap<FieldName, BTreeSet<Role>>,
    /// The scored match; `None` joins by identifiers alone.
    pub matching: Option<MatchRules>,
    /// How customers pass from one team to the next.
    pub handoffs: Vec<handoff::Rule>,
    /// Who is served before others.
    pub priority: Option<Priority>,
    /// The most records that a customer may have; see [`Rules::size_max`].
    pub size_max: Option<usize>,
    /// Systems that get export files, and what the admin says about them, as text.
    pub exports: BTreeMap<CompactString, String>,
}

/// Who is served before others: the writes of these customers count as due earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priority {
    /// The field that says who.
    pub field: FieldName,
    /// Its values, and how much earlier.
    pub head_start: BTreeMap<CompactString, Duration>,
}

/// How much earlier a customer's writes count as due while she is on her way from one team to the next.
const HANDOFF_AHEAD: Duration = Duration::from_mins(10);

impl Rules {
    /// How much earlier a customer's writes count as due; `None` when nobody's do.
    #[must_use]
    pub fn head_start(&self, golden: &Fields, is_handed_over: bool) -> Option<Duration> {
        if self.priority.is_none() && self.handoffs.is_empty() {
            return None;
        }
        let by_tier = self.priority.as_ref().and_then(|priority| {
            let tier = golden.text(priority.field.as_str())?;
            priority.head_start.get(tier).copied()
        });
        let by_handoff = is_handed_over.then_some(HANDOFF_AHEAD);
        Some(by_tier.max(by_handoff).unwrap_or_default())
    }
}

/// How long a deletion waits when nothing else is said.
const QUARANTINE: Duration = Duration::from_hours(24);

/// The most records of one customer when nothing else is said.
const SIZE_MAX: usize = 50;

impl Rules {
    /// How long a deletion waits before other tools hear of it.
    #[must_use]
    pub fn quarantine(&self) -> Duration {
        self.quarantine.unwrap_or(QUARANTINE)
    }

    /// The most records that a customer may have. Nothing is written because of a larger one: no person stands in so many
    /// places, but many people may share what was taken for hers. Somebody's word that she is right lifts it.
    #[must_use]
    pub fn size_max(&self) -> usize {
        self.size_max.unwrap_or(SIZE_MAX)
    }

    /// System names in the default order of trust: by role, then by name.
    #[must_use]
    pub fn by_trust(&self) -> Vec<CompactString> {
        let mut names: Vec<_> = self
            .systems
            .iter()
            .map(|(name, system)| (system.role, name.clone()))
            .collect();
        names.sort();
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// The rules of a stream.
    #[must_use]
    pub fn stream(&self, system: &str, stream: &str) -> Option<&StreamRules> {
        self.systems.get(system)?.streams.get(stream)
    }

    /// True when a stream's objects are activities.
    #[must_use]
    pub fn is_activity(&self, system: &str, stream: &str) -> bool {
        self.stream(system, stream)
            .is_some_and(|rules| rules.spec.is_activity())
    }

    /// When writing to a system is held.
    #[must_use]
    pub fn brake(&self, system: &str) -> &Brake {
        static USUAL: Brake = Brake {
            percent: 10,
            count: 500,
            at_least: 20,
        };
        self.systems.get(system).map_or(&USUAL, |system| &system.brake)
    }

    /// The brake for what concerns customers and no system alone: of each figure the strictest that a system has.
    #[must_use]
    pub fn common_brake(&self) -> Brake {
        let brakes = self.systems.values().map(|system| system.brake.clone());
        let stricter = |a: Brake, b: Brake| Brake {
            percent: a.percent.min(b.percent),
            count: a.count.min(b.count),
            at_least: a.at_least.min(b.at_least),
        };
        brakes.reduce(stricter).unwrap_or_default()
    }

    /// What a stream's objects are about; persons when the stream is not known.
    #[must_use]
    pub fn kind(&self, system: &str, stream: &str) -> Kind {
        self.stream(system, stream)
            .map_or(Kind::Person, |rules| rules.spec.kind)
    }
}
