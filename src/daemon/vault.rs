//! Tokens of the tools: their key, their state, and what an admin does with them.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compact_str::CompactString;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::build::{Backing, settings_of, sqlite, sqlite_to_read};
use crate::config::Config;
use crate::connector::oauth::{self, OAuth};
use crate::connector::seal::{KeyRing, new_key};
use crate::error::{Code, Failure, Problem};
use crate::fault;
use crate::ledger::Sqlite;
use crate::model::{Clock, SealedToken, TokenStore, UnixMillis};

/// The key's file when the config names none.
const KEY_FILE: &str = "token.key";

/// One grant, without anything secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantLine {
    /// The system.
    pub system: CompactString,
    /// The key it is sealed with.
    pub key_id: CompactString,
    /// When it was last renewed.
    pub updated_at: UnixMillis,
    /// When its access token runs out, as far as the tool says.
    pub expires_at: Option<UnixMillis>,
    /// It can be renewed without a person.
    pub renews: bool,
    /// Why it cannot be opened.
    pub problem: Option<Problem>,
}

/// The grants in the ledger and the key to them.
pub struct Vault {
    ledger: Arc<Sqlite>,
    config: Config,
    clock: Arc<dyn Clock>,
}

fn key_file(config: &Config) -> PathBuf {
    config.data_dir.join(KEY_FILE)
}

fn unusable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(
        Code::TokenKey,
        format!("the file with the key for tokens cannot be used: {error}"),
    )
    .about(path.display())
}

/// The text of the keys: of the config, or of the file in the data folder; `None` when there is neither.
fn key_text(config: &Config) -> Result<Option<SecretString>, Problem> {
    if let Some(text) = &config.token_key {
        return Ok(Some(text.clone()));
    }
    let path = key_file(config);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(SecretString::from(text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(&path, &error)),
    }
}

