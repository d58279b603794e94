//! Files with customers for partners who have no API: what such a file is. Who is in it is decided by `sync::export`.

use std::time::Duration;

use compact_str::CompactString;
use serde::Deserialize;

use crate::model::{FieldName, Kind};

/// How an export file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// UTF-8, commas, a header line.
    #[default]
    Csv,
    /// One JSON object per line.
    Jsonl,
}

/// Who stands in an export file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportRows {
    /// Customers that changed since the last file.
    #[default]
    Changed,
    /// Everybody.
    All,
}

/// The export files of a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportSpec {
    /// What their names begin with.
    pub name: CompactString,
    /// How they are written.
    pub format: ExportFormat,
    /// Who stands in them.
    pub rows: ExportRows,
    /// Persons or organizations.
    pub kind: Kind,
    /// Time between two files.
    pub every: Duration,
    /// Canonical field and column, in the order of the columns.
    pub columns: Vec<(FieldName, CompactString)>,
}
