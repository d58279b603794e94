//! A program under way: started in a process group of its own, read line by line within limits, killed with all it started.
//!
//! Three threads of its own, because pipes block: one reads what it says, one what it logs, one waits for its end. The first
//! hands over through a short queue, so that a program that is faster than the ledger waits on its full pipe.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use compact_str::CompactString;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot};

use super::folder::Private;
use super::problem::{failed, foul, slow};
use crate::connector::auth::Veil;
use crate::connector::classify::shorten;
use crate::connector::timer::Timer;
use crate::error::{Class, Code, Failure, Problem};
use crate::fault;

/// How much is read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// How many such pieces wait to be taken.
const PIECES_MAX: usize = 4;
/// How much of one logged line is kept.
const LOG_LINE_BYTES: usize = 2000;
/// How many logged lines are kept to explain a bad end.
const LOG_LINES: usize = 20;

/// What a program may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How long it may say nothing while something is waited for.
    pub(super) idle: Duration,
    /// How long one run may take.
    pub(super) wall: Duration,
    /// The data of each of its processes, in bytes.
    pub(super) memory_bytes: u64,
    /// The longest line.
    pub(super) line_max_bytes: usize,
}

/// How a program is started.
#[derive(Clone)]
pub(super) struct Launch {
    pub(super) system: CompactString,
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) bounds: Bounds,
    /// It is spoken to, instead of only listened to.
    pub(super) talks: bool,
    pub(super) veil: Arc<Veil>,
    pub(super) timer: Arc<dyn Timer>,
}

/// What the reading thread hands over.
enum Piece {
    Lines(Vec<Vec<u8>>),
    TooLong,
    /// The last line, which has no end and is no JSON.
    Torn(Vec<u8>),
}

/// A process group, as long as its id is ours.
#[derive(Debug, Default)]
struct Group(Mutex<Option<Pid>>);

impl Group {
    fn kill(&self) {
        let pid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *pid
            && let Err(error) = rustix::process::kill_process_group(pid, Signal::KILL)
        {
            tracing::debug!(%error, "a guest's process group is gone already");
        }
    }

