//! The outbox: what is wanted of each target, who holds it at the moment, and how both meet.
//!
//! The wanted state of a target may change while an older one is on its way to the tool. Then the row holds the newer
//! one, stays leased, and is due again as soon as the older one has ended.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::row::{self, limit_of, optional_json, signed, slot_value, to_json, unsigned};
use super::streams::Streams;
use super::trouble::Trouble;
use super::turns;
use super::worker::Desk;
use crate::ledger::{Slot, Target, Write, WriteState};
use crate::model::{CustomerKey, StreamId, UnixMillis};

/// Removed while it was on its way or its outcome was not known. Kept for its generation, so that a late acknowledgement
/// cannot meet a reused one, and for its uncertainty.
const REMOVED: u8 = 4;

/// The columns that [`write`] reads, in its order.
macro_rules! write_columns {
    () => {
        "w.stream, w.slot, w.state, w.due_at, w.generation, w.attempts, w.is_uncertain, w.operation, w.fields, w.problem, w.run, \
         w.removes_at"
    };
}

/// The due writes of customers with a head start, in the order of their turns.
macro_rules! ahead_query {
    () => {
        "SELECT w.stream, w.slot, w.state, w.due_at, w.generation, w.attempts, w.is_uncertain, w.operation, w.fields, w.problem, \
         w.run, w.removes_at, c.key, c.kind, h.ahead_ms FROM head_start h CROSS JOIN write w ON w.customer = h.customer \
         JOIN customer c ON c.id = w.customer \
         WHERE w.state = 0 AND w.stream = ?1 AND w.due_at <= ?2 AND coalesce(w.removes_at, ?2) <= ?2 \
         ORDER BY w.due_at - h.ahead_ms, w.slot LIMIT ?3"
    };
}
pub(super) use ahead_query;

pub(super) fn state_number(state: WriteState) -> u8 {
    match state {
        WriteState::Due => 0,
        WriteState::Leased => 1,
        WriteState::Dead => 2,
        WriteState::Held => 3,
    }
}

/// The state of that number; `None` for a row that is only kept for its generation.
pub(super) fn state_of(number: u8) -> Option<WriteState> {
    [WriteState::Due, WriteState::Leased, WriteState::Dead, WriteState::Held]
        .into_iter()
        .find(|state| state_number(*state) == number)
}

fn write(conn: &Connection, streams: &mut Streams, row: &Row<'_>, customer: CustomerKey) -> Result<Write, Trouble> {
    let state = state_of(row.get(2)?).ok_or_else(|| Trouble::bug("a removed write was listed"))?;
    Ok(Write {
        target: Target {
            stream: streams.name(conn, row.get(0)?)?.clone(),
            slot: row::slot(row, 1)?,
        },
        customer,
        fields: row::json(row, 8)?,
        generation: unsigned(row.get(4)?),
        due_at: UnixMillis(row.get(3)?),
        attempts: row.get(5)?,
        problem: row::json_or_none(row, 9)?,
        state,
        operation: row::text(row, 7)?.into(),
        is_uncertain: row.get(6)?,
        run: row.get(10)?,
        removes_at: row::time(row, 11)?,
    })
}

/// The pending writes of one customer.
pub(super) fn of_customer(
    conn: &Connection,
    streams: &mut Streams,
    id: i64,
    key: CustomerKey,
    into: &mut BTreeMap<Target, Write>,
) -> Result<(), Trouble> {
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        write_columns!(),
        " FROM write w WHERE w.customer = ?1 AND w.state <> 4"
    ))?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        let write = write(conn, streams, row, key)?;
        into.insert(write.target.clone(), write);
    }
    Ok(())
}

/// What decides how a change meets the row that is there.
struct Present {
    state: u8,
    generation: u64,
    is_uncertain: bool,
}

impl Present {
    fn is_leased(&self) -> bool {
        self.state == state_number(WriteState::Leased)
    }
}

