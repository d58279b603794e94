//! Access tokens by OAuth 2: got, kept sealed, renewed by one at a time.
//!
//! The order is what keeps a grant alive. A renewal happens under a lease that all processes see; its result is on disk
//! before the new access token is handed out; it is stored only on top of the version it started from; and a renewal that
//! fails leaves the grant as it was. What cannot be helped: when the process dies between the tool's answer and the disk,
//! a tool that takes back the old refresh token at once must be signed in to again.

mod ask;
mod sign_in;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

pub use ask::Grant;
use ask::Proof;
pub use sign_in::SignIn;

use super::auth::exposed;
use super::http::{Bounds, Http};
use super::seal::KeyRing;
use super::settings::ConnectionSettings;
use super::timer::Timer;
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Context, GrantKind, Manifest, OAuth2};
use crate::model::{Clock, Late, SealedToken, TokenStore, UnixMillis};

/// A token is renewed this long before it runs out, or at nine tenths of its life if that is later.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
/// How long one process may take to renew a grant.
const LEASE: Duration = Duration::from_secs(60);
/// How often the others look whether it is done.
const LOOK: Duration = Duration::from_millis(250);
/// How often they look at most: as long as a lease holds, and a little more.
const LOOKS_MAX: u32 = 300;

/// What is handed out for one request.
#[derive(Clone, Debug)]
pub struct Access {
    /// The word before the token.
    pub scheme: CompactString,
    /// The token.
    pub token: SecretString,
    /// Which renewal it came from; to be given back when it is refused.
    pub version: u64,
    /// At which host the API is, where the tool says so.
    pub host: Option<Url>,
}

/// The grant as this process knows it.
struct Held {
    grant: Grant,
    /// The version in the store, or a count of renewals where nothing is stored.
    version: u64,
}

/// One system's way to access tokens.
pub struct OAuth {
    spec: OAuth2,
    names: Context,
    system: CompactString,
    http: Http,
    store: Late<dyn TokenStore>,
    keys: Late<KeyRing>,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
    /// What this process is called among those who renew.
    holder: String,
    /// Held while a token is renewed: whoever needs one meanwhile waits for it.
    held: tokio::sync::Mutex<Option<Held>>,
    /// A grant that the tool gave and the disk did not take: it is stored before anything else is done.
    unsaved: tokio::sync::Mutex<Option<(Grant, u64)>>,
}

impl OAuth {
    /// The way of a system whose manifest and config say how; `None` when it signs in otherwise.
    ///
    /// # Errors
    /// What is wrong with the config.
    pub fn of(manifest: &Manifest, settings: &ConnectionSettings) -> Result<Option<Self>, Vec<Problem>> {
        let Some(spec) = manifest.oauth2.clone() else {
            return Ok(None);
        };
        let config = manifest.settings(&exposed(&settings.config))?;
        let names = Context::new().with("config", &config);
        let is_meant = spec.client_id.render_text(&names).is_ok_and(|id| !id.is_empty());
        if manifest.auth.is_some() && !is_meant {
            return Ok(None);
        }
        let about = |problem: Problem| vec![problem.about(&settings.system)];
        let url = ask::text(&spec.token, &names).map_err(|failure| about(failure.problem))?;
        let url = Url::parse(&url)
            .map_err(|_error| about(Problem::new(Code::ConfigInvalid, "the address for tokens is none")))?;
        let http = Http::new(&url, Bounds::default(), Arc::clone(&settings.clock)).map_err(about)?;
        Ok(Some(Self {
            spec,
            names,
            system: settings.system.clone(),
            http,
            store: Arc::clone(&settings.tokens),
            keys: Arc::clone(&settings.token_keys),
            clock: Arc::clone(&settings.clock),
            timer: Arc::clone(&settings.timer),
            holder: format!("{:016x}", rand::random::<u64>()),
            held: tokio::sync::Mutex::new(None),
            unsaved: tokio::sync::Mutex::new(None),
        }))
    }

    /// A token that is good now.
    ///
    /// # Errors
    /// `Auth` when somebody has to sign in, or the failure of the tool that gives tokens.
    pub async fn access(&self) -> Result<Access, Failure> {
        let mut held = self.held.lock().await;
        self.fresh(&mut held, None).await
    }

    /// The tool refused the token of that renewal: gets a newer one. Those who were refused with the same token wait, and
    /// share what the first of them gets.
    ///
    /// # Errors
    /// As [`OAuth::access`].
    pub async fn refused(&self, version: u64) -> Result<Access, Failure> {
        let mut held = self.held.lock().await;
        self.fresh(&mut held, Some(version)).await
    }

