//! Counts who stands where. Asked by people, rarely: it reads through the streams it counts.

use async_trait::async_trait;
use rusqlite::Connection;

use super::Sqlite;
use super::row::{self, unsigned};
use super::trouble::Trouble;
use super::worker::Desk;
use crate::ledger::{Census, Counting, Error};
use crate::model::StreamId;

#[async_trait]
impl Counting for Sqlite {
    async fn census(&self, here: &[StreamId], there: &[StreamId]) -> Result<Census, Error> {
        let (here, there) = (here.to_vec(), there.to_vec());
        self.readers.look(move |desk| census(desk, &here, &there)).await
    }
}

fn census(desk: &mut Desk, here: &[StreamId], there: &[StreamId]) -> Result<Census, Trouble> {
    let (here, there) = (numbers(desk, here)?, numbers(desk, there)?);
    let conn = &desk.conn;
    let live = format!("stream IN ({here}) AND deleted_at IS NULL");
    let customers = format!("SELECT DISTINCT customer FROM record WHERE {live}");
    let is_there = format!(
        "EXISTS (SELECT 1 FROM record r WHERE r.customer = c.id AND r.stream IN ({there}) AND r.deleted_at IS NULL)"
    );
    let mut found = Census {
        objects: count(conn, &format!("SELECT count(*) FROM record WHERE {live}"))?,
        customers: count(conn, &format!("SELECT count(*) FROM ({customers})"))?,
        matched: count(
            conn,
            &format!("SELECT count(*) FROM customer c WHERE c.id IN ({customers}) AND {is_there}"),
        )?,
        missing: Vec::new(),
    };
    let missing =
        format!("SELECT key, kind FROM customer c WHERE c.id IN ({customers}) AND NOT {is_there} ORDER BY key, kind");
    let mut statement = conn.prepare(&missing)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        found.missing.push(row::key(row, 0)?);
    }
    Ok(found)
}

fn count(conn: &Connection, sql: &str) -> Result<u64, Trouble> {
    Ok(unsigned(conn.query_row(sql, [], |row| row.get(0))?))
}

/// The numbers of streams, for a list in SQL. A stream that the ledger has nothing of is in no list.
fn numbers(desk: &mut Desk, streams: &[StreamId]) -> Result<String, Trouble> {
    let mut numbers = Vec::new();
    for stream in streams {
        let number = desk.streams.find(&desk.conn, stream)?;
        numbers.extend(number.map(|number| number.to_string()));
    }
    Ok(numbers.join(","))
}
