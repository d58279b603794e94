//! The threads that own the connections: one that writes, a few that read.
//!
//! The writer takes what is queued into one transaction (group commit): many small commits cost one flush of the disk.
//! Each job is still all or nothing by itself, and nobody is told of success before the disk has it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::streams::Streams;
use super::trouble::Trouble;
use crate::fault;
use crate::ledger::{Error, Watch};

/// Most jobs of one transaction.
const GROUP_MAX: usize = 32;
/// Most jobs that wait for a thread; whoever comes then waits to be queued.
const QUEUE_MAX: usize = 256;
/// A write-ahead log larger than this is folded into the file even if readers must be waited for.
const WAL_BYTES_MAX: u64 = 64 << 20;
/// How many groups pass between two looks at the size of the write-ahead log.
const GROUPS_PER_LOOK: u32 = 64;

/// A connection with what it remembers.
pub(super) struct Desk {
    pub(super) conn: Connection,
    pub(super) streams: Streams,
    /// The hooks that are told of what is written.
    pub(super) watches: Vec<Watch>,
}

impl Desk {
    pub(super) fn new(conn: Connection) -> Self {
        conn.set_prepared_statement_cache_capacity(96);
        Self {
            conn,
            streams: Streams::default(),
            watches: Vec::new(),
        }
    }

    fn command(&self, sql: &'static str) -> Result<(), Trouble> {
        self.conn.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Takes back what was done; `sql` says how much. What was remembered may be part of it.
    fn take_back(&mut self, sql: &'static str) {
        self.streams = Streams::default();
        // SQLite itself takes everything back when the disk fails.
        if self.conn.is_autocommit() {
            return;
        }
        if let Err(error) = self.conn.execute_batch(sql) {
            tracing::error!(%error, "the ledger could not take back a failed transaction");
        }
    }
}

/// How a job is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In a transaction, with others.
    Write,
    /// In a reading transaction of its own: it only looks.
    Read,
    /// In no transaction at all.
    Alone,
}

/// Something to be done on a connection's thread.
pub(super) trait Job: Send {
    /// Does it; false when it failed and left nothing worth keeping.
    fn run(&mut self, desk: &mut Desk) -> bool;
    /// How it is done.
    fn way(&self) -> Way;
    /// Tells whoever waits. `kept` is an error when the job went well but its transaction did not.
    fn tell(self: Box<Self>, kept: Result<(), Trouble>);
}

struct Task<T, F> {
    act: Option<F>,
    way: Way,
    result: Option<Result<T, Trouble>>,
    reply: oneshot::Sender<Result<T, Trouble>>,
}

impl<T: Send, F: FnOnce(&mut Desk) -> Result<T, Trouble> + Send> Job for Task<T, F> {
    fn run(&mut self, desk: &mut Desk) -> bool {
        let result = self.act.take().map(|act| act(desk));
        let is_good = matches!(result, Some(Ok(_)));
        self.result = result;
        is_good
    }

    fn way(&self) -> Way {
        self.way
    }

    fn tell(self: Box<Self>, kept: Result<(), Trouble>) {
        let result = match (self.result, kept) {
            (Some(Err(trouble)), _) | (_, Err(trouble)) => Err(trouble),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(Trouble::bug("a job of the ledger was not run")),
        };
        if self.reply.send(result).is_err() {
            tracing::debug!("nobody waited for an answer of the ledger");
        }
    }
}

/// The way to a set of threads.
pub(super) struct Workers {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    threads: Vec<JoinHandle<()>>,
    path: Arc<PathBuf>,
}

impl Workers {
    /// One thread that writes.
    pub(super) fn writer(desk: Desk, path: &Path) -> std::io::Result<Self> {
        Self::start("ledger-writer", path, |jobs| {
            let wal = with_suffix(path, "-wal");
            vec![Box::new(move || write(desk, &jobs, &wal))]
        })
    }

    /// One thread for each connection, all reading.
    pub(super) fn readers(desks: Vec<Desk>, path: &Path) -> std::io::Result<Self> {
        Self::start("ledger-reader", path, |jobs| {
            let bodies = desks.into_iter().map(|desk| {
                let jobs = Arc::clone(&jobs);
                Box::new(move || read(desk, &jobs)) as Box<dyn FnOnce() + Send>
            });
            bodies.collect()
        })
    }

    fn start(
        name: &str,
        path: &Path,
        bodies: impl FnOnce(Arc<Queue>) -> Vec<Box<dyn FnOnce() + Send>>,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let mut workers = Self {
            jobs: Some(sender),
            threads: Vec::new(),
            path: Arc::new(path.to_owned()),
        };
        for body in bodies(Arc::new(Queue(Mutex::new(receiver)))) {
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body)?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Does something on one of the threads and waits for the answer. Given up waiting, it is done all the same.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Desk) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Error> {
        self.queue(act, Way::Write).await
    }

