//! The only place of the connector that looks into secrets: it puts credentials into requests and keeps them out of words.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use compact_str::CompactString;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value as Json, json};
use sha2::Sha256;

use super::oauth::OAuth;
use super::settings::ConfigValue;
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Auth, BadExpression, Context, Jwt, SecretEncoding, Template};
use crate::model::{Clock, UnixMillis};

/// A token is made anew this long before it runs out.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
/// Shorter values are not looked for in texts: they would blot out ordinary words.
const VEILED_CHARS_MIN: usize = 4;

/// The plain values of a config; only ever handed to expressions.
#[must_use]
pub(super) fn exposed(config: &BTreeMap<CompactString, ConfigValue>) -> BTreeMap<CompactString, Json> {
    let plain = |value: &ConfigValue| match value {
        ConfigValue::Plain(value) => value.clone(),
        ConfigValue::Secret(secret) => Json::from(secret.expose_secret()),
    };
    config
        .iter()
        .map(|(name, value)| (name.clone(), plain(value)))
        .collect()
}

/// Blots secrets out of texts that others wrote: a tool may send back what we sent.
#[derive(Clone, Debug, Default)]
pub struct Veil(Vec<SecretString>);

impl Veil {
    /// Hides every secret of a config.
    #[must_use]
    pub fn new(config: &BTreeMap<CompactString, ConfigValue>) -> Self {
        let secrets = config.values().filter_map(|value| match value {
            ConfigValue::Secret(secret) => Some(secret.clone()),
            ConfigValue::Plain(_) => None,
        });
        Self(
            secrets
                .filter(|secret| secret.expose_secret().trim().len() >= VEILED_CHARS_MIN)
                .collect(),
        )
    }

    /// The text without any secret in it.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        let hide = |text: String, secret: &SecretString| text.replace(secret.expose_secret().trim(), "[secret]");
        self.0.iter().fold(text.to_owned(), hide)
    }

    /// The failure without any secret in it.
    #[must_use]
    pub fn over(&self, mut failure: Failure) -> Failure {
        failure.problem.message = self.hide(&failure.problem.message);
        failure.problem.hint = self.hide(&failure.problem.hint);
        failure
    }
}

/// How one system lets us in.
pub struct Credential {
    auth: Option<Auth>,
    /// Instead of `auth`.
    oauth: Option<OAuth>,
    names: Context,
    clock: Arc<dyn Clock>,
    token: Mutex<Option<Token>>,
}

/// The credential of one request.
#[derive(Clone, Debug, Default)]
pub struct Used {
    /// Which renewal it came from, for [`Credential::renew`].
    pub version: u64,
    /// At which host the API is, where the tool says so with its tokens.
    pub host: Option<Url>,
}

struct Token {
    text: SecretString,
    renew_at: UnixMillis,
}

impl Credential {
    /// A credential; `names` has `config`.
    #[must_use]
    pub fn new(auth: Option<Auth>, oauth: Option<OAuth>, names: Context, clock: Arc<dyn Clock>) -> Self {
        Self {
            auth,
            oauth,
            names,
            clock,
            token: Mutex::new(None),
        }
    }

    /// Puts the credential into a request's headers; says which one it was, for [`Credential::renew`].
    ///
    /// # Errors
    /// An `Auth` failure when it cannot be made from the config, or the failure of the tool that gives tokens.
    pub async fn apply(&self, headers: &mut HeaderMap) -> Result<Used, Failure> {
        let Some(oauth) = &self.oauth else {
            return self.apply_own(headers).map(|()| Used::default());
        };
        let access = oauth.access().await?;
        let value = format!("{} {}", access.scheme, access.token.expose_secret());
        put(headers, AUTHORIZATION, &value)?;
        Ok(Used {
            version: access.version,
            host: access.host,
        })
    }

