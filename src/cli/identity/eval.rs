//! `nivel identity eval`: records and truth in, figures out.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::generate::{family, finished, write_file};
use super::lost::{Lost, lost};
use super::score::{Band, Cost, Example, Pass, bands, examples, pass};
use super::table::{Set, labels};
use super::train::{adapted, read_weights};
use crate::cli::Failed;
use crate::cli::app::Context;
use crate::cli::output::{Exit, Format, Output, Show, clean, line, table};
use crate::error::{Code, Problem};
use crate::identity::matcher::generate::generate;
use crate::identity::matcher::metrics::Figures;
use crate::identity::matcher::train::Pairs;
use crate::identity::matcher::{Matcher, Weights};

/// Score the matcher on records of which the truth is known
///
/// Records go through the live resolver one at a time, in the order of the file; then what was put off is done and the
/// groups are compared with the truth. The weights are those Nivel is shipped with, or those of --weights.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  nivel identity eval --records crm.csv --truth crm.truth.csv
  nivel identity eval --records people.csv --truth people.truth.csv --map given_name=vorname --out groups.csv
  nivel identity eval --made contacts:20000:1001")]
pub(in crate::cli) struct Eval {
    /// CSV file with a header line; column `record_id`, and `source` where there are several systems
    #[arg(long, value_name = "FILE", requires = "truth", required_unless_present = "made")]
    records: Option<PathBuf>,
    /// CSV file with `record_id` and `entity_id`
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Made-up records instead of a file
    #[arg(long, value_name = "FAMILY:ROWS:SEED", conflicts_with = "records")]
    made: Option<String>,
    /// Says which column holds a field, where the header does not
    #[arg(long, value_name = "FIELD=COLUMN")]
    map: Vec<String>,
    /// Writes `record_id` and the group of each record
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Lets the records arrive in another order
    #[arg(long, value_name = "SEED")]
    order: Option<u64>,
    /// Other weights than the shipped ones
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// CSV file of reviewed pairs (two ids, and 1 when they are one) from which the weights learn first
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// As if this many pairs, drawn from all bands of scores, had been reviewed first
    #[arg(long, value_name = "N", conflicts_with = "labels")]
    reviewed: Option<usize>,
    /// How many wrong pairs of each kind to show
    #[arg(long, default_value_t = 3)]
    examples: usize,
    /// The same as --output json
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failed> {
        let set = self.set()?;
        let mut weights = self
            .weights
            .as_deref()
            .map_or_else(|| Ok(Weights::shipped()), read_weights)?;
        let order = order(set.rows.len(), self.order);
        if let Some(pairs) = self.learned(&set, &order, &weights)? {
            weights = adapted(&pairs, &weights);
        }
        let pass = pass(&set, &order, &weights);
        if let Some(out) = &self.out {
            write_file(out, &|| mapping(&set, &pass))?;
        }
        let report = Report {
            figures: pass.figures.clone(),
            cost: pass.cost.clone(),
            lost: lost(&set, &pass),
            bands: bands(&set, &pass),
            examples: examples(&set, &pass, self.examples),
        };
        let format = if self.json { Format::Json } else { context.output.format };
        Output { format }.show(&report);
        Ok(Exit::Fine)
    }

    fn set(&self) -> Result<Set, Failed> {
        if let (Some(records), Some(truth)) = (&self.records, &self.truth) {
            return Set::read(records, truth, &self.map);
        }
        made(self.made.as_deref().unwrap_or_default())
    }

    /// Reviewed pairs, if there are any to learn from.
    fn learned(&self, set: &Set, order: &[usize], weights: &Weights) -> Result<Option<Pairs>, Failed> {
        if self.labels.is_none() && self.reviewed.is_none() {
            return Ok(None);
        }
        let first = pass(set, order, weights);
        let matcher = &first.matcher;
        if let Some(path) = &self.labels {
            let mut pairs = Pairs::default();
            for (a, b, is_same) in labels(path)? {
                if let (Some(a), Some(b)) = (matcher.find(&a), matcher.find(&b)) {
                    pairs.add(matcher, a, b, is_same, 1.0);
                }
            }
            return Ok(Some(pairs));
        }
        let all = all_pairs(set, &first.slots, matcher, 1.0);
        Ok(self.reviewed.map(|count| all.reviewed(weights, count)))
    }
}

/// Every pair of a set that a key finds, with the truth.
pub(super) fn all_pairs(set: &Set, slots: &[u32], matcher: &Matcher, weight: f32) -> Pairs {
    let places = slots.iter().max().map_or(0, |most| *most as usize + 1);
    let mut entities = vec![u32::MAX; places];
    for (slot, row) in slots.iter().zip(&set.rows) {
        entities[*slot as usize] = row.entity;
    }
    let mut pairs = Pairs::default();
    pairs.gather(matcher, weight, &|a, b| entities[a as usize] == entities[b as usize]);
    pairs
}