/// Writes the keys beside the old file and puts them in its place, on disk before this returns.
fn write_keys(path: &Path, text: &str) -> Result<(), Problem> {
    let new = path.with_extension("key.new");
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        match path.parent() {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    match fault::effect_blocking("file", write) {
        Ok(done) => done.map_err(|error| unusable(path, &error)),
        Err(prevented) => Err(Problem::new(Code::TokenKey, prevented.to_string()).about(path.display())),
    }
}

/// The keys, proved on every stored grant of a configured system; `None` when there is nothing to open.
///
/// # Errors
/// When a grant is there and does not open: all of them at once.
pub(super) async fn keys(config: &Config, store: &dyn TokenStore) -> Result<Option<KeyRing>, Vec<Problem>> {
    let alone = |problem: Problem| vec![problem];
    let rows = store.tokens().await.map_err(alone)?;
    let rows: Vec<SealedToken> = rows
        .into_iter()
        .filter(|row| config.systems.contains_key(&row.system))
        .collect();
    let Some(text) = key_text(config).map_err(alone)? else {
        return match rows.first() {
            None => Ok(None),
            Some(row) => Err(alone(oauth::no_key().about(&row.system))),
        };
    };
    let keys = KeyRing::parse(&text).map_err(alone)?;
    let problems: Vec<Problem> = rows
        .iter()
        .filter_map(|row| keys.open(&row.system, &row.sealed).err())
        .collect();
    if problems.is_empty() {
        Ok(Some(keys))
    } else {
        Err(problems)
    }
}

/// The keys there are or, when nothing is sealed yet and the config names none, a new one.
///
/// # Errors
/// When something is sealed and its key is missing.
pub(super) async fn keys_or_new(config: &Config, store: &dyn TokenStore) -> Result<KeyRing, Problem> {
    if let Some(text) = key_text(config)? {
        return KeyRing::parse(&text);
    }
    // Never a new key over old data: it would hide that the old one is lost.
    if let Some(row) = store.tokens().await?.first() {
        return Err(oauth::no_key().about(&row.system));
    }
    let key = new_key()?;
    write_keys(&key_file(config), &format!("{}\n", key.expose_secret()))?;
    KeyRing::parse(&key)
}

impl Vault {
    /// Opens the ledger to change its grants; nobody else may have it open.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, Problem> {
        Ok(Self {
            ledger: sqlite(config, clock)?,
            config: config.clone(),
            clock: Arc::clone(clock),
        })
    }

    /// Opens the ledger to look at its grants, also beside a running daemon.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open_to_read(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, Problem> {
        Ok(Self {
            ledger: sqlite_to_read(config)?,
            config: config.clone(),
            clock: Arc::clone(clock),
        })
    }

    /// Every grant, and whether it opens.
    ///
    /// # Errors
    /// When the ledger or the key cannot be read.
    pub async fn list(&self) -> Result<Vec<GrantLine>, Problem> {
        let keys = match key_text(&self.config)? {
            Some(text) => Some(KeyRing::parse(&text)?),
            None => None,
        };
        let rows = self.ledger.tokens().await?;
        let line = |row: SealedToken| {
            let opened = match &keys {
                Some(keys) => keys.open(&row.system, &row.sealed),
                None => Err(oauth::no_key().about(&row.system)),
            };
            // What a program keeps of its settings opens and is no grant.
            let (grant, problem) = match opened {
                Ok(_) => (keys.as_ref().and_then(|keys| oauth::open(keys, &row).ok()), None),
                Err(problem) => (None, Some(problem)),
            };
            GrantLine {
                system: row.system,
                key_id: row.key_id,
                updated_at: row.updated_at,
                expires_at: grant.as_ref().and_then(|grant| grant.expires_at),
                renews: grant.is_some_and(|grant| grant.refresh.is_some()),
                problem,
            }
        };
        Ok(rows.into_iter().map(line).collect())
    }

    /// The way of a system to a grant, with a key to seal it: the one there is or, when nothing is sealed yet and the config
    /// names none, a new one.
    ///
    /// # Errors
    /// When the system signs in otherwise, or the key is missing.
    pub async fn oauth(&self, system: &str) -> Result<OAuth, Vec<Problem>> {
        let alone = |problem: Problem| vec![problem];
        let backing = Backing::new(&self.clock);
        let store: Arc<dyn TokenStore> = Arc::<Sqlite>::clone(&self.ledger);
        backing.tokens.get_or_init(|| store);
        let keys = keys_or_new(&self.config, &*self.ledger).await.map_err(alone)?;
        backing.token_keys.get_or_init(|| Arc::new(keys));
        let (manifest, settings) = settings_of(&self.config, system, &backing)?;
        match OAuth::of(&manifest, &settings)? {
            Some(oauth) if oauth.needs_consent() => Ok(oauth),
            _ => {
                let message = "nobody has to sign in to this system: it uses what stands in the config";
                Err(alone(Problem::new(Code::NotFound, message).about(system)))
            }
        }
    }

    /// Seals every grant with the newest key: the first of `token_key`, or a new one in the file. How many were changed, and
    /// the id of the key.
    ///
    /// # Errors
    /// When a grant does not open; then nothing was changed but, perhaps, a key added to the file.
    pub async fn rotate_key(&self) -> Result<(usize, CompactString), Problem> {
        let old = key_text(&self.config)?.ok_or_else(oauth::no_key)?;
        let path = key_file(&self.config);
        let is_file = self.config.token_key.is_none();
        let mut text = old.clone();
        let mut newest = None;
        let opens = KeyRing::parse(&old)?;
        let rows = self.ledger.tokens().await?;
        for row in &rows {
            opens.open(&row.system, &row.sealed)?;
        }
        if is_file {
            let key = new_key()?;
            // Both keys are there while some grants are sealed with one and some with the other.
            text = SecretString::from(format!("{}\n{}\n", key.expose_secret(), old.expose_secret().trim()));
            write_keys(&path, text.expose_secret())?;
            newest = Some(key);
        }
        let keys = KeyRing::parse(&text)?;
        let mut changed = 0;
        for row in rows.iter().filter(|row| row.key_id != keys.current()) {
            let text = keys.open(&row.system, &row.sealed)?;
            let sealed = SealedToken {
                key_id: keys.current(),
                sealed: keys.seal(&row.system, text.expose_secret())?,
                ..row.clone()
            };
            if self.ledger.put_token(&sealed).await? {
                changed += 1;
            }
        }
        if let Some(key) = newest {
            write_keys(&path, &format!("{}\n", key.expose_secret()))?;
        }
        Ok((changed, keys.current()))
    }

    /// Removes a grant for good; false when there was none.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn forget(&self, system: &str) -> Result<bool, Problem> {
        self.ledger.remove_token(system).await
    }

    /// Ends a sign-in.
    ///
    /// # Errors
    /// As [`OAuth::accept`].
    pub async fn accept(
        &self,
        oauth: &OAuth,
        sign_in: &oauth::SignIn,
        code: &SecretString,
    ) -> Result<GrantLine, Failure> {
        let grant = oauth.accept(sign_in, code).await?;
        let current = key_text(&self.config)
            .ok()
            .flatten()
            .and_then(|text| KeyRing::parse(&text).ok())
            .map(|keys| keys.current());
        Ok(GrantLine {
            system: CompactString::default(),
            key_id: current.unwrap_or_default(),
            updated_at: grant.obtained_at,
            expires_at: grant.expires_at,
            renews: grant.refresh.is_some(),
            problem: None,
        })
    }
}
