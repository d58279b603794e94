//! The value lists of `lists/`, as looked-up sets. Lines that begin with `#` are comments.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::text::fold;

/// A set of fixed words. Only ever asked whether it contains one, several times for every record: hence hashed.
pub(super) type Words = LazyLock<HashSet<&'static str>>;

pub(super) static ROLE_MAILBOXES: Words = LazyLock::new(|| lines(include_str!("lists/role_mailboxes.txt")).collect());
pub(super) static PLACEHOLDER_MAILBOXES: Words =
    LazyLock::new(|| lines(include_str!("lists/placeholder_mailboxes.txt")).collect());
pub(super) static PLACEHOLDER_DOMAINS: Words =
    LazyLock::new(|| lines(include_str!("lists/placeholder_domains.txt")).collect());
pub(super) static SHARED_DOMAINS: Words = LazyLock::new(|| lines(include_str!("lists/shared_domains.txt")).collect());
pub(super) static FREE_DOMAINS: Words = LazyLock::new(|| lines(include_str!("lists/free_domains.txt")).collect());
pub(super) static TITLES: Words = LazyLock::new(|| lines(include_str!("lists/titles.txt")).collect());
pub(super) static LEGAL_FORMS: Words = LazyLock::new(|| lines(include_str!("lists/legal_forms.txt")).collect());

/// Stand-ins for names, folded as names are: single words, and whole names with their words sorted.
pub(super) static PLACEHOLDER_NAMES: LazyLock<HashSet<String>> = LazyLock::new(|| {
    lines(include_str!("lists/placeholder_names.txt"))
        .map(|line| {
            let folded = fold(line);
            let mut words: Vec<&str> = folded.split(' ').collect();
            words.sort_unstable();
            words.join(" ")
        })
        .collect()
});

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// How a mailbox provider spells one mailbox in several ways.
#[derive(Clone, Copy, Debug)]
pub(super) struct Provider {
    /// The domain as written.
    pub(super) domain: &'static str,
    /// The domain the mailbox is known under.
    pub(super) canonical: &'static str,
    /// The rest of the local part from this sign on is ignored.
    pub(super) tag: char,
    /// Dots in the local part are ignored.
    pub(super) drops_dots: bool,
}

static PROVIDERS: LazyLock<Vec<Provider>> = LazyLock::new(|| {
    let mut providers: Vec<_> = lines(include_str!("lists/providers.csv"))
        .filter_map(provider)
        .collect();
    providers.sort_unstable_by_key(|provider| provider.domain);
    providers
});

fn provider(line: &'static str) -> Option<Provider> {
    let mut cells = line.split(',');
    Some(Provider {
        domain: cells.next()?,
        canonical: cells.next()?,
        tag: cells.next()?.chars().next()?,
        drops_dots: cells.next()? == "drop",
    })
}

/// What is known about the provider behind a domain.
pub(super) fn provider_of(domain: &str) -> Option<&'static Provider> {
    let at = PROVIDERS
        .binary_search_by_key(&domain, |provider| provider.domain)
        .ok()?;
    PROVIDERS.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_provider_table_is_read() {
        let written: Vec<_> = lines(include_str!("lists/providers.csv")).collect();
        assert_eq!(PROVIDERS.len(), written.len());
        assert!(
            written.iter().all(|line| line.split(',').count() == 5),
            "each with its source"
        );
    }

    #[test]
    fn entries_are_in_the_form_they_are_looked_up_in() {
        for word in ROLE_MAILBOXES.iter().chain(PLACEHOLDER_MAILBOXES.iter()) {
            assert!(word.bytes().all(|b| b.is_ascii_lowercase()), "{word}");
        }
        for domain in FREE_DOMAINS
            .iter()
            .chain(SHARED_DOMAINS.iter())
            .chain(PLACEHOLDER_DOMAINS.iter())
        {
            assert!(!domain.bytes().any(|b| b.is_ascii_uppercase() || b == b' '), "{domain}");
        }
        for title in TITLES.iter().filter(|title| title.contains('.')) {
            assert!(title.ends_with('.'), "{title}");
        }
    }
}