    /// True when a person has to agree before the first request.
    #[must_use]
    pub fn needs_consent(&self) -> bool {
        self.spec.grant == GrantKind::Code
    }

    async fn fresh(&self, held: &mut Option<Held>, refused: Option<u64>) -> Result<Access, Failure> {
        let now = self.clock.now();
        if let Some(held) = held.as_ref().filter(|held| is_good(held, refused, now)) {
            return Ok(self.access_of(held));
        }
        let next = match self.spec.grant {
            GrantKind::Code => self.renew_stored(refused).await?,
            GrantKind::ClientCredentials => self.renew(Proof::Client, None, held.as_ref()).await?,
            GrantKind::JwtBearer => {
                let spec = self.spec.assertion.as_ref().ok_or_else(no_assertion)?;
                let assertion = ask::assertion(spec, &self.names, now)?;
                self.renew(Proof::Assertion(&assertion), None, held.as_ref()).await?
            }
        };
        let access = self.access_of(&next);
        *held = Some(next);
        Ok(access)
    }

    fn access_of(&self, held: &Held) -> Access {
        Access {
            scheme: self.spec.scheme.clone(),
            token: SecretString::from(held.grant.access.clone()),
            version: held.version,
            host: held.grant.host.as_deref().and_then(|host| Url::parse(host).ok()),
        }
    }

    /// Asks for a token that is kept in memory only.
    async fn renew(&self, proof: Proof<'_>, before: Option<&Grant>, held: Option<&Held>) -> Result<Held, Failure> {
        let grant = self.exchange(proof, before).await?;
        let version = held.map_or(1, |held| held.version + 1);
        Ok(Held { grant, version })
    }

    async fn exchange(&self, proof: Proof<'_>, before: Option<&Grant>) -> Result<Grant, Failure> {
        let ask = ask::request(&self.spec, &self.names, proof)?;
        let now = self.clock.now();
        let answer = self.http.send(&ask).await?;
        ask::grant(&self.spec, &ask, &answer, before, now)
    }

    /// The grant in the store, renewed when it has to be. Only one process at a time asks the tool.
    async fn renew_stored(&self, refused: Option<u64>) -> Result<Held, Failure> {
        for _ in 0..LOOKS_MAX {
            self.save().await?;
            let held = self.stored().await?;
            let now = self.clock.now();
            // Somebody else may have renewed it since.
            if is_good(&held, refused, now) {
                return Ok(held);
            }
            let store = self.store()?;
            let until = now.plus(LEASE);
            if !store
                .lease_token(&self.system, &self.holder, now, until)
                .await
                .map_err(stored)?
            {
                self.timer.wait(LOOK).await;
                continue;
            }
            let result = self.renew_leased(refused).await;
            if result.is_err() {
                // The grant stays as it is. Should this fail, too, the lease runs out by itself.
                if let Err(problem) = store.release_token(&self.system, &self.holder).await {
                    tracing::warn!(system = %self.system, code = %problem.code, %problem, "a lease on a token was not given back");
                }
            }
            return result;
        }
        let problem =
            Problem::new(Code::ToolError, "another process takes too long to renew the token").about(&self.system);
        Err(Failure::new(Class::Transient, problem))
    }

    async fn renew_leased(&self, refused: Option<u64>) -> Result<Held, Failure> {
        // Read again under the lease: what was seen before may have been used up by the one who had it.
        let held = self.stored().await?;
        if is_good(&held, refused, self.clock.now()) {
            let store = self.store()?;
            store.release_token(&self.system, &self.holder).await.map_err(stored)?;
            return Ok(held);
        }
        let Some(refresh) = held.grant.refresh.clone() else {
            return Err(self.not_signed_in("the grant has run out, and the tool gave nothing to renew it with"));
        };
        let grant = match self.exchange(Proof::Refresh(&refresh), Some(&held.grant)).await {
            Ok(grant) => grant,
            Err(mut failure) => {
                failure.problem = failure.problem.about(&self.system);
                return Err(failure);
            }
        };
        // On disk before it is used: a tool that rotates has taken back the old refresh token already.
        *self.unsaved.lock().await = Some((grant, held.version));
        self.save().await?;
        self.stored().await
    }

    /// Stores what could not be stored before. The tool has taken back the old refresh token: this one must not be lost.
    async fn save(&self) -> Result<(), Failure> {
        let mut unsaved = self.unsaved.lock().await;
        if let Some((grant, version)) = unsaved.as_ref() {
            // When somebody else was faster (a person signed in again), theirs counts.
            let is_stored = self.put(grant, *version).await?;
            if !is_stored {
                tracing::warn!(system = %self.system, "a token was changed by somebody else while it was renewed");
            }
            *unsaved = None;
        }
        Ok(())
    }

