//! From the config to the parts of an engine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use compact_str::CompactString;
use secrecy::{ExposeSecret, SecretString};

use super::{connections, vault};
use crate::cache::{self, IdentityCache};
use crate::config::{Config, ConnectorFacts, Need, SystemConfig};
use crate::connector::ConnectionSettings;
use crate::connector::Connections;
use crate::connector::seal::KeyRing;
use crate::error::{Code, Problem};
use crate::ledger::{self, Ledger, Posts as _, Sqlite};
use crate::manifest::{self, Manifest, SettingType};
use crate::merge::Rules;
use crate::model::{Clock, Late, QuotaStore, QuotaUse, SharedBudget, TokenStore, UnixMillis};
use crate::sync::{Engine, Parts, Progress};

/// The ledger's setting that holds the secret under which identifiers are hashed for the cache.
const CACHE_SECRET: &str = "cache_secret";

/// Opens everything the config names.
///
/// # Errors
/// Every problem that was found; nothing was started then.
pub async fn open(config: &Config, clock: Arc<dyn Clock>, progress: Arc<dyn Progress>) -> Result<Engine, Vec<Problem>> {
    parts(config, clock, progress).await.map(Engine::new)
}

/// The parts of an engine, as the config wants them.
///
/// # Errors
/// As [`open`].
pub async fn parts(config: &Config, clock: Arc<dyn Clock>, progress: Arc<dyn Progress>) -> Result<Parts, Vec<Problem>> {
    let backing = Backing::new(&clock);
    let connections = connect_to(config, &backing)?;
    let rules = rules_of(config, &connections);
    let ledger = sqlite(config, &clock).map_err(|problem| vec![problem])?;
    let cache = open_cache(config, ledger.as_ref())
        .await
        .map_err(|problem| vec![problem])?;
    let watched = ledger.watch(super::posts::watches(&config.hooks)).await;
    watched.map_err(|error| vec![problem_of(error)])?;
    backing.give_keys(config, &ledger).await?;
    backing.give(&ledger, &cache);
    Ok(Parts {
        ledger,
        cache,
        connections,
        rules,
        clock,
        progress,
    })
}

/// The rules of the config, as an engine follows them. Speaks to no system.
///
/// # Errors
/// Every problem of the config.
pub fn rules(config: &Config, clock: &Arc<dyn Clock>) -> Result<Rules, Vec<Problem>> {
    let connections = connect(config, clock)?;
    Ok(rules_of(config, &connections))
}

fn rules_of(config: &Config, connections: &Connections) -> Rules {
    crate::config::rules(config, &specs_of(connections))
}

pub(super) fn specs_of(connections: &Connections) -> crate::config::Specs {
    let specs = connections.iter();
    specs
        .map(|(name, connection)| (name.clone(), connection.streams().clone()))
        .collect()
}

/// What stands behind the connections. They are made first, so that a wrong config leaves no ledger behind.
pub(super) struct Backing {
    pub(super) clock: Arc<dyn Clock>,
    budget: Late<dyn SharedBudget>,
    quotas: Late<dyn QuotaStore>,
    pub(super) tokens: Late<dyn TokenStore>,
    pub(super) token_keys: Late<KeyRing>,
    /// Set when a system's program may change its own settings: they are sealed, so there must be a key.
    pub(super) keeps_settings: OnceLock<()>,
}

impl Backing {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Self {
        Self {
            clock: Arc::clone(clock),
            budget: Late::default(),
            quotas: Late::default(),
            tokens: Late::default(),
            token_keys: Late::default(),
            keeps_settings: OnceLock::new(),
        }
    }

    fn give(&self, ledger: &Arc<Sqlite>, cache: &Arc<dyn IdentityCache>) {
        let quotas: Arc<dyn QuotaStore> = Arc::<Sqlite>::clone(ledger);
        self.quotas.get_or_init(|| quotas);
        self.give_tokens(ledger);
        if let Some(budget) = Arc::clone(cache).budget() {
            self.budget.get_or_init(|| budget);
        }
    }
}

impl Backing {
    fn give_tokens(&self, ledger: &Arc<Sqlite>) {
        let tokens: Arc<dyn TokenStore> = Arc::<Sqlite>::clone(ledger);
        self.tokens.get_or_init(|| tokens);
    }

