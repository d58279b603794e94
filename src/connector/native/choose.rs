//! Which list of a stream is read next.

use std::time::Duration;

use super::place::{Aim, Place, Position, Reached, Task};
use super::{Native, Stream};
use crate::manifest::Read;
use crate::model::{Sweeps, UnixMillis};

/// While a long sweep is under way, changes are read whenever they are this far behind.
const INTERLEAVE: Duration = Duration::from_secs(5 * 60);

impl Native {
    /// Begins the next list that is due, if none is under way.
    pub(super) fn choose(&self, stream: &Stream, read: &Read, place: &mut Place, is_looking: bool) {
        if place.task.is_some() {
            return;
        }
        let now = self.link.server_now();
        let round = place.round.unwrap_or(now);
        let is_sweeping = place.sweep.is_some();
        let has_job = read.job.is_some() && !is_looking;
        let lists = place.lists(read.parents.is_some());
        for parent in &lists {
            let reached = place.reached(parent.as_ref());
            let is_first = reached.since.is_none();
            let moment = if is_sweeping { now } else { round };
            if let Some(mut task) = changes(stream, read, &reached, (round, moment), is_sweeping) {
                task.open_below(parent.clone());
                place.task = Some(if has_job && is_first && read.window.is_some() {
                    task.by_job()
                } else {
                    task
                });
                return;
            }
        }
        if is_sweeping {
            return;
        }
        let pace = &stream.pace;
        let bound = pace.bound(round);
        if let (Some(_), Some(from)) = (&read.deletes, place.removed_since)
            && bound > from
            && round.since(from) >= self.removals_every
        {
            place.task = Some(Task::new(Aim::Removals, round, from.minus(pace.overlap), bound));
            return;
        }
        if let Some(first) = lists.into_iter().next()
            && self.is_sweep_due(stream, read, place, round)
        {
            let mut sweep = pace.sweep(round);
            sweep.open_below(first);
            place.sweep = Some(if has_job { sweep.by_job() } else { sweep });
        }
    }

    /// True when it is time to read everything.
    pub(super) fn is_sweep_due(&self, stream: &Stream, read: &Read, place: &Place, round: UnixMillis) -> bool {
        let is_due = |every: Duration| place.swept_at.is_none_or(|at| round.since(at) >= every);
        self.full_every(stream, read).is_some_and(is_due)
    }

    /// How often everything is read: as the admin says, else as the manifest does. A stream that is read in no other way
    /// cannot do without.
    fn full_every(&self, stream: &Stream, read: &Read) -> Option<Duration> {
        let manifest = read.full.map(|full| full.every.0);
        match self.full.get(&stream.name).copied() {
            Some(Sweeps::Every(time)) => Some(time),
            Some(Sweeps::Never) if read.window.is_some() || read.cursor.is_some() => None,
            _ => manifest,
        }
    }
}

/// What is to be read of the changes of one list, at `moment`, in the round that began at `round`.
fn changes(
    stream: &Stream,
    read: &Read,
    reached: &Reached<'_>,
    (round, moment): (UnixMillis, UnixMillis),
    is_sweeping: bool,
) -> Option<Task> {
    let pace = &stream.pace;
    if read.cursor.is_some() {
        if *reached.is_followed {
            return None;
        }
        let mut task = Task::new(Aim::Changes, round, pace.start, round);
        task.page = reached.token.clone().map_or(Position::First, Position::Token);
        return Some(task);
    }
    read.window.as_ref()?;
    let behind = reached.since.map(|since| pace.bound(moment).since(since));
    if is_sweeping && behind.is_none_or(|behind| behind < INTERLEAVE) {
        return None;
    }
    pace.changes(*reached.since, moment)
}
