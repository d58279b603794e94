//! The head of a manifest: who the tool is, its settings, how it lets us in, how fast, and what its errors mean.
//!
//! Every word of the YAML format is a field here; unknown words are errors. What is read and written stands in
//! [`super::object`], the mapping of fields in [`super::field`], webhooks in [`super::hook`].

use std::collections::BTreeMap;
use std::time::Duration;

use compact_str::CompactString;
use serde::Deserialize;
use serde_json::Value as Json;

use super::cond::Cond;
use super::expr::Template;
use super::guest::Guest;
use super::hook::Webhook;
use super::oauth::OAuth2;
use super::object::Object;
use super::path::Path;
use super::scalar::{Many, Period, Rate, Request};
use crate::error::Class;

/// The format version this program reads.
pub const FORMAT: u32 = 1;

/// A connector: how one kind of tool is spoken to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The connector's name, as configs spell it.
    pub connector: CompactString,
    /// The version of this format; see [`FORMAT`].
    pub format: u32,
    /// One line about the tool.
    #[serde(default)]
    pub doc: String,
    /// How much of it has been seen to work.
    #[serde(default)]
    pub support: Support,
    /// What the admin has to (or may) set for a system of this kind.
    #[serde(default)]
    pub config: BTreeMap<CompactString, Setting>,
    /// The program that speaks to the tool in our place; then nothing here is about requests.
    #[serde(default)]
    pub guest: Option<Guest>,
    /// The address before every request path.
    #[serde(default)]
    pub base: Option<Template>,
    /// Sent with every request.
    #[serde(default)]
    pub headers: BTreeMap<CompactString, Template>,
    /// How requests are authenticated.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// How requests are authenticated instead, for systems that set what its `client_id` asks for.
    #[serde(default)]
    pub oauth2: Option<OAuth2>,
    /// A cheap request that proves address and credential.
    #[serde(default)]
    pub check: Option<Request>,
    /// How fast the tool may be called; all of them hold at once.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// What an answer's failure means; the first rule that matches wins.
    #[serde(default)]
    pub errors: Vec<ErrorRule>,
    /// Kinds of objects; each becomes a stream.
    pub objects: BTreeMap<CompactString, Object>,
    /// What the tool sends by itself.
    #[serde(default)]
    pub webhook: Option<Webhook>,
    /// Statements of this file that nobody has seen to be true.
    #[serde(default)]
    pub unverified: Vec<String>,
    /// Where in the file each entry stands.
    #[serde(skip)]
    pub places: Places,
}

/// How much of a connector has been seen to work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// Run against the real tool.
    Verified,
    /// Run against a fake built from the vendor's specification.
    Simulated,
    /// Written from documents.
    #[default]
    Drafted,
}

/// One setting of a system of this kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Never printed, logged or stored outside the config.
    #[serde(default)]
    pub secret: bool,
    /// May be left out; it is then `none` in expressions.
    #[serde(default)]
    pub optional: bool,
    /// What it is.
    #[serde(default, rename = "type")]
    pub kind: SettingType,
    /// Its value when left out.
    #[serde(default)]
    pub default: Option<Json>,
    /// A regular expression the text must match somewhere.
    #[serde(default)]
    pub pattern: Option<Pattern>,
    /// One line for the admin.
    #[serde(default)]
    pub doc: String,
}

impl Manifest {
    /// Settings that a system needs for its credential unless it signs in by OAuth, and the setting that says that it does.
    #[must_use]
    pub fn needed_unless(&self) -> Option<(Vec<CompactString>, CompactString)> {
        let names = |template: &Template| {
            let names = template.names().into_iter();
            names
                .filter_map(|name| name.strip_prefix("config.").map(CompactString::from))
                .collect::<Vec<_>>()
        };
        let sign = names(&self.oauth2.as_ref()?.client_id).into_iter().next()?;
        let templates = self.auth.as_ref()?.templates();
        Some((
            templates
                .into_iter()
                .flat_map(|(_, template)| names(template))
                .collect(),
            sign,
        ))
    }
}

impl Setting {
    /// True when a system cannot do without it.
    #[must_use]
    pub fn is_required(&self) -> bool {
        !self.optional && self.default.is_none()
    }
}

/// What a setting is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingType {
    /// Text.
    #[default]
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// An address that starts with `http://` or `https://`; a slash at its end is dropped.
    Url,
}

