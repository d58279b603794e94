//! The line to one system: credential, limits, sending, and what the answer means. Every request goes through [`Link::call`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value as Json;

use super::auth::{Credential, Veil, exposed};
use super::classify::{classify, span};
use super::http::{Answer, Ask, Bounds, Http, not_the_answer};
use super::limits::{Budget, Call, Limits, Rule};
use super::render::Draft;
use super::settings::ConnectionSettings;
use super::timer::Timer;
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Context, ErrorRule, Limit, Manifest, OpName, Per, Source};
use crate::model::{Clock, UnixMillis};

/// How often one request is sent again because the tool asked to be called more slowly.
const THROTTLES_MAX: u32 = 4;
/// The longest wait asked for by the tool that is sat out here; a longer one goes back to the schedule.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// The wait after a throttle answer that names none, where the manifest's words find none either.
const WAIT_DEFAULT: Duration = Duration::from_secs(2);
/// The tool's clock is believed when it differs from ours by more than the resolution of its `Date` header and the way.
const SKEW_MIN_MS: i64 = 2000;
/// Requests at once when the manifest says nothing.
const PARALLEL_DEFAULT: usize = 8;

/// What a request is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purpose<'a> {
    /// The word limits use; `check` and `job` are counted by path only.
    pub(super) op: &'a str,
    /// The object it is about.
    pub(super) key: Option<&'a str>,
    /// Repeating it changes nothing.
    pub(super) is_read: bool,
}

impl<'a> Purpose<'a> {
    /// A reading request.
    pub(super) fn read(op: &'a str) -> Self {
        Self {
            op,
            key: None,
            is_read: true,
        }
    }
}

/// The word limits use for an operation.
pub(super) fn op_word(op: OpName) -> &'static str {
    match op {
        OpName::Read => "read",
        OpName::Get => "get",
        OpName::Find => "find",
        OpName::Create => "create",
        OpName::Update => "update",
        OpName::Upsert => "upsert",
        OpName::Delete => "delete",
    }
}

/// A good answer.
#[derive(Clone, Debug)]
pub(super) struct Good {
    pub(super) answer: Answer,
    /// The body; null when the answer has none.
    pub(super) body: Json,
}

/// The line to one system.
pub(super) struct Link {
    base: Url,
    headers: HeaderMap,
    http: Http,
    credential: Credential,
    veil: Veil,
    limits: Limits,
    /// The header that corrects each window.
    remaining: Vec<Option<HeaderName>>,
    rules: Vec<ErrorRule>,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
    skew_ms: AtomicI64,
    /// Has `config`; every expression starts from it.
    names: Context,
}

impl Link {
    /// A line to the system that the manifest and the settings describe.
    pub(super) fn new(manifest: &Manifest, settings: &ConnectionSettings) -> Result<Self, Vec<Problem>> {
        let config = manifest.settings(&exposed(&settings.config))?;
        let names = Context::new().with("config", &config);
        let about = |problem: Problem| vec![problem.about(&settings.system)];
        let base = base(manifest, settings, &names).map_err(about)?;
        let limits = settings.limits.as_ref().unwrap_or(&manifest.limits);
        let http = Http::new(&base, bounds(limits, settings.bounds), Arc::clone(&settings.clock)).map_err(about)?;
        let rates = limits.iter().filter_map(|limit| match limit {
            Limit::Rate(rate) => Some(rate),
            _ => None,
        });
        let remaining = rates.clone().map(|rate| match &rate.remaining {
            Some(Source::Header(name)) => HeaderName::try_from(name.as_str()).ok(),
            _ => None,
        });
        let parallel = limits.iter().find_map(|limit| match limit {
            Limit::Parallel(count) => Some(*count),
            _ => None,
        });
        let rules = rates.clone().map(|rate| Rule {
            max: rate.rate.count,
            span: rate.rate.every,
            path: rate.path.as_ref().map(|path| path.0.clone()),
            op: rate.op.map(|op| op_word(op).into()),
            per_key: rate.per == Some(Per::Key),
        });
        let budget = Budget::new(rules.collect(), settings.share);
        let credential = Credential::new(manifest.auth.clone(), names.clone(), Arc::clone(&settings.clock));
        Ok(Self {
            headers: common_headers(manifest, &names).map_err(about)?,
            http,
            credential,
            veil: Veil::new(&settings.config),
            limits: Limits::new(
                budget,
                parallel.unwrap_or(PARALLEL_DEFAULT),
                Arc::clone(&settings.timer),
            ),
            remaining: remaining.collect(),
            rules: manifest.errors.clone(),
            clock: Arc::clone(&settings.clock),
            timer: Arc::clone(&settings.timer),
            skew_ms: AtomicI64::new(0),
            base,
            names,
        })
    }

