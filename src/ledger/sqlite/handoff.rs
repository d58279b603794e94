//! Activities and passages.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Sqlite;
use super::apply::Owners;
use super::row::{self, limit_of, to_json};
use super::streams::Streams;
use super::trouble::Trouble;
use super::view::{customer_id, live_customer};
use super::worker::Desk;
use crate::handoff::{NoteState, Passage, State};
use crate::ledger::hash::identifier_kind_of;
use crate::ledger::{Ask, ContentHash, Error, Handoffs, PassageCount, PassagesOf, View, content_hash_of};
use crate::model::{Activity, CustomerKey, Holder, Identifier, IdentifierKind, RecordId, UnixMillis};

#[async_trait]
impl Handoffs for Sqlite {
    async fn activity_heads(&self, ids: &[RecordId]) -> Result<Vec<Option<ContentHash>>, Error> {
        let ids = ids.to_vec();
        self.readers.look(move |desk| heads(desk, &ids)).await
    }

    async fn activities(&self, ids: &[RecordId]) -> Result<Vec<Option<Activity>>, Error> {
        let ids = ids.to_vec();
        self.readers.look(move |desk| by_id(desk, &ids)).await
    }

    async fn activities_of(&self, customer: &CustomerKey, limit: usize) -> Result<Vec<Activity>, Error> {
        let key = *customer;
        let look = move |desk: &mut Desk| {
            let Desk { conn, streams, .. } = desk;
            let Some(id) = customer_id(conn, &key)? else {
                return Ok(Vec::new());
            };
            let (live, _) = live_customer(conn, id)?;
            let mut found = activities(conn, streams, live)?;
            found.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
            found.truncate(limit);
            Ok(found)
        };
        self.readers.look(look).await
    }

    async fn count_activities(&self) -> Result<u64, Error> {
        let count = "SELECT count(*) FROM activity WHERE deleted_at IS NULL";
        let look = move |desk: &mut Desk| {
            let count: i64 = desk.conn.prepare_cached(count)?.query_row([], |row| row.get(0))?;
            Ok(row::unsigned(count))
        };
        self.readers.look(look).await
    }

    async fn passages(&self, of: &PassagesOf, after: Option<&str>, limit: usize) -> Result<Vec<Passage>, Error> {
        let (of, after) = (of.clone(), after.unwrap_or_default().to_owned());
        self.readers
            .look(move |desk| list(&desk.conn, &of, &after, limit))
            .await
    }

    async fn passage_counts(&self, now: UnixMillis) -> Result<Vec<PassageCount>, Error> {
        let look = move |desk: &mut Desk| {
            let mut statement = desk.conn.prepare_cached(
                "SELECT rule, state, count(*), sum(state IN (0, 1) AND due_at < ?1) FROM handoff GROUP BY rule, state",
            )?;
            let mut rows = statement.query([now.0])?;
            let mut counts = Vec::new();
            while let Some(row) = rows.next()? {
                let number: i64 = row.get(1)?;
                let state = State::ALL.into_iter().find(|state| state_number(*state) == number);
                counts.push(PassageCount {
                    rule: row::text(row, 0)?.into(),
                    state: state
                        .ok_or_else(|| Trouble::bug(format!("no state of a passage has the number {number}")))?,
                    count: row::unsigned(row.get(2)?),
                    late: row::unsigned(row.get(3)?),
                });
            }
            Ok(counts)
        };
        self.readers.look(look).await
    }

    async fn passages_of(&self, customer: &CustomerKey) -> Result<Vec<Passage>, Error> {
        let key = *customer;
        let look = move |desk: &mut Desk| {
            let Some(id) = customer_id(&desk.conn, &key)? else {
                return Ok(Vec::new());
            };
            let (live, customer) = live_customer(&desk.conn, id)?;
            passages(&desk.conn, live, customer.key)
        };
        self.readers.look(look).await
    }

