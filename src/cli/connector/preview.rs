//! `nivel connector try`: a few objects of a system, raw and mapped. Nothing is written, here or there.

use clap::Args;
use compact_str::CompactString;
use serde::Serialize;

use super::super::Failed;
use super::super::app::Context;
use super::super::output::{Exit, Show, count, line, table};
use crate::config::did_you_mean;
use crate::connector::{Connection, Sample};
use crate::error::{Code, Problem};
use crate::model::{FieldName, Value};

/// Read a few objects and show what becomes of them; nothing is written
#[derive(Debug, Args)]
#[command(
    after_help = "Speaks to the real tool, or looks into the folder of a file drop, and keeps nothing of it.\n\n\
Example:\n  nivel connector try crm\n  nivel connector try partner-list --rows 3"
)]
pub(in crate::cli) struct Try {
    /// The system's name in the config
    system: String,
    /// Only this stream
    #[arg(long)]
    stream: Option<String>,
    /// So many objects of each stream
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    rows: u16,
}

impl Try {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let config = context.config()?;
        let connections = crate::daemon::connect_to_check(&config, &context.clock)
            .await
            .map_err(Failed::from_all)?;
        let connection = connections.get(self.system.as_str()).ok_or_else(|| {
            let problem = Problem::new(Code::NotFound, "there is no such system").about(&self.system);
            problem.hint(did_you_mean(
                &self.system,
                connections.keys().map(CompactString::as_str),
            ))
        })?;
        let names: Vec<CompactString> = connection.streams().keys().cloned().collect();
        if let Some(wanted) = self
            .stream
            .as_deref()
            .filter(|wanted| !names.iter().any(|name| name == wanted))
        {
            let problem = Problem::new(Code::NotFound, format!("there is no stream `{wanted}`")).about(&self.system);
            let hint = did_you_mean(wanted, names.iter().map(CompactString::as_str));
            return Err(problem.hint(hint).into());
        }
        let mut tried = Tried::default();
        for name in names
            .iter()
            .filter(|name| self.stream.as_deref().is_none_or(|wanted| wanted == *name))
        {
            tried
                .streams
                .push(look(connection.as_ref(), name, usize::from(self.rows)).await);
        }
        context.output.show(&tried);
        Ok(tried.exit())
    }
}

async fn look(connection: &dyn Connection, stream: &CompactString, rows: usize) -> Stream {
    let (samples, failure) = match connection.sample(stream, rows).await {
        Ok(samples) => (samples, None),
        Err(failure) => (Vec::new(), Some(failure.problem)),
    };
    Stream {
        stream: stream.clone(),
        objects: samples.into_iter().map(Object::from).collect(),
        failure,
    }
}

#[derive(Default, Serialize)]
struct Tried {
    streams: Vec<Stream>,
}

#[derive(Serialize)]
struct Stream {
    stream: CompactString,
    objects: Vec<Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Problem>,
}

#[derive(Serialize)]
struct Object {
    id: CompactString,
    fields: Vec<Cell>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// One field of one object.
#[derive(Serialize)]
struct Cell {
    field: FieldName,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mapped: Option<String>,
    /// The field was there and is empty.
    is_empty: bool,
}

impl From<Sample> for Object {
    fn from(sample: Sample) -> Self {
        let Sample { mut raw, record } = sample;
        let mut cells: Vec<Cell> = record
            .fields
            .0
            .iter()
            .map(|(field, value)| Cell {
                raw: raw.remove(field),
                field: field.clone(),
                mapped: value.as_ref().map(Value::to_string),
                is_empty: value.is_none(),
            })
            .collect();
        // What is there and did not become a value: the problem says why.
        cells.extend(raw.into_iter().map(|(field, raw)| Cell {
            field,
            raw: Some(raw),
            mapped: None,
            is_empty: false,
        }));
        cells.sort_by(|a, b| a.field.cmp(&b.field));
        Self {
            id: record.remote,
            fields: cells,
            problem: record.problem,
        }
    }
}

impl Cell {
    fn row(&self) -> [String; 4] {
        let mapped = match (&self.mapped, self.is_empty) {
            (Some(mapped), _) => mapped.clone(),
            (None, true) => "(empty)".to_owned(),
            (None, false) => "✗".to_owned(),
        };
        [
            String::new(),
            self.field.to_string(),
            self.raw.clone().unwrap_or_else(|| "-".to_owned()),
            mapped,
        ]
    }
}

impl Tried {
    fn exit(&self) -> Exit {
        let is_bad = |stream: &Stream| stream.failure.is_some();
        let is_odd = |stream: &Stream| stream.objects.iter().any(|object| object.problem.is_some());
        match () {
            () if self.streams.iter().any(is_bad) => Exit::Problem,
            () if self.streams.iter().any(is_odd) => Exit::Degraded,
            () => Exit::Fine,
        }
    }
}

impl Show for Tried {
    fn text(&self) -> String {
        let mut text = String::new();
        for stream in &self.streams {
            let objects = count(stream.objects.len() as u64, "object");
            line(
                &mut text,
                format_args!("{}: {objects}, nothing was kept", stream.stream),
            );
            if let Some(failure) = &stream.failure {
                line(&mut text, format_args!("  {failure}"));
                if !failure.hint.is_empty() {
                    line(&mut text, format_args!("  hint: {}", failure.hint));
                }
            }
            let mut rows = Vec::new();
            for object in &stream.objects {
                let empty = String::new;
                rows.push([object.id.to_string(), empty(), empty(), empty()]);
                rows.extend(object.fields.iter().map(Cell::row));
                rows.extend(
                    object
                        .problem
                        .as_ref()
                        .map(|problem| [empty(), "problem".to_owned(), empty(), problem.message.clone()]),
                );
            }
            if !rows.is_empty() {
                line(&mut text, table(["id", "field", "raw", "mapped"], rows));
            }
            line(&mut text, "");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Fields, Incoming};

    #[test]
    fn raw_and_mapped_stand_side_by_side() {
        let mut fields = Fields::from([("email", Value::Text("a@b.fi".into()))]);
        fields.0.insert("phone".into(), None);
        let record = Incoming {
            remote: "7".into(),
            fields,
            problem: Some(Problem::new(Code::RecordUnmappable, "field `age` holds text")),
            ..serde_json::from_str(r#"{"remote":"7","fields":{}}"#).unwrap()
        };
        let raw = [("email", " A@b.fi "), ("age", "old"), ("phone", "")];
        let raw = raw
            .into_iter()
            .map(|(field, text)| (field.into(), text.to_owned()))
            .collect();
        let tried = Tried {
            streams: vec![Stream {
                stream: "person".into(),
                objects: vec![Object::from(Sample { raw, record })],
                failure: None,
            }],
        };
        assert_eq!(tried.exit(), Exit::Degraded);
        let text = tried.text();
        for wanted in [
            "email",
            " A@b.fi",
            "a@b.fi",
            "(empty)",
            "✗",
            "field `age` holds text",
            "nothing was kept",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }
}
