//! One commit: checks first, then everything it changes, table by table.
//!
//! What can refuse a commit for being stale is looked at before anything is written, so that a refusal is cheap.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::inbox;
use super::outbox;
use super::row::{self, lineage_json, map_json, optional_json, signed, to_json};
use super::streams::Streams;
use super::trouble::Trouble;
use super::view::ALIAS_HOPS_MAX;
use super::worker::Desk;
use crate::ledger::hash::{content_hash, identifier_digest, kind_number};
use crate::ledger::{Advance, Cause, Commit, WriteChange};
use crate::model::{Customer, CustomerKey, Identifier, Record, RecordId, UnixMillis};

/// Applies a commit inside the running transaction.
pub(super) fn apply(desk: &mut Desk, commit: &Commit) -> Result<(), Trouble> {
    let Desk { conn, streams } = desk;
    if let Some(advance) = &commit.advance {
        advance_stream(conn, streams, commit, advance)?;
    }
    let mut owners = Owners::default();
    put_customers(conn, &mut owners, &commit.customers)?;
    let mut records = Records::default();
    for (record, customer) in &commit.records {
        let owner = owners.of_record(conn, customer, &record.id)?;
        records.put(conn, streams, record, owner)?;
    }
    for (alias, into) in std::mem::take(&mut owners.merged_now) {
        refuse_left_behind(conn, alias)?;
        let live = owners.live(conn, &into)?;
        conn.prepare_cached("UPDATE write SET customer = ?2 WHERE customer = ?1")?
            .execute((alias, live))?;
    }
    for (id, asserted) in &commit.identifiers {
        records.assert(conn, streams, id, asserted.iter(), commit.at)?;
    }
    for change in &commit.writes {
        put_write(conn, streams, &mut owners, change, commit.at)?;
    }
    if let Cause::Webhook(events) = &commit.cause {
        inbox::fold(conn, events, commit.at)?;
    }
    put_changes(conn, &mut owners, commit)
}

fn advance_stream(conn: &Connection, streams: &mut Streams, commit: &Commit, advance: &Advance) -> Result<(), Trouble> {
    let stream = streams.make(conn, &advance.stream)?;
    let caught_up_at = advance.is_caught_up.then_some(commit.at.0);
    let (read, changed, rejected) = (signed(advance.read), signed(advance.changed), signed(advance.rejected));
    if advance.from_version == 0 {
        conn.prepare_cached("INSERT OR IGNORE INTO stream_state (stream) VALUES (?1)")?
            .execute([stream])?;
    }
    let moved = conn
        .prepare_cached(
            "UPDATE stream_state SET cursor = ?3, version = version + 1, \
             initial_done_at = coalesce(initial_done_at, ?4), caught_up_at = coalesce(?4, caught_up_at), \
             read = read + ?5, changed = changed + ?6, rejected = rejected + ?7 WHERE stream = ?1 AND version = ?2",
        )?
        .execute(params![
            stream,
            signed(advance.from_version),
            advance.cursor.0,
            caught_up_at,
            read,
            changed,
            rejected
        ])?;
    if moved == 0 {
        return Err(Trouble::Stale);
    }
    if let Cause::Run(run) = commit.cause {
        conn.prepare_cached(
            "UPDATE run SET read = read + ?2, changed = changed + ?3, rejected = rejected + ?4 WHERE id = ?1",
        )?
        .execute((run, read, changed, rejected))?;
    }
    Ok(())
}

/// A customer's id inside, and where she lives on.
#[derive(Clone, Copy)]
struct Owner {
    id: i64,
    merged_into: Option<i64>,
    is_of_commit: bool,
}

/// Customers that a commit names, looked up once.
#[derive(Default)]
struct Owners {
    known: BTreeMap<CustomerKey, Owner>,
    /// Those that became aliases with this commit, and of whom.
    merged_now: Vec<(i64, CustomerKey)>,
}

