//! Lists that hang below other objects: which there are, and what is new or gone among them.
//!
//! What must never happen here: a parent is taken for gone because its list was cut or not understood; a sweep that left
//! out the list of a parent passes for one over everything.

use std::collections::BTreeSet;

use compact_str::CompactString;

use super::paging::{self, Leaf, text_at};
use super::place::{Aim, Place, Position, Task};
use super::read::{finish, no_progress, not_a_list};
use super::rows::list_at;
use super::{Native, Stream};
use crate::connector::from_answer::next_link;
use crate::connector::link::Purpose;
use crate::connector::render::{Draft, from_expression};
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Body, Find, ParentList, Parents, Read};
use crate::model::{Incoming, Page};

/// How many parents a stream may have: each has a position in the cursor.
const PARENTS_MAX: usize = 1000;

type Ids = BTreeSet<CompactString>;

impl Native {
    /// A round begins: up to this moment everything is to be read, below the parents that there are now.
    pub(super) async fn begin_round(&self, stream: &Stream, read: &Read, place: &mut Place) -> Result<(), Failure> {
        let round = self.link.server_now();
        let has_changes = read.window.is_some() || read.cursor.is_some();
        if let Some(words) = &read.parents
            && (has_changes || self.is_sweep_due(stream, read, place, round))
        {
            let (new, gone) = place.meet(self.parents(words).await?);
            if !new.is_empty() || !gone.is_empty() {
                tracing::info!(system = %self.system, stream = %stream.name, ?new, ?gone, "the lists of this stream are others than before");
            }
        }
        place.round = Some(round);
        Ok(())
    }

    /// The parents that the config names, else those that the tool lists.
    async fn parents(&self, words: &Parents) -> Result<Ids, Failure> {
        let named = words.named.as_ref().map(|named| named.render(&self.link.names()));
        let named = named.transpose().map_err(|why| from_expression(&why, true))?;
        let named = named.as_ref().map(Parents::named_in).unwrap_or_default();
        let parents = match &words.list {
            Some(list) if named.is_empty() => self.listed(list).await?,
            _ => named,
        };
        if parents.len() > PARENTS_MAX {
            return Err(too_many());
        }
        if words.in_id && parents.iter().any(|parent| parent.contains('/')) {
            return Err(not_a_list(
                "has a parent with a `/` in its id, which would not be told from the rest",
            ));
        }
        Ok(parents)
    }

    async fn listed(&self, list: &ParentList) -> Result<Ids, Failure> {
        let paging = list.page.as_ref();
        let (mut ids, mut page, mut read) = (Ids::new(), Position::First, 0);
        for _ in 0..=PARENTS_MAX {
            let names = self.link.names().with("page", &paging::names(paging, &page));
            let draft = Draft::new(&list.request, &list.query, None, &names);
            let draft = draft.and_then(|draft| draft.with_headers(&list.headers, &names));
            let mut draft = draft.map_err(|why| from_expression(&why, true))?;
            self.turn_page(&mut draft, paging, &page)?;
            let good = self.link.call(&draft, Purpose::read("read")).await?;
            let rows = if good.body.is_null() {
                Vec::new()
            } else {
                list_at(&list.records, &good.body)?
            };
            for row in &rows {
                let id = text_at(&list.id, row).ok_or_else(|| not_a_list("has a parent without an id"))?;
                ids.insert(id.into());
            }
            read += rows.len() as u64;
            let token = paging::token(paging, &good);
            let leaf = Leaf {
                body: &good.body,
                token: token.as_deref(),
                total: paging::total(paging, &good),
                link: next_link(good.answer.header("link")),
                rows: rows.len() as u64,
                read,
                last: rows.last().map(AsRef::as_ref),
            };
            let next = paging::next(paging, None, &page, leaf).map_err(not_a_list)?;
            match next {
                None => return Ok(ids),
                Some(next) if next == page => return Err(no_progress("points back to a page that was read already")),
                Some(_) if ids.len() > PARENTS_MAX => return Err(too_many()),
                Some(Position::Url(text)) => page = Position::Url(self.below_host(&text)?),
                Some(next) => page = next,
            }
        }
        Err(no_progress("lists the parents of a stream without an end"))
    }

