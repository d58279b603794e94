//! What the program does next after a tool answered with an error. Each class has exactly one engine behaviour.

use std::time::Duration;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::Problem;

/// The class of an error answer; the manifest maps a vendor's answers to these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Too fast: wait as told, then the same request again; does not count as an attempt.
    Throttle,
    /// The day's budget is used up: park the stream until it is renewed.
    Quota,
    /// A passing fault on their side or on the way: try again, later each time.
    Transient,
    /// The credential is not accepted: refresh once, then stop the system until the admin acts.
    Auth,
    /// The credential may not do this: stop this stream or operation until the admin acts.
    Forbidden,
    /// This record is not acceptable as it is: dead letter, the others go on.
    Invalid,
    /// A create met an object that is already there: link to it instead.
    Exists,
    /// Somebody changed the object meanwhile: read it again, fold again.
    Conflict,
    /// The object is not there (any more).
    Gone,
    /// The object was merged into another one: follow it.
    Merged,
    /// The tool refuses for the person's sake (unsubscribed, forgotten): never repeat, tell the admin.
    Compliance,
    /// Nothing to do: count as done.
    Ignore,
}

/// An operation that did not succeed: what happens next, and what a person may read about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Decides what the engine does.
    pub class: Class,
    /// How long to wait, when the tool said so.
    pub wait: Option<Duration>,
    /// The id of the object in the way (`Exists`) or the surviving one (`Merged`).
    pub remote: Option<CompactString>,
    /// True when the request may have been carried out although no good answer came back.
    pub ambiguous: bool,
    /// What a person reads.
    pub problem: Problem,
}

impl Failure {
    /// A failure with nothing but a class and a problem.
    #[must_use]
    pub fn new(class: Class, problem: Problem) -> Self {
        Self {
            class,
            wait: None,
            remote: None,
            ambiguous: false,
            problem,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.problem)
    }
}

impl std::error::Error for Failure {}
