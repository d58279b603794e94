//! What operators ask of the process that has the ledger open. Their own process may write nothing but its request.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::row::limit_of;
use super::trouble::Trouble;
use super::worker::Desk;
use super::{BUSY, READER_CACHE_KIB, Sqlite, connect, schema};
use crate::fault;
use crate::ledger::{Error, Request};
use crate::model::UnixMillis;

impl Sqlite {
    /// Leaves a request for the process that has the ledger open. Its number.
    ///
    /// # Errors
    /// `LedgerUnknown` when the file is not a ledger of this version of Nivel; otherwise as every commit.
    pub fn leave_request(path: &Path, at: UnixMillis, by: &str, act: &str) -> Result<i64, Error> {
        let leave = || -> Result<i64, Trouble> {
            let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, READER_CACHE_KIB)?;
            schema::verify(&conn)?;
            fault::effect_blocking("commit", || {
                conn.execute("INSERT INTO request (at, by, act) VALUES (?1, ?2, ?3)", (at.0, by, act))
            })??;
            Ok(conn.last_insert_rowid())
        };
        leave().map_err(|trouble| trouble.told(path))
    }

    /// What came of a request; `None` while it waits.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn answer_to(path: &Path, request: i64) -> Result<Option<String>, Error> {
        let look = || -> Result<Option<String>, Trouble> {
            let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            conn.busy_timeout(BUSY)?;
            let answer = conn
                .query_row("SELECT answer FROM request WHERE id = ?1", [request], |row| row.get(0))
                .optional()?;
            Ok(answer.flatten())
        };
        look().map_err(|trouble| trouble.told(path))
    }
}

/// Requests that wait, oldest first.
pub(super) fn waiting(desk: &Desk, limit: usize) -> Result<Vec<Request>, Trouble> {
    let mut statement = desk
        .conn
        .prepare_cached("SELECT id, by, act FROM request WHERE answered_at IS NULL ORDER BY id LIMIT ?1")?;
    let found = statement
        .query_map([limit_of(limit)], |row| {
            Ok(Request {
                number: row.get(0)?,
                by: row.get(1)?,
                act: row.get(2)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// Notes what came of one.
pub(super) fn answer(desk: &Desk, number: i64, at: UnixMillis, answer: &str) -> Result<(), Trouble> {
    desk.conn
        .prepare_cached("UPDATE request SET answered_at = ?2, answer = ?3 WHERE id = ?1")?
        .execute((number, at.0, answer))?;
    Ok(())
}