impl Owners {
    fn find(&mut self, conn: &Connection, key: &CustomerKey) -> Result<Owner, Trouble> {
        if let Some(owner) = self.known.get(key) {
            return Ok(*owner);
        }
        let owner = conn
            .prepare_cached("SELECT id, merged_into FROM customer WHERE key = ?1 AND kind = ?2")?
            .query_row((key.id.as_bytes(), row::kind_number(key.kind)), |row| {
                Ok(Owner {
                    id: row.get(0)?,
                    merged_into: row.get(1)?,
                    is_of_commit: false,
                })
            })
            .optional()?
            .ok_or_else(|| Trouble::bug(format!("a commit names customer {key}, which was never given out")))?;
        self.known.insert(*key, owner);
        Ok(owner)
    }

    /// Whose a record shall be. She was merged away meanwhile: then the fold has to see the one she lives on in.
    fn of_record(&mut self, conn: &Connection, key: &CustomerKey, record: &RecordId) -> Result<i64, Trouble> {
        let owner = self.find(conn, key)?;
        match (owner.merged_into, owner.is_of_commit) {
            (None, _) => Ok(owner.id),
            (Some(_), false) => Err(Trouble::Stale),
            (Some(_), true) => Err(Trouble::bug(format!(
                "a commit gives {record} to {key}, which it makes an alias"
            ))),
        }
    }

    /// The live customer behind a key.
    fn live(&mut self, conn: &Connection, key: &CustomerKey) -> Result<i64, Trouble> {
        let Owner {
            mut id,
            mut merged_into,
            ..
        } = self.find(conn, key)?;
        let mut statement = conn.prepare_cached("SELECT merged_into FROM customer WHERE id = ?1")?;
        for _ in 0..ALIAS_HOPS_MAX {
            match merged_into {
                None => return Ok(id),
                Some(next) => id = next,
            }
            merged_into = statement.query_row([id], |row| row.get(0))?;
        }
        Err(Trouble::bug(format!("the aliases of {key} do not end")))
    }
}

/// Live ones first, so that aliases find what they point at.
fn put_customers(conn: &Connection, owners: &mut Owners, customers: &[Customer]) -> Result<(), Trouble> {
    refuse_stale(conn, owners, customers)?;
    let live = customers.iter().filter(|customer| customer.merged_into.is_none());
    let aliases = customers.iter().filter(|customer| customer.merged_into.is_some());
    for customer in live.chain(aliases) {
        let merged_into = match &customer.merged_into {
            Some(into) => Some(owners.find(conn, into)?.id),
            None => None,
        };
        let id = match owners.known.get(&customer.key) {
            Some(owner) if customer.version > 0 => update_customer(conn, owner.id, customer, merged_into)?,
            _ => insert_customer(conn, customer, merged_into)?,
        };
        if let Some(into) = customer.merged_into {
            owners.merged_now.push((id, into));
        }
        let owner = Owner {
            id,
            merged_into,
            is_of_commit: true,
        };
        let before = owners.known.insert(customer.key, owner);
        if before.is_some_and(|before| before.is_of_commit) {
            return Err(Trouble::bug(format!("a commit names customer {} twice", customer.key)));
        }
    }
    Ok(())
}

/// Looks at every version before anything is written: a commit that is refused should cost little.
fn refuse_stale(conn: &Connection, owners: &mut Owners, customers: &[Customer]) -> Result<(), Trouble> {
    let mut statement =
        conn.prepare_cached("SELECT id, merged_into, version FROM customer WHERE key = ?1 AND kind = ?2")?;
    for customer in customers.iter().filter(|customer| customer.version > 0) {
        let mut rows = statement.query((customer.key.id.as_bytes(), row::kind_number(customer.key.kind)))?;
        let row = rows.next()?.ok_or(Trouble::Stale)?;
        if row.get::<_, i64>(2)? != signed(customer.version) {
            return Err(Trouble::Stale);
        }
        let owner = Owner {
            id: row.get(0)?,
            merged_into: row.get(1)?,
            is_of_commit: false,
        };
        owners.known.insert(customer.key, owner);
    }
    Ok(())
}

