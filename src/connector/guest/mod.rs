//! Programs as connections: our own JSON Lines, Singer taps, Airbyte sources.
//!
//! | module | does |
//! | --- | --- |
//! | `program` | starts, listens, limits, kills |
//! | `folder` | the private folder of a run |
//! | `say` | the three languages (pure) |
//! | `catalog` | what a foreign program is told to read (pure) |
//! | `place` | what the opaque cursor holds (pure) |
//! | `run` | a reading run, page by page |
//! | `reading` | begins runs, discovers |
//! | `session`, `writing` | questions to programs of our own language |
//! | `kept` | settings that a program may change |

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use compact_str::CompactString;
use serde_json::Value as Json;

use super::Connection;
use super::auth::{Veil, exposed};
use super::settings::ConnectionSettings;
use crate::connector::cursor::AsCursor as _;
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Context, Guest, GuestStream, Manifest, Mapper, Object, Speaks};
use crate::model::{
    Clock, Cursor, Description, FieldName, Incoming, Operation, Outcome, Page, StreamSpec, Sweeps, Value,
};

mod catalog;
mod folder;
mod kept;
mod place;
mod problem;
mod program;
mod reading;
mod run;
mod say;
mod session;
mod writing;

use kept::Kept;
use place::Place;
use program::{Bounds, Launch};
use run::Run;
use session::Session;

