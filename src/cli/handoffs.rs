//! `nivel handoffs`: how many customers stand where between the teams, how long it took, and who is missing and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use compact_str::CompactString;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::figures::{Board, Shown};
use super::output::{Exit, Format, Output, Show, line, table};
use crate::error::{Code, Problem};
use crate::handoff::{Passage, State, figures, funnel};
use crate::ledger::{Ledger, PassagesOf};
use crate::model::UnixMillis;

/// Passages are read from the ledger in pages of this size.
const PAGE: usize = 1000;

/// Show how many customers stand where between the teams, and who is missing
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  nivel handoffs\n  nivel handoffs --late\n  nivel handoffs h3f0c\n  nivel handoffs --funnel\n  nivel handoffs --rule lead-to-sales --csv"
)]
pub(super) struct Handoffs {
    /// One passage, with its proof; the beginning of its name is enough
    id: Option<String>,
    /// Only this rule
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// List the passages that are late
    #[arg(long)]
    late: bool,
    /// List the passages that do not go on until somebody acts
    #[arg(long)]
    stopped: bool,
    /// How many customers pass each step of the way, and what keeps the others
    #[arg(long, conflicts_with_all = ["id", "late", "stopped", "csv", "rule"])]
    funnel: bool,
    /// What became of those who began in each week
    #[arg(long, conflicts_with_all = ["id", "late", "stopped", "csv", "funnel"])]
    weeks: bool,
    /// Every passage as a line of CSV
    #[arg(long, conflicts_with = "id")]
    csv: bool,
    /// The same as `--output json`
    #[arg(long, conflicts_with = "csv")]
    json: bool,
}

impl Handoffs {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let ledger = context.ledger()?;
        let output = if self.json {
            Output { format: Format::Json }
        } else {
            context.output
        };
        let now = context.clock.now();
        let mut passages = all(ledger.as_ref(), self.rule.as_deref()).await?;
        if let Some(id) = &self.id {
            let mut found = passages
                .into_iter()
                .filter(|passage| passage.id.starts_with(id.as_str()));
            let (Some(one), None) = (found.next(), found.next()) else {
                let problem = Problem::new(Code::NotFound, format!("there is not one passage `{id}`"));
                return Err(problem.hint("`nivel handoffs --csv` lists them").into());
            };
            output.show(&Sheet { now, passage: one });
            return Ok(Exit::Fine);
        }
        if self.late || self.stopped {
            let is_wanted = |passage: &Passage| {
                (self.late && passage.is_late(now)) || (self.stopped && passage.state == State::Stopped)
            };
            passages.retain(is_wanted);
        }
        passages.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
        if self.csv {
            output.data(csv(&passages, now).trim_end());
            return Ok(Exit::Fine);
        }
        if self.late || self.stopped {
            let exit = if passages.is_empty() {
                Exit::Fine
            } else {
                Exit::Degraded
            };
            let names = names(ledger.as_ref(), &passages).await?;
            output.show(&List { now, passages, names });
            return Ok(exit);
        }
        let figures = figures(&passages, now);
        let needs_a_look = figures.values().any(|figures| figures.late + figures.stopped > 0);
        let rules = crate::daemon::rules(&context.config()?, &context.clock).map_err(Failed::from_all)?;
        // One rule alone is no way.
        let way = if self.rule.is_none() {
            rules.handoffs
        } else {
            Vec::new()
        };
        output.show(&Board {
            rules: figures,
            funnel: funnel(&way, &passages),
            shown: match (self.funnel, self.weeks) {
                (true, _) => Shown::Funnel,
                (_, true) => Shown::Weeks,
                _ => Shown::Rules,
            },
        });
        Ok(if needs_a_look { Exit::Degraded } else { Exit::Fine })
    }
}

async fn all(ledger: &dyn Ledger, rule: Option<&str>) -> Result<Vec<Passage>, Failed> {
    let of = PassagesOf {
        rule: rule.map(CompactString::from),
        ..PassagesOf::default()
    };
    let mut found: Vec<Passage> = Vec::new();
    loop {
        let page = ledger
            .passages(&of, found.last().map(|last| last.id.as_str()), PAGE)
            .await?;
        if page.is_empty() {
            return Ok(found);
        }
        found.extend(page);
    }
}

/// How a person knows the customers: by address or name.
async fn names(ledger: &dyn Ledger, passages: &[Passage]) -> Result<BTreeMap<CompactString, String>, Failed> {
    let mut names = BTreeMap::new();
    for passage in passages {
        if let Some(customer) = ledger.customer(&passage.customer).await? {
            let golden = &customer.golden;
            let name = golden
                .text("email")
                .map(str::to_owned)
                .or_else(|| crate::merge::full_name(golden));
            names.insert(passage.id.clone(), name.unwrap_or_else(|| customer.key.to_string()));
        }
    }
    Ok(names)
}

