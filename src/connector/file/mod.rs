//! A watched folder as a [`Connection`]: partners drop CSV, TSV, XLSX or JSON Lines files, Nivel reads them and never deletes.
//!
//! A file is taken when it has stopped changing; one with a known name and new content is a new file, one with a known
//! name and the content that was read last is not. A row that cannot be used becomes a record with a problem and a line in a
//! reject file beside; the rest of the file goes on. Of several rows with one id the last one counts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use compact_str::CompactString;
use secrecy::SecretString;

use super::{Connection, ExportSpec, Sample};
use crate::connector::cursor::AsCursor as _;
use crate::error::{Class, Code, Failure, Problem};
use crate::model::{Clock, Cursor, FieldName, Incoming, Operation, Outcome, Page, StreamSpec, Value};

mod config;
mod folder;
mod map;
mod open;
mod place;
mod rejects;
mod rows;
mod sftp;
mod sheet;
mod store;

pub use config::{Column, ColumnType, ExportConfig, FileConfig, SftpConfig, TypedColumn};

use folder::Folder;
use place::Place;
use sftp::{Proof, Sftp};
use store::{Local, Store};

/// Passwords and keys by the option they belong to.
pub type Secrets = BTreeMap<CompactString, SecretString>;

/// A watched folder, a folder into which files are exported, or both.
pub struct FileDrop {
    folder: Option<Arc<Folder>>,
    streams: BTreeMap<CompactString, StreamSpec>,
    export: Option<(ExportSpec, Arc<dyn Store>)>,
}

impl FileDrop {
    /// The folders that `config` describes.
    ///
    /// # Errors
    /// Everything that is wrong with the config, at once.
    pub fn new(
        system: &str,
        config: FileConfig,
        secrets: &Secrets,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Vec<Problem>> {
        let checked = config.check(system)?;
        let config = &checked.config;
        let about = |message: String| vec![Problem::new(Code::ConfigInvalid, message).about(system)];
        let incoming = store_of(config.folder.as_ref(), config.sftp.as_ref(), "", secrets).map_err(about)?;
        let export = match &config.export {
            Some(export) => {
                let store =
                    store_of(export.folder.as_ref(), export.sftp.as_ref(), "export.", secrets).map_err(about)?;
                let store = store.ok_or_else(|| about("`export` has no folder".to_owned()))?;
                Some((export.spec(), store))
            }
            None => None,
        };
        let streams = incoming
            .iter()
            .map(|_| (config.stream.clone(), config.spec()))
            .collect();
        Ok(Self {
            streams,
            folder: incoming.map(|store| Arc::new(Folder::new(checked, store, clock))),
            export,
        })
    }

    /// Runs blocking file work away from the runtime's threads.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let Some(folder) = self.folder.clone() else {
            return Err(only_whole());
        };
        blocking(move || work(&folder)).await
    }
}

fn store_of(
    folder: Option<&PathBuf>,
    sftp: Option<&SftpConfig>,
    prefix: &str,
    secrets: &Secrets,
) -> Result<Option<Arc<dyn Store>>, String> {
    let Some(sftp) = sftp else {
        return Ok(folder.map(|folder| Arc::new(Local(folder.clone())) as Arc<dyn Store>));
    };
    let secret = |key: &str| secrets.get(format!("{prefix}{key}").as_str());
    let proof = Proof::new(secret("password"), secret("key"), secret("passphrase"))?;
    Ok(Some(Arc::new(Sftp::new(sftp.clone(), proof))))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(Failure::new(
            Class::Transient,
            Problem::new(Code::Bug, "the work on a folder was broken off"),
        )),
    }
}

#[async_trait]
impl Connection for FileDrop {
    fn streams(&self) -> &BTreeMap<CompactString, StreamSpec> {
        &self.streams
    }

    async fn check(&self) -> Result<(), Failure> {
        if self.folder.is_some() {
            self.run(|folder| folder.check()).await?;
        }
        match &self.export {
            Some((_, store)) => {
                let store = Arc::clone(store);
                let answers = move || match store.list() {
                    Ok(_) => Ok(()),
                    Err(error) => Err(store::failure(Code::ExportFailed, &store.show(""), "listed", &error)),
                };
                blocking(answers).await
            }
            None => Ok(()),
        }
    }

    async fn pull(&self, _stream: &str, cursor: Option<&Cursor>) -> Result<Page, Failure> {
        let place = Place::parse(cursor)?;
        self.run(move |folder| folder.pull(place)).await
    }

    async fn sample(&self, _stream: &str, limit: usize) -> Result<Vec<Sample>, Failure> {
        self.run(move |folder| folder.sample(limit)).await
    }

    async fn tidy(&self, _stream: &str, committed: &Cursor) -> Result<(), Failure> {
        let place = Place::parse(Some(committed))?;
        self.run(move |folder| folder.shelve(&place)).await
    }

    fn export(&self) -> Option<&ExportSpec> {
        self.export.as_ref().map(|(spec, _)| spec)
    }

    async fn put_export(&self, name: &str, mut content: std::fs::File) -> Result<(), Failure> {
        let Some((_, store)) = &self.export else {
            return Err(only_whole());
        };
        let (store, name) = (Arc::clone(store), name.to_owned());
        let put = move || {
            store
                .put(&name, &mut content)
                .map_err(|error| store::failure(Code::ExportFailed, &store.show(&name), "written", &error))
        };
        blocking(put).await
    }

    async fn get(&self, _stream: &str, _remotes: &[CompactString]) -> Result<Vec<Incoming>, Failure> {
        Err(only_whole())
    }

    async fn find(&self, _stream: &str, _by: &FieldName, _value: &Value) -> Result<Option<Incoming>, Failure> {
        Err(only_whole())
    }

    async fn write(&self, _stream: &str, operations: &[Operation]) -> Vec<Outcome> {
        operations.iter().map(|_| Err(only_whole())).collect()
    }
}

fn only_whole() -> Failure {
    let problem = Problem::new(
        Code::NotAllowed,
        "a file drop is read whole; it cannot be asked or written to",
    );
    Failure::new(Class::Forbidden, problem)
}

#[cfg(test)]
mod tests;
