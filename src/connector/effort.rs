//! What a number of writes costs a system: calls, what they take of its limits, and how long they take at least.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Serialize;

use super::limits::{Call, Lane, Rule};

/// What some writes cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Effort {
    /// Calls by what they do: `get find create update job`.
    pub calls: BTreeMap<CompactString, u64>,
    /// What they take of each limit.
    pub limits: Vec<LimitUse>,
}

/// What calls take of one limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitUse {
    /// The length of its window, in seconds.
    pub span_s: u64,
    /// What Nivel may spend in one window.
    pub max: u64,
    /// What the calls cost.
    pub cost: u64,
}

impl Effort {
    /// The effort of calls: each with its operation, a path like the one it has, and how many there are.
    pub(super) fn of(calls: &[(&str, String, u64)], rules: &[Rule]) -> Self {
        let mut effort = Self::default();
        for (op, _, count) in calls.iter().filter(|(_, _, count)| *count > 0) {
            *effort.calls.entry((*op).into()).or_default() += count;
        }
        for rule in rules.iter().filter(|rule| !rule.per_key) {
            let cost = |(op, path, count): &(&str, String, u64)| {
                let call = Call {
                    path,
                    op,
                    key: None,
                    lane: Lane::Live,
                };
                if rule.covers(&call) {
                    u64::from(rule.cost(&call)) * count
                } else {
                    0
                }
            };
            let cost = calls.iter().map(cost).sum();
            if cost > 0 {
                effort.limits.push(LimitUse {
                    span_s: rule.span.as_secs(),
                    max: u64::from(rule.max),
                    cost,
                });
            }
        }
        effort
    }

    /// Adds the effort of another stream of the same system.
    pub fn add(&mut self, other: Self) {
        for (op, count) in other.calls {
            *self.calls.entry(op).or_default() += count;
        }
        for theirs in other.limits {
            let same = self
                .limits
                .iter_mut()
                .find(|mine| (mine.span_s, mine.max) == (theirs.span_s, theirs.max));
            match same {
                Some(mine) => mine.cost += theirs.cost,
                None => self.limits.push(theirs),
            }
        }
    }

    /// How long it takes at least, in seconds: what the tightest limit makes wait.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.limits.iter().map(LimitUse::seconds).max().unwrap_or(0)
    }
}

impl LimitUse {
    /// What does not fit into the first window waits for as many more as it takes.
    fn seconds(&self) -> u64 {
        let beyond = self.cost.saturating_sub(self.max);
        beyond.saturating_mul(self.span_s).div_ceil(self.max.max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_limit_counts_what_it_covers() {
        let burst = Rule::new(10, Duration::from_secs(2), 0.5);
        let mut day = Rule::new(1000, Duration::from_secs(86_400), 1.0);
        day.costs = [("find".into(), 20), ("create".into(), 5)].into();
        let mut search = Rule::new(5, Duration::from_secs(1), 1.0);
        search.path = regex::Regex::new("/search$").ok();
        let mut per_key = Rule::new(1, Duration::from_secs(60), 1.0);
        per_key.per_key = true;
        let calls = [
            ("find", "/persons/search".to_owned(), 30),
            ("create", "/persons".to_owned(), 30),
            ("update", "/persons/1".to_owned(), 0),
        ];
        let effort = Effort::of(&calls, &[burst, day, search, per_key]);
        let limits: Vec<_> = effort.limits.iter().map(|l| (l.span_s, l.max, l.cost)).collect();
        assert_eq!(limits, [(2, 5, 60), (86_400, 1000, 750), (1, 5, 30)]);
        assert_eq!(effort.calls.len(), 2);
        assert_eq!(effort.seconds(), 22, "55 more calls at 5 in 2 s");
        let mut both = effort.clone();
        both.add(effort);
        assert_eq!(both.limits[1].cost, 1500);
        assert_eq!(both.seconds(), 43_200, "half a day's quota more than there is");
    }
}
