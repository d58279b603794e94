//! Where dropped files are: a folder of this machine, or one behind SFTP. What is the same about both.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

use super::place::Stamp;
use crate::error::{Class, Code, Failure, Problem};
use crate::fault;

/// How many files of a folder are looked at.
pub(super) const FILES_MAX: usize = 10_000;

/// Bytes that can be read from any place.
pub(super) trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// A folder of files. Every method blocks.
pub(super) trait Store: Send + Sync {
    /// How the file is named to a person.
    fn show(&self, name: &str) -> String;

    /// The regular files, in any order. Links are not followed: whoever may drop files must not choose what is read.
    fn list(&self) -> io::Result<Vec<(String, Stamp)>>;

    /// Size and time of a regular file; `None` when it is none, or is gone.
    fn stamp(&self, name: &str) -> io::Result<Option<Stamp>>;

    /// Opens a file for reading.
    fn open(&self, name: &str, stamp: &Stamp) -> io::Result<Box<dyn Source>>;

    /// Writes a whole file: under a temporary name, on disk, then under its own. What stood there is replaced.
    fn put(&self, name: &str, from: &mut (dyn Read + Send)) -> io::Result<()>;

    /// The beginning of a file, at most so many bytes; `None` when there is none.
    fn get(&self, name: &str, max: u64) -> io::Result<Option<Vec<u8>>>;

    /// Removes a file; one that is gone already is fine.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Moves a file to `folder/to` if it still has this stamp; false when it has not, and stays. What stands there
    /// already is the same content.
    fn shelve(&self, name: &str, stamp: &Stamp, folder: &str, to: &str) -> io::Result<bool>;
}

/// A failure with a class and a code of its own, carried through [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) Box<Failure>, pub(super) String);

/// An [`io::Error`] that is to be told as this failure.
pub(super) fn refused(class: Class, problem: Problem) -> io::Error {
    let text = problem.message.clone();
    io::Error::other(Refused(Box::new(Failure::new(class, problem)), text))
}

/// What the engine is told about an error with a file.
pub(super) fn failure(code: Code, shown: &str, what: &str, error: &io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Refused>()) {
        Some(Refused(failure, _)) => (**failure).clone(),
        None => Failure::new(
            Class::Transient,
            Problem::new(code, format!("cannot be {what}: {error}")).about(shown),
        ),
    }
}

/// A folder of this machine.
pub(super) struct Local(pub(super) PathBuf);

impl Local {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Store for Local {
    fn show(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn list(&self) -> io::Result<Vec<(String, Stamp)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)?.take(FILES_MAX) {
            let Ok(name) = entry?.file_name().into_string() else {
                tracing::warn!(folder = %self.0.display(), "a file whose name is not UTF-8 is left out");
                continue;
            };
            if let Some(stamp) = self.stamp(&name)? {
                files.push((name, stamp));
            }
        }
        Ok(files)
    }

    fn stamp(&self, name: &str) -> io::Result<Option<Stamp>> {
        stamp_of(&self.path(name))
    }

    fn open(&self, name: &str, _stamp: &Stamp) -> io::Result<Box<dyn Source>> {
        Ok(Box::new(File::open(self.path(name))?))
    }

    fn put(&self, name: &str, from: &mut (dyn Read + Send)) -> io::Result<()> {
        let path = self.path(name);
        let part = self.path(&format!("{name}.part"));
        fault::effect_blocking("file", || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&part)?;
            io::copy(from, &mut file)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            sync_folder(&self.0)
        })
        .map_err(io::Error::other)?
    }

    fn get(&self, name: &str, max: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = Vec::new();
        file.take(max).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fault::effect_blocking("file", || fs::remove_file(self.path(name))).map_err(io::Error::other)? {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn shelve(&self, name: &str, stamp: &Stamp, folder: &str, to: &str) -> io::Result<bool> {
        let folder = self.0.join(folder);
        let (from, to) = (self.path(name), folder.join(to));
        if stamp_of(&from)?.as_ref() != Some(stamp) {
            return Ok(false);
        }
        fault::effect_blocking("file", || {
            fs::create_dir_all(&folder)?;
            fs::rename(&from, &to)?;
            // Whoever replaced the file in this very moment must not lose it: it goes back, beside whatever is there now.
            if stamp_of(&to)?.as_ref() != Some(stamp) {
                fs::hard_link(&to, &from).or_else(|_taken| fs::hard_link(&to, self.path(&format!("again-{name}"))))?;
                fs::remove_file(&to)?;
                return Ok(false);
            }
            sync_folder(&folder)?;
            sync_folder(&self.0)?;
            Ok(true)
        })
        .map_err(io::Error::other)?
    }
}

fn stamp_of(path: &Path) -> io::Result<Option<Stamp>> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
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

/// Makes a rename durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