fn update_customer(conn: &Connection, id: i64, customer: &Customer, merged_into: Option<i64>) -> Result<i64, Trouble> {
    conn.prepare_cached(
        "UPDATE customer SET golden = ?2, lineage = ?3, merged_into = ?4, version = version + 1 WHERE id = ?1",
    )?
    .execute((
        id,
        to_json(&customer.golden)?,
        lineage_json(&customer.lineage)?,
        merged_into,
    ))?;
    Ok(id)
}

fn insert_customer(conn: &Connection, customer: &Customer, merged_into: Option<i64>) -> Result<i64, Trouble> {
    let made = conn
        .prepare_cached(
            "INSERT INTO customer (key, kind, version, golden, lineage, merged_into) VALUES (?1, ?2, 1, ?3, ?4, ?5) \
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            customer.key.id.as_bytes(),
            row::kind_number(customer.key.kind),
            to_json(&customer.golden)?,
            lineage_json(&customer.lineage)?,
            merged_into
        ])?;
    if made == 0 {
        Err(Trouble::Stale)
    } else {
        Ok(conn.last_insert_rowid())
    }
}

/// A record that was given to a customer after the fold had looked must not stay with her alias.
fn refuse_left_behind(conn: &Connection, alias: i64) -> Result<(), Trouble> {
    let left: bool = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM record WHERE customer = ?1)")?
        .query_row([alias], |row| row.get(0))?;
    if left { Err(Trouble::Stale) } else { Ok(()) }
}

/// Records that a commit put, by their id inside.
#[derive(Default)]
struct Records<'commit> {
    put: BTreeMap<&'commit RecordId, PutRecord>,
}

#[derive(Clone, Copy)]
struct PutRecord {
    id: i64,
    is_new: bool,
}

