//! Everything people and the shell ask for: customers, the trail, runs, streams, totals.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::outbox::state_of;
use super::row::{self, customer_columns, limit_of, record_columns, unsigned};
use super::streams::Streams;
use super::trouble::Trouble;
use super::view::{customer_id, live_customer, record_id};
use super::worker::Desk;
use crate::ledger::hash::{identifier_digest, kind_number};
use crate::ledger::{Change, ChangeRow, Run, StreamState, Totals};
use crate::model::{
    Bounce, Cursor, Customer, CustomerKey, FieldName, Identifier, IdentifierKind, Record, RecordId, StreamId,
    UnixMillis,
};

pub(super) fn customer(desk: &Desk, key: &CustomerKey) -> Result<Option<Customer>, Trouble> {
    match customer_id(&desk.conn, key)? {
        None => Ok(None),
        Some(id) => Ok(Some(live_customer(&desk.conn, id)?.1)),
    }
}

pub(super) fn customers(desk: &Desk, after: Option<&CustomerKey>, limit: usize) -> Result<Vec<Customer>, Trouble> {
    let mut statement = desk.conn.prepare_cached(concat!(
        "SELECT ",
        customer_columns!(),
        " FROM customer WHERE (key, kind) > (?1, ?2) AND merged_into IS NULL ORDER BY key, kind LIMIT ?3"
    ))?;
    // Every key is greater than an empty blob.
    let (key, kind) = match after {
        Some(key) => (key.id.as_bytes().as_slice(), row::kind_number(key.kind)),
        None => (&[] as &[u8], 0),
    };
    let mut rows = statement.query((key, kind, limit_of(limit)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(row::customer(row)?);
    }
    Ok(found)
}

/// Identifiers by index, then golden records by reading through them: rare, asked by people, and bounded by the answer.
pub(super) fn search(desk: &Desk, text: &str, limit: usize) -> Result<Vec<CustomerKey>, Trouble> {
    let text = text.trim();
    let mut found = Vec::new();
    if text.is_empty() || limit == 0 {
        return Ok(found);
    }
    let mut seen = BTreeSet::new();
    let lower = text.to_lowercase();
    for value in BTreeSet::from([text, lower.as_str()]) {
        for id in holders(&desk.conn, value)? {
            let (id, customer) = live_customer(&desk.conn, id)?;
            if found.len() < limit && seen.insert(id) {
                found.push(customer.key);
            }
        }
    }
    let mut statement = desk.conn.prepare_cached(concat!(
        "SELECT ",
        customer_columns!(),
        " FROM customer WHERE merged_into IS NULL ORDER BY id"
    ))?;
    let mut rows = statement.query([])?;
    // As it stands between the quotes of a JSON text.
    let quoted = row::to_json(&lower)?;
    let needle = quoted.trim_matches('"');
    while found.len() < limit {
        let Some(row) = rows.next()? else { break };
        if !row::text(row, 5)?.to_lowercase().contains(needle) {
            continue;
        }
        let customer = row::customer(row)?;
        let has_it = customer
            .golden
            .0
            .values()
            .flatten()
            .any(|value| value.to_string().to_lowercase().contains(&lower));
        if has_it && seen.insert(row.get(0)?) {
            found.push(customer.key);
        }
    }
    Ok(found)
}

/// Customers of records that hold an identifier with this value, of any kind.
fn holders(conn: &Connection, value: &str) -> Result<BTreeSet<i64>, Trouble> {
    let mut statement = conn.prepare_cached(
        "SELECT r.customer FROM identifier i JOIN record r ON r.id = i.record \
         WHERE i.digest = ?1 AND i.kind = ?2 AND i.value = ?3",
    )?;
    let mut found = BTreeSet::new();
    for kind in IdentifierKind::ALL {
        let identifier = Identifier::new(kind, value);
        let mut rows = statement.query((identifier_digest(&identifier), kind_number(kind), value))?;
        while let Some(row) = rows.next()? {
            found.insert(row.get(0)?);
        }
    }
    Ok(found)
}

/// In the order of record ids: stream by stream, as streams are named.
pub(super) fn rejected(desk: &mut Desk, after: Option<&RecordId>, limit: usize) -> Result<Vec<Record>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut found = Vec::new();
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        record_columns!(),
        " FROM record WHERE problem IS NOT NULL AND stream = ?1 AND remote > ?2 ORDER BY remote LIMIT ?3"
    ))?;
    for (stream, number) in all_streams(conn)? {
        let from = match after {
            Some(after) if stream < after.stream => continue,
            Some(after) if stream == after.stream => after.remote.as_str(),
            _ => "",
        };
        let room = limit.saturating_sub(found.len());
        let mut rows = statement.query((number, from, limit_of(room)))?;
        while let Some(row) = rows.next()? {
            found.push(row::record(conn, streams, row)?.1);
        }
    }
    Ok(found)
}

