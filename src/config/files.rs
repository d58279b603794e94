//! The options of a file drop: the folder, how its rows are read, and the files that are written for the partner.

use std::collections::BTreeMap;

use compact_str::CompactString;
use secrecy::SecretString;

use super::FileConfig;
use super::read::{path, secret, time};
use super::reader::{Entry, Section};
use crate::model::FieldName;

pub(super) const FILES: &[&str] = &[
    "folder",
    "files",
    "stream",
    "kind",
    "of",
    "encoding",
    "delimiter",
    "id",
    "identify",
    "columns",
    "settle",
    "archive",
    "sheet",
    "sftp",
    "export",
];
pub(super) const SFTP: &[&str] = &[
    "host",
    "port",
    "user",
    "host_key",
    "folder",
    "password",
    "key",
    "passphrase",
];
pub(super) const EXPORT: &[&str] = &["folder", "sftp", "name", "format", "rows", "kind", "every", "columns"];

type Options = serde_json::Map<String, serde_json::Value>;
type Secrets = BTreeMap<CompactString, SecretString>;

pub(super) const COLUMN: &[&str] = &["column", "type"];

/// The file drop of a system; `None` when something essential is missing, which was told then.
pub(super) fn files(system: &Section<'_>) -> Option<FileConfig> {
    if !system.has("config") {
        system.missing(
            "config",
            "write `config: {folder: drop, id: Number, columns: {email: E-mail}}`",
        );
        return None;
    }
    let section = system.section("config", FILES);
    let mut options = Options::new();
    let mut secrets = Secrets::new();
    let exports = section.has("export");
    let reads = ["folder", "sftp", "columns", "id"].iter().any(|key| section.has(key));
    let is_whole = if reads || !exports {
        incoming(&section, &mut options, &mut secrets)
    } else {
        true
    };
    let export = if exports {
        export(&section, &mut options, &mut secrets)
    } else {
        None
    };
    if exports && system.flag("write") == Some(false) {
        section.wrong(
            "export",
            "an export is written, and `write: false` stands beside it",
            "",
        );
    }
    let columns = options.get("columns").and_then(serde_json::Value::as_object);
    let fields = columns.into_iter().flatten();
    Some(FileConfig {
        folder: if reads { path(&section, "folder") } else { None },
        fields: fields.map(|(field, _)| FieldName::from(field.as_str())).collect(),
        exported: export.unwrap_or_default(),
        options: options.into(),
        secrets,
    })
    .filter(|_| is_whole)
}

/// What is read: false when something essential is missing, which was told then.
fn incoming(section: &Section<'_>, options: &mut Options, secrets: &mut Secrets) -> bool {
    if !section.has("columns") {
        section.missing("columns", "canonical field: column, for example {email: E-mail}");
    }
    if !section.has("id") && !section.has("identify") {
        section.missing(
            "id",
            "name the column that identifies a row, or the fields under `identify:`",
        );
    }
    for key in ["files", "stream", "of", "encoding", "id", "archive", "sheet"] {
        options.extend(section.text(key).map(|text| (key.to_owned(), text.into())));
    }
    let kinds = ["person", "organization", "activity"].map(|kind| (kind, kind));
    options.extend(
        section
            .word("kind", &kinds)
            .map(|kind| ("kind".to_owned(), kind.into())),
    );
    let delimiter = section.parse("delimiter", "one character, or `tab`", |text| match text {
        "tab" => Some('\t'),
        _ => text.parse().ok().filter(char::is_ascii),
    });
    options.extend(delimiter.map(|delimiter| ("delimiter".to_owned(), delimiter.to_string().into())));
    options.extend(
        section
            .names("identify")
            .map(|names| ("identify".to_owned(), names.into())),
    );
    let settle = time(section, "settle").map(|settle| settle.as_secs());
    options.extend(settle.map(|settle| ("settle_seconds".to_owned(), settle.into())));
    let columns: Options = section
        .entries("columns")
        .into_iter()
        .filter_map(|(field, entry)| Some((field.to_owned(), column(field, &entry)?)))
        .collect();
    options.insert("columns".to_owned(), columns.into());
    place(section, "folder in which files are dropped", ("", options, secrets))
}