    /// Kills what is left and forgets the id, before the last process of the group is reaped.
    fn close(&self) {
        self.kill();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A program under way. Dropped, it is killed with everything that it started.
pub(super) struct Program {
    pieces: mpsc::Receiver<Piece>,
    lines: VecDeque<Vec<u8>>,
    input: Option<mpsc::UnboundedSender<Vec<u8>>>,
    ended: oneshot::Receiver<io::Result<ExitStatus>>,
    group: Arc<Group>,
    log: Arc<Mutex<VecDeque<String>>>,
    launch: Launch,
    begun: Duration,
    torn: Option<Vec<u8>>,
    is_over: bool,
    /// Lives as long as the program: its settings stand in it.
    folder: Private,
}

impl Drop for Program {
    fn drop(&mut self) {
        self.group.kill();
    }
}

impl Program {
    /// Starts a program in its private folder.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(launch: Launch, folder: Private) -> Result<Self, Failure> {
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.args)
            .env_clear()
            .envs(&launch.env)
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .current_dir(folder.path())
            .stdin(if launch.talks { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let spawned = fault::effect_blocking("guest", || command.spawn()).map_err(io::Error::other);
        let child = spawned.and_then(|spawned| spawned);
        let child = child.map_err(|error| cannot_start(&launch, &error))?;
        Self::attend(launch, folder, child)
    }

    fn attend(launch: Launch, folder: Private, mut child: Child) -> Result<Self, Failure> {
        let pid = Pid::from_child(&child);
        let group = Arc::new(Group(Mutex::new(Some(pid))));
        let limit = rustix::process::Rlimit {
            current: Some(launch.bounds.memory_bytes),
            maximum: Some(launch.bounds.memory_bytes),
        };
        if let Err(error) = rustix::process::prlimit(Some(pid), rustix::process::Resource::Data, limit) {
            tracing::warn!(system = %launch.system, %error, "the guest's memory cannot be limited");
        }
        let (to, pieces) = mpsc::channel(PIECES_MAX);
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let line_max = launch.bounds.line_max_bytes;
        if let Some(output) = child.stdout.take() {
            thread("guest-out", move || pump(output, &to, line_max))?;
        }
        if let Some(errors) = child.stderr.take() {
            let (log, veil, system) = (Arc::clone(&log), Arc::clone(&launch.veil), launch.system.clone());
            thread("guest-log", move || listen(errors, &log, &veil, &system))?;
        }
        let input = child.stdin.take().map(|pipe| {
            let (input, from) = mpsc::unbounded_channel();
            thread("guest-in", move || speak(pipe, from)).map(|()| input)
        });
        let (done, ended) = oneshot::channel();
        let watched = Arc::clone(&group);
        thread("guest-end", move || wait(child, pid, &watched, done))?;
        Ok(Self {
            pieces,
            lines: VecDeque::new(),
            input: input.transpose()?,
            ended,
            group,
            log,
            begun: launch.timer.elapsed(),
            launch,
            torn: None,
            is_over: false,
            folder,
        })
    }

    /// The private folder, to outlive the program.
    pub(super) fn folder_taken(mut self) -> Private {
        self.folder.take()
    }

    /// The private folder it runs in.
    pub(super) fn folder(&self) -> &Private {
        &self.folder
    }

    /// Says one line to it. Nothing happens when it has ended: what it is asked for is then never answered.
    pub(super) fn say(&self, message: &Json) {
        if let Some(input) = &self.input {
            let sent = input.send(format!("{message}\n").into_bytes());
            drop(sent);
        }
    }

    /// True while less than half of its time has gone by.
    pub(super) fn is_fresh(&self) -> bool {
        let gone = self.launch.timer.elapsed().saturating_sub(self.begun);
        gone < self.launch.bounds.wall / 2
    }

    /// Tells it that nothing more will be said.
    pub(super) fn hang_up(&mut self) {
        self.input = None;
    }

    /// Its next line; `None` when it says nothing more.
    ///
    /// # Errors
    /// When it was killed because it is silent for too long, takes too long, or says too much at once.
    pub(super) async fn line(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(line));
            }
            if self.is_over {
                return Ok(None);
            }
            let (patience, why) = self.patience();
            // One that always has something to say would never be waited for.
            if patience.is_zero() {
                self.group.kill();
                return Err(slow(&self.launch.system, &why));
            }
            let timer = Arc::clone(&self.launch.timer);
            let piece = tokio::select! {
                biased;
                piece = self.pieces.recv() => piece,
                () = timer.wait(patience) => {
                    self.group.kill();
                    return Err(slow(&self.launch.system, &why));
                }
            };
            match piece {
                Some(Piece::Lines(lines)) => self.lines.extend(lines),
                Some(Piece::Torn(rest)) => self.torn = Some(rest),
                None => self.is_over = true,
                Some(Piece::TooLong) => {
                    self.group.kill();
                    let what = format!("a line of more than {} MiB", self.launch.bounds.line_max_bytes >> 20);
                    return Err(foul(&self.launch.system, &what));
                }
            }
        }
    }

    /// Everything it says, as one text.
    ///
    /// # Errors
    /// As [`Self::line`], and when it ends badly.
    pub(super) async fn whole(mut self) -> Result<Vec<u8>, Failure> {
        let mut text = Vec::new();
        while let Some(line) = self.line().await? {
            text.extend(line);
            if text.len() > self.launch.bounds.line_max_bytes {
                return Err(foul(&self.launch.system, "more than a catalog can be"));
            }
        }
        // A text without a line end is whole once the program has ended well.
        text.extend(self.torn.take().unwrap_or_default());
        self.end().await?;
        Ok(text)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it did not end by itself and well.
    pub(super) async fn end(&mut self) -> Result<(), Failure> {
        self.hang_up();
        while self.line().await?.is_some() {}
        let (patience, why) = self.patience();
        let timer = Arc::clone(&self.launch.timer);
        let ended = tokio::select! {
            biased;
            ended = &mut self.ended => ended,
            () = timer.wait(patience) => {
                self.group.kill();
                return Err(slow(&self.launch.system, &why));
            }
        };
        let how = match ended {
            Ok(Ok(status)) if status.success() && self.torn.is_none() => return Ok(()),
            Ok(Ok(status)) if status.success() => return Err(foul(&self.launch.system, "its last line only in part")),
            Ok(Ok(status)) => described(status),
            Ok(Err(_)) | Err(_) => "ended, nobody knows how".to_owned(),
        };
        Err(failed(&self.launch.system, &format!("{how}{}", self.last_words())))
    }

    /// What it logged last, for the message about a bad end.
    fn last_words(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let last = log.iter().rev().find(|line| !line.trim().is_empty());
        last.map_or_else(String::new, |line| format!("; it said last: {}", shorten(line.trim())))
    }

    /// How long it is waited for, and what is said when that is over.
    fn patience(&self) -> (Duration, String) {
        let bounds = &self.launch.bounds;
        let gone = self.launch.timer.elapsed().saturating_sub(self.begun);
        let left = bounds.wall.saturating_sub(gone);
        if left < bounds.idle {
            (left, format!("took longer than {}", in_words(bounds.wall)))
        } else {
            (bounds.idle, format!("said nothing for {}", in_words(bounds.idle)))
        }
    }
}

