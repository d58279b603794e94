//! `nivel explain`: what an error code means and what to do.

use clap::Args;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, table};
use crate::config::did_you_mean;
use crate::error::{Code, Problem, Who, page};

/// Explain an error code
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nivel explain CON003")]
pub(super) struct Explain {
    /// The code, as it stands before a message; all codes when left out
    code: Option<String>,
}

impl Explain {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failed> {
        let Some(text) = self.code else {
            context
                .output
                .show(&Codes(Code::ALL.iter().map(|code| Page::of(*code)).collect()));
            return Ok(Exit::Fine);
        };
        let Some(code) = Code::from_text(&text) else {
            let problem = Problem::new(Code::NotFound, format!("there is no error code `{text}`"));
            let hint = did_you_mean(&text, Code::ALL.iter().map(|code| code.as_str()));
            return Err(problem.hint(hint).into());
        };
        context.output.show(&Page::of(code));
        Ok(Exit::Fine)
    }
}

#[derive(Serialize)]
struct Page {
    code: Code,
    who: Who,
    page: &'static str,
}

impl Page {
    fn of(code: Code) -> Self {
        Self {
            code,
            who: code.who(),
            page: page(code),
        }
    }

    fn title(&self) -> &str {
        let first = self.page.lines().next().unwrap_or("");
        first.split_once(" — ").map_or(first, |(_, title)| title)
    }
}

impl Show for Page {
    fn text(&self) -> String {
        self.page.to_owned()
    }
}

#[derive(Serialize)]
struct Codes(Vec<Page>);

impl Show for Codes {
    fn text(&self) -> String {
        let row = |page: &Page| [page.code.to_string(), page.who.to_string(), page.title().to_owned()];
        table(["code", "who acts", "what happened"], self.0.iter().map(row))
    }
}
