//! When a system is read next, and which due run did not start. Pure; the time is handed in.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use compact_str::CompactString;
use cronexpr::{Crontab, MakeTimestamp, parse_crontab};

use crate::model::UnixMillis;

/// The most by which a run is put off at random when nothing else is said.
const JITTER_MAX: Duration = Duration::from_secs(30);
/// A run that is due for so long and has not begun is late.
const LATE_AFTER: Duration = Duration::from_secs(120);

/// When something is due.
#[derive(Clone, Debug)]
enum When {
    /// So long after the last one began.
    Every(Duration),
    /// As a crontab says, in its own time zone.
    Cron(Box<Crontab>),
}

/// When a system is read.
#[derive(Clone, Debug)]
pub struct Schedule {
    when: When,
    jitter: Duration,
}

impl Schedule {
    /// So long after the last run began; put off by up to a twentieth, so that systems do not all begin at once.
    #[must_use]
    pub fn every(time: Duration) -> Self {
        Self {
            when: When::Every(time),
            jitter: (time / 20).min(JITTER_MAX),
        }
    }

    /// As a crontab with a time zone says: `0 2 * * * Europe/Helsinki`.
    ///
    /// # Errors
    /// What is wrong with it, in words for the admin.
    pub fn cron(text: &str) -> Result<Self, String> {
        let crontab = parse_crontab(text).map_err(|error| error.to_string())?;
        Ok(Self {
            when: When::Cron(Box::new(crontab)),
            jitter: JITTER_MAX,
        })
    }

    /// The same with another random delay.
    #[must_use]
    pub fn with_jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// True when a start of the daemon alone is a reason to read.
    #[must_use]
    pub fn begins_at_start(&self) -> bool {
        matches!(self.when, When::Every(_))
    }

    /// When `system` is read next, given when its last run began. What was missed is caught up once, now; what never ran
    /// runs now. The random delay of one run is always the same.
    #[must_use]
    pub fn next(&self, system: &str, last: Option<UnixMillis>, now: UnixMillis) -> UnixMillis {
        let Some(last) = last else { return now };
        let due = match &self.when {
            When::Every(time) => last.plus(*time),
            When::Cron(crontab) => match next_of(crontab, last) {
                Some(due) => due,
                // Never again within four years: looked at again tomorrow.
                None => now.plus(Duration::from_secs(86_400)),
            },
        };
        due.plus(self.delay(system, due)).max(now)
    }

    fn delay(&self, system: &str, due: UnixMillis) -> Duration {
        let span = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX);
        let mut hasher = DefaultHasher::new();
        (system, due).hash(&mut hasher);
        Duration::from_millis(hasher.finish() % span.saturating_add(1))
    }
}

fn next_of(crontab: &Crontab, last: UnixMillis) -> Option<UnixMillis> {
    let last = MakeTimestamp::from_millisecond(last.0).ok()?;
    let next = crontab.find_next(last).ok()?;
    Some(UnixMillis(next.timestamp().as_millisecond()))
}

/// What each system waits for; the watchdog's view of the daemon.
#[derive(Clone, Debug, Default)]
pub struct Board(BTreeMap<CompactString, Option<UnixMillis>>);

impl Board {
    /// The system's next run is due then.
    pub fn due(&mut self, system: &str, at: UnixMillis) {
        self.0.insert(system.into(), Some(at));
    }

    /// The run has begun.
    pub fn begun(&mut self, system: &str) {
        self.0.insert(system.into(), None);
    }

    /// Systems whose run is due and has not begun, and for how long.
    #[must_use]
    pub fn late(&self, now: UnixMillis) -> Vec<(CompactString, Duration)> {
        let late = |(system, due): (&CompactString, &Option<UnixMillis>)| {
            let since = now.since((*due)?);
            (since > LATE_AFTER).then(|| (system.clone(), since))
        };
        self.0.iter().filter_map(late).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMillis {
        UnixMillis::from_rfc3339(text).unwrap()
    }

    #[track_caller]
    fn check(schedule: &Schedule, last: &str, now: &str, expected: &str) {
        let last = (!last.is_empty()).then(|| at(last));
        let next = schedule.next("crm", last, at(now));
        assert_eq!(next.to_string(), at(expected).to_string());
    }

    #[test]
    fn an_interval_counts_from_the_last_beginning_and_catches_up_once() {
        let schedule = Schedule::every(Duration::from_secs(300)).with_jitter(Duration::ZERO);
        check(&schedule, "", "2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z");
        check(
            &schedule,
            "2026-01-01T10:00:00Z",
            "2026-01-01T10:01:00Z",
            "2026-01-01T10:05:00Z",
        );
        check(
            &schedule,
            "2026-01-01T10:00:00Z",
            "2026-01-01T17:00:00Z",
            "2026-01-01T17:00:00Z",
        );
        check(
            &schedule,
            "2026-01-01T17:00:00Z",
            "2026-01-01T17:00:01Z",
            "2026-01-01T17:05:00Z",
        );
    }

    #[test]
    fn a_crontab_is_read_in_its_own_zone_also_when_clocks_change() {
        let nightly = Schedule::cron("30 2 * * * Europe/Helsinki")
            .unwrap()
            .with_jitter(Duration::ZERO);
        check(
            &nightly,
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:30:00Z",
        );
        check(
            &nightly,
            "2026-01-01T00:30:00Z",
            "2026-01-01T00:31:00Z",
            "2026-01-02T00:30:00Z",
        );
        // In summer two o'clock is earlier.
        check(
            &nightly,
            "2026-07-01T00:00:00Z",
            "2026-07-01T00:00:00Z",
            "2026-07-01T23:30:00Z",
        );
        // Missed for three nights: caught up once, then as ever.
        check(
            &nightly,
            "2026-01-01T00:30:00Z",
            "2026-01-04T12:00:00Z",
            "2026-01-04T12:00:00Z",
        );
        check(
            &nightly,
            "2026-01-04T12:00:00Z",
            "2026-01-04T12:01:00Z",
            "2026-01-05T00:30:00Z",
        );
        assert!(Schedule::cron("30 2 * * *").is_err(), "a zone is not guessed");
        assert!(Schedule::cron("61 2 * * * UTC").is_err());
    }

    #[test]
    fn the_random_delay_is_bounded_and_stands_still() {
        let schedule = Schedule::every(Duration::from_secs(600));
        let last = at("2026-01-01T10:00:00Z");
        let due = schedule.next("crm", Some(last), last);
        let first = due.since(last.plus(Duration::from_secs(600)));
        assert!(first <= Duration::from_secs(30));
        for seconds in [1, 100, 599] {
            assert_eq!(
                schedule.next("crm", Some(last), last.plus(Duration::from_secs(seconds))),
                due
            );
        }
        let others: std::collections::BTreeSet<_> = (0..20)
            .map(|name| schedule.next(&name.to_string(), Some(last), last))
            .collect();
        assert!(others.len() > 10, "systems do not begin together");
    }

    #[test]
    fn p62_a_due_run_that_did_not_start_is_told() {
        let now = at("2026-01-01T10:00:00Z");
        let mut board = Board::default();
        board.due("crm", now);
        board.due("desk", now);
        assert_eq!(board.late(now.plus(Duration::from_secs(120))), []);
        board.begun("desk");
        let later = now.plus(Duration::from_secs(121));
        assert_eq!(board.late(later), [("crm".into(), Duration::from_secs(121))]);
        board.begun("crm");
        assert_eq!(board.late(later), []);
    }
}
