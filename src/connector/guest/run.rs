//! One reading run of a program, handed over in pages.
//!
//! What must never happen here: a state is kept of a run that did not end well, or before the objects it stands for. The run
//! lives in memory alone; whoever comes with a cursor that is not its next page gets a new run from the state that is held.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::folder::Private;
use super::kept::Kept;
use super::place::{Place, UnderWay};
use super::problem::{failed, foul};
use super::program::Program;
use super::say::{Said, Speech};
use crate::connector::cursor::AsCursor as _;
use crate::error::{Class, Failure};
use crate::manifest::{Absent, Mapper, Speaks};
use crate::model::{Incoming, Page, SweepMark, UnixMillis};

/// How many objects make a page.
pub(super) const PAGE_ROWS: usize = 500;
/// How much they may say together.
const PAGE_BYTES: usize = 16 << 20;
/// How the id of an object begins that has none.
const NO_ID: &str = "no-id-";

/// A run under way.
pub(super) struct Run {
    id: String,
    /// The page that comes next.
    page: u64,
    program: Option<Program>,
    speech: Speech,
    kept: Arc<Kept>,
    /// The folder of a program that has ended.
    folder: Option<Private>,
    began: UnixMillis,
    /// It was begun without state.
    is_whole: bool,
    /// What a reading without state does not show is gone.
    absent: Absent,
    /// Its pages are a sweep.
    sweeps: bool,
    is_flawed: bool,
    /// The last state it said.
    state: Option<Json>,
    /// The version it declared to be all there is, and whether that came after the last object.
    activated: Option<(i64, bool)>,
    /// How many objects it may still send.
    credit: usize,
    /// The number of what it was asked.
    ask: u64,
    /// Why it ended, told when what it said before is committed.
    failure: Option<Failure>,
}

/// How a page ended.
enum Turn {
    Full,
    Over { is_all: bool },
}

impl Run {
    /// A run of a program that was just started.
    pub(super) fn new(kept: Arc<Kept>, program: Program, speech: Speech, place: &Place, begin: Begin) -> Self {
        let is_known = place.whole_at.is_some();
        Self {
            id: begin.id,
            page: 0,
            program: Some(program),
            speech,
            kept,
            folder: None,
            began: begin.at,
            is_whole: begin.is_whole,
            absent: begin.absent,
            sweeps: begin.is_whole && begin.may_sweep && is_known,
            is_flawed: false,
            state: None,
            activated: None,
            credit: 0,
            ask: begin.ask,
            failure: None,
        }
    }

    /// True when a cursor asks for exactly what comes next.
    pub(super) fn is_next(&self, place: &Place) -> bool {
        let next = UnderWay {
            id: self.id.clone(),
            page: self.page,
        };
        place.run.as_ref() == Some(&next)
    }