    /// The names every expression may use.
    pub(super) fn names(&self) -> Context {
        self.names.clone()
    }

    /// The failure without any secret in its words.
    pub(super) fn veil(&self, failure: Failure) -> Failure {
        self.veil.over(failure)
    }

    /// Waiting.
    pub(super) fn timer(&self) -> &dyn Timer {
        &*self.timer
    }

    /// The present by our own clock.
    pub(super) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The present by the tool's clock, as far as its answers told.
    pub(super) fn server_now(&self) -> UnixMillis {
        UnixMillis(self.clock.now().0.saturating_add(self.skew_ms.load(Ordering::Relaxed)))
    }

    /// An address that an answer gave us, if it leads to the same host.
    pub(super) fn own_url(&self, text: &str) -> Option<Url> {
        let url = self.base.join(text).ok()?;
        (url.origin() == self.base.origin()).then_some(url)
    }

    /// Sends a request within the limits and returns a good answer. A throttle answer is waited for as told, a refused
    /// credential is made anew once.
    ///
    /// # Errors
    /// The classified failure, without any secret in its words.
    pub(super) async fn call(&self, draft: &Draft, purpose: Purpose<'_>) -> Result<Good, Failure> {
        self.call_unveiled(draft, purpose)
            .await
            .map_err(|failure| self.veil.over(failure))
    }

    async fn call_unveiled(&self, draft: &Draft, purpose: Purpose<'_>) -> Result<Good, Failure> {
        let path = draft.path();
        let call = Call {
            path: &path,
            op: purpose.op,
            key: purpose.key,
            cost: 1,
        };
        let mut throttles = 0;
        let mut is_renewed = false;
        loop {
            let mut ask = draft.ask(&self.base, &self.headers, purpose.is_read)?;
            self.credential.apply(&mut ask.headers)?;
            let permit = self.limits.enter(&call).await?;
            let answer = self.http.send(&ask).await;
            drop(permit);
            let answer = answer?;
            self.learn(&answer, &call);
            let Some(failure) = classify(&self.rules, &ask, &answer, throttles, self.server_now()) else {
                return good(&ask, answer);
            };
            let is_throttled = failure.class == Class::Throttle;
            if let Some(wait) = failure.wait.filter(|_| is_throttled) {
                self.limits.close(&call, wait);
            }
            match failure.class {
                Class::Ignore => {
                    return Ok(Good {
                        answer,
                        body: Json::Null,
                    });
                }
                Class::Auth if !is_renewed => {
                    is_renewed = true;
                    self.credential.renew();
                }
                Class::Throttle if throttles < THROTTLES_MAX && failure.wait.is_none_or(|wait| wait <= WAIT_MAX) => {
                    throttles += 1;
                    self.timer.wait(failure.wait.unwrap_or(WAIT_DEFAULT)).await;
                }
                _ => return Err(failure),
            }
        }
    }

