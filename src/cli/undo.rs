//! `nivel undo`: takes back what Nivel wrote.

use std::collections::BTreeMap;

use clap::Args;
use compact_str::CompactString;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, line, table};
use crate::error::{Code, Problem};
use crate::ledger::{FIRST_READING, Ledger, What};
use crate::model::{FieldName, UnixMillis, Value};
use crate::sync::{Act, Scope};

/// How far back runs are listed.
const DAYS: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 60 * 60);
/// Lines of the trail that are read at once.
const PAGE: usize = 5000;
/// Single steps that are shown.
const SHOWN: usize = 20;

/// Take back what Nivel wrote, where nobody has changed it since
#[derive(Debug, Args)]
#[command(
    after_help = "Without --yes it only shows what would be done; without --run or --since it lists the runs that led to\n\
writes. What is taken back is frozen: Nivel does not write these fields again.\n\n\
Example:\n  nivel undo\n  nivel undo --run 17\n  nivel undo --run 17 --yes\n  nivel undo --since 2026-01-31T09:00:00Z --system crm"
)]
pub(super) struct Undo {
    /// The run whose writes are meant, as the list shows it; `first` for the first reading
    #[arg(long)]
    run: Option<String>,
    /// Everything written since this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what was written to this system
    #[arg(long)]
    system: Option<CompactString>,
    /// Do it
    #[arg(long)]
    yes: bool,
}

impl Undo {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let Some(scope) = self.scope()? else {
            let since = context.clock.now().minus(DAYS);
            let runs = runs(context.ledger()?.as_ref(), since).await?;
            context.output.show(&Runs(runs));
            return Ok(Exit::Fine);
        };
        let undo: crate::sync::Undo = context.act(Act::Undo { scope, yes: self.yes }).await?;
        let exit = if undo.left.is_empty() {
            Exit::Fine
        } else {
            Exit::Degraded
        };
        context.output.show(&Report { done: self.yes, undo });
        Ok(exit)
    }

    fn scope(&self) -> Result<Option<Scope>, Failed> {
        if self.run.is_none() && self.since.is_none() {
            return Ok(None);
        }
        let wrong = |what: &str, text: &str| {
            Failed::usage(vec![
                Problem::new(Code::NotFound, format!("`{text}` is no {what}")).hint("`nivel undo` lists the runs"),
            ])
        };
        let run = self.run.as_deref().map(|text| match text {
            "first" => Ok(FIRST_READING),
            text => text.parse().ok().ok_or_else(|| wrong("run", text)),
        });
        let since = self
            .since
            .as_deref()
            .map(|text| UnixMillis::from_rfc3339(text).ok_or_else(|| wrong("time", text)));
        Ok(Some(Scope {
            run: run.transpose()?,
            since: since.transpose()?,
            system: self.system.clone(),
        }))
    }
}

/// What one run led to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Led {
    last_at: i64,
    made: u64,
    changed: u64,
}

#[derive(Debug, Serialize)]
struct Runs(BTreeMap<i64, Led>);

async fn runs(ledger: &dyn Ledger, since: UnixMillis) -> Result<BTreeMap<i64, Led>, Failed> {
    let mut runs: BTreeMap<i64, Led> = BTreeMap::new();
    let mut after = 0;
    loop {
        let page = ledger.trail(since, after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(runs) };
        after = *last;
        for (_, row) in &page {
            let (wrote, is_made) = match &row.change.what {
                What::Made(wrote) => (wrote, true),
                What::Wrote(wrote) => (wrote, false),
                _ => continue,
            };
            if let Some(run) = wrote.run {
                let led = runs.entry(run).or_default();
                led.last_at = row.at.0;
                led.made += u64::from(is_made);
                led.changed += u64::from(!is_made);
            }
        }
    }
}

fn run_name(run: i64) -> String {
    if run == FIRST_READING {
        "first".to_owned()
    } else {
        run.to_string()
    }
}

impl Show for Runs {
    fn text(&self) -> String {
        if self.0.is_empty() {
            return "no run of the last 30 days led to a write\n".to_owned();
        }
        let rows = self.0.iter().rev().map(|(run, led)| {
            let at = UnixMillis(led.last_at).to_string();
            [run_name(*run), led.made.to_string(), led.changed.to_string(), at]
        });
        let mut text = table(["run", "made", "changed", "last write"], rows);
        text.push_str("\n\nsee what taking one back comes to: nivel undo --run RUN\n");
        text
    }
}

#[derive(Debug, Serialize)]
struct Report {
    done: bool,
    #[serde(flatten)]
    undo: crate::sync::Undo,
}

impl Show for Report {
    fn text(&self) -> String {
        let mut text = String::new();
        let value = |value: &Option<Value>| value.as_ref().map_or_else(|| "(empty)".to_owned(), ToString::to_string);
        let steps = self.undo.back.iter().flat_map(|(record, fields)| {
            let step = move |(field, (ours, before)): (&FieldName, &(Option<Value>, Option<Value>))| {
                format!("{record}  {field}: {} → {}", value(ours), value(before))
            };
            fields.iter().map(step)
        });
        let removals = self.undo.remove.iter().map(|record| format!("{record}  removed"));
        let mut steps = steps.chain(removals);
        steps.by_ref().take(SHOWN).for_each(|step| line(&mut text, step));
        let more = steps.count() as u64;
        if more > 0 {
            line(&mut text, format_args!("… and {more} more"));
        }
        for left in self.undo.left.iter().take(SHOWN) {
            let field = left.field.as_ref().map_or("", FieldName::as_str);
            line(&mut text, format_args!("{}  {field}  left: {}", left.record, left.why));
        }
        let verb = if self.done { "were" } else { "would be" };
        line(
            &mut text,
            format_args!(
                "\n{} {verb} put back, {} {verb} removed, {} left",
                count(self.undo.back.len() as u64, "object"),
                count(self.undo.remove.len() as u64, "object"),
                self.undo.left.len()
            ),
        );
        if !self.done {
            line(&mut text, "nothing was done; do it with --yes");
        }
        text
    }
}
