//! Answers as they came, kept while somebody records them.

use std::sync::{Mutex, OnceLock, PoisonError};

use super::http::Answer;

/// How many answers are kept.
const ANSWERS_MAX: usize = 200;

/// Keeps answers.
#[derive(Default)]
pub struct Tape {
    answers: Mutex<Vec<Answer>>,
    base: OnceLock<String>,
}

impl Tape {
    /// Says at which address the tool is.
    pub(super) fn of(&self, base: &str) {
        self.base.get_or_init(|| base.to_owned());
    }

    /// At which address the tool is; empty before anybody said.
    #[must_use]
    pub fn base(&self) -> &str {
        self.base.get().map_or("", String::as_str)
    }

    /// Keeps an answer.
    pub(super) fn keep(&self, answer: &Answer) {
        let mut kept = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < ANSWERS_MAX {
            kept.push(answer.clone());
        }
    }

    /// What was kept since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<Answer> {
        std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
