//! A private folder per run: settings with secrets stand in it (0600), and it is gone when the run is.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, test_kill_process};

use crate::fault;

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A folder that nobody else may look into, removed when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Private(Option<PathBuf>);

impl Private {
    /// Makes a folder below `home`, and removes those of processes that are dead.
    pub(super) fn make(home: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(home)?;
        sweep(home)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = home.join(format!("{}-{number}", std::process::id()));
        fault::effect_blocking("file", || DirBuilder::new().mode(0o700).create(&path)).map_err(io::Error::other)??;
        Ok(Self(Some(path)))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or_else(|| Path::new("/nonexistent"))
    }

    /// Hands the folder over; what is left removes nothing.
    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    /// Writes a file that nobody else may read; its path.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.path().join(name);
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(bytes)
        };
        fault::effect_blocking("file", write).map_err(io::Error::other)??;
        Ok(path)
    }

    /// What stands in a file now.
    pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path().join(name))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_dir_all(path)
        {
            tracing::warn!(folder = %path.display(), %error, "a guest's private folder cannot be removed");
        }
    }
}

/// Removes folders whose process was killed and could not do so itself.
fn sweep(home: &Path) -> io::Result<()> {
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split_once('-')?.0.parse().ok());
        let is_dead = owner
            .and_then(Pid::from_raw)
            .is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH));
        if is_dead && let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::warn!(folder = %entry.path().display(), %error, "a dead guest's folder cannot be removed");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_stands_in_it_is_for_nobody_else_and_goes_with_it() {
        let home = tempfile::tempdir().unwrap();
        // No process has the highest id there is.
        fs::create_dir(home.path().join("4194303-0")).unwrap();
        let folder = Private::make(&home.path().join("x")).unwrap();
        let file = folder.write("config.json", b"{}").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&file)), (0o700, 0o600));
        assert!(
            folder.write("config.json", b"{}").is_err(),
            "never over something that is there"
        );
        drop(folder);
        assert!(!file.exists());
        let other = Private::make(home.path()).unwrap();
        let mine = other.path().file_name().unwrap().to_owned();
        let left: Vec<_> = fs::read_dir(home.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(left.contains(&mine) && !left.contains(&"4194303-0".into()), "{left:?}");
    }
}
