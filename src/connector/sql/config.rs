//! What the admin writes about a database, as the config hands it over, and what follows from it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use compact_str::CompactString;
use serde::Deserialize;

use crate::error::{Code, Problem};
use crate::manifest::{
    Field, FieldMap, FieldType, KeyRole, Mapper, Object, ObjectKind, Pairs, Path, PhoneNormaliser, TimeFormat,
    WriteRule,
};
use crate::model::{FieldName, FieldSpec, HolderBy, HolderSpec, StreamSpec, Value, WriteMode};

/// The field in which an activity says on whom it hangs.
pub(super) const HOLDER: &str = "_of_email";
/// The most operations that are handed over at once; each is a transaction of its own.
const BATCH_MAX: usize = 1;

/// A database and the tables that are read and written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlConfig {
    /// Whether the way to it is encrypted; by default everywhere but on this machine.
    #[serde(default)]
    pub tls: Option<bool>,
    /// Certificates (PEM) that are trusted beside, or for some databases instead of, those of this machine.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The longest that one statement may take, in milliseconds.
    #[serde(default = "timeout")]
    pub timeout_ms: u64,
    /// The tables, by the name of their stream.
    pub streams: BTreeMap<CompactString, SqlStream>,
}

fn timeout() -> u64 {
    60_000
}

/// A name in the database, and where the admin wrote it (`nivel.yaml:12:7`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The name.
    pub name: String,
    /// Where it is written.
    pub at: String,
}

/// Where rows come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A table or view, perhaps with its schema: read and written.
    Table(Named),
    /// A SELECT: read only.
    Query(Named),
}

impl Source {
    /// The text, and where it is written.
    #[must_use]
    pub fn named(&self) -> &Named {
        match self {
            Self::Table(named) | Self::Query(named) => named,
        }
    }
}

/// How far a round reaches back into the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// For a cursor that is a time: milliseconds.
    Millis(i64),
    /// For a cursor that counts.
    Count(i64),
}

/// One table or query.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlStream {
    /// What a row is about.
    #[serde(default)]
    pub kind: ObjectKind,
    /// For activities: the column with the address of the person it hangs on.
    #[serde(default)]
    pub of: Option<Named>,
    /// Where its rows come from.
    pub source: Source,
    /// The column that identifies a row: never empty, never twice.
    pub key: Named,
    /// The column that grows with every change of a row; without one everything is read each time.
    #[serde(default)]
    pub cursor: Option<Named>,
    /// How far a round reaches back: for rows that became visible after others with a later cursor.
    #[serde(default)]
    pub overlap: Option<Overlap>,
    /// The column that says that a row counts as deleted.
    #[serde(default)]
    pub deleted: Option<Named>,
    /// Rows of a page.
    #[serde(default = "page")]
    pub page: u32,
    /// Fields by which a row is looked up before one is made, best first.
    #[serde(default, rename = "match")]
    pub match_by: Vec<FieldName>,
    /// How often everything is read, in milliseconds: finds rows that vanished. `None` for never.
    #[serde(default)]
    pub full_ms: Option<u64>,
    /// Canonical field → column.
    pub columns: BTreeMap<FieldName, SqlColumn>,
}

fn page() -> u32 {
    500
}

/// The column of a field, and what it holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlColumn {
    /// The column.
    pub column: Named,
    /// What it holds.
    #[serde(default, rename = "type")]
    pub kind: FieldType,
    /// Canonical value → the value in the column.
    #[serde(default, rename = "enum")]
    pub values: BTreeMap<CompactString, serde_json::Value>,
    /// It holds the id of a row of this stream.
    #[serde(default, rename = "ref")]
    pub refers: Option<CompactString>,
    /// A set is one text with this between its items.
    #[serde(default)]
    pub sep: Option<CompactString>,
    /// How a time is written in a column that is no time by itself.
    #[serde(default)]
    pub format: TimeFormat,
    /// When it is written.
    #[serde(default)]
    pub write: WriteMode,
    /// It is where our customer key is kept.
    #[serde(default)]
    pub key: bool,
}

/// The name under which the value of a row's column number `index` goes through the mapper.
pub(super) fn slot(index: usize) -> String {
    format!("c{index}")
}

