//! `nivel status`: where each stream stands, what waits, what needs a look. Reads the ledger only.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use clap::Args;
use compact_str::CompactString;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, count, line, table};
use super::sync::state_word;
use crate::error::{Code, Problem};
use crate::ledger::{Ask, InboxState, Ledger, Run, StreamState, Totals, WriteState};
use crate::model::{QuotaUse, UnixMillis};
use crate::sync::MATCH_HELD;

/// A health check must not hang.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// How many customers that are too large are told.
const TOO_LARGE_SHOWN: usize = 20;

/// Show where each stream stands and what waits
#[derive(Debug, Args)]
#[command(after_help = "Exit code 3 says that something needs a look.\n\n\
Example:\n  nivel status\n  nivel status --runs 20 --output json\n  nivel status --probe")]
pub(super) struct Status {
    /// Also show the latest N runs
    #[arg(long, value_name = "N", default_value_t = 0)]
    runs: usize,
    /// Only ask the running daemon whether it is ready; for health checks
    #[arg(long)]
    probe: bool,
}

impl Status {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        if self.probe {
            return probe(context).await;
        }
        let ledger = context.ledger()?;
        let streams = ledger.streams().await?;
        let config = context.config()?;
        // A connector that cannot be loaded is `nivel check`'s to tell; the ledger says all the rest.
        let rules = crate::daemon::rules(&config, &context.clock).ok();
        let needs_approval = match &rules {
            Some(rules) => !crate::sync::is_approved(ledger.as_ref(), rules).await?,
            None => false,
        };
        let size_max = rules.unwrap_or_default().size_max();
        let ids: Vec<_> = streams.keys().cloned().collect();
        let report = Report {
            needs_approval,
            vanished: crate::sync::vanished(ledger.as_ref(), &ids).await?,
            at: context.clock.now(),
            streams: streams.into_iter().map(|(id, state)| (id.to_string(), state)).collect(),
            totals: ledger.totals().await?,
            webhooks: ledger.inbox().await?,
            runs: ledger.runs(self.runs).await?,
            too_large: too_large(ledger.as_ref(), size_max).await?,
            match_held: ledger.setting(MATCH_HELD).await?.filter(|held| !held.is_empty()),
            quotas: crate::daemon::quotas(&config, context.clock.now()).await?,
        };
        context.output.show(&report);
        Ok(report.exit())
    }
}

/// Customers of whom nobody has said that they may be so large.
async fn too_large(ledger: &dyn Ledger, size_max: usize) -> Result<Vec<Problem>, Failed> {
    let mut told = Vec::new();
    for (key, records) in ledger.oversized(size_max, TOO_LARGE_SHOWN).await? {
        let of = Ask {
            customers: [key].into(),
            ..Ask::default()
        };
        if crate::sync::is_withheld(&ledger.view(of).await?, key, size_max) {
            let problem = Problem::new(
                Code::CustomerTooLarge,
                format!("{records} records turned out to be one customer"),
            );
            told.push(problem.about(key).hint(format!(
                "nothing is written because of her; `nivel customer why {key}`, then `customer split` or `customer pin`"
            )));
        }
    }
    Ok(told)
}

/// Asks `/readyz` of the daemon that the config describes.
async fn probe(context: &Context) -> Result<Exit, Failed> {
    let mut listen = context.config()?.http.listen;
    if listen.ip().is_unspecified() {
        let loopback: IpAddr = if listen.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        };
        listen.set_ip(loopback);
    }
    let unreachable = |why: String| Problem::new(Code::Unreachable, why).about(listen);
    let asked = async {
        let client = reqwest::Client::builder().timeout(PROBE_TIMEOUT).no_proxy().build()?;
        let answer = client.get(format!("http://{listen}/readyz")).send().await?;
        let is_ready = answer.status().is_success();
        Ok::<_, reqwest::Error>((is_ready, answer.text().await?))
    };
    match crate::fault::effect("probe", asked).await {
        Ok(Ok((is_ready, text))) => {
            context.output.data(text.trim_end());
            Ok(if is_ready { Exit::Fine } else { Exit::Problem })
        }
        Ok(Err(error)) => Err(unreachable(format!("no daemon answers: {}", error.without_url())).into()),
        Err(prevented) => Err(unreachable(prevented.to_string()).into()),
    }
}

#[derive(Clone, Debug, Serialize)]
struct Report {
    at: UnixMillis,
    /// Nobody has said yes to the present setup: nothing is written.
    needs_approval: bool,
    streams: BTreeMap<String, StreamState>,
    /// Mapped fields that are in no object of their stream any more.
    vanished: Vec<Problem>,
    totals: Totals,
    /// By system: received = waiting + all fates.
    webhooks: BTreeMap<CompactString, InboxState>,
    runs: Vec<Run>,
    quotas: Vec<QuotaUse>,
    /// Why the scored match is held, if it is.
    match_held: Option<String>,
    /// Customers with more records than a person can have: nothing is written because of them.
    too_large: Vec<Problem>,
}

