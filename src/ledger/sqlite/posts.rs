//! What hooks are told, in SQLite: kept by the commit that it tells of.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use compact_str::CompactString;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::{Value as Json, json};

use super::Sqlite;
use super::handoff::state_number;
use super::row::{limit_of, text, to_json, unsigned};
use super::trouble::Trouble;
use crate::ledger::{Commit, Error, Post, Posted, Posts, Watch, What};
use crate::model::{CustomerKey, UnixMillis};

#[async_trait]
impl Posts for Sqlite {
    async fn watch(&self, watches: Vec<Watch>) -> Result<(), Error> {
        self.writer
            .run(move |desk| {
                desk.watches = watches;
                Ok(())
            })
            .await
    }

    async fn due_posts(&self, now: UnixMillis, limit: usize) -> Result<Vec<Post>, Error> {
        const FIRST: &str = "state = 0 AND due_at <= ?1 AND NOT EXISTS (SELECT 1 FROM post earlier \
            WHERE earlier.hook = post.hook AND earlier.customer = post.customer AND earlier.state = 0 AND earlier.id < post.id)";
        self.readers
            .look(move |desk| list(&desk.conn, FIRST, now.0, limit))
            .await
    }

    async fn settle_post(&self, id: i64, posted: Posted) -> Result<(), Error> {
        self.writer.run(move |desk| settle(&desk.conn, id, &posted)).await
    }

    async fn posts(&self, only_dead: bool, limit: usize) -> Result<Vec<Post>, Error> {
        self.readers
            .look(move |desk| list(&desk.conn, "state >= ?1", i64::from(only_dead), limit))
            .await
    }

    async fn replay_posts(&self, tokens: Vec<CompactString>, now: UnixMillis) -> Result<u64, Error> {
        self.writer.run(move |desk| replay(&desk.conn, &tokens, now)).await
    }
}

fn list(conn: &Connection, which: &str, value: i64, limit: usize) -> Result<Vec<Post>, Trouble> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT id, token, hook, kind, customer, at, body, attempts, due_at, state, problem FROM post \
         WHERE {which} ORDER BY id LIMIT ?2"
    ))?;
    let mut rows = statement.query((value, limit_of(limit)))?;
    let mut posts = Vec::new();
    while let Some(row) = rows.next()? {
        posts.push(post(row)?);
    }
    Ok(posts)
}

fn post(row: &Row<'_>) -> Result<Post, Trouble> {
    let problem: Option<String> = row.get(10)?;
    let problem = problem.map(|problem| serde_json::from_str(&problem)).transpose();
    Ok(Post {
        id: row.get(0)?,
        token: text(row, 1)?.into(),
        hook: text(row, 2)?.into(),
        kind: text(row, 3)?.into(),
        customer: text(row, 4)?.into(),
        at: UnixMillis(row.get(5)?),
        body: row.get(6)?,
        attempts: row.get(7)?,
        due_at: UnixMillis(row.get(8)?),
        is_dead: row.get::<_, i64>(9)? == 1,
        problem: problem.map_err(|error| Trouble::bug(format!("a post's problem cannot be read: {error}")))?,
    })
}

fn settle(conn: &Connection, id: i64, posted: &Posted) -> Result<(), Trouble> {
    let note = |state: i64, due_at: Option<i64>, problem: &crate::error::Problem| {
        conn.prepare_cached(
            "UPDATE post SET attempts = attempts + 1, state = ?2, due_at = coalesce(?3, due_at), problem = ?4 WHERE id = ?1",
        )?
        .execute(params![id, state, due_at, to_json(problem)?])?;
        Ok::<_, Trouble>(())
    };
    match posted {
        Posted::Delivered => {
            conn.prepare_cached("DELETE FROM post WHERE id = ?1")?.execute([id])?;
            Ok(())
        }
        Posted::Again(at, problem) => note(0, Some(at.0), problem),
        Posted::Dead(problem) => note(1, None, problem),
    }
}

fn replay(conn: &Connection, tokens: &[CompactString], now: UnixMillis) -> Result<u64, Trouble> {
    const ANEW: &str = "UPDATE post SET state = 0, attempts = 0, due_at = ?1 WHERE state = 1";
    if tokens.is_empty() {
        return Ok(unsigned(
            i64::try_from(conn.execute(ANEW, [now.0])?).unwrap_or(i64::MAX),
        ));
    }
    let mut statement = conn.prepare_cached(&format!("{ANEW} AND token = ?2"))?;
    let mut count = 0;
    for token in tokens {
        count += u64::try_from(statement.execute((now.0, token.as_str()))?).unwrap_or_default();
    }
    Ok(count)
}

