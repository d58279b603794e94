//! Where each entry of the config comes from, so that a problem found at any later time can still point at it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::yaml::At;

/// The keys from the root to an entry; list items by their number.
pub(super) type Path = Vec<String>;

/// Where an entry was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    File { file: String, at: At },
    Environment(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, at } => write!(f, "{file}:{}:{}", at.line, at.column),
            Self::Environment(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// The places of all entries, and the entries that are already known to be bad.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    keys: BTreeMap<Path, Place>,
    values: BTreeMap<Path, Place>,
    bad: BTreeSet<Path>,
    masked: BTreeSet<Path>,
}

impl Places {
    pub(super) fn note(&mut self, path: &Path, key: Place, value: Place) {
        self.keys.insert(path.clone(), key);
        self.values.insert(path.clone(), value);
        self.bad.remove(path);
        self.masked.remove(path);
    }

    /// Marks an entry about which the admin has been told: nobody complains about it again.
    pub(super) fn note_bad(&mut self, path: &Path) {
        self.bad.insert(path.clone());
    }

    /// Marks an entry whose text was put in from outside: it may be a secret in the wrong place, so nobody repeats it.
    pub(super) fn note_masked(&mut self, path: &Path) {
        self.masked.insert(path.clone());
    }

    /// The text of an entry for a message.
    pub(super) fn shown(&self, path: &[String], text: &str) -> String {
        if self.masked.contains(path) {
            "what the variable holds".to_owned()
        } else {
            format!("`{text}`")
        }
    }

    pub(super) fn is_bad(&self, path: &[String]) -> bool {
        self.bad.contains(path)
    }

    /// The key below `parent` that an environment variable's segment means: a known one that differs only in case, `-`
    /// and `_`, else the segment in lower case.
    pub(super) fn child(&self, parent: &[String], segment: &str) -> String {
        let plain = |text: &str| text.to_lowercase().replace('-', "_");
        let wanted = plain(segment);
        self.keys
            .keys()
            .filter(|path| path.len() == parent.len() + 1 && path.starts_with(parent))
            .filter_map(|path| path.last())
            .find(|key| plain(key) == wanted)
            .cloned()
            .unwrap_or_else(|| segment.to_lowercase())
    }

    /// Where the value stands; the nearest enclosing entry when it is not there itself.
    pub(super) fn value(&self, path: &[String]) -> String {
        nearest(&self.values, path)
    }

    /// Where the key stands; the nearest enclosing entry when it is not there itself.
    pub(super) fn key(&self, path: &[String]) -> String {
        nearest(&self.keys, path)
    }

    /// True when the admin wrote this entry.
    pub(super) fn has(&self, path: &[&str]) -> bool {
        let path: Path = path.iter().map(|&key| key.to_owned()).collect();
        self.values.contains_key(&path)
    }

    /// The file that states the value, if a file does.
    pub(super) fn file(&self, path: &[String]) -> Option<&str> {
        match self.values.get(path)? {
            Place::File { file, .. } => Some(file),
            Place::Environment(_) => None,
        }
    }
}

fn nearest(map: &BTreeMap<Path, Place>, path: &[String]) -> String {
    (0..=path.len())
        .rev()
        .filter_map(|len| path.get(..len))
        .find_map(|start| map.get(start))
        .map_or_else(|| "config".to_owned(), ToString::to_string)
}
