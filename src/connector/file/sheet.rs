//! Spreadsheets: the wanted sheet of an XLSX file becomes CSV in a temporary file, and is read like any other from there on.
//!
//! An XLSX file is a ZIP of XML and may unpack to anything. It is unpacked once to count the bytes before its content is
//! looked at; what comes out is bounded as well, whatever cells the sheet claims to have.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};

use calamine::{DataRef, ExcelDateTime, Reader as _, Xlsx};
use zip::ZipArchive;

/// How many bytes all parts of a spreadsheet may unpack to.
const UNPACKED_MAX: u64 = 512 << 20;
/// How many parts it may have.
const PARTS_MAX: usize = 10_000;
/// How many bytes of CSV may come out of it.
const CSV_MAX: u64 = 1 << 30;
/// How many columns are looked at; the format allows no more.
const COLUMNS_MAX: usize = 16_384;

/// The sheet named so, or else the first one, as CSV; the inner error says why the file is of no use.
pub(super) fn to_csv<R: Read + Seek>(mut from: R, sheet: Option<&str>) -> io::Result<Result<File, String>> {
    if let Err(why) = unpacks_within(&mut from, UNPACKED_MAX) {
        return Ok(Err(why));
    }
    from.rewind()?;
    let to = tempfile::tempfile()?;
    let written = match convert(from, sheet, Bounded::new(to, CSV_MAX)) {
        Ok(written) => written,
        Err(why) => return Ok(Err(why)),
    };
    let mut file = written.into_inner().map_err(io::IntoInnerError::into_error)?.to;
    file.rewind()?;
    Ok(Ok(file))
}

/// Says why a ZIP is not to be unpacked. What it says about its own sizes is not believed.
fn unpacks_within<R: Read + Seek>(from: &mut R, max: u64) -> Result<(), String> {
    let not_one = |error| format!("is not a spreadsheet that can be read ({error})");
    let mut zip = ZipArchive::new(from).map_err(not_one)?;
    if zip.len() > PARTS_MAX {
        return Err(format!("has more than {PARTS_MAX} parts"));
    }
    let mut left = max;
    for index in 0..zip.len() {
        let part = zip.by_index(index).map_err(not_one)?;
        let unpacked = io::copy(&mut part.take(left.saturating_add(1)), &mut io::sink())
            .map_err(|error| format!("is not a spreadsheet that can be read ({error})"))?;
        left = left
            .checked_sub(unpacked)
            .ok_or_else(|| format!("unpacks to more than {max} bytes"))?;
    }
    Ok(())
}

type Csv = BufWriter<Bounded>;

fn convert<R: Read + Seek>(from: R, sheet: Option<&str>, to: Bounded) -> Result<Csv, String> {
    let not_one = |error: calamine::XlsxError| format!("is not a spreadsheet that can be read ({error})");
    let mut book: Xlsx<R> = Xlsx::new(from).map_err(not_one)?;
    let names = book.sheet_names();
    let name = match sheet {
        None => names.first(),
        Some(wanted) => names
            .iter()
            .find(|name| name.trim().eq_ignore_ascii_case(wanted.trim())),
    };
    let name = name
        .ok_or_else(|| format!("has no such sheet; it has `{}`", names.join("`, `")))?
        .clone();
    let mut cells = book.worksheet_cells_reader(&name).map_err(not_one)?;
    let mut lines = Lines {
        to: BufWriter::new(to),
        width: None,
        row: Vec::new(),
    };
    let mut at = None;
    while let Some(cell) = cells.next_cell().map_err(not_one)? {
        let (row, column) = cell.get_position();
        if at.is_some_and(|at| at != row) {
            lines.end().map_err(|error| error.to_string())?;
        }
        at = Some(row);
        lines.set(usize::try_from(column).unwrap_or(usize::MAX), text_of(cell.get_value()));
    }
    lines.end().map_err(|error| error.to_string())?;
    Ok(lines.to)
}

/// Rows on their way out. The first one that holds anything is the header and says how wide the others are.
struct Lines {
    to: Csv,
    width: Option<usize>,
    row: Vec<String>,
}

impl Lines {
    fn set(&mut self, column: usize, text: String) {
        if text.is_empty() || column >= COLUMNS_MAX {
            return;
        }
        // One cell beyond the header is enough to show that the row does not fit.
        let column = column.min(self.width.unwrap_or(COLUMNS_MAX));
        if self.row.len() <= column {
            self.row.resize(column + 1, String::new());
        }
        if let Some(cell) = self.row.get_mut(column) {
            *cell = text;
        }
    }

    fn end(&mut self) -> io::Result<()> {
        if self.row.is_empty() {
            return Ok(());
        }
        let mut row = std::mem::take(&mut self.row);
        let width = *self.width.get_or_insert(row.len());
        row.resize(row.len().max(width), String::new());
        let mut line = csv::WriterBuilder::new()
            .flexible(true)
            .quote_style(csv::QuoteStyle::Necessary)
            .from_writer(&mut self.to);
        line.write_record(&row)?;
        line.flush()
    }
}

