//! Reads one page of a stream: a function of the cursor and what the tool answers, with no memory between calls.
//!
//! What must never happen here: the state moves past something that was not returned; an answer that is not a list is
//! taken for an empty one; a list that goes round in a circle is read for ever or given up without a word.

use std::borrow::Cow;
use std::time::Duration;

use reqwest::Url;
use serde_json::{Value as Json, json};

use super::job::{Tended, form_of, give_up};
use super::paging::{self, Leaf, guarded_total, text_at};
use super::place::{Aim, Job, Place, Position, Task};
use super::rows::{NO_ID, notice_repeats, records, rows, signature};
use super::window::halve;
use super::{Native, Stream};
use crate::connector::cursor::AsCursor as _;
use crate::connector::from_answer::next_link;
use crate::connector::http::not_the_answer_to;
use crate::connector::link::{Good, Purpose};
use crate::connector::render::{Draft, Target, from_expression};
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{CommitAt, CursorTo, Paging, Read};
use crate::model::{Incoming, Page, SweepMark};

/// How often a list is begun again because its total moved; then its window is made smaller.
const RESTARTS_MAX: u32 = 3;

/// What comes after a page.
enum Turn {
    /// Another page, or the same list once more from its beginning.
    Page,
    /// The end of the query.
    End,
}

impl Native {
    /// The next page from `place` on.
    pub(super) async fn pull_page(&self, stream: &Stream, place: Place) -> Result<Page, Failure> {
        self.page(stream, place, None).await
    }

    /// As [`Self::pull_page`]; `raw` gets the rows as they came.
    pub(super) async fn page(
        &self,
        stream: &Stream,
        mut place: Place,
        raw: Option<&mut Vec<Json>>,
    ) -> Result<Page, Failure> {
        let Some(read) = &stream.object.read else {
            return Err(stream.cannot("list these objects"));
        };
        place.fit(read.parents.is_some());
        if place.round.is_none() {
            self.begin_round(stream, read, &mut place).await?;
        }
        // To look at a few objects no job is begun.
        let is_looking = raw.is_some();
        self.choose(stream, read, &mut place, is_looking);
        let Some(mut task) = place.take() else {
            place.end_round();
            return Ok(self.nothing(&place, None, true));
        };
        if let Some(job) = &read.job
            && self.tend_job(stream, job, &mut task).await? == Tended::Waits
        {
            return Ok(self.nothing_yet(place, task));
        }
        let draft = self.draft(stream, read, &task)?;
        let good = match self.link.call(&draft, Purpose::read("read")).await {
            Err(failure) if failure.class == Class::Gone && place.reached(task.parent.as_ref()).token.is_some() => {
                // The tool has forgotten its own cursor. Everything is read anew, which loses nothing.
                tracing::warn!(system = %self.system, stream = %stream.name, "the tool's cursor is no longer valid, reading from the start");
                place.forget(task.parent.as_ref());
                return Ok(self.nothing(&place, None, false));
            }
            // A page whose token or address the tool has forgotten: its list is read again from the first page.
            Err(failure) if failure.class == Class::Gone && task.can_expire() => {
                return Ok(self.begin_list_again(stream, place, task).await);
            }
            // The parent is no more, and what stood below it.
            Err(failure) if failure.class == Class::Gone && self.has_vanished(stream, read, &task).await? => {
                return Ok(self.without_parent(stream, read, place, task));
            }
            good => good?,
        };
        self.believe_their_clock(stream, &mut place, &mut task);
        let rows = self.attached(stream, task.aim, rows(read, &task, &good)?).await?;
        let records = records(stream, &task, &rows);
        if let Some(raw) = raw {
            raw.extend(rows.iter().map(|row| row.clone().into_owned()));
        }
        let turn = self.turn(stream, read, &mut place, &mut task, &good, &rows, &records)?;
        let is_over = matches!(turn, Turn::End) && !self.goes_on(stream, read, &place, &mut task);
        task.is_flawed |= records.iter().any(|record| record.remote.starts_with(NO_ID));
        let of_sweep = (task.aim == Aim::Sweep).then(|| task.sweep_mark(is_over));
        let sweep = of_sweep.or_else(|| place.sweep_mark());
        if is_over {
            finish(read, &mut place, &task);
            self.choose(stream, read, &mut place, is_looking);
        } else {
            place.put(task);
        }
        let is_caught_up = place.under_way().is_none();
        if is_caught_up {
            place.end_round();
        }
        Ok(Page {
            records,
            next: place.cursor(),
            is_caught_up,
            asked_at: good.answer.asked_at,
            sweep,
        })
    }

    /// The tool has forgotten a page of its list, which is then begun again: later each time, so that a tool that forgets
    /// every page is not asked without a pause.
    async fn begin_list_again(&self, stream: &Stream, place: Place, mut task: Task) -> Page {
        if task.job.is_some() {
            give_up(stream, &mut task, "has no result any more");
            return self.nothing_yet(place, task);
        }
        tracing::warn!(system = %self.system, stream = %stream.name, "a page is no longer valid, its list is begun again");
        let wait = Duration::from_secs(1 << task.restarts.min(6));
        self.link.timer().wait(wait).await;
        task.restarts += 1;
        task.begin_query();
        self.nothing_yet(place, task)
    }

