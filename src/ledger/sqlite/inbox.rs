//! The inbox in SQLite. Many requests are one batch, one batch is one transaction, one flush of the disk.

use std::collections::BTreeMap;

use async_trait::async_trait;
use compact_str::CompactString;
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use super::Sqlite;
use super::row::{self, limit_of, optional_json, unsigned};
use super::trouble::Trouble;
use super::worker::Desk;
use crate::error::Problem;
use crate::ledger::{Dropped, Error, Fate, Inbox, InboxState, Landed, NewEvent, Waiting};
use crate::model::{StreamId, UnixMillis};

/// The fate that counts everything that came in.
const RECEIVED: &str = "received";

#[async_trait]
impl Inbox for Sqlite {
    async fn land(&self, events: Vec<NewEvent>) -> Result<Landed, Error> {
        self.writer.run(move |desk| land(&desk.conn, &events)).await
    }

    async fn waiting(&self, system: &str, limit: usize) -> Result<Vec<Waiting>, Error> {
        let system = system.to_owned();
        self.readers.look(move |desk| waiting(desk, &system, limit)).await
    }

    async fn systems_waiting(&self) -> Result<Vec<CompactString>, Error> {
        self.readers.look(|desk| systems_waiting(desk)).await
    }

    async fn drop_events(&self, events: Vec<Dropped>, at: UnixMillis) -> Result<(), Error> {
        self.writer.run(move |desk| drop_events(&desk.conn, &events, at)).await
    }

    async fn inbox(&self) -> Result<BTreeMap<CompactString, InboxState>, Error> {
        self.readers.look(|desk| state(desk)).await
    }

    async fn heard(&self, stream: &StreamId, limit: usize) -> Result<Vec<UnixMillis>, Error> {
        let stream = stream.clone();
        self.readers.look(move |desk| heard(desk, &stream, limit)).await
    }

    async fn note_webhook(&self, stream: &StreamId, problem: Option<Problem>) -> Result<(), Error> {
        let stream = stream.clone();
        self.writer
            .run(move |desk| note(&desk.conn, &stream, problem.as_ref()))
            .await
    }
}

fn land(conn: &Connection, events: &[NewEvent]) -> Result<Landed, Trouble> {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut landed = Landed::default();
    let mut insert = conn.prepare_cached(
        "INSERT INTO inbox (system, stream, digest, received_at, headers, body, folded_at, fate, problem) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
    )?;
    for event in events {
        let unreadable = event.problem.is_some();
        let fresh = insert.execute(params![
            event.system.as_str(),
            event.stream.as_deref(),
            event.key.as_deref().map(digest),
            event.received_at.0,
            event.headers,
            event.body,
            unreadable.then_some(event.received_at.0),
            unreadable.then_some(Fate::Unreadable.word()),
            optional_json(event.problem.as_ref())?,
        ])?;
        *counts.entry((event.system.as_str(), RECEIVED)).or_default() += 1;
        let fate = match (fresh, unreadable) {
            (0, _) => Fate::Duplicate,
            (_, true) => Fate::Unreadable,
            (_, false) => {
                landed.fresh += 1;
                continue;
            }
        };
        landed.duplicates += u64::from(fate == Fate::Duplicate);
        *counts.entry((event.system.as_str(), fate.word())).or_default() += 1;
    }
    for ((system, fate), count) in counts {
        add(conn, system, fate, count)?;
    }
    Ok(landed)
}

fn digest(key: &str) -> [u8; 16] {
    let whole: [u8; 32] = Sha256::digest(key).into();
    let mut half = [0; 16];
    half.copy_from_slice(whole.split_at(16).0);
    half
}

fn add(conn: &Connection, system: &str, fate: &str, count: u64) -> Result<(), Trouble> {
    conn.prepare_cached(
        "INSERT INTO inbox_count (system, fate, count) VALUES (?1, ?2, ?3) \
         ON CONFLICT (system, fate) DO UPDATE SET count = count + excluded.count",
    )?
    .execute((system, fate, row::signed(count)))?;
    Ok(())
}

/// Ends the wait of one event; counted only when it did wait.
fn end(conn: &Connection, id: i64, fate: Fate, problem: Option<&Problem>, at: UnixMillis) -> Result<(), Trouble> {
    let mut statement = conn.prepare_cached(
        "UPDATE inbox SET folded_at = ?2, fate = ?3, problem = ?4 WHERE id = ?1 AND folded_at IS NULL RETURNING system",
    )?;
    let mut rows = statement.query(params![id, at.0, fate.word(), optional_json(problem)?])?;
    let Some(found) = rows.next()? else {
        return Ok(());
    };
    let system: String = found.get(0)?;
    drop(rows);
    add(conn, &system, fate.word(), 1)
}

