//! Working time: hours by day of the week in a time zone, and holidays.

use std::time::Duration;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

use crate::model::UnixMillis;

/// A calendar is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadCalendar(pub String);

/// When people work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    zone: TimeZone,
    /// The hours of each day, Monday first; in order and apart from each other.
    hours: [Vec<(Time, Time)>; 7],
    holidays: Vec<Date>,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A deadline further away than this many days is none: such a calendar has hardly any hours.
const DAYS_MAX: usize = 4000;

impl Calendar {
    /// A calendar from the name of a time zone, hours such as `mon-fri` → `09:00-12:00, 13:00-17:00`, and holidays
    /// (`2026-12-24`).
    ///
    /// # Errors
    /// When one of them is not what it should be, or there is no hour of work at all.
    pub fn read<'a>(
        zone: &str,
        hours: impl IntoIterator<Item = (&'a str, &'a str)>,
        holidays: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, BadCalendar> {
        let zone = TimeZone::get(zone)
            .map_err(|_why| BadCalendar(format!("`{zone}` is not a time zone such as Europe/Helsinki")))?;
        let mut week: [Vec<(Time, Time)>; 7] = Default::default();
        for (days, text) in hours {
            let times = times(text)?;
            for day in days_of(days)? {
                if !week[day].is_empty() {
                    return Err(BadCalendar(format!("`{}` has two lines of hours", DAYS[day])));
                }
                week[day].clone_from(&times);
            }
        }
        if week.iter().all(Vec::is_empty) {
            return Err(BadCalendar("there is no hour of work in it".to_owned()));
        }
        let date = |text: &str| {
            let date = text.parse::<Date>();
            date.map_err(|_why| BadCalendar(format!("`{text}` is not a day such as 2026-12-24")))
        };
        Ok(Self {
            zone,
            hours: week,
            holidays: holidays.into_iter().map(date).collect::<Result<_, _>>()?,
        })
    }

    /// The moment at which so much working time has passed since `from`. Hours are those on the clock on the wall; an
    /// hour that the clock skips or repeats has the length it really has.
    #[must_use]
    pub fn after(&self, from: UnixMillis, work: Duration) -> UnixMillis {
        let Some(mut day) = self.local(from).map(|at| at.date()) else {
            return from.plus(work);
        };
        let mut left = work;
        for _ in 0..DAYS_MAX {
            for (start, end) in self.hours_of(day) {
                let (start, end) = (self.moment(day, start).max(from), self.moment(day, end));
                let length = end.since(start);
                if length >= left && end > start {
                    return start.plus(left);
                }
                left = left.saturating_sub(length);
            }
            match day.checked_add(1.day()) {
                Ok(next) => day = next,
                Err(_) => break,
            }
        }
        from.plus(work)
    }

    fn hours_of(&self, day: Date) -> Vec<(Time, Time)> {
        if self.holidays.contains(&day) {
            return Vec::new();
        }
        self.hours[place(day.weekday())].clone()
    }

    fn local(&self, at: UnixMillis) -> Option<Zoned> {
        Some(Timestamp::from_millisecond(at.0).ok()?.to_zoned(self.zone.clone()))
    }

    fn moment(&self, day: Date, time: Time) -> UnixMillis {
        let zoned = day.to_datetime(time).to_zoned(self.zone.clone());
        zoned.map_or(UnixMillis(i64::MAX), |at| UnixMillis(at.timestamp().as_millisecond()))
    }
}

fn place(day: Weekday) -> usize {
    usize::from(day.to_monday_zero_offset().unsigned_abs())
}

/// `mon-fri`, `sat`, `mon,wed`.
fn days_of(text: &str) -> Result<Vec<usize>, BadCalendar> {
    let wrong = || BadCalendar(format!("`{text}` is not a day or days such as mon-fri or sat"));
    let day = |name: &str| {
        DAYS.iter()
            .position(|day| *day == name.trim().to_lowercase())
            .ok_or_else(wrong)
    };
    let mut days = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => days.push(day(part)?),
            Some((first, last)) => {
                let (first, last) = (day(first)?, day(last)?);
                if first > last {
                    return Err(wrong());
                }
                days.extend(first..=last);
            }
        }
    }
    Ok(days)
}

