//! Operators' words on who is who: `nivel customer split | merge | pin`, and what came of one.

use clap::Args;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::customer::the_one;
use super::output::{Exit, Show, count, line};
use crate::model::{FieldName, RecordId, Value};
use crate::sync::{Act, Decided, Word};

/// Take records away from a customer: they are somebody else, for ever
#[derive(Debug, Args)]
#[command(
    after_help = "The records get the key they had before, where they had one. What Nivel wrote to either side because the other\n\
said it is given back. Without --yes it only shows what would be given back.\n\n\
Example:\n  nivel customer split ana@example.com desk/user/9\n  nivel customer split ana@example.com desk/user/9 --yes"
)]
pub(super) struct Split {
    /// A customer key, a record (system/stream/id), an e-mail, a phone number, or any text
    who: String,
    /// The records that leave
    #[arg(required = true, value_name = "RECORD")]
    records: Vec<RecordId>,
    /// Do it
    #[arg(long)]
    yes: bool,
}

/// Make two customers one, for ever
#[derive(Debug, Args)]
#[command(
    after_help = "The older key stays; the other leads to it. `nivel customer split` takes it back.\n\n\
Example:\n  nivel customer merge ana@example.com desk/user/9"
)]
pub(super) struct Merge {
    /// One customer, as for `nivel customer show`
    one: String,
    /// The other
    other: String,
}

/// Confirm a customer: her records stay together, for ever
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel customer pin ana@example.com")]
pub(super) struct Pin {
    /// The customer, as for `nivel customer show`
    who: String,
}

impl Split {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let customer = the_one(context.ledger()?.as_ref(), &self.who).await?;
        let word = Word::Split {
            customer,
            records: self.records,
            yes: self.yes,
        };
        say(context, word).await
    }
}

impl Merge {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let ledger = context.ledger()?;
        let left = the_one(ledger.as_ref(), &self.one).await?;
        let right = the_one(ledger.as_ref(), &self.other).await?;
        drop(ledger);
        say(context, Word::Merge { left, right }).await
    }
}

impl Pin {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let customer = the_one(context.ledger()?.as_ref(), &self.who).await?;
        say(context, Word::Pin { customer }).await
    }
}

async fn say(context: &Context, word: Word) -> Result<Exit, Failed> {
    let decided: Decided = context.act(Act::Decide(word)).await?;
    let exit = if decided.back.left.is_empty() {
        Exit::Fine
    } else {
        Exit::Degraded
    };
    context.output.show(&Report(decided));
    Ok(exit)
}

/// What an operator's word came to.
#[derive(Debug, Serialize)]
pub(super) struct Report(pub(super) Decided);

impl Show for Report {
    fn text(&self) -> String {
        let mut text = String::new();
        let Decided {
            done,
            pairs,
            customers,
            back,
        } = &self.0;
        for (key, records) in customers {
            let records: Vec<String> = records.iter().map(ToString::to_string).collect();
            line(&mut text, format_args!("{key}  {}", records.join(", ")));
        }
        let value = |value: &Option<Value>| value.as_ref().map_or_else(|| "(empty)".to_owned(), ToString::to_string);
        let would = if *done { "" } else { "would be " };
        for (record, fields) in &back.back {
            for (field, (ours, before)) in fields {
                line(
                    &mut text,
                    format_args!(
                        "{record}  {field}: {} → {}  {would}given back",
                        value(ours),
                        value(before)
                    ),
                );
            }
        }
        for left in &back.left {
            let field = left.field.as_ref().map_or("", FieldName::as_str);
            line(&mut text, format_args!("{}  {field}  left: {}", left.record, left.why));
        }
        if *done {
            line(&mut text, format_args!("noted for ever: {}", count(*pairs, "pair")));
        } else {
            line(&mut text, "nothing was done; do it with --yes");
        }
        text
    }
}
