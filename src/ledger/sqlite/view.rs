//! What a fold needs to see. The hot path: prepared point look-ups, each on one small index.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::row::{self, customer_columns, record_columns};
use super::streams::Streams;
use super::trouble::Trouble;
use super::worker::Desk;
use super::{handoff, matching, outbox};
use crate::ledger::hash::{identifier_digest, kind_number as identifier_kind};
use crate::ledger::{Ask, Decision, Head, View};
use crate::model::{Customer, CustomerKey, Identifier, RecordId};

/// A chain of merges longer than this is a circle.
pub(super) const ALIAS_HOPS_MAX: usize = 1000;

/// Digest and customer of each record. Decodes nothing.
pub(super) fn heads(desk: &mut Desk, records: &[RecordId]) -> Result<Vec<Option<Head>>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut statement = conn.prepare_cached(
        "SELECT r.hash, c.key, c.kind FROM record r JOIN customer c ON c.id = r.customer \
         WHERE r.stream = ?1 AND r.remote = ?2",
    )?;
    let mut heads = Vec::with_capacity(records.len());
    for id in records {
        let Some(stream) = streams.find(conn, &id.stream)? else {
            heads.push(None);
            continue;
        };
        let mut rows = statement.query((stream, id.remote.as_str()))?;
        let head = match rows.next()? {
            None => None,
            Some(row) => Some(Head {
                hash: row.get(0)?,
                customer: row::key(row, 1)?,
            }),
        };
        heads.push(head);
    }
    Ok(heads)
}

/// The closure described at [`View`].
pub(super) fn view(desk: &mut Desk, ask: &Ask) -> Result<View, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut wanted = BTreeSet::new();
    asked_records(conn, streams, ask, &mut wanted)?;
    let holders = asked_holders(conn, ask, &mut wanted)?;
    let mut closure = Closure::default();
    for id in wanted {
        closure.add(conn, streams, id)?;
    }
    for key in &ask.customers {
        if let Some(id) = customer_id(conn, key)? {
            let live = closure.add(conn, streams, id)?;
            if live != *key {
                closure.view.aliases.insert(*key, live);
            }
        }
    }
    // Who was said to be one must be seen together, whichever of them is asked for.
    let decisions = loop {
        let decisions = decisions(conn, ask, &closure.view)?;
        let mut has_more = false;
        for decision in decisions.iter().filter(|decision| decision.same) {
            for id in [&decision.left, &decision.right] {
                if !closure.view.records.contains_key(id)
                    && let Some(customer) = customer_of(conn, streams, id)?
                {
                    closure.add(conn, streams, customer)?;
                    has_more = true;
                }
            }
        }
        if !has_more {
            break decisions;
        }
    };
    let Closure { mut view, names, seen } = closure;
    for (identifier, ids) in holders {
        let records = ids.iter().filter_map(|id| names.get(id).cloned()).collect();
        view.holders.insert(identifier, records);
    }
    view.decisions = decisions;
    matching::look(conn, streams, &seen, &mut view)?;
    if !ask.without_handoffs {
        handoff::look(conn, streams, ask, &seen, &mut view)?;
    }
    Ok(view)
}

fn customer_of(conn: &Connection, streams: &mut Streams, id: &RecordId) -> Result<Option<i64>, Trouble> {
    let Some(stream) = streams.find(conn, &id.stream)? else {
        return Ok(None);
    };
    let found = conn
        .prepare_cached("SELECT customer FROM record WHERE stream = ?1 AND remote = ?2")?
        .query_row((stream, id.remote.as_str()), |row| row.get(0))
        .optional()?;
    Ok(found)
}

fn asked_records(
    conn: &Connection,
    streams: &mut Streams,
    ask: &Ask,
    wanted: &mut BTreeSet<i64>,
) -> Result<(), Trouble> {
    let mut statement = conn.prepare_cached("SELECT customer FROM record WHERE stream = ?1 AND remote = ?2")?;
    for id in &ask.records {
        if let Some(stream) = streams.find(conn, &id.stream)? {
            let found = statement.query_row((stream, id.remote.as_str()), |row| row.get::<_, i64>(0));
            wanted.extend(found.optional()?);
        }
    }
    Ok(())
}