/// A folder here, or one behind SFTP: false when neither is said.
fn place(section: &Section<'_>, what: &str, (prefix, options, secrets): (&str, &mut Options, &mut Secrets)) -> bool {
    match (section.has("folder"), section.has("sftp")) {
        (true, false) => match path(section, "folder") {
            Some(folder) => {
                options.insert("folder".to_owned(), folder.display().to_string().into());
                true
            }
            None => false,
        },
        (false, true) => {
            let (sftp, found) = sftp(&section.section("sftp", SFTP), prefix);
            options.insert("sftp".to_owned(), sftp.into());
            secrets.extend(found);
            true
        }
        (true, true) => {
            section.wrong("sftp", "`folder` and `sftp` say two things", "leave one of them out");
            false
        }
        (false, false) => {
            section.missing("folder", &format!("the {what}; or `sftp:`"));
            false
        }
    }
}

fn sftp(section: &Section<'_>, prefix: &str) -> (Options, Secrets) {
    let mut options = Options::new();
    for (key, hint) in [
        ("host", "the server's name"),
        ("user", "the name to log in with"),
        (
            "host_key",
            "the fingerprint of the server's key: SHA256:… (`ssh-keygen -lf` shows it there)",
        ),
        ("folder", "the folder on the server"),
    ] {
        if section.is_table() && !section.has(key) {
            section.missing(key, hint);
        }
        options.extend(section.text(key).map(|text| (key.to_owned(), text.into())));
    }
    let fingerprint = section.parse("host_key", "SHA256: and 43 letters", |text| {
        let digest = text.strip_prefix("SHA256:")?;
        (digest.len() == 43).then_some(())
    });
    if fingerprint.is_none() {
        options.remove("host_key");
    }
    let port = section.parse("port", "a port", |text| text.parse::<u16>().ok());
    options.extend(port.map(|port| ("port".to_owned(), port.into())));
    if section.is_table() && section.has("password") == section.has("key") {
        section.missing("key", "one of `password` and `key` proves who Nivel is");
    }
    let mut secrets = Secrets::new();
    for key in ["password", "key", "passphrase"] {
        if let Some(text) = section.get(key).and_then(|entry| secret(&entry)) {
            secrets.insert(format!("{prefix}{key}").into(), text.into());
        }
    }
    (options, secrets)
}

/// What is written for the partner; the fields in it.
fn export(
    config: &Section<'_>,
    options: &mut Options,
    secrets: &mut Secrets,
) -> Option<std::collections::BTreeSet<FieldName>> {
    let section = config.section("export", EXPORT);
    if !section.is_table() {
        return None;
    }
    let mut mine = Options::new();
    place(
        &section,
        "folder into which the files go",
        ("export.", &mut mine, secrets),
    );
    let name = section.parse("name", "letters, digits and dashes", |text| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        text.chars().all(is_plain).then(|| text.to_owned())
    });
    mine.extend(name.map(|name| ("name".to_owned(), name.into())));
    for (key, words) in [
        ("format", ["csv", "jsonl"]),
        ("rows", ["changed", "all"]),
        ("kind", ["person", "organization"]),
    ] {
        let word = section.word(key, &words.map(|word| (word, word)));
        mine.extend(word.map(|word| (key.to_owned(), word.into())));
    }
    let every = time(&section, "every").map(|every| every.as_secs());
    mine.extend(every.map(|every| ("every_seconds".to_owned(), every.into())));
    if !section.has("columns") {
        section.missing("columns", "canonical field: column, for example {email: E-mail}");
    }
    let columns: Options = section
        .entries("columns")
        .into_iter()
        .filter_map(|(field, entry)| match entry.text() {
            Some(column) if !column.is_empty() => Some((field.to_owned(), column.into())),
            _ => {
                entry.wrong(format!("`{field}` must name a column"), "");
                None
            }
        })
        .collect();
    let fields = columns.keys().map(|field| FieldName::from(field.as_str())).collect();
    mine.insert("columns".to_owned(), columns.into());
    options.insert("export".to_owned(), mine.into());
    Some(fields)
}

fn column(field: &str, entry: &Entry<'_>) -> Option<serde_json::Value> {
    if let Some(column) = entry.text() {
        if column.is_empty() {
            entry.wrong(format!("`{field}` must name a column"), "");
        }
        return Some(column.into());
    }
    let types = ["text", "bool", "int", "decimal", "decimal_comma", "time", "set"].map(|kind| (kind, kind));
    let section = entry.section(COLUMN);
    if section.is_table() && !section.has("column") {
        section.missing("column", "write {column: Name, type: set}");
    }
    let column = section.text("column")?;
    let kind = section.word("type", &types).unwrap_or("text");
    Some(serde_json::json!({"column": column, "type": kind}))
}
