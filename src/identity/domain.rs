//! Domains: one spelling for the host of a web site or mailbox, and which of them name nobody.

use compact_str::CompactString;

use super::lists::{FREE_DOMAINS, PLACEHOLDER_DOMAINS, SHARED_DOMAINS};

/// Longer input is refused unread.
const LENGTH_MAX: usize = 2_048;

/// The registered name in a domain, host or web address: lower case, in ASCII (punycode), without `www.`, port and path.
/// `None` when there is none: an IP address, a single label, not a host name.
#[must_use]
pub fn normalise(text: &str) -> Option<CompactString> {
    if text.len() > LENGTH_MAX {
        return None;
    }
    let text = text.trim();
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = text.split(['/', '?', '#']).next()?;
    let host = host.rsplit('@').next()?;
    let host = host.split(':').next()?;
    let ascii = ascii(host.trim())?;
    match ascii.strip_prefix("www.") {
        Some(bare) if bare.contains('.') => Some(bare.into()),
        _ => Some(ascii),
    }
}

/// True when the domain names no organization: a mailbox provider, a platform for everybody's pages, a stand-in.
#[must_use]
pub fn is_shared(domain: &str) -> bool {
    FREE_DOMAINS.contains(domain) || SHARED_DOMAINS.contains(domain) || is_placeholder(domain)
}

/// True for domains that stand where there is none (`none.com`, anything under `.invalid`).
#[must_use]
pub fn is_placeholder(domain: &str) -> bool {
    let mut rest = Some(domain);
    while let Some(part) = rest {
        if PLACEHOLDER_DOMAINS.contains(part) {
            return true;
        }
        rest = part.split_once('.').map(|(_, parent)| parent);
    }
    false
}

/// A host name in lower case ASCII, international ones in punycode; `None` when it is not one of at least two labels.
pub(super) fn ascii(host: &str) -> Option<CompactString> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let ascii = if host.is_ascii() {
        let mut host = CompactString::from(host);
        host.make_ascii_lowercase();
        host
    } else if host.len() > LENGTH_MAX || host.contains('%') {
        return None;
    } else {
        match url::Host::parse(host).ok()? {
            url::Host::Domain(name) => name.into(),
            url::Host::Ipv4(_) | url::Host::Ipv6(_) => return None,
        }
    };
    is_host_name(&ascii).then_some(ascii)
}

/// Letters, digits and inner dashes in two labels or more, the last of which is not a number.
fn is_host_name(host: &str) -> bool {
    let mut labels = 0;
    let mut last_is_number = false;
    for label in host.split('.') {
        let bytes = label.as_bytes();
        let inner = bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
        let ends = bytes.first() != Some(&b'-') && bytes.last() != Some(&b'-');
        if label.is_empty() || label.len() > 63 || !inner || !ends {
            return false;
        }
        last_is_number = bytes.iter().all(u8::is_ascii_digit);
        labels += 1;
    }
    labels >= 2 && !last_is_number && host.len() <= 253
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(normalise(text).as_deref(), expected, "{text}");
    }

    #[test]
    fn hosts_and_addresses() {
        check("ACME.com", Some("acme.com"));
        check("https://www.acme.com/about?x=1#top", Some("acme.com"));
        check(" http://shop.acme.com:8080 ", Some("shop.acme.com"));
        check("acme.com.", Some("acme.com"));
        check("Müller.de", Some("xn--mller-kva.de"));
        check("xn--mller-kva.de", Some("xn--mller-kva.de"));
        check("info@acme.com", Some("acme.com"));
        check("www.de", Some("www.de"));
        check("localhost", None);
        check("192.168.0.1", None);
        check("[::1]", None);
        check("acme gmbh", None);
        check("-acme.com", None);
        check("acme..com", None);
        check("", None);
    }

    #[test]
    fn domains_that_name_nobody() {
        for domain in [
            "gmail.com",
            "facebook.com",
            "none.com",
            "shop.none.com",
            "a.b.invalid",
            "mailinator.com",
        ] {
            assert!(is_shared(domain), "{domain}");
        }
        for domain in [
            "acme.com",
            "acme.wordpress.com",
            "bosch.de",
            "testing.io",
            "example.com",
        ] {
            assert!(!is_shared(domain), "{domain}");
        }
    }
}
