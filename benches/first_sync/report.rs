//! What a person reads at the end: one small table, and which targets are met.

use std::fmt::Write as _;

use super::joint::Joint;
use super::meter::Cost;
use super::parent::{Figures, Turn};
use super::serve::Counts;
use super::shapes::{TOOLS, Tool};

/// Nivel's speed as a part of the bare job's, at least.
const RATIO_MIN: f64 = 0.2;
/// Resident memory at most.
const PEAK_MAX_MIB: f64 = 300.0;
/// How much more memory four times the contacts may take and still be called flat.
const GROWTH_MAX: f64 = 1.5;
/// What a page of an unchanged sync may cost, as a part of a page of the first.
const AGAIN_MAX: f64 = 0.5;

/// The figures as text.
pub(crate) fn report(figures: &Figures) -> String {
    let mut to = String::new();
    let done = write(figures, &mut to);
    debug_assert!(done.is_ok(), "text takes everything");
    to
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn middle<T>(turns: &[Turn<T>], cost: impl Fn(&T) -> Cost) -> Cost {
    let of = |part: fn(&Cost) -> f64| median(turns.iter().map(|turn| part(&cost(&turn.cost))));
    Cost {
        wall: of(|cost| cost.wall),
        cpu: of(|cost| cost.cpu),
        peak_mib: of(|cost| cost.peak_mib),
    }
}

fn sum(counts: &[Counts; 3], part: fn(&Counts) -> u64) -> u64 {
    counts.iter().map(part).sum()
}

fn write(figures: &Figures, to: &mut String) -> std::fmt::Result {
    writeln!(
        to,
        "first sync, 3 × {} contacts, {} rounds, medians",
        figures.per_tool,
        figures.nivel.len()
    )?;
    if let Some(problem) = &figures.problem {
        writeln!(to, "  not finished: {problem}")?;
    }
    let (Some(bare), Some(nivel)) = (figures.bare.last(), figures.nivel.last()) else {
        return Ok(());
    };
    if let Some(problem) = &nivel.cost.problem {
        writeln!(to, "  nivel says: {problem}")?;
    }
    let plain = middle(&figures.bare, |cost| *cost);
    let first = middle(&figures.nivel, |cost: &Joint| cost.first);
    let reading = middle(&figures.nivel, |cost: &Joint| cost.reading);
    let echo = middle(&figures.nivel, |cost: &Joint| cost.echo);
    let second = middle(&figures.nivel, |cost: &Joint| cost.second);
    writeln!(
        to,
        "{:<22}{:>11}{:>9}{:>9}{:>8}{:>10}{:>10}",
        "", "records/s", "seconds", "cpu s", "MiB", "µs/record", "pages"
    )?;
    for (name, cost, counts) in [
        ("bare job", plain, &bare.counts),
        ("nivel", first, &nivel.counts),
        ("  its reading alone", reading, &nivel.counts),
        ("nivel, echoes", echo, &nivel.cost.echoed),
        ("nivel, nothing new", second, &nivel.cost.again),
    ] {
        let (rows, pages) = (sum(counts, |c| c.rows) as f64, sum(counts, |c| c.pages));
        let each = cost.cpu * 1e6 / rows;
        let Cost { wall, cpu, peak_mib } = cost;
        writeln!(
            to,
            "{name:<22}{:>11.0}{wall:>9.2}{cpu:>9.2}{peak_mib:>8.0}{each:>10.1}{pages:>10}",
            rows / wall
        )?;
    }
    writeln!(
        to,
        "\nwhat the tools were sent (requests, objects, KiB; looked up; read by id)"
    )?;
    for tool in TOOLS {
        line(tool, "bare", &bare.counts[tool as usize], to)?;
        line(tool, "nivel", &nivel.counts[tool as usize], to)?;
        line(tool, "nivel, echoes", &nivel.cost.echoed[tool as usize], to)?;
        line(tool, "nivel, nothing new", &nivel.cost.again[tool as usize], to)?;
    }
    for (name, turn) in [("bare", bare.agreement), ("nivel", nivel.agreement)] {
        let store = format!(
            "{} disagreeing, {} missing, {} doubled",
            turn.disagreeing, turn.missing, turn.doubled
        );
        writeln!(to, "afterwards, {name}: {} people, {store}", turn.people)?;
    }
    writeln!(to)?;
    targets(figures, [plain, first, reading, second], nivel, to)
}

fn line(tool: Tool, who: &str, counts: &Counts, to: &mut String) -> std::fmt::Result {
    let Counts {
        writes,
        written,
        lookups,
        gets,
        ..
    } = counts;
    let (name, kib) = (tool.name(), counts.bytes / 1024);
    writeln!(
        to,
        "  {name:<10}{who:<20}{writes:>8}{written:>8}{kib:>8}{lookups:>8}{gets:>8}"
    )?;
    for (request, count) in counts.unknown.iter().take(5) {
        writeln!(to, "    not understood, {count} times: {request}")?;
    }
    Ok(())
}

fn targets(
    figures: &Figures,
    [plain, first, reading, second]: [Cost; 4],
    nivel: &Turn<Joint>,
    to: &mut String,
) -> std::fmt::Result {
    let mut target = |text: String, is_met: bool| writeln!(to, "{} {text}", if is_met { "met   " } else { "MISSED" });
    let (wall, cpu) = (plain.wall / first.wall, plain.cpu / first.cpu);
    target(
        format!("speed by wall {wall:.2} of the bare job (at least {RATIO_MIN})"),
        wall >= RATIO_MIN,
    )?;
    target(
        format!("speed by cpu {cpu:.2} of the bare job (at least {RATIO_MIN})"),
        cpu >= RATIO_MIN,
    )?;
    let peak = first.peak_mib.max(second.peak_mib);
    target(
        format!("peak memory {peak:.0} MiB (under {PEAK_MAX_MIB:.0})"),
        peak < PEAK_MAX_MIB,
    )?;
    if let Some(quarter) = &figures.quarter {
        let small = quarter.first.peak_mib;
        let text = format!(
            "memory flat: {:.0} MiB, with a quarter of the contacts {small:.0}",
            first.peak_mib
        );
        target(text, first.peak_mib <= small * GROWTH_MAX)?;
        if let Some(changed) = &quarter.changed {
            let names = if changed.is_empty() {
                "nothing".to_owned()
            } else {
                changed.join(", ")
            };
            target(
                format!("commits beside cursors when nothing is new: {names}"),
                changed.is_empty(),
            )?;
        }
    }
    let writes = [&nivel.cost.echoed, &nivel.cost.again].map(|counts| sum(counts, |counts| counts.writes));
    let [echo, again] = writes;
    let text = format!("writes when the echoes come back: {echo}, when nothing is new: {again}");
    target(text, echo + again == 0)?;
    let pages = |counts: &[Counts; 3]| sum(counts, |counts| counts.pages).max(1) as f64;
    let (one, again) = (
        reading.cpu / pages(&nivel.counts),
        second.cpu / pages(&nivel.cost.again),
    );
    let ratio = again / one;
    let (one, again) = (one * 1e3, again * 1e3);
    let text = format!(
        "cpu per page read {again:.1} ms when nothing is new, first {one:.1} ms: {ratio:.2} (at most {AGAIN_MAX})"
    );
    target(text, ratio <= AGAIN_MAX)?;
    let agreed = nivel.agreement.disagreeing + nivel.agreement.missing + nivel.agreement.doubled;
    target(format!("people who are not the same everywhere: {agreed}"), agreed == 0)
}
