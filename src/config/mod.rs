//! `nivel.yaml`: what the admin wants. Defaults, then files in their order, then `NIVEL__…` environment variables.
//!
//! Loading finds every mistake at once and says for each where it stands and what was probably meant. It starts nothing and
//! writes nothing. Secrets are held as [`SecretString`] and never printed.

mod alerts;
mod check;
mod deletes;
mod fields;
mod files;
mod handoffs;
mod hooks;
mod identity;
mod inbound;
mod layers;
mod place;
mod read;
mod reader;
mod rules;
mod share;
mod sql;
mod substitute;
mod webhooks;
mod words;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use compact_str::CompactString;
use secrecy::SecretString;

pub use alerts::{AlertsConfig, MailTarget, Target as AlertTarget, key_of as alert_key};
pub use check::{Catalog, ConnectorFacts, Need, check};
pub use handoffs::{HandoffConfig, handoff_rules};
pub use hooks::{EVENTS as HOOK_EVENTS, HookConfig};
pub use read::OPTIONS;
pub use rules::{Specs, rules};
pub use share::share_problems;

use self::place::Places;
use crate::error::Problem;
use crate::handoff::Calendar;
use crate::manifest::Limit;
use crate::merge::{Brake, Create, FieldRule, MatchRules, OnDelete, Priority, Role};
use crate::model::{FieldName, Sweeps};

/// The name of the connector that reads dropped files instead of speaking to a tool.
pub const FILE_CONNECTOR: &str = "csv";
/// The name of the connector that reads and writes the tables of a database.
pub const SQL_CONNECTOR: &str = "sql";
/// The name of the connector whose records come by themselves.
pub const INBOUND_CONNECTOR: &str = "inbound";

/// Everything the admin can set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the ledger and other files of Nivel live.
    pub data_dir: PathBuf,
    /// Region for phone numbers without a country code, unless a system has its own: two letters (ISO 3166).
    pub region: Option<CompactString>,
    /// A folder whose connectors add to or replace the shipped ones.
    pub connectors_dir: Option<PathBuf>,
    /// The keys that seal OAuth tokens, newest first; the file `token.key` in the data folder when `None`.
    pub token_key: Option<SecretString>,
    /// The shared cache; in-process when `None`.
    pub cache: Option<CacheConfig>,
    /// The HTTP server.
    pub http: HttpConfig,
    /// What may come in as webhooks.
    pub webhooks: WebhookConfig,
    /// The log.
    pub log: LogConfig,
    /// The configured tools by name.
    pub systems: BTreeMap<CompactString, SystemConfig>,
    /// Fields with a rule of their own.
    pub fields: BTreeMap<FieldName, FieldRule>,
    /// The rule of all other fields (`"*"` under `fields:`); own, in the order of the roles, when `None`.
    pub default_rule: Option<FieldRule>,
    /// Fields that may flow only to systems of these roles.
    pub share: BTreeMap<FieldName, BTreeSet<Role>>,
    /// How long a deletion waits before other tools hear of it; a day when `None`.
    pub quarantine: Option<Duration>,
    /// How customers are told apart.
    pub identity: IdentityConfig,
    /// How customers pass from one team to the next.
    pub handoffs: BTreeMap<CompactString, HandoffConfig>,
    /// Who is served before others.
    pub priority: Option<Priority>,
    /// When people work.
    pub calendars: BTreeMap<CompactString, Calendar>,
    /// How long history is kept.
    pub retention: Retention,
    /// Who is told what without asking.
    pub alerts: AlertsConfig,
    /// Programs that are told what happens to customers and handoffs.
    pub hooks: BTreeMap<CompactString, HookConfig>,
    places: Places,
}

/// A cache shared by several processes.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// `redis://[:password@]host:port/db`.
    pub url: SecretString,
    /// How long an entry is kept without being asked for.
    pub ttl: Duration,
}

/// The HTTP server of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where it listens; loopback by default.
    pub listen: SocketAddr,
    /// The address under which the world reaches it, without a slash at its end. Webhooks are proven against it.
    pub public_url: Option<String>,
}

/// What may come in as webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// The largest body, in bytes.
    pub body_max: usize,
    /// Most deliveries of one system in a time.
    pub rate: (u32, Duration),
    /// Most deliveries that are taken in at once; more are told to come again.
    pub waiting_max: usize,
    /// After how many times its usual gap a webhook counts as silent.
    pub silence: u32,
}

/// What is done about the webhooks of one system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HookMode {
    /// Deliveries are refused; subscriptions of ours are removed.
    Off,
    /// Deliveries are taken; the admin orders them in the tool.
    #[default]
    Receive,
    /// Nivel keeps the subscriptions in the tool as the connector declares them.
    Subscribe,
}

/// How the daemon logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Lines for people or for machines.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,nivel::connector=debug`.
    pub level: String,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// One configured tool.
