//! Asks the merged config for typed values and collects everything that is wrong with it, instead of stopping at the first.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::layers::Tree;
use super::place::{Path, Places};
use super::words::suggestion;
use crate::error::{Code, Problem};

/// What all sections of one config share.
pub(super) struct Reader<'a> {
    pub(super) places: &'a Places,
    pub(super) problems: RefCell<Vec<Problem>>,
}

/// One table of the config and the keys it may have.
pub(super) struct Section<'a> {
    reader: &'a Reader<'a>,
    table: Option<&'a BTreeMap<String, Tree>>,
    keys: &'static [&'static str],
    pub(super) path: Path,
}

impl<'a> Reader<'a> {
    /// The root table.
    pub(super) fn root(&'a self, tree: &'a Tree, keys: &'static [&'static str]) -> Section<'a> {
        self.section(tree, Path::new(), keys)
    }

    fn section(&'a self, tree: &'a Tree, path: Path, keys: &'static [&'static str]) -> Section<'a> {
        let table = match tree {
            Tree::Table(table) => Some(table),
            Tree::Nothing => None,
            Tree::Scalar(_) | Tree::List(_) => {
                self.wrong(&path, format!("expected a table with {}", keys.join(", ")), "");
                None
            }
        };
        for key in table.into_iter().flatten().map(|(key, _)| key) {
            if !keys.contains(&key.as_str()) {
                let mut at = path.clone();
                at.push(key.clone());
                self.unknown(&at, keys);
            }
        }
        Section {
            reader: self,
            table,
            keys,
            path,
        }
    }

    fn unknown(&self, path: &Path, keys: &[&str]) {
        let key = path.last().map_or("", String::as_str);
        let is_in_config = path.iter().any(|key| key == "config");
        let hint = match misplaced(key) {
            Some(hint) if !is_in_config => hint.to_owned(),
            _ => suggestion(key, keys.iter().copied()),
        };
        let problem = Problem::new(Code::ConfigInvalid, format!("unknown option `{key}`{}", inside(path)));
        self.problems
            .borrow_mut()
            .push(problem.about(self.places.key(path)).hint(hint));
    }

    /// Notes that the value at `path` is not what it should be.
    pub(super) fn wrong(&self, path: &[String], message: impl Into<String>, hint: &str) {
        self.tell(Code::ConfigInvalid, path, message, hint);
    }

    /// Notes a problem with the value at `path`, unless the admin already knows of one.
    pub(super) fn tell(&self, code: Code, path: &[String], message: impl Into<String>, hint: &str) {
        if !self.places.is_bad(path) {
            let problem = Problem::new(code, message).about(self.places.value(path)).hint(hint);
            self.problems.borrow_mut().push(problem);
        }
    }
}

/// Habits from other tools that no edit distance would find.
fn misplaced(key: &str) -> Option<&'static str> {
    Some(match key {
        "token" | "api_key" | "password" | "secret" => "what the connector needs stands under `config:` of the system",
        "url" | "base_url" | "host" => "write `base:` to speak to another address",
        "interval" | "schedule" => "write `every: 5m`, or `cron: 0 2 * * * Europe/Helsinki`",
        "redis" => "write `cache: {url: redis://…}`",
        "port" => "write `http: {listen: 127.0.0.1:8440}`",
        _ => return None,
    })
}

fn inside(path: &[String]) -> String {
    match path.split_last() {
        Some((_, parent)) if !parent.is_empty() => format!(" in `{}`", parent.join(".")),
        _ => String::new(),
    }
}

impl<'a> Section<'a> {
    /// The path of one of this section's keys.
    pub(super) fn at(&self, key: &str) -> Path {
        let mut path = self.path.clone();
        path.push(key.to_owned());
        path
    }

