//! Cuts a dropped file into rows: encodings, byte order marks, delimiters, quotes, and lines without an end.
//!
//! Memory is bounded by the longest allowed row, whatever the file holds: an opening quote that is never closed costs
//! that one line, not the rest of the file.

use std::io::{self, Read};

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, WINDOWS_1252};

const CHUNK_BYTES: usize = 64 << 10;

/// One row as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// A row within the bounds.
    Text(String),
    /// A row that cannot be used as text: what is wrong, and its beginning.
    Bad(&'static str, String),
}

/// Reads rows from a stream of bytes in some encoding.
pub(super) struct Rows<R> {
    from: R,
    decoder: Decoder,
    /// Decoded text; rows before `at` were handed out.
    text: String,
    at: usize,
    is_ended: bool,
    delimiter: Option<u8>,
    line_max_bytes: usize,
}

impl<R: Read> Rows<R> {
    /// Rows of `from`. Without a named encoding a byte order mark decides, else UTF-8 when the beginning is that, else
    /// Windows-1252. Quotes count only with `is_csv`.
    pub(super) fn new(mut from: R, encoding: Option<&'static Encoding>, line_max_bytes: usize) -> io::Result<Self> {
        let mut start = vec![0; CHUNK_BYTES];
        let length = read_full(&mut from, &mut start)?;
        start.truncate(length);
        let encoding = match Encoding::for_bom(&start) {
            Some((marked, _)) => marked,
            None => encoding.unwrap_or_else(|| guess(&start, length < CHUNK_BYTES)),
        };
        let mut rows = Self {
            from,
            decoder: encoding.new_decoder_with_bom_removal(),
            text: String::new(),
            at: 0,
            is_ended: length < CHUNK_BYTES,
            delimiter: None,
            line_max_bytes,
        };
        rows.decode(&start);
        Ok(rows)
    }

    /// Takes the text for CSV from here on: a quoted field may hold line ends.
    pub(super) fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = Some(delimiter);
    }

    /// The first line, not taken: what the delimiter is guessed from.
    pub(super) fn peek_line(&mut self) -> io::Result<String> {
        while !self.rest().contains('\n') && self.rest().len() <= self.line_max_bytes && self.fill()? {}
        Ok(self.rest().lines().next().unwrap_or_default().to_owned())
    }

    /// The next row that is not blank.
    pub(super) fn next_row(&mut self) -> io::Result<Option<Row>> {
        loop {
            let Some(row) = self.next_line()? else {
                return Ok(None);
            };
            match &row {
                Row::Text(text) if text.trim().is_empty() => {}
                Row::Text(text) if text.contains('\u{FFFD}') => {
                    return Ok(Some(Row::Bad(
                        "has characters that are not in the file's encoding",
                        text.clone(),
                    )));
                }
                _ => return Ok(Some(row)),
            }
        }
    }

    fn next_line(&mut self) -> io::Result<Option<Row>> {
        loop {
            let end = end_of_row(self.rest(), self.delimiter);
            if let Some(length) = end.filter(|length| *length <= self.line_max_bytes) {
                return Ok(Some(Row::Text(self.take(length))));
            }
            if self.rest().len() > self.line_max_bytes {
                return self.skip_line().map(Some);
            }
            if self.fill()? {
                continue;
            }
            if self.rest().is_empty() {
                return Ok(None);
            }
            // The last row may lack its line end; an open quote swallowed the rest, so only its first line is given up.
            let last = end_of_row(&format!("{}\n", self.rest()), self.delimiter);
            return match last {
                Some(_) => Ok(Some(Row::Text(self.take(self.rest().len())))),
                None => self.skip_line().map(Some),
            };
        }
    }

    /// Gives up the first line of what is buffered; the row is too long or its quote is never closed.
    fn skip_line(&mut self) -> io::Result<Row> {
        let start: String = self.rest().chars().take_while(|&c| c != '\n').take(200).collect();
        loop {
            if let Some(end) = self.rest().find('\n') {
                self.take(end + 1);
                break;
            }
            self.take(self.rest().len());
            if !self.fill()? {
                break;
            }
        }
        Ok(Row::Bad(
            "is longer than allowed, or has a quote that is never closed",
            start,
        ))
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, length: usize) -> String {
        let taken = self.rest().get(..length).unwrap_or_default().to_owned();
        self.at += taken.len();
        taken
    }

    /// Reads and decodes more; false at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        if self.is_ended {
            return Ok(false);
        }
        if self.at > 0 {
            self.text.drain(..self.at);
            self.at = 0;
        }
        let mut bytes = vec![0; CHUNK_BYTES];
        let length = read_full(&mut self.from, &mut bytes)?;
        bytes.truncate(length);
        self.is_ended = length < CHUNK_BYTES;
        self.decode(&bytes);
        Ok(true)
    }

    fn decode(&mut self, mut bytes: &[u8]) {
        loop {
            let room = self
                .decoder
                .max_utf8_buffer_length(bytes.len())
                .unwrap_or(CHUNK_BYTES * 4);
            self.text.reserve(room);
            let (result, read, _) = self.decoder.decode_to_string(bytes, &mut self.text, self.is_ended);
            bytes = bytes.get(read..).unwrap_or_default();
            if result == CoderResult::InputEmpty {
                return;
            }
        }
    }
}

fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        match from.read(room) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// UTF-8 when the beginning is that (a character cut at its end is not held against it), else Windows-1252.
fn guess(start: &[u8], is_whole: bool) -> &'static Encoding {
    match std::str::from_utf8(start) {
        Ok(_) => UTF_8,
        Err(error) if error.error_len().is_none() && !is_whole => UTF_8,
        Err(_) => WINDOWS_1252,
    }
}

/// The length of the first row with its line end; `None` when it is not whole. As in the csv crate, a quote opens a
/// quoted field only at the field's beginning.
fn end_of_row(text: &str, delimiter: Option<u8>) -> Option<usize> {
    let Some(delimiter) = delimiter else {
        return text.find('\n').map(|end| end + 1);
    };
    let (mut is_quoted, mut is_start, mut just_closed) = (false, true, false);
    for (at, byte) in text.bytes().enumerate() {
        let closed = is_quoted && byte == b'"';
        match byte {
            b'"' if is_quoted => is_quoted = false,
            // A doubled quote closes and opens again, which comes to the same.
            b'"' if is_start || just_closed => is_quoted = true,
            b'\n' if !is_quoted => return Some(at + 1),
            _ => {}
        }
        just_closed = closed;
        is_start = byte == delimiter;
    }
    None
}

/// The delimiter of a header line: the most frequent of comma, semicolon and tab outside quotes.
pub(super) fn sniff(header: &str) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut is_quoted = false;
    for byte in header.bytes() {
        is_quoted ^= byte == b'"';
        if let Some(entry) = counts.iter_mut().find(|entry| entry.0 == byte && !is_quoted) {
            entry.1 += 1;
        }
    }
    counts
        .iter()
        .rev()
        .max_by_key(|entry| entry.1)
        .map_or(b',', |entry| entry.0)
}

/// The cells of one CSV row.
pub(super) fn cells(row: &str, delimiter: u8) -> Option<csv::StringRecord> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(row.len().max(1))
        .from_reader(row.as_bytes());
    let mut record = csv::StringRecord::new();
    matches!(reader.read_record(&mut record), Ok(true)).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Row {
        Row::Text(text.to_owned())
    }

    fn rows(bytes: &[u8], delimiter: Option<u8>, line_max_bytes: usize) -> Vec<Row> {
        let mut rows = Rows::new(bytes, None, line_max_bytes).unwrap();
        if let Some(delimiter) = delimiter {
            rows.set_delimiter(delimiter);
        }
        std::iter::from_fn(|| rows.next_row().unwrap()).collect()
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &[Row]) {
        assert_eq!(rows(bytes, Some(b','), 100), expected);
    }

    #[test]
    fn rows_end_at_line_ends_outside_quotes() {
        check(
            b"a,b\n\n1,\"x\ny\"\n2,z",
            &[text("a,b\n"), text("1,\"x\ny\"\n"), text("2,z")],
        );
        check(
            b"1,\"say \"\"hi\n\"\"\"\n2,z\n",
            &[text("1,\"say \"\"hi\n\"\"\"\n"), text("2,z\n")],
        );
        check(b"1,5\" wide\n2,z\n", &[text("1,5\" wide\n"), text("2,z\n")]);
        check(b"ab\"\"c\n2\n", &[text("ab\"\"c\n"), text("2\n")]);
        check(b"a\r\n1\r\n", &[text("a\r\n"), text("1\r\n")]);
    }

    #[test]
    fn encodings_are_told_by_mark_or_content() {
        check("\u{FEFF}ä\n".as_bytes(), &[text("ä\n")]);
        check(b"\xFF\xFE\xE4\x00\n\x00", &[text("ä\n")]);
        check(b"\xFE\xFF\x00\xE4\x00\n", &[text("ä\n")]);
        check(b"caf\xE9 \x80\n", &[text("café €\n")]);
        let late = [vec![b'x'; CHUNK_BYTES], b"\n\xE9\nok\n".to_vec()].concat();
        let rows = rows(&late, Some(b','), CHUNK_BYTES + 10);
        assert!(
            matches!(rows.get(1), Some(Row::Bad(..))),
            "a wrong guess shows, it does not mangle names"
        );
        assert_eq!(rows.get(2), Some(&text("ok\n")));
    }

    #[test]
    fn a_row_without_an_end_costs_one_line() {
        let long = format!("1,\"open\n{}", "2,x\n".repeat(50_000));
        let found = rows(long.as_bytes(), Some(b','), 100);
        assert!(matches!(found.first(), Some(Row::Bad(_, start)) if start == "1,\"open"));
        assert_eq!(found.len(), 50_001);
        let endless = [vec![b'x'; 5 * CHUNK_BYTES], b"\n1\n".to_vec()].concat();
        let found = rows(&endless, None, 100);
        assert!(matches!(found.first(), Some(Row::Bad(..))));
        assert_eq!(found.get(1), Some(&text("1\n")));
        check(
            b"1,\"open\n2,x",
            &[
                Row::Bad(
                    "is longer than allowed, or has a quote that is never closed",
                    "1,\"open".into(),
                ),
                text("2,x"),
            ],
        );
    }

    #[test]
    fn the_delimiter_is_guessed_from_the_header() {
        for (header, expected) in [("a,b;c,d", b','), ("\"a,b,c\";d", b';'), ("a\tb", b'\t'), ("a", b',')] {
            assert_eq!(sniff(header), expected, "{header}");
        }
    }
}
