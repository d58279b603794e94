//! What a person reads: what happened, to which record, who must act, and the next step.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Code;

/// Who has to act before the problem can go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The admin of this installation.
    Admin,
    /// The people who work in the tool.
    Team,
    /// The vendor of the tool.
    Vendor,
    /// The developers of Nivel.
    Nivel,
    /// Nobody: it will be tried again.
    Nobody,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "admin",
            Self::Team => "team",
            Self::Vendor => "vendor",
            Self::Nivel => "nivel",
            Self::Nobody => "nobody",
        })
    }
}

/// One problem, in words: lower case, no final period, names the thing and the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable code with a page of its own (`nivel explain CON003`).
    pub code: Code,
    /// What happened.
    pub message: String,
    /// What it happened to: a file position, a system, a record. Empty when the message says it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The next step. Empty when the code's page says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl Problem {
    /// A problem with a message.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            subject: String::new(),
            hint: String::new(),
        }
    }

    /// The same problem, about `subject`.
    #[must_use]
    pub fn about(mut self, subject: impl fmt::Display) -> Self {
        self.subject = subject.to_string();
        self
    }

    /// The same problem, with the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Who has to act.
    #[must_use]
    pub fn who(&self) -> Who {
        self.code.who()
    }
}

impl fmt::Display for Problem {
    /// `CFG002 config.yaml:3:5: unknown field ... (hint: ...)` on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code.as_str())?;
        if !self.subject.is_empty() {
            write!(f, " {}", self.subject)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.hint.is_empty() {
            write!(f, " (hint: {})", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}
