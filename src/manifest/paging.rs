//! The ways to ask for the next page.

use compact_str::CompactString;
use serde::Deserialize;

use super::cond::Cond;
use super::from_answer::FromAnswer;
use super::path::Path;
use super::scalar::Param;

/// How the next page is asked for. Each way offers its state as `page.…` to expressions as well.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawPaging")]
pub enum Paging {
    /// A token of the answer goes into the next request (`page.token`); no token is the end.
    Token {
        /// Where the token is, in the body or in a header.
        from: FromAnswer,
        /// Where it goes.
        to: Option<Param>,
        /// True on the last page, for tools that always send a token.
        until: Option<Cond>,
        /// The token that says that this is the last page; an answer without any token is then not understood.
        end: Option<CompactString>,
    },
    /// The answer holds the address of the next page (same host only); none is the end.
    NextUrl {
        /// Where the address is.
        from: Path,
    },
    /// The answer's `Link` header with `rel=next`.
    Link,
    /// Rows to skip (`page.offset`): grows by the rows received, ends with `total`, `until`, a page shorter than `size`, or an empty page.
    Offset {
        /// Where it goes.
        to: Option<Param>,
        /// Rows asked for at once.
        step: u64,
        /// Where the number of all rows is, in the body or in a header.
        total: Option<FromAnswer>,
        /// True on the last page.
        until: Option<Cond>,
        /// A shorter page is the last one; leave out when the tool may cap pages quietly.
        size: Option<u64>,
        /// What must not change during a sweep, else the window is read again.
        guard: Option<Guard>,
    },
    /// A page number (`page.number`); ends as `Offset` does.
    Page {
        /// Where it goes.
        to: Option<Param>,
        /// The first number.
        start: u64,
        /// Where the number of all rows (not pages) is, in the body or in a header.
        total: Option<FromAnswer>,
        /// True on the last page.
        until: Option<Cond>,
        /// A shorter page is the last one.
        size: Option<u64>,
        /// What must not change during a sweep, else the window is read again.
        guard: Option<Guard>,
    },
    /// A fresh query per page for rows beyond the last key (`page.after`); the request must sort by the key. An empty
    /// page is the end, or one shorter than `size`.
    Keyset {
        /// Where a row's key is.
        key: Path,
        /// The key before the first.
        start: CompactString,
        /// True on the last page.
        until: Option<Cond>,
        /// A shorter page is the last one.
        size: Option<u64>,
    },
    /// The read's own opaque cursor is the page token.
    Cursor {
        /// True on the last page.
        until: Cond,
    },
}

/// What must not change while a list is read by offset or page number: a row that leaves such a list moves those behind
/// it up, and the one at the edge of a page is never seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// The number of all rows.
    Total,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PageBy {
    Token,
    NextUrl,
    Link,
    Offset,
    Page,
    Keyset,
    Cursor,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPaging {
    by: PageBy,
    #[serde(default)]
    from: Option<FromAnswer>,
    #[serde(default)]
    to: Option<Param>,
    #[serde(default)]
    step: Option<u64>,
    #[serde(default)]
    total: Option<FromAnswer>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    until: Option<Cond>,
    #[serde(default)]
    key: Option<Path>,
    #[serde(default)]
    start: Option<CompactString>,
    #[serde(default)]
    guard: Option<Guard>,
    #[serde(default)]
    end: Option<CompactString>,
}

impl RawPaging {
    /// The words that mean nothing for this way of paging.
    fn idle(&self) -> Vec<&'static str> {
        let given = [
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
            ("step", self.step.is_some()),
            ("total", self.total.is_some()),
            ("size", self.size.is_some()),
            ("until", self.until.is_some()),
            ("key", self.key.is_some()),
            ("start", self.start.is_some()),
            ("guard", self.guard.is_some()),
            ("end", self.end.is_some()),
        ];
        let used: &[&str] = match self.by {
            PageBy::Token => &["from", "to", "until", "end"],
            PageBy::NextUrl => &["from"],
            PageBy::Link => &[],
            PageBy::Offset => &["to", "step", "total", "until", "size", "guard"],
            PageBy::Page => &["to", "start", "total", "until", "size", "guard"],
            PageBy::Keyset => &["key", "start", "until", "size"],
            PageBy::Cursor => &["until"],
        };
        given
            .into_iter()
            .filter(|(word, is_given)| *is_given && !used.contains(word))
            .map(|(word, _)| word)
            .collect()
    }
}

impl TryFrom<RawPaging> for Paging {
    type Error = String;

    fn try_from(raw: RawPaging) -> Result<Self, String> {
        let idle = raw.idle();
        if !idle.is_empty() {
            return Err(format!("`{}` means nothing for this way of paging", idle.join("`, `")));
        }
        let need = |word: &str| format!("this way of paging needs `{word}`");
        Ok(match raw.by {
            PageBy::Token => Self::Token {
                from: raw.from.ok_or_else(|| need("from"))?,
                to: raw.to,
                until: raw.until,
                end: raw.end,
            },
            PageBy::NextUrl => Self::NextUrl {
                from: match raw.from {
                    Some(FromAnswer::Body(path)) => path,
                    Some(_) => return Err("`from` must be a place in the body here".to_owned()),
                    None => return Err(need("from")),
                },
            },
            PageBy::Link => Self::Link,
            PageBy::Offset => Self::Offset {
                to: raw.to,
                step: raw.step.filter(|step| *step > 0).ok_or_else(|| need("step"))?,
                total: raw.total,
                until: raw.until,
                size: raw.size,
                guard: raw.guard,
            },
            PageBy::Page => Self::Page {
                to: raw.to,
                start: match raw.start {
                    Some(start) => start
                        .parse()
                        .map_err(|why| format!("`start` must be a number: {why}"))?,
                    None => 1,
                },
                total: raw.total,
                until: raw.until,
                size: raw.size,
                guard: raw.guard,
            },
            PageBy::Keyset => Self::Keyset {
                key: raw.key.ok_or_else(|| need("key"))?,
                start: raw.start.ok_or_else(|| need("start"))?,
                until: raw.until,
                size: raw.size,
            },
            PageBy::Cursor => Self::Cursor {
                until: raw.until.ok_or_else(|| need("until"))?,
            },
        })
    }
}
