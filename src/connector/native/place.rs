//! Where reading a stream stands: what a native connection keeps in its opaque cursor.

use std::collections::BTreeMap;
use std::ops::Bound;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::connector::cursor::{AsCursor, Version};
use crate::model::{SweepMark, UnixMillis};

/// Where reading a stream stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    v: Version,
    /// Windows: every change before this moment was read. Only ever the end of a window that was read to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<UnixMillis>,
    /// The tool's own cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
    /// The list that is being read, if one is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) task: Option<Task>,
    /// The sweep over everything, if one is under way; it rests while `task` is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sweep: Option<Task>,
    /// When the last complete sweep began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) swept_at: Option<UnixMillis>,
    /// The moment up to which everything is to be read before the stream counts as caught up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) round: Option<UnixMillis>,
    /// The tool's own cursor was followed to its end in this round.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_followed: bool,
    /// How many sweeps were completed.
    #[serde(default)]
    pub(super) epoch: u64,
    /// Every removal before this moment was read from the list of removed objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) removed_since: Option<UnixMillis>,
    /// Lists below other objects: how far each was read. `since`, `token` and `is_followed` say nothing then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) parents: BTreeMap<CompactString, Below>,
}

/// How far the list below one parent was read: what a place says of a list without parents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Below {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<UnixMillis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_followed: bool,
}

/// How far one list was read, with or without a parent.
pub(super) struct Reached<'a> {
    pub(super) since: &'a mut Option<UnixMillis>,
    pub(super) token: &'a mut Option<String>,
    pub(super) is_followed: &'a mut bool,
}

/// What a list is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Aim {
    /// Changes.
    Changes,
    /// Removed objects.
    Removals,
    /// Everything.
    Sweep,
}

/// One list under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Task {
    pub(super) aim: Aim,
    /// When it was begun, by the tool's clock.
    pub(super) began: UnixMillis,
    /// The part of the window that is being read: from here (included) …
    pub(super) since: UnixMillis,
    /// … to here (excluded).
    pub(super) until: UnixMillis,
    /// The end of the whole window.
    pub(super) bound: UnixMillis,
    /// What becomes the state: the end of the window, or earlier when the tool's clock is behind ours.
    pub(super) end: UnixMillis,
    /// A sweep reads what changed meanwhile a second time: true while it does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_tail: bool,
    /// It met rows without an id: what it does not meet may be among them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_flawed: bool,
    /// Which of the partitions is being read.
    #[serde(default)]
    pub(super) part: usize,
    /// The parent below which the list stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<CompactString>,
    /// With a parent: the first window of each list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) opening: Option<(UnixMillis, UnixMillis)>,
    /// The job of the tool that makes the list; none when it is read page by page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) job: Option<Job>,
    /// The next page.
    #[serde(default)]
    pub(super) page: Position,
    /// Pages of this query so far.
    #[serde(default)]
    pub(super) pages: u64,
    /// Rows of this query so far.
    #[serde(default)]
    pub(super) rows: u64,
    /// The number of all rows, as its first page told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) total: Option<u64>,
    /// How often the query was begun again because its total moved.
    #[serde(default)]
    pub(super) restarts: u32,
    /// First and last id of the page before, and its length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<String>,
    /// How many pages in a row held the same rows.
    #[serde(default)]
    pub(super) repeats: u32,
    /// A position passed some pages ago: coming back to it means going round in a circle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mark: Option<Position>,
}

/// How far a job of the tool is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Job {
    /// It is to be begun.
    Due,
    /// It is waited for.
    Running {
        /// The tool's name for it.
        id: String,
        /// When it was begun, by our clock.
        since: UnixMillis,
        /// How often it was asked about.
        polls: u32,
    },
    /// Its result is read.
    Ready {
        /// The tool's name for it.
        id: String,
    },
}

/// The position of a page in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Position {
    /// The first page.
    #[default]
    First,
    /// The page of this token.
    Token(String),
    /// The page at this address.
    Url(String),
    /// The page after so many rows.
    Offset(u64),
    /// The page of this number.
    Number(u64),
    /// The rows beyond this key.
    After(String),
}