    /// A page without objects: the list goes on.
    pub(super) fn nothing_yet(&self, mut place: Place, task: Task) -> Page {
        let sweep = (task.aim == Aim::Sweep).then(|| task.sweep_mark(false));
        let sweep = sweep.or_else(|| place.sweep_mark());
        place.put(task);
        self.nothing(&place, sweep, false)
    }

    /// A page without objects.
    pub(super) fn nothing(&self, place: &Place, sweep: Option<SweepMark>, is_caught_up: bool) -> Page {
        Page {
            records: Vec::new(),
            next: place.cursor(),
            is_caught_up,
            asked_at: self.link.now(),
            sweep,
        }
    }

    /// The request of the task's page.
    fn draft(&self, stream: &Stream, read: &Read, task: &Task) -> Result<Draft, Failure> {
        let removals = read.deletes.as_ref().filter(|_| task.aim == Aim::Removals);
        let (request, headers, query, body) = match removals {
            Some(deletes) => (&deletes.request, &deletes.headers, &deletes.query, &deletes.body),
            None => (&read.request, &read.headers, &read.query, &read.body),
        };
        let paging = paging_of(read, task);
        let mut names = self.link.names();
        names.set("window", &json!({"since": task.since.0, "until": task.until.0}));
        names.set("page", &paging::names(paging, &task.page));
        names.set("part", stream.parts.get(task.part).unwrap_or(&Json::Null));
        names.set("parent", &json!(task.parent));
        names.set("fields", &stream.fields);
        names.set("since", &Json::from(task.since.0));
        let fail = |why| from_expression(&why, true);
        if let (Some(words), Some(Job::Ready { id })) = (&read.job, &task.job) {
            let names = names.with("job", &json!({"id": id}));
            let mut draft = Draft::new(&words.results.request, &words.results.query, None, &names).map_err(fail)?;
            draft.form = form_of(words.results.format);
            if let Some((param, value)) = paging::parameter(paging, &task.page) {
                draft.put(param, &value);
            }
            return Ok(draft);
        }
        let draft = Draft::new(request, query, body.as_ref(), &names);
        let mut draft = draft
            .and_then(|draft| draft.with_headers(headers, &names))
            .map_err(fail)?;
        self.turn_page(&mut draft, paging, &task.page)?;
        if let (Some(cursor), None) = (&read.cursor, removals) {
            match (&task.page, &cursor.to) {
                (Position::Token(token), CursorTo::Param(to)) => draft.put(to, &Json::from(token.as_str())),
                (Position::Token(token), CursorTo::Url) => {
                    draft.target = Target::Url(self.same_host(token)?);
                    draft.query.clear();
                }
                // The address of a next page says all by itself.
                (Position::Url(_), _) => {}
                _ => {
                    let start = cursor
                        .start
                        .iter()
                        .map(|(param, body)| Ok((param, body.render(&names)?)));
                    let start = start.collect::<Result<Vec<_>, _>>().map_err(fail)?;
                    start.iter().for_each(|(param, value)| draft.put(param, value));
                }
            }
        }
        Ok(draft)
    }

    /// Makes a request one for another page of its list.
    pub(super) fn turn_page(&self, draft: &mut Draft, paging: Option<&Paging>, page: &Position) -> Result<(), Failure> {
        if let Position::Url(text) = page {
            draft.target = Target::Url(self.same_host(text)?);
            draft.query.clear();
        }
        if let Some((param, value)) = paging::parameter(paging, page) {
            draft.put(param, &value);
        }
        Ok(())
    }

    fn same_host(&self, text: &str) -> Result<Url, Failure> {
        self.link
            .own_url(text)
            .ok_or_else(|| not_a_list("points to a next page on another host"))
    }

    /// Path and query of an address, to be kept: the host of a tool may change with its next token.
    pub(super) fn below_host(&self, text: &str) -> Result<String, Failure> {
        let url = self.same_host(text)?;
        let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
        Ok(format!("{}{query}", url.path()))
    }

    /// The state of a window must not lie after what the tool itself has reached: our clock may be ahead of its own.
    fn believe_their_clock(&self, stream: &Stream, place: &mut Place, task: &mut Task) {
        let theirs = self.link.server_now();
        if task.pages == 0 {
            task.end = task.end.min(stream.pace.bound(theirs));
        }
        place.round = place.round.map(|round| round.min(theirs));
    }

