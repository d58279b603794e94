//! What verbs work with: the config, the ledger, the time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::output::Output;
use super::{Failed, Global};
use crate::config::{self, Config};
use crate::error::{Code, Problem};
use crate::ledger::{Error as LedgerError, Ledger};
use crate::model::{Clock, SystemClock};
use crate::sync::{Act, Silent};

/// How long the process that has the ledger open is given to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// How often its answer is looked for.
const ANSWER_POLL: Duration = Duration::from_millis(200);

/// What came of a request.
#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Done(serde_json::Value),
    Problem(Problem),
}

/// What every verb gets.
pub(super) struct Context {
    pub(super) global: Global,
    pub(super) output: Output,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) env: BTreeMap<String, String>,
}

impl Context {
    pub(super) fn new(global: Global, output: Output) -> Self {
        Self {
            global,
            output,
            clock: Arc::new(SystemClock),
            env: config::environment(),
        }
    }

    /// The config, or all its problems with exit code 2.
    pub(super) fn config(&self) -> Result<Config, Failed> {
        let mut config = Config::load(&self.global.config, &self.env).map_err(Failed::usage)?;
        if let Some(data_dir) = &self.global.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        Ok(config)
    }

    /// The first config file, where `init` writes.
    pub(super) fn config_file(&self) -> PathBuf {
        self.global
            .config
            .first()
            .cloned()
            .unwrap_or_else(|| PathBuf::from("nivel.yaml"))
    }

    /// The ledger that the config names, to look into it; a daemon may be at work with it meanwhile.
    pub(super) fn ledger(&self) -> Result<Arc<dyn Ledger>, Failed> {
        Ok(crate::daemon::ledger_to_read(&self.config_with_ledger()?)?)
    }

    /// The config, if the ledger it names is there: looking at nothing is a mistake in a path, not an empty result.
    pub(super) fn config_with_ledger(&self) -> Result<Config, Failed> {
        let config = self.config()?;
        let path = config.ledger_path();
        if !path.exists() {
            let problem = Problem::new(Code::NotFound, "there is no ledger yet").about(path.display());
            return Err(problem
                .hint("run `nivel sync` first, or name the right folder with --data-dir")
                .into());
        }
        Ok(config)
    }

    /// Does what an operator asks for: here, or, when a daemon has the ledger, there.
    pub(super) async fn act<T: serde::de::DeserializeOwned>(&self, act: Act) -> Result<T, Failed> {
        let config = self.config_with_ledger()?;
        let opened = crate::daemon::open(&config, Arc::clone(&self.clock), Arc::new(Silent)).await;
        let done = match opened {
            Ok(engine) => engine.act(&act, &self.operator()).await?,
            Err(problems) if problems.iter().any(|problem| problem.code == Code::LedgerLocked) => {
                self.ask_the_other(&config, &act).await?
            }
            Err(problems) => return Err(Failed::from_all(problems)),
        };
        serde_json::from_value(done).map_err(|error| Problem::new(Code::Bug, error.to_string()).into())
    }

    async fn ask_the_other(&self, config: &Config, act: &Act) -> Result<serde_json::Value, Failed> {
        self.output
            .note(format_args!("another nivel has the ledger open; it is asked to do it"));
        let unreadable = |error: serde_json::Error| Failed::from(Problem::new(Code::Bug, error.to_string()));
        let act = serde_json::to_string(act).map_err(unreadable)?;
        let asked = crate::daemon::leave_request(config, self.clock.now(), &self.operator(), &act)?;
        let give_up_at = self.clock.now().plus(ANSWER_WAIT);
        while self.clock.now() < give_up_at {
            if let Some(text) = crate::daemon::answer_to(config, asked)? {
                let answer: Answer = serde_json::from_str(&text).map_err(unreadable)?;
                return match answer {
                    Answer::Done(done) => Ok(done),
                    Answer::Problem(problem) => Err(problem.into()),
                };
            }
            tokio::time::sleep(ANSWER_POLL).await;
        }
        let problem = Problem::new(
            Code::LedgerLocked,
            "the nivel that has the ledger open has not answered yet",
        );
        Err(problem
            .hint("the request stays; only `nivel run` answers requests")
            .into())
    }

    /// Who sits at the keyboard, for the audit trail.
    pub(super) fn operator(&self) -> String {
        let name = ["SUDO_USER", "USER", "LOGNAME"]
            .iter()
            .find_map(|name| self.env.get(*name));
        name.filter(|name| !name.is_empty())
            .cloned()
            .unwrap_or_else(|| "operator".to_owned())
    }
}

/// What a person reads when the ledger did not do what was asked.
pub(super) fn ledger_problem(error: LedgerError) -> Problem {
    match error {
        LedgerError::Broken(problem) => problem,
        LedgerError::Stale => {
            Problem::new(Code::LedgerLocked, "the ledger was changed by somebody else meanwhile").hint("try again")
        }
    }
}
