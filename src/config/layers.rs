//! Puts the layers of the config on top of each other: files in their order, then `NIVEL__…` variables.
//!
//! The `config` crate merges; YAML, positions and `${VAR}` are ours. Values may be secrets from here on: nothing in this
//! file prints one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path as FilePath, PathBuf};

use config::{Map, Source, Value, ValueKind};

use super::place::{Path, Place, Places};
use super::substitute::{Substitute, secret_from_file};
use super::yaml::{self, Kind, Node};
use crate::error::{Code, Problem};

/// What an environment variable must begin with to be an entry of the config.
const PREFIX: &str = "NIVEL__";
/// More than this is not a config file.
const FILE_SIZE_MAX: u64 = 1 << 20;

/// The merged config, before anybody asks what it means.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Tree {
    Nothing,
    Scalar(String),
    List(Vec<Tree>),
    Table(BTreeMap<String, Tree>),
}

/// The merged config with the places of its entries and what went wrong so far.
pub(super) struct Merged {
    pub(super) root: Tree,
    pub(super) places: Places,
    pub(super) problems: Vec<Problem>,
}

/// Reads and merges all layers. A file that cannot be read is a problem, the others are read all the same.
pub(super) fn merge(files: &[PathBuf], env: &BTreeMap<String, String>) -> Merged {
    let mut loader = Loader {
        env,
        places: Places::default(),
        problems: Vec::new(),
    };
    let mut builder = config::Config::builder();
    for file in files {
        if let Some(layer) = loader.file(file) {
            builder = builder.add_source(layer);
        }
    }
    builder = builder.add_source(loader.environment());
    let root = match builder.build().and_then(config::Config::try_deserialize::<Value>) {
        Ok(value) => tree(value),
        Err(error) => {
            // Our own sources cannot fail, so this would be a bug; the message of the crate may hold values, ours may not.
            drop(error);
            loader.problem(Problem::new(Code::Bug, "the layers of the config cannot be merged"));
            Tree::Nothing
        }
    };
    Merged {
        root,
        places: loader.places,
        problems: loader.problems,
    }
}

fn tree(value: Value) -> Tree {
    match value.kind {
        ValueKind::Nil => Tree::Nothing,
        ValueKind::Array(items) => Tree::List(items.into_iter().map(tree).collect()),
        ValueKind::Table(entries) => Tree::Table(entries.into_iter().map(|(key, value)| (key, tree(value))).collect()),
        scalar => Tree::Scalar(scalar.to_string()),
    }
}

/// One layer, ready to be merged.
#[derive(Clone)]
struct Layer(Map<String, Value>);

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Layer")
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

struct Loader<'a> {
    env: &'a BTreeMap<String, String>,
    places: Places,
    problems: Vec<Problem>,
}

