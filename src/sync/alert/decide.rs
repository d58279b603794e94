//! What is told, to whom, and when. Pure: facts, what was told already and the time go in; notices come out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compact_str::CompactString;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::model::UnixMillis;

/// Most lines of one notice; how many more there are is told.
const LINES_MAX: usize = 10;
/// A notice that could not be delivered for so long is given up: what it is about stays open, and is told again.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What is worth telling a person without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A handoff is past its deadline.
    LateHandoff,
    /// A write was given up.
    DeadWrite,
    /// A webhook that used to come does not come any more.
    SilentWebhook,
    /// A stream is not read: its tool refuses, or its quota is used up.
    ParkedStream,
    /// Nobody has agreed (any more) that Nivel may use a tool.
    ExpiredGrant,
    /// Something waits for `nivel approve`.
    HeldPlan,
    /// A field vanished from a tool.
    Drift,
    /// A run was due and did not start.
    RunLate,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::LateHandoff,
        Self::DeadWrite,
        Self::SilentWebhook,
        Self::ParkedStream,
        Self::ExpiredGrant,
        Self::HeldPlan,
        Self::Drift,
        Self::RunLate,
    ];

    /// The word in the config.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::LateHandoff => "late_handoff",
            Self::DeadWrite => "dead_write",
            Self::SilentWebhook => "silent_webhook",
            Self::ParkedStream => "parked_stream",
            Self::ExpiredGrant => "expired_grant",
            Self::HeldPlan => "held_plan",
            Self::Drift => "drift",
            Self::RunLate => "run_late",
        }
    }

    /// What it means, for the head of a notice.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::LateHandoff => "handoffs past their deadline",
            Self::DeadWrite => "writes that were given up",
            Self::SilentWebhook => "webhooks that do not come any more",
            Self::ParkedStream => "streams that are not read",
            Self::ExpiredGrant => "tools that nobody has signed in to",
            Self::HeldPlan => "writes that wait for `nivel approve`",
            Self::Drift => "fields that vanished from a tool",
            Self::RunLate => "runs that did not start",
        }
    }
}

/// Something that is so now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What kind of thing.
    pub rule: Rule,
    /// What it is about: the same subject is the same alert.
    pub subject: String,
    /// What a person reads.
    pub says: String,
}

/// When nothing is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Quiet {
    /// From this time of day
    pub from: Time,
    /// to this one; the next day, when it is earlier.
    pub until: Time,
    /// On whose clock.
    pub zone: TimeZone,
}

impl Quiet {
    /// True within the quiet hours.
    #[must_use]
    pub fn is_now(&self, now: UnixMillis) -> bool {
        let Ok(at) = jiff::Timestamp::from_millisecond(now.0) else {
            return false;
        };
        let time = at.to_zoned(self.zone.clone()).time();
        if self.from <= self.until {
            self.from <= time && time < self.until
        } else {
            self.from <= time || time < self.until
        }
    }
}

/// Who is told what, and when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routes {
    /// The targets of each rule. A rule without any is not told.
    pub targets: BTreeMap<Rule, BTreeSet<CompactString>>,
    /// When nothing is told.
    pub quiet: Option<Quiet>,
    /// After this time it is told once more that something is still so; never, when it is zero.
    pub repeat: Duration,
}

/// Something that was so when it was last looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// What kind of thing.
    pub rule: Rule,
    /// What it is about.
    pub subject: String,
    /// What a person reads.
    pub says: String,
    /// Since when.
    pub since: UnixMillis,
    /// When it was last told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<UnixMillis>,
    /// It is not so any more; that is still to be told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_over: bool,
}

/// Why a notice goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is so now.
    New,
    /// It is still so.
    Still,
    /// It is over.
    Resolved,
    /// Nothing is wrong: somebody tries the way.
    Test,
}

/// One message, to be delivered to each of its targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its number: the same over all tries.
    pub number: u64,
    /// When it was decided.
    pub at: UnixMillis,
    /// What kind of thing it is about.
    pub rule: Rule,
    /// Why it goes out.
    pub kind: Kind,
    /// What a person reads, one line for each subject.
    pub lines: Vec<String>,
    /// How many subjects more there are.
    pub more: u64,
    /// To whom it was not delivered yet.
    pub to: BTreeSet<CompactString>,
}