/// In the order of record ids. Those that bounced and are not frozen (yet) are left out.
pub(super) fn frozen(
    desk: &mut Desk,
    after: Option<&RecordId>,
    limit: usize,
) -> Result<Vec<(Record, CustomerKey)>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut found = Vec::new();
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        record_columns!(),
        ", customer FROM record WHERE bounces IS NOT NULL AND stream = ?1 AND remote > ?2 ORDER BY remote"
    ))?;
    let mut owner = conn.prepare_cached("SELECT key, kind FROM customer WHERE id = ?1")?;
    for (stream, number) in all_streams(conn)? {
        let from = match after {
            Some(after) if stream < after.stream => continue,
            Some(after) if stream == after.stream => after.remote.as_str(),
            _ => "",
        };
        let mut rows = statement.query((number, from))?;
        while let Some(row) = rows.next()? {
            if found.len() >= limit {
                return Ok(found);
            }
            let (_, record) = row::record(conn, streams, row)?;
            if record.bounces.values().any(Bounce::is_frozen) {
                let customer: i64 = row.get("customer")?;
                let mut owners = owner.query([customer])?;
                let key = owners.next()?.map(|row| row::key(row, 0)).transpose()?;
                found.extend(key.map(|key| (record, key)));
            }
        }
    }
    Ok(found)
}

/// How many records have a frozen field.
fn count_frozen(conn: &Connection) -> Result<u64, Trouble> {
    let mut statement = conn.prepare_cached("SELECT bounces FROM record WHERE bounces IS NOT NULL")?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let bounces: BTreeMap<FieldName, Bounce> = row::json(row, 0)?;
        count += u64::from(bounces.values().any(Bounce::is_frozen));
    }
    Ok(count)
}

fn all_streams(conn: &Connection) -> Result<BTreeMap<StreamId, i64>, Trouble> {
    let mut statement = conn.prepare_cached("SELECT system, stream, id FROM stream")?;
    let found = statement
        .query_map([], |row| {
            let stream = StreamId::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?);
            Ok((stream, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

pub(super) fn changes(desk: &Desk, key: &CustomerKey, limit: usize) -> Result<Vec<ChangeRow>, Trouble> {
    let conn = &desk.conn;
    let Some(id) = customer_id(conn, key)? else {
        return Ok(Vec::new());
    };
    let (live, _) = live_customer(conn, id)?;
    let mut statement = conn.prepare_cached(
        "WITH RECURSIVE family (id) AS (\
             VALUES (?1) UNION SELECT c.id FROM customer c JOIN family f ON c.merged_into = f.id) \
         SELECT t.at, t.cause, t.record, t.what, c.key, c.kind \
         FROM family CROSS JOIN change t ON t.customer = family.id CROSS JOIN customer c ON c.id = t.customer \
         ORDER BY t.id DESC LIMIT ?2",
    )?;
    let mut rows = statement.query((live, limit_of(limit)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(change_row(row)?);
    }
    Ok(found)
}

/// Columns: time, cause, record, what, key and kind of the customer.
fn change_row(row: &Row<'_>) -> Result<ChangeRow, Trouble> {
    Ok(ChangeRow {
        at: UnixMillis(row.get(0)?),
        cause: row::json(row, 1)?,
        change: Change {
            customer: row::key(row, 4)?,
            record: row::optional_text(row, 2)?.map(record_id).transpose()?,
            what: row::json(row, 3)?,
        },
    })
}

/// Everybody's trail. Lines come in the order of time, so their numbers do as well.
pub(super) fn trail(
    desk: &Desk,
    since: UnixMillis,
    after: i64,
    limit: usize,
) -> Result<Vec<(i64, ChangeRow)>, Trouble> {
    let mut statement = desk.conn.prepare_cached(
        "SELECT t.at, t.cause, t.record, t.what, c.key, c.kind, t.id FROM change t JOIN customer c ON c.id = t.customer \
         WHERE t.id > ?1 AND t.at >= ?2 ORDER BY t.id LIMIT ?3",
    )?;
    let mut rows = statement.query((after, since.0, limit_of(limit)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get(6)?, change_row(row)?));
    }
    Ok(found)
}

fn state(row: &Row<'_>) -> Result<StreamState, Trouble> {
    Ok(StreamState {
        cursor: row.get::<_, Option<String>>(1)?.map(Cursor),
        version: unsigned(row.get(2)?),
        initial_done_at: row::time(row, 3)?,
        caught_up_at: row::time(row, 4)?,
        problem: row::json_or_none(row, 5)?,
        parked_until: row::time(row, 6)?,
        sweep: super::sweep::of_row(row, 7)?,
    })
}

macro_rules! state_columns {
    () => {
        "stream, cursor, version, initial_done_at, caught_up_at, problem, parked_until, sweep_epoch, sweep_name, sweep_stage, \
         sweep_problem"
    };
}

pub(super) fn stream(desk: &mut Desk, stream: &StreamId) -> Result<StreamState, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let Some(number) = streams.find(conn, stream)? else {
        return Ok(StreamState::default());
    };
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        state_columns!(),
        " FROM stream_state WHERE stream = ?1"
    ))?;
    let mut rows = statement.query([number])?;
    rows.next()?.map_or_else(|| Ok(StreamState::default()), state)
}

pub(super) fn streams(desk: &mut Desk) -> Result<BTreeMap<StreamId, StreamState>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut statement = conn.prepare_cached(concat!("SELECT ", state_columns!(), " FROM stream_state"))?;
    let mut rows = statement.query([])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        found.insert(streams.name(conn, row.get(0)?)?.clone(), state(row)?);
    }
    Ok(found)
}

