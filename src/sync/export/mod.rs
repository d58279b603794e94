//! Export files for partners who have no API: when one is due, who stands in it, and what is remembered of it.
//!
//! The name of a file is in the ledger before the file is written, and what it held is noted behind it. A process that dies
//! in between writes the same rows, as they are then, once more under the same name. There is never half a file.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek as _};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use self::table::{Line, Status, Table};
use super::engine::Engine;
use crate::connector::{ExportRows, ExportSpec};
use crate::error::{Code, Problem};
use crate::ledger::{Ask, ChangeRow, Error as LedgerError, What};
use crate::merge::is_gone;
use crate::model::{CustomerKey, Record, UnixMillis};

/// Customers that are looked at together.
const BATCH: usize = 200;
/// Lines of the audit trail that are read together.
const TRAIL: usize = 2_000;

/// What is remembered of a system's exports, in the ledger's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// Files so far, the one under way included.
    number: u64,
    /// The file under way: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<String>,
    /// When the last one was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<UnixMillis>,
    /// The last line of the audit trail that it knew, and the time in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upto: Option<(i64, UnixMillis)>,
    /// What the admin said then: other columns are another file, with everybody.
    #[serde(default)]
    said: String,
}

/// What came of one system's export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The file's name; `None` when nothing had changed.
    pub file: Option<String>,
    /// Its rows.
    pub rows: u64,
    /// Why it could not be written.
    pub problem: Option<Problem>,
}

/// Who stands in a file.
enum Who {
    Everybody,
    These(BTreeSet<CustomerKey>),
}

impl Engine {
    /// Writes the export files that are due; with `at_once`, also those whose time has not come. Nothing before every
    /// system was read once and somebody said yes to the setup.
    ///
    /// # Errors
    /// When the ledger cannot be used. What is wrong with a file is in the answer.
    pub async fn export(&self, at_once: bool) -> Result<BTreeMap<CompactString, Exported>, LedgerError> {
        let mut all = BTreeMap::new();
        let specs: Vec<(CompactString, ExportSpec)> = self
            .connections
            .iter()
            .filter_map(|(name, connection)| Some((name.clone(), connection.export()?.clone())))
            .collect();
        if specs.is_empty() || !self.is_initial_read_done().await? || self.approval().await?.is_none() {
            return Ok(all);
        }
        for (system, spec) in specs {
            let state = self.export_state(&system).await?;
            let is_due = state.at.is_none_or(|at| self.clock.now().since(at) >= spec.every);
            if at_once || is_due || state.pending.is_some() {
                let exported = self.export_one(&system, &spec, state).await?;
                all.insert(system, exported);
            }
        }
        Ok(all)
    }

    async fn export_state(&self, system: &str) -> Result<State, LedgerError> {
        let stored = self.ledger.setting(&setting(system)).await?;
        Ok(stored
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default())
    }

    async fn note_export(&self, system: &str, state: &State) -> Result<(), LedgerError> {
        let text = serde_json::to_string(state).unwrap_or_default();
        self.ledger.set_setting(&setting(system), &text).await
    }

    async fn export_one(
        &self,
        system: &CompactString,
        spec: &ExportSpec,
        mut state: State,
    ) -> Result<Exported, LedgerError> {
        let said = format!("{spec:?} {:?}", self.rules.share);
        let now = self.clock.now();
        let mut exported = Exported {
            file: state.pending.clone(),
            rows: 0,
            problem: None,
        };
        let (who, upto) = self.who(spec, &state, &said).await?;
        let file = match self.export_table(system, spec, &who).await? {
            Ok((file, rows)) => {
                exported.rows = rows;
                file
            }
            Err(error) => {
                exported.problem = Some(Problem::new(Code::ExportFailed, format!("cannot be made: {error}")));
                return Ok(exported);
            }
        };
        // A file that may be there already is written again even if nobody is left in it.
        if exported.rows > 0 || state.pending.is_some() {
            let name = match &state.pending {
                Some(name) => name.clone(),
                None => {
                    state.number += 1;
                    let name = table::file_name(spec, now, state.number);
                    state.pending = Some(name.clone());
                    self.note_export(system, &state).await?;
                    name
                }
            };
            exported.file = Some(name.clone());
            if let Err(problem) = self.put(system, &name, file).await {
                tracing::warn!(%system, code = %problem.code, %problem, "an export file was not written");
                exported.problem = Some(problem);
                return Ok(exported);
            }
            tracing::info!(%system, file = name, rows = exported.rows, "an export file was written");
        }
        state = State {
            number: state.number,
            pending: None,
            at: Some(now),
            upto,
            said,
        };
        self.note_export(system, &state).await?;
        Ok(exported)
    }

