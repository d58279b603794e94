//! Begins reading runs and finds out what a program has.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::sync::Arc;

use compact_str::CompactString;
use serde_json::{Value as Json, json};

use super::catalog::{self, Order};
use super::folder::Private;
use super::place::Place;
use super::problem::{failed, foul};
use super::program::Program;
use super::run::{Begin, PAGE_ROWS, Run};
use super::say::{Said, Speech};
use super::session::Session;
use super::{GuestConnection, Stream};
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::Speaks;
use crate::model::{Description, FieldName, Page, Sweeps, UnixMillis};

/// The program's copy of its settings.
pub(super) const CONFIG_FILE: &str = "config.json";
const CATALOG_FILE: &str = "catalog.json";
const STATE_FILE: &str = "state.json";

impl GuestConnection {
    /// The next page from `place` on: of the run under way where it asks for just that, else of a new run from the state
    /// that is held.
    pub(super) async fn pull_page(&self, stream: &Stream, mut place: Place) -> Result<Page, Failure> {
        let under_way = self.runs().remove(&stream.name).filter(|run| run.is_next(&place));
        let mut run = match under_way {
            Some(run) => run,
            None => {
                place.run = None;
                self.begin(stream, &place).await?
            }
        };
        // The run is not put back when this future is dropped: what it has read since would be missing.
        let page = run.page(&place, &stream.mapper).await;
        self.read_back(&run).await?;
        match &page {
            Ok(page) if page.is_caught_up => {}
            Ok(_) => drop(self.runs().insert(stream.name.clone(), run)),
            Err(_) => *self.known.lock().await = None,
        }
        page
    }

    async fn begin(&self, stream: &Stream, place: &Place) -> Result<Run, Failure> {
        let at = self.clock.now();
        let is_whole = place.state.is_none() || self.is_full_due(stream, place, at);
        let state = place.state.as_ref().filter(|_| !is_whole);
        let mut speech = self.speech(&stream.source.stream);
        let (program, ask) = if self.guest.speaks == Speaks::Nivel {
            let question = json!({
                "type": "read",
                "stream": stream.source.stream,
                "state": state,
                "cursor": stream.source.cursor,
                "credit": PAGE_ROWS,
            });
            self.open().await?.read(question)
        } else {
            let order = self.order(stream).await?;
            speech.others = order.others;
            (self.start_reading(&order.catalog, state).await?, 0)
        };
        let begin = Begin {
            id: uuid::Uuid::now_v7().simple().to_string(),
            at,
            ask,
            is_whole,
            may_sweep: self.guest.speaks == Speaks::Nivel || stream.source.absent == crate::manifest::Absent::Deleted,
            absent: stream.source.absent,
        };
        Ok(Run::new(Arc::clone(&self.kept), program, speech, place, begin))
    }

    /// Starts a foreign program that reads.
    async fn start_reading(&self, catalog: &Json, state: Option<&Json>) -> Result<Program, Failure> {
        let mut files = vec![
            (CONFIG_FILE, self.kept.settings().await?),
            (CATALOG_FILE, catalog.clone()),
        ];
        let mut args: Vec<&str> = match self.guest.speaks {
            Speaks::Airbyte => vec!["read"],
            _ => Vec::new(),
        };
        args.extend(["--config", CONFIG_FILE, "--catalog", CATALOG_FILE]);
        if let Some(state) = state {
            files.push((STATE_FILE, state.clone()));
            args.extend(["--state", STATE_FILE]);
        }
        self.start(files, &args).await
    }

