//! `nivel review`: customers of whom only a person can say whether they are one.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::customer::cell_text;
use super::decided::Report;
use super::joined::{findings, percent};
use super::output::{Exit, Show, count, line, table, wide_table};
use crate::error::{Code, Problem};
use crate::identity::matcher::Explanation;
use crate::ledger::{Ask, Ledger, Review as Question};
use crate::model::{FieldName, Fields};
use crate::sync::{Act, Decided, Word};

#[derive(Debug, Subcommand)]
pub(super) enum Review {
    /// List the open questions, the surest first
    List(List),
    /// Show both records side by side, and the evidence
    Show(One),
    /// They are one customer
    Accept(One),
    /// They are two customers
    Reject(One),
}

/// List the open questions, the surest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel review list --limit 20")]
pub(super) struct List {
    /// How many to show
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// One question
#[derive(Debug, Args)]
#[command(
    after_help = "What you say outranks the matching for ever; `nivel customer split` and `merge` say otherwise.\n\n\
Example:\n  nivel review show 7\n  nivel review accept 7"
)]
pub(super) struct One {
    /// The question's number, as `nivel review list` shows it
    id: i64,
}

impl Review {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        match self {
            Self::List(args) => {
                let ledger = context.ledger()?;
                let shown = ledger.reviews(args.limit).await?;
                let all = ledger.totals().await?.reviews;
                context.output.show(&Questions { all, shown });
            }
            Self::Show(args) => context.output.show(&sheet(context.ledger()?.as_ref(), args.id).await?),
            Self::Accept(args) => answer(context, args.id, true).await?,
            Self::Reject(args) => answer(context, args.id, false).await?,
        }
        Ok(Exit::Fine)
    }
}

async fn answer(context: &Context, id: i64, same: bool) -> Result<(), Failed> {
    let decided: Decided = context.act(Act::Decide(Word::Review { id, same })).await?;
    context.output.show(&Report(decided));
    Ok(())
}

async fn sheet(ledger: &dyn Ledger, id: i64) -> Result<Sheet, Failed> {
    let question = ledger.review(id).await?.ok_or_else(|| {
        Problem::new(Code::NotFound, format!("there is no open question {id}")).hint("`nivel review list` shows them")
    })?;
    let ask = Ask {
        records: [question.left.clone(), question.right.clone()].into(),
        ..Ask::default()
    };
    let mut view = ledger.view(ask).await?;
    let mut fields = |id| {
        view.records
            .remove(id)
            .map(|(record, _)| record.fields)
            .unwrap_or_default()
    };
    Ok(Sheet {
        left: fields(&question.left),
        right: fields(&question.right),
        why: serde_json::from_str(&question.evidence).ok(),
        question,
    })
}

/// A score in thousandths of a bit as a chance.
fn chance(question: &Question) -> String {
    percent(f64::from(question.score) / 1000.0)
}

#[derive(Debug, Serialize)]
struct Questions {
    all: u64,
    shown: Vec<Question>,
}

impl Show for Questions {
    fn text(&self) -> String {
        if self.shown.is_empty() {
            return "no question is open".to_owned();
        }
        let row = |question: &Question| {
            let note = if question.is_vetoed {
                "a unique number differs"
            } else {
                ""
            };
            [
                question.id.to_string(),
                chance(question),
                question.left.to_string(),
                question.right.to_string(),
                question.opened_at.to_string(),
                note.to_owned(),
            ]
        };
        let head = ["id", "chance", "one", "other", "since", ""];
        let mut text = table(head, self.shown.iter().map(row));
        line(
            &mut text,
            format_args!("\n\n{} open; `nivel review show ID`", count(self.all, "question")),
        );
        text
    }
}

#[derive(Debug, Serialize)]
struct Sheet {
    question: Question,
    left: Fields,
    right: Fields,
    why: Option<Explanation>,
}

impl Show for Sheet {
    fn text(&self) -> String {
        let question = &self.question;
        let mut text = String::new();
        line(
            &mut text,
            format_args!(
                "question {}: one customer with a chance of {}\n",
                question.id,
                chance(question)
            ),
        );
        let names: BTreeSet<&FieldName> = self.left.0.keys().chain(self.right.0.keys()).collect();
        let names = names.into_iter().filter(|name| !name.as_str().starts_with('_'));
        let head = vec![
            "field".to_owned(),
            question.left.to_string(),
            question.right.to_string(),
        ];
        let rows = names.map(|name| {
            vec![
                name.to_string(),
                cell_text(&self.left, name),
                cell_text(&self.right, name),
            ]
        });
        line(&mut text, wide_table(head, rows));
        if question.is_vetoed {
            line(
                &mut text,
                "\na number that everybody has but once differs: not joined without a word",
            );
        }
        if let Some(why) = &self.why {
            line(&mut text, format_args!("\n{}", findings(why)));
        }
        line(
            &mut text,
            format_args!("`nivel review accept {0}` or `nivel review reject {0}`", question.id),
        );
        text
    }
}
