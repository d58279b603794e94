//! Erasures in SQLite. What is removed is overwritten: the file is written anew afterwards, and the log emptied.

use std::collections::BTreeSet;

use async_trait::async_trait;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use super::row::{self, to_json, unsigned};
use super::trouble::Trouble;
use super::view::{customer_id, live_customer};
use super::worker::Desk;
use super::{Sqlite, posts};
use crate::ledger::hash::identifier_kind_of;
use crate::ledger::{Erasure, Error, Mark, Privacy, Traces};
use crate::model::{CustomerKey, Identifier, RecordId, StreamId, UnixMillis};

/// All keys of a customer whose live one has this id inside.
const FAMILY: &str = "WITH RECURSIVE family (id) AS (\
    VALUES (?1) UNION SELECT c.id FROM customer c JOIN family f ON c.merged_into = f.id) ";

#[async_trait]
impl Privacy for Sqlite {
    async fn traces(&self, customer: &CustomerKey) -> Result<Traces, Error> {
        let customer = *customer;
        self.readers.look(move |desk| traces(desk, &customer)).await
    }

    async fn begin_erasure(&self, erasure: Erasure, marks: Vec<Mark>) -> Result<i64, Error> {
        self.writer.run(move |desk| begin(&desk.conn, erasure, &marks)).await
    }

    async fn note_erasure(&self, erasure: Erasure, marks: Vec<Mark>) -> Result<(), Error> {
        self.writer
            .run(move |desk| {
                note(&desk.conn, &erasure)?;
                suppress(&desk.conn, &marks, erasure.asked_at)
            })
            .await
    }

    async fn erasures(&self, open: bool) -> Result<Vec<Erasure>, Error> {
        self.readers.look(move |desk| list(&desk.conn, open)).await
    }

    async fn suppression(&self) -> Result<BTreeSet<Mark>, Error> {
        self.readers.look(|desk| suppression(&desk.conn)).await
    }

    async fn note_suppressed(&self, met: Vec<(StreamId, Mark)>, at: UnixMillis) -> Result<(), Error> {
        self.writer.run(move |desk| note_suppressed(desk, &met, at)).await
    }

    async fn count_suppressed(&self, stream: &StreamId) -> Result<u64, Error> {
        let stream = stream.clone();
        self.readers.look(move |desk| count_suppressed(desk, &stream)).await
    }

    async fn blank_events(&self, events: Vec<i64>) -> Result<(), Error> {
        self.writer.alone(move |desk| blank(&desk.conn, &events)).await
    }

    async fn purge(&self, erasure: Erasure, traces: Traces, values: Vec<String>) -> Result<(), Error> {
        self.writer
            .run(move |desk| purge(desk, &erasure, &traces, &values))
            .await
    }

    async fn scrub(&self) -> Result<bool, Error> {
        self.writer.alone(|desk| scrub(&desk.conn)).await
    }
}

fn live_id(conn: &Connection, key: &CustomerKey) -> Result<Option<i64>, Trouble> {
    match customer_id(conn, key)? {
        None => Ok(None),
        Some(id) => Ok(Some(live_customer(conn, id)?.0)),
    }
}

fn traces(desk: &mut Desk, key: &CustomerKey) -> Result<Traces, Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut traces = Traces::default();
    let Some(live) = live_id(conn, key)? else {
        return Ok(traces);
    };
    let mut statement = conn.prepare(&format!(
        "{FAMILY}SELECT key, kind FROM customer WHERE id IN (SELECT id FROM family)"
    ))?;
    let mut rows = statement.query([live])?;
    while let Some(row) = rows.next()? {
        traces.keys.insert(row::key(row, 0)?);
    }
    let mut statement = conn.prepare(&format!(
        "{FAMILY}SELECT id, stream, remote FROM record WHERE customer IN (SELECT id FROM family)"
    ))?;
    let mut rows = statement.query([live])?;
    let mut known = conn.prepare_cached("SELECT kind, value FROM identifier WHERE record = ?1")?;
    while let Some(row) = rows.next()? {
        let stream = streams.name(conn, row.get(1)?)?;
        traces.records.insert(stream.record(row::text(row, 2)?));
        let mut identifiers = known.query([row.get::<_, i64>(0)?])?;
        while let Some(found) = identifiers.next()? {
            let kind = identifier_kind_of(found.get(0)?).ok_or_else(|| Trouble::bug("an identifier of no kind"))?;
            traces.identifiers.insert(Identifier::new(kind, row::text(found, 1)?));
        }
    }
    Ok(traces)
}