pub(super) fn runs(desk: &mut Desk, limit: usize) -> Result<Vec<Run>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut statement = conn.prepare_cached(
        "SELECT id, stream, started_at, ended_at, read, changed, rejected, problem FROM run ORDER BY id DESC LIMIT ?1",
    )?;
    let mut rows = statement.query([limit_of(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(run(conn, streams, row)?);
    }
    Ok(found)
}

fn run(conn: &Connection, streams: &mut Streams, row: &Row<'_>) -> Result<Run, Trouble> {
    Ok(Run {
        id: row.get(0)?,
        stream: streams.name(conn, row.get(1)?)?.clone(),
        started_at: UnixMillis(row.get(2)?),
        ended_at: row::time(row, 3)?,
        read: unsigned(row.get(4)?),
        changed: unsigned(row.get(5)?),
        rejected: unsigned(row.get(6)?),
        problem: row::json_or_none(row, 7)?,
    })
}

pub(super) fn setting(desk: &Desk, name: &str) -> Result<Option<String>, Trouble> {
    let found = desk
        .conn
        .prepare_cached("SELECT value FROM setting WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// Each figure is the length of an index, never of a table.
pub(super) fn totals(desk: &Desk) -> Result<Totals, Trouble> {
    let count = |sql: &'static str| -> Result<u64, Trouble> {
        let found: i64 = desk.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(unsigned(found))
    };
    let deleted = count("SELECT count(*) FROM record WHERE deleted_at IS NOT NULL")?;
    let aliases = count("SELECT count(*) FROM customer WHERE merged_into IS NOT NULL")?;
    let mut totals = Totals {
        records: count("SELECT count(*) FROM record")? - deleted,
        customers: count("SELECT count(*) FROM customer")? - aliases,
        merges: count("SELECT count FROM tally WHERE name = 'merges'")?,
        rejected: count("SELECT count(*) FROM record WHERE problem IS NOT NULL")?,
        frozen: count_frozen(&desk.conn)?,
        writes: BTreeMap::new(),
        deletes: count("SELECT count(*) FROM write WHERE removes_at IS NOT NULL AND state IN (0, 3)")?,
        noteless: count("SELECT count(*) FROM handoff WHERE note = 3 AND state <> 4")?,
        unmatched: count("SELECT count(DISTINCT record) FROM rematch")?,
        reviews: count("SELECT count(*) FROM review")?,
    };
    let mut statement = desk
        .conn
        .prepare_cached("SELECT state, count(*) FROM write GROUP BY state")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(state) = state_of(row.get(0)?) {
            totals.writes.insert(state, unsigned(row.get(1)?));
        }
    }
    Ok(totals)
}
