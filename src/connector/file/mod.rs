//! A watched folder as a [`Connection`]: partners drop CSV or JSON Lines files, Nivel reads them and never deletes.
//!
//! A file is taken when it has stopped changing; one with a known name and new content is a new file. A row that cannot
//! be used becomes a record with a problem and a line in a reject file beside; the rest of the file goes on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use compact_str::CompactString;
use sha2::{Digest, Sha256};

use super::Connection;
use crate::error::{Class, Code, Failure, Problem};
use crate::model::{Clock, Cursor, FieldName, Incoming, Operation, Outcome, Page, StreamSpec, UnixMillis, Value};

mod config;
mod map;
mod place;
mod rejects;
mod rows;

pub use config::{Column, ColumnType, FileConfig, TypedColumn};

use config::Checked;
use map::Layout;
use place::{Open, Pending, Place, Read, Stamp};
use rejects::Reject;
use rows::{Row, Rows};

/// How many files of a folder are looked at.
const FILES_MAX: usize = 10_000;

/// A watched folder.
pub struct FileDrop {
    folder: Arc<Folder>,
    streams: BTreeMap<CompactString, StreamSpec>,
}

impl FileDrop {
    /// The folder that `config` describes.
    ///
    /// # Errors
    /// Everything that is wrong with the config, at once.
    pub fn new(system: &str, config: FileConfig, clock: Arc<dyn Clock>) -> Result<Self, Vec<Problem>> {
        let checked = config.check(system)?;
        let streams = BTreeMap::from([(checked.config.stream.clone(), checked.config.spec())]);
        let folder = Arc::new(Folder {
            checked,
            clock,
            reader: Mutex::new(None),
        });
        Ok(Self { folder, streams })
    }

    /// Runs blocking file work away from the runtime's threads.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let folder = Arc::clone(&self.folder);
        match tokio::task::spawn_blocking(move || work(&folder)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(
                Class::Transient,
                Problem::new(Code::Bug, "reading the folder was broken off"),
            )),
        }
    }
}

#[async_trait]
impl Connection for FileDrop {
    fn streams(&self) -> &BTreeMap<CompactString, StreamSpec> {
        &self.streams
    }

    async fn check(&self) -> Result<(), Failure> {
        self.run(|folder| folder.list().map(drop)).await
    }

    async fn pull(&self, _stream: &str, cursor: Option<&Cursor>) -> Result<Page, Failure> {
        let place = Place::parse(cursor)?;
        self.run(move |folder| folder.pull(place)).await
    }

    async fn get(&self, _stream: &str, _remotes: &[CompactString]) -> Result<Vec<Incoming>, Failure> {
        Err(only_whole())
    }

    async fn find(&self, _stream: &str, _by: &FieldName, _value: &Value) -> Result<Option<Incoming>, Failure> {
        Err(only_whole())
    }

    async fn write(&self, _stream: &str, operations: &[Operation]) -> Vec<Outcome> {
        operations.iter().map(|_| Err(only_whole())).collect()
    }
}

fn only_whole() -> Failure {
    let problem = Problem::new(
        Code::NotAllowed,
        "a file drop is read whole; it cannot be asked or written to",
    );
    Failure::new(Class::Forbidden, problem)
}

/// A file under way, kept between pages so that each is read once.
struct Reader {
    open: Open,
    layout: Layout,
    rows: Rows<File>,
}