    fn tree(&self, key: &str) -> Option<&'a Tree> {
        debug_assert!(self.keys.contains(&key), "`{key}` is not among the options");
        self.table?.get(key).filter(|tree| **tree != Tree::Nothing)
    }

    /// True when the key has a value, good or bad.
    pub(super) fn has(&self, key: &str) -> bool {
        self.tree(key).is_some() || self.reader.places.is_bad(&self.at(key))
    }

    /// True when the section is there and a table.
    pub(super) fn is_table(&self) -> bool {
        self.table.is_some()
    }

    /// The value of a key, whatever its shape.
    pub(super) fn get(&self, key: &str) -> Option<Entry<'a>> {
        let tree = self.tree(key)?;
        Some(self.entry(tree, self.at(key)))
    }

    /// The file that states the value of `key`, if a file does.
    pub(super) fn file(&self, key: &str) -> Option<&'a str> {
        self.reader.places.file(&self.at(key))
    }

    /// Where the value of `key` is written, for problems that show only later.
    pub(super) fn place(&self, key: &str) -> String {
        self.reader.places.value(&self.at(key))
    }

    /// Notes that the value of `key` is not what it should be.
    pub(super) fn wrong(&self, key: &str, message: impl Into<String>, hint: &str) {
        self.reader.wrong(&self.at(key), message, hint);
    }

    /// Notes that `key` must be there and is not.
    pub(super) fn missing(&self, key: &str, hint: &str) {
        let at = self.at(key);
        if !self.reader.places.is_bad(&at) {
            let name = self.path.join(".");
            let problem = Problem::new(Code::ConfigInvalid, format!("`{name}` has no `{key}`"));
            let problem = problem.about(self.reader.places.key(&self.path)).hint(hint);
            self.reader.problems.borrow_mut().push(problem);
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        match self.tree(key)? {
            Tree::Scalar(text) if !text.trim().is_empty() => Some(text.trim()),
            Tree::Scalar(_) => {
                self.wrong(key, format!("`{key}` is empty"), "");
                None
            }
            _ => {
                self.wrong(key, format!("`{key}` must be a single value"), "");
                None
            }
        }
    }

    /// A scalar in a small language of its own; `wanted` says which.
    pub(super) fn parse<T>(&self, key: &str, wanted: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(key)?;
        let value = read(text);
        if value.is_none() {
            let shown = self.reader.places.shown(&self.at(key), text);
            self.wrong(key, format!("`{key}` is {shown}, expected {wanted}"), "");
        }
        value
    }

    /// True or false.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.parse(key, "true or false", |text| match text {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        })
    }

    /// One of several words.
    pub(super) fn word<T: Clone>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let hint = suggestion(text, words.iter().map(|(word, _)| *word));
            let shown = self.reader.places.shown(&self.at(key), text);
            self.wrong(key, format!("`{key}` cannot be {shown}"), &hint);
        }
        found.map(|(_, value)| value.clone())
    }

    /// A list of names; a single one needs no brackets, and a variable separates them by commas.
    pub(super) fn names(&self, key: &str) -> Option<Vec<String>> {
        let split = |text: &str| -> Vec<String> {
            let parts = text.split(',').map(str::trim);
            parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        match self.tree(key)? {
            Tree::Scalar(text) => Some(split(text)),
            Tree::List(items) => Some(
                (0..)
                    .zip(items)
                    .filter_map(|(n, item)| self.name(key, n, item))
                    .collect(),
            ),
            Tree::Table(_) | Tree::Nothing => {
                self.wrong(key, format!("`{key}` must be a list of names"), "");
                None
            }
        }
    }

    fn name(&self, key: &str, number: usize, item: &Tree) -> Option<String> {
        match item {
            Tree::Scalar(name) if !name.trim().is_empty() => Some(name.trim().to_owned()),
            _ => {
                let mut at = self.at(key);
                at.push(number.to_string());
                self.reader.wrong(&at, format!("`{key}` must be a list of names"), "");
                None
            }
        }
    }

    /// A table with fixed keys. Asking for one that is not there gives an empty section.
    pub(super) fn section(&self, key: &str, keys: &'static [&'static str]) -> Section<'a> {
        let tree = self.tree(key).unwrap_or(&Tree::Nothing);
        self.reader.section(tree, self.at(key), keys)
    }

    /// The entries of a table whose keys are names that the admin chose.
    pub(super) fn entries(&self, key: &str) -> Vec<(&'a str, Entry<'a>)> {
        match self.tree(key) {
            Some(Tree::Table(table)) => table
                .iter()
                .map(|(name, tree)| {
                    let mut path = self.at(key);
                    path.push(name.clone());
                    (name.as_str(), self.entry(tree, path))
                })
                .collect(),
            Some(_) => {
                self.wrong(key, format!("`{key}` must be a table"), "");
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// The items of a list; a single item needs no brackets.
    pub(super) fn items(&self, key: &str) -> Vec<Entry<'a>> {
        match self.tree(key) {
            Some(Tree::List(items)) => (0..)
                .zip(items)
                .map(|(number, tree): (usize, _)| {
                    let mut path = self.at(key);
                    path.push(number.to_string());
                    self.entry(tree, path)
                })
                .collect(),
            Some(tree) => vec![self.entry(tree, self.at(key))],
            None => Vec::new(),
        }
    }

    fn entry(&self, tree: &'a Tree, path: Path) -> Entry<'a> {
        Entry {
            reader: self.reader,
            tree,
            path,
        }
    }
}

/// A value that may have several shapes.
pub(super) struct Entry<'a> {
    reader: &'a Reader<'a>,
    tree: &'a Tree,
    pub(super) path: Path,
}

impl<'a> Entry<'a> {
    /// The text, when it is a scalar.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self.tree {
            Tree::Scalar(text) => Some(text.trim()),
            _ => None,
        }
    }

    /// A list of words; a single one needs no brackets.
    pub(super) fn words(&self) -> Vec<String> {
        let one = |tree: &Tree| match tree {
            Tree::Scalar(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => {
                self.wrong("it must be a list of words", "");
                None
            }
        };
        match self.tree {
            Tree::List(items) => items.iter().filter_map(one).collect(),
            tree => one(tree).into_iter().collect(),
        }
    }

    /// Where the value is written, for problems that show only later.
    pub(super) fn place(&self) -> String {
        self.reader.places.value(&self.path)
    }

    /// The text for a message.
    pub(super) fn shown(&self) -> String {
        self.reader.places.shown(&self.path, self.text().unwrap_or_default())
    }

    /// The value as a table with fixed keys.
    pub(super) fn section(&self, keys: &'static [&'static str]) -> Section<'a> {
        self.reader.section(self.tree, self.path.clone(), keys)
    }

    /// True when there is no value.
    pub(super) fn is_nothing(&self) -> bool {
        *self.tree == Tree::Nothing
    }

    /// Notes that the value is not what it should be.
    pub(super) fn wrong(&self, message: impl Into<String>, hint: &str) {
        self.reader.wrong(&self.path, message, hint);
    }

    /// Notes a problem with another code.
    pub(super) fn tell(&self, problem: Problem) {
        let at = self.reader.places.value(&self.path);
        if !self.reader.places.is_bad(&self.path) {
            self.reader.problems.borrow_mut().push(problem.about(at));
        }
    }
}
