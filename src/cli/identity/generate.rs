//! `nivel identity generate`: records with known truth, into two CSV files.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::table::column;
use crate::cli::Failed;
use crate::cli::app::Context;
use crate::cli::output::Exit;
use crate::error::{Code, Problem};
use crate::identity::matcher::Field;
use crate::identity::matcher::generate::{Family, Made, generate};

/// Make up records of which the truth is known
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel identity generate --rows 20000 --seed 7 --out /tmp/contacts")]
pub(in crate::cli) struct Generate {
    /// What kind of records
    #[arg(long, default_value = "contacts", value_parser = PossibleValuesParser::new(Family::ALL.map(Family::name)))]
    family: String,
    /// How many
    #[arg(long, default_value_t = 20_000)]
    rows: usize,
    /// The same seed gives the same records for ever
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes OUT.csv and OUT.truth.csv
    #[arg(long, value_name = "OUT")]
    out: PathBuf,
}

/// The family with a name; contacts when there is none.
pub(super) fn family(name: &str) -> Family {
    let named = Family::ALL.into_iter().find(|family| family.name() == name);
    named.unwrap_or(Family::Contacts)
}

impl Generate {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failed> {
        let made = generate(family(&self.family), self.rows, self.seed);
        let (records, truth) = (self.out.with_extension("csv"), self.out.with_extension("truth.csv"));
        write_file(&records, &|| records_csv(&made))?;
        write_file(&truth, &|| truth_csv(&made))?;
        let told = format_args!(
            "{} records in {}, the truth in {}",
            made.len(),
            records.display(),
            truth.display()
        );
        context.output.note(told);
        Ok(Exit::Fine)
    }
}

/// Writes a file through the one door to effects.
pub(super) fn write_file(path: &Path, make: &dyn Fn() -> csv::Result<Vec<u8>>) -> Result<(), Failed> {
    let bytes = make().map_err(|error| failed(path, &error.to_string()))?;
    let written = crate::fault::effect_blocking("file", || std::fs::write(path, bytes));
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(failed(path, &error.to_string())),
        Err(prevented) => Err(failed(path, &prevented.to_string())),
    }
}

fn failed(path: &Path, why: &str) -> Failed {
    let problem = Problem::new(Code::NotFound, format!("cannot be written: {why}")).about(path.display());
    problem.hint("name a place in a folder that exists").into()
}

fn records_csv(made: &[Made]) -> csv::Result<Vec<u8>> {
    let mut fields: Vec<Field> = made
        .iter()
        .flat_map(|made| made.fields.iter().map(|(field, _)| *field))
        .collect();
    fields.sort_unstable();
    fields.dedup();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = fields.iter().map(|field| column(*field));
    writer.write_record(["record_id", "source"].into_iter().chain(names))?;
    for record in made {
        let cell = |field: &Field| {
            record
                .fields
                .iter()
                .find(|(of, _)| of == field)
                .map_or("", |(_, text)| text.as_str())
        };
        writer.write_record(
            [record.id.as_str(), record.source]
                .into_iter()
                .chain(fields.iter().map(cell)),
        )?;
    }
    finished(writer)
}

fn truth_csv(made: &[Made]) -> csv::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["record_id", "entity_id"])?;
    for record in made {
        writer.write_record([record.id.as_str(), &record.entity.to_string()])?;
    }
    finished(writer)
}

/// The bytes a writer holds.
pub(super) fn finished(writer: csv::Writer<Vec<u8>>) -> csv::Result<Vec<u8>> {
    writer
        .into_inner()
        .map_err(|error| csv::Error::from(error.into_error()))
}
