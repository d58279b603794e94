//! Windows of time: which one is read next, how it is split, and when it is over. Pure.

use std::time::Duration;

use super::place::{Aim, Task};
use crate::manifest::{Ceiling, Order, Window};
use crate::model::UnixMillis;

/// A window is not split below this: no tool tells two moments apart that lie closer.
const SPAN_MIN: Duration = Duration::from_secs(1);

/// How far beyond the present the end of a sweep reaches, for clocks that are ahead.
const TAIL_AHEAD: Duration = Duration::from_secs(24 * 3600);

/// How a stream's windows are cut: the manifest's words with the admin's overrides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The beginning of time for the tool.
    pub(super) start: UnixMillis,
    /// A window never ends later than now minus this.
    pub(super) lag: Duration,
    /// How far a window reaches back into the one before it.
    pub(super) overlap: Duration,
    /// The longest window.
    pub(super) max: Option<Duration>,
    /// The most the tool lists for one query.
    pub(super) ceiling: Option<Ceiling>,
    /// The tool cannot filter, but lists the latest change first.
    pub(super) is_newest_first: bool,
}

impl Pace {
    /// The pace of a manifest's window.
    pub(super) fn new(window: &Window, lag: Option<Duration>, overlap: Option<Duration>) -> Self {
        Self {
            start: window.start.0,
            lag: lag.unwrap_or(window.lag.0),
            overlap: overlap.unwrap_or(window.overlap.0),
            max: window.max.map(|max| max.0),
            ceiling: window.ceiling,
            is_newest_first: window.order == Order::Newest,
        }
    }

    /// The pace of a list that is always read whole.
    pub(super) fn whole() -> Self {
        Self {
            start: UnixMillis(0),
            lag: Duration::ZERO,
            overlap: Duration::ZERO,
            max: None,
            ceiling: None,
            is_newest_first: false,
        }
    }

    /// The latest end of a window that is opened at `now`.
    pub(super) fn bound(&self, now: UnixMillis) -> UnixMillis {
        now.minus(self.lag)
    }

    /// The next window after `state`; `None` when nothing can have changed that is old enough to be read.
    pub(super) fn changes(&self, state: Option<UnixMillis>, now: UnixMillis) -> Option<Task> {
        let from = state.unwrap_or(self.start);
        let bound = self.bound(now);
        if bound <= from {
            return None;
        }
        let until = self.max.map_or(bound, |max| from.plus(max).min(bound));
        let since = match state {
            Some(state) => state.minus(self.overlap).max(self.start),
            None => self.start,
        };
        Some(Task::new(Aim::Changes, now, since, until))
    }

    /// A sweep over everything.
    pub(super) fn sweep(&self, now: UnixMillis) -> Task {
        let bound = self.bound(now).max(self.start.plus(SPAN_MIN));
        let mut task = Task::new(Aim::Sweep, now, self.start, bound);
        if let Some(max) = self.max {
            task.until = self.start.plus(max).min(bound);
        }
        task
    }

    /// True when a query has met the ceiling: it may have been cut off there without a word.
    pub(super) fn is_ceiling_met(&self, task: &Task) -> bool {
        match self.ceiling {
            Some(Ceiling::Rows(rows)) => task.rows >= rows,
            Some(Ceiling::Pages(pages)) => task.pages >= pages,
            None => false,
        }
    }

    /// After the last part of a window: goes on with the rest of the whole window. False when there is none.
    pub(super) fn next_window(&self, task: &mut Task) -> bool {
        if task.until >= task.bound {
            return false;
        }
        // A window that had to be split is opened up again step by step.
        let span = task.until.since(task.since).max(SPAN_MIN) * 2;
        let span = self.max.map_or(span, |max| span.min(max));
        task.since = task.until;
        task.until = task.since.plus(span).min(task.bound);
        task.part = 0;
        task.begin_query();
        true
    }

    /// A sweep that reached its end reads once more, without an end, what changed since it began: an object that moved
    /// from a part still to be read to one already read must not be taken for absent. False when that was done.
    pub(super) fn tail(&self, task: &mut Task, now: UnixMillis) -> bool {
        if task.is_tail {
            return false;
        }
        task.is_tail = true;
        task.job = None;
        task.since = task.end.minus(self.overlap).max(self.start);
        task.until = now.plus(TAIL_AHEAD);
        task.bound = task.until;
        task.end = task.end.max(self.bound(now));
        task.part = 0;
        task.begin_query();
        true
    }
}

/// Halves a window and begins it again. False when it cannot be split.
pub(super) fn halve(task: &mut Task) -> bool {
    let span = task.until.since(task.since);
    if span <= SPAN_MIN {
        return false;
    }
    // Whole seconds: many tools know no others.
    let half = Duration::from_secs((span / 2).as_secs().max(1));
    task.until = task.since.plus(half);
    task.part = 0;
    task.begin_query();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: i64) -> UnixMillis {
        UnixMillis(seconds * 1000)
    }

    fn pace() -> Pace {
        Pace {
            start: at(100),
            lag: 60 * SECOND,
            overlap: 30 * SECOND,
            max: Some(500 * SECOND),
            ..Pace::whole()
        }
    }

    #[track_caller]
    fn check(state: Option<i64>, now: i64, expected: Option<(i64, i64)>) {
        let task = pace().changes(state.map(at), at(now));
        assert_eq!(task.map(|task| (task.since.0 / 1000, task.until.0 / 1000)), expected);
    }

    #[test]
    fn windows_follow_each_other_without_a_gap_and_never_reach_the_present() {
        check(None, 10_000, Some((100, 600)));
        check(Some(600), 10_000, Some((570, 1100)));
        check(Some(9900), 10_000, Some((9870, 9940)));
        check(Some(9940), 10_000, None);
        check(None, 130, None);
        check(Some(110), 1000, Some((100, 610)));
    }

    #[test]
    fn an_overlap_longer_than_a_window_still_advances() {
        let pace = Pace {
            overlap: 5000 * SECOND,
            ..pace()
        };
        let task = pace.changes(Some(at(9000)), at(10_000)).unwrap();
        assert_eq!((task.since, task.until), (at(4000), at(9500)));
    }

    #[test]
    fn a_split_window_is_read_to_its_bound() {
        let mut task = pace().changes(None, at(10_000)).unwrap();
        assert!(halve(&mut task) && halve(&mut task));
        let mut seen = vec![(task.since, task.until)];
        while pace().next_window(&mut task) {
            seen.push((task.since, task.until));
        }
        assert_eq!(seen, [(at(100), at(225)), (at(225), at(475)), (at(475), at(600))]);
        assert_eq!(task.end, at(600));
    }

    #[test]
    fn a_second_cannot_be_split() {
        let mut task = Task::new(Aim::Changes, at(0), at(10), at(13));
        assert!(halve(&mut task));
        assert_eq!(task.until, at(11));
        assert!(!halve(&mut task));
    }

    #[test]
    fn a_sweep_reads_what_moved_meanwhile_a_second_time() {
        let mut task = pace().sweep(at(1000));
        while pace().next_window(&mut task) {}
        assert_eq!(task.until, at(940));
        assert!(pace().tail(&mut task, at(2000)));
        assert_eq!(
            (task.since, task.until, task.end),
            (at(910), at(2000 + 86_400), at(1940))
        );
        assert!(!pace().tail(&mut task, at(3000)));
    }
}
