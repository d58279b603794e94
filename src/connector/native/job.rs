//! Everything at once, as a file: a job of the tool is begun, waited for, and its result read like any other list.
//!
//! The job stands in the cursor, so another process goes on with it. One whose beginning nobody noted is left alone: the
//! tool forgets it, and a new one is begun. What was read of a job that is given up is read again, which changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::paging::text_at;
use super::place::{Job, Task};
use super::{Native, Stream};
use crate::connector::http::{http_date, not_the_answer_to};
use crate::connector::link::{Good, Purpose};
use crate::connector::render::{Draft, Form, from_expression};
use crate::error::{Class, Failure};
use crate::manifest::{Context, FileFormat, ListJob};
use crate::model::UnixMillis;

/// How often a job is begun anew before the list is read page by page.
const JOBS_MAX: u32 = 3;
/// The first wait for a job; each further one is twice as long, up to what the manifest says.
const WAIT_MIN: Duration = Duration::from_millis(250);
/// The longest wait between two questions that a tool may ask for.
const WAIT_MAX: Duration = Duration::from_mins(5);

/// Whether there is something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tended {
    /// The job goes on.
    Waits,
    /// Its result is there, or the list is made without one.
    Reads,
}

impl Native {
    /// One step on the way to a job's result.
    pub(super) async fn tend_job(&self, stream: &Stream, words: &ListJob, task: &mut Task) -> Result<Tended, Failure> {
        match task.job.clone() {
            None | Some(Job::Ready { .. }) => return Ok(Tended::Reads),
            Some(Job::Due) => {
                task.job = self.begin_job(stream, words, task).await?;
                // What the job does not show yet by the tool's own clock is for the next window.
                task.end = task.end.min(stream.pace.bound(self.link.server_now()));
            }
            Some(Job::Running { id, since, polls }) => {
                let waited = self.link.now().since(since);
                if waited >= words.timeout.0 {
                    self.cancel_job(stream, words, &id).await;
                    give_up(stream, task, "takes too long");
                    return Ok(Tended::Waits);
                }
                self.look_at_job(stream, words, task, (id, since, polls)).await?;
            }
        }
        Ok(if task.job.is_none() {
            Tended::Reads
        } else {
            Tended::Waits
        })
    }

    /// Begins a job; none where the tool allows none.
    async fn begin_job(&self, stream: &Stream, words: &ListJob, task: &Task) -> Result<Option<Job>, Failure> {
        let mut names = self.link.names();
        names.set("window", &json!({"since": task.since.0, "until": task.until.0}));
        names.set("part", stream.parts.get(task.part).unwrap_or(&serde_json::Value::Null));
        names.set("fields", &stream.fields);
        names.set("parent", &json!(task.parent));
        let draft = Draft::new(&words.request, &words.query, words.body.as_ref(), &names)
            .and_then(|draft| draft.with_headers(&words.headers, &names));
        let draft = draft.map_err(|why| from_expression(&why, true))?;
        match self.link.call(&draft, Purpose::read("job")).await {
            Ok(good) => match text_at(&words.id, &good.body) {
                Some(id) => Ok(Some(Job::Running {
                    id,
                    since: self.link.now(),
                    polls: 0,
                })),
                None => Err(not_the_answer_to("the beginning of a job", "has no id of it")),
            },
            Err(failure) if matches!(failure.class, Class::Forbidden | Class::Invalid | Class::Gone) => {
                tracing::warn!(stream = %stream.name, code = %failure.problem.code, %failure, "the tool makes no such job, everything is read page by page");
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Waits a while, then asks how far the job is.
    async fn look_at_job(
        &self,
        stream: &Stream,
        words: &ListJob,
        task: &mut Task,
        (id, since, polls): (String, UnixMillis, u32),
    ) -> Result<(), Failure> {
        let names = self.link.names().with("job", &json!({"id": id}));
        let draft = Draft::new(&words.poll, &BTreeMap::new(), None, &names);
        let draft = draft.map_err(|why| from_expression(&why, true))?;
        self.link.timer().wait(pause(polls, words.every.0)).await;
        let good = match self.link.call(&draft, Purpose::read("job")).await {
            Err(failure) if failure.class == Class::Gone => {
                give_up(stream, task, "is not known to the tool any more");
                return Ok(());
            }
            good => good?,
        };
        if words.failed.as_ref().is_some_and(|failed| failed.holds_on(&good.body)) {
            give_up(stream, task, "failed");
        } else if words.done.holds_on(&good.body) {
            task.job = Some(Job::Ready { id });
        } else {
            if let Some(more) = self.told_wait(&good) {
                self.link.timer().wait(more).await;
            }
            task.job = Some(Job::Running {
                id,
                since,
                polls: polls.saturating_add(1),
            });
        }
        Ok(())
    }

    /// How long the tool itself asks to be left alone: `Retry-After` in seconds, or a date.
    fn told_wait(&self, good: &Good) -> Option<Duration> {
        let text = good.answer.header("retry-after").trim();
        let seconds = text.parse().ok().map(Duration::from_secs);
        let wait = seconds.or_else(|| Some(http_date(text)?.since(self.link.server_now())));
        wait.map(|wait| wait.min(WAIT_MAX))
    }

    /// Tells the tool that nobody waits any more; it is no matter if it does not listen.
    async fn cancel_job(&self, stream: &Stream, words: &ListJob, id: &str) {
        let Some(cancel) = &words.cancel else { return };
        let names: Context = self.link.names().with("job", &json!({"id": id}));
        let Ok(draft) = Draft::new(&cancel.request, &BTreeMap::new(), cancel.body.as_ref(), &names) else {
            return;
        };
        if let Err(failure) = self.link.call(&draft, Purpose::read("job")).await {
            tracing::debug!(stream = %stream.name, code = %failure.problem.code, "a job could not be called off");
        }
    }
}

/// The job comes to nothing: it is begun anew, or, after a few, everything is read page by page.
pub(super) fn give_up(stream: &Stream, task: &mut Task, why: &str) {
    task.restarts += 1;
    task.begin_query();
    if task.restarts >= JOBS_MAX {
        task.restarts = 0;
        task.job = None;
    }
    let goes_on = if task.job.is_some() {
        "a new job is begun"
    } else {
        "everything is read page by page"
    };
    tracing::warn!(stream = %stream.name, "the tool's job {why}: {goes_on}");
}

/// How long to wait before a job is asked about for the `polls`th time.
fn pause(polls: u32, every: Duration) -> Duration {
    WAIT_MIN.saturating_mul(1 << polls.min(16)).min(every.max(WAIT_MIN))
}

/// How the answer with a result is written.
pub(super) fn form_of(format: FileFormat) -> Form {
    match format {
        FileFormat::Json => Form::Json,
        FileFormat::Csv => Form::Table,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_job_is_noticed_soon_and_a_long_one_is_asked_about_seldom() {
        let every = Duration::from_secs(20);
        let pauses: Vec<u128> = (0..9).map(|polls| pause(polls, every).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]);
        assert_eq!(pause(u32::MAX, every), every);
        assert_eq!(pause(9, Duration::ZERO), WAIT_MIN);
    }
}
