//! Where reading a table stands: what the opaque cursor holds, and how a cursor column's values are reckoned with. Pure.

use std::time::Duration;

use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::config::Overlap;
use crate::connector::cursor::{AsCursor, Version};
use crate::model::{SweepMark, UnixMillis};

/// How far a round reaches back when the admin does not say, by what the cursor column holds.
const BACK_MILLIS: i64 = 15 * 60 * 1000;
const BACK_COUNT: i64 = 1000;
/// While everything is read, changes are read whenever they are this far behind.
const INTERLEAVE: Duration = Duration::from_secs(5 * 60);

/// Where reading a stream stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    v: Version,
    /// Every row whose cursor lies before this was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Json>,
    /// When the last round of changes began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) read_at: Option<UnixMillis>,
    /// Changes that are being read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) changes: Option<Task>,
    /// A reading of everything; it rests while changes are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sweep: Option<Task>,
    /// When the last complete reading of everything began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) swept_at: Option<UnixMillis>,
    /// A round that has read its changes and only waits for its sweep.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_in_round: bool,
}

/// One reading under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Task {
    pub(super) began: UnixMillis,
    /// The highest cursor there was when it began: what becomes the state.
    #[serde(default)]
    pub(super) high: Option<Json>,
    /// Rows from this cursor on.
    #[serde(default)]
    pub(super) from: Option<Json>,
    /// The last row that was read: cursor (for changes) and key.
    #[serde(default)]
    pub(super) after: Option<(Json, Json)>,
    /// It met rows that cannot be told apart.
    #[serde(default)]
    pub(super) is_flawed: bool,
}

/// What is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The changes that are under way.
    Changes,
    /// A new round of changes.
    NewChanges,
    /// The sweep that is under way.
    Sweep,
    /// A new sweep.
    NewSweep,
    /// Nothing: everything is read.
    Nothing,
}

impl AsCursor for Place {
    const WHOSE: &'static str = "this connector";
}

impl Place {
    /// What is read next. The first reading is one of everything.
    pub(super) fn next(&self, has_cursor: bool, full: Option<Duration>, now: UnixMillis) -> Next {
        if self.changes.is_some() {
            return Next::Changes;
        }
        let follows = has_cursor && self.swept_at.is_some();
        let is_stale = self.read_at.is_none_or(|at| now.since(at) >= INTERLEAVE);
        match &self.sweep {
            Some(_) if follows && is_stale => return Next::NewChanges,
            Some(_) => return Next::Sweep,
            None if follows && !self.is_in_round => return Next::NewChanges,
            None => {}
        }
        let is_due = match (self.swept_at, full) {
            (None, _) => true,
            // Without a cursor there is no other way to see a change.
            (Some(at), full) if !has_cursor => !self.is_in_round && now.since(at) >= full.unwrap_or_default(),
            (Some(at), Some(full)) => now.since(at) >= full,
            (Some(_), None) => false,
        };
        if is_due { Next::NewSweep } else { Next::Nothing }
    }

    /// The sweep that is under way.
    pub(super) fn mark(&self) -> Option<SweepMark> {
        self.sweep.as_ref().map(|task| task.mark(false))
    }
}

impl Task {
    pub(super) fn new(began: UnixMillis, high: Option<Json>, from: Option<Json>) -> Self {
        Self {
            began,
            high,
            from,
            after: None,
            is_flawed: false,
        }
    }

    pub(super) fn mark(&self, is_over: bool) -> SweepMark {
        SweepMark {
            began: self.began,
            is_over,
            is_flawed: self.is_flawed,
        }
    }
}

/// A moment as a database spells it, in parts, so that it can be moved and spelled the same way again.
struct Spelled<'a> {
    at: DateTime,
    /// Between date and time; `None` for a date alone.
    between: Option<char>,
    /// Digits of the fraction, with its point.
    digits: usize,
    /// `Z`, `+00`, `+00:00` or nothing.
    offset: &'a str,
}

impl<'a> Spelled<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if let Ok(date) = text.parse::<Date>()
            && text.len() == 10
        {
            return Some(Self {
                at: date.to_datetime(jiff::civil::Time::midnight()),
                between: None,
                digits: 0,
                offset: "",
            });
        }
        let (date, rest) = text.split_at_checked(10)?;
        let between = rest.chars().next().filter(|between| matches!(between, ' ' | 'T'))?;
        let clock = rest.get(1..)?;
        let end = clock.find(['+', '-', 'Z']).unwrap_or(clock.len());
        let (clock, offset) = clock.split_at_checked(end)?;
        let is_utc = matches!(offset, "" | "Z" | "+00" | "+00:00" | "+0000");
        let digits = clock.split_once('.').map_or(0, |(_, fraction)| fraction.len() + 1);
        let at = format!("{date}T{clock}").parse::<DateTime>().ok()?;
        is_utc.then_some(Self {
            at,
            between: Some(between),
            digits,
            offset,
        })
    }

    fn spell(&self, at: DateTime) -> String {
        let date = at.date();
        let Some(between) = self.between else {
            return date.to_string();
        };
        let fraction = format!(".{:09}", at.subsec_nanosecond());
        let fraction = fraction.get(..self.digits).unwrap_or_default();
        let (hour, minute, second) = (at.hour(), at.minute(), at.second());
        format!(
            "{date}{between}{hour:02}:{minute:02}:{second:02}{fraction}{}",
            self.offset
        )
    }

    fn millis(&self) -> Option<i64> {
        let zoned = self.at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(zoned.timestamp().as_millisecond())
    }
}