    fn apply_own(&self, headers: &mut HeaderMap) -> Result<(), Failure> {
        let Some(auth) = &self.auth else {
            return Ok(());
        };
        match auth {
            Auth::Bearer(token) => put(headers, AUTHORIZATION, &format!("Bearer {}", self.text(token)?)),
            Auth::Basic(basic) => {
                let pair = format!("{}:{}", self.text(&basic.user)?, self.text(&basic.password)?);
                put(headers, AUTHORIZATION, &format!("Basic {}", STANDARD.encode(pair)))
            }
            Auth::Header(wanted) => wanted.iter().try_for_each(|(name, value)| {
                let name =
                    HeaderName::try_from(name.as_str()).map_err(|_error| refused("a header has no valid name"))?;
                put(headers, name, &self.text(value)?)
            }),
            Auth::Jwt(jwt) => {
                let token = self.token(jwt)?;
                put(
                    headers,
                    AUTHORIZATION,
                    &format!("{} {}", jwt.scheme, token.expose_secret()),
                )
            }
        }
    }

    /// Forgets a token that was refused, so that the next request makes a new one.
    ///
    /// # Errors
    /// The failure of the tool that gives tokens.
    pub async fn renew(&self, used: u64) -> Result<(), Failure> {
        if let Some(oauth) = &self.oauth {
            oauth.refused(used).await?;
        }
        self.forget();
        Ok(())
    }

    fn forget(&self) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn text(&self, template: &Template) -> Result<String, Failure> {
        template.render_text(&self.names).map_err(|why| from_expression(&why))
    }

    fn token(&self, jwt: &Jwt) -> Result<SecretString, Failure> {
        let now = self.clock.now();
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = kept.as_ref().filter(|token| now < token.renew_at) {
            return Ok(token.text.clone());
        }
        let text = SecretString::from(self.sign(jwt, now)?);
        // A token that lives for a minute or less is used for half its life.
        let usable = jwt
            .ttl
            .0
            .checked_sub(RENEW_BEFORE)
            .filter(|left| !left.is_zero())
            .unwrap_or(jwt.ttl.0 / 2);
        *kept = Some(Token {
            text: text.clone(),
            renew_at: now.plus(usable),
        });
        Ok(text)
    }

    fn sign(&self, jwt: &Jwt, now: UnixMillis) -> Result<String, Failure> {
        let mut header = json!({"alg": "HS256", "typ": "JWT"});
        if let (Some(key_id), Some(header)) = (&jwt.key_id, header.as_object_mut()) {
            header.insert("kid".to_owned(), Json::from(self.text(key_id)?));
        }
        let issued = now.0.div_euclid(1000);
        let mut claims = Map::new();
        for (name, value) in &jwt.claims {
            claims.insert(
                name.to_string(),
                value.render_value(&self.names).map_err(|why| from_expression(&why))?,
            );
        }
        claims.insert("iat".to_owned(), Json::from(issued));
        let ttl = i64::try_from(jwt.ttl.0.as_secs()).unwrap_or(i64::MAX);
        claims.insert("exp".to_owned(), Json::from(issued.saturating_add(ttl)));
        let encode = |value: &Json| URL_SAFE_NO_PAD.encode(value.to_string());
        let body = format!("{}.{}", encode(&header), encode(&Json::Object(claims)));
        let secret = decode(&self.text(&jwt.secret)?, jwt.encoding)
            .ok_or_else(|| refused("the signing secret is not well-formed"))?;
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&secret).map_err(|_error| refused("the signing secret is empty"))?;
        mac.update(body.as_bytes());
        Ok(format!(
            "{body}.{}",
            URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
        ))
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), Failure> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_error| refused("the credential has characters that a header cannot hold, perhaps a line end"))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

fn decode(secret: &str, encoding: SecretEncoding) -> Option<Vec<u8>> {
    match encoding {
        SecretEncoding::Text => Some(secret.as_bytes().to_vec()),
        SecretEncoding::Base64 => STANDARD.decode(secret).ok(),
        SecretEncoding::Hex => {
            let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            secret
                .as_bytes()
                .chunks(2)
                .map(pair)
                .collect::<Option<Vec<u8>>>()
                .filter(|_| secret.len().is_multiple_of(2))
        }
    }
}

fn refused(what: &str) -> Failure {
    Failure::new(Class::Auth, Problem::new(Code::CredentialRefused, what))
}