    /// Starts the program with files in its private folder.
    pub(super) async fn start(&self, files: Vec<(&'static str, Json)>, args: &[&str]) -> Result<Program, Failure> {
        let mut launch = self.launch.clone();
        launch.args.extend(args.iter().map(OsString::from));
        launch.args.extend(self.options.iter().cloned());
        let home = self.home.clone();
        let begin = move || {
            let folder = (|| {
                let folder = Private::make(&home)?;
                for (name, content) in files {
                    folder.write(name, content.to_string().as_bytes())?;
                }
                Ok(folder)
            })();
            let folder = folder.map_err(|error: io::Error| {
                let message = format!("a private folder cannot be made: {error}");
                let problem = Problem::new(Code::GuestUnstartable, message).about(home.display());
                Failure::new(Class::Forbidden, problem)
            })?;
            Program::start(launch, folder)
        };
        match tokio::task::spawn_blocking(begin).await {
            Ok(started) => started,
            Err(_) => Err(failed(&self.system, "could not be started")),
        }
    }

    /// A program of our own language, greeted.
    pub(super) async fn open(&self) -> Result<Session, Failure> {
        let config = self.kept.settings().await?;
        let program = self.start(Vec::new(), &[]).await?;
        let speech = self.speech("");
        Session::greet(Arc::clone(&self.kept), program, speech, &config).await
    }

    fn speech(&self, stream: &str) -> Speech {
        Speech {
            speaks: self.guest.speaks,
            stream: stream.into(),
            others: BTreeSet::new(),
        }
    }

    /// True when it is time to read without the state: as the admin says, else as the manifest does.
    fn is_full_due(&self, stream: &Stream, place: &Place, now: UnixMillis) -> bool {
        let every = match self.full.get(&stream.name) {
            Some(Sweeps::Every(time)) => Some(*time),
            Some(Sweeps::Never) => None,
            None => stream.source.full.map(|full| full.0),
        };
        every.is_some_and(|every| place.whole_at.is_none_or(|at| now.since(at) >= every))
    }

    /// Takes back what a foreign program changed in its copy of the settings.
    async fn read_back(&self, run: &Run) -> Result<(), Failure> {
        if self.kept.returns.is_empty() || self.guest.speaks == Speaks::Nivel {
            return Ok(());
        }
        let Some(Ok(bytes)) = run.folder().map(|folder| folder.read(CONFIG_FILE)) else {
            return Ok(());
        };
        match serde_json::from_slice::<Json>(&bytes) {
            Ok(settings) => self.kept.put(&settings).await,
            // Caught while it writes: the next page looks again.
            Err(_) => Ok(()),
        }
    }

    async fn order(&self, stream: &Stream) -> Result<Order, Failure> {
        let known = self.known().await?;
        let ordered = catalog::order(self.guest.speaks, &known, &stream.source);
        ordered.map_err(|problem| Failure::new(Class::Forbidden, problem))
    }

    /// What the program has, asked once.
    async fn known(&self) -> Result<Arc<Json>, Failure> {
        let mut known = self.known.lock().await;
        if let Some(known) = &*known {
            return Ok(Arc::clone(known));
        }
        let found = Arc::new(self.discover().await?);
        *known = Some(Arc::clone(&found));
        Ok(found)
    }

    async fn discover(&self) -> Result<Json, Failure> {
        let config = (CONFIG_FILE, self.kept.settings().await?);
        if let Some(file) = &self.catalog_file {
            let text = std::fs::read(file).map_err(|error| error.to_string());
            let read = text.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
            return read.map_err(|why| {
                let problem = Problem::new(Code::GuestStream, format!("the catalog cannot be read: {why}"));
                Failure::new(Class::Forbidden, problem.about(file.display()))
            });
        }
        match self.guest.speaks {
            Speaks::Singer => {
                let program = self
                    .start(vec![config], &["--config", CONFIG_FILE, "--discover"])
                    .await?;
                let text = program.whole().await?;
                serde_json::from_slice(&text)
                    .map_err(|error| foul(&self.system, &format!("a catalog that is no JSON ({error})")))
            }
            Speaks::Airbyte => {
                let program = self.start(vec![config], &["discover", "--config", CONFIG_FILE]).await?;
                let said = self.last_word(program, |said| matches!(said, Said::Catalog(_))).await?;
                match said {
                    Some(Said::Catalog(catalog)) => Ok(catalog),
                    _ => Err(foul(&self.system, "nothing of its streams")),
                }
            }
            Speaks::Nivel => {
                let answer = self.question(json!({"type": "discover"})).await;
                match answer.failure {
                    Some(failure) => Err(failure),
                    None => Ok(answer.body),
                }
            }
        }
    }

    /// Hears a foreign program to its end, and returns the last message of a kind.
    async fn last_word(&self, mut program: Program, is_it: impl Fn(&Said) -> bool) -> Result<Option<Said>, Failure> {
        let speech = self.speech("");
        let mut found = None;
        while let Some(line) = program.line().await? {
            match speech.hear(&line).map_err(|what| foul(&self.system, &what))? {
                Said::Failed(why) => return Err(failed(&self.system, &format!("failed: {why}"))),
                Said::Log(text) => tracing::debug!(system = %self.system, "{text}"),
                said if is_it(&said) => found = Some(said),
                _ => {}
            }
        }
        program.end().await?;
        Ok(found)
    }

    /// Proves that the program runs, gets along with the tool, and has every stream of the manifest.
    pub(super) async fn prove(&self) -> Result<(), Failure> {
        match self.guest.speaks {
            Speaks::Nivel => {
                let answer = self.question(json!({"type": "check"})).await;
                return answer.failure.map_or(Ok(()), Err);
            }
            Speaks::Airbyte => {
                let config = (CONFIG_FILE, self.kept.settings().await?);
                let program = self.start(vec![config], &["check", "--config", CONFIG_FILE]).await?;
                let said = self
                    .last_word(program, |said| matches!(said, Said::Connection(_)))
                    .await?;
                match said {
                    Some(Said::Connection(Ok(()))) => {}
                    Some(Said::Connection(Err(why))) => {
                        return Err(failed(
                            &self.system,
                            &format!("does not get along with its tool: {why}"),
                        ));
                    }
                    _ => return Err(foul(&self.system, "nothing of its connection")),
                }
            }
            Speaks::Singer => {}
        }
        let known = self.discover().await?;
        for stream in self.streams.values() {
            let found = catalog::find(&known, &stream.source.stream);
            found.map_err(|problem| Failure::new(Class::Forbidden, problem.about(&self.system)))?;
        }
        *self.known.lock().await = Some(Arc::new(known));
        Ok(())
    }

    /// The fields of a stream as the program describes them; programs of our own language describe none.
    pub(super) async fn described(&self, stream: &Stream) -> Result<Option<Description>, Failure> {
        if self.guest.speaks == Speaks::Nivel {
            return Ok(None);
        }
        let known = self.known().await?;
        let found = catalog::find(&known, &stream.source.stream);
        let found = found.map_err(|problem| Failure::new(Class::Forbidden, problem))?;
        let mapped: Vec<(FieldName, CompactString)> = stream
            .object
            .fields
            .by_name
            .iter()
            .filter_map(|(field, at)| Some((field.clone(), at.to.names().first().copied()?.into())))
            .collect();
        Ok(Some(catalog::describe(found, &mapped)))
    }
}
