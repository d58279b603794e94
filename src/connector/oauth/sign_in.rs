//! A person agrees, once: the address she opens, and what comes back from it (RFC 6749 4.1, RFC 7636).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::ask::text;
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Context, OAuth2};

/// A sign-in that has begun.
pub struct SignIn {
    /// What the person opens.
    pub url: Url,
    /// Where the tool sends her afterwards.
    pub redirect: String,
    /// Who Nivel is there.
    pub client_id: String,
    /// What is asked for, as sent.
    pub scopes: String,
    /// Comes back with the code; another one is not ours.
    state: String,
    /// Proves that it was we who asked.
    pub(super) verifier: Option<SecretString>,
}

fn random() -> Result<String, Failure> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_error| Failure::new(Class::Auth, Problem::new(Code::Bug, "no randomness for a sign-in")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl SignIn {
    pub(super) fn new(spec: &OAuth2, names: &Context, redirect: &str) -> Result<Self, Failure> {
        let bad = |what: &str| Failure::new(Class::Auth, Problem::new(Code::ManifestSense, what));
        let authorize = spec
            .authorize
            .as_ref()
            .ok_or_else(|| bad("nobody has to sign in to this tool: its client's secret is enough"))?;
        let mut url =
            Url::parse(&text(authorize, names)?).map_err(|_error| bad("`oauth2.authorize` is not an address"))?;
        let client_id = text(&spec.client_id, names)?;
        let scopes = spec.scopes.join(&spec.scope_separator);
        let state = random()?;
        let verifier = spec.pkce.then(random).transpose()?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("response_type", "code");
            query.append_pair("client_id", &client_id);
            query.append_pair("redirect_uri", redirect);
            if !scopes.is_empty() {
                query.append_pair("scope", &scopes);
            }
            query.append_pair("state", &state);
            if let Some(verifier) = &verifier {
                query.append_pair("code_challenge", &challenge(verifier));
                query.append_pair("code_challenge_method", "S256");
            }
            for (name, value) in &spec.params {
                query.append_pair(name, &text(value, names)?);
            }
        }
        Ok(Self {
            url,
            redirect: redirect.to_owned(),
            client_id,
            scopes,
            state,
            verifier: verifier.map(SecretString::from),
        })
    }

    /// The code in what came back: the whole address, or the query of one. A bare code is taken from a person only, who has
    /// no state to show.
    ///
    /// # Errors
    /// Why it is not the answer to this sign-in.
    pub fn code(&self, came: &str, is_typed: bool) -> Result<SecretString, Problem> {
        let refused = |what: String| Problem::new(Code::NotSignedIn, what).hint("begin anew with `nivel auth`");
        let came = came.trim();
        let query = came.split_once('?').map_or(came, |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let value = |wanted: &str| {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            pairs
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.into_owned())
        };
        if let Some(error) = value("error") {
            let word: String = error
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
                .take(40)
                .collect();
            return Err(refused(format!("the tool did not agree: {word}")));
        }
        match (value("code"), value("state")) {
            (Some(code), Some(state)) if state == self.state => Ok(SecretString::from(code)),
            (Some(_), _) => Err(refused(
                "the answer belongs to another sign-in (its state differs)".to_owned(),
            )),
            (None, _) if is_typed && !came.is_empty() && !came.contains(['=', ' ', '/']) => {
                Ok(SecretString::from(came))
            }
            _ => Err(refused("there is no code in it".to_owned())),
        }
    }
}

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

impl SignIn {
    pub(super) fn verifier(&self) -> Option<&str> {
        self.verifier.as_ref().map(|verifier| verifier.expose_secret())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn begun() -> SignIn {
        let spec: OAuth2 = serde_saphyr::from_str(
            "{authorize: 'https://a.example/auth?x=1', token: 'https://a.example/token', client_id: '{{ config.id }}', scopes: [a.read, a.write], params: {prompt: consent}}",
        )
        .unwrap();
        let names = Context::new().with("config", &json!({"id": "me"}));
        SignIn::new(&spec, &names, "http://127.0.0.1:8441/callback").unwrap()
    }

    #[test]
    fn rfc_7636_example() {
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn p67_the_address_says_who_asks_for_what_and_where_to() {
        let sign_in = begun();
        let query: Vec<(String, String)> = sign_in.url.query_pairs().into_owned().collect();
        let value = |name: &str| {
            query
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(value("x"), Some("1"));
        assert_eq!(value("client_id"), Some("me"));
        assert_eq!(value("scope"), Some("a.read a.write"));
        assert_eq!(value("redirect_uri"), Some("http://127.0.0.1:8441/callback"));
        assert_eq!(value("code_challenge_method"), Some("S256"));
        assert_eq!(value("prompt"), Some("consent"));
        assert_eq!(value("code_challenge").unwrap(), challenge(sign_in.verifier().unwrap()));
        assert_eq!(
            (sign_in.client_id.as_str(), sign_in.scopes.as_str()),
            ("me", "a.read a.write")
        );
    }

    #[test]
    fn only_the_answer_to_this_sign_in_is_taken() {
        let sign_in = begun();
        let state = &sign_in.state;
        let code = |came: &str, is_typed| {
            sign_in
                .code(came, is_typed)
                .map(|code| code.expose_secret().to_owned())
                .ok()
        };
        assert_eq!(
            code(&format!("/callback?code=c%2F1&state={state}"), false).as_deref(),
            Some("c/1")
        );
        assert_eq!(
            code(&format!(" http://localhost:1/?state={state}&code=c1#_ \n"), true).as_deref(),
            Some("c1")
        );
        assert_eq!(code("/callback?code=c1&state=other", false), None);
        assert_eq!(code("/callback?code=c1", true), None);
        assert_eq!(code("c1", true).as_deref(), Some("c1"));
        assert_eq!(code("c1", false), None);
        assert_eq!(code("", true), None);
        let denied = sign_in.code("/callback?error=access_denied", false).unwrap_err();
        assert!(denied.message.contains("access_denied"));
    }
}