/// An expression over a secret failed: its words could hold the secret, so only the expression itself is named.
fn from_expression(why: &BadExpression) -> Failure {
    refused(&format!(
        "the credential cannot be made from the config: `{}`",
        why.text
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TestClock;

    const CANARY: &str = "c4n4ry5ecret";

    fn credential(yaml: &str, clock: Arc<TestClock>) -> Credential {
        let auth: Auth = serde_saphyr::from_str(yaml).unwrap();
        let config = json!({"token": CANARY, "key": "kid1:00ff10", "email": "a@b.c"});
        Credential::new(Some(auth), None, Context::new().with("config", &config), clock)
    }

    fn clock() -> Arc<TestClock> {
        Arc::new(TestClock::at(UnixMillis(1_767_225_600_000)))
    }

    #[track_caller]
    fn check(yaml: &str, header: &str, expected: &str) {
        let mut headers = HeaderMap::new();
        credential(yaml, clock()).apply_own(&mut headers).unwrap();
        assert_eq!(headers.get(header).unwrap(), expected);
        assert!(
            !format!("{headers:?}").contains(expected),
            "a credential is never printed"
        );
    }

    #[test]
    fn credentials_become_headers() {
        check(
            "{bearer: \"{{ config.token }}\"}",
            "authorization",
            "Bearer c4n4ry5ecret",
        );
        check(
            "{header: {x-api-token: \"{{ config.token }}\"}}",
            "x-api-token",
            "c4n4ry5ecret",
        );
        check(
            "{basic: {user: \"{{ config.email }}/token\", password: \"{{ config.token }}\"}}",
            "authorization",
            "Basic YUBiLmMvdG9rZW46YzRuNHJ5NWVjcmV0",
        );
    }

    const JWT: &str = "{jwt: {key_id: \"{{ config.key.split(':')[0] }}\", secret: \"{{ config.key.split(':')[1] }}\", encoding: hex, claims: {aud: /admin/}, ttl: 5m, scheme: Acme}}";

    #[test]
    fn a_token_is_signed_and_kept_until_a_minute_before_its_end() {
        let clock = clock();
        let credential = credential(JWT, clock.clone());
        let token = || {
            let mut headers = HeaderMap::new();
            credential.apply_own(&mut headers).unwrap();
            headers.get("authorization").unwrap().to_str().unwrap().to_owned()
        };
        let first = token();
        // Reference: made in another language for the same key, header and claims.
        assert_eq!(
            first,
            "Acme eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImtpZDEifQ.eyJhdWQiOiIvYWRtaW4vIiwiaWF0IjoxNzY3MjI1NjAwLCJleHAiOjE3NjcyMjU5MDB9.qSoal1Ngag7e2jDL8pPBvHIplt2Ut3XD_u2zto_iHZo"
        );
        clock.advance(Duration::from_secs(239));
        assert_eq!(token(), first);
        clock.advance(Duration::from_secs(1));
        let second = token();
        assert_ne!(second, first);
        clock.advance(Duration::from_secs(1));
        credential.forget();
        assert_ne!(token(), second, "a refused token is not used again");
    }

    #[test]
    fn a_bad_credential_is_told_without_its_value() {
        let bad = Auth::Bearer(Template::compile("{{ config.token }}\n").unwrap());
        let names = Context::new().with("config", &json!({"token": CANARY}));
        let failure = Credential::new(Some(bad), None, names.clone(), clock())
            .apply_own(&mut HeaderMap::new())
            .unwrap_err();
        assert_eq!(failure.class, Class::Auth);
        assert!(!format!("{failure:?}").contains(CANARY));
        let bad = Auth::Bearer(Template::compile("{{ config.token | hex_decode }}").unwrap());
        let failure = Credential::new(Some(bad), None, names, clock())
            .apply_own(&mut HeaderMap::new())
            .unwrap_err();
        assert!(!format!("{failure:?}").contains(CANARY));
    }

    #[test]
    fn secrets_are_blotted_out_of_foreign_words() {
        let mut config = BTreeMap::new();
        config.insert(
            "token".into(),
            ConfigValue::Secret(SecretString::from(CANARY.to_owned())),
        );
        config.insert("pin".into(), ConfigValue::Secret(SecretString::from("no".to_owned())));
        let veil = Veil::new(&config);
        assert_eq!(veil.hide("no such token c4n4ry5ecret!"), "no such token [secret]!");
        assert!(!format!("{veil:?}").contains(CANARY));
    }
}
