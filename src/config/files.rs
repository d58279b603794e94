//! The options of a file drop: the folder, and how its rows are read.

use super::FileConfig;
use super::read::{path, time};
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
];
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
    for (key, hint) in [
        ("folder", "the folder in which files are dropped"),
        ("columns", "canonical field: column, for example {email: E-mail}"),
    ] {
        if !section.has(key) {
            section.missing(key, hint);
        }
    }
    if !section.has("id") && !section.has("identify") {
        section.missing(
            "id",
            "name the column that identifies a row, or the fields under `identify:`",
        );
    }
    let mut options = serde_json::Map::new();
    for key in ["files", "stream", "of", "encoding", "id"] {
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
    let settle = time(&section, "settle").map(|settle| settle.as_secs());
    options.extend(settle.map(|settle| ("settle_seconds".to_owned(), settle.into())));
    let columns: serde_json::Map<_, _> = section
        .entries("columns")
        .into_iter()
        .filter_map(|(field, entry)| Some((field.to_owned(), column(field, &entry)?)))
        .collect();
    let fields = columns.keys().map(|field| FieldName::from(field.as_str())).collect();
    options.insert("columns".to_owned(), columns.into());
    let folder = path(&section, "folder")?;
    options.insert("folder".to_owned(), folder.display().to_string().into());
    Some(FileConfig {
        folder,
        fields,
        options: options.into(),
    })
}

fn column(field: &str, entry: &Entry<'_>) -> Option<serde_json::Value> {
    if let Some(column) = entry.text() {
        if column.is_empty() {
            entry.wrong(format!("`{field}` must name a column"), "");
        }
        return Some(column.into());
    }
    let types = ["text", "bool", "int", "time", "set"].map(|kind| (kind, kind));
    let section = entry.section(COLUMN);
    if section.is_table() && !section.has("column") {
        section.missing("column", "write {column: Name, type: set}");
    }
    let column = section.text("column")?;
    let kind = section.word("type", &types).unwrap_or("text");
    Some(serde_json::json!({"column": column, "type": kind}))
}
