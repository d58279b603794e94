//! `nivel connector`: which tools can be spoken to, and what each needs and maps.

mod new;
mod practice;
mod preview;
mod record;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use compact_str::CompactString;
use serde::Serialize;

use self::new::New;
use self::practice::Practice;
use self::preview::Try;
use self::record::Record;
use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, line, table};
use crate::config::{Config, ConnectorFacts, did_you_mean};
use crate::error::{Code, Problem};
use crate::manifest::{Can, Manifest, Support};

#[derive(Debug, Subcommand)]
pub(super) enum Connector {
    /// List the connectors there are
    List(List),
    /// Show what a connector needs, reads and writes
    Show(One),
    /// Play a connector's canned exchanges; no tool is spoken to
    Test(Test),
    /// Read a few objects and show what becomes of them; nothing is written
    Try(Try),
    /// Draft a connector of your own: a manifest to go on from
    New(Box<New>),
    /// Make canned exchanges out of a live account, with people and secrets masked
    Record(Record),
    /// Serve a small tool that no document describes, to learn on
    Practice(Practice),
}

/// List the connectors there are
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel connector list")]
pub(super) struct List {}

/// Show what a connector needs, reads and writes
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel connector show acme")]
pub(super) struct One {
    /// The connector's name
    name: String,
}

/// Play a connector's canned exchanges; no tool is spoken to
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel connector test acme\n  nivel connector test")]
pub(super) struct Test {
    /// The connector's name; all of them when left out
    name: Option<String>,
}

impl Connector {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let folder = context.connectors_dir()?;
        let manifests = crate::daemon::manifests(folder.as_deref()).map_err(Failed::usage)?;
        match self {
            Self::List(List {}) => {
                let connectors = manifests.values().map(Row::of).collect();
                context.output.show(&Rows(connectors));
                Ok(Exit::Fine)
            }
            Self::Show(args) => {
                let manifest = known(&manifests, &args.name)?;
                context
                    .output
                    .show(&Sheet::of(manifest, &crate::daemon::facts(manifest)));
                Ok(Exit::Fine)
            }
            Self::Test(args) => {
                if let Some(name) = &args.name {
                    known(&manifests, name)?;
                }
                let begun = context.clock.now();
                let (cases, problems) = crate::daemon::test_connectors(folder.as_deref(), args.name.as_deref()).await;
                let seconds = context.clock.now().since(begun).as_secs_f64();
                let report = Tested {
                    cases,
                    seconds,
                    problems,
                };
                context.output.show(&report);
                Ok(if report.problems.is_empty() {
                    Exit::Fine
                } else {
                    Exit::Problem
                })
            }
            Self::Try(args) => args.run(context).await,
            Self::New(args) => args.run(context),
            Self::Record(args) => args.run(context).await,
            Self::Practice(args) => args.run(context).await,
        }
    }
}

fn known<'a>(manifests: &'a BTreeMap<CompactString, Manifest>, name: &str) -> Result<&'a Manifest, Failed> {
    manifests.get(name).ok_or_else(|| {
        let problem = Problem::new(Code::NotFound, format!("there is no connector `{name}`"));
        problem
            .hint(did_you_mean(name, manifests.keys().map(CompactString::as_str)))
            .into()
    })
}

#[derive(Serialize)]
struct Row {
    name: String,
    support: &'static str,
    doc: String,
    streams: Vec<String>,
}

impl Row {
    fn of(manifest: &Manifest) -> Self {
        Self {
            name: manifest.connector.to_string(),
            support: support_word(manifest.support),
            doc: manifest.doc.clone(),
            streams: manifest.objects.keys().map(ToString::to_string).collect(),
        }
    }
}

fn support_word(support: Support) -> &'static str {
    match support {
        Support::Verified => "verified",
        Support::Simulated => "simulated",
        Support::Drafted => "drafted",
    }
}

#[derive(Serialize)]
struct Rows(Vec<Row>);

impl Show for Rows {
    fn text(&self) -> String {
        let row = |row: &Row| {
            [
                row.name.clone(),
                row.support.to_owned(),
                row.streams.join(", "),
                row.doc.clone(),
            ]
        };
        let mut text = table(["connector", "support", "streams", "what"], self.0.iter().map(row));
        line(
            &mut text,
            "\n\nverified: run against the real tool · simulated: against a fake · drafted: written from documents",
        );
        text
    }
}

/// What a program must be able to do to count as writing.
const WRITES: [Can; 3] = [Can::Create, Can::Update, Can::Delete];