/// `09:00-12:00, 13:00-17:00`.
fn times(text: &str) -> Result<Vec<(Time, Time)>, BadCalendar> {
    let wrong = || BadCalendar(format!("`{text}` are not hours such as 09:00-17:00"));
    let mut spans: Vec<(Time, Time)> = Vec::new();
    for part in text.split(',') {
        let (start, end) = part.split_once('-').ok_or_else(wrong)?;
        let time = |text: &str| match text.trim() {
            "24:00" => Ok(Time::constant(23, 59, 59, 999_999_999)),
            text => Time::strptime("%H:%M", text).map_err(|_why| wrong()),
        };
        let span = (time(start)?, time(end)?);
        if span.0 >= span.1 || spans.last().is_some_and(|before| before.1 > span.0) {
            return Err(wrong());
        }
        spans.push(span);
    }
    Ok(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn office() -> Calendar {
        let hours = [("mon-fri", "09:00-12:00, 13:00-17:00"), ("sat", "10:00-11:00")];
        Calendar::read("Europe/Helsinki", hours, ["2026-12-24", "2026-12-25"]).unwrap()
    }

    #[track_caller]
    fn check(calendar: &Calendar, from: &str, minutes: u64, expected: &str) {
        let at = |text: &str| UnixMillis::from_rfc3339(text).unwrap();
        let due = calendar.after(at(from), Duration::from_secs(minutes * 60));
        assert_eq!(due, at(expected), "{from} + {minutes} min of work: {due}");
    }

    #[test]
    fn working_time() {
        let office = office();
        check(&office, "2026-11-23T09:00:00+02:00", 15, "2026-11-23T09:15:00+02:00");
        check(&office, "2026-11-23T06:00:00+02:00", 15, "2026-11-23T09:15:00+02:00");
        check(&office, "2026-11-23T11:50:00+02:00", 15, "2026-11-23T13:05:00+02:00");
        check(&office, "2026-11-23T16:50:00+02:00", 15, "2026-11-24T09:05:00+02:00");
        check(
            &office,
            "2026-11-23T09:00:00+02:00",
            7 * 60,
            "2026-11-23T17:00:00+02:00",
        );
        check(&office, "2026-11-27T16:30:00+02:00", 60, "2026-11-28T10:30:00+02:00");
        check(&office, "2026-11-28T12:00:00+02:00", 15, "2026-11-30T09:15:00+02:00");
        check(&office, "2026-12-23T16:45:00+02:00", 30, "2026-12-26T10:15:00+02:00");
        check(&office, "2026-11-23T09:00:00+02:00", 0, "2026-11-23T09:00:00+02:00");
    }

    /// In Helsinki the clock goes from 03:00 to 04:00 on 2026-03-29, and from 04:00 back to 03:00 on 2026-10-25.
    #[test]
    fn working_time_over_a_change_of_the_clock() {
        let night = Calendar::read("Europe/Helsinki", [("sun", "01:00-06:00")], []).unwrap();
        check(&night, "2026-03-29T00:00:00+02:00", 60, "2026-03-29T02:00:00+02:00");
        check(&night, "2026-03-29T00:00:00+02:00", 4 * 60, "2026-03-29T06:00:00+03:00");
        check(&night, "2026-03-29T00:00:00+02:00", 5 * 60, "2026-04-05T02:00:00+03:00");
        check(&night, "2026-10-25T00:00:00+03:00", 6 * 60, "2026-10-25T06:00:00+02:00");
        let skipped = Calendar::read("Europe/Helsinki", [("sun", "03:00-04:00"), ("mon", "09:00-10:00")], []).unwrap();
        check(&skipped, "2026-03-29T00:00:00+02:00", 30, "2026-03-30T09:30:00+03:00");
        let day = office();
        check(&day, "2026-03-27T16:50:00+02:00", 80, "2026-03-30T09:10:00+03:00");
    }

    #[track_caller]
    fn bad(zone: &str, hours: &[(&str, &str)], holidays: &[&str], message: &str) {
        let error = Calendar::read(zone, hours.iter().copied(), holidays.iter().copied()).unwrap_err();
        assert!(error.0.contains(message), "{}", error.0);
    }

    #[test]
    fn a_calendar_is_read_strictly() {
        bad("Helsinki", &[("mon", "09:00-17:00")], &[], "time zone");
        bad("UTC", &[("mo", "09:00-17:00")], &[], "`mo`");
        bad("UTC", &[("fri-mon", "09:00-17:00")], &[], "`fri-mon`");
        bad("UTC", &[("mon", "9-17")], &[], "`9-17`");
        bad("UTC", &[("mon", "17:00-09:00")], &[], "hours");
        bad(
            "UTC",
            &[("mon-fri", "09:00-17:00"), ("wed", "09:00-12:00")],
            &[],
            "`wed`",
        );
        bad("UTC", &[("mon", "09:00-17:00")], &["24.12."], "24.12.");
        bad("UTC", &[], &[], "no hour");
    }
}
