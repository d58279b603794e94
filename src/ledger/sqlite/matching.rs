//! The queue of the scored match, its questions, and the keys that a split gives back.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::apply::Owners;
use super::row::{self, limit_of, record_columns, unsigned};
use super::streams::Streams;
use super::trouble::Trouble;
use super::view::{decisions_on, live_customer};
use super::worker::Desk;
use super::{Sqlite, sign};
use crate::identity::affiliation::Sign;
use crate::ledger::hash::identifier_kind_of;
use crate::ledger::{Error, Known, Matching, Review, ReviewChange, View};
use crate::model::{Customer, CustomerKey, Identifier, Lineage, RecordId, StreamId, UnixMillis};

#[async_trait]
impl Matching for Sqlite {
    async fn unmatched(&self, limit: usize) -> Result<Option<(i64, Vec<Known>)>, Error> {
        self.readers.look(move |desk| unmatched(desk, limit)).await
    }

    async fn last_unmatched(&self) -> Result<i64, Error> {
        let last = "SELECT coalesce(max(id), 0) FROM rematch";
        let look = move |desk: &mut Desk| Ok(desk.conn.prepare_cached(last)?.query_row([], |row| row.get(0))?);
        self.readers.look(look).await
    }

    async fn forget_unmatched(&self, last: i64, keep_refolds: bool) -> Result<(), Error> {
        let forget = move |desk: &mut Desk| {
            desk.conn
                .prepare_cached("DELETE FROM rematch WHERE id <= ?1 AND NOT (?2 AND refold)")?
                .execute((last, keep_refolds))?;
            Ok(())
        };
        self.writer.run(forget).await
    }

    async fn known(&self, after: i64, limit: usize) -> Result<Vec<(i64, Known)>, Error> {
        self.readers.look(move |desk| known(desk, after, limit)).await
    }

    async fn former(&self, records: &[RecordId]) -> Result<BTreeMap<RecordId, Customer>, Error> {
        let records = records.to_vec();
        self.readers.look(move |desk| former(desk, &records)).await
    }

    async fn reviews(&self, limit: usize) -> Result<Vec<Review>, Error> {
        self.readers.look(move |desk| reviews(desk, limit)).await
    }

    async fn reviews_of(&self, records: &[RecordId]) -> Result<Vec<Review>, Error> {
        let records = records.to_vec();
        self.readers.look(move |desk| reviews_of(desk, &records)).await
    }

    async fn review(&self, id: i64) -> Result<Option<Review>, Error> {
        self.readers.look(move |desk| review(desk, id)).await
    }

    async fn joints(&self) -> Result<BTreeMap<CustomerKey, i32>, Error> {
        self.readers.look(joints).await
    }

    async fn oversized(&self, size_max: usize, limit: usize) -> Result<Vec<(CustomerKey, u64)>, Error> {
        self.readers.look(move |desk| oversized(desk, size_max, limit)).await
    }

    async fn organizations(&self, signs: &[Sign]) -> Result<Vec<BTreeSet<CustomerKey>>, Error> {
        let signs = signs.to_vec();
        self.readers.look(move |desk| sign::organizations(desk, &signs)).await
    }

    async fn people(&self, signs: &[Sign]) -> Result<BTreeSet<CustomerKey>, Error> {
        let signs = signs.iter().cloned().collect();
        self.readers.look(move |desk| sign::people(desk, &signs)).await
    }

    async fn parted(&self) -> Result<Vec<RecordId>, Error> {
        self.readers.look(parted).await
    }

    async fn forget_parted(&self, records: &[RecordId]) -> Result<(), Error> {
        let records = records.to_vec();
        let forget = move |desk: &mut Desk| {
            let Desk { conn, streams, .. } = desk;
            for id in &records {
                let number = streams.record(conn, id)?;
                conn.prepare_cached("DELETE FROM parted WHERE record = ?1")?
                    .execute([number])?;
            }
            Ok(())
        };
        self.writer.run(forget).await
    }
}