#[derive(Clone, Debug)]
pub struct SystemConfig {
    /// The connector that speaks to it.
    pub connector: CompactString,
    /// The part it plays.
    pub role: Role,
    /// Time between two pulls.
    pub every: Duration,
    /// Instead of that: a crontab with its time zone.
    pub cron: Option<CompactString>,
    /// What the connector asks for: account names, tokens. All of them are treated as secrets.
    pub config: BTreeMap<CompactString, SecretString>,
    /// The dropped files, when the connector is [`FILE_CONNECTOR`].
    pub files: Option<FileConfig>,
    /// The database, when the connector is [`SQL_CONNECTOR`].
    pub sql: Option<SqlConfig>,
    /// What is posted by itself, when the connector is [`INBOUND_CONNECTOR`].
    pub inbound: Option<InboundConfig>,
    /// Another address than the manifest's.
    pub base: Option<url::Url>,
    /// Region for phone numbers without a country code.
    pub region: Option<CompactString>,
    /// When objects may be made there.
    pub create: Create,
    /// Fields a customer must have for [`Create::Qualified`].
    pub qualified_by: Vec<FieldName>,
    /// False when Nivel must not write there at all.
    pub write: bool,
    /// How much may be written to one of its streams in one go before somebody must look at it.
    pub brake: Brake,
    /// How late the tool's own index may be, when it differs from the manifest's figure.
    pub lag: Option<Duration>,
    /// How far back each window reaches over the last one, when it differs from the manifest's figure.
    pub overlap: Option<Duration>,
    /// How often everything is read, when it differs from the manifest's figure.
    pub full: Option<Sweeps>,
    /// What becomes of its objects when their customer was deleted elsewhere.
    pub on_delete: OnDelete,
    /// True when that holds also for objects that Nivel did not make.
    pub own: bool,
    /// True when objects may be removed for good.
    pub allows_final_deletes: bool,
    /// True when objects may be erased at a person's wish.
    pub allows_erasing: bool,
    /// True when a person's opt-out may be written.
    pub allows_unsubscribing: bool,
    /// Exceptions for single streams. A stream that is not listed follows the system.
    pub streams: BTreeMap<CompactString, StreamConfig>,
    /// Rate limits that replace the manifest's. Empty: the manifest's count.
    pub limits: Vec<Limit>,
    /// The part of every limit that Nivel may use, from 1 to 100; the rest is left to the account's other users.
    pub use_percent: u8,
    /// The part of a day's quota that only handoffs may use, from 0 to 90.
    pub reserve_percent: u8,
    /// What is done about its webhooks.
    pub webhook: HookMode,
}

/// Exceptions for one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamConfig {
    /// False: for Nivel this stream does not exist.
    pub read: Option<bool>,
    /// When objects may be made.
    pub create: Option<Create>,
    /// Fields a customer must have for [`Create::Qualified`].
    pub qualified_by: Option<Vec<FieldName>>,
    /// Whether Nivel may write.
    pub write: Option<bool>,
    /// How often everything is read.
    pub full: Option<Sweeps>,
    /// What becomes of objects when their customer was deleted elsewhere.
    pub on_delete: Option<OnDelete>,
}

/// A folder into which somebody drops files with records.
#[derive(Clone, Debug)]
pub struct FileConfig {
    /// The watched folder; `None` when it is behind SFTP, or nothing is read.
    pub folder: Option<PathBuf>,
    /// The fields it maps.
    pub fields: BTreeSet<FieldName>,
    /// The fields that are written for the partner.
    pub exported: BTreeSet<FieldName>,
    /// All options of the file drop but its secrets, folders resolved, in the words its own type reads.
    pub options: serde_json::Value,
    /// Passwords and keys, by the option they belong to (`password`, `export.key`).
    pub secrets: BTreeMap<CompactString, SecretString>,
}

/// A database whose tables are read and written.
#[derive(Clone, Debug)]
pub struct SqlConfig {
    /// Where it is, with the password.
    pub url: SecretString,
    /// All other options, each name of the database with its place in the config, in the words its own type reads.
    pub options: serde_json::Value,
    /// What other parts of the config may name.
    pub facts: ConnectorFacts,
}

/// Records that come by themselves, signed.
#[derive(Clone, Debug)]
pub struct InboundConfig {
    /// The keys that prove a delivery, in base64; several while the sender changes from one to another.
    pub secrets: Vec<SecretString>,
    /// All other options, in the words its own type reads.
    pub options: serde_json::Value,
    /// What other parts of the config may name.
    pub facts: ConnectorFacts,
}

/// How customers are told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityConfig {
    /// Fields that hold an id the company itself gives to its customers.
    pub external_ids: Vec<FieldName>,
    /// How far the scored match may go; `None` joins by identifiers alone.
    pub matching: Option<MatchRules>,
    /// The most records that a customer may have.
    pub size_max: Option<usize>,
}

/// How long history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The audit trail.
    pub changes: Duration,
    /// Finished runs.
    pub runs: Duration,
    /// Events of webhooks after they were folded.
    pub inbox: Duration,
}

impl SystemConfig {
    /// What other parts of the config may name, of a connector that no manifest describes.
    #[must_use]
    pub fn facts(&self) -> Option<&ConnectorFacts> {
        let sql = self.sql.as_ref().map(|sql| &sql.facts);
        sql.or_else(|| self.inbound.as_ref().map(|inbound| &inbound.facts))
    }
}

impl Config {
    /// Reads `paths` in order and then the variables of `env` that begin with `NIVEL__`. Relative paths in a file count from
    /// the folder of that file.
    ///
    /// # Errors
    /// Every problem there is, in the order of the places they stand at.
    pub fn load(paths: &[PathBuf], env: &BTreeMap<String, String>) -> Result<Self, Vec<Problem>> {
        read::config(layers::merge(paths, env))
    }

    /// The ledger's file.
    #[must_use]
    pub fn ledger_path(&self) -> PathBuf {
        self.data_dir.join("nivel.db")
    }

    /// The region for phone numbers of a system.
    #[must_use]
    pub fn region_of(&self, system: &str) -> Option<&str> {
        let own = self.systems.get(system).and_then(|system| system.region.as_deref());
        own.or(self.region.as_deref())
    }
}

/// The variables of this process, for [`Config::load`]. Those that are not UTF-8 are left out.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// As [`words::nearest`], for other modules that meet a wrong name.
#[must_use]
pub fn did_you_mean<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    words::suggestion(wrong, candidates)
}

#[cfg(test)]
mod tests;