/// Everything about one connector.
#[derive(Serialize)]
struct Sheet {
    #[serde(flatten)]
    row: Row,
    /// The program that speaks to the tool, and its language.
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    config: BTreeMap<String, Need>,
    objects: BTreeMap<String, ObjectSheet>,
    unverified: Vec<String>,
}

#[derive(Serialize)]
struct Need {
    required: bool,
    secret: bool,
    doc: String,
}

#[derive(Serialize)]
struct ObjectSheet {
    reads: bool,
    writes: bool,
    /// What its lists hang below.
    #[serde(skip_serializing_if = "Option::is_none")]
    below: Option<String>,
    match_by: Vec<String>,
    fields: Vec<String>,
}

impl Sheet {
    fn of(manifest: &Manifest, facts: &ConnectorFacts) -> Self {
        let config = manifest.config.iter().map(|(key, setting)| {
            let need = Need {
                required: setting.is_required(),
                secret: setting.secret,
                doc: setting.doc.clone(),
            };
            (key.to_string(), need)
        });
        let objects = manifest.objects.iter().map(|(name, object)| {
            let fields = facts.streams.get(name).into_iter().flatten();
            let sheet = ObjectSheet {
                reads: object.read.is_some() || object.guest.is_some(),
                writes: object.write.is_some() || WRITES.iter().any(|what| object.guest_can(*what)),
                below: object
                    .read
                    .as_ref()
                    .and_then(|read| Some(read.parents.as_ref()?.words())),
                match_by: object.match_by.0.iter().map(ToString::to_string).collect(),
                fields: fields.map(ToString::to_string).collect(),
            };
            (name.to_string(), sheet)
        });
        Self {
            row: Row::of(manifest),
            program: manifest.guest.as_ref().map(|guest| {
                let command: Vec<&str> = guest.command.iter().map(CompactString::as_str).collect();
                format!("{} (speaks {})", command.join(" "), guest.speaks.word())
            }),
            config: config.collect(),
            objects: objects.collect(),
            unverified: manifest.unverified.clone(),
        }
    }
}

impl Show for Sheet {
    fn text(&self) -> String {
        let mut text = String::new();
        line(
            &mut text,
            format_args!("{}  {}  {}\n", self.row.name, self.row.support, self.row.doc),
        );
        if let Some(program) = &self.program {
            line(&mut text, format_args!("program: {program}; `nivel check` starts it\n"));
        }
        let need = |(key, need): (&String, &Need)| {
            let required = if need.required { "required" } else { "optional" };
            let secret = if need.secret { "secret" } else { "" };
            [key.clone(), required.to_owned(), secret.to_owned(), need.doc.clone()]
        };
        line(
            &mut text,
            table(["config", "", "", "what"], self.config.iter().map(need)),
        );
        let object = |(name, object): (&String, &ObjectSheet)| {
            let does = match (object.reads, object.writes) {
                (true, true) => "reads, writes",
                (true, false) => "reads",
                (false, true) => "writes",
                (false, false) => "",
            };
            [
                name.clone(),
                object
                    .below
                    .iter()
                    .fold(does.to_owned(), |does, below| format!("{does} below each of {below}")),
                object.match_by.join(", "),
                object.fields.join(", "),
            ]
        };
        let objects = table(
            ["stream", "does", "found by", "fields"],
            self.objects.iter().map(object),
        );
        line(&mut text, format_args!("\n{objects}"));
        if !self.unverified.is_empty() {
            line(&mut text, "\nnobody has seen these statements to be true:");
            for statement in &self.unverified {
                line(&mut text, format_args!("- {statement}"));
            }
        }
        text
    }
}

#[derive(Serialize)]
struct Tested {
    cases: u64,
    seconds: f64,
    problems: Vec<Problem>,
}

impl Show for Tested {
    fn text(&self) -> String {
        let cases = count(self.cases, "case");
        if self.problems.is_empty() {
            return format!("{cases} good · {:.1} s", self.seconds);
        }
        format!(
            "{}\n\n{cases}, of which not good: {} · {:.1} s",
            super::output::problems_text(&self.problems),
            self.problems.len(),
            self.seconds
        )
    }
}

impl Context {
    /// The folder of the admin's own connectors. Looking at connectors needs no config; one that is there must be right.
    fn connectors_dir(&self) -> Result<Option<std::path::PathBuf>, Failed> {
        if self.global.config.iter().any(|file| file.exists()) {
            return Ok(self.config()?.connectors_dir);
        }
        let config = Config::load(&[], &self.env).map_err(Failed::usage)?;
        Ok(config.connectors_dir)
    }
}
