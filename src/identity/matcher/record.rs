//! The fields of a record, brought to a form in which two records can be compared in a microsecond.

use compact_str::CompactString;

use super::super::text::fold;
use super::super::{domain, email, name, phone};
use super::table::hash;
use super::words;

/// What a field of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Given name.
    Given,
    /// Family name.
    Family,
    /// The whole name in one field.
    Full,
    /// Middle name or initial.
    Middle,
    /// E-mail address; two are compared.
    Email,
    /// Phone or fax number; two are compared.
    Phone,
    /// Employer of a person, name of an organization.
    Company,
    /// Street and house number; several are joined.
    Address,
    /// Postal code.
    Postcode,
    /// Town.
    City,
    /// State, county or region.
    State,
    /// Country.
    Country,
    /// Date of birth.
    Birth,
    /// A number that an authority gave to one person or firm: social security, passport, tax, register.
    Id,
    /// Sex as recorded.
    Sex,
    /// Profession.
    Occupation,
    /// Web site.
    Site,
}

/// The parts of a record's text, in the order in which they lie there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Given,
    Family,
    Full,
    Middle,
    Generation,
    Local,
    Domain,
    Local2,
    Domain2,
    Phone,
    Phone2,
    Company,
    Street,
    Number,
    Postcode,
    City,
    State,
    Country,
    Id,
    Sex,
    Occupation,
    /// The letters of the first mailbox's local part.
    Owner,
    Owner2,
    /// The letters of the firm's own domain.
    Firm,
}

/// How many parts there are.
const PARTS: usize = Part::Firm as usize + 1;

/// A date of which parts may be unknown (0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: u16,
    pub(super) month: u8,
    pub(super) day: u8,
}

/// A record as the matcher sees it: normalised, without the guarded values (stand-ins).
#[derive(Clone, Debug)]
pub struct Features {
    text: Box<str>,
    ends: [u16; PARTS],
    pub(super) birth: Date,
    /// The system it comes from.
    pub(super) source: u16,
    /// The mailboxes belong to a function (`info@`).
    pub(super) is_role: [bool; 2],
    /// The domains belong to a mailbox provider.
    pub(super) is_free: [bool; 2],
    /// An organization, not a person.
    pub(super) is_organization: bool,
}

/// The source of records of which all come from one system, or of which it is not known.
pub const UNKNOWN_SOURCE: u16 = u16::MAX;

/// The longest text of one part, in bytes.
const PART_MAX: usize = 120;

impl Features {
    /// Normalises what a record says. Fields may come in any order; those that say nothing are left out.
    #[must_use]
    pub fn new(fields: &[(Field, &str)], source: u16, is_organization: bool) -> Self {
        let mut draft = Draft::default();
        for (field, text) in fields {
            draft.take(*field, text.trim());
        }
        draft.finish(source, is_organization)
    }

    pub(super) fn part(&self, part: Part) -> &str {
        let at = part as usize;
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        self.text
            .get(usize::from(from)..usize::from(self.ends[at]))
            .unwrap_or_default()
    }

    /// Something of both ends of its text: see [`super::index::Index::fetch`].
    pub(super) fn look(&self) -> u64 {
        let text = self.text.as_bytes();
        let byte = |byte: Option<&u8>| u64::from(byte.copied().unwrap_or_default());
        byte(text.first()) ^ byte(text.last())
    }

    /// True when the record tells by what an authority knows the person.
    pub(super) fn is_registered(&self) -> bool {
        self.birth.year != 0 || !self.part(Part::Id).is_empty()
    }