struct Folder {
    checked: Checked,
    clock: Arc<dyn Clock>,
    reader: Mutex<Option<Reader>>,
}

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.checked.config.folder.join(name)
    }

    fn failure(&self, name: &str, what: &str) -> Failure {
        let problem = Problem::new(Code::FileUnreadable, what).about(self.path(name).display());
        Failure::new(Class::Transient, problem)
    }

    fn unreadable(&self, name: &str, error: &io::Error) -> Failure {
        self.failure(name, &format!("cannot be read: {error}"))
    }

    /// The files to look at, oldest first. Links are not followed: whoever may drop files must not choose what is read.
    fn list(&self) -> Result<Vec<(String, Stamp)>, Failure> {
        let entries = fs::read_dir(&self.checked.config.folder).map_err(|error| self.unreadable("", &error))?;
        let mut files = Vec::new();
        for entry in entries.take(FILES_MAX) {
            let entry = entry.map_err(|error| self.unreadable("", &error))?;
            let Ok(name) = entry.file_name().into_string() else {
                tracing::warn!(folder = %self.checked.config.folder.display(), "a file whose name is not UTF-8 is left out");
                continue;
            };
            if self.is_wanted(&name)
                && let Some(stamp) = self.stamp(&name)?
            {
                files.push((name, stamp));
            }
        }
        files.sort_by(|a, b| (a.1.mtime, &a.0).cmp(&(b.1.mtime, &b.0)));
        Ok(files)
    }

    fn is_wanted(&self, name: &str) -> bool {
        let is_hidden = name.starts_with('.') || name.ends_with(rejects::SUFFIX) || name.ends_with(".part");
        !is_hidden && self.checked.files.as_ref().is_none_or(|files| files.is_match(name))
    }

    /// Size and time of a regular file; `None` when it is none, or is gone.
    fn stamp(&self, name: &str) -> Result<Option<Stamp>, Failure> {
        let metadata = match fs::symlink_metadata(self.path(name)) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unreadable(name, &error)),
        };
        let since = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let mtime = since
            .and_then(|since| i64::try_from(since.as_millis()).ok())
            .unwrap_or(0);
        Ok(metadata.is_file().then_some(Stamp {
            size: metadata.len(),
            mtime,
        }))
    }

    fn pull(&self, mut place: Place) -> Result<Page, Failure> {
        let asked_at = self.clock.now();
        if let Some(open) = place.open.take() {
            match self.stamp(&open.name)? {
                Some(stamp) if stamp == open.stamp => return self.page(place, open, asked_at),
                // Changed while it was read: it is a new file once it is stable again.
                Some(_) => {}
                None => {
                    let what = format!("went away when {} rows of it had been read", open.row);
                    let mut failure = self.failure(&open.name, &what);
                    failure.problem = failure
                        .problem
                        .hint("put it back to go on, or an empty file of that name to give up the rest");
                    return Err(failure);
                }
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

    /// The next file that is new and stable; notes those that are not stable yet.
    fn choose(&self, place: &mut Place, now: UnixMillis) -> Result<Option<Open>, Failure> {
        let files = self.list()?;
        place.read.retain(|name, _| files.iter().any(|(file, _)| file == name));
        place
            .pending
            .retain(|name, _| files.iter().any(|(file, _)| file == name));
        for (name, stamp) in files {
            if place.read.get(&name).is_some_and(|read| read.stamp == stamp) {
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
            let digest = self.digest(&name)?;
            let is_known = place.read.get(&name).is_some_and(|read| read.digest == digest);
            if is_known {
                place.read.insert(name, Read { stamp, digest });
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

    fn digest(&self, name: &str) -> Result<String, Failure> {
        let mut file = File::open(self.path(name)).map_err(|error| self.unreadable(name, &error))?;
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = file.read(&mut buffer).map_err(|error| self.unreadable(name, &error))?;
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
            None => self.open(&open)?,
        };
        let (records, at_end) = match reader {
            Ok(mut reader) => {
                let (records, at_end) = self.rows(&mut reader)?;
                place.open = (!at_end).then(|| reader.open.clone());
                *kept = (!at_end).then_some(reader);
                (records, at_end)
            }
            Err(why) => {
                let mut record = map::bad_row(&open.name, &format!("the file {why}, none of its rows was read"));
                record.problem = record.problem.map(|problem| Problem {
                    code: Code::FileUnreadable,
                    ..problem
                });
                (vec![record], true)
            }
        };
        if at_end {
            place.read.insert(
                open.name,
                Read {
                    stamp: open.stamp,
                    digest: open.digest,
                },
            );
        }
        Ok(Page {
            records,
            next: place.cursor(),
            is_caught_up: false,
            asked_at,
            sweep: None,
        })
    }

    /// Opens a file and goes to where reading stands; the inner error says why the file as a whole is of no use.
    fn open(&self, open: &Open) -> Result<Result<Reader, String>, Failure> {
        let config = &self.checked.config;
        if open.stamp.size > config.file_max_bytes {
            return Ok(Err(format!("is larger than {} bytes", config.file_max_bytes)));
        }
        let unreadable = |error: io::Error| self.unreadable(&open.name, &error);
        let file = File::open(self.path(&open.name)).map_err(unreadable)?;
        let mut rows = Rows::new(file, self.checked.encoding, config.line_max_bytes).map_err(unreadable)?;
        let layout = if is_json(&open.name) {
            Layout::Json
        } else {
            let header = rows.peek_line().map_err(unreadable)?;
            if header.is_empty() && open.stamp.size < 4 {
                return Ok(Err("is empty".to_owned()));
            }
            let delimiter = self.checked.delimiter.unwrap_or_else(|| rows::sniff(&header));
            rows.set_delimiter(delimiter);
            let Some(Row::Text(header)) = rows.next_row().map_err(unreadable)? else {
                return Ok(Err("has no header line that can be read".to_owned()));
            };
            match Layout::of_header(&header, delimiter, config) {
                Ok(layout) => layout,
                Err(why) => return Ok(Err(why)),
            }
        };
        for _ in 0..open.row {
            rows.next_row().map_err(unreadable)?;
        }
        let open = open.clone();
        Ok(Ok(Reader { open, layout, rows }))
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
            let row = reader.rows.next_row().map_err(|error| self.unreadable(&name, &error))?;
            let Some(row) = row else {
                at_end = true;
                break;
            };
            reader.open.row += 1;
            let place = format!("{name}:{}", reader.open.row);
            let (record, line) = match row {
                Row::Text(text) => (reader.layout.map(&text, &place, config), text),
                Row::Bad(why, start) => (map::bad_row(&place, why), start),
            };
            if let Some(problem) = &record.problem {
                rejects.push(Reject {
                    row: reader.open.row,
                    reason: problem.message.clone(),
                    line: line.trim_end().to_owned(),
                });
            }
            records.push(record);
        }
        if !rejects.is_empty() || first == 1 {
            self.write_rejects(&name, first, &rejects)?;
        }
        Ok((records, at_end))
    }

    /// The ledger keeps the problems anyway, so a folder that cannot be written to holds nothing up.
    fn write_rejects(&self, name: &str, first: u64, rejects: &[Reject]) -> Result<(), Failure> {
        match rejects::write(&self.path(name), first, rejects) {
            Err(error)
                if error
                    .get_ref()
                    .is_some_and(|inner| inner.is::<crate::fault::Prevented>()) =>
            {
                Err(self.unreadable(name, &error))
            }
            Err(error) => {
                tracing::warn!(file = name, %error, "the reject file cannot be written");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

fn is_json(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".jsonl", ".ndjson"].iter().any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests;