impl Notice {
    /// The whole of it as text.
    #[must_use]
    pub fn text(&self) -> String {
        let head = match self.kind {
            Kind::New => format!("Nivel: {}", self.rule.title()),
            Kind::Still => format!("Nivel, still: {}", self.rule.title()),
            Kind::Resolved => format!("Nivel, resolved: {}", self.rule.title()),
            Kind::Test => "Nivel: this is a test, nothing is wrong".to_owned(),
        };
        let mut lines = vec![head];
        lines.extend(self.lines.iter().map(|line| format!("- {line}")));
        if self.more > 0 {
            lines.push(format!("… and {} more", self.more));
        }
        lines.join("\n")
    }
}

/// What is known of alerts; kept in the ledger, so that a restart repeats nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// What is so.
    pub open: Vec<Open>,
    /// What is to be delivered.
    pub pending: Vec<Notice>,
    /// The number of the latest notice.
    pub last: u64,
}

/// The board after a look at what is so now.
#[must_use]
pub fn decide(board: &Board, facts: &[Fact], routes: &Routes, now: UnixMillis) -> Board {
    let mut next = board.clone();
    next.pending
        .retain(|notice| !notice.to.is_empty() && now < notice.at.plus(GIVE_UP_AFTER));
    next.open = look(&board.open, facts, now);
    if routes.quiet.as_ref().is_some_and(|quiet| quiet.is_now(now)) {
        return next;
    }
    for rule in Rule::ALL {
        let is_old = |open: &Open| {
            let told = open.told_at.filter(|_| !routes.repeat.is_zero());
            told.is_some_and(|told| told.plus(routes.repeat) <= now)
        };
        tell(&mut next, rule, Kind::Resolved, routes, now, |open| open.is_over);
        tell(&mut next, rule, Kind::New, routes, now, |open| open.told_at.is_none());
        tell(&mut next, rule, Kind::Still, routes, now, is_old);
    }
    next.open.retain(|open| !open.is_over);
    next
}

/// What is open now. What is over and was never told is forgotten.
fn look(before: &[Open], facts: &[Fact], now: UnixMillis) -> Vec<Open> {
    let known = |fact: &Fact| {
        let mut same = before.iter();
        same.find(|open| open.rule == fact.rule && open.subject == fact.subject)
    };
    let mut open: Vec<Open> = Vec::new();
    for fact in facts {
        if open
            .iter()
            .any(|one| one.rule == fact.rule && one.subject == fact.subject)
        {
            continue;
        }
        let old = known(fact);
        open.push(Open {
            rule: fact.rule,
            subject: fact.subject.clone(),
            says: fact.says.clone(),
            since: old.map_or(now, |old| old.since),
            told_at: old.and_then(|old| old.told_at),
            is_over: false,
        });
    }
    let is_so = |old: &&Open| {
        let mut facts = facts.iter();
        facts.any(|fact| old.rule == fact.rule && old.subject == fact.subject)
    };
    let over = before.iter().filter(|old| old.told_at.is_some() && !is_so(old));
    open.extend(over.map(|old| Open {
        is_over: true,
        ..old.clone()
    }));
    open
}

