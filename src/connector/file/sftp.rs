//! A folder behind SFTP. The server must show the key whose fingerprint stands in the config; nothing is sent to any other.
//!
//! Every call has a time limit, and a session that failed once is not used again. Files are fetched whole into a temporary
//! file without a name, so that what is read cannot change while it is read.

use std::future::Future;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use russh::client::{self, Handle};
use russh::keys::ssh_key::HashAlg;
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate, decode_secret_key};
use russh_sftp::client::SftpSession;
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::{FileAttributes, OpenFlags, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Handle as Runtime;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::config::SftpConfig;
use super::place::Stamp;
use super::store::{FILES_MAX, Source, Store, refused};
use crate::error::{Class, Code, Problem};
use crate::fault;

/// The longest wait for a connection, and for the answer to one request.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest time a whole file may take.
const PATIENCE_FILE: Duration = Duration::from_secs(1800);
/// The part of a mode that says what a file is, and what it says of a regular one.
const FILE_TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
/// How much is fetched at once.
const CHUNK_BYTES: usize = 256 << 10;

/// How Nivel proves who it is.
#[derive(Clone)]
pub(super) enum Proof {
    /// A password.
    Password(SecretString),
    /// A private key.
    Key(Arc<PrivateKey>),
}

impl Proof {
    /// What the secrets say.
    ///
    /// # Errors
    /// What is wrong with them, without any of their text.
    pub(super) fn new(
        password: Option<&SecretString>,
        key: Option<&SecretString>,
        passphrase: Option<&SecretString>,
    ) -> Result<Self, String> {
        match (password, key) {
            (Some(password), None) => Ok(Self::Password(password.clone())),
            (None, Some(key)) => {
                let phrase = passphrase.map(|phrase| phrase.expose_secret());
                match decode_secret_key(key.expose_secret(), phrase) {
                    Ok(key) => Ok(Self::Key(Arc::new(key))),
                    Err(error) => Err(format!("`key` is not a private key that can be opened: {error}")),
                }
            }
            _ => Err("one of `password` and `key` proves who Nivel is".to_owned()),
        }
    }
}

/// A folder behind SFTP.
pub(super) struct Sftp {
    config: SftpConfig,
    proof: Proof,
    session: Mutex<Option<Session>>,
    /// The file that was fetched last: it is read more than once.
    spool: Lock<Option<(String, Stamp, Spool)>>,
}

struct Session {
    sftp: Arc<SftpSession>,
    /// Holds the connection open.
    _ssh: Handle<Host>,
}

impl Sftp {
    pub(super) fn new(config: SftpConfig, proof: Proof) -> Self {
        Self {
            config,
            proof,
            session: Mutex::new(None),
            spool: Lock::new(None),
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.config.folder.trim_end_matches('/'))
    }

    /// Does something with a session, made if need be. After an error that is not an answer the session is given up.
    fn with<T, F>(&self, limit: Duration, act: impl FnOnce(Arc<SftpSession>) -> F) -> io::Result<T>
    where
        F: Future<Output = Result<T, SftpError>>,
    {
        let work = async {
            let mut kept = self.session.lock().await;
            if kept.is_none() {
                *kept = Some(Session::open(&self.config, &self.proof).await?);
            }
            let Some(session) = kept.as_ref() else {
                return Err(io::Error::other("the session is gone"));
            };
            let result = timeout(limit, act(Arc::clone(&session.sftp))).await;
            let result = result.unwrap_or(Err(SftpError::Timeout));
            if !matches!(result, Ok(_) | Err(SftpError::Status(_))) {
                *kept = None;
            }
            result.map_err(io_error)
        };
        Runtime::try_current().map_err(io::Error::other)?.block_on(work)
    }

    fn stamp_at(&self, path: String) -> io::Result<Option<Stamp>> {
        let found = self.with(PATIENCE, |sftp| async move { sftp.symlink_metadata(path).await });
        match found {
            Ok(attributes) => Ok(stamp_of(&attributes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn fetch(&self, name: &str, max: u64) -> io::Result<Spool> {
        let path = self.path(name);
        let mut file = tempfile::tempfile()?;
        let to = &mut file;
        let length = self.with(PATIENCE_FILE, |sftp| async move {
            let mut file = sftp.open(path).await?;
            let mut buffer = vec![0; CHUNK_BYTES];
            let mut length = 0_u64;
            loop {
                let read = file.read(&mut buffer).await?;
                length += read as u64;
                if read == 0 || length > max {
                    break;
                }
                to.write_all(buffer.get(..read).unwrap_or_default())?;
            }
            file.close().await?;
            Ok(length)
        })?;
        Ok(Spool {
            file: Arc::new(file),
            length: length.min(max),
            at: 0,
        })
    }
}

impl Store for Sftp {
    fn show(&self, name: &str) -> String {
        let SftpConfig { host, port, user, .. } = &self.config;
        format!(
            "sftp://{user}@{host}:{port}/{}",
            self.path(name).trim_start_matches('/')
        )
    }

    fn list(&self) -> io::Result<Vec<(String, Stamp)>> {
        let folder = self.config.folder.clone();
        let entries = self.with(PATIENCE, |sftp| async move { sftp.read_dir(folder).await })?;
        let file = |entry: russh_sftp::client::fs::DirEntry| Some((entry.file_name(), stamp_of(&entry.metadata())?));
        // A name that leads elsewhere is nothing a well-meaning server sends.
        let is_plain = |(name, _): &(String, Stamp)| !name.contains(['/', '\0']);
        Ok(entries.take(FILES_MAX).filter_map(file).filter(is_plain).collect())
    }

    fn stamp(&self, name: &str) -> io::Result<Option<Stamp>> {
        self.stamp_at(self.path(name))
    }

    fn open(&self, name: &str, stamp: &Stamp) -> io::Result<Box<dyn Source>> {
        let mut kept = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, when, spool)) = kept.as_ref()
            && of == name
            && when == stamp
        {
            return Ok(Box::new(spool.clone()));
        }
        *kept = None;
        let spool = self.fetch(name, stamp.size)?;
        if spool.length != stamp.size || self.stamp(name)?.as_ref() != Some(stamp) {
            return Err(io::Error::other("it changed while it was fetched"));
        }
        *kept = Some((name.to_owned(), stamp.clone(), spool.clone()));
        Ok(Box::new(spool))
    }

    fn put(&self, name: &str, from: &mut (dyn Read + Send)) -> io::Result<()> {
        let (path, part) = (self.path(name), self.path(&format!("{name}.part")));
        let act = || {
            self.with(PATIENCE_FILE, |sftp| async move {
                let flags = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::WRITE;
                let mut file = sftp.open_with_flags(part.clone(), flags).await?;
                copy(from, &mut file).await?;
                file.flush().await?;
                file.sync_all().await?;
                file.close().await?;
                // SFTP renames onto nothing only; the old file goes first, and for a moment there is none.
                match sftp.rename(part.clone(), path.clone()).await {
                    Err(SftpError::Status(_)) => {
                        sftp.remove_file(path.clone()).await?;
                        sftp.rename(part, path).await
                    }
                    renamed => renamed,
                }
            })
        };
        fault::effect_blocking("file", act).map_err(io::Error::other)?
    }

    fn get(&self, name: &str, max: u64) -> io::Result<Option<Vec<u8>>> {
        let mut spool = match self.fetch(name, max) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            spool => spool?,
        };
        let mut bytes = Vec::new();
        spool.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        // Most files have nothing rejected: one look is cheaper than an error.
        if self.stamp(name)?.is_none() {
            return Ok(());
        }
        let path = self.path(name);
        let act = || self.with(PATIENCE, |sftp| async move { sftp.remove_file(path).await });
        fault::effect_blocking("file", act).map_err(io::Error::other)?
    }

    fn shelve(&self, name: &str, stamp: &Stamp, folder: &str, to: &str) -> io::Result<bool> {
        let from = self.path(name);
        if self.stamp_at(from.clone())?.as_ref() != Some(stamp) {
            return Ok(false);
        }
        let folder = if folder.starts_with('/') {
            folder.to_owned()
        } else {
            self.path(folder)
        };
        let to = format!("{}/{to}", folder.trim_end_matches('/'));
        let act = || {
            let (old, new) = (from.clone(), to.clone());
            self.with(PATIENCE, |sftp| async move {
                if !sftp.try_exists(folder.clone()).await? {
                    sftp.create_dir(folder).await?;
                }
                if sftp.try_exists(new.clone()).await? {
                    // Its name holds its digest: it is the same content.
                    sftp.remove_file(new.clone()).await?;
                }
                sftp.rename(old, new).await
            })?;
            if self.stamp_at(to.clone())?.as_ref() == Some(stamp) {
                return Ok(true);
            }
            // Whoever replaced the file in this very moment must not lose it.
            let again = self.path(&format!("again-{name}"));
            self.with(PATIENCE, |sftp| async move {
                match sftp.rename(to.clone(), from).await {
                    Err(SftpError::Status(_)) => sftp.rename(to, again).await,
                    renamed => renamed,
                }
            })?;
            Ok(false)
        };
        fault::effect_blocking("file", act).map_err(io::Error::other)?
    }
}

async fn copy(from: &mut (dyn Read + Send), to: &mut russh_sftp::client::fs::File) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
    }
}

