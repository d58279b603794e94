//! `nivel customer export | erase | erasures | certificate`: what a person may ask for about herself.

use clap::Args;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::customer::{the_one, view_of};
use super::output::{Exit, Format, Show, line, table};
use crate::error::{Code, Problem};
use crate::ledger::{ChangeRow, Erasure, Review, Traces, Write};
use crate::model::{Customer, CustomerKey, Fields, Identifier, RecordId, StreamId, UnixMillis, Value};
use crate::sync::Act;
use crate::sync::erase::{ErasePlan, answer, certified, markdown};

/// Lines of the history that are given out: all there can be.
const HISTORY_MAX: usize = 1_000_000;

/// Give out everything Nivel knows of a customer, as JSON
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel customer export ana@example.com > ana.json")]
pub(super) struct Export {
    /// A customer key, a record (system/stream/id), an e-mail, a phone number, or any text
    who: String,
}

/// Erase a person in every tool and in the ledger, for good
#[derive(Debug, Args)]
#[command(
    after_help = "Without --yes it only shows what would be done. What Nivel cannot erase is left to a person, and named. From then on\n\
whoever brings the person back (a page, a webhook, a file) is not heard: keyed hashes are kept for that, and nothing else.\n\n\
Example:\n  nivel customer erase ana@example.com\n  nivel customer erase ana@example.com --yes"
)]
pub(super) struct Erase {
    /// The person, as for `nivel customer show`
    who: String,
    /// Do it
    #[arg(long)]
    yes: bool,
}

/// List erasures and how far they are
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel customer erasures")]
pub(super) struct Erasures {}

/// Certify an erasure: what, where, when, and what the tool answered
#[derive(Debug, Args)]
#[command(
    after_help = "Markdown, or JSON with --output json. It names nobody: objects and the person are keyed hashes.\n\n\
Example:\n  nivel customer certificate 3\n  nivel customer certificate 3 --done partner/person"
)]
pub(super) struct Certificate {
    /// The erasure's number, as `nivel customer erasures` shows it
    number: i64,
    /// First say that what had to be erased by hand there is erased
    #[arg(long, value_name = "SYSTEM/STREAM")]
    done: Option<String>,
}

impl Export {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let ledger = context.ledger()?;
        let key = the_one(ledger.as_ref(), &self.who).await?;
        let view = view_of(ledger.as_ref(), key).await?;
        let live = view.aliases.get(&key).copied().unwrap_or(key);
        let Traces { keys, identifiers, .. } = ledger.traces(&live).await?;
        let ids: Vec<RecordId> = view.records.keys().cloned().collect();
        let records = view.records.into_values().filter(|(_, owner)| *owner == live);
        let exported = Exported {
            key: live,
            keys: keys.into_iter().collect(),
            customer: ledger.customer(&live).await?,
            records: records.map(|(record, _)| Kept::of(record)).collect(),
            identifiers: identifiers.into_iter().collect(),
            writes: view
                .writes
                .into_values()
                .filter(|write| write.customer == live)
                .collect(),
            reviews: ledger.reviews_of(&ids).await?,
            history: ledger.changes(&live, HISTORY_MAX).await?,
        };
        let text = serde_json::to_string_pretty(&exported);
        let text = text.map_err(|error| Problem::new(Code::Bug, error.to_string()))?;
        context.output.data(text);
        Ok(Exit::Fine)
    }
}

/// Everything the ledger holds of a customer.
#[derive(Serialize)]
struct Exported {
    key: CustomerKey,
    /// Every key she ever had.
    keys: Vec<CustomerKey>,
    customer: Option<Customer>,
    records: Vec<Kept>,
    identifiers: Vec<Identifier>,
    writes: Vec<Write>,
    reviews: Vec<Review>,
    history: Vec<ChangeRow>,
}

/// One record of hers.
#[derive(Serialize)]
struct Kept {
    id: RecordId,
    fields: Fields,
    /// Since when each field says so.
    observed: std::collections::BTreeMap<String, UnixMillis>,
    /// Fields that Nivel wrote, with what stood there before.
    written_by_nivel: std::collections::BTreeMap<String, Option<Value>>,
    updated_at: Option<UnixMillis>,
    deleted_at: Option<UnixMillis>,
}

