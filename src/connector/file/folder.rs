//! Which file is read next, its pages, and where it goes afterwards.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::config::Checked;
use super::map;
use super::open::Reader;
use super::place::{Open, Pending, Place, Read, Stamp};
use super::rejects::{self, Reject};
use super::store::{self, Store};
use crate::connector::Sample;
use crate::connector::cursor::AsCursor as _;
use crate::error::{Class, Code, Failure, Problem};
use crate::model::{Clock, Incoming, Page, UnixMillis};

/// Of how many files that are not there any more it is remembered that they were read.
const KNOWN_MAX: usize = 1_000;

/// A folder that files are dropped into.
pub(super) struct Folder {
    pub(super) checked: Checked,
    pub(super) store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    reader: Mutex<Option<Reader>>,
}

impl Folder {
    pub(super) fn new(checked: Checked, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            checked,
            store,
            clock,
            reader: Mutex::new(None),
        }
    }

    /// Proves that the folder can be listed.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.list().map(drop)
    }

    pub(super) fn unreadable(&self, name: &str, error: &io::Error) -> Failure {
        store::failure(Code::FileUnreadable, &self.store.show(name), "read", error)
    }

    /// The files to look at, oldest first.
    fn list(&self) -> Result<Vec<(String, Stamp)>, Failure> {
        let mut files = self.store.list().map_err(|error| self.unreadable("", &error))?;
        files.retain(|(name, _)| self.is_wanted(name));
        files.sort_by(|a, b| (a.1.mtime, &a.0).cmp(&(b.1.mtime, &b.0)));
        Ok(files)
    }

    fn is_wanted(&self, name: &str) -> bool {
        let is_hidden = name.starts_with('.') || name.ends_with(rejects::SUFFIX) || name.ends_with(".part");
        !is_hidden && self.checked.files.as_ref().is_none_or(|files| files.is_match(name))
    }

    pub(super) fn pull(&self, mut place: Place) -> Result<Page, Failure> {
        let asked_at = self.clock.now();
        if let Some(open) = place.open.take() {
            let stamp = self.store.stamp(&open.name);
            match stamp.map_err(|error| self.unreadable(&open.name, &error))? {
                Some(stamp) if stamp == open.stamp => return self.page(place, open, asked_at),
                // Changed while it was read: it is a new file once it is stable again.
                Some(_) => {}
                None => return Err(self.went_away(&open)),
            }
        }
        match self.choose(&mut place, asked_at)? {
            Some(open) => self.page(place, open, asked_at),
            None => Ok(Page {
                records: Vec::new(),
                next: place.cursor(),
                is_caught_up: true,
                asked_at,
                sweep: None,
            }),
        }
    }

    fn went_away(&self, open: &Open) -> Failure {
        let what = format!("went away when {} rows of it had been read", open.row);
        let problem = Problem::new(Code::FileUnreadable, what)
            .about(self.store.show(&open.name))
            .hint("put it back to go on, or an empty file of that name to give up the rest");
        Failure::new(Class::Transient, problem)
    }

    /// The next file that is new and stable; notes those that are not stable yet.
    fn choose(&self, place: &mut Place, now: UnixMillis) -> Result<Option<Open>, Failure> {
        let files = self.list()?;
        place.forget(|name| files.iter().any(|(file, _)| file == name), KNOWN_MAX);
        for (name, stamp) in files {
            if place
                .read
                .get(&name)
                .is_some_and(|read| read.stamp == stamp && !read.gone)
            {
                place.pending.remove(&name);
                continue;
            }
            let pending = place.pending.get(&name).filter(|pending| pending.stamp == stamp);
            let Some(pending) = pending else {
                place.pending.insert(name, Pending { stamp, since: now });
                continue;
            };
            if now.since(pending.since) < self.checked.settle {
                continue;
            }
            place.pending.remove(&name);
            let digest = self.digest(&name, &stamp)?;
            if place.read.get(&name).is_some_and(|read| read.digest == digest) {
                place.read.insert(name, Read::of(stamp, digest));
                continue;
            }
            return Ok(Some(Open {
                name,
                stamp,
                digest,
                row: 0,
            }));
        }
        Ok(None)
    }

    fn digest(&self, name: &str, stamp: &Stamp) -> Result<String, Failure> {
        if stamp.size > self.checked.config.file_max_bytes {
            return Ok(format!("unread-{}", stamp.size));
        }
        let unreadable = |error: io::Error| self.unreadable(name, &error);
        let mut file = self.store.open(name, stamp).map_err(unreadable)?;
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = file.read(&mut buffer).map_err(unreadable)?;
            if length == 0 {
                break;
            }
            digest.update(buffer.get(..length).unwrap_or_default());
        }
        Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn page(&self, mut place: Place, open: Open, asked_at: UnixMillis) -> Result<Page, Failure> {
        let mut kept = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = match kept.take().filter(|reader| reader.open == open) {
            Some(reader) => Ok(reader),
            None => Reader::new(self, &open)?,
        };
        let (records, at_end) = match reader {
            Ok(mut reader) => {
                let (records, at_end) = self.rows(&mut reader)?;
                place.open = (!at_end).then(|| reader.open.clone());
                *kept = (!at_end).then_some(reader);
                (records, at_end)
            }
            Err(why) => (vec![useless(&open.name, &why)], true),
        };
        if at_end {
            place.read.insert(open.name, Read::of(open.stamp, open.digest));
        }
        Ok(Page {
            records,
            next: place.cursor(),
            is_caught_up: false,
            asked_at,
            sweep: None,
        })
    }

    /// Maps the next rows and writes out the rejected ones; true at the end of the file.
    fn rows(&self, reader: &mut Reader) -> Result<(Vec<Incoming>, bool), Failure> {
        let config = &self.checked.config;
        let name = reader.open.name.clone();
        let first = reader.open.row + 1;
        let mut records = Vec::with_capacity(config.page_rows);
        let mut rejects = Vec::new();
        let mut at_end = false;
        while records.len() < config.page_rows {
            let row = reader.next(config).map_err(|error| self.unreadable(&name, &error))?;
            let Some(row) = row else {
                at_end = true;
                break;
            };
            if let Some(reason) = row.reason {
                rejects.push(Reject {
                    row: reader.open.row,
                    reason,
                    line: row.line.trim_end().to_owned(),
                });
            }
            records.extend(row.record);
        }
        if !rejects.is_empty() || first == 1 {
            self.write_rejects(&name, first, &rejects)?;
        }
        Ok((records, at_end))
    }

    /// The ledger keeps the problems anyway, so a folder that cannot be written to holds nothing up.
    fn write_rejects(&self, name: &str, first: u64, rejects: &[Reject]) -> Result<(), Failure> {
        match rejects::write(self.store.as_ref(), name, first, rejects) {
            Err(error) if is_prevented(&error) => Err(self.unreadable(name, &error)),
            Err(error) => {
                tracing::warn!(file = name, %error, "the reject file cannot be written");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The first rows of the youngest file, which is not taken by it.
    pub(super) fn sample(&self, limit: usize) -> Result<Vec<Sample>, Failure> {
        let Some((name, stamp)) = self.list()?.pop() else {
            return Ok(Vec::new());
        };
        let open = Open {
            name,
            stamp,
            digest: String::new(),
            row: 0,
        };
        let mut reader = match Reader::new(self, &open)? {
            Ok(reader) => reader,
            Err(why) => return Ok(vec![Sample::of(useless(&open.name, &why))]),
        };
        let mut samples = Vec::new();
        while samples.len() < limit {
            let row = reader.next(&self.checked.config);
            let Some(row) = row.map_err(|error| self.unreadable(&open.name, &error))? else {
                break;
            };
            samples.extend(row.record.map(|record| Sample {
                raw: reader.raw(&row.line, &self.checked.config),
                record,
            }));
        }
        Ok(samples)
    }

    /// Moves the files that `place` has behind it into the archive. A file that changed since stays: it is a new one.
    pub(super) fn shelve(&self, place: &Place) -> Result<(), Failure> {
        let Some(archive) = &self.checked.config.archive else {
            return Ok(());
        };
        for (name, read) in place.read.iter().filter(|(_, read)| !read.gone) {
            let shelf = shelf_name(name, &read.digest);
            match self.store.shelve(name, &read.stamp, archive, &shelf) {
                Ok(true) => tracing::info!(file = name, archive, "a file that was read is in the archive"),
                Ok(false) => {}
                Err(error) if is_prevented(&error) => return Err(self.unreadable(name, &error)),
                Err(error) => {
                    let problem = Problem::new(Code::FileArchive, format!("cannot be moved: {error}"));
                    let problem = problem.about(self.store.show(name));
                    tracing::warn!(code = %problem.code, %problem, "a file that was read stays where it is");
                }
            }
        }
        Ok(())
    }
}

fn is_prevented(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<crate::fault::Prevented>())
}

/// The record that stands for a file of which nothing can be read.
fn useless(name: &str, why: &str) -> Incoming {
    let mut record = map::bad_row(name, &format!("the file {why}, none of its rows was read"));
    record.problem = record.problem.map(|problem| Problem {
        code: Code::FileUnreadable,
        ..problem
    });
    record
}

/// `list.csv` becomes `list.3f2a9c01b6d4.csv`: another content, another name.
fn shelf_name(name: &str, digest: &str) -> String {
    let mark: String = digest.chars().take(12).collect();
    match name.rsplit_once('.') {
        Some((stem, suffix)) => format!("{stem}.{mark}.{suffix}"),
        None => format!("{name}.{mark}"),
    }
}