    /// The next page. After a failure the run is of no use any more.
    ///
    /// # Errors
    /// When the program failed, once everything it said before was handed over.
    pub(super) async fn page(&mut self, place: &Place, mapper: &Mapper) -> Result<Page, Failure> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.grant();
        let mut records = Vec::new();
        let turn = match self.gather(place, mapper, &mut records).await {
            Ok(turn) => turn,
            Err(failure) if records.is_empty() => return Err(failure),
            Err(failure) => {
                self.failure = Some(failure);
                Turn::Full
            }
        };
        let mut next = place.clone();
        match turn {
            Turn::Full => {
                // Our own language says what a state vouches for; of others nobody knows until they have ended well.
                if self.speech.speaks == Speaks::Nivel {
                    next.keep(self.state.clone());
                }
                self.page += 1;
                next.run = Some(UnderWay {
                    id: self.id.clone(),
                    page: self.page,
                });
                Ok(self.handed(records, &next, None))
            }
            Turn::Over { is_all } => {
                let is_swept = self.finish(&mut next, is_all);
                Ok(self.handed(records, &next, Some(is_swept)))
            }
        }
    }

    /// The page; `over` says of the last one whether it ends a sweep.
    fn handed(&self, records: Vec<Incoming>, next: &Place, over: Option<bool>) -> Page {
        Page {
            records,
            next: next.cursor(),
            is_caught_up: over.is_some(),
            asked_at: self.began,
            sweep: self.sweeps.then_some(SweepMark {
                began: self.began,
                is_over: over == Some(true),
                is_flawed: self.is_flawed,
            }),
        }
    }

    /// The private folder of its program.
    pub(super) fn folder(&self) -> Option<&Private> {
        self.folder
            .as_ref()
            .or_else(|| self.program.as_ref().map(Program::folder))
    }

    /// What a run that ended well means for the next; true when it showed everything there is.
    fn finish(&self, next: &mut Place, is_all: bool) -> bool {
        next.keep(self.state.clone());
        next.run = None;
        let is_new = self.activated.is_some_and(|(version, _)| next.version != Some(version));
        let declared = is_new && self.activated.is_some_and(|(_, is_last)| is_last);
        next.version = self.activated.map(|(version, _)| version).or(next.version);
        if self.is_whole {
            next.whole_at = Some(self.began);
        }
        let is_absent_gone = self.is_whole && self.absent == Absent::Deleted;
        self.sweeps && (declared || is_all || is_absent_gone)
    }

    async fn end(&mut self) -> Result<(), Failure> {
        let Some(mut program) = self.program.take() else {
            return Err(failed(&self.kept.system, "has ended already"));
        };
        let ended = program.end().await;
        self.folder = Some(program.folder_taken());
        ended
    }

    /// Lets our own programs send as much as a page holds.
    fn grant(&mut self) {
        if self.speech.speaks != Speaks::Nivel || self.page == 0 {
            self.credit = PAGE_ROWS;
            return;
        }
        let rows = PAGE_ROWS.saturating_sub(self.credit);
        self.credit = PAGE_ROWS;
        if let Some(program) = self.program.as_ref().filter(|_| rows > 0) {
            program.say(&json!({"type": "credit", "ask": self.ask, "rows": rows}));
        }
    }

    async fn gather(&mut self, place: &Place, mapper: &Mapper, into: &mut Vec<Incoming>) -> Result<Turn, Failure> {
        let mut bytes = 0;
        while into.len() < PAGE_ROWS && bytes < PAGE_BYTES {
            let Some(program) = &mut self.program else {
                return Err(failed(&self.kept.system, "has ended already"));
            };
            let Some(line) = program.line().await? else {
                self.end().await?;
                return match self.speech.speaks {
                    Speaks::Nivel => Err(failed(&self.kept.system, "ended before it said that it is done")),
                    _ => Ok(Turn::Over { is_all: false }),
                };
            };
            bytes += line.len();
            let said = self.speech.hear(&line).map_err(|what| foul(&self.kept.system, &what))?;
            match said {
                Said::Config(values) => self.keep(&values).await?,
                Said::Done { is_whole } => {
                    self.end().await?;
                    return Ok(Turn::Over {
                        is_all: is_whole && self.is_whole,
                    });
                }
                said => self.take(place, mapper, said, into)?,
            }
        }
        Ok(Turn::Full)
    }

    fn take(&mut self, place: &Place, mapper: &Mapper, said: Said, into: &mut Vec<Incoming>) -> Result<(), Failure> {
        match said {
            Said::Record {
                data,
                version,
                is_deleted,
            } => {
                if self.credit == 0 && self.speech.speaks == Speaks::Nivel {
                    return Err(foul(&self.kept.system, "more objects than it was allowed to"));
                }
                self.credit = self.credit.saturating_sub(1);
                self.count(place, version);
                let mut record = with_id(mapper.record_in(&data), &data);
                record.deleted |= is_deleted;
                self.is_flawed |= record.remote.starts_with(NO_ID);
                into.push(record);
            }
            Said::State(state) => self.state = Some(state),
            Said::Activate(version) => self.activated = Some((version, true)),
            Said::Failed(why) => return Err(failed(&self.kept.system, &format!("failed: {why}"))),
            Said::Answer(answer) => self.refuse(&answer)?,
            Said::Log(text) => tracing::debug!(system = %self.kept.system, "{text}"),
            Said::Config(_) | Said::Done { .. } | Said::Catalog(_) | Said::Connection(_) | Said::Other => {}
        }
        Ok(())
    }

    /// Rows with another version than the one declared last are the beginning of a new list of everything.
    fn count(&mut self, place: &Place, version: Option<i64>) {
        if let Some((_, is_last)) = &mut self.activated {
            *is_last = false;
        }
        let is_new = version.is_some() && version != place.version;
        self.sweeps |= is_new && place.whole_at.is_some();
    }

    /// A failure that passes is none that is tried again at once: that would begin the whole run anew, again and again.
    fn refuse(&self, answer: &Json) -> Result<(), Failure> {
        match super::session::failure_of(&self.kept.system, answer, true) {
            Some(failure) if failure.class == Class::Transient => Err(Failure {
                class: Class::Forbidden,
                ..failure
            }),
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// Takes over new settings, and tells a program of our own language when they are durable.
    async fn keep(&self, values: &Json) -> Result<(), Failure> {
        self.kept.put(values).await?;
        if let Some(program) = self.program.as_ref().filter(|_| self.speech.speaks == Speaks::Nivel) {
            super::session::confirm(program, values);
        }
        Ok(())
    }
}

/// How a run begins.
pub(super) struct Begin {
    pub(super) id: String,
    pub(super) at: UnixMillis,
    /// The number of what the program was asked.
    pub(super) ask: u64,
    /// Without state.
    pub(super) is_whole: bool,
    /// The program may end by saying that it showed everything.
    pub(super) may_sweep: bool,
    pub(super) absent: Absent,
}

/// An object without an id gets one from its content, so that it is kept and told like every other that cannot be used.
fn with_id(mut record: Incoming, data: &Json) -> Incoming {
    if record.remote.is_empty() {
        let digest = Sha256::digest(data.to_string());
        let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        record.remote = format!("{NO_ID}{hex}").into();
    }
    record
}