    /// Mailboxes with local part and domain, and whether they are a function's and a provider's.
    pub(super) fn mailboxes(&self) -> impl Iterator<Item = Mailbox<'_>> {
        [(Part::Local, Part::Domain), (Part::Local2, Part::Domain2)]
            .into_iter()
            .zip(self.is_role.iter().zip(self.is_free))
            .map(|((local, domain), (is_role, is_free))| Mailbox {
                local: self.part(local),
                domain: self.part(domain),
                is_role: *is_role,
                is_free,
            })
            .filter(|mailbox| !mailbox.local.is_empty())
    }

    pub(super) fn phones(&self) -> impl Iterator<Item = &str> {
        [self.part(Part::Phone), self.part(Part::Phone2)]
            .into_iter()
            .filter(|phone| !phone.is_empty())
    }

    /// One number for the whole name, whatever the order of its parts; `None` without a name.
    pub(super) fn name_hash(&self) -> Option<u64> {
        let (given, family) = (self.part(Part::Given), self.part(Part::Family));
        if given.is_empty() && family.is_empty() {
            return None;
        }
        let (a, b) = if given <= family {
            (given, family)
        } else {
            (family, given)
        };
        Some(hash(0, &[a.as_bytes(), b.as_bytes()]))
    }
}

/// One mailbox of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mailbox<'a> {
    pub(super) local: &'a str,
    pub(super) domain: &'a str,
    pub(super) is_role: bool,
    pub(super) is_free: bool,
}

impl Mailbox<'_> {
    pub(super) fn address(&self) -> (&str, &str) {
        (self.local, self.domain)
    }
}

#[derive(Default)]
struct Draft {
    given: Vec<CompactString>,
    family: Vec<CompactString>,
    full: CompactString,
    middle: CompactString,
    emails: Vec<email::Email>,
    phones: Vec<CompactString>,
    company: CompactString,
    street: CompactString,
    number: CompactString,
    postcode: CompactString,
    city: CompactString,
    state: CompactString,
    country: CompactString,
    id: CompactString,
    sex: CompactString,
    occupation: CompactString,
    site: CompactString,
    birth: Date,
}

impl Draft {
    fn take(&mut self, field: Field, text: &str) {
        if text.is_empty() || text.len() > 1000 {
            return;
        }
        match field {
            Field::Given => self.given.extend(name::words(text)),
            Field::Family => self.family.extend(name::words(text)),
            Field::Full => self.full = text.into(),
            Field::Middle => self.middle = fold(text).into(),
            Field::Email => self.email(text),
            Field::Phone => self.phone(text),
            Field::Company => self.company = name::company_key(text).unwrap_or_default(),
            Field::Address => {
                let (street, number) = words::address(text);
                join(&mut self.street, &street);
                if self.number.is_empty() {
                    self.number = number;
                }
            }
            Field::Postcode => self.postcode = words::postcode(text),
            Field::City => self.city = fold(text).into(),
            Field::State => self.state = fold(text).into(),
            Field::Country => self.country = fold(text).into(),
            Field::Birth => self.birth = words::date(text),
            Field::Id => join(&mut self.id, &words::id(text)),
            Field::Sex => self.sex = fold(text).chars().take(1).collect(),
            Field::Occupation => self.occupation = fold(text).into(),
            Field::Site => {
                self.site = domain::normalise(text)
                    .filter(|site| !domain::is_shared(site))
                    .unwrap_or_default();
            }
        }
    }

    fn email(&mut self, text: &str) {
        let Some(mut email) = email::normalise(text)
            .or_else(|| broken(text))
            .filter(|email| !email.is_placeholder)
        else {
            return;
        };
        if let Some((mailbox, _)) = email.local.split_once('+').filter(|(mailbox, _)| !mailbox.is_empty()) {
            email.local = mailbox.into();
        }
        let is_new = self
            .emails
            .iter()
            .all(|other| (&other.local, &other.domain) != (&email.local, &email.domain));
        if is_new && self.emails.len() < 2 {
            self.emails.push(email);
        }
    }

