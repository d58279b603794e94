//! The scored match, alone and behind the ledger: `cargo bench --bench identity`.
//!
//! First how well groups agree with the truth (`scored`). Then the same made-up contacts of three tools go through the
//! matcher one at a time, then through a first reading into a ledger that joins by identifiers alone, and through one that matches. `NIVEL_BENCH_N` records (100,000).

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

mod scored;
mod tool;

use std::time::Instant;

use anyhow::{Context as _, Result};
use nivel::identity::matcher::generate::{Family, Made, generate};
use nivel::identity::matcher::{Features, Field, Matcher, Weights};
use nivel::merge::MatchRules;

/// The seed of the records; none of those that the weights were learned from.
const SEED: u64 = 2042;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    scored::report()?;
    let count = std::env::var("NIVEL_BENCH_N")
        .ok()
        .map_or(Ok(100_000), |text| text.parse());
    let made = generate(Family::Contacts, count.context("NIVEL_BENCH_N is no number")?, SEED);
    let alone = alone(&made);
    let exact = tool::first_reading(&made, None).await?;
    let scored = tool::first_reading(&made, Some(MatchRules::default())).await?;
    println!("{} records through the ledger", made.len());
    println!(
        "  by identifiers: {:.1} s of processor time, {} customers",
        exact.cpu, exact.customers
    );
    println!(
        "  and matched:    {:.1} s of processor time, {} customers, {} questions",
        scored.cpu, scored.customers, scored.questions
    );
    println!(
        "  the matcher alone: {alone:.1} s; behind the ledger it costs {:.1} times that",
        (scored.cpu - exact.cpu) / alone
    );
    println!(
        "  pages of {} new records afterwards, read, folded and matched: p50 {:.1} ms, p99 {:.1} ms",
        tool::PAGE,
        scored.p50_ms,
        scored.p99_ms
    );
    println!("  peak memory of everything {} MiB", peak_mib());
    Ok(())
}

/// One record after the other through the matcher. Seconds of processor time.
fn alone(made: &[Made]) -> f64 {
    let begin = cpu();
    let mut matcher = Matcher::new(Weights::shipped());
    let mut times = Vec::with_capacity(made.len());
    for (number, record) in made.iter().enumerate() {
        let start = Instant::now();
        let fields: Vec<(Field, &str)> = record
            .fields
            .iter()
            .map(|(field, text)| (*field, text.as_str()))
            .collect();
        let source = u16::try_from(record.source.len()).unwrap_or_default();
        matcher.insert(
            &format!("{}/{number}", record.source),
            Features::new(&fields, source, false),
        );
        drop(matcher.changes());
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    while !matcher.settle(100_000) {}
    let seconds = cpu() - begin;
    times.sort_unstable_by(f64::total_cmp);
    let at = |part: usize| times.get(times.len() * part / 1000).copied().unwrap_or_default();
    println!("{} records through the matcher, one at a time", made.len());
    println!(
        "  {:.0} records a second of processor time; p50 {:.0} us, p99 {:.0} us, slowest {:.1} ms; peak memory {} MiB",
        made.len() as f64 / seconds,
        at(500),
        at(990),
        times.last().copied().unwrap_or_default() / 1000.0,
        peak_mib()
    );
    seconds
}

/// Processor time of this process so far, in seconds; ticks of a hundredth, as Linux counts them for programs.
pub(crate) fn cpu() -> f64 {
    ticks(11)
}

/// The same of the programs that it has waited for.
pub(crate) fn cpu_of_children() -> f64 {
    ticks(13)
}

/// Two of the figures that Linux tells of a process.
fn ticks(from: usize) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = behind
        .split_whitespace()
        .skip(from)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or_default()
        / 1024
}
