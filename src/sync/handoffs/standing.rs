//! What the target of a handoff holds of a customer, and if not, why not. Pure.

use std::collections::BTreeMap;

use super::passing::new_row;
use crate::handoff::{Note, NoteState, Proof, Reason, Rule, Standing};
use crate::ledger::{Slot, Target, View, Write, WriteState};
use crate::merge::{Create, Desire, Refusal, Rules, StreamRules, is_gone, refusal, says_same_name, stands_elsewhere};
use crate::model::{CustomerKey, FieldName, Fields, Record, UnixMillis, Value};
use crate::sync::consequence::is_too_large;

/// Rows of the outbox by what they are aimed at.
pub(super) type Outbox<'w> = BTreeMap<Target, &'w Write>;

/// A customer and one rule.
pub(super) struct Sight<'a> {
    pub(super) view: &'a View,
    pub(super) rules: &'a Rules,
    pub(super) rule: &'a Rule,
    pub(super) key: CustomerKey,
    pub(super) golden: &'a Fields,
    pub(super) members: &'a [&'a Record],
    pub(super) desires: &'a [Desire],
    pub(super) outbox: &'a Outbox<'a>,
    pub(super) now: UnixMillis,
    pub(super) note: Option<&'a Note>,
}

/// How near a record is to holding what was to be carried.
enum Held {
    AsRead,
    AsWritten,
    Lacks(FieldName),
}

