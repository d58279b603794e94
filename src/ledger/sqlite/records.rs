//! The records of a commit and what they assert.

use std::collections::BTreeMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _};

use super::apply::Owners;
use super::row::{map_json, optional_json, to_json};
use super::sign;
use super::streams::Streams;
use super::trouble::Trouble;
use crate::ledger::hash::{content_hash, identifier_digest, kind_number};
use crate::model::{Identifier, Kind, Record, RecordId, UnixMillis};

/// Records that a commit put, by their id inside. The statements are the ones that a page needs for each of its records.
pub(super) struct Records<'conn, 'commit> {
    conn: &'conn Connection,
    find: CachedStatement<'conn>,
    insert: CachedStatement<'conn>,
    update: CachedStatement<'conn>,
    assert: CachedStatement<'conn>,
    /// Puts a record on the queue of the scored match, when the commit says so.
    rematch: Option<CachedStatement<'conn>>,
    put: BTreeMap<&'commit RecordId, PutRecord>,
    expects_new: bool,
}

#[derive(Clone, Copy)]
struct PutRecord {
    id: i64,
    is_new: bool,
}

impl<'conn, 'commit> Records<'conn, 'commit> {
    pub(super) fn new(conn: &'conn Connection, rematch: bool) -> Result<Self, Trouble> {
        let queue = "INSERT INTO rematch (record) VALUES (?1)";
        Ok(Self {
            conn,
            find: conn.prepare_cached("SELECT id, customer FROM record WHERE stream = ?1 AND remote = ?2")?,
            insert: conn.prepare_cached(
                "INSERT INTO record (hash, observed_at, updated_at, written_at, deleted_at, version, fields, observed, ours, \
                 bounces, problem, is_unread, is_made, sent, stream, remote, customer) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) \
                 ON CONFLICT (stream, remote) DO NOTHING",
            )?,
            // The customer is not touched: SQLite would rewrite her index even for the same value.
            update: conn.prepare_cached(
                "UPDATE record SET hash = ?1, observed_at = ?2, updated_at = ?3, written_at = ?4, deleted_at = ?5, \
                 version = ?6, fields = ?7, observed = ?8, ours = ?9, bounces = ?10, problem = ?11, is_unread = ?12, \
                 is_made = max(is_made, ?13), sent = ?14 WHERE id = ?15",
            )?,
            assert: conn.prepare_cached(
                "INSERT INTO identifier (record, ordinal, digest, kind, value, since, is_current) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)",
            )?,
            rematch: rematch.then(|| conn.prepare_cached(queue)).transpose()?,
            put: BTreeMap::new(),
            expects_new: false,
        })
    }

    pub(super) fn put(
        &mut self,
        streams: &mut Streams,
        owners: &Owners,
        record: &'commit Record,
        (customer, kind): (i64, Kind),
    ) -> Result<(), Trouble> {
        let stream = streams.make(self.conn, &record.id.stream)?;
        // New ones and known ones mostly come in a row: what the last one was is tried first.
        let made = if self.expects_new {
            self.insert(stream, record, customer)?
        } else {
            None
        };
        let put = match made {
            Some(id) => PutRecord { id, is_new: true },
            None => self.update_or_insert(stream, owners, record, customer)?,
        };
        self.expects_new = put.is_new;
        sign::put(self.conn, put.id, record, kind)?;
        if let Some(rematch) = &mut self.rematch {
            rematch.execute([put.id])?;
        }
        self.put.insert(&record.id, put);
        Ok(())
    }