fn unmatched(desk: &mut Desk, limit: usize) -> Result<Option<(i64, Vec<Known>)>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut statement = conn.prepare_cached("SELECT id, record, refold FROM rematch ORDER BY id LIMIT ?1")?;
    let found: Vec<(i64, i64, bool)> = statement
        .query_map([limit_of(limit)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let Some((last, ..)) = found.last().copied() else {
        return Ok(None);
    };
    let mut records: BTreeMap<i64, bool> = BTreeMap::new();
    for (_, record, refold) in found {
        *records.entry(record).or_default() |= refold;
    }
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        record_columns!(),
        ", customer FROM record WHERE id = ?1"
    ))?;
    let mut known = Vec::with_capacity(records.len());
    for (record, refold) in records {
        let mut rows = statement.query([record])?;
        if let Some(row) = rows.next()? {
            known.push(Known {
                refold,
                ..one(conn, streams, row)?.1
            });
        }
    }
    Ok(Some((last, known)))
}

fn known(desk: &mut Desk, after: i64, limit: usize) -> Result<Vec<(i64, Known)>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        record_columns!(),
        ", customer FROM record WHERE id > ?1 ORDER BY id LIMIT ?2"
    ))?;
    let mut rows = statement.query((after, limit_of(limit)))?;
    let mut known = Vec::new();
    while let Some(row) = rows.next()? {
        known.push(one(conn, streams, row)?);
    }
    Ok(known)
}

/// A record with its number and what belongs to it; the customer's number stands behind the record's columns.
fn one(conn: &Connection, streams: &mut Streams, row: &Row<'_>) -> Result<(i64, Known), Trouble> {
    let (number, record) = row::record(conn, streams, row)?;
    let customer: i64 = row.get("customer")?;
    let customer = key_of(conn, customer)?;
    let mut statement = conn.prepare_cached("SELECT kind, value FROM identifier WHERE record = ?1")?;
    let mut rows = statement.query([number])?;
    let mut identifiers = BTreeSet::new();
    while let Some(row) = rows.next()? {
        if let Some(kind) = identifier_kind_of(row.get(0)?) {
            identifiers.insert(Identifier::new(kind, row::text(row, 1)?));
        }
    }
    let known = Known {
        decisions: decisions_on(conn, &record.id)?,
        record,
        customer,
        identifiers,
        refold: false,
    };
    Ok((number, known))
}

pub(super) fn key_of(conn: &Connection, customer: i64) -> Result<CustomerKey, Trouble> {
    let mut statement = conn.prepare_cached("SELECT key, kind FROM customer WHERE id = ?1")?;
    let mut rows = statement.query([customer])?;
    match rows.next()? {
        Some(row) => row::key(row, 0),
        None => Err(Trouble::bug(format!("customer {customer} is not in the ledger"))),
    }
}

fn former(desk: &mut Desk, records: &[RecordId]) -> Result<BTreeMap<RecordId, Customer>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut statement = conn.prepare_cached(
        "SELECT c.key, c.kind, c.version FROM former f JOIN customer c ON c.id = f.customer \
         WHERE f.record = ?1 AND c.merged_into IS NOT NULL",
    )?;
    let mut found = BTreeMap::new();
    for id in records {
        let Some(number) = streams.record(conn, id)? else {
            continue;
        };
        let mut rows = statement.query([number])?;
        if let Some(row) = rows.next()? {
            let customer = Customer {
                key: row::key(row, 0)?,
                golden: crate::model::Fields::default(),
                lineage: Lineage::new(),
                version: unsigned(row.get(2)?),
                merged_into: None,
            };
            found.insert(id.clone(), customer);
        }
    }
    Ok(found)
}

macro_rules! review_columns {
    () => {
        "v.id, v.left, v.right, v.score, v.is_vetoed, v.evidence, v.opened_at"
    };
}

fn reviews(desk: &mut Desk, limit: usize) -> Result<Vec<Review>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        review_columns!(),
        " FROM review v ORDER BY v.score DESC, v.id LIMIT ?1"
    ))?;
    let mut rows = statement.query([limit_of(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read_review(conn, streams, row)?);
    }
    Ok(found)
}