impl Report {
    fn dead(&self) -> u64 {
        self.totals.writes.get(&WriteState::Dead).copied().unwrap_or(0)
    }

    fn exit(&self) -> Exit {
        let is_sick = |state: &StreamState| state.problem.is_some() || state.sweep.problem.is_some();
        let has_problem =
            self.streams.values().any(is_sick) || self.webhooks.values().any(|state| !state.problems.is_empty());
        let is_held = self.totals.writes.get(&WriteState::Held).is_some_and(|held| *held > 0);
        if has_problem
            || self.dead() > 0
            || self.totals.noteless > 0
            || self.needs_approval
            || is_held
            || self.totals.frozen > 0
            || self.match_held.is_some()
            || !self.vanished.is_empty()
            || !self.too_large.is_empty()
        {
            Exit::Degraded
        } else {
            Exit::Fine
        }
    }

    fn write_lines(&self, text: &mut String) {
        let totals = &self.totals;
        let writes = totals.writes.iter().filter(|(_, number)| **number > 0);
        let writes = writes.map(|(state, number)| format!("{number} {}", state_word(*state)));
        let removals = (totals.deletes > 0).then(|| format!("{} among them", count(totals.deletes, "removal")));
        let writes: Vec<String> = writes.chain(removals).collect();
        if writes.is_empty() {
            line(text, "no write waits");
        } else {
            line(text, format_args!("writes: {}", writes.join(" · ")));
        }
        if totals.noteless > 0 {
            line(
                text,
                format_args!("{} of handoffs given up", count(totals.noteless, "note")),
            );
        }
        if self.dead() > 0 || totals.noteless > 0 {
            line(text, "`nivel dead list` shows why");
        }
        if totals.writes.get(&WriteState::Held).is_some_and(|held| *held > 0) {
            line(
                text,
                "held writes wait for a yes: `nivel plan` shows them, `nivel approve` lets them out",
            );
        }
        if totals.frozen > 0 {
            let records = count(totals.frozen, "record");
            line(
                text,
                format_args!("{records} with frozen fields: `nivel dead frozen` shows why"),
            );
        }
        if self.needs_approval {
            line(text, super::sync::not_approved());
        }
    }

    /// Where the scored match stands.
    fn match_lines(&self, text: &mut String) {
        let totals = &self.totals;
        if totals.unmatched > 0 {
            let waiting = count(totals.unmatched, "record");
            line(
                text,
                format_args!("match: {waiting} to be compared; nothing is written before"),
            );
        }
        if let Some(held) = &self.match_held {
            line(
                text,
                format_args!("match held: {held}; `nivel approve` lets it through"),
            );
        }
        if totals.reviews > 0 {
            let open = count(totals.reviews, "question");
            line(
                text,
                format_args!("review: {open} wait for a person; `nivel review list`"),
            );
        }
    }

    fn stream_row(&self, name: &str, state: &StreamState) -> [String; 4] {
        let parked = state.parked_until.filter(|until| *until > self.at);
        let word = match (&state.problem, parked, state.initial_done_at) {
            (_, Some(until), _) => format!("parked for {}", span(until.since(self.at))),
            (Some(_), None, _) => "stopped".to_owned(),
            (None, None, None) => "first read".to_owned(),
            (None, None, Some(_)) => "up to date".to_owned(),
        };
        let read = state
            .caught_up_at
            .map_or_else(|| "never".to_owned(), |at| format!("{} ago", span(self.at.since(at))));
        let problem = state.problem.as_ref().or(state.sweep.problem.as_ref());
        let problem = problem.map(ToString::to_string).unwrap_or_default();
        [name.to_owned(), word, read, problem]
    }
}

/// A time span in its largest unit: `3 d`, `5 min`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

impl Show for Report {
    fn text(&self) -> String {
        let mut text = String::new();
        if self.streams.is_empty() {
            line(&mut text, "nothing was read yet; run `nivel plan` or `nivel sync`");
        } else {
            let rows = self.streams.iter().map(|(name, state)| self.stream_row(name, state));
            line(
                &mut text,
                table(["stream", "state", "read to its end", "problem"], rows),
            );
        }
        for problem in self.vanished.iter().chain(&self.too_large) {
            line(&mut text, problem);
        }
        let totals = &self.totals;
        line(
            &mut text,
            format_args!(
                "\n{} · {} · {} · {} rejected",
                count(totals.customers, "customer"),
                count(totals.records, "record"),
                count(totals.merges, "merge"),
                totals.rejected
            ),
        );
        self.write_lines(&mut text);
        self.match_lines(&mut text);
        if !self.quotas.is_empty() {
            let row = |quota: &QuotaUse| {
                let used = format!("{} of {}", quota.spent, quota.max);
                [quota.name.to_string(), span(Duration::from_secs(quota.span_s)), used]
            };
            let rows = self.quotas.iter().map(row);
            line(&mut text, format_args!("\n{}", table(["quota", "in", "spent"], rows)));
        }
        for (system, state) in &self.webhooks {
            line(&mut text, webhook_line(system, state));
            for (stream, problem) in &state.problems {
                line(&mut text, format_args!("  {stream} {problem}"));
            }
        }
        if !self.runs.is_empty() {
            line(&mut text, format_args!("\n{}", runs_table(&self.runs)));
        }
        text
    }
}

