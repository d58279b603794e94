//! Requests for tokens and what the answers mean. Pure, but for the signature of an assertion.
//!
//! Why not the `oauth2` crate: tools want JSON bodies, signed assertions and errors inside 200, none of which it knows, and
//! every request here must pass the effect door.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::super::http::{Answer, Ask};
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Assertion, ClientAuth, Context, GrantKind, OAuth2, Template, TokenBody};
use crate::model::UnixMillis;

/// The name of the grant in which an assertion stands for the consent (RFC 7523).
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What a tool granted. Sealed before it is stored; never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The token that requests carry.
    pub access: String,
    /// What the next one is got with.
    pub refresh: Option<String>,
    /// When the access token runs out; `None` when the tool does not say.
    pub expires_at: Option<UnixMillis>,
    /// When it was got.
    pub obtained_at: UnixMillis,
    /// At which host the API is, where the tool says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grant")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// What a token is asked for with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof<'a> {
    /// The code a person's consent gave, where it was sent, and the secret behind the challenge.
    Code {
        code: &'a str,
        redirect: &'a str,
        verifier: Option<&'a str>,
    },
    /// The refresh token of the last grant.
    Refresh(&'a str),
    /// The client's secret alone.
    Client,
    /// A signed assertion.
    Assertion(&'a str),
}

impl Proof<'_> {
    /// What it is in a request.
    fn fields(self) -> Vec<(String, String)> {
        let pairs = match self {
            Self::Code {
                code,
                redirect,
                verifier,
            } => {
                let verifier = verifier.map(|verifier| ("code_verifier", verifier));
                let code = [("code", code), ("redirect_uri", redirect)];
                let kind = [("grant_type", "authorization_code")];
                kind.into_iter().chain(code).chain(verifier).collect()
            }
            Self::Refresh(token) => vec![("grant_type", "refresh_token"), ("refresh_token", token)],
            Self::Client => vec![("grant_type", "client_credentials")],
            Self::Assertion(assertion) => vec![("grant_type", JWT_BEARER), ("assertion", assertion)],
        };
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        pairs.into_iter().map(owned).collect()
    }
}

/// Renders an expression of the manifest.
pub(super) fn text(template: &Template, names: &Context) -> Result<String, Failure> {
    template.render_text(names).map_err(|why| {
        let message = format!("OAuth cannot be used: `{}`", why.text);
        Failure::new(Class::Auth, Problem::new(Code::ManifestExpression, message))
    })
}