impl<'commit> Records<'commit> {
    fn put(
        &mut self,
        conn: &Connection,
        streams: &mut Streams,
        record: &'commit Record,
        customer: i64,
    ) -> Result<(), Trouble> {
        let stream = streams.make(conn, &record.id.stream)?;
        let present: Option<(i64, i64)> = conn
            .prepare_cached("SELECT id, customer FROM record WHERE stream = ?1 AND remote = ?2")?
            .query_row((stream, record.id.remote.as_str()), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let id = match present {
            None => insert_record(conn, stream, record, customer)?,
            Some((id, owner)) => {
                update_record(conn, id, record)?;
                if owner != customer {
                    conn.prepare_cached("UPDATE record SET customer = ?2 WHERE id = ?1")?
                        .execute((id, customer))?;
                }
                id
            }
        };
        let is_new = present.is_none();
        self.put.insert(&record.id, PutRecord { id, is_new });
        Ok(())
    }

    /// What a record asserts now; what it asserted before becomes history.
    fn assert<'set>(
        &mut self,
        conn: &Connection,
        streams: &mut Streams,
        id: &'commit RecordId,
        asserted: impl Iterator<Item = &'set Identifier>,
        at: UnixMillis,
    ) -> Result<(), Trouble> {
        let record = match self.put.get(id) {
            Some(record) => *record,
            None => PutRecord {
                id: streams
                    .record(conn, id)?
                    .ok_or_else(|| Trouble::bug(format!("a commit has identifiers of {id}, which is not known")))?,
                is_new: false,
            },
        };
        let mut present = if record.is_new {
            BTreeMap::new()
        } else {
            identifiers(conn, record.id)?
        };
        let mut next = i64::try_from(present.len()).unwrap_or(i64::MAX);
        for identifier in asserted {
            let kind = kind_number(identifier.kind);
            match present.remove(&(kind, identifier.value.to_string())) {
                Some((_, true)) => {}
                Some((ordinal, false)) => set_current(conn, record.id, ordinal, true)?,
                None => {
                    let digest = identifier_digest(identifier);
                    conn.prepare_cached(
                        "INSERT INTO identifier (record, ordinal, digest, kind, value, since, is_current) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)",
                    )?
                    .execute((record.id, next, digest, kind, identifier.value.as_str(), at.0))?;
                    next += 1;
                }
            }
        }
        for (ordinal, is_current) in present.into_values() {
            if is_current {
                set_current(conn, record.id, ordinal, false)?;
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

fn insert_record(conn: &Connection, stream: i64, record: &Record, customer: i64) -> Result<i64, Trouble> {
    conn.prepare_cached(
        "INSERT INTO record (hash, observed_at, updated_at, written_at, deleted_at, version, fields, observed, ours, \
         bounces, problem, is_unread, stream, remote, customer) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?
    .execute(params![
        content_hash(record),
        record.observed.base.0,
        record.updated_at.map(|at| at.0),
        record.written_at.map(|at| at.0),
        record.deleted_at.map(|at| at.0),
        record.version.as_deref(),
        to_json(&record.fields)?,
        map_json(&record.observed.fields)?,
        map_json(&record.ours)?,
        map_json(&record.bounces)?,
        optional_json(record.problem.as_ref())?,
        record.is_unread,
        stream,
        record.id.remote.as_str(),
        customer,
    ])?;
    Ok(conn.last_insert_rowid())
}

/// The customer is not touched here: SQLite would rewrite her index even for the same value.
fn update_record(conn: &Connection, id: i64, record: &Record) -> Result<(), Trouble> {
    conn.prepare_cached(
        "UPDATE record SET hash = ?1, observed_at = ?2, updated_at = ?3, written_at = ?4, deleted_at = ?5, \
         version = ?6, fields = ?7, observed = ?8, ours = ?9, bounces = ?10, problem = ?11, is_unread = ?12 \
         WHERE id = ?13",
    )?
    .execute(params![
        content_hash(record),
        record.observed.base.0,
        record.updated_at.map(|at| at.0),
        record.written_at.map(|at| at.0),
        record.deleted_at.map(|at| at.0),
        record.version.as_deref(),
        to_json(&record.fields)?,
        map_json(&record.observed.fields)?,
        map_json(&record.ours)?,
        map_json(&record.bounces)?,
        optional_json(record.problem.as_ref())?,
        record.is_unread,
        id,
    ])?;
    Ok(())
}

fn put_write(
    conn: &Connection,
    streams: &mut Streams,
    owners: &mut Owners,
    change: &WriteChange,
    at: UnixMillis,
) -> Result<(), Trouble> {
    match change {
        WriteChange::Put(write) => {
            let stream = streams.make(conn, &write.target.stream)?;
            let customer = owners.live(conn, &write.customer)?;
            outbox::put(conn, stream, write, customer)
        }
        WriteChange::Settle(write) => match streams.find(conn, &write.target.stream)? {
            Some(stream) => outbox::settle(conn, stream, write, at),
            None => Ok(()),
        },
        WriteChange::Remove(target) => match streams.find(conn, &target.stream)? {
            Some(stream) => outbox::remove(conn, stream, target),
            None => Ok(()),
        },
        WriteChange::RemoveGeneration(target, generation) => match streams.find(conn, &target.stream)? {
            Some(stream) => outbox::acknowledge(conn, stream, target, *generation, at),
            None => Ok(()),
        },
    }
}

fn put_changes(conn: &Connection, owners: &mut Owners, commit: &Commit) -> Result<(), Trouble> {
    let cause = to_json(&commit.cause)?;
    let mut statement =
        conn.prepare_cached("INSERT INTO change (at, customer, record, cause, what) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for change in &commit.changes {
        let customer = owners.find(conn, &change.customer)?.id;
        let record = change.record.as_ref().map(ToString::to_string);
        statement.execute((commit.at.0, customer, record, &cause, to_json(&change.what)?))?;
    }
    Ok(())
}