impl Sight<'_> {
    /// What the target holds, seen from this rule.
    pub(super) fn standing(&self) -> Standing {
        let standing = self.of_record();
        match standing {
            Standing::Proven(_) | Standing::Unread(_) => self.unopened().unwrap_or(standing),
            Standing::Moving | Standing::Stuck(..) => standing,
        }
    }

    /// Why she has not arrived although her record has: what is to be opened for her is not there yet.
    fn unopened(&self) -> Option<Standing> {
        let note = self.note.filter(|_| self.rule.opens.is_some())?;
        match note.state {
            NoteState::Written => None,
            NoteState::Due | NoteState::Sent => Some(Standing::Moving),
            NoteState::GivenUp => Some(Standing::Stuck(Reason::Note, note.problem.clone().unwrap_or_default())),
        }
    }

    /// How far her record there is.
    fn of_record(&self) -> Standing {
        if let Some(standing) = self.by_note() {
            return standing;
        }
        let here = || {
            self.members
                .iter()
                .copied()
                .filter(|record| record.id.stream == self.rule.to)
        };
        let mut first_lack = None;
        for record in here().filter(|record| record.deleted_at.is_none()) {
            match self.held(record) {
                Held::AsRead => return Standing::Proven(self.proof(record, self.now)),
                Held::AsWritten => return self.written(record),
                Held::Lacks(field) => {
                    first_lack.get_or_insert((record, field));
                }
            }
        }
        match first_lack {
            Some((record, field)) => self.on_its_way(record, &field),
            None => self.to_be_made(here().next()),
        }
    }

    /// Where nothing but a note is handed over, it has arrived when the note stands there.
    fn by_note(&self) -> Option<Standing> {
        let note = self.note.filter(|_| self.rule.carry.is_empty() && !self.rule.create)?;
        let has_record = self
            .members
            .iter()
            .any(|record| record.id.stream == self.rule.to && record.deleted_at.is_none());
        match note.state {
            NoteState::Written => None,
            NoteState::Due | NoteState::Sent => has_record.then_some(Standing::Moving),
            NoteState::GivenUp => Some(Standing::Stuck(Reason::Note, note.problem.clone().unwrap_or_default())),
        }
    }

    fn written(&self, record: &Record) -> Standing {
        match self.view.read_back.get(&record.id) {
            Some(at) => Standing::Proven(self.proof(record, *at)),
            None => Standing::Unread(record.id.clone()),
        }
    }

    fn proof(&self, record: &Record, at: UnixMillis) -> Proof {
        let carried = self.rule.carry.iter();
        let read = |field: &FieldName| Some((field.clone(), record.fields.value(field.as_str())?.clone()));
        let opened = self
            .rule
            .opens
            .as_ref()
            .zip(self.note.and_then(|note| note.remote.as_ref()));
        Proof {
            record: record.id.clone(),
            opened: opened.map(|(stream, remote)| stream.record(remote.clone())),
            fields: carried.filter_map(read).collect(),
            at,
        }
    }

    /// Compares the carried fields that there are with what the record says.
    fn held(&self, record: &Record) -> Held {
        let mut is_ours = record.is_made && record.is_unread;
        for field in &self.rule.carry {
            let Some(wanted) = self.golden.value(field.as_str()) else {
                continue;
            };
            if !self.says(record, field, wanted) {
                return Held::Lacks(field.clone());
            }
            is_ours |= !record.asserts(field.as_str());
        }
        if is_ours { Held::AsWritten } else { Held::AsRead }
    }

    fn says(&self, record: &Record, field: &FieldName, wanted: &Value) -> bool {
        record.fields.value(field.as_str()) == Some(wanted)
            || says_same_name(field.as_str(), &record.fields, self.golden)
    }

    fn on_its_way(&self, record: &Record, field: &FieldName) -> Standing {
        let slot = Slot::Object(record.id.remote.clone());
        let target = Target {
            stream: self.rule.to.clone(),
            slot,
        };
        let row = self.outbox.get(&target).filter(|row| row.fields.contains_key(field));
        if let Some(row) = row {
            return by_row(row);
        }
        if let Some(problem) = &record.problem {
            return Standing::Stuck(Reason::Unusable, problem.to_string());
        }
        if is_gone(self.members, self.rules) {
            return gone();
        }
        if let Some(withheld) = self.withheld() {
            return withheld;
        }
        let role = self.rules.systems.get(&self.rule.to.system).map(|system| system.role);
        if role.is_some_and(|role| !self.rules.may_flow(field.as_str(), role)) {
            return Standing::Stuck(
                Reason::NotShared,
                format!("`share` keeps `{field}` away from {}", record.id.stream),
            );
        }
        let desire = self
            .desires
            .iter()
            .find(|desire| desire.object.as_ref() == Some(&record.id));
        if desire.is_some_and(|desire| desire.frozen.contains(field)) {
            return Standing::Stuck(
                Reason::Frozen,
                format!("`{field}` of {} is not written any more", record.id),
            );
        }
        if self.may_write() {
            return Standing::Stuck(Reason::Kept, format!("{} keeps a `{field}` of its own", record.id));
        }
        self.read_only()
    }

    fn to_be_made(&self, deleted: Option<&Record>) -> Standing {
        if let Some(row) = self.outbox.get(&new_row(&self.rule.to, self.key)) {
            return by_row(row);
        }
        if is_gone(self.members, self.rules) {
            return gone();
        }
        if let Some(withheld) = self.withheld() {
            return withheld;
        }
        if let Some(record) = deleted {
            return Standing::Stuck(Reason::Deleted, format!("{} was deleted there", record.id));
        }
        if !self.may_write() {
            return self.read_only();
        }
        let system = self.rules.systems.get(&self.rule.to.system);
        if let Some(other) = system.and_then(|system| stands_elsewhere(&self.rule.to, self.members, system)) {
            let why = format!("she is there as {other}, and nobody is made twice in one tool");
            return Standing::Stuck(Reason::NoCreate, why);
        }
        let doubtful = self.view.doubtful.get(&self.key);
        if doubtful.is_some_and(|streams| streams.contains(&self.rule.to)) {
            let why = "she may be the same customer as another one: `nivel review`".to_owned();
            return Standing::Stuck(Reason::Doubtful, why);
        }
        let stream = self.rules.stream(&self.rule.to.system, &self.rule.to.stream);
        let may = match stream.map(|stream| stream.create) {
            None | Some(Create::Never) => false,
            Some(Create::Handoff) => self.rule.create,
            Some(Create::Qualified | Create::Always) => true,
        };
        if !may {
            return Standing::Stuck(Reason::NoCreate, format!("Nivel may not make her in {}", self.rule.to));
        }
        let (reason, why) = match self.refused() {
            Some(Refusal::OptedOut) => (
                Reason::OptedOut,
                "she does not want to hear of us, and the tool cannot be told of it while she is made there",
            ),
            Some(Refusal::NotReachable) => (Reason::NoIdentifier, "nothing but her name may be told there"),
            _ => (
                Reason::NoIdentifier,
                "there is no address or id by which she could be found again there",
            ),
        };
        Standing::Stuck(reason, why.to_owned())
    }

    /// Why she may not be made there, although the handoff brings her.
    fn refused(&self) -> Option<Refusal> {
        let system = self.rules.systems.get(&self.rule.to.system)?;
        let stream = StreamRules {
            create: Create::Always,
            ..system.streams.get(&self.rule.to.stream)?.clone()
        };
        refusal(self.golden, self.rules, system, &stream)
    }

    fn withheld(&self) -> Option<Standing> {
        is_too_large(self.view, self.members, self.rules.size_max()).then(|| {
            let why = "she has more records than a person can have: `nivel customer pin`, or `split`".to_owned();
            Standing::Stuck(Reason::TooLarge, why)
        })
    }

    fn may_write(&self) -> bool {
        let stream = self.rules.stream(&self.rule.to.system, &self.rule.to.stream);
        stream.is_some_and(|stream| stream.write)
    }

    fn read_only(&self) -> Standing {
        Standing::Stuck(Reason::ReadOnly, format!("Nivel only reads {}", self.rule.to))
    }
}

fn by_row(row: &Write) -> Standing {
    let why = || row.problem.as_ref().map_or_else(String::new, ToString::to_string);
    match row.state {
        WriteState::Due | WriteState::Leased => Standing::Moving,
        WriteState::Dead => Standing::Stuck(Reason::DeadWrite, why()),
        WriteState::Held => Standing::Stuck(Reason::Held, why()),
    }
}

fn gone() -> Standing {
    Standing::Stuck(Reason::CustomerGone, "she was deleted where she came from".to_owned())
}

#[cfg(test)]
mod tests;
