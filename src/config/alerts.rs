//! Who is told what: `alerts:`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compact_str::CompactString;
use lettre::message::Mailbox;
use secrecy::SecretString;
use url::Url;

use super::read::{secret, time};
use super::reader::{Entry, Section};
use super::words::suggestion;

/// The options of `alerts:`.
pub(super) const ALERTS: &[&str] = &["to", "rules", "quiet", "repeat"];
pub(super) const TARGET: &[&str] = &["slack", "webhook", "secret", "smtp", "from", "to", "user", "password"];
/// What there is to be told of; the words of `sync::alert::Rule`.
pub(super) const RULES: &[&str] = &[
    "late_handoff",
    "dead_write",
    "silent_webhook",
    "parked_stream",
    "expired_grant",
    "held_plan",
    "drift",
    "run_late",
];

/// How somebody is told.
#[derive(Clone, Debug)]
pub enum Target {
    /// A message to an address that takes what Slack takes.
    Slack(SecretString),
    /// A signed message (Standard Webhooks).
    Webhook {
        /// Where.
        url: Url,
        /// The key that signs.
        key: SecretString,
    },
    /// A mail.
    Mail(MailTarget),
}

/// A mail server, and whom it shall tell.
#[derive(Clone, Debug)]
pub struct MailTarget {
    /// `smtps://HOST` (TLS from the first byte) or `smtp://HOST` (TLS by STARTTLS; without it on this machine only).
    pub server: Url,
    /// Who writes.
    pub from: Mailbox,
    /// Who is written to.
    pub to: Vec<Mailbox>,
    /// Who signs in to the server; nobody when `None`.
    pub user: Option<(String, SecretString)>,
}

/// Who is told what.
#[derive(Clone, Debug, Default)]
pub struct AlertsConfig {
    /// How each is told, by name.
    pub targets: BTreeMap<CompactString, Target>,
    /// Who is told of each rule; a rule that is not named is told to everybody.
    pub rules: BTreeMap<String, BTreeSet<CompactString>>,
    /// `22:00-07:00 Europe/Helsinki`.
    pub quiet: Option<(jiff::civil::Time, jiff::civil::Time, jiff::tz::TimeZone)>,
    /// When it is told again that something is still so.
    pub repeat: Option<Duration>,
}

/// Reads `alerts:`.
pub(super) fn alerts(section: &Section<'_>) -> AlertsConfig {
    let mut targets = BTreeMap::new();
    for (name, entry) in section.entries("to") {
        if let Some(target) = target(&entry) {
            targets.insert(CompactString::from(name), target);
        }
    }
    let mut rules = BTreeMap::new();
    for (rule, entry) in section.entries("rules") {
        if !RULES.contains(&rule) {
            entry.wrong(
                format!("there is no alert `{rule}`"),
                &suggestion(rule, RULES.iter().copied()),
            );
            continue;
        }
        let named = entry.words();
        for wrong in named.iter().filter(|name| !targets.contains_key(name.as_str())) {
            let hint = suggestion(wrong, targets.keys().map(CompactString::as_str));
            entry.wrong(format!("`alerts.to` has no `{wrong}`"), &hint);
        }
        rules.insert(rule.to_owned(), named.into_iter().map(CompactString::from).collect());
    }
    AlertsConfig {
        targets,
        rules,
        quiet: section.parse(
            "quiet",
            "hours and a time zone, such as `22:00-07:00 Europe/Helsinki`",
            quiet,
        ),
        repeat: time(section, "repeat"),
    }
}

