//! Judges a run by what the tools saw: their histories, their final objects, and the generator's truth.
//!
//! It must never read Nivel's ledger. An empty list of findings means: nothing lost, nothing doubled, no loop, no older
//! value over a newer edit.

mod cast;
mod compare;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::history::{By, Op};
use super::people::{Link, People, Truth};
use super::{Sandbox, ToolName};
use cast::{Cast, Track};
pub use compare::Field;

/// Whose value a field shall have in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Any value that a person (or the seed) gave this persona.
    Any,
    /// The first of these tools that has a value.
    Own(Vec<ToolName>),
    /// The newest edit by a user; among seeded values any.
    Newest,
}

/// A tool that shall hold every persona.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which tool.
    pub tool: ToolName,
    /// Whether a persona that is missing there is a loss; else only personas it already has are judged.
    pub create: bool,
    /// The fields that shall have arrived.
    pub fields: Vec<Field>,
}

/// What a run was supposed to achieve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// Where people shall be.
    pub targets: Vec<Target>,
    /// Rules by field; a field that is not here has [`Rule::Any`].
    pub rules: BTreeMap<Field, Rule>,
    /// Updates by the daemon that one object may get between two edits by people.
    pub updates_max: usize,
    /// Writes by the daemon that changed nothing, over all tools: one for each ambiguous answer and each kill.
    pub idle_max: usize,
    /// Whether the daemon may delete objects.
    pub deletes: bool,
    /// Whether personas that are [`Link::Hard`] are judged too.
    pub hard: bool,
}

impl Default for Expectation {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            rules: BTreeMap::new(),
            updates_max: 3,
            idle_max: 0,
            deletes: false,
            hard: false,
        }
    }
}

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// A persona has no live object in a tool that should have one.
    Missing {
        /// Where.
        tool: ToolName,
        /// Who.
        persona: usize,
    },
    /// A field did not arrive, or arrived with a value nobody gave.
    Lost {
        /// Where.
        tool: ToolName,
        /// Who.
        persona: usize,
        /// The object.
        id: String,
        /// Which field.
        field: Field,
        /// What the tool has.
        got: Option<String>,
        /// What would have been right.
        wanted: Vec<String>,
    },
    /// The daemon created an object for a persona that had one there.
    Doubled {
        /// Where.
        tool: ToolName,
        /// Who.
        persona: usize,
        /// The new object.
        id: String,
        /// The objects that were live at that time.
        beside: Vec<String>,
    },
    /// More live objects of a persona than people made.
    Surplus {
        /// Where.
        tool: ToolName,
        /// Who.
        persona: usize,
        /// How many there are.
        live: usize,
        /// How many people made.
        made: usize,
    },
    /// The daemon created an object that belongs to nobody known.
    Stranger {
        /// Where.
        tool: ToolName,
        /// The object.
        id: String,
    },
    /// The daemon wrote one object again and again without a person's edit in between.
    Loop {
        /// Where.
        tool: ToolName,
        /// The object.
        id: String,
        /// How many updates in a row.
        updates: usize,
    },
    /// Writes that changed nothing, more than allowed.
    Idle {
        /// Where the first of them was.
        tool: ToolName,
        /// On which object.
        id: String,
        /// How many in all.
        writes: usize,
    },
    /// An older value replaced what a user had entered.
    Overwritten {
        /// Where.
        tool: ToolName,
        /// The object.
        id: String,
        /// Which field.
        field: Field,
        /// What the user had entered.
        edit: Option<String>,
        /// What the daemon made of it.
        by: Option<String>,
        /// Position of the daemon's write in the tool's history.
        seq: u64,
    },
    /// The daemon deleted an object and was not allowed to.
    Deleted {
        /// Where.
        tool: ToolName,
        /// The object.
        id: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { tool, persona } => write!(out, "{tool}: persona {persona} has no object"),
            Self::Lost {
                tool,
                persona,
                id,
                field,
                got,
                wanted,
            } => {
                write!(
                    out,
                    "{tool} {id}: {field:?} of persona {persona} is {got:?}, wanted one of {wanted:?}"
                )
            }
            Self::Doubled {
                tool,
                persona,
                id,
                beside,
            } => {
                write!(
                    out,
                    "{tool} {id}: created for persona {persona}, who was there as {beside:?}"
                )
            }
            Self::Surplus {
                tool,
                persona,
                live,
                made,
            } => {
                write!(
                    out,
                    "{tool}: persona {persona} has {live} live objects, people made {made}"
                )
            }
            Self::Stranger { tool, id } => write!(out, "{tool} {id}: created for nobody we know"),
            Self::Loop { tool, id, updates } => {
                write!(out, "{tool} {id}: {updates} updates in a row without an edit by a user")
            }
            Self::Idle { tool, id, writes } => write!(out, "{tool} {id}: {writes} writes in all changed nothing"),
            Self::Overwritten {
                tool,
                id,
                field,
                edit,
                by,
                seq,
            } => {
                write!(
                    out,
                    "{tool} {id}: {field:?} {edit:?} of a user was overwritten with the older {by:?} (event {seq})"
                )
            }
            Self::Deleted { tool, id } => write!(out, "{tool} {id}: deleted by the daemon"),
        }
    }
}