impl SqlStream {
    /// The fields in the order of their slots, with the one that says on whom an activity hangs.
    pub(super) fn fields(&self) -> Vec<(FieldName, SqlColumn)> {
        let mut fields: Vec<(FieldName, SqlColumn)> = self.columns.clone().into_iter().collect();
        if let Some(of) = &self.of {
            let holder = SqlColumn {
                column: of.clone(),
                kind: FieldType::Set,
                values: BTreeMap::new(),
                refers: None,
                sep: None,
                format: TimeFormat::default(),
                write: WriteMode::Never,
                key: false,
            };
            fields.push((FieldName::from(HOLDER), holder));
        }
        fields
    }

    /// What turns a row into a record and back. Columns go by slots, so that no name of a column can be taken for a path.
    ///
    /// # Errors
    /// Only by a bug: a slot is always a path.
    pub(super) fn mapper(
        &self,
        region: Option<CompactString>,
        phone: PhoneNormaliser,
    ) -> Result<Mapper, crate::manifest::BadPath> {
        let mut by_name = BTreeMap::new();
        for (index, (name, column)) in self.fields().into_iter().enumerate() {
            by_name.insert(name, column.field(Path::parse(&slot(index))?));
        }
        let fields = FieldMap { at: None, by_name };
        let object = Object::of_fields(self.kind, Path::parse("id")?, fields);
        Ok(Mapper::new(&object, region, phone))
    }

    /// True when rows can be written: of a table, if something tells a row again before it is made a second time.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.source, Source::Table(_)) && self.kind != ObjectKind::Activity
    }

    /// What the rest of Nivel needs to know.
    pub(super) fn spec(&self) -> StreamSpec {
        let is_table = self.is_table();
        let is_key = |name: &FieldName| self.columns.get(name).is_some_and(|column| column.key);
        let match_name = |name: &FieldName| {
            if is_key(name) {
                FieldName::from("key")
            } else {
                name.clone()
            }
        };
        StreamSpec {
            kind: self.kind.of_customer(),
            instead_of: None,
            fields: self
                .columns
                .iter()
                .map(|(name, column)| (name.clone(), column.spec(is_table)))
                .collect(),
            match_by: self.match_by.iter().map(match_name).collect(),
            key_in: None,
            can_get: true,
            can_create: is_table && !self.match_by.is_empty(),
            can_update: is_table,
            can_delete: is_table,
            delete_is_final: true,
            can_erase: is_table,
            batch_max: BATCH_MAX,
            reads_before: is_table,
            reads_back: false,
            takes_notes: false,
            finds_notes: false,
            holders: self.of.iter().map(|_| by_address()).collect(),
        }
    }
}

fn by_address() -> HolderSpec {
    HolderSpec {
        field: FieldName::from(HOLDER),
        by: HolderBy::Field(FieldName::from("email")),
    }
}

impl SqlColumn {
    /// The field, at this place of an object.
    pub(in crate::connector) fn field(self, to: Path) -> Field {
        Field {
            to,
            kind: self.kind,
            values: Pairs(self.values.into_iter().collect()),
            picklist: false,
            refers: self.refers,
            write: WriteRule::Mode(self.write),
            key: self.key.then_some(KeyRole::Customer),
            placeholder: None,
            format: self.format,
            sep: self.sep,
        }
    }

    fn spec(&self, is_table: bool) -> FieldSpec {
        let is_own = self.key || self.refers.is_some();
        FieldSpec {
            write: if is_table && !is_own {
                self.write
            } else {
                WriteMode::Never
            },
            order: self.values.keys().cloned().collect(),
            placeholder: None::<Value>,
        }
    }
}

impl SqlConfig {
    /// What does not fit together, all of it.
    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for stream in self.streams.values() {
            let mut bad = |named: &Named, message: String| {
                problems.push(Problem::new(Code::ConfigInvalid, message).about(&named.at));
            };
            for field in stream
                .match_by
                .iter()
                .filter(|field| !stream.columns.contains_key(*field))
            {
                bad(
                    stream.source.named(),
                    format!("`match` names `{field}`, which is not in `columns`"),
                );
            }
            match (stream.kind, &stream.of) {
                (ObjectKind::Activity, None) => bad(
                    stream.source.named(),
                    "an activity hangs on somebody: `of` names the column with the address".to_owned(),
                ),
                (ObjectKind::Person | ObjectKind::Organization, Some(of)) => {
                    bad(of, "`of` belongs to `kind: activity`".to_owned());
                }
                _ => {}
            }
        }
        problems
    }
}
