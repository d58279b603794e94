//! A file under way: its rows one by one, in whatever format it is.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;

use super::config::FileConfig;
use super::folder::Folder;
use super::map::{self, Layout};
use super::place::Open;
use super::rows::{self, Row, Rows};
use super::sheet;
use super::store::Source;
use crate::error::Failure;
use crate::model::{FieldName, Incoming};

/// In files with more rows than this, an id that comes twice is not looked for: the later row simply comes later.
const ROWS_COMPARED_MAX: u64 = 2_000_000;

/// A file under way, kept between pages so that each is read once.
pub(super) struct Reader {
    pub(super) open: Open,
    layout: Layout,
    rows: Rows<Box<dyn Source>>,
    /// Row → the later row with the same id, which counts instead.
    outdone: BTreeMap<u64, u64>,
}

/// One row, mapped.
pub(super) struct Mapped {
    /// `None` when a later row of the file counts instead.
    pub(super) record: Option<Incoming>,
    /// Why it is not, or not all of it, used.
    pub(super) reason: Option<String>,
    /// As it stands in the file.
    pub(super) line: String,
}

impl Reader {
    /// Opens a file and goes to where reading stands; the inner error says why the file as a whole is of no use.
    pub(super) fn new(folder: &Folder, open: &Open) -> Result<Result<Self, String>, Failure> {
        let unreadable = |error: io::Error| folder.unreadable(&open.name, &error);
        let mut first = match Self::start(folder, open).map_err(unreadable)? {
            Ok(reader) => reader,
            Err(why) => return Ok(Err(why)),
        };
        let config = &folder.checked.config;
        let outdone = first.outdone(config).map_err(unreadable)?;
        let mut reader = match Self::start(folder, open).map_err(unreadable)? {
            Ok(reader) => reader,
            Err(why) => return Ok(Err(why)),
        };
        for _ in 0..open.row {
            reader.rows.next_row().map_err(unreadable)?;
        }
        reader.open.row = open.row;
        reader.outdone = outdone;
        Ok(Ok(reader))
    }

    /// Opens a file and reads its header.
    fn start(folder: &Folder, open: &Open) -> io::Result<Result<Self, String>> {
        let config = &folder.checked.config;
        if open.stamp.size > config.file_max_bytes {
            return Ok(Err(format!("is larger than {} bytes", config.file_max_bytes)));
        }
        let mut file = folder.store.open(&open.name, &open.stamp)?;
        let mut encoding = folder.checked.encoding;
        let mut delimiter = folder.checked.delimiter;
        let format = Format::of(&open.name);
        match format {
            Format::Sheet => {
                file = match sheet::to_csv(file, config.sheet.as_deref())? {
                    Ok(csv) => Box::new(csv),
                    Err(why) => return Ok(Err(why)),
                };
                encoding = Some(encoding_rs::UTF_8);
                delimiter = Some(b',');
            }
            Format::Tabs => delimiter = delimiter.or(Some(b'\t')),
            Format::Text | Format::Json => {}
        }
        let mut rows = Rows::new(file, encoding, config.line_max_bytes)?;
        let layout = if format == Format::Json {
            Layout::Json
        } else {
            let header = rows.peek_line()?;
            if header.is_empty() && open.stamp.size < 4 {
                return Ok(Err("is empty".to_owned()));
            }
            let delimiter = delimiter.unwrap_or_else(|| rows::sniff(&header));
            rows.set_delimiter(delimiter);
            let Some(Row::Text(header)) = rows.next_row()? else {
                return Ok(Err("has no header line that can be read".to_owned()));
            };
            match Layout::of_header(&header, delimiter, format == Format::Sheet, config) {
                Ok(layout) => layout,
                Err(why) => return Ok(Err(why)),
            }
        };
        Ok(Ok(Self {
            open: Open { row: 0, ..open.clone() },
            layout,
            rows,
            outdone: BTreeMap::new(),
        }))
    }

    /// Reads the file to its end and notes which rows are outdone by a later one.
    fn outdone(&mut self, config: &FileConfig) -> io::Result<BTreeMap<u64, u64>> {
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        let mut outdone = BTreeMap::new();
        let mut number = 0;
        while let Some(row) = self.rows.next_row()? {
            number += 1;
            if number > ROWS_COMPARED_MAX {
                break;
            }
            let id = match row {
                Row::Text(text) => self.layout.id_of(&text, config),
                Row::Bad(..) => None,
            };
            let Some(id) = id else { continue };
            let mut hasher = DefaultHasher::new();
            id.hash(&mut hasher);
            if let Some(before) = last.insert(hasher.finish(), number) {
                outdone.insert(before, number);
            }
        }
        Ok(outdone)
    }

    /// The next row; `None` at the end of the file.
    pub(super) fn next(&mut self, config: &FileConfig) -> io::Result<Option<Mapped>> {
        let Some(row) = self.rows.next_row()? else {
            return Ok(None);
        };
        self.open.row += 1;
        if let (Some(later), Row::Text(line)) = (self.outdone.get(&self.open.row), &row) {
            return Ok(Some(Mapped {
                record: None,
                reason: Some(format!("row {later} has the same id and counts instead")),
                line: line.clone(),
            }));
        }
        let place = format!("{}:{}", self.open.name, self.open.row);
        let (record, line) = match row {
            Row::Text(text) => (self.layout.map(&text, &place, config), text),
            Row::Bad(why, start) => (map::bad_row(&place, why), start),
        };
        Ok(Some(Mapped {
            reason: record.problem.as_ref().map(|problem| problem.message.clone()),
            record: Some(record),
            line,
        }))
    }
}

impl Reader {
    /// What stands at the place of each mapped field of a row.
    pub(super) fn raw(&self, line: &str, config: &FileConfig) -> BTreeMap<FieldName, String> {
        self.layout.raw(line, config)
    }
}

/// What a file is, by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// Cells with a delimiter.
    Text,
    /// Cells with tabs between them.
    Tabs,
    /// A spreadsheet.
    Sheet,
    /// One JSON object per line.
    Json,
}

impl Format {
    fn of(name: &str) -> Self {
        let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        match suffix.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Self::Json,
            "tsv" | "tab" => Self::Tabs,
            "xlsx" | "xlsm" => Self::Sheet,
            _ => Self::Text,
        }
    }
}
