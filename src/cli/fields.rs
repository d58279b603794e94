//! `nivel check --fields`: the mapping beside the fields that the tools themselves describe.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, line, table};
use crate::connector::Connections;
use crate::error::{Code, Problem};
use crate::model::{Described, Description};

/// Values of a list that are shown.
const OPTIONS: usize = 5;

/// Asks every system that can tell, and shows what is mapped, what could be, and what is mapped and not there.
pub(super) async fn check(context: &Context, connections: &Connections) -> Result<Exit, Failed> {
    let mut report = Report::default();
    for (system, connection) in connections {
        for stream in connection.streams().keys() {
            let name = format!("{system}/{stream}");
            match connection.describe(stream).await {
                Ok(None) => report.silent.push(name),
                Ok(Some(description)) => drop(report.streams.insert(name, description)),
                Err(failure) => report.problems.push(failure.problem),
            }
        }
    }
    for (stream, description) in &report.streams {
        for (field, own) in &description.vanished {
            let message = format!("`{field}` is mapped to `{own}`, which the tool does not have");
            let problem = Problem::new(Code::FieldVanished, message).about(stream);
            report
                .problems
                .push(problem.hint("map it to one of the fields shown, or give it back in the tool"));
        }
    }
    let exit = if report.problems.is_empty() {
        Exit::Fine
    } else {
        Exit::Problem
    };
    context.output.show(&report);
    Ok(exit)
}

#[derive(Clone, Debug, Default, Serialize)]
struct Report {
    /// By stream.
    streams: BTreeMap<String, Description>,
    /// Streams whose tools do not describe their fields, or whose connector does not know how to ask.
    silent: Vec<String>,
    problems: Vec<Problem>,
}

/// What a person needs to see: what is mapped, and what the account made itself.
fn is_shown(field: &&Described) -> bool {
    field.mapped_to.is_some() || field.is_custom
}

fn row(stream: &str, field: &Described) -> [String; 6] {
    let mut options: Vec<&str> = field
        .options
        .iter()
        .take(OPTIONS)
        .map(compact_str::CompactString::as_str)
        .collect();
    if field.options.len() > OPTIONS {
        options.push("…");
    }
    [
        stream.to_owned(),
        field.name.to_string(),
        field.label.to_string(),
        field.kind.to_string(),
        options.join(", "),
        field
            .mapped_to
            .as_ref()
            .map_or_else(|| "(not mapped)".to_owned(), ToString::to_string),
    ]
}

impl Show for Report {
    fn text(&self) -> String {
        let mut text = String::new();
        let rows = self.streams.iter().flat_map(|(stream, description)| {
            let shown = description.fields.iter().filter(is_shown);
            shown.map(move |field| row(stream, field))
        });
        let head = ["stream", "field", "label", "type", "list", "mapped to"];
        line(&mut text, table(head, rows));
        if !self.silent.is_empty() {
            line(
                &mut text,
                format_args!("\ntell nothing about their fields: {}", self.silent.join(", ")),
            );
        }
        for problem in &self.problems {
            line(&mut text, problem);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p47_custom_fields_are_shown_by_their_labels_with_what_they_are_mapped_to() {
        let field = |name: &str, label: &str, is_custom: bool, mapped_to: Option<&str>| Described {
            name: name.into(),
            label: label.into(),
            kind: "enum".into(),
            is_custom,
            options: ["1", "2"].map(Into::into).to_vec(),
            mapped_to: mapped_to.map(Into::into),
        };
        let fields = vec![
            field("dcf558aac1ae4e8c4f849ba5e668430d8df9be12", "Tier", true, None),
            field("abc", "Region", true, Some("region")),
            field("name", "Name", false, None),
        ];
        let description = Description {
            fields,
            vanished: Vec::new(),
        };
        let report = Report {
            streams: [("crm/person".to_owned(), description)].into(),
            ..Report::default()
        };
        let text = report.text();
        assert!(
            text.contains("dcf558aac1ae4e8c4f849ba5e668430d8df9be12  Tier    enum  1, 2  (not mapped)"),
            "{text}"
        );
        assert!(text.contains("Region  enum  1, 2  region"), "{text}");
        assert!(
            !text.contains("Name "),
            "what is neither mapped nor custom is left out: {text}"
        );
    }
}
