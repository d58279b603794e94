//! The schema and its migrations: numbered, checksummed, forward only, each in a transaction of its own.

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::sign;
use super::trouble::Trouble;
use crate::error::{Code, Problem};
use crate::model::UnixMillis;

/// Says in the file's header that it is a ledger of Nivel (`NVEL`).
const APPLICATION_ID: i64 = 0x4e56_454c;

/// The migration from which on is noted what organizations answer to.
const SIGNS: &str = "0022_sign";

/// Every migration in order; its place is its number. A migration that was released never changes again.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_start", include_str!("migrations/0001_start.sql")),
    ("0002_arrival", include_str!("migrations/0002_arrival.sql")),
    ("0003_quota", include_str!("migrations/0003_quota.sql")),
    ("0004_webhooks", include_str!("migrations/0004_webhooks.sql")),
    ("0005_undo", include_str!("migrations/0005_undo.sql")),
    ("0006_request", include_str!("migrations/0006_request.sql")),
    ("0007_deletes", include_str!("migrations/0007_deletes.sql")),
    ("0009_match", include_str!("migrations/0009_match.sql")),
    ("0011_frozen", include_str!("migrations/0011_frozen.sql")),
    ("0015_parted", include_str!("migrations/0015_parted.sql")),
    ("0013_privacy", include_str!("migrations/0013_privacy.sql")),
    ("0012_handoffs", include_str!("migrations/0012_handoffs.sql")),
    ("0023_sent", include_str!("migrations/0023_sent.sql")),
    ("0017_posts", include_str!("migrations/0017_posts.sql")),
    (SIGNS, include_str!("migrations/0022_sign.sql")),
    ("0020_swept", include_str!("migrations/0020_swept.sql")),
    ("0024_counts", include_str!("migrations/0024_counts.sql")),
    ("0026_noteless", include_str!("migrations/0026_noteless.sql")),
];

/// Brings the schema up to date.
///
/// # Errors
/// `LedgerUnknown` when the file is not a ledger, or was written by another or newer Nivel. Nothing is changed then.
pub(super) fn migrate(conn: &mut Connection, now: UnixMillis) -> Result<(), Trouble> {
    let id: i64 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id != APPLICATION_ID && (id != 0 || tables != 0) {
        return Err(unknown("the file is a database of another program"));
    }
    conn.execute_batch("PRAGMA journal_mode = WAL")?;
    let applied = if tables == 0 { Vec::new() } else { applied(conn)? };
    if applied.len() > MIGRATIONS.len() {
        return Err(unknown(format!(
            "the file was written by a newer Nivel: it has schema {}, this program knows {}",
            applied.len(),
            MIGRATIONS.len()
        )));
    }
    for (at, (name, sql)) in MIGRATIONS.iter().enumerate() {
        match applied.get(at) {
            Some(found) if *found == checksum(sql) => {}
            Some(_) => {
                return Err(unknown(format!(
                    "migration {name} is not the one the file was made with"
                )));
            }
            None => step(conn, name, sql, now)?,
        }
    }
    Ok(())
}

/// Makes sure that the file has exactly the schema this program knows, without changing it.
///
/// # Errors
/// `LedgerUnknown` when it has not.
pub(super) fn verify(conn: &Connection) -> Result<(), Trouble> {
    let id: i64 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if id != APPLICATION_ID {
        return Err(unknown("the file is a database of another program"));
    }
    let known = MIGRATIONS.iter().map(|(_, sql)| checksum(sql));
    if applied(conn)?.into_iter().eq(known) {
        return Ok(());
    }
    Err(unknown("the file was written by another version of Nivel"))
}

/// Makes sure that the file is a ledger that this program knows, of this schema or an older one.
///
/// # Errors
/// `LedgerUnknown` when it is not.
pub(super) fn known(conn: &Connection) -> Result<(), Trouble> {
    let id: i64 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if id != APPLICATION_ID {
        return Err(unknown("the file is a database of another program"));
    }
    let applied = applied(conn)?;
    let is_known = applied
        .iter()
        .zip(MIGRATIONS)
        .all(|(found, (_, sql))| *found == checksum(sql));
    if is_known && applied.len() <= MIGRATIONS.len() {
        return Ok(());
    }
    Err(unknown("the file was written by a newer Nivel"))
}