impl Task {
    /// A list over `since..until`.
    pub(super) fn new(aim: Aim, began: UnixMillis, since: UnixMillis, until: UnixMillis) -> Self {
        Self {
            aim,
            began,
            since,
            until,
            bound: until,
            end: until,
            is_tail: false,
            is_flawed: false,
            part: 0,
            parent: None,
            opening: None,
            job: None,
            page: Position::First,
            pages: 0,
            rows: 0,
            total: None,
            restarts: 0,
            last: None,
            repeats: 0,
            mark: None,
        }
    }

    /// Says of a page which sweep it belongs to.
    pub(super) fn sweep_mark(&self, is_over: bool) -> SweepMark {
        SweepMark {
            began: self.began,
            is_over,
            is_flawed: self.is_flawed,
        }
    }

    /// True when the tool may have forgotten its job, or where its own token or address leads.
    pub(super) fn can_expire(&self) -> bool {
        self.job.is_some() || matches!(self.page, Position::Token(_) | Position::Url(_))
    }

    /// The list is to be made by a job of the tool.
    pub(super) fn by_job(self) -> Self {
        Self {
            job: Some(Job::Due),
            ..self
        }
    }

    /// The list stands below this parent, and begins with the window that is set.
    pub(super) fn open_below(&mut self, parent: Option<CompactString>) {
        self.opening = parent.is_some().then_some((self.since, self.until));
        self.parent = parent;
    }

    /// Goes on with the list below another parent.
    pub(super) fn turn_to(&mut self, parent: CompactString) {
        if let Some((since, until)) = self.opening {
            (self.since, self.until) = (since, until);
        }
        self.parent = Some(parent);
        self.part = 0;
        self.restarts = 0;
        self.begin_query();
    }

    /// Begins a query: the first page of the part and window that are set.
    pub(super) fn begin_query(&mut self) {
        self.job = self.job.take().map(|_over| Job::Due);
        self.page = Position::First;
        self.pages = 0;
        self.rows = 0;
        self.total = None;
        self.last = None;
        self.repeats = 0;
        self.mark = None;
    }
}

impl AsCursor for Place {
    const WHOSE: &'static str = "this connector";
}

impl Place {
    /// The list that is read next: changes and removals go before a sweep.
    pub(super) fn under_way(&self) -> Option<&Task> {
        self.task.as_ref().or(self.sweep.as_ref())
    }

    /// Takes out the list that is read next.
    pub(super) fn take(&mut self) -> Option<Task> {
        self.task.take().or_else(|| self.sweep.take())
    }

    /// Puts a list back that is not over.
    pub(super) fn put(&mut self, task: Task) {
        if task.aim == Aim::Sweep {
            self.sweep = Some(task);
        } else {
            self.task = Some(task);
        }
    }

    /// Everything up to `round` is read.
    pub(super) fn end_round(&mut self) {
        self.round = None;
        self.is_followed = false;
        self.parents.values_mut().for_each(|below| below.is_followed = false);
    }

