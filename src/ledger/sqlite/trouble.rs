//! What can go wrong inside the embedded ledger, in the ledger's own words.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{Code, Problem};
use crate::fault::Prevented;
use crate::ledger::Error;

/// Why a job could not be done. Becomes an [`Error`] where the file's name is known.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    Stale,
    Problem(Problem),
}

impl Trouble {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::Problem(Problem::new(code, message))
    }

    pub(super) fn bug(message: impl Into<String>) -> Self {
        Self::new(Code::Bug, message)
    }

    /// The same, as the world outside hears it.
    pub(super) fn told(self, path: &Path) -> Error {
        match self {
            Self::Stale => Error::Stale,
            Self::Problem(problem) if problem.subject.is_empty() => Error::Broken(problem.about(path.display())),
            Self::Problem(problem) => Error::Broken(problem),
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        let code = match error.sqlite_error_code() {
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::OutOfMemory
                | ErrorCode::NoLargeFileSupport,
            ) => Code::LedgerFull,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Code::LedgerUnknown,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                Code::LedgerLocked
            }
            _ => Code::Bug,
        };
        let hint = match code {
            Code::LedgerFull => "make room on the disk and check that it is writable; work goes on by itself",
            Code::LedgerUnknown => "keep the file as it is and restore the latest backup beside it",
            Code::LedgerLocked => "end the other program that uses the file",
            _ => "",
        };
        Self::Problem(Problem::new(code, format!("the ledger cannot be used: {error}")).hint(hint))
    }
}

impl From<serde_json::Error> for Trouble {
    fn from(error: serde_json::Error) -> Self {
        Self::new(Code::LedgerUnknown, format!("a stored value cannot be read: {error}"))
    }
}

impl From<rusqlite::types::FromSqlError> for Trouble {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::new(Code::LedgerUnknown, format!("a stored value cannot be read: {error}"))
    }
}

impl From<Prevented> for Trouble {
    fn from(prevented: Prevented) -> Self {
        Self::new(Code::LedgerFull, format!("the commit did not take place: {prevented}"))
    }
}