    async fn stored(&self) -> Result<Held, Failure> {
        let row = self.store()?.token(&self.system).await.map_err(stored)?;
        let Some(row) = row else {
            return Err(self.not_signed_in("nobody has signed in to this tool yet"));
        };
        let grant = open(self.keys()?, &row).map_err(|problem| Failure::new(Class::Auth, problem))?;
        Ok(Held {
            grant,
            version: row.version,
        })
    }

    /// Stores a grant on top of the version that was seen; false when there is another one by now.
    async fn put(&self, grant: &Grant, version: u64) -> Result<bool, Failure> {
        let token = seal(self.keys()?, &self.system, grant, version).map_err(stored)?;
        self.store()?.put_token(&token).await.map_err(stored)
    }

    fn store(&self) -> Result<&dyn TokenStore, Failure> {
        let without = || self.not_signed_in("tokens are in the ledger, and this command works without it");
        self.store.get().map(|store| &**store).ok_or_else(without)
    }

    fn keys(&self) -> Result<&KeyRing, Failure> {
        let without = || Failure::new(Class::Auth, no_key().about(&self.system));
        self.keys.get().map(|keys| &**keys).ok_or_else(without)
    }

    fn not_signed_in(&self, message: &str) -> Failure {
        let hint = format!("`nivel auth {}` opens the tool's page for it", self.system);
        Failure::new(
            Class::Auth,
            Problem::new(Code::NotSignedIn, message).about(&self.system).hint(hint),
        )
    }

    /// Begins a sign-in by a person.
    ///
    /// # Errors
    /// When the manifest does not say how.
    pub fn sign_in(&self, redirect: &str) -> Result<SignIn, Failure> {
        SignIn::new(&self.spec, &self.names, redirect)
    }

    /// Ends a sign-in: changes the code for a grant and stores it, over an older one if there is one.
    ///
    /// # Errors
    /// When the tool does not accept the code, or the grant cannot be stored.
    pub async fn accept(&self, sign_in: &SignIn, code: &SecretString) -> Result<Grant, Failure> {
        let mut held = self.held.lock().await;
        // The key is looked for before the code is used up.
        self.keys()?;
        let before = self.store()?.token(&self.system).await.map_err(stored)?;
        let proof = Proof::Code {
            code: code.expose_secret(),
            redirect: &sign_in.redirect,
            verifier: sign_in.verifier(),
        };
        let grant = self.exchange(proof, None).await?;
        *held = None;
        if self.put(&grant, before.map_or(0, |before| before.version)).await? {
            return Ok(grant);
        }
        let problem = Problem::new(Code::NotSignedIn, "the stored token changed meanwhile").about(&self.system);
        Err(Failure::new(
            Class::Transient,
            problem.hint("begin anew with `nivel auth`"),
        ))
    }
}

fn is_good(held: &Held, refused: Option<u64>, now: UnixMillis) -> bool {
    if refused.is_some_and(|refused| held.version <= refused) {
        return false;
    }
    match held.grant.expires_at {
        None => true,
        Some(end) => {
            let life = end.since(held.grant.obtained_at);
            now < end.minus(RENEW_BEFORE.min(life / 10))
        }
    }
}

fn no_assertion() -> Failure {
    Failure::new(
        Class::Auth,
        Problem::new(Code::ManifestSense, "`grant: jwt_bearer` needs `assertion`"),
    )
}

fn stored(problem: Problem) -> Failure {
    Failure::new(Class::Transient, problem)
}

/// What is said where tokens are there and their key is not.
#[must_use]
pub fn no_key() -> Problem {
    Problem::new(Code::TokenKey, "there is no key to open stored tokens with")
        .hint("`token_key` in the config, or the file `token.key` in the data folder")
}

/// Opens a stored grant.
///
/// # Errors
/// `TokenSealed` when it does not open with these keys.
pub fn open(keys: &KeyRing, row: &SealedToken) -> Result<Grant, Problem> {
    let text = keys.open(&row.system, &row.sealed)?;
    serde_json::from_str(text.expose_secret())
        .map_err(|_error| Problem::new(Code::TokenSealed, "the stored token is damaged").about(&row.system))
}

/// Seals a grant on top of the version that was seen (0: there was none).
///
/// # Errors
/// Never with a sound machine.
pub fn seal(keys: &KeyRing, system: &str, grant: &Grant, version: u64) -> Result<SealedToken, Problem> {
    let text =
        serde_json::to_string(grant).map_err(|_error| Problem::new(Code::Bug, "a token could not be written"))?;
    Ok(SealedToken {
        system: system.into(),
        key_id: keys.current(),
        sealed: keys.seal(system, &text)?,
        version,
        updated_at: grant.obtained_at,
    })
}