    /// How far a list was read.
    pub(super) fn reached(&mut self, parent: Option<&CompactString>) -> Reached<'_> {
        let Some(parent) = parent else {
            return Reached {
                since: &mut self.since,
                token: &mut self.token,
                is_followed: &mut self.is_followed,
            };
        };
        let below = self.parents.entry(parent.clone()).or_default();
        Reached {
            since: &mut below.since,
            token: &mut below.token,
            is_followed: &mut below.is_followed,
        }
    }

    /// The parents that there are now: a new one begins at the beginning, one that is gone is forgotten. Both are told.
    pub(super) fn meet(
        &mut self,
        found: impl IntoIterator<Item = CompactString>,
    ) -> (Vec<CompactString>, Vec<CompactString>) {
        let mut before = std::mem::take(&mut self.parents);
        let mut new = Vec::new();
        for parent in found {
            let below = before.remove(&parent);
            if below.is_none() {
                new.push(parent.clone());
            }
            self.parents.insert(parent, below.unwrap_or_default());
        }
        (new, before.into_keys().collect())
    }

    /// A place that stems from a time when the stream had no parents, or had: what was under way is begun again.
    pub(super) fn fit(&mut self, has_parents: bool) {
        let is_other = |task: &Task| task.parent.is_some() != has_parents && task.aim != Aim::Removals;
        if self.task.as_ref().is_some_and(is_other) || self.sweep.as_ref().is_some_and(is_other) {
            (self.task, self.sweep, self.round) = (None, None, None);
        }
    }

    /// The lists there are.
    pub(super) fn lists(&self, has_parents: bool) -> Vec<Option<CompactString>> {
        if has_parents {
            self.parents.keys().cloned().map(Some).collect()
        } else {
            vec![None]
        }
    }

    /// Every change of a list before this moment was read.
    pub(super) fn read_to(&mut self, parent: Option<&CompactString>, end: UnixMillis) {
        let since = self.reached(parent).since;
        *since = (*since).max(Some(end));
    }

    /// The tool's own cursor of a list is of no use any more.
    pub(super) fn forget(&mut self, parent: Option<&CompactString>) {
        match parent {
            None => *self = Self::default(),
            Some(parent) => drop(self.parents.insert(parent.clone(), Below::default())),
        }
    }

    /// The first parent after this one.
    pub(super) fn parent_after(&self, parent: &CompactString) -> Option<CompactString> {
        let range = (Bound::Excluded(parent.as_str()), Bound::Unbounded);
        self.parents.range::<str, _>(range).next().map(|(next, _)| next.clone())
    }

    /// True when every list was read once.
    pub(super) fn is_begun(&self) -> bool {
        self.parents.values().all(|below| below.since.is_some())
    }

    /// The sweep that is under way.
    pub(super) fn sweep_mark(&self) -> Option<SweepMark> {
        self.sweep.as_ref().map(|task| task.sweep_mark(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Cursor;

    #[test]
    fn a_place_reads_back_and_a_foreign_cursor_is_refused() {
        let mut place = Place::parse(None).unwrap();
        place.since = Some(UnixMillis(5));
        let mut task = Task::new(Aim::Changes, UnixMillis(1), UnixMillis(2), UnixMillis(3));
        task.page = Position::Token("x".into());
        place.task = Some(task);
        assert_eq!(Place::parse(Some(&place.cursor())).unwrap(), place);
        assert!(Place::parse(Some(&Cursor("{\"v\":2}".into()))).is_err());
        assert!(Place::parse(Some(&Cursor("x".into()))).is_err());
    }

    #[test]
    fn parents_come_and_go() {
        let ids = |ids: &[&str]| -> Vec<CompactString> { ids.iter().map(|id| CompactString::from(*id)).collect() };
        let mut place = Place::default();
        assert_eq!(place.meet(ids(&["b", "a"])), (ids(&["b", "a"]), vec![]));
        place.read_to(Some(&"b".into()), UnixMillis(5));
        assert!(!place.is_begun());
        assert_eq!(place.meet(ids(&["b", "c"])), (ids(&["c"]), ids(&["a"])));
        assert_eq!(*place.reached(Some(&"b".into())).since, Some(UnixMillis(5)));
        assert_eq!(place.parent_after(&"b".into()), Some("c".into()));
        // One that has vanished meanwhile still has a place in the order.
        assert_eq!(place.parent_after(&"bb".into()), Some("c".into()));
        assert_eq!(place.parent_after(&"c".into()), None);
        assert_eq!(Place::parse(Some(&place.cursor())).unwrap(), place);
    }

    #[test]
    fn a_list_that_has_parents_now_is_begun_again() {
        let task = |parent: Option<&str>| {
            let mut task = Task::new(Aim::Sweep, UnixMillis(1), UnixMillis(2), UnixMillis(3));
            task.open_below(parent.map(CompactString::from));
            Some(task)
        };
        for (parent, has_parents, stays) in [
            (None, false, true),
            (None, true, false),
            (Some("a"), true, true),
            (Some("a"), false, false),
        ] {
            let mut place = Place {
                sweep: task(parent),
                round: Some(UnixMillis(1)),
                ..Place::default()
            };
            place.fit(has_parents);
            assert_eq!(
                (place.sweep.is_some(), place.round.is_some()),
                (stays, stays),
                "{parent:?} {has_parents}"
            );
        }
    }
}