    /// Moves the task to its next page, or says that the query is over.
    #[expect(
        clippy::too_many_arguments,
        reason = "all of one page: what was asked, what came, what it was made into"
    )]
    fn turn(
        &self,
        stream: &Stream,
        read: &Read,
        place: &mut Place,
        task: &mut Task,
        good: &Good,
        rows: &[Cow<'_, Json>],
        records: &[Incoming],
    ) -> Result<Turn, Failure> {
        let paging = paging_of(read, task);
        if task.page == Position::First || task.total.is_none() {
            task.total = guarded_total(paging, good);
        } else if guarded_total(paging, good) != task.total {
            return begin_again(task);
        }
        notice_repeats(task, signature(records))?;
        task.pages += 1;
        task.rows += rows.len() as u64;
        let token = paging::token(paging, good);
        let leaf = Leaf {
            body: &good.body,
            token: token.as_deref(),
            total: paging::total(paging, good),
            link: next_link(good.answer.header("link")),
            rows: rows.len() as u64,
            read: task.rows,
            last: rows.last().map(AsRef::as_ref),
        };
        let cursor = read.cursor.as_ref().filter(|_| task.aim != Aim::Removals);
        let mut next = paging::next(paging, cursor, &task.page, leaf).map_err(not_a_list)?;
        // What is said of the tool's lists is not said of its files.
        let is_list = task.aim != Aim::Removals && task.job.is_none();
        let is_newest_first = stream.pace.is_newest_first && is_list;
        if is_newest_first
            && records
                .iter()
                .any(|record| record.updated_at.is_some_and(|at| at < task.since))
        {
            next = None;
        }
        if let Some(cursor) = cursor {
            let mut token = text_at(&cursor.opaque, &good.body);
            if let (Some(address), CursorTo::Url) = (&mut token, &cursor.to) {
                *address = self.below_host(address)?;
            }
            if token.is_none() && next.is_none() && cursor.to == CursorTo::Url {
                return Err(not_a_list("has neither a next page nor the address for the next time"));
            }
            if token.is_some() && (next.is_none() || cursor.commit == CommitAt::Page) {
                *place.reached(task.parent.as_ref()).token = token;
            }
        }
        if is_list && stream.pace.is_ceiling_met(task) && (next.is_some() || !is_newest_first) {
            return if !is_newest_first && halve(task) {
                Ok(Turn::Page)
            } else {
                Err(ceiling_met())
            };
        }
        let Some(mut next) = next else {
            return Ok(Turn::End);
        };
        if let Position::Url(text) = &mut next {
            *text = self.below_host(text)?;
        }
        if next == task.page || task.mark.as_ref() == Some(&next) {
            return Err(no_progress("points back to a page that was read already"));
        }
        if task.pages.is_power_of_two() {
            task.mark = Some(next.clone());
        }
        task.page = next;
        Ok(Turn::Page)
    }

    /// After a query: the next partition, the rest of a split window, the list below the next parent, or the tail of a
    /// sweep. False when all is read.
    fn goes_on(&self, stream: &Stream, read: &Read, place: &Place, task: &mut Task) -> bool {
        if task.aim == Aim::Removals {
            return false;
        }
        if task.part + 1 < stream.parts.len() {
            task.part += 1;
            task.begin_query();
            return true;
        }
        if stream.pace.next_window(task) {
            return true;
        }
        task.aim == Aim::Sweep && self.sweeps_on(stream, read, place, task)
    }
}

fn paging_of<'r>(read: &'r Read, task: &Task) -> Option<&'r Paging> {
    match (task.aim, &read.deletes, &read.job, &task.job) {
        (Aim::Removals, Some(deletes), ..) => deletes.page.as_ref(),
        (.., Some(words), Some(_)) => words.results.page.as_ref(),
        _ => read.page.as_ref(),
    }
}

/// What a list that is read to its end means for the state.
pub(super) fn finish(read: &Read, place: &mut Place, task: &Task) {
    match task.aim {
        Aim::Removals => place.removed_since = place.removed_since.max(Some(task.end)),
        Aim::Changes if read.cursor.is_some() => *place.reached(task.parent.as_ref()).is_followed = true,
        Aim::Changes => {
            place.read_to(task.parent.as_ref(), task.end);
            // The first reading of everything is as good as a sweep, but proves no absence: nothing was known before it.
            if place.is_begun() {
                place.swept_at.get_or_insert(task.began);
            }
        }
        Aim::Sweep => {
            place.swept_at = Some(task.began);
            place.epoch += 1;
            if read.window.is_some() {
                for parent in place.lists(read.parents.is_some()) {
                    place.read_to(parent.as_ref(), task.end);
                }
            }
        }
    }
    // What was removed while the first list was read is told by the next list of removed objects.
    place.removed_since.get_or_insert(task.began);
}

/// The number of all rows moved while the list was read by offset, so rows may have been skipped.
fn begin_again(task: &mut Task) -> Result<Turn, Failure> {
    task.restarts += 1;
    if task.restarts > RESTARTS_MAX {
        if !halve(task) {
            return Err(no_progress("changes its list faster than it can be read"));
        }
        task.restarts = 0;
    }
    task.begin_query();
    Ok(Turn::Page)
}

pub(super) fn not_a_list(what: &str) -> Failure {
    not_the_answer_to("a list", what)
}

pub(super) fn no_progress(what: &str) -> Failure {
    Failure::new(
        Class::Transient,
        Problem::new(Code::NoProgress, format!("the tool {what}")),
    )
}

fn ceiling_met() -> Failure {
    let message = "the tool lists no more rows of one second, and more there may be";
    Failure::new(Class::Forbidden, Problem::new(Code::CeilingMet, message))
}
