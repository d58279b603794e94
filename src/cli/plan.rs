//! `nivel plan`: reads everything, writes nothing, and says what a sync would write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use compact_str::CompactString;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, line, table};
use super::progress::watch;
use super::status::span;
use super::sync::exit_of;
use crate::connector::effort::Effort;
use crate::ledger::{Ledger, Slot, Target, Wanted, Write, WriteState};
use crate::model::{FieldName, Fields};
use crate::sync::{Engine, Summary};

/// Writes are read from the ledger in pages of this size.
const PAGE: usize = 500;

/// Show what a sync would write, and write nothing
#[derive(Debug, Args)]
#[command(
    after_help = "Reads every system into the ledger; nothing is written to any tool.\n\n\
Example:\n  nivel plan\n  nivel plan --details 100"
)]
pub(super) struct Plan {
    /// Also show the first N writes field by field, old value and new
    #[arg(long, value_name = "N", default_value_t = 10)]
    details: usize,
}

impl Plan {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let config = context.config()?;
        let progress = watch(context.output);
        let engine = crate::daemon::open(&config, Arc::clone(&context.clock), progress)
            .await
            .map_err(Failed::from_all)?;
        let summary = engine.plan().await?;
        let mut planned = planned(engine.ledger().as_ref(), self.details, summary).await?;
        planned.cost = cost(&engine, &planned);
        planned.exports = engine.rules().exports.keys().cloned().collect();
        drop(engine);
        let exit = exit_of(&planned.read);
        context.output.show(&planned);
        Ok(exit)
    }
}

/// What would be written to one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Figures {
    creates: u64,
    updates: u64,
    /// Objects that will be removed once their quarantine is over.
    removals: u64,
    fields: BTreeMap<FieldName, u64>,
}

/// One write, field by field.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Detail {
    target: String,
    customer: String,
    fields: BTreeMap<FieldName, (Option<String>, Option<String>)>,
}

/// What the planned writes cost one system.
#[derive(Clone, Debug, Serialize)]
struct Cost {
    #[serde(flatten)]
    effort: Effort,
    /// How long they take at least, in seconds.
    seconds: u64,
}

/// What everything that is planned costs, system by system.
fn cost(engine: &Engine, planned: &Planned) -> BTreeMap<CompactString, Cost> {
    let mut all: BTreeMap<CompactString, Effort> = BTreeMap::new();
    for stream in engine.streams() {
        let figures = planned.streams.get(&stream.to_string());
        let connection = engine.connections().get(&stream.system);
        if let (Some(figures), Some(connection)) = (figures, connection) {
            let effort = connection.effort(&stream.stream, figures.creates, figures.updates);
            all.entry(stream.system.clone()).or_default().add(effort);
        }
    }
    all.retain(|_, effort| !effort.calls.is_empty());
    let cost = |effort: Effort| Cost {
        seconds: effort.seconds(),
        effort,
    };
    all.into_iter().map(|(system, effort)| (system, cost(effort))).collect()
}

impl Cost {
    fn row(&self, system: &str) -> [String; 4] {
        let calls = self.effort.calls.iter().map(|(op, number)| format!("{number} {op}"));
        let limits = self.effort.limits.iter().map(|limit| {
            let window = span(Duration::from_secs(limit.span_s));
            format!("{} of {} in {window}", limit.cost, limit.max)
        });
        [
            system.to_owned(),
            calls.collect::<Vec<_>>().join(", "),
            limits.collect::<Vec<_>>().join(", "),
            span(Duration::from_secs(self.seconds)),
        ]
    }
}

/// Everything that waits to be written.
#[derive(Clone, Debug, Default, Serialize)]
struct Planned {
    streams: BTreeMap<String, Figures>,
    /// By system.
    cost: BTreeMap<CompactString, Cost>,
    details: Vec<Detail>,
    /// Systems that get export files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exports: Vec<CompactString>,
    read: Summary,
}

async fn planned(ledger: &dyn Ledger, details: usize, read: Summary) -> Result<Planned, Failed> {
    let mut planned = Planned {
        read,
        ..Planned::default()
    };
    let mut after: Option<Target> = None;
    loop {
        let states = [WriteState::Due, WriteState::Leased, WriteState::Held];
        let page = ledger.writes(&states, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(planned);
        };
        after = Some(last.target.clone());
        for write in &page {
            planned.count(write);
        }
        let wanted = details.saturating_sub(planned.details.len()).min(page.len());
        for write in page.iter().take(wanted) {
            let before = before(ledger, write).await?;
            planned.details.push(detail(write, &before));
        }
    }
}

/// What the object says now.
async fn before(ledger: &dyn Ledger, write: &Write) -> Result<Fields, Failed> {
    let Slot::Object(remote) = &write.target.slot else {
        return Ok(Fields::default());
    };
    let id = write.target.stream.record(remote.clone());
    let ask = crate::ledger::Ask {
        customers: [write.customer].into(),
        ..crate::ledger::Ask::default()
    };
    let mut view = ledger.view(ask).await?;
    Ok(view
        .records
        .remove(&id)
        .map(|(record, _)| record.fields)
        .unwrap_or_default())
}

