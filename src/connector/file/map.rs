//! Turns the cells of one row into an [`Incoming`].

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use sha2::{Digest, Sha256};

use super::config::{Column, ColumnType, FileConfig};
use super::rows::cells;
use crate::error::{Code, Problem};
use crate::model::{FieldName, Fields, Incoming, UnixMillis, Value};

/// Where the cells of a file's rows are.
#[derive(Clone, Debug)]
pub(super) enum Layout {
    /// Every line is a JSON object.
    Json,
    /// CSV with this delimiter and these column names.
    Csv {
        /// Separates the cells.
        delimiter: u8,
        /// It comes from a spreadsheet.
        is_sheet: bool,
        /// How many cells a row has.
        width: usize,
        /// The position of the id column.
        id: Option<usize>,
        /// The position of each mapped column.
        columns: Vec<(FieldName, ColumnType, usize)>,
    },
}

impl Layout {
    /// The layout of a CSV file with this header line; an error names the columns that are missing.
    pub(super) fn of_header(header: &str, delimiter: u8, is_sheet: bool, config: &FileConfig) -> Result<Self, String> {
        let names = cells(header, delimiter).unwrap_or_default();
        let find = |wanted: &str| {
            let position = names
                .iter()
                .position(|name| name.trim().eq_ignore_ascii_case(wanted.trim()));
            position.ok_or_else(|| wanted.to_owned())
        };
        let id = config.id.as_deref().map(find).transpose();
        let columns: Vec<_> = config
            .columns
            .iter()
            .map(|(field, column)| Ok((field.clone(), column.kind(), find(column.name())?)))
            .collect();
        let missing: BTreeSet<&str> = columns
            .iter()
            .filter_map(|column: &Result<_, String>| column.as_ref().err())
            .chain(id.as_ref().err())
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            let list = missing.into_iter().collect::<Vec<_>>().join("`, `");
            return Err(format!("lacks the column `{list}`"));
        }
        Ok(Self::Csv {
            delimiter,
            is_sheet,
            width: names.len(),
            id: id.unwrap_or_default(),
            columns: columns.into_iter().filter_map(Result::ok).collect(),
        })
    }

    /// The record of one row; its problem says what is wrong with it. `place` stands in for an id that cannot be told.
    pub(super) fn map(&self, row: &str, place: &str, config: &FileConfig) -> Incoming {
        let (id, fields, mut wrong) = match self.parse(row, config) {
            Ok(parsed) => parsed,
            Err(why) => return bad_row(place, &why),
        };
        if id.is_none() {
            wrong.insert(0, "has nothing that tells it apart: its id is empty".to_owned());
        }
        Incoming {
            remote: id.unwrap_or_else(|| place.into()),
            fields,
            problem: (!wrong.is_empty()).then(|| Problem::new(Code::FileRow, wrong.join(", ")).about(place)),
            ..blank()
        }
    }
}

impl Layout {
    /// What tells a row apart; `None` when nothing does.
    pub(super) fn id_of(&self, row: &str, config: &FileConfig) -> Option<CompactString> {
        self.parse(row, config).ok()?.0
    }

    /// What stands at the place of each mapped field, as text.
    pub(super) fn raw(&self, row: &str, config: &FileConfig) -> BTreeMap<FieldName, String> {
        match self {
            Self::Json => {
                let object: serde_json::Value = serde_json::from_str(row).unwrap_or_default();
                let raw = |(field, column): (&FieldName, &Column)| {
                    let found = at_path(&object, column.name())?;
                    Some((field.clone(), cell_text(found)))
                };
                config.columns.iter().filter_map(raw).collect()
            }
            Self::Csv { delimiter, columns, .. } => {
                let cells = cells(row, *delimiter).unwrap_or_default();
                let raw =
                    |(field, _, at): &(FieldName, ColumnType, usize)| Some((field.clone(), cells.get(*at)?.to_owned()));
                columns.iter().filter_map(raw).collect()
            }
        }
    }

