//! A seeded generator of messy, overlapping people, with the truth beside them.
//!
//! The same seed makes the same people. Unless a persona is [`Link::Hard`], its records share an e-mail (modulo case and
//! space) or, for a small share, the same phone and the same name: what a deterministic matcher can find.

mod names;

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::{Value, json};

pub use names::Country;
/// Typed where a phone should be; nobody's number, and no loss when it does not travel.
pub(super) use names::PLACEHOLDERS;
use names::{COMPANIES, PRIVATE, Phone, ROLES, ascii};

use super::ToolName;

const SECOND_MS: i64 = 1_000;
const DAY_MS: i64 = 86_400 * SECOND_MS;

/// What makes the records of one persona findable as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// All records have the same e-mail, modulo case and space.
    Email,
    /// One record has no e-mail; phone and name are the same in all.
    PhoneAndName,
    /// Nothing certain: a shared mailbox, or neither e-mail nor phone in common.
    Hard,
}

/// One person of flesh and blood, as they really are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Persona {
    /// Position, and the id in the truth.
    pub id: usize,
    /// Where names and phones come from.
    pub country: Country,
    /// Given name.
    pub given: String,
    /// What friends say; may equal `given`.
    pub nickname: String,
    /// Family name.
    pub family: String,
    /// Address, lower case.
    pub email: String,
    /// Phone, E.164.
    pub phone: String,
    /// Employer.
    pub company: Option<String>,
    /// How the records hang together.
    pub link: Link,
}

/// One object to be put into a tool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Seeded {
    /// Into which tool.
    pub tool: ToolName,
    /// Whose it is.
    pub persona: usize,
    /// The object in the vendor's words.
    pub body: Value,
    /// Age of the object when it is seeded.
    pub created_ago_ms: i64,
    /// Age of its last change.
    pub updated_ago_ms: i64,
    /// A second object of the same persona in the same tool.
    pub duplicate: bool,
}

/// Everything that [`generate`] makes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct People {
    /// Who they are.
    pub personas: Vec<Persona>,
    /// What the tools know of them.
    pub objects: Vec<Seeded>,
}

/// Which object is whose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Truth {
    owners: BTreeMap<ToolName, BTreeMap<String, usize>>,
}

impl Truth {
    /// Notes that an object belongs to a persona.
    pub fn insert(&mut self, tool: ToolName, id: String, persona: usize) {
        self.owners.entry(tool).or_default().insert(id, persona);
    }

    /// The persona behind a seeded object.
    #[must_use]
    pub fn persona(&self, tool: ToolName, id: &str) -> Option<usize> {
        self.owners.get(&tool)?.get(id).copied()
    }

    /// Every seeded object: tool, id, persona.
    pub fn iter(&self) -> impl Iterator<Item = (ToolName, &str, usize)> {
        self.owners
            .iter()
            .flat_map(|(tool, ids)| ids.iter().map(move |(id, persona)| (*tool, id.as_str(), *persona)))
    }
}

/// Makes `count` people and what one to three tools of the demo know of each.
#[must_use]
pub fn generate(seed: u64, count: usize) -> People {
    generate_in(seed, count, ToolName::ALL)
}

/// The same people, as three other tools know them: marketing, sales, support.
#[must_use]
pub fn generate_in(seed: u64, count: usize, roles: [ToolName; 3]) -> People {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut personas = Vec::with_capacity(count);
    let mut objects = Vec::new();
    for id in 0..count {
        let (persona, phone) = persona(&mut rng, id);
        let tools = tools(&mut rng, persona.link, roles);
        // A burst is an import: many records of one second.
        let burst = rng
            .random_bool(0.15)
            .then(|| i64::from(rng.random_range(1..=5_u8)) * 7 * DAY_MS);
        for (index, tool) in tools.iter().enumerate() {
            let body = messy(&mut rng, &persona, &phone, *tool, index);
            objects.push(aged(&mut rng, *tool, id, body, burst));
        }
        // The sales tools take one address twice (VENDORS.md B1.12, B2.12).
        let [_, sales, _] = roles;
        if persona.link == Link::Email && tools.contains(&sales) && rng.random_bool(0.04) {
            let body = messy(&mut rng, &persona, &phone, sales, 0);
            objects.push(Seeded {
                duplicate: true,
                ..aged(&mut rng, sales, id, body, None)
            });
        }
        personas.push(persona);
    }
    People {
        personas,
        objects: unique(objects),
    }
}

