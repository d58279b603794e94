//! Delivers what is decided to be told. A notice keeps its number over all tries, so that whoever gets it twice can tell.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compact_str::CompactString;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::mail::Mailer;
use super::supervise::late_runs;
use crate::config::{AlertTarget, AlertsConfig, alert_key};
use crate::connector::http::{Ask, Bounds, Http};
use crate::error::{Code, Problem};
use crate::model::{Clock, UnixMillis};
use crate::sync::Engine;
use crate::sync::alert::{Extra, Kind, Notice, Quiet, Routes, Rule};
use crate::sync::schedule::Board;
use crate::webhook::signed;

/// How often it is looked at what is so.
const LOOK: Duration = Duration::from_secs(30);
/// When it is told again that something is still so, unless the config says otherwise.
const REPEAT: Duration = Duration::from_secs(24 * 3600);
/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Who is told what, as the config says.
#[must_use]
pub(super) fn routes(config: &AlertsConfig) -> Routes {
    let all = || config.targets.keys().cloned().collect();
    let targets = Rule::ALL.map(|rule| (rule, config.rules.get(rule.word()).cloned().unwrap_or_else(all)));
    Routes {
        targets: targets.into(),
        quiet: config
            .quiet
            .clone()
            .map(|(from, until, zone)| Quiet { from, until, zone }),
        repeat: config.repeat.unwrap_or(REPEAT),
    }
}

/// The ways to the targets.
pub struct Courier {
    ways: BTreeMap<CompactString, Way>,
    clock: Arc<dyn Clock>,
}

enum Way {
    Http(AlertTarget, Url, Http),
    Mail(Mailer),
}

impl Courier {
    /// The ways that the config names.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(config: &AlertsConfig, clock: &Arc<dyn Clock>) -> Result<Self, Problem> {
        let bounds = Bounds {
            body_max_bytes: 64 << 10,
            idle: PATIENCE,
            whole: PATIENCE,
            ..Bounds::default()
        };
        let mut ways = BTreeMap::new();
        for (name, target) in &config.targets {
            let url = match target {
                AlertTarget::Slack(url) => Url::parse(url.expose_secret()).ok(),
                AlertTarget::Webhook { url, .. } => Some(url.clone()),
                AlertTarget::Mail(target) => {
                    ways.insert(name.clone(), Way::Mail(Mailer::new(target, PATIENCE)?));
                    continue;
                }
            };
            let url =
                url.ok_or_else(|| Problem::new(Code::ConfigInvalid, "the address of an alert is none").about(name))?;
            let http = Http::new(&url, bounds, Arc::clone(clock))?;
            ways.insert(name.clone(), Way::Http(target.clone(), url, http));
        }
        Ok(Self {
            ways,
            clock: Arc::clone(clock),
        })
    }

    /// Delivers one notice to one target.
    ///
    /// # Errors
    /// When the target is not there, or does not take it.
    pub async fn deliver(&self, notice: &Notice, target: &str) -> Result<(), Problem> {
        let nowhere = || Problem::new(Code::AlertUndelivered, format!("`alerts.to` has no `{target}`"));
        // The address may hold a secret: of what went wrong only the kind is told.
        let undelivered = |why: String| Problem::new(Code::AlertUndelivered, why).about(target);
        let (kind, url, http) = match self.ways.get(target).ok_or_else(nowhere)? {
            Way::Mail(mailer) => return mailer.deliver(notice).await.map_err(undelivered),
            Way::Http(kind, url, http) => (kind, url, http),
        };
        let (headers, body) = message(kind, notice, self.clock.now())?;
        let ask = Ask {
            method: Method::POST,
            url: url.clone(),
            headers,
            body: Some(body),
            is_read: false,
        };
        match http.send(&ask).await {
            Ok(answer) if answer.is_success() => Ok(()),
            Ok(answer) => Err(undelivered(format!("the receiver answered with {}", answer.status))),
            Err(failure) => Err(undelivered(format!(
                "the receiver did not answer ({})",
                failure.problem.code
            ))),
        }
    }

    /// Says that nothing is wrong: to one target, or to all. What came of each.
    pub async fn try_out(&self, only: Option<&str>) -> BTreeMap<CompactString, Result<(), Problem>> {
        let mut results = BTreeMap::new();
        let notice = Notice {
            number: 0,
            at: self.clock.now(),
            rule: Rule::RunLate,
            kind: Kind::Test,
            lines: Vec::new(),
            more: 0,
            to: self.ways.keys().cloned().collect(),
        };
        for name in self
            .ways
            .keys()
            .filter(|name| only.is_none_or(|only| only == name.as_str()))
        {
            results.insert(name.clone(), self.deliver(&notice, name).await);
        }
        results
    }

    /// Delivers everything that waits, and notes each delivery at once.
    async fn deliver_all(&self, engine: &Engine) -> Result<(), crate::ledger::Error> {
        let mut board = engine.alerts().await?;
        for at in 0..board.pending.len() {
            let Some(notice) = board.pending.get(at).cloned() else {
                continue;
            };
            for target in &notice.to {
                match self.deliver(&notice, target).await {
                    Ok(()) => {}
                    Err(problem) => {
                        tracing::warn!(code = %problem.code, %problem, "an alert could not be delivered; it is tried again");
                        continue;
                    }
                }
                if let Some(kept) = board.pending.get_mut(at) {
                    kept.to.remove(target);
                }
                engine.keep_alerts(&board).await?;
            }
        }
        board.pending.retain(|notice| !notice.to.is_empty());
        engine.keep_alerts(&board).await
    }
}