    fn parse(&self, row: &str, config: &FileConfig) -> Result<Parsed, String> {
        let (id, fields, wrong) = match self {
            Self::Json => json_row(row, config),
            Self::Csv { .. } => self.csv_row(row),
        }?;
        let id = match &config.id {
            Some(_) => id,
            None => identity(&fields, &config.identify),
        };
        Ok((id, fields, wrong))
    }

    fn csv_row(&self, row: &str) -> Result<Parsed, String> {
        let Self::Csv {
            delimiter,
            is_sheet,
            width,
            id,
            columns,
        } = self
        else {
            return Err("is not a CSV row".to_owned());
        };
        let cells = cells(row, *delimiter).ok_or("is not a CSV row")?;
        if cells.len() != *width {
            return Err(format!("has {} cells where the header has {width}", cells.len()));
        }
        let mut fields = Fields::default();
        let mut wrong = Vec::new();
        for (field, kind, at) in columns {
            let kind = match kind {
                ColumnType::DecimalComma if *is_sheet => ColumnType::Decimal,
                kind => *kind,
            };
            match convert(cells.get(*at).unwrap_or_default(), kind) {
                Ok(value) => {
                    fields.0.insert(field.clone(), value);
                }
                Err(what) => wrong.push(format!("`{field}` is not {what}")),
            }
        }
        let id = id
            .and_then(|at| cells.get(at))
            .map(str::trim)
            .filter(|id| !id.is_empty());
        Ok((id.map(Into::into), fields, wrong))
    }
}

/// The record of a row that cannot be read at all.
pub(super) fn bad_row(place: &str, why: &str) -> Incoming {
    Incoming {
        remote: place.into(),
        problem: Some(Problem::new(Code::FileRow, why).about(place)),
        ..blank()
    }
}

fn blank() -> Incoming {
    Incoming {
        remote: CompactString::default(),
        fields: Fields::default(),
        updated_at: None,
        version: None,
        deleted: false,
        key: None,
        problem: None,
        joined: None,
    }
}

/// Id, fields, and what is wrong with single cells.
type Parsed = (Option<CompactString>, Fields, Vec<String>);

fn json_row(row: &str, config: &FileConfig) -> Result<Parsed, String> {
    let object: serde_json::Value = serde_json::from_str(row).map_err(|_error| "is not a JSON object")?;
    if !object.is_object() {
        return Err("is not a JSON object".to_owned());
    }
    let mut fields = Fields::default();
    let mut wrong = Vec::new();
    for (field, column) in &config.columns {
        let Some(found) = at_path(&object, column.name()) else {
            continue;
        };
        match convert(&cell_text(found), column.kind()) {
            Ok(value) => {
                fields.0.insert(field.clone(), value);
            }
            Err(what) => wrong.push(format!("`{field}` is not {what}")),
        }
    }
    let id = config
        .id
        .as_deref()
        .and_then(|path| at_path(&object, path))
        .map(cell_text);
    Ok((
        id.filter(|id| !id.trim().is_empty()).map(|id| id.trim().into()),
        fields,
        wrong,
    ))
}

fn at_path<'a>(object: &'a serde_json::Value, path: &str) -> Option<&'a serde_json::Value> {
    object
        .get(path)
        .or_else(|| path.split('.').try_fold(object, |at, step| at.get(step)))
}

/// A JSON value as a cell would spell it.
fn cell_text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items.iter().map(cell_text).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

/// What spreadsheets write where a formula failed.
const SHEET_ERRORS: [&str; 7] = ["#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!"];

/// A number as text, with a point and without separators of thousands; `None` when it is none, or could be another one.
fn decimal(cell: &str, point: char, separator: char) -> Option<Value> {
    let (sign, digits) = match cell.strip_prefix(['-', '\u{2212}']) {
        Some(digits) => ("-", digits),
        None => ("", cell.strip_prefix('+').unwrap_or(cell)),
    };
    let (whole, fraction) = digits.split_once(point).unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let spaces = [separator, ' ', '\'', '\u{a0}', '\u{202f}'];
    let mut groups = whole.split(spaces);
    let first = groups.next()?;
    let mut rest = groups.clone();
    let is_grouped = is_number(first) && rest.all(|group| group.len() == 3 && is_number(group));
    if !is_grouped || !is_number(fraction) || (groups.next().is_some() && first.len() > 3) {
        return None;
    }
    let whole = whole.replace(spaces, "");
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    Value::text(&format!("{sign}{whole}{point}{fraction}"))
}