/// The variables that programs get: where things are, how text is written, how the network is reached.
const ENVIRONMENT: &[&str] = &[
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// The longest line, in bytes.
const LINE_MAX_BYTES: usize = 32 << 20;

/// A system that a program speaks to.
pub(super) struct GuestConnection {
    system: CompactString,
    guest: Guest,
    launch: Launch,
    /// Arguments behind those of the language.
    options: Vec<OsString>,
    /// The catalog of a tap that cannot discover.
    catalog_file: Option<PathBuf>,
    /// Where the private folders are.
    home: PathBuf,
    kept: Arc<Kept>,
    veil: Arc<Veil>,
    streams: BTreeMap<CompactString, Stream>,
    specs: BTreeMap<CompactString, StreamSpec>,
    full: BTreeMap<CompactString, Sweeps>,
    clock: Arc<dyn Clock>,
    runs: Mutex<BTreeMap<CompactString, Run>>,
    /// What the program said it has; forgotten when a run fails.
    known: tokio::sync::Mutex<Option<Arc<Json>>>,
    /// The program that answers questions.
    session: tokio::sync::Mutex<Option<Session>>,
}

/// One stream, with everything that can be prepared once.
struct Stream {
    name: CompactString,
    source: GuestStream,
    object: Object,
    mapper: Mapper,
}

/// The connection of a manifest that names a program.
///
/// # Errors
/// Everything that is wrong with the settings.
pub(super) fn build(
    manifest: Manifest,
    guest: Guest,
    settings: &ConnectionSettings,
) -> Result<Arc<dyn Connection>, Vec<Problem>> {
    Ok(Arc::new(GuestConnection::new(manifest, guest, settings)?))
}

impl GuestConnection {
    fn new(manifest: Manifest, guest: Guest, settings: &ConnectionSettings) -> Result<Self, Vec<Problem>> {
        let config = manifest.settings(&exposed(&settings.config))?;
        let about = |problem: Problem| vec![problem.about(&settings.system)];
        let base = rendered(&guest, &config).map_err(about)?;
        let veil = Arc::new(Veil::new(&settings.config));
        let folder = Path::new(&manifest.places.file)
            .parent()
            .unwrap_or_else(|| Path::new(""));
        let folder = std::path::absolute(folder).map_err(|error| about(no_folder(&error)))?;
        let (program, args) = command(&guest, &folder);
        let specs = manifest
            .objects
            .iter()
            .map(|(name, object)| (name.clone(), object.spec()))
            .collect();
        let streams = manifest.objects.into_iter().filter_map(|(name, object)| {
            let stream = Stream {
                name: name.clone(),
                source: object.guest.clone()?,
                mapper: Mapper::new(&object, settings.region.clone(), settings.phone),
                object,
            };
            Some((name, stream))
        });
        Ok(Self {
            launch: Launch {
                system: settings.system.clone(),
                program,
                args,
                env: environment(settings),
                bounds: Bounds {
                    idle: guest.idle.0,
                    wall: guest.wall.0,
                    memory_bytes: guest.memory_mib << 20,
                    line_max_bytes: LINE_MAX_BYTES,
                },
                talks: guest.speaks == Speaks::Nivel,
                veil: Arc::clone(&veil),
                timer: Arc::clone(&settings.timer),
            },
            options: guest.options.iter().map(|word| resolve(word, &folder)).collect(),
            catalog_file: guest.catalog.as_ref().map(|file| folder.join(file)),
            home: settings.home.join(&settings.system),
            kept: Arc::new(Kept {
                system: settings.system.clone(),
                base,
                returns: guest.returns.iter().cloned().collect(),
                tokens: Arc::clone(&settings.tokens),
                keys: Arc::clone(&settings.token_keys),
                clock: Arc::clone(&settings.clock),
            }),
            veil,
            streams: streams.collect(),
            specs,
            full: settings.full.clone(),
            clock: Arc::clone(&settings.clock),
            runs: Mutex::default(),
            known: tokio::sync::Mutex::default(),
            session: tokio::sync::Mutex::default(),
            system: settings.system.clone(),
            guest,
        })
    }

    fn stream(&self, name: &str) -> Result<&Stream, Failure> {
        self.streams.get(name).ok_or_else(|| {
            let problem = Problem::new(Code::ConfigDangling, format!("there is no stream `{name}`"));
            Failure::new(Class::Forbidden, problem.about(&self.system))
        })
    }

    /// Says which stream a failure is about, and nothing secret.
    fn told(&self, stream: &str, failure: Failure) -> Failure {
        let mut failure = self.veil.over(failure);
        if failure.problem.subject.is_empty() || failure.problem.subject == self.system {
            failure.problem.subject = format!("{}/{stream}", self.system);
        }
        failure
    }

    fn runs(&self) -> std::sync::MutexGuard<'_, BTreeMap<CompactString, Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The program's settings; those that the admin left out are left out.
fn rendered(guest: &Guest, config: &Json) -> Result<Json, Problem> {
    let Some(body) = &guest.config else {
        return Ok(session::nothing());
    };
    let rendered = body.render(&Context::new().with("config", config));
    let mut rendered =
        rendered.map_err(|why| Problem::new(Code::ManifestExpression, format!("`guest.config`: `{}`", why.text)))?;
    if let Some(settings) = rendered.as_object_mut() {
        settings.retain(|_, value| !value.is_null());
    }
    Ok(rendered)
}

fn environment(settings: &ConnectionSettings) -> BTreeMap<String, String> {
    let all = settings.environment.iter();
    let wanted = all.filter(|(name, _)| ENVIRONMENT.contains(&name.as_str()));
    wanted.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn no_folder(error: &std::io::Error) -> Problem {
    Problem::new(
        Code::GuestUnstartable,
        format!("the folder of its manifest is not known: {error}"),
    )
}

fn resolve(word: &str, folder: &Path) -> OsString {
    if word.starts_with("./") || word.starts_with("../") {
        // Through its components: `dir/./file` reads as `dir/file`.
        return folder.join(word).components().collect::<PathBuf>().into_os_string();
    }
    word.into()
}

fn command(guest: &Guest, folder: &Path) -> (PathBuf, Vec<OsString>) {
    let mut words = guest.command.iter().map(|word| resolve(word, folder));
    let program = words.next().map(PathBuf::from).unwrap_or_default();
    (program, words.collect())
}

#[async_trait]
impl Connection for GuestConnection {
    fn streams(&self) -> &BTreeMap<CompactString, StreamSpec> {
        &self.specs
    }

    async fn check(&self) -> Result<(), Failure> {
        let checked = self.prove().await;
        checked.map_err(|failure| self.veil.over(failure))
    }

    async fn pull(&self, stream: &str, cursor: Option<&Cursor>) -> Result<Page, Failure> {
        let found = self.stream(stream)?;
        let pulled = match Place::parse(cursor) {
            Ok(place) => self.pull_page(found, place).await,
            Err(failure) => Err(failure),
        };
        pulled.map_err(|failure| self.told(stream, failure))
    }

    async fn get(&self, stream: &str, remotes: &[CompactString]) -> Result<Vec<Incoming>, Failure> {
        let got = self.get_all(self.stream(stream)?, remotes).await;
        got.map_err(|failure| self.told(stream, failure))
    }

    async fn find(&self, stream: &str, by: &FieldName, value: &Value) -> Result<Option<Incoming>, Failure> {
        let found = self.find_one(self.stream(stream)?, by, value).await;
        found.map_err(|failure| self.told(stream, failure))
    }

    async fn write(&self, stream: &str, operations: &[Operation]) -> Vec<Outcome> {
        let outcomes = match self.stream(stream) {
            Ok(found) => self.write_all(found, operations).await,
            Err(failure) => operations.iter().map(|_| Err(failure.clone())).collect(),
        };
        let told = |outcome: Outcome| outcome.map_err(|failure| self.told(stream, failure));
        outcomes.into_iter().map(told).collect()
    }

    async fn describe(&self, stream: &str) -> Result<Option<Description>, Failure> {
        let described = self.described(self.stream(stream)?).await;
        described.map_err(|failure| self.told(stream, failure))
    }
}