/// A cell as a person would type it: whole numbers without a fraction, dates as 2026-01-31.
fn text_of(cell: &DataRef<'_>) -> String {
    match cell {
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number_text(*number),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(flag) => flag.to_string(),
        DataRef::DateTime(time) => time_text(time),
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}

/// A spreadsheet counts with 15 digits; what is whole within them is an id or a count, not `4711.0` or `4.711e3`.
fn number_text(number: f64) -> String {
    if number.fract().abs() < f64::EPSILON && number.abs() < 1e15 {
        return format!("{number:.0}");
    }
    number.to_string()
}

fn time_text(time: &ExcelDateTime) -> String {
    let value = time.as_f64();
    if time.is_duration() {
        return number_text(value);
    }
    let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
    let clock = format!("{hour:02}:{minute:02}:{second:02}");
    if value < 1.0 {
        return clock;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    if clock == "00:00:00" {
        date
    } else {
        format!("{date} {clock}")
    }
}

/// Stops a writer that would fill the disk.
struct Bounded {
    to: File,
    left: u64,
}

impl Bounded {
    fn new(to: File, left: u64) -> Self {
        Self { to, left }
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::other("holds more than is read of a spreadsheet"))?;
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use rust_xlsxwriter::{ExcelDateTime as Moment, Format, Workbook};

    use super::*;

    fn csv_of(bytes: Vec<u8>, sheet: Option<&str>) -> Result<String, String> {
        let mut file = to_csv(Cursor::new(bytes), sheet).unwrap()?;
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    fn book() -> Vec<u8> {
        let mut book = Workbook::new();
        let sheet = book.add_worksheet();
        for (column, name) in ["Nr", "Name", "Since", "Rate", "VIP"].iter().enumerate() {
            sheet.write(1, u16::try_from(column).unwrap(), *name).unwrap();
        }
        let date = Format::new().set_num_format("yyyy-mm-dd");
        let time = Format::new().set_num_format("yyyy-mm-dd hh:mm");
        sheet.write(2, 0, 4711.0).unwrap();
        sheet.write(2, 1, "Väinö, \"V\"\nLinna").unwrap();
        let day = Moment::from_ymd(2026, 1, 31).unwrap();
        sheet.write_datetime_with_format(2, 2, &day, &date).unwrap();
        sheet.write(2, 3, 1.5).unwrap();
        sheet.write(2, 4, true).unwrap();
        sheet.write(4, 0, 123_456_789_012_345_f64).unwrap();
        sheet
            .write_datetime_with_format(4, 2, day.and_hms(9, 30, 0).unwrap(), &time)
            .unwrap();
        sheet.write(5, 0, "00012").unwrap();
        sheet.write(5, 7, "beyond").unwrap();
        book.add_worksheet()
            .set_name("Second")
            .unwrap()
            .write(0, 0, "x")
            .unwrap();
        book.save_to_buffer().unwrap()
    }

    #[test]
    fn cells_read_as_a_person_typed_them() {
        let text = "Nr,Name,Since,Rate,VIP\n4711,\"Väinö, \"\"V\"\"\nLinna\",2026-01-31,1.5,true\n\
                    123456789012345,,2026-01-31 09:30:00,,\n00012,,,,,beyond\n";
        assert_eq!(csv_of(book(), None).as_deref(), Ok(text));
        assert_eq!(csv_of(book(), Some("second")).as_deref(), Ok("x\n"));
        let missing = csv_of(book(), Some("third")).unwrap_err();
        assert_eq!(missing, "has no such sheet; it has `Sheet1`, `Second`");
    }

    #[test]
    fn what_is_no_spreadsheet_is_told() {
        let why = csv_of(b"Nr,Name\n".to_vec(), None).unwrap_err();
        assert!(why.starts_with("is not a spreadsheet"), "{why}");
        let cut = book();
        let half = cut.get(..cut.len() / 2).unwrap().to_vec();
        assert!(csv_of(half, None).is_err());
    }

    #[test]
    fn h1_18_a_zip_bomb_is_refused_before_it_is_unpacked_into_memory() {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let packed = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        zip.start_file("xl/sharedStrings.xml", packed).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..64 {
            zip.write_all(&zeros).unwrap();
        }
        let bomb = zip.finish().unwrap().into_inner();
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        let why = unpacks_within(&mut Cursor::new(bomb.clone()), 32 << 20).unwrap_err();
        assert_eq!(why, format!("unpacks to more than {} bytes", 32 << 20));
        assert_eq!(unpacks_within(&mut Cursor::new(bomb), 65 << 20), Ok(()));
    }

    #[test]
    fn a_sheet_cannot_grow_on_its_way_out() {
        let mut book = Workbook::new();
        let sheet = book.add_worksheet();
        sheet.write(0, 0, "Nr").unwrap();
        for row in 1..50 {
            sheet.write(row, 16_000, "far").unwrap();
        }
        let text = csv_of(book.save_to_buffer().unwrap(), None).unwrap();
        assert!(text.len() < 1000, "{}", text.len());
        let file = tempfile::tempfile().unwrap();
        assert!(Bounded::new(file, 3).write(b"four").is_err());
    }
}
