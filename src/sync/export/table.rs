//! The rows of an export file. Pure but for the temporary file that they go to.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};

use compact_str::CompactString;
use serde_json::{Map, Value as Json, json};

use crate::connector::{ExportFormat, ExportSpec};
use crate::model::{CustomerKey, FieldName, Fields, UnixMillis, Value};

/// The columns before those of the admin.
const OWN: [&str; 3] = ["customer_key", "status", "merged_into"];

/// What a partner has to know of a customer before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// She is there.
    Active,
    /// She was deleted.
    Gone,
    /// She turned out to be another customer; see `merged_into`.
    Merged,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Gone => "gone",
            Self::Merged => "merged",
        }
    }
}

/// One customer.
pub(super) struct Line {
    key: CustomerKey,
    status: Status,
    merged_into: Option<CustomerKey>,
    golden: Fields,
}

impl Line {
    pub(super) fn of(key: CustomerKey, status: Status, golden: Fields) -> Self {
        Self {
            key,
            status,
            merged_into: None,
            golden,
        }
    }

    pub(super) fn merged(key: CustomerKey, into: CustomerKey) -> Self {
        Self {
            merged_into: Some(into),
            ..Self::of(key, Status::Merged, Fields::default())
        }
    }
}

/// `customers-2026-11-22-000017.csv`.
pub(super) fn file_name(spec: &ExportSpec, now: UnixMillis, number: u64) -> String {
    let day: String = now.to_string().chars().take(10).collect();
    let suffix = match spec.format {
        ExportFormat::Csv => "csv",
        ExportFormat::Jsonl => "jsonl",
    };
    format!("{}-{day}-{number:06}.{suffix}", spec.name)
}

enum To {
    Csv(Box<csv::Writer<File>>),
    Jsonl(BufWriter<File>),
}

/// A file under way.
pub(super) struct Table {
    to: To,
    columns: Vec<(FieldName, CompactString)>,
    rows: u64,
}

impl Table {
    pub(super) fn new(format: ExportFormat, columns: Vec<(FieldName, CompactString)>) -> io::Result<Self> {
        let file = tempfile::tempfile()?;
        let to = match format {
            ExportFormat::Csv => {
                let mut writer = csv::Writer::from_writer(file);
                let mine = columns.iter().map(|(_, column)| column.as_str());
                writer.write_record(OWN.into_iter().chain(mine))?;
                To::Csv(Box::new(writer))
            }
            ExportFormat::Jsonl => To::Jsonl(BufWriter::new(file)),
        };
        Ok(Self { to, columns, rows: 0 })
    }

    pub(super) fn add(&mut self, line: &Line) -> io::Result<()> {
        self.rows += 1;
        let own = [
            line.key.to_string(),
            line.status.word().to_owned(),
            line.merged_into.map(|key| key.to_string()).unwrap_or_default(),
        ];
        let cells = self.columns.iter().map(|(field, _)| line.golden.value(field.as_str()));
        match &mut self.to {
            To::Csv(writer) => {
                let cells = cells.map(|value| value.map(ToString::to_string).unwrap_or_default());
                writer.write_record(own.into_iter().chain(cells))?;
                Ok(())
            }
            To::Jsonl(writer) => {
                let own = OWN.into_iter().zip(own).filter(|(_, text)| !text.is_empty());
                let own = own.map(|(name, text)| (name.to_owned(), Json::from(text)));
                let names = self.columns.iter().map(|(_, column)| column.to_string());
                let object: Map<String, Json> = own.chain(names.zip(cells.map(plain))).collect();
                serde_json::to_writer(&mut *writer, &object)?;
                writer.write_all(b"\n")
            }
        }
    }

    /// The file, and how many rows it has.
    pub(super) fn finish(self) -> io::Result<(File, u64)> {
        let file = match self.to {
            To::Csv(writer) => writer
                .into_inner()
                .map_err(|error| io::Error::other(error.to_string()))?,
            To::Jsonl(writer) => writer.into_inner().map_err(io::IntoInnerError::into_error)?,
        };
        Ok((file, self.rows))
    }
}

fn plain(value: Option<&Value>) -> Json {
    match value {
        None => Json::Null,
        Some(Value::Bool(flag)) => json!(flag),
        Some(Value::Int(number)) => json!(number),
        Some(Value::Set(items)) => json!(items),
        Some(other) => json!(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};
    use std::time::Duration;

    use super::*;
    use crate::connector::ExportRows;
    use crate::model::Kind;

    fn key(number: u128) -> CustomerKey {
        CustomerKey {
            id: uuid::Uuid::from_u128(number),
            kind: Kind::Person,
        }
    }

    fn written(format: ExportFormat) -> String {
        let columns = vec![("email".into(), "E-mail".into()), ("tags".into(), "Tags".into())];
        let mut table = Table::new(format, columns).unwrap();
        let golden = Fields::from([
            ("email", Value::Text("a,\"b\"@c.fi".into())),
            ("tags", Value::Set(["x".into(), "y".into()].into())),
            ("phone", Value::Text("not asked for".into())),
        ]);
        table.add(&Line::of(key(1), Status::Active, golden)).unwrap();
        table.add(&Line::of(key(2), Status::Gone, Fields::default())).unwrap();
        table.add(&Line::merged(key(3), key(1))).unwrap();
        let (mut file, rows) = table.finish().unwrap();
        assert_eq!(rows, 3);
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text.replace("000000000000000000000000000000", "…")
    }

    #[test]
    fn a_partner_sees_the_columns_asked_for_and_what_became_of_whom() {
        let csv = "customer_key,status,merged_into,E-mail,Tags\n\
                   per_…01,active,,\"a,\"\"b\"\"@c.fi\",\"x, y\"\n\
                   per_…02,gone,,,\n\
                   per_…03,merged,per_…01,,\n";
        assert_eq!(written(ExportFormat::Csv), csv);
        let jsonl = "{\"customer_key\":\"per_…01\",\"status\":\"active\",\"E-mail\":\"a,\\\"b\\\"@c.fi\",\"Tags\":[\"x\",\"y\"]}\n\
                     {\"customer_key\":\"per_…02\",\"status\":\"gone\",\"E-mail\":null,\"Tags\":null}\n\
                     {\"customer_key\":\"per_…03\",\"status\":\"merged\",\"merged_into\":\"per_…01\",\"E-mail\":null,\"Tags\":null}\n";
        assert_eq!(written(ExportFormat::Jsonl), jsonl);
    }

    #[test]
    fn names_tell_the_day_and_the_order() {
        let spec = ExportSpec {
            name: "customers".into(),
            format: ExportFormat::Jsonl,
            rows: ExportRows::All,
            kind: Kind::Person,
            every: Duration::from_secs(1),
            columns: Vec::new(),
        };
        let now = UnixMillis::from_rfc3339("2026-11-22T12:00:00Z").unwrap();
        assert_eq!(file_name(&spec, now, 17), "customers-2026-11-22-000017.jsonl");
    }
}