fn asked_holders(
    conn: &Connection,
    ask: &Ask,
    wanted: &mut BTreeSet<i64>,
) -> Result<BTreeMap<Identifier, Vec<i64>>, Trouble> {
    let mut holders = BTreeMap::new();
    let mut statement = conn.prepare_cached(
        "SELECT i.record, r.customer FROM identifier i JOIN record r ON r.id = i.record \
         WHERE i.digest = ?1 AND i.kind = ?2 AND i.value = ?3",
    )?;
    for identifier in &ask.identifiers {
        let mut rows = statement.query((
            identifier_digest(identifier),
            identifier_kind(identifier.kind),
            identifier.value.as_str(),
        ))?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(row.get(0)?);
            wanted.insert(row.get(1)?);
        }
        if !records.is_empty() {
            holders.insert(identifier.clone(), records);
        }
    }
    Ok(holders)
}

#[derive(Default)]
struct Closure {
    view: View,
    /// Records by their id inside.
    names: BTreeMap<i64, RecordId>,
    /// Live customers that are in already.
    seen: BTreeMap<i64, CustomerKey>,
}

impl Closure {
    /// Adds a customer (aliases followed) with all that is hers. Her live key.
    fn add(&mut self, conn: &Connection, streams: &mut Streams, id: i64) -> Result<CustomerKey, Trouble> {
        let (id, customer) = live(conn, id, row::customer_without_lineage)?;
        let key = customer.key;
        if self.seen.insert(id, key).is_some() {
            return Ok(key);
        }
        let mut statement = conn.prepare_cached(concat!(
            "SELECT ",
            record_columns!(),
            " FROM record WHERE customer = ?1"
        ))?;
        let mut rows = statement.query([id])?;
        while let Some(row) = rows.next()? {
            let (inside, record) = row::record(conn, streams, row)?;
            self.names.insert(inside, record.id.clone());
            self.view.records.insert(record.id.clone(), (record, customer.key));
        }
        outbox::of_customer(conn, streams, id, customer.key, &mut self.view.writes)?;
        self.view.customers.insert(key, customer);
        Ok(key)
    }
}

/// The id inside of a key, alias or not; `None` when the key was never given out.
pub(super) fn customer_id(conn: &Connection, key: &CustomerKey) -> Result<Option<i64>, Trouble> {
    let found = conn
        .prepare_cached("SELECT id FROM customer WHERE key = ?1 AND kind = ?2")?
        .query_row((key.id.as_bytes(), row::kind_number(key.kind)), |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// The live customer behind an id inside, with hers.
pub(super) fn live_customer(conn: &Connection, id: i64) -> Result<(i64, Customer), Trouble> {
    live(conn, id, row::customer)
}

fn live(
    conn: &Connection,
    id: i64,
    read: fn(&Row<'_>) -> Result<Customer, Trouble>,
) -> Result<(i64, Customer), Trouble> {
    let mut statement = conn.prepare_cached(concat!("SELECT ", customer_columns!(), " FROM customer WHERE id = ?1"))?;
    let mut at = id;
    for _ in 0..ALIAS_HOPS_MAX {
        let mut rows = statement.query([at])?;
        let found = rows
            .next()?
            .ok_or_else(|| Trouble::bug(format!("customer {at} is not in the ledger")))?;
        match found.get(1)? {
            Some(next) => at = next,
            None => return Ok((at, read(found)?)),
        }
    }
    Err(Trouble::bug(format!("the aliases of customer {id} do not end")))
}

/// Operators' words about the records of the view and of the question.
fn decisions(conn: &Connection, ask: &Ask, view: &View) -> Result<Vec<Decision>, Trouble> {
    // Nearly always there is none at all.
    let mut found = BTreeSet::new();
    if has_no_decision(conn)? {
        return Ok(Vec::new());
    }
    for id in view.records.keys().chain(&ask.records) {
        found.extend(decisions_on(conn, id)?);
    }
    Ok(found.into_iter().collect())
}

fn has_no_decision(conn: &Connection) -> Result<bool, Trouble> {
    let is_empty = conn
        .prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM decision)")?
        .query_row([], |row| row.get(0))?;
    Ok(is_empty)
}

/// Operators' words about one record and another.
pub(super) fn decisions_on(conn: &Connection, id: &RecordId) -> Result<Vec<Decision>, Trouble> {
    let mut statement = conn.prepare_cached(
        "SELECT left, right, same FROM decision WHERE left = ?1 \
         UNION ALL SELECT left, right, same FROM decision WHERE right = ?1",
    )?;
    let mut rows = statement.query([id.to_string()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Decision {
            left: record_id(row::text(row, 0)?)?,
            right: record_id(row::text(row, 1)?)?,
            same: row.get(2)?,
        });
    }
    Ok(found)
}

/// A record id from stored text.
pub(super) fn record_id(text: &str) -> Result<RecordId, Trouble> {
    text.parse()
        .map_err(|error| Trouble::bug(format!("a stored record id is damaged: {error}")))
}