fn target(entry: &Entry<'_>) -> Option<Target> {
    let section = entry.section(TARGET);
    let given = |key: &str| section.get(key).and_then(|entry| secret(&entry));
    let is_address =
        |text: &str| Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if section.has("smtp") && !section.has("slack") && !section.has("webhook") {
        return mail(&section).map(Target::Mail);
    }
    match (given("slack"), given("webhook").filter(|_| !section.has("smtp"))) {
        (Some(url), None) if is_address(&url) => Some(Target::Slack(SecretString::from(url))),
        (None, Some(url)) if is_address(&url) => {
            let key = given("secret").unwrap_or_default();
            if key_of(&key).is_none() {
                let hint = "it looks like whsec_ and base64; the receiver needs the same";
                section.wrong("secret", "`secret` must be a Standard Webhooks secret", hint);
                return None;
            }
            Some(Target::Webhook {
                url: Url::parse(&url).ok()?,
                key: SecretString::from(key),
            })
        }
        (Some(_), None) | (None, Some(_)) => {
            entry.wrong("the address must begin with http:// or https://", "");
            None
        }
        _ => {
            entry.wrong("a target needs exactly one of slack, webhook, smtp", "");
            None
        }
    }
}

/// Reads the options of a target that is told by mail; all that is wrong is told.
fn mail(section: &Section<'_>) -> Option<MailTarget> {
    const ADDRESS: &str = "an address, such as `Nivel <nivel@example.com>`";
    let address = |text: &str| text.parse::<Mailbox>().ok();
    let server = section.parse("smtp", "a mail server, such as `smtps://mail.example.com`", server);
    let from = section.parse("from", ADDRESS, address);
    if !section.has("from") {
        section.missing("from", "say who writes");
    }
    let mut to = Vec::new();
    for text in section.get("to").map(|entry| entry.words()).unwrap_or_default() {
        match address(&text) {
            Some(mailbox) => to.push(mailbox),
            None => section.wrong("to", format!("`{text}` is no address"), ""),
        }
    }
    if !section.has("to") {
        section.missing("to", "say who is written to");
    }
    let password = section.get("password").and_then(|entry| secret(&entry));
    let user = section.text("user").map(str::to_owned);
    if user.is_some() != section.has("password") {
        section.wrong(
            "smtp",
            "`user` and `password` belong together",
            "leave both out where nobody signs in",
        );
    }
    let is_good = !to.is_empty();
    Some(MailTarget {
        server: server?,
        from: from?,
        to,
        user: user.zip(password.map(SecretString::from)),
    })
    .filter(|_| is_good)
}

fn server(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_server = matches!(url.scheme(), "smtp" | "smtps") && url.has_host();
    // A credential in an address would be shown with it.
    (is_server && url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// The bytes of a Standard Webhooks secret.
#[must_use]
pub fn key_of(secret: &str) -> Option<Vec<u8>> {
    let text = secret.strip_prefix("whsec_")?;
    STANDARD.decode(text).ok().filter(|key| key.len() >= 16)
}

fn quiet(text: &str) -> Option<(jiff::civil::Time, jiff::civil::Time, jiff::tz::TimeZone)> {
    let (hours, zone) = text.split_once(' ').unwrap_or((text, "UTC"));
    let (from, until) = hours.split_once('-')?;
    let zone = jiff::tz::TimeZone::get(zone.trim()).ok()?;
    let (from, until) = (from.trim().parse().ok()?, until.trim().parse().ok()?);
    (from != until).then_some((from, until, zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_hours_need_two_times_and_a_zone() {
        assert!(quiet("22:00-07:00 Europe/Helsinki").is_some());
        assert!(quiet("22:00-07:00").is_some());
        for wrong in ["", "22:00", "22:00-22:00", "25:00-07:00", "22:00-07:00 Nowhere/Town"] {
            assert!(quiet(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_mail_server_has_a_scheme_and_no_credential() {
        for right in ["smtps://mail.example.com", "smtp://127.0.0.1:2525"] {
            assert!(server(right).is_some(), "{right}");
        }
        for wrong in [
            "mail.example.com",
            "https://mail.example.com",
            "smtp://",
            "smtp://me:x@mail.example.com",
        ] {
            assert!(server(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_long_enough_to_be_one() {
        assert!(key_of("whsec_MDEyMzQ1Njc4OWFiY2RlZg==").is_some());
        for wrong in ["", "MDEyMzQ1Njc4OWFiY2RlZg==", "whsec_", "whsec_MDEy", "whsec_!"] {
            assert!(key_of(wrong).is_none(), "{wrong}");
        }
    }
}