    fn update_or_insert(
        &mut self,
        stream: i64,
        owners: &Owners,
        record: &Record,
        customer: i64,
    ) -> Result<PutRecord, Trouble> {
        let present: Option<(i64, i64)> = self
            .find
            .query_row((stream, record.id.remote.as_str()), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((id, owner)) = present else {
            let made = self.insert(stream, record, customer)?;
            let id = made.ok_or_else(|| Trouble::bug(format!("{} is in the ledger and is not found", record.id)))?;
            return Ok(PutRecord { id, is_new: true });
        };
        bind(&mut self.update, record)?;
        self.update.raw_bind_parameter(15, id)?;
        self.update.raw_execute()?;
        if owner != customer {
            owners.refuse_unseen(owner)?;
            self.conn
                .prepare_cached(
                    // The first one, unless that one is still somebody: she is not given back.
                    "INSERT INTO former (record, customer) VALUES (?1, ?2) ON CONFLICT DO UPDATE \
                     SET customer = excluded.customer \
                     WHERE (SELECT merged_into FROM customer WHERE id = former.customer) IS NULL",
                )?
                .execute((id, owner))?;
            self.conn
                .prepare_cached("UPDATE record SET customer = ?2 WHERE id = ?1")?
                .execute((id, customer))?;
        }
        Ok(PutRecord { id, is_new: false })
    }

    /// The id inside of a record that was not there before; `None` when it was.
    fn insert(&mut self, stream: i64, record: &Record, customer: i64) -> Result<Option<i64>, Trouble> {
        bind(&mut self.insert, record)?;
        self.insert.raw_bind_parameter(15, stream)?;
        self.insert.raw_bind_parameter(16, record.id.remote.as_str())?;
        self.insert.raw_bind_parameter(17, customer)?;
        let made = self.insert.raw_execute()?;
        Ok((made > 0).then(|| self.conn.last_insert_rowid()))
    }

    /// What a record asserts now; what it asserted before becomes history.
    pub(super) fn assert<'set>(
        &mut self,
        streams: &mut Streams,
        id: &'commit RecordId,
        asserted: impl Iterator<Item = &'set Identifier>,
        at: UnixMillis,
    ) -> Result<(), Trouble> {
        let record = match self.put.get(id) {
            Some(record) => *record,
            None => PutRecord {
                id: streams
                    .record(self.conn, id)?
                    .ok_or_else(|| Trouble::bug(format!("a commit has identifiers of {id}, which is not known")))?,
                is_new: false,
            },
        };
        let mut present = if record.is_new {
            BTreeMap::new()
        } else {
            identifiers(self.conn, record.id)?
        };
        let mut next = i64::try_from(present.len()).unwrap_or(i64::MAX);
        for identifier in asserted {
            let kind = kind_number(identifier.kind);
            let known = if present.is_empty() {
                None
            } else {
                present.remove(&(kind, identifier.value.to_string()))
            };
            match known {
                Some((_, true)) => {}
                Some((ordinal, false)) => set_current(self.conn, record.id, ordinal, true)?,
                None => {
                    let digest = identifier_digest(identifier);
                    self.assert
                        .execute((record.id, next, digest, kind, identifier.value.as_str(), at.0))?;
                    next += 1;
                }
            }
        }
        for (ordinal, is_current) in present.into_values() {
            if is_current {
                set_current(self.conn, record.id, ordinal, false)?;
            }
        }
        // The record has them now, also for a second list in the same commit.
        self.put.insert(
            id,
            PutRecord {
                is_new: false,
                ..record
            },
        );
        Ok(())
    }
}

/// Binds what a record says to the first fourteen parameters.
fn bind(statement: &mut CachedStatement<'_>, record: &Record) -> Result<(), Trouble> {
    statement.raw_bind_parameter(1, content_hash(record))?;
    statement.raw_bind_parameter(2, record.observed.base.0)?;
    statement.raw_bind_parameter(3, record.updated_at.map(|at| at.0))?;
    statement.raw_bind_parameter(4, record.written_at.map(|at| at.0))?;
    statement.raw_bind_parameter(5, record.deleted_at.map(|at| at.0))?;
    statement.raw_bind_parameter(6, record.version.as_deref())?;
    statement.raw_bind_parameter(7, to_json(&record.fields)?)?;
    statement.raw_bind_parameter(8, map_json(&record.observed.fields)?)?;
    statement.raw_bind_parameter(9, map_json(&record.ours)?)?;
    statement.raw_bind_parameter(10, map_json(&record.bounces)?)?;
    statement.raw_bind_parameter(11, optional_json(record.problem.as_ref())?)?;
    statement.raw_bind_parameter(12, record.is_unread)?;
    statement.raw_bind_parameter(13, record.is_made)?;
    statement.raw_bind_parameter(14, map_json(&record.sent)?)?;
    Ok(())
}

type Held = BTreeMap<(u8, String), (i64, bool)>;

/// Every identifier a record has or had → its place among them, and whether it is current.
fn identifiers(conn: &Connection, record: i64) -> Result<Held, Trouble> {
    let mut statement =
        conn.prepare_cached("SELECT kind, value, ordinal, is_current FROM identifier WHERE record = ?1")?;
    let held = statement
        .query_map([record], |row| {
            Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?)))
        })?
        .collect::<Result<_, _>>()?;
    Ok(held)
}

fn set_current(conn: &Connection, record: i64, ordinal: i64, is_current: bool) -> Result<(), Trouble> {
    conn.prepare_cached("UPDATE identifier SET is_current = ?3 WHERE record = ?1 AND ordinal = ?2")?
        .execute((record, ordinal, is_current))?;
    Ok(())
}