fn detail(write: &Write, before: &Fields) -> Detail {
    let change = |(field, wanted): (&FieldName, &Wanted)| {
        let old = before.value(field.as_str()).map(ToString::to_string);
        let new = wanted.value.as_ref().map(ToString::to_string);
        (field.clone(), (old, new))
    };
    Detail {
        target: target_text(&write.target),
        customer: write.customer.to_string(),
        fields: write.fields.iter().map(change).collect(),
    }
}

/// A target in words: an object, or a new one.
pub(super) fn target_text(target: &Target) -> String {
    match &target.slot {
        Slot::Object(remote) => format!("{}/{remote}", target.stream),
        Slot::New(_) => format!("{}/new", target.stream),
    }
}

impl Planned {
    fn count(&mut self, write: &Write) {
        let figures = self.streams.entry(write.target.stream.to_string()).or_default();
        match write.target.slot {
            _ if write.removes_at.is_some() => figures.removals += 1,
            Slot::New(_) => figures.creates += 1,
            Slot::Object(_) => figures.updates += 1,
        }
        for field in write.fields.keys() {
            *figures.fields.entry(field.clone()).or_default() += 1;
        }
    }
}

impl Show for Planned {
    fn text(&self) -> String {
        let mut text = String::new();
        if self.streams.is_empty() {
            line(&mut text, "nothing to write: all systems agree");
        } else {
            let row = |(stream, figures): (&String, &Figures)| {
                let fields = figures.fields.iter().map(|(field, number)| format!("{field} {number}"));
                let fields = fields.collect::<Vec<_>>().join(", ");
                [
                    stream.clone(),
                    figures.creates.to_string(),
                    figures.updates.to_string(),
                    fields,
                ]
            };
            line(
                &mut text,
                table(["stream", "creates", "updates", "fields"], self.streams.iter().map(row)),
            );
        }
        for (stream, figures) in self.streams.iter().filter(|(_, figures)| figures.removals > 0) {
            let removals = count(figures.removals, "removal");
            line(&mut text, format_args!("{stream}: {removals} after the quarantine"));
        }
        for system in &self.exports {
            line(&mut text, format_args!("{system}: gets an export file"));
        }
        if !self.cost.is_empty() {
            let rows = self.cost.iter().map(|(system, cost)| cost.row(system));
            let head = ["system", "calls", "of its limits", "takes at least"];
            line(&mut text, format_args!("\n{}", table(head, rows)));
        }
        for detail in &self.details {
            line(&mut text, format_args!("\n{}  for {}", detail.target, detail.customer));
            for (field, (old, new)) in &detail.fields {
                let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "(empty)".to_owned());
                let change = format!("  {field}: {} → {}", show(old), show(new));
                line(&mut text, super::output::clean(&change));
            }
        }
        let total: u64 = self
            .streams
            .values()
            .map(|figures| figures.creates + figures.updates + figures.removals)
            .sum();
        let shown = u64::try_from(self.details.len()).unwrap_or(u64::MAX);
        if total > shown {
            line(
                &mut text,
                format_args!("\n… and {} more (--details {total})", total - shown),
            );
        }
        let customers = count(self.read.customers, "customer");
        let merges = count(self.read.merges, "merge");
        line(
            &mut text,
            format_args!("\n{customers} · {merges} · nothing was written"),
        );
        if self.read.needs_approval {
            line(
                &mut text,
                "`nivel approve` says yes to it; then `nivel sync`, or the daemon, writes",
            );
        } else {
            line(&mut text, "`nivel sync`, or the daemon, writes");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CustomerKey, Kind, StreamId, UnixMillis, Value};

    fn write(slot: Slot) -> Write {
        let wanted = Wanted {
            value: Value::text("+358 1"),
            placeholder: false,
        };
        Write {
            target: Target {
                stream: StreamId::new("crm", "person"),
                slot,
            },
            customer: CustomerKey {
                id: uuid::Uuid::from_u128(1),
                kind: Kind::Person,
            },
            fields: [("phone".into(), wanted)].into(),
            generation: 1,
            due_at: UnixMillis(0),
            attempts: 0,
            problem: None,
            state: WriteState::Due,
            operation: "op".into(),
            is_uncertain: false,
            run: None,
            removes_at: None,
        }
    }

    #[test]
    fn a_plan_counts_and_shows_old_and_new() {
        let update = write(Slot::Object("7".into()));
        let create = write(Slot::New(update.customer));
        let mut planned = Planned::default();
        planned.count(&update);
        planned.count(&create);
        planned
            .details
            .push(detail(&update, &Fields::from([("phone", Value::Text("1".into()))])));
        let wanted = "\
STREAM      CREATES  UPDATES  FIELDS
crm/person  1        1        phone 2

crm/person/7  for per_00000000000000000000000000000001
  phone: 1 → +358 1

… and 1 more (--details 2)

0 customers · 0 merges · nothing was written
`nivel sync`, or the daemon, writes
";
        assert_eq!(planned.text(), wanted);
        assert!(Planned::default().text().starts_with("nothing to write"));
    }
}
