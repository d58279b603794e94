//! The embedded ledger: one SQLite file, one process, one thread that writes.
//!
//! What was acknowledged is on the disk (`synchronous = FULL`), and every reader sees it. A disk that is full or fails
//! refuses commits and loses none; as soon as there is room, the next one simply succeeds.

mod apply;
mod arrival;
mod brake;
mod census;
mod copy;
mod handoff;
mod inbox;
mod matching;
mod note;
mod outbox;
mod posts;
mod privacy;
mod read;
mod records;
mod request;
mod row;
mod schema;
mod sign;
mod streams;
mod sweep;
#[cfg(test)]
mod tests;
mod trouble;
mod turns;
mod vault;
mod view;
mod worker;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags};

pub use copy::Staged;
use trouble::Trouble;
use worker::{Desk, Workers, with_suffix};

use super::{
    Arrival, Ask, ChangeRow, Commit, Decision, DueWrites, Error, Head, Keep, Ledger, Request, Run, StreamState,
    SweepStage, Target, Totals, View, Write, WriteState,
};
use crate::error::{Code, Problem};
use crate::model::{Clock, Customer, CustomerKey, Record, RecordId, StreamId, UnixMillis};

/// Connections that read.
const READERS: usize = 2;
/// Page cache of the writer, in KiB: the indexes that are hit at random should stay in it.
const WRITER_CACHE_KIB: i64 = 64 * 1024;
/// Page cache of each reader, in KiB. Every commit of the writer empties it, so a large one is wasted.
const READER_CACHE_KIB: i64 = 8 * 1024;
/// Pages in the write-ahead log before they are folded into the file: the later, the fewer are folded twice.
const CHECKPOINT_PAGES: i64 = 16_000;
/// How long to wait for another program that looks into the file.
const BUSY: Duration = Duration::from_secs(10);

/// The embedded ledger.
pub struct Sqlite {
    writer: Workers,
    readers: Workers,
    /// Held as long as this lives; the fields above end their threads before it is given back. A ledger that is only looked
    /// at holds none.
    _lock: Option<Lock>,
}

impl Sqlite {
    /// Opens the ledger in the file at `path`, made if it is missing (its folder must exist), and brings its schema up to
    /// date. Blocks while it does. Dropping the ledger waits until everything queued is on the disk.
    ///
    /// # Errors
    /// `LedgerLocked` when another process has it open, `LedgerUnknown` when the file is not a ledger or was written by
    /// a newer Nivel, `LedgerFull` when the disk does not do its part.
    pub fn open(path: &Path, clock: &dyn Clock) -> Result<Self, Error> {
        let lock = lock(path).map_err(|trouble| trouble.told(path))?;
        Self::start(path, clock, lock).map_err(|trouble| trouble.told(path))
    }

    fn start(path: &Path, clock: &dyn Clock, lock: Lock) -> Result<Self, Trouble> {
        private_file(path)?;
        let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, WRITER_CACHE_KIB)?;
        schema::migrate(&mut writer, clock.now())?;
        vault::end_leases(&writer)?;
        writer.pragma_update(None, "synchronous", "FULL")?;
        writer.pragma_update(None, "foreign_keys", true)?;
        writer.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        writer.pragma_update(None, "journal_size_limit", CHECKPOINT_PAGES * 4096)?;
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let reader = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_CACHE_KIB)?;
            readers.push(Desk::new(reader));
        }
        let no_thread = |error| io_trouble("the ledger cannot start a thread", &error);
        Ok(Self {
            writer: Workers::writer(Desk::new(writer), path).map_err(no_thread)?,
            readers: Workers::readers(readers, path).map_err(no_thread)?,
            _lock: Some(lock),
        })
    }

    /// Opens the ledger to look into it, also while another process works with it. Whatever would change it is refused.
    ///
    /// # Errors
    /// `LedgerUnknown` when the file is not a ledger of this version of Nivel.
    pub fn open_to_read(path: &Path) -> Result<Self, Error> {
        Self::start_reading(path).map_err(|trouble| trouble.told(path))
    }

    fn start_reading(path: &Path) -> Result<Self, Trouble> {
        let connect = || connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_CACHE_KIB);
        let no_thread = |error| io_trouble("the ledger cannot start a thread", &error);
        let writer = connect()?;
        schema::verify(&writer)?;
        Ok(Self {
            writer: Workers::writer(Desk::new(writer), path).map_err(no_thread)?,
            readers: Workers::readers(vec![Desk::new(connect()?)], path).map_err(no_thread)?,
            _lock: None,
        })
    }
}

/// The right to write into a ledger. Given back by word and not by closing the file: a process that is just being started
/// may still hold a copy of it.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "the ledger's lock could not be given back");
        }
    }
}

