//! Objects that wait to be folded: appended page by page, read customer by customer, forgotten all at once.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use rusqlite::{Connection, OptionalExtension as _};

use super::row::{self, limit_of, to_json};
use super::streams::Streams;
use super::trouble::Trouble;
use super::worker::Desk;
use crate::ledger::Arrival;
use crate::model::UnixMillis;

/// Puts objects aside, inside the running transaction.
pub(super) fn put(conn: &Connection, streams: &mut Streams, arrivals: &[Arrival]) -> Result<(), Trouble> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO arrival (stream, asked_at, links, identifiers, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut links = Vec::new();
    for arrival in arrivals {
        links.clear();
        links.extend(link(&(&arrival.stream, &arrival.incoming.remote)));
        links.extend(arrival.identifiers.iter().flat_map(link));
        let stream = streams.make(conn, &arrival.stream)?;
        statement.execute((
            stream,
            arrival.asked_at.0,
            &links,
            to_json(&arrival.identifiers)?,
            to_json(&arrival.incoming)?,
        ))?;
    }
    Ok(())
}

fn link(of: &impl Hash) -> [u8; 8] {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish().to_le_bytes()
}

/// The links of arrivals behind the one numbered `after`.
pub(super) fn links(desk: &Desk, after: i64, limit: usize) -> Result<Vec<(i64, Vec<u64>)>, Trouble> {
    let mut statement = desk
        .conn
        .prepare_cached("SELECT id, links FROM arrival WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut rows = statement.query((after, limit_of(limit)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (links, _) = row.get_ref(1)?.as_blob()?.as_chunks::<8>();
        let links = links.iter().map(|link| u64::from_le_bytes(*link)).collect();
        found.push((row.get(0)?, links));
    }
    Ok(found)
}

/// The arrivals of these numbers.
pub(super) fn list(desk: &mut Desk, numbers: &[i64]) -> Result<Vec<Arrival>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut statement = conn.prepare_cached("SELECT stream, asked_at, identifiers, body FROM arrival WHERE id = ?1")?;
    let mut found = Vec::with_capacity(numbers.len());
    for number in numbers {
        let mut rows = statement.query([number])?;
        let Some(row) = rows.next()? else { continue };
        found.push(Arrival {
            stream: streams.name(conn, row.get(0)?)?.clone(),
            asked_at: UnixMillis(row.get(1)?),
            identifiers: row::json(row, 2)?,
            incoming: row::json(row, 3)?,
        });
    }
    Ok(found)
}

/// Forgets the arrivals up to a number. All of them at once is what SQLite does without looking at a single row.
pub(super) fn forget(desk: &Desk, last: i64) -> Result<(), Trouble> {
    let behind: Option<i64> = desk
        .conn
        .prepare_cached("SELECT id FROM arrival WHERE id > ?1 LIMIT 1")?
        .query_row([last], |row| row.get(0))
        .optional()?;
    match behind {
        None => desk.conn.prepare_cached("DELETE FROM arrival")?.execute([])?,
        Some(_) => desk
            .conn
            .prepare_cached("DELETE FROM arrival WHERE id <= ?1")?
            .execute([last])?,
    };
    Ok(())
}