    /// As [`Workers::run`], for what only looks at the ledger.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Desk) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Error> {
        self.queue(act, Way::Read).await
    }

    /// As [`Workers::run`], for what cannot be done inside a transaction.
    pub(super) async fn alone<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Desk) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Error> {
        self.queue(act, Way::Alone).await
    }

    async fn queue<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Desk) -> Result<T, Trouble> + Send + 'static,
        way: Way,
    ) -> Result<T, Error> {
        let gone = || Trouble::bug("the ledger's thread is gone").told(&self.path);
        let (reply, answer) = oneshot::channel();
        let task = Task {
            act: Some(act),
            way,
            result: None,
            reply,
        };
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        if jobs.send(Box::new(task)).await.is_err() {
            return Err(gone());
        }
        match answer.await {
            Ok(result) => result.map_err(|trouble| trouble.told(&self.path)),
            Err(_) => Err(gone()),
        }
    }
}

impl Drop for Workers {
    /// Waits until everything that was queued is done, so that the lock is not given back before.
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the ledger panicked");
            }
        }
    }
}

struct Queue(Mutex<mpsc::Receiver<Box<dyn Job>>>);

impl Queue {
    fn next(&self) -> Option<Box<dyn Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
    }

    fn next_if_ready(&self) -> Option<Box<dyn Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).try_recv().ok()
    }
}

fn read(mut desk: Desk, jobs: &Queue) {
    while let Some(job) = jobs.next() {
        read_one(&mut desk, job);
    }
}

/// The job sees one state of the ledger from its beginning to its end.
fn read_one(desk: &mut Desk, mut job: Box<dyn Job>) {
    let kept = desk.command("BEGIN");
    if kept.is_ok() {
        job.run(desk);
        desk.take_back_read();
    }
    job.tell(kept);
}

impl Desk {
    /// Ends a reading transaction. Names of streams stay known: what was read was committed.
    fn take_back_read(&self) {
        if let Err(trouble) = self.command("COMMIT") {
            tracing::warn!(?trouble, "the ledger could not end a reading transaction");
        }
    }
}

fn write(mut desk: Desk, jobs: &Queue, wal: &Path) {
    let mut groups = 0_u32;
    let mut next = jobs.next();
    while let Some(first) = next {
        match first.way() {
            Way::Read => read_one(&mut desk, first),
            Way::Alone => alone(&mut desk, first),
            Way::Write => {
                next = write_group(&mut desk, first, jobs).or_else(|| jobs.next());
                groups = (groups + 1) % GROUPS_PER_LOOK;
                if groups == 0 {
                    bound_log(&desk.conn, wal);
                }
                continue;
            }
        }
        next = jobs.next();
    }
}

fn alone(desk: &mut Desk, mut job: Box<dyn Job>) {
    job.run(desk);
    job.tell(Ok(()));
}

/// Gives back a job that it met and that is none of a group.
fn write_group(desk: &mut Desk, first: Box<dyn Job>, jobs: &Queue) -> Option<Box<dyn Job>> {
    if let Err(trouble) = desk.command("BEGIN IMMEDIATE") {
        first.tell(Err(trouble));
        return None;
    }
    let mut done: Vec<Box<dyn Job>> = Vec::new();
    let mut next = Some(first);
    while let Some(mut job) = next.take_if(|job| job.way() == Way::Write) {
        if run_one(desk, &mut job, done.is_empty()) {
            done.push(job);
        } else {
            job.tell(Err(Trouble::bug("a job of the ledger gave no reason for its failure")));
        }
        if desk.conn.is_autocommit() {
            let lost = Trouble::new(
                crate::error::Code::LedgerFull,
                "the disk failed while the ledger was written",
            );
            done.drain(..).for_each(|job| job.tell(Err(lost.clone())));
            return None;
        }
        if done.len() < GROUP_MAX {
            next = jobs.next_if_ready();
        }
    }
    let kept = if done.is_empty() {
        desk.take_back("ROLLBACK");
        Ok(())
    } else {
        commit(desk)
    };
    done.into_iter().for_each(|job| job.tell(kept.clone()));
    next
}

/// Runs one job of a group; false when it failed and was taken back.
///
/// The first one needs no savepoint, which would copy every page it touches: alone, it is taken back with everything.
fn run_one(desk: &mut Desk, job: &mut Box<dyn Job>, is_alone: bool) -> bool {
    if is_alone {
        let is_good = job.run(desk);
        if !is_good {
            desk.take_back("ROLLBACK; BEGIN IMMEDIATE");
        }
        return is_good;
    }
    if desk.command("SAVEPOINT job").is_err() {
        return false;
    }
    let is_good = job.run(desk);
    if !is_good {
        desk.take_back("ROLLBACK TO job");
    }
    if !desk.conn.is_autocommit() && desk.command("RELEASE job").is_err() {
        desk.take_back("ROLLBACK");
        return false;
    }
    is_good
}

fn commit(desk: &mut Desk) -> Result<(), Trouble> {
    let kept = fault::effect_blocking("commit", || desk.command("COMMIT"))
        .map_err(Trouble::from)
        .flatten();
    if kept.is_err() {
        desk.take_back("ROLLBACK");
    }
    kept
}

/// SQLite folds the log into the file as it goes, but starts it anew only in a moment without readers.
fn bound_log(conn: &Connection, wal: &Path) {
    let is_large = std::fs::metadata(wal).is_ok_and(|file| file.len() > WAL_BYTES_MAX);
    if is_large && let Err(error) = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
        tracing::warn!(%error, "the ledger's write-ahead log could not be folded into the file");
    }
}

/// The path with something added to the file's name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