fn civil(at: UnixMillis) -> Option<DateTime> {
    let at = jiff::Timestamp::from_millisecond(at.0).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).datetime())
}

/// The moment that a cursor's value is, when it is one.
pub(super) fn moment(value: &Json) -> Option<UnixMillis> {
    Spelled::parse(value.as_str()?)?.millis().map(UnixMillis)
}

/// The value so much earlier; the value itself where nothing is known about what comes before it.
pub(super) fn back(value: &Json, overlap: Option<Overlap>) -> Json {
    let count = match overlap {
        Some(Overlap::Count(count)) => count,
        _ => BACK_COUNT,
    };
    let millis = match overlap {
        Some(Overlap::Millis(millis)) => millis,
        _ => BACK_MILLIS,
    };
    match value {
        Json::Number(number) => number
            .as_i64()
            .map_or_else(|| value.clone(), |number| number.saturating_sub(count).into()),
        Json::String(text) => {
            if let Ok(number) = text.parse::<i64>() {
                return number.saturating_sub(count).to_string().into();
            }
            let earlier = |spelled: &Spelled<'_>| {
                let span = jiff::SignedDuration::from_millis(millis);
                Some(spelled.spell(spelled.at.checked_sub(span).ok()?))
            };
            Spelled::parse(text)
                .and_then(|spelled| earlier(&spelled))
                .map_or_else(|| value.clone(), Json::String)
        }
        other => other.clone(),
    }
}

/// The value, or the present when it lies in the future: one row with a wrong year must not hide all others.
pub(super) fn not_after(value: Json, now: UnixMillis) -> Json {
    let capped = || {
        let spelled = Spelled::parse(value.as_str()?)?;
        let is_future = spelled.millis()? > now.0;
        is_future.then(|| Some(spelled.spell(civil(now)?)))?
    };
    match capped() {
        Some(capped) => Json::String(capped),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_round_reaches_back_in_the_spelling_of_the_database() {
        let quarter = Some(Overlap::Millis(15 * 60 * 1000));
        for (value, earlier) in [
            (
                json!("2026-11-22 00:10:00.123456+00"),
                json!("2026-11-21 23:55:00.123456+00"),
            ),
            (json!("2026-11-22T12:00:00Z"), json!("2026-11-22T11:45:00Z")),
            (json!("2026-11-22 12:00:00"), json!("2026-11-22 11:45:00")),
            (json!("2026-11-22"), json!("2026-11-21")),
            (json!(5000), json!(4000)),
            (json!("5000"), json!("4000")),
            (json!("0190ab"), json!("0190ab")),
            (json!("2026-11-22 12:00:00+02"), json!("2026-11-22 12:00:00+02")),
        ] {
            assert_eq!(back(&value, quarter), earlier);
        }
        assert_eq!(back(&json!(50), Some(Overlap::Count(7))), json!(43));
    }

    #[test]
    fn a_row_from_the_future_does_not_move_the_state_there() {
        let now = UnixMillis::from_rfc3339("2026-11-22T12:00:00Z").unwrap();
        let cap = |text: &str| not_after(json!(text), now);
        assert_eq!(cap("2099-01-01 00:00:00.5+00"), json!("2026-11-22 12:00:00.0+00"));
        assert_eq!(cap("2026-11-22 11:59:59"), json!("2026-11-22 11:59:59"));
        assert_eq!(not_after(json!(99), now), json!(99));
    }

    #[test]
    fn what_is_read_next() {
        let now = UnixMillis(1_790_000_000_000);
        let day = Some(Duration::from_hours(24));
        let fresh = Place::parse(None).unwrap();
        assert_eq!(fresh.next(true, day, now), Next::NewSweep);
        let read = Place {
            since: Some(json!(5)),
            swept_at: Some(now),
            ..fresh.clone()
        };
        assert_eq!(read.next(true, day, now), Next::NewChanges);
        assert_eq!(read.next(false, None, now), Next::NewSweep);
        let round = Place {
            is_in_round: true,
            read_at: Some(now),
            ..read.clone()
        };
        assert_eq!(round.next(true, day, now), Next::Nothing);
        assert_eq!(
            round.next(true, None, now.plus(Duration::from_hours(48))),
            Next::Nothing
        );
        assert_eq!(
            round.next(true, day, now.plus(Duration::from_hours(25))),
            Next::NewSweep
        );
        assert_eq!(round.next(false, None, now), Next::Nothing);
        let sweeping = Place {
            sweep: Some(Task::new(now, None, None)),
            ..round
        };
        assert_eq!(sweeping.next(true, day, now), Next::Sweep);
        assert_eq!(
            sweeping.next(true, day, now.plus(Duration::from_mins(6))),
            Next::NewChanges
        );
    }
}
