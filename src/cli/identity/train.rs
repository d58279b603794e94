//! `nivel identity train`: the weights of the matcher, learned from records of which the truth is known.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::eval::{all_pairs, made, shown};
use super::generate::write_file;
use super::score::pass;
use super::table::Set;
use crate::cli::Failed;
use crate::cli::app::Context;
use crate::cli::output::{Exit, Show, line, table};
use crate::error::{Code, Problem};
use crate::identity::matcher::train::{Pairs, Report};
use crate::identity::matcher::{Context as Kind, Weights};

/// How strongly weights are held where they were.
const STRENGTH: f64 = 0.5;

/// What the shipped weights were made of: family, rows, seed, and what each pair counts. Seeds stay below 1000; those
/// above are kept for measuring.
const RECIPE: [(&str, f32); 10] = [
    ("contacts:20000:1", 1.0),
    ("contacts:60000:2", 1.0),
    ("contacts:200000:3", 0.6),
    ("register:8000:4", 2.0),
    ("rough-register:12000:5", 1.5),
    ("sparse:4000:6", 2.0),
    ("lives:15000:7", 1.0),
    ("births:10000:8", 1.0),
    ("households:20000:9", 0.25),
    ("firms:4000:10", 1.0),
];

/// Make the weights of the matcher anew
///
/// Without --records the weights are learned from made-up records alone, as those that Nivel is shipped with were; the
/// same call gives the same weights. With --records they are the given (or shipped) weights, adapted to these records.
/// Only pairs of which the truth is known are learned from; nothing guesses it (no EM).
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  nivel identity train --out weights.json
  nivel identity train --records crm.csv --truth crm.truth.csv --out ours.json")]
pub(in crate::cli) struct Train {
    /// CSV file with a header line to learn from
    #[arg(long, value_name = "FILE", requires = "truth")]
    records: Option<PathBuf>,
    /// CSV file with `record_id` and `entity_id`
    #[arg(long, value_name = "FILE", requires = "records")]
    truth: Option<PathBuf>,
    /// Says which column holds a field, where the header does not
    #[arg(long, value_name = "FIELD=COLUMN")]
    map: Vec<String>,
    /// Weights to begin with, instead of the shipped ones
    #[arg(long, value_name = "FILE", requires = "records")]
    weights: Option<PathBuf>,
    /// Where to write the weights
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Train {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failed> {
        let mut sets = Vec::new();
        let mut all = Pairs::default();
        let prior = match (&self.records, &self.truth) {
            (Some(records), Some(truth)) => {
                let set = Set::read(records, truth, &self.map)?;
                sets.push(learn(&mut all, &set, 1.0, shown(records)));
                self.weights
                    .as_deref()
                    .map_or_else(|| Ok(Weights::shipped()), read_weights)?
            }
            _ => {
                for (spec, weight) in RECIPE {
                    context.output.note(format_args!("reading {spec}"));
                    sets.push(learn(&mut all, &made(spec)?, weight, spec.to_owned()));
                }
                Weights::none()
            }
        };
        let (weights, report) = all.fit(&prior, STRENGTH);
        write_file(&self.out, &|| Ok(text(&weights).into_bytes()))?;
        context.output.show(&Trained { sets, report });
        Ok(Exit::Fine)
    }
}

fn text(weights: &Weights) -> String {
    let mut text = serde_json::to_string_pretty(&weights.to_json()).unwrap_or_default();
    text.push('\n');
    text
}

fn learn(all: &mut Pairs, set: &Set, weight: f32, name: String) -> Learned {
    // Nothing is grouped: only the pairs are wanted, at their final counts.
    let order: Vec<usize> = (0..set.rows.len()).collect();
    let pass = pass(set, &order, &Weights::none_far());
    let pairs = all_pairs(set, &pass.slots, &pass.matcher, weight);
    let learned = Learned {
        name,
        records: set.rows.len(),
        pairs: pairs.len(),
        same: pairs.same(),
        true_pairs: pass.figures.true_pairs,
    };
    all.append(pairs);
    learned
}

/// The weights given, moved towards reviewed pairs.
pub(super) fn adapted(pairs: &Pairs, weights: &Weights) -> Weights {
    pairs.fit(weights, STRENGTH).0
}

/// Weights from a file.
pub(super) fn read_weights(path: &Path) -> Result<Weights, Failed> {
    let unreadable = |why: String| -> Failed {
        let problem = Problem::new(Code::FileUnreadable, format!("no weights: {why}")).about(path.display());
        problem.hint("give a file that `nivel identity train` wrote").into()
    };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let value = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    Ok(Weights::from_json(&value))
}

/// What one set gave.
#[derive(Serialize)]
struct Learned {
    name: String,
    records: usize,
    /// Pairs that a key finds.
    pairs: usize,
    /// How many of them are one customer.
    same: usize,
    /// How many pairs there are in truth.
    true_pairs: u64,
}

#[derive(Serialize)]
struct Trained {
    sets: Vec<Learned>,
    report: Report,
}

impl Show for Trained {
    fn text(&self) -> String {
        let row = |set: &Learned| {
            let found = set.same as f64 * 100.0 / set.true_pairs.max(1) as f64;
            [
                set.name.clone(),
                set.records.to_string(),
                set.pairs.to_string(),
                set.same.to_string(),
                format!("{found:.1} %"),
            ]
        };
        let mut text = table(
            ["set", "records", "pairs", "same", "of all true"],
            self.sets.iter().map(row),
        );
        text.push('\n');
        for (at, kind) in Kind::ALL.iter().enumerate() {
            let (before, after) = self.report.loss[at];
            line(
                &mut text,
                format_args!(
                    "{}: {} pairs, loss {before:.4} -> {after:.4} bits a pair",
                    kind.name(),
                    self.report.pairs[at],
                ),
            );
        }
        text
    }
}
