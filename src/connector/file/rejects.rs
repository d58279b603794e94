//! `NAME.rejects.csv` beside a dropped file: every row that could not be used, with the reason, for the one who sent it.

use std::io;

use super::store::Store;

/// How many rejected rows of one file are written out.
const REJECTS_MAX: usize = 10_000;
/// How much of an earlier reject file is read.
const BYTES_MAX: u64 = 64 << 20;

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
pub(super) fn write(store: &dyn Store, file: &str, first: u64, rejects: &[Reject]) -> io::Result<()> {
    let name = format!("{file}{SUFFIX}");
    let mut all = if first > 1 {
        earlier(store, &name, first)?
    } else {
        Vec::new()
    };
    if all.is_empty() && rejects.is_empty() {
        return store.remove(&name);
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
    store.put(&name, &mut bytes.as_slice())
}

fn earlier(store: &dyn Store, name: &str, first: u64) -> io::Result<Vec<Reject>> {
    let Some(bytes) = store.get(name, BYTES_MAX)? else {
        return Ok(Vec::new());
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
    use super::super::store::Local;
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
        let store = Local(folder.path().to_owned());
        write(&store, "a.csv", 1, &[reject(1)]).unwrap();
        write(&store, "a.csv", 3, &[reject(3), reject(4)]).unwrap();
        write(&store, "a.csv", 3, &[reject(4)]).unwrap();
        let path = folder.path().join("a.csv.rejects.csv");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "row,reason,line\n1,bad,\"line,1\"\n4,bad,\"line,4\"\n");
        write(&store, "a.csv", 1, &[]).unwrap();
        assert!(!path.exists());
    }
}
