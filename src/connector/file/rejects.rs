//! `NAME.rejects.csv` beside a dropped file: every row that could not be used, with the reason, for the one who sent it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::fault;

/// How many rejected rows of one file are written out.
const REJECTS_MAX: usize = 10_000;

/// The suffix by which reject files are told from dropped ones.
pub(super) const SUFFIX: &str = ".rejects.csv";

/// One row that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reject {
    /// Counted from 1, header apart.
    pub(super) row: u64,
    /// Why.
    pub(super) reason: String,
    /// The row as it stands in the file.
    pub(super) line: String,
}

/// Writes the rejects of the rows from `first` on. Those of earlier rows stay; those of a page that is read again, or
/// of an earlier file of the same name, are replaced.
pub(super) fn write(file: &Path, first: u64, rejects: &[Reject]) -> io::Result<()> {
    let path = path(file);
    let mut all = if first > 1 { earlier(&path, first)? } else { Vec::new() };
    if all.is_empty() && rejects.is_empty() {
        return match fault::effect_blocking("file", || fs::remove_file(&path)).map_err(io::Error::other)? {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    all.extend_from_slice(rejects);
    all.truncate(REJECTS_MAX);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["row", "reason", "line"])?;
    for reject in &all {
        writer.write_record([&reject.row.to_string(), &reject.reason, &reject.line])?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| io::Error::other(error.to_string()))?;
    let part = path.with_extension("csv.part");
    fault::effect_blocking("file", || {
        fs::write(&part, bytes)?;
        fs::rename(&part, &path)
    })
    .map_err(io::Error::other)?
}

/// Where the rejects of `file` stand.
pub(super) fn path(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(SUFFIX);
    file.with_file_name(name)
}

fn earlier(path: &Path, first: u64) -> io::Result<Vec<Reject>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes?,
    };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
    let mut rejects = Vec::new();
    for record in reader.records().take(REJECTS_MAX) {
        let record = record?;
        let row = record.get(0).and_then(|row| row.parse().ok()).unwrap_or(u64::MAX);
        if row < first {
            rejects.push(Reject {
                row,
                reason: record.get(1).unwrap_or_default().to_owned(),
                line: record.get(2).unwrap_or_default().to_owned(),
            });
        }
    }
    Ok(rejects)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(row: u64) -> Reject {
        Reject {
            row,
            reason: "bad".into(),
            line: format!("line,{row}"),
        }
    }

    #[test]
    fn a_page_read_again_replaces_its_own_rejects_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        write(&file, 1, &[reject(1)]).unwrap();
        write(&file, 3, &[reject(3), reject(4)]).unwrap();
        write(&file, 3, &[reject(4)]).unwrap();
        let text = fs::read_to_string(path(&file)).unwrap();
        assert_eq!(text, "row,reason,line\n1,bad,\"line,1\"\n4,bad,\"line,4\"\n");
        write(&file, 1, &[]).unwrap();
        assert!(!path(&file).exists());
    }
}
