//! Reads one page of a table. The state moves only to the end of what was read, and always reaches back a little.

use std::time::Duration;

use serde_json::Value as Json;

use super::place::{Next, Place, Task, back, not_after};
use super::row::Row;
use super::statement::Sql;
use super::{Sqls, Stream};
use crate::connector::cursor::AsCursor as _;
use crate::error::{Class, Code, Failure, Problem};
use crate::model::{Incoming, Page, SweepMark, UnixMillis};

/// The name of the record that stands for rows without a key.
const NO_KEY: &str = "rows-without-a-key";

impl Sqls {
    /// The next page from `place` on.
    pub(super) async fn pull_page(&self, stream: &Stream, mut place: Place) -> Result<Page, Failure> {
        let sql = self.sql(stream).await?;
        let now = self.clock.now();
        let full = stream.config.full_ms.map(Duration::from_millis);
        let next = place.next(sql.cursor.is_some(), full, now);
        let (records, sweep) = match next {
            Next::Nothing => (Vec::new(), None),
            Next::Changes | Next::NewChanges => {
                let records = self.changes(stream, &sql, &mut place, now).await?;
                (records, place.mark())
            }
            Next::Sweep | Next::NewSweep => {
                let (records, mark) = self.everything(stream, &sql, &mut place, now).await?;
                (records, Some(mark))
            }
        };
        let is_caught_up = place.next(sql.cursor.is_some(), full, now) == Next::Nothing;
        if is_caught_up {
            place.is_in_round = false;
        }
        Ok(Page {
            records,
            next: place.cursor(),
            is_caught_up,
            asked_at: now,
            sweep,
        })
    }

    async fn changes(
        &self,
        stream: &Stream,
        sql: &Sql,
        place: &mut Place,
        now: UnixMillis,
    ) -> Result<Vec<Incoming>, Failure> {
        let Some(cursor) = &sql.cursor else {
            return Ok(Vec::new());
        };
        let mut task = match place.changes.take() {
            Some(task) => task,
            None => {
                let high = self.high(sql, now).await?;
                let from = place.since.as_ref().map(|since| back(since, stream.config.overlap));
                Task::new(now, high, from)
            }
        };
        let statement = sql.changed(cursor, task.from.as_ref(), task.after.as_ref(), stream.config.page);
        let rows = self.rows(stream, &statement).await?;
        let is_over = rows.len() < limit(stream);
        if let Some(last) = rows.last() {
            let after = Some((last.cursor.clone(), last.key.clone()));
            if after == task.after {
                return Err(not_unique(stream, &last.key));
            }
            task.after = after;
        }
        if is_over {
            place.read_at = Some(task.began);
            place.is_in_round = true;
            place.since = task.high.or_else(|| place.since.take());
        } else {
            place.changes = Some(task);
        }
        Ok(rows.into_iter().map(|row| row.record).collect())
    }

    async fn everything(
        &self,
        stream: &Stream,
        sql: &Sql,
        place: &mut Place,
        now: UnixMillis,
    ) -> Result<(Vec<Incoming>, SweepMark), Failure> {
        let mut records = Vec::new();
        let mut task = match place.sweep.take() {
            Some(task) => task,
            None => {
                let mut task = Task::new(now, self.high(sql, now).await?, None);
                if !self.db.read(&sql.keyless()).await?.is_empty() {
                    task.is_flawed = true;
                    records.push(keyless(stream));
                }
                task
            }
        };
        // One more than a page: the same key twice must not hide behind the edge of two pages.
        let after = task.after.as_ref().map(|(_, key)| key);
        let mut rows = self
            .rows(stream, &sql.all(after, stream.config.page.saturating_add(1)))
            .await?;
        if let Some(pair) = rows.windows(2).find(|pair| pair[0].key == pair[1].key) {
            return Err(not_unique(stream, &pair[0].key));
        }
        let is_over = rows.len() <= limit(stream);
        rows.truncate(limit(stream));
        if let Some(last) = rows.last() {
            task.after = Some((Json::Null, last.key.clone()));
        }
        let mark = task.mark(is_over);
        if is_over {
            place.swept_at = Some(task.began);
            // A table without a cursor is read then; one with it looks for what changed meanwhile.
            place.is_in_round |= sql.cursor.is_none();
            if place.since.is_none() {
                place.since = task.high;
            }
        } else {
            place.sweep = Some(task);
        }
        records.extend(rows.into_iter().map(|row| row.record));
        Ok((records, mark))
    }

    /// The highest cursor there is, but none from the future.
    async fn high(&self, sql: &Sql, now: UnixMillis) -> Result<Option<Json>, Failure> {
        let Some(cursor) = &sql.cursor else {
            return Ok(None);
        };
        let rows = self.db.read(&sql.high(cursor)).await?;
        let high = rows.into_iter().flatten().find(|high| !high.is_null());
        Ok(high.map(|high| not_after(high, now)))
    }

    /// The rows of a statement. A name that vanished since it was looked up is looked up anew, which says it better.
    pub(super) async fn rows(
        &self,
        stream: &Stream,
        statement: &super::statement::Statement,
    ) -> Result<Vec<Row>, Failure> {
        match self.db.read(statement).await {
            Ok(rows) => Ok(rows.into_iter().map(|values| stream.rows.row(values)).collect()),
            Err(failure) => {
                if failure.problem.code == Code::SqlNoSuchName {
                    stream.forget().await;
                    self.sql(stream).await?;
                }
                Err(failure)
            }
        }
    }
}

fn limit(stream: &Stream) -> usize {
    usize::try_from(stream.config.page).unwrap_or(usize::MAX)
}

fn keyless(stream: &Stream) -> Incoming {
    let message = format!(
        "rows have nothing in the key column `{}` and are not read",
        stream.config.key.name
    );
    Incoming {
        remote: NO_KEY.into(),
        fields: crate::model::Fields::default(),
        updated_at: None,
        version: None,
        deleted: false,
        key: None,
        problem: Some(Problem::new(Code::SqlKey, message).about(&stream.config.key.at)),
        joined: None,
    }
}

fn not_unique(stream: &Stream, key: &Json) -> Failure {
    let message = format!(
        "the key column `{}` holds {key} more than once, so rows cannot be told apart",
        stream.config.key.name
    );
    Failure::new(
        Class::Forbidden,
        Problem::new(Code::SqlKey, message).about(&stream.config.key.at),
    )
}