fn present(conn: &Connection, stream: i64, target: &Target) -> Result<Option<Present>, Trouble> {
    let found = conn
        .prepare_cached("SELECT state, generation, is_uncertain FROM write WHERE stream = ?1 AND slot = ?2")?
        .query_row((stream, slot_value(&target.slot)), |row| {
            Ok(Present {
                state: row.get(0)?,
                generation: unsigned(row.get(1)?),
                is_uncertain: row.get(2)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// Takes a newer wish in; see [`crate::ledger::WriteChange::Put`].
///
/// That a create may have been carried out is never forgotten here, whatever the fold saw: it may have looked before the
/// attempt whose answer was lost.
pub(super) fn put(conn: &Connection, stream: i64, write: &Write, customer: i64) -> Result<(), Trouble> {
    let Some(present) = present(conn, stream, &write.target)? else {
        return insert(conn, stream, write, customer);
    };
    let newer = write.generation.max(present.generation + 1);
    let is_uncertain = write.is_uncertain || present.is_uncertain;
    if present.state == REMOVED {
        replace(conn, stream, write, customer, newer, is_uncertain)
    } else if present.is_leased() {
        wish_behind_a_lease(conn, stream, write, customer, newer)
    } else if write.generation >= present.generation {
        replace(conn, stream, write, customer, write.generation, is_uncertain)
    } else {
        set_fate(conn, stream, write, write.due_at, is_uncertain)
    }
}

fn wish_behind_a_lease(
    conn: &Connection,
    stream: i64,
    write: &Write,
    customer: i64,
    generation: u64,
) -> Result<(), Trouble> {
    conn.prepare_cached(
        "UPDATE write SET fields = ?3, generation = ?4, customer = ?5, next_operation = ?6, run = ?7, \
         removes_at = ?8 WHERE stream = ?1 AND slot = ?2",
    )?
    .execute((
        stream,
        slot_value(&write.target.slot),
        to_json(&write.fields)?,
        signed(generation),
        customer,
        write.operation.as_str(),
        write.run,
        write.removes_at.map(|at| at.0),
    ))?;
    Ok(())
}

/// Sets when, and whether, a row is to be tried (again); what is wanted stays.
fn set_fate(
    conn: &Connection,
    stream: i64,
    write: &Write,
    due_at: UnixMillis,
    is_uncertain: bool,
) -> Result<(), Trouble> {
    conn.prepare_cached(
        "UPDATE write SET state = ?3, due_at = ?4, attempts = ?5, problem = ?6, is_uncertain = ?7, leased_at = NULL \
         WHERE stream = ?1 AND slot = ?2",
    )?
    .execute((
        stream,
        slot_value(&write.target.slot),
        state_number(unleased(write.state)),
        due_at.0,
        write.attempts,
        optional_json(write.problem.as_ref())?,
        is_uncertain,
    ))?;
    Ok(())
}

/// Nobody holds a row that comes in here, whatever the view said when it was folded.
fn unleased(state: WriteState) -> WriteState {
    match state {
        WriteState::Leased => WriteState::Due,
        state => state,
    }
}

fn insert(conn: &Connection, stream: i64, write: &Write, customer: i64) -> Result<(), Trouble> {
    conn.prepare_cached(
        "INSERT INTO write (stream, slot, customer, state, due_at, generation, attempts, is_uncertain, operation, \
         fields, problem, run, removes_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute((
        stream,
        slot_value(&write.target.slot),
        customer,
        state_number(unleased(write.state)),
        write.due_at.0,
        signed(write.generation),
        write.attempts,
        write.is_uncertain,
        write.operation.as_str(),
        to_json(&write.fields)?,
        optional_json(write.problem.as_ref())?,
        write.run,
        write.removes_at.map(|at| at.0),
    ))?;
    Ok(())
}

fn replace(
    conn: &Connection,
    stream: i64,
    write: &Write,
    customer: i64,
    generation: u64,
    is_uncertain: bool,
) -> Result<(), Trouble> {
    conn.prepare_cached(
        "UPDATE write SET customer = ?3, generation = ?4, operation = ?5, fields = ?6, next_operation = NULL, run = ?7, \
         removes_at = ?8 WHERE stream = ?1 AND slot = ?2",
    )?
    .execute((
        stream,
        slot_value(&write.target.slot),
        customer,
        signed(generation),
        write.operation.as_str(),
        to_json(&write.fields)?,
        write.run,
        write.removes_at.map(|at| at.0),
    ))?;
    set_fate(conn, stream, write, write.due_at, is_uncertain)
}

/// Ends a lease with what became of it; see [`crate::ledger::WriteChange::Settle`].
pub(super) fn settle(conn: &Connection, stream: i64, write: &Write, at: UnixMillis) -> Result<(), Trouble> {
    let Some(present) = present(conn, stream, &write.target)? else {
        return Ok(());
    };
    if present.state == REMOVED && !write.is_uncertain {
        return delete(conn, stream, &write.target);
    }
    if !present.is_leased() {
        return Ok(());
    }
    if present.generation == write.generation {
        return set_fate(conn, stream, write, write.due_at, write.is_uncertain);
    }
    next_wish(conn, stream, &write.target, at, write.is_uncertain)
}

/// The older wish has ended: the newer one is due, with its attempts counted from the start.
///
/// It goes out under a name of its own, which a tool that knows operations by name would otherwise take for a
/// repetition; except where the older one may have been carried out and must be recognised.
fn next_wish(
    conn: &Connection,
    stream: i64,
    target: &Target,
    at: UnixMillis,
    is_uncertain: bool,
) -> Result<(), Trouble> {
    conn.prepare_cached(
        "UPDATE write SET state = 0, due_at = ?3, attempts = 0, problem = NULL, is_uncertain = ?4, leased_at = NULL, \
         operation = iif(?4, operation, coalesce(next_operation, operation)), next_operation = NULL \
         WHERE stream = ?1 AND slot = ?2",
    )?
    .execute((stream, slot_value(&target.slot), at.0, is_uncertain))?;
    Ok(())
}

/// Removes whatever is wanted of a target; see [`crate::ledger::WriteChange::Remove`].
///
/// What is on its way, or was and may have made an object, leaves a trace: a later wish must not be ended by the answer
/// to this one, and must look before it makes an object.
pub(super) fn remove(conn: &Connection, stream: i64, target: &Target) -> Result<(), Trouble> {
    let kept = conn
        .prepare_cached(
            "UPDATE write SET state = 4, fields = '{}', problem = NULL, next_operation = NULL \
             WHERE stream = ?1 AND slot = ?2 AND (state IN (1, 4) OR is_uncertain)",
        )?
        .execute((stream, slot_value(&target.slot)))?;
    if kept == 0 {
        delete(conn, stream, target)
    } else {
        Ok(())
    }
}

fn delete(conn: &Connection, stream: i64, target: &Target) -> Result<(), Trouble> {
    conn.prepare_cached("DELETE FROM write WHERE stream = ?1 AND slot = ?2")?
        .execute((stream, slot_value(&target.slot)))?;
    Ok(())
}

/// An acknowledged delivery; see [`crate::ledger::WriteChange::RemoveGeneration`].
pub(super) fn acknowledge(
    conn: &Connection,
    stream: i64,
    target: &Target,
    generation: u64,
    at: UnixMillis,
) -> Result<(), Trouble> {
    match present(conn, stream, target)? {
        Some(present) if present.generation == generation || present.state == REMOVED => delete(conn, stream, target),
        Some(present) if present.generation > generation && present.is_leased() => {
            next_wish(conn, stream, target, at, false)
        }
        _ => Ok(()),
    }
}

/// Hands out due writes; see [`crate::ledger::Ledger::claim`].
pub(super) fn claim(desk: &mut Desk, stream: &StreamId, now: UnixMillis, limit: usize) -> Result<Vec<Write>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let Some(number) = streams.find(conn, stream)? else {
        return Ok(Vec::new());
    };
    let mut claimed = Vec::new();
    // Records that the scored match has not seen may change who is who.
    let waits = conn.prepare_cached("SELECT 1 FROM rematch LIMIT 1")?.exists([])?;
    if waits {
        return Ok(claimed);
    }
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        write_columns!(),
        ", c.key, c.kind FROM write w JOIN customer c ON c.id = w.customer \
         WHERE w.state = 0 AND w.stream = ?1 AND w.due_at <= ?2 AND coalesce(w.removes_at, ?2) <= ?2 \
         AND NOT EXISTS (SELECT 1 FROM erasure e WHERE e.customer = w.customer AND e.is_open = 1) ORDER BY w.due_at, w.slot LIMIT ?3"
    ))?;
    let mut rows = statement.query((number, now.0, limit_of(limit)))?;
    while let Some(row) = rows.next()? {
        claimed.push(write(conn, streams, row, row::key(row, 12)?)?);
    }
    turns::mix(conn, number, now, limit, &mut claimed, |row| {
        write(conn, streams, row, row::key(row, 12)?)
    })?;
    let mut lease = conn.prepare_cached(
        "UPDATE write SET state = 1, attempts = ?3, is_uncertain = ?4, leased_at = ?5 WHERE stream = ?1 AND slot = ?2",
    )?;
    for write in &mut claimed {
        write.state = WriteState::Leased;
        write.attempts = write.attempts.saturating_add(1);
        let is_create = matches!(write.target.slot, Slot::New(_));
        lease.execute((
            number,
            slot_value(&write.target.slot),
            write.attempts,
            write.is_uncertain || is_create,
            now.0,
        ))?;
    }
    Ok(claimed)
}

/// Turns leased writes back into due ones; see [`crate::ledger::Ledger::release_leases`].
pub(super) fn release_leases(desk: &Desk, now: UnixMillis) -> Result<u64, Trouble> {
    // Creates that nobody will ever hear of stay: whoever wants the object again has to look first.
    desk.conn
        .execute("DELETE FROM write WHERE state = ?1 AND NOT is_uncertain", [REMOVED])?;
    let released = desk.conn.execute(
        "UPDATE write SET state = 0, due_at = min(due_at, ?1), leased_at = NULL WHERE state = 1",
        [now.0],
    )?;
    Ok(u64::try_from(released).unwrap_or(u64::MAX))
}

/// In the order of the table's own key: a list of all is one walk through it, and whatever happens to the row that was seen
/// last, none behind it is passed over.
pub(super) const LIST: &str = concat!(
    "SELECT ",
    write_columns!(),
    ", c.key, c.kind FROM write w CROSS JOIN customer c ON c.id = w.customer \
     WHERE w.state <> 4 AND (?1 >> w.state) & 1 AND (w.stream, w.slot) > (?2, ?3) \
     ORDER BY w.stream, w.slot LIMIT ?4"
);

/// Writes by state; see [`crate::ledger::Ledger::writes`].
pub(super) fn list(
    desk: &mut Desk,
    states: &[WriteState],
    after: Option<&Target>,
    limit: usize,
) -> Result<Vec<Write>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let after = match after {
        // A stream that is not known has no writes to begin behind.
        Some(target) => (
            streams.find(conn, &target.stream)?.unwrap_or(i64::MIN),
            slot_value(&target.slot),
        ),
        None => (i64::MIN, rusqlite::types::Value::Null),
    };
    let wanted = states
        .iter()
        .fold(0_u32, |bits, state| bits | (1 << state_number(*state)));
    let mut statement = conn.prepare_cached(LIST)?;
    let wanted = if wanted == 0 { u32::MAX } else { wanted };
    let mut rows = statement.query((wanted, after.0, after.1, limit_of(limit)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(write(conn, streams, row, row::key(row, 12)?)?);
    }
    Ok(found)
}

/// Earliest due time among due writes of a stream.
pub(super) fn next_due(desk: &mut Desk, stream: &StreamId) -> Result<Option<UnixMillis>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let Some(number) = streams.find(conn, stream)? else {
        return Ok(None);
    };
    let due_at: Option<i64> = conn
        .prepare_cached(
            "SELECT min(max(due_at, coalesce(removes_at, due_at))) FROM write WHERE state = 0 AND stream = ?1",
        )?
        .query_row([number], |row| row.get(0))?;
    Ok(due_at.map(UnixMillis))
}
