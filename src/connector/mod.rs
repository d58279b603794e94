//! Speaks to one system: a native manifest, a database, a file drop, a program of its own. The rest of Nivel sees
//! [`Connection`] only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use compact_str::CompactString;

use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::Manifest;
pub use crate::model::{Cursor, Done, Incoming, Operation, Outcome, Page, WriteAction};
use crate::model::{CustomerKey, Description, FieldName, Fields, StreamSpec, UnixMillis, Value};

pub mod auth;
pub mod breaker;
pub mod classify;
pub mod conformance;
mod cursor;
pub mod effort;
mod export;
pub mod file;
mod from_answer;
mod guest;
mod hook;
pub mod http;
pub mod inbound;
pub mod limits;
mod link;
mod meter;
mod multipart;
mod native;
pub mod oauth;
mod render;
mod sample;
pub mod seal;
pub mod settings;
pub mod sql;
mod table;
mod tape;
pub mod timer;

pub use export::{ExportFormat, ExportRows, ExportSpec};
pub use hook::Hook;
pub use sample::Sample;
pub use settings::{ConfigValue, ConnectionSettings};
pub use tape::Tape;

/// One configured system, ready to be spoken to.
#[async_trait]
pub trait Connection: Send + Sync {
    /// The streams by name.
    fn streams(&self) -> &BTreeMap<CompactString, StreamSpec>;

    /// Proves that the system answers and the credential is accepted.
    async fn check(&self) -> Result<(), Failure>;

    /// Reads the next page of a stream; `None` starts from the beginning. The same cursor gives the same page or a
    /// later state of it, so a page that was not committed is simply read again.
    async fn pull(&self, stream: &str, cursor: Option<&Cursor>) -> Result<Page, Failure>;

    /// A few objects of a stream, raw and mapped. Changes nothing, here or there.
    ///
    /// # Errors
    /// As [`Self::pull`].
    async fn sample(&self, stream: &str, limit: usize) -> Result<Vec<Sample>, Failure> {
        let page = self.pull(stream, None).await?;
        Ok(page.records.into_iter().take(limit).map(Sample::of).collect())
    }

    /// Everything up to this cursor is in the ledger: who keeps its source tidy may do so now. Called at the beginning and
    /// at the end of a run; doing it twice must do no harm.
    ///
    /// # Errors
    /// When it was prevented; reading goes on.
    async fn tidy(&self, _stream: &str, _committed: &Cursor) -> Result<(), Failure> {
        Ok(())
    }

    /// Reads objects by id. Missing ones are left out.
    async fn get(&self, stream: &str, remotes: &[CompactString]) -> Result<Vec<Incoming>, Failure>;

    /// Looks an object up by one of [`StreamSpec::match_by`]; `None` when there is none.
    async fn find(&self, stream: &str, by: &FieldName, value: &Value) -> Result<Option<Incoming>, Failure>;

    /// Carries out operations, split into as many requests as the system needs, and accounts for every one of them.
    async fn write(&self, stream: &str, operations: &[Operation]) -> Vec<Outcome>;

    /// Erases one object for good. After the given time, if any, the system destroys what it keeps of it.
    ///
    /// # Errors
    /// When the system cannot, or did not.
    async fn erase(
        &self,
        _stream: &str,
        _remote: &CompactString,
        _known: &Fields,
        _customer: CustomerKey,
    ) -> Result<Option<Duration>, Failure> {
        let problem = Problem::new(Code::NotAllowed, "the connector has no call that erases");
        Err(Failure::new(Class::Forbidden, problem))
    }

    /// The fields of a stream as the system itself describes them; `None` when it does not.
    ///
    /// # Errors
    /// When the system does not answer.
    async fn describe(&self, _stream: &str) -> Result<Option<Description>, Failure> {
        Ok(None)
    }

    /// Writes a note on an object; its id, where the system tells it.
    ///
    /// # Errors
    /// When the system takes none, or does not answer.
    async fn write_note(
        &self,
        _stream: &str,
        _remote: &str,
        (_marker, _text): (&str, &str),
    ) -> Result<Option<CompactString>, Failure> {
        Err(no_notes())
    }

    /// The note on an object that has this marker in its text; `None` when there is none.
    ///
    /// # Errors
    /// As [`Self::write_note`].
    async fn find_note(&self, _stream: &str, _remote: &str, _marker: &str) -> Result<Option<CompactString>, Failure> {
        Err(no_notes())
    }

    /// What it costs to make and change so many objects of a stream; nothing where nothing is known.
    fn effort(&self, _stream: &str, _creates: u64, _updates: u64) -> effort::Effort {
        effort::Effort::default()
    }

    /// How the system's webhooks are proven and read; `None` when it sends none.
    fn hook(&self) -> Option<&Hook> {
        None
    }

    /// The subscriptions of the system's webhooks, ours and those of others.
    ///
    /// # Errors
    /// When the system has no calls for them, or does not answer.
    async fn subscriptions(&self) -> Result<Vec<Subscription>, Failure> {
        Err(no_subscriptions())
    }

    /// Makes a subscription; with an `id`, prolongs that one.
    ///
    /// # Errors
    /// As [`Self::subscriptions`].
    async fn subscribe(&self, _id: Option<&str>, _url: &str, _topics: &[CompactString]) -> Result<(), Failure> {
        Err(no_subscriptions())
    }

    /// Removes a subscription; one that is gone already is fine.
    ///
    /// # Errors
    /// As [`Self::subscriptions`].
    async fn unsubscribe(&self, _id: &str) -> Result<(), Failure> {
        Err(no_subscriptions())
    }

    /// The export files that the system gets; `None` when it gets none.
    fn export(&self) -> Option<&ExportSpec> {
        None
    }

    /// Puts an export file in its place: whole or not at all, instead of what stood there under that name.
    ///
    /// # Errors
    /// When it cannot be written.
    async fn put_export(&self, _name: &str, _content: std::fs::File) -> Result<(), Failure> {
        let problem = Problem::new(Code::NotAllowed, "the connector writes no export files");
        Err(Failure::new(Class::Forbidden, problem))
    }

    /// An object that came by itself, mapped to canonical fields.
    fn read(&self, _stream: &str, _object: &serde_json::Value) -> Option<Incoming> {
        None
    }
}

/// One subscription of a system's webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: CompactString,
    /// Where it delivers to.
    pub url: String,
    /// What it is about.
    pub topics: BTreeSet<CompactString>,
    /// False when the system has given up on it.
    pub is_alive: bool,
    /// When it ends by itself.
    pub expires: Option<UnixMillis>,
}

fn no_notes() -> Failure {
    Failure::new(
        Class::Forbidden,
        Problem::new(Code::NotAllowed, "the connector writes no notes"),
    )
}

fn no_subscriptions() -> Failure {
    Failure::new(
        Class::Forbidden,
        Problem::new(Code::NotAllowed, "the connector has no calls for subscriptions"),
    )
}

/// The connection of a system that a manifest describes: by requests, or by naming a program.
///
/// # Errors
/// Everything that is wrong with the settings, at once, without any value of a secret.
pub fn build(manifest: Manifest, settings: ConnectionSettings) -> Result<Arc<dyn Connection>, Vec<Problem>> {
    match manifest.guest.clone() {
        Some(program) => guest::build(manifest, program, &settings),
        None => native::build(manifest, settings),
    }
}

/// Every configured system by name.
pub type Connections = BTreeMap<CompactString, Arc<dyn Connection>>;
