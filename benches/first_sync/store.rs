//! The contents of one tool: contacts, and the pages they were rendered to before anybody looks at a clock.

use std::collections::BTreeMap;

use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::people::{self, Row};
use super::shapes::{TOOLS, Tool};

/// One state of one tool; never changed, only replaced.
pub(crate) struct Store {
    tool: Tool,
    rows: Vec<Row>,
    pages: Vec<Bytes>,
    by_email: BTreeMap<String, u64>,
}

/// A write request that was accepted: the ids that were answered, and the body as it came.
pub(crate) struct Written {
    pub ids: Vec<u64>,
    pub body: Bytes,
}

/// How well three tools agree once the writes are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agreement {
    /// People, by e-mail.
    pub people: usize,
    /// People whose phones differ, or who have none in a tool where they stand.
    pub disagreeing: usize,
    /// People who do not stand in all of the tools where everybody is wanted.
    pub missing: usize,
    /// Contacts that share their e-mail with another one of their tool.
    pub doubled: usize,
}

impl Store {
    pub(crate) fn new(tool: Tool, per_tool: usize) -> Self {
        Self::render(tool, people::contacts(tool, per_tool))
    }

    fn render(tool: Tool, rows: Vec<Row>) -> Self {
        let chunks: Vec<&[Row]> = rows.chunks(tool.page_rows()).collect();
        let next = |place: usize| (place + 1 < chunks.len()).then_some(place + 1);
        let page = |(place, chunk): (usize, &&[Row])| Bytes::from(tool.page(chunk, rows.len(), next(place)));
        let pages = chunks.iter().enumerate().map(page).collect();
        let by_email = rows.iter().map(|row| (row.email.to_lowercase(), row.id)).collect();
        Self {
            tool,
            rows,
            pages,
            by_email,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn page(&self, place: usize) -> Option<&Bytes> {
        self.pages.get(place)
    }

    pub(crate) fn is_last(&self, place: usize) -> bool {
        place + 1 >= self.pages.len()
    }

    /// The page that begins behind an id; behind the last one there is none.
    pub(crate) fn place_behind(&self, id: u64) -> usize {
        let behind = (id + 1).saturating_sub(self.tool.first_id());
        usize::try_from(behind)
            .unwrap_or(usize::MAX)
            .div_ceil(self.tool.page_rows())
    }

    pub(crate) fn row(&self, id: u64) -> Option<&Row> {
        self.rows
            .get(usize::try_from(id.checked_sub(self.tool.first_id())?).ok()?)
    }

    pub(crate) fn with_email(&self, email: &str) -> Option<&Row> {
        self.row(*self.by_email.get(&email.to_lowercase())?)
    }

    /// The state after these writes. Rows that were written are changed `now`.
    pub(crate) fn settled(&self, log: &[Written], next_id: u64, now: i64) -> Self {
        let mut rows = self.rows.clone();
        for id in self.tool.first_id() + rows.len() as u64..next_id {
            rows.push(Row { id, ..Row::default() });
        }
        for written in log {
            let body: Value = serde_json::from_slice(&written.body).unwrap_or_default();
            for (id, fields) in written.ids.iter().zip(self.tool.written(&body)) {
                let place = usize::try_from(id - self.tool.first_id()).unwrap_or(usize::MAX);
                let Some(row) = rows.get_mut(place) else { continue };
                self.tool.lay(row, fields);
                row.updated_at = now;
            }
        }
        Self::render(self.tool, rows)
    }

    fn doubled(&self) -> usize {
        self.rows.len() - self.by_email.len()
    }
}

/// Compares the three tools, in the order of [`TOOLS`]. Everybody is wanted in `wanted`.
pub(crate) fn agreement(stores: &[std::sync::Arc<Store>; 3], wanted: &[Tool]) -> Agreement {
    let mut people: BTreeMap<String, [Option<String>; 3]> = BTreeMap::new();
    for tool in TOOLS {
        for row in &stores[tool as usize].rows {
            let phone = row.phone.chars().filter(char::is_ascii_digit).collect();
            people.entry(row.email.to_lowercase()).or_default()[tool as usize] = Some(phone);
        }
    }
    let agree = |phones: &&[Option<String>; 3]| {
        let mut there = phones.iter().flatten();
        let first = there.next();
        there.all(|phone| Some(phone) == first)
    };
    Agreement {
        people: people.len(),
        disagreeing: people.values().filter(|phones| !agree(phones)).count(),
        missing: people
            .values()
            .filter(|phones| wanted.iter().any(|tool| phones[*tool as usize].is_none()))
            .count(),
        doubled: stores.iter().map(|store| store.doubled()).sum(),
    }
}
