//! OAuth 2: how a tool hands out access tokens.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Deserialize;

use super::expr::Template;
use super::path::Path;
use super::scalar::Period;

/// How access tokens are got. Used instead of `auth` by systems that set what `client_id` asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth2 {
    /// Who agrees, and how.
    #[serde(default)]
    pub grant: GrantKind,
    /// Where a person agrees (`grant: code`).
    #[serde(default)]
    pub authorize: Option<Template>,
    /// Where tokens are handed out.
    pub token: Template,
    /// Who Nivel is there.
    pub client_id: Template,
    /// The secret of `client_id`; public clients have none.
    #[serde(default)]
    pub client_secret: Option<Template>,
    /// What is asked for.
    #[serde(default)]
    pub scopes: Vec<CompactString>,
    /// What stands between two scopes.
    #[serde(default = "space")]
    pub scope_separator: CompactString,
    /// Proof that who asks for the tokens is who asked for the consent (S256); off for tools that refuse it.
    #[serde(default = "yes")]
    pub pkce: bool,
    /// Further parameters of the address where a person agrees.
    #[serde(default)]
    pub params: BTreeMap<CompactString, Template>,
    /// Further parameters of every request for tokens.
    #[serde(default)]
    pub token_params: BTreeMap<CompactString, Template>,
    /// How the client's secret is sent.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// How requests for tokens are written.
    #[serde(default)]
    pub body: TokenBody,
    /// Where the answer with a token says at which host the API is (`instance_url`), anew with every token; paths stay those
    /// of `base`. Not followed where the admin sets another address than the manifest's.
    #[serde(default)]
    pub host: Option<Path>,
    /// How long a token lives when the answer does not say; without it such a token is used until it is refused.
    #[serde(default)]
    pub expires: Option<Period>,
    /// The word before the token in `Authorization`.
    #[serde(default = "bearer")]
    pub scheme: CompactString,
    /// What is signed instead of a consent (`grant: jwt_bearer`).
    #[serde(default)]
    pub assertion: Option<Assertion>,
}

fn space() -> CompactString {
    " ".into()
}

fn yes() -> bool {
    true
}

fn bearer() -> CompactString {
    "Bearer".into()
}

/// Who agrees that Nivel gets tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    /// A person, once, in a browser: `nivel auth SYSTEM`.
    #[default]
    Code,
    /// Nobody: the client's secret is enough.
    ClientCredentials,
    /// Nobody: a signed assertion is enough.
    JwtBearer,
}

/// How a client's secret is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// As `client_id` and `client_secret` of the body.
    #[default]
    Body,
    /// As HTTP Basic.
    Basic,
}

/// How a request for tokens is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenBody {
    /// Form-encoded, as RFC 6749 says.
    #[default]
    Form,
    /// JSON.
    Json,
}

/// A signed statement (RS256).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// `iss`.
    pub issuer: Template,
    /// `sub`.
    #[serde(default)]
    pub subject: Option<Template>,
    /// `aud`.
    pub audience: Template,
    /// The private key: PEM, PKCS#8 or PKCS#1.
    pub key: Template,
    /// The `kid` of the header.
    #[serde(default)]
    pub key_id: Option<Template>,
    /// How long the statement holds.
    #[serde(default = "three_minutes")]
    pub ttl: Period,
}

fn three_minutes() -> Period {
    Period(std::time::Duration::from_secs(180))
}

impl OAuth2 {
    /// Every expression, with its place below `oauth2`.
    pub fn templates(&self) -> impl Iterator<Item = (&'static str, &Template)> {
        let assertion = self.assertion.iter().flat_map(|assertion| {
            [
                Some(&assertion.issuer),
                assertion.subject.as_ref(),
                Some(&assertion.audience),
                Some(&assertion.key),
                assertion.key_id.as_ref(),
            ]
        });
        let one = [
            ("authorize", self.authorize.as_ref()),
            ("token", Some(&self.token)),
            ("client_id", Some(&self.client_id)),
            ("client_secret", self.client_secret.as_ref()),
        ];
        let many = self.params.values().map(|value| ("params", Some(value)));
        let many = many.chain(self.token_params.values().map(|value| ("token_params", Some(value))));
        one.into_iter()
            .chain(many)
            .chain(assertion.map(|template| ("assertion", template)))
            .filter_map(|(place, template)| Some((place, template?)))
    }
}
