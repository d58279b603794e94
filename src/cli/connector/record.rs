//! `nivel connector record`: canned exchanges out of a live account, with fakes in the place of people and secrets.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::super::Failed;
use super::super::app::Context;
use super::super::output::{Exit, Show, count, line, problems_text};
use super::new::write;
use crate::error::{Code, Problem};

/// Make canned exchanges out of a live account, with people and secrets masked
#[derive(Debug, Args)]
#[command(
    after_help = "Reads a few pages of every stream, one object by id and one by its e-mail; writes nothing to the tool. Every value is \
replaced by a fake of the same shape, the same one everywhere; a file in which an original value would be left is not written. Look through \
it all the same before you give it to anybody.\n\n\
Example:\n  nivel connector record crm\n  nivel connector record crm --out crm.yaml"
)]
pub(in crate::cli) struct Record {
    /// The system's name in the config
    system: String,
    /// Where it goes, instead of beside the connector's manifest; what is there is replaced
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Record {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let config = context.config()?;
        let made = crate::daemon::record(&config, &self.system, &context.clock)
            .await
            .map_err(Failed::from_all)?;
        let own = config
            .connectors_dir
            .as_ref()
            .map(|dir| dir.join(made.connector.as_str()));
        let own = own.filter(|folder| folder.join("manifest.yaml").is_file());
        let file = match (self.out, own) {
            (Some(file), _) => file,
            (None, Some(folder)) => folder.join("tests.recorded.yaml"),
            (None, None) => PathBuf::from(format!("{}.tests.yaml", made.connector)),
        };
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or_else(|| Path::new("."));
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.ok_or_else(|| Problem::new(Code::DraftRefused, "`--out` names no file"))?;
        write(folder, &[(name.as_str(), made.recording.text.as_str())])?;
        let recorded = Recorded {
            cases: made.recording.cases,
            masked: made.recording.masked,
            file,
            problems: made.problems,
        };
        context.output.show(&recorded);
        Ok(if recorded.problems.is_empty() {
            Exit::Fine
        } else {
            Exit::Degraded
        })
    }
}

#[derive(Serialize)]
struct Recorded {
    file: PathBuf,
    cases: usize,
    /// Values that were replaced; none of them is in the file.
    masked: usize,
    /// What the tests that every connector must pass say of it.
    problems: Vec<Problem>,
}

impl Show for Recorded {
    fn text(&self) -> String {
        let mut text = String::new();
        let cases = count(self.cases as u64, "test");
        let masked = count(self.masked as u64, "value");
        line(
            &mut text,
            format_args!(
                "made {}: {cases}; {masked} masked, none of them is left",
                self.file.display()
            ),
        );
        if !self.problems.is_empty() {
            line(&mut text, format_args!("\n{}", problems_text(&self.problems)));
        }
        line(
            &mut text,
            "look through it; as `tests.yaml` beside the manifest `nivel connector test` plays it",
        );
        text
    }
}
