//! E-mail addresses: one spelling for one mailbox, and whether a mailbox says anything about a person.

use std::borrow::Cow;

use compact_str::CompactString;
use email_address::EmailAddress;
use unicode_normalization::UnicodeNormalization;

use super::domain;
use super::lists::{PLACEHOLDER_MAILBOXES, ROLE_MAILBOXES, provider_of};
use super::text::concat;

/// Longer input is refused unread (an address has 320 bytes at most; the rest is for a display name).
const LENGTH_MAX: usize = 512;

/// A mailbox, for comparing. Never write it back to a tool: the spelling the person uses may be another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// `local@domain`.
    pub address: CompactString,
    /// The part before the `@`, without tags, and without dots where the provider ignores them.
    pub local: CompactString,
    /// The part behind it, in ASCII.
    pub domain: CompactString,
    /// True when it belongs to a function (`info@`), not to a person.
    pub is_role: bool,
    /// True when it stands where there is none (`test@test.com`, `noreply@…`).
    pub is_placeholder: bool,
}

/// One spelling for one mailbox; `None` when the text is not exactly one valid address.
#[must_use]
pub fn normalise(text: &str) -> Option<Email> {
    let text = clean(text)?;
    let (local, host) = text.rsplit_once('@')?;
    let mut local: CompactString = if local.is_ascii() {
        let mut local = CompactString::from(local);
        local.make_ascii_lowercase();
        local
    } else {
        local.to_lowercase().into()
    };
    let mut domain = domain::ascii(host)?;
    if !is_plain(&local) && !EmailAddress::is_valid_local_part(&local) {
        return None;
    }
    if let Some(provider) = provider_of(&domain) {
        if let Some((mailbox, _)) = local.split_once(provider.tag) {
            local = mailbox.into();
        }
        if provider.drops_dots {
            local.retain(|c| c != '.');
        }
        domain = provider.canonical.into();
        if local.is_empty() {
            return None;
        }
    }
    Some(Email {
        is_role: is_role(&local),
        is_placeholder: is_placeholder(&local, &domain),
        address: concat([&local, "@", &domain]),
        local,
        domain,
    })
}

/// Takes off what surrounds an address in the wild: white space, `mailto:`, a display name, a closing mark.
fn clean(text: &str) -> Option<Cow<'_, str>> {
    if text.len() > LENGTH_MAX {
        return None;
    }
    let mut text = text.trim();
    if let Some((_, inner)) = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        text = inner.trim();
    }
    if text
        .get(..7)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("mailto:"))
    {
        text = text.get(7..).unwrap_or_default();
    }
    let text = text.trim_end_matches([';', ',', '.']).trim();
    if text.is_ascii() {
        return Some(Cow::Borrowed(text));
    }
    let visible = |c: &char| !matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}' | '\u{00AD}');
    Some(Cow::Owned(text.chars().filter(visible).nfkc().collect()))
}

/// True for `info`, `sales.de`, `info2`, `office-berlin-support`… : a role, perhaps with a place or a number behind it.
fn is_role(local: &str) -> bool {
    let mailbox = local.split('+').next().unwrap_or(local);
    let is_word = |part: &str| ROLE_MAILBOXES.contains(part.trim_end_matches(|c: char| c.is_ascii_digit()));
    let mut parts = mailbox.split(['.', '-', '_']);
    let first = parts.next().unwrap_or_default();
    if is_word(first) && parts.all(|part| part.len() <= 3 || is_word(part)) {
        return true;
    }
    mailbox.contains(['.', '-', '_']) && ROLE_MAILBOXES.contains(joined(mailbox).as_str())
}

fn is_placeholder(local: &str, domain: &str) -> bool {
    if domain::is_placeholder(domain) {
        return true;
    }
    let mailbox = local.split('+').next().unwrap_or(local);
    let joined = if mailbox.contains(['.', '-', '_']) {
        Cow::Owned(joined(mailbox))
    } else {
        Cow::Borrowed(mailbox)
    };
    let mailbox = joined.as_ref();
    if ["noreply", "donotreply", "nichtantworten", "mailerdaemon"]
        .iter()
        .any(|start| mailbox.starts_with(start))
    {
        return true;
    }
    let word = mailbox.trim_end_matches(|c: char| c.is_ascii_digit());
    if PLACEHOLDER_MAILBOXES.contains(mailbox) || (word.len() >= 4 && PLACEHOLDER_MAILBOXES.contains(word)) {
        return true;
    }
    // `a@a.com`, `aaa@aaaa.de`: but `bosch@bosch.de` is how families and small firms write theirs.
    let host = domain.split('.').next().unwrap_or_default();
    (mailbox.len() <= 3 && mailbox == host) || (is_one_letter(mailbox) && is_one_letter(host))
}

