//! Figures over passages: how many stand where, how long each step took, how many of each week arrived.

use std::collections::BTreeMap;
use std::time::Duration;

use compact_str::CompactString;
use serde::Serialize;

use super::passage::{Passage, State};
use crate::model::UnixMillis;

/// How long a step took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// Of so many.
    pub count: u64,
    /// Half of them took no longer, in milliseconds.
    pub median_ms: u64,
    /// 95 of a hundred took no longer, in milliseconds.
    pub p95_ms: u64,
}

/// What became of the passages that began in one week.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cohort {
    /// They began,
    pub opened: u64,
    /// arrived,
    pub delivered: u64,
    /// and were taken on.
    pub accepted: u64,
    /// They did not arrive, or not in time.
    pub late: u64,
}

/// The figures of one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// All there ever were.
    pub total: u64,
    /// On their way.
    pub open: u64,
    /// Of those on their way or stopped, past their deadline.
    pub late: u64,
    /// Waiting for somebody.
    pub stopped: u64,
    /// Arrived, and not taken on.
    pub delivered: u64,
    /// Taken on.
    pub accepted: u64,
    /// Not wanted any more before they arrived.
    pub cancelled: u64,
    /// Of all, those that were so already when Nivel first looked; they count in no time and no week.
    pub was_there: u64,
    /// Of those that arrived, after their deadline.
    pub arrived_late: u64,
    /// From the beginning to the arrival.
    pub to_delivery: Spread,
    /// From the arrival to somebody's taking it on.
    pub to_acceptance: Spread,
    /// Stopped passages by reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// By the week in which they began (`2026-W48`, UTC).
    pub weeks: BTreeMap<String, Cohort>,
}

/// Counts passages one after the other.
#[derive(Debug, Default)]
pub struct Counting(BTreeMap<CompactString, OfRule>);

#[derive(Debug, Default)]
struct OfRule {
    figures: Figures,
    delivery: Vec<Duration>,
    acceptance: Vec<Duration>,
}

impl Counting {
    /// Counts one more, as it stands `now`.
    pub fn take(&mut self, passage: &Passage, now: UnixMillis) {
        let mine = self.0.entry(passage.rule.clone()).or_default();
        count(&mut mine.figures, passage, now);
        let measured = passage.delivered_at.filter(|_| !passage.was_there);
        if let Some(at) = measured {
            mine.delivery.push(at.since(passage.opened_at));
            let taken_on = passage.accepted.as_ref().map(|accepted| accepted.at.since(at));
            mine.acceptance.extend(taken_on);
        }
    }

    /// The figures of every rule.
    #[must_use]
    pub fn finish(self) -> BTreeMap<CompactString, Figures> {
        let finish = |(rule, counted): (CompactString, OfRule)| {
            let figures = Figures {
                to_delivery: spread(counted.delivery),
                to_acceptance: spread(counted.acceptance),
                ..counted.figures
            };
            (rule, figures)
        };
        self.0.into_iter().map(finish).collect()
    }
}

/// The figures of every rule.
#[must_use]
pub fn figures<'a>(
    passages: impl IntoIterator<Item = &'a Passage>,
    now: UnixMillis,
) -> BTreeMap<CompactString, Figures> {
    let mut counting = Counting::default();
    for passage in passages {
        counting.take(passage, now);
    }
    counting.finish()
}

fn count(figures: &mut Figures, passage: &Passage, now: UnixMillis) {
    figures.total += 1;
    let is_late = passage.is_late(now);
    figures.late += u64::from(is_late);
    figures.was_there += u64::from(passage.was_there);
    figures.arrived_late += u64::from(passage.was_late());
    match passage.state {
        State::Open => figures.open += 1,
        State::Stopped => figures.stopped += 1,
        State::Delivered => figures.delivered += 1,
        State::Accepted => figures.accepted += 1,
        State::Cancelled => figures.cancelled += 1,
    }
    if let Some(stop) = passage.stop.as_ref().filter(|_| passage.state == State::Stopped) {
        *figures.reasons.entry(stop.reason.as_str()).or_default() += 1;
    }
    if passage.was_there {
        return;
    }
    let week = figures.weeks.entry(week_of(passage.opened_at)).or_default();
    week.opened += 1;
    week.delivered += u64::from(passage.delivered_at.is_some());
    week.accepted += u64::from(passage.accepted.is_some());
    week.late += u64::from(is_late || passage.was_late());
}

/// The ISO week of a moment, UTC.
fn week_of(at: UnixMillis) -> String {
    let Ok(at) = jiff::Timestamp::from_millisecond(at.0) else {
        return String::new();
    };
    let week = at.to_zoned(jiff::tz::TimeZone::UTC).date().iso_week_date();
    format!("{}-W{:02}", week.year(), week.week())
}

/// Nearest-rank percentiles.
fn spread(mut times: Vec<Duration>) -> Spread {
    times.sort();
    let at = |percent: usize| {
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied().unwrap_or_default()
    };
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Spread {
        count: times.len() as u64,
        median_ms: ms(at(50)),
        p95_ms: ms(at(95)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_there() {
        let times = |all: &[u64]| spread(all.iter().map(|ms| Duration::from_millis(*ms)).collect());
        assert_eq!(times(&[]), Spread::default());
        assert_eq!(
            times(&[5]),
            Spread {
                count: 1,
                median_ms: 5,
                p95_ms: 5
            }
        );
        assert_eq!(
            times(&[4, 1, 3, 2]),
            Spread {
                count: 4,
                median_ms: 2,
                p95_ms: 4
            }
        );
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(
            times(&hundred),
            Spread {
                count: 100,
                median_ms: 50,
                p95_ms: 95
            }
        );
    }

    #[test]
    fn weeks_are_those_of_the_calendar() {
        let week = |text| week_of(UnixMillis::from_rfc3339(text).unwrap());
        assert_eq!(week("2026-01-01T00:00:00Z"), "2026-W01");
        assert_eq!(week("2027-01-01T12:00:00Z"), "2026-W53");
        assert_eq!(week("2026-11-22T23:59:59Z"), "2026-W47");
    }
}