/// `850 ms`, `12 s`, `3 min`, `2 h 05 min`, `4 d 3 h`.
pub(super) fn time_text(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs / 60),
        3600..86_400 => format!("{} h {:02} min", secs / 3600, secs % 3600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// Passages that need a look.
#[derive(Serialize)]
struct List {
    now: UnixMillis,
    passages: Vec<Passage>,
    names: BTreeMap<CompactString, String>,
}

impl Show for List {
    fn text(&self) -> String {
        if self.passages.is_empty() {
            return "none\n".to_owned();
        }
        let row = |passage: &Passage| {
            let late = if passage.is_late(self.now) {
                format!("{} late", time_text(self.now.since(passage.due_at)))
            } else {
                String::new()
            };
            [
                passage.id.to_string(),
                passage.rule.to_string(),
                self.names.get(&passage.id).cloned().unwrap_or_default(),
                late,
                why(passage),
                who(passage),
            ]
        };
        table(
            ["PASSAGE", "RULE", "CUSTOMER", "", "WHY", "WHO ACTS"],
            self.passages.iter().map(row),
        )
    }
}

/// One late passage in a line: how late, and what keeps it.
pub(super) fn late_line(passage: &Passage, called: &str, now: UnixMillis) -> String {
    let late = time_text(now.since(passage.due_at));
    format!("{} {called}, {late} late, {}", passage.rule, why(passage))
}

fn why(passage: &Passage) -> String {
    match (&passage.stop, passage.state) {
        (Some(stop), _) => format!("{}: {}", stop.reason.as_str(), stop.detail),
        (None, State::Open) => "on its way".to_owned(),
        (None, state) => state.as_str().to_owned(),
    }
}

fn who(passage: &Passage) -> String {
    let stop = passage.stop.as_ref();
    stop.map_or_else(String::new, |stop| stop.reason.who().as_str().to_owned())
}

/// One passage with everything there is about it.
#[derive(Serialize)]
struct Sheet {
    now: UnixMillis,
    #[serde(flatten)]
    passage: Passage,
}

impl Show for Sheet {
    fn text(&self) -> String {
        let passage = &self.passage;
        let mut text = String::new();
        line(
            &mut text,
            format_args!("{} · {} · {}", passage.id, passage.rule, passage.customer),
        );
        if let Some(activity) = &passage.activity {
            line(&mut text, format_args!("about     {activity}"));
        }
        line(&mut text, format_args!("began     {}", passage.opened_at));
        let late = if passage.is_late(self.now) { "  (late)" } else { "" };
        line(&mut text, format_args!("due       {}{late}", passage.due_at));
        line(&mut text, format_args!("state     {}", passage.state.as_str()));
        if let Some(stop) = &passage.stop {
            line(
                &mut text,
                format_args!("why       {} (since {})", why(passage), stop.at),
            );
            line(&mut text, format_args!("who acts  {}", who(passage)));
        }
        if let Some(proof) = &passage.proof {
            line(
                &mut text,
                format_args!(
                    "arrived   {} as {}, read {}",
                    passage.delivered_at.unwrap_or(proof.at),
                    proof.record,
                    proof.at
                ),
            );
            if let Some(opened) = &proof.opened {
                line(&mut text, format_args!("opened    {opened}"));
            }
            for (field, value) in &proof.fields {
                line(&mut text, format_args!("          {field} = {value}"));
            }
        }
        if let Some(accepted) = &passage.accepted {
            line(
                &mut text,
                format_args!("taken on  {} by {} ({})", accepted.at, accepted.owner, accepted.record),
            );
        }
        text
    }
}

fn csv(passages: &[Passage], now: UnixMillis) -> String {
    let mut text =
        "passage,rule,customer,activity,state,late,was_there,began,due,arrived,record,taken_on,owner,reason,detail,opened\n"
            .to_owned();
    for passage in passages {
        let time = |at: Option<UnixMillis>| at.map(|at| at.to_string()).unwrap_or_default();
        let proof = passage.proof.as_ref();
        let accepted = passage.accepted.as_ref();
        let stop = passage.stop.as_ref();
        let cells = [
            passage.id.to_string(),
            passage.rule.to_string(),
            passage.customer.to_string(),
            passage.activity.as_ref().map(ToString::to_string).unwrap_or_default(),
            passage.state.as_str().to_owned(),
            passage.is_late(now).to_string(),
            passage.was_there.to_string(),
            time(Some(passage.opened_at)),
            time(Some(passage.due_at)),
            time(passage.delivered_at),
            proof.map(|proof| proof.record.to_string()).unwrap_or_default(),
            time(accepted.map(|accepted| accepted.at)),
            accepted.map(|accepted| accepted.owner.to_string()).unwrap_or_default(),
            stop.map(|stop| stop.reason.as_str().to_owned()).unwrap_or_default(),
            stop.map(|stop| stop.detail.clone()).unwrap_or_default(),
            proof
                .and_then(|proof| proof.opened.as_ref())
                .map(ToString::to_string)
                .unwrap_or_default(),
        ];
        let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
        let _infallible = writeln!(text, "{}", cells.join(","));
    }
    text
}

/// A cell of CSV. One that a spreadsheet would take for a formula is made text.
fn quoted(cell: &str) -> String {
    let cell = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    };
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_where_it_has_to_be_and_is_no_formula() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(quoted("=HYPERLINK(1)"), "'=HYPERLINK(1)");
    }

    #[test]
    fn times_are_short() {
        let text = |ms| time_text(Duration::from_millis(ms));
        assert_eq!(
            (text(850), text(12_000), text(180_000)),
            ("850 ms".into(), "12 s".into(), "3 min".into())
        );
        assert_eq!(
            (text(7_500_000), text(356_400_000)),
            ("2 h 05 min".into(), "4 d 3 h".into())
        );
    }
}