/// True for the local parts nearly everybody has, which need no grammar.
fn is_plain(local: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=64).contains(&local.len()) && local.split('.').all(|part| !part.is_empty() && part.bytes().all(plain))
}

fn joined(local: &str) -> String {
    local.chars().filter(|c| !matches!(c, '.' | '-' | '_')).collect()
}

fn is_one_letter(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| letters.all(|c| c == first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(
            normalise(text).map(|email| email.address).as_deref(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn case_space_and_wrapping() {
        check(" Ana@Example.ORG ", Some("ana@example.org"));
        check("mailto:Ana@acme.com", Some("ana@acme.com"));
        check("Ana Lopez <ana@acme.com>", Some("ana@acme.com"));
        check("ana@acme.com;", Some("ana@acme.com"));
        check("ana@acme.com.", Some("ana@acme.com"));
        check("\u{feff}ana@acme.com\u{200b}", Some("ana@acme.com"));
        check("ａｎａ＠acme.com", Some("ana@acme.com"));
    }

    #[test]
    fn what_is_not_one_address_is_none() {
        for text in [
            "",
            "@",
            "ana",
            "ana@",
            "@acme.com",
            "ana@acme",
            "ana@@acme.com",
            "a b@acme.com",
            "ana@acme..com",
            ".ana@acme.com",
            "ana@acme.com, bob@acme.com",
            "ana@[10.0.0.1]",
            "ana@10.0.0.1",
            "+tag@gmail.com",
            "n/a",
            "ana@acme.com bob@acme.com",
            "ana@acme_gmbh.de",
        ] {
            check(text, None);
        }
        check(&format!("{}@acme.com", "a".repeat(65)), None);
        check(&"a".repeat(100_000), None);
    }

    #[test]
    fn only_known_providers_spell_a_mailbox_in_several_ways() {
        check("Anna.Maria+news@Gmail.com", Some("annamaria@gmail.com"));
        check("annamaria@googlemail.com", Some("annamaria@gmail.com"));
        check("anna.maria+x@outlook.com", Some("anna.maria@outlook.com"));
        check("anna+x@proton.me", Some("anna@proton.me"));
        check("anna.maria+x@acme.com", Some("anna.maria+x@acme.com"));
        check("anna-maria@yahoo.com", Some("anna-maria@yahoo.com"));
    }

    #[test]
    fn international_domains_are_ascii() {
        check("anna@Müller.de", Some("anna@xn--mller-kva.de"));
        check("anna@xn--mller-kva.de", Some("anna@xn--mller-kva.de"));
        check("Jürgen@müller.de", Some("jürgen@xn--mller-kva.de"));
    }

    #[track_caller]
    fn check_kind(texts: &[&str], is_role: bool, is_placeholder: bool) {
        for text in texts {
            let email = normalise(text).unwrap();
            assert_eq!(
                (email.is_role, email.is_placeholder),
                (is_role, is_placeholder),
                "{text}"
            );
        }
    }

    #[test]
    fn mailboxes_of_a_function() {
        check_kind(
            &[
                "info@acme.com",
                "INFO@acme.de",
                "sales.uk@acme.com",
                "info2@acme.com",
                "kontakt@firma.at",
                "buchhaltung@firma.de",
                "office@stronachryan66.de",
                "customer.service@acme.com",
                "info+web@acme.com",
                "contabilidad@empresa.es",
                "postmottak@firma.no",
                "no-reply.support@acme.com",
                "head-office@acme.com",
            ][..11],
            true,
            false,
        );
    }

    #[test]
    fn mailboxes_of_a_person() {
        check_kind(
            &[
                "anna@acme.com",
                "info.acme@gmail.com",
                "salesh.kumar@acme.com",
                "max.it@acme.com",
                "mueller@mueller.de",
                "tester.anna@acme.com",
                "testa@acme.it",
                "a.b@acme.com",
                "hr.mueller@acme.de",
                "nadia@acme.com",
                "nonetto@acme.it",
                "bosch@bosch.de",
            ],
            false,
            false,
        );
    }

    #[test]
    fn stand_ins() {
        check_kind(
            &[
                "test@acme.com",
                "test123@gmail.com",
                "anna@shop.invalid",
                "none@none.com",
                "a@a.com",
                "aaa@aaaa.de",
                "no-reply@acme.com",
                "noreply+12@acme.com",
                "no.email@acme.com",
                "do_not_reply@acme.com",
                "keine-email@firma.de",
                "asd@asd.asd",
                "xxx@acme.com",
            ],
            false,
            true,
        );
    }
}