/// A compiled regular expression.
#[derive(Clone, Debug)]
pub struct Pattern(pub regex::Regex);

/// How requests are authenticated.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// `Authorization: Bearer …`.
    Bearer(Template),
    /// These headers.
    Header(BTreeMap<CompactString, Template>),
    /// HTTP Basic.
    Basic(Basic),
    /// A short-lived token we sign ourselves (HS256).
    Jwt(Jwt),
}

impl Auth {
    /// Every expression, with its place below `auth`.
    #[must_use]
    pub fn templates(&self) -> Vec<(String, &Template)> {
        match self {
            Self::Bearer(token) => vec![("bearer".to_owned(), token)],
            Self::Header(headers) => {
                let place = |(name, value)| (format!("header.{name}"), value);
                headers.iter().map(place).collect()
            }
            Self::Basic(basic) => vec![
                ("basic.user".to_owned(), &basic.user),
                ("basic.password".to_owned(), &basic.password),
            ],
            Self::Jwt(jwt) => {
                let others = jwt.key_id.iter().chain(jwt.claims.values());
                let others = others.map(|template| ("jwt".to_owned(), template));
                others.chain([("jwt.secret".to_owned(), &jwt.secret)]).collect()
            }
        }
    }
}

/// HTTP Basic with expressions on both sides.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// Before the colon.
    pub user: Template,
    /// After the colon.
    pub password: Template,
}

/// A short-lived HS256 token: header `{alg, typ, kid}`, claims plus `iat` and `exp`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// The `kid` of the header; none when left out.
    #[serde(default)]
    pub key_id: Option<Template>,
    /// The signing secret, encoded as [`Jwt::encoding`] says.
    pub secret: Template,
    /// How the secret is written.
    #[serde(default)]
    pub encoding: SecretEncoding,
    /// Further claims.
    #[serde(default)]
    pub claims: BTreeMap<CompactString, Template>,
    /// How long a token lives (`exp - iat`).
    pub ttl: Period,
    /// The word before the token in `Authorization`.
    #[serde(default = "bearer")]
    pub scheme: CompactString,
}

fn bearer() -> CompactString {
    "Bearer".into()
}

/// How a secret is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretEncoding {
    /// As it is.
    #[default]
    Text,
    /// Hexadecimal digits.
    Hex,
    /// Base64, standard alphabet.
    Base64,
}

/// One limit of the tool.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawLimit")]
pub enum Limit {
    /// So many requests in a span of time.
    Rate(RateLimit),
    /// So many requests at once.
    Parallel(usize),
    /// So many unfinished jobs at once.
    Jobs(usize),
    /// How long an answer may take.
    Timeout(Duration),
    /// The largest answer, in bytes.
    BodyMax(usize),
}

/// So many requests in a span of time.
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// The budget.
    pub rate: Rate,
    /// Only requests whose path (with its query) matches; all when none.
    pub path: Option<Pattern>,
    /// Only this operation.
    pub op: Option<OpName>,
    /// One budget for each of these instead of one for all.
    pub per: Option<Per>,
    /// What a call of an operation costs; those not named cost 1.
    pub cost: BTreeMap<OpName, u32>,
    /// Where an answer says what is left; it corrects the figure.
    pub remaining: Option<Reading>,
    /// Where an answer says what is used, for tools that do not say what is left.
    pub used: Option<Reading>,
    /// Where an answer says how large the budget is.
    pub total: Option<Reading>,
    /// Where an answer says when the budget is full again: seconds, or a moment.
    pub reset: Option<Reading>,
}

impl RateLimit {
    /// A budget for everything, of which answers say nothing.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            path: None,
            op: None,
            per: None,
            cost: BTreeMap::new(),
            remaining: None,
            used: None,
            total: None,
            reset: None,
        }
    }
}

/// Where an answer's headers say something: `header:x-remaining`, or an expression on `headers` for those that hold several
/// figures at once.
#[derive(Clone, Debug)]
pub enum Reading {
    /// A header, lower case.
    Header(CompactString),
    /// An expression.
    Template(Template),
}

/// The operations of an object, as limits name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpName {
    /// Pages of a stream.
    Read,
    /// Objects by id.
    Get,
    /// Objects by another value.
    Find,
    /// New objects.
    Create,
    /// Changes.
    Update,
    /// New or changed.
    Upsert,
    /// Removals.
    Delete,
}

/// What a budget is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Each object written to.
    Key,
}

