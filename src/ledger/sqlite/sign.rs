//! What organizations answer to: how the records of people find the organization they belong to.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row};

use super::row::{self, record_columns};
use super::streams::Streams;
use super::trouble::Trouble;
use super::worker::Desk;
use crate::identity::affiliation::{self, Sign};
use crate::model::{CustomerKey, Kind, Record};

/// Notes what a record answers to now. People answer to nothing.
pub(super) fn put(conn: &Connection, number: i64, record: &Record, kind: Kind) -> Result<(), Trouble> {
    if kind != Kind::Organization {
        return Ok(());
    }
    conn.prepare_cached("DELETE FROM sign WHERE record = ?1")?
        .execute([number])?;
    let mut insert = conn.prepare_cached("INSERT INTO sign (value, record) VALUES (?1, ?2)")?;
    for value in affiliation::answers(record).iter().filter_map(stored) {
        insert.execute((value, number))?;
    }
    Ok(())
}

/// Notes it of all records of a ledger that was made before it was noted.
pub(super) fn fill(conn: &Connection) -> Result<(), Trouble> {
    let mut statement = conn.prepare(concat!(
        "SELECT ",
        record_columns!(),
        " FROM record WHERE customer IN (SELECT id FROM customer WHERE kind = 1)"
    ))?;
    let mut streams = Streams::default();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (number, record) = row::record(conn, &mut streams, row)?;
        put(conn, number, &record, Kind::Organization)?;
    }
    Ok(())
}

/// The organizations that answer to each sign.
pub(super) fn organizations(desk: &mut Desk, signs: &[Sign]) -> Result<Vec<BTreeSet<CustomerKey>>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    signs.iter().map(|sign| answering(conn, streams, sign)).collect()
}

fn answering(conn: &Connection, streams: &mut Streams, sign: &Sign) -> Result<BTreeSet<CustomerKey>, Trouble> {
    let mut found = BTreeSet::new();
    let mut take = |row: &Row<'_>| -> Result<(), Trouble> {
        let (_, record) = row::record(conn, streams, row)?;
        let customer: i64 = row.get("customer")?;
        let key = super::matching::key_of(conn, customer)?;
        let answers = match sign {
            Sign::Object { .. } => record.deleted_at.is_none() && record.problem.is_none(),
            _ => affiliation::answers(&record).contains(sign),
        };
        if key.kind == Kind::Organization && answers {
            found.insert(key);
        }
        Ok(())
    };
    if let Sign::Object { system, id } = sign {
        let mut statement = conn.prepare_cached(concat!(
            "SELECT ",
            record_columns!(),
            ", customer FROM record WHERE stream IN (SELECT id FROM stream WHERE system = ?1) AND remote = ?2"
        ))?;
        let mut rows = statement.query((system.as_str(), id.as_str()))?;
        while let Some(row) = rows.next()? {
            take(row)?;
        }
    } else if let Some(value) = stored(sign) {
        let mut statement = conn.prepare_cached(concat!(
            "SELECT ",
            record_columns!(),
            ", customer FROM record WHERE id IN (SELECT record FROM sign WHERE value = ?1)"
        ))?;
        let mut rows = statement.query([value])?;
        while let Some(row) = rows.next()? {
            take(row)?;
        }
    }
    Ok(found)
}

/// The people of whom a record says one of the signs.
pub(super) fn people(desk: &mut Desk, signs: &BTreeSet<Sign>) -> Result<BTreeSet<CustomerKey>, Trouble> {
    let mut found = BTreeSet::new();
    if signs.is_empty() {
        return Ok(found);
    }
    let Desk { conn, streams, .. } = desk;
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        record_columns!(),
        ", customer FROM record WHERE deleted_at IS NULL AND customer IN (SELECT id FROM customer WHERE kind = 0)"
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (_, record) = row::record(conn, streams, row)?;
        if !affiliation::says(&record).is_disjoint(signs) {
            found.insert(super::matching::key_of(conn, row.get("customer")?)?);
        }
    }
    Ok(found)
}

/// How a sign is stored; the id of an object is found by itself.
fn stored(sign: &Sign) -> Option<String> {
    match sign {
        Sign::Object { .. } => None,
        Sign::Domain(domain) => Some(format!("domain:{domain}")),
        Sign::Name(name) => Some(format!("name:{name}")),
    }
}
