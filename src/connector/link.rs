//! The line to one system: credential, limits, sending, and what the answer means. Every request goes through [`Link::call`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use compact_str::CompactString;
use reqwest::Url;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value as Json;

use super::auth::{Credential, Veil, exposed};
use super::breaker::{self, Breaker};
use super::classify::classify;
use super::http::{Answer, Ask, Bounds, Http, not_the_answer};
use super::limits::{Call, Limits, Quotas, Rule, Settings, lane};
use super::meter::Meter;
use super::oauth::OAuth;
use super::render::{Draft, Form};
use super::settings::ConnectionSettings;
use super::timer::Timer;
use crate::error::{Class, Code, Failure, Problem};
use crate::manifest::{Context, ErrorRule, Limit, Manifest, OpName, Per, RateLimit};
use crate::model::{Clock, UnixMillis};

/// How often one request is sent again because the tool asked to be called more slowly.
const THROTTLES_MAX: u32 = 4;
/// The longest wait asked for by the tool that is sat out here; a longer one goes back to the schedule.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// The wait after a throttle answer that names none, where the manifest's words find none either.
const WAIT_DEFAULT: Duration = Duration::from_secs(2);
/// The resolution of a `Date` header.
const DATE_STEP_MS: i64 = 1000;
/// How late a `Date` header may be: many servers write it anew once a second, and later when they are busy.
const DATE_LATE_MS: i64 = 1000;
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
    /// The limits as declared.
    declared: Vec<Rule>,
    /// What the headers say about the limits.
    meters: Vec<Meter>,
    breaker: Mutex<Breaker>,
    system: CompactString,
    rules: Vec<ErrorRule>,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
    skew_ms: AtomicI64,
    /// Requests go to the host that comes with a token: not where the admin sets the address.
    follows_host: bool,
    /// An address on the host that came with the last token.
    host: Mutex<Option<Url>>,
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
        let http = http.taped(settings.tape.clone());
        if let Some(tape) = &settings.tape {
            tape.of(base.as_str());
        }
        let rates = limits.iter().filter_map(|limit| match limit {
            Limit::Rate(rate) => Some(rate),
            _ => None,
        });
        let meters = rates
            .clone()
            .enumerate()
            .filter_map(|(index, rate)| Meter::of(index, rate));
        let meters = meters.collect();
        let rules: Vec<Rule> = rates.map(|rate| rule(rate, settings.share)).collect();
        let oauth = OAuth::of(manifest, settings)?;
        let credential = Credential::new(manifest.auth.clone(), oauth, names.clone(), Arc::clone(&settings.clock));
        Ok(Self {
            headers: common_headers(manifest, &names).map_err(about)?,
            http,
            credential,
            veil: Veil::new(&settings.config),
            declared: rules.clone(),
            limits: limiter(limits, rules, settings),
            meters,
            breaker: Mutex::default(),
            system: settings.system.clone(),
            rules: manifest.errors.clone(),
            clock: Arc::clone(&settings.clock),
            timer: Arc::clone(&settings.timer),
            skew_ms: AtomicI64::new(0),
            follows_host: settings.base.is_none(),
            host: Mutex::default(),
            base,
            names,
        })
    }

    /// The names every expression may use.
    pub(super) fn names(&self) -> Context {
        self.names.clone()
    }

    /// The limits as declared, with our share of them.
    pub(super) fn rules(&self) -> &[Rule] {
        &self.declared
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

    /// An address that an answer gave us, if it leads to the same host: the one of `base`, or the one that came with the
    /// token.
    pub(super) fn own_url(&self, text: &str) -> Option<Url> {
        let url = self.base.join(text).ok()?;
        let host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        let is_told = host.as_ref().is_some_and(|host| url.origin() == host.origin());
        (is_told || url.origin() == self.base.origin()).then_some(url)
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
            lane: lane(),
        };
        let mut throttles = 0;
        let mut is_renewed = false;
        loop {
            let mut ask = draft.ask(&self.base, &self.headers, purpose.is_read)?;
            let used = self.credential.apply(&mut ask.headers).await?;
            if let Some(host) = used.host.as_ref().filter(|_| self.follows_host) {
                ask.url = on_host(&ask.url, host)?;
                *self.host.lock().unwrap_or_else(PoisonError::into_inner) = Some(ask.url.clone());
            }
            let permit = self.limits.enter(&call).await?;
            self.enter(&ask.name())?;
            let answer = self.http.send(&ask).await;
            drop(permit);
            let is_broken = answer.as_ref().map_or(true, |answer| answer.status >= 500);
            self.note(if is_broken {
                breaker::Result::Failed
            } else {
                breaker::Result::Answered
            });
            let answer = answer?;
            self.learn(&answer, &call).await;
            let Some(failure) = classify(&self.rules, &ask, &answer, throttles, self.server_now()) else {
                return good(&ask, answer, draft.form);
            };
            let is_throttled = failure.class == Class::Throttle;
            if let Some(wait) = failure.wait.filter(|_| is_throttled) {
                self.limits.close(&call, wait).await;
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
                    self.credential.renew(used.version).await?;
                }
                Class::Throttle if throttles < THROTTLES_MAX && failure.wait.is_none_or(|wait| wait <= WAIT_MAX) => {
                    throttles += 1;
                    self.timer.wait(failure.wait.unwrap_or(WAIT_DEFAULT)).await;
                }
                _ => return Err(failure),
            }
        }
    }

    /// A request that goes inside another one, without what only the one around it says.
    pub(super) fn part(&self, draft: &Draft) -> Result<Ask, Failure> {
        let accept = [(ACCEPT, HeaderValue::from_static("application/json"))];
        draft.ask(&self.base, &accept.into_iter().collect(), false)
    }

    /// What an answer means that came inside another one.
    pub(super) fn judge(&self, ask: &Ask, answer: Answer) -> Result<Good, Failure> {
        match classify(&self.rules, ask, &answer, 0, self.server_now()) {
            None => good(ask, answer, Form::Json),
            Some(failure) if failure.class == Class::Ignore => Ok(Good {
                answer,
                body: Json::Null,
            }),
            Some(failure) => Err(failure),
        }
    }

    /// Takes the tool's clock and what is left of its limits from an answer.
    async fn learn(&self, answer: &Answer, call: &Call<'_>) {
        if let Some(theirs) = answer.server_time() {
            let skew = skew_ms(theirs, answer.asked_at, self.clock.now());
            self.skew_ms.store(skew, Ordering::Relaxed);
        }
        for meter in &self.meters {
            if let Some(told) = meter.read(answer, self.server_now()) {
                self.limits.correct(meter.index, call, &told).await;
            }
        }
    }

    /// Lets a call through, or says that the system is to be left alone for a while.
    fn enter(&self, name: &str) -> Result<(), Failure> {
        let now = self.timer.elapsed();
        let entered = self.breaker().enter(now);
        entered.map_err(|wait| {
            let message = format!("{name} was not sent: the tool failed again and again and is left alone for a while");
            Failure {
                wait: Some(wait),
                ..Failure::new(
                    Class::Throttle,
                    Problem::new(Code::LeftAlone, message).about(&self.system),
                )
            }
        })
    }

    /// Notes whether the system answered; 429 and 4xx are answers.
    fn note(&self, result: breaker::Result) {
        let now = self.timer.elapsed();
        if self.breaker().note(result, now) {
            match result {
                breaker::Result::Answered => tracing::info!(system = %self.system, "the tool answers again"),
                breaker::Result::Failed => {
                    tracing::warn!(system = %self.system, "the tool failed again and again; it is left alone, and asked now and then");
                }
            }
        }
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address at another host of the same tool. What is sent encrypted stays so.
fn on_host(url: &Url, host: &Url) -> Result<Url, Failure> {
    let is_fit = host.has_host() && (host.scheme() == "https" || host.scheme() == url.scheme());
    if !is_fit {
        let problem = Problem::new(
            Code::NotTheAnswer,
            "the tool names a host for its API that cannot be used",
        );
        return Err(Failure::new(Class::Transient, problem));
    }
    let mut there = host.clone();
    there.set_path(url.path());
    there.set_query(url.query());
    Ok(there)
}

/// One limit of the manifest, as the limiter wants it.
fn rule(limit: &RateLimit, share: f64) -> Rule {
    Rule {
        path: limit.path.as_ref().map(|path| path.0.clone()),
        op: limit.op.map(|op| op_word(op).into()),
        per_key: limit.per == Some(Per::Key),
        costs: limit
            .cost
            .iter()
            .map(|(op, cost)| (op_word(*op).into(), *cost))
            .collect(),
        ..Rule::new(limit.rate.count, limit.rate.every, share)
    }
}

fn limiter(limits: &[Limit], rules: Vec<Rule>, settings: &ConnectionSettings) -> Limits {
    let parallel = limits.iter().find_map(|limit| match limit {
        Limit::Parallel(count) => Some(*count),
        _ => None,
    });
    let quotas = Quotas::new(
        &settings.system,
        rules.iter().cloned().enumerate().filter(|(_, rule)| rule.is_quota()),
        Arc::clone(&settings.quotas),
        settings.reserve,
        Arc::clone(&settings.clock),
    );
    let limits = Settings {
        system: settings.system.clone(),
        rules,
        parallel: parallel.unwrap_or(PARALLEL_DEFAULT),
        shared: Arc::clone(&settings.budget),
    };
    Limits::new(limits, quotas, Arc::clone(&settings.timer))
}

fn good(ask: &Ask, answer: Answer, form: Form) -> Result<Good, Failure> {
    if answer.is_empty() && matches!(answer.status, 201 | 202 | 204 | 205 | 304) || answer.is_empty() && !ask.is_read {
        return Ok(Good {
            answer,
            body: Json::Null,
        });
    }
    let body = match form {
        Form::Json => answer.json(),
        Form::Table => answer.table(),
        Form::Parts => Ok(Json::Null),
    };
    match body {
        Ok(body) => Ok(Good { answer, body }),
        Err(what) => Err(not_the_answer(ask, what)),
    }
}

fn base(manifest: &Manifest, settings: &ConnectionSettings, names: &Context) -> Result<Url, Problem> {
    let text = match &settings.base {
        Some(base) => base.clone(),
        None => match &manifest.base {
            Some(base) => base
                .render_text(names)
                .map_err(|why| Problem::new(Code::ManifestExpression, format!("`base`: `{}`", why.text)))?,
            None => return Err(Problem::new(Code::ManifestInvalid, "`base` is missing")),
        },
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

/// By how many milliseconds the tool's clock is ahead of ours (negative: behind), as far as an answer proves it. The
/// answer was made at some moment between the asking and its arrival, so a slow answer proves nothing about a clock.
/// When there is a difference, its earlier end is taken: a cursor must not lie after what the tool has reached.
fn skew_ms(theirs: UnixMillis, asked: UnixMillis, arrived: UnixMillis) -> i64 {
    let least = theirs.0.saturating_sub(arrived.0);
    let most = theirs
        .0
        .saturating_add(DATE_STEP_MS + DATE_LATE_MS)
        .saturating_sub(asked.0);
    if least > 0 || most < 0 { least } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_proves_nothing_about_a_clock() {
        for (theirs, asked, arrived, skew) in [
            (10_000, 10_100, 10_200, 0),
            (10_000, 10_100, 14_900, 0),
            (10_000, 11_999, 12_100, 0),
            (10_000, 12_001, 12_100, -2_100),
            (10_000, 70_000, 70_500, -60_500),
            (70_000, 10_000, 10_500, 59_500),
        ] {
            let found = skew_ms(UnixMillis(theirs), UnixMillis(asked), UnixMillis(arrived));
            assert_eq!(found, skew, "{theirs} {asked} {arrived}");
        }
    }
}
