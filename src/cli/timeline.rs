//! `nivel customer timeline`: what happened with a customer in all tools, in one list.

use clap::Args;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::customer::the_one;
use super::output::{Exit, Show, table};
use crate::handoff::Passage;
use crate::ledger::{ChangeRow, Ledger, What};
use crate::model::{Activity, CustomerKey, UnixMillis};

/// Show what happened with a customer in all tools, in one list
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  nivel customer timeline ana@example.com\n  nivel customer timeline ana@example.com --last 20"
)]
pub(super) struct Timeline {
    /// A customer key, a record (system/stream/id), an e-mail, a phone number, or any text
    who: String,
    /// Only the latest so many entries
    #[arg(long, value_name = "N", default_value_t = 100)]
    last: usize,
}

impl Timeline {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let ledger = context.ledger()?;
        let key = the_one(ledger.as_ref(), &self.who).await?;
        context.output.show(&gather(ledger.as_ref(), key, self.last).await?);
        Ok(Exit::Fine)
    }
}

async fn gather(ledger: &dyn Ledger, key: CustomerKey, last: usize) -> Result<Story, Failed> {
    let mut entries: Vec<Entry> = Vec::new();
    for row in ledger.changes(&key, last).await? {
        entries.extend(of_change(&row));
    }
    for activity in ledger.activities_of(&key, last).await? {
        entries.extend(of_activity(&activity));
    }
    for passage in ledger.passages_of(&key).await? {
        entries.extend(of_passage(&passage));
    }
    entries.sort_by(|a, b| (a.at, &a.what, &a.where_).cmp(&(b.at, &b.what, &b.where_)));
    let entries = entries.split_off(entries.len().saturating_sub(last));
    Ok(Story { key, entries })
}

/// What happened, the oldest first.
#[derive(Serialize)]
struct Story {
    key: CustomerKey,
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    at: UnixMillis,
    kind: &'static str,
    #[serde(rename = "where")]
    where_: String,
    what: String,
}

impl Show for Story {
    fn text(&self) -> String {
        let row = |entry: &Entry| {
            [
                entry.at.to_string(),
                entry.kind.to_owned(),
                entry.where_.clone(),
                entry.what.clone(),
            ]
        };
        table(["WHEN", "", "WHERE", "WHAT"], self.entries.iter().map(row))
    }
}

fn of_change(row: &ChangeRow) -> Option<Entry> {
    let names = |fields: Vec<String>| fields.join(", ");
    let what = match &row.change.what {
        What::Appeared => "first seen".to_owned(),
        What::Fields(fields) => format!("changed: {}", names(fields.keys().map(ToString::to_string).collect())),
        What::Deleted => "deleted".to_owned(),
        What::Removed => "removed by Nivel".to_owned(),
        What::Restored => "back after a deletion".to_owned(),
        What::Moved(from) => format!("belonged to {from} before"),
        What::Merged(other, _) => format!("turned out to be {other}, too"),
        What::Made(wrote) => format!(
            "made by Nivel with {}",
            names(wrote.fields.keys().map(ToString::to_string).collect())
        ),
        What::Wrote(wrote) => format!(
            "written by Nivel: {}",
            names(wrote.fields.keys().map(ToString::to_string).collect())
        ),
        What::Undone(fields) | What::GivenBack(fields) => {
            format!(
                "taken back by Nivel: {}",
                names(fields.keys().map(ToString::to_string).collect())
            )
        }
        What::Died(problem) => format!("a write was given up: {problem}"),
        What::Frozen(fields) => format!("frozen: {}", names(fields.iter().map(ToString::to_string).collect())),
        What::Released(fields) => format!("released: {}", names(fields.iter().map(ToString::to_string).collect())),
    };
    Some(Entry {
        at: row.at,
        kind: "record",
        where_: row
            .change
            .record
            .as_ref()
            .map_or_else(|| "golden record".to_owned(), ToString::to_string),
        what,
    })
}

fn of_activity(activity: &Activity) -> Vec<Entry> {
    let entry = |at, what: String| Entry {
        at,
        kind: "activity",
        where_: activity.id.to_string(),
        what,
    };
    let status = activity
        .fields
        .text("status")
        .map(|status| format!(" ({status})"))
        .unwrap_or_default();
    let mut entries = vec![entry(activity.at, format!("{}{status}", activity.title()))];
    entries.extend(
        activity
            .deleted_at
            .map(|at| entry(at, format!("{} was deleted", activity.title()))),
    );
    entries
}

fn of_passage(passage: &Passage) -> Vec<Entry> {
    let entry = |at, what: String| Entry {
        at,
        kind: "handoff",
        where_: passage.id.to_string(),
        what: format!("{} {what}", passage.rule),
    };
    let mut entries = vec![entry(passage.opened_at, format!("began, due {}", passage.due_at))];
    if let Some(proof) = &passage.proof {
        let at = passage.delivered_at.unwrap_or(proof.at);
        entries.push(entry(at, format!("arrived as {}", proof.record)));
    }
    if let Some(accepted) = &passage.accepted {
        entries.push(entry(accepted.at, format!("taken on by {}", accepted.owner)));
    }
    if let Some(stop) = &passage.stop {
        entries.push(entry(
            stop.at,
            format!("stopped: {} {}", stop.reason.as_str(), stop.detail),
        ));
    }
    if let Some(at) = passage
        .lapsed_at
        .filter(|_| passage.state == crate::handoff::State::Cancelled)
    {
        entries.push(entry(at, "was not wanted any more".to_owned()));
    }
    entries
}