/// Locks a file beside the ledger. The kernel gives it back when the process ends, however it ends.
fn lock(path: &Path) -> Result<Lock, Trouble> {
    let beside = with_suffix(path, ".lock");
    let file = private(&beside).map_err(|error| io_trouble("the ledger's lock file cannot be opened", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(Trouble::Problem(
            Problem::new(
                Code::LedgerLocked,
                format!("another process has the ledger {} open", path.display()),
            )
            .hint("end the other nivel, or give this one a ledger of its own"),
        )),
        Err(TryLockError::Error(error)) => Err(io_trouble("the ledger cannot be locked", &error)),
    }
}

/// Makes the file, if it is missing, so that nobody but the owner can read it. SQLite gives its side files the same mode.
fn private_file(path: &Path) -> Result<(), Trouble> {
    let file = private(path).map_err(|error| io_trouble("the ledger file cannot be opened", &error))?;
    tighten(&file).map_err(|error| io_trouble("the ledger file cannot be made private", &error))
}

#[cfg(unix)]
fn private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path)
}

#[cfg(not(unix))]
fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

#[cfg(unix)]
fn tighten(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn tighten(_file: &File) -> std::io::Result<()> {
    Ok(())
}

fn connect(path: &Path, mode: OpenFlags, cache_kib: i64) -> Result<Connection, Trouble> {
    let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY)?;
    conn.pragma_update(None, "cache_size", -cache_kib)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "trusted_schema", false)?;
    Ok(conn)
}

fn io_trouble(what: &str, error: &std::io::Error) -> Trouble {
    Trouble::new(Code::LedgerFull, format!("{what}: {error}"))
}

#[async_trait]
impl Ledger for Sqlite {
    async fn heads(&self, records: &[RecordId]) -> Result<Vec<Option<Head>>, Error> {
        let records = records.to_vec();
        self.readers.look(move |desk| view::heads(desk, &records)).await
    }

    async fn view(&self, ask: Ask) -> Result<View, Error> {
        // By the writer: its page cache is warm, while each commit empties those of the readers, and a commit follows.
        self.writer.look(move |desk| view::view(desk, &ask)).await
    }

    async fn apply(&self, commit: Commit) -> Result<(), Error> {
        self.writer.run(move |desk| apply::apply(desk, &commit)).await
    }

    async fn arrival_links(&self, after: i64, limit: usize) -> Result<Vec<(i64, Vec<u64>)>, Error> {
        self.readers.look(move |desk| arrival::links(desk, after, limit)).await
    }

    async fn arrivals(&self, numbers: &[i64]) -> Result<Vec<Arrival>, Error> {
        let numbers = numbers.to_vec();
        self.readers.look(move |desk| arrival::list(desk, &numbers)).await
    }

    async fn forget_arrivals(&self, last: i64) -> Result<(), Error> {
        self.writer.run(move |desk| arrival::forget(desk, last)).await
    }

    async fn stream(&self, stream: &StreamId) -> Result<StreamState, Error> {
        let stream = stream.clone();
        self.readers.look(move |desk| read::stream(desk, &stream)).await
    }

    async fn streams(&self) -> Result<BTreeMap<StreamId, StreamState>, Error> {
        self.readers.look(read::streams).await
    }

    async fn note_stream(
        &self,
        stream: &StreamId,
        problem: Option<Problem>,
        parked_until: Option<UnixMillis>,
    ) -> Result<(), Error> {
        let stream = stream.clone();
        self.writer
            .run(move |desk| note::note_stream(desk, &stream, problem.as_ref(), parked_until))
            .await
    }

    async fn open_run(&self, stream: &StreamId, at: UnixMillis) -> Result<i64, Error> {
        let stream = stream.clone();
        self.writer.run(move |desk| note::open_run(desk, &stream, at)).await
    }

    async fn close_run(&self, run: Run) -> Result<(), Error> {
        self.writer.run(move |desk| note::close_run(desk, &run)).await
    }

    async fn runs(&self, limit: usize) -> Result<Vec<Run>, Error> {
        self.readers.look(move |desk| read::runs(desk, limit)).await
    }

    async fn claim(&self, stream: &StreamId, now: UnixMillis, limit: usize) -> Result<Vec<Write>, Error> {
        let stream = stream.clone();
        self.writer
            .run(move |desk| outbox::claim(desk, &stream, now, limit))
            .await
    }

    async fn due(&self, stream: &StreamId, since: UnixMillis) -> Result<DueWrites, Error> {
        let stream = stream.clone();
        self.readers.look(move |desk| brake::due(desk, &stream, since)).await
    }

    async fn hold_due(&self, stream: &StreamId, since: UnixMillis, problem: Problem) -> Result<u64, Error> {
        let stream = stream.clone();
        self.writer
            .run(move |desk| brake::hold(desk, &stream, since, &problem))
            .await
    }

    async fn hold_deletes(&self, stream: &StreamId, since: UnixMillis, problem: Problem) -> Result<u64, Error> {
        let stream = stream.clone();
        self.writer
            .run(move |desk| brake::hold_deletes(desk, &stream, since, &problem))
            .await
    }

    async fn unmet(&self, stream: &StreamId, epoch: u64, after: &str, limit: usize) -> Result<Vec<RecordId>, Error> {
        let (stream, after) = (stream.clone(), after.to_owned());
        self.readers
            .look(move |desk| sweep::unmet(desk, &stream, epoch, &after, limit))
            .await
    }