    async fn to_look_at(&self, now: UnixMillis, limit: usize) -> Result<Vec<CustomerKey>, Error> {
        let look = move |desk: &mut Desk| {
            let mut statement = desk.conn.prepare_cached(
                "SELECT c.key, c.kind FROM handoff_look l JOIN customer c ON c.id = l.customer \
                 WHERE l.at <= ?1 ORDER BY l.at LIMIT ?2",
            )?;
            let mut rows = statement.query((now.0, limit_of(limit)))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(row::key(row, 0)?);
            }
            Ok(found)
        };
        self.readers.look(look).await
    }
}

fn heads(desk: &mut Desk, ids: &[RecordId]) -> Result<Vec<Option<ContentHash>>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut statement = conn.prepare_cached("SELECT hash FROM activity WHERE stream = ?1 AND remote = ?2")?;
    let mut heads = Vec::with_capacity(ids.len());
    for id in ids {
        let head = match streams.find(conn, &id.stream)? {
            Some(stream) => statement
                .query_row((stream, id.remote.as_str()), |row| row.get(0))
                .optional()?,
            None => None,
        };
        heads.push(head);
    }
    Ok(heads)
}

fn by_id(desk: &mut Desk, ids: &[RecordId]) -> Result<Vec<Option<Activity>>, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut statement = conn.prepare_cached("SELECT id FROM activity WHERE stream = ?1 AND remote = ?2")?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let number: Option<i64> = match streams.find(conn, &id.stream)? {
            Some(stream) => statement
                .query_row((stream, id.remote.as_str()), |row| row.get(0))
                .optional()?,
            None => None,
        };
        found.push(number.map(|number| activity(conn, streams, number)).transpose()?);
    }
    Ok(found)
}

/// How an identifier that holds activities is stored.
fn held_by(identifier: &Identifier) -> String {
    format!("{}:{}", identifier.kind.as_str(), identifier.value)
}

/// Takes activities in, inside the running transaction.
pub(super) fn put_activities(conn: &Connection, streams: &mut Streams, activities: &[Activity]) -> Result<(), Trouble> {
    let mut put = conn.prepare_cached(
        "INSERT INTO activity (stream, remote, hash, at, updated_at, seen_at, deleted_at, fields) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         ON CONFLICT (stream, remote) DO UPDATE SET hash = ?3, at = ?4, updated_at = ?5, seen_at = ?6, deleted_at = ?7, \
         fields = ?8 RETURNING id",
    )?;
    let mut free = conn.prepare_cached("DELETE FROM activity_holder WHERE activity = ?1")?;
    let mut hold =
        conn.prepare_cached("INSERT OR IGNORE INTO activity_holder (stream, value, activity) VALUES (?1, ?2, ?3)")?;
    for activity in activities {
        let stream = streams.make(conn, &activity.id.stream)?;
        let hash = content_hash_of(&activity.fields, activity.deleted_at.is_some(), false);
        let id: i64 = put.query_row(
            params![
                stream,
                activity.id.remote.as_str(),
                hash,
                activity.at.0,
                activity.updated_at.map(|at| at.0),
                activity.seen_at.0,
                activity.deleted_at.map(|at| at.0),
                to_json(&activity.fields)?,
            ],
            |row| row.get(0),
        )?;
        free.execute([id])?;
        for holder in &activity.holders {
            match holder {
                Holder::Record(record) => {
                    let stream = streams.make(conn, &record.stream)?;
                    hold.execute((stream, record.remote.as_str(), id))?
                }
                Holder::Identifier(identifier) => hold.execute((0, held_by(identifier), id))?,
            };
        }
    }
    Ok(())
}

