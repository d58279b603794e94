//! Streams have small numbers inside the ledger; each connection remembers them.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::trouble::Trouble;
use crate::model::{RecordId, StreamId};

/// What a connection knows of the numbers of streams. A number never changes.
#[derive(Default)]
pub(super) struct Streams {
    numbers: BTreeMap<StreamId, i64>,
    names: BTreeMap<i64, StreamId>,
}

impl Streams {
    /// The number of a stream; `None` when the ledger has nothing of it yet.
    pub(super) fn find(&mut self, conn: &Connection, stream: &StreamId) -> Result<Option<i64>, Trouble> {
        if let Some(number) = self.numbers.get(stream) {
            return Ok(Some(*number));
        }
        let found = conn
            .prepare_cached("SELECT id FROM stream WHERE system = ?1 AND stream = ?2")?
            .query_row((stream.system.as_str(), stream.stream.as_str()), |row| row.get(0))
            .optional()?;
        if let Some(number) = found {
            self.learn(number, stream);
        }
        Ok(found)
    }

    /// The number of a stream, which gets one now if it has none. Only for the writer.
    pub(super) fn make(&mut self, conn: &Connection, stream: &StreamId) -> Result<i64, Trouble> {
        if let Some(number) = self.find(conn, stream)? {
            return Ok(number);
        }
        conn.prepare_cached("INSERT INTO stream (system, stream) VALUES (?1, ?2)")?
            .execute((stream.system.as_str(), stream.stream.as_str()))?;
        let number = conn.last_insert_rowid();
        self.learn(number, stream);
        Ok(number)
    }

    /// The stream of a number.
    pub(super) fn name(&mut self, conn: &Connection, number: i64) -> Result<&StreamId, Trouble> {
        if !self.names.contains_key(&number) {
            let stream = conn
                .prepare_cached("SELECT system, stream FROM stream WHERE id = ?1")?
                .query_row([number], |row| {
                    Ok(StreamId::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?))
                })?;
            self.learn(number, &stream);
        }
        self.names
            .get(&number)
            .ok_or_else(|| Trouble::bug(format!("stream {number} has no name")))
    }

    /// The id inside of a record; `None` when the ledger does not have it.
    pub(super) fn record(&mut self, conn: &Connection, id: &RecordId) -> Result<Option<i64>, Trouble> {
        let Some(stream) = self.find(conn, &id.stream)? else {
            return Ok(None);
        };
        let found = conn
            .prepare_cached("SELECT id FROM record WHERE stream = ?1 AND remote = ?2")?
            .query_row((stream, id.remote.as_str()), |row| row.get(0))
            .optional()?;
        Ok(found)
    }

    fn learn(&mut self, number: i64, stream: &StreamId) {
        self.numbers.insert(stream.clone(), number);
        self.names.insert(number, stream.clone());
    }
}