/// Checksums of the migrations the file has had, in order.
fn applied(conn: &Connection) -> Result<Vec<String>, Trouble> {
    let mut statement = conn.prepare("SELECT checksum FROM migration ORDER BY version")?;
    let found = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(found)
}

fn step(conn: &mut Connection, name: &str, sql: &str, now: UnixMillis) -> Result<(), Trouble> {
    let transaction = conn.transaction()?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migration (
            version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL
        ) STRICT",
    )?;
    transaction.execute_batch(sql)?;
    if name == SIGNS {
        sign::fill(&transaction)?;
    }
    transaction.execute(
        "INSERT INTO migration (name, checksum, applied_at) VALUES (?1, ?2, ?3)",
        (name, checksum(sql), now.0),
    )?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    crate::fault::effect_blocking("commit", || transaction.commit())??;
    Ok(())
}

fn checksum(sql: &str) -> String {
    Sha256::digest(sql).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unknown(message: impl Into<String>) -> Trouble {
    Trouble::Problem(
        Problem::new(Code::LedgerUnknown, message)
            .hint("use the Nivel that wrote it, or restore a backup; nothing was changed"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Connection {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, UnixMillis(1)).unwrap();
        conn
    }

    #[test]
    fn final_schema() {
        let conn = fresh();
        let mut statement = conn
            .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name")
            .unwrap();
        let schema: Vec<String> = statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        insta::assert_snapshot!(schema.join(";\n\n"));
    }

    #[test]
    fn organizations_of_an_older_ledger_are_found_by_what_they_answer_to() {
        let mut conn = Connection::open_in_memory().unwrap();
        for (name, sql) in MIGRATIONS.iter().take_while(|(name, _)| *name != SIGNS) {
            step(&mut conn, name, sql, UnixMillis(1)).unwrap();
        }
        let rows = "INSERT INTO stream VALUES (1, 'crm', 'company');
            INSERT INTO customer VALUES (1, zeroblob(16), 1, 1, NULL, '{}', '[]'), (2, zeroblob(16), 0, 1, NULL, '{}', '[]');
            INSERT INTO record (stream, remote, customer, hash, observed_at, is_unread, fields) VALUES
            (1, '7', 1, x'00', 1, 0, '{\"company\":\"ACME Oy\",\"domain\":\"www.acme.com\"}'),
            (1, '8', 2, x'00', 1, 0, '{\"company\":\"Bolt Ltd\"}');";
        conn.execute_batch(rows).unwrap();
        migrate(&mut conn, UnixMillis(2)).unwrap();
        let mut statement = conn.prepare("SELECT value FROM sign ORDER BY value").unwrap();
        let values: Result<Vec<String>, _> = statement.query_map([], |row| row.get(0)).unwrap().collect();
        assert_eq!(
            values.unwrap(),
            ["domain:acme.com", "name:acme"],
            "people answer to nothing"
        );
    }

    #[test]
    fn a_second_start_changes_nothing() {
        let mut conn = fresh();
        migrate(&mut conn, UnixMillis(2)).unwrap();
        assert_eq!(applied(&conn).unwrap().len(), MIGRATIONS.len());
    }

    #[track_caller]
    fn refused(spoil: &str, words: &str) {
        let mut conn = fresh();
        conn.execute_batch(spoil).unwrap();
        match migrate(&mut conn, UnixMillis(2)) {
            Err(Trouble::Problem(problem)) => {
                assert_eq!(problem.code, Code::LedgerUnknown);
                assert!(problem.message.contains(words), "{problem}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unknown_schemas_are_refused() {
        refused(
            "INSERT INTO migration (name, checksum, applied_at) VALUES ('9999_later', 'x', 1)",
            "newer Nivel",
        );
        refused("UPDATE migration SET checksum = 'x'", "not the one");
        refused("PRAGMA application_id = 7", "another program");
    }
}
