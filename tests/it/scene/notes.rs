//! The notes on a tool's objects.

use std::sync::Mutex;

use compact_str::{CompactString, format_compact};
use tokio::sync::Notify;

/// One note.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) remote: CompactString,
    pub(crate) text: String,
}

/// Every note there is, in the order in which they came.
#[derive(Default)]
pub(crate) struct Notes {
    all: Mutex<Vec<Note>>,
    is_mute: Mutex<bool>,
    came: Notify,
}

impl Notes {
    pub(crate) fn all(&self) -> Vec<Note> {
        self.all.lock().unwrap().clone()
    }

    /// From now on notes are taken, and whoever wrote one never hears of it.
    pub(crate) fn mute(&self, is_mute: bool) {
        *self.is_mute.lock().unwrap() = is_mute;
    }

    /// Until there are so many.
    pub(crate) async fn reach(&self, count: usize) {
        while self.all().len() < count {
            self.came.notified().await;
        }
    }

    pub(super) async fn take(&self, remote: &str, text: &str) -> CompactString {
        let number = {
            let mut all = self.all.lock().unwrap();
            all.push(Note {
                remote: remote.into(),
                text: text.to_owned(),
            });
            all.len()
        };
        self.came.notify_one();
        if *self.is_mute.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        format_compact!("note{number}")
    }

    pub(super) fn find(&self, remote: &str, marker: &str) -> Option<CompactString> {
        let all = self.all();
        let found = all
            .iter()
            .position(|note| note.remote == remote && note.text.contains(marker));
        found.map(|at| format_compact!("note{}", at + 1))
    }
}