/// Most tools take an address once: of two personas with one shared mailbox the second stays out of those. Mailchimp takes
/// nobody without one.
fn unique(objects: Vec<Seeded>) -> Vec<Seeded> {
    let mut seen = std::collections::BTreeSet::new();
    let is_first = |object: &Seeded| {
        let email = object.body.get("email").or_else(|| object.body.get("email_address"));
        let email = email.and_then(Value::as_str).map(|email| email.trim().to_lowercase());
        (email.is_some() || object.tool != ToolName::Mailchimp)
            && email.is_none_or(|email| seen.insert((object.tool, email)))
    };
    objects.into_iter().filter(is_first).collect()
}

fn pick<'a, T>(rng: &mut ChaCha8Rng, list: &'a [T]) -> &'a T {
    let index = rng.random_range(0..list.len());
    &list[index]
}

fn persona(rng: &mut ChaCha8Rng, id: usize) -> (Persona, Phone) {
    let country = *pick(rng, &Country::ALL);
    let (given, nickname) = country.given(id);
    let family = *pick(rng, country.family());
    let phone = country.phone(id);
    let company = rng.random_bool(0.7).then(|| *pick(rng, COMPANIES));
    let link = match rng.random_range(0..100_u8) {
        0..=2 => Link::Hard,
        3..=6 => Link::PhoneAndName,
        _ => Link::Email,
    };
    let domain = company.map_or_else(|| *pick(rng, PRIVATE), |(_, domain)| domain);
    let email = match (link, company) {
        (Link::Hard, Some((_, domain))) => format!("{}@{domain}", pick(rng, ROLES)),
        _ => format!("{}.{}{id}@{domain}", ascii(given), ascii(family)),
    };
    let persona = Persona {
        id,
        country,
        given: given.to_owned(),
        nickname: nickname.to_owned(),
        family: family.to_owned(),
        email,
        phone: phone.e164(),
        company: company.map(|(name, _)| name.to_owned()),
        link,
    };
    (persona, phone)
}

fn tools(rng: &mut ChaCha8Rng, link: Link, roles: [ToolName; 3]) -> Vec<ToolName> {
    let mut tools = roles.to_vec();
    let drop = match (rng.random_range(0..10_u8), link) {
        (0..=2, Link::Email) => 2,
        (0..=6, _) => 1,
        _ => 0,
    };
    for _ in 0..drop {
        tools.remove(rng.random_range(0..tools.len()));
    }
    tools
}

fn aged(rng: &mut ChaCha8Rng, tool: ToolName, persona: usize, body: Value, burst: Option<i64>) -> Seeded {
    let updated_ago_ms = burst.unwrap_or_else(|| rng.random_range(2 * 3_600 * SECOND_MS..90 * DAY_MS));
    let created_ago_ms = updated_ago_ms + rng.random_range(0..700 * DAY_MS);
    Seeded {
        tool,
        persona,
        body,
        created_ago_ms,
        updated_ago_ms,
        duplicate: false,
    }
}

/// What one tool knows of a persona. `index` counts the persona's tools; the first always has the e-mail.
fn messy(rng: &mut ChaCha8Rng, persona: &Persona, phone: &Phone, tool: ToolName, index: usize) -> Value {
    let exact = persona.link == Link::PhoneAndName;
    let email = match persona.link {
        Link::PhoneAndName if index > 0 => None,
        Link::Hard if index > 0 && persona.company.is_none() => None,
        _ => Some(spelled(rng, &persona.email, tool)),
    };
    let phone = match rng.random_range(0..100_u8) {
        _ if exact => Some(phone.written(rng.random_range(0..6))),
        0..=17 => None,
        18..=20 => Some((*pick(rng, PLACEHOLDERS)).to_owned()),
        _ if persona.link == Link::Hard && index > 0 => None,
        _ => Some(phone.written(rng.random_range(0..6))),
    };
    let (given, family) = if exact {
        (persona.given.clone(), persona.family.clone())
    } else {
        called(rng, persona)
    };
    let company = persona.company.clone().filter(|_| rng.random_bool(0.85));
    match tool {
        ToolName::Hubspot => {
            let given = if !exact && rng.random_bool(0.04) {
                None
            } else {
                Some(given)
            };
            let stage = *pick(rng, &["subscriber", "lead", "lead", "salesqualifiedlead", "customer"]);
            json!({"email": email, "firstname": given, "lastname": family, "phone": phone, "company": company, "lifecyclestage": stage})
        }
        ToolName::Pipedrive => {
            let list = |value: Option<String>| {
                value.map_or_else(
                    || json!([]),
                    |value| json!([{"value": value, "primary": true, "label": "work"}]),
                )
            };
            json!({"name": format!("{given} {family}"), "emails": list(email), "phones": list(phone)})
        }
        ToolName::Zendesk => json!({"name": format!("{given} {family}"), "email": email, "phone": phone}),
        ToolName::Intercom => {
            json!({"name": format!("{given} {family}"), "email": email.map(|email| email.trim().to_owned()), "phone": phone})
        }
        ToolName::Salesforce => json!({"FirstName": given, "LastName": family, "Email": email, "Phone": phone}),
        ToolName::Mailchimp => json!({"email_address": email.map(|email| email.trim().to_owned()),
            "merge_fields": {"FNAME": given, "LNAME": family, "PHONE": phone}}),
    }
}