impl Kept {
    fn of(record: crate::model::Record) -> Self {
        let names = record.fields.0.keys();
        Self {
            observed: names
                .map(|name| (name.to_string(), record.observed.of(name.as_str())))
                .collect(),
            written_by_nivel: record
                .ours
                .iter()
                .map(|(name, ours)| (name.to_string(), ours.own.clone()))
                .collect(),
            id: record.id,
            fields: record.fields,
            updated_at: record.updated_at,
            deleted_at: record.deleted_at,
        }
    }
}

impl Erase {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let customer = the_one(context.ledger()?.as_ref(), &self.who).await?;
        let act = Act::Erase {
            customer,
            yes: self.yes,
        };
        let mut plan: ErasePlan = context.act(act).await?;
        plan.erasure = plan.erasure.as_ref().map(certified);
        let is_done = plan.erasure.as_ref().is_none_or(|erasure| erasure.done_at.is_some());
        context.output.show(&plan);
        Ok(if is_done { Exit::Fine } else { Exit::Degraded })
    }
}

impl Show for ErasePlan {
    fn text(&self) -> String {
        if let Some(erasure) = self.erasure.as_ref().filter(|_| self.is_held) {
            return format!(
                "erasure {} is held: more than the brake lets through within a day. Nothing about the person is taken in any more;\n\
                 the tools are asked to erase after `nivel approve`",
                erasure.id
            );
        }
        if let Some(erasure) = &self.erasure {
            return format!(
                "{}\n\nlater: nivel customer certificate {}",
                markdown(erasure),
                erasure.id
            );
        }
        let row = |(id, obstacle): &(RecordId, Option<Problem>)| {
            let how = obstacle.as_ref().map_or("erased by Nivel", |_| "by hand in the tool");
            let why = obstacle.as_ref().map(ToString::to_string).unwrap_or_default();
            [id.to_string(), how.to_owned(), why]
        };
        let mut text = format!("{}\n\n", self.customer);
        line(&mut text, table(["object", "", "why"], self.steps.iter().map(row)));
        line(
            &mut text,
            "\nthen the ledger, the cache and the match forget the person; keyed hashes keep them from coming back",
        );
        line(&mut text, "nothing was done; do it with --yes: it cannot be taken back");
        text
    }
}

impl Erasures {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let erasures = context.ledger()?.erasures(false).await?;
        let exit = if erasures.iter().all(|one| one.done_at.is_some()) {
            Exit::Fine
        } else {
            Exit::Degraded
        };
        context.output.show(&Listed(erasures.iter().map(certified).collect()));
        Ok(exit)
    }
}

#[derive(Serialize)]
struct Listed(Vec<Erasure>);

impl Show for Listed {
    fn text(&self) -> String {
        if self.0.is_empty() {
            return "nobody was erased".to_owned();
        }
        let row = |one: &Erasure| {
            let open: Vec<String> = one
                .steps
                .iter()
                .filter(|step| step.confirmed_at.is_none())
                .map(|step| format!("{}: {}", step.stream, answer(step)))
                .collect();
            let state = match (one.done_at, one.purged_at) {
                (Some(at), _) => format!("done at {at}"),
                (None, Some(_)) => "ledger purged".to_owned(),
                (None, None) => "under way".to_owned(),
            };
            [
                one.id.to_string(),
                one.asked_at.to_string(),
                one.by.clone(),
                state,
                open.join("; "),
            ]
        };
        table(["number", "asked", "by", "state", "open"], self.0.iter().map(row))
    }
}

impl Certificate {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        if let Some(place) = &self.done {
            let Some((system, stream)) = place.split_once('/') else {
                let problem = Problem::new(Code::NotFound, format!("`{place}` is no stream"));
                return Err(Failed::usage(vec![problem.hint("write it as SYSTEM/STREAM")]));
            };
            let act = Act::SayErased {
                id: self.number,
                stream: StreamId::new(system, stream),
            };
            let _noted: Erasure = context.act(act).await?;
        }
        let all = context.ledger()?.erasures(false).await?;
        let Some(found) = all.into_iter().find(|one| one.id == self.number) else {
            let problem = Problem::new(Code::NotFound, format!("there is no erasure {}", self.number));
            return Err(problem.hint("`nivel customer erasures` lists them").into());
        };
        match context.output.format {
            Format::Json => context.output.show(&Listed(vec![certified(&found)])),
            Format::Text => context.output.data(markdown(&found)),
        }
        Ok(if found.done_at.is_some() {
            Exit::Fine
        } else {
            Exit::Degraded
        })
    }
}