fn begin(conn: &Connection, mut erasure: Erasure, marks: &[Mark]) -> Result<i64, Trouble> {
    let key = erasure.customer.ok_or_else(|| Trouble::bug("an erasure of nobody"))?;
    let live = live_id(conn, &key)?.ok_or(Trouble::Stale)?;
    conn.execute(
        "INSERT INTO erasure (customer, is_open, body) VALUES (?1, 1, '')",
        [live],
    )?;
    erasure.id = conn.last_insert_rowid();
    suppress(conn, marks, erasure.asked_at)?;
    note(conn, &erasure)?;
    Ok(erasure.id)
}

fn note(conn: &Connection, erasure: &Erasure) -> Result<(), Trouble> {
    conn.execute(
        "UPDATE erasure SET is_open = ?2, body = ?3 WHERE id = ?1",
        params![erasure.id, erasure.done_at.is_none(), to_json(erasure)?],
    )?;
    Ok(())
}

fn suppress(conn: &Connection, marks: &[Mark], since: UnixMillis) -> Result<(), Trouble> {
    let mut statement = conn.prepare_cached("INSERT OR IGNORE INTO suppression (digest, since) VALUES (?1, ?2)")?;
    for mark in marks {
        statement.execute(params![mark, since.0])?;
    }
    Ok(())
}

fn list(conn: &Connection, open: bool) -> Result<Vec<Erasure>, Trouble> {
    let mut statement = conn.prepare_cached("SELECT body FROM erasure WHERE is_open >= ?1 ORDER BY id")?;
    let mut rows = statement.query([open])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(row::json(row, 0)?);
    }
    Ok(found)
}

fn suppression(conn: &Connection) -> Result<BTreeSet<Mark>, Trouble> {
    let mut statement = conn.prepare_cached("SELECT digest FROM suppression")?;
    let found = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(found)
}

fn note_suppressed(desk: &mut Desk, met: &[(StreamId, Mark)], at: UnixMillis) -> Result<(), Trouble> {
    let Desk { conn, streams, .. } = desk;
    let mut statement =
        conn.prepare_cached("INSERT OR REPLACE INTO suppressed (stream, mark, at) VALUES (?1, ?2, ?3)")?;
    for (stream, mark) in met {
        let number = streams.make(conn, stream)?;
        statement.execute(params![number, mark, at.0])?;
    }
    Ok(())
}

fn count_suppressed(desk: &mut Desk, stream: &StreamId) -> Result<u64, Trouble> {
    let Some(number) = desk.streams.find(&desk.conn, stream)? else {
        return Ok(0);
    };
    let mut statement = desk
        .conn
        .prepare_cached("SELECT count(*) FROM suppressed WHERE stream = ?1")?;
    Ok(unsigned(statement.query_row([number], |row| row.get(0))?))
}

