//! `nivel demo`: three tools of the sandbox, full of overlapping people, become one. Needs nothing and no account.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, line};
use super::progress::watch;
use super::story::{self, Step};
use crate::config::Config;
use crate::error::{Code, Problem};
use crate::sandbox::checker::{self, Expectation, Field, Finding, Target};
use crate::sandbox::{self, Options, ToolName};
use crate::sync::Summary;

/// Says that a folder was made by a demo and may be emptied by the next one.
const MARK: &str = "made-by-nivel-demo";
/// How many findings are shown.
const FINDINGS_MAX: usize = 10;

/// Watch customers of three sandbox tools become one
#[derive(Debug, Args)]
#[command(
    after_help = "Starts the tools on loopback, seeds them, syncs twice, and asks the tools themselves whether they agree.\n\n\
Example:\n  nivel demo\n  nivel demo --people 5000 --seed 7"
)]
pub(super) struct Demo {
    /// How many people stand behind the records
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    people: u32,
    /// Makes the same people again
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Demo {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let dir = context
            .global
            .data_dir
            .clone()
            .unwrap_or_else(|| PathBuf::from("nivel-demo"));
        let people = usize::try_from(self.people).unwrap_or(usize::MAX);
        let options = Options::default();
        let served = sandbox::serve(options.clone(), &ToolName::ALL, self.seed, people)
            .await
            .map_err(|error| Problem::new(Code::PortTaken, error.to_string()))?;
        // Relative paths count from the config file, which stands in the same folder.
        let settings = served.sandbox.settings(&options, Path::new("."));
        let config = prepare(&dir, &settings)?;
        for tool in &served.summary.tools {
            context.output.note(format_args!(
                "{:10} {}  {} people",
                tool.name.to_string(),
                tool.base_url,
                tool.objects
            ));
        }
        let engine = crate::daemon::open(&config, Arc::clone(&context.clock), watch(context.output))
            .await
            .map_err(Failed::from_all)?;
        let planned = engine.plan().await?;
        let wanted: u64 = planned.waiting.values().sum();
        context.output.note(format_args!(
            "read; {} planned, nothing written yet: a new setup waits for a yes (`nivel plan`, `nivel approve`)",
            super::output::count(wanted, "write")
        ));
        context.output.note(format_args!("the demo says yes"));
        let mut first = engine.sync(Some("demo")).await?;
        first.add_reading_of(&planned);
        let second = engine.sync(None).await?;
        drop(engine);
        let findings = checker::check(&served.sandbox, &served.people, &served.truth, &expectation());
        let handoffs = story::play(context, &dir.join("handoffs")).await?;
        let figures = Figures {
            handoffs,
            people: served.summary.people,
            first,
            second,
            findings,
            config: dir.join("nivel.yaml"),
        };
        served.sandbox.shutdown().await;
        context.output.show(&figures);
        Ok(if figures.is_good() { Exit::Fine } else { Exit::Problem })
    }
}

/// What the tools' own histories shall show in the end.
fn expectation() -> Expectation {
    let target = |tool| Target {
        tool,
        create: true,
        // Not the phone: some people have only a stand-in for one (`n/a`), which Nivel rightly keeps to itself.
        fields: vec![Field::Email, Field::FullName],
    };
    Expectation {
        targets: ToolName::ALL.map(target).to_vec(),
        ..Expectation::default()
    }
}

/// Makes the folder with the config; a ledger of a former demo is removed, because its tools are gone.
pub(super) fn prepare(dir: &Path, settings: &str) -> Result<Config, Failed> {
    let problem = |why: String| Problem::new(Code::LedgerFull, why).about(dir.display());
    let mark = dir.join(MARK);
    if dir.exists() && !mark.exists() {
        let hint = "the demo empties its folder; name another with --data-dir";
        return Err(problem("this folder was not made by a demo".to_owned())
            .hint(hint)
            .into());
    }
    let file = dir.join("nivel.yaml");
    let made = crate::fault::effect_blocking("file", || {
        if dir.exists() {
            std::fs::remove_dir_all(dir)?;
        }
        std::fs::create_dir_all(dir)?;
        std::fs::write(&mark, "")?;
        std::fs::write(&file, settings)
    });
    match made {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(problem(format!("the demo's folder cannot be made: {error}")).into()),
        Err(prevented) => return Err(problem(prevented.to_string()).into()),
    }
    Config::load(&[file], &BTreeMap::new()).map_err(Failed::usage)
}

#[derive(Serialize)]
struct Figures {
    people: usize,
    first: Summary,
    second: Summary,
    findings: Vec<Finding>,
    handoffs: Vec<Step>,
    config: PathBuf,
}

impl Figures {
    fn is_good(&self) -> bool {
        self.findings.is_empty() && self.second.written() == 0
    }
}

impl Show for Figures {
    fn text(&self) -> String {
        let mut text = String::new();
        line(&mut text, format_args!("first pass\n{}", self.first.text()));
        line(&mut text, format_args!("second pass\n{}", self.second.text()));
        let people = u64::try_from(self.people).unwrap_or(u64::MAX);
        line(
            &mut text,
            format_args!(
                "{} stand behind the records",
                count(people, "person").replace("persons", "people")
            ),
        );
        if self.findings.is_empty() {
            line(
                &mut text,
                "by their own histories the three tools agree on who is who: nobody lost, nobody doubled",
            );
        } else {
            line(
                &mut text,
                format_args!("the tools do not agree: {} findings", self.findings.len()),
            );
            for finding in self.findings.iter().take(FINDINGS_MAX) {
                line(&mut text, format_args!("- {finding}"));
            }
        }
        line(&mut text, "\nhandoffs, told by three empty tools");
        for step in &self.handoffs {
            line(&mut text, format_args!("  {step}"));
        }
        let config = self.config.display();
        line(&mut text, format_args!("\nlook around: nivel status --config {config}"));
        line(
            &mut text,
            format_args!("             nivel customer show --config {config} @"),
        );
        let story = self.config.with_file_name("handoffs").join("nivel.yaml");
        line(
            &mut text,
            format_args!("             nivel handoffs --config {}", story.display()),
        );
        line(
            &mut text,
            format_args!(
                "             nivel customer timeline --config {} lia@example.com",
                story.display()
            ),
        );
        text
    }
}