/// The request for a token.
pub(super) fn request(spec: &OAuth2, names: &Context, proof: Proof<'_>) -> Result<Ask, Failure> {
    let bad = |what: &str| Failure::new(Class::Auth, Problem::new(Code::ManifestSense, what));
    let url = Url::parse(&text(&spec.token, names)?).map_err(|_error| bad("`oauth2.token` is not an address"))?;
    let mut fields = proof.fields();
    let mut add = |name: &str, value: &str| fields.push((name.to_owned(), value.to_owned()));
    if spec.grant != GrantKind::Code && !spec.scopes.is_empty() {
        add("scope", &spec.scopes.join(&spec.scope_separator));
    }
    for (name, value) in &spec.token_params {
        add(name, &text(value, names)?);
    }
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let id = text(&spec.client_id, names)?;
    let secret = spec
        .client_secret
        .as_ref()
        .map(|secret| text(secret, names))
        .transpose()?;
    match (spec.client_auth, secret) {
        (ClientAuth::Basic, Some(secret)) => {
            let pair = STANDARD.encode(format!("{}:{}", encoded(&id), encoded(&secret)));
            let mut value = HeaderValue::try_from(format!("Basic {pair}"))
                .map_err(|_error| bad("the client's secret cannot be sent"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        (_, secret) => {
            add("client_id", &id);
            if let Some(secret) = secret {
                add("client_secret", &secret);
            }
        }
    }
    let (kind, body) = match spec.body {
        TokenBody::Form => {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(&fields);
            ("application/x-www-form-urlencoded", form.finish())
        }
        TokenBody::Json => {
            let object: Map<String, Json> = fields.into_iter().map(|(name, value)| (name, value.into())).collect();
            ("application/json", Json::Object(object).to_string())
        }
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(Ask {
        method: Method::POST,
        url,
        headers,
        body: Some(body.into_bytes()),
        is_read: false,
    })
}

/// RFC 6749, 2.3.1: id and secret are form-encoded before they become a Basic credential.
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// What the answer to a request for a token grants. `before` is the grant it renews: a tool that sends no new refresh token
/// means the old one goes on.
pub(super) fn grant(
    spec: &OAuth2,
    ask: &Ask,
    answer: &Answer,
    before: Option<&Grant>,
    now: UnixMillis,
) -> Result<Grant, Failure> {
    let body = answer.json().unwrap_or(Json::Null);
    let word = |name: &str| body.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
    let Some(access) = word("access_token").filter(|_| answer.is_success()) else {
        return Err(refusal(ask, answer, word("error")));
    };
    // Some write the number as text.
    let seconds = body
        .get("expires_in")
        .and_then(|value| value.as_u64().or_else(|| value.as_str()?.trim().parse().ok()));
    let life = seconds
        .map(std::time::Duration::from_secs)
        .or_else(|| spec.expires.map(|period| period.0));
    Ok(Grant {
        access: access.to_owned(),
        refresh: word("refresh_token")
            .map(ToOwned::to_owned)
            .or_else(|| before.and_then(|before| before.refresh.clone())),
        expires_at: life.map(|life| now.plus(life)),
        obtained_at: now,
        host: spec
            .host
            .as_ref()
            .and_then(|path| Some(path.find(&body).value()?.as_str()?.to_owned()))
            .or_else(|| before.and_then(|before| before.host.clone())),
    })
}

fn refusal(ask: &Ask, answer: &Answer, error: Option<&str>) -> Failure {
    // A word of RFC 6749 and nothing else: descriptions may repeat what was sent.
    let is_word = |text: &&str| {
        text.len() <= 40
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    let error = error.filter(is_word);
    let what = error.map_or_else(String::new, |error| format!(": {error}"));
    let message = format!("{} gave no token, it answered {}{what}", ask.name(), answer.status);
    let (class, code) = match (answer.status, error) {
        (429, _) | (_, Some("slow_down")) => (Class::Throttle, Code::TooFast),
        (500.., _) | (408, _) | (_, Some("temporarily_unavailable" | "server_error")) => {
            (Class::Transient, Code::ToolError)
        }
        (_, Some("invalid_grant")) => (Class::Auth, Code::NotSignedIn),
        (_, None) if answer.is_success() => (Class::Transient, Code::NotTheAnswer),
        _ => (Class::Auth, Code::CredentialRefused),
    };
    let hint = match code {
        Code::NotSignedIn => "sign in again with `nivel auth`; the old grant is kept",
        Code::CredentialRefused => "compare client id, secret and scopes with those of the app in the tool",
        _ => "",
    };
    Failure {
        wait: super::super::classify::span(answer.header("retry-after"), now_of(answer)),
        ..Failure::new(class, Problem::new(code, message).hint(hint))
    }
}

fn now_of(answer: &Answer) -> UnixMillis {
    answer.server_time().unwrap_or(answer.asked_at)
}

/// Signs an assertion (RFC 7523) with RS256.
pub(super) fn assertion(spec: &Assertion, names: &Context, now: UnixMillis) -> Result<String, Failure> {
    let refused = |what: &str| Failure::new(Class::Auth, Problem::new(Code::CredentialRefused, what));
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    if let (Some(key_id), Some(header)) = (&spec.key_id, header.as_object_mut()) {
        header.insert("kid".to_owned(), text(key_id, names)?.into());
    }
    let issued = now.0.div_euclid(1000);
    let ttl = i64::try_from(spec.ttl.0.as_secs()).unwrap_or(i64::MAX);
    let mut claims = json!({
        "iss": text(&spec.issuer, names)?,
        "aud": text(&spec.audience, names)?,
        "iat": issued,
        "exp": issued.saturating_add(ttl),
        "jti": format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>()),
    });
    if let (Some(subject), Some(claims)) = (&spec.subject, claims.as_object_mut()) {
        claims.insert("sub".to_owned(), text(subject, names)?.into());
    }
    let body = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let pem = text(&spec.key, names)?;
    let key = match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
        Ok(PrivateKeyDer::Pkcs8(der)) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
        Ok(PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok(),
        _ => None,
    };
    let key = key.ok_or_else(|| refused("the key that signs is not an RSA private key in PEM"))?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), body.as_bytes(), &mut signature)
        .map_err(|_error| refused("the assertion could not be signed"))?;
    Ok(format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
