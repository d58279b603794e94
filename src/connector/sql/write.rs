//! Carries out operations, each in a transaction of its own: what is to be made is looked up first, what is to be changed
//! is locked, compared with what was last seen, and read back. A lost race is seen exactly, not nearly.

use compact_str::CompactString;
use serde_json::Value as Json;

use super::db::{Lease, unreachable};
use super::row::{Row, differing, remote_of};
use super::statement::{Dialect, Sql, Statement};
use super::{Sqls, Stream};
use crate::error::{Class, Code, Failure, Problem};
use crate::fault;
use crate::manifest::FieldType;
use crate::model::{Done, FieldName, Operation, Outcome, Value, WriteAction};

/// How many rows with one value are looked at, to find the one that really has it.
const ALIKE_MAX: u32 = 20;

impl Sqls {
    /// Carries out one operation.
    pub(super) async fn carry_out(&self, stream: &Stream, operation: &Operation) -> Outcome {
        let sql = self.sql(stream).await?;
        let done = fault::effect("send", self.transact(stream, &sql, operation)).await;
        let done = done.map_err(|prevented| unreachable(&prevented.to_string())).flatten();
        match done {
            // The database itself refused to make it twice: whose value is in the way?
            Err(failure) if failure.class == Class::Exists && failure.remote.is_none() => {
                self.in_the_way(stream, &sql, operation, failure).await
            }
            done => done,
        }
    }

    /// All or nothing.
    async fn transact(&self, stream: &Stream, sql: &Sql, operation: &Operation) -> Outcome {
        let mut lease = self.db.lease().await?;
        lease.run(&sql.dialect.begin()).await?;
        match act(stream, sql, operation, &mut lease).await {
            Ok(done) => {
                lease.run(&Statement::new("COMMIT")).await?;
                lease.give_back().await;
                Ok(done)
            }
            Err(failure) => {
                // A session that cannot take it back is closed, which takes it back, too. Nothing of it is open then.
                if lease.run(&Statement::new("ROLLBACK")).await.is_ok() {
                    lease.give_back().await;
                }
                Err(Failure {
                    ambiguous: false,
                    ..failure
                })
            }
        }
    }

    async fn in_the_way(&self, stream: &Stream, sql: &Sql, operation: &Operation, failure: Failure) -> Outcome {
        let mut lease = self.db.lease().await?;
        let found = existing(stream, sql, operation, &mut lease).await?;
        lease.give_back().await;
        Err(match found {
            Some(row) => stands_there(&row),
            // Another column than those it is looked up by: nothing to link it to.
            None => Failure {
                class: Class::Invalid,
                ..failure
            },
        })
    }
}

async fn act(stream: &Stream, sql: &Sql, operation: &Operation, lease: &mut Lease<'_>) -> Outcome {
    match &operation.action {
        WriteAction::Create => create(stream, sql, operation, lease).await,
        WriteAction::Update(key) => update(stream, sql, operation, key, lease).await,
        WriteAction::Delete(key) => delete(stream, sql, operation, key, lease).await,
    }
}

async fn create(stream: &Stream, sql: &Sql, operation: &Operation, lease: &mut Lease<'_>) -> Outcome {
    if let Some(row) = existing(stream, sql, operation, lease).await? {
        return Err(stands_there(&row));
    }
    let values = stream.rows.columns_out(sql, operation)?;
    let own_key = values.iter().find(|(column, _)| column.name == sql.key.name);
    let own_key = own_key.map(|(_, key)| key.clone());
    let made = lease.run(&sql.insert(values)).await?;
    let told = made.rows.into_iter().flatten().next();
    let number = made.made.filter(|number| *number > 0).map(Json::from);
    let key = match told.or(own_key).or(number) {
        Some(key) => remote_of(&key),
        // The key was made by the database, which does not tell it: the row is looked up like any other.
        None => match existing(stream, sql, operation, lease).await? {
            Some(row) => row.record.remote,
            None => return Err(cannot_find(stream)),
        },
    };
    let now = by_key(stream, sql, &key, lease).await?;
    Ok(Done {
        updated_at: now.as_ref().and_then(|row| row.record.updated_at),
        unkept: now.map(|row| differing(operation, &row.record)).unwrap_or_default(),
        version: None,
        created: true,
        remote: key,
    })
}

async fn update(
    stream: &Stream,
    sql: &Sql,
    operation: &Operation,
    key: &CompactString,
    lease: &mut Lease<'_>,
) -> Outcome {
    let Some(row) = by_key(stream, sql, key, lease).await?.filter(|row| !row.record.deleted) else {
        return Err(gone(key));
    };
    let differs = differing(operation, &row.record);
    let known = |name: &FieldName| operation.known.value(name.as_str());
    if let Some((name, _)) = differs.iter().find(|(name, now)| now.as_ref() != known(name)) {
        return Err(raced(key, &format!("`{name}` was changed in the table meanwhile")));
    }
    let mut only = operation.clone();
    only.fields.retain(|name, _| differs.contains_key(name));
    let values = stream.rows.columns_out(sql, &only)?;
    if values.is_empty() {
        return Ok(unchanged(key));
    }
    lease.run(&sql.update(key, values)).await?;
    let now = by_key(stream, sql, key, lease).await?;
    Ok(Done {
        updated_at: now.as_ref().and_then(|row| row.record.updated_at),
        unkept: now.map(|row| differing(operation, &row.record)).unwrap_or_default(),
        ..unchanged(key)
    })
}

