//! One commit: checks first, then everything it changes, table by table.
//!
//! What can refuse a commit for being stale is looked at before anything is written, so that a refusal is cheap.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::records::Records;
use super::row::{self, lineage_json, signed, to_json};
use super::streams::Streams;
use super::trouble::Trouble;
use super::view::ALIAS_HOPS_MAX;
use super::worker::Desk;
use super::{arrival, handoff, inbox, matching, outbox, posts, sweep, turns};
use crate::ledger::{Advance, Cause, Commit, WriteChange};
use crate::model::{Customer, CustomerKey, RecordId, UnixMillis};

/// Applies a commit inside the running transaction.
pub(super) fn apply(desk: &mut Desk, commit: &Commit) -> Result<(), Trouble> {
    let Desk { conn, streams, watches } = desk;
    if let Some(advance) = &commit.advance {
        advance_stream(conn, streams, commit, advance)?;
    }
    let mut owners = Owners::default();
    touch_customers(conn, &mut owners, &commit.touched)?;
    put_customers(conn, &mut owners, &commit.customers)?;
    let mut records = Records::new(conn, commit.rematch)?;
    for (record, customer) in &commit.records {
        let owner = owners.of_record(conn, customer, &record.id)?;
        records.put(streams, &owners, record, (owner, customer.kind))?;
    }
    for (alias, into) in std::mem::take(&mut owners.merged_now) {
        refuse_left_behind(conn, alias)?;
        let live = owners.live(conn, &into)?;
        conn.prepare_cached("UPDATE write SET customer = ?2 WHERE customer = ?1")?
            .execute((alias, live))?;
        handoff::follow(conn, alias, live)?;
    }
    for (id, asserted) in &commit.identifiers {
        records.assert(streams, id, asserted.iter(), commit.at)?;
    }
    if let Some(page) = &commit.sweep {
        sweep::page(conn, streams, page)?;
    }
    handoff::put_activities(conn, streams, &commit.activities)?;
    sweep::mark(conn, streams, commit)?;
    arrival::put(conn, streams, &commit.arrivals)?;
    matching::put_reviews(conn, streams, &commit.reviews)?;
    matching::put_joints(conn, &mut owners, &commit.joints)?;
    posts::note_passages(conn, watches, commit)?;
    handoff::put(conn, &mut owners, &commit.passages, &commit.looks)?;
    turns::put(conn, &mut owners, &commit.head_starts)?;
    matching::put_parted(conn, streams, &commit.parted)?;
    for change in &commit.writes {
        put_write(conn, streams, &mut owners, change, commit.at)?;
    }
    if let Cause::Webhook(events) = &commit.cause {
        inbox::fold(conn, events, commit.at)?;
    }
    if commit.merges > 0 {
        conn.prepare_cached("UPDATE tally SET count = count + ?1 WHERE name = 'merges'")?
            .execute([signed(commit.merges)])?;
    }
    posts::note_customers(conn, watches, commit)?;
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
pub(super) struct Owners {
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

    /// A customer's number inside, alias or not.
    pub(super) fn number(&mut self, conn: &Connection, key: &CustomerKey) -> Result<i64, Trouble> {
        Ok(self.find(conn, key)?.id)
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

    /// A record changes hands only between customers that the commit names: whoever takes it from another one has not
    /// seen that she has it.
    pub(super) fn refuse_unseen(&self, owner: i64) -> Result<(), Trouble> {
        let is_seen = self.known.values().any(|known| known.id == owner && known.is_of_commit);
        if is_seen { Ok(()) } else { Err(Trouble::Stale) }
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
            Some(owner) if customer.version > 0 => {
                if owner.merged_into.is_some() && merged_into.is_none() {
                    revive(conn, owner.id)?;
                }
                update_customer(conn, owner.id, customer, merged_into)?
            }
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

/// Counts on the versions of customers that stay as they are.
fn touch_customers(conn: &Connection, owners: &mut Owners, touched: &[(CustomerKey, u64)]) -> Result<(), Trouble> {
    let mut statement = conn.prepare_cached(
        "UPDATE customer SET version = version + 1 \
         WHERE key = ?1 AND kind = ?2 AND version = ?3 AND merged_into IS NULL RETURNING id",
    )?;
    for (key, version) in touched {
        let id = statement
            .query_row(
                (key.id.as_bytes(), row::kind_number(key.kind), signed(*version)),
                |row| row.get(0),
            )
            .optional()?
            .ok_or(Trouble::Stale)?;
        let owner = Owner {
            id,
            merged_into: None,
            is_of_commit: true,
        };
        owners.known.insert(*key, owner);
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
    if let Some(into) = merged_into {
        conn.prepare_cached("UPDATE customer SET merged_into = ?2, version = version + 1 WHERE id = ?1")?
            .execute((id, into))?;
        return Ok(id);
    }
    conn.prepare_cached("UPDATE customer SET golden = ?2, lineage = ?3, version = version + 1 WHERE id = ?1")?
        .execute((id, to_json(&customer.golden)?, lineage_json(&customer.lineage)?))?;
    Ok(id)
}

/// A split gives records their former key back: the alias is a customer again.
fn revive(conn: &Connection, id: i64) -> Result<(), Trouble> {
    conn.prepare_cached("UPDATE customer SET merged_into = NULL WHERE id = ?1")?
        .execute([id])?;
    Ok(())
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
