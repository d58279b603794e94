//! The small languages of config values: durations, rates, and the nearest right name.

use std::time::Duration;

/// The longest duration that makes sense anywhere in the config: a hundred years.
const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Reads `500ms`, `60s`, `15m`, `2h`, `7d`, `1w`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let number: u64 = number.parse().ok()?;
    let duration = match unit.trim_start() {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        "d" => Duration::from_secs(number.checked_mul(24 * 3600)?),
        "w" => Duration::from_secs(number.checked_mul(7 * 24 * 3600)?),
        _ => return None,
    };
    (duration <= DURATION_MAX).then_some(duration)
}

/// Reads `190/10s`: so many in that time.
pub(crate) fn rate(text: &str) -> Option<(u32, Duration)> {
    let (count, per) = text.split_once('/')?;
    let count: u32 = count.trim().parse().ok()?;
    let per = duration(per.trim())?;
    (count > 0 && !per.is_zero()).then_some((count, per))
}

/// The candidate that `wrong` was most likely meant to be.
pub(crate) fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&wrong, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= allowed(&wrong, candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many slips still look like the same word: a third of the letters.
fn allowed(wrong: &str, candidate: &str) -> usize {
    let letters = candidate.chars().count().max(wrong.chars().count());
    ((letters + 1) / 3).max(1)
}

/// `did you mean X?`, or the list of what there is.
pub(crate) fn suggestion<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    match nearest(wrong, candidates.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if candidates.is_empty() => "there is none".to_owned(),
        None => format!("one of: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        let secs = |n| Some(Duration::from_secs(n));
        for (text, wanted) in [
            ("500ms", Some(Duration::from_millis(500))),
            ("60s", secs(60)),
            ("5m", secs(300)),
            ("2h", secs(7200)),
            ("7d", secs(604_800)),
            ("1w", secs(604_800)),
            ("5", None),
            ("m", None),
            ("5 min", None),
            ("-5m", None),
            ("", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
            ("4000w", secs(4000 * 604_800)),
            ("40000w", None),
        ] {
            assert_eq!(duration(text), wanted, "{text}");
        }
    }

    #[test]
    fn rates_have_a_count_and_a_time() {
        assert_eq!(rate("190/10s"), Some((190, Duration::from_secs(10))));
        for bad in ["190", "0/10s", "5/0s", "x/1s", "5/1"] {
            assert_eq!(rate(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["every", "region", "role"];
        assert_eq!(nearest("evry", names), Some("every"));
        assert_eq!(nearest("Regoin", names), Some("region"));
        assert_eq!(nearest("fone", ["phone", "email"]), Some("phone"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(suggestion("colour", names), "one of: every, region, role");
    }
}
