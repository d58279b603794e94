//! One pass of records through the resolver, one at a time as they arrive when the daemon runs, and its score.

use serde::Serialize;

use super::table::Set;
use crate::identity::matcher::metrics::{Figures, figures};
use crate::identity::matcher::{Explanation, Matcher, Slot, Weights};

/// Work per call when all that was put off is done at the end.
const SETTLE: usize = 100_000;

/// What a pass cost.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Cost {
    /// Records per second, normalising and settling included.
    pub(super) records_per_second: f64,
    /// Seconds in all.
    pub(super) seconds: f64,
    /// Seconds of that for the work that was put off, at the end.
    pub(super) settle_seconds: f64,
    /// How much work was put off when the last record had arrived.
    pub(super) lag: usize,
    /// Half of the records took less, in microseconds.
    pub(super) p50_us: f64,
    /// 99 of 100 took less.
    pub(super) p99_us: f64,
    /// The slowest.
    pub(super) max_us: f64,
    /// Pairs compared for each record.
    pub(super) comparisons: f64,
    /// The most memory the process had so far, in MiB; 0 where the system does not tell.
    pub(super) peak_mib: u64,
}

/// A pass that is over.
pub(super) struct Pass {
    pub(super) matcher: Matcher,
    /// Where each row is.
    pub(super) slots: Vec<Slot>,
    pub(super) figures: Figures,
    pub(super) cost: Cost,
}

impl Pass {
    /// The group of each row, named by one of its places.
    pub(super) fn groups(&self) -> Vec<Slot> {
        let first = |slot: &Slot| self.matcher.group(*slot).into_iter().min().unwrap_or(*slot);
        self.slots.iter().map(first).collect()
    }
}

/// Sends the rows through a fresh matcher in the given order.
#[expect(
    clippy::disallowed_methods,
    reason = "times are measured in microseconds and only printed; nothing is decided by them"
)]
pub(super) fn pass(set: &Set, order: &[usize], weights: &Weights) -> Pass {
    let mut matcher = Matcher::new(weights.clone());
    let mut slots = vec![0; set.rows.len()];
    let mut times = Vec::with_capacity(order.len());
    let start = std::time::Instant::now();
    for at in order {
        let row = &set.rows[*at];
        let begin = std::time::Instant::now();
        slots[*at] = matcher.insert(&row.id, set.features(row));
        matcher.changes();
        times.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    let (lag, begin) = (matcher.lag(), std::time::Instant::now());
    while !matcher.settle(SETTLE) {}
    matcher.changes();
    let settle_seconds = begin.elapsed().as_secs_f64();
    let seconds = start.elapsed().as_secs_f64();
    times.sort_unstable_by(f64::total_cmp);
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    let count = order.len().max(1) as f64;
    let cost = Cost {
        records_per_second: count / seconds.max(1e-9),
        seconds,
        settle_seconds,
        lag,
        p50_us: at(50),
        p99_us: at(99),
        max_us: times.last().copied().unwrap_or_default(),
        comparisons: matcher.comparisons() as f64 / count,
        peak_mib: peak_mib(),
    };
    let mut pass = Pass {
        matcher,
        slots,
        figures: Figures::default(),
        cost,
    };
    let entities = set.rows.iter().map(|row| row.entity);
    let pairs: Vec<(u32, u32)> = pass.groups().into_iter().zip(entities).collect();
    pass.figures = figures(&pairs);
    pass
}

/// How many pairs of a band of chances are one customer: whether a chance of nine in ten means nine of ten.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Band {
    /// The band begins at this chance.
    pub(super) from: f64,
    /// Pairs in it.
    pub(super) pairs: u64,
    /// Of these, the ones that are one customer.
    pub(super) right: u64,
    /// The mean of what was said of them.
    pub(super) said: f64,
}

/// Where bands of chances begin.
const BANDS: [f64; 10] = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 0.99];

/// What chances mean, band by band.
pub(super) fn bands(set: &Set, pass: &Pass) -> Vec<Band> {
    let rows: std::collections::BTreeMap<Slot, usize> = pass.slots.iter().copied().zip(0..).collect();
    let mut bands = BANDS.map(|from| Band {
        from,
        ..Band::default()
    });
    pass.matcher.pairs(|a, b, bits| {
        let chance = 1.0 / (1.0 + (-bits).exp2());
        let band = bands.iter_mut().rev().find(|band| chance >= band.from);
        let rows = rows.get(&a).zip(rows.get(&b));
        if let Some((band, (a, b))) = band.zip(rows) {
            band.pairs += 1;
            band.said += chance;
            band.right += u64::from(set.rows[*a].entity == set.rows[*b].entity);
        }
    });
    for band in &mut bands {
        band.said /= band.pairs.max(1) as f64;
    }
    bands.to_vec()
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// Two records that are not where they belong.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Example {
    /// `over-merged` or `split`.
    pub(super) what: &'static str,
    /// Ids and what the two records say.
    pub(super) records: [String; 2],
    pub(super) why: Explanation,
}

/// The first pairs that are wrong, of both kinds.
pub(super) fn examples(set: &Set, pass: &Pass, count: usize) -> Vec<Example> {
    let groups = pass.groups();
    let mut by_group: Vec<usize> = (0..groups.len()).collect();
    by_group.sort_by_key(|at| (groups[*at], *at));
    let mut by_entity: Vec<usize> = (0..groups.len()).collect();
    by_entity.sort_by_key(|at| (set.rows[*at].entity, *at));
    let pairs = |order: &[usize], wrong: &dyn Fn(usize, usize) -> bool| -> Vec<(usize, usize)> {
        let next = order.windows(2).map(|pair| (pair[0], pair[1]));
        next.filter(|(a, b)| wrong(*a, *b)).take(count).collect()
    };
    let entity = |at: usize| set.rows[at].entity;
    let over = pairs(&by_group, &|a, b| groups[a] == groups[b] && entity(a) != entity(b));
    let split = pairs(&by_entity, &|a, b| entity(a) == entity(b) && groups[a] != groups[b]);
    let told = |at: usize| {
        let texts: Vec<&str> = set.rows[at].fields.iter().map(|(_, text)| text.as_str()).collect();
        format!("{}: {}", set.rows[at].id, texts.join(", "))
    };
    let over = over.into_iter().map(|pair| ("over-merged", pair));
    let all = over.chain(split.into_iter().map(|pair| ("split", pair)));
    all.filter_map(|(what, (a, b))| {
        Some(Example {
            what,
            records: [told(a), told(b)],
            why: pass.matcher.explain(pass.slots[a], pass.slots[b])?,
        })
    })
    .collect()
}
