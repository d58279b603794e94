//! `nivel reconcile`: who is in one system and not in another, each with a reason, and a sum that closes.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, line, table};
use crate::config::did_you_mean;
use crate::error::{Code, Problem};
use crate::merge::{Refusal, Rules};
use crate::sync::Act;
use crate::sync::reconcile::{Because, Missing, Place, Reason, Reconciled, Repaired, reconcile};

/// Count who is in one system and not in another, each with the reason
#[derive(Debug, Args)]
#[command(
    after_help = "Reads only the ledger. Every customer of the first is in the second or has exactly one reason why not.\n\n\
Example:\n  nivel reconcile marketing sales\n  nivel reconcile sales/person support --reason dead\n  \
nivel reconcile marketing sales --repair"
)]
pub(super) struct Reconcile {
    /// Where they are: a system, or one stream of it (system/stream)
    here: String,
    /// Where they should be
    there: String,
    /// Only those with this reason
    #[arg(long, value_name = "REASON", value_parser = clap::builder::PossibleValuesParser::new(Reason::WORDS), hide_possible_values = true)]
    reason: Option<String>,
    /// How many to list; all of them with --output json
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Make due again what can be: dead writes, and objects for which nothing waits
    #[arg(long)]
    repair: bool,
}

impl Reconcile {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let config = context.config_with_ledger()?;
        let rules = crate::daemon::rules(&config, &context.clock).map_err(Failed::from_all)?;
        let here = place(&self.here, &rules)?;
        let there = place(&self.there, &rules)?;
        if here == there {
            let problem = Problem::new(Code::NotFound, format!("`{here}` is held against itself"));
            return Err(Failed::usage(vec![problem.hint("name two systems, or two streams")]));
        }
        let repaired = if self.repair {
            let act = Act::Repair {
                here: here.clone(),
                there: there.clone(),
            };
            Some(context.act::<Repaired>(act).await?)
        } else {
            None
        };
        let ledger = context.ledger()?;
        let mut found = reconcile(ledger.as_ref(), &rules, (&here, &there), context.clock.now()).await?;
        drop(ledger);
        let needs_a_person = found.missing.iter().any(|missing| missing.reason.needs_a_person());
        if let Some(word) = &self.reason {
            found.missing.retain(|missing| missing.reason.word() == word);
        }
        context.output.show(&Report {
            found,
            repaired,
            limit: self.limit,
        });
        Ok(if needs_a_person { Exit::Degraded } else { Exit::Fine })
    }
}

fn place(text: &str, rules: &Rules) -> Result<Place, Failed> {
    let Ok(place) = text.parse::<Place>();
    if !place.streams(rules).is_empty() {
        return Ok(place);
    }
    let known: Vec<String> = match rules.systems.get(&place.system) {
        None => rules.systems.keys().map(ToString::to_string).collect(),
        Some(system) => {
            let streams = system.streams.keys();
            streams.map(|stream| format!("{}/{stream}", place.system)).collect()
        }
    };
    let hint = did_you_mean(text, known.iter().map(String::as_str));
    let hint = if hint.is_empty() {
        format!("there are: {}", known.join(", "))
    } else {
        hint
    };
    let problem = Problem::new(Code::NotFound, format!("there is no system or stream `{text}`"));
    Err(Failed::usage(vec![problem.hint(hint)]))
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    found: Reconciled,
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<Repaired>,
    #[serde(skip)]
    limit: usize,
}