impl Loader<'_> {
    fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn file(&mut self, file: &FilePath) -> Option<Layer> {
        let name = file.display().to_string();
        let text = match read(file) {
            Ok(text) => text,
            Err(why) => {
                let problem = Problem::new(Code::ConfigUnreadable, why).about(&name);
                self.problem(problem.hint("make one with `nivel init`, or name another with --config"));
                return None;
            }
        };
        let root = match yaml::parse(&text) {
            Ok(root) => root,
            Err(error) => {
                self.problem(not_yaml(&name, &text, &error));
                return None;
            }
        };
        match root.kind {
            Kind::Null => Some(Layer(Map::new())),
            Kind::Table(_) => {
                let value = self.value(&name, &mut Vec::new(), root);
                let ValueKind::Table(table) = value.kind else {
                    return None;
                };
                Some(Layer(table))
            }
            Kind::Scalar(_) | Kind::List(_) => {
                let problem = Problem::new(Code::ConfigUnreadable, "this is not a table of options");
                self.problem(problem.about(format!("{name}:1:1")));
                None
            }
        }
    }

    /// Turns a node into a value of the `config` crate, notes where it stands and puts variables in.
    fn value(&mut self, file: &str, path: &mut Path, node: Node) -> Value {
        let here = |at| Place::File {
            file: file.to_owned(),
            at,
        };
        let kind = match node.kind {
            Kind::Null => ValueKind::Nil,
            Kind::Scalar(text) => self.scalar(path, &text),
            Kind::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (number, item) in items.into_iter().enumerate() {
                    path.push(number.to_string());
                    self.places.note(path, here(item.at), here(item.at));
                    values.push(self.value(file, path, item));
                    path.pop();
                }
                ValueKind::Array(values)
            }
            Kind::Table(entries) => {
                let mut table = Map::new();
                for (key, at, value) in entries {
                    path.push(key.clone());
                    self.places.note(path, here(at), here(value.at));
                    table.insert(key, self.value(file, path, value));
                    path.pop();
                }
                ValueKind::Table(table)
            }
        };
        Value::new(None, kind)
    }

    fn scalar(&mut self, path: &Path, text: &str) -> ValueKind {
        match (Substitute { env: self.env }).apply(text) {
            Ok(done) => {
                if done != text {
                    self.places.note_masked(path);
                }
                ValueKind::String(done)
            }
            Err(problem) => {
                let place = self.places.value(path);
                self.problem(problem.about(place));
                self.places.note_bad(path);
                ValueKind::Nil
            }
        }
    }

    /// `NIVEL__HTTP__LISTEN=…` is `http: {listen: …}`; with `_FILE` at its end the value stands in that file.
    fn environment(&mut self) -> Layer {
        let env = self.env;
        let mut root = Value::new(None, Map::<String, Value>::new());
        for (name, value) in env {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let (rest, is_file) = match rest.strip_suffix("_FILE") {
                Some(rest) => (rest, true),
                None => (rest, false),
            };
            let mut path = Path::new();
            for segment in rest.split("__") {
                let key = self.places.child(&path, segment);
                path.push(key);
            }
            let place = Place::Environment(name.clone());
            self.places.note(&path, place.clone(), place);
            self.places.note_masked(&path);
            let found = if is_file {
                secret_from_file(FilePath::new(value))
            } else {
                Ok(value.clone())
            };
            let kind = match found {
                Ok(text) => ValueKind::String(text),
                Err(problem) => {
                    self.problem(problem.about(format!("environment variable {name}")));
                    self.places.note_bad(&path);
                    ValueKind::Nil
                }
            };
            put(&mut root, &path, Value::new(None, kind));
        }
        match root.kind {
            ValueKind::Table(table) => Layer(table),
            _ => Layer(Map::new()),
        }
    }
}

fn put(into: &mut Value, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *into = value;
        return;
    };
    if !matches!(into.kind, ValueKind::Table(_)) {
        into.kind = ValueKind::Table(Map::new());
    }
    if let ValueKind::Table(table) = &mut into.kind {
        let child = table.entry(first.clone()).or_default();
        put(child, rest, value);
    }
}

fn read(file: &FilePath) -> Result<String, String> {
    let size = std::fs::metadata(file).map_err(|error| cannot_read(&error))?.len();
    if size > FILE_SIZE_MAX {
        return Err(format!(
            "larger than a config file may be ({size} bytes, at most {FILE_SIZE_MAX})"
        ));
    }
    std::fs::read_to_string(file).map_err(|error| cannot_read(&error))
}

/// Why a file cannot be read, in words.
pub(super) fn cannot_read(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "Nivel may not read this file".to_owned(),
        std::io::ErrorKind::InvalidData => "not UTF-8 text".to_owned(),
        std::io::ErrorKind::IsADirectory => "this is a directory".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

fn not_yaml(name: &str, text: &str, error: &yaml::NotYaml) -> Problem {
    let subject = match error.at {
        Some(at) => format!("{name}:{}:{}", at.line, at.column),
        None => name.to_owned(),
    };
    let line = error
        .at
        .and_then(|at| usize::try_from(at.line).ok())
        .and_then(|line| text.lines().nth(line.saturating_sub(1)))
        .unwrap_or("");
    let hint = if line.contains("${") {
        "put \"${…}\" in quotes"
    } else if line.starts_with('\t') {
        "indent with spaces, not with tabs"
    } else {
        "check the indentation, and quote values that contain `: ` or begin with one of @ ` % & * ! | > { ["
    };
    Problem::new(Code::ConfigUnreadable, error.message.clone())
        .about(subject)
        .hint(hint)
}