impl Session {
    async fn open(config: &SftpConfig, proof: &Proof) -> io::Result<Self> {
        let opened = timeout(PATIENCE, Self::connect(config, proof)).await;
        opened.map_err(|_elapsed| unreachable(config, "it does not answer in time"))?
    }

    async fn connect(config: &SftpConfig, proof: &Proof) -> io::Result<Self> {
        let seen = Arc::new(Lock::new(None));
        let host = Host {
            wanted: config.host_key.clone(),
            seen: Arc::clone(&seen),
        };
        let settings = client::Config {
            inactivity_timeout: Some(Duration::from_secs(600)),
            keepalive_interval: Some(Duration::from_secs(15)),
            ..client::Config::default()
        };
        let connected = client::connect(Arc::new(settings), (config.host.as_str(), config.port), host).await;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(other) = seen.filter(|seen| *seen != config.host_key) {
            let message = format!("the server's key is {other}, and `host_key` wants {}", config.host_key);
            let problem = Problem::new(Code::HostKey, message).about(&config.host);
            return Err(refused(Class::Forbidden, problem));
        }
        let mut ssh = connected.map_err(|error| unreachable(config, &error.to_string()))?;
        let trouble = |error: russh::Error| unreachable(config, &error.to_string());
        let answer = match proof {
            Proof::Password(password) => ssh
                .authenticate_password(config.user.as_str(), password.expose_secret())
                .await
                .map_err(trouble)?,
            Proof::Key(key) => {
                let hash = ssh.best_supported_rsa_hash().await.map_err(trouble)?.flatten();
                let hash = hash.or(Some(HashAlg::Sha256));
                let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
                ssh.authenticate_publickey(config.user.as_str(), key)
                    .await
                    .map_err(trouble)?
            }
        };
        if !answer.success() {
            let message = format!("the server does not let `{}` in with this secret", config.user);
            let problem = Problem::new(Code::CredentialRefused, message).about(&config.host);
            return Err(refused(Class::Auth, problem));
        }
        let channel = ssh.channel_open_session().await.map_err(trouble)?;
        channel.request_subsystem(true, "sftp").await.map_err(trouble)?;
        let sftp = SftpSession::new(channel.into_stream()).await.map_err(io_error)?;
        sftp.set_timeout(PATIENCE.as_secs());
        Ok(Self {
            sftp: Arc::new(sftp),
            _ssh: ssh,
        })
    }
}