    async fn count_unmet(&self, stream: &StreamId, epoch: u64) -> Result<u64, Error> {
        let stream = stream.clone();
        self.readers
            .look(move |desk| sweep::count_unmet(desk, &stream, epoch))
            .await
    }

    async fn note_sweep(
        &self,
        stream: &StreamId,
        epoch: u64,
        stage: SweepStage,
        problem: Option<Problem>,
    ) -> Result<(), Error> {
        let stream = stream.clone();
        self.writer
            .run(move |desk| sweep::note(desk, &stream, epoch, stage, problem.as_ref()))
            .await
    }

    async fn approve_sweeps(&self) -> Result<u64, Error> {
        self.writer.run(|desk| sweep::approve(desk)).await
    }

    async fn release_held(&self, now: UnixMillis) -> Result<u64, Error> {
        self.writer.run(move |desk| brake::release(desk, now)).await
    }

    async fn count_records(&self, stream: &StreamId) -> Result<u64, Error> {
        let stream = stream.clone();
        self.readers.look(move |desk| brake::count_records(desk, &stream)).await
    }

    async fn release_leases(&self, now: UnixMillis) -> Result<u64, Error> {
        self.writer.run(move |desk| outbox::release_leases(desk, now)).await
    }

    async fn writes(&self, states: &[WriteState], after: Option<&Target>, limit: usize) -> Result<Vec<Write>, Error> {
        let (states, after) = (states.to_vec(), after.cloned());
        self.readers
            .look(move |desk| outbox::list(desk, &states, after.as_ref(), limit))
            .await
    }

    async fn next_due(&self, stream: &StreamId) -> Result<Option<UnixMillis>, Error> {
        let stream = stream.clone();
        self.readers.look(move |desk| outbox::next_due(desk, &stream)).await
    }

    async fn customer(&self, key: &CustomerKey) -> Result<Option<Customer>, Error> {
        let key = *key;
        self.readers.look(move |desk| read::customer(desk, &key)).await
    }

    async fn customers(&self, after: Option<&CustomerKey>, limit: usize) -> Result<Vec<Customer>, Error> {
        let after = after.copied();
        self.readers
            .look(move |desk| read::customers(desk, after.as_ref(), limit))
            .await
    }

    async fn search(&self, text: &str, limit: usize) -> Result<Vec<CustomerKey>, Error> {
        let text = text.to_owned();
        self.readers.look(move |desk| read::search(desk, &text, limit)).await
    }

    async fn rejected(&self, after: Option<&RecordId>, limit: usize) -> Result<Vec<Record>, Error> {
        let after = after.cloned();
        self.readers
            .look(move |desk| read::rejected(desk, after.as_ref(), limit))
            .await
    }

    async fn frozen(&self, after: Option<&RecordId>, limit: usize) -> Result<Vec<(Record, CustomerKey)>, Error> {
        let after = after.cloned();
        self.readers
            .look(move |desk| read::frozen(desk, after.as_ref(), limit))
            .await
    }

    async fn changes(&self, customer: &CustomerKey, limit: usize) -> Result<Vec<ChangeRow>, Error> {
        let customer = *customer;
        self.readers
            .look(move |desk| read::changes(desk, &customer, limit))
            .await
    }

    async fn trail(&self, since: UnixMillis, after: i64, limit: usize) -> Result<Vec<(i64, ChangeRow)>, Error> {
        self.readers
            .look(move |desk| read::trail(desk, since, after, limit))
            .await
    }

    async fn decide(&self, decision: Decision, by: &str, at: UnixMillis) -> Result<(), Error> {
        let by = by.to_owned();
        self.writer
            .run(move |desk| note::decide(desk, &decision, &by, at))
            .await
    }

    async fn setting(&self, name: &str) -> Result<Option<String>, Error> {
        let name = name.to_owned();
        self.readers.look(move |desk| read::setting(desk, &name)).await
    }

    async fn set_setting(&self, name: &str, value: &str) -> Result<(), Error> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.writer
            .run(move |desk| note::set_setting(desk, &name, &value))
            .await
    }

    async fn requests(&self, limit: usize) -> Result<Vec<Request>, Error> {
        self.readers.look(move |desk| request::waiting(desk, limit)).await
    }

    async fn answer_request(&self, number: i64, at: UnixMillis, answer: &str) -> Result<(), Error> {
        let answer = answer.to_owned();
        self.writer
            .run(move |desk| request::answer(desk, number, at, &answer))
            .await
    }

    async fn trim(&self, now: UnixMillis, keep: Keep) -> Result<u64, Error> {
        let mut removed = 0;
        loop {
            // In small steps: commits come in between.
            let step = self.writer.run(move |desk| note::trim(desk, now, keep)).await?;
            if step == 0 {
                return Ok(removed);
            }
            removed += step;
        }
    }

    async fn totals(&self) -> Result<Totals, Error> {
        self.readers.look(|desk| read::totals(desk)).await
    }

    async fn probe(&self) -> Result<(), Error> {
        self.writer.run(|desk| note::probe(desk)).await
    }
}