/// Made-up records, as `family:rows:seed`.
pub(super) fn made(text: &str) -> Result<Set, Failed> {
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default();
    let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
    let (Some(rows), Some(seed)) = (number(), number()) else {
        let problem = Problem::new(Code::NotFound, "no made-up records are named so").about(text);
        return Err(problem
            .hint("write FAMILY:ROWS:SEED, for instance contacts:20000:1001")
            .into());
    };
    Ok(Set::made(generate(
        family(name),
        usize::try_from(rows).unwrap_or(usize::MAX),
        seed,
    )))
}

/// The order of arrival: that of the file, or a shuffled one.
fn order(len: usize, seed: Option<u64>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    let Some(mut state) = seed else {
        return order;
    };
    for at in (1..len).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(state >> 33).unwrap_or_default() % (at + 1);
        order.swap(at, other);
    }
    order
}

fn mapping(set: &Set, pass: &Pass) -> csv::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["record_id", "key"])?;
    let groups = pass.groups();
    // A group is named by the id that is smallest, whatever the order of arrival.
    let mut names: std::collections::BTreeMap<u32, &str> = std::collections::BTreeMap::new();
    for (row, group) in set.rows.iter().zip(&groups) {
        let name = names.entry(*group).or_insert(&row.id);
        *name = (*name).min(&row.id);
    }
    for (row, group) in set.rows.iter().zip(&groups) {
        writer.write_record([row.id.as_str(), names.get(group).copied().unwrap_or_default()])?;
    }
    finished(writer)
}

/// What an evaluation found.
#[derive(Serialize)]
struct Report {
    figures: Figures,
    cost: Cost,
    lost: Lost,
    /// What the chances of pairs mean.
    bands: Vec<Band>,
    examples: Vec<Example>,
}

impl Show for Report {
    fn text(&self) -> String {
        let mut text = String::new();
        let (figures, cost) = (&self.figures, &self.cost);
        let percent = |part: f64| format!("{:.2}", part * 100.0);
        let (p, r, f) = (percent(figures.precision), percent(figures.recall), percent(figures.f1));
        line(
            &mut text,
            format_args!(
                "{} records, {} customers, {} groups",
                figures.records, figures.entities, figures.groups
            ),
        );
        line(&mut text, format_args!("pairwise  precision {p}  recall {r}  F1 {f}"));
        let bcubed = [figures.bcubed_precision, figures.bcubed_recall, figures.bcubed_f1].map(percent);
        line(
            &mut text,
            format_args!(
                "B-cubed   precision {}  recall {}  F1 {}",
                bcubed[0], bcubed[1], bcubed[2]
            ),
        );
        line(
            &mut text,
            format_args!(
                "largest customer {} records (in truth {}); {} groups over-merged (worst {} customers), {} customers split",
                figures.largest_group, figures.largest_entity, figures.over_merged, figures.worst_merge, figures.split,
            ),
        );
        line(
            &mut text,
            format_args!(
                "{:.0} records/s, {:.1} s in all, of which {:.1} s to settle {} deferred; {:.1} comparisons a record, peak {} MiB",
                cost.records_per_second, cost.seconds, cost.settle_seconds, cost.lag, cost.comparisons, cost.peak_mib,
            ),
        );
        line(
            &mut text,
            format_args!(
                "one record: p50 {:.0} us, p99 {:.0} us, max {:.1} ms",
                cost.p50_us,
                cost.p99_us,
                cost.max_us / 1000.0,
            ),
        );
        line(&mut text, format_args!("{}", self.lost));
        line(&mut text, format_args!("\n{}", bands_table(&self.bands)));
        for example in &self.examples {
            line(
                &mut text,
                format_args!(
                    "\n{}, chance {:.3} ({:+.1} bits)",
                    example.what, example.why.chance, example.why.bits
                ),
            );
            for record in &example.records {
                line(&mut text, format_args!("  {}", clean(record)));
            }
            for finding in example.why.findings.iter().take(6) {
                line(&mut text, format_args!("    {:+.1}  {}", finding.bits, finding.what));
            }
        }
        text
    }
}

/// What chances mean: whether nine of ten that are said to be one with 0.9 are.
fn bands_table(bands: &[Band]) -> String {
    let row = |band: &Band| {
        let right = band.right as f64 / band.pairs.max(1) as f64;
        [
            format!("{:.2}", band.from),
            band.pairs.to_string(),
            format!("{:.3}", band.said),
            format!("{right:.3}"),
        ]
    };
    let rows = bands.iter().filter(|band| band.pairs > 0).map(row);
    table(["chance from", "pairs", "said on the mean", "are one"], rows)
}

/// A path as people read it.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}
