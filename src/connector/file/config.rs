//! What the admin writes about a file drop, and its check.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use compact_str::CompactString;
use encoding_rs::Encoding;
use regex::Regex;
use serde::Deserialize;

use crate::connector::{ExportFormat, ExportRows, ExportSpec};
use crate::error::{Code, Problem};
use crate::manifest::ObjectKind;
use crate::model::{FieldName, FieldSpec, HolderBy, HolderSpec, Kind, StreamSpec, WriteMode};

/// The field in which an activity says on whom it hangs.
const HOLDER: &str = "_of_email";

/// A folder into which a partner drops CSV, TSV, XLSX or JSON Lines files, and how their columns are read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The folder that is watched. Sub-folders are not.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// Or the folder behind SFTP.
    #[serde(default)]
    pub sftp: Option<SftpConfig>,
    /// The files that are written for the partner.
    #[serde(default)]
    pub export: Option<ExportConfig>,
    /// Only files whose name matches this regular expression.
    #[serde(default)]
    pub files: Option<String>,
    /// Where a file goes once all of it is in the ledger: a folder, counted from the watched one. Without it, files stay.
    #[serde(default)]
    pub archive: Option<String>,
    /// The sheet of a spreadsheet; without it, the first one.
    #[serde(default)]
    pub sheet: Option<String>,
    /// The name of the stream the rows make up.
    #[serde(default = "default_stream")]
    pub stream: CompactString,
    /// What a row is about.
    #[serde(default)]
    pub kind: ObjectKind,
    /// For activities: the column with the address of the person it hangs on.
    #[serde(default)]
    pub of: Option<String>,
    /// The encoding's name (`windows-1252`); without one it is told by byte order mark and content.
    #[serde(default)]
    pub encoding: Option<String>,
    /// The delimiter; without one it is told by the header line.
    #[serde(default)]
    pub delimiter: Option<char>,
    /// The column that holds the partner's id of a row.
    #[serde(default)]
    pub id: Option<String>,
    /// Without an id column: the fields that together tell rows apart.
    #[serde(default)]
    pub identify: Vec<FieldName>,
    /// Canonical field → column (or dotted path of a JSON line).
    #[serde(default)]
    pub columns: BTreeMap<FieldName, Column>,
    /// How many rows make a page.
    #[serde(default = "default_page_rows")]
    pub page_rows: usize,
    /// The longest row that is read, in bytes.
    #[serde(default = "default_line_max")]
    pub line_max_bytes: usize,
    /// The largest file that is taken, in bytes.
    #[serde(default = "default_file_max")]
    pub file_max_bytes: u64,
    /// How long a file must not have changed before it is taken, in seconds.
    #[serde(default = "default_settle")]
    pub settle_seconds: u64,
}

/// A folder behind SFTP. Passwords and keys are handed over apart from it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SftpConfig {
    /// The server's name.
    pub host: String,
    /// Its port.
    #[serde(default = "default_port")]
    pub port: u16,
    /// The name to log in with.
    pub user: String,
    /// The fingerprint of the server's key: `SHA256:` and 43 letters. A server with another key is not spoken to.
    pub host_key: String,
    /// The folder on the server.
    pub folder: String,
}

/// Files with customers, written for a partner who has no API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportConfig {
    /// The folder into which they go.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// Or the one behind SFTP.
    #[serde(default)]
    pub sftp: Option<SftpConfig>,
    /// What their names begin with.
    #[serde(default = "default_name")]
    pub name: String,
    /// How they are written.
    #[serde(default)]
    pub format: ExportFormat,
    /// Who stands in them.
    #[serde(default)]
    pub rows: ExportRows,
    /// Persons or organizations.
    #[serde(default)]
    pub kind: Kind,
    /// Time between two files, in seconds.
    #[serde(default = "default_every")]
    pub every_seconds: u64,
    /// Canonical field → column.
    pub columns: BTreeMap<FieldName, String>,
}

impl ExportConfig {
    /// What the rest of Nivel needs to know.
    pub(super) fn spec(&self) -> ExportSpec {
        let column = |(field, column): (&FieldName, &String)| (field.clone(), column.as_str().into());
        ExportSpec {
            name: self.name.as_str().into(),
            format: self.format,
            rows: self.rows,
            kind: self.kind,
            every: Duration::from_secs(self.every_seconds),
            columns: self.columns.iter().map(column).collect(),
        }
    }
}

fn default_port() -> u16 {
    22
}

fn default_name() -> String {
    "customers".to_owned()
}

fn default_every() -> u64 {
    24 * 3600
}

fn default_stream() -> CompactString {
    "row".into()
}

fn default_page_rows() -> usize {
    500
}

fn default_line_max() -> usize {
    1 << 20
}

fn default_file_max() -> u64 {
    4 << 30
}

fn default_settle() -> u64 {
    2
}

/// Where a field comes from: the column's name, or that and how its text is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// Text of this column.
    Name(String),
    /// A column that is not plain text.
    Typed(TypedColumn),
}

/// A column and how its text is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypedColumn {
    /// The column's name.
    pub column: String,
    /// How its text is read.
    #[serde(default, rename = "type")]
    pub kind: ColumnType,
}

/// How the text of a cell is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// As it is, trimmed.
    #[default]
    Text,
    /// `true yes y 1 x` or `false no n 0`.
    Bool,
    /// A whole number.
    Int,
    /// A number with a point: `1234.5`, `1,234.50`. Kept as text, without separators: `1234.5`.
    Decimal,
    /// A number with a comma: `1234,5`, `1.234,50`. In a spreadsheet numbers are numbers, whatever it shows.
    DecimalComma,
    /// RFC 3339, a date (midnight UTC), or a date and a time (UTC).
    Time,
    /// Several texts, separated by `;`, `,` or `|`.
    Set,
}

