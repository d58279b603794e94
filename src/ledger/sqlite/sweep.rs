//! Full sweeps: which records they met, and which they did not.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::row::{self, limit_of, optional_json, signed, unsigned};
use super::streams::Streams;
use super::trouble::Trouble;
use super::worker::Desk;
use crate::error::Problem;
use crate::ledger::{Commit, Sweep, SweepPage, SweepStage};
use crate::model::{RecordId, StreamId};

const STAGES: [SweepStage; 5] = [
    SweepStage::Over,
    SweepStage::UnderWay,
    SweepStage::Read,
    SweepStage::Held,
    SweepStage::Approved,
];

fn stage_number(stage: SweepStage) -> i64 {
    STAGES
        .iter()
        .zip(0..)
        .find(|(one, _)| **one == stage)
        .map_or(0, |(_, number)| number)
}

/// A sweep from its four columns, the first of which is `at`: epoch, name, stage, problem.
pub(super) fn of_row(row: &Row<'_>, at: usize) -> Result<Sweep, Trouble> {
    let number: u8 = row.get(at + 2)?;
    let stage = STAGES.get(usize::from(number)).copied();
    Ok(Sweep {
        epoch: unsigned(row.get(at)?),
        name: row::time(row, at + 1)?,
        stage: stage.ok_or_else(|| Trouble::bug(format!("no stage of a sweep has the number {number}")))?,
        problem: row::json_or_none(row, at + 3)?,
    })
}

/// The sweep that a page belongs to begins, goes on or ends.
pub(super) fn page(conn: &Connection, streams: &mut Streams, page: &SweepPage) -> Result<(), Trouble> {
    let stream = streams.make(conn, &page.stream)?;
    conn.prepare_cached("INSERT OR IGNORE INTO stream_state (stream) VALUES (?1)")?
        .execute([stream])?;
    let mut statement = conn.prepare_cached(
        "SELECT sweep_epoch, sweep_name, sweep_stage, sweep_problem FROM stream_state WHERE stream = ?1",
    )?;
    let mut rows = statement.query([stream])?;
    let before = rows
        .next()?
        .map_or_else(|| Ok(Sweep::default()), |row| of_row(row, 0))?;
    put(conn, stream, &before.after(page))
}

fn put(conn: &Connection, stream: i64, sweep: &Sweep) -> Result<(), Trouble> {
    conn.prepare_cached(
        "UPDATE stream_state SET sweep_epoch = ?2, sweep_name = ?3, sweep_stage = ?4, sweep_problem = ?5 WHERE stream = ?1",
    )?
    .execute((
        stream,
        signed(sweep.epoch),
        sweep.name.map(|name| name.0),
        stage_number(sweep.stage),
        optional_json(sweep.problem.as_ref())?,
    ))?;
    Ok(())
}

/// Notes with the latest sweep of their streams what a commit met and what it put. Streams that are never swept cost
/// nothing but one look.
pub(super) fn mark(conn: &Connection, streams: &mut Streams, commit: &Commit) -> Result<(), Trouble> {
    let mut epochs: BTreeMap<&StreamId, (i64, i64)> = BTreeMap::new();
    let mut latest: Option<(&StreamId, (i64, i64))> = None;
    let mut look = conn.prepare_cached("SELECT sweep_epoch FROM stream_state WHERE stream = ?1")?;
    let mut set =
        conn.prepare_cached("UPDATE record SET sweep = ?3 WHERE stream = ?1 AND remote = ?2 AND sweep IS NOT ?3")?;
    let mut set_activity =
        conn.prepare_cached("UPDATE activity SET sweep = ?3 WHERE stream = ?1 AND remote = ?2 AND sweep IS NOT ?3")?;
    let put = commit.records.iter().map(|(record, _)| &record.id);
    let put = put.chain(commit.activities.iter().map(|activity| &activity.id));
    for id in commit.seen.iter().chain(put) {
        let known = latest
            .filter(|(stream, _)| **stream == id.stream)
            .map(|(_, known)| known);
        let (stream, epoch) = match known.or_else(|| epochs.get(&id.stream).copied()) {
            Some(known) => known,
            None => {
                let stream = streams.make(conn, &id.stream)?;
                let epoch = look.query_row([stream], |row| row.get(0)).optional()?;
                epochs.insert(&id.stream, (stream, epoch.unwrap_or(0)));
                (stream, epoch.unwrap_or(0))
            }
        };
        latest = Some((&id.stream, (stream, epoch)));
        if epoch > 0 {
            let what = (stream, id.remote.as_str(), epoch);
            // A stream holds either records or activities.
            if set.execute(what)? == 0 {
                set_activity.execute(what)?;
            }
        }
    }
    Ok(())
}

/// Says how far a sweep is; one that is not the latest any more changes nothing.
pub(super) fn note(
    desk: &mut Desk,
    stream: &StreamId,
    epoch: u64,
    stage: SweepStage,
    problem: Option<&Problem>,
) -> Result<(), Trouble> {
    let Desk { conn, streams, .. } = desk;
    let number = streams.make(conn, stream)?;
    conn.prepare_cached(
        "UPDATE stream_state SET sweep_stage = ?3, sweep_problem = ?4 WHERE stream = ?1 AND sweep_epoch = ?2",
    )?
    .execute((number, signed(epoch), stage_number(stage), optional_json(problem)?))?;
    Ok(())
}

const UNMET: &str = "stream = ?1 AND deleted_at IS NULL AND coalesce(sweep, 0) < ?2";

/// Records or activities that are not deleted and that no sweep from `epoch` on has met, by id.
pub(super) fn unmet(
    desk: &mut Desk,
    stream: &StreamId,
    epoch: u64,
    after: &str,
    limit: usize,
) -> Result<Vec<RecordId>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let Some(number) = streams.find(conn, stream)? else {
        return Ok(Vec::new());
    };
    let unmet = format!("{UNMET} AND remote > ?3");
    let sql = format!(
        "SELECT remote FROM record WHERE {unmet} UNION ALL SELECT remote FROM activity WHERE {unmet} ORDER BY remote LIMIT ?4"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map((number, signed(epoch), after, limit_of(limit)), |row| {
        row.get::<_, String>(0)
    })?;
    let found = found.map(|remote| Ok(stream.record(remote?)));
    found.collect()
}

/// How many [`unmet`] would list.
pub(super) fn count_unmet(desk: &mut Desk, stream: &StreamId, epoch: u64) -> Result<u64, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let Some(number) = streams.find(conn, stream)? else {
        return Ok(0);
    };
    let sql =
        format!("SELECT (SELECT count(*) FROM record WHERE {UNMET}) + (SELECT count(*) FROM activity WHERE {UNMET})");
    let count = conn
        .prepare_cached(&sql)?
        .query_row((number, signed(epoch)), |row| row.get(0))?;
    Ok(unsigned(count))
}

/// Says yes to everything that is held because it was not met. How many sweeps that were.
pub(super) fn approve(desk: &Desk) -> Result<u64, Trouble> {
    let approved = desk
        .conn
        .prepare_cached("UPDATE stream_state SET sweep_stage = ?2, sweep_problem = NULL WHERE sweep_stage = ?1")?
        .execute((stage_number(SweepStage::Held), stage_number(SweepStage::Approved)))?;
    Ok(u64::try_from(approved).unwrap_or(u64::MAX))
}
