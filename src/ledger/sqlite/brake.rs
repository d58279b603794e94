//! What a stream wants in one go, and holding it.

use super::outbox::state_number;
use super::row::{optional_json, unsigned};
use super::trouble::Trouble;
use super::worker::Desk;
use crate::error::Problem;
use crate::ledger::{DueWrites, WriteState};
use crate::model::{StreamId, UnixMillis};

/// Asked before every batch, so it must not walk through the whole outbox of the stream, as SQLite would by itself.
pub(super) const DUE: &str = "SELECT typeof(slot) = 'blob', removes_at IS NOT NULL, count(*) FROM write INDEXED BY write_state \
     WHERE state IN (0, 3) AND stream = ?1 AND due_at > ?2 AND attempts = 0 AND (state = 0 OR removes_at IS NOT NULL) \
     GROUP BY 1, 2";

/// How much came due after `since` and was not tried yet; of removals, also what is held.
pub(super) fn due(desk: &mut Desk, stream: &StreamId, since: UnixMillis) -> Result<DueWrites, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut due = DueWrites::default();
    let Some(number) = streams.find(conn, stream)? else {
        return Ok(due);
    };
    let mut statement = conn.prepare_cached(DUE)?;
    let mut rows = statement.query((number, since.0))?;
    while let Some(row) = rows.next()? {
        let count = unsigned(row.get(2)?);
        match (row.get(0)?, row.get(1)?) {
            (_, true) => due.deletes += count,
            (true, false) => due.creates += count,
            (false, false) => due.updates += count,
        }
    }
    Ok(due)
}

/// Holds the creates and changes that [`due`] counts.
pub(super) fn hold(desk: &mut Desk, stream: &StreamId, since: UnixMillis, problem: &Problem) -> Result<u64, Trouble> {
    hold_some(desk, stream, since, problem, false)
}

/// Holds the removals that [`due`] counts.
pub(super) fn hold_deletes(
    desk: &mut Desk,
    stream: &StreamId,
    since: UnixMillis,
    problem: &Problem,
) -> Result<u64, Trouble> {
    hold_some(desk, stream, since, problem, true)
}

fn hold_some(
    desk: &mut Desk,
    stream: &StreamId,
    since: UnixMillis,
    problem: &Problem,
    deletes: bool,
) -> Result<u64, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let Some(number) = streams.find(conn, stream)? else {
        return Ok(0);
    };
    let held = conn
        .prepare_cached(
            "UPDATE write SET state = ?3, problem = ?4 \
             WHERE state = 0 AND stream = ?1 AND due_at > ?2 AND attempts = 0 AND (removes_at IS NOT NULL) = ?5",
        )?
        .execute((
            number,
            since.0,
            state_number(WriteState::Held),
            optional_json(Some(problem))?,
            deletes,
        ))?;
    Ok(u64::try_from(held).unwrap_or(u64::MAX))
}

/// Makes held writes due.
pub(super) fn release(desk: &Desk, now: UnixMillis) -> Result<u64, Trouble> {
    let released = desk
        .conn
        .prepare_cached("UPDATE write SET state = 0, due_at = ?2, problem = NULL WHERE state = ?1")?
        .execute((state_number(WriteState::Held), now.0))?;
    Ok(u64::try_from(released).unwrap_or(u64::MAX))
}

/// Records of a stream that are not deleted.
pub(super) fn count_records(desk: &mut Desk, stream: &StreamId) -> Result<u64, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let Some(number) = streams.find(conn, stream)? else {
        return Ok(0);
    };
    let all: i64 = conn
        .prepare_cached("SELECT count(*) FROM record WHERE stream = ?1")?
        .query_row([number], |row| row.get(0))?;
    let gone: i64 = conn
        .prepare_cached("SELECT count(*) FROM record WHERE stream = ?1 AND deleted_at IS NOT NULL")?
        .query_row([number], |row| row.get(0))?;
    Ok(unsigned(all - gone))
}