impl Show for Report {
    fn text(&self) -> String {
        let found = &self.found;
        let mut text = String::new();
        if let Some(repaired) = &self.repaired {
            line(
                &mut text,
                format_args!(
                    "repaired: {} due again, {} asked for again; the next sync writes them\n",
                    count(repaired.retried, "dead write"),
                    count(repaired.asked_again, "customer")
                ),
            );
        }
        line(
            &mut text,
            format_args!(
                "{}: {} of {}",
                found.here,
                count(found.objects, "object"),
                count(found.customers, "customer")
            ),
        );
        if found.erased > 0 {
            let erased = count(found.erased, "object");
            line(
                &mut text,
                format_args!("{}: {erased} of erased people, which are nobody's here", found.here),
            );
        }
        line(&mut text, format_args!("{}: {} of them\n", found.there, found.matched));
        let mut reasons: Vec<[String; 3]> = Reason::WORDS
            .iter()
            .filter_map(|word| Some((*word, found.reasons.get(*word)?)))
            .map(|(word, number)| [number.to_string(), word.to_owned(), meaning(word).to_owned()])
            .collect();
        if found.moved > 0 {
            let meaning = "left, or became one with another, while this was counted";
            reasons.push([found.moved.to_string(), "moved".to_owned(), meaning.to_owned()]);
        }
        if !reasons.is_empty() {
            line(&mut text, table(["missing", "reason", "that is"], reasons));
            line(&mut text, "");
        }
        let row = |missing: &Missing| {
            [
                missing.customer.to_string(),
                missing.called.clone(),
                missing.reason.word().to_owned(),
                detail(&missing.reason),
            ]
        };
        let shown = found.missing.iter().take(self.limit).map(row);
        if !found.missing.is_empty() {
            line(&mut text, table(["customer", "called", "reason", "detail"], shown));
        }
        if found.missing.len() > self.limit {
            let more = found.missing.len() - self.limit;
            line(&mut text, format_args!("… and {more} more (--limit)"));
        }
        text.push_str(&sum(found));
        text
    }
}

/// The sum, written out so that everybody can add it up.
fn sum(found: &Reconciled) -> String {
    let reasons: u64 = found.reasons.values().sum();
    let moved = if found.moved == 0 {
        String::new()
    } else {
        format!(" + {} moved", found.moved)
    };
    format!(
        "\n{} there + {reasons} missing with a reason{moved} = {}\n",
        found.matched,
        found.accounted()
    )
}

/// What a reason means, and what ends it.
fn meaning(word: &str) -> &'static str {
    let meanings: BTreeMap<&str, &str> = BTreeMap::from([
        ("on_its_way", "sent; the answer is not known yet"),
        ("waiting", "will be written; see what for"),
        ("held", "held by the brake; `nivel plan`, then `nivel approve`"),
        ("dead", "given up; `nivel dead list`, then --repair"),
        (
            "unasked",
            "wanted, and nothing waits: a dropped write; --repair asks again",
        ),
        ("review", "may be one with somebody there; `nivel review`"),
        ("erased", "is being erased; `nivel customer erasures`"),
        (
            "too_large",
            "more records than a person can have; `nivel review`, `nivel customer split`",
        ),
        ("rejected", "its records could not be understood"),
        ("deleted_there", "was there, and was deleted there"),
        ("deleted_elsewhere", "was deleted in the tool it came from"),
        ("not_qualified", "lacks fields that `create: qualified` wants"),
        ("no_identifier", "has nothing by which it could be found again there"),
        ("not_reachable", "no e-mail or phone of its own"),
        ("opted_out", "does not want to hear of us, and the tool cannot be told"),
        (
            "made_elsewhere",
            "is, or is to be, in another stream of the tool that holds the same",
        ),
        ("never_made", "the config says `create: never`"),
        ("cannot_make", "the connector cannot make objects there"),
        ("not_written", "the config keeps Nivel from writing there"),
        (
            "other_kind",
            "a person where only organizations are kept, or the other way round",
        ),
    ]);
    meanings.get(word).copied().unwrap_or_default()
}

fn detail(reason: &Reason) -> String {
    let told = |problem: &Option<Problem>| problem.as_ref().map(ToString::to_string).unwrap_or_default();
    match reason {
        Reason::Waiting {
            because,
            until,
            problem,
        } => {
            let mut text = match because {
                Because::FirstReading => "until every system was read once",
                Because::Approval => "for `nivel approve`",
                Because::Matching => "for the scored match",
                Because::Parked => "its stream is parked",
                Because::Retry => "for the next try",
                Because::Turn => "for its turn",
            }
            .to_owned();
            if let Some(until) = until {
                text.push_str(&format!(", until {until}"));
            }
            let problem = told(problem);
            if problem.is_empty() {
                text
            } else {
                format!("{text}; {problem}")
            }
        }
        Reason::Dead { problem } | Reason::Held { problem } => told(problem),
        Reason::Rejected { record, problem } => format!("{record}: {problem}"),
        Reason::DeletedThere { record, at } => format!("{record}, at {at}"),
        Reason::NotMade(Refusal::NotQualified { lacks }) => {
            let names: Vec<&str> = lacks.iter().map(crate::model::FieldName::as_str).collect();
            format!("lacks {}", names.join(", "))
        }
        Reason::NotMade(Refusal::MadeElsewhere { stream }) => stream.to_string(),
        _ => String::new(),
    }
}