/// A notice as its target wants it.
fn message(target: &AlertTarget, notice: &Notice, now: UnixMillis) -> Result<(HeaderMap, Vec<u8>), Problem> {
    let body = match target {
        AlertTarget::Slack(_) | AlertTarget::Mail(_) => serde_json::json!({"text": notice.text()}),
        AlertTarget::Webhook { .. } => serde_json::json!({
            "type": "nivel.alert",
            "timestamp": notice.at,
            "data": {"rule": notice.rule, "kind": notice.kind, "lines": notice.lines, "more": notice.more, "text": notice.text()},
        }),
    };
    let body = body.to_string().into_bytes();
    let headers = match target {
        AlertTarget::Slack(_) | AlertTarget::Mail(_) => {
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))])
        }
        AlertTarget::Webhook { key, .. } => {
            let id = format!("nivel-{}-{}", notice.at.0, notice.number);
            let key = alert_key(key.expose_secret()).unwrap_or_default();
            signed(&[key], &id, now, &body)?
        }
    };
    Ok((headers, body))
}

/// Looks and tells until `stop` is cancelled.
pub(super) async fn tell(engine: Arc<Engine>, config: AlertsConfig, board: Arc<Mutex<Board>>, stop: CancellationToken) {
    if config.targets.is_empty() {
        return;
    }
    let courier = match Courier::new(&config, engine.shared_clock()) {
        Ok(courier) => courier,
        Err(problem) => {
            tracing::error!(code = %problem.code, %problem, "nobody can be alerted");
            return;
        }
    };
    let mut routes = routes(&config);
    let of_handoffs = engine.rules().handoffs.iter().filter_map(|rule| rule.alert.clone());
    routes.targets.entry(Rule::LateHandoff).or_default().extend(of_handoffs);
    loop {
        let extra = Extra {
            late_runs: late_runs(&board, engine.now()),
        };
        let told = match engine.look_for_alerts(&routes, &extra).await {
            Ok(true) => courier.deliver_all(&engine).await,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            tracing::warn!(%error, "alerts wait: the ledger cannot be used");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_knows_every_rule() {
        let known = crate::config::OPTIONS
            .iter()
            .find(|(place, _)| *place == "alerts.rules");
        let words = Rule::ALL.map(Rule::word);
        assert_eq!(known.map(|(_, words)| *words), Some(words.as_slice()));
    }
}