/// Checks a run. Sorted, so that two checks of one run agree to the byte.
#[must_use]
pub fn check(sandbox: &Sandbox, people: &People, truth: &Truth, expectation: &Expectation) -> Vec<Finding> {
    let cast = Cast::gather(sandbox, people, truth);
    let is_hard = |persona: usize| {
        people
            .personas
            .get(persona)
            .is_some_and(|persona| persona.link == Link::Hard)
    };
    let judged = |persona: usize| expectation.hard || !is_hard(persona);
    let mut findings = Vec::new();
    for persona in cast.personas().into_iter().filter(|persona| judged(*persona)) {
        losses(&cast, persona, expectation, &mut findings);
        doubles(&cast, persona, &mut findings);
    }
    for track in &cast.tracks {
        if track.persona.is_none() && track.made_by == By::Api {
            findings.push(Finding::Stranger {
                tool: track.tool,
                id: track.id.clone(),
            });
        }
        loops(&cast, track, expectation, &mut findings);
        if track.persona.is_none_or(judged) {
            overwritten(&cast, track, expectation, &mut findings);
        }
    }
    idle(&cast, expectation, &mut findings);
    findings.sort();
    findings
}

fn losses(cast: &Cast, persona: usize, expectation: &Expectation, findings: &mut Vec<Finding>) {
    if cast.is_deleted_by_user(persona) {
        return;
    }
    for target in &expectation.targets {
        let live: Vec<&Track> = cast
            .of(persona)
            .filter(|track| track.tool == target.tool && track.is_live())
            .collect();
        if live.is_empty() && target.create {
            findings.push(Finding::Missing {
                tool: target.tool,
                persona,
            });
        }
        for field in target.fields.iter().filter(|field| field.is_in(target.tool)) {
            let wanted = golden(cast, persona, *field, expectation);
            let right = |got: &Option<String>| {
                got.as_ref()
                    .is_some_and(|got| wanted.iter().any(|value| field.agrees(got, value)))
            };
            let gots = live
                .iter()
                .map(|track| (track, track.last.as_ref().and_then(|person| field.of(person))));
            findings.extend(
                gots.filter(|(_, got)| !wanted.is_empty() && !right(got))
                    .map(|(track, got)| Finding::Lost {
                        tool: target.tool,
                        persona,
                        id: track.id.clone(),
                        field: *field,
                        got,
                        wanted: wanted.iter().cloned().collect(),
                    }),
            );
        }
    }
}

/// The values that are right for a field of a persona; empty when nobody ever gave one.
fn golden(cast: &Cast, persona: usize, field: Field, expectation: &Expectation) -> BTreeSet<String> {
    let given = |tool: Option<ToolName>| -> BTreeSet<String> {
        let tracks = cast
            .of(persona)
            .filter(|track| tool.is_none_or(|tool| track.tool == tool));
        tracks
            .filter_map(|track| track.asserted(field))
            .filter_map(|claim| claim.value)
            .collect()
    };
    match expectation.rules.get(&field).unwrap_or(&Rule::Any) {
        Rule::Any => given(None),
        Rule::Own(tools) => tools
            .iter()
            .map(|tool| given(Some(*tool)))
            .find(|values| !values.is_empty())
            .unwrap_or_default(),
        Rule::Newest => {
            let claims: Vec<_> = cast.of(persona).filter_map(|track| track.asserted(field)).collect();
            match claims
                .iter()
                .filter(|claim| claim.by == By::User)
                .map(|claim| claim.at_ms)
                .max()
            {
                Some(newest) => claims
                    .into_iter()
                    .filter(|claim| claim.by == By::User && claim.at_ms == newest)
                    .filter_map(|claim| claim.value)
                    .collect(),
                None => given(None),
            }
        }
    }
}

fn doubles(cast: &Cast, persona: usize, findings: &mut Vec<Finding>) {
    for tool in ToolName::EVERY {
        let tracks: Vec<&Track> = cast.of(persona).filter(|track| track.tool == tool).collect();
        for track in tracks.iter().filter(|track| track.made_by == By::Api) {
            let others = tracks
                .iter()
                .filter(|other| other.born < track.born && other.died.is_none_or(|died| died > track.born));
            let beside: Vec<String> = others.map(|other| other.id.clone()).collect();
            if !beside.is_empty() {
                findings.push(Finding::Doubled {
                    tool,
                    persona,
                    id: track.id.clone(),
                    beside,
                });
            }
        }
        let live = tracks.iter().filter(|track| track.is_live()).count();
        let made = tracks
            .iter()
            .filter(|track| track.is_live() && track.made_by != By::Api)
            .count();
        if live > made.max(1) {
            findings.push(Finding::Surplus {
                tool,
                persona,
                live,
                made,
            });
        }
    }
}