fn review(desk: &mut Desk, id: i64) -> Result<Option<Review>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut statement = conn.prepare_cached(concat!("SELECT ", review_columns!(), " FROM review v WHERE v.id = ?1"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(|row| read_review(conn, streams, row)).transpose()
}

fn reviews_of(desk: &mut Desk, records: &[RecordId]) -> Result<Vec<Review>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        review_columns!(),
        " FROM review v WHERE v.left = ?1 UNION SELECT ",
        review_columns!(),
        " FROM review v WHERE v.right = ?1"
    ))?;
    let mut found = BTreeMap::new();
    for id in records {
        let Some(number) = streams.record(conn, id)? else {
            continue;
        };
        let mut rows = statement.query([number])?;
        while let Some(row) = rows.next()? {
            let review = read_review(conn, streams, row)?;
            found.insert(review.id, review);
        }
    }
    Ok(found.into_values().collect())
}

fn read_review(conn: &Connection, streams: &mut Streams, row: &Row<'_>) -> Result<Review, Trouble> {
    Ok(Review {
        id: row.get(0)?,
        left: name_of(conn, streams, row.get(1)?)?,
        right: name_of(conn, streams, row.get(2)?)?,
        score: row.get(3)?,
        is_vetoed: row.get(4)?,
        evidence: row.get(5)?,
        opened_at: UnixMillis(row.get(6)?),
    })
}

fn name_of(conn: &Connection, streams: &mut Streams, record: i64) -> Result<RecordId, Trouble> {
    let (stream, remote): (i64, String) = conn
        .prepare_cached("SELECT stream, remote FROM record WHERE id = ?1")?
        .query_row([record], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(streams.name(conn, stream)?.record(remote))
}

fn joints(desk: &mut Desk) -> Result<BTreeMap<CustomerKey, i32>, Trouble> {
    let mut statement = desk.conn.prepare_cached(
        "SELECT c.key, c.kind, j.score FROM joint j JOIN customer c ON c.id = j.customer WHERE c.merged_into IS NULL",
    )?;
    let mut rows = statement.query([])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        found.insert(row::key(row, 0)?, row.get(2)?);
    }
    Ok(found)
}

fn oversized(desk: &mut Desk, size_max: usize, limit: usize) -> Result<Vec<(CustomerKey, u64)>, Trouble> {
    let mut statement = desk.conn.prepare_cached(
        "SELECT c.key, c.kind, n.count FROM (SELECT customer, count(*) AS count FROM record WHERE deleted_at IS NULL \
         GROUP BY customer HAVING count(*) > ?1) n JOIN customer c ON c.id = n.customer ORDER BY n.count DESC, c.key LIMIT ?2",
    )?;
    let mut rows = statement.query((limit_of(size_max), limit_of(limit)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row::key(row, 0)?, unsigned(row.get(2)?)));
    }
    Ok(found)
}

/// Asked before every batch of writes, and nearly always about nobody: the join begins with those few.
pub(super) const PARTED: &str =
    "SELECT r.stream, r.remote FROM parted p CROSS JOIN record r ON r.id = p.record ORDER BY p.record";

fn parted(desk: &mut Desk) -> Result<Vec<RecordId>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut statement = conn.prepare_cached(PARTED)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let remote: String = row.get(1)?;
        found.push(streams.name(conn, row.get(0)?)?.record(remote));
    }
    Ok(found)
}

/// Notes whose tools are to get back what stood there.
pub(super) fn put_parted(conn: &Connection, streams: &mut Streams, records: &[RecordId]) -> Result<(), Trouble> {
    for id in records {
        let number = streams.record(conn, id)?;
        conn.prepare_cached("INSERT OR IGNORE INTO parted (record) VALUES (?1)")?
            .execute([number])?;
    }
    Ok(())
}