    fn phone(&mut self, text: &str) {
        let digits = words::phone(text);
        if digits.len() >= 6
            && !phone::is_placeholder(&digits)
            && !self.phones.contains(&digits)
            && self.phones.len() < 2
        {
            self.phones.push(digits);
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one line for each part, in the order in which they lie"
    )]
    fn finish(mut self, source: u16, is_organization: bool) -> Features {
        if !self.full.is_empty() && self.given.is_empty() && self.family.is_empty() {
            let (given, family) = name::split(&self.full);
            self.given = name::words(&given.unwrap_or_default());
            self.family = name::words(&family.unwrap_or_default());
        }
        let mut generation = CompactString::default();
        for names in [&mut self.given, &mut self.family] {
            names.retain(|word| {
                let is_generation = words::is_generation(word);
                if is_generation {
                    generation.clone_from(word);
                }
                !is_generation
            });
        }
        if self.family.is_empty() && self.given.len() == 2 {
            self.family = self.given.split_off(1);
        }
        // The family name written into both fields.
        if self.given.len() > self.family.len() && !self.family.is_empty() && self.given.ends_with(&self.family) {
            self.given.truncate(self.given.len() - self.family.len());
        }
        // Of two mailboxes the smaller first, so that their order in the tool does not show.
        self.emails
            .sort_by(|a, b| (&a.local, &a.domain).cmp(&(&b.local, &b.domain)));
        self.phones.sort();
        let mut is_role = [false; 2];
        let mut is_free = [false; 2];
        for (at, email) in self.emails.iter().enumerate() {
            is_role[at] = email.is_role;
            is_free[at] = domain::is_shared(&email.domain);
        }
        let mut full = name::words(&self.full);
        full.sort();
        full.dedup();
        let email = |at: usize| {
            self.emails
                .get(at)
                .map_or(("", ""), |email| (&email.local, &email.domain))
        };
        let phone = |at: usize| self.phones.get(at).map_or("", CompactString::as_str);
        let (given, family, full) = (self.given.join(" "), self.family.join(" "), full.join(" "));
        let mut packed = Packed::default();
        for text in [given.as_str(), &family, &full, &self.middle, &generation] {
            packed.push(text);
        }
        for text in [email(0).0, email(0).1, email(1).0, email(1).1, phone(0), phone(1)] {
            packed.push(text);
        }
        for text in [
            &self.company,
            &self.street,
            &self.number,
            &self.postcode,
            &self.city,
            &self.state,
        ] {
            packed.push(text);
        }
        for text in [&self.country, &self.id, &self.sex, &self.occupation] {
            packed.push(text);
        }
        let firm = self
            .emails
            .iter()
            .filter(|email| !domain::is_shared(&email.domain))
            .map(|email| &email.domain);
        let firm = firm.chain([&self.site]).find(|domain| !domain.is_empty());
        let firm = firm
            .and_then(|domain| domain.split('.').next())
            .map(letters)
            .unwrap_or_default();
        for text in [letters(email(0).0), letters(email(1).0), firm] {
            packed.push(&text);
        }
        Features {
            text: packed.text.into_boxed_str(),
            ends: packed.ends,
            birth: self.birth,
            source,
            is_role,
            is_free,
            is_organization,
        }
    }
}

/// A mailbox with a slip in it (`ana@acmecom`) is still something to compare.
fn broken(text: &str) -> Option<email::Email> {
    let text = text.to_lowercase();
    let (local, domain) = text.rsplit_once('@')?;
    let is_one = !local.is_empty() && !domain.is_empty() && !text.contains([' ', ',', ';', '<']);
    is_one.then(|| email::Email {
        address: text.as_str().into(),
        local: local.into(),
        domain: domain.into(),
        is_role: false,
        is_placeholder: false,
    })
}

/// Letters alone, folded as names are.
fn letters(text: &str) -> String {
    let folded = fold(text);
    folded.chars().filter(|c| c.is_alphabetic()).collect()
}

fn join(whole: &mut CompactString, part: &str) {
    if !whole.is_empty() && !part.is_empty() {
        whole.push(' ');
    }
    whole.push_str(part);
}

#[derive(Default)]
struct Packed {
    text: String,
    ends: [u16; PARTS],
    at: usize,
}

impl Packed {
    fn push(&mut self, text: &str) {
        let mut end = text.len().min(PART_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(text.get(..end).unwrap_or_default());
        self.ends[self.at] = u16::try_from(self.text.len()).unwrap_or(u16::MAX);
        self.at += 1;
    }
}
