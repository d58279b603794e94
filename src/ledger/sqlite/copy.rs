//! Copies of the ledger: made while it is in use, and put back in its place.
//!
//! A copy is written anew from one moment's view (`VACUUM INTO`), so nothing of what was removed before is in its pages. What
//! is put back takes over who was erased meanwhile: the list of marks only ever grows.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::trouble::Trouble;
use super::worker::with_suffix;
use super::{Lock, READER_CACHE_KIB, Sqlite, WRITER_CACHE_KIB, connect, io_trouble, lock, private_file, schema};
use crate::error::{Code, Problem};
use crate::fault;
use crate::ledger::Error;
use crate::model::Clock;

/// Settings of a ledger that do not outlive being put back: what was approved was another state of things.
const FORGOTTEN: [&str; 1] = ["approval"];
/// The setting under which the secret of the marks stands.
const SECRET: &str = "suppression_secret";

/// A copy that is ready to take the ledger's place. Nobody else can open the ledger as long as this lives.
pub struct Staged {
    part: PathBuf,
    path: PathBuf,
    _lock: Lock,
}

impl Sqlite {
    /// Copies the ledger at `path` to a new file, also while another process works with it. How many bytes it has.
    ///
    /// # Errors
    /// When there is something already, the disk does not do its part, or the copy is not good.
    pub fn back_up(path: &Path, to: &Path) -> Result<u64, Error> {
        let back_up = || -> Result<u64, Trouble> {
            if to.exists() {
                let problem = Problem::new(Code::LedgerFull, "there is a file of that name already");
                return Err(Trouble::Problem(problem.about(to.display()).hint("name a new one")));
            }
            let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_CACHE_KIB)?;
            schema::verify(&conn)?;
            let part = with_suffix(to, ".part");
            copy(&conn, &part)?;
            good(&part)?;
            in_place(&part, to)?;
            std::fs::metadata(to)
                .map(|found| found.len())
                .map_err(|error| unwritable(&error))
        };
        back_up().map_err(|trouble| trouble.told(path))
    }

    /// Makes a copy ready to take the place of the ledger at `path`: looks whether it is good, brings its schema up to date,
    /// and takes over from the ledger that stands there who was erased. Nothing stands in the ledger's place yet.
    ///
    /// # Errors
    /// `LedgerLocked` when a process has the ledger open; `LedgerUnknown` when the copy is damaged or of a newer Nivel, or the
    /// ledger that stands there cannot be read.
    pub fn stage(from: &Path, path: &Path, clock: &dyn Clock) -> Result<Staged, Error> {
        let lock = lock(path).map_err(|trouble| trouble.told(path))?;
        let part = with_suffix(path, ".restore");
        let stage = || -> Result<Connection, Trouble> {
            good(from)?;
            let conn = connect(from, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_CACHE_KIB)?;
            copy(&conn, &part)?;
            let mut restored = connect(&part, OpenFlags::SQLITE_OPEN_READ_WRITE, WRITER_CACHE_KIB)?;
            schema::migrate(&mut restored, clock.now())?;
            Ok(restored)
        };
        let restored = stage().map_err(|trouble| trouble.told(from))?;
        let take_over = || -> Result<(), Trouble> {
            for name in FORGOTTEN {
                restored.execute("DELETE FROM setting WHERE name = ?1", [name])?;
            }
            if path.exists() {
                take_over_erased(&restored, path)?;
            }
            Ok(())
        };
        take_over().map_err(|trouble| trouble.told(path))?;
        Ok(Staged {
            part,
            path: path.to_owned(),
            _lock: lock,
        })
    }
}