/// Reads a cell; an empty one is no value. The error says what it is not.
fn convert(cell: &str, kind: ColumnType) -> Result<Option<Value>, &'static str> {
    let cell = cell.trim();
    if cell.is_empty() {
        return Ok(None);
    }
    if SHEET_ERRORS.contains(&cell) {
        return Err("a value but an error of the spreadsheet");
    }
    match kind {
        ColumnType::Text => Ok(Value::text(cell)),
        ColumnType::Decimal => decimal(cell, '.', ',').map(Some).ok_or("a number with a point"),
        ColumnType::DecimalComma => decimal(cell, ',', '.').map(Some).ok_or("a number with a comma"),
        ColumnType::Bool => match cell.to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "1" | "x" => Ok(Some(Value::Bool(true))),
            "false" | "no" | "n" | "0" => Ok(Some(Value::Bool(false))),
            _ => Err("yes or no"),
        },
        ColumnType::Int => cell
            .parse()
            .map(|number| Some(Value::Int(number)))
            .map_err(|_error| "a whole number"),
        ColumnType::Time => {
            let time = UnixMillis::from_rfc3339(cell);
            let time = time.or_else(|| UnixMillis::from_rfc3339(&format!("{cell}T00:00:00Z")));
            let time = time.or_else(|| UnixMillis::from_rfc3339(&format!("{}Z", cell.replacen(' ', "T", 1))));
            time.map(|at| Some(Value::Time(at)))
                .ok_or("a time such as 2026-01-31T08:00:00Z")
        }
        ColumnType::Set => {
            let items = cell
                .split([';', ',', '|'])
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Ok(Some(Value::Set(items.map(Into::into).collect())))
        }
    }
}