fn loops(cast: &Cast, track: &Track, expectation: &Expectation, findings: &mut Vec<Finding>) {
    // An edit anywhere excuses writes everywhere, so they are counted between the edits of all the persona's objects.
    let edits: BTreeSet<i64> = match track.persona {
        Some(persona) => cast.of(persona).flat_map(Track::edit_times).collect(),
        None => track.edit_times().collect(),
    };
    let mut in_row: BTreeMap<usize, usize> = BTreeMap::new();
    for step in track
        .steps
        .iter()
        .filter(|step| step.by == By::Api && step.op == Op::Update)
    {
        *in_row.entry(edits.range(..=step.at_ms).count()).or_default() += 1;
    }
    let updates = in_row.into_values().max().unwrap_or_default();
    if updates > expectation.updates_max {
        findings.push(Finding::Loop {
            tool: track.tool,
            id: track.id.clone(),
            updates,
        });
    }
    let deleted = track
        .steps
        .iter()
        .any(|step| step.by == By::Api && step.op == Op::Delete);
    if deleted && !expectation.deletes {
        findings.push(Finding::Deleted {
            tool: track.tool,
            id: track.id.clone(),
        });
    }
}

fn idle(cast: &Cast, expectation: &Expectation, findings: &mut Vec<Finding>) {
    let is_idle = |step: &&cast::Step| step.by == By::Api && step.op == Op::Update && step.changed == 0;
    let writes: usize = cast
        .tracks
        .iter()
        .map(|track| track.steps.iter().filter(is_idle).count())
        .sum();
    let first = cast
        .tracks
        .iter()
        .find(|track| track.steps.iter().any(|step| is_idle(&step)));
    if let Some(track) = first.filter(|_| writes > expectation.idle_max) {
        findings.push(Finding::Idle {
            tool: track.tool,
            id: track.id.clone(),
            writes,
        });
    }
}

/// A write after a user's edit may bring a newer value, or the value of the field's owner; nothing else.
fn overwritten(cast: &Cast, track: &Track, expectation: &Expectation, findings: &mut Vec<Finding>) {
    if track.edit_times().next().is_none() {
        return;
    }
    for field in Field::ALL {
        let mut edit: Option<(i64, Option<String>)> = None;
        for step in &track.steps {
            let (before, after) = (step.before(field), step.after(field));
            if before == after {
                continue;
            }
            if step.by != By::Api {
                edit = (step.by == By::User).then_some((step.at_ms, after));
                continue;
            }
            let Some((at_ms, entered)) = edit.take().filter(|(_, entered)| *entered == before) else {
                continue;
            };
            let value = after.as_deref();
            if !newer(cast, track, field, at_ms, value) && !owned(cast, track, field, value, expectation) {
                let (tool, id) = (track.tool, track.id.clone());
                findings.push(Finding::Overwritten {
                    tool,
                    id,
                    field,
                    edit: entered,
                    by: after,
                    seq: step.seq,
                });
            }
        }
    }
}

/// Somebody entered this value at the same time or later, elsewhere.
fn newer(cast: &Cast, track: &Track, field: Field, at_ms: i64, value: Option<&str>) -> bool {
    let Some(persona) = track.persona else { return false };
    let is_it = |found: Option<String>| match (found.as_deref(), value) {
        (Some(found), Some(value)) => field.agrees(found, value),
        (found, value) => found.is_none() && value.is_none(),
    };
    let others = cast
        .of(persona)
        .filter(|other| (other.tool, &other.id) != (track.tool, &track.id));
    others.flat_map(|other| &other.steps).any(|step| {
        step.by == By::User
            && step.at_ms >= at_ms
            && step.before(field) != step.after(field)
            && is_it(step.after(field))
    })
}

/// The rule gives the field to another tool, and that tool says so.
fn owned(cast: &Cast, track: &Track, field: Field, value: Option<&str>, expectation: &Expectation) -> bool {
    let (Some(persona), Some(Rule::Own(tools))) = (track.persona, expectation.rules.get(&field)) else {
        return false;
    };
    let claims = |tool: ToolName| -> Vec<String> {
        let tracks = cast.of(persona).filter(|other| other.tool == tool);
        tracks
            .flat_map(|other| other.claims(field))
            .filter_map(|claim| claim.value)
            .collect()
    };
    let before_us = tools.iter().take_while(|tool| **tool != track.tool);
    value.is_some_and(|value| {
        before_us
            .flat_map(|tool| claims(*tool))
            .any(|claim| field.agrees(&claim, value))
    })
}