    /// True when the tool does not list the parent any more whose list it says is not there: a permission that is missing
    /// reads the same, and then it is still listed.
    pub(super) async fn has_vanished(&self, stream: &Stream, read: &Read, task: &Task) -> Result<bool, Failure> {
        let (Some(words), Some(parent)) = (&read.parents, &task.parent) else {
            return Ok(false);
        };
        let is_gone = !self.parents(words).await?.contains(parent);
        if is_gone {
            tracing::info!(system = %self.system, stream = %stream.name, %parent, "a list is gone with its parent");
        }
        Ok(is_gone)
    }

    /// Goes on without a parent that has vanished. A sweep is still one over everything there is.
    pub(super) fn without_parent(&self, stream: &Stream, read: &Read, mut place: Place, mut task: Task) -> Page {
        if let Some(parent) = &task.parent {
            place.parents.remove(parent);
        }
        let is_sweep = task.aim == Aim::Sweep && !place.parents.is_empty();
        let goes_on = is_sweep && self.sweeps_on(stream, read, &place, &mut task);
        let sweep = is_sweep.then(|| task.sweep_mark(!goes_on));
        if is_sweep && !goes_on {
            finish(read, &mut place, &task);
        }
        if goes_on {
            return self.nothing_yet(place, task);
        }
        let sweep = sweep.or_else(|| place.sweep_mark());
        self.nothing(&place, sweep, false)
    }

    /// After everything below one parent: the next one, or the tail of the sweep. False when all is read.
    pub(super) fn sweeps_on(&self, stream: &Stream, read: &Read, place: &Place, task: &mut Task) -> bool {
        if let Some(next) = task.parent.as_ref().and_then(|parent| place.parent_after(parent)) {
            task.turn_to(next);
            return true;
        }
        if read.window.is_none() || !stream.pace.tail(task, self.link.server_now()) {
            return false;
        }
        if task.parent.is_some() {
            task.open_below(place.parents.keys().next().cloned());
        }
        true
    }

    /// Below which parents an object is looked up.
    pub(super) async fn parents_of(&self, stream: &Stream, find: &Find) -> Result<Vec<Option<CompactString>>, Failure> {
        let words = stream.object.read.as_ref().and_then(|read| read.parents.as_ref());
        let bodies = find.headers.values().chain(find.query.values()).chain(&find.body);
        let mut used = bodies.flat_map(Body::names).chain(find.request.path.names());
        match words.filter(|_| used.any(|name| name == "parent")) {
            Some(words) => Ok(self.parents(words).await?.into_iter().map(Some).collect()),
            None => Ok(vec![None]),
        }
    }
}

impl Stream {
    /// True when the id of an object holds that of its parent.
    pub(super) fn is_scoped(&self) -> bool {
        let parents = self.object.read.as_ref().and_then(|read| read.parents.as_ref());
        parents.is_some_and(|parents| parents.in_id)
    }

    /// The parent in an id, and the tool's own id.
    pub(super) fn own_id<'i>(&self, id: &'i str) -> (Option<&'i str>, &'i str) {
        match id.split_once('/').filter(|_| self.is_scoped()) {
            Some((parent, own)) => (Some(parent), own),
            None => (None, id),
        }
    }

    /// Nivel's id of an object below a parent.
    pub(super) fn id_below(&self, parent: Option<&CompactString>, id: CompactString) -> CompactString {
        match parent.filter(|_| self.is_scoped() && !id.is_empty()) {
            Some(parent) => compact_str::format_compact!("{parent}/{id}"),
            None => id,
        }
    }

    /// A record with Nivel's id.
    pub(super) fn below(&self, parent: Option<&CompactString>, record: Incoming) -> Incoming {
        Incoming {
            remote: self.id_below(parent, record.remote.clone()),
            ..record
        }
    }
}

fn too_many() -> Failure {
    let message = format!("a stream is read below more than {PARENTS_MAX} objects");
    Failure::new(Class::Forbidden, Problem::new(Code::TooManyLists, message))
}