/// The changes that a commit makes to the questions.
pub(super) fn put_reviews(conn: &Connection, streams: &mut Streams, changes: &[ReviewChange]) -> Result<(), Trouble> {
    for change in changes {
        let (left, right) = match change {
            ReviewChange::Open(review) => (&review.left, &review.right),
            ReviewChange::Close(left, right) => (left, right),
        };
        let (Some(left), Some(right)) = (streams.record(conn, left)?, streams.record(conn, right)?) else {
            continue;
        };
        let is_known = conn
            .prepare_cached("SELECT 1 FROM review WHERE left = ?1 AND right = ?2")?
            .exists((left, right))?;
        if is_known != matches!(change, ReviewChange::Open(_)) {
            let mut queue = conn.prepare_cached("INSERT INTO rematch (record, refold) VALUES (?1, 1)")?;
            queue.execute([left])?;
            queue.execute([right])?;
        }
        match change {
            ReviewChange::Open(review) => conn
                .prepare_cached(
                    "INSERT INTO review (left, right, score, is_vetoed, evidence, opened_at) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (left, right) \
                     DO UPDATE SET score = ?3, is_vetoed = ?4, evidence = ?5",
                )?
                .execute(params![
                    left,
                    right,
                    review.score,
                    review.is_vetoed,
                    review.evidence,
                    review.opened_at.0
                ])?,
            ReviewChange::Close(..) => conn
                .prepare_cached("DELETE FROM review WHERE left = ?1 AND right = ?2")?
                .execute((left, right))?,
        };
    }
    Ok(())
}

/// How surely the scored match holds customers together; nothing for those that identifiers hold together.
pub(super) fn put_joints(
    conn: &Connection,
    owners: &mut Owners,
    joints: &BTreeMap<CustomerKey, Option<i32>>,
) -> Result<(), Trouble> {
    for (key, score) in joints {
        let customer = owners.number(conn, key)?;
        match score {
            Some(score) => conn
                .prepare_cached("INSERT OR REPLACE INTO joint (customer, score) VALUES (?1, ?2)")?
                .execute((customer, score))?,
            None => conn
                .prepare_cached("DELETE FROM joint WHERE customer = ?1")?
                .execute([customer])?,
        };
    }
    Ok(())
}

/// Adds to a view what the scored match means for its customers, by their numbers inside.
pub(super) fn look(
    conn: &Connection,
    streams: &mut Streams,
    customers: &BTreeMap<i64, CustomerKey>,
    view: &mut View,
) -> Result<(), Trouble> {
    let is_there =
        |sql: &'static str| -> Result<bool, Trouble> { Ok(conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?) };
    // Nearly always there is none at all.
    if is_there("SELECT EXISTS (SELECT 1 FROM joint)")? {
        let mut statement = conn.prepare_cached("SELECT score FROM joint WHERE customer = ?1")?;
        for (number, key) in customers {
            let score: Option<i32> = statement.query_row([number], |row| row.get(0)).optional()?;
            view.joints.extend(score.map(|score| (*key, score)));
        }
    }
    if is_there("SELECT EXISTS (SELECT 1 FROM review)")? {
        let mut statement = conn.prepare_cached(
            "SELECT o.customer FROM record r JOIN review v ON v.left = r.id JOIN record o ON o.id = v.right \
             WHERE r.customer = ?1 \
             UNION SELECT o.customer FROM record r JOIN review v ON v.right = r.id JOIN record o ON o.id = v.left \
             WHERE r.customer = ?1",
        )?;
        for (number, key) in customers {
            let mut rows = statement.query([number])?;
            while let Some(row) = rows.next()? {
                let other: i64 = row.get(0)?;
                let streams = streams_of(conn, streams, live_customer(conn, other)?.0)?;
                if other != *number {
                    view.doubtful.entry(*key).or_default().extend(streams);
                }
            }
        }
    }
    Ok(())
}

/// The streams in which a customer has an object.
fn streams_of(conn: &Connection, streams: &mut Streams, customer: i64) -> Result<Vec<StreamId>, Trouble> {
    let mut statement =
        conn.prepare_cached("SELECT DISTINCT stream FROM record WHERE customer = ?1 AND deleted_at IS NULL")?;
    let numbers: Vec<i64> = statement
        .query_map([customer], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut found = Vec::with_capacity(numbers.len());
    for number in numbers {
        found.push(streams.name(conn, number)?.clone());
    }
    Ok(found)
}