/// What a fold has to see: the activities of the customers, and those that wait for one of the asked records or
/// identifiers to come.
pub(super) fn look(
    conn: &Connection,
    streams: &mut Streams,
    ask: &Ask,
    customers: &BTreeMap<i64, CustomerKey>,
    view: &mut View,
) -> Result<(), Trouble> {
    let mut ids = BTreeSet::new();
    for (id, key) in customers {
        of_customer(conn, *id, &mut ids)?;
        let hers = passages(conn, *id, *key)?;
        if !hers.is_empty() {
            view.passages.insert(*key, hers);
        }
    }
    let mut statement = conn.prepare_cached("SELECT activity FROM activity_holder WHERE stream = ?1 AND value = ?2")?;
    for record in &ask.records {
        let Some(stream) = streams.find(conn, &record.stream)? else {
            continue;
        };
        let mut rows = statement.query((stream, record.remote.as_str()))?;
        while let Some(row) = rows.next()? {
            ids.insert(row.get(0)?);
        }
    }
    for identifier in &ask.identifiers {
        let mut rows = statement.query((0, held_by(identifier)))?;
        while let Some(row) = rows.next()? {
            ids.insert(row.get(0)?);
        }
    }
    for id in ids {
        let activity = activity(conn, streams, id)?;
        view.activities.insert(activity.id.clone(), activity);
    }
    Ok(())
}

/// The activities of a live customer: those of her records, and those of the identifiers that her records hold now.
fn activities(conn: &Connection, streams: &mut Streams, customer: i64) -> Result<Vec<Activity>, Trouble> {
    let mut ids = BTreeSet::new();
    of_customer(conn, customer, &mut ids)?;
    ids.into_iter().map(|id| activity(conn, streams, id)).collect()
}

fn of_customer(conn: &Connection, customer: i64, ids: &mut BTreeSet<i64>) -> Result<(), Trouble> {
    let mut statement = conn.prepare_cached(
        "SELECT h.activity FROM record r JOIN activity_holder h ON h.stream = r.stream AND h.value = r.remote \
         WHERE r.customer = ?1",
    )?;
    let mut rows = statement.query([customer])?;
    while let Some(row) = rows.next()? {
        ids.insert(row.get::<_, i64>(0)?);
    }
    let mut statement = conn.prepare_cached(
        "SELECT i.kind, i.value FROM record r JOIN identifier i ON i.record = r.id \
         WHERE r.customer = ?1 AND i.is_current",
    )?;
    let mut by_value = conn.prepare_cached("SELECT activity FROM activity_holder WHERE stream = 0 AND value = ?1")?;
    let mut rows = statement.query([customer])?;
    while let Some(row) = rows.next()? {
        let Some(kind) = identifier_kind_of(row.get(0)?) else {
            continue;
        };
        let identifier = Identifier::new(kind, row::text(row, 1)?);
        let mut held = by_value.query([held_by(&identifier)])?;
        while let Some(row) = held.next()? {
            ids.insert(row.get(0)?);
        }
    }
    Ok(())
}

fn activity(conn: &Connection, streams: &mut Streams, id: i64) -> Result<Activity, Trouble> {
    let mut statement = conn.prepare_cached(
        "SELECT stream, remote, at, updated_at, seen_at, deleted_at, fields FROM activity WHERE id = ?1",
    )?;
    let mut rows = statement.query([id])?;
    let row = rows
        .next()?
        .ok_or_else(|| Trouble::bug(format!("activity {id} is not in the ledger")))?;
    Ok(Activity {
        id: streams.name(conn, row.get(0)?)?.record(row::text(row, 1)?),
        at: UnixMillis(row.get(2)?),
        updated_at: row::time(row, 3)?,
        seen_at: UnixMillis(row.get(4)?),
        deleted_at: row::time(row, 5)?,
        fields: row::json(row, 6)?,
        holders: holders(conn, streams, id)?,
    })
}

fn holders(conn: &Connection, streams: &mut Streams, id: i64) -> Result<BTreeSet<Holder>, Trouble> {
    let mut statement = conn.prepare_cached("SELECT stream, value FROM activity_holder WHERE activity = ?1")?;
    let mut rows = statement.query([id])?;
    let mut holders = BTreeSet::new();
    while let Some(row) = rows.next()? {
        let (stream, value): (i64, String) = (row.get(0)?, row.get(1)?);
        if stream != 0 {
            holders.insert(Holder::Record(streams.name(conn, stream)?.record(value)));
            continue;
        }
        let found = value.split_once(':');
        let found = found.and_then(|(kind, value)| Some(Identifier::new(IdentifierKind::from_name(kind)?, value)));
        holders.extend(found.map(Holder::Identifier));
    }
    Ok(holders)
}

