//! `nivel sync`: one whole pass, to the end.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, line, table};
use super::progress::watch;
use crate::error::{Code, Problem};
use crate::ledger::WriteState;
use crate::sync::Summary;

/// Pull, merge and push once, to the end
#[derive(Debug, Args)]
#[command(
    after_help = "A new setup writes nothing until it was approved: see `nivel plan`, then `nivel approve`.\n\n\
Example:\n  nivel sync --config nivel.yaml\n  nivel sync --output json | jq .customers"
)]
pub(super) struct Sync {
    /// Say yes beforehand to whatever this run wants to write; for scripts
    #[arg(long)]
    approve: bool,
}

impl Sync {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let config = context.config()?;
        let progress = watch(context.output);
        let engine = crate::daemon::open(&config, Arc::clone(&context.clock), progress)
            .await
            .map_err(Failed::from_all)?;
        let by = context.operator();
        let summary = engine.sync(self.approve.then_some(by.as_str())).await?;
        crate::daemon::trim(&config, &engine).await?;
        drop(engine);
        let exit = exit_of(&summary);
        context.output.show(&Report::from(summary));
        Ok(exit)
    }
}

/// Fine when nothing went wrong; writes that wait for their time are not wrong.
pub(super) fn exit_of(summary: &Summary) -> Exit {
    let is_dead = summary.waiting.get(&WriteState::Dead).is_some_and(|count| *count > 0);
    let has_problem = summary.systems.values().any(|figures| !figures.problems.is_empty());
    if is_dead || has_problem || summary.needs_approval {
        Exit::Degraded
    } else {
        Exit::Fine
    }
}

/// The figures of a pass, with their sum: what scripts ask for first.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    written: u64,
    #[serde(flatten)]
    summary: Summary,
}

impl From<Summary> for Report {
    fn from(summary: Summary) -> Self {
        Self {
            written: summary.written(),
            summary,
        }
    }
}

impl Show for Report {
    fn text(&self) -> String {
        self.summary.text()
    }
}

impl Show for Summary {
    fn text(&self) -> String {
        let rows = self.systems.iter().map(|(name, f)| {
            let numbers = [f.read, f.changed, f.rejected, f.created, f.updated, f.dead];
            let [read, changed, rejected, created, updated, dead] = numbers.map(|number| number.to_string());
            [name.to_string(), read, changed, rejected, created, updated, dead]
        });
        let head = ["system", "read", "changed", "rejected", "created", "updated", "dead"];
        let mut text = table(head, rows);
        text.push_str("\n\n");
        line(
            &mut text,
            format_args!(
                "{} · {} · {} written · {}.{:01} s",
                count(self.customers, "customer"),
                count(self.merges, "merge"),
                self.written(),
                self.took_ms / 1000,
                self.took_ms % 1000 / 100
            ),
        );
        let waiting: Vec<String> = self
            .waiting
            .iter()
            .filter(|(_, number)| **number > 0)
            .map(|(state, number)| format!("{} {}", count(*number, "write"), state_word(*state)))
            .collect();
        if !waiting.is_empty() {
            line(&mut text, waiting.join(" · "));
        }
        if self.needs_approval {
            line(&mut text, not_approved());
        }
        for (name, figures) in self.systems.iter().filter(|(_, figures)| figures.exported > 0) {
            let rows = count(figures.exported, "row");
            line(&mut text, format_args!("{name}: an export file with {rows}"));
        }
        for (name, figures) in &self.systems {
            for problem in &figures.problems {
                line(&mut text, format_args!("{name}: {problem}"));
            }
        }
        text
    }
}

/// What a person reads while nobody has said yes.
pub(super) fn not_approved() -> Problem {
    Problem::new(
        Code::NotApproved,
        "nothing is written: nobody has said yes to this setup",
    )
    .hint("look at `nivel plan`, then `nivel approve`")
}

/// A write's state in words.
pub(super) fn state_word(state: WriteState) -> &'static str {
    match state {
        WriteState::Due => "due",
        WriteState::Leased => "under way",
        WriteState::Dead => "dead",
        WriteState::Held => "held",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::SystemFigures;

    fn summary() -> Summary {
        let figures = SystemFigures {
            read: 120,
            changed: 7,
            created: 2,
            updated: 1,
            ..SystemFigures::default()
        };
        Summary {
            systems: [("crm".into(), figures)].into(),
            customers: 100,
            merges: 1,
            waiting: [(WriteState::Due, 2), (WriteState::Dead, 0)].into(),
            needs_approval: false,
            took_ms: 2345,
        }
    }

    #[test]
    fn a_pass_is_told_in_a_table_and_a_line() {
        let wanted = "\
SYSTEM  READ  CHANGED  REJECTED  CREATED  UPDATED  DEAD
crm     120   7        0         2        1        0

100 customers · 1 merge · 3 written · 2.3 s
2 writes due
";
        assert_eq!(summary().text(), wanted);
        let json = serde_json::to_value(Report::from(summary())).unwrap();
        assert_eq!((&json["written"], &json["customers"]), (&3.into(), &100.into()));
    }

    #[test]
    fn waiting_is_fine_dead_and_stopped_are_not() {
        assert_eq!(exit_of(&summary()), Exit::Fine);
        let mut dead = summary();
        dead.waiting.insert(WriteState::Dead, 1);
        assert_eq!(exit_of(&dead), Exit::Degraded);
        let mut stopped = summary();
        let problem = Problem::new(Code::QuotaUsed, "the day's budget is used up");
        stopped.systems.entry("crm".into()).or_default().problems.push(problem);
        assert_eq!(exit_of(&stopped), Exit::Degraded);
        assert!(stopped.text().ends_with("crm: CON008: the day's budget is used up\n"));
    }
}