impl Staged {
    /// Where the copy waits; it may be opened as a ledger.
    #[must_use]
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// Puts the copy in the ledger's place. What stood there is kept beside it (`.replaced`).
    ///
    /// # Errors
    /// When the disk does not do its part; the ledger is then the one it was.
    pub fn put_in_place(self) -> Result<(), Error> {
        let put = || -> Result<(), Trouble> {
            fold_log(&self.part)?;
            if self.path.exists() {
                fold_log(&self.path)?;
                let replaced = with_suffix(&self.path, ".replaced");
                remove(&replaced)?;
                fault::effect_blocking("file", || std::fs::hard_link(&self.path, &replaced))?
                    .map_err(|error| unwritable(&error))?;
            }
            in_place(&self.part, &self.path)?;
            remove(&with_suffix(&self.part, ".lock"))
        };
        put().map_err(|trouble| trouble.told(&self.path))
    }
}

/// Writes everything to a new private file.
fn copy(conn: &Connection, to: &Path) -> Result<(), Trouble> {
    for old in [to.to_owned(), with_suffix(to, "-wal"), with_suffix(to, "-shm")] {
        remove(&old)?;
    }
    private_file(to)?;
    let name = to
        .to_str()
        .ok_or_else(|| Trouble::new(Code::LedgerFull, "the file's name is not UTF-8"))?;
    fault::effect_blocking("file", || conn.execute("VACUUM INTO ?1", [name]))??;
    Ok(())
}

/// A file is good when it is a ledger and SQLite finds nothing wrong with it.
fn good(path: &Path) -> Result<(), Trouble> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_CACHE_KIB)?;
    schema::known(&conn)?;
    let said: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said == "ok" {
        return Ok(());
    }
    Err(Trouble::new(
        Code::LedgerUnknown,
        format!("the file is damaged: {said}"),
    ))
}

/// The marks and erasures of the ledger that stands there. A customer's number means nothing in another file.
fn take_over_erased(restored: &Connection, present: &Path) -> Result<(), Trouble> {
    {
        let conn = connect(present, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_CACHE_KIB)?;
        schema::known(&conn)?;
    }
    let name = present
        .to_str()
        .ok_or_else(|| Trouble::new(Code::LedgerFull, "the file's name is not UTF-8"))?;
    restored.execute("ATTACH DATABASE ?1 AS present", [name])?;
    let has_list: bool = restored.query_row(
        "SELECT count(*) = 2 FROM present.sqlite_schema WHERE name IN ('suppression', 'erasure')",
        [],
        |row| row.get(0),
    )?;
    if has_list {
        restored.execute_batch(&format!(
            "BEGIN;
             INSERT OR IGNORE INTO main.suppression SELECT digest, since FROM present.suppression;
             INSERT OR REPLACE INTO main.setting SELECT name, value FROM present.setting WHERE name = '{SECRET}';
             INSERT OR REPLACE INTO main.erasure (id, customer, is_open, body)
                 SELECT id, NULL, is_open, body FROM present.erasure;"
        ))?;
        fault::effect_blocking("commit", || restored.execute_batch("COMMIT"))??;
    }
    restored.execute_batch("DETACH DATABASE present")?;
    Ok(())
}

/// Folds the log into the file, so that the file alone is the ledger.
fn fold_log(path: &Path) -> Result<(), Trouble> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, WRITER_CACHE_KIB)?;
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy == 0 {
        return Ok(());
    }
    Err(Trouble::new(Code::LedgerLocked, "another program reads the ledger"))
}

/// Moves a file that is whole to where it belongs.
fn in_place(part: &Path, to: &Path) -> Result<(), Trouble> {
    let act = || -> std::io::Result<()> {
        std::fs::File::open(part)?.sync_all()?;
        std::fs::rename(part, to)?;
        for rest in ["-wal", "-shm"] {
            for of in [part, to] {
                match std::fs::remove_file(with_suffix(of, rest)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        match to.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => std::fs::File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    };
    fault::effect_blocking("file", act)?.map_err(|error| unwritable(&error))
}

fn remove(path: &Path) -> Result<(), Trouble> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unwritable(&error)),
        _ => Ok(()),
    }
}

fn unwritable(error: &std::io::Error) -> Trouble {
    io_trouble("the file cannot be written", error)
}