/// One notice for all subjects of a rule that are to be told so.
fn tell(board: &mut Board, rule: Rule, kind: Kind, routes: &Routes, now: UnixMillis, is_due: impl Fn(&Open) -> bool) {
    let due = |open: &&mut Open| open.rule == rule && (open.is_over == (kind == Kind::Resolved)) && is_due(open);
    let mut lines = Vec::new();
    for open in board.open.iter_mut().filter(due) {
        lines.push(format!("{} (since {})", open.says, open.since));
        open.told_at = Some(now);
    }
    let to = routes.targets.get(&rule).cloned().unwrap_or_default();
    if lines.is_empty() || to.is_empty() {
        return;
    }
    let more = lines.len().saturating_sub(LINES_MAX);
    lines.truncate(LINES_MAX);
    board.last += 1;
    board.pending.push(Notice {
        number: board.last,
        at: now,
        rule,
        kind,
        lines,
        more: more as u64,
        to,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn fact(subject: &str) -> Fact {
        Fact {
            rule: Rule::DeadWrite,
            subject: subject.to_owned(),
            says: format!("{subject} is dead"),
        }
    }

    fn routes(quiet: Option<(&str, &str)>) -> Routes {
        let quiet = quiet.map(|(from, until)| Quiet {
            from: from.parse().unwrap(),
            until: until.parse().unwrap(),
            zone: TimeZone::UTC,
        });
        Routes {
            targets: [(Rule::DeadWrite, ["ops".into()].into())].into(),
            quiet,
            repeat: Duration::from_secs(24 * 3600),
        }
    }

    /// What goes out at each hour, given the subjects that are open then.
    fn play(routes: &Routes, hours: &[(i64, &[&str])]) -> Vec<String> {
        let mut board = Board::default();
        let mut out = Vec::new();
        for (hour, subjects) in hours {
            let facts: Vec<Fact> = subjects.iter().map(|subject| fact(subject)).collect();
            board = decide(&board, &facts, routes, UnixMillis(hour * HOUR));
            // Through the ledger and back, as after a restart.
            board = serde_json::from_str(&serde_json::to_string(&board).unwrap()).unwrap();
            for notice in std::mem::take(&mut board.pending) {
                out.push(format!("{hour} {:?} {}", notice.kind, notice.lines.len()));
            }
        }
        out
    }

    #[test]
    fn told_once_grouped_and_resolved() {
        let out = play(
            &routes(None),
            &[
                (0, &["a", "b"]),
                (1, &["a", "b"]),
                (2, &["a", "b", "c"]),
                (3, &["a"]),
                (4, &[]),
                (5, &[]),
            ],
        );
        assert_eq!(out, ["0 New 2", "2 New 1", "3 Resolved 2", "4 Resolved 1"]);
    }

    #[test]
    fn what_lasts_is_told_again_after_a_day() {
        let out = play(&routes(None), &[(0, &["a"]), (23, &["a"]), (24, &["a"]), (25, &["a"])]);
        assert_eq!(out, ["0 New 1", "24 Still 1"]);
    }

    #[test]
    fn quiet_hours_put_it_off_and_forget_what_is_over_by_then() {
        let quiet = routes(Some(("22:00", "07:00")));
        let out = play(
            &quiet,
            &[
                (21, &["a"]),
                (23, &["a", "b", "c"]),
                (25, &["b"]),
                (30, &["b"]),
                (31, &["b"]),
            ],
        );
        assert_eq!(out, ["21 New 1", "31 Resolved 1", "31 New 1"]);
        // Back before the morning: nobody hears that it was gone.
        let out = play(&quiet, &[(21, &["a"]), (23, &[]), (26, &["a"]), (32, &["a"])]);
        assert_eq!(out, ["21 New 1"]);
        let day = routes(Some(("12:00", "13:00")));
        assert_eq!(play(&day, &[(12, &["a"]), (13, &["a"])]), ["13 New 1"]);
    }

    #[test]
    fn a_rule_without_a_target_is_not_told_and_not_kept_back() {
        let mut none = routes(None);
        none.targets.clear();
        assert!(play(&none, &[(0, &["a"]), (1, &[])]).is_empty());
    }

    #[test]
    fn a_flood_is_one_notice() {
        let facts: Vec<Fact> = (0..500).map(|number| fact(&number.to_string())).collect();
        let board = decide(&Board::default(), &facts, &routes(None), UnixMillis(0));
        assert_eq!(board.pending.len(), 1);
        assert_eq!((board.pending[0].lines.len(), board.pending[0].more), (LINES_MAX, 490));
        assert!(board.pending[0].text().contains("and 490 more"));
    }

    #[test]
    fn what_cannot_be_delivered_for_a_day_is_given_up() {
        let board = decide(&Board::default(), &[fact("a")], &routes(None), UnixMillis(0));
        let later = |hour: i64| {
            decide(&board, &[fact("a")], &routes(None), UnixMillis(hour * HOUR))
                .pending
                .len()
        };
        assert_eq!(
            (later(23), later(24)),
            (1, 1),
            "the old one, then the reminder in its place"
        );
    }
}
