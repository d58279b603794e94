//! `nivel dead frozen` and `nivel dead release`: fields that Nivel does not write any more, until a person says so.

use std::collections::BTreeSet;

use clap::Args;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, line, table};
use crate::error::{Code, Problem};
use crate::model::{FieldName, RecordId, Value};
use crate::sync::{Act, Frozen, frozen};

/// List fields that are frozen: they went round in circles, were not kept by the tool, or were undone
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel dead frozen")]
pub(super) struct List {}

/// Let Nivel write a frozen field again
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel dead release crm/person/7 --field phone\n  nivel dead release --all")]
pub(super) struct Release {
    /// The records, as `nivel dead frozen` shows them
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    records: Vec<RecordId>,
    /// Only these fields of them
    #[arg(long = "field", value_name = "FIELD")]
    fields: Vec<String>,
    /// Every record with a frozen field
    #[arg(long)]
    all: bool,
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let list = frozen(context.ledger()?.as_ref()).await?;
        let exit = if list.is_empty() { Exit::Fine } else { Exit::Degraded };
        context.output.show(&Listed(list));
        Ok(exit)
    }
}

impl Release {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let records: BTreeSet<RecordId> = if self.all {
            let list = frozen(context.ledger()?.as_ref()).await?;
            list.into_iter().map(|one| one.record).collect()
        } else {
            self.records.into_iter().collect()
        };
        let fields: BTreeSet<FieldName> = self.fields.iter().map(|name| name.as_str().into()).collect();
        let mut released: Vec<Frozen> = Vec::new();
        for record in records {
            let act = Act::Release {
                record: record.clone(),
                fields: fields.clone(),
            };
            let some: Vec<Frozen> = context.act(act).await?;
            if some.is_empty() && !self.all {
                let problem = Problem::new(Code::NotFound, format!("no such field of {record} is frozen"));
                return Err(problem.hint("`nivel dead frozen` lists them").into());
            }
            released.extend(some);
        }
        context.output.show(&Released(released));
        Ok(Exit::Fine)
    }
}

#[derive(Serialize)]
struct Listed(Vec<Frozen>);

impl Show for Listed {
    fn text(&self) -> String {
        if self.0.is_empty() {
            return "no frozen fields".to_owned();
        }
        let row = |one: &Frozen| {
            let says = one.says.as_ref().map_or_else(|| "(empty)".to_owned(), Value::to_string);
            [
                one.record.to_string(),
                one.field.to_string(),
                one.customer.to_string(),
                says,
                one.problem.code.to_string(),
                one.problem.message.clone(),
            ]
        };
        let mut text = table(
            ["record", "field", "customer", "says", "code", "reason"],
            self.0.iter().map(row),
        );
        line(
            &mut text,
            "\n\nonce the cause is gone: nivel dead release RECORD --field FIELD",
        );
        text
    }
}

#[derive(Serialize)]
struct Released(Vec<Frozen>);

impl Show for Released {
    fn text(&self) -> String {
        let number = u64::try_from(self.0.len()).unwrap_or(u64::MAX);
        format!("{} released; what is wanted is written again", count(number, "field"))
    }
}