    /// Proves that every stored token opens, and hands out the keys.
    async fn give_keys(&self, config: &Config, ledger: &Sqlite) -> Result<(), Vec<Problem>> {
        let mut keys = vault::keys(config, ledger).await?;
        if keys.is_none() && self.keeps_settings.get().is_some() {
            keys = Some(
                vault::keys_or_new(config, ledger)
                    .await
                    .map_err(|problem| vec![problem])?,
            );
        }
        if let Some(keys) = keys {
            self.token_keys.get_or_init(|| Arc::new(keys));
        }
        Ok(())
    }
}

/// Every system of the config, ready to be spoken to without a ledger; nothing is sent yet.
///
/// # Errors
/// Everything that is wrong with the config, the manifests and the settings, at once.
pub fn connect(config: &Config, clock: &Arc<dyn Clock>) -> Result<Connections, Vec<Problem>> {
    connect_to(config, &Backing::new(clock))
}

/// As [`connect`], with the tokens that are in the ledger, if there is one: to see whether the systems answer. Beside a
/// running daemon tokens can be used but not renewed.
///
/// # Errors
/// As [`connect`], or when a token does not open.
pub async fn connect_to_check(config: &Config, clock: &Arc<dyn Clock>) -> Result<Connections, Vec<Problem>> {
    let backing = Backing::new(clock);
    let connections = connect_to(config, &backing)?;
    give_stored_tokens(config, clock, &backing).await?;
    Ok(connections)
}

/// Hands out the tokens that are in the ledger, if there is one.
pub(super) async fn give_stored_tokens(
    config: &Config,
    clock: &Arc<dyn Clock>,
    backing: &Backing,
) -> Result<(), Vec<Problem>> {
    let Ok(reader) = sqlite_to_read(config) else {
        return Ok(());
    };
    if reader.tokens().await.is_ok_and(|tokens| !tokens.is_empty()) {
        let ledger = sqlite(config, clock).unwrap_or(reader);
        backing.give_keys(config, &ledger).await?;
        backing.give_tokens(&ledger);
    }
    Ok(())
}

/// The text of a connector's manifest: the admin's own, else the shipped one.
pub(super) fn manifest_text(dir: Option<&Path>, name: &str) -> Result<String, Problem> {
    let own = match dir {
        Some(dir) => manifest_files(dir)?.remove(name),
        None => None,
    };
    let shipped = || manifest::shipped().get(name).map(|text| (*text).to_owned());
    own.map(|(_, text)| text)
        .or_else(shipped)
        .ok_or_else(|| Problem::new(Code::NotFound, format!("there is no connector `{name}`")))
}

fn connect_to(config: &Config, backing: &Backing) -> Result<Connections, Vec<Problem>> {
    let manifests = manifests(config.connectors_dir.as_deref())?;
    let catalog = manifests
        .iter()
        .map(|(name, manifest)| (name.clone(), facts(manifest)))
        .collect();
    let mut problems = crate::config::check(config, &catalog);
    let mut connections = Connections::new();
    for (name, system) in &config.systems {
        match connections::connection(config, name, system, &manifests, backing) {
            Ok(connection) => {
                connections.insert(name.clone(), connection);
            }
            // What the check above already says need not be said twice.
            Err(found) if problems.is_empty() => problems.extend(found),
            Err(_) => {}
        }
    }
    if problems.is_empty() {
        problems = crate::config::handoff_rules(config, &specs_of(&connections)).1;
    }
    if problems.is_empty() {
        Ok(connections)
    } else {
        Err(problems)
    }
}

