//! The options of webhooks.

use std::time::Duration;

use super::reader::Section;
use super::words::rate;
use super::{HookMode, WebhookConfig};

pub(super) const MODES: &[(&str, HookMode)] = &[
    ("off", HookMode::Off),
    ("receive", HookMode::Receive),
    ("subscribe", HookMode::Subscribe),
];

pub(super) fn webhooks(section: &Section<'_>) -> WebhookConfig {
    let number = |key, least: usize, most: usize| {
        let wanted = format!("a number from {least} to {most}");
        section.parse(key, &wanted, |text| {
            text.parse().ok().filter(|number| (least..=most).contains(number))
        })
    };
    let body_max = section.parse("body_max", "a size such as 512KiB or 1MiB, at most 64MiB", size);
    WebhookConfig {
        body_max: body_max.unwrap_or(1 << 20),
        rate: section
            .parse("rate", "a rate such as 1000/1s", rate)
            .unwrap_or((1000, Duration::from_secs(1))),
        waiting_max: number("waiting", 1, 100_000).unwrap_or(512),
        silence: number("silence", 2, 10_000)
            .and_then(|times| u32::try_from(times).ok())
            .unwrap_or(20),
    }
}

/// Reads `512KiB`, `1MiB`.
fn size(text: &str) -> Option<usize> {
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let bytes = match (text.strip_suffix("KiB"), text.strip_suffix("MiB")) {
        (Some(kibi), _) => number(kibi)?.checked_mul(1 << 10)?,
        (_, Some(mebi)) => number(mebi)?.checked_mul(1 << 20)?,
        _ => return None,
    };
    (1..=64 << 20).contains(&bytes).then_some(bytes)
}

/// The address under which the world reaches us, without a slash at its end.
pub(super) fn public_url(section: &Section<'_>) -> Option<String> {
    section.parse("public_url", "an address such as https://nivel.example.com", |text| {
        let url = url::Url::parse(text).ok()?;
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let is_fit = matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain;
        is_fit.then(|| text.trim_end_matches('/').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(
            [size("512KiB"), size("1MiB"), size("64 MiB")],
            [Some(512 << 10), Some(1 << 20), Some(64 << 20)]
        );
        for bad in ["", "5", "0KiB", "65MiB", "1GB", "-1KiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