/// `webhooks of crm: 120 received = 3 waiting + 100 applied + 17 duplicate`
fn webhook_line(system: &str, state: &InboxState) -> String {
    let fates = state.fates.iter().filter(|(_, count)| **count > 0);
    let mut parts = vec![format!("{} waiting", state.waiting)];
    parts.extend(fates.map(|(fate, count)| format!("{count} {}", fate.word())));
    format!(
        "webhooks of {system}: {} received = {}",
        state.received,
        parts.join(" + ")
    )
}

fn runs_table(runs: &[Run]) -> String {
    let row = |run: &Run| {
        let took = run
            .ended_at
            .map_or_else(|| "…".to_owned(), |end| span(end.since(run.started_at)));
        let problem = run.problem.as_ref().map(ToString::to_string).unwrap_or_default();
        let numbers = [run.read, run.changed, run.rejected].map(|number| number.to_string());
        let [read, changed, rejected] = numbers;
        [
            run.id.to_string(),
            run.stream.to_string(),
            run.started_at.to_string(),
            took,
            read,
            changed,
            rejected,
            problem,
        ]
    };
    let head = [
        "run", "stream", "started", "took", "read", "changed", "rejected", "problem",
    ];
    table(head, runs.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Fate;

    fn report() -> Report {
        let at = UnixMillis(10_000_000);
        let well = StreamState {
            initial_done_at: Some(UnixMillis(1)),
            caught_up_at: Some(at.minus(Duration::from_secs(300))),
            ..StreamState::default()
        };
        Report {
            at,
            needs_approval: false,
            vanished: Vec::new(),
            streams: [("crm/person".to_owned(), well)].into(),
            totals: Totals {
                records: 3,
                customers: 1,
                ..Totals::default()
            },
            webhooks: BTreeMap::new(),
            runs: Vec::new(),
            quotas: Vec::new(),
            match_held: None,
            too_large: Vec::new(),
        }
    }

    #[test]
    fn webhooks_are_accounted_for() {
        let mut report = report();
        let mut state = InboxState {
            received: 120,
            waiting: 3,
            fates: [(Fate::Applied, 100), (Fate::Duplicate, 17), (Fate::Older, 0)].into(),
            ..InboxState::default()
        };
        report.webhooks.insert("crm".into(), state.clone());
        let wanted = "\nwebhooks of crm: 120 received = 3 waiting + 100 applied + 17 duplicate\n";
        assert!(report.text().contains(wanted), "{}", report.text());
        assert_eq!(report.exit(), Exit::Fine);
        let silent = Problem::new(Code::WebhookSilent, "no webhook came for 9 h");
        state.problems.insert("person".into(), silent);
        report.webhooks.insert("crm".into(), state);
        assert!(
            report.text().contains("  person HOK001: no webhook came for 9 h"),
            "{}",
            report.text()
        );
        assert_eq!(report.exit(), Exit::Degraded);
    }

    #[test]
    fn quiet_when_all_is_well() {
        let wanted = "\
STREAM      STATE       READ TO ITS END  PROBLEM
crm/person  up to date  5 min ago

1 customer · 3 records · 0 merges · 0 rejected
no write waits
";
        assert_eq!(report().text(), wanted);
        assert_eq!(report().exit(), Exit::Fine);
    }

    #[test]
    fn stopped_and_parked_streams_and_dead_writes_are_degraded() {
        let mut sick = report();
        let parked = StreamState {
            problem: Some(Problem::new(Code::QuotaUsed, "no requests left")),
            parked_until: Some(sick.at.plus(Duration::from_secs(7200))),
            ..StreamState::default()
        };
        sick.streams.insert("desk/user".to_owned(), parked);
        let text = sick.text();
        assert!(
            text.contains("desk/user   parked for 2 h  never            CON008: no requests left"),
            "{text}"
        );
        assert_eq!(sick.exit(), Exit::Degraded);
        let mut dead = report();
        dead.totals.writes.insert(WriteState::Dead, 2);
        assert_eq!(dead.exit(), Exit::Degraded);
        assert!(dead.text().contains("writes: 2 dead\n`nivel dead list` shows why"));
    }

    #[test]
    fn spans_have_one_unit() {
        let show = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(
            ["5 s", "2 min", "2 h", "3 d"],
            [show(5), show(125), show(7200), show(3 * 86_400)]
        );
    }
}