fn unreachable(config: &SftpConfig, why: &str) -> io::Error {
    let problem = Problem::new(Code::Unreachable, format!("the SFTP server cannot be used: {why}"));
    refused(
        Class::Transient,
        problem.about(format!("{}:{}", config.host, config.port)),
    )
}

/// Lets through only the server whose key has the wanted fingerprint.
struct Host {
    wanted: String,
    seen: Arc<Lock<Option<String>>>,
}

impl client::Handler for Host {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let fingerprint = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => key.fingerprint(HashAlg::Sha256).to_string(),
            PublicKeyOrCertificate::Certificate(_) => "that of a certificate".to_owned(),
        };
        let is_wanted = fingerprint == self.wanted;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(fingerprint);
        Ok(is_wanted)
    }
}

fn io_error(error: SftpError) -> io::Error {
    let kind = match &error {
        SftpError::Status(status) if status.status_code == StatusCode::NoSuchFile => ErrorKind::NotFound,
        SftpError::Status(status) if status.status_code == StatusCode::PermissionDenied => ErrorKind::PermissionDenied,
        SftpError::Timeout => ErrorKind::TimedOut,
        _ => ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

fn stamp_of(attributes: &FileAttributes) -> Option<Stamp> {
    // The crate's own `is_regular` is true of links, too: it looks at single bits of what is a number.
    let is_file = attributes.permissions.is_some_and(|mode| mode & FILE_TYPE == REGULAR);
    is_file.then(|| Stamp {
        size: attributes.size.unwrap_or_default(),
        mtime: i64::from(attributes.mtime.unwrap_or_default()) * 1000,
    })
}

/// A fetched file; each reader has a place of its own in it.
#[derive(Clone)]
struct Spool {
    file: Arc<std::fs::File>,
    length: u64,
    at: u64,
}

impl Read for Spool {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Spool {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}