fn put(
    conn: &Connection,
    watches: &[Watch],
    (kind, customer): (&str, &CustomerKey),
    at: UnixMillis,
    body: &Json,
) -> Result<(), Trouble> {
    for watch in watches.iter().filter(|watch| watch.wants(kind)) {
        conn.prepare_cached(
            "INSERT INTO post (token, hook, kind, customer, at, body, state, attempts, due_at) \
             VALUES ('evt_' || lower(hex(randomblob(16))), ?1, ?2, ?3, ?4, ?5, 0, 0, ?4)",
        )?
        .execute(params![
            watch.hook.as_str(),
            kind,
            customer.to_string(),
            at.0,
            body.to_string()
        ])?;
    }
    Ok(())
}

/// What a commit means for the passages it has, before they are put: those that stand somewhere else than before.
pub(super) fn note_passages(conn: &Connection, watches: &[Watch], commit: &Commit) -> Result<(), Trouble> {
    if watches.is_empty() {
        return Ok(());
    }
    for passage in &commit.passages {
        let before: Option<i64> = conn
            .prepare_cached("SELECT state FROM handoff WHERE id = ?1")?
            .query_row([passage.id.as_str()], |row| row.get(0))
            .optional()?;
        if before == Some(state_number(passage.state)) {
            continue;
        }
        let kind = format!("handoff.{}", passage.state.as_str());
        let body = json!({
            "handoff": passage.id,
            "rule": passage.rule,
            "customer": passage.customer.to_string(),
            "state": passage.state.as_str(),
            "due_at": passage.due_at.to_string(),
        });
        put(conn, watches, (&kind, &passage.customer), commit.at, &body)?;
    }
    Ok(())
}

/// What a commit means for customers.
pub(super) fn note_customers(conn: &Connection, watches: &[Watch], commit: &Commit) -> Result<(), Trouble> {
    if watches.is_empty() {
        return Ok(());
    }
    let tell = |event, body: &Json| put(conn, watches, event, commit.at, body);
    for customer in commit
        .customers
        .iter()
        .filter(|customer| customer.version == 0 && customer.merged_into.is_none())
    {
        let body = json!({"customer": customer.key.to_string(), "is_new": true, "fields": customer.golden});
        tell(("customer.updated", &customer.key), &body)?;
    }
    let mut splits: BTreeMap<(&CustomerKey, &CustomerKey), BTreeSet<String>> = BTreeMap::new();
    for change in &commit.changes {
        match (&change.record, &change.what) {
            (None, What::Fields(fields)) => {
                let now: BTreeMap<&str, _> = fields.iter().map(|(name, (_, now))| (name.as_str(), now)).collect();
                let body = json!({"customer": change.customer.to_string(), "is_new": false, "fields": now});
                tell(("customer.updated", &change.customer), &body)?;
            }
            (_, What::Merged(other, _)) => {
                let body = json!({"customer": change.customer.to_string(), "merged": other.to_string()});
                tell(("customer.merged", &change.customer), &body)?;
            }
            (Some(record), What::Moved(from)) => {
                splits
                    .entry((&change.customer, from))
                    .or_default()
                    .insert(record.to_string());
            }
            _ => {}
        }
    }
    for ((to, from), records) in splits {
        let body = json!({"customer": to.to_string(), "from": from.to_string(), "records": records});
        tell(("customer.split", to), &body)?;
    }
    Ok(())
}

/// Nothing that is still to be told of an erased person is; only that she was erased, by her key alone.
pub(super) fn erase(
    conn: &Connection,
    watches: &[Watch],
    keys: &BTreeSet<CustomerKey>,
    at: UnixMillis,
) -> Result<(), Trouble> {
    for key in keys {
        let hers = key.to_string();
        conn.prepare_cached("DELETE FROM post WHERE customer = ?1 OR instr(body, ?1) > 0")?
            .execute([&hers])?;
        put(
            conn,
            watches,
            ("customer.erased", key),
            at,
            &json!({ "customer": hers }),
        )?;
    }
    Ok(())
}