/// A part of an HTTP message: `header:retry-after`, or a part of the signature (`sig.v1`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A header, lower case.
    Header(CompactString),
    /// A part of the split signature header.
    Signature(CompactString),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimit {
    #[serde(default)]
    rate: Option<Rate>,
    #[serde(default)]
    path: Option<Pattern>,
    #[serde(default)]
    op: Option<OpName>,
    #[serde(default)]
    per: Option<Per>,
    #[serde(default)]
    cost: BTreeMap<OpName, u32>,
    #[serde(default)]
    remaining: Option<Reading>,
    #[serde(default)]
    used: Option<Reading>,
    #[serde(default)]
    total: Option<Reading>,
    #[serde(default)]
    reset: Option<Reading>,
    #[serde(default)]
    parallel: Option<usize>,
    #[serde(default)]
    jobs: Option<usize>,
    #[serde(default)]
    timeout: Option<Period>,
    #[serde(default)]
    body_max: Option<usize>,
}

impl TryFrom<RawLimit> for Limit {
    type Error = &'static str;

    fn try_from(raw: RawLimit) -> Result<Self, &'static str> {
        let told = [&raw.remaining, &raw.used, &raw.total, &raw.reset];
        let is_told = told.into_iter().any(Option::is_some);
        let narrowed = raw.path.is_some() || raw.op.is_some() || raw.per.is_some() || !raw.cost.is_empty() || is_told;
        let mut found = Vec::new();
        found.extend(raw.parallel.map(Self::Parallel));
        found.extend(raw.jobs.map(Self::Jobs));
        found.extend(raw.timeout.map(|period| Self::Timeout(period.0)));
        found.extend(raw.body_max.map(Self::BodyMax));
        if narrowed && (!found.is_empty() || raw.rate.is_none()) {
            return Err("`path`, `op`, `per`, `cost`, `remaining`, `used`, `total` and `reset` belong to a `rate`");
        }
        found.extend(raw.rate.map(|rate| {
            Self::Rate(RateLimit {
                rate,
                path: raw.path,
                op: raw.op,
                per: raw.per,
                cost: raw.cost,
                remaining: raw.remaining,
                used: raw.used,
                total: raw.total,
                reset: raw.reset,
            })
        }));
        match (found.pop(), found.is_empty()) {
            (Some(limit), true) => Ok(limit),
            _ => Err("a limit is one of `rate`, `parallel`, `jobs`, `timeout` and `body_max`"),
        }
    }
}

/// What a failing answer means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// The status codes it is about; every code from 400 when empty. A rule may name 2xx codes: some tools refuse with 200.
    #[serde(default)]
    pub status: Many<u16>,
    /// A further condition on `status`, `body` (parsed JSON, else text, `none` when empty), `headers` and `method`.
    #[serde(default)]
    pub when: Option<Cond>,
    /// What the engine does.
    pub class: Class,
    /// How long to wait: the first of these that is there.
    #[serde(default)]
    pub wait: Many<Wait>,
    /// The id of the object in the way (`exists`) or the surviving one (`merged`).
    #[serde(default)]
    pub id: Option<Pick>,
    /// The tool's own words.
    #[serde(default)]
    pub message: Option<Pick>,
}

/// How long to wait after an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// As this header says: seconds, an HTTP date, or a moment in seconds since 1970.
    Header(CompactString),
    /// This long.
    Fixed(Duration),
    /// Longer each time.
    Backoff,
}

/// A path into the answer's body, or an expression on the whole answer.
#[derive(Clone, Debug)]
pub enum Pick {
    /// A path into the body.
    Path(Path),
    /// An expression on `status`, `body`, `headers`.
    Template(Template),
}

/// Where the entries of a manifest stand in its file, by dotted path (`objects.contact.read.window`).
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The file's name.
    pub file: String,
    /// Path → line and column, both counted from 1.
    pub at: BTreeMap<String, (u32, u32)>,
}

impl Places {
    /// `file:line:col` of an entry, or of the nearest entry around it; the path itself when nothing is known.
    #[must_use]
    pub fn of(&self, path: &str) -> String {
        let mut around = path;
        loop {
            if let Some((line, column)) = self.at.get(around) {
                return format!("{}:{line}:{column}", self.file);
            }
            match around.rsplit_once('.') {
                Some((parent, _)) => around = parent,
                None if self.file.is_empty() => return path.to_owned(),
                None => return format!("{} {path}", self.file),
            }
        }
    }
}