/// Takes passages in, and when to look at customers again. A customer who lives on in another takes hers along.
pub(super) fn put(
    conn: &Connection,
    owners: &mut Owners,
    passages: &[Passage],
    looks: &BTreeMap<CustomerKey, Option<UnixMillis>>,
) -> Result<(), Trouble> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO handoff (id, rule, customer, state, note, opened_at, due_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         ON CONFLICT (id) DO UPDATE SET customer = ?3, state = ?4, note = ?5, due_at = ?7, body = ?8",
    )?;
    for passage in passages {
        let customer = owners.number(conn, &passage.customer)?;
        statement.execute(params![
            passage.id.as_str(),
            passage.rule.as_str(),
            customer,
            state_number(passage.state),
            passage.note.as_ref().map(|note| note_number(note.state)),
            passage.opened_at.0,
            passage.due_at.0,
            to_json(passage)?,
        ])?;
    }
    for (key, at) in looks {
        let customer = owners.number(conn, key)?;
        match at {
            Some(at) => conn
                .prepare_cached(
                    "INSERT INTO handoff_look (customer, at) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET at = ?2",
                )?
                .execute((customer, at.0))?,
            None => conn
                .prepare_cached("DELETE FROM handoff_look WHERE customer = ?1")?
                .execute([customer])?,
        };
    }
    Ok(())
}

/// Passages of a customer who became an alias go along with her.
pub(super) fn follow(conn: &Connection, alias: i64, live: i64) -> Result<(), Trouble> {
    conn.prepare_cached("UPDATE handoff SET customer = ?2 WHERE customer = ?1")?
        .execute((alias, live))?;
    conn.prepare_cached("DELETE FROM handoff_look WHERE customer = ?1")?
        .execute([alias])?;
    Ok(())
}

fn note_number(state: NoteState) -> i64 {
    match state {
        NoteState::Due => 0,
        NoteState::Sent => 1,
        NoteState::Written => 2,
        NoteState::GivenUp => 3,
    }
}

pub(super) fn state_number(state: State) -> i64 {
    match state {
        State::Open => 0,
        State::Stopped => 1,
        State::Delivered => 2,
        State::Accepted => 3,
        State::Cancelled => 4,
    }
}

/// The passages of a live customer.
pub(super) fn passages(conn: &Connection, customer: i64, key: CustomerKey) -> Result<Vec<Passage>, Trouble> {
    let mut statement = conn.prepare_cached("SELECT body FROM handoff WHERE customer = ?1 ORDER BY opened_at, id")?;
    let mut rows = statement.query([customer])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let passage: Passage = row::json(row, 0)?;
        found.push(Passage {
            customer: key,
            ..passage
        });
    }
    Ok(found)
}

fn list(conn: &Connection, of: &PassagesOf, after: &str, limit: usize) -> Result<Vec<Passage>, Trouble> {
    let states: Vec<String> = of.states.iter().map(|state| state_number(*state).to_string()).collect();
    let states = match states.as_slice() {
        [] => String::new(),
        some => format!(" AND h.state IN ({})", some.join(", ")),
    };
    // As the indexes say it, or they are not used.
    let notes: Vec<String> = of.notes.iter().map(|state| note_number(*state).to_string()).collect();
    let note = match notes.as_slice() {
        [] => String::new(),
        [one] => format!(" AND h.note = {one}"),
        some => format!(" AND h.note IN ({})", some.join(", ")),
    };
    let mut statement = conn.prepare_cached(&format!(
        "SELECT h.body, c.key, c.kind FROM handoff h JOIN customer c ON c.id = h.customer \
         WHERE h.id > ?1 AND (?2 IS NULL OR h.rule = ?2){states}{note} ORDER BY h.id LIMIT ?3"
    ))?;
    let mut rows = statement.query((after, of.rule.as_deref(), limit_of(limit)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(passage(row)?);
    }
    Ok(found)
}

fn passage(row: &Row<'_>) -> Result<Passage, Trouble> {
    let passage: Passage = row::json(row, 0)?;
    Ok(Passage {
        customer: row::key(row, 1)?,
        ..passage
    })
}