fn in_words(time: Duration) -> String {
    match (time.as_secs(), time.subsec_millis()) {
        (0, millis) => format!("{millis}ms"),
        (secs, _) if secs % 3600 == 0 => format!("{}h", secs / 3600),
        (secs, _) if secs % 60 == 0 => format!("{}m", secs / 60),
        (secs, _) => format!("{secs}s"),
    }
}

fn described(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended badly".to_owned(),
    }
}

fn cannot_start(launch: &Launch, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "there is no such program".to_owned(),
        io::ErrorKind::PermissionDenied => "Nivel may not run it".to_owned(),
        _ => error.to_string(),
    };
    let message = format!("`{}` cannot be started: {why}", launch.program.display());
    let problem = Problem::new(Code::GuestUnstartable, message).about(&launch.system);
    Failure::new(Class::Forbidden, problem)
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|error| {
        let problem = Problem::new(Code::GuestUnstartable, format!("no thread for the guest: {error}"));
        Failure::new(Class::Forbidden, problem)
    })
}

/// Cuts what a program says into lines.
fn pump(mut from: impl Read, to: &mpsc::Sender<Piece>, line_max: usize) {
    let mut bytes = vec![0; CHUNK_BYTES];
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let length = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let mut lines = Vec::new();
        for part in bytes
            .get(..length)
            .unwrap_or_default()
            .split_inclusive(|&byte| byte == b'\n')
        {
            if rest.len() + part.len() > line_max {
                drop(to.blocking_send(Piece::TooLong));
                return;
            }
            rest.extend_from_slice(part);
            if part.ends_with(b"\n") {
                lines.push(std::mem::take(&mut rest));
            }
        }
        if !lines.is_empty() && to.blocking_send(Piece::Lines(lines)).is_err() {
            return;
        }
    }
    if rest.iter().all(u8::is_ascii_whitespace) {
        return;
    }
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&rest).is_ok();
    let piece = if is_json {
        Piece::Lines(vec![rest])
    } else {
        Piece::Torn(rest)
    };
    drop(to.blocking_send(piece));
}

/// Writes what is said to a program.
fn speak(mut pipe: impl io::Write, mut from: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(line) = from.blocking_recv() {
        // A program that does not read any more says why by its end.
        if pipe.write_all(&line).and_then(|()| pipe.flush()).is_err() {
            return;
        }
    }
}

/// Keeps the last of what a program logs, without secrets.
fn listen(mut from: impl Read, log: &Mutex<VecDeque<String>>, veil: &Veil, system: &str) {
    let keep = |line: &[u8]| {
        let text = veil.hide(String::from_utf8_lossy(line).trim_end());
        tracing::debug!(%system, "{text}");
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LOG_LINES {
            log.pop_front();
        }
        log.push_back(text);
    };
    let mut bytes = vec![0; CHUNK_BYTES];
    let mut line: Vec<u8> = Vec::new();
    loop {
        let length = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for &byte in bytes.get(..length).unwrap_or_default() {
            if byte == b'\n' {
                keep(&line);
                line.clear();
            } else if line.len() < LOG_LINE_BYTES {
                line.push(byte);
            }
        }
    }
    if !line.is_empty() {
        keep(&line);
    }
}

/// Waits for the end of the program without reaping it, so that its id stays ours until its whole group was killed.
fn wait(mut child: Child, pid: Pid, group: &Group, done: oneshot::Sender<io::Result<ExitStatus>>) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while matches!(
        rustix::process::waitid(WaitId::Pid(pid), options),
        Err(rustix::io::Errno::INTR)
    ) {}
    group.close();
    drop(done.send(child.wait()));
}