/// Overwrites what these events said, where they stand and in the log.
fn blank(conn: &Connection, events: &[i64]) -> Result<(), Trouble> {
    conn.execute_batch("PRAGMA secure_delete = ON")?;
    let done = crate::fault::effect_blocking("blank", || blank_rows(conn, events));
    conn.execute_batch("PRAGMA secure_delete = OFF")?;
    done??;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

fn blank_rows(conn: &Connection, events: &[i64]) -> Result<(), Trouble> {
    let all = conn.unchecked_transaction()?;
    let mut statement =
        all.prepare_cached("UPDATE inbox SET body = x'', headers = '{}', problem = NULL WHERE id = ?1")?;
    for event in events {
        statement.execute([event])?;
    }
    drop(statement);
    all.commit()?;
    Ok(())
}

/// Everything that hangs on a customer's keys or records, then everything that holds one of her values.
fn purge(desk: &Desk, erasure: &Erasure, traces: &Traces, values: &[String]) -> Result<(), Trouble> {
    let conn = &desk.conn;
    let at = erasure.purged_at.unwrap_or(erasure.asked_at);
    posts::erase(conn, &desk.watches, &traces.keys, at)?;
    let live = match &erasure.customer {
        Some(key) => live_id(conn, key)?,
        None => None,
    };
    if let Some(live) = live {
        purge_rows(conn, live)?;
    }
    for id in &traces.records {
        purge_words_on(conn, id)?;
    }
    for value in values {
        purge_value(conn, value)?;
    }
    let noted = Erasure {
        customer: None,
        ..erasure.clone()
    };
    conn.execute("UPDATE erasure SET customer = NULL WHERE id = ?1", [erasure.id])?;
    note(conn, &noted)
}

fn purge_rows(conn: &Connection, live: i64) -> Result<(), Trouble> {
    let family: Vec<Sql> = {
        let mut statement = conn.prepare(&format!("{FAMILY}SELECT id FROM family"))?;
        statement
            .query_map([live], |row| Ok(Sql::Integer(row.get(0)?)))?
            .collect::<Result<_, _>>()?
    };
    let marks = vec!["?"; family.len()].join(",");
    let records = format!("(SELECT id FROM record WHERE customer IN ({marks}))");
    let hers = format!("({marks})");
    let own = [
        format!(
            "DELETE FROM activity_holder WHERE activity IN (SELECT h.activity FROM activity_holder h \
             JOIN record r ON r.stream = h.stream AND r.remote = h.value WHERE r.customer IN {hers})"
        ),
        format!(
            "DELETE FROM activity_holder WHERE activity IN (SELECT h.activity FROM activity_holder h \
             JOIN identifier i ON h.stream = 0 AND h.value = 'email:' || i.value WHERE i.record IN {records})"
        ),
        format!("DELETE FROM head_start WHERE customer IN {hers}"),
        format!("DELETE FROM handoff_look WHERE customer IN {hers}"),
        format!("DELETE FROM identifier WHERE record IN {records}"),
        format!("DELETE FROM rematch WHERE record IN {records}"),
        format!("DELETE FROM parted WHERE record IN {records}"),
        format!("DELETE FROM former WHERE record IN {records}"),
        format!("DELETE FROM former WHERE customer IN {hers}"),
        format!("DELETE FROM joint WHERE customer IN {hers}"),
        format!("DELETE FROM write WHERE customer IN {hers}"),
        format!("DELETE FROM handoff WHERE customer IN {hers}"),
        format!("DELETE FROM change WHERE customer IN {hers}"),
    ];
    for side in ["left", "right"] {
        let sql = format!("DELETE FROM review WHERE {side} IN {records}");
        conn.execute(&sql, params_from_iter(&family))?;
    }
    for sql in own {
        conn.execute(&sql, params_from_iter(&family))?;
    }
    // What hung on her hangs on nobody now.
    conn.execute(
        "DELETE FROM activity WHERE id NOT IN (SELECT activity FROM activity_holder)",
        [],
    )?;
    conn.execute(
        &format!("DELETE FROM record WHERE customer IN {hers}"),
        params_from_iter(&family),
    )?;
    conn.execute(
        &format!("UPDATE customer SET merged_into = NULL WHERE id IN {hers}"),
        params_from_iter(&family),
    )?;
    conn.execute(
        &format!("DELETE FROM customer WHERE id IN {hers}"),
        params_from_iter(&family),
    )?;
    Ok(())
}

fn purge_words_on(conn: &Connection, id: &RecordId) -> Result<(), Trouble> {
    let text = id.to_string();
    for sql in [
        "DELETE FROM change WHERE record = ?1",
        "DELETE FROM decision WHERE left = ?1",
        "DELETE FROM decision WHERE right = ?1",
        "DELETE FROM request WHERE answered_at IS NOT NULL AND instr(act || coalesce(answer, ''), ?1)",
    ] {
        conn.execute(sql, [&text])?;
    }
    // Events that are folded and mention the object's id: their repetition would be folded again, which changes nothing.
    conn.execute(
        "DELETE FROM inbox WHERE system = ?1 AND folded_at IS NOT NULL AND instr(CAST(body AS TEXT), ?2)",
        (id.stream.system.as_str(), id.remote.as_str()),
    )?;
    Ok(())
}

/// Whatever else holds a value of hers: the trail of somebody she was once taken for, an event, a problem's words.
fn purge_value(conn: &Connection, value: &str) -> Result<(), Trouble> {
    let value = value.to_lowercase();
    let quoted = to_json(&value)?;
    let needle = quoted.trim_matches('"');
    for sql in [
        "DELETE FROM change WHERE instr(lower(what), ?1)",
        "DELETE FROM inbox WHERE instr(lower(CAST(body AS TEXT)), ?1) OR instr(lower(headers), ?1)",
        "DELETE FROM arrival WHERE instr(lower(body), ?1)",
        "DELETE FROM request WHERE answered_at IS NOT NULL AND instr(lower(act || coalesce(answer, '')), ?1)",
        "DELETE FROM webhook_problem WHERE instr(lower(problem), ?1)",
        "UPDATE run SET problem = NULL WHERE instr(lower(problem), ?1)",
        "UPDATE stream_state SET problem = NULL WHERE instr(lower(problem), ?1)",
        "UPDATE inbox SET problem = NULL WHERE instr(lower(problem), ?1)",
        "UPDATE write SET problem = NULL WHERE instr(lower(problem), ?1)",
    ] {
        conn.execute(sql, [needle])?;
    }
    Ok(())
}

/// Writes the file anew and empties the log: pages that once held removed rows are gone from both.
fn scrub(conn: &Connection) -> Result<bool, Trouble> {
    crate::fault::effect_blocking("scrub", || conn.execute_batch("VACUUM"))??;
    let busy: i64 = conn
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .optional()?
        .unwrap_or(1);
    Ok(busy == 0)
}
