//! Whose turn it is. Writes go out in the order in which they came due; those of some customers count as due earlier by a
//! head start. So a write is overtaken only by such as came due at most the longest head start later: nobody waits longer
//! for them than that.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Row};

use super::apply::Owners;
use super::outbox::ahead_query;
use super::row::{limit_of, signed, unsigned};
use super::trouble::Trouble;
use crate::ledger::{Target, Write};
use crate::model::{CustomerKey, UnixMillis};

/// Notes who is served before others, inside the running transaction.
pub(super) fn put(
    conn: &Connection,
    owners: &mut Owners,
    head_starts: &BTreeMap<CustomerKey, u64>,
) -> Result<(), Trouble> {
    for (key, ahead) in head_starts {
        let customer = owners.number(conn, key)?;
        if *ahead == 0 {
            conn.prepare_cached("DELETE FROM head_start WHERE customer = ?1")?
                .execute([customer])?;
        } else {
            conn.prepare_cached(
                "INSERT INTO head_start (customer, ahead_ms) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET ahead_ms = ?2",
            )?
            .execute((customer, signed(*ahead)))?;
        }
    }
    Ok(())
}

/// Puts the due writes of those with a head start among the others, and keeps the first `limit`.
pub(super) fn mix(
    conn: &Connection,
    stream: i64,
    now: UnixMillis,
    limit: usize,
    claimed: &mut Vec<Write>,
    mut read: impl FnMut(&Row<'_>) -> Result<Write, Trouble>,
) -> Result<(), Trouble> {
    let mut statement = conn.prepare_cached(ahead_query!())?;
    let mut rows = statement.query((stream, now.0, limit_of(limit)))?;
    let mut ahead: Vec<(u64, Write)> = Vec::new();
    while let Some(row) = rows.next()? {
        ahead.push((unsigned(row.get(14)?), read(row)?));
    }
    if ahead.is_empty() {
        return Ok(());
    }
    let known: BTreeSet<Target> = ahead.iter().map(|(_, write)| write.target.clone()).collect();
    claimed.retain(|write| !known.contains(&write.target));
    let mut all: Vec<(i64, Write)> = claimed.drain(..).map(|write| (write.due_at.0, write)).collect();
    all.extend(
        ahead
            .into_iter()
            .map(|(ahead, write)| (write.due_at.0.saturating_sub(signed(ahead)), write)),
    );
    all.sort_by(|(a, left), (b, right)| (a, &left.target).cmp(&(b, &right.target)));
    all.truncate(limit);
    claimed.extend(all.into_iter().map(|(_, write)| write));
    Ok(())
}