/// Marks the events behind a commit, as part of it.
pub(super) fn fold(conn: &Connection, ids: &[i64], at: UnixMillis) -> Result<(), Trouble> {
    ids.iter().try_for_each(|id| end(conn, *id, Fate::Applied, None, at))
}

fn drop_events(conn: &Connection, events: &[Dropped], at: UnixMillis) -> Result<(), Trouble> {
    events
        .iter()
        .try_for_each(|event| end(conn, event.id, event.fate, event.problem.as_ref(), at))
}

fn waiting(desk: &Desk, system: &str, limit: usize) -> Result<Vec<Waiting>, Trouble> {
    let mut statement = desk.conn.prepare_cached(
        "SELECT id, received_at, headers, body FROM inbox WHERE system = ?1 AND folded_at IS NULL ORDER BY id LIMIT ?2",
    )?;
    let rows = statement.query_map((system, limit_of(limit)), |row| {
        Ok(Waiting {
            id: row.get(0)?,
            received_at: UnixMillis(row.get(1)?),
            headers: row.get(2)?,
            body: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn systems_waiting(desk: &Desk) -> Result<Vec<CompactString>, Trouble> {
    let mut statement = desk
        .conn
        .prepare_cached("SELECT DISTINCT system FROM inbox WHERE folded_at IS NULL ORDER BY system")?;
    let rows = statement.query_map([], |row| Ok(CompactString::from(row.get::<_, String>(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn state(desk: &Desk) -> Result<BTreeMap<CompactString, InboxState>, Trouble> {
    let conn = &desk.conn;
    let mut all: BTreeMap<CompactString, InboxState> = BTreeMap::new();
    let mut statement = conn.prepare_cached("SELECT system, fate, count FROM inbox_count")?;
    let mut rows = statement.query([])?;
    while let Some(found) = rows.next()? {
        let state = all.entry(row::text(found, 0)?.into()).or_default();
        let (word, count) = (row::text(found, 1)?, unsigned(found.get(2)?));
        match Fate::ALL.into_iter().find(|fate| fate.word() == word) {
            Some(fate) => drop(state.fates.insert(fate, count)),
            None => state.received = count,
        }
    }
    let mut statement =
        conn.prepare_cached("SELECT system, count(*) FROM inbox WHERE folded_at IS NULL GROUP BY system")?;
    let mut rows = statement.query([])?;
    while let Some(found) = rows.next()? {
        all.entry(row::text(found, 0)?.into()).or_default().waiting = unsigned(found.get(1)?);
    }
    let mut statement = conn.prepare_cached("SELECT system, stream, problem FROM webhook_problem")?;
    let mut rows = statement.query([])?;
    while let Some(found) = rows.next()? {
        let state = all.entry(row::text(found, 0)?.into()).or_default();
        state.problems.insert(row::text(found, 1)?.into(), row::json(found, 2)?);
    }
    Ok(all)
}

fn heard(desk: &Desk, stream: &StreamId, limit: usize) -> Result<Vec<UnixMillis>, Trouble> {
    let mut statement = desk.conn.prepare_cached(
        "SELECT received_at FROM inbox WHERE system = ?1 AND stream = ?2 ORDER BY received_at DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(
        (stream.system.as_str(), stream.stream.as_str(), limit_of(limit)),
        |row| Ok(UnixMillis(row.get(0)?)),
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn note(conn: &Connection, stream: &StreamId, problem: Option<&Problem>) -> Result<(), Trouble> {
    let (system, stream) = (stream.system.as_str(), stream.stream.as_str());
    match optional_json(problem)? {
        Some(text) => conn
            .prepare_cached("INSERT OR REPLACE INTO webhook_problem (system, stream, problem) VALUES (?1, ?2, ?3)")?
            .execute((system, stream, text))?,
        None => conn
            .prepare_cached("DELETE FROM webhook_problem WHERE system = ?1 AND stream = ?2")?
            .execute((system, stream))?,
    };
    Ok(())
}

/// Removes the oldest folded events that are past their time.
pub(super) fn trim(conn: &Connection, before: UnixMillis, rows: i64) -> Result<usize, Trouble> {
    let removed = conn
        .prepare_cached(
            "DELETE FROM inbox WHERE folded_at < ?1 AND id IN (SELECT id FROM inbox WHERE folded_at IS NOT NULL ORDER BY id LIMIT ?2)",
        )?
        .execute((before.0, rows))?;
    Ok(removed)
}
