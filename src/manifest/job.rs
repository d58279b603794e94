//! Jobs that list everything: begun by one request, waited for, and their result fetched as a file.

use std::collections::BTreeMap;
use std::time::Duration;

use compact_str::CompactString;
use serde::Deserialize;

use super::body::Body;
use super::cond::Cond;
use super::from_answer::FromAnswer;
use super::hook::Call;
use super::lint::{Lint, unasked};
use super::object::Object;
use super::paging::Paging;
use super::path::Path;
use super::scalar::{Period, Request};

/// A job of the tool that lists everything at once. Where a `read` has one, the first reading and every full sweep are
/// made by it; changes are read page by page as ever. A job that fails, is forgotten, or takes longer than `timeout` is
/// given up and begun anew; after a few, or where the tool allows none, everything is read page by page as well.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListJob {
    /// Begins it; the names are those of a page.
    pub request: Request,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<CompactString, Body>,
    /// Its query.
    #[serde(default)]
    pub query: BTreeMap<CompactString, Body>,
    /// Its JSON body.
    #[serde(default)]
    pub body: Option<Body>,
    /// Where the job's id is in the answer (`job.id` from then on).
    pub id: Path,
    /// How its state is asked for.
    pub poll: Request,
    /// The longest time between two questions; the first ones come sooner. An answer's `Retry-After` goes before it.
    pub every: Period,
    /// True when it is over; on the body of the answer.
    pub done: Cond,
    /// True when it came to nothing.
    #[serde(default)]
    pub failed: Option<Cond>,
    /// When waiting is given up.
    #[serde(default = "timeout")]
    pub timeout: Period,
    /// Tells the tool that nobody waits for it any more.
    #[serde(default)]
    pub cancel: Option<Call>,
    /// Where its result is.
    pub results: JobResults,
}

fn timeout() -> Period {
    Period(Duration::from_secs(2 * 3600))
}

/// Where a job's result is: a list like any other, perhaps of several pages.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobResults {
    /// The request of a page (`job.id`).
    pub request: Request,
    /// Its query.
    #[serde(default)]
    pub query: BTreeMap<CompactString, Body>,
    /// How it is written.
    #[serde(default)]
    pub format: FileFormat,
    /// Where the objects are in the answer; the whole answer when left out.
    #[serde(default)]
    pub records: Path,
    /// Where the answer says how many objects it has; one with another number was cut off.
    #[serde(default)]
    pub count: Option<FromAnswer>,
    /// How the next page is asked for; one page is all when left out.
    #[serde(default)]
    pub page: Option<Paging>,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// JSON.
    #[default]
    Json,
    /// Rows with commas between their values, the names in the first one. Every value is a text, an empty one is `null`;
    /// a name with dots (`Account.Name`) is a path.
    Csv,
}

/// What is said of a job must not lose objects.
pub(super) fn check(lint: &mut Lint<'_>, name: &str, object: &Object) {
    let Some((read, job)) = object.read.as_ref().and_then(|read| Some((read, read.job.as_ref()?))) else {
        return;
    };
    let path = format!("objects.{name}.read.job");
    if read.cursor.is_some() {
        lint.sense(
            &path,
            "a list with a `cursor` has no place for what a job lists",
            "use `window` or `full`",
        );
    }
    let uses = |words: &[&Body], name: &str| {
        let mut used = words.iter().flat_map(|body| body.names());
        used.any(|used| used == name)
    };
    let begins: Vec<&Body> = job.body.iter().chain(job.query.values()).collect();
    let begins_with = |name: &str| uses(&begins, name) || job.request.path.names().contains(name);
    if read.window.is_some() && !begins_with("window.until") {
        let hint = "what changes while the job runs is read by the next window, which begins where the job ends";
        lint.sense(&path, "the job does not use `window.until`", hint);
    }
    let page = job.results.page.as_ref();
    if matches!(
        page,
        Some(Paging::NextUrl { .. } | Paging::Link | Paging::Cursor { .. })
    ) {
        let hint = "`token`, `offset`, `page` or `keyset`";
        return lint.sense(&format!("{path}.results"), "a result is not paged this way", hint);
    }
    let mut asked = job.results.request.path.names();
    asked.extend(job.results.query.values().flat_map(Body::names));
    if let Some(name) = unasked(page, &asked) {
        let hint = format!("use `{name}` in the request, or `to`");
        lint.sense(&format!("{path}.results"), "the next page is never asked for", hint);
    }
}