    async fn put(&self, system: &str, name: &str, file: File) -> Result<(), Problem> {
        match self.connections.get(system) {
            Some(connection) => connection
                .put_export(name, file)
                .await
                .map_err(|failure| failure.problem),
            None => Ok(()),
        }
    }

    /// Who stands in the next file, and up to where the audit trail was read for it.
    async fn who(
        &self,
        spec: &ExportSpec,
        state: &State,
        said: &str,
    ) -> Result<(Who, Option<(i64, UnixMillis)>), LedgerError> {
        // The line up to which the last file went must still be there: otherwise numbers may have been given out anew.
        let known = match state.upto {
            Some((number, at)) if state.said == said => {
                let line = self.ledger.trail(UnixMillis(i64::MIN), number - 1, 1).await?;
                let is_it = line
                    .first()
                    .is_some_and(|(found, row)| *found == number && row.at == at);
                is_it.then_some((number, at))
            }
            _ => None,
        };
        let mut keys = BTreeSet::new();
        let mut upto = known;
        loop {
            let after = upto.map_or(0, |(number, _)| number);
            let lines = self.ledger.trail(UnixMillis(i64::MIN), after, TRAIL).await?;
            let Some((number, last)) = lines.last() else { break };
            upto = Some((*number, last.at));
            for (_, line) in lines.iter().filter(|(_, line)| known.is_some() && matters(line)) {
                keys.extend([line.change.customer].into_iter().chain(other(&line.change.what)));
            }
        }
        keys.retain(|key| key.kind == spec.kind);
        let is_all = known.is_none() || spec.rows == ExportRows::All;
        Ok((if is_all { Who::Everybody } else { Who::These(keys) }, upto))
    }

    async fn export_table(
        &self,
        system: &str,
        spec: &ExportSpec,
        who: &Who,
    ) -> Result<io::Result<(File, u64)>, LedgerError> {
        let role = self.rules.systems.get(system).map(|rules| rules.role);
        let columns = spec
            .columns
            .iter()
            .filter(|(field, _)| role.is_some_and(|role| self.rules.may_flow(field.as_str(), role)));
        let mut table = match Table::new(spec.format, columns.cloned().collect()) {
            Ok(table) => table,
            Err(error) => return Ok(Err(error)),
        };
        let mut after: Option<CustomerKey> = None;
        loop {
            let keys: Vec<CustomerKey> = match who {
                Who::Everybody => {
                    let page = self.ledger.customers(after.as_ref(), BATCH).await?;
                    page.iter().map(|customer| customer.key).collect()
                }
                Who::These(keys) => {
                    let rest = keys.iter().filter(|key| after.is_none_or(|after| **key > after));
                    rest.take(BATCH).copied().collect()
                }
            };
            let Some(last) = keys.last() else { break };
            after = Some(*last);
            let wanted: Vec<CustomerKey> = keys.into_iter().filter(|key| key.kind == spec.kind).collect();
            for line in self.lines(&wanted).await? {
                if let Err(error) = table.add(&line) {
                    return Ok(Err(error));
                }
            }
        }
        Ok(table.finish().and_then(|(mut file, rows)| {
            file.rewind()?;
            Ok((file, rows))
        }))
    }

    /// One line for each key that was ever given out and not erased.
    async fn lines(&self, keys: &[CustomerKey]) -> Result<Vec<Line>, LedgerError> {
        let ask = Ask {
            customers: keys.iter().copied().collect(),
            ..Ask::default()
        };
        let view = self.view(ask).await?;
        let mut members: BTreeMap<CustomerKey, Vec<&Record>> = BTreeMap::new();
        for (record, customer) in view.records.values() {
            members.entry(*customer).or_default().push(record);
        }
        let line = |key: &CustomerKey| {
            if let Some(live) = view.aliases.get(key) {
                return Some(Line::merged(*key, *live));
            }
            let customer = view.customers.get(key)?;
            let hers = members.get(key).map(Vec::as_slice).unwrap_or_default();
            let status = if is_gone(hers, &self.rules) {
                Status::Gone
            } else {
                Status::Active
            };
            Some(Line::of(*key, status, customer.golden.clone()))
        };
        Ok(keys.iter().filter_map(line).collect())
    }
}

fn setting(system: &str) -> String {
    format!("export.{system}")
}

/// Lines after which a customer may look different to a partner.
fn matters(line: &ChangeRow) -> bool {
    match &line.change.what {
        What::Appeared | What::Deleted | What::Removed | What::Restored | What::Moved(_) | What::Merged(..) => true,
        _ => line.change.record.is_none(),
    }
}

/// Whom else such a line is about.
fn other(what: &What) -> Option<CustomerKey> {
    match what {
        What::Moved(from) | What::Merged(from, _) => Some(*from),
        _ => None,
    }
}