    /// Takes the tool's clock and what is left of its limits from an answer.
    fn learn(&self, answer: &Answer, call: &Call<'_>) {
        if let Some(theirs) = answer.server_time() {
            let difference = theirs.0.saturating_sub(self.clock.now().0);
            let skew = if difference.abs() > SKEW_MIN_MS { difference } else { 0 };
            self.skew_ms.store(skew, Ordering::Relaxed);
        }
        for (index, name) in self.remaining.iter().enumerate() {
            let Some(name) = name else { continue };
            let Ok(left) = answer.header(name.as_str()).trim().parse::<f64>() else {
                continue;
            };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            let left = left.max(0.0) as u32;
            self.limits.correct(index, call, left, self.reset(answer, name));
        }
    }

    /// When the window is full again: the header that is named as the one with what is left, but ends in `reset`.
    fn reset(&self, answer: &Answer, remaining: &HeaderName) -> Option<Duration> {
        let name = remaining.as_str().replace("remaining", "reset");
        let told = (name != remaining.as_str()).then(|| answer.header(&name))?;
        span(told, answer.server_time().unwrap_or_else(|| self.server_now()))
    }
}

fn good(ask: &Ask, answer: Answer) -> Result<Good, Failure> {
    if answer.is_empty() && matches!(answer.status, 201 | 202 | 204 | 205 | 304) || answer.is_empty() && !ask.is_read {
        return Ok(Good {
            answer,
            body: Json::Null,
        });
    }
    match answer.json() {
        Ok(body) => Ok(Good { answer, body }),
        Err(what) => Err(not_the_answer(ask, what)),
    }
}

fn base(manifest: &Manifest, settings: &ConnectionSettings, names: &Context) -> Result<Url, Problem> {
    let text = match &settings.base {
        Some(base) => base.clone(),
        None => manifest
            .base
            .render_text(names)
            .map_err(|why| Problem::new(Code::ManifestExpression, format!("`base`: `{}`", why.text)))?,
    };
    let bad = || {
        Problem::new(
            Code::ConfigInvalid,
            "the system's address is not an http or https address",
        )
    };
    let url = Url::parse(&text).map_err(|_error| bad())?;
    let is_fit = matches!(url.scheme(), "http" | "https") && url.has_host();
    if is_fit { Ok(url) } else { Err(bad()) }
}

fn bounds(limits: &[Limit], mut bounds: Bounds) -> Bounds {
    for limit in limits {
        match limit {
            Limit::Timeout(time) => {
                bounds.whole = *time;
                bounds.idle = bounds.idle.min(*time);
            }
            Limit::BodyMax(bytes) => bounds.body_max_bytes = *bytes,
            Limit::Rate(_) | Limit::Parallel(_) | Limit::Jobs(_) => {}
        }
    }
    bounds
}

fn common_headers(manifest: &Manifest, names: &Context) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    for (name, value) in &manifest.headers {
        let bad = || Problem::new(Code::ManifestSense, format!("the header `{name}` cannot be sent"));
        let text = value.render_text(names).map_err(|_error| bad())?;
        let name = HeaderName::try_from(name.as_str()).map_err(|_error| bad())?;
        headers.insert(name, HeaderValue::from_str(&text).map_err(|_error| bad())?);
    }
    Ok(headers)
}

/// The `rel=next` address of a `Link` header. Addresses may hold commas and semicolons.
pub(super) fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((address, after)) = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>')) {
        let parameters = after.split('<').next().unwrap_or_default();
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let parameter = parameter.trim().to_ascii_lowercase();
            matches!(parameter.as_str(), "rel=next" | "rel=\"next\"")
        });
        if is_next {
            return Some(address);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found() {
        let header = "<https://h/a?page=1>; rel=\"prev\", <https://h/a?page=3>; rel=\"next\"; title=x";
        assert_eq!(next_link(header), Some("https://h/a?page=3"));
        assert_eq!(
            next_link("<https://h/a?f=x,y;z>; rel=next"),
            Some("https://h/a?f=x,y;z")
        );
        assert_eq!(next_link("<https://h/a>; rel=last"), None);
        assert_eq!(next_link(""), None);
    }
}