impl Column {
    /// The column's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Typed(typed) => &typed.column,
        }
    }

    /// How its text is read.
    #[must_use]
    pub fn kind(&self) -> ColumnType {
        match self {
            Self::Name(_) => ColumnType::Text,
            Self::Typed(typed) => typed.kind,
        }
    }
}

/// A config whose words were checked.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) config: FileConfig,
    pub(super) files: Option<Regex>,
    pub(super) encoding: Option<&'static Encoding>,
    pub(super) delimiter: Option<u8>,
    pub(super) settle: Duration,
}

impl Checked {
    fn new(config: FileConfig) -> Self {
        Self {
            files: None,
            encoding: None,
            delimiter: None,
            settle: Duration::from_secs(config.settle_seconds),
            config,
        }
    }
}

impl FileConfig {
    /// Checks the config; every problem at once.
    pub(super) fn check(mut self, system: &str) -> Result<Checked, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut bad = |message: String| problems.push(Problem::new(Code::ConfigInvalid, message).about(system));
        if self.folder.is_some() && self.sftp.is_some() {
            bad("`folder` and `sftp` say two things".to_owned());
        }
        if !self.reads() {
            return match self.export {
                Some(_) => Ok(Checked::new(self)),
                None => {
                    bad("one of `folder`, `sftp` and `export` says what there is to do".to_owned());
                    Err(problems)
                }
            };
        }
        if self.columns.is_empty() {
            bad("`columns` is empty, so no field of a row would be read".to_owned());
        }
        if self.id.is_none() && self.identify.is_empty() {
            bad("one of `id` and `identify` must say what tells rows apart".to_owned());
        }
        for field in self.identify.iter().filter(|field| !self.columns.contains_key(*field)) {
            bad(format!("`identify` names `{field}`, which is not in `columns`"));
        }
        match (self.kind, &self.of) {
            (ObjectKind::Activity, Some(column)) => {
                let holder = TypedColumn {
                    column: column.clone(),
                    kind: ColumnType::Set,
                };
                self.columns.insert(FieldName::from(HOLDER), Column::Typed(holder));
            }
            (ObjectKind::Activity, None) => {
                bad("an activity hangs on somebody: `of` names the column with the address".to_owned());
            }
            (_, Some(_)) => bad("`of` belongs to `kind: activity`".to_owned()),
            (_, None) => {}
        }
        if self.page_rows == 0 || self.line_max_bytes == 0 {
            bad("`page_rows` and `line_max_bytes` must be above zero".to_owned());
        }
        let delimiter = self.delimiter.map(u8::try_from);
        if !matches!(delimiter, None | Some(Ok(0..=127))) {
            bad("`delimiter` must be one ASCII character".to_owned());
        }
        let encoding = self
            .encoding
            .as_deref()
            .map(|name| (name, Encoding::for_label(name.as_bytes())));
        if let Some((name, None)) = encoding {
            bad(format!("no encoding is named `{name}`"));
        }
        let files = self.files.as_deref().map(Regex::new);
        if let Some(Err(error)) = &files {
            bad(format!("`files` is not a regular expression: {error}"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Checked {
            files: files.and_then(Result::ok),
            encoding: encoding.and_then(|(_, encoding)| encoding),
            delimiter: delimiter.and_then(Result::ok),
            ..Checked::new(self)
        })
    }

    /// True when files are read.
    pub(super) fn reads(&self) -> bool {
        self.folder.is_some() || self.sftp.is_some()
    }

    /// What the rest of Nivel needs to know: a stream that can only be read.
    pub(super) fn spec(&self) -> StreamSpec {
        let read_only = || FieldSpec {
            write: WriteMode::Never,
            ..FieldSpec::default()
        };
        let columns = self.columns.keys().filter(|name| name.as_str() != HOLDER);
        StreamSpec {
            kind: self.kind.of_customer(),
            holders: self.of.iter().map(|_| by_address()).collect(),
            fields: columns.map(|name| (name.clone(), read_only())).collect(),
            ..StreamSpec::default()
        }
    }
}

fn by_address() -> HolderSpec {
    HolderSpec {
        field: FieldName::from(HOLDER),
        by: HolderBy::Field(FieldName::from("email")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(yaml: &str, expected: &[&str]) {
        let config: FileConfig = serde_saphyr::from_str(yaml).unwrap();
        let problems = config.check("partner").err().unwrap_or_default();
        let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, expected);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        check(
            "{folder: /x, id: Nr, columns: {email: Mail, birthday: {column: B, type: time}}}",
            &[],
        );
        check(
            "{folder: /x, columns: {email: Mail}, identify: [phone], encoding: klingon, delimiter: é}",
            &[
                "`identify` names `phone`, which is not in `columns`",
                "`delimiter` must be one ASCII character",
                "no encoding is named `klingon`",
            ],
        );
        check(
            "{folder: /x, id: Nr, kind: activity, of: Mail, columns: {subject: S}}",
            &[],
        );
        check(
            "{folder: /x, id: Nr, kind: activity, columns: {subject: S}}",
            &["an activity hangs on somebody: `of` names the column with the address"],
        );
        check(
            "{folder: /x, id: Nr, of: Mail, columns: {subject: S}}",
            &["`of` belongs to `kind: activity`"],
        );
        check(
            "{folder: /x, columns: {}}",
            &[
                "`columns` is empty, so no field of a row would be read",
                "one of `id` and `identify` must say what tells rows apart",
            ],
        );
    }
}