/// Every connector there is: the shipped ones, and those of the admin's folder, which add or override.
///
/// # Errors
/// Everything that is wrong with the manifests, at once.
pub fn manifests(dir: Option<&Path>) -> Result<BTreeMap<CompactString, Manifest>, Vec<Problem>> {
    let mut texts: BTreeMap<CompactString, (String, String)> = manifest::shipped()
        .into_iter()
        .map(|(name, text)| {
            (
                CompactString::from(name),
                (format!("connectors/{name}/manifest.yaml"), text.to_owned()),
            )
        })
        .collect();
    if let Some(dir) = dir {
        texts.extend(manifest_files(dir).map_err(|problem| vec![problem])?);
    }
    let mut problems = Vec::new();
    let mut manifests = BTreeMap::new();
    for (name, (place, text)) in texts {
        match Manifest::parse(&place, &text) {
            Ok(manifest) => {
                manifests.insert(name, manifest);
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        Ok(manifests)
    } else {
        Err(problems)
    }
}

type Texts = BTreeMap<CompactString, (String, String)>;

fn manifest_files(dir: &Path) -> Result<Texts, Problem> {
    let trouble = |path: &Path, error: std::io::Error| {
        Problem::new(Code::ManifestInvalid, format!("cannot be read: {error}"))
            .about(path.display())
            .hint("connectors_dir holds one folder per connector, each with a manifest.yaml")
    };
    let mut texts = Texts::new();
    for entry in std::fs::read_dir(dir).map_err(|error| trouble(dir, error))? {
        let folder = entry.map_err(|error| trouble(dir, error))?.path();
        let file = folder.join("manifest.yaml");
        if !file.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(&file).map_err(|error| trouble(&file, error))?;
        let name = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        texts.insert(name.into(), (file.display().to_string(), text));
    }
    Ok(texts)
}

/// What the config check must know about a connector.
#[must_use]
pub fn facts(manifest: &Manifest) -> ConnectorFacts {
    let fields = |object: &manifest::Object| object.spec().fields.into_keys().collect();
    let unless = manifest.needed_unless();
    let need = |name: &CompactString, setting: &manifest::Setting| {
        if let Some((_, other)) = unless.as_ref().filter(|(needed, _)| needed.contains(name)) {
            Need::Unless(other.clone())
        } else if setting.is_required() {
            Need::Required
        } else {
            Need::Optional
        }
    };
    ConnectorFacts {
        config: manifest
            .config
            .iter()
            .map(|(name, setting)| (name.clone(), need(name, setting)))
            .collect(),
        streams: manifest
            .objects
            .iter()
            .map(|(name, object)| (name.clone(), fields(object)))
            .collect(),
        customers: manifest
            .objects
            .iter()
            .filter(|(_, object)| !object.spec().is_activity())
            .map(|(name, _)| name.clone())
            .collect(),
        removals: manifest
            .objects
            .iter()
            .filter_map(|(name, object)| {
                let spec = object.spec();
                spec.can_delete.then(|| (name.clone(), spec.delete_is_final))
            })
            .collect(),
    }
}

/// The manifest and the settings of one system.
///
/// # Errors
/// When there is no such system, or its connector is wrong.
pub(super) fn settings_of(
    config: &Config,
    name: &str,
    backing: &Backing,
) -> Result<(Manifest, ConnectionSettings), Vec<Problem>> {
    let manifests = manifests(config.connectors_dir.as_deref())?;
    let nothing = |what: String| vec![Problem::new(Code::NotFound, what).about(name)];
    let system = config.systems.get(name).ok_or_else(|| {
        let hint = crate::config::did_you_mean(name, config.systems.keys().map(CompactString::as_str));
        vec![
            Problem::new(Code::NotFound, "there is no such system")
                .about(name)
                .hint(hint),
        ]
    })?;
    let manifest = manifests
        .get(&system.connector)
        .ok_or_else(|| nothing(format!("there is no connector `{}`", system.connector)))?;
    let settings = settings(config, name, system, manifest, backing);
    Ok((manifest.clone(), settings))
}

pub(super) fn settings(
    config: &Config,
    name: &str,
    system: &SystemConfig,
    manifest: &Manifest,
    backing: &Backing,
) -> ConnectionSettings {
    let mut settings = ConnectionSettings::new(name);
    for (option, value) in &system.config {
        settings = match manifest.config.get(option) {
            Some(setting) if !setting.secret => settings.with(option, plain(value, setting.kind)),
            _ => settings.with_secret(option, value.expose_secret()),
        };
    }
    settings.base = system
        .base
        .as_ref()
        .map(|base| base.as_str().trim_end_matches('/').to_owned());
    settings.region = config.region_of(name).map(CompactString::from);
    settings.limits = (!system.limits.is_empty()).then(|| system.limits.clone());
    settings.lag = system.lag;
    settings.overlap = system.overlap;
    let sweeps = |stream: &CompactString| Some((stream.clone(), Config::sweeps_of(system, stream)?));
    settings.full = manifest.objects.keys().filter_map(sweeps).collect();
    settings.share = f64::from(system.use_percent) / 100.0;
    settings.reserve = f64::from(system.reserve_percent) / 100.0;
    settings.budget = Arc::clone(&backing.budget);
    settings.quotas = Arc::clone(&backing.quotas);
    settings.tokens = Arc::clone(&backing.tokens);
    settings.token_keys = Arc::clone(&backing.token_keys);
    settings.home = config.data_dir.join("guests");
    settings.environment = crate::config::environment();
    settings.clock = Arc::clone(&backing.clock);
    settings
}

/// A value that is no secret, as the manifest's type for it.
fn plain(value: &SecretString, kind: SettingType) -> serde_json::Value {
    let text = value.expose_secret();
    let parsed = match kind {
        SettingType::Bool => text.parse::<bool>().ok().map(serde_json::Value::from),
        SettingType::Int => text.parse::<i64>().ok().map(serde_json::Value::from),
        SettingType::Text | SettingType::Url => None,
    };
    parsed.unwrap_or_else(|| text.into())
}

/// Opens the ledger alone: enough to ask it something.
///
/// # Errors
/// When it is in use by another process, or cannot be used.
pub fn ledger(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Ledger>, Problem> {
    Ok(sqlite(config, clock)?)
}

pub(super) fn sqlite(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<Sqlite>, Problem> {
    std::fs::create_dir_all(&config.data_dir).map_err(|error| {
        Problem::new(Code::LedgerFull, format!("the data folder cannot be made: {error}"))
            .about(config.data_dir.display())
            .hint("give the process a folder it may write to, with `data_dir:` or --data-dir")
    })?;
    match Sqlite::open(&config.ledger_path(), clock.as_ref()) {
        Ok(ledger) => Ok(Arc::new(ledger)),
        Err(error) => Err(problem_of(error)),
    }
}

/// Opens the ledger to look into it, also beside a running daemon.
///
/// # Errors
/// When it is not a ledger of this version of Nivel.
pub fn ledger_to_read(config: &Config) -> Result<Arc<dyn Ledger>, Problem> {
    Ok(sqlite_to_read(config)?)
}

/// How far each quota is used.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn quotas(config: &Config, now: UnixMillis) -> Result<Vec<QuotaUse>, Problem> {
    sqlite_to_read(config)?.quotas(now).await
}

pub(super) fn sqlite_to_read(config: &Config) -> Result<Arc<Sqlite>, Problem> {
    match Sqlite::open_to_read(&config.ledger_path()) {
        Ok(ledger) => Ok(Arc::new(ledger)),
        Err(error) => Err(problem_of(error)),
    }
}

/// Leaves an operator's request for the process that has the ledger open. Its number.
///
/// # Errors
/// As [`ledger_to_read`].
pub fn leave_request(config: &Config, at: UnixMillis, by: &str, act: &str) -> Result<i64, Problem> {
    Sqlite::leave_request(&config.ledger_path(), at, by, act).map_err(problem_of)
}

/// What came of a request; `None` while it waits.
///
/// # Errors
/// As [`ledger_to_read`].
pub fn answer_to(config: &Config, request: i64) -> Result<Option<String>, Problem> {
    Sqlite::answer_to(&config.ledger_path(), request).map_err(problem_of)
}

/// What a person reads about a ledger that cannot be used.
pub(super) fn problem_of(error: ledger::Error) -> Problem {
    match error {
        ledger::Error::Broken(problem) => problem,
        ledger::Error::Stale => Problem::new(Code::Bug, "the ledger moved on while nobody else can write to it"),
    }
}

/// The cache; its hashing secret is made once and kept in the ledger.
async fn open_cache(config: &Config, ledger: &dyn Ledger) -> Result<Arc<dyn IdentityCache>, Problem> {
    let secret = match ledger.setting(CACHE_SECRET).await.map_err(problem_of)? {
        Some(secret) => secret,
        None => {
            let secret: String = std::iter::repeat_with(|| format!("{:016x}", rand::random::<u64>()))
                .take(4)
                .collect();
            ledger.set_setting(CACHE_SECRET, &secret).await.map_err(problem_of)?;
            secret
        }
    };
    let secret = SecretString::from(secret);
    let (url, ttl) = config.cache.as_ref().map(|cache| (&cache.url, cache.ttl)).unzip();
    cache::open(url, ttl.unwrap_or_default(), &secret).await
}
