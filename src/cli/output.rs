//! The one place that prints. Data goes to standard output, everything else to standard error.

use std::fmt::{Display, Write as _};
use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::error::Problem;

/// The shape of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document.
    Json,
}

/// How a verb ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exit {
    /// All is well.
    #[default]
    Fine,
    /// What was asked for could not be done.
    Problem,
    /// The command line or the config is wrong; nothing was started.
    Usage,
    /// It was done, but something needs a look.
    Degraded,
}

impl Exit {
    /// The number the process ends with.
    #[must_use]
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Problem => 1,
            Self::Usage => 2,
            Self::Degraded => 3,
        }
    }
}

/// Something a verb shows, in both shapes.
pub(super) trait Show: Serialize {
    /// The shape for people.
    fn text(&self) -> String;
}

/// Where verbs print.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// The wanted shape.
    pub(super) format: Format,
}

impl Output {
    /// Prints the result of a verb.
    pub(super) fn show(self, what: &impl Show) {
        let text = match self.format {
            Format::Text => what.text(),
            Format::Json => json(what),
        };
        self.data(text.trim_end());
    }

    /// Prints a line (or several) of data.
    pub(super) fn data(self, text: impl Display) {
        put(&mut std::io::stdout().lock(), &text);
    }

    /// Tells the person at the terminal something that is not data.
    pub(super) fn note(self, text: impl Display) {
        put(&mut std::io::stderr().lock(), &text);
    }

    /// Tells what went wrong.
    pub(super) fn problems(self, problems: &[Problem]) {
        let text = match self.format {
            Format::Text => problems_text(problems),
            Format::Json => json(&serde_json::json!({ "problems": problems })),
        };
        self.note(text);
    }

    /// True when somebody watches what is noted.
    #[must_use]
    pub(super) fn is_watched(self) -> bool {
        self.format == Format::Text && std::io::stderr().is_terminal()
    }
}

/// A reader that went away (`nivel … | head`) is no problem of ours, and there is nobody left to tell about others.
fn put(to: &mut impl Write, text: &impl Display) {
    if writeln!(to, "{text}").and_then(|()| to.flush()).is_err() {
        tracing::debug!("nobody reads what is printed");
    }
}

fn json(what: &impl Serialize) -> String {
    serde_json::to_string_pretty(what).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"))
}

/// Problems for people: each with its next step, and at the end where to read more.
#[must_use]
pub(super) fn problems_text(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        let subject = if problem.subject.is_empty() {
            String::new()
        } else {
            format!(" {}", clean(&problem.subject))
        };
        line(
            &mut text,
            format_args!("{}{subject}: {}", problem.code, clean(&problem.message)),
        );
        if !problem.hint.is_empty() {
            line(&mut text, format_args!("  hint: {}", clean(&problem.hint)));
        }
    }
    if let Some(first) = problems.first() {
        line(&mut text, format_args!("\n`nivel explain {}` tells more", first.code));
    }
    text.trim_end().to_owned()
}

/// Adds a line to a text.
pub(super) fn line(to: &mut String, text: impl Display) {
    // Writing to a `String` cannot fail.
    if writeln!(to, "{text}").is_err() {
        to.push('\n');
    }
}

/// A table with a head and without lines, as wide as the terminal when there is one.
#[must_use]
pub(super) fn table<const WIDTH: usize>(
    head: [&str; WIDTH],
    rows: impl IntoIterator<Item = [String; WIDTH]>,
) -> String {
    wide_table(
        head.iter().map(|name| (*name).to_owned()).collect(),
        rows.into_iter().map(Vec::from),
    )
}

/// As [`table`], when the number of columns is known only at run time.
#[must_use]
pub(super) fn wide_table(head: Vec<String>, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head.into_iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| clean(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Text of others without control characters: a name in a tool must not be able to steer the terminal.
#[must_use]
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c })
        .collect()
}

/// `1 record`, `2 records`.
#[must_use]
pub(super) fn count(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn problems_end_with_where_to_read_more() {
        let problem = Problem::new(Code::ConfigInvalid, "unknown option `a`")
            .about("nivel.yaml:1:1")
            .hint("did you mean `b`?");
        assert_eq!(
            problems_text(&[problem]),
            "CFG002 nivel.yaml:1:1: unknown option `a`\n  hint: did you mean `b`?\n\n`nivel explain CFG002` tells more"
        );
    }

    #[test]
    fn names_of_others_cannot_steer_the_terminal() {
        let shown = table(["name"], [["\u{1b}[2Jgone".to_owned()]]);
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn tables_have_no_trailing_space() {
        let shown = table(["a", "bb"], [["1".to_owned(), "2".to_owned()]]);
        assert_eq!(shown, "A  BB\n1  2");
    }
}
