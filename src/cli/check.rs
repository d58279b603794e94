//! `nivel check`: is the config right, and does every system answer?

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use compact_str::CompactString;
use futures::future::join_all;
use serde::Serialize;

use super::Failed;
use super::app::Context;
use super::output::{Exit, Show, line, table};
use crate::error::Problem;

/// Check the config, and whether each system answers
#[derive(Debug, Args)]
#[command(
    after_help = "Reads nothing but a greeting from each system, and writes nothing.\n\n\
Example:\n  nivel check\n  nivel check --offline --config nivel.yaml --config production.yaml\n  nivel check --fields"
)]
pub(super) struct Check {
    /// Only the config; speak to no system
    #[arg(long)]
    offline: bool,
    /// Compare the mapped fields with those the tools themselves describe, custom ones by their labels
    #[arg(long, conflicts_with = "offline")]
    fields: bool,
}

impl Check {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failed> {
        let config = context.config()?;
        let connections = match self.offline {
            true => crate::daemon::connect(&config, &context.clock).map_err(Failed::usage)?,
            false => crate::daemon::connect_to_check(&config, &context.clock)
                .await
                .map_err(Failed::from_all)?,
        };
        if self.fields {
            return super::fields::check(context, &connections).await;
        }
        let mut systems: Vec<Answer> = config
            .systems
            .iter()
            .map(|(name, system)| Answer {
                system: name.to_string(),
                connector: system.connector.to_string(),
                streams: connections
                    .get(name)
                    .map(|connection| connection.streams().keys().map(ToString::to_string).collect())
                    .unwrap_or_default(),
                asked: false,
                problem: None,
            })
            .collect();
        if !self.offline {
            let answers = connections.iter().map(async |(name, connection)| {
                let connection = Arc::clone(connection);
                (name, connection.check().await.err().map(|failure| failure.problem))
            });
            let mut answers: BTreeMap<_, _> = join_all(answers).await.into_iter().collect();
            for answer in &mut systems {
                answer.asked = true;
                answer.problem = answers.remove(&CompactString::from(&answer.system)).flatten();
            }
        }
        let report = Report { systems };
        context.output.show(&report);
        Ok(report.exit())
    }
}

#[derive(Clone, Debug, Serialize)]
struct Report {
    systems: Vec<Answer>,
}

#[derive(Clone, Debug, Serialize)]
struct Answer {
    system: String,
    connector: String,
    streams: Vec<String>,
    asked: bool,
    problem: Option<Problem>,
}

impl Report {
    fn exit(&self) -> Exit {
        let is_bad = self.systems.iter().any(|answer| answer.problem.is_some());
        if is_bad { Exit::Problem } else { Exit::Fine }
    }
}

impl Show for Report {
    fn text(&self) -> String {
        let row = |answer: &Answer| {
            let result = match (&answer.problem, answer.asked) {
                (Some(problem), _) => problem.to_string(),
                (None, true) => "answers".to_owned(),
                (None, false) => "not asked".to_owned(),
            };
            [
                answer.system.clone(),
                answer.connector.clone(),
                answer.streams.join(", "),
                result,
            ]
        };
        let mut text = String::new();
        line(
            &mut text,
            table(
                ["system", "connector", "streams", "result"],
                self.systems.iter().map(row),
            ),
        );
        let bad = self.systems.iter().find_map(|answer| answer.problem.as_ref());
        match bad {
            Some(problem) => line(&mut text, format_args!("\n`nivel explain {}` tells more", problem.code)),
            None => line(&mut text, "\nthe config is good"),
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn one_silent_system_is_a_problem() {
        let answer = |system: &str, problem| Answer {
            system: system.to_owned(),
            connector: "acme".to_owned(),
            streams: vec!["person".to_owned()],
            asked: true,
            problem,
        };
        let mut report = Report {
            systems: vec![answer("crm", None)],
        };
        assert_eq!(report.exit(), Exit::Fine);
        let wanted = "SYSTEM  CONNECTOR  STREAMS  RESULT\ncrm     acme       person   answers\n\nthe config is good\n";
        assert_eq!(report.text(), wanted);
        let problem = Problem::new(Code::Unreachable, "connection refused");
        report.systems.push(answer("desk", Some(problem)));
        assert_eq!(report.exit(), Exit::Problem);
        assert!(
            report
                .text()
                .contains("desk    acme       person   CON001: connection refused")
        );
    }
}