async fn delete(
    stream: &Stream,
    sql: &Sql,
    operation: &Operation,
    key: &CompactString,
    lease: &mut Lease<'_>,
) -> Outcome {
    let Some(row) = by_key(stream, sql, key, lease).await? else {
        return Ok(unchanged(key));
    };
    let fields = row.record.fields.0.iter();
    let mut changed = fields.filter(|(name, now)| {
        // A field that was never seen proves nothing.
        operation.known.0.get(*name).is_some_and(|known| known != *now)
    });
    if let Some((name, _)) = changed.next() {
        return Err(raced(key, &format!("`{name}` was changed in the table meanwhile")));
    }
    lease.run(&sql.delete(key)).await?;
    Ok(unchanged(key))
}

/// The row with this key, locked until the transaction ends.
async fn by_key(stream: &Stream, sql: &Sql, key: &str, lease: &mut Lease<'_>) -> Result<Option<Row>, Failure> {
    let answer = lease.run(&sql.by_key(&[key], true)).await?;
    Ok(answer.rows.into_iter().next().map(|values| stream.rows.row(values)))
}

/// The row that an operation would make, by the first of its match fields that finds one.
async fn existing(
    stream: &Stream,
    sql: &Sql,
    operation: &Operation,
    lease: &mut Lease<'_>,
) -> Result<Option<Row>, Failure> {
    for by in &stream.spec.match_by {
        let value = match by.as_str() {
            "key" => Value::text(&operation.key.to_string()),
            name => operation.fields.get(name).cloned().flatten(),
        };
        let Some(value) = value else { continue };
        let Some(statement) = looking_up(stream, sql, by, &value) else {
            continue;
        };
        let answer = lease.run(&statement).await?;
        if let Some(row) = really(stream, answer.rows, by, &value) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// The statement that looks rows up by a field.
pub(super) fn looking_up(stream: &Stream, sql: &Sql, by: &FieldName, value: &Value) -> Option<Statement> {
    let position = stream.rows.position(by.as_str())?;
    let column = sql.fields.get(position)?;
    let folds = stream.rows.kind(position) == FieldType::Email && sql.dialect != Dialect::MySql;
    let out = stream.rows.value_out(by.as_str(), value);
    Some(sql.by_value(column, out, folds, ALIKE_MAX))
}

/// The row that has the value in canonical form: capitals and signs make a database find others.
pub(super) fn really(stream: &Stream, rows: Vec<Vec<Json>>, by: &FieldName, value: &Value) -> Option<Row> {
    let mut rows = rows.into_iter().map(|values| stream.rows.row(values));
    rows.find(|row| {
        let has = match by.as_str() {
            "key" => row.record.key.map(|key| key.to_string()).as_deref() == value.as_text(),
            name => row.record.fields.value(name) == Some(value),
        };
        has && !row.record.deleted
    })
}

/// The row is there and says something else. It has its own say before anything is written to it.
fn stands_there(row: &Row) -> Failure {
    let message = "the row is there already and is read before it is changed";
    let problem = Problem::new(Code::WriteRefused, message).about(&row.record.remote);
    Failure {
        remote: Some(row.record.remote.clone()),
        ..Failure::new(Class::Exists, problem)
    }
}

fn gone(key: &str) -> Failure {
    Failure::new(
        Class::Gone,
        Problem::new(Code::WriteTargetGone, "the row is not there any more").about(key),
    )
}

fn raced(key: &str, what: &str) -> Failure {
    // Not `WriteRaced`: what stands there now was not folded yet.
    let problem = Problem::new(Code::WriteRefused, what).about(key);
    Failure::new(
        Class::Conflict,
        problem.hint("it is compared again, and written if it is still wanted"),
    )
}

fn cannot_find(stream: &Stream) -> Failure {
    let message = format!(
        "the database does not tell the key `{}` of a new row",
        stream.config.key.name
    );
    let problem = Problem::new(Code::SqlKey, message).about(&stream.config.key.at);
    Failure::new(
        Class::Forbidden,
        problem.hint("let the database number its rows, or map the key to a field"),
    )
}

fn unchanged(key: &CompactString) -> Done {
    Done {
        remote: key.clone(),
        updated_at: None,
        version: None,
        created: false,
        unkept: std::collections::BTreeMap::new(),
    }
}