/// Case and space around an address; HubSpot stores lower case (VENDORS.md A1.12).
fn spelled(rng: &mut ChaCha8Rng, email: &str, tool: ToolName) -> String {
    match rng.random_range(0..20_u8) {
        _ if tool == ToolName::Hubspot => email.to_owned(),
        0..=2 => capitals(email),
        3 => email.to_uppercase(),
        4 => format!(" {email}"),
        5 => format!("{email} "),
        _ => email.to_owned(),
    }
}

fn capitals(text: &str) -> String {
    let mut start = true;
    let letter = |c: char| {
        let shown = if start { c.to_ascii_uppercase() } else { c };
        start = !c.is_alphanumeric();
        shown
    };
    text.chars().map(letter).collect()
}

fn called(rng: &mut ChaCha8Rng, persona: &Persona) -> (String, String) {
    let (given, family) = (persona.given.as_str(), persona.family.as_str());
    match rng.random_range(0..20_u8) {
        0..=2 => (persona.nickname.clone(), family.to_owned()),
        3 => (given.to_lowercase(), family.to_lowercase()),
        4 => (given.to_uppercase(), family.to_uppercase()),
        5 => (format!("{given} "), format!(" {family}")),
        6 => (capitals(&ascii(given)), capitals(&ascii(family))),
        _ => (given.to_owned(), family.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_makes_the_same_people() {
        assert_eq!(generate(7, 300), generate(7, 300));
        assert_eq!(
            generate(7, 300).personas.len(),
            generate_in(7, 300, ToolName::OTHERS).personas.len()
        );
        assert_ne!(generate(7, 300), generate(8, 300));
    }

    #[test]
    fn records_of_one_persona_share_an_address_unless_said_otherwise() {
        let people = generate(1, 2_000);
        for object in &people.objects {
            let persona = &people.personas[object.persona];
            let text = object.body.to_string().to_lowercase();
            if persona.link == Link::Email {
                assert!(text.contains(&persona.email), "{text} misses {}", persona.email);
            }
            if persona.link == Link::PhoneAndName {
                assert!(text.contains(&persona.family.to_lowercase()), "{text}");
            }
        }
        let share = |link| people.personas.iter().filter(|persona| persona.link == link).count();
        assert!(share(Link::Hard) > 20 && share(Link::PhoneAndName) > 40);
        assert!(people.objects.iter().any(|object| object.duplicate));
    }

    #[test]
    fn only_reserved_domains_and_numbers() {
        for persona in generate(2, 1_000).personas {
            let domain = persona.email.split('@').nth(1).unwrap();
            let reserved = ["example", "test", "example.com", "example.net", "example.org"];
            assert!(
                reserved.iter().any(|end| domain.ends_with(&format!(".{end}"))),
                "{domain}"
            );
            let phone = persona.phone.as_str();
            let fiction = phone.contains("55501")
                || phone.contains("4960")
                || ["4930231", "4969900", "4940669", "4989999"]
                    .iter()
                    .any(|p| phone.contains(p));
            assert!(fiction, "{phone}");
        }
    }

    #[test]
    fn some_records_changed_in_one_second() {
        let people = generate(3, 500);
        let burst = people
            .objects
            .iter()
            .filter(|object| object.updated_ago_ms == 7 * DAY_MS)
            .count();
        assert!(burst > 5, "{burst}");
    }
}
