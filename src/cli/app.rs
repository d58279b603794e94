//! What verbs work with: the config, the ledger, the time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::output::Output;
use super::{Failed, Global};
use crate::config::{self, Config};
use crate::error::{Code, Problem};
use crate::ledger::{Error as LedgerError, Ledger};
use crate::model::{Clock, SystemClock};

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

    /// The ledger that the config names, to change it; nobody else may have it open.
    pub(super) fn ledger_to_change(&self) -> Result<Arc<dyn Ledger>, Failed> {
        Ok(crate::daemon::ledger(&self.config_with_ledger()?, &self.clock)?)
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
