//! Small notes beside the commits: what is wrong with a stream, runs, decisions, settings, retention.

use super::row::optional_json;
use super::trouble::Trouble;
use super::worker::Desk;
use crate::error::Problem;
use crate::ledger::{Decision, Keep, Run};
use crate::model::{StreamId, UnixMillis};

/// Most rows that one transaction of [`trim`] looks at, so that commits never wait long behind it.
const TRIM_ROWS: i64 = 5000;

/// Removes the oldest rows that are past their time. How many it removed; 0 when nothing is left to do.
pub(super) fn trim(desk: &Desk, now: UnixMillis, keep: Keep) -> Result<u64, Trouble> {
    // Rows come in the order of time, so the oldest ones are the first; looking at those alone needs no index on time.
    let changes = desk
        .conn
        .prepare_cached("DELETE FROM change WHERE at < ?1 AND id IN (SELECT id FROM change ORDER BY id LIMIT ?2)")?
        .execute((now.minus(keep.changes).0, TRIM_ROWS))?;
    let runs = desk
        .conn
        .prepare_cached("DELETE FROM run WHERE started_at < ?1 AND id IN (SELECT id FROM run ORDER BY id LIMIT ?2)")?
        .execute((now.minus(keep.runs).0, TRIM_ROWS))?;
    let requests = desk
        .conn
        .prepare_cached(
            "DELETE FROM request WHERE answered_at < ?1 AND id IN (SELECT id FROM request ORDER BY id LIMIT ?2)",
        )?
        .execute((now.minus(keep.runs).0, TRIM_ROWS))?;
    let events = super::inbox::trim(&desk.conn, now.minus(keep.inbox), TRIM_ROWS)?;
    Ok(u64::try_from(changes + runs + requests + events).unwrap_or(u64::MAX))
}

pub(super) fn note_stream(
    desk: &mut Desk,
    stream: &StreamId,
    problem: Option<&Problem>,
    parked_until: Option<UnixMillis>,
) -> Result<(), Trouble> {
    let Desk { conn, streams, .. } = desk;
    let number = streams.make(conn, stream)?;
    conn.prepare_cached(
        "INSERT INTO stream_state (stream, problem, parked_until) VALUES (?1, ?2, ?3) \
         ON CONFLICT (stream) DO UPDATE SET problem = excluded.problem, parked_until = excluded.parked_until",
    )?
    .execute((number, optional_json(problem)?, parked_until.map(|at| at.0)))?;
    Ok(())
}

pub(super) fn open_run(desk: &mut Desk, stream: &StreamId, at: UnixMillis) -> Result<i64, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let number = streams.make(conn, stream)?;
    conn.prepare_cached("INSERT INTO run (stream, started_at) VALUES (?1, ?2)")?
        .execute((number, at.0))?;
    Ok(conn.last_insert_rowid())
}

/// The figures are not taken from here: each commit has added its own, so they are right even after a crash.
pub(super) fn close_run(desk: &Desk, run: &Run) -> Result<(), Trouble> {
    desk.conn
        .prepare_cached("UPDATE run SET ended_at = ?2, problem = ?3 WHERE id = ?1")?
        .execute((
            run.id,
            run.ended_at.map(|at| at.0),
            optional_json(run.problem.as_ref())?,
        ))?;
    Ok(())
}

/// The pair is kept in order, so that a second word on it replaces the first whichever way round it is said.
pub(super) fn decide(desk: &Desk, decision: &Decision, by: &str, at: UnixMillis) -> Result<(), Trouble> {
    let (left, right) = if decision.left <= decision.right {
        (&decision.left, &decision.right)
    } else {
        (&decision.right, &decision.left)
    };
    desk.conn
        .prepare_cached(
            "INSERT OR REPLACE INTO decision (left, right, same, decided_by, decided_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((left.to_string(), right.to_string(), decision.same, by, at.0))?;
    Ok(())
}

pub(super) fn set_setting(desk: &Desk, name: &str, value: &str) -> Result<(), Trouble> {
    desk.conn
        .prepare_cached("INSERT OR REPLACE INTO setting (name, value) VALUES (?1, ?2)")?
        .execute((name, value))?;
    Ok(())
}

/// A write that changes something each time and means nothing.
pub(super) fn probe(desk: &Desk) -> Result<(), Trouble> {
    desk.conn.execute(
        "INSERT INTO setting (name, value) VALUES (' probe', '1') \
         ON CONFLICT (name) DO UPDATE SET value = value + 1",
        [],
    )?;
    Ok(())
}