/// The id of a row without one: a digest of its identifying fields, the same in every file. `None` when all are empty.
fn identity(fields: &Fields, identify: &[FieldName]) -> Option<CompactString> {
    let mut digest = Sha256::new();
    let mut is_empty = true;
    for field in identify {
        let value = fields
            .value(field.as_str())
            .map(|value| value.to_string().to_lowercase());
        is_empty &= value.is_none();
        digest.update(field.as_str());
        digest.update([0x1F]);
        digest.update(value.unwrap_or_default());
        digest.update([0x1E]);
    }
    let hex: String = digest
        .finalize()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    (!is_empty).then(|| CompactString::from(format!("row-{hex}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> FileConfig {
        serde_saphyr::from_str(yaml).unwrap()
    }

    const TYPED: &str = "{folder: /x, id: Nr, columns: {email: Mail, vip: {column: VIP, type: bool}, age: {column: Age, type: int}, tags: {column: Tags, type: set}, since: {column: Since, type: time}}}";

    #[track_caller]
    fn check(row: &str, remote: &str, fields: &str, problem: Option<&str>) {
        let config = config(TYPED);
        let layout = Layout::of_header("nr, Mail,VIP,Age,Tags,Since", b',', false, &config).unwrap();
        let record = layout.map(row, "a.csv:2", &config);
        assert_eq!(record.remote, remote);
        assert_eq!(serde_json::to_string(&record.fields).unwrap(), fields);
        assert_eq!(record.problem.map(|problem| problem.message).as_deref(), problem);
    }

    #[test]
    fn cells_become_values() {
        check(
            "7, a@b.c ,yes,-3,\"x, y\",2026-01-31",
            "7",
            "{\"age\":-3,\"email\":\"a@b.c\",\"since\":{\"at\":1769817600000},\"tags\":[\"x\",\"y\"],\"vip\":true}",
            None,
        );
        check(
            "7,,,,,",
            "7",
            "{\"age\":null,\"email\":null,\"since\":null,\"tags\":null,\"vip\":null}",
            None,
        );
    }

    #[test]
    fn a_bad_cell_keeps_the_good_ones() {
        check(
            "7,a@b.c,maybe,x,,",
            "7",
            "{\"email\":\"a@b.c\",\"since\":null,\"tags\":null}",
            Some("`age` is not a whole number, `vip` is not yes or no"),
        );
        check(
            ",a@b.c,,,,",
            "a.csv:2",
            "{\"age\":null,\"email\":\"a@b.c\",\"since\":null,\"tags\":null,\"vip\":null}",
            Some("has nothing that tells it apart: its id is empty"),
        );
        check("7,a@b.c", "a.csv:2", "{}", Some("has 2 cells where the header has 6"));
    }

    #[test]
    fn h1_18_a_decimal_comma_is_told_and_not_misread() {
        let fields = "{\"email\":\"a@b.c\",\"since\":null,\"tags\":null,\"vip\":null}";
        check("7,a@b.c,,\"1,5\",,", "7", fields, Some("`age` is not a whole number"));
    }

    #[test]
    fn h1_18_numbers_are_read_with_the_point_they_are_said_to_have() {
        let point = [
            ("1234.50", "1234.5"),
            ("1,234.5", "1234.5"),
            ("-0.10", "-0.1"),
            ("007", "7"),
            ("1 000", "1000"),
        ];
        let comma = [
            ("1234,50", "1234.5"),
            ("1.234.567,5", "1234567.5"),
            ("1\u{a0}234,5", "1234.5"),
            ("1.234", "1234"),
        ];
        let cases = point.map(|case| (ColumnType::Decimal, case));
        for (kind, (cell, expected)) in cases
            .into_iter()
            .chain(comma.map(|case| (ColumnType::DecimalComma, case)))
        {
            assert_eq!(convert(cell, kind), Ok(Value::text(expected)), "{cell}");
        }
        for cell in ["1,5", "1.2.3", "1,23,4", "1234,567", "abc", "1.", ".", "1e5", "--1"] {
            assert_eq!(
                convert(cell, ColumnType::Decimal),
                Err("a number with a point"),
                "{cell}"
            );
        }
        assert!(convert("1.5", ColumnType::DecimalComma).is_err(), "not fifteen");
        assert!(
            convert("#N/A", ColumnType::Text).is_err(),
            "a failed formula is no name"
        );
    }

    #[test]
    fn a_moment_may_lack_its_zone() {
        for cell in ["2026-01-31 09:30:00", "2026-01-31T09:30:00", "2026-01-31T09:30:00Z"] {
            let expected = UnixMillis::from_rfc3339("2026-01-31T09:30:00Z").map(Value::Time);
            assert_eq!(convert(cell, ColumnType::Time), Ok(expected), "{cell}");
        }
    }

    #[test]
    fn rows_without_an_id_are_told_apart_by_their_identifying_fields() {
        let config = config("{folder: /x, identify: [email, phone], columns: {email: Mail, phone: Tel, name: Name}}");
        let layout = Layout::of_header("Mail;Tel;Name", b';', false, &config).unwrap();
        let id = |row: &str| layout.map(row, "place", &config).remote;
        assert_eq!(id("A@b.c;1;x"), id(" a@B.C ;1;y"));
        assert_ne!(id("a@b.c;1;x"), id("a@b.c;2;x"));
        assert_eq!(id(";;x"), "place");
    }

    #[test]
    fn a_missing_column_is_named() {
        let wanted = config(TYPED);
        let error = Layout::of_header("nr,mail,age,tags", b',', false, &wanted).unwrap_err();
        assert_eq!(error, "lacks the column `Since`, `VIP`");
    }

    #[test]
    fn json_lines_are_read_by_path() {
        let config = config("{folder: /x, id: id, columns: {email: contact.email, tags: {column: tags, type: set}}}");
        let record = Layout::Json.map(
            "{\"id\":9007199254740993,\"contact\":{\"email\":\"a@b.c\"}}",
            "p",
            &config,
        );
        assert_eq!(record.remote, "9007199254740993");
        assert_eq!(record.fields, Fields::from([("email", Value::Text("a@b.c".into()))]));
        assert!(Layout::Json.map("[1]", "p", &config).problem.is_some());
    }
}
